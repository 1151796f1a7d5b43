//! `cargo xtask zdtm`: the C tests through dump and restore. The runner is the crate `zdtm`.
//!
//! Here and now by default; with `--arch` in guests of the crate `vm`; with `--user` without dump and restore, each
//! program of another machine alone on this one's kernel.

mod emulated;
mod guests;
mod moved;
mod programs;
mod table;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ::zdtm::protocol::{Engines, Outcome};
use ::zdtm::{Linking, Test};
use anyhow::{Result, bail};
use clap::Args;
use libtest_mimic::{Completion, Trial};
use vm::image::Content;

pub(crate) use self::guests::{Hardware, Stock, outcome};
pub(crate) use self::moved::{Departures, arrive, depart};

use crate::build;
use crate::golden::Golden;
use crate::setup::{self, Need};
use crate::workspace;

#[derive(Args, Clone)]
#[group(id = "guests")]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) tests: ::zdtm::Options,
    /// Run in guests of this machine: x86-64, aarch64, armv7, mips64, or all
    #[arg(long, value_name = "MACHINE")]
    pub(crate) arch: Option<String>,
    /// The guests' kernel as ci/matrix.yaml names it, or all (default: the newest)
    #[arg(long, value_name = "NAME", requires = "arch")]
    pub(crate) kernel: Option<String>,
    /// No guest: run the machine's programs under user emulation, without dump and restore
    #[arg(long, requires = "arch", conflicts_with_all = ["kernel", "iters", "leave_running"])]
    pub(crate) user: bool,
    /// Link the programs with the machine's shared C library, not with a static one
    #[arg(long, requires = "arch")]
    pub(crate) dynamic: bool,
    /// Only the smoke set of ci/matrix.yaml
    #[arg(long, requires = "arch", conflicts_with = "filters")]
    pub(crate) smoke: bool,
    /// Panic the guest while this test runs: proves that the run survives it
    #[arg(long, value_name = "TEST", requires = "arch", hide = true)]
    pub(crate) panic: Option<String>,
    /// Keep the logs of the guests' consoles when no test failed, too
    #[arg(long, requires = "arch")]
    pub(crate) keep: bool,
    /// Programs that are kept, or carried about.
    #[arg(skip)]
    pub(crate) compact: bool,
    /// Who dumps and restores in guests.
    #[arg(skip)]
    pub(crate) engines: Engines,
    /// What guests have besides.
    #[arg(skip)]
    pub(crate) more: Vec<Content>,
}

impl Options {
    /// For tests that are moved from guest to guest.
    pub(crate) fn of_guests(tests: ::zdtm::Options, arch: &str) -> Self {
        Options {
            tests,
            arch: Some(arch.to_owned()),
            kernel: None,
            user: false,
            dynamic: false,
            smoke: false,
            panic: None,
            keep: false,
            compact: false,
            engines: Engines::default(),
            more: Vec::new(),
        }
    }

    fn linking(&self) -> Linking {
        match (self.dynamic, self.compact) {
            (true, _) => Linking::Dynamic,
            (false, true) => Linking::Compact,
            (false, false) => Linking::Static,
        }
    }
}

/// Where a guest has the runner.
const RUNNER_OF_GUESTS: &str = "/sbin/init";

/// The default of `--engine`.
const ENGINE: &str = "target/debug/crio";

/// Runs the selected tests with the release build of `crio`, unless another engine was named.
pub(crate) fn run(mut options: Options) -> Result<ExitCode> {
    if options.smoke {
        options.tests.filters = workspace::matrix()?.smoke.tests;
        options.tests.exact = true;
    }
    if options.tests.arrive.is_some() {
        return ::zdtm::run(options.tests);
    }
    if options.tests.list {
        let golden = native_golden(&options.tests)?;
        return ::zdtm::run_with(options.tests, golden);
    }
    if options.arch.is_some() {
        refuse_what_stays_here(&options.tests)?;
        return if options.user { emulated::run(&options) } else { guests::run(&options) };
    }
    setup::ensure(&[Need::Compiler, Need::CLibrary])?;
    if options.tests.engine == Path::new(ENGINE) {
        options.tests.engine = build::crio()?;
    }
    let golden = native_golden(&options.tests)?;
    ::zdtm::run_with(options.tests, golden)
}

/// The images of the last release, to be restored here.
fn native_golden(tests: &::zdtm::Options) -> Result<Vec<Trial>> {
    let Some(golden) = Golden::native(tests)? else { return Ok(Vec::new()) };
    let golden = Arc::new(golden);
    let trial = |test: &Test| {
        let (golden, engine, test) = (Arc::clone(&golden), tests.engine.clone(), test.clone());
        Trial::ignorable_test(test.name(), move || match golden.restore(&test, &engine)? {
            (Outcome::Skipped, reason) => Ok(Completion::ignored_with(reason)),
            _ => Ok(Completion::Completed),
        })
    };
    Ok(golden.tests.iter().map(trial).collect())
}

/// Options that name files of this machine mean nothing to a guest.
fn refuse_what_stays_here(tests: &::zdtm::Options) -> Result<()> {
    let named = [
        (tests.engine != Path::new(ENGINE), "--engine"),
        (tests.restore_engine.is_some(), "--restore-engine"),
        (!tests.inspect.is_empty(), "--inspect"),
        (tests.prebuilt.is_some(), "--prebuilt"),
        (tests.keep_images, "--keep-images"),
        (tests.depart, "--depart"),
        (!tests.emulator.is_empty(), "--emulator"),
    ];
    match named.iter().find(|(given, _)| *given) {
        Some((_, option)) => bail!("{option} has no meaning with --arch"),
        None => Ok(()),
    }
}
