//! `cargo xtask build`: the release build of `crio`, for this machine or for others.
//!
//! Without `--arch` it is the ordinary one, in `target/release`. With `--arch` it is one file without shared libraries
//! that runs on any system of that machine, in `target/cross/MACHINE`: folders of their own, so that none compiles
//! another's work again, or waits for its lock.

mod toolchain;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use vm::matrix::Machine;

use crate::setup::{self, Need};
use crate::workspace;

pub(crate) use self::toolchain::has_sources as has_rust_sources;

#[derive(Args)]
pub(crate) struct Options {
    /// x86-64, aarch64, armv7, mips64, or all: one statically linked file for each
    #[arg(long, value_name = "MACHINE")]
    arch: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let Some(arch) = &options.arch else {
        print_size(&crio()?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut code = ExitCode::SUCCESS;
    for machine in workspace::matrix()?.select(arch)? {
        match program(machine, "engine", "crio") {
            Ok(crio) => print_size(&crio)?,
            Err(error) => {
                eprintln!("error: {}: {error:#}", machine.name);
                code = ExitCode::FAILURE;
            }
        }
        print_size(&program(machine, "zdtm", "zdtm")?)?;
    }
    Ok(code)
}

fn print_size(program: &Path) -> Result<()> {
    let bytes = program.metadata().with_context(|| format!("cannot look at {}", program.display()))?.len();
    println!("{} ({:.1} MiB)", program.display(), bytes as f64 / f64::from(1 << 20));
    Ok(())
}

/// Builds `crio` for release when it is not up to date, and returns its path.
pub(crate) fn crio() -> Result<PathBuf> {
    setup::ensure(&[Need::Compiler, Need::CLibrary])?;
    workspace::run(workspace::cargo().args([
        "build",
        "--release",
        "--quiet",
        "--package",
        "engine",
        "--bin",
        "crio",
    ]))?;
    Ok(workspace::target()?.join("release/crio"))
}

/// Builds one statically linked program for `machine` when it is not up to date, and returns its path.
pub(crate) fn program(machine: &Machine, package: &str, name: &str) -> Result<PathBuf> {
    setup::ensure(&setup::cross_compiler(machine))?;
    let folder = workspace::target()?.join("cross").join(&machine.name);
    let mut cargo = toolchain::cargo(machine)?;
    cargo.args(["build", "--release", "--quiet", "--package", package, "--bin", name]);
    cargo.arg("--target").arg(&machine.rust).arg("--target-dir").arg(&folder);
    let variable = machine.rust.replace('-', "_").to_uppercase();
    cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), format!("{}-gcc", machine.gnu));
    cargo.env(format!("CARGO_TARGET_{variable}_RUSTFLAGS"), "-C target-feature=+crt-static");
    // What a backtrace names stays; line tables of the standard library would double the file.
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    workspace::run(&mut cargo).with_context(|| format!("cannot build {name} for {}", machine.name))?;
    Ok(folder.join(&machine.rust).join("release").join(name))
}
