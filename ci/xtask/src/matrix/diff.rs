//! What has changed between two reports. Worse is: what passed fails, is skipped or has vanished.

use std::fmt::Write as _;

use super::report::{Cell, Cells, Column, Report, Verdict};

/// One cell that is not as it was.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    column: String,
    row: String,
    before: Option<Verdict>,
    now: Option<Verdict>,
    reason: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    changes: Vec<Change>,
    /// Columns that are only in the old report: they were not asked for, or have gone from ci/matrix.yaml.
    not_run: Vec<String>,
}

/// Compares the columns that the new report has. A feature or test that it was not asked for has vanished, too: both
/// reports have to be of the same selection.
pub(super) fn between(old: &Report, new: &Report) -> Changes {
    let mut all = Changes::default();
    for before in old.all() {
        match new.all().find(|column| column.name == before.name) {
            Some(now) => {
                all.compare(&before.name, [&before.features, &now.features], now);
                all.compare(&before.name, [&before.tests, &now.tests], now);
            }
            None => all.not_run.push(before.name.clone()),
        }
    }
    all
}

impl Changes {
    fn compare(&mut self, column: &str, [old, new]: [&Cells; 2], now: &Column) {
        let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let [before, after] = [old, new].map(|cells| cells.get(name).map(|cell| cell.verdict));
            if before != after {
                let reason = new.get(name).map_or(now.problem.as_str(), Cell::headline);
                self.changes.push(Change {
                    column: column.to_owned(),
                    row: name.clone(),
                    before,
                    now: after,
                    reason: reason.lines().next().unwrap_or_default().to_owned(),
                });
            }
        }
    }

    pub(super) fn is_regression(&self) -> bool {
        self.changes.iter().any(Change::is_worse)
    }

    /// A line for each change, the bad ones first.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let mut sorted: Vec<&Change> = self.changes.iter().collect();
        sorted.sort_by_key(|change| !change.is_worse());
        for change in sorted {
            let word = |verdict: Option<Verdict>| verdict.map_or("-", Verdict::word);
            let mark = if change.is_worse() { "REGRESSION" } else { "changed" };
            let Change { column, row, before, now, reason } = change;
            let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            let _ = writeln!(out, "{mark:10} {column}: {row}: {} -> {}{reason}", word(*before), word(*now));
        }
        for column in &self.not_run {
            let _ = writeln!(out, "not run    {column}");
        }
        let worse = self.changes.iter().filter(|change| change.is_worse()).count();
        let _ = writeln!(out, "matrix: {} changes, {worse} regressions", self.changes.len());
        out
    }
}

impl Change {
    fn is_worse(&self) -> bool {
        match (self.before, self.now) {
            (Some(Verdict::Pass), now) => now != Some(Verdict::Pass),
            (Some(Verdict::Skip), now) => now.is_none() || now == Some(Verdict::Fail),
            (None, now) => now == Some(Verdict::Fail),
            (Some(Verdict::Fail), _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::{column, report};
    use super::*;

    fn changes(before: &[(&str, Verdict, &str)], now: &[(&str, Verdict, &str)]) -> Changes {
        between(&report(vec![column("a 6.1", before)]), &report(vec![column("a 6.1", now)]))
    }

    #[test]
    fn what_passed_and_does_not_is_a_regression() {
        let before = [("task/x", Verdict::Pass, ""), ("task/y", Verdict::Fail, "bad")];
        for now in [
            vec![("task/x", Verdict::Fail, "lost\nlog"), ("task/y", Verdict::Fail, "bad")],
            vec![("task/x", Verdict::Skip, "needs sve"), ("task/y", Verdict::Fail, "bad")],
            vec![("task/y", Verdict::Fail, "bad")],
        ] {
            let found = changes(&before, &now);
            assert!(found.is_regression(), "{now:?}");
            assert!(found.text().starts_with("REGRESSION a 6.1: task/x: pass -> "), "{}", found.text());
            assert!(!found.text().contains("log"));
        }
    }

    #[test]
    fn what_becomes_better_is_none() {
        let found = changes(&[("task/y", Verdict::Fail, "bad")], &[("task/y", Verdict::Pass, "")]);
        assert!(!found.is_regression());
        assert_eq!(
            found.text(),
            "changed    a 6.1: task/y: fail -> pass\nmatrix: 1 changes, 0 regressions\n"
        );
        assert_eq!(changes(&[], &[]), Changes::default());
    }

    #[test]
    fn a_new_failure_is_a_regression_and_a_column_that_was_not_run_is_named() {
        assert!(changes(&[], &[("task/z", Verdict::Fail, "bad")]).is_regression());
        let found = between(&report(vec![column("b 6.1", &[])]), &report(vec![]));
        assert!(found.text().contains("not run    b 6.1\n"));
    }
}
