//! A process whose leader has exited. If no other thread is left it is dead, and its exit code is all there is to keep.
//! Other threads may run on for as long as they like, but their process cannot be made again: a leader that exits has
//! given up everything that an image tells of a process.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Blame, Error, Result};
use crate::kernel::{Pid, ProcDir, stat, status, tasks};

/// How long a thread may look alive that is about to end: exit_group(2) leaves a SIGKILL for it, which shows until the
/// thread takes it, and then nothing shows until PF_EXITING does (get_signal() in kernel/signal.c).
const DYING: Duration = Duration::from_millis(100);
/// How long threads may take to end: they may wait for a device.
const ENDING: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Waits for the end of a process whose leader is a zombie.
///
/// # Errors
/// `E-ZOMBIE-THREAD`: other threads of it run on. `E-TASK-GONE`: somebody has reaped it.
pub fn await_end(proc: &ProcDir) -> Result<()> {
    let since = Instant::now();
    while stat::read(proc)?.num_threads > 1 {
        let waited = since.elapsed();
        if waited > ENDING || waited > DYING && lives_on(proc)? {
            let reason = "has exited while other threads of its process run";
            return Err(Error::new("E-ZOMBIE-THREAD", Blame::Program, reason)
                .on(format!("thread {}", proc.pid()))
                .help("wait until the program has ended, or dump it while its main thread runs"));
        }
        sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// A tree cannot be made of a root that is dead.
pub fn refuse_root() -> Error {
    let reason = "has ended, and is a zombie until its parent asks for its exit code";
    Error::new("E-TASK-GONE", Blame::Environment, reason).help("dump a process that runs")
}

fn lives_on(proc: &ProcDir) -> Result<bool> {
    let mut others = tasks::read(proc)?.into_iter().filter(|tid| *tid != proc.pid());
    Ok(others.any(|tid| !is_ending(proc, tid)))
}

fn is_ending(proc: &ProcDir, tid: Pid) -> bool {
    let killed = 1 << (libc::SIGKILL - 1);
    let ending = |thread: ProcDir| -> Result<bool> {
        Ok(status::read(&thread)?.signals.pending & killed != 0 || stat::read(&thread)?.is_exiting())
    };
    ending(proc.thread(tid)).unwrap_or(true)
}
