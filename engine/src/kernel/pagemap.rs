//! `/proc/PID/pagemap`: which pages of a mapping hold content of their own, proc_pid_pagemap(5).
//!
//! Two ways to the same answer. The PAGEMAP_SCAN ioctl (Linux 6.7) lets the kernel search and returns runs; before it,
//! eight bytes are read for every page. Entries do not say that a page is the kernel's page of zeros, but show its
//! frame number, to those with CAP_SYS_ADMIN: it is compared with frames that are known to be zero. The huge zero page
//! is not recognised that way: it counts as content, which costs space and loses nothing.
//!
//! The content itself is not read here.

use std::fs::File;
use std::ops::{BitOr, Range};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::ProcDir;
use crate::error::{Blame, Error, OsContext, Result};
use crate::sys::pagemap::{Query, Region, Scratch, scan};

/// Properties of a page: `PAGE_IS_*` of include/uapi/linux/fs.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Categories(u64);

impl Categories {
    /// None.
    pub const NONE: Categories = Categories(0);
    /// In a range that userfaultfd(2) may write-protect asynchronously. Ioctl only.
    pub const WP_ALLOWED: Categories = Categories(1 << 0);
    /// Written to since it was write-protected. Ioctl only.
    pub const WRITTEN: Categories = Categories(1 << 1);
    /// The page of a file or of shared memory.
    pub const FILE: Categories = Categories(1 << 2);
    /// In memory.
    pub const PRESENT: Categories = Categories(1 << 3);
    /// In swap space, or on its way.
    pub const SWAPPED: Categories = Categories(1 << 4);
    /// The kernel's page of zeros: read, never written.
    pub const ZERO: Categories = Categories(1 << 5);
    /// Part of a huge page. Ioctl only.
    pub const HUGE: Categories = Categories(1 << 6);
    /// Written to since `clear_refs`; needs CONFIG_MEM_SOFT_DIRTY.
    pub const SOFT_DIRTY: Categories = Categories(1 << 7);
    /// MADV_GUARD_INSTALL: access is fatal. Exists since Linux 6.13, shown since 6.15 (entries) and 6.16 (ioctl);
    /// until then such a page looks swapped.
    pub const GUARD: Categories = Categories(1 << 8);

    /// What entries do not show.
    const IOCTL_ONLY: Categories = Categories(1 << 0 | 1 << 1 | 1 << 6);

    /// Whether there are bits of `other`.
    pub const fn intersects(self, other: Categories) -> bool {
        self.0 & other.0 != 0
    }

    const fn contains(self, other: Categories) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Categories {
    type Output = Categories;

    fn bitor(self, other: Categories) -> Categories {
        Categories(self.0 | other.0)
    }
}

/// Which pages to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter {
    /// All of these hold.
    pub all: Categories,
    /// One of these holds, unless it is [`Categories::NONE`].
    pub any: Categories,
    /// None of these holds.
    pub none: Categories,
}

impl Filter {
    /// Content that is in no file: what a dump must write.
    pub const PRIVATE: Filter = Filter {
        all: Categories::NONE,
        any: Categories(Categories::PRESENT.0 | Categories::SWAPPED.0),
        none: Categories(Categories::FILE.0 | Categories::ZERO.0 | Categories::GUARD.0),
    };

    /// Pages under MADV_GUARD_INSTALL; none match on kernels that do not show them.
    pub const GUARD: Filter =
        Filter { all: Categories::GUARD, any: Categories::NONE, none: Categories::NONE };

    /// Content that is in no file, with the pages of zeros: what is absent where a userfaultfd(2) reports that.
    pub const PRIVATE_OR_ZERO: Filter =
        Filter { none: Categories(Categories::FILE.0 | Categories::GUARD.0), ..Filter::PRIVATE };

