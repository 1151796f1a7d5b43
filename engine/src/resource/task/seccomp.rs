//! Seccomp of a thread, seccomp(2): strict mode, or a chain of filters, all of which judge each of its system calls.
//!
//! Filters are read and suspended by ptrace(2): PTRACE_SECCOMP_GET_FILTER, PTRACE_SECCOMP_GET_METADATA and
//! PTRACE_O_SUSPEND_SECCOMP, which want CAP_SYS_ADMIN and a tracer without seccomp (kernel/seccomp.c, seccomp_get_filter;
//! kernel/ptrace.c, check_ptrace_options). A filter is a program of classic BPF, which names machine and call by number:
//! it is copied as it is. It is set again with CAP_SYS_ADMIN, before the thread's credentials are, so that no_new_privs is
//! as it was, and in the order of old: of equally strict answers that of the newest filter counts.
//!
//! A child shares its parent's filters, and in the image chains that begin alike share entries, which CRIU calls `prev`. Of
//! two processes nobody sees whether they share. Of threads one does: SECCOMP_FILTER_FLAG_TSYNC works only while what the
//! others have is the beginning of the caller's chain, and the very same (is_ancestor in kernel/seccomp.c). So what all
//! threads of a process have, the first of them sets for all, by that flag.
//!
//! While threads make calls for a dump, a suspended filter does no harm, but it is suspended no longer than there is a
//! tracer. So the dump is the work of a process that a SIGKILL of crio does not end meanwhile (`worker`).
//!
//! Refused: filters with a listener (SECCOMP_RET_USER_NOTIF), whose requests and whose other end nothing shows. Not kept:
//! SECCOMP_FILTER_FLAG_SPEC_ALLOW, with the other speculation controls; that some threads share a filter which others lack.

use std::collections::HashMap;

use crate::check::{self, Feature};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{
    CoreEntry, SeccompEntry, SeccompFilter, SeccompMode, TaskCoreEntry, ThreadCoreEntry,
};
use crate::image::{ImageDir, Kind};
use crate::kernel::Pid;
use crate::sys::ptrace::{self, FILTER_STEP};
use crate::tracee::{self, Batch, Filter, Frozen, Look};

const SET_MODE_STRICT: u64 = 0;
const SET_MODE_FILTER: u64 = 1;
const FLAG_TSYNC: u32 = 1;
const FLAG_LOG: u32 = 2;
/// BPF_MAXINSNS of linux/bpf_common.h.
const MOST_STEPS: usize = 4096;
/// Bytes of `struct sock_fprog`: a length, and after padding an address.
const PROGRAM_LEN: usize = 2 * size_of::<usize>();

/// Refuses a thread of a mode that this kernel, or this crio, cannot suspend or read.
pub fn judge(tid: Pid, mode: u8) -> Result<()> {
    let needed: &[Feature] = match i32::from(mode) {
        0 => &[],
        mode if mode == SeccompMode::Filter as i32 => &[Feature::SeccompSuspend, Feature::SeccompFilters],
        _ => &[Feature::SeccompSuspend],
    };
    let missing = needed.iter().map(|feature| check::probe(*feature)).find(|finding| !finding.is_present());
    missing.map_or(Ok(()), |finding| {
        Err(Error::new("E-SECCOMP", Blame::Kernel, "has a seccomp mode, which cannot be kept here")
            .on(format!("thread {tid}"))
            .detail(finding.explanation())
            .help("run crio with CAP_SYS_ADMIN and outside of seccomp, on a kernel with CONFIG_CHECKPOINT_RESTORE"))
    })
}

/// Suspends seccomp for all threads that have it, for as long as they are traced. `guarded` says that we do not end with
/// the process that was called.
pub fn suspend(frozen: &Frozen, looks: &[Look], guarded: bool) -> Result<()> {
    for (task, look) in frozen.tasks().iter().zip(looks) {
        for (tid, status) in task.threads.iter().zip(&look.threads) {
            if status.seccomp != 0 {
                suspend_thread(*tid, guarded)
                    .map_err(|e| e.on(format!("thread {tid}")).task(task.pid, &task.comm))?;
            }
        }
    }
    Ok(())
}

