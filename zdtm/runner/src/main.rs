//! `zdtm`: the runner as a program of its own, for another engine than ours; started as a system's init, it is the
//! agent of a guest.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // With arguments it is the first process of namespaces that somebody made for it: see [`zdtm::moved`].
    if zdtm::agent::is_init() && !zdtm::moved::is_asked_for() {
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
