//! `crio clean`: what a dump has left that has failed, was killed, or whose machine has gone down.
//!
//! The journal of the run (`image::journal`) says what that may be; a complete image says it of itself. In the images'
//! directory: images without an inventory, the journal. Elsewhere: hard links of `--link-remap`, and the network lock. All
//! else goes with the processes of a dump, which makes no control groups and no temporary files.
//!
//! Removed is what nobody can need: the run is dead, and its image is not complete, or is one of a tree that runs on all
//! the same. What a complete image needs is left, unless that is given up (`--give-up`): without its lock the other ends
//! of its connections learn that nobody is there. The locks of other directories are only told; that of an image which was
//! deleted is given up in the name of its directory, whether that is there or not.
//!
//! Not here: what a killed restore leaves beside its tasks, which end with it: sockets and FIFOs with a name, System V
//! objects, empty control groups. They carry a mark, by which the next restore knows and takes them (`resource::maker`).

use std::path::PathBuf;

use nix::fcntl::{AT_FDCWD, AtFlags};
use serde::Serialize;

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::directory::temporary;
use crate::image::journal::{Journal, Note};
use crate::image::{ImageDir, Kind};
use crate::log_info;
use crate::options::CleanOptions;
use crate::report::{error_text, plural};
use crate::resource::file::remap;
use crate::resource::socket::network_lock;
use crate::sys::stat::fstatat;

/// What was found, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of thing: `"network lock"`.
    pub what: &'static str,
    /// Which one.
    pub name: String,
    /// What became of it.
    pub state: State,
    /// Why.
    pub reason: String,
    /// What the reader can do.
    pub help: Option<String>,
}

/// What becomes of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is gone.
    Removed,
    /// It would be gone, but for `--dry-run`.
    Removable,
    /// It is still there.
    Kept,
    /// It could not be removed.
    Failed,
}

/// The end of `crio clean`.
#[derive(Debug, Default)]
pub struct CleanReport {
    /// In the order in which it was dealt with.
    pub findings: Vec<Finding>,
}

impl CleanReport {
    /// Whether nothing has failed.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.state != State::Failed)
    }

    /// For people.
    pub fn text(&self) -> String {
        if self.findings.is_empty() {
            return "nothing is left over\n".to_owned();
        }
        self.findings.iter().map(Finding::text).collect()
    }

    /// `{"command", "ok", "findings": [{"what", "name", "state", "reason", "help"}]}`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "command": "clean", "ok": self.is_good(), "findings": self.findings })
    }
}

impl Finding {
    fn text(&self) -> String {
        let state = match self.state {
            State::Removed => "removed",
            State::Removable => "would be removed",
            State::Kept => "kept",
            State::Failed => "not removed",
        };
        let line = format!("{state}: {} {}: {}", self.what, self.name, self.reason);
        let help = self.help.iter().map(|help| format!("  help: {help}\n"));
        std::iter::once(crate::log::escape(&line) + "\n").chain(help).collect()
    }
}

/// Something that a run has made.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    /// Of the run of this name.
    Lock(String),
    /// With device and inode, where the journal has them.
    Link(PathBuf, Option<(u64, u64)>),
    /// Files of the directory; the inventory is the first to go.
    Images(Vec<String>),
}

impl Thing {
    fn is_there(&self) -> Result<bool> {
        Ok(match self {
            Thing::Lock(run) => network_lock::list()?.iter().any(|lock| lock.run == *run),
            Thing::Link(path, file) => {
                let found = fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)
                    .ok()
                    .map(|stat| (stat.st_dev, stat.st_ino));
                found.is_some_and(|found| file.is_none_or(|file| file == found))
            }
            Thing::Images(names) => !names.is_empty(),
        })
    }

    fn remove(&self, images: &ImageDir) -> Result<()> {
        match self {
            Thing::Lock(run) => network_lock::unlock(run),
            Thing::Link(path, _) => std::fs::remove_file(path).os(|| format!("unlink {}", path.display())),
            Thing::Images(names) => names.iter().try_for_each(|name| images.remove(name)),
        }
    }

    fn found(&self, images: &ImageDir, state: State, reason: &str, help: Option<&str>) -> Finding {
        let (what, name) = match self {
            Thing::Lock(run) => ("network lock", network_lock::name(run)),
            Thing::Link(path, _) => ("link", path.display().to_string()),
            Thing::Images(names) => {
                ("images", format!("{} ({})", images.path().display(), plural(names.len(), "file")))
            }
        };
        Finding { what, name, state, reason: reason.to_owned(), help: help.map(str::to_owned) }
    }
}

