//! Memory objects that only a mapping can make.

#![allow(unsafe_code, reason = "mmap")]

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// A new object of shared anonymous memory, `len` bytes of zeroes, as mmap(MAP_SHARED | MAP_ANONYMOUS) makes it; open for
/// reading and writing. Needs CAP_CHECKPOINT_RESTORE, for /proc/self/map_files.
pub fn shared_memory(len: u64) -> io::Result<OwnedFd> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    // SAFETY: no memory is passed.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
    let (prot, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
    // SAFETY: a new mapping at an address of the kernel's choice, unmapped below and never read or written.
    let address = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let start = address.addr();
    let end = start + len.next_multiple_of(page);
    let path = format!("/proc/self/map_files/{start:x}-{end:x}");
    let file = open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
    // SAFETY: the mapping made above.
    unsafe { libc::munmap(address, len) };
    file.map_err(io::Error::from)
}

/// One past the highest address that a task can map on this kernel, of those that the machine knows.
pub fn task_size() -> u64 {
    static SIZE: OnceLock<u64> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let (last, larger) = arch::syscall::TASK_SIZES.split_last().unwrap_or((&0, &[]));
        larger.iter().copied().find(|size| is_mappable(size - PROBE_LEN as u64)).unwrap_or(*last)
    })
}

/// A multiple of every page size.
const PROBE_LEN: usize = 64 << 10;

/// Whether an address is below the end of the address space: beyond, the kernel has no memory to give, whatever is asked
/// for (mm/mmap.c, get_unmapped_area).
fn is_mappable(address: u64) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let wanted = address as *mut libc::c_void;
    // SAFETY: nothing that is there is replaced, and what was mapped is unmapped again.
    unsafe {
        let mapped = libc::mmap(wanted, PROBE_LEN, libc::PROT_NONE, flags, -1, 0);
        if mapped == libc::MAP_FAILED {
            return io::Error::last_os_error().raw_os_error() == Some(libc::EEXIST);
        }
        libc::munmap(mapped, PROBE_LEN);
        mapped == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_is_below_the_end_of_the_address_space() {
        let local = 0u8;
        let here = (&raw const local).addr() as u64;
        assert!(here < task_size() && arch::syscall::TASK_SIZES.contains(&task_size()));
        assert!(is_mappable(here & !(PROBE_LEN as u64 - 1)));
    }
}
