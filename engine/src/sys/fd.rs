//! Descriptors: passing them between processes, and the fcntl(2) and ioctl(2) requests that nix lacks.

#![allow(unsafe_code, reason = "raw fcntl and ioctl requests, control messages")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::process::check;

/// Most descriptors in one message: SCM_MAX_FD of net/scm.h.
pub const MAX_FDS_PER_MESSAGE: usize = 253;

/// Bytes that a receiver of `n` descriptors must offer as control buffer.
pub fn control_len(n: usize) -> usize {
    // SAFETY: pure arithmetic.
    unsafe { libc::CMSG_SPACE((n * size_of::<RawFd>()) as u32) as usize }
}

/// Sends descriptors in one message with one byte of data.
pub fn send_fds(socket: BorrowedFd<'_>, fds: &[RawFd]) -> io::Result<()> {
    let mut byte = [0u8];
    let mut iov = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // A Vec of words: the header wants the alignment of size_t.
    let mut control = vec![0u64; control_len(fds.len()).div_ceil(8)];
    // SAFETY: all zeroes is a valid msghdr.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.as_mut_ptr().cast();
    msg.msg_controllen = control_len(fds.len()) as _;
    // SAFETY: the control buffer has room for one header and `fds`.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const msg);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of_val(fds) as u32) as _;
        std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), size_of_val(fds));
        check(libc::sendmsg(socket.as_raw_fd(), &raw const msg, 0) as libc::c_long).map(drop)
    }
}

/// `fcntl(fd, cmd, arg)` with an integer argument.
pub fn fcntl(fd: BorrowedFd<'_>, cmd: i32, arg: i32) -> io::Result<i32> {
    // SAFETY: callers use commands that take an integer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), cmd, arg) }.into()).map(|ret| ret as i32)
}

/// Who gets SIGIO and the like for a description, fcntl_getown(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// `F_OWNER_TID`, `F_OWNER_PID` or `F_OWNER_PGRP`.
    pub kind: i32,
    /// Its id, 0 when nobody is set.
    pub pid: i32,
    /// The signal, 0 for SIGIO.
    pub signal: i32,
    /// Real and effective user at the time of F_SETOWN.
    pub uids: [u32; 2],
}

/// Reads the owner of a description.
pub fn owner(fd: BorrowedFd<'_>) -> io::Result<Owner> {
    const F_GETOWN_EX: i32 = 16;
    const F_GETOWNER_UIDS: i32 = 17;
    const F_GETSIG: i32 = 11;
    let mut who = [0i32; 2];
    let mut uids = [0u32; 2];
    // SAFETY: both commands write two 32-bit words.
    unsafe {
        check(libc::fcntl(fd.as_raw_fd(), F_GETOWN_EX, who.as_mut_ptr()).into())?;
        check(libc::fcntl(fd.as_raw_fd(), F_GETOWNER_UIDS, uids.as_mut_ptr()).into())?;
    }
    Ok(Owner { kind: who[0], pid: who[1], signal: fcntl(fd, F_GETSIG, 0)?, uids })
}

/// An ioctl that fills a plain structure of integers.
///
/// `T` must be the structure that the request documents.
pub fn ioctl_read<T: Copy + Default>(fd: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<T> {
    let mut value = T::default();
    // SAFETY: `value` outlives the call; every caller names the structure of the request.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut value) }.into())?;
    Ok(value)
}

/// An ioctl that reads a plain structure of integers; see [`ioctl_read`].
pub fn ioctl_write<T: Copy>(fd: BorrowedFd<'_>, request: libc::Ioctl, value: &T) -> io::Result<()> {
    // SAFETY: as in `ioctl_read`.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, std::ptr::from_ref(value)) }.into()).map(drop)
}

/// An ioctl whose argument is the value itself.
pub fn ioctl_value(fd: BorrowedFd<'_>, request: libc::Ioctl, value: libc::c_ulong) -> io::Result<i32> {
    // SAFETY: callers use requests that take an integer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request, value) }.into()).map(|ret| ret as i32)
}

/// Sets the owner of a description, F_SETOWN_EX; id 0 is nobody. The kernel notes the users of the calling thread.
pub fn set_owner(fd: BorrowedFd<'_>, kind: i32, pid: i32) -> io::Result<()> {
    const F_SETOWN_EX: i32 = 15;
    let who = [kind, pid];
    // SAFETY: the command reads two 32-bit words.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETOWN_EX, who.as_ptr()) }.into()).map(drop)
}

/// Bytes that can be read from a pipe, FIONREAD.
pub fn readable(fd: BorrowedFd<'_>) -> io::Result<usize> {
    ioctl_read::<i32>(fd, libc::FIONREAD).map(|n| usize::try_from(n).unwrap_or(0))
}

/// poll(2) of one descriptor, without waiting: which of the `POLL*` in `events` there are, and POLLERR and POLLHUP.
pub fn ready(fd: BorrowedFd<'_>, events: i16) -> io::Result<i16> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: the kernel writes one entry.
    check(unsafe { libc::poll(&raw mut entry, 1, 0) }.into())?;
    Ok(entry.revents)
}

/// Bytes that a socket still has to send, SIOCOUTQ of udp(7) and tcp(7).
pub fn unsent(fd: BorrowedFd<'_>) -> io::Result<usize> {
    ioctl_read::<i32>(fd, libc::TIOCOUTQ).map(|n| usize::try_from(n).unwrap_or(0))
}

/// Bytes that a TCP socket has never sent, SIOCOUTQNSD of include/uapi/linux/sockios.h.
pub fn unsent_at_all(fd: BorrowedFd<'_>) -> io::Result<usize> {
    const SIOCOUTQNSD: libc::c_ulong = 0x894b;
    ioctl_read::<i32>(fd, SIOCOUTQNSD).map(|n| usize::try_from(n).unwrap_or(0))
}

/// getxattr(2), which follows links; at most 256 bytes.
pub fn get_attribute(path: &str, name: &str) -> io::Result<Vec<u8>> {
    let invalid = |_| io::Error::from_raw_os_error(libc::EINVAL);
    let (path, name) = (CString::new(path).map_err(invalid)?, CString::new(name).map_err(invalid)?);
    let mut value = vec![0u8; 256];
    // SAFETY: both strings end with a zero byte, and the kernel writes at most 256 bytes.
    let len = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    let len = check(len as libc::c_long)?;
    value.truncate(len as usize);
    Ok(value)
}