fn suspend_thread(tid: Pid, guarded: bool) -> Result<()> {
    if !guarded {
        let reason = "has set a seccomp mode since the survey";
        return Err(Error::new("E-SECCOMP", Blame::Environment, reason).help("dump it again"));
    }
    let options = ptrace::O_TRACESYSGOOD | ptrace::O_SUSPEND_SECCOMP;
    ptrace::set_options(tid, options).os(|| format!("PTRACE_O_SUSPEND_SECCOMP {tid}"))
}

/// The filters of a dump. Chains that begin alike share entries.
#[derive(Debug, Default)]
pub struct SeccompDump {
    filters: Vec<SeccompFilter>,
    known: HashMap<(Option<u32>, Filter), u32>,
}

impl SeccompDump {
    /// Adds what a stopped thread of this mode has.
    pub fn add(&mut self, tid: Pid, mode: u8, thread: &mut ThreadCoreEntry) -> Result<()> {
        thread.seccomp_mode = (mode != 0).then_some(mode.into());
        if i32::from(mode) == SeccompMode::Filter as i32 {
            let filters = tracee::filters(tid)?;
            if filters.iter().any(Filter::may_notify) {
                let reason = "has a seccomp filter with a listener (SECCOMP_RET_USER_NOTIF), whose requests no interface shows";
                return Err(
                    Error::new("E-SECCOMP-LISTENER", Blame::Program, reason).on(format!("thread {tid}"))
                );
            }
            thread.seccomp_filter = self.add_chain(filters);
        }
        Ok(())
    }

    /// The index of the newest.
    fn add_chain(&mut self, filters: Vec<Filter>) -> Option<u32> {
        filters.into_iter().fold(None, |prev, filter| {
            let index = *self.known.entry((prev, filter.clone())).or_insert(self.filters.len() as u32);
            if index as usize == self.filters.len() {
                let flags = (filter.flags != 0).then_some(filter.flags);
                self.filters.push(SeccompFilter { filter: filter.program, prev, flags });
            }
            Some(index)
        })
    }

    /// Writes the image, if there is anything in it.
    pub fn write(self, images: &ImageDir) -> Result<()> {
        match self.filters.is_empty() {
            true => Ok(()),
            false => images.write_one(Kind::Seccomp, &SeccompEntry { seccomp_filters: self.filters }),
        }
    }
}

/// What a thread sets.
#[derive(Debug, Clone, PartialEq)]
pub enum Seccomp<'a> {
    /// Nothing.
    Disabled,
    /// read(2), write(2), _exit(2) and sigreturn(2) are left.
    Strict,
    /// These filters, the oldest first.
    Filters(Vec<Set<'a>>),
}

/// A filter to be set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Set<'a> {
    filter: &'a SeccompFilter,
    /// For every thread of the process.
    for_all: bool,
}

impl<'a> Seccomp<'a> {
    fn filters(&self) -> &[Set<'a>] {
        match self {
            Seccomp::Filters(filters) => filters,
            _ => &[],
        }
    }
}

/// The filters of the images.
#[derive(Debug, Default)]
pub struct SeccompRestore {
    filters: Vec<SeccompFilter>,
}

impl SeccompRestore {
    /// Reads the image.
    pub fn load(images: &ImageDir) -> Result<Self> {
        let all = images.read_one::<SeccompEntry>(Kind::Seccomp)?.unwrap_or_default();
        Ok(SeccompRestore { filters: all.seccomp_filters })
    }

