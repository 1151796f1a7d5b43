//! `cargo xtask test`: everything that a change must pass, in one command, ending in one line of totals.
//!
//! Rust's test harness and the runner of the C tests end alike (`test result: ok. 3 passed; 0 failed; 1 ignored; ...`);
//! the totals are the sums of these lines plus one for each step that is not a set of tests.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::check::{self, Outcome};
use crate::setup::{self, Need};
use crate::{build, workspace};

/// How many tests and steps ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    skipped: u64,
}

pub(crate) fn run() -> Result<ExitCode> {
    let mut totals = Totals::default();
    if let Err(error) = steps(&mut totals) {
        println!("error: {error:#}");
        totals.failed += 1;
    }
    println!("\n{totals}");
    Ok(if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every step runs even when one before it failed, except where it needs what that one makes.
fn steps(totals: &mut Totals) -> Result<()> {
    setup::ensure(&[Need::Compiler, Need::CLibrary, Need::Bash, Need::Python, Need::Tar])?;
    match check::steps() {
        Ok(outcomes) => outcomes.into_iter().for_each(|outcome| totals.step(outcome)),
        Err(error) => {
            println!("check: FAILED: {error:#}");
            totals.step(Outcome::Failed);
        }
    }
    totals.suite(workspace::cargo().args(["test", "--workspace", "--no-fail-fast"]))?;
    build::crio()?;
    totals.step(Outcome::Passed);
    let xtask = std::env::current_exe().context("cannot find the path of this program")?;
    let zdtm = |arguments: &[&str]| {
        let mut command = Command::new(&xtask);
        command.arg("zdtm").args(arguments).current_dir(workspace::root()).stdin(Stdio::null());
        command
    };
    totals.suite(&mut zdtm(&[]))?;
    for machine in &workspace::matrix()?.smoke.machines {
        totals.suite(&mut zdtm(&["--arch", machine, "--smoke"]))?;
    }
    Ok(())
}

impl Totals {
    fn step(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Skipped => self.skipped += 1,
        }
    }

    /// Runs a program that runs tests, passes its output through and adds its result lines. A program that fails
    /// without a failed test (it did not compile, it crashed) counts as one failure.
    fn suite(&mut self, command: &mut Command) -> Result<()> {
        let name = workspace::show(command);
        println!("test: {name}");
        let mut child =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {name}"))?;
        let failed_before = self.failed;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n') {
                let line = line.with_context(|| format!("cannot read the output of {name}"))?;
                let line = String::from_utf8_lossy(&line);
                println!("{line}");
                self.add_result_line(&line);
            }
        }
        std::io::stdout().flush().context("cannot write to standard output")?;
        let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
        if !status.success() {
            println!("test: {name} ended with {status}");
            self.failed += u64::from(self.failed == failed_before);
        }
        Ok(())
    }

    fn add_result_line(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        // `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
        for part in counts.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                Some((count, "ignored")) => self.skipped += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Totals {
        let mut totals = Totals::default();
        totals.suite(Command::new("sh").args(["-c", script])).unwrap();
        totals
    }

    #[test]
    fn result_lines_are_summed() {
        let totals = shell(
            "echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 5 filtered out; finished in 0.01s'
             echo 'test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s'
             exit 1",
        );
        assert_eq!(totals, Totals { passed: 5, failed: 4, skipped: 1 });
        assert_eq!(totals.to_string(), "5 passed, 4 failed, 1 skipped");
    }

    #[test]
    fn a_suite_that_does_not_start_its_tests_is_one_failure() {
        assert_eq!(
            shell("echo error: could not compile; exit 101"),
            Totals { failed: 1, ..Totals::default() }
        );
    }

    #[test]
    fn a_total_without_skips_does_not_mention_them() {
        assert_eq!(Totals { passed: 7, failed: 0, skipped: 0 }.to_string(), "7 passed, 0 failed");
    }
}
