//! Images of the last release, `zdtm/golden/MACHINE.tar.xz`: what it wrote, the engine of today restores.
//!
//! They are tests of the family `golden` wherever tests are run. `cargo xtask golden` makes them, as a step of a release:
//! in guests of each machine's oldest kernel and without KVM, so that they ask no processor and no kernel for more than
//! any has. An image that a change of the engine cannot restore any more is a finding, not a reason to make new ones.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use ::zdtm::Test;
use ::zdtm::moved;
use ::zdtm::protocol::Outcome;
use anyhow::{Context, Result, bail};
use clap::{Args, Parser};
use engine::image::directory::ImageDir;
use tempfile::TempDir;
use vm::matrix::{Kernel, Machine, Matrix};
use vm::pool::Pool;
use vm::qemu::Disk;

use crate::setup::{self, Need};
use crate::workspace;
use crate::zdtm::{Stock, arrive, depart};

#[derive(Args)]
pub(crate) struct Options {
    /// x86-64, aarch64, armv7, mips64, or all
    #[arg(long, value_name = "MACHINE", default_value = "all")]
    arch: String,
    /// The kernel, as ci/matrix.yaml names it, that dumps (default: the machine's oldest)
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
}

/// The family of these tests.
const FAMILY: &str = "golden";

/// What is kept in a repository is small.
const LARGEST: u64 = 768 << 10;

/// Dumps the moved tests of ci/matrix.yaml with the engine of this tree, and keeps them.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    setup::ensure(&[Need::Tar, xz()])?;
    let matrix = workspace::matrix()?;
    for machine in matrix.select(&options.arch)? {
        let archive = archive(machine);
        let kernel = match &options.kernel {
            Some(name) => machine.kernel(Some(name))?,
            None => machine.kernels.first().context("it has no kernel")?,
        };
        make(&matrix, (machine, kernel), &archive)
            .with_context(|| format!("golden images of {}", machine.name))?;
        let size = archive.metadata()?.len();
        if size > LARGEST {
            bail!("{} has {size} bytes, more than {LARGEST}", archive.display());
        }
        println!("golden: {} ({} KiB)", archive.display(), size.div_ceil(1024));
    }
    Ok(ExitCode::SUCCESS)
}

fn make(matrix: &Matrix, (machine, kernel): (&Machine, &Kernel), archive: &Path) -> Result<()> {
    let mut options = crate::zdtm::Options::of_guests(tests(&matrix.moved)?, &machine.name);
    options.compact = true;
    let selected = options.tests.tests()?;
    let stock = Stock::new(&options, matrix, machine, &selected)?;
    let folder = tempfile::tempdir()?;
    let raw = folder.path().join("raw.tar");
    let departures = depart((&stock, matrix, kernel), &options, (&selected, true), &raw)?;
    stock.end(false)?;
    for (name, departure) in departures {
        match departure.with_context(|| name.clone())? {
            (Outcome::Passed, _) => {}
            (_, reason) => bail!("{name} was not dumped: {reason}"),
        }
    }
    let whole = folder.path().join("whole");
    std::fs::create_dir(&whole)?;
    tar(Command::new("tar").arg("xf").arg(&raw).arg("-C").arg(&whole))?;
    std::fs::create_dir_all(archive.parent().unwrap_or(Path::new(".")))?;
    let mut pack = Command::new("tar");
    pack.args(["--sort=name", "--numeric-owner", "-cJf"]).arg(archive).arg("-C").arg(&whole);
    tar(pack.args(selected.iter().map(|test| &test.program)).env("XZ_OPT", "-9e"))
}

/// The options that select these tests.
pub(crate) fn tests(names: &[String]) -> Result<::zdtm::Options> {
    let words = ["zdtm".to_owned(), "--exact".to_owned()].into_iter().chain(names.iter().cloned());
    ::zdtm::Options::try_parse_from(words).context("the names of tests")
}

fn archive(machine: &Machine) -> PathBuf {
    workspace::root().join("zdtm/golden").join(format!("{}.tar.xz", machine.name))
}

fn xz() -> Need {
    Need::Program { program: "xz".to_owned(), package: "xz-utils".to_owned() }
}

fn tar(command: &mut Command) -> Result<()> {
    workspace::run(command.stdin(Stdio::null()))
}

/// What is kept for one machine.
#[derive(Default)]
pub(crate) struct Golden {
    archive: PathBuf,
    /// Those that the options select, as `golden/NAME`.
    pub(crate) tests: Vec<Test>,
}

