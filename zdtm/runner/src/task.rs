//! Processes: run with a time limit, find a tree, wait for its end, leave none behind.
//!
//! The runner is a child subreaper, so every orphan of a test becomes its child and stays visible as a zombie until it
//! is reaped here. What belongs to a test is known by the variable [`MARK`] in the environment, which the engine and
//! so every half restored task carry too, and by the current directory.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// Its value is the folder of the test.
pub(crate) const MARK: &str = "ZDTM_CASE";

/// How often a condition is looked at.
const PACE: Duration = Duration::from_millis(2);

/// In percent; see [`set_crowding`].
static CROWDING: AtomicU32 = AtomicU32::new(100);

/// Says how many tasks share a processor with a guest of ours, which the guest itself cannot see.
pub(crate) fn set_crowding(tasks: f64) {
    CROWDING.store((tasks.clamp(1.0, 100.0) * 100.0) as u32, Ordering::Relaxed);
}

/// How many times as long as elsewhere everything may take: `ZDTM_TIMEOUT_SCALE` (a number), times the crowding.
pub(crate) fn time_scale() -> f64 {
    let scale = std::env::var("ZDTM_TIMEOUT_SCALE").ok().and_then(|text| text.parse::<f64>().ok());
    let scale = scale.filter(|scale| (0.01..=1000.0).contains(scale)).unwrap_or(1.0);
    scale * f64::from(CROWDING.load(Ordering::Relaxed)) / 100.0
}

/// How long one step may take: 30 seconds, scaled.
pub(crate) fn time_limit() -> Duration {
    Duration::from_secs(30).mul_f64(time_scale())
}

/// Runs a command to its end, killing it at the time limit.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    let mut child =
        command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let Some(status) = wait_exit(&mut child)? else {
        child.kill().context("cannot kill a command that hangs")?;
        child.wait()?;
        bail!("did not end within {:?}", time_limit());
    };
    Ok(status)
}

fn wait_exit(child: &mut Child) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + time_limit();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            return Ok(None);
        }
        sleep(PACE);
    }
}

/// The tree below `root`, itself first; zombies included.
pub(crate) fn tree(root: i32) -> Vec<i32> {
    let mut pids = vec![root];
    let mut next = 0;
    while let Some(&pid) = pids.get(next) {
        pids.extend(children(pid));
        next += 1;
    }
    pids
}

fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|word| word.parse::<i32>().ok()));
    }
    found
}

/// Waits until none of the processes is left, reaping those that are our children; returns those that stay.
pub(crate) fn wait_gone(pids: &[i32]) -> Vec<i32> {
    let deadline = Instant::now() + time_limit();
    loop {
        let left: Vec<i32> = pids.iter().copied().filter(|pid| !is_gone(*pid)).collect();
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        sleep(PACE);
    }
}

/// Waits until nothing of a session is left among our children: tasks that were forked after the last look at a tree
/// come to us when their parent is killed, and as zombies they would still occupy their pids.
pub(crate) fn wait_session_gone(session: i32) {
    let deadline = Instant::now() + time_limit();
    let own = std::process::id().cast_signed();
    loop {
        let mut left = children(own);
        left.retain(|pid| session_of(*pid) == Some(session) && !is_gone(*pid));
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        sleep(PACE);
    }
}

/// Field 6 of stat; see proc(5).
fn session_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split_whitespace().nth(3)?.parse().ok()
}

fn is_gone(pid: i32) -> bool {
    // Not a child of ours: somebody else reaps it.
    let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

/// Sends SIGTERM to the root of a test.
pub(crate) fn terminate(root: i32) -> Result<()> {
    kill(Pid::from_raw(root), Signal::SIGTERM).with_context(|| format!("cannot send SIGTERM to task {root}"))
}

/// Kills every process of the test whose folder this is, until there is none.
pub(crate) fn kill_all_of(folder: &Path) {
    let deadline = Instant::now() + time_limit();
    loop {
        let pids = belonging_to(folder);
        if pids.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in &pids {
            // It may have ended since we looked.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG));
        }
        sleep(PACE);
    }
}

fn belonging_to(folder: &Path) -> Vec<i32> {
    let mark = [MARK.as_bytes(), b"=", folder.as_os_str().as_bytes()].concat();
    let own = std::process::id().cast_signed();
    let belongs = |proc: &PathBuf| {
        let environment = fs::read(proc.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark)
            || fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    };
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let paths = processes.flatten().map(|entry| entry.path()).filter(belongs);
    let pids = paths.filter_map(|path| path.file_name()?.to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own).collect()
}
