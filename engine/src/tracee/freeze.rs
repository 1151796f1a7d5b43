//! A process tree that stands still: every thread seized and stopped.
//!
//! A [`Frozen`] tree is an owned value. Dropping it in any way lets every task go on as it was; what is to happen at
//! the end of a successful dump must be asked for by [`Frozen::release`].

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};

use super::departure::spare_resumption;
use super::freezer::Freezer;
use super::wait::{Lookout, Pause, reap, reap_ended};
use super::zombie;
use crate::error::{Blame, Error, OsContext, Result};
use crate::fault;
use crate::kernel::stat::{Stat, State};
use crate::kernel::status::Status;
use crate::kernel::{Pid, ProcDir, children, stat, status, tasks};
use crate::log_warn;
use crate::parallel;
use crate::sys::ptrace::{self, Stop};

/// How long a thread that cannot be seized may be on its way to become one that can, or none.
const SETTLING: Duration = Duration::from_millis(500);
/// How long a thread may be silent until it is asked again to stop.
const SILENCE: Duration = Duration::from_millis(10);
/// How long threads that cannot be detached may take to stop or end.
const LEAVING: Duration = Duration::from_secs(1);

/// A stopped process, or a zombie.
#[derive(Debug)]
pub struct FrozenTask {
    /// Its id in our pid namespace.
    pub pid: Pid,
    /// Its name, for messages.
    pub comm: String,
    /// Its directory in /proc.
    pub proc: ProcDir,
    /// Its threads, the leader first; empty for a zombie.
    pub threads: Vec<Pid>,
    /// The job control signal that had stopped it before we came.
    pub stopped_by: Option<i32>,
    /// Exited and not yet reaped.
    pub zombie: bool,
}

/// What /proc shows of a task that stands still, and nobody but the task itself changes.
#[derive(Debug)]
pub struct Look {
    /// Of the process.
    pub stat: Stat,
    /// Of its threads, in the order of [`FrozenTask::threads`].
    pub threads: Vec<Status>,
}

/// What becomes of the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They go on as they were.
    Resume,
    /// They are stopped by SIGSTOP.
    Stop,
    /// They are killed.
    Kill,
}

/// A tree of stopped tasks, parents before their children.
#[derive(Debug)]
pub struct Frozen {
    tasks: Vec<FrozenTask>,
    /// By which it was frozen.
    freezer: Option<Freezer>,
    /// Threads of that cgroup, and whose they are; those that are not in the tree stand still meanwhile.
    inmates: HashSet<Pid>,
}

/// What a tree is frozen with.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    lookout: &'a Lookout,
    deadline: Instant,
}

impl Frozen {
    /// Seizes and stops `root` and all its descendants. Passes over the tree are repeated until one finds nothing new,
    /// because a task may fork until it is stopped. After `timeout` the attempt is given up. By a `freezer`, nothing runs
    /// from the first look on.
    pub fn seize(root: Pid, timeout: Duration, freezer: Option<Freezer>) -> Result<Self> {
        let deadline = Instant::now() + timeout;
        let mut frozen = Frozen { tasks: Vec::new(), freezer, inmates: HashSet::new() };
        Lookout::over(|lookout| {
            let attempt = Attempt { lookout, deadline };
            frozen.seize_inmates(attempt)?;
            frozen.seize_tree(root, attempt)
        })?;
        Ok(frozen)
    }

    /// Seizes all that are in the cgroup, and thaws it.
    fn seize_inmates(&mut self, attempt: Attempt<'_>) -> Result<()> {
        let Some(freezer) = &self.freezer else { return Ok(()) };
        freezer.freeze(attempt.deadline)?;
        for pid in freezer.processes()? {
            let Ok(proc) = ProcDir::open(pid) else { continue };
            for tid in tasks::read(&proc).unwrap_or_default() {
                // Why one cannot be seized is told if it is in the tree.
                if attempt.lookout.seize(pid, tid, ptrace::O_TRACESYSGOOD).is_ok() {
                    self.inmates.insert(tid);
                    let _ = ptrace::interrupt(tid);
                }
            }
        }
        freezer.thaw()
    }

