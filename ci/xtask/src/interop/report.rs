//! What came of every program and test, in both directions: the table, the failures, the totals.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

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
        let note = match (&outcome, known::reason(name, direction)) {
            (Outcome::Passed, Some(_)) => ", although the table of known failures has it",
            _ => "",
        };
        println!("{} {name}: {}{note}", arrow(direction), judge(name, direction, &outcome).word());
        if let Some(slot) = self.outcomes.entry(name.to_owned()).or_default().get_mut(direction as usize) {
            *slot = Some(outcome);
        }
    }

    /// Not when anything failed that CRIU is not known for, and not when nothing was tried.
    pub(crate) fn is_good(&self) -> bool {
        self.all().next().is_some() && self.failures().next().is_none()
    }

    fn all(&self) -> impl Iterator<Item = (&str, Direction, &Outcome)> {
        self.outcomes.iter().flat_map(|(name, both)| {
            let directions = Direction::BOTH.into_iter().zip(both);
            directions
                .filter_map(move |(direction, outcome)| Some((name.as_str(), direction, outcome.as_ref()?)))
        })
    }

    fn failures(&self) -> impl Iterator<Item = (&str, Direction, &str)> {
        self.all().filter_map(|(name, direction, outcome)| match judge(name, direction, outcome) {
            Verdict::Failed(why) => Some((name, direction, why)),
            _ => None,
        })
    }
}

/// What an outcome means.
enum Verdict<'a> {
    Passed,
    /// Failed in a way that is known of CRIU.
    Known(&'static str),
    Failed(&'a str),
    Ignored,
}

impl Verdict<'_> {
    fn word(&self) -> &'static str {
        match self {
            Verdict::Passed => "ok",
            Verdict::Known(_) => "known",
            Verdict::Failed(_) => "FAILED",
            Verdict::Ignored => "ignored",
        }
    }
}

fn judge<'a>(name: &str, direction: Direction, outcome: &'a Outcome) -> Verdict<'a> {
    match outcome {
        Outcome::Passed => Verdict::Passed,
        Outcome::Ignored => Verdict::Ignored,
        Outcome::Failed(why) => {
            known::excuse(name, direction, why).map_or(Verdict::Failed(why), Verdict::Known)
        }
    }
}

fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::ToCriu => "crio -> criu",
        Direction::FromCriu => "criu -> crio",
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<40} {:<14} {:<14}", "", arrow(Direction::ToCriu), arrow(Direction::FromCriu))?;
        for (name, both) in &self.outcomes {
            let mut words = Direction::BOTH.into_iter().zip(both).map(|(direction, outcome)| {
                outcome.as_ref().map_or("-", |outcome| judge(name, direction, outcome).word())
            });
            let (to, from) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            writeln!(f, "{name:<40} {to:<14} {from:<14}")?;
        }
        for (name, direction, outcome) in self.all() {
            if let Verdict::Known(reason) = judge(name, direction, outcome) {
                writeln!(f, "known: {} {name}: criu {reason}", arrow(direction))?;
            }
        }
        for (name, direction, why) in self.failures() {
            writeln!(f, "\n---- {} {name} ----\n{why}", arrow(direction))?;
        }
        let count = |wanted: &str| {
            let verdicts = self.all().map(|(name, direction, outcome)| judge(name, direction, outcome));
            verdicts.filter(|verdict| verdict.word() == wanted).count()
        };
        let [passed, failed, known, ignored] = ["ok", "FAILED", "known", "ignored"].map(count);
        let result = if failed == 0 { "ok" } else { "FAILED" };
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
