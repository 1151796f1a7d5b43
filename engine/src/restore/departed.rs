//! Sessions and process groups whose leader has exited, and tasks whose parent is in another session than they are.
//!
//! A task gets its session by birth only (setsid(2) makes a new one), and a number can become that of a session or group
//! only by a process that has it as its pid. For a leader that is gone, a helper takes its pid for a moment: it leads,
//! the members join, and it exits, as the leader once did. A member keeps its parent, because the helper bears it
//! with CLONE_PARENT. So does the living leader of a session for a task that its own parent has adopted.

use std::collections::{BTreeMap, BTreeSet};

use super::build;
use super::construction::{Built, Construction, born};
use super::plan::Plan;
use crate::error::{Blame, Error, OsContext, Result};
use crate::kernel::Pid;
use crate::sys::ptrace::{self, Stop};
use crate::tracee::Loan;

const SHARED: u64 = (libc::CLONE_FILES | libc::CLONE_FS) as u64;

/// Who bears a task that cannot be born by its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Midwife {
    /// A helper with the pid of the session's former leader.
    Departed,
    /// The session's leader, by its index in the plan.
    Sibling(usize),
}

impl Plan {
    /// Pids that leaders of the tree's sessions and groups had, which no task has any more.
    pub(super) fn departed(&self) -> BTreeSet<Pid> {
        let living: BTreeSet<Pid> = self.tasks.iter().map(|task| task.pid).collect();
        let ids = self.tasks.iter().flat_map(|task| [task.sid, task.pgid]);
        ids.filter(|id| !living.contains(id) && !self.is_callers(*id)).collect()
    }

    /// The session that a task is in when it is born.
    fn birth_session(&self, index: usize) -> Option<Pid> {
        let task = self.tasks.get(index)?;
        if task.sid != task.pid {
            Some(task.sid)
        } else {
            self.tasks.get(task.parent?).map(|parent| parent.sid)
        }
    }

    /// Who bears the task, if its parent cannot.
    pub(super) fn midwife(&self, index: usize) -> Option<Midwife> {
        let task = self.tasks.get(index)?;
        let parent = task.parent?;
        let parents = [self.tasks.get(parent).map(|parent| parent.sid), self.birth_session(parent)];
        if task.sid == task.pid || parents.contains(&Some(task.sid)) || self.is_callers(task.sid) {
            return None;
        }
        Some(
            self.tasks
                .iter()
                .position(|leader| leader.pid == task.sid)
                .map_or(Midwife::Departed, Midwife::Sibling),
        )
    }

    /// What stands in the way of the helpers.
    pub(super) fn check_departed(&self) -> Vec<Error> {
        let mut problems = Vec::new();
        let mut parents = BTreeMap::new();
        for (index, task) in self.tasks.iter().enumerate() {
            let fine = match self.midwife(index) {
                None => true,
                Some(Midwife::Departed) => *parents.entry(task.sid).or_insert(task.parent) == task.parent,
                Some(Midwife::Sibling(leader)) => {
                    leader < index
                        && self.tasks.get(leader).is_some_and(|leader| leader.parent == task.parent)
                }
            };
            if !fine {
                let reason = format!("is in session {}, which its parent cannot bring it into", task.sid);
                problems.push(Error::new("E-SESSION", Blame::Program, reason).task(task.pid, &task.comm()));
            }
        }
        let threads: BTreeSet<Pid> =
            self.tasks.iter().flat_map(|task| &task.threads).map(|(tid, _)| *tid).collect();
        for pid in self.departed().intersection(&threads) {
            let reason = format!("thread {pid} has the number of a session or process group");
            problems.push(Error::image("pstree.img", reason));
        }
        problems
    }
}

