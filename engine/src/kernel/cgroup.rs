//! `/proc/PID/cgroup`: the control groups of a task, cgroups(7), proc_cgroup_show in kernel/cgroup/cgroup.c.

use super::{ProcDir, text};
use crate::error::Result;

/// Membership in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The hierarchy; 0 is cgroup v2.
    pub hierarchy: u32,
    /// Controllers of a v1 hierarchy (`cpu`, `cpuacct`), or its name as `name=systemd`; empty for v2.
    pub controllers: Vec<Vec<u8>>,
    /// Path below the reader's cgroup namespace root; ends in ` (deleted)` for a removed group. Never holds a newline.
    pub path: Vec<u8>,
}

impl Membership {
    /// What stands for the hierarchy in `/proc/PID/cgroup`: `cpu,cpuacct`, `name=systemd`, nothing for v2.
    pub fn name(&self) -> Vec<u8> {
        name_of(&self.controllers)
    }

    /// Whether this hierarchy has these controllers, in whatever order.
    pub fn has_controllers(&self, controllers: &[Vec<u8>]) -> bool {
        are_same(&self.controllers, controllers)
    }
}

/// What stands for a hierarchy with these controllers in `/proc/PID/cgroup`.
pub fn name_of(controllers: &[Vec<u8>]) -> Vec<u8> {
    controllers.join(&b',')
}

/// Whether these are the same controllers, in whatever order: those of one hierarchy.
pub fn are_same(one: &[Vec<u8>], other: &[Vec<u8>]) -> bool {
    one.len() == other.len() && other.iter().all(|controller| one.contains(controller))
}

/// Reads `cgroup` of a process or thread, in the kernel's order.
pub fn read(proc: &ProcDir) -> Result<Vec<Membership>> {
    proc.parse("cgroup", parse)
}

/// Parses all lines.
pub fn parse(bytes: &[u8]) -> Result<Vec<Membership>> {
    text::lines(bytes).map(|line| text::field("cgroup", line, membership)).collect()
}

/// `4:memory:/a:b`. The name of a named hierarchy cannot hold `:` (cgroup1_parse_param), a path can.
fn membership(line: &[u8]) -> Option<Membership> {
    let (hierarchy, rest) = text::split_once(line, b':')?;
    let (controllers, path) = text::split_once(rest, b':')?;
    path.starts_with(b"/").then_some(())?;
    let controllers =
        controllers.split(|&b| b == b',').filter(|c| !c.is_empty()).map(<[u8]>::to_vec).collect();
    Some(Membership { hierarchy: text::dec(hierarchy)?, controllers, path: path.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_versions() -> Result<()> {
        let found = parse(b"9:name=systemd:/\n2:cpu,cpuacct:/a:b (deleted)\n0::/user.slice\n")?;
        let member = |hierarchy, names: &[&str], path: &str| Membership {
            hierarchy,
            controllers: names.iter().map(|n| n.as_bytes().to_vec()).collect(),
            path: path.as_bytes().to_vec(),
        };
        let first = [member(9, &["name=systemd"], "/"), member(2, &["cpu", "cpuacct"], "/a:b (deleted)")];
        assert_eq!(found.get(..2), Some(first.as_slice()));
        assert_eq!(found.last(), Some(&member(0, &[], "/user.slice")));
        Ok(())
    }

    #[test]
    fn malformed_lines_are_errors() {
        for bad in ["x::/\n", "0:/\n", "0::\n", "-1::/\n", "\n", "1:cpu:a\n"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn we_are_in_a_group() -> Result<()> {
        let groups = read(&ProcDir::current()?)?;
        assert!(groups.iter().all(|g| (g.hierarchy == 0) == g.controllers.is_empty()));
        Ok(())
    }
}
