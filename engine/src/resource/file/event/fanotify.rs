//! Groups of fanotify(7), fs/notify/fanotify, with their marks on files, mounts and file systems.
//!
//! As with [`super::inotify`], marks are set when the tree is about to run. Refused are groups that are asked for
//! permission ([`refuse_permission`]): while such a program is frozen, whoever opens what it watches waits for its
//! answer, and so would the dump itself.
//!
//! Not kept: events that were not read. CRIU's format has no marks on file systems: theirs are of a type of ours.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::inotify::Find;
use super::watched::{Places, open_path, through};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{
    FanotifyFileEntry, FanotifyInodeMarkEntry, FanotifyMarkEntry, FanotifyMountMarkEntry, FdType, FileEntry,
    MarkType,
};
use crate::kernel::event::{self, Mark, Marked};
use crate::kernel::fdinfo::FdInfo;
use crate::resource::file::reopen::set_flags;
use crate::resource::file::{Description, owner};
use crate::sys::fd::fcntl;
use crate::sys::notify;

/// FAN_OPEN_PERM, FAN_ACCESS_PERM, FAN_OPEN_EXEC_PERM, FAN_PRE_ACCESS of linux/fanotify.h.
const PERMISSION: u32 = 0x0017_0000;
/// FAN_MARK_EVICTABLE: it concerns the mark as a whole.
const EVICTABLE: u32 = 0x200;
const IGNORED_SURV_MODIFY: u32 = 0x40;
/// FAN_MARK_IGNORE, the later form of FAN_MARK_IGNORED_MASK.
const IGNORE: u32 = 0x400;
const ADD: u32 = 1;
const MOUNT: u32 = 0x10;
const IGNORED_MASK: u32 = 0x20;
const FILE_SYSTEM: u32 = 0x100;

/// Refuses a group that somebody may be waiting for.
///
/// # Errors
/// `E-FANOTIFY-PERMISSION`; the caller adds descriptor and task.
pub fn refuse_permission(info: &FdInfo) -> Result<()> {
    if event::fanotify(info)?.marks.iter().all(|mark| mark.mask & PERMISSION == 0) {
        return Ok(());
    }
    let reason = "is asked for permission to open files, which nobody would get while the program is frozen";
    Err(Error::new("E-FANOTIFY-PERMISSION", Blame::Program, reason)
        .help("let the program remove these marks before the dump"))
}