impl Construction {
    /// Bears all children of one parent that were in the session of a leader that is gone.
    pub(super) fn bear_departed(&mut self, sid: Pid) -> Result<()> {
        let of_session = |(index, _): &(usize, _)| {
            self.plan.midwife(*index) == Some(Midwife::Departed)
                && self.plan.tasks.get(*index).is_some_and(|task| task.sid == sid)
        };
        let members: Vec<usize> =
            self.plan.tasks.iter().enumerate().filter(of_session).map(|(index, _)| index).collect();
        let first = members.first().and_then(|index| self.plan.tasks.get(*index));
        let parent =
            first.and_then(|task| task.parent).ok_or_else(|| Error::bug("a session without members"))?;
        let mut helper = self.helper(parent, sid)?;
        build::run(&mut helper.loan, |batch| {
            batch.call("setsid", libc::SYS_setsid, &[]);
        })?;
        for index in members {
            let Some(pid) = self.plan.tasks.get(index).map(|task| task.pid) else { continue };
            let flags = self.sharing(index, parent) | libc::CLONE_PARENT as u64;
            born(&mut helper.loan, &[pid], flags, 0)?;
            self.guard_also(pid);
            let child = Built::of(&helper.loan, pid, parent)?;
            self.built.insert(index, child);
        }
        self.dismiss(parent, helper)
    }

    /// Has the leader of a session bear a task that is its sibling.
    pub(super) fn bear_sibling(&mut self, index: usize, leader: usize) -> Result<()> {
        let task = self.plan.tasks.get(index).ok_or_else(|| Error::bug("a task beyond the plan"))?;
        let parent = task.parent.unwrap_or(0);
        let flags = self.sharing(index, leader);
        if self.sharing(index, parent) != flags {
            let reason = "shares files with its parent, which is in another session";
            return Err(Error::new("E-SESSION", Blame::Program, reason));
        }
        self.bear_by(index, leader, flags | libc::CLONE_PARENT as u64, 0)
    }

    /// Makes the process groups whose leader is gone: each by a helper, which a member bears. Returns the helpers.
    pub(super) fn lead_groups(&mut self) -> Result<Vec<(usize, Built)>> {
        let mut groups = BTreeMap::new();
        let departed = self.plan.departed();
        for (index, task) in
            self.plan.tasks.iter().enumerate().filter(|(_, task)| departed.contains(&task.pgid))
        {
            // The group with the session's own number came with the session.
            if task.pgid != task.sid {
                groups.entry(task.pgid).or_insert(index);
            }
        }
        let mut helpers = Vec::new();
        for (pgid, member) in groups {
            let mut helper = self.helper(member, pgid)?;
            build::run(&mut helper.loan, |batch| {
                batch.call("setpgid", libc::SYS_setpgid, &[0, 0]);
            })?;
            helpers.push((member, helper));
        }
        Ok(helpers)
    }

    /// A child of the task that does nothing but have a pid.
    fn helper(&mut self, parent: usize, pid: Pid) -> Result<Built> {
        let help = "restore where the number is free, such as a new pid namespace (unshare -p)";
        let loan = &mut self.task(parent)?.loan;
        born(loan, &[pid], SHARED, libc::SIGCHLD as u64).map_err(|e| e.help(help))?;
        self.guard_also(pid);
        Built::of(&self.task(parent)?.loan, pid, parent)
    }

    /// Ends a helper and has its parent wait for it.
    pub(super) fn dismiss(&mut self, parent: usize, helper: Built) -> Result<()> {
        let Built { mut loan, proc, .. } = helper;
        let pid = proc.pid();
        exit(&mut loan, pid)?;
        loan.forget();
        self.guard_no_longer(pid);
        build::run(&mut self.task(parent)?.loan, |batch| {
            batch.call(format!("wait4 {pid}"), libc::SYS_wait4, &[pid as u64, 0, 0, 0]);
        })
    }
}

fn exit(loan: &mut Loan, pid: Pid) -> Result<()> {
    loan.start_one(libc::SYS_exit_group as u64, [0; 6])?;
    while !matches!(ptrace::wait(pid).os(|| format!("wait for {pid}"))?, Stop::Exited(_)) {
        ptrace::cont(pid, 0).os(|| format!("PTRACE_CONT {pid}"))?;
    }
    Ok(())
}
