//! What a check found, as text for people and as JSON.

use std::fmt::Write as _;

use super::{Answer, Category, Feature};

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

    fn remedy(&self) -> String {
        match &self.answer {
            Answer::Present => String::new(),
            Answer::Missing(_) => format!("a kernel that has it: {}", self.feature.entry().since),
            Answer::Denied(_) => {
                "run as root, or with CAP_CHECKPOINT_RESTORE, outside of a container that forbids it"
                    .to_owned()
            }
        }
    }

    /// `{"feature", "category", "status", "seen", "purpose", "since", "fallback", "consequence", "remedy"}`.
    pub fn json(&self) -> serde_json::Value {
        let entry = self.feature.entry();
        let (status, seen) = self.verdict();
        serde_json::json!({
            "feature": entry.name,
            "category": entry.category.name(),
            "status": status,
            "seen": seen,
            "purpose": entry.purpose,
            "since": entry.since,
            "fallback": entry.fallback,
            "consequence": entry.consequence,
            "remedy": self.remedy(),
        })
    }

    fn text(&self, out: &mut String) {
        let entry = self.feature.entry();
        let (word, seen) = self.verdict();
        let _ = writeln!(out, "{word:8} {:26} {}", entry.name, entry.purpose);
        if self.is_present() {
            return;
        }
        let mut row = |label: &str, text: &str| {
            if !text.is_empty() {
                let _ = writeln!(out, "         {label:12} {text}");
            }
        };
        row("seen:", seen);
        row("consequence:", entry.consequence);
        row("instead:", entry.fallback);
        row("remedy:", &self.remedy());
    }
}

impl Category {
    /// Lower case, for JSON.
    fn name(self) -> &'static str {
        match self {
            Category::Required => "required",
            Category::Extra => "extra",
            Category::Experimental => "experimental",
            Category::Processor => "processor",
        }
    }
}

impl CheckReport {
    /// Whether everything asked for is there: CRIU's exit status 0.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(Finding::is_present)
    }

    fn closing(&self) -> &'static str {
        let missing =
            |category| self.findings.iter().any(|f| !f.is_present() && f.feature.category() == category);
        match (missing(Category::Required), self.is_good()) {
            (true, _) => BAD,
            (_, true) => GOOD,
            _ => MAYBE,
        }
    }

    /// What is missing, with consequence and remedy, or with `all` everything; then CRIU's closing line.
    pub fn text(&self, all: bool) -> String {
        let mut out = String::new();
        for finding in self.findings.iter().filter(|f| all || !f.is_present()) {
            finding.text(&mut out);
        }
        out.push_str(self.closing());
        out.push('\n');
        out
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
        for part in ["missing  pagemap_scan ", "seen:        ENOTTY", "finding pages is slow", "6.7"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("kcmp"));
        assert!(report(Answer::Present, Answer::Present).text(true).contains("present  kcmp "));
        let denied = report(Answer::Denied("EPERM".into()), Answer::Present).json();
        assert_eq!(denied["features"][0]["status"], "denied");
        assert_eq!(denied["summary"], BAD);
    }
}
