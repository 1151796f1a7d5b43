//! Memory objects that only a mapping can make.

#![allow(unsafe_code, reason = "mmap")]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// A new object of shared anonymous memory, `len` bytes of zeroes, as mmap(MAP_SHARED | MAP_ANONYMOUS) makes it; open for
/// reading and writing. `page` is the size of its pages and `huge` the flags that ask for them, 0 for ordinary ones.
/// Needs CAP_CHECKPOINT_RESTORE, for /proc/self/map_files.
pub fn shared_memory(len: u64, page: u64, huge: i32) -> io::Result<OwnedFd> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let page = usize::try_from(page).map_err(io::Error::other)?;
    let mapping = Shared::new(len, page, libc::MAP_ANONYMOUS | huge, None)?;
    let start = mapping.address.addr();
    let end = start + mapping.len;
    let path = format!("/proc/self/map_files/{start:x}-{end:x}");
    Ok(open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Addresses of ours that nothing is behind, until something is mapped over them. Dropped, all is unmapped.
///
/// Where huge pages may stand is not left to the kernel: on 32-bit ARM, Linux 7 places them as if they were small
/// (arch_get_unmapped_area in arch/arm/mm/mmap.c) and dies of it.
#[derive(Debug)]
pub(super) struct Room {
    start: usize,
    len: usize,
    alignment: usize,
}

impl Room {
    /// Room for `len` bytes at a multiple of `page`, the size of huge pages that are to be there, if any are.
    pub(super) fn new(len: usize, page: usize) -> io::Result<Self> {
        // Where caches alias, a shared mapping stands at a multiple of several small pages.
        let alignment = page.max(PROBE_LEN).max(arch::syscall::SHMLBA as usize);
        let len = len.checked_next_multiple_of(alignment).and_then(|len| len.checked_add(alignment));
        let len = len.ok_or(io::ErrorKind::OutOfMemory)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice, which nobody else learns of.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Room { start: start.expose_provenance(), len, alignment })
    }

    /// Where to map.
    pub(super) fn address(&self) -> *mut libc::c_void {
        std::ptr::with_exposed_provenance_mut(self.start.next_multiple_of(self.alignment))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: all of it is ours, and no reference into it exists.
        unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(self.start), self.len) };
    }
}

/// A shared mapping of ours.
struct Shared {
    address: *mut libc::c_void,
    len: usize,
    _room: Room,
}

impl Shared {
    /// Maps `len` bytes, in whole pages, at a multiple of `page`; of a file from that offset on.
    fn new(len: usize, page: usize, flags: i32, file: Option<(BorrowedFd<'_>, u64)>) -> io::Result<Self> {
        let len = len.checked_next_multiple_of(page).ok_or(io::ErrorKind::OutOfMemory)?;
        let room = Room::new(len, page)?;
        let shared = Shared { address: room.address(), len, _room: room };
        let (fd, offset) = file.map_or((-1, 0), |(file, offset)| (file.as_raw_fd(), offset));
        let offset = libc::off64_t::try_from(offset).map_err(io::Error::other)?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE | libc::MAP_FIXED | flags;
        // SAFETY: it replaces a part of the room, whose length leaves space for what the alignment skips.
        match unsafe { libc::mmap64(shared.address, len, prot, flags, fd, offset) } {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            _ => Ok(shared),
        }
    }
}

/// fallocate(2) with FALLOC_FL_KEEP_SIZE, bytes; nix has it for offsets of a word only.
pub fn make_room(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let [offset, len] = [offset, len].map(i64::try_from);
    let (Ok(offset), Ok(len)) = (offset, len) else {
        return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
    };
    // SAFETY: it takes no memory of ours.
    let result = unsafe { libc::fallocate64(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, offset, len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads `len` bytes at `from_offset` of one file into the pages of another that cannot be written to: one of hugetlbfs. `to`
/// is the part of it to be mapped, whole pages, and `skip` where in that part the bytes go. The pages should be there: for
/// what is short of them the kernel answers EFAULT.
pub fn read_into_pages(
    (from, from_offset): (BorrowedFd<'_>, u64),
    (to, pages): (BorrowedFd<'_>, Range<u64>),
    skip: usize,
    len: usize,
) -> io::Result<()> {
    let size = usize::try_from(pages.end - pages.start).map_err(io::Error::other)?;
    if skip.checked_add(len).is_none_or(|end| end > size) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mapping = Shared::new(size, size, 0, Some((to, pages.start)))?;
    let mut done = 0;
    while done < len {
        let at = (from_offset + done as u64) as libc::off64_t;
        // SAFETY: the mapping has `size` bytes, and `skip + len` is not more than that. Only the kernel writes to it.
        let got =
            unsafe { libc::pread64(from.as_raw_fd(), mapping.address.byte_add(skip + done), len - done, at) };
        match usize::try_from(got) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => done += got,
            Err(_) => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => {}
                e => return Err(e),
            },
        }
    }
    Ok(())
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
