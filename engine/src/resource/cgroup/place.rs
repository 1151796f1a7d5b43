//! One directory of a hierarchy, as the image has it and as it is found.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::properties::{self, When};
use super::root::parts;
use crate::error::{Blame, Error, Result};
use crate::image::message::{CgroupPerms, CgroupPropEntry};
use crate::kernel::cgroupfs::{Group, Hierarchy};
use crate::log_warn;
use crate::options::CgroupMode;
use crate::resource::maker::{Maker, Mark};
use crate::sys::xattr;

/// Who is making a directory, until that is done.
const MARK: &CStr = c"trusted.crio.maker";
/// How long a cgroup may be busy with tasks that have ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// A directory that the image has.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) path: Vec<u8>,
    perms: Option<CgroupPerms>,
    /// Those that CRIU knows; the others.
    properties: [Vec<CgroupPropEntry>; 2],
    /// Whether it has to be made.
    missing: bool,
    /// Whether its properties are set.
    applies: bool,
}

/// What has been changed, and is changed back if the restore fails.
#[derive(Debug)]
pub(super) enum Change {
    /// A cgroup was made.
    Made(Vec<u8>),
    /// A cgroup had this owner and mode.
    Owner(Vec<u8>, CgroupPerms),
    /// A control file had this content.
    Content(Vec<u8>, CgroupPropEntry),
}

impl Place {
    pub(super) fn new(
        path: Vec<u8>,
        perms: Option<CgroupPerms>,
        properties: [Vec<CgroupPropEntry>; 2],
    ) -> Self {
        Place { path, perms, properties, ..Place::default() }
    }

    /// Looks whether it is there, and whether that is as it should be. Where we are ourselves, `own`, it must be.
    pub(super) fn check(&mut self, hierarchy: &Hierarchy, own: &[u8], mode: CgroupMode) -> Result<()> {
        let there = hierarchy.group(&self.path)?;
        let left_behind = there.as_ref().is_some_and(is_left_behind);
        self.missing = there.is_none() || left_behind;
        self.applies = self.missing || matches!(mode, CgroupMode::Props | CgroupMode::Full);
        let refuse = |code, reason, help| {
            let error = Error::new(code, Blame::Environment, reason);
            Err(error.on(format!("cgroup {}", hierarchy.shown(&self.path))).help(help))
        };
        match mode {
            CgroupMode::None | CgroupMode::Props if self.missing => refuse(
                "E-CGROUP-MISSING",
                "is not there, and --manage-cgroups forbids to make it",
                "make it, or restore with --manage-cgroups=soft",
            ),
            CgroupMode::Strict if !self.missing && self.path != own => refuse(
                "E-CGROUP-EXISTS",
                "is there already, which --manage-cgroups=strict forbids",
                "remove it, or restore with --manage-cgroups=soft or full",
            ),
            _ => Ok(()),
        }
    }

    /// Makes it if it is missing; in v1 with what it must have before it has children.
    pub(super) fn make(
        &self,
        hierarchy: &Hierarchy,
        mode: CgroupMode,
        changes: &mut Vec<Change>,
        tell: &mut dyn FnMut(&Error),
    ) -> Result<()> {
        if self.missing {
            remove_left_behind(hierarchy, &self.path);
            make_with_parents(hierarchy, &self.path, changes)?;
        }
        let group = self.open(hierarchy)?;
        if let Some(perms) = self.perms.as_ref().filter(|_| self.missing || mode != CgroupMode::None) {
            set_owner(&self.path, &group, perms, changes)?;
        }
        if hierarchy.is_v2() { Ok(()) } else { self.set(&group, When::Early, changes, tell) }
    }

    /// Sets what it must have before it has tasks. In v2 after a namespace has begun: a cgroup whose children have
    /// controllers takes no task.
    pub(super) fn prepare(
        &self,
        hierarchy: &Hierarchy,
        changes: &mut Vec<Change>,
        tell: &mut dyn FnMut(&Error),
    ) -> Result<()> {
        if !hierarchy.is_v2() || !self.applies {
            return Ok(());
        }
        if self.missing {
            let parents = parts(&self.path).filter(|part| *part != self.path.as_slice());
            let controllers = self.controllers();
            std::iter::once(&b"/"[..])
                .chain(parents)
                .try_for_each(|parent| enable(hierarchy, parent, &controllers, changes))?;
        }
        self.set(&self.open(hierarchy)?, When::Early, changes, tell)
    }