impl Golden {
    /// Looks into the archive of a machine. There are no tests in it for a run that restores nothing, or that is about
    /// what it dumps itself. The smoke set has them all.
    ///
    /// # Errors
    /// When there is none, or it is not one of images.
    pub(crate) fn of(machine: &Machine, options: &::zdtm::Options, is_smoke: bool) -> Result<Self> {
        let archive = archive(machine);
        let no_restore = options.no_cr || options.leave_running || options.depart;
        if no_restore || options.restore_engine.is_some() || !options.inspect.is_empty() {
            return Ok(Golden { archive, tests: Vec::new() });
        }
        if !archive.is_file() {
            bail!("{} is not there: cargo xtask golden --arch {}", archive.display(), machine.name);
        }
        setup::ensure(&[Need::Tar, xz()])?;
        let folder = unpacked(&archive)?;
        let mut tests = moved::tests(folder.path())?;
        for test in &mut tests {
            let version = version(folder.path(), test)?;
            test.family = FAMILY.to_owned();
            test.entry.survives = format!("{} (dumped by crio {version})", test.entry.survives);
        }
        tests.retain(|test| is_smoke || options.selects(&test.name()));
        Ok(Golden { archive, tests })
    }

    /// Of the machine that this program runs on; nothing if ci/matrix.yaml does not have it.
    pub(crate) fn native(options: &::zdtm::Options) -> Result<Option<Self>> {
        let matrix = workspace::matrix()?;
        let machine = matrix.machines().find(|machine| machine.is_native());
        machine.map(|machine| Self::of(machine, options, false)).transpose()
    }

    /// The archive as a disk of guests, whose file is in `folder`.
    pub(crate) fn disk(&self, folder: &Path) -> Result<Disk> {
        let file = folder.join("golden.tar");
        let output = std::fs::File::create(&file)?;
        let mut xz = Command::new("xz");
        workspace::run(xz.arg("-dc").arg(&self.archive).stdin(Stdio::null()).stdout(output))?;
        Ok(Disk { file, is_writable: false })
    }

    /// Restores one of the tests on this system.
    ///
    /// # Errors
    /// Why it failed.
    pub(crate) fn restore(&self, test: &Test, engine: &Path) -> Result<(Outcome, String)> {
        let runner = [std::env::current_exe()?.into_os_string(), "zdtm".into()];
        let words = moved::command(&runner, &self.archive, &test.program, engine);
        let (program, arguments) = words.split_first().context("no program")?;
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot start {}", program.display()))?;
        let said = [output.stderr, output.stdout].concat();
        moved::outcome(&String::from_utf8_lossy(&said))
    }
}

/// The engine that has dumped a test.
fn version(unpacked: &Path, test: &Test) -> Result<String> {
    let images = ImageDir::open(unpacked.join(&test.program).join(moved::IMAGES))?;
    Ok(images.inventory()?.crio_version.unwrap_or_default())
}

/// Fails unless the images of a machine are of this very version.
pub(crate) fn is_of(expected: &str, machine: &Machine) -> Result<()> {
    let archive = archive(machine);
    let folder = unpacked(&archive)?;
    for test in moved::tests(folder.path())? {
        let version = version(folder.path(), &test)?;
        if version != expected {
            bail!(
                "{}: {} was dumped by crio {version}, this is {expected}: cargo xtask golden, then commit",
                archive.display(),
                test.program
            );
        }
    }
    Ok(())
}

/// Whether it is one of these.
pub(crate) fn is_golden(test: &Test) -> bool {
    test.family == FAMILY
}

/// Restores one of these tests in a guest of which the archive is the first of the further disks.
///
/// # Errors
/// Why it failed.
pub(crate) fn restore_in_guest(
    test: &Test,
    pool: &Pool,
    (machine, kernel): (&Machine, &Kernel),
) -> Result<(Outcome, String)> {
    let refusal = machine.kernels.first().and_then(|oldest| kernel.refusal(oldest));
    arrive(test, pool, 0, (&kernel.lacks, refusal))
}

fn unpacked(archive: &Path) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    if !archive.is_file() {
        bail!("there is no {}; cargo xtask golden makes it", archive.display());
    }
    tar(Command::new("tar").arg("xf").arg(archive).arg("-C").arg(folder.path()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moved_test_exists() {
        let matrix = workspace::matrix().unwrap();
        assert_eq!(tests(&matrix.moved).unwrap().tests().unwrap().len(), matrix.moved.len());
    }
}
