//! Watches of files and directories: inotify(7), fs/notify/inotify.
//!
//! fdinfo shows each watch with its number (wd), its mask and the inode; [`super::watched`] finds the path. Watches are
//! set when the tree is about to run, so that the restore's own work on files is not reported. A watch gets its number
//! by INOTIFY_IOC_SETNEXTWD.
//!
//! Not kept: events that were not read, which only reading shows; a dump says how many bytes there were.

use std::os::fd::{AsFd, OwnedFd};

use super::watched::{Places, through};
use crate::error::{OsContext, Result};
use crate::image::message::{FdType, FhEntry, FileEntry, InotifyFileEntry, InotifyWdEntry};
use crate::kernel::event;
use crate::resource::file::made::Anchor;
use crate::resource::file::reopen::set_flags;
use crate::resource::file::{Description, owner};
use crate::sys::notify;

/// Finds the inode of a watch.
pub(super) type Find<'f> = &'f mut dyn FnMut(&FhEntry, u32, u64) -> Result<Anchor>;

/// What inotify_add_watch(2) takes of a mask that fdinfo shows: events, IN_EXCL_UNLINK, IN_ONESHOT. Older kernels show
/// bits of their own, too.
const SETTABLE: u32 = libc::IN_ALL_EVENTS | libc::IN_EXCL_UNLINK | libc::IN_ONESHOT;

/// The entry of an instance with all watches.
pub(super) fn dump(id: u32, d: &Description<'_>, places: &mut Places) -> Result<FileEntry> {
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    let mut wd = Vec::new();
    for watch in event::inotify(&d.info)? {
        wd.push(InotifyWdEntry {
            id,
            i_ino: watch.inode.ino,
            mask: watch.mask,
            ignored_mask: watch.ignored_mask,
            s_dev: watch.inode.dev,
            wd: watch.wd,
            f_handle: places.handle(&watch.inode)?,
        });
    }
    wd.sort_unstable_by_key(|watch| watch.wd);
    let ify = Some(InotifyFileEntry { id, flags, fown: owner::of(d.fd.as_fd(), flags)?, wd });
    Ok(FileEntry { r#type: FdType::Inotify.into(), id, ify, ..FileEntry::default() })
}

/// A new instance without watches.
pub(super) fn open(entry: &InotifyFileEntry) -> Result<OwnedFd> {
    let fd = notify::inotify().os(|| "inotify_init1")?;
    set_flags(&fd, entry.flags)?;
    Ok(fd)
}

/// Sets the watches, by ascending number.
pub(super) fn watch(entry: &InotifyFileEntry, fd: &OwnedFd, find: Find<'_>) -> Result<()> {
    let mut watches: Vec<&InotifyWdEntry> = entry.wd.iter().collect();
    watches.sort_unstable_by_key(|watch| watch.wd);
    for watch in watches {
        let inode = find(&watch.f_handle, watch.s_dev, watch.i_ino)?;
        notify::inotify_watch(fd.as_fd(), &through(&inode), watch.mask & SETTABLE, watch.wd as i32)
            .os(|| format!("inotify_add_watch with number {}", watch.wd))?;
    }
    Ok(())
}