    /// What the thread is to set, checked.
    pub fn of(&self, core: &CoreEntry, process: &TaskCoreEntry) -> Result<Seccomp<'_>> {
        let mode = i32::from(mode(core, process));
        if mode == SeccompMode::Strict as i32 {
            return Ok(Seccomp::Strict);
        } else if mode != SeccompMode::Filter as i32 {
            return Ok(Seccomp::Disabled);
        }
        let (mut chain, mut next) = (Vec::new(), newest(core, process));
        while let Some(index) = next {
            // Longer than all filters together, it is a circle.
            let filter = self.filters.get(index as usize).filter(|_| chain.len() < self.filters.len());
            let filter = filter.ok_or_else(|| bad(index, "is not there, or before itself"))?;
            let steps = filter.filter.len() / FILTER_STEP;
            if !filter.filter.len().is_multiple_of(FILTER_STEP) || !(1..=MOST_STEPS).contains(&steps) {
                return Err(bad(index, "is no program"));
            }
            if filter.flags.unwrap_or(0) & !FLAG_LOG != 0 {
                return Err(bad(index, "has flags that are unknown"));
            }
            chain.push(Set { filter, for_all: false });
            next = filter.prev;
        }
        chain.reverse();
        Ok(Seccomp::Filters(chain))
    }

    /// What the threads of a process set, in the order in which they do: the first of them for all what they share.
    pub fn of_threads<'c>(
        &self,
        cores: impl Iterator<Item = &'c CoreEntry>,
        process: &TaskCoreEntry,
    ) -> Result<Vec<Seccomp<'_>>> {
        let mut wanted = cores.map(|core| self.of(core, process)).collect::<Result<Vec<_>>>()?;
        let Some((first, others)) = wanted.split_first_mut().filter(|(_, others)| !others.is_empty()) else {
            return Ok(wanted);
        };
        let have = |thread: &Seccomp<'_>, at: usize, filter: &SeccompFilter| {
            thread.filters().get(at).is_some_and(|set| std::ptr::eq(set.filter, filter))
        };
        let is_shared =
            |(at, set): &(usize, &Set<'_>)| others.iter().all(|thread| have(thread, *at, set.filter));
        let shared = first.filters().iter().enumerate().take_while(is_shared).count();
        if let Seccomp::Filters(filters) = first {
            filters.iter_mut().take(shared).for_each(|set| set.for_all = true);
        }
        for thread in others {
            if let Seccomp::Filters(filters) = thread {
                filters.drain(..shared);
            }
        }
        Ok(wanted)
    }
}

fn bad(index: u32, reason: &str) -> Error {
    Error::image(Kind::Seccomp.file_name(), format!("filter {index} {reason}"))
}

/// The mode that a thread is to have, `SECCOMP_MODE_*`. Images of old have one for the whole process.
pub fn mode(core: &CoreEntry, process: &TaskCoreEntry) -> u8 {
    let own = core.thread_core.as_ref().and_then(|thread| thread.seccomp_mode);
    own.or(process.old_seccomp_mode).unwrap_or(0) as u8
}

fn newest(core: &CoreEntry, process: &TaskCoreEntry) -> Option<u32> {
    core.thread_core.as_ref().and_then(|thread| thread.seccomp_filter).or(process.old_seccomp_filter)
}

