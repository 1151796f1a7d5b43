//! The cgroups of an image: made before any process exists, joined by tasks and threads, completed at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::place::{Change, Place};
use super::root::{check_path, controllers_of, move_root, root_of};
use super::{OWN_SET, Opener};
use crate::error::{Blame, Error, Result};
use crate::fault;
use crate::image::message::{CgMemberEntry, CgroupDirEntry, CgroupEntry};
use crate::image::{ImageDir, Kind};
use crate::kernel::cgroup::{self, Membership};
use crate::kernel::cgroupfs::{Hierarchy, shown, shown_name};
use crate::kernel::{Pid, ProcDir};
use crate::log_warn;
use crate::options::{CgroupMode, CgroupOptions};

/// One hierarchy of the image.
#[derive(Debug)]
struct Tree {
    controllers: Vec<Vec<u8>>,
    /// Opened if something is to be done in it.
    hierarchy: Option<Hierarchy>,
    /// Where we are ourselves.
    own: Vec<u8>,
    /// Parents before their children.
    places: Vec<Place>,
    changes: Vec<Change>,
}

/// A path in one of the hierarchies.
#[derive(Debug)]
struct Member {
    tree: usize,
    path: Vec<u8>,
    /// How much of it is the root of a namespace.
    prefix: Option<usize>,
}

/// See the module text. Dropped, it takes back what it has made, unless it was told to [`keep`](CgroupRestore::keep) it.
#[derive(Debug, Default)]
pub struct CgroupRestore {
    options: CgroupOptions,
    trees: Vec<Tree>,
    /// By number.
    sets: BTreeMap<u32, Vec<Member>>,
    /// The number of our own.
    own_set: u32,
}

impl CgroupRestore {
    /// Reads the image; `own_set` is the number of the set in which the dumper was, which is that of the restorer now.
    pub fn load(images: &ImageDir, options: &CgroupOptions, own_set: Option<u32>) -> Result<Self> {
        let own_set = own_set.unwrap_or(OWN_SET);
        let mut restore =
            CgroupRestore { options: options.clone(), trees: Vec::new(), sets: BTreeMap::new(), own_set };
        // CRIU leaves an empty image if there is nothing to say.
        let entry = images.read_all::<CgroupEntry>(Kind::Cgroup)?.into_iter().next();
        let Some(mut entry) = entry.filter(|_| options.mode != CgroupMode::Ignore) else {
            return Ok(restore);
        };
        for controller in &mut entry.controllers {
            let controllers = controllers_of(&controller.cnames);
            if let Some(root) = root_of(options, &controllers) {
                let members = entry.sets.iter_mut().flat_map(|set| &mut set.ctls);
                move_root(controller, &controllers, members, root)?;
            }
            restore.add_tree(controllers, std::mem::take(&mut controller.dirs))?;
        }
        for set in &entry.sets {
            let paths = set.ctls.iter().map(|member| restore.member(member)).collect::<Result<_>>()?;
            restore.sets.insert(set.id, paths);
        }
        let own = cgroup::read(&ProcDir::current()?)?;
        let own = own.into_iter().filter_map(|m| {
            Some(Member { tree: restore.tree_of(&m.controllers)?, path: m.path, prefix: None })
        });
        let own = own.collect();
        restore.sets.insert(own_set, own);
        Ok(restore)
    }

    fn add_tree(&mut self, controllers: Vec<Vec<u8>>, dirs: Vec<CgroupDirEntry>) -> Result<()> {
        let mut places = Vec::new();
        dirs.into_iter().try_for_each(|dir| add_places(dir, b"", &mut places))?;
        self.trees.push(Tree {
            controllers,
            hierarchy: None,
            own: b"/".to_vec(),
            places,
            changes: Vec::new(),
        });
        Ok(())
    }

    fn tree_of(&self, controllers: &[Vec<u8>]) -> Option<usize> {
        self.trees.iter().position(|tree| cgroup::are_same(&tree.controllers, controllers))
    }

    fn member(&self, member: &CgMemberEntry) -> Result<Member> {
        let controllers = controllers_of(std::slice::from_ref(&member.name));
        let tree = self.tree_of(&controllers).ok_or_else(|| {
            Error::image("cgroup.img", format!("no hierarchy has the controllers {:?}", member.name))
        })?;
        check_path(&member.path)?;
        let prefix = member.cgns_prefix.map(|prefix| prefix as usize).filter(|prefix| *prefix > 0);
        if prefix.is_some_and(|prefix| member.path.get(..prefix).is_none()) {
            return Err(Error::image("cgroup.img", "the root of a namespace is longer than a path in it"));
        }
        Ok(Member { tree, path: member.path.clone(), prefix })
    }