/// How far a run had come when it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its directory holds no image, or an older one.
    Midway,
    /// Its image is complete, but the tree was not to end yet, and goes on.
    Undecided,
    /// It was ending a tree, whose root is still there.
    Ending,
    /// Its image is complete.
    Complete,
}

/// What a killed run has left.
struct Left {
    stage: Stage,
    things: Vec<Thing>,
}

impl Left {
    fn of(images: &ImageDir, notes: &[Note]) -> Result<Self> {
        let noted = |wanted: &Note| notes.contains(wanted);
        let is_image = has_inventory(images)?;
        let stage = match notes.first() {
            Some(Note::Dump { root, ends }) if is_image && noted(&Note::Inventory) => {
                match (*ends && root.is_alive()?, noted(&Note::Decided)) {
                    (true, true) => Stage::Ending,
                    (true, false) => Stage::Undecided,
                    (false, _) => Stage::Complete,
                }
            }
            _ => Stage::Midway,
        };
        let mut things: Vec<Thing> = notes.iter().filter_map(thing).collect();
        if noted(&Note::Writing) && (stage != Stage::Midway || !is_image) {
            things.push(Thing::Images(image_files(images)?));
        }
        Ok(Left { stage, things })
    }
}

fn thing(note: &Note) -> Option<Thing> {
    match note {
        Note::Lock { run } => Some(Thing::Lock(run.clone())),
        Note::Link { path, device, inode } => {
            let path = PathBuf::from(path);
            remap::is_link(&path).then_some(Thing::Link(path, Some((*device, *inode))))
        }
        _ => None,
    }
}

fn has_inventory(images: &ImageDir) -> Result<bool> {
    Ok(images.names()?.contains(&Kind::Inventory.file_name()))
}

/// The images of a directory, whole or not, the inventory first.
fn image_files(images: &ImageDir) -> Result<Vec<String>> {
    let inventory = Kind::Inventory.file_name();
    let half = temporary(&inventory);
    let is_ours = |name: &String| Kind::from_file_name(name).is_some() || *name == half;
    let mut names: Vec<String> = images.names()?.into_iter().filter(is_ours).collect();
    names.sort_by_key(|name| *name != inventory);
    Ok(names)
}

/// Removes the images of a directory: those of a task that is gone would stay beside the others.
pub(crate) fn remove_images(images: &ImageDir) -> Result<()> {
    Thing::Images(image_files(images)?).remove(images)
}

/// Cleans up `options.places.images_dir`, and tells of the locks that are there.
pub fn clean(options: &CleanOptions) -> Result<CleanReport> {
    let dir = &options.places.images_dir;
    let images = match ImageDir::open(dir) {
        // Who has deleted an image may give up its lock all the same.
        Err(error) if options.give_up && error.code() == "E-NOT-FOUND" => {
            return Ok(CleanReport { findings: other_locks(options, &[], std::path::absolute(dir).ok())? });
        }
        images => images?,
    };
    let mut cleaning = Cleaning { images: &images, options, findings: Vec::new() };
    let (runs, place) = match Journal::left(&images) {
        Err(error) if error.code() == "E-IMAGES-BUSY" => {
            cleaning.tell_busy();
            (Vec::new(), None)
        }
        left => (cleaning.clean_directory(left?)?, std::fs::canonicalize(dir).ok()),
    };
    let mut findings = cleaning.findings;
    findings.extend(other_locks(options, &runs, place)?);
    Ok(CleanReport { findings })
}

/// The locks of other runs than these. Those of dumps into `place` are of images that are not there any more.
fn other_locks(options: &CleanOptions, runs: &[String], place: Option<PathBuf>) -> Result<Vec<Finding>> {
    let end = place.map(|place| format!(" into {}", place.display()));
    let locks = network_lock::list()?.into_iter().filter(|lock| !runs.contains(&lock.run));
    Ok(locks.map(|lock| other_lock(options, &lock, end.as_deref())).collect())
}

