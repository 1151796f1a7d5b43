//! Where a benchmark takes place: the folders, the helper programs, and the promise that nothing is left behind.
//!
//! Every process that a run makes is a descendant of this one: victims and engines are its children, and a restored
//! tree, whose parent has ended, becomes its child too (it is a subreaper, prctl(2)). So [`Arena::clear`] ends and
//! reaps whatever descendants there are, after each run, after a failure, and after Ctrl-C, which is taken as a wish
//! that the waiting loops look at rather than as the end of this process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::Store;
use crate::workspace;

/// No step of any case takes longer on a machine where the figures would mean something.
const PATIENCE: Duration = Duration::from_secs(120);

/// The signal that asked us to stop; 0 while none did.
static INTERRUPTED: AtomicI32 = AtomicI32::new(0);

/// See the head of the file. There is at most one: it takes the whole process over.
pub(crate) struct Arena {
    folder: TempDir,
}

impl Arena {
    /// Takes over this process: signals, orphans, a mount namespace of its own; and compiles the helper programs.
    pub(crate) fn enter() -> Result<Self> {
        prctl::set_child_subreaper(true).context("cannot become the parent of orphans")?;
        own_run_folder().context("cannot give the engines a /run of their own")?;
        take_signals()?;
        let folder = TempDir::with_prefix("crio-bench-").context("cannot make a folder for the benchmark")?;
        let arena = Arena { folder };
        for program in ["victim", "stopwatch"] {
            arena.compile(program)?;
        }
        Ok(arena)
    }

    /// The path of `victim` or `stopwatch`, or of a file that one of them writes.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A fresh folder for images, gone when dropped.
    pub(crate) fn image_folder(&self, store: Store) -> Result<TempDir> {
        let parent = match store {
            Store::Tmpfs => PathBuf::from("/dev/shm"),
            Store::Disk => workspace::target()?,
        };
        TempDir::with_prefix_in("crio-bench-", &parent)
            .with_context(|| format!("no folder in {}", parent.display()))
    }

    /// Calls `look` until it returns something, this process is asked to stop, or `PATIENCE` is over.
    pub(crate) fn wait_for<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            self.check_interrupted()?;
            if Instant::now() > end {
                bail!("{what}: nothing happened for {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// An error once a signal asked us to stop.
    pub(crate) fn check_interrupted(&self) -> Result<()> {
        match Signal::try_from(INTERRUPTED.load(Ordering::Relaxed)) {
            Ok(signal) => bail!("stopped by {signal}"),
            Err(_) => Ok(()),
        }
    }

    /// Ends and reaps every descendant. Killing a parent hands its children to us, hence the rounds.
    pub(crate) fn clear(&self) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            for child in children() {
                let _ = kill(child, Signal::SIGKILL);
            }
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
                Ok(_) => {}
                Err(_) => return,
            }
        }
        eprintln!("bench: children {:?} cannot be ended", children());
    }

    fn compile(&self, program: &str) -> Result<()> {
        let source = workspace::root().join(format!("ci/xtask/bench/{program}.c"));
        let mut cc = Command::new("cc");
        workspace::run(
            cc.args(["-O2", "-pthread", "-o"]).arg(self.path(program)).arg(source).stdin(Stdio::null()),
        )
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.clear();
    }
}

/// An engine may keep what it learned about the kernel in /run, if that is a tmpfs. A private one gives both engines
/// that chance on every machine, and keeps the machine's clean.
fn own_run_folder() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&Path> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)
}

/// Turns the signals that end a command into a note for [`Arena::check_interrupted`]. They are blocked before the
/// first thread exists, and one thread waits for them; children start with an empty mask (std does that).
fn take_signals() -> Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().context("cannot block signals")?;
    std::thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            INTERRUPTED.store(signal as i32, Ordering::Relaxed);
        }
    });
    Ok(())
}

/// Our children, zombies too: proc(5), /proc/pid/task/tid/children, whichever of our threads they belong to.
fn children() -> Vec<Pid> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .map(Pid::from_raw)
        .collect()
}
