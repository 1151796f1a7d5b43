//! Whether a directory of images is whole: every image parses to its end, and what refers to something finds it.
//!
//! All problems are collected; none ends the search. What can only be known on the machine of the restore (files,
//! free pids, kernel features) is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::format::{Header, Kind, is_legacy};
use super::message::{FdType, FileEntry, PstreeEntry};
use super::{EntryReader, ImageDir, json};
use crate::error::{Error, Result};

mod files;
mod task;

/// Something wrong with an image.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// File name of the image.
    pub image: String,
    /// What is wrong, one clause.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.image, self.reason)
    }
}

/// Everything found wrong in a directory; empty if it is whole. Fails only if the directory cannot be read at all.
pub fn directory(dir: &ImageDir) -> Result<Vec<Problem>> {
    let mut check = Check::new(dir)?;
    check.images();
    check.inventory();
    check.files();
    check.tasks();
    check.orphans();
    Ok(check.problems)
}

/// The state of one verification.
struct Check<'a> {
    dir: &'a ImageDir,
    kinds: BTreeSet<Kind>,
    names: Vec<String>,
    /// Open files by id.
    files: BTreeMap<u32, FileEntry>,
    tasks: Vec<PstreeEntry>,
    problems: Vec<Problem>,
    /// Images that do not parse: they are reported once, not by everyone who wants to read them.
    broken: BTreeSet<Kind>,
    /// Page stores that some pagemap names.
    pages: BTreeSet<u32>,
    /// That of the machine of the dump, bytes: shared segments do not tell it, address spaces do.
    page_size: u64,
}

impl<'a> Check<'a> {
    fn new(dir: &'a ImageDir) -> Result<Check<'a>> {
        let names = dir.names()?;
        Ok(Check {
            dir,
            kinds: names.iter().filter_map(|name| Kind::from_file_name(name)).collect(),
            names,
            files: BTreeMap::new(),
            tasks: Vec::new(),
            problems: Vec::new(),
            broken: BTreeSet::new(),
            pages: BTreeSet::new(),
            page_size: 4096,
        })
    }

    fn report(&mut self, image: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(Problem { image: image.into(), reason: reason.into() });
    }

    /// Notes a failure to read `kind` unless it is known already.
    fn failed(&mut self, kind: Kind, error: &Error) {
        if self.broken.insert(kind) {
            let headline = error.headline();
            let name = kind.file_name();
            let reason = headline.strip_prefix(&format!("{name}: ")).unwrap_or(&headline).to_owned();
            self.report(name, reason);
        }
    }

    /// The value, or `None` with the failure noted.
    fn take<T>(&mut self, kind: Kind, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.failed(kind, &error)).ok()
    }

    /// Whether an image is there; if not, that is a problem, which `wanted_by` explains.
    fn require(&mut self, kind: Kind, wanted_by: &str) -> bool {
        let there = self.kinds.contains(&kind);
        if !there {
            self.report(kind.file_name(), format!("there is none, but {wanted_by} needs it"));
        }
        there
    }

    /// Parses every image to its end.
    fn images(&mut self) {
        for name in self.names.clone() {
            match Kind::from_file_name(&name) {
                Some(kind) if kind.format().header != Header::Raw => {
                    let parsed = self.parse(kind);
                    self.take(kind, parsed);
                }
                Some(_) => {}
                None if is_legacy(&name) => self.report(&name, "a form that only CRIU before 2.0 wrote"),
                None if name.ends_with(".img") => self.report(&name, "no kind of image has this name"),
                None => {}
            }
        }
    }

    fn parse(&self, kind: Kind) -> Result<()> {
        let name = kind.file_name();
        let Some(file) = self.dir.open_file(&name)? else { return Ok(()) };
        json::decode(EntryReader::new(file, kind, &name)?).map(drop)
    }

    fn inventory(&mut self) {
        if let Err(error) = self.dir.inventory() {
            self.failed(Kind::Inventory, &error);
        }
    }

    /// Pages that no pagemap names.
    fn orphans(&mut self) {
        for kind in self.kinds.clone() {
            match kind {
                Kind::PagemapShmem(_) => self.pagemap(kind, self.page_size),
                Kind::Pages(id) if !self.pages.contains(&id) && self.broken.is_empty() => {
                    self.report(kind.file_name(), "no pagemap names it");
                }
                _ => {}
            }
        }
    }

    /// A file that `who` refers to, of one of these types (any, if there are none).
    fn expect_file(&mut self, image: Kind, who: &str, id: u32, types: &[FdType]) {
        if self.broken.contains(&Kind::Files) {
            return;
        }
        match self.files.get(&id).map(FileEntry::r#type) {
            None => self.report(image.file_name(), format!("{who} is file {id}, which is not in files.img")),
            Some(found) if !types.is_empty() && !types.contains(&found) => {
                self.report(image.file_name(), format!("{who} is file {id}, which is a {}", found.as_name()));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
