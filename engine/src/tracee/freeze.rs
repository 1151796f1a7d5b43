//! A process tree that stands still: every thread seized and stopped.
//!
//! A [`Frozen`] tree is an owned value. Dropping it in any way lets every task go on as it was; what is to happen at
//! the end of a successful dump must be asked for by [`Frozen::release`].

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::departure::spare_resumption;
use super::zombie;
use crate::error::{Blame, Error, OsContext, Result};
use crate::kernel::stat::State;
use crate::kernel::{Pid, ProcDir, children, stat, status, tasks};
use crate::sys::ptrace::{self, Stop};

/// How long a killed thread may take to end: it may have much memory to give back.
const REAPING: Duration = Duration::from_secs(10);

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
    deadline: Instant,
}

impl Frozen {
    /// Seizes and stops `root` and all its descendants. Passes over the tree are repeated until one finds nothing new,
    /// because a task may fork until it is stopped. After `timeout` the attempt is given up.
    pub fn seize(root: Pid, timeout: Duration) -> Result<Self> {
        let mut frozen = Frozen { tasks: Vec::new(), deadline: Instant::now() + timeout };
        let mut known = HashSet::from([root]);
        frozen.add(root)?;
        let mut grown = true;
        while grown {
            grown = false;
            let mut index = 0;
            while index < frozen.tasks.len() {
                grown |= frozen.stop_new_threads(index)?;
                for pid in frozen.children(index)? {
                    if known.insert(pid) && frozen.add(pid)? {
                        grown = true;
                    }
                }
                index += 1;
            }
        }
        Ok(frozen)
    }

    /// The tasks, the root first, parents before their children.
    pub fn tasks(&self) -> &[FrozenTask] {
        &self.tasks
    }

