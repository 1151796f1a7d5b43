//! The ioctl(2) requests of userfaultfd(2): fs/userfaultfd.c, linux/userfaultfd.h.
//!
//! They act on the address space that the descriptor was made in, whoever makes the request.

#![allow(unsafe_code, reason = "ioctls that nix lacks")]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::process::check;

/// Faults of pages that are not there: `UFFDIO_REGISTER_MODE_MISSING`.
pub const MISSING: u32 = 1 << 0;
/// Writes to pages that are protected: `UFFDIO_REGISTER_MODE_WP`.
pub const WRITE_PROTECT: u32 = 1 << 1;
/// Faults of pages that are there, but not mapped: `UFFDIO_REGISTER_MODE_MINOR`.
pub const MINOR: u32 = 1 << 2;

const UFFD_API: u64 = 0xaa;
const WRITEPROTECT_MODE_WP: u64 = 1 << 0;
const CONTINUE_MODE_DONTWAKE: u64 = 1 << 0;

fn request<const N: usize>(fd: BorrowedFd<'_>, code: libc::Ioctl, arg: &mut [u64; N]) -> io::Result<()> {
    // SAFETY: every code below carries the size of its array, which outlives the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), code, arg.as_mut_ptr()) }.into()).map(drop)
}

fn len(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// UFFDIO_API with `UFFD_FEATURE_*`. EINVAL: the kernel lacks one of them, or it was asked before.
pub fn set_up(fd: BorrowedFd<'_>, features: u64) -> io::Result<()> {
    request(fd, nix::request_code_readwrite!(0xaa, 0x3f, 24), &mut [UFFD_API, features, 0])
}

/// UFFDIO_REGISTER with some of [`MISSING`], [`WRITE_PROTECT`], [`MINOR`]. What is registered so already stays as it is.
/// EBUSY: a mapping in the range is registered with another userfaultfd; EINVAL: nothing there can be registered.
pub fn register(fd: BorrowedFd<'_>, range: &Range<u64>, modes: u32) -> io::Result<()> {
    let mut arg = [range.start, len(range), modes.into(), 0];
    request(fd, nix::request_code_readwrite!(0xaa, 0x00, 32), &mut arg)
}

/// UFFDIO_UNREGISTER.
pub fn unregister(fd: BorrowedFd<'_>, range: &Range<u64>) -> io::Result<()> {
    request(fd, nix::request_code_read!(0xaa, 0x01, 16), &mut [range.start, len(range)])
}

/// UFFDIO_WRITEPROTECT of pages in a range that is registered for it.
pub fn protect(fd: BorrowedFd<'_>, range: &Range<u64>) -> io::Result<()> {
    let mut arg = [range.start, len(range), WRITEPROTECT_MODE_WP];
    request(fd, nix::request_code_readwrite!(0xaa, 0x06, 24), &mut arg)
}

/// UFFDIO_CONTINUE: maps pages that shared memory has, in a range that is registered for [`MINOR`]. EEXIST: the first one
/// is mapped already.
pub fn map(fd: BorrowedFd<'_>, range: &Range<u64>) -> io::Result<()> {
    let mut arg = [range.start, len(range), CONTINUE_MODE_DONTWAKE, 0];
    request(fd, nix::request_code_readwrite!(0xaa, 0x07, 32), &mut arg)
}
