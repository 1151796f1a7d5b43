//! The history of the benchmark: a file with one line of JSON for each run, the oldest first. Only ratios: times of
//! different machines and days say nothing about each other.
//!
//! ```json
//! {"time": 1767225600, "commit": "0123abc", "kernel": "6.18.44", "processors": 2, "pairs": 7,
//!  "theirs": "criu (Version: 4.2.1)", "ratios": {"tiny tmpfs dump": {"median": 0.5, "min": 0.48, "max": 0.55}}}
//! ```

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::report::Ratio;

/// What one run has measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Seconds since 1970.
    pub(crate) time: u64,
    /// That our side was built from; empty if the tree is no repository.
    pub(crate) commit: String,
    /// uname -r
    pub(crate) kernel: String,
    pub(crate) processors: usize,
    /// Measured pairs for each case.
    pub(crate) pairs: u32,
    /// What was compared with.
    pub(crate) theirs: String,
    /// Ours/theirs, by `case store figure`.
    pub(crate) ratios: BTreeMap<String, Ratio>,
}

/// All runs of a file; none if there is no such file yet.
pub(crate) fn read(file: &Path) -> Result<Vec<Run>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let run = |(number, line)| {
        serde_json::from_str(line).with_context(|| format!("{}:{number} is not a run", file.display()))
    };
    (1..).zip(text.lines()).map(run).collect()
}

/// Adds a run to the end of a file.
pub(crate) fn append(file: &Path, run: &Run) -> Result<()> {
    let line = serde_json::to_string(run)? + "\n";
    let open = OpenOptions::new().create(true).append(true).open(file);
    let written = open.and_then(|mut open| open.write_all(line.as_bytes()));
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// Takes in more runs: each is there once, in the order of their times.
pub(crate) fn merge(runs: &mut Vec<Run>, more: Vec<Run>) {
    for run in more {
        if !runs.contains(&run) {
            runs.push(run);
        }
    }
    runs.sort_by_key(|run| run.time);
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A run with one ratio.
    pub(crate) fn run(time: u64, figure: &str, median: f64) -> Run {
        Run {
            time,
            commit: format!("c{time}"),
            kernel: "6.18".to_owned(),
            processors: 2,
            pairs: 7,
            theirs: "criu (4.2.1)".to_owned(),
            ratios: BTreeMap::from([(
                figure.to_owned(),
                Ratio { median, min: median / 2.0, max: median * 2.0 },
            )]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::run;
    use super::*;

    #[test]
    fn a_history_grows_at_its_end_and_says_which_line_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.jsonl");
        assert_eq!(read(&file).unwrap(), []);
        let runs = [run(1, "tiny disk dump", 0.5), run(2, "tiny disk dump", 0.25)];
        runs.iter().for_each(|run| append(&file, run).unwrap());
        assert_eq!(read(&file).unwrap(), runs);
        fs::write(&file, fs::read_to_string(&file).unwrap() + "{}\n").unwrap();
        assert!(read(&file).unwrap_err().to_string().ends_with("history.jsonl:3 is not a run"));
    }

    #[test]
    fn runs_are_merged_once_and_in_order() {
        let [first, second] = [run(1, "a", 0.5), run(2, "a", 0.5)];
        let mut runs = vec![second.clone()];
        merge(&mut runs, vec![first.clone(), second.clone()]);
        assert_eq!(runs, [first, second]);
    }
}
