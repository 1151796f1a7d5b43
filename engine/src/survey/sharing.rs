//! Kernel objects that tasks share: kcmp(2) tells, for running tasks too.
//!
//! Kept is what fork(2) and clone(2) of a parent and its child lead to: a common descriptor table, a common view of the
//! file system. Everything else is refused here, by the same errors as in the dump and the restore.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::present;
use crate::error::{Blame, Error, Result};
use crate::kernel::Pid;
use crate::kernel::kcmp::{self, KcmpSet, Kind, Place};
use crate::kernel::stat::Stat;

/// One process shares its memory with another one.
pub(crate) fn memory(other: Pid) -> Error {
    Error::new(
        "E-SHARED-MEMORY",
        Blame::Program,
        format!("shares its memory with process {other} (CLONE_VM)"),
    )
    .help("if this is a vfork(2) that takes long, wait until the child has executed its program")
}

/// A table belongs to tasks that are not parent and child.
pub(crate) fn table(kind: Kind, other: Pid) -> Error {
    let what = noun(kind);
    let reason = format!("shares {what} with process {other}, which is not its parent");
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

/// What was seen of a tree so far; parents come before their children.
#[derive(Debug)]
pub(super) struct Sharing {
    memory: KcmpSet<u64>,
    tables: [(Kind, KcmpSet<()>); 2],
    first: HashMap<(i32, u32), Pid>,
    ids: HashMap<(i32, Pid), u32>,
}

impl Default for Sharing {
    fn default() -> Self {
        let tables = [Kind::Files, Kind::Fs].map(|kind| (kind, KcmpSet::new(kind, 1)));
        let memory = KcmpSet::new(Kind::Vm, 1);
        Sharing { memory, tables, first: HashMap::new(), ids: HashMap::new() }
    }
}

impl Sharing {
    /// Compares a live task with those before.
    pub(super) fn add(&mut self, stat: &Stat) -> Result<Vec<Error>> {
        let place = Place { pid: stat.pid, fd: 0 };
        let mut found = Vec::new();
        // Tasks with one address space have one stack start; others seldom do.
        if let Some((id, new)) = present(self.memory.insert(stat.start_stack, place))? {
            let first = *self.first.entry((Kind::Vm as i32, id)).or_insert(stat.pid);
            found.extend((!new).then(|| memory(first)));
        }
        for (kind, set) in &mut self.tables {
            let Some((id, new)) = present(set.insert((), place))? else { continue };
            let key = *kind as i32;
            let first = *self.first.entry((key, id)).or_insert(stat.pid);
            let with_parent = self.ids.get(&(key, stat.ppid)) == Some(&id);
            self.ids.insert((key, stat.pid), id);
            found.extend((!new && !with_parent).then(|| table(*kind, first)));
        }
        Ok(found)
    }
}

/// Whether a thread has a table that its leader has not: unshare(2).
pub(super) fn of_thread(leader: Pid, tid: Pid) -> Result<Option<Error>> {
    for kind in [Kind::Files, Kind::Fs] {
        let order = kcmp::compare(kind, Place { pid: leader, fd: 0 }, Place { pid: tid, fd: 0 });
        if present(order)?.is_some_and(|order| order != Ordering::Equal) {
            let reason = format!("does not share {} with its process (unshare)", noun(kind));
            return Ok(Some(
                Error::new("E-SHARED-TABLE", Blame::Program, reason).on(format!("thread {tid}")),
            ));
        }
    }
    Ok(None)
}
