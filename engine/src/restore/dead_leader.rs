//! Sessions and process groups whose leader ended before the dump: somebody has to have its pid while they are made.
//!
//! A session: the parent of its first members bears a process with the leader's pid, which calls setsid(2), bears the
//! members as its siblings (CLONE_PARENT), and exits. A group: one of its members bears a process with the leader's pid,
//! which makes the group; the others join it. The ids live on as long as any task has them (free_pid in kernel/pid.c).

use super::build;
use super::construction::{Built, Construction, fork};
use crate::error::{Error, Result};
use crate::kernel::Pid;
use crate::sys::ptrace::{self, Stop};
use crate::tracee::Loan;

/// A process that exists for its pid, and the task that has to reap it.
pub(super) struct Helper {
    child: Built,
    parent: usize,
}

impl Construction {
    /// Bears the task, and all its siblings of the same session, in a session whose leader is dead.
    pub(super) fn bear_in_dead_session(&mut self, index: usize) -> Result<()> {
        let Some(task) = self.plan.tasks.get(index) else { return Ok(()) };
        let (parent, sid) = (task.parent, task.sid);
        let members = self.plan.tasks.iter().enumerate().filter(|(_, t)| t.parent == parent && t.sid == sid);
        let members: Vec<(usize, Pid, u64)> =
            members.map(|(i, t)| (i, t.pid, self.shared_with_parent(i))).collect();
        let shared = members.iter().fold(0, |all, (.., flags)| all | flags);
        let mut leader = self.helper(parent.unwrap_or(0), sid, shared)?;
        build::run(&mut leader.child.loan, |batch| {
            batch.call("setsid", libc::SYS_setsid, &[]);
        })?;
        for (member, pid, flags) in members {
            let child = fork(&mut leader.child.loan, pid, flags | libc::CLONE_PARENT as u64)?;
            self.enter(member, pid, child);
        }
        self.dismiss(leader)
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
        let child = fork(&mut self.task(parent)?.loan, pid, flags)?;
        self.guard_too(pid);
        Ok(Helper { child, parent })
    }

    /// Ends a helper. Its parent reaps it; the signal of that is forgotten with those of the zombies.
    pub(super) fn dismiss(&mut self, helper: Helper) -> Result<()> {
        let Helper { child: Built { mut loan, .. }, parent } = helper;
        let pid = loan.tid();
        exit(&mut loan)?;
        loan.forget();
        let reaped = self
            .task(parent)?
            .loan
            .run_one(libc::SYS_wait4 as u64, [pid as u64, 0, libc::__WALL as u64, 0, 0, 0])?;
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
