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
        let text = match options.json {
            true => report.json().to_string(),
            false => report.text(options.verbosity > log::DEFAULT_LEVEL),
        };
        return Ok(status(print(&text) == ExitCode::SUCCESS && report.is_good()));
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
    let verdict = if finding.is_present() { "is supported" } else { "is not supported" };
    let text = match options.json {
        true => finding.json().to_string(),
        false => format!("{} {verdict}", finding.name()),
    };
    let told = print(&text) == ExitCode::SUCCESS;
    if !options.json && !finding.is_present() {
        log::warn!("{}", finding.explanation());
    }
    told && finding.is_present()
}

fn status(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
