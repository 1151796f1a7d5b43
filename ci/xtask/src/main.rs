//! `cargo xtask`: every developer command, one file per verb; this file is only the table of them.
//!
//! A verb asks [`setup`] for the programs that it needs, says each step that it takes and ends with an exit code.
//! What belongs to one verb only stands in its folder; [`workspace`] is what all of them share.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod build;
mod check;
mod descendants;
mod golden;
mod guest;
mod interop;
mod matrix;
mod peer;
mod release;
mod servers;
mod setup;
mod test;
mod workspace;
mod zdtm;

/// Every developer command of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what the other commands need, or print the one line that does
    Setup(setup::Options),
    /// Build `crio` for release
    Build(build::Options),
    /// Formatting, lints, dependencies and the rules of the tree
    Check(check::Options),
    /// Everything that a change must pass: check, the tests of all crates, build, the C tests
    Test,
    /// Run C tests through dump and restore
    Zdtm(Box<zdtm::Options>),
    /// Ask every kernel on every machine what it can do, run the tests there, and write one report
    Matrix(matrix::Options),
    /// Boot a guest and run a line of shell in it
    Guest(Box<guest::Options>),
    /// Make the files of a release: static programs, Debian packages, bill of materials, checksums
    Release(release::Options),
    /// Keep images of this engine, which later ones have to restore: a step of a release
    Golden(golden::Options),
    /// Let Debian sid's criu restore what we dump, and us what it dumps
    Interop(interop::Options),
    /// Dump and restore real servers under their own clients
    Servers(servers::Options),
    /// Compare the time and memory of our `crio` with CRIU's
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Setup(options) => setup::run(&options),
        Verb::Build(options) => build::run(&options),
        Verb::Check(options) => check::run(&options),
        Verb::Test => test::run(),
        Verb::Zdtm(options) => zdtm::run(*options),
        Verb::Matrix(options) => matrix::run(&options),
        Verb::Guest(options) => guest::run(&options),
        Verb::Release(options) => release::run(&options),
        Verb::Golden(options) => golden::run(&options),
        Verb::Interop(options) => interop::run(&options),
        Verb::Servers(options) => servers::run(&options),
        Verb::Bench(options) => bench::run(&options),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_two_options_of_a_verb_have_one_name() {
        Arguments::command().debug_assert();
    }
}
