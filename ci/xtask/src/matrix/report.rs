//! `report.json`: the result of a run, and the only thing that is compared and merged.
//!
//! ```json
//! {
//!   "schema": 1,                      // counts up when a field changes its meaning
//!   "commit": "0123abc",              // of the tree; empty if that is no repository
//!   "time": 1767225600,               // seconds since 1970
//!   "columns": [{
//!     "name": "x86-64 6.1", "machine": "x86-64", "kernel": "6.1",
//!     "release": "6.1.0-40-amd64",    // uname -r
//!     "package": "linux-image-...",   // what was booted, or "this system"
//!     "page_size": 4096,
//!     "seconds": 63.2,
//!     "problem": "",                  // why there is no guest
//!     "features": {"kcmp": CELL},     // as `crio check --feature` names them
//!     "tests": {"task/sessions": CELL}
//!   }],
//!   "pairs": [{                       // of --pairs: columns with only these fields filled
//!     "name": "x86-64 5.10 to 6.1", "machine": "x86-64",
//!     "origin": "5.10",               // the kernel of the dump
//!     "kernel": "6.1",                // that of the restore
//!     "seconds": 12.5, "tests": {"task/sessions": CELL}
//!   }],
//!   "benchmarks": [RUN]               // lines of the benchmark's history, as `bench::history` describes them
//! }
//! ```
//!
//! A CELL is `{"verdict": "pass" | "fail" | "skip", "message": "...", "seconds": 1.5, "about": "..."}`. Of a feature, `pass`
//! is that the kernel has it, `skip` that it is known to lack it, `fail` that this was not expected.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use vm::matrix::Matrix;

use crate::bench::history::{self, Run};

/// The number of this form.
pub(super) const SCHEMA: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) schema: u32,
    pub(super) commit: String,
    pub(super) time: u64,
    pub(super) columns: Vec<Column>,
    #[serde(default)]
    pub(super) pairs: Vec<Column>,
    /// The history of `cargo xtask bench`.
    #[serde(default)]
    pub(super) benchmarks: Vec<Run>,
}

impl Default for Report {
    fn default() -> Self {
        let (columns, pairs, benchmarks) = (Vec::new(), Vec::new(), Vec::new());
        Report { schema: SCHEMA, commit: String::new(), time: 0, columns, pairs, benchmarks }
    }
}

/// A machine with a kernel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) machine: String,
    pub(super) kernel: String,
    #[serde(default)]
    pub(super) origin: String,
    pub(super) release: String,
    pub(super) package: String,
    pub(super) page_size: u64,
    pub(super) seconds: f64,
    pub(super) problem: String,
    pub(super) features: BTreeMap<String, Cell>,
    pub(super) tests: BTreeMap<String, Cell>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) verdict: Verdict,
    /// Why it failed or was skipped, with the logs of a failure.
    pub(super) message: String,
    pub(super) seconds: f64,
    /// What the feature is for, or the test proves.
    pub(super) about: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Pass,
    Fail,
    Skip,
}

impl Verdict {
    /// One word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Skip => "skip",
        }
    }
}

impl Cell {
    pub(super) fn new(verdict: Verdict, message: impl Into<String>, about: &str) -> Self {
        Cell { verdict, message: message.into(), seconds: 0.0, about: about.to_owned() }
    }

    /// The message in one line: the error of the engine, if it has one, else where it begins.
    pub(super) fn headline(&self) -> &str {
        let error = self.message.lines().find_map(|line| line.find("error[").and_then(|at| line.get(at..)));
        error.unwrap_or_else(|| self.message.lines().next().unwrap_or_default())
    }
}

/// One of the two tables of a column.
pub(super) type Cells = BTreeMap<String, Cell>;

impl Column {
    /// How many cells of a table ended like this.
    pub(super) fn count(cells: &Cells, verdict: Verdict) -> usize {
        cells.values().filter(|cell| cell.verdict == verdict).count()
    }

    /// Failed cells, and one more if there was no guest.
    pub(super) fn failures(&self) -> usize {
        let failed = |cells| Column::count(cells, Verdict::Fail);
        failed(&self.features) + failed(&self.tests) + usize::from(!self.problem.is_empty())
    }

