//! Results side by side: one column for each machine and kernel, one line for each test that did not pass everywhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ::zdtm::protocol::Outcome;

/// Filled by the tests as they end.
#[derive(Debug, Default)]
pub(super) struct Table {
    cells: Mutex<BTreeMap<String, BTreeMap<String, Outcome>>>,
}

impl Table {
    pub(super) fn add(&self, test: &str, column: &str, outcome: Outcome) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.entry(test.to_owned()).or_default().insert(column.to_owned(), outcome);
    }

    /// The table, with the sums of `columns` at its end; in their order.
    pub(super) fn text(&self, columns: &[String]) -> String {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Vec::new();
        for (test, outcomes) in cells.iter() {
            let words: Vec<&str> =
                columns.iter().map(|column| outcomes.get(column).map_or("-", |one| word(*one))).collect();
            if words.iter().any(|one| *one != word(Outcome::Passed)) {
                rows.push((test.clone(), words.into_iter().map(str::to_owned).collect()));
            }
        }
        for outcome in [Outcome::Passed, Outcome::Failed, Outcome::Skipped] {
            let count = |column: &String| {
                cells.values().filter(|outcomes| outcomes.get(column) == Some(&outcome)).count().to_string()
            };
            rows.push((format!("all {}", word(outcome)), columns.iter().map(count).collect()));
        }
        drawn(columns, &rows)
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "FAILED",
        Outcome::Skipped => "skipped",
    }
}

fn drawn(columns: &[String], rows: &[(String, Vec<String>)]) -> String {
    let first = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let widths: Vec<usize> = columns.iter().map(|column| column.len().max("skipped".len())).collect();
    let line = |name: &str, words: &[String]| {
        let words = words.iter().zip(&widths).map(|(word, width)| format!("  {word:width$}"));
        format!("{name:first$}{}", words.collect::<String>()).trim_end().to_owned() + "\n"
    };
    rows.iter().fold(line("", columns), |text, (name, words)| text + &line(name, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_did_not_pass_everywhere_has_a_line() {
        let table = Table::default();
        for (test, column, outcome) in [
            ("task/one", "a 6.1", Outcome::Passed),
            ("task/one", "b 6.12", Outcome::Passed),
            ("task/two", "a 6.1", Outcome::Failed),
            ("task/two", "b 6.12", Outcome::Skipped),
            ("task/three", "b 6.12", Outcome::Passed),
        ] {
            table.add(test, column, outcome);
        }
        let expected = "             a 6.1    b 6.12\n\
                        task/three   -        passed\n\
                        task/two     FAILED   skipped\n\
                        all passed   1        2\n\
                        all FAILED   1        0\n\
                        all skipped  0        1\n";
        assert_eq!(table.text(&["a 6.1".to_owned(), "b 6.12".to_owned()]), expected);
    }
}
