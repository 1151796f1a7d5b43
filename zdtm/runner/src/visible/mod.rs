//! What /proc shows of a process tree, as a table that can be compared line by line.
//!
//! The key of a line is a task, a [`Section`] and an item ("fd 4"); the value is text in which everything that may
//! legally change is left out (counters, times, sizes) or numbered by order of appearance (pipe and socket inodes).

mod descriptor;
mod mapping;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::{fs, io};

use anyhow::{Context, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::task;

/// A part of the picture that a test may declare to be its own to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// Which tasks there are, and their threads.
    Tasks,
    /// Fields of stat and status.
    Status,
    /// Open files with flags and positions.
    Files,
    /// Memory areas with permissions.
    Maps,
    /// Limits, environment, timers, and other small files.
    Settings,
}

/// One task and one of its attributes.
type Key = (i32, Section, String);

/// All that /proc shows of one tree at one moment.
#[derive(Debug)]
pub(crate) struct Picture {
    lines: BTreeMap<Key, String>,
}

impl Picture {
    /// Looks at the tree below `root`. A task that ends meanwhile is a difference, not an error.
    pub(crate) fn take(root: i32) -> Result<Self> {
        let mut picture = Picture { lines: BTreeMap::new() };
        let mut kernel_objects = descriptor::Names::default();
        let mut pids = task::tree(root);
        // Siblings may be listed in another order after a restore; the numbering of kernel objects must not follow.
        pids.sort_unstable();
        for pid in pids {
            match picture.add_task(pid, &mut kernel_objects) {
                Err(error) if is_gone(&error) => {
                    picture.add(pid, Section::Tasks, "ended", "meanwhile".to_owned())
                }
                outcome => {
                    outcome.with_context(|| format!("cannot look at task {pid} of the tree of {root}"))?
                }
            }
        }
        Ok(picture)
    }

    fn add_task(&mut self, pid: i32, kernel_objects: &mut descriptor::Names) -> io::Result<()> {
        let threads = numbers_in(&format!("/proc/{pid}/task"))?;
        self.add(pid, Section::Tasks, "threads", format!("{threads:?}"));
        for (item, value) in record::status(pid)? {
            self.add(pid, Section::Status, &item, value);
        }
        for thread in threads.iter().filter(|thread| **thread != pid) {
            // A thread may end meanwhile; the list of threads shows it.
            for (item, value) in if_there(record::thread_status(pid, *thread))?.unwrap_or_default() {
                self.add(pid, Section::Status, &format!("thread {thread} {item}"), value);
            }
        }
        for (item, value) in record::settings(pid)? {
            self.add(pid, Section::Settings, &item, value);
        }
        for (item, value) in descriptor::all(pid, kernel_objects)? {
            self.add(pid, Section::Files, &item, value);
        }
        for (item, value) in mapping::all(pid)? {
            self.add(pid, Section::Maps, &item, value);
        }
        Ok(())
    }

    fn add(&mut self, pid: i32, section: Section, item: &str, value: String) {
        self.lines.insert((pid, section, item.to_owned()), value);
    }

    /// Every task of the tree, zombies included.
    pub(crate) fn pids(&self) -> Vec<i32> {
        self.lines.keys().map(|(pid, ..)| *pid).collect::<BTreeSet<i32>>().into_iter().collect()
    }

    /// A task that is gone, or has become a zombie, differs in everything, which says no more than that.
    fn only_one_lives(&self, other: &Picture, pid: i32) -> bool {
        self.lives(pid) != other.lives(pid)
    }

    fn lives(&self, pid: i32) -> bool {
        self.lines.get(&(pid, Section::Status, "state".to_owned())).is_some_and(|state| state != "Z")
    }

    /// One line per value that only one side has, the first ones of too many; "" if the pictures agree in all
    /// sections but these.
    pub(crate) fn differences(&self, after: &Picture, except: &[Section]) -> String {
        const SHOWN: usize = 60;
        let keys: BTreeSet<&Key> = self.lines.keys().chain(after.lines.keys()).collect();
        let (mut text, mut count) = (String::new(), 0);
        for key in keys {
            let (pid, section, item) = key;
            let (old, new) = (self.lines.get(key), after.lines.get(key));
            if old == new || except.contains(section) || (item != "state" && self.only_one_lives(after, *pid))
            {
                continue;
            }
            for (sign, value) in [('-', old), ('+', new)] {
                let Some(value) = value else { continue };
                count += 1;
                if count <= SHOWN {
                    let value = shortened(value, old.zip(new));
                    // Writing to a String cannot fail.
                    let _ = writeln!(text, "  {sign} {pid} {item}: {value}");
                }
            }
        }
        if count > SHOWN {
            let _ = writeln!(text, "  and {} more lines", count - SHOWN);
        }
        text
    }
}

/// A long value, reduced to where it begins to differ.
fn shortened(value: &str, both: Option<(&String, &String)>) -> String {
    const SHOWN: usize = 160;
    if value.chars().count() <= SHOWN {
        return value.to_owned();
    }
    let common =
        both.map_or(0, |(old, new)| old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count());
    let from = common.saturating_sub(20);
    let middle: String = value.chars().skip(from).take(SHOWN).collect();
    format!("{}{middle}...", if from > 0 { "..." } else { "" })
}

/// The numeric names in a folder of /proc, in order.
fn numbers_in(folder: &str) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A file or link of /proc, which a zombie does not have.
fn if_there<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_gone(&error) || error.kind() == ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

/// The task has ended (ENOENT on its folder, ESRCH on a file that was open).
fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(lines: &[(i32, Section, &str, &str)]) -> Picture {
        let mut picture = Picture { lines: BTreeMap::new() };
        for (pid, section, item, value) in lines {
            picture.add(*pid, *section, item, (*value).to_owned());
        }
        picture
    }

    #[test]
    fn shows_what_changed_came_and_went() {
        let before = picture(&[
            (7, Section::Files, "fd 3", "/a"),
            (7, Section::Files, "fd 4", "/b"),
            (7, Section::Status, "Uid", "0"),
        ]);
        let after = picture(&[
            (7, Section::Files, "fd 3", "/c"),
            (7, Section::Maps, "0-1", "rw"),
            (7, Section::Status, "Uid", "0"),
        ]);
        assert_eq!(
            before.differences(&after, &[]),
            "  - 7 fd 3: /a\n  + 7 fd 3: /c\n  - 7 fd 4: /b\n  + 7 0-1: rw\n"
        );
        assert_eq!(before.differences(&after, &[Section::Files]), "  + 7 0-1: rw\n");
        assert_eq!(before.differences(&before, &[]), "");
    }

    #[test]
    fn a_task_that_ended_is_one_line() {
        let before = picture(&[(7, Section::Status, "state", "live"), (7, Section::Maps, "0-1", "rw")]);
        let zombie = picture(&[(7, Section::Status, "state", "Z")]);
        assert_eq!(before.differences(&zombie, &[]), "  - 7 state: live\n  + 7 state: Z\n");
        assert_eq!(before.differences(&picture(&[]), &[]), "  - 7 state: live\n");
    }

    #[test]
    fn a_picture_of_ourselves_has_every_section() -> Result<()> {
        let own = std::process::id().cast_signed();
        let picture = Picture::take(own)?;
        assert!(picture.pids().contains(&own));
        for section in [Section::Tasks, Section::Status, Section::Files, Section::Maps, Section::Settings] {
            assert!(picture.lines.keys().any(|(pid, of, _)| *pid == own && *of == section), "{section:?}");
        }
        Ok(())
    }
}