    /// Pages that can be read without a fault, or after a look into swap space.
    pub const THERE: Filter = Filter {
        all: Categories::NONE,
        any: Categories(Categories::PRESENT.0 | Categories::SWAPPED.0),
        none: Categories::NONE,
    };

    /// Pages that are in memory and mapped.
    pub const MAPPED: Filter =
        Filter { all: Categories::PRESENT, any: Categories::NONE, none: Categories::NONE };

    /// Pages of hugetlbfs that are not mapped and not simply absent. These are never in swap space: what looks so is being
    /// moved in memory for a moment, marked by a userfaultfd(2), or absent, which Linux 6.12 shows like that on MIPS
    /// (pagemap_hugetlb_category in fs/proc/task_mmu.c takes the table of invalid entries for one).
    pub const UNSETTLED: Filter =
        Filter { all: Categories::SWAPPED, any: Categories::NONE, none: Categories::PRESENT };

    /// The same, looked for among pages of hugetlbfs.
    #[must_use]
    pub const fn of_huge_pages(self) -> Filter {
        Filter { any: Categories(self.any.0 & !Categories::SWAPPED.0), ..self }
    }

    /// Pages of which a userfaultfd(2) reports writes, whether they are there or not.
    pub const PROTECTED: Filter = Filter { none: Categories::WRITTEN, ..Filter::PRIVATE };

    /// Those of them whose writers wait until somebody answers.
    pub const PROTECTED_IN_TURN: Filter =
        Filter { none: Categories(Categories::WRITTEN.0 | Categories::WP_ALLOWED.0), ..Filter::PRIVATE };

    /// Those of [`PROTECTED`](Filter::PROTECTED) that are in swap space, or not there: both look the same.
    pub const PROTECTED_AWAY: Filter =
        Filter { all: Categories::SWAPPED, any: Categories::NONE, none: Categories::WRITTEN };

    fn matches(self, page: Categories) -> bool {
        page.contains(self.all)
            && (self.any == Categories::NONE || page.intersects(self.any))
            && !page.intersects(self.none)
    }

    fn mentions(self) -> Categories {
        self.all | self.any | self.none
    }
}

/// The size of a page in bytes.
pub fn page_size() -> Result<u64> {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).os(|| "sysconf(_SC_PAGESIZE)")?;
    let size = size.and_then(|size| u64::try_from(size).ok()).filter(|size| size.is_power_of_two());
    size.ok_or_else(|| Error::bug("sysconf(_SC_PAGESIZE) is not a power of two"))
}

/// Runs returned by one ioctl.
const REGIONS: usize = 1024;

/// Bytes of an entry.
const ENTRY: usize = 8;

/// Entries read at a time: 64 KiB.
const ENTRIES: usize = 8192;

/// How many neighbouring pages are looked at for the page of zeros: MIPS has up to eight, by cache colour.
const ZERO_PROBES: usize = 16;

#[derive(Debug)]
enum Backend {
    /// PAGEMAP_SCAN; `known` are the categories that this kernel's has.
    Scan { fd: OwnedFd, known: Categories, regions: Vec<Region> },
    /// Reading entries; `zeros` are the frames of zero pages, empty if frames are hidden from us.
    Entries { file: File, zeros: Vec<u64>, buffer: Vec<u8> },
}

/// The page map of one task, held open.
#[derive(Debug)]
pub struct PagemapScanner {
    backend: Backend,
    page: u64,
    path: String,
}

impl PagemapScanner {
    /// Opens the page map and finds out which way this kernel offers. Needs PTRACE_MODE_READ.
    pub fn open(proc: &ProcDir) -> Result<Self> {
        let fd = proc.open_file("pagemap", OFlag::O_RDONLY)?;
        let path = proc.path_of("pagemap");
        let newest = Categories((Categories::GUARD.0 << 1) - 1);
        let older = Categories(Categories::GUARD.0 - 1);
        for known in [newest, older] {
            // An empty range: only whether the kernel takes the question matters.
            let query = Query { inverted: 0, mask: 0, anyof: known.0 };
            match scan(fd.as_fd(), query, (0, 0), &mut []) {
                Ok(_) => {
                    let backend = Backend::Scan { fd, known, regions: vec![Region::default(); REGIONS] };
                    return Ok(PagemapScanner { backend, page: page_size()?, path });
                }
                Err(Errno::EINVAL) => {}
                Err(Errno::ENOTTY) => break,
                Err(e) => return Err(Error::os(format!("ioctl PAGEMAP_SCAN {path}"), e)),
            }
        }
        Self::open_entries(proc)
    }