fn other_lock(options: &CleanOptions, lock: &network_lock::Found, end: Option<&str>) -> Finding {
    let name = network_lock::name(&lock.run);
    let about = lock.about.as_deref().unwrap_or("a dump that has not said which");
    let found = |state, why: &str, help: Option<String>| Finding {
        what: "network lock",
        name: name.clone(),
        state,
        reason: format!("{about}{why}"),
        help,
    };
    let is_of_place = end.is_some_and(|end| about.ends_with(end));
    let gone = ", whose image is not there";
    match (lock.owned, is_of_place, options.give_up) {
        (true, ..) => found(State::Kept, ", which is at work", None),
        (_, true, true) if options.dry_run => found(State::Removable, gone, None),
        (_, true, true) => match network_lock::unlock(&lock.run) {
            Ok(()) => found(State::Removed, gone, None),
            Err(error) => found(State::Failed, &format!("{gone}: {error}"), None),
        },
        (_, true, false) => found(State::Kept, gone, Some("if it is nowhere else, add --give-up".to_owned())),
        (_, false, _) if lock.about.is_none() => {
            found(State::Kept, "", Some(format!("if its image is gone, nft delete table inet {name}")))
        }
        _ => found(State::Kept, "", Some("crio clean -D with that directory".to_owned())),
    }
}

/// Removes what a killed dump into a directory has left, before another one.
///
/// # Errors
/// `E-DUMP-HALF-ENDED`: it was ending the tree, and nobody but the user can tell what is to become of that.
pub(crate) fn recover(images: &ImageDir, notes: &[Note]) -> Result<()> {
    let Left { stage, things } = Left::of(images, notes)?;
    match stage {
        // A new dump writes over it, as over any image.
        Stage::Complete => Ok(()),
        Stage::Ending => Err(Error::new("E-DUMP-HALF-ENDED", Blame::Environment, ENDING)
            .on(images.path().display().to_string())
            .help(ENDING_HELP)),
        Stage::Midway | Stage::Undecided => things.iter().try_for_each(|thing| {
            if thing.is_there()? {
                log_info!("Removing what a killed dump has left: {thing:?}");
                thing.remove(images)?;
            }
            Ok(())
        }),
    }
}

const ENDING: &str = "a dump was killed while it ended the tree, of which a part may be gone";
const ENDING_HELP: &str = "if the whole tree runs, crio clean --give-up removes all that the dump has left; else end the \
                           rest of it, and restore the image";

struct Cleaning<'a> {
    images: &'a ImageDir,
    options: &'a CleanOptions,
    findings: Vec<Finding>,
}

impl Cleaning<'_> {
    fn tell_busy(&mut self) {
        self.findings.push(Finding {
            what: "images",
            name: self.images.path().display().to_string(),
            state: State::Kept,
            reason: "a dump writes to this directory".to_owned(),
            help: None,
        });
    }

    /// Cleans the directory and what belongs to it; the runs of whose locks this was the matter.
    fn clean_directory(&mut self, left: Option<(Journal, Vec<Note>)>) -> Result<Vec<String>> {
        let notes = left.as_ref().map_or(&[][..], |(_, notes)| notes);
        let Left { stage, mut things } = Left::of(self.images, notes)?;
        match stage {
            Stage::Midway if left.is_none() && has_inventory(self.images)? => {
                things = self.things_of_image()?;
                self.keep(&things, WAITS, "restore the image, or add --give-up")?;
            }
            Stage::Midway if left.is_none() => self.tell_images()?,
            Stage::Midway => self.remove(&things, "the dump has ended before its image was complete")?,
            Stage::Undecided => self.remove(&things, "the dump was killed, and the tree runs on")?,
            Stage::Ending => self.keep(&things, ENDING, ENDING_HELP)?,
            Stage::Complete => {
                let ends = matches!(notes.first(), Some(Note::Dump { ends: true, .. }));
                let (locks, _): (Vec<_>, Vec<_>) =
                    things.into_iter().partition(|t| matches!(t, Thing::Lock(_)));
                self.remove(if ends { &[] } else { &locks }, "the tree runs on")?;
                things = self.things_of_image()?;
                self.keep(&things, WAITS, "restore the image, or add --give-up")?;
            }
        }
        let journal_stays = self.options.dry_run || stage == Stage::Ending && !self.options.give_up;
        let failed = self.findings.iter().any(|finding| finding.state == State::Failed);
        match left {
            Some((journal, _)) if journal_stays || failed => journal.leave(),
            left => drop(left),
        }
        let runs = things.into_iter().filter_map(|thing| match thing {
            Thing::Lock(run) => Some(run),
            _ => None,
        });
        Ok(runs.collect())
    }

    /// What a complete image has: its lock, its links, itself.
    fn things_of_image(&self) -> Result<Vec<Thing>> {
        let lock = self.images.inventory()?.dump_criu_run_id.map(Thing::Lock);
        let links = remap::links_of(self.images)?.into_iter().map(|path| Thing::Link(path, None));
        let mut things: Vec<Thing> = lock.into_iter().chain(links).collect();
        things.push(Thing::Images(image_files(self.images)?));
        Ok(things)
    }

    /// Images of nobody knows whom.
    fn tell_images(&mut self) -> Result<()> {
        let images = Thing::Images(image_files(self.images)?);
        if images.is_there()? {
            let reason = "there is no inventory, and nothing that tells whose they are";
            let help = Some("if no dump writes to this directory, delete them");
            self.findings.push(images.found(self.images, State::Kept, reason, help));
        }
        Ok(())
    }

    fn remove(&mut self, things: &[Thing], reason: &str) -> Result<()> {
        for thing in things {
            if !thing.is_there()? {
                continue;
            }
            let done = if self.options.dry_run { Ok(()) } else { thing.remove(self.images) };
            let finding = match done {
                Ok(()) if self.options.dry_run => thing.found(self.images, State::Removable, reason, None),
                Ok(()) => thing.found(self.images, State::Removed, reason, None),
                Err(e) => thing.found(self.images, State::Failed, &error_text(&e), e.remedy()),
            };
            self.findings.push(finding);
        }
        Ok(())
    }

    /// What is not to be removed without a word. Images alone are nothing that was left over.
    fn keep(&mut self, things: &[Thing], reason: &str, help: &str) -> Result<()> {
        if self.options.give_up {
            return self.remove(things, "it was given up");
        }
        for thing in things.iter().filter(|thing| !matches!(thing, Thing::Images(_))) {
            if thing.is_there()? {
                self.findings.push(thing.found(self.images, State::Kept, reason, Some(help)));
            }
        }
        Ok(())
    }
}

