//! Filling an address space with its pages, in one copy where that is possible.
//!
//! What the task may write to it reads itself, by preadv(2) over as much as stands together in the image; the rest goes
//! through /proc/PID/mem. That is also how threads of ours take their share of much memory, one for each other CPU: a
//! task that is being made has but one thread to read with.
//!
//! Most of the time of a plain read goes into faults, one for each small page. So memory that the image fills whole gets
//! huge pages first, by MADV_COLLAPSE (Linux 6.1): advice would stay with the mapping, be seen by the program, and let
//! memory grow that is touched here and there. That is two to three times as fast, but several times as slow where the
//! kernel first has to make room for huge pages, or a hypervisor to give memory back. Nothing tells beforehand, so the two
//! ways are measured on the first windows of a large range, and huge pages are taken where they are clearly cheaper
//! ([`Pace`]).
//!
//! Where huge pages are the rule, the first byte of a block would bring one, over what the image leaves out: such blocks
//! are filled while PR_SET_THP_DISABLE holds, which leaves no mark.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::restore::{Blueprint, Lend, Supplies, intersect, is_mapped, push_part};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{VmaEntry, status};
use crate::image::pages::{Segment, Source};
use crate::kernel::{ProcDir, huge_page, pagemap, schedstat};
use crate::parallel::{self, Queue};
use crate::sys::attr;
use crate::tracee::{self, Loan};

const MADV_COLLAPSE: u64 = 25;
/// Vectors of one preadv(2), which takes 1024 (UIO_MAXIOV): they must fit what a batch that is not full has left.
const MOST_VECTORS: usize = 256;
/// Bytes of a part for which the pages are made by one call before it is read (Linux 5.14), rather than by as many faults.
const POPULATED: u64 = 64 << 10;
const MADV_POPULATE_WRITE: u64 = 23;
/// Bytes that are given huge pages at once. Each MADV_COLLAPSE waits for all CPUs (lru_add_drain_all in mm/khugepaged.c).
const WINDOW: u64 = 16 << 20;
/// A smaller range is not worth that, nor the measurement.
const FEWEST_BYTES: u64 = 16 * WINDOW;
/// How much cheaper huge pages have to be: their price is paid by others as well, by what the kernel moves for them.
const CLEARLY: f64 = 0.7;
/// Bytes that one thread brings before it looks whether there is more.
const STRIDE: u64 = 4 << 20;
/// So many strides are worth another thread.
const FEW: usize = 3;
/// Bytes that pass through memory of ours at once.
const CHUNK: u64 = 128 << 10;

/// Brings `wanted` into the task. In the ranges `kept` it may share pages with its parent.
pub(super) fn fill(
    loan: &mut Loan,
    new: &Blueprint<'_>,
    wanted: &[Segment],
    kept: &[Range<u64>],
    with: &mut Supplies<'_>,
) -> Result<()> {
    let page = pagemap::page_size()?;
    // In a registered range a huge page would be there where the image has none; see `restore::build`.
    let registered = new.is_registered();
    let by_default = huge_page::by_default() && !registered;
    if by_default {
        forbid_huge(loan, true)?;
    }
    let (mut own, mut alone): (Vec<Segment>, Vec<Range<u64>>) = (Vec::new(), Vec::new());
    for (segment, vma) in
        wanted.iter().flat_map(|segment| targets(segment, new).map(move |vma| (segment, vma)))
    {
        let range = segment.vaddr.max(vma.start)..(segment.vaddr + segment.len).min(vma.end);
        with.stats.pages_restored += (range.end - range.start) / page;
        let mut parts = Vec::new();
        for start in range.clone().step_by(STRIDE as usize) {
            push_part(&mut parts, segment, start..range.end.min(start + STRIDE));
        }
        // Code goes by /proc/PID/mem, too, which keeps the instruction cache coherent (copy_to_user_page).
        if vma.prot & (libc::PROT_WRITE | libc::PROT_EXEC) as u32 != libc::PROT_WRITE as u32 {
            write_parts(loan.memory(), &parts)?;
            continue;
        }
        own.extend(parts);
        if may_be_huge(vma, new) && intersect(&range, kept).is_empty() {
            match alone.last_mut() {
                Some(last) if last.end == range.start && last.start >= vma.start => last.end = range.end,
                _ => alone.push(range),
            }
        }
    }
    if registered {
        alone.clear();
    }
    let windows = windows(&alone, if by_default { 0 } else { FEWEST_BYTES });
    let (plain, wide) = sort_into(&windows, &own);
    bring(loan, &plain, with.lend, with.home)?;
    // Nobody has forbidden them yet: the task's own wish is restored later.
    if by_default {
        forbid_huge(loan, false)?;
    }
    if windows.is_empty() {
        return Ok(());
    }
    let (mut pace, task) = (Pace::default(), ProcDir::open(loan.tid())?);
    let mut left = windows.iter().zip(&wide);
    while !pace.has_lost() {
        let Some((window, parts)) = left.next() else { break };
        let (huge, before) = (pace.prefers_huge(), Spent::so_far(&task));
        if huge {
            collapse(loan, window, parts, with.lend)?;
        }
        bring(loan, parts, with.lend, with.home)?;
        pace.took(huge, before.since(&Spent::so_far(&task)) / (window.end - window.start) as f64);
    }
    let rest: Vec<Segment> = left.flat_map(|(_, parts)| parts).cloned().collect();
    bring(loan, &rest, with.lend, with.home)
}

