//! POSIX message queues: mq_open(3), mq_getattr(3), mq_unlink(3).

#![allow(unsafe_code, reason = "calls of the C library that pass memory")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What a queue is made with, and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Most messages.
    pub most: u64,
    /// Bytes of the longest message.
    pub longest: u64,
    /// Messages now.
    pub messages: u64,
}

/// mq_getattr(3)
pub fn attributes(queue: BorrowedFd<'_>) -> io::Result<Attributes> {
    // SAFETY: numbers, for which zero is a value.
    let mut attr: libc::mq_attr = unsafe { std::mem::zeroed() };
    // SAFETY: `attr` outlives the call.
    if unsafe { libc::mq_getattr(queue.as_raw_fd(), &raw mut attr) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(Attributes {
        most: attr.mq_maxmsg as u64,
        longest: attr.mq_msgsize as u64,
        messages: attr.mq_curmsgs as u64,
    })
}

/// Opens a queue; the name begins with a slash and has no other.
pub fn open(name: &CStr, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: the name outlives the call; a returned descriptor is ours.
    unsafe { owned(libc::mq_open(name.as_ptr(), flags & (libc::O_ACCMODE | libc::O_NONBLOCK))) }
}

/// Makes an empty queue, for nobody else yet.
pub fn create(name: &CStr, attributes: Attributes) -> io::Result<OwnedFd> {
    // SAFETY: numbers, for which zero is a value.
    let mut attr: libc::mq_attr = unsafe { std::mem::zeroed() };
    (attr.mq_maxmsg, attr.mq_msgsize) = (attributes.most as _, attributes.longest as _);
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CREAT | libc::O_EXCL;
    // SAFETY: name and attributes outlive the call; a returned descriptor is ours.
    unsafe { owned(libc::mq_open(name.as_ptr(), flags, 0 as libc::c_uint, &raw const attr)) }
}

/// # Safety
/// `queue` is -1, or a descriptor that nobody else owns.
unsafe fn owned(queue: libc::mqd_t) -> io::Result<OwnedFd> {
    // SAFETY: the caller sees to it.
    if queue == -1 { Err(io::Error::last_os_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(queue) }) }
}

/// mq_unlink(3)
pub fn unlink(name: &CStr) -> io::Result<()> {
    // SAFETY: the name outlives the call.
    if unsafe { libc::mq_unlink(name.as_ptr()) } == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
