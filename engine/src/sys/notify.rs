//! inotify(7), fanotify(7), and the file handles by which the kernel names what they watch.

#![allow(unsafe_code, reason = "system calls whose wrappers in nix do not take every value")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::process::check;

/// The watch descriptor that the next watch gets, since Linux 4.16.
const INOTIFY_IOC_SETNEXTWD: libc::Ioctl = nix::request_code_write!(b'I', 0, size_of::<i32>());

fn owned(ret: libc::c_long) -> io::Result<OwnedFd> {
    // SAFETY: every caller passes the return of a call that makes a descriptor, which is ours alone.
    check(ret).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A new inotify instance, close-on-exec.
pub fn inotify() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) }.into())
}

/// Watches what `path` leads to under the watch descriptor `wd`.
pub fn inotify_watch(fd: BorrowedFd<'_>, path: &CStr, mask: u32, wd: i32) -> io::Result<()> {
    super::fd::ioctl_value(fd, INOTIFY_IOC_SETNEXTWD, wd as libc::c_ulong)?;
    // SAFETY: `path` outlives the call.
    let got = check(unsafe { libc::inotify_add_watch(fd.as_raw_fd(), path.as_ptr(), mask) }.into())?;
    if got == wd as libc::c_long { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EEXIST)) }
}

/// A new fanotify group with exactly these flags: fanotify_init(2).
pub fn fanotify(flags: u32, event_flags: u32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::fanotify_init(flags, event_flags) }.into())
}

/// Adds a mark on what `path` leads to: fanotify_mark(2).
pub fn fanotify_mark(fd: BorrowedFd<'_>, flags: u32, mask: u64, path: &CStr) -> io::Result<()> {
    // SAFETY: `path` outlives the call.
    let ret = unsafe { libc::fanotify_mark(fd.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr()) };
    check(ret.into()).map(drop)
}

/// What a file handle of the file system of `mount` leads to, as an O_PATH descriptor: open_by_handle_at(2).
pub fn open_by_handle(mount: BorrowedFd<'_>, kind: u32, handle: &[u8]) -> io::Result<OwnedFd> {
    // struct file_handle: length, type, bytes.
    let mut words = vec![handle.len() as u32, kind];
    words.extend(handle.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        u32::from_ne_bytes(word)
    }));
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: `words` has a whole structure and outlives the call, which only reads it.
    owned(unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), words.as_mut_ptr(), flags) })
}