/// Forbids huge pages in the whole address space, or allows them again.
pub(super) fn forbid_huge(loan: &mut Loan, forbidden: bool) -> Result<()> {
    let mut batch = loan.batch();
    let args = [libc::PR_SET_THP_DISABLE as u64, forbidden.into(), 0, 0, 0];
    batch.call("prctl PR_SET_THP_DISABLE", libc::SYS_prctl, &args);
    loan.run(&mut batch)?;
    batch.expect_all()
}

/// The mappings that a segment covers, those of the kernel left out.
fn targets<'a>(segment: &Segment, new: &Blueprint<'a>) -> impl Iterator<Item = &'a VmaEntry> {
    let (start, end) = (segment.vaddr, segment.vaddr + segment.len);
    let (vmas, fit) = (&new.mm.vmas, new.fit);
    let first = vmas.partition_point(|vma| vma.status & status::GUARD == 0 && vma.end <= start);
    vmas.iter()
        .skip(first)
        .take_while(move |vma| vma.start < end && vma.status & status::GUARD == 0)
        .filter(move |vma| is_mapped(vma, fit) && vma.status & status::VDSO == 0)
}

/// Whether the program has nothing against huge pages in a mapping.
fn may_be_huge(vma: &VmaEntry, new: &Blueprint<'_>) -> bool {
    vma.status & status::ANON_PRIVATE != 0
        && !vma.is_huge()
        && vma.madv.unwrap_or(0) & (1 << libc::MADV_NOHUGEPAGE) == 0
        && new.mm.thp_disabled != Some(true)
}

/// What a window cost, nanoseconds for each byte.
#[derive(Debug, Default)]
struct Pace {
    small: Option<f64>,
    huge: Option<f64>,
}

impl Pace {
    /// The first window has small pages, the others have huge ones.
    fn prefers_huge(&self) -> bool {
        self.small.is_some()
    }

    /// Huge pages are not clearly cheaper, or not any more: the rest gets small ones.
    fn has_lost(&self) -> bool {
        self.small.zip(self.huge).is_some_and(|(small, huge)| huge >= CLEARLY * small)
    }

    fn took(&mut self, huge: bool, cost: f64) {
        *(if huge { &mut self.huge } else { &mut self.small }) = Some(cost);
    }
}

/// What time has gone by for a task.
struct Spent {
    now: Instant,
    /// How long it has been ready to run while others ran.
    queued: Duration,
}

impl Spent {
    fn so_far(task: &ProcDir) -> Self {
        Spent { now: Instant::now(), queued: schedstat::queued(task).ok().flatten().unwrap_or_default() }
    }

    /// Nanoseconds until `later` in which the task ran or slept. MADV_COLLAPSE sleeps until all CPUs have answered, which
    /// is part of its price; other load on the machine is not.
    fn since(&self, later: &Spent) -> f64 {
        let queued = later.queued.saturating_sub(self.queued);
        later.now.saturating_duration_since(self.now).saturating_sub(queued).as_secs_f64() * 1e9
    }
}

/// Cuts the parts of ranges that consist of whole huge pages into windows, which ascend; smaller ranges are left out.
fn windows(ranges: &[Range<u64>], fewest: u64) -> Vec<Range<u64>> {
    let wide = |range: &Range<u64>| range.end - range.start >= fewest;
    let Some(block) = ranges.iter().any(wide).then(huge_page::size).flatten() else { return Vec::new() };
    let most = WINDOW.max(block);
    let mut windows = Vec::new();
    for range in ranges.iter().filter(|range| wide(range)) {
        let (mut at, end) = (range.start.next_multiple_of(block), range.end / block * block);
        while at < end {
            windows.push(at..end.min(at + most));
            at += most;
        }
    }
    windows
}