    /// Takes in what another job found about the same machine and kernel. A failure stays one.
    fn absorb(&mut self, other: Column) {
        let into = |cells: &mut Cells, more: Cells| {
            for (name, cell) in more {
                let is_known = cells.get(&name).is_some_and(|known| known.verdict == Verdict::Fail);
                if !is_known {
                    cells.insert(name, cell);
                }
            }
        };
        into(&mut self.features, other.features);
        into(&mut self.tests, other.tests);
        self.seconds += other.seconds;
        if self.problem.is_empty() {
            self.problem = other.problem;
        }
    }
}

impl Report {
    /// Reads a `report.json`.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let report: Report =
            serde_json::from_str(&text).with_context(|| format!("{} is not a report", file.display()))?;
        if report.schema != SCHEMA {
            bail!("{} has form {}, this is form {SCHEMA}", file.display(), report.schema);
        }
        Ok(report)
    }

    /// One report of several; columns of one name become one.
    pub(super) fn merged(reports: Vec<Report>) -> Self {
        let mut whole = Report::default();
        for report in reports {
            whole.time = whole.time.max(report.time);
            if whole.commit.is_empty() {
                whole.commit = report.commit;
            }
            absorb(&mut whole.columns, report.columns);
            absorb(&mut whole.pairs, report.pairs);
            history::merge(&mut whole.benchmarks, report.benchmarks);
        }
        whole
    }

    /// Puts columns and pairs into the order of ci/matrix.yaml, whichever job has ended first. What is not there, as this
    /// very system, comes first.
    pub(super) fn sort(&mut self, matrix: &Matrix) {
        let mut places = Vec::new();
        for machine in matrix.machines() {
            places.extend(machine.kernels.iter().map(|kernel| (machine.name.as_str(), kernel.name.as_str())));
        }
        let place = |machine: &str, kernel: &str| places.iter().position(|known| *known == (machine, kernel));
        self.columns.sort_by_key(|column| place(&column.machine, &column.kernel));
        let ends = |pair: &Column| [&pair.kernel, &pair.origin].map(|end| place(&pair.machine, end));
        self.pairs.sort_by_key(ends);
    }

    /// Columns and pairs.
    pub(super) fn all(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().chain(&self.pairs)
    }

    /// Of all columns and pairs.
    pub(super) fn failures(&self) -> usize {
        self.all().map(Column::failures).sum()
    }

    /// The machines that have pairs, with the kernels of these, in the order of their coming.
    pub(super) fn kernels_of_pairs(&self) -> Vec<(&str, Vec<&str>)> {
        let mut machines: Vec<(&str, Vec<&str>)> = Vec::new();
        for pair in &self.pairs {
            let at = machines.iter().position(|(machine, _)| *machine == pair.machine);
            let at = at.unwrap_or_else(|| {
                machines.push((&pair.machine, Vec::new()));
                machines.len() - 1
            });
            for kernel in [&pair.kernel, &pair.origin] {
                if let Some((_, kernels)) = machines.get_mut(at).filter(|(_, all)| !all.contains(&&**kernel))
                {
                    kernels.push(kernel);
                }
            }
        }
        machines
    }

    /// The pair of a machine whose images go from one kernel to another.
    pub(super) fn pair(&self, machine: &str, origin: &str, kernel: &str) -> Option<&Column> {
        self.pairs
            .iter()
            .find(|pair| pair.machine == machine && pair.origin == origin && pair.kernel == kernel)
    }

    /// The names in one of the tables, of all columns: in the order of the names.
    pub(super) fn rows(&self, table: impl Fn(&Column) -> &Cells) -> BTreeMap<&str, &str> {
        let cells = self.columns.iter().flat_map(|column| table(column).iter());
        cells.map(|(name, cell)| (name.as_str(), cell.about.as_str())).collect()
    }
}

