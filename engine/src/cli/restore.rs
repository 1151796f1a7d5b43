//! `crio restore`: runs it, tells how it ended, and stays until the tree has ended unless told to leave.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use super::job::Job;
use super::{fail, print, show_error};
use crate::error::Error;
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
    let report = match crate::restore::restore(options) {
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
                Job::of(report.root, options.shell_job).wait();
            }
            ExitCode::SUCCESS
        }
    }
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
