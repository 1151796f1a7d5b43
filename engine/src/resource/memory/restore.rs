//! Building an address space from outside, at its final addresses: the task is empty but for vdso and borrowed area.
//!
//! A child starts as a fork of its parent, whose memory is complete by then. What both have alike stays, and with it
//! the pages that they share copy-on-write; content that differs is written, which unshares it. This is decided by
//! comparing the two images, so that sharing survives a dump by any program that writes CRIU's format.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use nix::fcntl::OFlag;

use super::attach;
use super::fill;
use super::shared::SharedRestore;
use super::vdso::{self, Fit, VdsoFit};
use crate::error::{OsContext, Result};
use crate::image::PageReader;
use crate::image::message::{MmEntry, VmaEntry, status};
use crate::image::pages::{Segment, Source};
use crate::kernel::pagemap::page_size;
use crate::report::RestoreStats;
use crate::resource::file::FileRestore;
use crate::resource::ipc::shm::ShmRestore;
use crate::tracee::{Batch, Loan};

const PR_SET_MM_MAP: u64 = 14;
const PR_SET_VMA: u64 = 0x5356_4d41;
const MADV_GUARD_INSTALL: u64 = 102;
/// Files that are lent to a task at once; a message holds 253.
const FILES_AT_ONCE: usize = 200;
const COMPARE_AT_ONCE: usize = 256 << 10;

/// Lends descriptors of ours to the task; the batch will find them under the returned numbers.
pub type Lend<'a> = &'a dyn Fn(&mut Batch, &[RawFd]) -> Result<Vec<i32>>;

/// What the address space is built from.
#[derive(Debug)]
pub struct Blueprint<'a> {
    /// Its mappings and fields.
    pub mm: &'a MmEntry,
    /// Its pages.
    pub pages: Option<&'a PageReader>,
    /// What becomes of its vdso.
    pub fit: &'a Fit,
}

impl Blueprint<'_> {
    /// Whether a userfaultfd(2) will be told of faults.
    pub fn is_registered(&self) -> bool {
        self.mm.vmas.iter().any(|vma| vma.userfaultfd.is_some())
    }
}

/// The parts that are not a blueprint's own.
pub struct Supplies<'a> {
    /// Mapped files.
    pub files: &'a mut FileRestore,
    /// Shared memory.
    pub shared: &'a mut SharedRestore,
    /// System V segments.
    pub segments: &'a ShmRestore,
    /// How descriptors reach the task.
    pub lend: Lend<'a>,
    /// Ranges to leave alone: parked vdso, borrowed area.
    pub keep: &'a [Range<u64>],
    /// What was done.
    pub stats: &'a mut RestoreStats,
    /// Processors on which threads of ours may run: the words of [`sched::affinity`](crate::sys::attr).
    pub home: &'a [u32],
}

/// Builds the address space of the task on loan, which has that of `parent`, or of our own process.
pub fn build(
    loan: &mut Loan,
    new: &Blueprint<'_>,
    parent: Option<&Blueprint<'_>>,
    with: &mut Supplies<'_>,
) -> Result<()> {
    // Until its ranges are registered, which keeps khugepaged away, it must get no huge page over absent pages. A child
    // inherits that.
    if new.is_registered() || parent.is_some_and(Blueprint::is_registered) {
        fill::forbid_huge(loan, new.is_registered())?;
    }
    // The kernel changes the executable only while no mapping of the old one is left (kernel/fork.c, replace_mm_exe_file).
    let parent = parent.filter(|parent| parent.mm.exe_file_id == new.mm.exe_file_id);
    let kept = parent.map_or_else(Vec::new, |parent| common(new, parent));
    strip(loan, &kept, with.keep)?;
    set_fields(loan, new.mm, parent.is_some(), with)?;
    let is_missing = |vma: &&VmaEntry| {
        is_mapped(vma, new.fit) && vma.status & status::SYSVIPC == 0 && !is_among(vma, &kept)
    };
    let missing: Vec<&VmaEntry> = new.mm.vmas.iter().filter(is_missing).collect();
    for group in missing.chunks(FILES_AT_ONCE) {
        map_group(loan, group, with)?;
    }
    attach::build(loan, (new.mm, new.fit), &kept, with)?;
    let mut wanted = match new.pages {
        Some(pages) => pages.segments()?,
        None => Vec::new(),
    };
    if let (Some(parent), Some(pages)) = (parent.and_then(|p| p.pages), new.pages) {
        wanted = unshare(loan, &kept, pages, parent, wanted, with.stats)?;
    }
    fill::fill(loan, new, &wanted, &kept, with)?;
    if let (VdsoFit::Proxy(content), Some(vma)) =
        (&new.fit.vdso, new.mm.vmas.iter().find(|vma| vma.status & status::VDSO != 0))
    {
        loan.memory().write_all_at(content, vma.start).os(|| "write the proxy of the vdso")?;
    }
    Ok(())
}

