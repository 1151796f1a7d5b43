//! `crio dump`: runs it and tells how it ended.

use std::process::ExitCode;

use super::{fail, print, show_error};
use crate::log;
use crate::options::DumpOptions;
use crate::report::DumpReport;

pub(super) fn run(options: &DumpOptions) -> ExitCode {
    let done = match crate::dump::dump(options) {
        Ok(report) => {
            tell(options, &report);
            report.blockers.is_empty()
        }
        Err(error) => {
            fail("dump", options.json, &error);
            false
        }
    };
    match done {
        // The report of a survey is whole, and nothing was to be dumped.
        _ if options.dry_run => {}
        true => log::info!("Dumping finished successfully"),
        false => log::error!("Dumping FAILED."),
    }
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A survey's report is the product of the command and goes to stdout; a dump's goes to the log.
fn tell(options: &DumpOptions, report: &DumpReport) {
    if options.json {
        print(&report.json().to_string());
    } else if options.dry_run {
        print(&report.text(true));
    } else {
        for blocker in &report.blockers {
            show_error(blocker);
        }
        for lost in &report.not_kept {
            log::warn!("{}", lost.text());
        }
    }
    if options.display_stats && !options.json {
        print(&report.stats.text());
    }
}
