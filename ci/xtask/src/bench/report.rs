//! The outcome of a benchmark, as a table that grows by a block per case, and as JSON with every single figure.

use std::fmt;

use std::collections::BTreeMap;

use anyhow::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Store;
use super::engine::{Engine, Measured};
use super::history::Run;
use crate::workspace;

/// The counted pairs of one case: ours, theirs; and what the machine allows, one for each pair or none.
#[derive(Default)]
pub(crate) struct Comparison {
    pub(crate) pairs: Vec<[Measured; 2]>,
    pub(crate) limits: Vec<Measured>,
}

/// One figure of a [`Measured`], and how it is shown.
struct Figure {
    name: &'static str,
    unit: &'static str,
    /// What one unit is of the value that `of` returns.
    scale: f64,
    of: fn(&Measured) -> u64,
}

/// Of the figures those that have a limit.
const LIMITED: usize = 3;

const FIGURES: [Figure; 5] = [
    Figure { name: "dump", unit: "ms", scale: 1000.0, of: |measured| measured.dump.microseconds },
    Figure { name: "frozen", unit: "ms", scale: 1000.0, of: |measured| measured.frozen },
    Figure { name: "restore", unit: "ms", scale: 1000.0, of: |measured| measured.restore.microseconds },
    Figure { name: "dump peak", unit: "MiB", scale: 1024.0, of: |measured| measured.dump.peak_kib },
    Figure { name: "restore peak", unit: "MiB", scale: 1024.0, of: |measured| measured.restore.peak_kib },
];

/// A ratio ours/theirs over pairs: half of them are below `median`, and all within `min..=max`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Ratio {
    /// To three digits, more than it is worth.
    fn rounded(self) -> Self {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        Ratio { median: round(self.median), min: round(self.min), max: round(self.max) }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:5.2}  ({:.2} .. {:.2})", self.median, self.min, self.max)
    }
}

impl Comparison {
    /// Our side against the limits, if there are any.
    fn to_limits(&self) -> Option<Self> {
        let ours = self.pairs.iter().map(|[ours, _]| *ours);
        let pairs: Vec<_> = ours.zip(&self.limits).map(|(ours, limit)| [ours, *limit]).collect();
        (!pairs.is_empty()).then(|| Comparison { pairs, limits: Vec::new() })
    }

    fn side(&self, figure: &Figure, side: usize) -> Vec<f64> {
        self.pairs.iter().filter_map(|pair| pair.get(side)).map(|one| (figure.of)(one) as f64).collect()
    }

    fn ratio(&self, figure: &Figure) -> Ratio {
        let [ours, theirs] = [0, 1].map(|side| self.side(figure, side));
        // A time below the clock's grain counts as one grain.
        let ratios: Vec<f64> =
            ours.iter().zip(&theirs).map(|(ours, theirs)| ours.max(1.0) / theirs.max(1.0)).collect();
        let bounds = |(low, high): (f64, f64), ratio: &f64| (low.min(*ratio), high.max(*ratio));
        let (min, max) = ratios.iter().fold((f64::INFINITY, 0.0), bounds);
        Ratio { median: median(ratios), min, max }
    }
}

/// The middle value, or the mean of the two middle ones; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    let lower = values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default();
    f64::midpoint(lower, upper)
}

/// All cases so far.
pub(crate) struct Report {
    kernel: String,
    runs: u32,
    engines: [String; 2],
    cases: Vec<Value>,
    ratios: BTreeMap<String, Ratio>,
    complete: bool,
}

impl Report {
    pub(crate) fn new(runs: u32, ours: &Engine, theirs: &Engine) -> Self {
        let engines = [ours, theirs].map(|engine| format!("{} ({})", engine.name(), engine.version()));
        let kernel =
            std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        Report { kernel, runs, engines, cases: Vec::new(), ratios: BTreeMap::new(), complete: true }
    }

    pub(crate) fn print_head(&self) {
        let [ours, theirs] = &self.engines;
        println!("ours    {ours}\ntheirs  {theirs}\nkernel  {}, {} pairs", self.kernel, self.runs);
        println!(
            "\n{:<12} {:<6} {:<15} {:>10} {:>10}       ratio",
            "case", "store", "figure", "ours", "theirs"
        );
    }

    /// Adds and prints a case; one that failed makes the report incomplete.
    pub(crate) fn add(&mut self, case: &str, store: Store, result: Result<Comparison>) {
        let value = match result {
            Ok(comparison) => self.figures(case, store, &comparison),
            Err(error) => self.failure(case, store, &error),
        };
        self.cases.push(value);
    }

