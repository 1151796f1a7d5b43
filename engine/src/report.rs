//! What a command tells at its end, as text for people and as JSON for programs (`--json`).
//!
//! The phases fill plain values ([`DumpReport`], [`RestoreReport`]); the command line and the service render them, so
//! that no phase prints. Statistics have the names and units of CRIU's `stats_entry`, because podman and CRIU's test
//! runner read them from the `stats-dump` and `stats-restore` images.
//!
//! Not here: how one error looks (`error`), how a line of the log looks (`log`).

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::image::message::{DumpStatsEntry, RestoreStatsEntry, StatsEntry};
use crate::image::{ImageDir, Kind};
use crate::log::escape;

/// One piece of the program's state that the image does not carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotKept {
    /// The task, as seen by us.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// The object and what of it: `"keyring: session keyring 0x1f"`.
    pub what: String,
    /// What the program will notice, one clause.
    pub consequence: String,
}

/// How many objects a tree has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Processes, zombies included.
    pub tasks: usize,
    /// Threads of all of them.
    pub threads: usize,
    /// Open file descriptions.
    pub files: usize,
    /// Mappings.
    pub vmas: usize,
}

/// Times of a dump in microseconds and its page counts; `dump_stats_entry` of CRIU's stats.proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DumpStats {
    /// From the first seizing to the whole tree standing still.
    pub freezing_time: u32,
    /// How long the tree stood still.
    pub frozen_time: u32,
    /// Reading page maps and handing pages over.
    pub memdump_time: u32,
    /// Writing pages out.
    pub memwrite_time: u32,
    /// Resolving watched inodes to paths.
    pub irmap_resolve: u32,
    /// Pages looked at in private memory.
    pub pages_scanned: u64,
    /// Of these, unchanged since the parent image.
    pub pages_skipped_parent: u64,
    /// Of these, in the image.
    pub pages_written: u64,
    /// Of these, left to be served later.
    pub pages_lazy: u64,
    /// The same for shared memory.
    pub shpages_scanned: u64,
    /// See [`DumpStats::pages_skipped_parent`].
    pub shpages_skipped_parent: u64,
    /// See [`DumpStats::pages_written`].
    pub shpages_written: u64,
}

/// Times of a restore in microseconds and its page counts; `restore_stats_entry` of CRIU's stats.proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RestoreStats {
    /// Creating the tasks.
    pub forking_time: u32,
    /// From the start to the running tree.
    pub restore_time: u32,
    /// Pages compared with the parent's to share them.
    pub pages_compared: u64,
    /// Pages that stayed shared with the parent.
    pub pages_skipped_cow: u64,
    /// Pages filled from the image.
    pub pages_restored: u64,
}

/// The end of `crio dump`, also of a dump that was refused or only surveyed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct DumpReport {
    /// The tree's root.
    pub root: i32,
    /// Everything that cannot be dumped; if there is any, nothing was frozen and nothing written, by any worker.
    #[serde(skip)]
    pub blockers: Vec<Error>,
    /// What the image does not carry.
    pub not_kept: Vec<NotKept>,
    /// The size of the tree.
    pub counts: Counts,
    /// Times and pages; zero after a survey.
    pub stats: DumpStats,
    /// Bytes of all image files.
    pub image_bytes: u64,
}

/// The end of `crio restore`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RestoreReport {
    /// The root's pid, as seen by us.
    pub root: i32,
    /// What the image says was not carried, or what this kernel could not give back.
    pub not_kept: Vec<NotKept>,
    /// The size of the tree.
    pub counts: Counts,
    /// Times and pages.
    pub stats: RestoreStats,
}

/// The time since then as statistics have it, microseconds; the most they can say if it is longer than an hour.
pub(crate) fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

