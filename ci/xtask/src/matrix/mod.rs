//! `cargo xtask matrix`: what every kernel on every machine can do, and which tests survive there, in one report.
//!
//! A column is a machine with a kernel: a guest is asked `crio check --all --json`, then runs the tests, by the same code
//! as `cargo xtask zdtm --arch`. What is expected stands in `ci/matrix.yaml` (`lacks`): anything else that is missing is a
//! failure, and so is a feature or test of which nothing is heard. [`report`] is the form of `report.json`, from which the
//! other forms are made; several reports, of the jobs of a workflow say, are merged into one.

mod column;
mod complete;
mod diff;
mod expect;
mod html;
mod junit;
mod legs;
mod markdown;
mod pairs;
mod progress;
mod report;
mod speed;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser};
use vm::matrix::Matrix;

use self::column::Work;
use self::report::Report;
use crate::bench::history;
use crate::workspace;

#[derive(Args)]
#[group(id = "compatibility")]
pub(crate) struct Options {
    /// Run the tests whose family/name contains one of these words (default: all)
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// x86-64, aarch64, armv7, mips64, or all
    #[arg(long, value_name = "MACHINE", default_value = "all")]
    arch: String,
    /// Only this kernel, as ci/matrix.yaml names it; once for each
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// Only the smoke set of ci/matrix.yaml
    #[arg(long, conflicts_with = "filters")]
    smoke: bool,
    /// Only what the kernels can do, no test
    #[arg(long, conflicts_with_all = ["filters", "smoke", "shard"])]
    features: bool,
    /// Instead of columns all pairs of a machine's kernels: tests are dumped on one and restored on the other
    #[arg(long, conflicts_with_all = ["smoke", "features", "shard", "native"])]
    pairs: bool,
    /// One more column: this very system
    #[arg(long)]
    native: bool,
    /// No guests
    #[arg(long, requires = "native")]
    no_guests: bool,
    /// Only the Nth of M parts of the tests
    #[arg(long, value_name = "N/M", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// Where the report goes (default: target/matrix)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run nothing: make one report of these report.json
    #[arg(long, value_name = "FILE", num_args = 1..)]
    merge: Vec<PathBuf>,
    /// Say what has changed since this report.json; what has become worse is a failure
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
    /// Show the benchmark, too: the file of `cargo xtask bench --history`
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Run nothing: print the jobs of the workflow
    #[arg(long, group = "jobs")]
    json_legs: bool,
    /// With --merge: what these jobs should have told of and have not has failed
    #[arg(long, group = "jobs", requires = "merge")]
    complete: bool,
    /// With --json-legs and --complete: the jobs of a pull request
    #[arg(long, requires = "jobs")]
    small: bool,
    /// Keep the logs of the guests' consoles when nothing failed, too
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let matrix = workspace::matrix()?;
    if options.json_legs {
        println!("{}", legs::json(&matrix, options.small));
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = if options.pairs {
        let pairs = pairs::all(&matrix, &work_of_pairs(options, &matrix)?)?;
        Report { pairs, ..column::report(Vec::new()) }
    } else if options.merge.is_empty() {
        column::all(&matrix, &work(options, &matrix.smoke.tests)?)?
    } else {
        let reports: Result<Vec<Report>> = options.merge.iter().map(|file| Report::read(file)).collect();
        Report::merged(reports?)
    };
    if options.complete {
        complete::fill(&mut report, &matrix, options.small)?;
    }
    report.sort(&matrix);
    if let Some(file) = &options.history {
        history::merge(&mut report.benchmarks, history::read(file)?);
    }
    let folder = options.out.clone().map_or_else(|| workspace::target().map(|t| t.join("matrix")), Ok)?;
    write(&report, &folder)?;
    print!("{}", markdown::summary(&report));
    println!("matrix: the report is {}", folder.join("index.html").display());
    let mut good = report.failures() == 0;
    if let Some(old) = &options.diff {
        let changes = diff::between(&Report::read(old)?, &report);
        print!("{}", changes.text());
        good &= !changes.is_regression();
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the options ask for.
fn work(options: &Options, smoke: &[String]) -> Result<Work> {
    let mut words = vec!["zdtm".to_owned()];
    if options.smoke {
        words.push("--exact".to_owned());
    }
    words.extend_from_slice(if options.smoke { smoke } else { &options.filters });
    let tests = zdtm::Options::try_parse_from(words).context("the names of tests")?;
    let mut selected = if options.features { Vec::new() } else { tests.tests()? };
    if selected.is_empty() && !options.features {
        bail!("no test has one of these names; cargo xtask zdtm --list shows them");
    }
    if let Some((part, parts)) = options.shard {
        let numbered = selected.into_iter().enumerate();
        selected = numbered.filter(|(at, _)| at % parts == part - 1).map(|(_, test)| test).collect();
    }
    let mut of_guests = crate::zdtm::Options::of_guests(tests, &options.arch);
    (of_guests.keep, of_guests.smoke) = (options.keep, options.smoke);
    Ok(Work {
        options: of_guests,
        golden: !options.features && options.shard.is_none_or(|(part, _)| part == 1),
        tests: selected,
        kernels: options.kernel.clone(),
        guests: !options.no_guests,
        native: options.native,
    })
}

/// What the options ask for of pairs.
fn work_of_pairs(options: &Options, matrix: &Matrix) -> Result<Work> {
    let mut work = work(options, &[])?;
    work.tests.retain(|test| matrix.moves(&test.name()));
    if work.tests.is_empty() {
        bail!("no test of `moved` or `refused` in ci/matrix.yaml has one of these names");
    }
    work.options.compact = true;
    Ok(work)
}

/// `2/3`
fn shard(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
    match parts {
        Some((part, parts)) if (1..=parts).contains(&part) => Ok((part, parts)),
        _ => Err("a part is N/M, as 1/3".to_owned()),
    }
}

/// All forms of a report.
fn write(report: &Report, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let json = serde_json::to_string_pretty(report)? + "\n";
    for (name, text) in [
        ("report.json", json),
        ("report.md", markdown::document(report)),
        ("junit.xml", junit::document(report)),
        ("index.html", html::document(report)),
    ] {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_one_of_its_parts() {
        assert_eq!(shard("2/3"), Ok((2, 3)));
        for wrong in ["0/3", "4/3", "3", "a/b", "1/0"] {
            assert!(shard(wrong).is_err(), "{wrong}");
        }
    }
}
