//! Fills the columns of a report, one after the other, each with as many guests as there are processors.

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ::zdtm::protocol::Outcome;
use ::zdtm::{Native, Test};
use anyhow::{Result, bail};
use vm::matrix::{Kernel, Machine, Matrix};
use vm::pool::Pool;

use super::expect::{self, Expected};
use super::progress::Progress;
use super::report::{Cell, Cells, Column, Report, Verdict};
use crate::golden::Golden;
use crate::zdtm::Stock;
use crate::{build, workspace};

/// What is to be done.
pub(super) struct Work {
    /// Of the tests; `arch` names the machines.
    pub(super) options: crate::zdtm::Options,
    pub(super) tests: Vec<Test>,
    /// Names of kernels; none is all.
    pub(super) kernels: Vec<String>,
    pub(super) guests: bool,
    pub(super) native: bool,
    /// The images of the last release, too.
    pub(super) golden: bool,
}

impl Work {
    pub(super) fn wants(&self, kernel: &Kernel) -> bool {
        self.kernels.is_empty() || self.kernels.contains(&kernel.name)
    }

    pub(super) fn machines<'a>(&self, matrix: &'a Matrix) -> Result<Vec<&'a Machine>> {
        if !self.guests {
            return Ok(Vec::new());
        }
        let mut machines = matrix.select(self.options.arch.as_deref().unwrap_or("all"))?;
        machines.retain(|machine| machine.kernels.iter().any(|kernel| self.wants(kernel)));
        if machines.is_empty() {
            bail!("no machine has a kernel {}", self.kernels.join(" or "));
        }
        Ok(machines)
    }

    fn golden(&self, machine: &Machine) -> Result<Golden> {
        if !self.golden {
            return Ok(Golden::default());
        }
        Golden::of(machine, &self.options.tests, self.options.smoke)
    }
}

/// Fills all columns that the work names.
pub(super) fn all(matrix: &Matrix, work: &Work) -> Result<Report> {
    let machines = work.machines(matrix)?.into_iter();
    let machines: Vec<_> =
        machines.map(|machine| Ok((machine, work.golden(machine)?))).collect::<Result<_>>()?;
    let names = engine::check::names();
    let cells = machines.iter().map(|(machine, golden)| {
        let kernels = machine.kernels.iter().filter(|kernel| work.wants(kernel)).count();
        kernels * (names.len() + work.tests.len() + golden.tests.len())
    });
    let of_native = usize::from(work.native) * (names.len() + work.tests.len());
    let progress = Progress::new(cells.sum::<usize>() + of_native);
    let mut columns = Vec::new();
    if work.native {
        columns.push(native(work, &names, &progress)?);
    }
    for (machine, golden) in &machines {
        let stock = Stock::new(&work.options, matrix, machine, &work.tests)?;
        let before = columns.len();
        for kernel in machine.kernels.iter().filter(|kernel| work.wants(kernel)) {
            let guests = Guests { matrix, work, golden, stock: &stock, machine, kernel };
            columns.push(guests.column(&names, &progress));
        }
        let failed = columns.iter().skip(before).any(|column| column.failures() > 0);
        stock.end(work.options.keep || failed)?;
    }
    Ok(report(columns))
}

/// A report of the tree as it is now.
pub(super) fn report(columns: Vec<Column>) -> Report {
    Report { commit: workspace::commit(), time: workspace::now(), columns, ..Report::default() }
}

/// One column of guests.
struct Guests<'a> {
    matrix: &'a Matrix,
    work: &'a Work,
    golden: &'a Golden,
    stock: &'a Stock<'a>,
    machine: &'a Machine,
    kernel: &'a Kernel,
}

