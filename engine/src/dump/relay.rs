//! The way of each task through the dump: looked at from outside, borrowed, written down.
//!
//! The tracer alone can borrow a task, and it is one thread of ours; it waits for the task half of the time. In a tree of
//! many tasks another thread does the rest meanwhile, for the tasks before and after that one. Each task goes through
//! the same three steps in either case, and the tasks in the same order.

use std::sync::mpsc;

use super::Collector;
use crate::error::Result;
use crate::fault;
use crate::kernel::Pid;
use crate::kernel::smaps::Vma;
use crate::resource::ipc::IpcDump;
use crate::resource::memory::registered;
use crate::resource::task::seccomp::SeccompDump;
use crate::resource::task::{self, TaskDump};
use crate::tracee::{self, FrozenTask, Loan, Look, Site};

/// So many tasks are worth another thread.
const MANY: usize = 8;
/// How many tasks are looked at before the first of them is written down.
const AHEAD: usize = 2;

/// A task of the tree.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) task: &'a FrozenTask,
    pub(super) look: &'a Look,
}

/// What was seen of a task from outside before it was borrowed.
pub(super) struct Outside {
    pub(super) vmas: Vec<Vma>,
    /// The entry of its kernel objects, and whether its descriptor table is a new one.
    pub(super) ids: super::Ids,
    /// The cgroup set of each thread.
    pub(super) sets: Vec<Option<u32>>,
}

/// A task with what it has told about itself; `None` of a zombie.
type Told = Option<(Outside, TaskDump)>;

/// What asks tasks while they are on loan.
pub(super) struct Borrower<'a> {
    pub(super) ipc: IpcDump,
    pub(super) seccomp: SeccompDump,
    pub(super) tree: &'a [Pid],
}

impl Borrower<'_> {
    fn borrow(&mut self, Member { task, look }: Member<'_>, outside: &Outside) -> Result<TaskDump> {
        task::refuse_dispatch(task)?;
        registered::refuse_absent(task, &outside.vmas)?;
        let mut loan = Loan::take(Site::among(&task.proc, &outside.vmas)?, task.pid)?;
        self.ipc.add(task, &mut loan)?;
        let told = task::dump((task, look), self.tree, &mut loan, &mut self.seccomp)?;
        loan.end()?;
        fault::point("loan-ended")?;
        Ok(told)
    }

    fn ask(&mut self, member: Member<'_>, outside: Option<Outside>) -> Result<Told> {
        let Some(outside) = outside else { return Ok(None) };
        let told = self.borrow(member, &outside).map_err(|e| e.task(member.task.pid, &member.task.comm))?;
        Ok(Some((outside, told)))
    }
}

/// Takes all members through.
pub(super) fn run(
    members: &[Member<'_>],
    collector: &mut Collector<'_>,
    borrower: &mut Borrower<'_>,
) -> Result<()> {
    if members.len() < MANY {
        return members.iter().try_for_each(|member| {
            let outside = collector.look(*member)?;
            collector.keep(*member, borrower.ask(*member, outside)?)
        });
    }
    let (to_borrow, seen) = mpsc::channel();
    let (to_keep, told) = mpsc::channel();
    let beside = move || look_and_keep(members, collector, &to_borrow, &told);
    // Each side ends quietly when the other has failed.
    let borrow = move || {
        for (member, outside) in members.iter().zip(&seen) {
            if to_keep.send(borrower.ask(*member, outside)?).is_err() {
                break;
            }
        }
        Ok(())
    };
    let (borrowed, kept) = tracee::beside(beside, borrow)?;
    kept.and(borrowed)
}

/// The first step of all members and the last, which follows a few members behind.
fn look_and_keep(
    members: &[Member<'_>],
    collector: &mut Collector<'_>,
    to_borrow: &mpsc::Sender<Option<Outside>>,
    told: &mpsc::Receiver<Told>,
) -> Result<()> {
    let mut behind = members.iter();
    for (index, member) in members.iter().enumerate() {
        if to_borrow.send(collector.look(*member)?).is_err() {
            return Ok(());
        }
        if index >= AHEAD
            && let (Some(member), Ok(told)) = (behind.next(), told.recv())
        {
            collector.keep(*member, told)?;
        }
    }
    behind.zip(told).try_for_each(|(member, told)| collector.keep(*member, told))
}
