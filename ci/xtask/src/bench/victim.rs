//! A process to dump: started, asked whether it lives, waited for. What it is made of is `ci/xtask/bench/victim.c`.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::arena::Arena;
use crate::descendants;

/// A victim, before the dump and after the restore: its pid stays. The arena ends it.
pub(crate) struct Victim {
    pid: Pid,
    answer: PathBuf,
}

impl Victim {
    /// Starts a victim with the arguments `mode`; returns when it has its size.
    pub(crate) fn start(arena: &Arena, mode: &[&str]) -> Result<Self> {
        let answer = arena.path("answer");
        let mut command = Command::new(arena.path("victim"));
        command.arg(&answer).args(mode).current_dir("/").env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("cannot start the victim")?;
        let victim = Victim { pid: Pid::from_raw(child.id().try_into()?), answer };
        victim.expect("ready")?;
        Ok(victim)
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Reaps the victim that a dump ended, and its children, who became ours: their pids are free then.
    pub(crate) fn wait_gone(&self) -> Result<()> {
        descendants::wait_for("waiting for the end of the dumped victim", || {
            loop {
                match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                    Ok(WaitStatus::StillAlive) => return Ok(None),
                    Ok(_) => {}
                    Err(Errno::ECHILD) => return Ok(Some(())),
                    Err(error) => bail!("the victim cannot be waited for: {error}"),
                }
            }
        })
    }

    /// Asks the restored victim whether all of it is there.
    pub(crate) fn check_alive(&self) -> Result<()> {
        kill(self.pid, Signal::SIGUSR1).context("the restored victim does not exist")?;
        self.expect("alive").context("the restored victim does not answer")
    }

    fn expect(&self, word: &str) -> Result<()> {
        let got = descendants::wait_for(&format!("waiting for the victim to say `{word}`"), || {
            match fs::read_to_string(&self.answer) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == ErrorKind::NotFound => self.still_there().map(|()| None),
                Err(error) => Err(error).context(self.answer.display().to_string()),
            }
        })?;
        fs::remove_file(&self.answer)?;
        if got != word {
            bail!("the victim said `{got}` and not `{word}`");
        }
        Ok(())
    }

    /// An error when the victim ended by itself, so that nobody waits for its answer. A restored one may still belong
    /// to the engine (ECHILD): it has the time that [`descendants::wait_for`] gives.
    fn still_there(&self) -> Result<()> {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => Ok(()),
            Ok(status) => bail!("the victim ended: {status:?}"),
            Err(error) => bail!("the victim cannot be waited for: {error}"),
        }
    }
}