impl Guests<'_> {
    /// A guest that does not come up is a finding, not the end of the run.
    fn column(&self, names: &[&str], progress: &Progress) -> Column {
        let started = Instant::now();
        let (machine, kernel) = (self.machine.name.clone(), self.kernel.name.clone());
        let mut column = Column { name: format!("{machine} {kernel}"), machine, kernel, ..Column::default() };
        progress.begin(&column.name, names.len() + self.work.tests.len() + self.golden.tests.len());
        if let Err(error) = self.fill(&mut column, names, progress) {
            eprintln!("matrix: {}: {error:#}", column.name);
            column.problem = format!("{error:#}");
        }
        column.seconds = started.elapsed().as_secs_f64();
        column
    }

    fn fill(&self, column: &mut Column, names: &[&str], progress: &Progress) -> Result<()> {
        let unpacked = self.stock.kernel(self.matrix, self.kernel)?;
        column.package = unpacked.package;
        let config = unpacked.config.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let hardware = self.stock.with_golden(self.golden)?;
        let pool = self.stock.pool(self.matrix, self.kernel, &self.work.options, hardware)?;
        let (_, output, about) = pool.execute(&["/usr/sbin/crio", "check", "--all", "--json"])?;
        (column.release, column.page_size) = (about.kernel, about.page_size);
        let lacks = &self.kernel.lacks;
        column.features =
            expect::judge(&output, &Expected { names, lacks, is_strict: true, config: &config })?;
        progress.advance(names.len(), Column::count(&column.features, Verdict::Fail));
        let all = [self.work.tests.as_slice(), &self.golden.tests].concat();
        column.tests = tests(&all, progress, |test| self.test(test, &pool));
        Ok(())
    }

    fn test(&self, test: &Test, pool: &Pool) -> Result<(Outcome, String)> {
        match self.stock.complaint(test) {
            Some(message) => bail!("{message}"),
            None => crate::zdtm::outcome(test, pool, (self.machine, self.kernel)),
        }
    }
}

/// This system as a column: nothing is known of what it should have, so that nothing is missed.
fn native(work: &Work, names: &[&str], progress: &Progress) -> Result<Column> {
    let started = Instant::now();
    let mut options = work.options.tests.clone();
    options.engine = build::crio()?;
    progress.begin("native", names.len() + work.tests.len());
    let check =
        Command::new(&options.engine).args(["check", "--all", "--json"]).stdin(Stdio::null()).output()?;
    let release = nix::sys::utsname::uname()?.release().to_string_lossy().into_owned();
    let expected = Expected { names, lacks: &[], is_strict: false, config: &configuration(&release) };
    let features = expect::judge(&String::from_utf8_lossy(&check.stdout), &expected)?;
    progress.advance(names.len(), Column::count(&features, Verdict::Fail));
    let runner = Native::new(&options, &options.suite())?;
    let tests = tests(&work.tests, progress, |test| runner.run(test));
    Ok(Column {
        name: "native".to_owned(),
        machine: std::env::consts::ARCH.to_owned(),
        kernel: "native".to_owned(),
        origin: String::new(),
        release,
        package: "this system".to_owned(),
        page_size: nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?.unwrap_or(0) as u64,
        seconds: started.elapsed().as_secs_f64(),
        problem: String::new(),
        features,
        tests,
    })
}

/// Of the kernel that runs now; empty if it is shown nowhere.
fn configuration(release: &str) -> String {
    std::fs::read_to_string(format!("/boot/config-{release}")).unwrap_or_else(|_| {
        let output = Command::new("gzip").args(["-dc", "/proc/config.gz"]).stdin(Stdio::null()).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    })
}

/// Runs tests on all processors.
fn tests(
    tests: &[Test],
    progress: &Progress,
    run: impl Fn(&Test) -> Result<(Outcome, String)> + Sync,
) -> Cells {
    let (cells, waiting) = (Mutex::new(Cells::new()), Mutex::new(tests.iter()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(test) = next() {
            let cell = cell(test, &run);
            progress.advance(1, usize::from(cell.verdict == Verdict::Fail));
            cells.lock().unwrap_or_else(PoisonError::into_inner).insert(test.name(), cell);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(tests.len()) {
            scope.spawn(work);
        }
    });
    cells.into_inner().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn cell(test: &Test, run: impl Fn(&Test) -> Result<(Outcome, String)>) -> Cell {
    let started = Instant::now();
    let (verdict, message) = match run(test) {
        Ok((Outcome::Passed, message)) => (Verdict::Pass, message),
        Ok((Outcome::Skipped, reason)) => (Verdict::Skip, reason),
        Ok((Outcome::Failed, message)) => (Verdict::Fail, message),
        Err(error) => (Verdict::Fail, format!("{error:#}")),
    };
    let mut cell = Cell::new(verdict, message, &test.entry.survives);
    cell.seconds = started.elapsed().as_secs_f64();
    cell
}
