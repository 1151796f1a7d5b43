//! `cargo xtask build`: the release build of `crio`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::setup::{self, Need};
use crate::workspace;

pub(crate) fn run() -> Result<ExitCode> {
    let crio = crio()?;
    let bytes = crio.metadata().with_context(|| format!("cannot look at {}", crio.display()))?.len();
    println!("{} ({:.1} MiB)", crio.display(), bytes as f64 / f64::from(1 << 20));
    Ok(ExitCode::SUCCESS)
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