    /// Opens the page map to read its entries, which every kernel offers.
    pub fn open_entries(proc: &ProcDir) -> Result<Self> {
        let file = File::from(proc.open_file("pagemap", OFlag::O_RDONLY)?);
        let page = page_size()?;
        let backend = Backend::Entries { file, zeros: zero_frames(page)?, buffer: Vec::new() };
        Ok(PagemapScanner { backend, page, path: proc.path_of("pagemap") })
    }

    /// Whether the page of zeros can be told from content; else [`Categories::ZERO`] never holds.
    pub fn knows_zero_pages(&self) -> bool {
        match &self.backend {
            Backend::Scan { .. } => true,
            Backend::Entries { zeros, .. } => !zeros.is_empty(),
        }
    }

    /// Whether guard pages are shown, and found without a look at every page.
    pub fn knows_guards(&self) -> bool {
        matches!(self.backend, Backend::Scan { known, .. } if known.contains(Categories::GUARD))
    }

    /// [`PagemapScanner::find`] in each of some ranges, which ascend and have nothing but holes of the address space between
    /// them: the ioctl answers for all of them at once.
    pub fn find_in(&mut self, ranges: &[Range<u64>], filter: Filter) -> Result<Vec<Vec<Range<u64>>>> {
        let (Backend::Scan { .. }, [first, .., last]) = (&self.backend, ranges) else {
            return ranges.iter().map(|range| self.find(range.start, range.end, filter)).collect();
        };
        let runs = self.find(first.start, last.end, filter)?;
        let inside = |range: &Range<u64>| {
            let reached = runs.partition_point(|run| run.end <= range.start);
            let runs = runs.iter().skip(reached).take_while(|run| run.start < range.end);
            runs.map(|run| run.start.max(range.start)..run.end.min(range.end)).collect()
        };
        Ok(ranges.iter().map(inside).collect())
    }

    /// The maximal runs of pages in `start..end`, both multiples of the page size, that match `filter`.
    ///
    /// Not to be asked about `[vsyscall]` (not user addresses: EFAULT), nor about mappings of device memory or kernel
    /// data (VM_PFNMAP, VM_IO, `[vvar]`), whose pages look private.
    pub fn find(&mut self, start: u64, end: u64, filter: Filter) -> Result<Vec<Range<u64>>> {
        if !start.is_multiple_of(self.page) || !end.is_multiple_of(self.page) || start > end {
            return Err(Error::bug(format!("page map asked about {start:x}-{end:x}")).on(self.path.clone()));
        }
        let found = match &mut self.backend {
            Backend::Scan { fd, known, regions } => match query(filter, *known) {
                Some(query) => by_ioctl(fd.as_fd(), query, start..end, regions),
                None => Ok(Vec::new()),
            },
            Backend::Entries { file, zeros, buffer } => {
                let pages = (start / self.page)..(end / self.page);
                let holds = |entry| filter.matches(categories(entry, zeros));
                match filter.mentions().intersects(Categories::IOCTL_ONLY) {
                    true => Err(no_category()),
                    false => by_entries(file, pages, self.page, holds, buffer),
                }
            }
        };
        found.map_err(|e| e.on(format!("{} of {start:x}-{end:x}", self.path)))
    }
}

