//! `--arch`: the tests in guests. Everything is compiled here; a guest gets a disk with the programs and the engine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use ::zdtm::protocol::{Engines, NEEDS, Outcome, Terms};
use ::zdtm::{Flavor, Test};
use anyhow::{Context, Result, bail};
use libtest_mimic::{Completion, Failed, Trial};
use vm::image::Content;
use vm::kernel::Unpacked;
use vm::matrix::{Kernel, Machine, Matrix};
use vm::pool::Pool;
use vm::qemu::{Accelerator, Disk, Emulated};

use super::programs::{self, Programs};
use super::table::Table;
use super::{Options, RUNNER_OF_GUESTS};
use crate::golden::{self, Golden};
use crate::setup::{self, Need};
use crate::{build, workspace};

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let matrix = workspace::matrix()?;
    let tests = options.tests.tests()?;
    let table = Arc::new(Table::default());
    let (mut trials, mut columns, mut stocks) = (Vec::new(), Vec::new(), Vec::new());
    for machine in matrix.select(options.arch.as_deref().unwrap_or("all"))? {
        let stock = Stock::new(options, &matrix, machine, &tests)?;
        let golden = Golden::of(machine, &options.tests, options.smoke)?;
        for kernel in kernels(machine, options.kernel.as_deref())? {
            let column = format!("{} {}", machine.name, kernel.name);
            let pool = Arc::new(stock.pool(&matrix, kernel, options, stock.with_golden(&golden)?)?);
            for test in tests.iter().chain(&golden.tests) {
                let trial = trial(test, &stock.programs, &pool, (machine, kernel), (&column, &table));
                trials.push((column.clone(), trial));
            }
            columns.push(column);
        }
        // It holds the disk of the guests.
        stocks.push(stock);
    }
    if trials.is_empty() {
        bail!("no test has one of these names; --list shows them");
    }
    if columns.len() > 1 {
        // Each line says which machine and kernel it is about.
        trials = trials.into_iter().map(|(column, trial)| (String::new(), trial.with_kind(column))).collect();
    }
    let trials: Vec<Trial> = trials.into_iter().map(|(_, trial)| trial).collect();
    let mut arguments = options.tests.arguments();
    let guests = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(guests).min(trials.len().max(1)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if columns.len() > 1 {
        println!("{}", table.text(&columns));
    }
    for stock in &stocks {
        stock.end(options.keep || conclusion.has_failed())?;
    }
    Ok(conclusion.exit_code())
}

/// The kernels of a machine that are meant: one, the newest, or all.
fn kernels<'a>(machine: &'a Machine, name: Option<&str>) -> Result<Vec<&'a Kernel>> {
    match name {
        Some("all") => Ok(machine.kernels.iter().collect()),
        name => Ok(vec![machine.kernel(name)?]),
    }
}

/// Kernels, disks, and the logs of consoles.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = workspace::target()?.join("vm");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// What a guest has besides its kernel and root.
#[derive(Default)]
pub(crate) struct Hardware {
    /// More disks.
    pub(crate) disks: Vec<Disk>,
    /// Not the processor of this machine, whatever it can do.
    pub(crate) is_emulated: bool,
}

/// What all guests of one machine share.
pub(crate) struct Stock<'a> {
    pub(super) machine: &'a Machine,
    runner: PathBuf,
    disk: PathBuf,
    programs: Programs,
    /// First roots, and the logs of consoles.
    consoles: PathBuf,
}

impl<'a> Stock<'a> {
    /// Compiles everything and makes the disk.
    pub(crate) fn new(
        options: &Options,
        matrix: &Matrix,
        machine: &'a Machine,
        tests: &[Test],
    ) -> Result<Self> {
        setup::ensure(&needs(machine))?;
        let runner = build::program(machine, "zdtm", "zdtm")?;
        let programs = programs::compile(&options.tests, machine, options.linking(), tests)?;
        let userland = vm::userland::fetch(&folder()?.join("userland"), machine, &matrix.userland)?;
        let mut contents = vec![content(&userland, "/"), content(&runner, RUNNER_OF_GUESTS)];
        if !options.tests.no_cr {
            contents.push(content(&build::program(machine, "engine", "crio")?, Engines::OURS));
        }
        for program in programs.values().flatten() {
            let name = program.file_name().unwrap_or_default();
            contents.push(Content { from: program.clone(), to: Path::new("/zdtm").join(name) });
        }
        if options.dynamic {
            contents.extend(c_library(machine)?);
        }
        contents.extend_from_slice(&options.more);
        let name = format!("{}.{}", machine.name, std::process::id());
        let consoles = folder()?.join(&name);
        std::fs::create_dir_all(&consoles)?;
        let disk = consoles.join("disk");
        vm::image::disk(&contents, &disk)?;
        Ok(Stock { machine, runner, disk, programs, consoles })
    }

    /// Removes the logs of consoles, or says where they are.
    pub(crate) fn end(&self, keep: bool) -> Result<()> {
        if keep {
            println!("consoles of {}: {}", self.machine.name, self.consoles.display());
            return Ok(());
        }
        Ok(std::fs::remove_dir_all(&self.consoles)?)
    }

    /// What the compiler said about a test without a program.
    pub(crate) fn complaint(&self, test: &Test) -> Option<&String> {
        self.programs.get(&test.name())?.as_ref().err()
    }

    /// The kernel, unpacked.
    pub(crate) fn kernel(&self, matrix: &Matrix, kernel: &Kernel) -> Result<Unpacked> {
        vm::kernel::fetch(&folder()?.join("kernels"), self.machine, kernel, &matrix.modules)
    }

