//! `cargo xtask zdtm`: the C tests through dump and restore. The runner is the crate `zdtm`.
//!
//! Here and now by default; with `--arch` in guests of the crate `vm`; with `--user` without dump and restore, each
//! program of another machine alone on this one's kernel.

mod emulated;
mod guests;
mod programs;
mod table;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

pub(crate) use self::guests::{Stock, outcome};

use crate::build;
use crate::setup::{self, Need};
use crate::workspace;

#[derive(Args)]
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
}

/// The default of `--engine`.
const ENGINE: &str = "target/debug/crio";

/// Runs the selected tests with the release build of `crio`, unless another engine was named.
pub(crate) fn run(mut options: Options) -> Result<ExitCode> {
    if options.smoke {
        options.tests.filters = workspace::matrix()?.smoke.tests;
        options.tests.exact = true;
    }
    if options.tests.list {
        return ::zdtm::run(options.tests);
    }
    if options.arch.is_some() {
        refuse_what_stays_here(&options.tests)?;
        return if options.user { emulated::run(&options) } else { guests::run(&options) };
    }
    setup::ensure(&[Need::Compiler, Need::CLibrary])?;
    if options.tests.engine == Path::new(ENGINE) {
        options.tests.engine = build::crio()?;
    }
    ::zdtm::run(options.tests)
}

/// Options that name files of this machine mean nothing to a guest.
fn refuse_what_stays_here(tests: &::zdtm::Options) -> Result<()> {
    let named = [
        (tests.engine != Path::new(ENGINE), "--engine"),
        (tests.restore_engine.is_some(), "--restore-engine"),
        (!tests.inspect.is_empty(), "--inspect"),
        (tests.prebuilt.is_some(), "--prebuilt"),
        (tests.keep_images, "--keep-images"),
        (!tests.emulator.is_empty(), "--emulator"),
    ];
    match named.iter().find(|(given, _)| *given) {
        Some((_, option)) => bail!("{option} has no meaning with --arch"),
        None => Ok(()),
    }
}
