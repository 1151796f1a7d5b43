//! Semaphore sets that processes of the tree use: semget(2), semop(2), semctl(2), ipc/sem.c.
//!
//! Nothing ties a set to a process. The tree's are those of which one of its processes has done the last operation on a
//! semaphore (GETPID), or has something to undo ([`undo`](super::undo)). The image is CRIU's of an IPC namespace,
//! `ipcns-sem-NS.img`, with the last processes and the adjustments in fields of ours.
//!
//! A set that is made anew has the values that it has after the tree has ended, which undoes; then the tasks take again
//! what they had. The values are set by processes with the pids of those of the last operations, where they are free.
//!
//! Not kept: times; sets that were made, but never used.

use std::collections::{BTreeMap, BTreeSet};

use super::undo::{self, Adjustment, Retake};
use super::{Creator, Noun, There, desc_of, readable, unfinished};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{IpcSemEntry, IpcSemUndoEntry};
use crate::image::{ImageDir, Kind};
use crate::kernel::Pid;
use crate::kernel::sysvipc::Set;
use crate::log_debug;
use crate::sys::ipc::sem;

const SET: Noun = Noun {
    name: "semaphore set",
    next_id: "sem_next_id",
    option: "-s",
    perm: sem::perm,
    find: |key| sem::semget(key, 0, 0),
    set_owner: sem::set_owner,
    remove: sem::remove,
};

const UNCERTAIN: &str = "it may be too much or too little by what the end of the tree could not undo";

/// Writes the sets of the tasks `tree`, which stand still. One that goes meanwhile is none.
pub fn dump(
    images: &ImageDir,
    ns: u32,
    sets: &[Set],
    tree: &BTreeSet<Pid>,
    adjustments: &[Adjustment],
) -> Result<()> {
    let mut image = images.writer(Kind::IpcSem(ns));
    for set in sets {
        let object = || SET.object(set.id as u32);
        let Some(perm) = readable(sem::perm(set.id), object)? else { continue };
        let Some(values) = readable(sem::values(set.id, set.count), object)? else { continue };
        let pids = (0..set.count).map(|number| sem::last_process(set.id, number).unwrap_or(0));
        let pids: Vec<u32> = pids.map(|pid| pid as u32).collect();
        let of_set = || adjustments.iter().filter(|adjustment| adjustment.id == set.id);
        if !pids.iter().any(|pid| tree.contains(&(*pid as Pid))) && of_set().next().is_none() {
            continue;
        }
        log_debug!("Semaphore set {} has the values {values:?}", set.id);
        let undo = of_set().map(|adjustment| IpcSemUndoEntry {
            pid: adjustment.pid as u32,
            number: adjustment.number,
            value: adjustment.value,
        });
        let entry =
            IpcSemEntry { desc: desc_of(set.id as u32, &perm), nsems: set.count, pids, undo: undo.collect() };
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        image.push_with_payload(&entry, &bytes)?;
    }
    image.finish()
}

/// The sets of an image. Dropped, it removes those that it has made, unless they were kept.
#[derive(Debug, Default)]
pub struct SemRestore {
    sets: BTreeMap<u32, Planned>,
}

#[derive(Debug)]
struct Planned {
    entry: IpcSemEntry,
    values: Vec<u16>,
    made: bool,
}

impl SemRestore {
    /// Reads the sets of the IPC namespace `ns`.
    pub fn load(images: &ImageDir, ns: u32) -> Result<Self> {
        let kind = Kind::IpcSem(ns);
        let mut sets = BTreeMap::new();
        let Some(mut reader) = images.reader(kind)? else { return Ok(SemRestore::default()) };
        while let Some(entry) = reader.next::<IpcSemEntry>()? {
            let bytes = reader.payload()?;
            let values = bytes.as_chunks::<2>().0.iter().map(|value| u16::from_le_bytes(*value));
            let values: Vec<u16> = values.take(entry.nsems as usize).collect();
            let is_bad =
                |undo: &IpcSemUndoEntry| undo.number >= entry.nsems || !undo::is_possible(undo.value);
            if entry.undo.iter().any(is_bad) {
                return Err(reader.bad(format!("set {} has an impossible adjustment", entry.desc.id)));
            }
            sets.insert(entry.desc.id, Planned { entry, values, made: false });
        }
        Ok(SemRestore { sets })
    }

    /// What stands in the way of them.
    pub fn check(&self) -> Vec<Error> {
        self.sets.values().filter_map(|planned| planned.look().err()).collect()
    }

    /// Makes those that are gone.
    pub fn make(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        for (id, planned) in &mut self.sets {
            planned.make(tell).map_err(|e| e.on(SET.object(*id)))?;
        }
        Ok(())
    }