pub(super) fn is_mapped(vma: &VmaEntry, fit: &Fit) -> bool {
    vma.status & (status::VSYSCALL | status::GUARD | status::AIORING) == 0 && !vdso::is_kernels(vma, fit)
}

/// The mappings that both have alike, ascending.
fn common(new: &Blueprint<'_>, parent: &Blueprint<'_>) -> Vec<Range<u64>> {
    let theirs: BTreeMap<u64, &VmaEntry> = parent.mm.vmas.iter().map(|vma| (vma.start, vma)).collect();
    let attached = attach::inherited((new.mm, new.fit), (parent.mm, parent.fit));
    let same = |vma: &&VmaEntry| {
        is_mapped(vma, new.fit)
            && attach::may_stay(vma, &attached)
            && is_mapped(vma, parent.fit)
            && theirs.get(&vma.start).is_some_and(|their| alike(their, vma))
    };
    new.mm.vmas.iter().filter(same).map(|vma| vma.start..vma.end).collect()
}

/// Whether a mapping is one of those that are kept.
pub(super) fn is_among(vma: &VmaEntry, kept: &[Range<u64>]) -> bool {
    kept.binary_search_by_key(&vma.start, |range| range.start).is_ok()
}

pub(super) fn alike(one: &VmaEntry, other: &VmaEntry) -> bool {
    let key = |vma: &VmaEntry| {
        (vma.start, vma.end, vma.pgoff, vma.shmid, vma.prot, vma.flags, vma.status, vma.fdflags)
    };
    key(one) == key(other)
}

/// Unmaps everything but the ranges to keep.
fn strip(loan: &mut Loan, kept: &[Range<u64>], keep: &[Range<u64>]) -> Result<()> {
    let mut stays: Vec<Range<u64>> = kept.iter().chain(keep).cloned().collect();
    stays.sort_by_key(|range| range.start);
    stays.push(crate::sys::memory::task_size()..u64::MAX);
    let (mut from, mut batch) = (0, loan.batch());
    for range in stays {
        if range.start > from {
            batch.call(
                format!("munmap {from:x}-{:x}", range.start),
                libc::SYS_munmap,
                &[from, range.start - from],
            );
        }
        from = from.max(range.end);
        run_if_full(loan, &mut batch)?;
    }
    loan.run(&mut batch)?;
    batch.expect_all()
}

fn run_if_full(loan: &mut Loan, batch: &mut Batch) -> Result<()> {
    if !batch.is_full() {
        return Ok(());
    }
    loan.run(batch)?;
    batch.expect_all()?;
    *batch = loan.batch();
    Ok(())
}

/// Sets the fields of the mm by prctl(PR_SET_MM_MAP); the executable can change while no file of it is mapped.
fn set_fields(loan: &mut Loan, mm: &MmEntry, same_exe: bool, with: &mut Supplies<'_>) -> Result<()> {
    let exe = if same_exe {
        None
    } else {
        Some(with.files.open_with(mm.exe_file_id, OFlag::O_RDONLY | OFlag::O_LARGEFILE)?)
    };
    let mut batch = loan.batch();
    let exe: Vec<RawFd> = exe.iter().map(AsRawFd::as_raw_fd).collect();
    // -1 leaves the executable as it is.
    let number = (with.lend)(&mut batch, &exe)?.first().copied().unwrap_or(-1);
    let auxv: Vec<u8> = mm.mm_saved_auxv.iter().flat_map(|word| (*word as usize).to_ne_bytes()).collect();
    let auxv_at = batch.put(&auxv);
    // struct prctl_mm_map of linux/prctl.h.
    let mut map: Vec<u8> = [
        mm.mm_start_code,
        mm.mm_end_code,
        mm.mm_start_data,
        mm.mm_end_data,
        mm.mm_start_brk,
        mm.mm_brk,
        mm.mm_start_stack,
        mm.mm_arg_start,
        mm.mm_arg_end,
        mm.mm_env_start,
        mm.mm_env_end,
    ]
    .iter()
    .flat_map(|word| word.to_ne_bytes())
    .collect();
    map.extend((auxv_at as usize).to_ne_bytes());
    map.extend((auxv.len() as u32).to_ne_bytes());
    map.extend(number.to_ne_bytes());
    map.resize(map.len().next_multiple_of(8), 0);
    let map_at = batch.put(&map);
    let args = [libc::PR_SET_MM as u64, PR_SET_MM_MAP, map_at, map.len() as u64];
    batch.call("prctl PR_SET_MM_MAP", libc::SYS_prctl, &args);
    if number >= 0 {
        batch.call("close", libc::SYS_close, &[number as u64]);
    }
    loan.run(&mut batch)?;
    batch.expect_all()
}

