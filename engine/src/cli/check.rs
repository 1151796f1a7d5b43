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
        let report = check::check(options)?;
        let text = match options.json {
            true => report.json().to_string(),
            false => report.text(options.verbosity > log::DEFAULT_LEVEL),
        };
        return Ok(status(print(&text) == ExitCode::SUCCESS && report.is_good()));
    }
    if options.features.iter().any(|f| f == "list") {
        let names = check::names();
        return Ok(print(&if options.json {
            serde_json::json!(names).to_string()
        } else {
            names.join("\n")
        }));
    }
    // A wrong name is no answer, and nobody shall take the answers before it for the whole.
    let features: Vec<Feature> =
        options.features.iter().map(|name| check::find(name)).collect::<Result<_>>()?;
    let mut supported = true;
    for feature in features {
        supported &= tell(feature, options);
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
