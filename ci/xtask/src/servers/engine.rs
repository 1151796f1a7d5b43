//! `crio` at work on a server: a dump, a restore, and a dump that is killed.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::descendants::{self, wait_for};

/// A program with CRIU's command line.
pub(super) struct Engine {
    program: PathBuf,
}

/// How a dump ended that was to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Killed {
    /// In time: the server goes on.
    Yes,
    /// It was done before, or so near its end that it went through with it: the server is in the images.
    TooLate,
}

impl Engine {
    pub(super) fn new(program: PathBuf) -> Self {
        Engine { program }
    }

    /// Dumps the tree of `pid` into the folder, which is made, and reaps what was ended; returns how long it took.
    pub(super) fn dump(&self, pid: Pid, images: &Path, options: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        let mut child = self.start_dump(pid, images, options)?;
        let status = wait_for("the dump", || Ok(child.try_wait()?))?;
        check("dump", status, images)?;
        let took = begun.elapsed();
        descendants::reap_other_sessions()?;
        Ok(took)
    }

    /// Brings the tree back, as a child of this process.
    pub(super) fn restore(&self, images: &Path, options: &[&str]) -> Result<()> {
        let mut command = self.command("restore", images, options)?;
        let mut child = command.arg("-d").spawn().context("cannot start crio")?;
        let status = wait_for("the restore", || Ok(child.try_wait()?))?;
        check("restore", status, images)
    }

    /// Starts a dump and kills it after `moment`. An error is a dump that failed by itself.
    pub(super) fn kill_dump(
        &self,
        pid: Pid,
        images: &Path,
        options: &[&str],
        moment: Duration,
    ) -> Result<Killed> {
        let mut child = self.start_dump(pid, images, options)?;
        std::thread::sleep(moment);
        child.kill().context("cannot kill crio")?;
        let status = child.wait().context("cannot wait for crio")?;
        if status.signal() != Some(Signal::SIGKILL as i32) {
            check("dump", status, images)?;
        } else if wait_for("the end of a killed dump", || Ok(runs_on(pid)))? {
            return Ok(Killed::Yes);
        }
        descendants::reap_other_sessions()?;
        Ok(Killed::TooLate)
    }

    fn start_dump(&self, pid: Pid, images: &Path, options: &[&str]) -> Result<Child> {
        fs::create_dir(images).with_context(|| format!("cannot make {}", images.display()))?;
        let mut command = self.command("dump", images, options)?;
        command.arg("-t").arg(pid.to_string()).spawn().context("cannot start crio")
    }

    fn command(&self, verb: &str, images: &Path, options: &[&str]) -> Result<Command> {
        let said = File::create(said(images, verb)).context("cannot make a file for crio's output")?;
        let mut command = Command::new(&self.program);
        command.args([verb, "--no-default-config", "--tcp-established", "--file-locks", "-v4"]);
        command.args(options).arg("-o").arg(format!("{verb}.log")).arg("-D").arg(images);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        Ok(command)
    }
}

/// Whether a process runs, or has ended; nothing as long as it is held (proc_pid_status(5)).
fn runs_on(pid: Pid) -> Option<bool> {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return Some(false) };
    let field = |name: &str| status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
    match (field("State:"), field("TracerPid:")) {
        (Some(state), _) if state.starts_with(['Z', 'X']) => Some(false),
        (_, Some("0")) => Some(true),
        _ => None,
    }
}

fn said(images: &Path, verb: &str) -> PathBuf {
    images.join(format!("{verb}.said"))
}

/// An error holds what the engine said.
fn check(verb: &str, status: ExitStatus, images: &Path) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let said = fs::read_to_string(said(images, verb)).unwrap_or_default();
    bail!("crio {verb} ended with {status}\n{}", said.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_runs_on_until_it_is_held_or_has_ended() {
        assert_eq!(runs_on(Pid::this()), Some(true));
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        while runs_on(pid) == Some(true) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(runs_on(pid), Some(false), "a zombie");
        child.wait().unwrap();
        assert_eq!(runs_on(pid), Some(false));
    }
}