/// Adds the calls by which a thread that its tracer has exempted sets its mode.
pub fn restore(batch: &mut Batch, wanted: &Seccomp<'_>) {
    match wanted {
        Seccomp::Disabled => {}
        Seccomp::Strict => {
            batch.call("seccomp SECCOMP_SET_MODE_STRICT", libc::SYS_seccomp, &[SET_MODE_STRICT, 0, 0]);
        }
        Seccomp::Filters(chain) => {
            for (index, Set { filter, for_all }) in chain.iter().enumerate() {
                let mut program = [0; PROGRAM_LEN];
                let (steps, address) =
                    (filter.filter.len() / FILTER_STEP, batch.put(&filter.filter) as usize);
                program[..2].copy_from_slice(&(steps as u16).to_ne_bytes());
                program[size_of::<usize>()..].copy_from_slice(&address.to_ne_bytes());
                let program = batch.put(&program);
                let what = format!("seccomp SECCOMP_SET_MODE_FILTER, filter {index} of {steps} instructions");
                let flags = filter.flags.unwrap_or(0) | if *for_all { FLAG_TSYNC } else { 0 };
                batch.call(what, libc::SYS_seccomp, &[SET_MODE_FILTER, flags.into(), program]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(byte: u8) -> Filter {
        Filter { program: vec![byte; FILTER_STEP], flags: u32::from(byte) & FLAG_LOG }
    }

    fn thread(mode: SeccompMode, filter: Option<u32>) -> CoreEntry {
        let thread_core = ThreadCoreEntry {
            seccomp_mode: Some(mode as i32),
            seccomp_filter: filter,
            ..ThreadCoreEntry::default()
        };
        CoreEntry { thread_core: Some(thread_core), ..CoreEntry::default() }
    }

    fn first_bytes(wanted: Result<Seccomp<'_>>) -> Vec<u8> {
        match wanted {
            Ok(wanted) => wanted.filters().iter().map(|set| set.filter.filter[0]).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn chains_that_begin_alike_share_entries_and_come_back_in_order() {
        let mut dump = SeccompDump::default();
        let parent = dump.add_chain(vec![filter(1), filter(2)]);
        let child = dump.add_chain(vec![filter(1), filter(2), filter(3)]);
        let other = dump.add_chain(vec![filter(2), filter(3)]);
        assert_eq!((parent, child, other, dump.filters.len()), (Some(1), Some(2), Some(4), 5));
        let restore = SeccompRestore { filters: dump.filters };
        let process = TaskCoreEntry::default();
        assert_eq!(first_bytes(restore.of(&thread(SeccompMode::Filter, child), &process)), [1, 2, 3]);
        assert_eq!(first_bytes(restore.of(&thread(SeccompMode::Filter, other), &process)), [2, 3]);
        assert_eq!(restore.filters[1].flags, Some(FLAG_LOG));
        assert_eq!(restore.of(&thread(SeccompMode::Strict, None), &process).unwrap(), Seccomp::Strict);
        let old = TaskCoreEntry {
            old_seccomp_mode: Some(SeccompMode::Filter as i32),
            old_seccomp_filter: parent,
            ..TaskCoreEntry::default()
        };
        assert_eq!(first_bytes(restore.of(&CoreEntry::default(), &old)), [1, 2]);
    }

    #[test]
    fn what_all_threads_have_is_set_once() {
        let mut dump = SeccompDump::default();
        let shared = dump.add_chain(vec![filter(1), filter(2)]);
        let [more, other] = [3, 4].map(|last| dump.add_chain(vec![filter(1), filter(2), filter(last)]));
        let restore = SeccompRestore { filters: dump.filters };
        let process = TaskCoreEntry::default();
        let sets = |newest: &[Option<u32>]| {
            let cores: Vec<_> = newest.iter().map(|newest| thread(SeccompMode::Filter, *newest)).collect();
            let set = |set: &Set<'_>| (set.filter.filter[0], set.for_all);
            let wanted = restore.of_threads(cores.iter(), &process).unwrap();
            wanted.iter().map(|thread| thread.filters().iter().map(set).collect()).collect::<Vec<Vec<_>>>()
        };
        assert_eq!(sets(&[more]), [vec![(1, false), (2, false), (3, false)]]);
        assert_eq!(
            sets(&[more, other, shared]),
            [vec![(1, true), (2, true), (3, false)], vec![(4, false)], vec![]]
        );
        let some = [thread(SeccompMode::Filter, shared), CoreEntry::default()];
        let wanted = restore.of_threads(some.iter(), &process).unwrap();
        assert_eq!((first_bytes(Ok(wanted[0].clone())), &wanted[1]), (vec![1, 2], &Seccomp::Disabled));
        assert!(!wanted[0].filters()[0].for_all);
    }

    #[test]
    fn an_impossible_chain_is_an_image_error() {
        let entry = |len, prev, flags| SeccompFilter { filter: vec![0; len], prev, flags };
        let filters = vec![
            entry(8, Some(1), None),
            entry(8, Some(0), None),
            entry(7, None, None),
            entry(8, None, Some(8)),
        ];
        let restore = SeccompRestore { filters };
        for index in [0, 2, 3, 4] {
            let wanted = restore.of(&thread(SeccompMode::Filter, Some(index)), &TaskCoreEntry::default());
            assert_eq!(wanted.map_err(|e| e.code()), Err("E-IMAGE-BAD"), "{index}");
        }
    }
}
