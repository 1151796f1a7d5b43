//! Faults as a file: userfaultfd(2), fs/userfaultfd.c.
//!
//! A context belongs to the address space that it was made in, whoever has the descriptor, and no interface says which
//! one that is. The kernel answers to whoever has it, though: UFFDIO_REGISTER works on that address space. So a page of
//! the area that a task lends us is registered and shows in its `smaps`, or not ([`serves`]). What is registered already
//! may be registered again, by its own context only, which leaves it as it is ([`owns`]).
//!
//! A thread that waits for a fault to be handled is interrupted by the freeze, and takes the fault again when it runs: so
//! none is lost, and one that was read and not answered is reported once more, as after any signal. Events (fork, remap)
//! are never left unread: whoever causes one waits in the kernel for that, and cannot be frozen.
//!
//! On restore the task makes the context, we set it up. Ranges are registered when everything else in the task is done
//! ([`register`]), and pages protected when we have written to its memory for the last time ([`protect`]).
//!
//! Refused: contexts of processes outside of the tree, also of dead ones, and those that were not set up (UFFDIO_API). Not
//! kept: UFFD_USER_MODE_ONLY, which cannot be seen.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Blame, Error, OsContext, Result};
use crate::fault;
use crate::image::message::{AddressesEntry, FdType, FileEntry, RegisteredEntry, UserfaultfdEntry};
use crate::kernel::pagemap::page_size;
use crate::kernel::smaps::{self, Vma};
use crate::kernel::{Pid, event};
use crate::report::NotKept;
use crate::resource::file::reopen::set_flags;
use crate::resource::file::{Description, owner};
use crate::resource::memory::registered::{self, Registered};
use crate::sys::memory::task_size;
use crate::sys::userfaultfd as sys;
use crate::tracee::{FrozenTask, Loan, Site, hole};

/// Bytes that a task lends for a look.
const AREA_LEN: u64 = 256 << 10;

/// The userfaultfds of a tree being dumped.
#[derive(Debug, Default)]
pub(in crate::resource::file) struct UserfaultfdDump {
    contexts: Vec<Context>,
}

/// One whose process is not known yet.
#[derive(Debug)]
struct Context {
    id: u32,
    fd: OwnedFd,
    pid: Pid,
    comm: String,
    name: String,
}