    fn seize_tree(&mut self, root: Pid, attempt: Attempt<'_>) -> Result<()> {
        let mut known = HashSet::from([root]);
        self.add(root, attempt)?;
        let (mut grown, mut before) = (true, 0);
        while grown {
            grown = false;
            let mut index = 0;
            while index < self.tasks.len() {
                // What was added in this pass has just been looked at.
                if index < before {
                    grown |= self.stop_new_threads(index, attempt)?;
                }
                for pid in self.children(index)? {
                    if known.insert(pid) && self.add(pid, attempt)? {
                        grown = true;
                    }
                }
                index += 1;
            }
            before = self.tasks.len();
        }
        Ok(())
    }

    /// Device and inode of the cgroup that was frozen before.
    pub fn thawed(&self) -> Result<Option<(u64, u64)>> {
        self.freezer.as_ref().map_or(Ok(None), Freezer::thawed)
    }

    /// The tasks, the root first, parents before their children.
    pub fn tasks(&self) -> &[FrozenTask] {
        &self.tasks
    }

    /// Looks at all tasks, in their order.
    pub fn look(&self) -> Result<Vec<Look>> {
        let threads = |task: &FrozenTask| task.threads.iter().map(|tid| task.proc.thread(*tid)).collect();
        let threads: Vec<Vec<ProcDir>> = self.tasks.iter().map(threads).collect();
        let all: Vec<&ProcDir> = threads.iter().flatten().collect();
        let mut statuses = parallel::map(&all, |thread| status::read(thread))?.into_iter();
        let stats = parallel::map(&self.tasks, |task| stat::read(&task.proc))?;
        let look = |(stat, threads): (Stat, Vec<ProcDir>)| Look {
            stat,
            threads: statuses.by_ref().take(threads.len()).collect(),
        };
        Ok(stats.into_iter().zip(threads).map(look).collect())
    }

    /// Fails if a task was killed meanwhile. SIGKILL ends the stop of a tracee at once, also of one that has not yet come
    /// to exit (ptrace_signal_wake_up in kernel/signal.c), and what could be read of it is no longer a program's state.
    pub fn confirm(&self) -> Result<()> {
        let stopped = |task: &&FrozenTask| task.zombie || stands_still(task.pid);
        self.tasks.iter().find(|task| !stopped(task)).map_or(Ok(()), |task| Err(task.was_killed()))
    }

    /// Replaces an error by its cause, if that is the death of a task, which shows in many ways.
    pub fn explain(&self, error: Error) -> Error {
        match self.tasks.iter().find(|task| task.has_died()) {
            Some(task) if error.code() != "E-TASK-GONE" => task.was_killed().detail(error.headline()),
            _ => error,
        }
    }

    /// Ends the freeze; every task meets its fate even if one of them fails.
    pub fn release(mut self, fate: Fate) -> Result<()> {
        self.let_go(fate)
    }

    fn add(&mut self, pid: Pid, attempt: Attempt<'_>) -> Result<bool> {
        let found = ProcDir::open(pid).and_then(|proc| Ok((stat::read(&proc)?, proc)));
        let (stat, proc) = match found {
            // A child that was reaped between the listing and now is no part of the tree.
            Err(e) if e.code() == "E-TASK-GONE" && !self.tasks.is_empty() => return Ok(false),
            other => other?,
        };
        let comm = String::from_utf8_lossy(&stat.comm).escape_debug().to_string();
        let zombie = stat.state == State::Zombie;
        self.tasks.push(FrozenTask { pid, comm, proc, threads: Vec::new(), stopped_by: None, zombie });
        match self.stop_new_threads(self.tasks.len() - 1, attempt) {
            Err(e) if e.code() != "E-TASK-GONE" => return Err(e),
            _ => {}
        }
        self.settle_last()
    }

