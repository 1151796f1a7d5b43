//! The restored tree as a job of the shell that called us: we stand in for it until it ends.
//!
//! A shell waits for the process that it started, which is `crio`; the job is our child. What the shell does with us
//! is passed on: ^Z stops the job in the foreground and then us, so that the shell has its prompt back; `fg` and `bg`
//! wake us, and we wake the job. See "Job control" in bash(1) and the GNU C library's manual.
//!
//! Not here: making the job's process group the foreground for the first time, which is part of the restore.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};

use crate::log;
use crate::resource::file::tty::Foreground;

/// How often a job in the background looks for the foreground.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
        Job { root, group: group.filter(|_| terminal().is_some()) }
    }

    /// Stays until no child is left. As with CRIU, the status of the tree is not passed on.
    pub(super) fn wait(&self) {
        let mut foreground = self.group.and_then(|group| Foreground::lent(terminal()?, group.as_raw()));
        loop {
            // Nothing tells a process that `fg` has brought it to the foreground, so that one in the background looks.
            let looks = self.group.is_some() && foreground.is_none();
            let flags =
                WaitPidFlag::WUNTRACED | if looks { WaitPidFlag::WNOHANG } else { WaitPidFlag::empty() };
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Stopped(pid, signal)) if pid == self.root => {
                    self.stop(signal, &mut foreground);
                }
                Ok(WaitStatus::StillAlive) => {
                    sleep(LOOK_AGAIN);
                    foreground = self.lend();
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
    }

    /// Gives the job the foreground if we have it.
    fn lend(&self) -> Option<Foreground> {
        Foreground::lend(terminal()?, self.group?.as_raw()).ok().flatten()
    }

    /// The terminal has stopped the job: so are we, until the shell goes on with us.
    fn stop(&self, signal: Signal, foreground: &mut Option<Foreground>) {
        let Some(group) = self.group else { return };
        if !matches!(signal, Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU) {
            return;
        }
        drop(foreground.take());
        log::debug!("The job was stopped by {signal}");
        // In a group that no shell looks after, SIGTSTP is ignored by the kernel, and the job goes on at once.
        let _ = raise(if signal == Signal::SIGTSTP { signal } else { Signal::SIGSTOP });
        *foreground = self.lend();
        let _ = killpg(group, Signal::SIGCONT);
    }
}

/// Our controlling terminal.
fn terminal() -> Option<OwnedFd> {
    File::options().read(true).write(true).open("/dev/tty").ok().map(OwnedFd::from)
}
