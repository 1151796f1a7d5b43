//! What a kernel can do against what is expected of it: `lacks` of `ci/matrix.yaml`, and its configuration.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::report::{Cell, Cells, Verdict};

/// What is read of `crio check --json`.
#[derive(Deserialize)]
struct Checked {
    features: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    feature: String,
    status: String,
    seen: String,
    purpose: String,
    since: String,
}

/// What should be found.
pub(super) struct Expected<'a> {
    /// The features that the engine knows: each must be heard of.
    pub(super) names: &'a [&'a str],
    /// Those that are missing.
    pub(super) lacks: &'a [String],
    /// `lacks` speaks of this system at all.
    pub(super) is_strict: bool,
    /// Of the kernel; empty if it is not known.
    pub(super) config: &'a str,
}

/// Judges the output of `crio check --all --json`.
pub(super) fn judge(output: &str, expected: &Expected<'_>) -> Result<Cells> {
    let json = output.lines().find(|line| line.starts_with('{'));
    let checked: Checked = serde_json::from_str(json.unwrap_or_default())
        .with_context(|| format!("crio check --all --json says {output:?}"))?;
    let found: BTreeMap<&str, &Finding> =
        checked.features.iter().map(|finding| (finding.feature.as_str(), finding)).collect();
    let mut cells = Cells::new();
    for name in expected.names {
        let cell = match found.get(name) {
            Some(finding) => expected.cell(finding),
            None => Cell::new(Verdict::Fail, "nothing was heard of it", ""),
        };
        cells.insert((*name).to_owned(), cell);
    }
    Ok(cells)
}

impl Expected<'_> {
    fn cell(&self, finding: &Finding) -> Cell {
        let Finding { feature, status, seen, .. } = finding;
        let is_expected = !self.lacks.contains(feature);
        let (verdict, message) = match (status.as_str(), is_expected) {
            ("present", true) => match self.configured_out(finding) {
                Some(option) => (Verdict::Fail, format!("found, although {option} is not set")),
                None => (Verdict::Pass, String::new()),
            },
            ("present", false) => {
                (Verdict::Fail, "found, although ci/matrix.yaml says that it is lacking".to_owned())
            }
            (word, true) if self.is_strict => {
                (Verdict::Fail, format!("{word}: {seen}; ci/matrix.yaml does not say that it is lacking"))
            }
            (word, _) => (Verdict::Skip, format!("{word}: {seen}")),
        };
        Cell::new(verdict, message, &finding.purpose)
    }

    /// An option that the feature takes and this kernel was built without.
    fn configured_out(&self, finding: &Finding) -> Option<String> {
        // `CONFIG_X before 4.3` was needed only once.
        if finding.since.contains(" before ") {
            return None;
        }
        let options = finding.since.split([' ', ',']).filter(|word| word.starts_with("CONFIG_"));
        let mut out = options.filter(|option| {
            let line = format!("# {option} is not set");
            self.config.lines().any(|one| one == line)
        });
        out.next().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = concat!(
        "Warn  something else\n",
        r#"{"command":"check","features":["#,
        r#"{"feature":"kcmp","status":"present","seen":"","purpose":"p","since":"3.5, CONFIG_KCMP"},"#,
        r#"{"feature":"sve","status":"missing","seen":"EINVAL","purpose":"p","since":"4.15"}]}"#,
        "\n"
    );

    fn verdicts(lacks: &[&str], config: &str, is_strict: bool) -> Vec<Verdict> {
        let lacks: Vec<String> = lacks.iter().map(|name| (*name).to_owned()).collect();
        let expected = Expected { names: &["kcmp", "sve"], lacks: &lacks, is_strict, config };
        judge(OUTPUT, &expected).unwrap().values().map(|cell| cell.verdict).collect()
    }

    #[test]
    fn only_what_is_known_to_be_lacking_may_be_missing() {
        assert_eq!(verdicts(&["sve"], "", true), [Verdict::Pass, Verdict::Skip]);
        assert_eq!(verdicts(&[], "", true), [Verdict::Pass, Verdict::Fail]);
        assert_eq!(verdicts(&[], "", false), [Verdict::Pass, Verdict::Skip]);
        assert_eq!(verdicts(&["sve", "kcmp"], "", true), [Verdict::Fail, Verdict::Skip]);
    }

    #[test]
    fn what_is_configured_out_cannot_be_there() {
        let config = "CONFIG_FUTEX=y\n# CONFIG_KCMP is not set\n";
        assert_eq!(verdicts(&["sve"], config, true), [Verdict::Fail, Verdict::Skip]);
    }

    #[test]
    fn a_feature_that_vanished_has_failed() {
        let expected = Expected { names: &["kcmp", "openat2"], lacks: &[], is_strict: true, config: "" };
        let cells = judge(OUTPUT, &expected).unwrap();
        assert_eq!(cells["openat2"].verdict, Verdict::Fail);
        assert!(judge("Segmentation fault\n", &expected).is_err());
    }
}
