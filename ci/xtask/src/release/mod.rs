//! `cargo xtask release`: what is published, in `target/release-files`: for each machine one static `crio` and a Debian
//! package, then the bill of materials and the checksums of all of it. The golden images have to be of this version.

mod deb;
mod sbom;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::{self, Need};
use crate::{build, golden, workspace};

#[derive(Args)]
pub(crate) struct Options {
    /// x86-64, aarch64, armv7, mips64, or all
    #[arg(long, value_name = "MACHINE", default_value = "all")]
    arch: String,
    /// Where the files go (default: target/release-files)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    setup::ensure(&[Need::Dpkg])?;
    let matrix = workspace::matrix()?;
    let folder = match &options.out {
        Some(folder) => folder.clone(),
        None => workspace::target()?.join("release-files"),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let version = env!("CARGO_PKG_VERSION");
    let mut files = Vec::new();
    for machine in matrix.select(&options.arch)? {
        golden::is_of(version, machine)?;
        let name = format!("crio-{version}-{}", machine.name);
        let program = folder.join(&name);
        copy(&build::program(machine, "engine", "crio")?, &program)?;
        files.push(name);
        files.push(deb::build(&program, machine, version, &folder)?);
    }
    let bill = format!("crio-{version}.cdx.json");
    std::fs::write(folder.join(&bill), sbom::document(version)?)?;
    files.push(bill);
    std::fs::write(folder.join("SHA256SUMS"), checksums(&folder, &files)?)?;
    for file in files.iter().map(String::as_str).chain(["SHA256SUMS"]) {
        println!("{}", folder.join(file).display());
    }
    Ok(ExitCode::SUCCESS)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
}

/// The output of sha256sum(1), which `sha256sum -c` reads.
fn checksums(folder: &Path, files: &[String]) -> Result<Vec<u8>> {
    let mut sum = Command::new("sha256sum");
    sum.args(files).current_dir(folder).stdin(Stdio::null());
    let output = sum.output().context("cannot start sha256sum")?;
    if !output.status.success() {
        bail!("sha256sum: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