const WAITS: &str = "the image is complete, and is not restored yet";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::journal::Identity;

    fn stage(ends: bool, alive: bool, is_image: bool, more: &[Note]) -> Result<(Stage, usize)> {
        let dir = tempfile::tempdir().os(|| "make a directory")?;
        let images = ImageDir::open(dir.path())?;
        images.create_file("pages-1.img")?;
        if is_image {
            images.create_file(&Kind::Inventory.file_name())?;
        }
        let ours = Identity::of(std::process::id() as i32)?;
        // Another process had this pid, or another boot.
        let root = if alive { ours } else { Identity { boot: String::new(), ..ours } };
        let notes: Vec<Note> = [Note::Dump { root, ends }].iter().chain(more).cloned().collect();
        let Left { stage, things } = Left::of(&images, &notes)?;
        Ok((stage, things.len()))
    }

    #[test]
    fn a_journal_tells_how_far_a_dump_had_come() -> Result<()> {
        let all = [Note::Writing, Note::Lock { run: "x".to_owned() }, Note::Inventory, Note::Decided];
        assert_eq!(stage(true, true, true, &[])?, (Stage::Midway, 0), "the image is an older one");
        assert_eq!(stage(true, true, true, &all[..1])?, (Stage::Midway, 0), "it still is");
        assert_eq!(stage(true, true, false, &all[..2])?, (Stage::Midway, 2));
        assert_eq!(stage(true, true, false, &all[..3])?, (Stage::Midway, 2), "it was taken back");
        assert_eq!(stage(true, true, true, &all[..3])?, (Stage::Undecided, 2));
        assert_eq!(stage(true, false, true, &all[..3])?, (Stage::Complete, 2), "the image is all there is");
        assert_eq!(stage(true, true, true, &all)?, (Stage::Ending, 2));
        assert_eq!(stage(true, false, true, &all)?, (Stage::Complete, 2));
        assert_eq!(stage(false, true, true, &all)?, (Stage::Complete, 2), "it was to run on");
        Ok(())
    }

    #[test]
    fn only_links_of_ours_are_taken_for_such() {
        let link = |path: &str| thing(&Note::Link { path: path.into(), device: 1, inode: 2 });
        assert_eq!(link("/x/link_remap.17"), Some(Thing::Link("/x/link_remap.17".into(), Some((1, 2)))));
        assert_eq!(
            [link("/etc/passwd"), link("/x/link_remap."), link("/x/link_remap.a")],
            [None, None, None]
        );
    }
}
