//! `--pairs`: what is dumped on one kernel and restored on another one of the same machine, all ordered pairs.
//!
//! A kernel boots twice: once to dump, once to restore what all others have dumped. A pair is a [`Column`] whose `origin`
//! is the kernel of the dump. Where a kernel has to refuse a test (`refused` of ci/matrix.yaml), that is what passes.

use std::path::PathBuf;
use std::time::Instant;

use ::zdtm::Test;
use ::zdtm::protocol::Outcome;
use anyhow::{Result, anyhow, bail};
use vm::matrix::{Kernel, Machine, Matrix};
use vm::qemu::Disk;

use super::column::{Work, cell};
use super::progress::Progress;
use super::report::{Column, Verdict};
use crate::zdtm::{Departures, Hardware, Stock, arrive, depart};

/// Fills all pairs that the work names.
pub(super) fn all(matrix: &Matrix, work: &Work) -> Result<Vec<Column>> {
    let mut machines = Vec::new();
    for machine in work.machines(matrix)? {
        let kernels: Vec<&Kernel> = machine.kernels.iter().filter(|kernel| work.wants(kernel)).collect();
        if kernels.len() < 2 {
            bail!("a pair takes two kernels of {}", machine.name);
        }
        machines.push((machine, kernels));
    }
    let pairs = machines.iter().map(|(_, kernels)| kernels.len() * (kernels.len().saturating_sub(1)));
    let progress = Progress::new(pairs.sum::<usize>() * work.tests.len());
    let mut columns = Vec::new();
    for (machine, kernels) in machines {
        let stock = Stock::new(&work.options, matrix, machine, &work.tests)?;
        let of_machine = OfMachine { matrix, work, machine, stock: &stock };
        let origins: Vec<Origin<'_>> = kernels.iter().map(|kernel| of_machine.dumped_on(kernel)).collect();
        let before = columns.len();
        for kernel in kernels {
            columns.extend(of_machine.restored_on(kernel, &origins, &progress));
        }
        let failed = columns.iter().skip(before).any(|column: &Column| column.failures() > 0);
        stock.end(work.options.keep || failed)?;
    }
    Ok(columns)
}

/// The kernel of a dump, and what came of it.
struct Origin<'a> {
    kernel: &'a Kernel,
    archive: PathBuf,
    departures: Result<Departures>,
}

impl Origin<'_> {
    /// How the dump of a test ended, as an end of the pair's test; nothing if it can be restored.
    fn hindrance(&self, test: &Test) -> Option<Result<(Outcome, String)>> {
        let on = &self.kernel.name;
        match self.departures.as_ref().map(|all| all.get(&test.name())) {
            Ok(Some(Ok((Outcome::Passed, _)))) => None,
            Ok(Some(Ok((Outcome::Skipped, reason)))) => {
                Some(Ok((Outcome::Skipped, format!("{reason}, on {on}"))))
            }
            Ok(Some(Ok((Outcome::Failed, message)))) => Some(Err(anyhow!("dump on {on}: {message}"))),
            Ok(Some(Err(error))) => Some(Err(anyhow!("dump on {on}: {error:#}"))),
            Ok(None) => Some(Err(anyhow!("nothing was heard of the dump on {on}"))),
            Err(error) => Some(Err(anyhow!("no guest to dump on {on}: {error:#}"))),
        }
    }
}

struct OfMachine<'a> {
    matrix: &'a Matrix,
    work: &'a Work,
    machine: &'a Machine,
    stock: &'a Stock<'a>,
}

impl OfMachine<'_> {
    fn dumped_on<'k>(&self, kernel: &'k Kernel) -> Origin<'k> {
        let archive = self.stock.file(&format!("from-{}.tar", kernel.name));
        let from = (self.stock, self.matrix, kernel);
        let departures = depart(from, &self.work.options, (&self.work.tests, false), &archive);
        Origin { kernel, archive, departures }
    }

    /// The pairs that end on this kernel. A guest that does not come up is a finding of all of them.
    fn restored_on(&self, kernel: &Kernel, origins: &[Origin<'_>], progress: &Progress) -> Vec<Column> {
        let others: Vec<&Origin<'_>> =
            origins.iter().filter(|origin| origin.kernel.name != kernel.name).collect();
        let disk = |origin: &&Origin<'_>| Disk { file: origin.archive.clone(), is_writable: false };
        let hardware = Hardware { disks: others.iter().map(disk).collect(), is_emulated: false };
        let pool = self.stock.pool(self.matrix, kernel, &self.work.options, hardware);
        let mut columns = Vec::new();
        for (number, origin) in (0..).zip(others) {
            let started = Instant::now();
            let (machine, on) = (self.machine.name.clone(), kernel.name.clone());
            let from = origin.kernel.name.clone();
            let name = format!("{machine} {from} to {on}");
            let mut column = Column { name, machine, kernel: on, origin: from, ..Column::default() };
            progress.begin(&column.name, self.work.tests.len());
            for test in &self.work.tests {
                let ended = cell(test, |test| match (origin.hindrance(test), &pool) {
                    (Some(hindrance), _) => hindrance,
                    (None, Ok(pool)) => {
                        let code = self.matrix.refusal(&test.name(), (origin.kernel, kernel));
                        arrive(test, pool, number, (&kernel.lacks, code))
                    }
                    (None, Err(error)) => bail!("no guest: {error:#}"),
                });
                progress.advance(1, usize::from(ended.verdict == Verdict::Fail));
                column.tests.insert(test.name(), ended);
            }
            column.seconds = started.elapsed().as_secs_f64();
            columns.push(column);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn what_hinders_a_pair_is_told_with_its_kernel() {
        let matrix = workspace::matrix().unwrap();
        let kernel = &matrix.select("x86-64").unwrap()[0].kernels[0];
        let test = crate::golden::tests(&matrix.moved).unwrap().tests().unwrap().remove(0);
        let hindrance = |departure: Result<(Outcome, String)>| {
            let departures = Ok(Departures::from([(test.name(), departure)]));
            let told = Origin { kernel, archive: PathBuf::new(), departures }.hindrance(&test)?;
            Some(told.map_err(|error| error.to_string()))
        };
        assert_eq!(hindrance(Ok((Outcome::Passed, String::new()))), None);
        let skipped = hindrance(Ok((Outcome::Skipped, "needs sve".to_owned())));
        assert_eq!(skipped, Some(Ok((Outcome::Skipped, format!("needs sve, on {}", kernel.name)))));
        let failed = hindrance(Ok((Outcome::Failed, "step start: lost\nlog".to_owned())));
        assert_eq!(failed, Some(Err(format!("dump on {}: step start: lost\nlog", kernel.name))));
    }
}