/// The parts outside of all windows, and those of each.
fn sort_into(windows: &[Range<u64>], parts: &[Segment]) -> (Vec<Segment>, Vec<Vec<Segment>>) {
    let (mut outside, mut inside) = (Vec::new(), vec![Vec::new(); windows.len()]);
    for part in parts {
        let (mut at, end) = (part.vaddr, part.vaddr + part.len);
        let first = windows.partition_point(|window| window.end <= at);
        for (window, slot) in windows.iter().zip(&mut inside).skip(first) {
            if window.start >= end {
                break;
            }
            push_part(&mut outside, part, at..window.start);
            push_part(slot, part, at.max(window.start)..end.min(window.end));
            at = window.end;
        }
        push_part(&mut outside, part, at..end);
    }
    (outside, inside)
}

/// Gives a window huge pages; what the kernel refuses stays as it is. Only a block with a page in it is collapsed, so
/// each gets a byte of the image first, any one.
fn collapse(loan: &mut Loan, window: &Range<u64>, parts: &[Segment], lend: Lend<'_>) -> Result<()> {
    let Some(Segment { source: Source::File(file, _), .. }) = parts.first() else { return Ok(()) };
    let Some(block) = huge_page::size() else { return Ok(()) };
    let mut batch = loan.batch();
    let number = lend(&mut batch, &[file.as_raw_fd()])?.first().copied().unwrap_or(-1);
    let blocks = (window.start..window.end).step_by(block as usize);
    let (iov, count) = (vectors(blocks.clone().map(|at| (at, 1))), blocks.count());
    let iov = batch.put(&iov);
    let (nr, args) = arch::syscall::preadv(number, iov, count as u64, 0);
    batch.attempt("preadv of a byte of each block", nr as libc::c_long, &args);
    let args = [window.start, window.end - window.start, MADV_COLLAPSE];
    batch.attempt("madvise MADV_COLLAPSE", libc::SYS_madvise, &args);
    batch.call("close", libc::SYS_close, &[number as u64]);
    loan.run(&mut batch)?;
    batch.expect_all()
}

/// An array of struct iovec.
fn vectors(ranges: impl Iterator<Item = (u64, u64)>) -> Vec<u8> {
    ranges.flat_map(|(start, len)| [start as usize, len as usize]).flat_map(usize::to_ne_bytes).collect()
}

/// Writes parts from outside, also where the task itself may not.
fn write_parts(memory: &File, parts: &[Segment]) -> Result<()> {
    let mut buffer = Vec::new();
    for part in parts {
        let Source::File(file, offset) = &part.source else { return Err(lazy(part)) };
        for done in (0..part.len).step_by(CHUNK as usize) {
            buffer.resize((part.len - done).min(CHUNK) as usize, 0);
            file.read_exact_at(&mut buffer, offset + done).os(|| "read the pages image")?;
            let address = part.vaddr + done;
            memory.write_all_at(&buffer, address).os(|| format!("write pages at {address:x}"))?;
        }
    }
    Ok(())
}

fn lazy(part: &Segment) -> Error {
    Error::image("pagemap", format!("the page at {:x} is to be served by a lazy pages daemon", part.vaddr))
        .help("lazy restore is not supported yet: restore from a complete image")
}

/// The task reads the parts itself, and threads of ours help it if there are many, on the other processors of `home`.
fn bring(loan: &mut Loan, parts: &[Segment], lend: Lend<'_>, home: &[u32]) -> Result<()> {
    let strides = strides(parts);
    let processors: u32 = home.iter().map(|word| word.count_ones()).sum();
    if strides.len() < FEW || processors < 2 {
        return read_parts(loan, parts, lend);
    }
    let queue = Queue::new(&strides);
    let memory = loan.memory().try_clone().os(|| "dup /proc/PID/mem")?;
    let help = || {
        let others = std::thread::available_parallelism().map_or(1, usize::from).saturating_sub(1);
        let write = || queue.work(|_, stride| write_parts(&memory, stride));
        parallel::by_threads(others.clamp(1, strides.len()), &write)
    };
    // We are kept where the task runs, and a thread that starts there waits for its turn. Refusals cost only time.
    let here = attr::affinity(0).os(|| "sched_getaffinity")?;
    let _ = attr::set_affinity(0, home);
    let read = || {
        let _ = attr::set_affinity(0, &here);
        queue.work(|_, stride| read_parts(loan, stride, lend))
    };
    let (read, helped) = tracee::beside(help, read)?;
    read.and(helped)
}

/// Cuts parts into what one thread brings at once.
fn strides(parts: &[Segment]) -> Vec<&[Segment]> {
    let (mut strides, mut rest, mut len) = (Vec::new(), parts, 0);
    for (index, part) in parts.iter().enumerate() {
        let begun = parts.len() - rest.len();
        if index > begun && len + part.len > STRIDE {
            let (stride, after) = rest.split_at(index - begun);
            strides.push(stride);
            (rest, len) = (after, 0);
        }
        len += part.len;
    }
    strides.extend(Some(rest).filter(|rest| !rest.is_empty()));
    strides
}

