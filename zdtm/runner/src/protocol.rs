//! What a host and the agent in its guest say to each other: one JSON value per line, in both directions.
//!
//! The host sends an [`Order`] and waits for the report that ends it. [`Report::Alive`] may come at any time.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalogue::Test;

/// How tests are run, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Who dumps and who restores: programs of the guest.
    pub engines: Engines,
    /// Checkpoints and restores of each test, one after the other.
    pub iterations: u32,
    /// Start, end and verify the programs, nothing else.
    pub undisturbed: bool,
    /// Dump with `--leave-running`, no restore.
    pub leave_running: bool,
    /// End each test with its dump and leave it in [`crate::moved::FOLDER`], to be restored elsewhere.
    pub depart: bool,
    /// Points of `CRIO_FAULT` at which a dump fails before each that does not.
    pub faults: Vec<String>,
    /// Let the engine verify each image directory.
    pub verify_images: bool,
    /// Compare what /proc shows before and after.
    pub compare: bool,
}

/// Programs of a guest with CRIU's command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engines {
    /// Who dumps, and knows what the kernel can do.
    pub dump: PathBuf,
    /// Who restores.
    pub restore: PathBuf,
}

impl Engines {
    /// Where a guest has our own.
    pub const OURS: &str = "/usr/sbin/crio";
}

impl Default for Engines {
    fn default() -> Self {
        let ours = Path::new(Self::OURS);
        Engines { dump: ours.to_owned(), restore: ours.to_owned() }
    }
}

/// From host to guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Answered by nothing.
    Terms(Terms),
    /// Run one test; answered by [`Report::Verdict`].
    Test {
        /// The test.
        test: Box<Test>,
        /// For each processor of the host, how many tasks want it at the moment, at least 1: time limits grow by it.
        crowding: f64,
    },
    /// Run a program to its end; answered by [`Report::Output`]s and [`Report::Ended`].
    Execute {
        /// The program and its arguments.
        words: Vec<String>,
    },
}

/// From guest to host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The first one.
    Ready(About),
    /// The guest's user space runs; sent every second.
    Alive,
    /// How the test ended.
    Verdict {
        /// Its outcome.
        outcome: Outcome,
        /// Why it failed or was skipped; for one that passed empty, or the error that it had to get.
        message: String,
    },
    /// A piece of what a program writes.
    Output {
        /// With replacement characters for what is not UTF-8.
        text: String,
    },
    /// The program has ended.
    Ended {
        /// As `wait(2)` says it, in words.
        status: String,
        /// It exited with 0.
        success: bool,
    },
}

/// What a guest is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub machine: String,
    /// Bytes of a page.
    pub page_size: u64,
    /// How many times slower it is than [`crate::speed`]'s reference; time limits grow by it.
    pub slowness: f64,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It said PASS, and nothing else was found.
    Passed,
    /// Anything else.
    Failed,
    /// The kernel lacks a feature, which the message names.
    Skipped,
}

/// What the message of a skipped test begins with; the feature follows.
pub const NEEDS: &str = "needs ";

/// One line, with its end.
///
/// # Errors
/// When the value cannot be JSON: a path in it is not UTF-8.
pub fn line<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_and_comes_back() {
        let report = Report::Verdict { outcome: Outcome::Failed, message: "two\nlines \u{1b}[0m".into() };
        let bytes = line(&report).unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(serde_json::from_slice::<Report>(&bytes).unwrap(), report);
    }

    #[test]
    fn every_test_of_the_catalogue_survives_the_way() {
        for test in crate::catalogue::load(&crate::default_suite()).unwrap() {
            let order = Order::Test { test: Box::new(test), crowding: 1.5 };
            let back: Order = serde_json::from_slice(&line(&order).unwrap()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{order:?}"));
        }
    }
}
