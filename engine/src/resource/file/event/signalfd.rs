//! Signals as a file: signalfd(2), fs/signalfd.c.
//!
//! The file is its mask and nothing else: who reads gets what is pending for the reader itself, and pending signals are
//! kept with the tasks.

use std::os::fd::{AsFd, OwnedFd};

use crate::error::{OsContext, Result};
use crate::image::message::{FdType, FileEntry, SignalfdEntry};
use crate::kernel::event;
use crate::resource::file::reopen::set_flags;
use crate::resource::file::{Description, owner};
use crate::resource::task::signals;
use crate::sys;

/// The entry of a signalfd.
pub(super) fn dump(id: u32, d: &Description<'_>) -> Result<FileEntry> {
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    let fown = owner::of(d.fd.as_fd(), flags)?;
    let (sigmask, sigmask_extended) = signals::halves(event::signalfd(&d.info)?);
    let sgfd = SignalfdEntry { id, flags, fown, sigmask, sigmask_extended };
    Ok(FileEntry { r#type: FdType::Signalfd.into(), id, sgfd: Some(sgfd), ..FileEntry::default() })
}

/// A new signalfd with the mask of the entry.
pub(super) fn open(entry: &SignalfdEntry) -> Result<OwnedFd> {
    let mask = signals::whole(entry.sigmask, entry.sigmask_extended);
    let fd = sys::event::signalfd(mask).os(|| format!("signalfd4 {mask:#x}"))?;
    set_flags(&fd, entry.flags)?;
    Ok(fd)
}