    /// A task that exits while it is seized has no thread left to stop: it is a zombie by now, or reaped.
    fn settle_last(&mut self) -> Result<bool> {
        let is_root = self.tasks.len() == 1;
        let Some(task) = self.tasks.last_mut() else { return Ok(false) };
        if !task.threads.is_empty() {
            return Ok(true);
        }
        match task.await_end() {
            Ok(()) if is_root => return Err(zombie::refuse_root().task(task.pid, &task.comm)),
            Ok(()) => task.zombie = true,
            Err(e) if e.code() == "E-TASK-GONE" && !is_root => {
                self.tasks.pop();
                return Ok(false);
            }
            Err(e) => return Err(e.task(task.pid, &task.comm)),
        }
        Ok(true)
    }

    fn children(&self, index: usize) -> Result<Vec<Pid>> {
        let Some(task) = self.tasks.get(index).filter(|task| !task.zombie) else { return Ok(Vec::new()) };
        children::read(&task.proc)
    }

    /// Seizes and stops the threads of a task that are not yet stopped; whether there were any.
    fn stop_new_threads(&mut self, index: usize, attempt: Attempt<'_>) -> Result<bool> {
        let Some(task) = self.tasks.get_mut(index).filter(|task| !task.zombie) else { return Ok(false) };
        let (mut any, mut ended) = (false, HashSet::new());
        loop {
            let (listed, known) = (tasks::read(&task.proc)?, task.threads.len());
            // A thread that executes a program ends the others, stopped or not, and takes the leader's id.
            task.threads.retain(|tid| stands_still(*tid));
            let mut settled = task.threads.len() == known;
            let stopped: HashSet<Pid> = task.threads.iter().copied().collect();
            let mut new: Vec<Pid> = listed.into_iter().filter(|tid| !stopped.contains(tid)).collect();
            // Ids start again from below when they are used up: the lowest need not be the leader's.
            new.sort_by_key(|tid| *tid != task.pid);
            let mut seized = Vec::new();
            for tid in new {
                let is_ours = self.inmates.contains(&tid) && !task.is_ending(tid);
                if is_ours || task.seize(tid, attempt)? {
                    task.threads.push(tid);
                    seized.push(tid);
                } else if ended.insert(tid) {
                    // It may have made another since the list was read.
                    settled = false;
                }
                if seized.len() > 1 {
                    fault::point("threads-seized")?;
                }
            }
            if seized.is_empty() && settled {
                return Ok(any);
            }
            any |= !seized.is_empty();
            task.await_stops(&seized, attempt.deadline)?;
        }
    }

    fn let_go(&mut self, fate: Fate) -> Result<()> {
        // What was frozen before does not run in between; but a frozen task does not die.
        let freezer = self.freezer.take();
        let frozen_again = freezer.as_ref().filter(|_| fate != Fate::Kill).map(Freezer::restore);
        let mut result = frozen_again.unwrap_or(Ok(()));
        let tasks = std::mem::take(&mut self.tasks);
        let of_tree: HashSet<Pid> = tasks.iter().flat_map(|task| &task.threads).copied().collect();
        // All of them before any is waited for: the tree ends as a whole.
        let told: Vec<Result<()>> = tasks.iter().rev().map(|task| task.tell(fate)).collect();
        for (task, told) in tasks.into_iter().rev().zip(told) {
            let killed = fate == Fate::Kill && told.is_ok();
            result = result.and(told).and(task.let_go(killed));
        }
        let deadline = Instant::now() + LEAVING;
        for tid in std::mem::take(&mut self.inmates).into_iter().filter(|tid| !of_tree.contains(tid)) {
            result = result.and(detach(tid, deadline));
        }
        result
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // What cannot be detached has died.
        let _ = self.let_go(Fate::Resume);
    }
}

impl FrozenTask {
    fn was_killed(&self) -> Error {
        Error::new("E-TASK-GONE", Blame::Environment, "was killed while it was being dumped")
            .task(self.pid, &self.comm)
    }

    fn await_end(&self) -> Result<()> {
        match stat::read(&self.proc)?.state {
            State::Zombie => zombie::await_end(&self.proc),
            _ => Err(Error::bug(format!("task {} runs, but no thread of it was found", self.pid))),
        }
    }

    fn has_died(&self) -> bool {
        match stat::read(&self.proc) {
            Ok(stat) => !self.zombie && (stat.state == State::Zombie || stat.is_exiting()),
            Err(error) => error.code() == "E-TASK-GONE",
        }
    }

