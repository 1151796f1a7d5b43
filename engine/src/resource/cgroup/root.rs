//! `--cgroup-root`: where a dump begins to look at directories, and what a restore puts in place of the first ones.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use crate::error::{Error, Result};
use crate::image::message::{CgControllerEntry, CgMemberEntry, CgroupDirEntry};
use crate::kernel::cgroup::are_same;
use crate::options::CgroupOptions;

/// The root that options give to a hierarchy.
pub(super) fn root_of<'a>(options: &'a CgroupOptions, controllers: &[Vec<u8>]) -> Option<&'a [u8]> {
    let is_of = |name: &str| match name {
        "" => controllers.is_empty(),
        name => name.split(',').any(|name| controllers.iter().any(|c| c == name.as_bytes())),
    };
    let own = options.roots.iter().rev().find(|(name, _)| name.as_deref().is_some_and(is_of));
    let global = || options.roots.iter().rev().find(|(name, _)| name.is_none());
    own.or_else(global).map(|(_, path)| path.as_os_str().as_bytes())
}

/// `memory`, `cpu,cpuacct`; v2 is a controller without a name.
pub(super) fn controllers_of(names: &[String]) -> Vec<Vec<u8>> {
    let names = names.iter().flat_map(|name| name.split(','));
    names.filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect()
}

/// A path that leads out of its hierarchy is none.
pub(super) fn check_path(path: &[u8]) -> Result<()> {
    let is_bad = |part: &[u8]| part == b".." || part == b"." || part.contains(&0);
    if !path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(is_bad) {
        return Err(Error::image(
            "cgroup.img",
            format!("impossible path {:?}", path.escape_ascii().to_string()),
        ));
    }
    Ok(())
}

/// The cgroups that a path leads through, and the one that it leads to.
pub(super) fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
    ends.chain([path.len()]).filter_map(|end| path.get(..end))
}

/// Whether a path is the other, or below it.
pub(super) fn is_below(path: &[u8], other: &[u8]) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Puts `root` in place of the first directories, and of what members' paths have of them. Where a member is in a
/// namespace, it is the root of that which gives way.
pub(super) fn move_root<'a>(
    controller: &mut CgControllerEntry,
    controllers: &[Vec<u8>],
    members: impl Iterator<Item = &'a mut CgMemberEntry>,
    root: &[u8],
) -> Result<()> {
    check_path(root)?;
    let root = root.strip_suffix(b"/").unwrap_or(root);
    let dirs: Vec<Vec<u8>> =
        controller.dirs.iter().map(|dir| [b"/", dir.dir_name.as_slice()].concat()).collect();
    let mut moved = BTreeMap::new();
    for member in members {
        let theirs = controllers_of(std::slice::from_ref(&member.name));
        if !are_same(controllers, &theirs) {
            continue;
        }
        let leads_to_it = |dir: &Vec<u8>| dir == b"/" || is_below(&member.path, dir);
        let Some((head, dir)) = dirs.iter().enumerate().find(|(_, dir)| leads_to_it(dir)) else { continue };
        let prefix = member.cgns_prefix.filter(|prefix| *prefix > 0);
        let gives_way = prefix.map_or(dir.len(), |prefix| prefix as usize);
        moved.insert(head, joined(root, dir, gives_way));
        member.path = joined(root, &member.path, gives_way);
        member.cgns_prefix = prefix.map(|_| root.len() as u32);
    }
    for (head, name) in moved {
        let Some(dir) = controller.dirs.get_mut(head) else { continue };
        // What the root of a hierarchy has is the machine's.
        if dir.dir_name.is_empty() {
            *dir =
                CgroupDirEntry { children: std::mem::take(&mut dir.children), ..CgroupDirEntry::default() };
        }
        dir.dir_name = name;
    }
    Ok(())
}

/// A path with a new root in place of so much of it.
fn joined(root: &[u8], path: &[u8], gives_way: usize) -> Vec<u8> {
    let rest = path.get(gives_way..).unwrap_or_default();
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    if rest.is_empty() && !root.is_empty() { root.to_vec() } else { [root, rest].join(&b'/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_alike_are_not_below_each_other() {
        assert!(is_below(b"/a/b", b"/a") && is_below(b"/a", b"/a"));
        assert!(!is_below(b"/ab", b"/a") && !is_below(b"/a", b"/a/b"));
    }

    /// Directory, path and prefix of a member, and what they become under `/new`.
    type Case = (&'static str, &'static str, Option<u32>, &'static str, &'static str, Option<u32>);

    #[test]
    fn a_root_takes_the_place_of_the_first_directory_or_of_a_namespace() -> Result<()> {
        const CASES: [Case; 6] = [
            ("a/b", "/a/b/c", None, "/new", "/new/c", None),
            ("a", "/a", None, "/new", "/new", None),
            ("", "/", None, "/new", "/new", None),
            ("", "/x", None, "/new", "/new/x", None),
            ("a/b", "/a/b/c", Some(2), "/new/b", "/new/b/c", Some(4)),
            ("other", "/a", None, "other", "/a", None),
        ];
        for (dir, path, prefix, new_dir, new_path, new_prefix) in CASES {
            let dir = CgroupDirEntry { dir_name: dir.into(), ..CgroupDirEntry::default() };
            let mut controller = CgControllerEntry { dirs: vec![dir], ..CgControllerEntry::default() };
            let mut member = CgMemberEntry { name: "cpu".to_owned(), path: path.into(), cgns_prefix: prefix };
            move_root(&mut controller, &[b"cpu".to_vec()], std::iter::once(&mut member), b"/new")?;
            let dir = controller.dirs.first().map(|dir| dir.dir_name.as_slice());
            assert_eq!(dir, Some(new_dir.as_bytes()), "{path}");
            assert_eq!(
                (member.path.as_slice(), member.cgns_prefix),
                (new_path.as_bytes(), new_prefix),
                "{path}"
            );
        }
        Ok(())
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_none() {
        assert!(check_path(b"/a/b").is_ok() && check_path(b"/").is_ok());
        for bad in [&b"a"[..], b"/a/../b", b"/./a", b"/a\0b", b""] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
    }
}
