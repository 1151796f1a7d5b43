//! Memory objects that only a mapping can make.

#![allow(unsafe_code, reason = "mmap")]

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// A new object of shared anonymous memory, `len` bytes of zeroes, as mmap(MAP_SHARED | MAP_ANONYMOUS) makes it; open for
/// reading and writing. Needs CAP_CHECKPOINT_RESTORE, for /proc/self/map_files.
pub fn shared_memory(len: u64) -> io::Result<OwnedFd> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let (prot, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
    // SAFETY: a new mapping at an address of the kernel's choice, unmapped below and never read or written.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = address.addr();
    let end = start + len.next_multiple_of(4096);
    let path = format!("/proc/self/map_files/{start:x}-{end:x}");
    let file = open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
    // SAFETY: the mapping made above.
    unsafe { libc::munmap(address, len) };
    file.map_err(io::Error::from)
}
