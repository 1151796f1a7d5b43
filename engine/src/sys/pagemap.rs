//! The PAGEMAP_SCAN ioctl (Linux 6.7, Documentation/admin-guide/mm/pagemap.rst), and memory of ours to look at with it.
//!
//! What to ask for and what the answers mean is in `kernel::pagemap`.

#![allow(unsafe_code, reason = "an ioctl that nix lacks, and mappings whose pages are touched one by one")]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};

/// struct pm_scan_arg of include/uapi/linux/fs.h.
#[repr(C)]
#[derive(Debug, Default)]
pub struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// struct page_region: a run of pages with equal categories.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Those of the requested categories that hold.
    pub categories: u64,
}

/// Which pages match: all of `mask` after the bits of `inverted` were flipped, and any of `anyof` unless that is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "explained above; struct pm_scan_arg")]
pub struct Query {
    pub inverted: u64,
    pub mask: u64,
    pub anyof: u64,
}

mod raw {
    nix::ioctl_readwrite!(pagemap_scan, b'f', 16, super::ScanArg);
}

/// Fills `regions` with runs of matching pages of `start..end`; gives how many, and the address that was reached: ask
/// again from there. ENOTTY: the kernel lacks the ioctl; EINVAL: it lacks a category; EFAULT: not user addresses.
pub fn scan(
    pagemap: BorrowedFd<'_>,
    query: Query,
    (start, end): (u64, u64),
    regions: &mut [Region],
) -> nix::Result<(usize, u64)> {
    let mut arg = ScanArg {
        size: size_of::<ScanArg>() as u64,
        start,
        end,
        vec: if regions.is_empty() { 0 } else { regions.as_mut_ptr().expose_provenance() as u64 },
        vec_len: regions.len() as u64,
        category_inverted: query.inverted,
        category_mask: query.mask,
        category_anyof_mask: query.anyof,
        ..ScanArg::default()
    };
    // SAFETY: `arg` is the struct that the ioctl takes, with its size; it points to `regions`, exclusively borrowed and
    // as long as said, which the kernel fills with plain numbers.
    let found = unsafe { raw::pagemap_scan(pagemap.as_raw_fd(), &raw mut arg) }?;
    Ok((usize::try_from(found).unwrap_or(0), arg.walk_end))
}

/// A private mapping of ours whose pages are read and written one by one; unmapped when dropped.
#[derive(Debug)]
pub struct Scratch {
    start: NonNull<libc::c_void>,
    len: usize,
}

impl Scratch {
    /// Maps `len` bytes of anonymous memory, none of it touched.
    pub fn anonymous(len: usize) -> nix::Result<Self> {
        let size = len.try_into().map_err(|_| nix::errno::Errno::EINVAL)?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: without an address and MAP_FIXED the kernel chooses a free place: no memory in use is affected.
        let start = unsafe { nix::sys::mman::mmap_anonymous(None, size, prot, MapFlags::MAP_PRIVATE) }?;
        Ok(Scratch { start, len })
    }

    /// Maps the first `len` bytes of a file, private and writable.
    pub fn of_file(file: BorrowedFd<'_>, len: usize) -> nix::Result<Self> {
        let size = len.try_into().map_err(|_| nix::errno::Errno::EINVAL)?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: as above; the mapping is only accessed by the volatile reads and writes below.
        let start = unsafe { nix::sys::mman::mmap(None, size, prot, MapFlags::MAP_PRIVATE, file, 0) }?;
        Ok(Scratch { start, len })
    }

    /// Its first address.
    pub fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// Reads a byte, which makes the kernel put a page there; `None` outside of the mapping.
    pub fn touch(&self, offset: usize) -> Option<u8> {
        // SAFETY: the byte is in the mapping, which lives as long as `self` and is readable.
        (offset < self.len).then(|| unsafe { self.start.as_ptr().cast::<u8>().add(offset).read_volatile() })
    }

    /// Writes a byte, which gives the mapping a page of its own; `None` outside of the mapping.
    pub fn write(&mut self, offset: usize, byte: u8) -> Option<()> {
        // SAFETY: the byte is in the mapping, which is writable and exclusively borrowed.
        (offset < self.len)
            .then(|| unsafe { self.start.as_ptr().cast::<u8>().add(offset).write_volatile(byte) })
    }

    /// MADV_GUARD_INSTALL (Linux 6.13) on a part of it: touching that part is fatal from now on. EINVAL: no such advice.
    #[cfg(test)]
    pub fn guard(&mut self, offset: usize, len: usize) -> nix::Result<()> {
        const MADV_GUARD_INSTALL: i32 = 102;
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(nix::errno::Errno::EINVAL);
        }
        // SAFETY: the range is in our own mapping, which only the methods above access.
        let answer = unsafe { libc::madvise(self.start.as_ptr().add(offset), len, MADV_GUARD_INSTALL) };
        nix::errno::Errno::result(answer).map(drop)
    }

    /// Keeps transparent huge pages out, so that each page is itself.
    pub fn small_pages_only(&self) -> nix::Result<()> {
        // SAFETY: this advice does not change the content of the mapping, which is ours.
        unsafe { nix::sys::mman::madvise(self.start, self.len, MmapAdvise::MADV_NOHUGEPAGE) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: mapped by us with this length, and no reference into it was ever handed out.
        // munmap(2) of a mapping that exists fails only for lack of memory to split it, which this does not need.
        let _ = unsafe { nix::sys::mman::munmap(self.start, self.len) };
    }
}
