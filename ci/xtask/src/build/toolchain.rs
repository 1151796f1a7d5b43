//! Which Rust toolchain compiles for a machine.
//!
//! 1. The cargo that started us, when its compiler has the target's standard library (`rustup target add`).
//! 2. Else any cargo whose compiler has the sources of the standard library, which is then compiled along: the one
//!    that started us (`rustup component add rust-src`), or the distribution's in /usr/bin. That is an unstable
//!    feature of cargo, which `RUSTC_BOOTSTRAP` opens in a stable one.
//!
//! A compiler that is older than what the workspace asks for (`rust-version`) does not count: old package lists offer
//! such.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use vm::matrix::Machine;

use crate::setup::{self, Need};
use crate::workspace;

/// Of the distribution.
const SYSTEM_CARGO: &str = "/usr/bin/cargo";
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// The oldest compiler that builds the workspace: `rust-version` of its manifest.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");

/// What a toolchain can do for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    /// Compiled.
    There,
    /// Only its sources.
    Sources,
    Missing,
}

/// A cargo that can compile for `machine`.
pub(super) fn cargo(machine: &Machine) -> Result<Command> {
    if library(&rustc(), &machine.rust) == Library::There {
        return Ok(workspace::cargo());
    }
    if let Some(cargo) = from_sources(machine) {
        return Ok(cargo);
    }
    setup::ensure(&[Need::RustSources])?;
    match from_sources(machine) {
        Some(cargo) => Ok(cargo),
        None => bail!(
            "no Rust compiler of {OLDEST} or newer has the standard library for {}, nor its sources",
            machine.rust
        ),
    }
}

/// Whether [`cargo`] has sources to compile, for any machine.
pub(crate) fn has_sources() -> bool {
    [rustc(), SYSTEM_RUSTC.into()].iter().any(|rustc| library(rustc, "none") == Library::Sources)
}

fn from_sources(machine: &Machine) -> Option<Command> {
    let mut cargo = if library(&rustc(), &machine.rust) == Library::Sources {
        workspace::cargo()
    } else if library(Path::new(SYSTEM_RUSTC), &machine.rust) == Library::Sources {
        system_cargo()
    } else {
        return None;
    };
    cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
    Some(cargo)
}

/// The distribution's cargo, without what the cargo that started us says to its children.
fn system_cargo() -> Command {
    let mut cargo = Command::new(SYSTEM_CARGO);
    cargo.current_dir(workspace::root()).stdin(Stdio::null()).env("RUSTC", SYSTEM_RUSTC);
    without_ours(&mut cargo);
    cargo
}

fn without_ours(command: &mut Command) {
    for name in ["LD_LIBRARY_PATH", "RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "CARGO", "RUSTFLAGS"] {
        command.env_remove(name);
    }
}

fn rustc() -> PathBuf {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()).into()
}

/// What the compiler `rustc` can do for a target.
fn library(rustc: &Path, target: &str) -> Library {
    let answer = |arguments: &[&str]| {
        let mut command = Command::new(rustc);
        if rustc == Path::new(SYSTEM_RUSTC) {
            without_ours(&mut command);
        }
        command.args(arguments).current_dir(workspace::root()).stdin(Stdio::null()).stderr(Stdio::null());
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (answer(&["--version"]), answer(&["--print", "sysroot"])) {
        (Some(version), Some(sysroot)) if is_new_enough(&version) => library_in(Path::new(&sysroot), target),
        _ => Library::Missing,
    }
}

/// Whether a compiler that says `rustc 1.96.0 (...)` builds the workspace.
fn is_new_enough(version: &str) -> bool {
    let release = |text: &str| {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        Some((parts.next()??, parts.next()??))
    };
    version.split_whitespace().nth(1).and_then(release) >= release(OLDEST)
}

fn library_in(sysroot: &Path, target: &str) -> Library {
    let folder = sysroot.join("lib/rustlib");
    if folder.join(target).join("lib").is_dir() {
        Library::There
    } else if folder.join("src/rust/library/std/Cargo.toml").exists() {
        Library::Sources
    } else {
        Library::Missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_library_goes_before_its_sources() -> Result<()> {
        let sysroot = tempfile::tempdir()?;
        let folder = sysroot.path().join("lib/rustlib");
        assert_eq!(library_in(sysroot.path(), "some-target"), Library::Missing);
        std::fs::create_dir_all(folder.join("src/rust/library/std"))?;
        std::fs::write(folder.join("src/rust/library/std/Cargo.toml"), "")?;
        assert_eq!(library_in(sysroot.path(), "some-target"), Library::Sources);
        std::fs::create_dir_all(folder.join("some-target/lib"))?;
        assert_eq!(library_in(sysroot.path(), "some-target"), Library::There);
        assert_eq!(library_in(sysroot.path(), "other-target"), Library::Sources);
        Ok(())
    }

    #[test]
    fn an_old_compiler_does_not_count() {
        assert!(is_new_enough(&format!("rustc {OLDEST}.0 (abc 2025-12-08)")));
        assert!(is_new_enough("rustc 2.0.0-nightly (abc 2026-01-01)"));
        assert!(!is_new_enough("rustc 1.9.1 (abc 2016-05-24)"));
        assert!(!is_new_enough("gcc"));
    }

    #[test]
    fn the_compiler_of_this_test_has_its_own_library() {
        let native = workspace::matrix().unwrap();
        let native = native.machines().find(|machine| machine.is_native()).unwrap();
        assert_eq!(library(&rustc(), &native.rust), Library::There);
    }
}