impl UserfaultfdDump {
    /// The entry of a userfaultfd, without its process and its ranges.
    pub(super) fn add(&mut self, id: u32, d: &Description<'_>) -> Result<FileEntry> {
        let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
        let uffd = UserfaultfdEntry {
            id,
            flags,
            fown: owner::of(d.fd.as_fd(), flags)?,
            features: event::userfaultfd(&d.info)?,
            ..UserfaultfdEntry::default()
        };
        let fd = d.fd.try_clone().os(|| "duplicate a userfaultfd")?;
        self.contexts.push(Context { id, fd, pid: d.pid, comm: d.comm.to_owned(), name: d.name() });
        Ok(FileEntry { r#type: FdType::Userfaultfd.into(), id, uffd: Some(uffd), ..FileEntry::default() })
    }

    /// What no userfaultfd shows.
    pub(super) fn not_kept(&self) -> impl Iterator<Item = NotKept> {
        self.contexts.iter().map(|context| NotKept {
            pid: context.pid,
            comm: context.comm.clone(),
            what: format!("{}: UFFD_USER_MODE_ONLY, if it has that", context.name),
            consequence: "system calls, too, wait at absent and protected pages".to_owned(),
        })
    }

    /// Adds process and ranges to the entries, when everything else was dumped.
    ///
    /// # Errors
    /// `E-USERFAULTFD-OUTSIDE`: no task has the memory of a context. `E-VMA-USERFAULTFD`: none has the context of a mapping.
    pub(in crate::resource::file) fn resolve(
        &mut self,
        entries: &mut [FileEntry],
        tasks: &[FrozenTask],
        mut registered: Vec<Registered>,
    ) -> Result<()> {
        let found = find(&self.contexts, tasks, &registered)?;
        for context in &self.contexts {
            let pid = found.get(&context.id).copied().ok_or_else(|| context.refuse())?;
            let entry = entries.iter_mut().find(|entry| entry.id == context.id);
            let Some(entry) = entry.and_then(|entry| entry.uffd.as_mut()) else { continue };
            let (own, others) = split(&context.fd, pid, registered).map_err(|e| context.blame(e))?;
            registered = others;
            entry.pid = pid as u32;
            entry.ranges = own.into_iter().map(range_entry).collect();
        }
        registered.first().map_or(Ok(()), |unclaimed| Err(unclaimed.refuse()))
    }
}

impl Context {
    fn blame(&self, e: Error) -> Error {
        e.on(self.name.as_str()).task(self.pid, &self.comm)
    }

    fn refuse(&self) -> Error {
        let reason = "serves no process of the tree, or was not set up yet (UFFDIO_API)";
        self.blame(Error::new("E-USERFAULTFD-OUTSIDE", Blame::Program, reason))
            .help("dump a tree that has the process, too, or let the program close it before the dump")
    }
}

/// Which task each context serves, by its id.
fn find(contexts: &[Context], tasks: &[FrozenTask], registered: &[Registered]) -> Result<BTreeMap<u32, Pid>> {
    let mut found = BTreeMap::new();
    if contexts.is_empty() {
        return Ok(found);
    }
    let mut alive: Vec<&FrozenTask> = tasks.iter().filter(|task| !task.zombie).collect();
    // Those who have ranges are asked first.
    alive.sort_by_key(|task| !registered.iter().any(|range| range.pid == task.pid));
    let mut taken = Vec::new();
    for task in &alive {
        taken.extend(smaps::read_maps(&task.proc)?.iter().map(Vma::range));
    }
    taken.retain(|range| range.end <= task_size());
    // Where no other task has anything, so that a context of theirs finds nothing there.
    let area = hole(&taken, AREA_LEN)?;
    let page = page_size()?;
    let middle = area.start + area.len / 2;
    for task in alive {
        let asked: Vec<&Context> =
            contexts.iter().filter(|context| !found.contains_key(&context.id)).collect();
        if asked.is_empty() {
            break;
        }
        let loan = Loan::take(Site { area, ..Site::find(&task.proc)? }, task.pid)?;
        for context in asked {
            if serves(&context.fd, task, &(middle..middle + page)).map_err(|e| context.blame(e))? {
                found.insert(context.id, task.pid);
            }
        }
        loan.end()?;
    }
    Ok(found)
}

/// Whether a context works on the memory of a task, which lends us these pages.
fn serves(fd: &OwnedFd, task: &FrozenTask, lent: &Range<u64>) -> Result<bool> {
    if sys::register(fd.as_fd(), lent, sys::MISSING).is_err() {
        return Ok(false);
    }
    let vmas = fault::point(fault::PAGE_REGISTERED).and_then(|()| smaps::read(&task.proc));
    sys::unregister(fd.as_fd(), lent).os(|| format!("ioctl UFFDIO_UNREGISTER {:x}", lent.start))?;
    let holds = |vma: &&Vma| vma.range().contains(&lent.start);
    Ok(vmas?.iter().find(holds).is_some_and(|vma| registered::modes(vma).is_some()))
}

/// The mappings of a task that are registered with this context of it, and all others.
fn split(fd: &OwnedFd, pid: Pid, all: Vec<Registered>) -> Result<(Vec<Registered>, Vec<Registered>)> {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for one in all {
        let owned = one.pid == pid && owns(fd.as_fd(), &one)?;
        (if owned { &mut own } else { &mut others }).push(one);
    }
    Ok((own, others))
}

/// Whether a mapping of the task that the context serves is registered with it.
fn owns(fd: BorrowedFd<'_>, one: &Registered) -> Result<bool> {
    match sys::register(fd, &one.range, one.modes) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(false),
        Err(e) => Err(Error::os(format!("ioctl UFFDIO_REGISTER {}", one.name), e)),
    }
}

fn range_entry(one: Registered) -> RegisteredEntry {
    let entry = |range: Range<u64>| AddressesEntry { start: range.start, end: range.end };
    RegisteredEntry {
        range: entry(one.range),
        modes: one.modes,
        protected: one.protected.into_iter().map(entry).collect(),
        mapped: one.mapped.into_iter().map(entry).collect(),
    }
}

/// Sets up what a task of the tree has made.
pub(in crate::resource::file) fn set_up(entry: &UserfaultfdEntry, fd: &OwnedFd) -> Result<()> {
    set_flags(fd, entry.flags)?;
    let features = entry.features;
    sys::set_up(fd.as_fd(), features).os(|| format!("ioctl UFFDIO_API with features {features:#x}")).map_err(
        |e| match e.errno() {
            Some(libc::EINVAL) => {
                e.help("this kernel lacks a feature that the program uses: use a later one")
            }
            _ => e,
        },
    )
}

/// Registers the ranges, and resolves again what was resolved of them.
pub(in crate::resource::file) fn register(entry: &UserfaultfdEntry, fd: &OwnedFd) -> Result<()> {
    for one in &entry.ranges {
        let range = addresses(&one.range);
        sys::register(fd.as_fd(), &range, one.modes)
            .os(|| format!("ioctl UFFDIO_REGISTER {:x}-{:x}", range.start, range.end))?;
        one.mapped.iter().try_for_each(|run| map(fd.as_fd(), &addresses(run)))?;
    }
    Ok(())
}

/// Protects pages: from here on nobody may write to them who cannot wait.
pub(in crate::resource::file) fn protect(entry: &UserfaultfdEntry, fd: &OwnedFd) -> Result<()> {
    for run in entry.ranges.iter().flat_map(|one| &one.protected) {
        let range = addresses(run);
        sys::protect(fd.as_fd(), &range)
            .os(|| format!("ioctl UFFDIO_WRITEPROTECT {:x}-{:x}", range.start, range.end))?;
    }
    Ok(())
}

fn addresses(entry: &AddressesEntry) -> Range<u64> {
    entry.start..entry.end
}

/// Maps pages one by one: some are mapped already, those that are locked.
fn map(fd: BorrowedFd<'_>, run: &Range<u64>) -> Result<()> {
    if sys::map(fd, run).is_ok() {
        return Ok(());
    }
    let page = page_size()?;
    for at in (run.start..run.end).step_by(page as usize) {
        match sys::map(fd, &(at..at + page)) {
            Err(e) if e.raw_os_error() != Some(libc::EEXIST) => {
                return Err(Error::os(format!("ioctl UFFDIO_CONTINUE {at:x}"), e));
            }
            _ => {}
        }
    }
    Ok(())
}
