//! Kernel objects that tasks share: kcmp(2) tells, for running tasks too.
//!
//! Kept is what fork(2) and clone(2) of a parent and its child lead to: a common descriptor table, a common view of the
//! file system. Everything else is refused here, by the same errors as in the dump and the restore.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::present;
use crate::error::{Blame, Error, Result};
use crate::kernel::kcmp::{self, KcmpSet, Kind, Place};
use crate::kernel::stat::{self, Stat};
use crate::kernel::{Pid, ProcDir};
use crate::resource::task::lineage::Lineage;

/// One process shares its memory with another one.
pub(crate) fn refuse_memory(other: Pid) -> Error {
    Error::new(
        "E-SHARED-MEMORY",
        Blame::Program,
        format!("shares its memory with process {other} (CLONE_VM)"),
    )
    .help("if this is a vfork(2) that takes long, wait until the child has executed its program")
}

/// A table belongs to tasks that are not parent and child.
pub(crate) fn refuse_table(kind: Kind, other: Pid) -> Error {
    let what = noun(kind);
    let reason = format!("shares {what} with process {other}, of which it was not born");
    Error::new("E-SHARED-TABLE", Blame::Program, reason)
        .help("that cannot be built yet; tell us which program does it")
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Fs => "its view of the file system (CLONE_FS)",
        Kind::Sighand => "its signal handlers (CLONE_SIGHAND)",
        _ => "its descriptor table (CLONE_FILES)",
    }
}

/// What was seen of a tree so far.
#[derive(Debug)]
pub(super) struct Sharing {
    memory: KcmpSet<u64>,
    first: HashMap<u32, Pid>,
    tables: [Table; 2],
}

/// One kind of table, and by index of the tasks which one they have.
#[derive(Debug)]
struct Table {
    kind: Kind,
    known: KcmpSet<()>,
    ids: Vec<Option<u32>>,
}

impl Default for Sharing {
    fn default() -> Self {
        let table = |kind| Table { kind, known: KcmpSet::new(kind, 1), ids: Vec::new() };
        let memory = KcmpSet::new(Kind::Vm, 1);
        Sharing { memory, first: HashMap::new(), tables: [Kind::Files, Kind::Fs].map(table) }
    }
}

impl Sharing {
    /// Compares a live task with those before.
    pub(super) fn add(&mut self, stat: &Stat) -> Result<Option<Error>> {
        let place = Place { pid: stat.pid, fd: 0 };
        for table in &mut self.tables {
            table.ids.push(present(table.known.insert((), place))?.map(|(id, _)| id));
        }
        // Tasks with one address space have one stack start; others seldom do.
        let Some((id, new)) = present(self.memory.insert(stat.start_stack, place))? else { return Ok(None) };
        let first = *self.first.entry(id).or_insert(stat.pid);
        Ok((!new).then(|| refuse_memory(first)))
    }

    /// A zombie has none of all this.
    pub(super) fn skip(&mut self) {
        self.tables.iter_mut().for_each(|table| table.ids.push(None));
    }

    /// The tasks that share a table with one that they are not born of.
    pub(super) fn strays<'m>(
        &self,
        members: &'m [(ProcDir, Stat)],
        lineage: &Lineage,
    ) -> Vec<(&'m Stat, Error)> {
        let stat = |index: usize| members.get(index).map(|(_, stat)| stat);
        let strays = self.tables.iter().flat_map(|table| {
            let found = lineage.strays(&table.ids).into_iter();
            found
                .filter_map(|(other, stray)| Some((stat(stray)?, refuse_table(table.kind, stat(other)?.pid))))
        });
        strays.collect()
    }
}

/// Whether a thread is about to end, or has: it has given up its tables (kernel/exit.c, do_exit()).
fn is_exiting(tid: Pid) -> bool {
    ProcDir::open(tid).and_then(|thread| stat::read(&thread)).map_or(true, |stat| stat.is_exiting())
}

/// Whether a thread has a table that its leader has not: unshare(2).
pub(super) fn of_thread(leader: Pid, tid: Pid) -> Result<Option<Error>> {
    for kind in [Kind::Files, Kind::Fs] {
        let order = kcmp::compare(kind, Place { pid: leader, fd: 0 }, Place { pid: tid, fd: 0 });
        if present(order)?.is_some_and(|order| order != Ordering::Equal) && !is_exiting(tid) {
            let reason = format!("does not share {} with its process (unshare)", noun(kind));
            return Ok(Some(
                Error::new("E-SHARED-TABLE", Blame::Program, reason).on(format!("thread {tid}")),
            ));
        }
    }
    Ok(None)
}
