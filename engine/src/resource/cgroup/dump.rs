//! The sets that tasks are in, and the directories of all their hierarchies.

use std::collections::{BTreeMap, BTreeSet};

use super::freezer::FreezerSurvey;
use super::properties::{FREEZERS, Properties, permissions};
use super::root::{is_below, root_of};
use super::{OWN_SET, Opener, namespace};
use crate::error::{Blame, Error, Result};
use crate::image::message::{
    CgControllerEntry, CgMemberEntry, CgSetEntry, CgroupDirEntry, CgroupEntry, CgroupPropEntry,
};
use crate::image::{ImageDir, Kind};
use crate::kernel::ProcDir;
use crate::kernel::cgroup::{self, Membership};
use crate::kernel::cgroupfs::{Group, Hierarchy};
use crate::log_info;
use crate::options::{CgroupMode, CgroupOptions, DumpOptions};
use crate::parallel;
use crate::tracee::{Frozen, FrozenTask};

/// The cgroups of a dump.
#[derive(Debug)]
pub struct CgroupDump<'a> {
    options: &'a CgroupOptions,
    /// By number, from 1; the first is our own.
    sets: Vec<Vec<Membership>>,
    used: BTreeSet<u32>,
    freezers: FreezerSurvey<'a>,
    /// Device and inode of the cgroup that the dump has thawed.
    thawed: Option<(u64, u64)>,
    /// Of the namespace of the tree.
    roots: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'a> CgroupDump<'a> {
    /// Of a tree that stands still.
    pub fn new(options: &'a DumpOptions, frozen: &Frozen) -> Result<Self> {
        let (own, freezers) = (cgroup::read(&ProcDir::current()?)?, FreezerSurvey::new(options)?);
        let root = frozen.tasks().first().map(|root| namespace::roots(&root.proc));
        Ok(CgroupDump {
            options: &options.cgroups,
            sets: vec![own],
            used: BTreeSet::new(),
            freezers,
            thawed: frozen.thawed()?,
            roots: root.transpose()?.unwrap_or_default(),
        })
    }

    /// Whether the tree has a cgroup namespace of its own.
    pub fn has_namespace(&self) -> bool {
        !self.roots.is_empty()
    }

    /// Numbers the sets of a task's threads, before any of them works for us: one that is frozen cannot.
    pub fn add(&mut self, task: &FrozenTask) -> Result<Vec<Option<u32>>> {
        let mut ids = Vec::new();
        for set in parallel::map(&task.threads, |tid| cgroup::read(&task.proc.thread(*tid)))? {
            let known = self.sets.iter().position(|known| are_same(known, &set));
            if known.is_none() {
                self.freezers.judge(&set).map_err(|e| e.task(task.pid, &task.comm))?;
                self.sets.push(set);
            }
            let id = OWN_SET + known.unwrap_or(self.sets.len() - 1) as u32;
            self.used.insert(id);
            ids.push((self.options.mode != CgroupMode::Ignore).then_some(id));
        }
        Ok(ids)
    }

    /// Writes the image, unless all tasks are in our own set. Returns what of it could not be looked at, and what follows.
    pub fn write(&self, images: &ImageDir) -> Result<Vec<(String, &'static str)>> {
        let mut not_kept = Vec::new();
        if self.options.mode == CgroupMode::Ignore || self.used.iter().all(|id| *id == OWN_SET) {
            return Ok(not_kept);
        }
        let entry = CgroupEntry { sets: self.set_entries()?, controllers: self.controllers(&mut not_kept)? };
        log_info!("Dumping {} cgroup sets", entry.sets.len());
        images.write_one(Kind::Cgroup, &entry)?;
        Ok(not_kept)
    }

    fn used_sets(&self) -> impl Iterator<Item = (u32, Vec<&Membership>)> {
        let is_wanted = |membership: &&Membership| {
            let wanted = &self.options.controllers;
            wanted.is_empty() || wanted.iter().any(|wanted| wanted.as_bytes() == membership.name())
        };
        let used = (OWN_SET..).zip(&self.sets).filter(|(id, _)| self.used.contains(id));
        used.map(move |(id, set)| (id, set.iter().filter(is_wanted).collect()))
    }

    fn set_entries(&self) -> Result<Vec<CgSetEntry>> {
        let member = |membership: &Membership| {
            Ok(CgMemberEntry {
                name: String::from_utf8_lossy(&membership.name()).into_owned(),
                path: membership.path.clone(),
                cgns_prefix: namespace::prefix(&self.roots, membership)?,
            })
        };
        let sets = self.used_sets().map(|(id, set)| {
            let mut ctls = set.into_iter().map(member).collect::<Result<Vec<_>>>()?;
            ctls.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(CgSetEntry { id, ctls })
        });
        sets.collect()
    }

    fn controllers(&self, not_kept: &mut Vec<(String, &'static str)>) -> Result<Vec<CgControllerEntry>> {
        let mut trees: BTreeMap<&Vec<Vec<u8>>, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for Membership { controllers, path, .. } in self.used_sets().flat_map(|(_, set)| set) {
            trees.entry(controllers).or_default().insert(path.clone());
        }
        let (opener, properties) = (Opener::new(self.options)?, Properties::of(self.options)?);
        let mut entries = Vec::new();
        for (controllers, mut paths) in trees {
            if let Some(root) = root_of(self.options, controllers) {
                paths = BTreeSet::from([root.to_vec()]);
            }
            let names = controllers.iter().map(|name| String::from_utf8_lossy(name).into_owned());
            let mut entry = CgControllerEntry { cnames: names.collect(), ..CgControllerEntry::default() };
            if controllers.is_empty() {
                // v2 is a controller without a name.
                entry.cnames.push(String::new());
            }
            // The root of a hierarchy has nothing that is kept.
            if paths.remove(&b"/"[..]) {
                entry.dirs.push(CgroupDirEntry::default());
            }
            let mut walk =
                Walk { properties: &properties, controllers, thawed: self.thawed, is_threaded: false };
            if !paths.is_empty() {
                match opener.open(controllers) {
                    Ok(hierarchy) => entry.dirs.extend(walk.dirs(&hierarchy, paths)?),
                    Err(error) if self.options.yard.is_some() => return Err(error),
                    Err(error) => not_kept.push((error.headline(), "its cgroups get no properties")),
                }
            }
            entry.is_threaded = Some(!controllers.is_empty() || walk.is_threaded);
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Whether two sets are the same. Somebody may have made a named hierarchy in between, with all tasks in its root.
fn are_same(one: &[Membership], other: &[Membership]) -> bool {
    let is_root = |membership: &&Membership| {
        membership.path == b"/" && membership.controllers.iter().all(|name| name.starts_with(b"name="))
    };
    let [one, other] = [one, other].map(|set| set.iter().filter(|membership| !is_root(membership)));
    one.eq(other)
}

/// A walk through one hierarchy.
struct Walk<'a> {
    properties: &'a Properties,
    controllers: &'a [Vec<u8>],
    thawed: Option<(u64, u64)>,
    is_threaded: bool,
}

impl Walk<'_> {
    /// The directories at these paths, with all that is below; parents come before their children in the order of paths.
    fn dirs(&mut self, hierarchy: &Hierarchy, paths: BTreeSet<Vec<u8>>) -> Result<Vec<CgroupDirEntry>> {
        let (mut heads, mut dirs): (Vec<Vec<u8>>, _) = (Vec::new(), Vec::new());
        for path in paths {
            if !heads.iter().any(|head| is_below(&path, head)) {
                let name = path.strip_prefix(b"/").unwrap_or(&path).to_vec();
                dirs.push(self.dir(hierarchy, &path, name)?);
                heads.push(path);
            }
        }
        Ok(dirs)
    }

    fn dir(&mut self, hierarchy: &Hierarchy, path: &[u8], dir_name: Vec<u8>) -> Result<CgroupDirEntry> {
        let group = hierarchy.group(path)?.ok_or_else(|| {
            Error::new("E-CGROUP-GONE", Blame::Environment, "is not there (any more)")
                .on(format!("cgroup {}", hierarchy.shown(path)))
                .help("dump again; a directory of --cgroup-root must exist in the hierarchies that it is for")
        })?;
        let (mut properties, mut more) = self.properties.read(self.controllers, &group)?;
        if self.was_frozen(&group)? {
            let entry = |name: &str, value: &[u8]| CgroupPropEntry {
                name: name.to_owned(),
                value: value.to_vec(),
                perms: None,
            };
            match self.controllers.is_empty() {
                true => more.push(entry(FREEZERS[1], b"1")),
                false => properties.push(entry(FREEZERS[0], b"FROZEN")),
            }
        }
        self.is_threaded |= group.holds("cgroup.type", b"threaded")?;
        let mut children = Vec::new();
        for child in group.list()?.children {
            let below = [path, &child].join(&b'/');
            children.push(self.dir(hierarchy, &below, child)?);
        }
        let dir_perms = permissions(&group, ".")?;
        Ok(CgroupDirEntry { dir_name, children, properties, dir_perms, more_properties: more })
    }

    /// Whether the cgroup is frozen by itself, or was, until the dump came.
    fn was_frozen(&self, group: &Group) -> Result<bool> {
        Ok(group.is_frozen()? || self.thawed.is_some() && group.identity()? == self.thawed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hierarchy_that_was_made_meanwhile_changes_no_set() -> Result<()> {
        let before = cgroup::parse(b"9:name=systemd:/\n2:cpu:/a\n0::/\n")?;
        let after = cgroup::parse(b"10:name=new:/\n9:name=systemd:/\n2:cpu:/a\n0::/\n")?;
        let moved = cgroup::parse(b"10:name=new:/a\n9:name=systemd:/\n2:cpu:/a\n0::/\n")?;
        assert!(are_same(&before, &after) && !are_same(&before, &moved) && !are_same(&moved, &after));
        Ok(())
    }
}