    /// Sets what the complete tree may have.
    pub(super) fn complete(
        &self,
        hierarchy: &Hierarchy,
        changes: &mut Vec<Change>,
        tell: &mut dyn FnMut(&Error),
    ) -> Result<()> {
        if !self.applies {
            return Ok(());
        }
        self.set(&self.open(hierarchy)?, When::Late, changes, tell)
    }

    /// Freezes it if it was frozen.
    pub(super) fn freeze(&self, hierarchy: &Hierarchy) -> Result<()> {
        for entry in self.properties.iter().flatten().filter(|entry| When::of(&entry.name) == When::Last) {
            if self.applies && matches!(entry.value.as_slice(), b"FROZEN" | b"1") {
                self.open(hierarchy)?.write(&entry.name, &entry.value)?;
            }
        }
        Ok(())
    }

    fn open(&self, hierarchy: &Hierarchy) -> Result<Group> {
        hierarchy.group(&self.path)?.ok_or_else(|| {
            Error::new("E-CGROUP-GONE", Blame::Environment, "was removed while the tree was restored")
                .on(format!("cgroup {}", hierarchy.shown(&self.path)))
                .help("restore again; see who removes it")
        })
    }

    /// The controllers of v2 that it has had.
    fn controllers(&self) -> BTreeSet<&str> {
        let names = self.properties.iter().flatten().filter_map(|entry| entry.name.split('.').next());
        names.filter(|name| *name != "cgroup").collect()
    }

    /// Some files cannot be written before others, such as a limit above another one: what fails is tried once more.
    fn set(
        &self,
        group: &Group,
        when: When,
        changes: &mut Vec<Change>,
        tell: &mut dyn FnMut(&Error),
    ) -> Result<()> {
        if !self.applies {
            return Ok(());
        }
        let [known, others] = &self.properties;
        let now = |entry: &&CgroupPropEntry| When::of(&entry.name) == when;
        let mut again = Vec::new();
        for entry in known.iter().filter(now) {
            if group.stat(&entry.name)?.is_none() {
                tell(&lacking(group, entry));
            } else if write(&self.path, group, entry, self.missing, changes, tell).is_err() {
                again.push(entry);
            }
        }
        for entry in others.iter().filter(now) {
            if let Err(error) = write(&self.path, group, entry, self.missing, changes, tell) {
                tell(&error);
            }
        }
        let refused = |error: Error| {
            Error::new("E-CGROUP-PROPERTY", Blame::Environment, error.headline())
                .on(format!("cgroup {}", group.name()))
                .help("see what cgroups above it allow, or restore with --manage-cgroups=ignore")
        };
        again.into_iter().try_for_each(|entry| {
            write(&self.path, group, entry, self.missing, changes, tell).map_err(refused)
        })
    }
}

/// A control file that this kernel, or the cgroup above, does not offer.
fn lacking(group: &Group, entry: &CgroupPropEntry) -> Error {
    let (name, value) = (&entry.name, entry.value.escape_ascii());
    Error::new("E-CGROUP-PROPERTY", Blame::Kernel, format!("has no {name}, which was {value}"))
        .on(format!("cgroup {}", group.name()))
}

/// Writes one property; of a cgroup that was there before, what it had is noted first.
fn write(
    path: &[u8],
    group: &Group,
    entry: &CgroupPropEntry,
    is_new: bool,
    changes: &mut Vec<Change>,
    tell: &mut dyn FnMut(&Error),
) -> Result<()> {
    if !is_new && let Some(perms) = properties::permissions(group, &entry.name)? {
        let value = group.read(&entry.name).ok().flatten().unwrap_or_default();
        let was = CgroupPropEntry { value, perms: Some(perms), ..entry.clone() };
        changes.push(Change::Content(path.to_vec(), was));
    }
    properties::write(group, entry, tell)
}

fn set_owner(path: &[u8], group: &Group, perms: &CgroupPerms, changes: &mut Vec<Change>) -> Result<()> {
    let Some(was) = properties::permissions(group, ".")?.filter(|was| !properties::are_same(was, perms))
    else {
        return Ok(());
    };
    changes.push(Change::Owner(path.to_vec(), was));
    properties::set_permissions(group, ".", perms)
}

/// Makes a cgroup, and those above it that are missing.
fn make_with_parents(hierarchy: &Hierarchy, path: &[u8], changes: &mut Vec<Change>) -> Result<()> {
    let mut parent: &[u8] = b"/";
    for part in parts(path) {
        if hierarchy.group(part)?.is_none() {
            hierarchy.make(part)?;
            changes.push(Change::Made(part.to_vec()));
            mark(hierarchy, part);
            inherit_cpuset(hierarchy, parent, part)?;
        }
        parent = part;
    }
    Ok(())
}