/// Maps up to [`FILES_AT_ONCE`] areas.
fn map_group(loan: &mut Loan, group: &[&VmaEntry], with: &mut Supplies<'_>) -> Result<()> {
    let mut fds: Vec<(u64, u32, OwnedFd)> = Vec::new();
    for vma in group {
        let key = (vma.shmid, vma.fdflags.unwrap_or(0));
        if vma.status & (status::FILE_PRIVATE | status::FILE_SHARED) != 0
            && vma.status & status::SOCKET == 0
            && !fds.iter().any(|fd| (fd.0, fd.1) == key)
        {
            fds.push((key.0, key.1, with.files.open_with(vma.shmid as u32, open_flags(key.1))?));
        }
    }
    let of_socket = |vma: &&&VmaEntry| vma.status & status::SOCKET != 0;
    let sockets = group.iter().filter(of_socket).map(|vma| Ok((vma.shmid, with.files.rings(vma.shmid)?)));
    let sockets: BTreeMap<u64, Rc<OwnedFd>> = sockets.collect::<Result<_>>()?;
    let mut raw: Vec<RawFd> = fds.iter().map(|fd| fd.2.as_raw_fd()).collect();
    let sockets_from = raw.len();
    raw.extend(sockets.values().map(|fd| fd.as_raw_fd()));
    let shared_from = raw.len();
    let mut shmids: Vec<u64> =
        group.iter().filter(|vma| vma.status & status::ANON_SHARED != 0).map(|vma| vma.shmid).collect();
    shmids.sort_unstable();
    shmids.dedup();
    for shmid in &shmids {
        raw.push(with.shared.descriptor(*shmid, with.files)?);
    }
    let mut batch = loan.batch();
    let numbers = (with.lend)(&mut batch, &raw)?;
    for vma in group {
        let key = (vma.shmid, vma.fdflags.unwrap_or(0));
        let index = if vma.status & status::ANON_SHARED != 0 {
            shmids.binary_search(&vma.shmid).ok().map(|i| shared_from + i)
        } else if vma.status & status::SOCKET != 0 {
            sockets.keys().position(|shmid| *shmid == vma.shmid).map(|i| sockets_from + i)
        } else if vma.status & (status::FILE_PRIVATE | status::FILE_SHARED) != 0 {
            fds.iter().position(|fd| (fd.0, fd.1) == key)
        } else {
            None
        };
        let number = index.and_then(|i| numbers.get(i)).copied();
        map_one(&mut batch, vma, number);
    }
    for number in numbers {
        batch.call("close", libc::SYS_close, &[number as u64]);
    }
    loan.run(&mut batch)?;
    batch.expect_all()
}

/// CRIU's `fdflags` may hold more than how to open the file. Of any size: a mapping does not show how it was opened.
fn open_flags(fdflags: u32) -> OFlag {
    OFlag::from_bits_truncate(fdflags as i32) & OFlag::O_ACCMODE | OFlag::O_LARGEFILE
}

fn map_one(batch: &mut Batch, vma: &VmaEntry, fd: Option<i32>) {
    let mut flags = vma.flags as i32 & !(libc::MAP_LOCKED | libc::MAP_ANONYMOUS) | libc::MAP_FIXED_NOREPLACE;
    if fd.is_none() {
        flags |= libc::MAP_ANONYMOUS;
    }
    // Huge pages take no write that the mapping forbids, not even through /proc/PID/mem (mm/gup.c, check_vma_flags): see
    // `finish`.
    let filled_first = if is_private_huge(vma) { vma.prot | libc::PROT_WRITE as u32 } else { vma.prot };
    let call = arch::syscall::mmap(
        vma.start,
        vma.end - vma.start,
        filled_first.into(),
        flags as u64,
        fd.unwrap_or(-1),
        if fd.is_some() { vma.pgoff } else { 0 },
    );
    batch.call_raw(format!("mmap {:x}-{:x}", vma.start, vma.end), call);
    // Before it is filled: where huge pages are the rule, the first byte would bring one.
    if vma.madv.unwrap_or(0) & 1 << libc::MADV_NOHUGEPAGE != 0 {
        let args = [vma.start, vma.end - vma.start, libc::MADV_NOHUGEPAGE as u64];
        batch.call(format!("madvise no huge pages {:x}", vma.start), libc::SYS_madvise, &args);
    }
}