/// The task reads the parts itself, consecutive ones in one call.
fn read_parts(loan: &mut Loan, parts: &[Segment], lend: Lend<'_>) -> Result<()> {
    let mut rest = parts;
    while let Some(Segment { source: Source::File(file, _), .. }) = rest.first() {
        let mut batch = loan.batch();
        let number = lend(&mut batch, &[file.as_raw_fd()])?.first().copied().unwrap_or(-1);
        let mut expected = Vec::new();
        while !batch.is_full() && expected.len() < 64 {
            let Some((len, offset, count)) = next_vector(rest, file) else { break };
            let (vector, after) = rest.split_at(count);
            rest = after;
            if let Some(part) = vector.last().filter(|part| part.len >= POPULATED) {
                let args = [part.vaddr, part.len, MADV_POPULATE_WRITE];
                batch.attempt("madvise MADV_POPULATE_WRITE", libc::SYS_madvise, &args);
            }
            let iov = batch.put(&vectors(vector.iter().map(|part| (part.vaddr, part.len))));
            let call = arch::syscall::preadv(number, iov, count as u64, offset);
            expected.push((batch.call_raw("preadv of pages", call), len));
        }
        batch.call("close", libc::SYS_close, &[number as u64]);
        loan.run(&mut batch)?;
        batch.expect_all()?;
        for (call, len) in expected {
            let got = batch.expect(call)?;
            if got != len {
                return Err(Error::image(
                    "pages",
                    format!("only {got} of {len} bytes could be read into the task"),
                ));
            }
        }
    }
    match rest.first() {
        Some(part) => Err(lazy(part)),
        None => Ok(()),
    }
}

/// How many of the first parts stand one after the other in the file: bytes, offset, count. A large part is the last.
fn next_vector(parts: &[Segment], file: &Arc<File>) -> Option<(u64, u64, usize)> {
    let (mut len, mut start, mut count) = (0, None, 0);
    for part in parts.iter().take(MOST_VECTORS) {
        let Source::File(other, offset) = &part.source else { break };
        let follows = start.is_none_or(|start| start + len == *offset);
        if !Arc::ptr_eq(other, file) || !follows {
            break;
        }
        start.get_or_insert(*offset);
        (len, count) = (len + part.len, count + 1);
        if part.len >= POPULATED {
            break;
        }
    }
    start.map(|start| (len, start, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dearer_way_is_not_taken_again() {
        let mut pace = Pace::default();
        assert!(!pace.prefers_huge());
        pace.took(false, 1.0);
        assert!(pace.prefers_huge() && !pace.has_lost());
        pace.took(true, 0.4);
        assert!(pace.prefers_huge() && !pace.has_lost());
        pace.took(true, 3.0);
        assert!(pace.has_lost());
    }

    #[test]
    fn strides_have_all_parts_in_their_order() -> Result<()> {
        let file = Arc::new(tempfile::tempfile().os(|| "tempfile")?);
        let part = |len| Segment { vaddr: 0, len, source: Source::File(Arc::clone(&file), 0) };
        let lens = [STRIDE, 1, STRIDE - 1, 1, STRIDE, 5, 6];
        let parts = lens.map(part);
        let cut: Vec<Vec<u64>> = strides(&parts).iter().map(|s| s.iter().map(|p| p.len).collect()).collect();
        assert_eq!(cut, [vec![STRIDE], vec![1, STRIDE - 1], vec![1], vec![STRIDE], vec![5, 6]]);
        assert!(strides(&[]).is_empty());
        Ok(())
    }

    #[test]
    fn parts_are_cut_at_windows_and_none_is_lost() -> Result<()> {
        let file = Arc::new(tempfile::tempfile().os(|| "tempfile")?);
        let part = |vaddr, len| Segment { vaddr, len, source: Source::File(Arc::clone(&file), vaddr) };
        let (outside, inside) = sort_into(&[20..40, 40..60], &[part(10, 20), part(30, 40), part(90, 5)]);
        let ranges = |parts: &[Segment]| {
            let offset = |part: &Segment| match part.source {
                Source::File(_, offset) => offset,
                Source::Lazy => 0,
            };
            parts.iter().map(|part| (part.vaddr, part.len, offset(part))).collect::<Vec<_>>()
        };
        assert_eq!(ranges(&outside), [(10, 10, 10), (60, 10, 60), (90, 5, 90)]);
        assert_eq!(
            inside.iter().map(|parts| ranges(parts)).collect::<Vec<_>>(),
            [vec![(20, 10, 20), (30, 10, 30)], vec![(40, 20, 40)]]
        );
        Ok(())
    }
}