    /// Guests that have the images of the last release, too.
    pub(crate) fn with_golden(&self, golden: &Golden) -> Result<Hardware> {
        let disks = if golden.tests.is_empty() { Vec::new() } else { vec![golden.disk(&self.consoles)?] };
        Ok(Hardware { disks, is_emulated: false })
    }

    /// A file that lives as long as the guests.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.consoles.join(name)
    }

    /// Guests with this kernel.
    pub(crate) fn pool(
        &self,
        matrix: &Matrix,
        kernel: &Kernel,
        options: &Options,
        hardware: Hardware,
    ) -> Result<Pool> {
        let (machine, folder) = (self.machine, folder()?);
        let unpacked = self.kernel(matrix, kernel)?;
        println!("vm: {} {}: {}", machine.name, kernel.name, unpacked.package);
        let consoles = self.consoles.join(&kernel.name);
        std::fs::create_dir_all(&consoles)?;
        let image = vm::image::image(&unpacked, &self.runner, &self.disk, &consoles)?;
        let Hardware { disks, is_emulated } = hardware;
        let mut emulated =
            Emulated { qemu: machine.qemu.clone(), image, disks, accelerator: Accelerator::Tcg };
        if machine.is_native() && !is_emulated && vm::kvm::works(&emulated, &folder) {
            emulated.accelerator = Accelerator::Kvm;
        }
        let terms = Terms { engines: options.engines.clone(), ..options.tests.terms() };
        Ok(Pool::new(emulated, terms, &consoles).with_panic(options.panic.clone()))
    }
}

impl Drop for Stock<'_> {
    fn drop(&mut self) {
        // The next run makes its own.
        let _ = std::fs::remove_file(&self.disk);
    }
}

fn content(from: &Path, to: &str) -> Content {
    Content { from: from.to_owned(), to: PathBuf::from(to) }
}

/// What a guest takes besides the compilers.
fn needs(machine: &Machine) -> Vec<Need> {
    let program = |program: &str, package: &str| Need::Program {
        program: program.to_owned(),
        package: package.to_owned(),
    };
    vec![
        program(&machine.qemu.program, &machine.qemu.package),
        program("setpriv", "util-linux"),
        program("mke2fs", "e2fsprogs"),
        program("depmod", "kmod"),
        program("xz", "xz-utils"),
        Need::Dpkg,
    ]
}

/// The shared C library, where the programs look for it: the loader's name is part of each program, its folders are
/// part of the loader.
fn c_library(machine: &Machine) -> Result<Vec<Content>> {
    let root = if machine.is_native() { PathBuf::from("/") } else { Path::new("/usr").join(&machine.gnu) };
    let mut folders = vec![root.join("lib")];
    if machine.is_native() {
        folders = vec![root.join("lib").join(&machine.gnu)];
    }
    let mut contents = Vec::new();
    for folder in folders {
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if ["libc.so.6", "libm.so.6", "libpthread.so.0"].contains(&name.as_str())
                || name.starts_with("ld")
            {
                contents.push(Content { from: path, to: Path::new("/lib").join(&machine.gnu).join(name) });
            }
        }
    }
    if contents.is_empty() {
        bail!("there is no C library for {}", machine.name);
    }
    Ok(contents)
}

/// One test in whichever guest is idle.
fn trial(
    test: &Test,
    programs: &Programs,
    pool: &Arc<Pool>,
    (machine, kernel): (&Machine, &Kernel),
    (column, table): (&str, &Arc<Table>),
) -> Trial {
    let program = programs.get(&test.name()).cloned();
    let (test, pool) = (test.clone(), Arc::clone(pool));
    let (machine, kernel) = (machine.clone(), kernel.clone());
    let (kind, table) = (column.to_owned(), Arc::clone(table));
    let name = test.name();
    let body = move || {
        let result = match program {
            Some(Err(message)) => Err(anyhow::anyhow!(message)),
            _ => outcome(&test, &pool, (&machine, &kernel)),
        };
        let (outcome, message) = result.unwrap_or_else(|error| (Outcome::Failed, format!("{error:#}")));
        table.add(&test.name(), &kind, outcome);
        match outcome {
            Outcome::Passed => Ok(Completion::Completed),
            Outcome::Skipped => Ok(Completion::ignored_with(message)),
            Outcome::Failed => Err(Failed::from(message)),
        }
    };
    Trial::ignorable_test(name, body)
}

/// Runs one test in a guest. A skip is legitimate for what the kernel is known to lack.
pub(crate) fn outcome(
    test: &Test,
    pool: &Pool,
    (machine, kernel): (&Machine, &Kernel),
) -> Result<(Outcome, String)> {
    if !test.entry.flavors.contains(&Flavor::Host) {
        return Ok((Outcome::Skipped, "not in flavor host".to_owned()));
    }
    if golden::is_golden(test) {
        return golden::restore_in_guest(test, pool, (machine, kernel));
    }
    expected(pool.run(test)?, &kernel.lacks)
}

/// An outcome, unless it is a skip for what the kernel should have.
pub(super) fn expected((outcome, message): (Outcome, String), lacks: &[String]) -> Result<(Outcome, String)> {
    let missing = message.strip_prefix(NEEDS).filter(|_| outcome == Outcome::Skipped);
    if let Some(feature) = missing.filter(|feature| !lacks.iter().any(|known| known == feature)) {
        bail!("this kernel should have {feature}: ci/matrix.yaml does not say that it lacks it");
    }
    Ok((outcome, message))
}
