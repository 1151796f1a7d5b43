//! The tree under construction. Dropping it kills every task and removes what was made; [`Construction::let_go`] is the
//! only other way out.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use super::birth::{self, fork};
use super::build::{self, Finish, Identity, Workshop};
use super::epoll;
use super::helper::Helper;
use super::plan::{Body, Plan, TaskPlan};
use super::transport::Transport;
use crate::error::{Blame, Error, OsContext, Result};
use crate::fault;
use crate::kernel::smaps::{self, Vma};
use crate::kernel::{Pid, ProcDir};
use crate::options::RestoreOptions;
use crate::report::{Counts, NotKept, RestoreReport, RestoreStats};
use crate::resource::file::tty::{Foreground, TtyClaim};
use crate::resource::ipc::undo;
use crate::resource::memory::vdso::{Fit, Runtime};
use crate::resource::task::lineage::Birth;
use crate::sys::memory::task_size;
use crate::sys::ptrace;
use crate::tracee::{Area, Loan, Site, hole};
use crate::worker::Worker;
use crate::{log_debug, log_info};

/// Bytes of the area in tasks under construction: room for a thousand mappings at a time.
const AREA_LEN: u64 = 1 << 20;

/// A task that exists.
pub(super) struct Built {
    pub(super) loan: Loan,
    pub(super) proc: ProcDir,
    pub(super) fit: Fit,
    /// Its threads besides the leader.
    pub(super) threads: Vec<Pid>,
}

/// The processes that were made; dropped, it kills them.
struct Guard {
    pids: Vec<Pid>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.pids.iter().rev().for_each(|pid| birth::kill(*pid));
    }
}