    /// Finds what stands in the way of tasks with these sets.
    pub fn check(&mut self, used: &BTreeSet<u32>) -> Vec<Error> {
        if self.trees.is_empty() {
            return Vec::new();
        }
        match self.open_trees(used) {
            Err(error) => return vec![error],
            Ok(problems) if !problems.is_empty() => return problems,
            Ok(_) => {}
        }
        let mode = self.options.mode;
        let trees = self.trees.iter_mut();
        let trees = trees.filter_map(|Tree { hierarchy, own, places, .. }| {
            let hierarchy = hierarchy.as_ref()?;
            Some(places.iter_mut().filter_map(|place| place.check(hierarchy, own, mode).err()))
        });
        trees.flatten().collect()
    }

    /// Opens the hierarchies in which there is something to do, and sees that members have a place there.
    fn open_trees(&mut self, used: &BTreeSet<u32>) -> Result<Vec<Error>> {
        let own = cgroup::read(&ProcDir::current()?)?;
        if let Some(unknown) = used.iter().find(|id| !self.sets.contains_key(id)) {
            return Err(Error::image("cgroup.img", format!("has no set {unknown}, which a task is in")));
        }
        let opener = Opener::new(&self.options)?;
        let mut problems = Vec::new();
        for (index, tree) in self.trees.iter_mut().enumerate() {
            let here = own.iter().find(|membership| membership.has_controllers(&tree.controllers));
            let paths = self.sets.iter().filter(|(id, _)| used.contains(id)).flat_map(|(_, set)| set);
            let paths: BTreeSet<&Vec<u8>> =
                paths.filter(|member| member.tree == index).map(|member| &member.path).collect();
            // Of a hierarchy that is not here, everybody is in the root.
            if let Some(here) = here {
                tree.own.clone_from(&here.path);
            }
            let moves = paths.iter().any(|path| **path != tree.own);
            if !moves && tree.places.is_empty() {
                continue;
            }
            for path in paths {
                if path != b"/" && tree.places.iter().all(|place| place.path != *path) {
                    tree.places.push(Place::new(path.clone(), None, Default::default()));
                }
            }
            tree.places.sort_by(|a, b| a.path.cmp(&b.path));
            match open(&opener, &tree.controllers, here) {
                Ok(hierarchy) => tree.hierarchy = Some(hierarchy),
                Err(error) => problems.push(error),
            }
        }
        Ok(problems)
    }

    /// Makes what is missing. `tell` gets what could not be set, and what follows.
    pub fn make(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        let mode = self.options.mode;
        self.each_place(|place, hierarchy, changes| place.make(hierarchy, mode, changes, &mut teller(tell)))?;
        fault::point("cgroups-made")
    }

    /// Works on the directories of the hierarchies in which there is something to do, parents before their children.
    fn each_place(
        &mut self,
        mut work: impl FnMut(&Place, &Hierarchy, &mut Vec<Change>) -> Result<()>,
    ) -> Result<()> {
        for Tree { hierarchy, places, changes, .. } in &mut self.trees {
            if let Some(hierarchy) = hierarchy {
                places.iter().try_for_each(|place| work(place, hierarchy, changes))?;
            }
        }
        Ok(())
    }

    /// Has v2 cgroups get what they must have before tasks enter them.
    pub fn prepare(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        self.each_place(|place, hierarchy, changes| place.prepare(hierarchy, changes, &mut teller(tell)))
    }

    /// Whether the processes of a set are in a cgroup namespace of their own.
    pub fn has_namespace(&self, set: u32) -> bool {
        let set = self.sets.get(&set).filter(|_| !self.trees.is_empty());
        set.is_some_and(|set| set.iter().any(|member| member.prefix.is_some()))
    }

    /// Moves a process to where a namespace begins that it is to make.
    pub fn join_namespace_root(&self, proc: &ProcDir, set: u32) -> Result<()> {
        self.move_to(
            proc,
            set,
            |_| "cgroup.procs",
            |member| member.prefix.and_then(|prefix| member.path.get(..prefix)).unwrap_or(b"/"),
        )
    }

    /// Moves a process back to where we are ourselves.
    pub fn leave(&self, proc: &ProcDir) -> Result<()> {
        self.join(proc, self.own_set)
    }

    /// Moves a process that stands still into the cgroups of its set.
    pub fn join(&self, proc: &ProcDir, set: u32) -> Result<()> {
        self.move_to(proc, set, |_| "cgroup.procs", |member| &member.path)
    }

    /// Moves one thread; where a hierarchy keeps threads together, they are already.
    pub fn join_thread(&self, thread: &ProcDir, set: u32) -> Result<()> {
        let file = |is_v2| if is_v2 { "cgroup.threads" } else { "tasks" };
        self.move_to(thread, set, file, |member| &member.path)
    }

    fn move_to(
        &self,
        task: &ProcDir,
        set: u32,
        file: impl Fn(bool) -> &'static str,
        path: impl Fn(&Member) -> &[u8],
    ) -> Result<()> {
        let Some(set) = self.sets.get(&set).filter(|_| !self.trees.is_empty()) else { return Ok(()) };
        let now = cgroup::read(task)?;
        for member in set {
            let Some(tree) = self.trees.get(member.tree) else { continue };
            let there = now.iter().find(|membership| membership.has_controllers(&tree.controllers));
            let there = there.map_or(&b"/"[..], |there| &there.path);
            let Some(hierarchy) = &tree.hierarchy else { continue };
            if there != path(member) {
                move_into(hierarchy, path(member), file(hierarchy.is_v2()), task.pid())?;
            }
        }
        Ok(())
    }

