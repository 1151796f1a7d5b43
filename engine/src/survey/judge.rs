//! What speaks against a dump and can change at any moment: namespaces, and tables that a thread has for itself.
//!
//! The survey asks here while the program runs, and the dump asks again when it stands still, before anything of ours
//! runs in it. Not here: seccomp, which the dump suspends (`resource::task::seccomp`) and refuses if it came since.

use super::sharing;
use crate::error::{Blame, Error, Result};
use crate::kernel::{ProcDir, ns, stat};
use crate::options::CgroupMode;
use crate::parallel;
use crate::tracee::FrozenTask;

/// The namespaces of a thread.
#[derive(Debug)]
pub(crate) struct Namespaces(Vec<(ns::Kind, Option<u32>)>);

impl Namespaces {
    /// Those of a process.
    pub(crate) fn of(process: &ProcDir) -> Result<Self> {
        Self::read(process, &ns::Kind::ALL)
    }

    fn read(proc: &ProcDir, kinds: &[ns::Kind]) -> Result<Self> {
        let each = kinds.iter().map(|kind| Ok((*kind, ns::read(proc, *kind)?)));
        Ok(Namespaces(each.collect::<Result<_>>()?))
    }

    /// Ours.
    pub(crate) fn own() -> Result<Self> {
        Self::of(&ProcDir::current()?)
    }

    /// Those that the tasks of a tree may have: ours, and the cgroup namespace of its root, unless cgroups are left alone.
    pub(crate) fn for_tree_of(mut self, root: &ProcDir, mode: CgroupMode) -> Result<Self> {
        let cgroup = ns::read(root, ns::Kind::Cgroup)?.filter(|_| mode != CgroupMode::Ignore);
        for (kind, namespace) in &mut self.0 {
            if *kind == ns::Kind::Cgroup && cgroup.is_some() {
                *namespace = cgroup;
            }
        }
        Ok(self)
    }

    fn get(&self, kind: ns::Kind) -> Option<u32> {
        self.0.iter().find_map(|(other, id)| (*other == kind).then_some(*id)?)
    }

    /// The kinds of which `thread`, whose these are, is not where `others` are.
    fn apart_from(&self, others: &Namespaces, thread: &ProcDir) -> Result<Vec<ns::Kind>> {
        let apart = self.0.iter().filter(|(kind, ours)| match ours {
            Some(_) => *ours != others.get(*kind),
            // The link is missing until the first child is born (pidns_for_children_get() in kernel/pid_namespace.c).
            None => *kind == ns::Kind::PidForChildren && others.get(*kind).is_some(),
        });
        let kinds: Vec<ns::Kind> = apart.map(|(kind, _)| *kind).collect();
        // A thread that exits leaves them (exit_task_namespaces() in kernel/nsproxy.c).
        let is_leaving = || Ok(stat::read(thread)?.is_exiting());
        if !kinds.is_empty() && is_leaving()? { Ok(Vec::new()) } else { Ok(kinds) }
    }
}

/// Judges the threads of one process.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    leader: &'a ProcDir,
    namespaces: Namespaces,
}

impl<'a> Judge<'a> {
    /// With what speaks against the process as a whole; `own` are the namespaces of crio.
    pub(crate) fn of(leader: &'a ProcDir, own: &Namespaces) -> Result<(Self, Vec<Error>)> {
        let namespaces = Namespaces::of(leader)?;
        let refuse = |kind: ns::Kind| {
            let reason = "is another one than crio's; namespaces are not dumped yet";
            Error::new("E-NAMESPACE", Blame::Program, reason)
                .on(format!("{} namespace", kind.link()))
                .help("run crio inside of the same namespace (nsenter)")
        };
        let errors = namespaces.apart_from(own, leader)?.into_iter().map(refuse).collect();
        Ok((Judge { leader, namespaces }, errors))
    }

    /// What speaks against a thread.
    pub(crate) fn thread(&self, thread: &ProcDir) -> Result<Vec<Error>> {
        let (pid, tid) = (self.leader.pid(), thread.pid());
        if tid == pid {
            return Ok(Vec::new());
        }
        let refuse = |kind: ns::Kind| {
            let reason = "is another one than its process's; namespaces are not dumped yet";
            Error::new("E-NAMESPACE", Blame::Program, reason)
                .on(format!("{} namespace of thread {tid}", kind.link()))
        };
        // One with a mount namespace of its own has tables of its own, too, and is refused for these.
        let apart = Namespaces::read(thread, &ns::Kind::OF_THREADS)?.apart_from(&self.namespaces, thread)?;
        Ok(sharing::of_thread(pid, tid)?.into_iter().chain(apart.into_iter().map(refuse)).collect())
    }
}

/// Refuses a task that stands still: what the survey has looked for may have come since.
pub(crate) fn refuse(task: &FrozenTask, own: &Namespaces) -> Result<()> {
    let (judge, mut errors) = Judge::of(&task.proc, own)?;
    errors.extend(
        parallel::map(&task.threads, |tid| judge.thread(&task.proc.thread(*tid)))?.into_iter().flatten(),
    );
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    Err(errors.fold(first, |first, other| first.detail(format!("also: {}", other.headline()))))
}
