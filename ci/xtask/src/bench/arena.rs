//! Where a benchmark takes place: the folders, the helper programs, and the promise that nothing is left behind, which
//! [`crate::descendants`] keeps.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::Store;
use crate::{descendants, workspace};

/// See the head of the file. There is at most one: it takes the whole process over.
pub(crate) struct Arena {
    folder: TempDir,
}

impl Arena {
    /// Takes over this process: signals, orphans, a mount namespace of its own; and compiles the helper programs.
    pub(crate) fn enter() -> Result<Self> {
        own_run_folder().context("cannot give the engines a /run of their own")?;
        descendants::adopt()?;
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
        descendants::end_all();
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
