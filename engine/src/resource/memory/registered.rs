//! Mappings that are registered with a userfaultfd(2), mm/userfaultfd.c: what a page is there that is absent, protected or
//! not mapped, somebody else has to be told. Which descriptor that goes by, is found out by `file::event::userfaultfd`.
//!
//! Nobody answers while the tree is frozen, so nothing may look at a page that is reported: a dump copies the pages that
//! the page map shows, which raise no fault (do_swap_page in mm/memory.c asks nobody), and reads shared memory by its
//! file, which has no mapping. What else it reads of a task is looked at first ([`refuse_absent`]).
//!
//! Refused: protected pages that are away, where absent pages are reported as well. Whether such a page is in swap space or
//! absent the kernel does not show. Where only writes are reported it is read, and absent ones count as zeros.

use std::ops::Range;

use super::vma::{self, Mapping};
use crate::error::{Blame, Error, Result};
use crate::kernel::Pid;
use crate::kernel::pagemap::{Filter, PagemapScanner, page_size};
use crate::kernel::smaps::{VmFlags, Vma};
use crate::sys::userfaultfd::{MINOR, MISSING, WRITE_PROTECT};
use crate::tracee::{self, FrozenTask, Need};

/// One mapping of a tree being dumped.
#[derive(Debug)]
pub struct Registered {
    /// Whose.
    pub pid: Pid,
    /// Its name, for messages.
    pub comm: String,
    /// The mapping's.
    pub name: String,
    /// Where it is.
    pub range: Range<u64>,
    /// `UFFDIO_REGISTER_MODE_*`.
    pub modes: u32,
    /// Pages of which writes are reported.
    pub protected: Vec<Range<u64>>,
    /// Pages that are mapped, where it matters.
    pub mapped: Vec<Range<u64>>,
}

/// The modes in which a mapping of `smaps` is registered: `UFFDIO_REGISTER_MODE_*`.
pub fn modes(vma: &Vma) -> Option<u32> {
    let flags = vma.usage.unwrap_or_default().flags;
    let all =
        [(VmFlags::UFFD_MISSING, MISSING), (VmFlags::UFFD_WP, WRITE_PROTECT), (VmFlags::UFFD_MINOR, MINOR)];
    let modes = all.iter().filter(|(flag, _)| flags.contains(*flag)).fold(0, |all, (_, mode)| all | mode);
    (modes != 0).then_some(modes)
}

impl Registered {
    /// What the page map shows of a mapping; `None` if it is not registered.
    pub fn of(task: &FrozenTask, mapping: &Mapping, scanner: &mut PagemapScanner) -> Result<Option<Self>> {
        let Some(modes) = mapping.entry.userfaultfd else { return Ok(None) };
        let (start, end) = (mapping.entry.start, mapping.entry.end);
        let name = format!("vma {start:x}-{end:x}");
        let mut find = |mode: u32, filter: Filter| match modes & mode {
            0 => Ok(Vec::new()),
            _ => scanner.find(start, end, filter).map_err(|e| e.on(name.as_str())),
        };
        if modes & MISSING != 0 && mapping.has_private_pages() {
            let away = find(WRITE_PROTECT, Filter::PROTECTED_AWAY)?;
            if let Some(first) = away.first() {
                return Err(refuse_away(first.start).on(name));
            }
        }
        let (protected, mapped) = (find(WRITE_PROTECT, Filter::PROTECTED)?, find(MINOR, Filter::MAPPED)?);
        let (pid, comm) = (task.pid, task.comm.clone());
        Ok(Some(Registered { pid, comm, name, range: start..end, modes, protected, mapped }))
    }

    /// Nobody in the tree has the userfaultfd.
    pub fn refuse(&self) -> Error {
        refuse_unclaimed(self.name.clone()).task(self.pid, &self.comm)
    }
}

fn refuse(reason: impl Into<String>) -> Error {
    Error::new("E-VMA-USERFAULTFD", Blame::Program, reason)
}

fn refuse_away(at: u64) -> Error {
    refuse(format!(
        "has a protected page at {at:x} of which a kernel does not show whether it is absent or in swap space"
    ))
    .help("let the program protect only pages that are there, or register the range for writes alone")
}

/// Refuses a task whose loan would wait for whoever handles its faults.
pub fn refuse_absent(task: &FrozenTask, vmas: &[Vma]) -> Result<()> {
    let registered: Vec<(&Vma, u32)> = vmas.iter().filter_map(|vma| Some((vma, modes(vma)?))).collect();
    if registered.is_empty() {
        return Ok(());
    }
    let (mut scanner, page) = (PagemapScanner::open(&task.proc)?, page_size()?);
    for tid in &task.threads {
        for need in tracee::needs(*tid)? {
            let found = registered.iter().find(|(vma, _)| vma.range().contains(&need.address));
            let Some((vma, modes)) = found else { continue };
            let start = need.address - need.address % page;
            let mut is = |filter| Ok(!scanner.find(start, start + page, filter)?.is_empty());
            let huge = vma.usage.is_some_and(|usage| usage.flags.contains(VmFlags::HUGETLB));
            let there = if huge { Filter::THERE.of_huge_pages() } else { Filter::THERE };
            let absent = modes & (MISSING | MINOR) != 0 && !is(there)?;
            if absent || need.written && modes & WRITE_PROTECT != 0 && is(Filter::PROTECTED_IN_TURN)? {
                return Err(refuse_need(&need).on(format!("thread {tid}")));
            }
        }
    }
    Ok(())
}

fn refuse_need(need: &Need) -> Error {
    let Need { address, what, .. } = need;
    refuse(format!("has its {what} at {address:x}, where a userfaultfd reports a fault"))
        .help("dump it when its faults have been handled")
}

/// What speaks against each mapping that is registered, if nobody has the userfaultfd.
pub fn unclaimed(vmas: &[Vma]) -> impl Iterator<Item = Error> {
    vmas.iter().filter(|vma| modes(vma).is_some()).map(|vma| refuse_unclaimed(vma::name(vma)))
}

fn refuse_unclaimed(name: String) -> Error {
    refuse("is registered with a userfaultfd that no task of the tree has open")
        .on(name)
        .help("dump a tree that has the program which handles its faults, too")
}