/// Private memory of hugetlbfs.
fn is_private_huge(vma: &VmaEntry) -> bool {
    let private = vma.status & (status::ANON_PRIVATE | status::FILE_PRIVATE) != 0;
    private && vma.is_huge()
}

/// Compares the pages of both images in the mappings that they have alike. What only the parent has is given up, what is
/// equal stays shared; returns what is left to be written.
fn unshare(
    loan: &mut Loan,
    kept: &[Range<u64>],
    pages: &PageReader,
    parent: &PageReader,
    wanted: Vec<Segment>,
    stats: &mut RestoreStats,
) -> Result<Vec<Segment>> {
    let page = page_size()?;
    let theirs = parent.segments()?;
    let mut batch = loan.batch();
    for hole in subtract(&theirs, &wanted) {
        for range in intersect(&hole, kept) {
            batch.call(
                "madvise MADV_DONTNEED",
                libc::SYS_madvise,
                &[range.start, range.end - range.start, libc::MADV_DONTNEED as u64],
            );
            run_if_full(loan, &mut batch)?;
        }
    }
    loan.run(&mut batch)?;
    batch.expect_all()?;
    let mut left = Vec::new();
    for segment in wanted {
        let mut at = segment.vaddr;
        let end = segment.vaddr + segment.len;
        let first = theirs.partition_point(|their| their.vaddr + their.len <= at);
        let theirs = theirs.iter().skip(first).take_while(|their| their.vaddr < end);
        let shared: Vec<Range<u64>> = theirs
            .map(|their| at.max(their.vaddr)..end.min(their.vaddr + their.len))
            .flat_map(|range| intersect(&range, kept))
            .collect();
        for range in shared {
            push_part(&mut left, &segment, at..range.start);
            compare(&mut left, &segment, range.clone(), pages, parent, page, stats)?;
            at = range.end;
        }
        push_part(&mut left, &segment, at..end);
    }
    Ok(left)
}

/// Adds to `left` the pages of a range whose content differs in the two images.
fn compare(
    left: &mut Vec<Segment>,
    segment: &Segment,
    range: Range<u64>,
    pages: &PageReader,
    parent: &PageReader,
    page: u64,
    stats: &mut RestoreStats,
) -> Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(COMPARE_AT_ONCE as u64) as usize;
        ours.resize(len, 0);
        theirs.resize(len, 0);
        pages.read(at, &mut ours)?;
        parent.read(at, &mut theirs)?;
        for (one, other) in ours.chunks(page as usize).zip(theirs.chunks(page as usize)) {
            stats.pages_compared += 1;
            if one == other {
                stats.pages_skipped_cow += 1;
            } else {
                push_part(left, segment, at..at + page);
            }
            at += page;
        }
    }
    Ok(())
}

pub(super) fn push_part(left: &mut Vec<Segment>, of: &Segment, part: Range<u64>) {
    if part.start >= part.end {
        return;
    }
    let source = match &of.source {
        Source::File(file, offset) => Source::File(Arc::clone(file), offset + (part.start - of.vaddr)),
        Source::Lazy => Source::Lazy,
    };
    left.push(Segment { vaddr: part.start, len: part.end - part.start, source });
}

/// The parts of `all` that none of `without` covers; both ascending.
fn subtract(all: &[Segment], without: &[Segment]) -> Vec<Range<u64>> {
    let mut out = Vec::new();
    for segment in all {
        let (mut at, end) = (segment.vaddr, segment.vaddr + segment.len);
        let first = without.partition_point(|other| other.vaddr + other.len <= at);
        for other in without.iter().skip(first).take_while(|other| other.vaddr < end) {
            if other.vaddr > at {
                out.push(at..other.vaddr);
            }
            at = at.max(other.vaddr + other.len);
        }
        if at < end {
            out.push(at..end);
        }
    }
    out
}

/// The parts of a range that lie in one of `ranges`, which ascend and do not overlap.
pub(super) fn intersect(range: &Range<u64>, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let first = ranges.partition_point(|other| other.end <= range.start);
    let others = ranges.iter().skip(first).take_while(|other| other.start < range.end);
    others.map(|other| range.start.max(other.start)..range.end.min(other.end)).collect()
}

