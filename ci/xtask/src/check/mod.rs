//! `cargo xtask check`: formatting, lints, dependencies and the rules of the tree.
//!
//! Every step runs, whatever the ones before it found, so that one call shows all there is to mend.

mod rules;
mod state;

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::setup::{self, Need};
use crate::workspace;

/// How one step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// Its tool is not installed; the line above it said which.
    Skipped,
}

/// What `check` may do besides looking.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Write the table of state into the README
    #[arg(long)]
    fix: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.fix {
        state::fix(workspace::root())?;
    }
    let failed = steps()?.contains(&Outcome::Failed);
    println!("check: {}", if failed { "FAILED" } else { "ok" });
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All steps in order, each announced by one line; their outcomes in the same order.
pub(crate) fn steps() -> Result<Vec<Outcome>> {
    setup::ensure(&[Need::Compiler, Need::CLibrary, Need::Git, Need::Rustfmt, Need::Clippy])?;
    let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    Ok(vec![
        step("rules of the tree", rules::broken().map(|broken| broken.is_empty())),
        step("rustfmt", passes(workspace::cargo().args(["fmt", "--all", "--check"]))),
        step("clippy", passes(workspace::cargo().args(lints))),
        dependencies(),
    ])
}

/// Licences, sources and duplicates of the dependencies. Advisories are left out: they want a database from the
/// network, and a change of ours should not fail because of the news of the day.
fn dependencies() -> Outcome {
    if !setup::cargo_has("deny") {
        println!("check: dependencies skipped: cargo-deny is not installed (cargo install cargo-deny)");
        return Outcome::Skipped;
    }
    let arguments = ["deny", "--log-level", "error", "check", "bans", "licenses", "sources"];
    step("dependencies", passes(workspace::cargo().args(arguments)))
}

fn passes(command: &mut Command) -> Result<bool> {
    workspace::run(command).map(|()| true)
}

fn step(name: &str, result: Result<bool>) -> Outcome {
    match result {
        Ok(true) => {
            println!("check: {name} ok");
            Outcome::Passed
        }
        Ok(false) => {
            println!("check: {name} FAILED");
            Outcome::Failed
        }
        Err(error) => {
            println!("check: {name} FAILED: {error:#}");
            Outcome::Failed
        }
    }
}