fn by_ioctl(
    pagemap: BorrowedFd<'_>,
    query: Query,
    range: Range<u64>,
    regions: &mut [Region],
) -> Result<Vec<Range<u64>>> {
    let mut runs = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let (found, reached) = scan(pagemap, query, (at, range.end), regions).os(|| "ioctl PAGEMAP_SCAN")?;
        let found = regions.get(..found).unwrap_or_default();
        found.iter().for_each(|region| add(&mut runs, region.start..region.end));
        // The kernel searches by parts of 512 pages. If the last part ends as `regions` is full, the address it says
        // it reached is that of the part before, and would have us count regions twice (seen on 6.18).
        let next = found.last().map_or(reached, |last| reached.max(last.end));
        if next <= at {
            return Err(Error::bug(format!("PAGEMAP_SCAN is stuck at {next:x}")));
        }
        at = next;
    }
    Ok(runs)
}

fn by_entries(
    pagemap: &File,
    pages: Range<u64>,
    page_size: u64,
    holds: impl Fn(u64) -> bool,
    buffer: &mut Vec<u8>,
) -> Result<Vec<Range<u64>>> {
    let mut runs = Vec::new();
    for first in pages.clone().step_by(ENTRIES) {
        let count = ENTRIES.min(usize::try_from(pages.end - first).unwrap_or(ENTRIES));
        buffer.resize(count * ENTRY, 0);
        pagemap.read_exact_at(buffer, first * ENTRY as u64).os(|| "read entries")?;
        for (page, entry) in (first..).zip(buffer.as_chunks::<ENTRY>().0) {
            if holds(u64::from_ne_bytes(*entry)) {
                add(&mut runs, page * page_size..(page + 1) * page_size);
            }
        }
    }
    Ok(runs)
}

fn no_category() -> Error {
    Error::new("E-KERNEL-FEATURE", Blame::Kernel, "this needs the PAGEMAP_SCAN ioctl")
        .help("use Linux 6.7 or later, or dump without tracking of memory changes")
}

/// Appends a run, joined to the last one if they touch.
fn add(runs: &mut Vec<Range<u64>>, run: Range<u64>) {
    match runs.last_mut() {
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    }
}

/// The ioctl's form of a filter; `None` if it needs a category that never holds because the kernel does not know it.
fn query(filter: Filter, known: Categories) -> Option<Query> {
    let any = filter.any.0 & known.0;
    if !known.contains(filter.all) || (any == 0 && filter.any != Categories::NONE) {
        return None;
    }
    let none = filter.none.0 & known.0;
    Some(Query { inverted: none, mask: filter.all.0 | none, anyof: any })
}

const ENTRY_PRESENT: u64 = 1 << 63;
const ENTRY_SWAPPED: u64 = 1 << 62;
const ENTRY_FILE: u64 = 1 << 61;
const ENTRY_GUARD: u64 = 1 << 58;
const ENTRY_SOFT_DIRTY: u64 = 1 << 55;
const ENTRY_FRAME: u64 = (1 << 55) - 1;

/// Asks of single pages whether they are in memory; see pagemap.rst of the kernel's documentation.
pub struct PresentPages {
    pagemap: File,
    page: u64,
}

impl PresentPages {
    /// Those of a process. Needs PTRACE_MODE_READ.
    pub fn of(proc: &ProcDir) -> Result<Self> {
        let pagemap = File::from(proc.open_file("pagemap", OFlag::O_RDONLY)?);
        Ok(PresentPages { pagemap, page: page_size()? })
    }

    /// Whether the page of this address is there; an address of nobody is not.
    pub fn has(&self, address: u64) -> bool {
        let (mut entry, offset) = ([0; 8], address / self.page * 8);
        let got = self.pagemap.read_at(&mut entry, offset);
        got.is_ok_and(|got| got == entry.len()) && u64::from_ne_bytes(entry) & ENTRY_PRESENT != 0
    }
}

