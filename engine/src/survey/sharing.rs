//! Kernel objects that tasks share: kcmp(2) tells, for running tasks too.
//!
//! Kept is what fork(2) and clone(2) of a parent and its child lead to: a common descriptor table, a common view of the
//! file system. Everything else is refused here, by the same errors as in the dump and the restore.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::thread::sleep;
use std::time::Instant;

use super::{PATIENCE, present};
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
        Ok((!new && stay_together(first, stat.pid)?).then(|| refuse_memory(first)))
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
            found.filter_map(|(other, stray)| {
                let other = stat(other)?.pid;
                Some((stat(stray)?, other, refuse_table(table.kind, other)))
            })
        });
        // Tables that were given up look the same.
        strays
            .filter(|(stat, other, _)| !is_exiting(stat.pid) && !is_exiting(*other))
            .map(|(stat, _, error)| (stat, error))
            .collect()
    }
}

/// Whether a thread is about to end, or has: it has given up its tables (kernel/exit.c, do_exit()).
fn is_exiting(tid: Pid) -> bool {
    ProcDir::open(tid).and_then(|thread| stat::read(&thread)).map_or(true, |stat| stat.is_exiting())
}

/// Whether two processes share their memory, and not only until one of them has executed a program or ended.
fn stay_together(one: Pid, other: Pid) -> Result<bool> {
    let place = |pid| Place { pid, fd: 0 };
    let since = Instant::now();
    loop {
        let order = present(kcmp::compare(Kind::Vm, place(one), place(other)))?;
        if order != Some(Ordering::Equal) || is_exiting(one) || is_exiting(other) {
            return Ok(false);
        }
        if since.elapsed() > PATIENCE {
            return Ok(true);
        }
        sleep(PATIENCE / 1000);
    }
}

/// Whether a thread has a table that its leader has not: unshare(2).
pub(super) fn of_thread(leader: Pid, tid: Pid) -> Result<Option<Error>> {
    for kind in [Kind::Files, Kind::Fs] {
        let order = kcmp::compare(kind, Place { pid: leader, fd: 0 }, Place { pid: tid, fd: 0 });
        let differs = present(order)?.is_some_and(|order| order != Ordering::Equal);
        if differs && !is_exiting(tid) && !is_exiting(leader) {
            let reason = format!("does not share {} with its process (unshare)", noun(kind));
            return Ok(Some(
                Error::new("E-SHARED-TABLE", Blame::Program, reason).on(format!("thread {tid}")),
            ));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;
    use crate::resource::task::lineage::Kin;
    use std::process::{Child, Command};

    /// A child that has ended; nobody has asked for its exit code.
    fn dead() -> Result<(Child, ProcDir, Stat)> {
        let child = Command::new("true").spawn().os(|| "start true")?;
        let proc = ProcDir::open(child.id() as Pid)?;
        loop {
            let stat = stat::read(&proc)?;
            if stat.state == stat::State::Zombie {
                return Ok((child, proc, stat));
            }
        }
    }

    #[test]
    fn what_was_given_up_is_not_shared() -> Result<()> {
        let own = ProcDir::current()?;
        let own_stat = stat::read(&own)?;
        let mut sharing = Sharing::default();
        assert!(sharing.add(&own_stat)?.is_none());
        let (pid, mut children, mut members) = (own_stat.pid, Vec::new(), vec![(own, own_stat)]);
        for _ in 0..2 {
            let (child, proc, stat) = dead()?;
            assert!(sharing.add(&stat)?.is_none(), "two dead processes have no memory in common");
            assert!(of_thread(pid, stat.pid)?.is_none() && of_thread(stat.pid, pid)?.is_none());
            children.push(child);
            members.push((proc, stat));
        }
        let kin = members.iter().enumerate().map(|(index, (_, stat))| Kin {
            pid: stat.pid,
            parent: (index > 0).then_some(0),
            sid: stat.sid,
        });
        let (lineage, _) = Lineage::of(&kin.collect::<Vec<_>>());
        assert_eq!(sharing.strays(&members, &lineage).len(), 0, "siblings have no table in common");
        children.iter_mut().try_for_each(|child| child.wait().map(drop)).os(|| "wait")
    }
}