    /// Prints the rows of a case and returns them for the JSON.
    fn figures(&mut self, case: &str, store: Store, comparison: &Comparison) -> Value {
        let ratios = self.rows((case, store), comparison, &FIGURES, "");
        let to_limits = comparison.to_limits();
        let limits = to_limits.map(|limits| {
            self.rows((case, store), &limits, FIGURES.get(..LIMITED).unwrap_or_default(), " (limit)")
        });
        json!({
            "case": case, "store": store, "ratios": ratios, "pairs": comparison.pairs,
            "ratios_to_limits": limits, "limits": comparison.limits,
        })
    }

    fn rows(
        &mut self,
        (case, store): (&str, Store),
        comparison: &Comparison,
        figures: &[Figure],
        against: &str,
    ) -> serde_json::Map<String, Value> {
        let mut ratios = serde_json::Map::new();
        for figure in figures {
            let [ours, theirs] = [0, 1].map(|side| median(comparison.side(figure, side)) / figure.scale);
            let ratio = comparison.ratio(figure);
            let (name, unit, store) = (format!("{}{against}", figure.name), figure.unit, label(store));
            println!("{case:<12} {store:<6} {name:<15} {ours:>10.2} {theirs:>10.2} {unit:<3} {ratio}");
            ratios.insert(figure.name.replace(' ', "_"), json!(ratio));
            self.ratios.insert(format!("{case} {store} {name}"), ratio);
        }
        ratios
    }

    fn failure(&mut self, case: &str, store: Store, error: &Error) -> Value {
        self.complete = false;
        println!("{case:<12} {:<6} FAILED: {error:#}", label(store));
        json!({ "case": case, "store": store, "error": format!("{error:#}") })
    }

    /// Whether every case has its figures.
    pub(crate) fn complete(&self) -> bool {
        self.complete
    }

    /// What is kept of it for ever.
    pub(crate) fn run(&self) -> Run {
        let [_, theirs] = &self.engines;
        // Where it lies on this machine is of no interest.
        let theirs = theirs.rsplit('/').next().unwrap_or_default().to_owned();
        Run {
            time: workspace::now(),
            commit: workspace::commit(),
            kernel: self.kernel.clone(),
            processors: processors(),
            pairs: self.runs,
            theirs,
            ratios: self.ratios.iter().map(|(figure, ratio)| (figure.clone(), ratio.rounded())).collect(),
        }
    }

    /// The whole report; times in microseconds, memory in KiB, ratios ours/theirs.
    pub(crate) fn json(&self) -> Result<String> {
        let [ours, theirs] = &self.engines;
        let report = json!({
            "kernel": self.kernel,
            "processors": processors(),
            "runs": self.runs,
            "ours": ours,
            "theirs": theirs,
            "cases": self.cases,
        });
        Ok(serde_json::to_string_pretty(&report)? + "\n")
    }
}

fn label(store: Store) -> &'static str {
    match store {
        Store::Tmpfs => "tmpfs",
        Store::Disk => "disk",
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

#[cfg(test)]
mod tests {
    use super::super::engine::Cost;
    use super::*;

    fn measured(microseconds: u64) -> Measured {
        let cost = Cost { microseconds, peak_kib: 1024 };
        Measured { dump: cost, frozen: microseconds / 2, restore: cost }
    }

    #[test]
    fn ratios_are_of_neighbours() {
        let pairs = vec![
            [measured(100), measured(200)],
            [measured(400), measured(400)],
            [measured(300), measured(1200)],
        ];
        let [dump, ..] = FIGURES;
        let ratio = Comparison { pairs, limits: Vec::new() }.ratio(&dump);
        assert_eq!(ratio, Ratio { median: 0.5, min: 0.25, max: 1.0 });
    }

    #[test]
    fn limits_are_compared_with_our_side() {
        let pairs = vec![[measured(100), measured(200)], [measured(300), measured(200)]];
        let limits = vec![measured(50), measured(100)];
        let to_limits = Comparison { pairs, limits }.to_limits().unwrap();
        let [dump, ..] = FIGURES;
        assert_eq!(to_limits.ratio(&dump), Ratio { median: 2.5, min: 2.0, max: 3.0 });
        assert!(Comparison::default().to_limits().is_none());
    }

    #[test]
    fn a_median_lies_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