impl DumpStats {
    /// As `stats-dump` in the work directory holds it: podman and CRIU's test runner read that.
    pub fn write(&self, work_dir: &Path) -> Result<()> {
        let dump = DumpStatsEntry {
            freezing_time: self.freezing_time,
            frozen_time: self.frozen_time,
            memdump_time: self.memdump_time,
            memwrite_time: self.memwrite_time,
            pages_scanned: self.pages_scanned,
            pages_skipped_parent: self.pages_skipped_parent,
            pages_written: self.pages_written,
            irmap_resolve: Some(self.irmap_resolve),
            pages_lazy: self.pages_lazy,
            shpages_scanned: Some(self.shpages_scanned),
            shpages_skipped_parent: Some(self.shpages_skipped_parent),
            shpages_written: Some(self.shpages_written),
            ..DumpStatsEntry::default()
        };
        ImageDir::open(work_dir)?.write_one(Kind::StatsDump, &StatsEntry { dump: Some(dump), restore: None })
    }
}

impl RestoreStats {
    /// As `stats-restore` in the work directory holds it.
    pub fn write(&self, work_dir: &Path) -> Result<()> {
        let restore = RestoreStatsEntry {
            pages_compared: self.pages_compared,
            pages_skipped_cow: self.pages_skipped_cow,
            forking_time: self.forking_time,
            restore_time: self.restore_time,
            pages_restored: Some(self.pages_restored),
        };
        ImageDir::open(work_dir)?
            .write_one(Kind::StatsRestore, &StatsEntry { dump: None, restore: Some(restore) })
    }
}

impl DumpReport {
    /// The report for people; empty if there is nothing to say. `survey` is a `--dry-run`, whose good end is news.
    pub fn text(&self, survey: bool) -> String {
        let mut out = String::new();
        for blocker in &self.blockers {
            let _ = writeln!(out, "{}", error_text(blocker));
        }
        if !self.blockers.is_empty() {
            let found = plural(self.blockers.len(), "object");
            let _ = writeln!(out, "{found} cannot be dumped; the tree was left alone");
        }
        not_kept_text(&mut out, &self.not_kept);
        if survey && self.blockers.is_empty() {
            let _ = writeln!(out, "can be dumped: {}", self.counts.text());
        }
        out
    }

    /// `{"command", "ok", "root", "counts", "blockers", "not_kept", "image_bytes", "stats"}`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "command": "dump",
            "ok": self.blockers.is_empty(),
            "root": self.root,
            "counts": self.counts,
            "blockers": self.blockers.iter().map(Error::to_json).collect::<Vec<_>>(),
            "not_kept": self.not_kept,
            "image_bytes": self.image_bytes,
            "stats": self.stats,
        })
    }
}

impl RestoreReport {
    /// The report for people; empty if there is nothing to say.
    pub fn text(&self) -> String {
        let mut out = String::new();
        not_kept_text(&mut out, &self.not_kept);
        out
    }

    /// `{"command", "ok", "root", "counts", "not_kept", "stats"}`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "command": "restore",
            "ok": true,
            "root": self.root,
            "counts": self.counts,
            "not_kept": self.not_kept,
            "stats": self.stats,
        })
    }
}

/// A command that failed, as JSON: `{"command", "ok": false, "error"}`.
pub fn failure_json(command: &str, error: &Error) -> serde_json::Value {
    serde_json::json!({ "command": command, "ok": false, "error": error.to_json() })
}

/// One error for people, several lines. The lines are ours; the names in them are not, so each line is escaped.
pub fn error_text(error: &Error) -> String {
    let mut out = format!("error[{}]: {}", error.code(), escape(&error.headline()));
    for line in error.details() {
        let _ = write!(out, "\n  {}", escape(line));
    }
    if let Some(help) = error.remedy() {
        let _ = write!(out, "\n  help: {}", escape(help));
    }
    out
}

impl Counts {
    fn text(&self) -> String {
        format!(
            "{}, {}, {}, {}",
            plural(self.tasks, "task"),
            plural(self.threads, "thread"),
            plural(self.files, "open file"),
            plural(self.vmas, "mapping")
        )
    }
}