/// Takes in more columns; those of one name become one.
fn absorb(columns: &mut Vec<Column>, more: Vec<Column>) {
    for column in more {
        match columns.iter_mut().find(|known| known.name == column.name) {
            Some(known) => known.absorb(column),
            None => columns.push(column),
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A column with tests that ended like this.
    pub(crate) fn column(name: &str, tests: &[(&str, Verdict, &str)]) -> Column {
        let cell = |(name, verdict, message): &(&str, Verdict, &str)| {
            ((*name).to_owned(), Cell::new(*verdict, *message, "about"))
        };
        Column { name: name.to_owned(), tests: tests.iter().map(cell).collect(), ..Column::default() }
    }

    pub(crate) fn report(columns: Vec<Column>) -> Report {
        Report { commit: "0123abc".to_owned(), time: 1, columns, ..Report::default() }
    }

    /// A pair with tests that ended like this.
    pub(crate) fn pair(
        machine: &str,
        [origin, kernel]: [&str; 2],
        tests: &[(&str, Verdict, &str)],
    ) -> Column {
        let name = format!("{machine} {origin} to {kernel}");
        let (machine, kernel, origin) = (machine.to_owned(), kernel.to_owned(), origin.to_owned());
        Column { machine, kernel, origin, ..column(&name, tests) }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{column, pair, report};
    use super::*;

    #[test]
    fn pairs_are_merged_and_their_failures_count() {
        let with = |tests: &[_]| Report { pairs: vec![pair("a", ["5.10", "7.x"], tests)], ..report(vec![]) };
        let back = Report { pairs: vec![pair("a", ["7.x", "5.10"], &[])], ..report(vec![]) };
        let whole = Report::merged(vec![
            with(&[("task/x", Verdict::Pass, "")]),
            back,
            with(&[("task/y", Verdict::Fail, "lost")]),
        ]);
        assert_eq!(whole.pairs.len(), 2);
        assert_eq!(whole.failures(), 1);
        assert_eq!(whole.kernels_of_pairs(), [("a", vec!["7.x", "5.10"])]);
        assert_eq!(whole.pair("a", "5.10", "7.x").map(|pair| pair.tests.len()), Some(2));
        assert!(whole.pair("a", "5.10", "6.1").is_none());
    }

    #[test]
    fn the_order_is_that_of_the_matrix() {
        let of = |name: &str| {
            let (machine, kernel) = name.split_once(' ').unwrap();
            let (machine, kernel) = (machine.to_owned(), kernel.to_owned());
            Column { machine, kernel, ..column(name, &[]) }
        };
        let names = ["x86-64 7.x", "aarch64 6.12", "x86-64 5.10", "native 6.18", "aarch64 6.12-16k"];
        let pairs = vec![pair("x86-64", ["5.10", "7.x"], &[]), pair("x86-64", ["7.x", "5.10"], &[])];
        let mut whole = Report { pairs, ..report(names.map(of).into()) };
        whole.sort(&crate::workspace::matrix().unwrap());
        let sorted: Vec<&str> = whole.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(sorted, ["native 6.18", "aarch64 6.12-16k", "aarch64 6.12", "x86-64 5.10", "x86-64 7.x"]);
        assert_eq!(whole.kernels_of_pairs(), [("x86-64", vec!["5.10", "7.x"])]);
    }

    #[test]
    fn parts_of_a_column_become_one() {
        let one = report(vec![column("a 6.1", &[("task/x", Verdict::Fail, "lost")])]);
        let more = [("task/x", Verdict::Pass, ""), ("task/y", Verdict::Pass, "")];
        let two = report(vec![column("a 6.1", &more), column("b 6.1", &[])]);
        let whole = Report::merged(vec![one, two]);
        assert_eq!(whole.columns.len(), 2);
        assert_eq!(whole.columns[0].tests.len(), 2);
        assert_eq!(whole.failures(), 1, "a failure stays one");
    }

    #[test]
    fn a_headline_is_the_error_of_the_engine() {
        let of = |message: &str| Cell::new(Verdict::Fail, message, "").headline().to_owned();
        assert_eq!(
            of("step restore\nrestore.log:\n  (0.1) Error: error[E-BUG]: lost\n"),
            "error[E-BUG]: lost"
        );
        assert_eq!(of("needs sve"), "needs sve");
        assert_eq!(of(""), "");
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = report(vec![column("a 6.1", &[("task/x", Verdict::Skip, "needs\n<sve>")])]);
        super::super::write(&written, folder.path()).unwrap();
        let file = folder.path().join("report.json");
        assert_eq!(Report::read(&file).unwrap(), written);
        written.schema = SCHEMA + 1;
        super::super::write(&written, folder.path()).unwrap();
        assert!(Report::read(&file).unwrap_err().to_string().contains("form 2"));
    }
}