    /// Sets the limits, now that nothing more is to be made under them.
    pub fn complete(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        self.each_place(|place, hierarchy, changes| place.complete(hierarchy, changes, &mut teller(tell)))
    }

    /// Nothing is taken back any more. Freezes what was frozen: tasks that are let go after that do not run.
    pub fn keep(&mut self) {
        for tree in &mut self.trees {
            let Some(hierarchy) = &tree.hierarchy else { continue };
            tree.changes.drain(..).for_each(|change| change.keep(hierarchy));
            for error in tree.places.iter().filter_map(|place| place.freeze(hierarchy).err()) {
                log_warn!("{error}");
            }
        }
    }
}

impl Drop for CgroupRestore {
    fn drop(&mut self) {
        for tree in self.trees.iter_mut().rev() {
            let Some(hierarchy) = &tree.hierarchy else { continue };
            tree.changes.drain(..).rev().for_each(|change| change.take_back(hierarchy));
        }
    }
}

/// The hierarchies that there are before a restore.
#[derive(Debug)]
pub struct Hierarchies(Vec<Membership>);

impl Hierarchies {
    /// Those of now.
    pub fn now() -> Result<Self> {
        cgroup::read(&ProcDir::current()?).map(Hierarchies)
    }

    /// Destroys those that a failed restore has made, when its tasks are gone; others that are in use are not harmed.
    pub fn destroy_others(&self) -> Result<()> {
        for new in cgroup::read(&ProcDir::current()?)? {
            let is_known = self.0.iter().any(|known| known.has_controllers(&new.controllers));
            if !is_known && new.name().starts_with(b"name=") {
                Hierarchy::open(&new.controllers, &[])?.destroy()?;
            }
        }
        Ok(())
    }
}

fn teller<'a>(tell: &'a mut dyn FnMut(String, &'static str)) -> impl FnMut(&Error) + use<'a> {
    |error| tell(error.headline(), "the cgroup has what is the rule here")
}

/// A directory and its children; that of the root itself is left out.
fn add_places(dir: CgroupDirEntry, parent: &[u8], places: &mut Vec<Place>) -> Result<()> {
    let CgroupDirEntry { dir_name, children, properties, dir_perms, more_properties } = dir;
    let name = dir_name.strip_prefix(b"/").unwrap_or(&dir_name);
    let path = if name.is_empty() { parent.to_vec() } else { [parent, name].join(&b'/') };
    if !name.is_empty() {
        check_path(&path)?;
        for entry in properties.iter().chain(&more_properties) {
            if entry.name.is_empty() || entry.name.contains(['/', '\0']) {
                return Err(Error::image("cgroup.img", format!("impossible property {:?}", entry.name)));
            }
        }
        places.push(Place::new(path.clone(), dir_perms, [properties, more_properties]));
    }
    children.into_iter().try_for_each(|child| add_places(child, &path, places))
}

/// A v1 hierarchy that nobody has made is made if it has but a name; controllers are where the machine has them.
fn open(opener: &Opener<'_>, controllers: &[Vec<u8>], here: Option<&Membership>) -> Result<Hierarchy> {
    let name = shown_name(controllers);
    let can_be_made = matches!(controllers, [only] if only.starts_with(b"name="));
    if here.is_none() && !can_be_made {
        let reason = "is a hierarchy of cgroups that this machine does not have";
        return Err(Error::new("E-CGROUP-CONTROLLER", Blame::Environment, reason)
            .on(shown(&name))
            .detail("/proc/self/cgroup lists those that there are")
            .help("mount it, dump only other hierarchies (--cgroup-dump-controller), or restore with --manage-cgroups=ignore"));
    }
    let controllers = here.map_or(controllers, |here| &here.controllers);
    opener.open(controllers).map_err(|e| e.on(format!("cgroups {}", shown(&name))))
}

fn move_into(hierarchy: &Hierarchy, path: &[u8], file: &str, pid: Pid) -> Result<()> {
    let moved = match hierarchy.group(path)? {
        Some(group) => group.write(file, pid.to_string().as_bytes()),
        None => Err(Error::new("E-CGROUP-GONE", Blame::Environment, "is not there any more")),
    };
    moved.map_err(|error| {
        let help = match error.errno() {
            Some(libc::ENOSPC) => "give it processors and memory: cpuset.cpus, cpuset.mems",
            Some(libc::EBUSY) => {
                "a cgroup whose children have controllers takes no tasks: cgroup.subtree_control"
            }
            Some(libc::EOPNOTSUPP) => "see cgroup.type of the cgroups there and above",
            _ => "see what the cgroup allows, or restore with --manage-cgroups=ignore",
        };
        Error::new("E-CGROUP-JOIN", Blame::Environment, format!("takes no task: {}", error.headline()))
            .on(format!("cgroup {}", hierarchy.shown(path)))
            .help(help)
    })
}
