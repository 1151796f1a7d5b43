//! What came of every program and test, in both directions: the table, the failures, the totals.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::process::ExitCode;

use super::{Direction, known};

/// How one test ended in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Failed, with the runner's report.
    Failed(String),
    /// Not run here: the kernel lacks what it needs.
    Ignored,
}

/// The outcomes by name; of each both directions.
#[derive(Debug, Default)]
pub(crate) struct Report {
    outcomes: BTreeMap<String, [Option<Outcome>; 2]>,
}

impl Report {
    /// Takes an outcome in, and says it at once: a whole run takes minutes.
    pub(crate) fn add(&mut self, name: &str, direction: Direction, outcome: Outcome) {
        println!("{} {name}: {}", arrow(direction), verdict(name, direction, &outcome));
        if let Some(slot) = self.outcomes.entry(name.to_owned()).or_default().get_mut(direction as usize) {
            *slot = Some(outcome);
        }
    }

    /// Failure when anything failed that CRIU is not known for, and when nothing was tried.
    pub(crate) fn exit_code(&self) -> ExitCode {
        let ran = self.all().next().is_some();
        if ran && self.failures().next().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn all(&self) -> impl Iterator<Item = (&str, Direction, &Outcome)> {
        self.outcomes.iter().flat_map(|(name, both)| {
            let directions = Direction::BOTH.into_iter().zip(both);
            directions
                .filter_map(move |(direction, outcome)| Some((name.as_str(), direction, outcome.as_ref()?)))
        })
    }

    fn failures(&self) -> impl Iterator<Item = (&str, Direction, &str)> {
        self.all().filter_map(|(name, direction, outcome)| match outcome {
            Outcome::Failed(why) if known::reason(name, direction).is_none() => {
                Some((name, direction, why.as_str()))
            }
            _ => None,
        })
    }
}

fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::ToCriu => "crio -> criu",
        Direction::FromCriu => "criu -> crio",
    }
}

fn verdict(name: &str, direction: Direction, outcome: &Outcome) -> String {
    match (outcome, known::reason(name, direction)) {
        (Outcome::Passed, None) => "ok".to_owned(),
        (Outcome::Passed, Some(_)) => "ok, although the table of known failures has it".to_owned(),
        (Outcome::Failed(_), Some(reason)) => format!("known: {reason}"),
        (Outcome::Failed(_), None) => "FAILED".to_owned(),
        (Outcome::Ignored, _) => "ignored".to_owned(),
    }
}

/// One word for the table; its reasons stand below it.
fn word(name: &str, direction: Direction, outcome: Option<&Outcome>) -> &'static str {
    match (outcome, known::reason(name, direction)) {
        (None, _) => "-",
        (Some(Outcome::Passed), _) => "ok",
        (Some(Outcome::Failed(_)), Some(_)) => "known",
        (Some(Outcome::Failed(_)), None) => "FAILED",
        (Some(Outcome::Ignored), _) => "ignored",
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<40} {:<14} {:<14}", "", arrow(Direction::ToCriu), arrow(Direction::FromCriu))?;
        for (name, [to, from]) in &self.outcomes {
            let to = word(name, Direction::ToCriu, to.as_ref());
            writeln!(f, "{name:<40} {to:<14} {:<14}", word(name, Direction::FromCriu, from.as_ref()))?;
        }
        writeln!(f, "\nknown:")?;
        for (name, direction, outcome) in self.all() {
            if let (Outcome::Failed(_), Some(reason)) = (outcome, known::reason(name, direction)) {
                writeln!(f, "  {} {name}: {reason}", arrow(direction))?;
            }
        }
        for (name, direction, why) in self.failures() {
            writeln!(f, "\n---- {} {name} ----\n{why}", arrow(direction))?;
        }
        let count = |wanted: &str| {
            self.all()
                .filter(|(name, direction, outcome)| word(name, *direction, Some(outcome)) == wanted)
                .count()
        };
        let (passed, failed) = (count("ok"), count("FAILED"));
        let result = if failed == 0 { "ok" } else { "FAILED" };
        let (known, ignored) = (count("known"), count("ignored"));
        writeln!(
            f,
            "\ninterop result: {result}. {passed} passed; {failed} failed; {known} known; {ignored} ignored"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_failure_counts_in_its_direction_only() {
        let mut report = Report::default();
        let failed = || Outcome::Failed("lost".to_owned());
        report.add("task/affinity", Direction::ToCriu, failed());
        assert_eq!(report.failures().count(), 0);
        report.add("task/counter_static", Direction::ToCriu, failed());
        report.add("task/counter_static", Direction::FromCriu, Outcome::Passed);
        let failures: Vec<_> = report.failures().collect();
        assert_eq!(failures, [("task/counter_static", Direction::ToCriu, "lost")]);
        assert!(report.to_string().contains("1 passed; 1 failed; 1 known; 0 ignored"), "{report}");
    }
}