    /// False when the thread ended meanwhile.
    fn seize(&self, tid: Pid, attempt: Attempt<'_>) -> Result<bool> {
        let patience = Instant::now() + SETTLING;
        let mut pause = Pause::default();
        loop {
            let errno = match attempt.lookout.seize(self.pid, tid, ptrace::O_TRACESYSGOOD) {
                Ok(()) if ptrace::interrupt(tid).is_ok() => return Ok(true),
                // Attached and ended: the process cannot be reaped while its tracer has not taken notice of the thread.
                Ok(()) => {
                    reap(tid);
                    return Ok(false);
                }
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(false),
                Err(e) => e,
            };
            // A thread on its way out refuses (ptrace_attach in kernel/ptrace.c looks at exit_state).
            if self.is_ending(tid) {
                return Ok(false);
            }
            let status = status::read(&self.proc.thread(tid)).ok();
            let tracer = status.as_ref().map_or(0, |status| status.tracer_pid);
            // One of ours that has executed a program has the leader's id now.
            if tracer == nix::unistd::gettid().as_raw() {
                return Ok(ptrace::interrupt(tid).is_ok());
            }
            // A leader that has ended may be about to give its id to the thread that has ended it.
            if tracer != 0 || Instant::now() > patience {
                return Err(self.unseizable(tid, tracer, errno));
            }
            reap_ended(&self.proc);
            pause.sleep();
        }
    }

    /// Whether the thread is gone or going, without being a leader that others outlive.
    fn is_ending(&self, tid: Pid) -> bool {
        match stat::read(&self.proc.thread(tid)) {
            Ok(stat) if tid == self.pid && stat.num_threads > 1 => false,
            Ok(stat) => matches!(stat.state, State::Zombie | State::Dead),
            Err(e) => e.code() == "E-TASK-GONE",
        }
    }

    fn unseizable(&self, tid: Pid, tracer: Pid, errno: std::io::Error) -> Error {
        if tracer == 0 && self.is_dead_leader(tid) {
            return self.leader_has_exited();
        }
        let error = match tracer {
            0 => Error::os("cannot be seized by ptrace", errno),
            tracer => {
                let reason = format!("is already traced by process {tracer}");
                Error::new("E-TASK-TRACED", Blame::Program, reason)
                    .help("end the debugger or strace that is attached to it")
            }
        };
        error.on(format!("thread {tid}")).task(self.pid, &self.comm)
    }

    fn is_dead_leader(&self, tid: Pid) -> bool {
        tid == self.pid && stat::read(&self.proc).is_ok_and(|stat| stat.state == State::Zombie)
    }

    fn leader_has_exited(&self) -> Error {
        Error::new("E-ZOMBIE-THREAD", Blame::Program, "its leader has exited while other threads run")
            .on(format!("thread {}", self.pid))
            .task(self.pid, &self.comm)
    }

    /// Waits until threads that were asked to stop have done so, or have ended: one after the other, since all do at once.
    fn await_stops(&mut self, pending: &[Pid], deadline: Instant) -> Result<()> {
        let mut ask_again = Instant::now() + SILENCE;
        for tid in pending {
            while !self.has_stopped(*tid)? {
                let now = Instant::now();
                if now > deadline {
                    return Err(self.unstoppable(*tid));
                }
                if now > ask_again {
                    // One that executes a program waits for our notice of those that it has ended. Then it has the
                    // leader's id, and is found by that.
                    reap_ended(&self.proc);
                    if ptrace::interrupt(*tid).is_err() {
                        break;
                    }
                    ask_again = now + SILENCE;
                }
            }
        }
        Ok(())
    }