/// Has children of a v2 cgroup get these controllers, as far as it has them itself. One that has tasks cannot: what the
/// child lacks then is told when it is to be set.
fn enable(
    hierarchy: &Hierarchy,
    path: &[u8],
    controllers: &BTreeSet<&str>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    const CONTROL: &str = "cgroup.subtree_control";
    let Some(group) = hierarchy.group(path)? else { return Ok(()) };
    let [offered, enabled] = ["cgroup.controllers", CONTROL].map(|file| group.read(file));
    let (offered, enabled) = (offered?.unwrap_or_default(), enabled?.unwrap_or_default());
    let has = |list: &[u8], name: &str| list.split(|byte| *byte == b' ').any(|word| word == name.as_bytes());
    for name in controllers.iter().filter(|name| has(&offered, name) && !has(&enabled, name)) {
        let before = CgroupPropEntry { name: CONTROL.to_owned(), value: enabled.clone(), perms: None };
        if let Err(error) = group.write(CONTROL, format!("+{name}").as_bytes()) {
            log_warn!("{error}");
        } else {
            changes.push(Change::Content(path.to_vec(), before));
        }
    }
    Ok(())
}

/// A cpuset of v1 takes no tasks before it has processors and memory nodes.
fn inherit_cpuset(hierarchy: &Hierarchy, parent: &[u8], path: &[u8]) -> Result<()> {
    let (Some(above), Some(group)) = (hierarchy.group(parent)?, hierarchy.group(path)?) else {
        return Ok(());
    };
    if hierarchy.is_v2() {
        return Ok(());
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if group.holds(file, b"")?
            && let Some(value) = above.read(file)?.filter(|value| !value.is_empty())
        {
            group.write(file, &value)?;
        }
    }
    Ok(())
}

fn mark(hierarchy: &Hierarchy, path: &[u8]) {
    if let (Some(own), Ok(Some(group))) = (Mark::own(), hierarchy.group(path)) {
        // Without attributes, a cgroup that is left behind is taken as it is.
        let _ = xattr::set(&group.path(), MARK, format!("{} {}", own.uid, own.gid).as_bytes());
    }
}

/// Whether a restore that is over has left it half made.
fn is_left_behind(group: &Group) -> bool {
    let mark = xattr::get(&group.path(), MARK).ok().and_then(|bytes| {
        let text = String::from_utf8(bytes).ok()?;
        let (uid, gid) = text.split_once(' ')?;
        Some(Mark { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    });
    mark.is_some_and(|mark| mark.maker() == Maker::Gone)
}

/// What somebody has moved into since stays, and then cannot be made: that is told by its making.
fn remove_left_behind(hierarchy: &Hierarchy, path: &[u8]) {
    let Ok(Some(group)) = hierarchy.group(path) else { return };
    let children = group.list().map(|listing| listing.children).unwrap_or_default();
    children.iter().for_each(|child| remove_left_behind(hierarchy, &[path, child].join(&b'/')));
    if is_left_behind(&group) {
        remove(hierarchy, path);
    }
}

fn remove(hierarchy: &Hierarchy, path: &[u8]) {
    let since = Instant::now();
    loop {
        match hierarchy.remove(path) {
            Ok(()) | Err(Errno::ENOENT) => return,
            Err(Errno::EBUSY) if since.elapsed() < PATIENCE => sleep(Duration::from_millis(1)),
            Err(errno) => return log_warn!("cgroup {} was not removed: {errno}", hierarchy.shown(path)),
        }
    }
}

impl Change {
    /// As it was.
    pub(super) fn take_back(self, hierarchy: &Hierarchy) {
        let undone = match &self {
            Change::Made(path) => return remove(hierarchy, path),
            Change::Owner(path, was) => hierarchy.group(path).and_then(|group| {
                group.map_or(Ok(()), |group| properties::set_permissions(&group, ".", was))
            }),
            Change::Content(path, entry) => hierarchy.group(path).and_then(|group| {
                group.map_or(Ok(()), |group| properties::write(&group, entry, &mut |_| {}))
            }),
        };
        if let Err(error) = undone {
            log_warn!("{error}");
        }
    }

    /// It stays.
    pub(super) fn keep(self, hierarchy: &Hierarchy) {
        if let Change::Made(path) = self
            && let Ok(Some(group)) = hierarchy.group(&path)
        {
            let _ = xattr::remove(&group.path(), MARK);
        }
    }
}
