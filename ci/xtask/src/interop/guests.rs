//! `--arch`: C tests in guests of a machine, with Debian sid's criu of that machine beside ours.
//!
//! Without names these are the `interop` tests of `ci/matrix.yaml`: what shows that registers, signals, memory and threads
//! of a machine are in the image what CRIU takes them for.

use ::zdtm::Test;
use ::zdtm::protocol::Engines;
use anyhow::{Context, Result, bail};
use clap::Parser;
use vm::matrix::{Machine, Matrix};

use super::report::{Outcome, Report};
use super::{Direction, Options};
use crate::peer::{PEER_OF_GUESTS, Peer};
use crate::workspace;
use crate::zdtm::{self, Hardware, Stock};

/// Runs the tests in both directions on every machine that is meant; whether all is well.
pub(super) fn run(options: &Options, arch: &str) -> Result<bool> {
    let matrix = workspace::matrix()?;
    let mut good = true;
    for machine in matrix.select(arch)? {
        let report = on(options, &matrix, machine).with_context(|| format!("interop on {}", machine.name))?;
        print!("{}: {report}", machine.name);
        good &= report.is_good();
    }
    Ok(good)
}

fn on(options: &Options, matrix: &Matrix, machine: &Machine) -> Result<Report> {
    let mut report = Report::default();
    let tests = chosen(options, matrix)?;
    let kernel = machine.kernel(options.kernel.as_deref())?;
    let mut of_guests = zdtm::Options::of_guests(::zdtm::Options::try_parse_from(["zdtm"])?, &machine.name);
    of_guests.more = Peer::for_guests(machine)?.into();
    let stock = Stock::new(&of_guests, matrix, machine, &tests)?;
    for direction in Direction::BOTH {
        of_guests.engines = engines(direction);
        let pool = stock.pool(matrix, kernel, &of_guests, Hardware::default())?;
        for test in &tests {
            let outcome = match zdtm::outcome(test, &pool, (machine, kernel)) {
                Ok((::zdtm::protocol::Outcome::Passed, _)) => Outcome::Passed,
                Ok((::zdtm::protocol::Outcome::Skipped, _)) => Outcome::Ignored,
                Ok((_, message)) => Outcome::Failed(message),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            };
            report.add(&test.name(), direction, outcome);
        }
    }
    stock.end(!report.is_good())?;
    Ok(report)
}

fn engines(direction: Direction) -> Engines {
    let Engines { dump, restore } = Engines::default();
    match direction {
        Direction::ToCriu => Engines { dump, restore: PEER_OF_GUESTS.into() },
        Direction::FromCriu => Engines { dump: PEER_OF_GUESTS.into(), restore },
    }
}

fn chosen(options: &Options, matrix: &Matrix) -> Result<Vec<Test>> {
    let (exact, names) = match options.filter.is_empty() {
        true => (true, &matrix.interop),
        false => (false, &options.filter),
    };
    let words =
        ["zdtm"].into_iter().chain(exact.then_some("--exact")).chain(names.iter().map(String::as_str));
    let tests = ::zdtm::Options::try_parse_from(words).context("the names of tests")?.tests()?;
    if tests.is_empty() {
        bail!("no test has one of these names; cargo xtask zdtm --list shows them");
    }
    Ok(tests)
}
