//! The restored tree as a job of the shell that called us: we stand in for it until it ends.
//!
//! A shell waits for the process that it started, which is `crio`; the job is our child. What the shell does with us
//! is passed on: ^Z stops the job in the foreground and then us, so that the shell has its prompt back; `fg` and `bg`
//! wake us, and we wake the job. See "Job control" in bash(1) and the GNU C library's manual.
//!
//! Not here: making the job's process group the foreground for the first time, which is part of the restore.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};

use crate::log;
use crate::resource::file::tty::Foreground;

/// A restored tree that we wait for.
pub(super) struct Job {
    root: Pid,
    /// Its process group, if that is not ours.
    group: Option<Pid>,
}

impl Job {
    /// The tree of `root`, a child of ours; `shell_job` if it shares our terminal.
    pub(super) fn of(root: i32, shell_job: bool) -> Self {
        let root = Pid::from_raw(root);
        let group = getpgid(Some(root)).ok().filter(|group| shell_job && *group != getpgrp());
        Job { root, group }
    }

    /// Stays until no child is left. As with CRIU, the status of the tree is not passed on.
    pub(super) fn wait(&self) {
        let foreground = self.group.and_then(|group| self.lent(group));
        loop {
            match waitpid(None, Some(WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Stopped(pid, signal)) if pid == self.root => self.stopped(signal),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        drop(foreground);
    }

    /// The foreground, if the job has it.
    fn lent(&self, group: Pid) -> Option<Foreground> {
        Foreground::lent(terminal()?, group.as_raw())
    }

    /// The terminal has stopped the job: so are we, until the shell goes on with us.
    fn stopped(&self, signal: Signal) {
        let Some(group) = self.group else { return };
        if !matches!(signal, Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU) {
            return;
        }
        drop(self.lent(group));
        log::debug!("The job was stopped by {signal}");
        // In a group that no shell looks after, SIGTSTP is ignored by the kernel, and the job goes on at once.
        let _ = raise(if signal == Signal::SIGTSTP { signal } else { Signal::SIGSTOP });
        if let Some(Ok(Some(foreground))) =
            terminal().map(|terminal| Foreground::lend(terminal, group.as_raw()))
        {
            foreground.leave();
        }
        let _ = killpg(group, Signal::SIGCONT);
    }
}

/// Our controlling terminal.
fn terminal() -> Option<OwnedFd> {
    File::options().read(true).write(true).open("/dev/tty").ok().map(OwnedFd::from)
}