/// Brings shared pages with data into a mapping, so that MLOCK_ONFAULT locks them at once; whoever reads them does. Before
/// Linux 5.14 there is no advice for it (MADV_POPULATE_READ).
fn populate(loan: &Loan, vma: &VmaEntry, data: &[Range<u64>]) -> Result<()> {
    let page = page_size()? as usize;
    for part in intersect(&(vma.pgoff..vma.pgoff + (vma.end - vma.start)), data) {
        for offset in part.step_by(page) {
            // A page behind a guard is not there to be read.
            let _ = loan.memory().read_at(&mut [0], vma.start + (offset - vma.pgoff));
        }
    }
    Ok(())
}

/// Adds the calls that lock a mapping. The kernel wants to bring all pages, and fails at a guard, when the mapping is locked
/// already (mm/mlock.c, do_mlock).
fn lock(batch: &mut Batch, vma: &VmaEntry, guarded: bool) {
    let (start, len) = (vma.start, vma.end - vma.start);
    let on_fault = vma.lock_on_fault == Some(true);
    if on_fault || guarded {
        let args = [start, len, libc::MLOCK_ONFAULT.into()];
        batch.call(format!("mlock2 {start:x} on fault"), libc::SYS_mlock2, &args);
    }
    match (on_fault, guarded) {
        (true, _) => {}
        (false, true) => _ = batch.attempt(format!("mlock2 {start:x}"), libc::SYS_mlock2, &[start, len, 0]),
        (false, false) => _ = batch.call(format!("mlock2 {start:x}"), libc::SYS_mlock2, &[start, len, 0]),
    }
}

/// Adds the calls for what mappings remember: advice, locks, names, guards. After all children were born.
pub fn finish(loan: &mut Loan, mm: &MmEntry, fit: &Fit, shared: &SharedRestore) -> Result<()> {
    let mut batch = loan.batch();
    let (guards, mappings): (Vec<&VmaEntry>, Vec<_>) = mm
        .vmas
        .iter()
        .filter(|vma| !vdso::is_kernels(vma, fit) && vma.status & status::VSYSCALL == 0)
        .partition(|vma| vma.status & status::GUARD != 0);
    // Not where memory is locked (mm/madvise.c, is_valid_guard_vma).
    for guard in &guards {
        let args = [guard.start, guard.end - guard.start, MADV_GUARD_INSTALL];
        batch.call(format!("madvise guard {:x}", guard.start), libc::SYS_madvise, &args);
        run_if_full(loan, &mut batch)?;
    }
    for vma in mappings {
        let (start, len) = (vma.start, vma.end - vma.start);
        if is_private_huge(vma) && vma.prot & libc::PROT_WRITE as u32 == 0 {
            batch.call(format!("mprotect {start:x}"), libc::SYS_mprotect, &[start, len, vma.prot.into()]);
        }
        for advice in (0..64).filter(|bit| vma.madv.unwrap_or(0) & (1 << bit) != 0) {
            batch.call(format!("madvise {advice} {start:x}"), libc::SYS_madvise, &[start, len, advice]);
        }
        if vma.lock_on_fault == Some(true) && vma.status & status::ANON_SHARED != 0 {
            populate(loan, vma, &shared.data(vma.shmid)?)?;
        }
        if vma.flags as i32 & libc::MAP_LOCKED != 0 {
            let guarded = guards.iter().any(|guard| vma.start < guard.end && guard.start < vma.end);
            lock(&mut batch, vma, guarded);
        }
        if let Some(name) = &vma.anon_name {
            let mut name = name.clone().into_bytes();
            name.push(0);
            let name = batch.put(&name);
            batch.attempt("prctl PR_SET_VMA_ANON_NAME", libc::SYS_prctl, &[PR_SET_VMA, 0, start, len, name]);
        }
        run_if_full(loan, &mut batch)?;
    }
    if let Some(flags) = mm.lock_future {
        batch.call("mlockall", libc::SYS_mlockall, &[flags.into()]);
    }
    loan.run(&mut batch)?;
    batch.expect_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_ranges_are_found_among_many() {
        let ranges = [10..20, 20..30, 50..60];
        assert_eq!(intersect(&(15..55), &ranges), [15..20, 20..30, 50..55]);
        assert_eq!(intersect(&(0..100), &ranges), ranges);
        assert_eq!([intersect(&(30..50), &ranges), intersect(&(60..70), &ranges)], [vec![], vec![]]);
        let vma = |start| VmaEntry { start, end: start + 10, ..VmaEntry::default() };
        assert_eq!([10, 20, 30, 50].map(|start| is_among(&vma(start), &ranges)), [true, true, false, true]);
    }
}
