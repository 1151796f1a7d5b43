//! What a check found, as text for people and as JSON.

use std::fmt::Write as _;

use super::{Answer, Category, Feature, Goal};

/// One feature and what its probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The feature.
    pub feature: Feature,
    /// What its probe found.
    pub answer: Answer,
}

/// All features that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// In the order of the table, the required ones first.
    pub findings: Vec<Finding>,
}

/// The closing lines are CRIU's.
const GOOD: &str = "Looks good.";
const BAD: &str = "Does not look good.";
const MAYBE: &str = "Looks good but some kernel features are missing\n\
    which, depending on your process tree, may cause\n\
    dump or restore failure.";

impl Finding {
    /// CRIU's name where it has one.
    pub fn name(&self) -> &'static str {
        self.feature.name()
    }

    /// Whether it works.
    pub fn is_present(&self) -> bool {
        self.answer == Answer::Present
    }

    /// What was seen, in one line: `mem_dirty_track: missing: pagemap does not show ...`.
    pub fn explanation(&self) -> String {
        let (word, seen) = self.verdict();
        if seen.is_empty() {
            format!("{}: {word}", self.name())
        } else {
            format!("{}: {word}: {seen}", self.name())
        }
    }

    fn verdict(&self) -> (&'static str, &str) {
        match &self.answer {
            Answer::Present => ("present", ""),
            Answer::Missing(seen) => ("missing", seen),
            Answer::Denied(seen) => ("denied", seen),
        }
    }

    /// What to do about it; empty if nothing has to be done.
    pub fn remedy(&self) -> String {
        let entry = self.feature.entry();
        match &self.answer {
            Answer::Present => String::new(),
            Answer::Missing(_) if !entry.remedy.is_empty() => entry.remedy.to_owned(),
            Answer::Missing(_) => format!("a kernel that has it: {}", entry.since),
            Answer::Denied(_) => {
                let capability =
                    if entry.capability.is_empty() { "CAP_CHECKPOINT_RESTORE" } else { entry.capability };
                format!("run as root, or with {capability}, outside of a container that forbids it")
            }
        }
    }

    /// Whether a check looks worse without it.
    fn is_missed(&self) -> bool {
        !self.is_present() && self.feature.category() != Category::Optional
    }

    /// Who needs it: `needed`, `preferred` if there is another way, or `for --option`.
    fn need(&self) -> String {
        let entry = self.feature.entry();
        match (entry.option, entry.fallback) {
            ("", "") if entry.category == Category::Required => "needed".to_owned(),
            ("", "") => "needed by programs that use it".to_owned(),
            ("", _) => "preferred".to_owned(),
            (option, _) => format!("for {option}"),
        }
    }

    /// `{"feature", "category", "goal", "status", "seen", "purpose", "need", "since", "capability", "fallback",
    /// "consequence", "remedy"}`.
    pub fn json(&self) -> serde_json::Value {
        let entry = self.feature.entry();
        let (status, seen) = self.verdict();
        serde_json::json!({
            "feature": entry.name,
            "category": entry.category.name(),
            "goal": entry.goal.name(),
            "status": status,
            "seen": seen,
            "purpose": entry.purpose,
            "need": self.need(),
            "since": entry.since,
            "capability": entry.capability,
            "fallback": entry.fallback,
            "consequence": entry.consequence,
            "remedy": self.remedy(),
        })
    }

    fn text(&self, out: &mut String) {
        let entry = self.feature.entry();
        let (word, seen) = self.verdict();
        let _ = writeln!(out, "  {word:8} {:26} {}", entry.name, entry.purpose);
        if self.is_present() {
            return;
        }
        let mut row = |label: &str, text: &str| {
            if !text.is_empty() {
                let _ = writeln!(out, "           {label:12} {text}");
            }
        };
        row("seen:", seen);
        row("use:", &self.need());
        row("consequence:", entry.consequence);
        row("instead:", entry.fallback);
        row("remedy:", &self.remedy());
    }
}

