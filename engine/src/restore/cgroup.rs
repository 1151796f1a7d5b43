//! Tasks and threads enter their control groups.

use super::build;
use super::construction::{Built, Construction};
use super::plan::TaskPlan;
use crate::error::Result;
use crate::resource::cgroup::CgroupRestore;

impl Construction {
    /// Has the root make the namespace of the tree, which begins where it stands at that moment.
    pub(super) fn begin_cgroups(&mut self) -> Result<()> {
        let Construction { plan, built, told, .. } = self;
        let set = plan.tasks.first().and_then(|task| task.cgroup_sets().next().flatten());
        if let (Some(set), Some(built)) = (set, built.get_mut(&0))
            && plan.cgroups.has_namespace(set)
        {
            plan.cgroups.join_namespace_root(&built.proc, set)?;
            build::run(&mut built.loan, |batch| {
                let flags = [libc::CLONE_NEWCGROUP as u64];
                batch.call("unshare of the cgroup namespace", libc::SYS_unshare, &flags);
            })?;
            plan.cgroups.leave(&built.proc)?;
        }
        plan.prepare_cgroups(told)
    }

    /// Moves a process, that has no memory yet which would count for its group.
    pub(super) fn join_cgroups(&mut self, index: usize) -> Result<()> {
        let set = self.plan.tasks.get(index).and_then(|task| task.cgroup_sets().next().flatten());
        match (set, self.built.get(&index)) {
            (Some(set), Some(built)) => self.plan.cgroups.join(&built.proc, set),
            _ => Ok(()),
        }
    }
}

/// Moves threads, which were born in the groups of their leader.
pub(super) fn join_threads(task: &TaskPlan, built: &Built, cgroups: &CgroupRestore) -> Result<()> {
    let leader = task.cgroup_sets().next().flatten();
    for ((tid, _), set) in task.threads.iter().zip(task.cgroup_sets()) {
        if let Some(set) = set.filter(|_| set != leader) {
            cgroups.join_thread(&built.proc.thread(*tid), set)?;
        }
    }
    Ok(())
}
