//! Waiting with a limit, and leaving no process behind. Orphans of the programs are children of this process, which is
//! a subreaper (prctl(2)).

use std::fs;
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(60);
const PACE: Duration = Duration::from_millis(5);

/// Looks until `done`; an error names what did not happen.
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !done()? {
        if Instant::now() > end {
            bail!("{what}: not within {} s", PATIENCE.as_secs());
        }
        sleep(PACE);
    }
    Ok(())
}

/// Runs a command to its end, killing it when it takes too long.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    let mut child = command.spawn().context("cannot start it")?;
    let mut status = None;
    let ended = wait_for("its end", || {
        status = child.try_wait()?;
        Ok(status.is_some())
    });
    match (ended, status) {
        (Ok(()), Some(status)) => Ok(status),
        (ended, _) => {
            child.kill().context("cannot kill it")?;
            child.wait()?;
            ended?;
            bail!("has no exit status")
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: i32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(pid), signal).with_context(|| format!("cannot send {signal} to {pid}"))
}

/// Reaps children until there is none: what was dumped is gone then, with its last orphan.
pub(crate) fn wait_childless() -> Result<()> {
    wait_for("the end of what was dumped", childless)
}

/// Kills and reaps all children, and theirs, which come to us.
pub(crate) fn end_children() -> Result<()> {
    wait_for("the end of all children", || {
        for pid in children() {
            // It may be a zombie, or gone.
            let _ = kill(pid, Signal::SIGKILL);
        }
        childless()
    })
}

fn childless() -> Result<bool> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Ok(WaitStatus::StillAlive) => return Ok(false),
            Ok(_) => {}
            Err(Errno::ECHILD) => return Ok(true),
            Err(error) => bail!("waitpid: {error}"),
        }
    }
}

fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .map(Pid::from_raw)
        .collect()
}
