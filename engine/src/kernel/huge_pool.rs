//! The pools of huge pages that hugetlbfs gives out: `/sys/kernel/mm/hugepages`,
//! Documentation/admin-guide/mm/hugetlbpage.rst. Transparent huge pages come from elsewhere ([`huge_page`](super::huge_page)).

use std::fs;
use std::path::{Path, PathBuf};

/// Bits of mmap(2) and memfd_create(2) above which the binary logarithm of the size stands.
const SIZE_SHIFT: u32 = libc::MAP_HUGE_SHIFT as u32;
const SIZE_MASK: u32 = 0x3f;

/// One pool, in pages of `size` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pool {
    /// Bytes of a page.
    pub size: u64,
    /// All of them.
    pub total: u64,
    /// In nobody's hands.
    pub free: u64,
    /// Of the free ones, those that a mapping was promised.
    pub reserved: u64,
    /// Beyond the pool's own, made on demand.
    pub surplus: u64,
    /// How many of these there may be.
    pub overcommit: u64,
}

impl Pool {
    /// The pool of pages of `size` bytes; `None` if this kernel has no such pages.
    pub fn of(size: u64) -> Option<Pool> {
        let folder = folder(size);
        let number = |name| number(&folder, name);
        Some(Pool {
            size,
            total: number("nr_hugepages")?,
            free: number("free_hugepages")?,
            reserved: number("resv_hugepages")?,
            surplus: number("surplus_hugepages")?,
            overcommit: number("nr_overcommit_hugepages")?,
        })
    }

    /// Pages that can be had; those on demand only while memory is not too fragmented.
    pub fn available(&self) -> u64 {
        self.free.saturating_sub(self.reserved) + self.overcommit.saturating_sub(self.surplus)
    }

    /// The file by which the pool is made larger.
    pub fn setting(size: u64) -> PathBuf {
        folder(size).join("nr_hugepages")
    }
}

fn folder(size: u64) -> PathBuf {
    Path::new("/sys/kernel/mm/hugepages").join(format!("hugepages-{}kB", size >> 10))
}

fn number(folder: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
}

/// The size of a page as flags of mmap(2) and memfd_create(2) say it: `MAP_HUGE_*`.
pub fn size_to_flags(size: u64) -> u32 {
    size.trailing_zeros() << SIZE_SHIFT
}

/// The reverse of [`size_to_flags`]; `None` if the flags leave it to the kernel.
pub fn size_of_flags(flags: u32) -> Option<u64> {
    Some(flags >> SIZE_SHIFT & SIZE_MASK).filter(|log| *log != 0).map(|log| 1 << log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_flags() {
        assert_eq!(size_to_flags(2 << 20), libc::MAP_HUGE_2MB as u32);
        assert_eq!(size_of_flags(libc::MAP_HUGE_1GB as u32 | libc::MAP_HUGETLB as u32), Some(1 << 30));
        assert_eq!(size_of_flags(libc::MAP_HUGETLB as u32), None);
    }

    #[test]
    fn reserved_pages_are_not_available_and_surplus_ones_are() {
        let pool = Pool { size: 2 << 20, total: 6, free: 5, reserved: 3, surplus: 1, overcommit: 4 };
        assert_eq!(pool.available(), 2 + 3);
        assert_eq!(Pool::of(4096), None);
    }
}
