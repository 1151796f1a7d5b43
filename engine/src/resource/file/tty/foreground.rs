//! The foreground process group of our own terminal: lent to the job that we restore, taken back when it ends.
//!
//! A key such as ^C signals the foreground group only, and only its members may read (tty_ioctl(2), termios(3)). A shell
//! that started us put us there; a restored job with a process group of its own has to be put there by us.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};

use crate::error::{OsContext, Result};
use crate::kernel::Pid;
use crate::sys::tty;

/// The terminal whose foreground we have lent; dropped, it takes it back.
#[derive(Debug)]
pub struct Foreground {
    terminal: Option<OwnedFd>,
    /// Who has it.
    group: Pid,
}

impl Foreground {
    /// Makes `group` the foreground of our controlling terminal; `None` if it is not ours to lend.
    pub fn lend(terminal: OwnedFd, group: Pid) -> Result<Option<Self>> {
        let own = nix::unistd::getpgrp().as_raw();
        // Neither a terminal that is not ours, nor one whose foreground somebody else has, is any of our business.
        if group == own || !matches!(tty::foreground(terminal.as_fd()), Ok(now) if now == own) {
            return Ok(None);
        }
        tty::set_foreground(terminal.as_fd(), group).os(|| format!("ioctl TIOCSPGRP {group}"))?;
        Ok(Some(Foreground { terminal: Some(terminal), group }))
    }

    /// The loan of before, if `group` has the foreground still; dropped, it ends.
    pub fn lent(terminal: OwnedFd, group: Pid) -> Option<Self> {
        let has = matches!(tty::foreground(terminal.as_fd()), Ok(now) if now == group);
        has.then_some(Foreground { terminal: Some(terminal), group })
    }

    /// The loan goes on without us.
    pub fn leave(mut self) {
        self.terminal = None;
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let Some(terminal) = &self.terminal else { return };
        // Without the signal blocked a background group that does this is stopped.
        let signals = SigSet::from_iter([Signal::SIGTTOU]);
        let blocked = signals.thread_block();
        // Who else has the foreground by now was given it by the shell; a terminal that was hung up has none.
        if tty::foreground(terminal.as_fd()).is_ok_and(|now| now == self.group) {
            let _ = tty::set_foreground(terminal.as_fd(), nix::unistd::getpgrp().as_raw());
        }
        if blocked.is_ok() {
            let _ = signals.thread_unblock();
        }
    }
}
