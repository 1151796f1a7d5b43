//! Stopping a process by job control, with other signals pending that would end it.
//!
//! The kernel takes the pending signals of a thread in the order of their numbers, and most come before those that stop
//! it. A process that was stopped when they came still has them all: nothing but SIGCONT and SIGKILL acts on it
//! (wants_signal() in kernel/signal.c). So the leader blocks them while it takes the stop. The other threads take part when
//! they are let go: a stop that has begun comes before any signal (get_signal()).

use nix::sys::signal::{Signal, kill};

use super::site::bit;
use super::wait::{gone, wait};
use crate::error::{Error, OsContext, Result};
use crate::kernel::Pid;
use crate::sys::ptrace::{self, Stop};

/// Has a process, whose leader stands before its program, take a signal whose default action is to stop it. False if it
/// does not stop: nobody stops the members of an orphaned group but by SIGSTOP.
pub fn stop(pid: Pid, signal: Signal) -> Result<bool> {
    let mask = ptrace::get_sigmask(pid).os(|| format!("PTRACE_GETSIGMASK {pid}"))?;
    let block = |mask| ptrace::set_sigmask(pid, mask).os(|| format!("PTRACE_SETSIGMASK {pid}"));
    block(!bit(signal as u32))?;
    let stopped = take(pid, signal);
    block(mask).and(stopped)
}

fn take(pid: Pid, signal: Signal) -> Result<bool> {
    let go_on = |signal| ptrace::cont(pid, signal).os(|| format!("PTRACE_CONT {pid}"));
    kill(nix::unistd::Pid::from_raw(pid), signal).os(|| format!("kill {pid} with {signal}"))?;
    go_on(0)?;
    loop {
        match wait(pid)? {
            Stop::Signal(got) if got == signal as i32 => {
                // The trap that follows keeps it from its program, whatever the signal does.
                ptrace::interrupt(pid).os(|| format!("PTRACE_INTERRUPT {pid}"))?;
                go_on(got)?;
            }
            Stop::Group(_) => return Ok(true),
            Stop::Trap => return Ok(false),
            Stop::Exited(_) => return Err(gone(pid)),
            other => return Err(Error::bug(format!("{other:?} of {pid} instead of {signal}"))),
        }
    }
}