    /// What the tasks have to take again. `tell` gets what may not be as it was, and what follows.
    pub fn retakes(&self, tell: &mut dyn FnMut(String, &'static str)) -> Result<Vec<Retake>> {
        let mut all = Vec::new();
        for planned in self.sets.values() {
            let mut of_semaphore: BTreeMap<u32, Vec<Adjustment>> = BTreeMap::new();
            for IpcSemUndoEntry { pid, number, value } in planned.entry.undo.iter().cloned() {
                let adjustment = Adjustment { pid: pid as Pid, id: planned.id(), number, value };
                of_semaphore.entry(number).or_default().push(adjustment);
            }
            for (number, adjustments) in of_semaphore {
                let (id, was) = (planned.id(), planned.values.get(number as usize).copied().unwrap_or(0));
                let now = sem::value(id, number).os(|| format!("semctl GETVAL of {number} in {id}"))?;
                let (mut retakes, is_sure) = undo::plan(adjustments, was, now);
                all.append(&mut retakes);
                if !is_sure {
                    tell(
                        format!("value of semaphore {number} in set {id}, which others have used"),
                        UNCERTAIN,
                    );
                }
            }
        }
        Ok(all)
    }

    /// Gives those that were made to their owners.
    pub fn complete(&self) -> Result<()> {
        for planned in self.sets.values().filter(|planned| planned.made) {
            SET.complete(&planned.entry.desc)?;
        }
        Ok(())
    }

    /// Nothing is taken back any more.
    pub fn keep(&mut self) {
        self.sets.values_mut().for_each(|planned| planned.made = false);
    }
}

impl Drop for SemRestore {
    fn drop(&mut self) {
        for planned in self.sets.values().filter(|planned| planned.made) {
            // The failure that brought us here is the one to report.
            let _ = sem::remove(planned.id());
        }
    }
}

impl Planned {
    fn id(&self) -> i32 {
        self.entry.desc.id as i32
    }

    /// Whether it is still there; an error if something else is in its place.
    fn look(&self) -> Result<There> {
        let desc = &self.entry.desc;
        SET.look(desc, |there| SET.difference(desc, there).or_else(|| self.other_size()))
    }

    /// Whether the set that is there has another number of semaphores.
    fn other_size(&self) -> Option<String> {
        let (last, count) = (self.entry.nsems.saturating_sub(1), self.entry.nsems);
        let has = |number| sem::last_process(self.id(), number).is_ok();
        (!has(last) || has(count)).then(|| format!("another number of semaphores than {count}"))
    }

    fn make(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        let desc = &self.entry.desc;
        match self.look()? {
            There::Same => return Ok(()),
            There::LeftBehind => SET.clear(desc)?,
            There::Nothing => {}
        }
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | unfinished(desc) as i32;
        SET.create(desc, Creator::Process(None), || sem::semget(desc.key, self.entry.nsems, flags))?;
        self.made = true;
        for (pid, of_pid) in self.by_last_process() {
            let set = |id: i32| {
                of_pid.iter().try_for_each(|(number, value)| sem::set_value(id, *number, *value)).map(|()| id)
            };
            let (_, kept) = Creator::Process(Some(pid).filter(|pid| *pid != 0))
                .run(super::our_users(), || set(self.id()))
                .os(|| format!("semctl SETVAL {}", self.id()))?;
            if !kept && pid != 0 {
                tell(
                    format!("process {pid} as the last user of semaphore set {}", self.id()),
                    "GETPID shows another",
                );
            }
        }
        Ok(())
    }

    /// The values after the end of the tree, by the process of the last operation.
    fn by_last_process(&self) -> BTreeMap<Pid, Vec<(u32, u16)>> {
        let mut found: BTreeMap<Pid, Vec<(u32, u16)>> = BTreeMap::new();
        for (number, value) in (0u32..).zip(&self.values) {
            let undone = self.entry.undo.iter().filter(|undo| undo.number == number).map(|undo| undo.value);
            let value = undone.fold(i32::from(*value), undo::undone);
            let pid = self.entry.pids.get(number as usize).copied().unwrap_or(0);
            // What was never used is 0 as it is.
            if pid != 0 || value != 0 {
                found.entry(pid as Pid).or_default().push((number, value as u16));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_adjustment_is_a_bad_image() -> Result<()> {
        let with = |number, value| {
            let dir = tempfile::tempdir().os(|| "tempdir")?;
            let images = ImageDir::open(dir.path())?;
            let undo = vec![IpcSemUndoEntry { pid: 1, number, value }];
            let entry = IpcSemEntry { nsems: 2, undo, ..IpcSemEntry::default() };
            let mut image = images.writer(Kind::IpcSem(1));
            image.push_with_payload(&entry, &[0; 4])?;
            image.finish()?;
            SemRestore::load(&images, 1).map(drop)
        };
        for (number, value) in [(0, 1), (1, 32767), (1, -32768)] {
            with(number, value)?;
        }
        for (number, value) in [(2, 1), (0, 0), (0, 32768), (0, -32769), (0, i32::MIN)] {
            let refused = with(number, value).map_err(|e| e.code());
            assert_eq!(refused, Err("E-IMAGE-BAD"), "{number} {value}");
        }
        Ok(())
    }
}