    /// Whether the thread has stopped or is gone, after a while.
    fn has_stopped(&mut self, tid: Pid) -> Result<bool> {
        let signal = match ptrace::wait_for(tid, SILENCE) {
            Ok(None) => return Ok(false),
            Ok(Some(Stop::Trap)) => {
                spare_resumption(tid);
                return Ok(true);
            }
            Ok(Some(Stop::Exited(_))) => return Ok(true),
            // Reaped in passing, or it has another id.
            Err(e) if e.raw_os_error() == Some(libc::ECHILD) => return Ok(true),
            Err(e) => return Err(Error::os(format!("wait for {tid}"), e)),
            Ok(Some(Stop::Group(signal))) => {
                self.stopped_by = Some(signal);
                return Ok(true);
            }
            // Delivered before our interrupt is: the handler's frame is set up, then the trap follows.
            Ok(Some(Stop::Signal(signal))) => signal,
            Ok(Some(Stop::Syscall | Stop::Birth)) => 0,
        };
        match ptrace::cont(tid, signal) {
            // Killed meanwhile: its end follows.
            Err(e) if e.raw_os_error() != Some(libc::ESRCH) => {
                Err(Error::os(format!("PTRACE_CONT {tid}"), e))
            }
            _ => Ok(false),
        }
    }

    fn unstoppable(&self, tid: Pid) -> Error {
        if self.is_dead_leader(tid) {
            return self.leader_has_exited();
        }
        let wchan = self.proc.thread(tid).read("wchan").unwrap_or_default();
        let help = match wchan.as_slice() {
            b"handle_userfault" | b"userfaultfd_event_wait_completion" => {
                "a system call of it waits for the program that reads its userfaultfd: dump it again"
            }
            _ => "wait until its I/O or its vfork child has finished, or give --timeout more seconds",
        };
        Error::new("E-FREEZE-TIMEOUT", Blame::Program, "did not stop in time")
            .on(format!("thread {tid}"))
            .task(self.pid, &self.comm)
            .detail(format!("it waits in the kernel at {}", String::from_utf8_lossy(&wchan)))
            .help(help)
    }

    /// Sends the signal that leads to its fate.
    fn tell(&self, fate: Fate) -> Result<()> {
        match fate {
            _ if self.zombie => Ok(()),
            Fate::Resume => Ok(()),
            Fate::Stop if self.stopped_by.is_some() => Ok(()),
            Fate::Stop => self.signal(Signal::SIGSTOP),
            Fate::Kill => self.signal(Signal::SIGKILL),
        }
    }

    /// Every thread is let go, or waited for if it was killed, whatever fails before.
    fn let_go(self, killed: bool) -> Result<()> {
        if self.zombie {
            return Ok(());
        }
        let deadline = Instant::now() + LEAVING;
        let mut result = Ok(());
        // The leader last: it can be reaped only after the others.
        for tid in self.threads.iter().rev() {
            if !killed {
                result = result.and(detach(*tid, deadline));
                fault::late_point(fault::HALF_RELEASED);
            } else if !reap(*tid) {
                log_warn!("Thread {tid} of {} ({}) was killed, but has not ended yet", self.pid, self.comm);
            }
        }
        result
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match kill(nix::unistd::Pid::from_raw(self.pid), signal) {
            // It has ended by itself.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Error::os(format!("kill {} with {signal}", self.pid), errno)),
        }
    }
}

/// Lets one thread go. One that has not stopped yet refuses, and so does one that dies, because another that runs again
/// has ended the process or executes a program: it must be reaped.
fn detach(tid: Pid, deadline: Instant) -> Result<()> {
    let mut pause = Pause::default();
    loop {
        match ptrace::poll(tid) {
            Ok(Some(Stop::Exited(_))) | Err(_) => return Ok(()),
            // The stop that we have asked for follows.
            Ok(Some(Stop::Signal(signal))) => _ = ptrace::cont(tid, signal),
            // This is it, and nobody has looked at the thread since.
            Ok(Some(Stop::Trap)) => spare_resumption(tid),
            Ok(_) => {}
        }
        let detached = ptrace::detach(tid);
        let refused = detached.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::ESRCH));
        if !refused || Instant::now() > deadline {
            return detached.os(|| format!("PTRACE_DETACH {tid}"));
        }
        pause.sleep();
    }
}

/// Whether we trace the thread, and it stands still.
fn stands_still(tid: Pid) -> bool {
    ptrace::get_sigmask(tid).is_ok()
}
