//! A second description of an open file, and the flags of a description.
//!
//! Opening `/proc/self/fd/N` opens the file behind it once more: with a position, an access and flags of its own, and
//! whatever has become of its path. It does not work for sockets, and a terminal master opened so is another one.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::{OsContext, Result};
use crate::sys::fd::fcntl;

/// What fcntl(F_SETFL) changes.
pub(super) const SETTABLE: i32 = CHANGEABLE | libc::O_ASYNC;

/// Of these, what we change: the kernel remembers by which number O_ASYNC was switched on (`si_fd` of its signals,
/// fasync_insert_entry in fs/fcntl.c), so that the task itself has to do that.
const CHANGEABLE: i32 = libc::O_APPEND | libc::O_DIRECT | libc::O_NOATIME | libc::O_NONBLOCK;

/// Gives a description the flags of `O_*` in [`CHANGEABLE`], and nothing else.
pub(in crate::resource) fn set_flags(fd: impl AsFd, flags: u32) -> Result<()> {
    let wanted = flags as i32 & CHANGEABLE;
    let has = fcntl(fd.as_fd(), libc::F_GETFL, 0).os(|| "fcntl F_GETFL")?;
    if has & CHANGEABLE == wanted {
        return Ok(());
    }
    fcntl(fd.as_fd(), libc::F_SETFL, has & !CHANGEABLE | wanted)
        .map(drop)
        .os(|| format!("fcntl F_SETFL {wanted:#o}"))
}

/// A new description of the file behind `fd`, with the access and flags of `flags`.
///
/// For a pipe this never waits for the other end (fifo_open in fs/pipe.c).
pub(super) fn reopen(fd: impl AsFd, flags: u32) -> Result<OwnedFd> {
    let raw = fd.as_fd().as_raw_fd();
    let path = format!("/proc/self/fd/{raw}");
    // A pipe refuses O_DIRECT here and takes it by F_SETFL.
    let once = libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_ASYNC | libc::O_DIRECT;
    let how = OFlag::from_bits_retain(flags as i32 & !once | libc::O_CLOEXEC | libc::O_NOCTTY);
    let new =
        open(path.as_str(), how, Mode::empty()).os(|| format!("reopen {path} with flags {flags:#o}"))?;
    set_flags(&new, flags)?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_description_has_flags_of_its_own() -> Result<()> {
        let (read, _write) = nix::unistd::pipe().os(|| "pipe")?;
        set_flags(&read, (libc::O_NONBLOCK | libc::O_ASYNC) as u32)?;
        let new = reopen(&read, (libc::O_WRONLY | libc::O_DIRECT | libc::O_ASYNC) as u32)?;
        let flags = |fd: &OwnedFd| fcntl(fd.as_fd(), libc::F_GETFL, 0).os(|| "fcntl");
        assert_eq!(flags(&read)?, libc::O_NONBLOCK);
        let set = libc::O_WRONLY | libc::O_DIRECT;
        assert_eq!(flags(&new)? & (set | libc::O_NONBLOCK | libc::O_ASYNC), set);
        Ok(())
    }
}
