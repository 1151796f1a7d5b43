//! `cargo xtask interop`: our images against those of Debian sid's criu, in both directions.
//!
//! Everything is dumped by one engine and restored by the other: the four programs of `engine/tests/programs`
//! ([`programs`]) and the C tests ([`suite`]). Every image directory has to please `crio image verify`, and every image
//! of ours CRIU's decoder ([`images`]). What CRIU itself loses or refuses stands in one table ([`known`]); any other
//! failure is ours. With `--arch` C tests go from one engine to the other in guests of another machine ([`guests`]).

mod guests;
mod images;
mod known;
mod process;
mod programs;
mod report;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::build;
use crate::peer::Peer;
use crate::setup::{self, Need};

use report::Report;

#[derive(Args)]
pub(crate) struct Options {
    /// Only programs and tests whose name contains one of these
    filter: Vec<String>,
    /// Our side: an engine with CRIU's command line [default: the release build of this workspace]
    #[arg(long, value_name = "PATH")]
    engine: Option<PathBuf>,
    /// Their side [default: Debian sid's criu, fetched once]
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// In guests of this machine, or all that Debian has criu for: C tests, those of `interop` in ci/matrix.yaml unless
    /// some are named
    #[arg(long, value_name = "MACHINE", conflicts_with_all = ["engine", "against"])]
    arch: Option<String>,
    /// The guests' kernel as ci/matrix.yaml names it (default: the newest)
    #[arg(long, value_name = "NAME", requires = "arch")]
    kernel: Option<String>,
    /// Only inspect this image directory, as is done with each
    #[arg(long, value_name = "DIR", requires = "engine", conflicts_with_all = ["filter", "against"])]
    inspect: Option<PathBuf>,
}

/// Who dumps, and who restores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Ours dumps, theirs restores.
    ToCriu,
    /// Theirs dumps, ours restores.
    FromCriu,
}

impl Direction {
    const BOTH: [Direction; 2] = [Direction::ToCriu, Direction::FromCriu];
}

/// The two engines of a run.
pub(crate) struct Engines {
    ours: PathBuf,
    theirs: PathBuf,
}

impl Engines {
    fn dumper(&self, direction: Direction) -> &PathBuf {
        match direction {
            Direction::ToCriu => &self.ours,
            Direction::FromCriu => &self.theirs,
        }
    }

    fn restorer(&self, direction: Direction) -> &PathBuf {
        match direction {
            Direction::ToCriu => &self.theirs,
            Direction::FromCriu => &self.ours,
        }
    }
}

fn exit_code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    setup::ensure(&[Need::Crit])?;
    if let (Some(folder), Some(engine)) = (&options.inspect, &options.engine) {
        images::inspect(engine, folder)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(arch) = &options.arch {
        return Ok(exit_code(guests::run(options, arch)?));
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("dump and restore need root: sudo -E cargo xtask interop");
    }
    setup::ensure(&[Need::Compiler, Need::CLibrary, Need::Bash, Need::Python])?;
    let ours = options.engine.clone().map_or_else(build::crio, |path| Ok(path.canonicalize()?))?;
    let theirs = options
        .against
        .clone()
        .map_or_else(|| Ok(Peer::fetch()?.wrapper()), |path| anyhow::Ok(path.canonicalize()?))?;
    let engines = Engines { ours, theirs };
    let mut report = Report::default();
    for direction in Direction::BOTH {
        programs::run(&engines, direction, &options.filter, &mut report)?;
        suite::run(&engines, direction, &options.filter, &mut report)?;
    }
    print!("{report}");
    Ok(exit_code(report.is_good()))
}
