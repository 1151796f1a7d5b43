//! Waiting for tracees, which may be killed or execute another program at any time.
//!
//! The kernel reports the end of a process only when all its other threads have been reaped (delay_group_leader() in
//! kernel/exit.c), and a thread that executes a program goes on only when those that it ends have been (de_thread() in
//! fs/exec.c). That is for the tracer to do. One that just waits for the leader, or for the lock that execve(2) holds
//! meanwhile, waits for ever. So every wait here takes notice of threads that have ended.
//!
//! Leaders are never reaped in passing: their pids would be free for others while we still use them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::error::{Blame, Error, OsContext, Result};
use crate::kernel::stat::{self, State};
use crate::kernel::{Pid, ProcDir, tasks};
use crate::sys::ptrace::{self, Stop};

/// How long a killed thread may take to end: it may have much memory to give back.
const REAPING: Duration = Duration::from_secs(10);
/// How long a tracee may be silent until we look whether it waits for us.
const SILENCE: Duration = Duration::from_millis(10);

/// Waits for the next stop or the end of a thread.
pub(super) fn wait(tid: Pid) -> Result<Stop> {
    let mut look = Instant::now() + SILENCE;
    loop {
        if let Some(stop) = ptrace::wait_for(tid, SILENCE).os(|| format!("wait for {tid}"))? {
            return Ok(stop);
        }
        if Instant::now() > look {
            reap_others_of_the_dead(tid);
            look = Instant::now() + SILENCE;
        }
    }
}

/// Waits for the first stop of a task that was born under `O_TRACE_BIRTHS` or seized just now.
pub fn await_newborn(tid: Pid) -> Result<()> {
    loop {
        match wait(tid)? {
            Stop::Trap => return Ok(()),
            Stop::Exited(_) => return Err(gone(tid)),
            _ => ptrace::cont(tid, 0).os(|| format!("PTRACE_CONT {tid}"))?,
        }
    }
}

/// Waits for the end of a thread, by a system call or by this signal of its own.
pub fn await_end(tid: Pid, signal: i32) -> Result<()> {
    loop {
        let deliver = match wait(tid)? {
            Stop::Exited(_) => return Ok(()),
            Stop::Signal(got) if got == signal => signal,
            _ => 0,
        };
        ptrace::cont(tid, deliver).os(|| format!("PTRACE_CONT {tid}"))?;
    }
}

/// That a thread was killed while it was stopped or worked for us.
pub(super) fn gone(tid: Pid) -> Error {
    Error::new("E-TASK-GONE", Blame::Environment, "was killed while it was being dumped or restored")
        .on(format!("thread {tid}"))
}

/// Waits for the end of a thread that was killed or is ending, within reason; whether it has come.
pub fn reap(tid: Pid) -> bool {
    let deadline = Instant::now() + REAPING;
    let mut pause = Pause::default();
    while !matches!(ptrace::poll(tid), Ok(Some(Stop::Exited(_))) | Err(_)) {
        if Instant::now() > deadline {
            return false;
        }
        pause.sleep();
    }
    true
}

/// Reaps the threads of a process, other than its leader, that have ended.
pub(super) fn reap_ended(proc: &ProcDir) {
    let threads = tasks::read(proc).unwrap_or_default();
    threads.into_iter().filter(|tid| *tid != proc.pid()).for_each(ptrace::take_end);
}

fn reap_others_of_the_dead(leader: Pid) {
    let Ok(proc) = ProcDir::open(leader) else { return };
    if stat::read(&proc).is_ok_and(|stat| stat.state == State::Zombie) {
        reap_ended(&proc);
    }
}

/// Sleeps that get longer.
pub(super) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Pause(Duration::from_micros(5))
    }
}

impl Pause {
    pub(super) fn sleep(&mut self) {
        std::thread::sleep(self.0);
        self.0 = (self.0 * 2).min(Duration::from_millis(1));
    }
}

/// Runs `work`, which waits for tracees, while another thread of ours runs `other`.
pub fn beside<T, U: Send>(other: impl FnOnce() -> U + Send, work: impl FnOnce() -> T) -> Result<(T, U)> {
    // That thread, which inherits the mask, must not take the signals by which this one learns of stops.
    let mask = SigSet::from(Signal::SIGCHLD).thread_swap_mask(SigmaskHow::SIG_BLOCK).os(|| "sigprocmask")?;
    let done = std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, other).os(|| "make a thread")?;
        let worked = work();
        let other = other.join().map_err(|_| Error::bug("a thread of ours panicked"))?;
        Ok((worked, other))
    });
    mask.thread_set_mask().os(|| "sigprocmask")?;
    done
}

/// What lets PTRACE_SEIZE come back: the thread may be executing a program, which holds the lock that this request needs
/// (cred_guard_mutex, ptrace_attach() in kernel/ptrace.c) until the threads that it ends have been reaped.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// Process and thread that are being seized, 0 for none.
    seizing: AtomicU64,
}

impl Lookout {
    /// Runs `work` while another thread of ours looks whether it hangs in [`Lookout::seize`].
    pub(super) fn over<T>(work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let lookout = Lookout::default();
        let (working, ended) = mpsc::channel::<()>();
        let work = || {
            // Dropped in any way, it ends the other thread.
            let _working = working;
            work(&lookout)
        };
        let (done, ()) = beside(|| lookout.look_until(ended), work)?;
        done
    }

    /// PTRACE_SEIZE of a thread of `pid`.
    pub(super) fn seize(&self, pid: Pid, tid: Pid, options: u64) -> std::io::Result<()> {
        self.seizing.store(u64::from(pid as u32) << 32 | u64::from(tid as u32), Ordering::Relaxed);
        let seized = ptrace::seize(tid, options);
        self.seizing.store(0, Ordering::Relaxed);
        seized
    }

    fn look_until(&self, ended: mpsc::Receiver<()>) {
        let mut last = 0;
        while ended.recv_timeout(SILENCE) == Err(RecvTimeoutError::Timeout) {
            let now = self.seizing.load(Ordering::Relaxed);
            if now != 0
                && now == last
                && let Ok(proc) = ProcDir::open((now >> 32) as Pid)
            {
                reap_ended(&proc);
            }
            last = now;
        }
    }
}
