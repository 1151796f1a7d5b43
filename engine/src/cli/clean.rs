//! `crio clean`: runs it and tells what it has found.

use std::process::ExitCode;

use super::print;
use crate::error::Result;
use crate::options::CleanOptions;

pub(super) fn run(options: &CleanOptions) -> Result<ExitCode> {
    let report = crate::clean::clean(options)?;
    if options.json {
        print(&report.json().to_string());
    } else {
        print(&report.text());
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
