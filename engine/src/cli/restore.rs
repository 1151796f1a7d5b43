//! `crio restore`: runs it, tells how it ended, and stays until the tree has ended unless told to leave.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::sys::wait::waitpid;

use super::{fail, print, show_error};
use crate::error::{Error, Result};
use crate::log;
use crate::options::{FinalState, RestoreOptions};
use crate::report::RestoreReport;

/// What is odd about the options, before anything is done.
pub(super) fn warn(options: &RestoreOptions, names_a_tree: bool) {
    if names_a_tree {
        log::warn!("Using -t with criu restore is obsoleted");
    }
    if options.detached && options.shell_job && options.final_state == FinalState::Stopped {
        // setpgid(2), "orphaned process groups": a stopped member gets SIGHUP when its group becomes one.
        log::warn!("Stopped and detached shell job will get SIGHUP from OS.");
    }
}

pub(super) fn run(options: &RestoreOptions) -> ExitCode {
    let report = match restore(options) {
        Ok(report) => report,
        Err(error) => {
            fail("restore", options.json, &error);
            log::error!("Restoring FAILED.");
            return ExitCode::FAILURE;
        }
    };
    log::info!("Restore finished successfully. Tasks resumed.");
    tell(options, &report);
    match options.exec_cmd.split_first() {
        Some((program, arguments)) => {
            let error = Command::new(program).args(arguments).exec();
            show_error(&Error::os(format!("execute {}", program.to_string_lossy()), error));
            ExitCode::FAILURE
        }
        None => {
            if !options.detached {
                wait_for_children();
            }
            ExitCode::SUCCESS
        }
    }
}

/// The engine's entry point: returns once the tree runs.
fn restore(_options: &RestoreOptions) -> Result<RestoreReport> {
    Err(super::not_there("restore"))
}

fn tell(options: &RestoreOptions, report: &RestoreReport) {
    if options.json {
        print(&report.json().to_string());
        return;
    }
    for lost in &report.not_kept {
        log::warn!("{}", lost.text());
    }
    if options.display_stats {
        print(&report.stats.text());
    }
}

/// As CRIU, which stays the parent of a tree that is not detached, and leaves with 0 whatever the tree's status.
fn wait_for_children() {
    while !matches!(waitpid(None, None), Err(Errno::ECHILD)) {}
}