impl CheckReport {
    /// Whether everything asked for is there: CRIU's exit status 0.
    pub fn is_good(&self) -> bool {
        !self.findings.iter().any(Finding::is_missed)
    }

    fn closing(&self) -> &'static str {
        let missing = |f: &Finding| !f.is_present() && f.feature.category() == Category::Required;
        match (self.findings.iter().any(missing), self.is_good()) {
            (true, _) => BAD,
            (_, true) => GOOD,
            _ => MAYBE,
        }
    }

    /// What is missed, by what it is for, with consequence and remedy, or with `all` everything; what could not be asked
    /// for; then CRIU's closing line.
    pub fn text(&self, all: bool) -> String {
        let mut out = String::new();
        for goal in Goal::ALL {
            self.goal_text(goal, all, &mut out);
        }
        let denied = self.findings.iter().filter(|f| matches!(f.answer, Answer::Denied(_))).count();
        if denied > 0 {
            let _ = writeln!(out, "{denied} of {} could not be probed by this user", self.findings.len());
        }
        out.push_str(self.closing());
        out.push('\n');
        out
    }

    fn goal_text(&self, goal: Goal, all: bool, out: &mut String) {
        let of_goal = || self.findings.iter().filter(|f| f.feature.goal() == goal);
        let shown: Vec<&Finding> = of_goal().filter(|f| all || f.is_missed()).collect();
        if !shown.is_empty() {
            let there = of_goal().filter(|f| f.is_present()).count();
            let _ = writeln!(out, "{}: {there} of {}", goal.name(), of_goal().count());
            shown.iter().for_each(|finding| finding.text(out));
        }
    }

    /// `{"command", "ok", "summary", "features"}`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "command": "check",
            "ok": self.is_good(),
            "summary": self.closing(),
            "features": self.findings.iter().map(Finding::json).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(required: Answer, extra: Answer) -> CheckReport {
        CheckReport {
            findings: vec![
                Finding { feature: Feature::Kcmp, answer: required },
                Finding { feature: Feature::PagemapScan, answer: extra },
            ],
        }
    }

    #[test]
    fn the_closing_line_is_crius() {
        let missing = || Answer::Missing("ENOSYS".into());
        assert_eq!(report(Answer::Present, Answer::Present).text(false), "Looks good.\n");
        assert!(report(missing(), Answer::Present).text(false).ends_with("\nDoes not look good.\n"));
        let maybe = report(Answer::Present, missing());
        assert!(maybe.text(false).contains("\nLooks good but some kernel features are missing\nwhich,"));
        assert!(!maybe.is_good());
    }

    #[test]
    fn what_is_missing_has_its_consequence_and_remedy() {
        let text = report(Answer::Present, Answer::Missing("ENOTTY".into())).text(false);
        for part in [
            "speed: 0 of 1\n  missing  pagemap_scan ",
            "seen:        ENOTTY",
            "use:         preferred",
            "finding pages is slow",
            "6.7",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("kcmp"));
        assert!(report(Answer::Present, Answer::Present).text(true).contains("present  kcmp "));
        let denied = report(Answer::Denied("EPERM".into()), Answer::Present).json();
        assert_eq!(denied["features"][0]["status"], "denied");
        assert_eq!(denied["summary"], BAD);
        let text = report(Answer::Denied("EPERM".into()), Answer::Present).text(false);
        assert!(text.contains("1 of 2 could not be probed by this user"), "{text}");
    }

    #[test]
    fn what_is_optional_is_shown_and_not_missed() {
        let missing = Answer::Missing("ENOSYS".into());
        let report = CheckReport { findings: vec![Finding { feature: Feature::Sve, answer: missing }] };
        assert!(report.is_good());
        assert_eq!(report.text(false), "Looks good.\n");
        assert!(report.text(true).contains("some processors only: 0 of 1\n  missing  sve "));
    }
}
