//! `cargo xtask setup`: installs what the other verbs need when it may, else prints the one line that does.
//!
//! Each [`Need`] knows how to see that it is there, so that a machine that has everything pays a few `stat` calls and
//! no package manager is started. The verbs call [`ensure`] with the needs of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, bail};
use clap::Args;
use vm::matrix::Machine;

use crate::peer::Peer;
use crate::workspace::{self, which};

#[derive(Args)]
pub(crate) struct Options {
    /// Fetch Debian sid's criu as well, and print the path of a program that starts it
    #[arg(long)]
    peer: bool,
}

/// A thing outside the workspace without which some verb cannot do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// A C compiler: the C tests and the programs of the benchmark.
    Compiler,
    /// The headers and start files of the C library.
    CLibrary,
    /// bash: the shell program of the engine's tests.
    Bash,
    /// Python 3: the interpreter program of the engine's tests.
    Python,
    /// tar: the tests move images about.
    Tar,
    /// git: the rules of the tree look at the files that git knows.
    Git,
    /// dpkg-deb: unpacks the peer.
    Dpkg,
    /// crit: CRIU's decoder of images.
    Crit,
    /// rustfmt, of the toolchain in use.
    Rustfmt,
    /// clippy, of the toolchain in use.
    Clippy,
    /// A Rust compiler with the sources of its standard library: builds for machines without a ready-made one.
    RustSources,
    /// PostgreSQL's server, whose programs lie in a folder that is named after its version.
    Postgresql,
    /// A program that is known by its name.
    Program {
        /// Found in the path.
        program: String,
        /// That has it.
        package: String,
    },
    /// A file that is known by its path.
    File {
        /// Absolute.
        path: PathBuf,
        /// That has it.
        package: String,
    },
}

impl Need {
    /// What all verbs need, for all machines.
    fn all() -> Result<Vec<Need>> {
        let mut needs = vec![
            Need::Compiler,
            Need::CLibrary,
            Need::Bash,
            Need::Python,
            Need::Tar,
            Need::Git,
            Need::Dpkg,
            Need::Crit,
            Need::Rustfmt,
            Need::Clippy,
            Need::RustSources,
        ];
        for machine in workspace::matrix()?.machines() {
            needs.extend(cross_compiler(machine));
        }
        Ok(needs)
    }

    fn is_there(&self) -> bool {
        match self {
            Need::Compiler => which("cc").is_some(),
            Need::CLibrary => Path::new("/usr/include/stdio.h").exists(),
            Need::Bash => which("bash").is_some(),
            Need::Python => which("python3").is_some(),
            Need::Tar => which("tar").is_some(),
            Need::Git => which("git").is_some(),
            Need::Dpkg => which("dpkg-deb").is_some(),
            Need::Crit => which("crit").is_some(),
            Need::Rustfmt => cargo_has("fmt"),
            Need::Clippy => cargo_has("clippy"),
            Need::RustSources => crate::build::has_rust_sources(),
            Need::Postgresql => crate::servers::postgresql_programs().is_some(),
            Need::Program { program, .. } => which(program).is_some(),
            Need::File { path, .. } => path.exists(),
        }
    }

    fn sources(&self) -> Vec<Source> {
        let package = |name: &str| vec![Source::Package(name.to_owned())];
        let component = |name| vec![Source::Component(name)];
        match self {
            Need::Compiler => package("gcc"),
            Need::CLibrary => package("libc6-dev"),
            Need::Bash => package("bash"),
            Need::Python => package("python3"),
            Need::Tar => package("tar"),
            Need::Git => package("git"),
            Need::Dpkg => package("dpkg"),
            Need::Crit => package("criu"),
            Need::Rustfmt => component("rustfmt"),
            Need::Clippy => component("clippy"),
            Need::RustSources => rust_sources(),
            Need::Postgresql => package("postgresql"),
            Need::Program { package: name, .. } | Need::File { package: name, .. } => package(name),
        }
    }
}

