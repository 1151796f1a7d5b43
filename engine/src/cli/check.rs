//! `crio check`: runs it and tells how it ended.
//!
//! The closing lines and the exit status are CRIU's, because scripts and CRIU's own test runner depend on them.

use std::process::ExitCode;

use super::print;
use crate::check::{self, Feature};
use crate::error::Result;
use crate::log;
use crate::options::CheckOptions;

pub(super) fn run(options: &CheckOptions) -> Result<ExitCode> {
    if options.features.is_empty() {
        let report = check::check(options);
        if options.json {
            print(&report.json().to_string());
        } else {
            print(&report.text(options.verbosity > log::DEFAULT_LEVEL));
        }
        return Ok(status(report.is_good()));
    }
    if options.features.iter().any(|f| f == "list") {
        return Ok(print(&check::names().join("\n")));
    }
    let mut supported = true;
    for name in &options.features {
        supported &= tell(check::find(name)?, options);
    }
    Ok(status(supported))
}

fn tell(feature: Feature, options: &CheckOptions) -> bool {
    let finding = check::probe(feature);
    if options.json {
        print(&finding.json().to_string());
    } else if finding.is_present() {
        print(&format!("{} is supported", finding.name()));
    } else {
        print(&format!("{} is not supported", finding.name()));
        log::warn!("{}", finding.explanation());
    }
    finding.is_present()
}

fn status(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