    /// Fails if a task was killed meanwhile. SIGKILL ends the stop of a tracee at once, also of one that has not yet come
    /// to exit (ptrace_signal_wake_up in kernel/signal.c), and what could be read of it is no longer a program's state.
    pub fn confirm(&self) -> Result<()> {
        let stopped = |task: &&FrozenTask| task.zombie || ptrace::get_sigmask(task.pid).is_ok();
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

    fn add(&mut self, pid: Pid) -> Result<bool> {
        let found = ProcDir::open(pid).and_then(|proc| Ok((stat::read(&proc)?, proc)));
        let (stat, proc) = match found {
            // A child that was reaped between the listing and now is no part of the tree.
            Err(e) if e.code() == "E-TASK-GONE" && !self.tasks.is_empty() => return Ok(false),
            other => other?,
        };
        let comm = String::from_utf8_lossy(&stat.comm).escape_debug().to_string();
        let zombie = stat.state == State::Zombie;
        self.tasks.push(FrozenTask { pid, comm, proc, threads: Vec::new(), stopped_by: None, zombie });
        match self.stop_new_threads(self.tasks.len() - 1) {
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
    fn stop_new_threads(&mut self, index: usize) -> Result<bool> {
        let deadline = self.deadline;
        let Some(task) = self.tasks.get_mut(index).filter(|task| !task.zombie) else { return Ok(false) };
        let mut any = false;
        loop {
            let mut new: Vec<Pid> =
                tasks::read(&task.proc)?.into_iter().filter(|tid| !task.threads.contains(tid)).collect();
            // Ids start again from below when they are used up: the lowest need not be the leader's.
            new.sort_by_key(|tid| *tid != task.pid);
            if new.is_empty() {
                return Ok(any);
            }
            let mut seized = Vec::new();
            for tid in new {
                if task.seize(tid)? {
                    task.threads.push(tid);
                    seized.push(tid);
                }
            }
            if seized.is_empty() {
                return Ok(any);
            }
            any = true;
            for tid in seized {
                task.await_stop(tid, deadline)?;
            }
        }
    }

    fn let_go(&mut self, fate: Fate) -> Result<()> {
        let mut result = Ok(());
        for task in std::mem::take(&mut self.tasks).into_iter().rev() {
            result = result.and(task.let_go(fate));
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
    fn seize(&self, tid: Pid) -> Result<bool> {
        match ptrace::seize(tid, ptrace::O_TRACESYSGOOD) {
            Ok(()) if ptrace::interrupt(tid).is_ok() => Ok(true),
            // Attached and ended: the process cannot be reaped while its tracer has not taken notice of the thread.
            Ok(()) => {
                reap(tid);
                Ok(false)
            }
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            // A thread on its way out refuses (ptrace_attach in kernel/ptrace.c looks at exit_state).
            Err(_) if self.is_ending(tid) => Ok(false),
            Err(e) => Err(self.unseizable(tid, e)),
        }
    }

    /// Whether the thread is gone or going, without being a leader that others outlive.
    fn is_ending(&self, tid: Pid) -> bool {
        match self.proc.thread(tid).and_then(|thread| stat::read(&thread)) {
            Ok(stat) if tid == self.pid && stat.num_threads > 1 => false,
            Ok(stat) => matches!(stat.state, State::Zombie | State::Dead),
            Err(e) => e.code() == "E-TASK-GONE",
        }
    }

    fn unseizable(&self, tid: Pid, errno: std::io::Error) -> Error {
        let status = self.proc.thread(tid).and_then(|thread| status::read(&thread));
        let error = match status {
            Ok(status) if status.tracer_pid != 0 => Error::new(
                "E-TASK-TRACED",
                Blame::Program,
                format!("is already traced by process {}", status.tracer_pid),
            )
            .help("end the debugger or strace that is attached to it"),
            Ok(status) if status.state == State::Zombie => {
                Error::new("E-ZOMBIE-THREAD", Blame::Program, "its leader has exited while other threads run")
            }
            _ => Error::os("cannot be seized by ptrace", errno),
        };
        error.on(format!("thread {tid}")).task(self.pid, &self.comm)
    }

    fn await_stop(&mut self, tid: Pid, deadline: Instant) -> Result<()> {
        let mut pause = Duration::from_micros(5);
        loop {
            match ptrace::poll(tid).os(|| format!("wait for {tid}"))? {
                Some(Stop::Trap) => {
                    spare_resumption(tid);
                    return Ok(());
                }
                Some(Stop::Group(signal)) => {
                    self.stopped_by = Some(signal);
                    return Ok(());
                }
                Some(Stop::Signal(signal)) => {
                    // Delivered before our interrupt is: the handler's frame is set up, then the trap follows.
                    ptrace::cont(tid, signal).os(|| format!("PTRACE_CONT {tid}"))?;
                }
                Some(Stop::Exited(_)) => {
                    self.threads.retain(|t| *t != tid);
                    return Ok(());
                }
                Some(Stop::Syscall | Stop::Birth) => {
                    ptrace::cont(tid, 0).os(|| format!("PTRACE_CONT {tid}"))?
                }
                None if Instant::now() > deadline => return Err(self.unstoppable(tid)),
                None => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(1));
                }
            }
        }
    }

    fn unstoppable(&self, tid: Pid) -> Error {
        let wchan = self.proc.thread(tid).and_then(|t| t.read("wchan")).unwrap_or_default();
        Error::new("E-FREEZE-TIMEOUT", Blame::Program, "did not stop in time")
            .on(format!("thread {tid}"))
            .task(self.pid, &self.comm)
            .detail(format!("it waits in the kernel at {}", String::from_utf8_lossy(&wchan)))
            .help("wait until its I/O or its vfork child has finished, or give --timeout more seconds")
    }

    fn let_go(self, fate: Fate) -> Result<()> {
        if self.zombie {
            return Ok(());
        }
        let named = |what: &'static str| move || format!("{what} {}", self.pid);
        let pid = nix::unistd::Pid::from_raw(self.pid);
        match fate {
            Fate::Resume => {}
            Fate::Stop if self.stopped_by.is_some() => {}
            Fate::Stop => nix::sys::signal::kill(pid, nix::sys::signal::SIGSTOP).os(named("kill"))?,
            Fate::Kill => nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL).os(named("kill"))?,
        }
        let mut result = Ok(());
        // The leader last: it can be reaped only after the others.
        for tid in self.threads.iter().rev() {
            if fate == Fate::Kill {
                reap(*tid);
            } else {
                let detached = ptrace::detach(*tid);
                if detached.is_err() {
                    // It has died, and its parent is told when its tracer knows.
                    let _ = ptrace::poll(*tid);
                }
                result = result.and(detached.os(named("PTRACE_DETACH")));
            }
        }
        result
    }
}

/// Waits for the end of a thread that was killed or is ending, within reason.
pub fn reap(tid: Pid) {
    let deadline = Instant::now() + REAPING;
    let mut pause = Duration::from_micros(5);
    while !matches!(ptrace::poll(tid), Ok(Some(Stop::Exited(_))) | Err(_)) && Instant::now() < deadline {
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(1));
    }
}

/// Waits for the first stop of a task that was born under `O_TRACE_BIRTHS` or seized just now.
pub fn await_newborn(tid: Pid) -> Result<()> {
    loop {
        match ptrace::wait(tid).os(|| format!("wait for {tid}"))? {
            Stop::Trap => return Ok(()),
            Stop::Exited(_) => {
                return Err(Error::os(
                    format!("wait for {tid}"),
                    std::io::Error::from_raw_os_error(libc::ESRCH),
                ));
            }
            _ => ptrace::cont(tid, 0).os(|| format!("PTRACE_CONT {tid}"))?,
        }
    }
}
