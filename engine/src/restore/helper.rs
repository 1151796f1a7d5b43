//! Processes that exist for a moment, so that a task gets a session, a group or a parent that fork(2) alone would not
//! give it.
//!
//! - A session whose leader lives, and whose member has another parent than the one that it is born of: the leader bears
//!   the member for its own parent (CLONE_PARENT), or for an ancestor further up: by a process between them, which exits
//!   while that ancestor is the subreaper (PR_SET_CHILD_SUBREAPER, `find_new_reaper` in kernel/exit.c).
//! - A session whose leader ended before the dump: a process with its pid calls setsid(2), bears the members in the same
//!   way, and exits.
//! - A group whose leader ended: one of its members bears a process with the leader's pid, which makes the group; the
//!   others join it.
//!
//! The ids live on as long as any task has them (`free_pid` in kernel/pid.c).

use super::birth::{self, fork, fork_any};
use super::build;
use super::construction::{Built, Construction};
use crate::error::{Error, Result};
use crate::kernel::{Pid, ProcDir, stat};
use crate::resource::task::lineage::Birth;
use crate::sys::ptrace::{self, Stop};
use crate::tracee::Loan;

/// A process that exists for its pid, and the task that has to reap it.
pub(super) struct Helper {
    child: Built,
    parent: usize,
}

impl Construction {
    /// Bears a task in the session of a living leader.
    pub(super) fn bear_beside(&mut self, index: usize, leader: usize) -> Result<()> {
        let above = self.plan.tasks.get(leader).and_then(|task| task.parent);
        let mut bearer =
            self.built.remove(&leader).ok_or_else(|| Error::bug("a session's leader is not there yet"))?;
        let borne = self.bear_for(&mut bearer.loan, above, index);
        self.built.insert(leader, bearer);
        borne
    }

    /// Bears all tasks that are to be born in a session whose leader is dead.
    pub(super) fn bear_orphans(&mut self, under: usize, sid: Pid) -> Result<()> {
        let lineage = &self.plan.lineage;
        let are_theirs = |index: &usize| lineage.birth(*index) == Birth::Orphan { under, sid };
        let members: Vec<usize> = (0..self.plan.tasks.len()).filter(are_theirs).collect();
        let shared = members.iter().fold(0, |all, member| all | self.shared_with_origin(*member));
        let mut leader = self.helper(under, sid, shared)?;
        build::run(&mut leader.child.loan, |batch| {
            batch.call("setsid", libc::SYS_setsid, &[]);
        })?;
        for member in members {
            self.bear_for(&mut leader.child.loan, Some(under), member)?;
        }
        self.dismiss(leader)
    }

    /// Has the thread on loan, a child of the task `above`, bear a task for the parent that it is to have.
    fn bear_for(&mut self, bearer: &mut Loan, above: Option<usize>, index: usize) -> Result<()> {
        let Some(task) = self.plan.tasks.get(index) else { return Ok(()) };
        let (pid, parent) = (task.pid, task.parent);
        let flags = self.shared_with_origin(index);
        // A sibling that got another id would be its parent's to reap, and it gets the exit signal of the bearer: one that
        // was adopted has that of fork(2), whoever bore it (reparent_leader() in kernel/exit.c).
        let inherits = stat::read(&ProcDir::open(bearer.tid())?)?.exit_signal;
        if parent == above && inherits == libc::SIGCHLD && !birth::by_last_pid() {
            let child = fork(bearer, pid, flags | libc::CLONE_PARENT as u64, birth::OF_FORK)?;
            self.enter(index, pid, child);
            return Ok(());
        }
        let parent = parent.unwrap_or(0);
        self.set_subreaper(parent, true)?;
        let mut between = self.fork_between(bearer, pid, flags)?;
        let child = fork(&mut between, pid, flags, birth::OF_FORK)?;
        self.enter(index, pid, child);
        self.end(between, bearer)?;
        self.set_subreaper(parent, false)
    }

    /// A child with any pid but this one.
    fn fork_between(&mut self, bearer: &mut Loan, not: Pid, flags: u64) -> Result<Loan> {
        let first = fork_any(bearer, flags)?.loan;
        self.guard_too(first.tid());
        if first.tid() != not {
            return Ok(first);
        }
        let second = fork_any(bearer, flags)?.loan;
        self.guard_too(second.tid());
        self.end(first, bearer)?;
        Ok(second)
    }

    /// Until the task gets the attribute that it had.
    fn set_subreaper(&mut self, index: usize, on: bool) -> Result<()> {
        build::run(&mut self.task(index)?.loan, |batch| {
            let args = [libc::PR_SET_CHILD_SUBREAPER as u64, on.into()];
            batch.call("prctl PR_SET_CHILD_SUBREAPER", libc::SYS_prctl, &args);
        })
    }

    /// A process that leads a new group, in the session of the task.
    pub(super) fn lead_dead_group(&mut self, member: usize, pgid: Pid) -> Result<Helper> {
        let mut leader = self.helper(member, pgid, 0)?;
        build::run(&mut leader.child.loan, |batch| {
            batch.call(format!("setpgid to {pgid}"), libc::SYS_setpgid, &[0, 0]);
        })?;
        Ok(leader)
    }

    fn helper(&mut self, parent: usize, pid: Pid, flags: u64) -> Result<Helper> {
        let child = fork(&mut self.task(parent)?.loan, pid, flags, birth::OF_FORK)?;
        self.guard_too(pid);
        Ok(Helper { child, parent })
    }

    /// Ends a helper, which its parent reaps.
    pub(super) fn dismiss(&mut self, helper: Helper) -> Result<()> {
        let Helper { child, parent } = helper;
        let mut reaper =
            self.built.remove(&parent).ok_or_else(|| Error::bug("the parent of a helper is gone"))?;
        let ended = self.end(child.loan, &mut reaper.loan);
        self.built.insert(parent, reaper);
        ended
    }

    /// Ends a process, which its parent reaps; the signal of that is forgotten with those of the zombies.
    fn end(&mut self, mut ending: Loan, parent: &mut Loan) -> Result<()> {
        let pid = ending.tid();
        exit(&mut ending)?;
        ending.forget();
        let reaped = parent.run_one(libc::SYS_wait4 as u64, [pid as u64, 0, libc::__WALL as u64, 0, 0, 0])?;
        if reaped != i64::from(pid) {
            return Err(Error::bug(format!("wait4 for the helper {pid} returned {reaped}")));
        }
        self.unguard(pid);
        Ok(())
    }
}

fn exit(loan: &mut Loan) -> Result<()> {
    let tid = loan.tid();
    loan.start_one(libc::SYS_exit_group as u64, [0; 6])?;
    loop {
        match ptrace::wait(tid) {
            Ok(Stop::Exited(_)) => return Ok(()),
            Ok(_) => ptrace::cont(tid, 0).map_err(|e| Error::os(format!("PTRACE_CONT {tid}"), e))?,
            Err(e) => return Err(Error::os(format!("wait for {tid}"), e)),
        }
    }
}
