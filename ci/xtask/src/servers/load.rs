//! A client program that works until it is told to end: redis-benchmark, wrk.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::descendants::wait_for;
use crate::workspace;

/// The program, whose output goes to a file.
pub(super) struct Load {
    program: Child,
    said: PathBuf,
}

impl Load {
    pub(super) fn start(command: &mut Command, said: &Path) -> Result<Self> {
        let file = File::create(said).context("cannot make a file for the output of a client")?;
        command.stdout(file.try_clone()?).stderr(file);
        let program =
            command.spawn().with_context(|| format!("cannot start {}", workspace::show(command)))?;
        Ok(Load { program, said: said.to_owned() })
    }

    /// An error when it ended by itself, with what it said.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.program.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended with {status}: {}", self.said()),
        }
    }

    /// Ends it with a signal that it may take as a wish, and returns all that it said.
    pub(super) fn end(&mut self, signal: Signal) -> Result<String> {
        self.check()?;
        kill(Pid::from_raw(self.program.id().try_into()?), signal).context("cannot end it")?;
        let status = wait_for("waiting for the end of the client", || Ok(self.program.try_wait()?))?;
        if !status.success() && status.signal() != Some(signal as i32) {
            bail!("it ended with {status}: {}", self.said());
        }
        Ok(self.said())
    }

    /// redis-benchmark writes its figures over each other: the last are enough.
    fn said(&self) -> String {
        let text = fs::read(&self.said).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().map(|line| line.rsplit('\r').next().unwrap_or_default().to_owned() + "\n").collect()
    }
}
