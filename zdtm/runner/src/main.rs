//! `zdtm`: the runner as a program of its own, for a guest or for another engine than ours.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match zdtm::run(zdtm::Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