/// The entry of a group with all marks.
pub(super) fn dump(id: u32, d: &Description<'_>, places: &mut Places) -> Result<FileEntry> {
    refuse_permission(&d.info)?;
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    let shown = event::fanotify(&d.info)?;
    let mark = shown.marks.iter().map(|mark| dump_mark(id, mark, places)).collect::<Result<_>>()?;
    let ffy = Some(FanotifyFileEntry {
        id,
        flags,
        fown: owner::of(d.fd.as_fd(), flags)?,
        faflags: shown.flags,
        evflags: shown.event_flags,
        mark,
    });
    Ok(FileEntry { r#type: FdType::Fanotify.into(), id, ffy, ..FileEntry::default() })
}

fn dump_mark(id: u32, mark: &Mark, places: &mut Places) -> Result<FanotifyMarkEntry> {
    let entry = FanotifyMarkEntry {
        id,
        mflags: mark.flags,
        mask: mark.mask,
        ignored_mask: mark.ignored_mask,
        ..FanotifyMarkEntry::default()
    };
    match &mark.on {
        Marked::Inode(inode) => {
            let f_handle = places.handle(inode)?;
            let ie = Some(FanotifyInodeMarkEntry { i_ino: inode.ino, f_handle });
            Ok(FanotifyMarkEntry { r#type: MarkType::Inode.into(), s_dev: inode.dev, ie, ..entry })
        }
        Marked::Mount(mount) => on_mount(MarkType::Mount, entry, places, |known, _| known == *mount as i32),
        Marked::FileSystem(dev) => {
            let device = event::device(*dev);
            on_mount(MarkType::FileSystem, entry, places, |_, known| known == device)
        }
        Marked::Other(line) => {
            let reason = format!("has a mark of an unknown kind: {}", String::from_utf8_lossy(line));
            Err(Error::new("E-FILE-UNSUPPORTED", Blame::Program, reason).help("close it before the dump"))
        }
    }
}

/// The last of the mounts that `is` picks by id and device: the one that hides others at its place.
fn on_mount(
    kind: MarkType,
    entry: FanotifyMarkEntry,
    places: &mut Places,
    is: impl Fn(i32, (u32, u32)) -> bool,
) -> Result<FanotifyMarkEntry> {
    let Some(mount) = places.mounts()?.iter().rfind(|mount| is(mount.id, mount.dev)) else {
        return Err(Error::new(
            "E-WATCH-PATH",
            Blame::Program,
            "watches a mount that cannot be seen from here",
        )
        .help("run crio in the mount namespace of the program"));
    };
    let (major, minor) = mount.dev;
    let me = FanotifyMountMarkEntry { mnt_id: mount.id as u32, path: Some(mount.mountpoint.clone()) };
    Ok(FanotifyMarkEntry { r#type: kind.into(), s_dev: major << 20 | minor, me: Some(me), ..entry })
}

/// A new group without marks.
pub(super) fn open(entry: &FanotifyFileEntry) -> Result<OwnedFd> {
    let fd = notify::fanotify(entry.faflags, entry.evflags)
        .os(|| format!("fanotify_init {:#x} {:#x}", entry.faflags, entry.evflags))?;
    fcntl(fd.as_fd(), libc::F_SETFD, libc::FD_CLOEXEC).os(|| "fcntl F_SETFD")?;
    set_flags(&fd, entry.flags)?;
    Ok(fd)
}

/// Sets the marks.
pub(super) fn watch(entry: &FanotifyFileEntry, fd: &OwnedFd, find: Find<'_>) -> Result<()> {
    // The kernel lists the newest first.
    entry.mark.iter().rev().try_for_each(|mark| set(mark, fd, find))
}

fn set(mark: &FanotifyMarkEntry, fd: &OwnedFd, find: Find<'_>) -> Result<()> {
    let bad = || Error::image("files.img", format!("a mark of fanotify group {:#x} has no place", mark.id));
    let (anchor, on) = match (MarkType::try_from(mark.r#type), &mark.ie, &mark.me) {
        (Ok(MarkType::Inode), Some(inode), _) => (find(&inode.f_handle, mark.s_dev, inode.i_ino)?, 0),
        (Ok(kind @ (MarkType::Mount | MarkType::FileSystem)), _, Some(mount)) => {
            let path = mount.path.as_deref().ok_or_else(bad)?;
            (
                open_path(absolute(path).as_os_str().as_encoded_bytes())?,
                if kind == MarkType::Mount { MOUNT } else { FILE_SYSTEM },
            )
        }
        _ => return Err(bad()),
    };
    let path = through(&anchor);
    let add = |flags: u32, mask: u32| match mask {
        0 => Ok(()),
        _ => notify::fanotify_mark(fd.as_fd(), ADD | on | flags, mask.into(), &path)
            .os(|| format!("fanotify_mark {:#x} {mask:#x}", ADD | on | flags)),
    };
    let whole = mark.mflags & EVICTABLE;
    let ignored = if mark.mflags & IGNORE != 0 { IGNORE } else { IGNORED_MASK };
    add(whole, mark.mask)?;
    add(whole | ignored | mark.mflags & IGNORED_SURV_MODIFY, mark.ignored_mask)
}

/// CRIU leaves the slash out of some paths.
fn absolute(path: &[u8]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStrExt;
    Path::new("/").join(std::ffi::OsStr::from_bytes(path))
}
