//! Memory of hugetlbfs: whether the pools of this machine have what a restore is going to take,
//! Documentation/admin-guide/mm/hugetlbpage.rst.
//!
//! A mapping without MAP_NORESERVE gets its pages promised when it is made; of others only those count that the image has.
//! What a child has in common with its parent it shares at first. Not counted: files that are on a mounted hugetlbfs.

use std::collections::{BTreeMap, HashMap};

use super::restore::alike;
use crate::error::{Blame, Error, Result};
use crate::image::message::{FileEntry, MemfdInodeEntry, MmEntry, VmaEntry, status};
use crate::image::pages::Segment;
use crate::image::{ImageDir, Kind, PageReader};
use crate::kernel::huge_pool::{Pool, size_of_flags};
use crate::kernel::pagemap::page_size;

/// Pages that a restore needs, by their size in bytes.
#[derive(Debug, Default)]
pub struct HugeDemand {
    pages: BTreeMap<u64, u64>,
}

/// The size of the pages of a mapping of hugetlbfs.
pub(super) fn page_of(vma: &VmaEntry) -> Option<u64> {
    vma.is_huge().then(|| size_of_flags(vma.flags)).flatten()
}

fn is_reserved(vma: &VmaEntry) -> bool {
    vma.flags as i32 & libc::MAP_NORESERVE == 0
}

impl HugeDemand {
    /// Adds the private mappings of a task.
    pub fn add(&mut self, mm: &MmEntry, parent: Option<&MmEntry>, pages: Option<&PageReader>) -> Result<()> {
        let private = status::ANON_PRIVATE | status::FILE_PRIVATE;
        for vma in mm.vmas.iter().filter(|vma| vma.status & private != 0) {
            let Some(page) = page_of(vma) else { continue };
            let inherited = parent.is_some_and(|parent| parent.vmas.iter().any(|theirs| alike(theirs, vma)));
            let bytes = match (inherited, is_reserved(vma), pages) {
                (true, ..) | (_, false, None) => 0,
                (_, true, _) => vma.end - vma.start,
                (_, false, Some(pages)) => {
                    let inside = |segment: &Segment| {
                        let end = vma.end.min(segment.vaddr + segment.len);
                        end.saturating_sub(vma.start.max(segment.vaddr))
                    };
                    pages.segments()?.iter().map(inside).sum()
                }
            };
            *self.pages.entry(page).or_default() += bytes.div_ceil(page);
        }
        Ok(())
    }

    /// Adds the memory files: each needs what it holds, or what the largest of its shared mappings reserves.
    pub fn add_files<'a>(
        &mut self,
        images: &ImageDir,
        entries: impl Iterator<Item = &'a FileEntry>,
        vmas: impl Iterator<Item = &'a VmaEntry>,
    ) -> Result<()> {
        let inodes: HashMap<u32, u64> =
            entries.filter_map(|entry| Some((entry.id, entry.memfd.as_ref()?.inode_id.into()))).collect();
        let mut reserved: HashMap<u64, u64> = HashMap::new();
        for vma in vmas.filter(|vma| vma.status & status::FILE_SHARED != 0 && is_reserved(vma)) {
            let Some(inode) = u32::try_from(vma.shmid).ok().and_then(|id| inodes.get(&id)) else { continue };
            let bytes = reserved.entry(*inode).or_default();
            *bytes = (*bytes).max(vma.end - vma.start);
        }
        for inode in images.read_all::<MemfdInodeEntry>(Kind::Memfd)? {
            let Some(page) = inode.hugetlb_flag.and_then(size_of_flags) else { continue };
            let pages = PageReader::open(images, Kind::PagemapShmem(inode.shmid.into()), page_size()?)?;
            let stored: u64 =
                pages.map_or(Ok(Vec::new()), |pages| pages.segments())?.iter().map(|s| s.len).sum();
            let bytes = stored.max(reserved.get(&inode.inode_id).copied().unwrap_or(0));
            *self.pages.entry(page).or_default() += bytes.div_ceil(page);
        }
        Ok(())
    }

    /// One error for each pool that has too few pages.
    pub fn check(&self) -> Vec<Error> {
        self.pages.iter().filter_map(|(size, wanted)| shortage(*size, *wanted, Pool::of(*size))).collect()
    }
}

fn shortage(size: u64, wanted: u64, pool: Option<Pool>) -> Option<Error> {
    let fail = |reason| Error::new("E-HUGE-PAGES", Blame::Environment, reason);
    let kib = size >> 10;
    let Some(pool) = pool else {
        let reason = format!("the image needs huge pages of {kib} kB, which this kernel does not have");
        return Some(fail(reason).help("restore on a kernel with pages of this size (hugepagesz=)"));
    };
    let missing = wanted.checked_sub(pool.available()).filter(|missing| *missing > 0)?;
    let reason = format!(
        "the image needs {wanted} huge pages of {kib} kB, of which the pool has {} to give",
        pool.available()
    );
    let setting = Pool::setting(size);
    Some(fail(reason).help(format!("make it larger: echo {} >{}", pool.total + missing, setting.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 2 << 20;

    fn vma(start: u64, pages: u64, flags: i32) -> VmaEntry {
        VmaEntry {
            start,
            end: start + pages * SIZE,
            flags: (flags | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB) as u32,
            status: status::REGULAR | status::ANON_PRIVATE,
            ..VmaEntry::default()
        }
    }

    #[test]
    fn reserved_pages_are_needed_and_inherited_ones_are_not() -> Result<()> {
        let vmas = vec![vma(0, 3, 0), vma(1 << 30, 4, libc::MAP_NORESERVE)];
        let parent = MmEntry { vmas: vmas.clone(), ..MmEntry::default() };
        let mut demand = HugeDemand::default();
        demand.add(&parent, None, None)?;
        assert_eq!(demand.pages.get(&SIZE), Some(&3));
        let child =
            MmEntry { vmas: vmas.into_iter().chain([vma(1 << 40, 1, 0)]).collect(), ..parent.clone() };
        demand.add(&child, Some(&parent), None)?;
        assert_eq!(demand.pages.get(&SIZE), Some(&4));
        Ok(())
    }

    #[test]
    fn a_shortage_names_the_pool_and_its_remedy() {
        let pool = Pool { size: SIZE, total: 5, free: 3, ..Pool::default() };
        assert!(shortage(SIZE, 3, Some(pool)).is_none());
        let text = shortage(SIZE, 7, Some(pool)).map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("needs 7 huge pages of 2048 kB, of which the pool has 3"), "{text}");
        assert!(text.contains("echo 9 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"), "{text}");
        assert!(shortage(1 << 12, 1, None).is_some_and(|e| e.to_string().contains("does not have")));
    }
}