pub(crate) fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn not_kept_text(out: &mut String, not_kept: &[NotKept]) {
    for n in not_kept {
        let _ = writeln!(out, "{}", escape(&n.text()));
    }
}

impl NotKept {
    /// One line; the names in it are as the victim chose them.
    pub fn text(&self) -> String {
        format!("not kept: task {} ({}): {}: {}", self.pid, self.comm, self.what, self.consequence)
    }
}

impl DumpStats {
    /// What `--display-stats` prints, line for line as CRIU's tools expect it.
    pub fn text(&self) -> String {
        let mut out = String::from("Displaying dump stats:\n");
        time(&mut out, "Freezing time", self.freezing_time);
        time(&mut out, "Frozen time", self.frozen_time);
        time(&mut out, "Memory dump time", self.memdump_time);
        time(&mut out, "Memory write time", self.memwrite_time);
        time(&mut out, "IRMAP resolve time", self.irmap_resolve);
        count(&mut out, "Memory pages scanned", self.pages_scanned);
        count(&mut out, "Memory pages skipped from parent", self.pages_skipped_parent);
        count(&mut out, "Memory pages written", self.pages_written);
        count(&mut out, "Lazy memory pages", self.pages_lazy);
        out
    }
}

impl RestoreStats {
    /// What `--display-stats` prints, line for line as CRIU's tools expect it.
    pub fn text(&self) -> String {
        let mut out = String::from("Displaying restore stats:\n");
        count(&mut out, "Pages compared", self.pages_compared);
        count(&mut out, "Pages skipped COW", self.pages_skipped_cow);
        count(&mut out, "Pages restored", self.pages_restored);
        time(&mut out, "Restore time", self.restore_time);
        time(&mut out, "Forking time", self.forking_time);
        out
    }
}

fn time(out: &mut String, what: &str, microseconds: u32) {
    let _ = writeln!(out, "{what}: {microseconds} us");
}

fn count(out: &mut String, what: &str, n: u64) {
    let _ = writeln!(out, "{what}: {n} (0x{n:x})");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Blame;

    fn refused() -> DumpReport {
        let blocker = Error::new("E-FD-UNSUPPORTED", Blame::Program, "is an io_uring")
            .on("fd 5")
            .task(17, "a\x1bb")
            .help("close it");
        let lost = NotKept {
            pid: 17,
            comm: "cat".into(),
            what: "keyring".into(),
            consequence: "keys are gone".into(),
        };
        DumpReport { root: 17, blockers: vec![blocker], not_kept: vec![lost], ..DumpReport::default() }
    }

    #[test]
    fn a_refused_dump_lists_blockers_and_losses() {
        assert_eq!(
            refused().text(true),
            "error[E-FD-UNSUPPORTED]: task 17 (a\\x1bb): fd 5: is an io_uring\n  help: close it\n\
             1 object cannot be dumped; the tree was left alone\n\
             not kept: task 17 (cat): keyring: keys are gone\n"
        );
        let json = refused().json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["blockers"][0]["code"], "E-FD-UNSUPPORTED");
        assert_eq!(json["not_kept"][0]["what"], "keyring");
    }

    #[test]
    fn a_good_survey_says_so_and_a_good_dump_is_silent() {
        let counts = Counts { tasks: 1, threads: 2, files: 3, vmas: 4 };
        let report = DumpReport { counts, ..DumpReport::default() };
        assert_eq!(report.text(true), "can be dumped: 1 task, 2 threads, 3 open files, 4 mappings\n");
        assert_eq!(report.text(false), "");
    }

    #[test]
    fn statistics_have_crius_lines() {
        let stats = DumpStats { frozen_time: 7, pages_written: 26, ..DumpStats::default() };
        assert!(stats.text().contains("\nFrozen time: 7 us\n"));
        assert!(stats.text().contains("\nMemory pages written: 26 (0x1a)\n"));
        assert!(RestoreStats::default().text().ends_with("Forking time: 0 us\n"));
    }
}