/// What an entry says, in the words of the ioctl.
fn categories(entry: u64, zeros: &[u64]) -> Categories {
    let present = entry & ENTRY_PRESENT != 0;
    let holds = [
        (present, Categories::PRESENT),
        (entry & ENTRY_SWAPPED != 0, Categories::SWAPPED),
        (entry & ENTRY_FILE != 0, Categories::FILE),
        (entry & ENTRY_GUARD != 0, Categories::GUARD),
        (entry & ENTRY_SOFT_DIRTY != 0, Categories::SOFT_DIRTY),
        (present && zeros.contains(&(entry & ENTRY_FRAME)), Categories::ZERO),
    ];
    holds.into_iter().filter(|(held, _)| *held).fold(Categories::NONE, |all, (_, one)| all | one)
}

/// Frames of zero pages: those behind memory that was read and never written. Empty if frames are hidden from us.
fn zero_frames(page: u64) -> Result<Vec<u64>> {
    let size = usize::try_from(page).map_err(|_| Error::bug("a page larger than the address space"))?;
    let scratch = Scratch::anonymous(size * ZERO_PROBES).os(|| "mmap")?;
    // Advice only: fails on kernels without huge pages, which is as good.
    let _ = scratch.small_pages_only();
    let file = File::open("/proc/self/pagemap").os(|| "open /proc/self/pagemap")?;
    let mut zeros = Vec::new();
    for probe in 0..ZERO_PROBES {
        scratch.touch(probe * size).ok_or_else(|| Error::bug("probe outside of its mapping"))?;
        let mut entry = [0; ENTRY];
        let at = (scratch.address() / page + probe as u64) * ENTRY as u64;
        file.read_exact_at(&mut entry, at).os(|| "read /proc/self/pagemap")?;
        let entry = u64::from_ne_bytes(entry);
        let frame = entry & ENTRY_FRAME;
        if entry & ENTRY_PRESENT != 0 && frame != 0 && !zeros.contains(&frame) {
            zeros.push(frame);
        }
    }
    Ok(zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanners() -> Result<[PagemapScanner; 2]> {
        let proc = ProcDir::current()?;
        Ok([PagemapScanner::open(&proc)?, PagemapScanner::open_entries(&proc)?])
    }

    /// Runs as page numbers counted from `start`.
    fn numbered(runs: Vec<Range<u64>>, start: u64, page: u64) -> Vec<(u64, u64)> {
        runs.into_iter().map(|r| ((r.start - start) / page, (r.end - start) / page)).collect()
    }

    #[test]
    fn both_ways_find_the_written_pages() -> Result<()> {
        let page = page_size()?;
        let size = page as usize;
        let mut memory = Scratch::anonymous(24 * size).os(|| "mmap")?;
        memory.small_pages_only().os(|| "madvise")?;
        for written in [0, 1, 5, 8, 9, 23] {
            memory.write(written * size, 7).ok_or_else(|| Error::bug("outside"))?;
        }
        for read in [2, 3, 6] {
            memory.touch(read * size);
        }
        let guarded = memory.guard(9 * size, size).is_ok();
        let (start, end) = (memory.address(), memory.address() + 24 * page);
        for mut scanner in scanners()? {
            let last = if guarded { (8, 9) } else { (8, 10) };
            let exact = vec![(0, 2), (5, 6), last, (23, 24)];
            let expected =
                if scanner.knows_zero_pages() { exact } else { vec![(0, 4), (5, 7), last, (23, 24)] };
            assert_eq!(
                numbered(scanner.find(start, end, Filter::PRIVATE)?, start, page),
                expected,
                "zero pages known: {}",
                scanner.knows_zero_pages()
            );
            let guards = if guarded { vec![(9, 10)] } else { vec![] };
            assert_eq!(numbered(scanner.find(start, end, Filter::GUARD)?, start, page), guards);
            assert_eq!(
                scanner.find(start + 2 * page, start + 5 * page, Filter::PRIVATE)?.is_empty(),
                scanner.knows_zero_pages()
            );
        }
        Ok(())
    }

    #[test]
    fn both_ways_tell_file_pages_from_copies() -> Result<()> {
        let page = page_size()?;
        let size = page as usize;
        let file = tempfile::tempfile().os(|| "create")?;
        file.set_len(4 * page).os(|| "truncate")?;
        let mut memory = Scratch::of_file(file.as_fd(), 4 * size).os(|| "mmap")?;
        memory.touch(0);
        memory.write(2 * size, 7).ok_or_else(|| Error::bug("outside"))?;
        let (start, end) = (memory.address(), memory.address() + 4 * page);
        for mut scanner in scanners()? {
            assert_eq!(numbered(scanner.find(start, end, Filter::PRIVATE)?, start, page), [(2, 3)]);
            let file = Filter { all: Categories::FILE | Categories::PRESENT, ..Filter::default() };
            let pages = numbered(scanner.find(start, end, file)?, start, page);
            assert!(
                pages.first().is_some_and(|run| run.0 == 0)
                    && !pages.iter().any(|run| (run.0..run.1).contains(&2))
            );
        }
        Ok(())
    }

    #[test]
    fn more_runs_than_one_call_returns() -> Result<()> {
        let page = page_size()?;
        let size = page as usize;
        let pages = 4 * REGIONS;
        let mut memory = Scratch::anonymous(pages * size).os(|| "mmap")?;
        memory.small_pages_only().os(|| "madvise")?;
        for odd in (1..pages).step_by(2) {
            memory.write(odd * size, 1).ok_or_else(|| Error::bug("outside"))?;
        }
        let (start, end) = (memory.address(), memory.address() + pages as u64 * page);
        for mut scanner in scanners()? {
            let runs = numbered(scanner.find(start, end, Filter::PRIVATE)?, start, page);
            let expected = (1..pages as u64).step_by(2).map(|odd| (odd, odd + 1));
            let wrong: Vec<_> =
                runs.iter().copied().zip(expected).filter(|(found, due)| found != due).take(4).collect();
            assert!(wrong.is_empty() && runs.len() == pages / 2, "{} runs, differing: {wrong:?}", runs.len());
        }
        Ok(())
    }

    #[test]
    fn asking_wrongly_is_an_error() -> Result<()> {
        let page = page_size()?;
        for mut scanner in scanners()? {
            assert_eq!(scanner.find(1, page, Filter::PRIVATE).map_err(|e| e.code()), Err("E-BUG"));
            assert_eq!(scanner.find(page, 0, Filter::PRIVATE).map_err(|e| e.code()), Err("E-BUG"));
        }
        let written = Filter { all: Categories::WRITTEN, ..Filter::default() };
        let found = PagemapScanner::open_entries(&ProcDir::current()?)?.find(0, page, written);
        assert_eq!(found.map_err(|e| e.code()), Err("E-KERNEL-FEATURE"));
        Ok(())
    }

    #[test]
    fn entries_translate_to_categories() {
        let private = |entry| Filter::PRIVATE.matches(categories(entry, &[77]));
        assert!(private(ENTRY_PRESENT | 5) && private(ENTRY_SWAPPED | 77));
        assert!(!private(ENTRY_PRESENT | 77) && !private(ENTRY_PRESENT | ENTRY_FILE | 5) && !private(0));
        assert!(!private(ENTRY_SWAPPED | ENTRY_GUARD) && !private(ENTRY_SOFT_DIRTY));
    }

    #[test]
    fn unknown_categories_never_hold() {
        let older = Categories(Categories::GUARD.0 - 1);
        assert_eq!(query(Filter { all: Categories::GUARD, ..Filter::default() }, older), None);
        let private = query(Filter::PRIVATE, older).map(|q| (q.inverted, q.mask, q.anyof));
        assert_eq!(private, Some((0x24, 0x24, 0x18)));
    }
}
