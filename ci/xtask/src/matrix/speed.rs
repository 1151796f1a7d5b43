//! The benchmark in the report: its last runs side by side, and what has become slower. A benchmark never fails a report:
//! what it measures depends on who else uses the machine.

use super::report::Report;
use crate::bench::history::Run;
use crate::bench::report::Ratio;

/// How many runs are shown.
const SHOWN: usize = 8;

/// The runs to be shown, the newest first, and a row of their ratios for each figure.
pub(super) struct Table<'a> {
    pub(super) runs: Vec<&'a Run>,
    pub(super) rows: Vec<(&'a str, Vec<Option<Ratio>>)>,
}

/// Nothing if no run is known.
pub(super) fn table(report: &Report) -> Option<Table<'_>> {
    let runs: Vec<&Run> = report.benchmarks.iter().rev().take(SHOWN).collect();
    let newest = runs.first()?;
    let ratios = |figure: &str| runs.iter().map(|run| run.ratios.get(figure).copied()).collect();
    let rows = newest.ratios.keys().map(|figure| (figure.as_str(), ratios(figure))).collect();
    Some(Table { runs, rows })
}

/// Whether a ratio is worse than one before by more than both were spread.
pub(super) fn is_slower(now: Ratio, before: Ratio) -> bool {
    now.min > before.max
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::report;
    use super::*;
    use crate::bench::history::testing::run;

    #[test]
    fn the_newest_run_comes_first_and_names_the_rows() {
        assert!(table(&report(vec![])).is_none());
        let benchmarks = (1..=10).map(|time| run(time, if time == 9 { "old" } else { "new" }, 0.5)).collect();
        let report = Report { benchmarks, ..report(vec![]) };
        let table = table(&report).unwrap();
        assert_eq!(table.runs.iter().map(|run| run.time).collect::<Vec<_>>(), [10, 9, 8, 7, 6, 5, 4, 3]);
        let [(figure, ratios)] = table.rows.as_slice() else { panic!("one figure") };
        assert_eq!(*figure, "new");
        assert!(ratios[0].is_some() && ratios[1].is_none() && ratios[2].is_some());
    }

    #[test]
    fn slower_is_what_no_pair_before_was() {
        let ratio = |min, max| Ratio { median: f64::midpoint(min, max), min, max };
        assert!(is_slower(ratio(0.7, 0.9), ratio(0.4, 0.6)));
        assert!(!is_slower(ratio(0.5, 0.9), ratio(0.4, 0.6)));
    }
}
