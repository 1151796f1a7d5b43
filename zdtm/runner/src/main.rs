//! `zdtm`: the runner as a program of its own, for another engine than ours; started as a system's init, it is the
//! agent of a guest.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if zdtm::agent::is_init() {
        if let Err(error) = zdtm::agent::run() {
            eprintln!("zdtm: {error:#}");
        }
        return ExitCode::FAILURE;
    }
    match zdtm::run(zdtm::Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