/// Children of ours with the pids of dead processes, whose files in /proc can be opened as long as this exists.
struct StandIns(#[expect(dead_code, reason = "kept for its drop")] Guard);

impl StandIns {
    fn for_dead(pids: &BTreeSet<Pid>) -> Result<Self> {
        let mut guard = Guard { pids: Vec::new() };
        for pid in pids {
            birth::fork_idle(*pid, 0).map_err(|e| e.detail("files of that process in /proc are open"))?;
            guard.pids.push(*pid);
        }
        Ok(StandIns(guard))
    }
}

/// See the module text. The guard is the first field, so that the tasks are gone before their loans are dropped.
pub(super) struct Construction {
    guard: Guard,
    pub(super) plan: Plan,
    pub(super) transport: Transport,
    /// By index of the plan; zombies leave when they have exited.
    pub(super) built: BTreeMap<usize, Built>,
    pub(super) runtime: Runtime,
    /// What no task may unmap: the area and the parked vdso.
    keep: [Range<u64>; 2],
    pub(super) stats: RestoreStats,
    pub(super) told: Vec<NotKept>,
    /// Terminals that are to control sessions of the tree.
    claims: Vec<TtyClaim>,
    /// Whether we stay to take our own terminal back.
    lends_terminal: bool,
    /// Of our own terminal, lent to the tree.
    foreground: Option<Foreground>,
    /// Ids of sessions and groups that no task of the tree leads.
    pub(super) dead_leaders: BTreeSet<Pid>,
    /// Processors on which we may run: see [`OneProcessor`](crate::resource::task::scheduling::OneProcessor).
    home: Vec<u32>,
}

impl Construction {
    /// Makes the root: a child or a sibling of ours, traced, stripped of our mappings and descriptors.
    pub(super) fn begin(
        mut plan: Plan,
        options: &RestoreOptions,
        sibling: bool,
        home: &[u32],
    ) -> Result<Self> {
        let transport = Transport::new(plan.free_descriptor())?;
        let claims = plan.open_terminals()?;
        let mut told = Vec::new();
        plan.adopt_timers(&mut told);
        if options.detached && !options.sibling {
            plan.prepare_orphan(options.shell_job, &mut told);
        }
        // Before the tasks, whose pids the creators have for a moment.
        plan.make_ipc(&mut told)?;
        plan.make_cgroups(&mut told)?;
        plan.files.open_mapped_sockets()?;
        let root = plan.tasks.first().map_or(0, |task| task.pid);
        let flags = if sibling { libc::CLONE_PARENT as u64 } else { 0 };
        birth::fork_root(root, flags)?;
        let guard = Guard { pids: vec![root] };
        fault::point("root-forked")?;
        birth::adopt_root(root, plan.has_seccomp())?;
        fault::point("root-adopted")?;
        let proc = ProcDir::open(root)?;
        let vmas = smaps::read_maps(&proc)?;
        let (area, parking) = places(&plan, &vmas)?;
        // Handled and ignored signals are not yet those of the tree.
        let quiet = Site::quiet_signals(0, 0, plan.queued_signals());
        let site = Site { area, quiet, ..Site::among(&proc, &vmas)? };
        let mut runtime = Runtime::find(&vmas, &site.mem)?;
        let mut loan = Loan::take(site, root)?;
        build::settle(&mut loan, &transport)?;
        runtime.relocate(&mut loan, parking)?;
        fault::point("root-settled")?;
        let keep = [area.start..area.start + area.len, runtime.range()];
        let built = BTreeMap::from([(0, Built { loan, proc, fit: Fit::default(), threads: Vec::new() })]);
        let stats = RestoreStats::default();
        let dead_leaders = plan.dead_leaders();
        Ok(Construction {
            dead_leaders,
            home: home.to_vec(),
            guard,
            plan,
            transport,
            built,
            runtime,
            keep,
            stats,
            told,
            claims,
            lends_terminal: !options.detached,
            foreground: None,
        })
    }

    /// The root's pid.
    pub(super) fn root(&self) -> Pid {
        self.plan.tasks.first().map_or(0, |task| task.pid)
    }

    /// Builds every address space and bears all children.
    pub(super) fn populate(&mut self) -> Result<()> {
        for index in self.plan.lineage.order().to_vec() {
            self.named(index, |this| {
                if !this.built.contains_key(&index) {
                    this.bear(index)?;
                }
                this.join_cgroups(index)?;
                this.build_memory(index)?;
                this.lead_session(index)
            })?;
        }
        Ok(())
    }

    /// Names the task in an error.
    pub(super) fn named<T>(&mut self, index: usize, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        work(self).map_err(|e| match self.plan.tasks.get(index) {
            Some(task) => e.task(task.pid, &task.comm()),
            None => e,
        })
    }

    pub(super) fn task(&mut self, index: usize) -> Result<&mut Built> {
        self.built
            .get_mut(&index)
            .ok_or_else(|| Error::bug(format!("task {index} of the plan does not exist")))
    }

    fn bear(&mut self, index: usize) -> Result<()> {
        let task = self.plan.tasks.get(index).ok_or_else(|| Error::bug("a task beyond the plan"))?;
        let (pid, parent) = (task.pid, task.parent.unwrap_or(0));
        let exit_signal = task.process().exit_signal.unwrap_or(birth::OF_FORK);
        match self.plan.lineage.birth(index) {
            Birth::Fork | Birth::Early => {
                let flags = self.shared_with_origin(index);
                let child = fork(&mut self.task(parent)?.loan, pid, flags, exit_signal)?;
                self.enter(index, pid, child);
                Ok(())
            }
            Birth::Beside(leader) => self.bear_beside(index, leader),
            Birth::Orphan { under, sid } => self.bear_orphans(under, sid),
        }
    }

    /// `CLONE_*` flags for what a task shares with the one that it is born of.
    pub(super) fn shared_with_origin(&self, index: usize) -> u64 {
        let origin = self.plan.lineage.origin(index).unwrap_or(0);
        let shares = |of: fn(&Body) -> u32| {
            let id = |i: usize| self.plan.tasks.get(i).and_then(|t| t.body.as_ref()).map(of);
            id(index).is_some() && id(index) == id(origin)
        };
        let kinds: [(bool, i32); 2] = [
            (shares(|body| body.ids.files_id), libc::CLONE_FILES),
            (shares(|body| body.ids.fs_id), libc::CLONE_FS),
        ];
        kinds.iter().filter(|(on, _)| *on).fold(0, |all, (_, flag)| all | *flag as u64)
    }

    /// A task of the plan exists.
    pub(super) fn enter(&mut self, index: usize, pid: Pid, child: Built) {
        log_debug!("Task {pid} was born");
        self.guard.pids.push(pid);
        self.built.insert(index, child);
    }

    /// This process, too, must not outlive a failure.
    pub(super) fn guard_too(&mut self, pid: Pid) {
        self.guard.pids.push(pid);
    }

    /// This process is gone.
    pub(super) fn unguard(&mut self, pid: Pid) {
        self.guard.pids.retain(|p| *p != pid);
    }

    fn build_memory(&mut self, index: usize) -> Result<()> {
        let Construction { plan, transport, built, runtime, keep, stats, home, .. } = self;
        let origin = plan.lineage.origin(index).and_then(|origin| built.get(&origin));
        let origin_fit = origin.map_or_else(Fit::default, |origin| origin.fit.clone());
        let Some(built) = built.get_mut(&index) else { return Ok(()) };
        build::memory(plan, index, built, &origin_fit, Workshop { transport, runtime, keep, stats, home })?;
        fault::point("memory-built")
    }

    fn lead_session(&mut self, index: usize) -> Result<()> {
        let Some(task) = self.plan.tasks.get(index) else { return Ok(()) };
        if task.sid != task.pid {
            return Ok(());
        }
        let pid = task.pid;
        let of_index = self.plan.tasks.iter().enumerate().filter(|(_, child)| child.parent == Some(index));
        let early = of_index.map(|(i, _)| i).filter(|i| self.plan.lineage.birth(*i) == Birth::Early);
        // Children that are in the session of before can only be born before.
        for child in early.collect::<Vec<_>>() {
            self.bear(child)?;
        }
        let loan = &mut self.task(index)?.loan;
        build::run(loan, |batch| {
            batch.call("setsid", libc::SYS_setsid, &[]);
        })?;
        self.claim_terminal(index, pid)
    }

    /// Puts tasks into their process groups, lets zombies exit.
    pub(super) fn group(&mut self) -> Result<()> {
        let leaders: HashSet<Pid> = self.plan.tasks.iter().map(|task| task.pid).collect();
        let own = nix::unistd::getpgrp().as_raw();
        let order = |leads: bool| {
            let tasks = self.plan.tasks.iter().enumerate();
            tasks
                .filter(move |(_, t)| (t.pgid == t.pid) == leads)
                .map(|(i, t)| (i, t.pgid, t.sid == t.pid))
                .collect::<Vec<_>>()
        };
        let mut helpers: BTreeMap<Pid, Helper> = BTreeMap::new();
        for (index, pgid, session_leader) in order(true).into_iter().chain(order(false)) {
            // A session leader leads its group already; our own group is inherited.
            if session_leader || (pgid == own && !leaders.contains(&pgid)) {
                continue;
            }
            if self.dead_leaders.contains(&pgid) {
                if self.is_in_group(index, pgid)? {
                    continue;
                }
                if let Entry::Vacant(helper) = helpers.entry(pgid) {
                    helper.insert(self.named(index, |this| this.lead_dead_group(index, pgid))?);
                }
            }
            self.named(index, |this| {
                build::run(&mut this.task(index)?.loan, |batch| {
                    batch.call(format!("setpgid to {pgid}"), libc::SYS_setpgid, &[0, pgid as u64]);
                })
            })?;
        }
        helpers.into_values().try_for_each(|helper| self.dismiss(helper))?;
        self.open_controlling_terminals()?;
        self.set_foreground()?;
        for index in (0..self.plan.tasks.len()).rev() {
            let zombie = self.plan.tasks.get(index).is_some_and(|task| task.body.is_none());
            if zombie {
                self.named(index, |this| this.exit(index))?;
            }
        }
        Ok(())
    }

    fn is_in_group(&mut self, index: usize, pgid: Pid) -> Result<bool> {
        let pid = nix::unistd::Pid::from_raw(self.task(index)?.proc.pid());
        let group = nix::unistd::getpgid(Some(pid)).os(|| format!("getpgid {pid}"))?;
        Ok(group.as_raw() == pgid)
    }

    fn exit(&mut self, index: usize) -> Result<()> {
        let process = self.plan.tasks.get(index).map(TaskPlan::process).unwrap_or_default();
        let Some(mut built) = self.built.remove(&index) else { return Ok(()) };
        let pid = built.proc.pid();
        build::name_and_exit(&mut built.loan, &process)?;
        built.loan.forget();
        self.unguard(pid);
        Ok(())
    }

    /// Places every task in the file system, then opens every description once and installs it in the tables that have
    /// it. A task borrows descriptors for its place, so no table, which tasks may share, can be filled before.
    pub(super) fn open_files(&mut self) -> Result<()> {
        self.log_in()?;
        self.make_userfaultfds()?;
        let stand_ins = StandIns::for_dead(&self.plan.files.dead_processes())?;
        self.open_sockets()?;
        // Before any table is filled: descriptors are lent to tasks that have nothing open, and tables may be shared.
        self.with_bodies(|plan, transport, built, body| {
            build::place_in_file_system(built, &body.fs, plan, transport)?;
            build::asynchronous_contexts(built, body, transport)
        })?;
        self.bear_threads()?;
        self.watch()?;
        let (mut done, mut asynchronous) = (HashSet::new(), HashSet::new());
        for after in [false, true] {
            self.with_bodies(|plan, transport, built, body| match done.insert((after, body.ids.files_id)) {
                true => {
                    build::install_table(built, body.ids.files_id, plan, transport, after, &mut asynchronous)
                }
                false => Ok(()),
            })?;
        }
        drop(stand_ins);
        self.lock()
    }

    /// Bears all threads besides the leaders, which owners of signals and pidfds may lead to.
    fn bear_threads(&mut self) -> Result<()> {
        let indices: Vec<usize> = self.built.keys().copied().collect();
        for index in indices {
            self.named(index, |this| {
                let Construction { plan, built, .. } = this;
                match (built.get_mut(&index), plan.tasks.get(index)) {
                    (Some(built), Some(task)) => build::threads(task, built, &plan.cgroups),
                    _ => Ok(()),
                }
            })?;
        }
        fault::point("threads-born")
    }

    /// Gives epoll instances their targets, while all tables are empty.
    fn watch(&mut self) -> Result<()> {
        for (index, entry, targets) in epoll::instances(&self.plan)? {
            self.named(index, |this| {
                let Construction { plan, transport, built, told, .. } = this;
                let Some(built) = built.get_mut(&index) else { return Ok(()) };
                let (pid, comm) =
                    plan.tasks.get(index).map_or((0, String::new()), |task| (task.pid, task.comm()));
                let mut tell = |what| told.push(epoll::not_kept(pid, comm.clone(), what));
                epoll::watch(built, plan, transport, (entry, targets), &mut tell)
            })?;
        }
        Ok(())
    }

    /// Gives tasks their audit login uid, before they have anything open or lose a privilege.
    fn log_in(&mut self) -> Result<()> {
        for index in 0..self.plan.tasks.len() {
            self.named(index, |this| {
                let Construction { plan, transport, built, told, .. } = this;
                match (plan.tasks.get(index), built.get_mut(&index)) {
                    (Some(task), Some(built)) => build::log_in(task, built, transport, told),
                    _ => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// Does something with every task that is no zombie.
    fn with_bodies(
        &mut self,
        mut work: impl FnMut(&mut Plan, &Transport, &mut Built, &Body) -> Result<()>,
    ) -> Result<()> {
        for index in 0..self.plan.tasks.len() {
            self.named(index, |this| {
                let Construction { plan, transport, built, .. } = this;
                let Some(built) = built.get_mut(&index) else { return Ok(()) };
                // Taken out, because the files of the plan change while they are opened.
                let body = plan.tasks.get_mut(index).and_then(|task| task.body.take());
                let Some(body) = body else { return Ok(()) };
                let done = work(plan, transport, built, &body);
                if let Some(task) = plan.tasks.get_mut(index) {
                    task.body = Some(body);
                }
                done
            })?;
        }
        Ok(())
    }

    /// Opens /dev/tty in the sessions that have it open, where only their members can. While the claims last: a terminal
    /// that nothing else holds open is taken from its session.
    fn open_controlling_terminals(&mut self) -> Result<()> {
        for (id, sid, flags) in self.plan.files.opened_in_sessions()? {
            let member = |index: &usize| self.plan.tasks.get(*index).is_some_and(|task| task.sid == sid);
            let index = self.built.keys().copied().find(member).ok_or_else(|| {
                Error::image("files.img", format!("/dev/tty is open in session {sid}, where no task is left"))
            })?;
            self.named(index, |this| {
                let terminal = build::open_controlling(this.task(index)?, flags)?;
                this.plan.files.provide(id, terminal)
            })?;
        }
        Ok(())
    }

    /// Everything that is set last: signals, credentials, registers. What runs by itself waits for
    /// [`let_go`](Construction::let_go).
    pub(super) fn complete(&mut self) -> Result<()> {
        let indices: Vec<usize> = self.built.keys().copied().collect();
        self.plan.files.set_owners()?;
        self.plan.files.seal()?;
        self.take_semaphores()?;
        let identity = Identity::current()?;
        let mut left = HashSet::new();
        for index in indices {
            self.named(index, |this| {
                let Construction { plan, transport, built, told, home, .. } = this;
                let (Some(built), Some(task)) = (built.get_mut(&index), plan.tasks.get(index)) else {
                    return Ok(());
                };
                let Some(body) = &task.body else { return Ok(()) };
                let leave = left.insert(body.ids.files_id).then_some(&*transport);
                let (shared, seccomp) = (&plan.shared, &plan.seccomp);
                let with = Finish { shared, seccomp, identity: &identity, leave, home };
                build::complete(task, body, built, &with, told)?;
                fault::point("task-completed")
            })?;
        }
        self.plan.complete_cgroups(&mut self.told)
    }

    /// Has tasks do again what they are to undo of semaphore operations when they exit.
    fn take_semaphores(&mut self) -> Result<()> {
        for retake in self.plan.retakes(&mut self.told)? {
            let pid = retake.adjustment.pid;
            let is_owner = |task: &TaskPlan| task.pid == pid && task.body.is_some();
            let index = self.plan.tasks.iter().position(is_owner).ok_or_else(|| {
                Error::image(
                    "ipcns-sem",
                    format!("has something to undo by {pid}, which is no task of the tree"),
                )
            })?;
            self.named(index, |this| undo::retake(&mut this.task(index)?.loan, &retake))?;
        }
        Ok(())
    }

    /// Makes the session's terminal the controlling one, before children inherit that.
    fn claim_terminal(&mut self, index: usize, sid: Pid) -> Result<()> {
        let Construction { transport, built, claims, .. } = self;
        let Some(built) = built.get_mut(&index) else { return Ok(()) };
        match claims.iter().find(|claim| claim.sid == sid) {
            Some(claim) => build::claim_terminal(built, &claim.terminal, transport),
            None => Ok(()),
        }
    }

    /// Sets the foreground groups of terminals, now that the groups exist.
    fn set_foreground(&mut self) -> Result<()> {
        for claim in std::mem::take(&mut self.claims) {
            if claim.sid == 0 {
                self.foreground = self.lend_foreground(claim)?;
                continue;
            }
            let Construction { plan, transport, built, .. } = self;
            let leader = plan.tasks.iter().position(|task| task.pid == claim.sid);
            if let Some(built) = leader.and_then(|index| built.get_mut(&index)) {
                build::set_foreground(built, &claim.terminal, claim.pgrp, transport)?;
            }
        }
        Ok(())
    }

    /// The shell that called us waits for us in the foreground, and for the job through us. One that does not wait keeps
    /// its terminal.
    fn lend_foreground(&self, TtyClaim { pgrp, terminal, .. }: TtyClaim) -> Result<Option<Foreground>> {
        let led = |group: Pid| self.plan.tasks.iter().any(|task| task.pid == group);
        let root = self.plan.tasks.first().map(|task| task.pgid);
        match [Some(pgrp), root].into_iter().flatten().find(|group| led(*group)) {
            Some(group) if self.lends_terminal => Foreground::lend(terminal, group),
            _ => Ok(None),
        }
    }

    /// Has all tasks leave our memory for theirs, with their timers running: no hook comes any more.
    fn depart(&mut self) -> Result<()> {
        for index in self.built.keys().copied().collect::<Vec<_>>() {
            self.named(index, |this| {
                let Construction { plan, built, runtime, .. } = this;
                match (built.get_mut(&index), plan.tasks.get(index)) {
                    (Some(built), Some(task)) => build::depart(task, built, runtime, &plan.files),
                    _ => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// Sees that nobody has killed a task meanwhile: the tree is to run whole, or not at all.
    fn confirm(&mut self) -> Result<()> {
        for index in self.built.keys().copied().collect::<Vec<_>>() {
            self.named(index, |this| {
                let task = this.task(index)?;
                let mut tids = task.threads.iter().copied().chain([task.proc.pid()]);
                match tids.find(|tid| ptrace::get_sigmask(*tid).is_err()) {
                    Some(tid) => Err(Error::new(
                        "E-TASK-GONE",
                        Blame::Environment,
                        format!("thread {tid} was killed before it could run"),
                    )
                    .help("restore again; see who kills it")),
                    None => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// Lets all tasks run, or leaves them stopped.
    pub(super) fn let_go(mut self, worker: Option<Worker>, stopped: bool) -> Result<RestoreReport> {
        self.confirm()?;
        self.plan.files.start()?;
        self.plan.ipc.complete()?;
        self.depart()?;
        let counts = Counts {
            tasks: self.plan.tasks.len(),
            threads: self.plan.tasks.iter().map(|task| task.threads.len()).sum(),
            files: self.plan.files.entries().count(),
            vmas: self.plan.taken().len(),
        };
        self.stop(stopped)?;
        fault::point("before-letting-go")?;
        self.confirm()?;
        worker.map_or(Ok(()), Worker::outlive)?;
        // From here on nothing is taken back: a task that cannot be detached has died by itself.
        self.guard.pids.clear();
        if let Some(foreground) = self.foreground.take() {
            foreground.leave();
        }
        let root = self.root();
        let Construction { mut plan, built, stats, told, .. } = self;
        plan.files.commit();
        plan.ipc.keep();
        plan.cgroups.keep();
        for (index, task) in built {
            if index == counts.tasks / 2 {
                fault::late_point(fault::HALF_LET_GO);
            }
            let pid = task.proc.pid();
            for tid in task.threads.iter().chain([&pid]) {
                if let Err(error) = ptrace::detach(*tid) {
                    log_info!("Thread {tid} died before it ran: {error}");
                }
            }
            task.loan.forget();
        }
        Ok(RestoreReport { root, not_kept: told, counts, stats })
    }
}

/// Where area and vdso are while the tree is built: where neither we nor any task of the tree has a mapping.
fn places(plan: &Plan, vmas: &[Vma]) -> Result<(Area, u64)> {
    let mut taken = plan.taken();
    taken.extend(vmas.iter().map(Vma::range));
    taken.retain(|range| range.end <= task_size());
    let area = hole(&taken, AREA_LEN)?;
    taken.push(area.start..area.start + area.len);
    let parking = hole(&taken, 1 << 20)?;
    Ok((area, parking.start))
}