/// Where a need is met from: a package of a Debian-like distribution, or a component of the Rust toolchain.
enum Source {
    Package(String),
    Component(&'static str),
}

/// The distribution's compiler comes with sources of its own; the names differ between releases. Where there is no
/// such package, the toolchain in use may bring them.
fn rust_sources() -> Vec<Source> {
    let package = |name: &str| Source::Package(name.to_owned());
    let known = |name: &str| {
        let mut apt = Command::new("apt-cache");
        apt.args(["show", name]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        apt.status().is_ok_and(|status| status.success())
    };
    if known("rust-web-src") {
        ["rustc-web", "cargo-web", "rust-web-src"].map(package).into()
    } else if which("rustup").is_some() {
        vec![Source::Component("rust-src")]
    } else {
        ["rustc", "cargo", "rust-src"].map(package).into()
    }
}

/// The C compiler and library that link programs for `machine`.
pub(crate) fn cross_compiler(machine: &Machine) -> Vec<Need> {
    if machine.is_native() {
        return vec![Need::Compiler, Need::CLibrary];
    }
    let compiler = Need::Program {
        program: format!("{}-gcc", machine.gnu),
        package: format!("gcc-{}", machine.gnu.replace('_', "-")),
    };
    let library = Need::File {
        path: Path::new("/usr").join(&machine.gnu).join("lib/libc.a"),
        package: format!("libc6-dev-{}-cross", machine.debian),
    };
    vec![compiler, library]
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    ensure(&Need::all()?)?;
    println!("setup: everything is there");
    if options.peer {
        println!("{}", Peer::fetch()?.wrapper().display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that all `needs` are met; installs the missing ones when it may.
/// The error holds the line that installs what is still missing.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let install = Install::of(needs);
    if install.is_empty() {
        return Ok(());
    }
    if install.may_run() {
        install.run();
    }
    let mut rest = Install::of(needs);
    if !rest.packages.is_empty() && rest.may_run() {
        // A machine that never ran `apt-get update` has no package lists; its image may have old ones, with versions
        // that do not serve.
        let _ = quiet("apt-get", &["update", "-q"]);
        rest.run();
        rest = Install::of(needs);
    }
    if !rest.is_empty() {
        bail!("something is missing that this command needs; install it with\n  {}", rest.line());
    }
    Ok(())
}

/// What has to be installed, by source.
struct Install {
    packages: Vec<String>,
    components: Vec<&'static str>,
}

impl Install {
    fn of(needs: &[Need]) -> Self {
        let mut install = Install { packages: Vec::new(), components: Vec::new() };
        for need in needs.iter().filter(|need| !need.is_there()) {
            for source in need.sources() {
                match source {
                    Source::Package(name) if install.packages.contains(&name) => {}
                    Source::Package(name) => install.packages.push(name),
                    Source::Component(name) => install.components.push(name),
                }
            }
        }
        install
    }

    fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.components.is_empty()
    }

    /// Packages want root and apt; components want rustup, which installs for the user.
    fn may_run(&self) -> bool {
        let packages =
            self.packages.is_empty() || (nix::unistd::geteuid().is_root() && which("apt-get").is_some());
        packages && (self.components.is_empty() || which("rustup").is_some())
    }

    /// Tries to install; what did not work is seen by looking again, with the messages of the programs above it.
    fn run(&self) {
        if !self.packages.is_empty() {
            apt_install(&self.packages);
        }
        if !self.components.is_empty() {
            let _ = quiet("rustup", &[&["component", "add"], self.components.as_slice()].concat());
        }
    }

    /// The one line that a person types to get all of it.
    fn line(&self) -> String {
        let mut parts = Vec::new();
        if !self.packages.is_empty() {
            parts.push(format!("sudo apt-get install -y {}", self.packages.join(" ")));
        }
        if !self.components.is_empty() {
            parts.push(format!("rustup component add {}", self.components.join(" ")));
        }
        parts.join(" && ")
    }
}

fn apt_install(packages: &[String]) {
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let _ = quiet(
        "apt-get",
        &[&["install", "-y", "-q", "--no-install-recommends"], packages.as_slice()].concat(),
    );
}

/// Runs a package manager without questions, with its output on standard error; whether it succeeded.
fn quiet(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command.stdout(std::io::stderr());
    eprintln!("setup: {}", workspace::show(&command));
    command.status().is_ok_and(|status| status.success())
}

/// Whether cargo knows the subcommand. rustup puts a proxy for each tool in the path even where its component is
/// missing, so the tool has to answer.
pub(crate) fn cargo_has(subcommand: &str) -> bool {
    let mut cargo = workspace::cargo();
    cargo.args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    cargo.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_every_missing_thing_once() {
        let install =
            Install { packages: vec!["gcc".to_owned(), "python3".to_owned()], components: vec!["clippy"] };
        assert_eq!(install.line(), "sudo apt-get install -y gcc python3 && rustup component add clippy");
    }

    #[test]
    fn what_is_there_is_not_installed() {
        // This test was compiled, so a C compiler linked it.
        assert!(Install::of(&[Need::Compiler]).is_empty());
    }
}
