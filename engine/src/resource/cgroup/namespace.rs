//! The cgroup namespace of a tree: a root in each hierarchy, beyond which its tasks see nothing. cgroup_namespaces(7).
//!
//! It begins where the process is that makes it. An image tells the root by the length of what a member's path has of it,
//! as CRIU does; that of a hierarchy in which nothing is hidden is `/`.
//!
//! Kept is one namespace of all tasks of the tree.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};

use super::root::is_below;
use crate::error::{Blame, Error, OsContext, Result};
use crate::kernel::cgroup::{self, Membership};
use crate::kernel::{ProcDir, ns};

/// By the name of each hierarchy: the root, seen from our own namespace. Empty if the process is in ours.
pub(super) fn roots(process: &ProcDir) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    if ns::read(process, ns::Kind::Cgroup)? == ns::read(&ProcDir::current()?, ns::Kind::Cgroup)? {
        return Ok(BTreeMap::new());
    }
    let outside = cgroup::read(process)?;
    let inside = seen_inside(process)?;
    let root = |membership: &Membership| {
        let seen = inside.iter().find(|inside| inside.hierarchy == membership.hierarchy);
        let seen = seen.map_or(membership.path.as_slice(), |seen| &seen.path);
        let root =
            if seen == b"/" { Some(membership.path.as_slice()) } else { membership.path.strip_suffix(seen) };
        let root = root.ok_or_else(|| outside_of(&membership.path))?;
        Ok((membership.name(), if root.is_empty() { b"/".to_vec() } else { root.to_vec() }))
    };
    outside.iter().map(root).collect()
}

/// What `/proc/PID/cgroup` shows those who are in the namespace of the process.
fn seen_inside(process: &ProcDir) -> Result<Vec<Membership>> {
    let own = File::open("/proc/self/ns/cgroup").os(|| "open /proc/self/ns/cgroup")?;
    let theirs = process.open_file("ns/cgroup", OFlag::O_RDONLY)?;
    enter(&theirs)?;
    let seen = cgroup::read(process);
    enter(&own)?;
    seen
}

fn enter(namespace: impl AsFd) -> Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWCGROUP).os(|| "setns of a cgroup namespace")
}

/// How long the part of a path is that is the root; none if that is all there is, or nothing is hidden.
pub(super) fn prefix(roots: &BTreeMap<Vec<u8>, Vec<u8>>, membership: &Membership) -> Result<Option<u32>> {
    let Some(root) = roots.get(&membership.name()).filter(|root| *root != b"/") else { return Ok(None) };
    if is_below(&membership.path, root) {
        Ok(Some(root.len() as u32))
    } else {
        Err(outside_of(&membership.path))
    }
}

fn outside_of(path: &[u8]) -> Error {
    let reason = "is outside of what the tree's cgroup namespace shows";
    Error::new("E-CGROUP-NAMESPACE", Blame::Program, reason)
        .on(format!("cgroup {}", String::from_utf8_lossy(path)))
        .help("move all tasks below the root of the namespace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_a_whole_part_of_a_path() -> Result<()> {
        let roots = BTreeMap::from([(b"pids".to_vec(), b"/a".to_vec()), (b"cpu".to_vec(), b"/".to_vec())]);
        let of = |line: &str| -> Result<_> {
            let set = cgroup::parse(line.as_bytes())?;
            set.first().map_or(Ok(None), |membership| prefix(&roots, membership))
        };
        assert_eq!((of("1:pids:/a\n")?, of("1:pids:/a/b\n")?), (Some(2), Some(2)));
        assert_eq!((of("1:cpu:/a\n")?, of("1:cpuset:/a\n")?), (None, None));
        assert!(of("1:pids:/ab\n").is_err() && of("1:pids:/\n").is_err());
        Ok(())
    }
}
