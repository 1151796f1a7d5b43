//! Action scripts (`--action-script`): programs of the caller that run at named points of a dump or restore.
//!
//! A script gets no arguments. CRTOOLS_SCRIPT_ACTION is the point, CRTOOLS_IMAGE_DIR the directory of the images as a path
//! below our own /proc/PID/fd, so that it holds in any mount namespace, and CRTOOLS_INIT_PID the root's pid once there is
//! one. These are CRIU's names. What a script prints to stdout goes to our stderr, for our stdout is the report's.
//!
//! Not here: CRIU's points around the network lock and the making of namespaces (`network-lock`, `setup-namespaces`).

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::SigSet;

use crate::error::{Blame, Error, OsContext, Result};
use crate::kernel::Pid;
use crate::log_info;
use crate::sys::attr::DescriptorLimit;
use crate::sys::process;

/// A point at which scripts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before anything is frozen; a failure ends the dump.
    PreDump,
    /// All images are written and the tree still stands; a failure lets it run on.
    PostDump,
    /// Before any process exists; a failure ends the restore.
    PreRestore,
    /// The tree is complete and stands; a failure ends it.
    PostRestore,
    /// Right before the tree runs; a failure is only logged.
    PreResume,
    /// The tree runs; a failure is only logged.
    PostResume,
}

impl Point {
    /// CRIU's name.
    pub fn name(self) -> &'static str {
        match self {
            Point::PreDump => "pre-dump",
            Point::PostDump => "post-dump",
            Point::PreRestore => "pre-restore",
            Point::PostRestore => "post-restore",
            Point::PreResume => "pre-resume",
            Point::PostResume => "post-resume",
        }
    }
}

/// The scripts of one command.
#[derive(Debug)]
pub struct Hooks<'a> {
    scripts: &'a [PathBuf],
    /// The images; `None` if nobody would look at them.
    images: Option<File>,
    descriptors: &'a DescriptorLimit,
    /// The signals that we were started with blocked.
    mask: SigSet,
}

impl<'a> Hooks<'a> {
    /// Opens the directory if there are scripts. They run with the limit that `descriptors` has raised for us, and with the
    /// signals blocked that are blocked now.
    pub fn new(scripts: &'a [PathBuf], images: &Path, descriptors: &'a DescriptorLimit) -> Result<Self> {
        let images = match scripts {
            [] => None,
            _ => Some(File::open(images).os(|| format!("open {}", images.display()))?),
        };
        let mask = SigSet::thread_get_mask().os(|| "sigprocmask")?;
        Ok(Hooks { scripts, images, descriptors, mask })
    }

    /// Runs all scripts, in their order, up to the first that fails.
    ///
    /// # Errors
    /// `E-ACTION-SCRIPT`: one could not be run, or did not exit with 0.
    pub fn run(&self, point: Point, root: Option<Pid>) -> Result<()> {
        self.scripts.iter().try_for_each(|script| self.run_one(script, point, root))
    }

    fn run_one(&self, script: &Path, point: Point, root: Option<Pid>) -> Result<()> {
        let action = point.name();
        log_info!("Running {} at {action}", script.display());
        let mut command = Command::new(script);
        command.env("CRTOOLS_SCRIPT_ACTION", action).stdin(Stdio::null());
        command.stdout(std::io::stderr().as_fd().try_clone_to_owned().os(|| "duplicate stderr")?);
        if let Some(images) = &self.images {
            let path = format!("/proc/{}/fd/{}", std::process::id(), images.as_raw_fd());
            command.env("CRTOOLS_IMAGE_DIR", path);
        }
        match root {
            Some(pid) => command.env("CRTOOLS_INIT_PID", pid.to_string()),
            None => command.env_remove("CRTOOLS_INIT_PID"),
        };
        self.descriptors.spare(&mut command);
        process::run_with_mask(&mut command, self.mask);
        let status = command.status().os(|| format!("execute {}", script.display()))?;
        if status.success() {
            return Ok(());
        }
        let reason = format!("the action script ended with {status} at {action}");
        Err(Error::new("E-ACTION-SCRIPT", Blame::Environment, reason)
            .on(script.display().to_string())
            .help("see what it printed, or leave --action-script out"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn script(dir: &Path, text: &str) -> PathBuf {
        let (source, path) = (dir.join("source"), dir.join("script"));
        std::fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
        // Another test that starts a program meanwhile may have what we write, and that cannot be executed.
        assert!(Command::new("install").args([&source, &path]).status().unwrap().success());
        path
    }

    #[test]
    fn a_script_learns_point_directory_and_pid() {
        let dir = tempfile::tempdir().unwrap();
        let scripts = [script(
            dir.path(),
            "echo $CRTOOLS_SCRIPT_ACTION $CRTOOLS_INIT_PID $# > $CRTOOLS_IMAGE_DIR/told",
        )];
        let descriptors = DescriptorLimit::raise();
        Hooks::new(&scripts, dir.path(), &descriptors).unwrap().run(Point::PostDump, Some(17)).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("told")).unwrap(), "post-dump 17 0\n");
    }

    #[test]
    fn a_script_that_fails_is_named_with_its_status() {
        let dir = tempfile::tempdir().unwrap();
        let scripts = [script(dir.path(), "exit 3")];
        let descriptors = DescriptorLimit::raise();
        let hooks = Hooks::new(&scripts, dir.path(), &descriptors).unwrap();
        let error = hooks.run(Point::PreDump, None).unwrap_err();
        assert_eq!(error.code(), "E-ACTION-SCRIPT");
        assert!(error.headline().contains("exit status: 3 at pre-dump"), "{}", error.headline());
    }
}
