//! Control files of cgroups: which of them are state, what their content is, and how it is set again.
//!
//! An image has those that CRIU knows, and in a field of ours all others that can be read and written, one line each:
//! they are the state, but for counters that a write resets and for triggers of pressure. A value that the new cgroup
//! has anyway is not written. Admin guides: cgroup-v1/, cgroup-v2.rst.

use std::collections::BTreeMap;

use super::specification::{Specification, Strategy};
use crate::error::{Error, Result};
use crate::image::message::{CgroupPerms, CgroupPropEntry};
use crate::kernel::cgroupfs::Group;
use crate::options::CgroupOptions;

/// Owner and mode are all that is kept of these: what they list are the members.
const MEMBERS: [&str; 3] = ["cgroup.procs", "cgroup.threads", "tasks"];
/// That a cgroup is frozen, in v1 and in v2.
pub(super) const FREEZERS: [&str; 2] = ["freezer.state", "cgroup.freeze"];

const GLOBAL_V1: [&str; 4] = ["cgroup.clone_children", "notify_on_release", "cgroup.procs", "tasks"];
const GLOBAL_V2: [&str; 5] =
    ["cgroup.subtree_control", "cgroup.max.descendants", "cgroup.max.depth", "cgroup.freeze", "cgroup.type"];

/// What CRIU 4.2 knows of v1 controllers, in an order in which it can be written.
const KNOWN: [(&str, &[&str]); 9] = [
    (
        "cpu",
        &["cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.rt_period_us", "cpu.rt_runtime_us"],
    ),
    (
        "memory",
        &[
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "memory.swappiness",
            "memory.soft_limit_in_bytes",
            "memory.move_charge_at_immigrate",
            "memory.oom_control",
            "memory.use_hierarchy",
            "memory.kmem.limit_in_bytes",
            "memory.kmem.tcp.limit_in_bytes",
        ],
    ),
    (
        "cpuset",
        &[
            "cpuset.cpus",
            "cpuset.mems",
            "cpuset.memory_migrate",
            "cpuset.cpu_exclusive",
            "cpuset.mem_exclusive",
            "cpuset.mem_hardwall",
            "cpuset.memory_spread_page",
            "cpuset.memory_spread_slab",
            "cpuset.sched_load_balance",
            "cpuset.sched_relax_domain_level",
        ],
    ),
    ("blkio", &["blkio.weight"]),
    ("freezer", &[]),
    ("net_cls", &["net_cls.classid"]),
    ("net_prio", &["net_prio.ifpriomap"]),
    ("pids", &["pids.max"]),
    ("devices", &["devices.list"]),
];

/// When a property is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Before the cgroup has children or tasks.
    Early,
    /// When the tree is complete: until then it would be in our own way.
    Late,
    /// In the moment in which the tree is let go.
    Last,
}

impl When {
    pub(super) fn of(name: &str) -> Self {
        const EARLY: [&str; 7] = [
            "devices.list",
            "memory.kmem.limit_in_bytes",
            "memory.swappiness",
            "memory.oom_control",
            "memory.use_hierarchy",
            "cgroup.type",
            "cgroup.subtree_control",
        ];
        match name {
            name if FREEZERS.contains(&name) => When::Last,
            name if EARLY.contains(&name) => When::Early,
            // Real-time tasks need a runtime, tasks processors and nodes.
            name if name.starts_with("cpuset.") || name.starts_with("cpu.rt_") => When::Early,
            _ => When::Late,
        }
    }
}

/// The properties that controllers have, by CRIU's lists and what options change of them.
#[derive(Debug)]
pub(super) struct Properties {
    known: BTreeMap<String, Vec<String>>,
    /// Controllers of which nothing else is wanted.
    replaced: Vec<String>,
}

impl Properties {
    pub(super) fn of(options: &CgroupOptions) -> Result<Self> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let known = KNOWN.iter().map(|(controller, names)| ((*controller).to_owned(), owned(names)));
        let mut properties = Properties { known: known.collect(), replaced: Vec::new() };
        for Specification { controller, strategy, names } in Specification::all(options)? {
            let list = properties.known.entry(controller.clone()).or_default();
            match strategy {
                Strategy::Merge => list.extend(names),
                Strategy::Replace => {
                    *list = names;
                    properties.replaced.push(controller);
                }
            }
        }
        Ok(properties)
    }

    /// The properties of a cgroup of the hierarchy with these controllers: those of CRIU, and all others.
    pub(super) fn read(
        &self,
        controllers: &[Vec<u8>],
        group: &Group,
    ) -> Result<(Vec<CgroupPropEntry>, Vec<CgroupPropEntry>)> {
        let global: &[&str] = if controllers.is_empty() { &GLOBAL_V2 } else { &GLOBAL_V1 };
        let names = controllers.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        let lists = names.filter_map(|name| self.known.get(&name)).flatten();
        let mut known: Vec<CgroupPropEntry> = Vec::new();
        for name in lists.map(String::as_str).chain(global.iter().copied()) {
            if known.iter().all(|entry| entry.name != name) {
                known.extend(read_known(group, name)?);
            }
        }
        let mut more = Vec::new();
        for name in group.list()?.files {
            let controller = name.split('.').next().unwrap_or_default();
            if known.iter().all(|entry| entry.name != name) && !self.replaced.iter().any(|c| c == controller)
            {
                more.extend(read_other(group, &name)?);
            }
        }
        Ok((known, more))
    }
}

/// Owner and mode of a control file, or of the directory itself as `.`; `None` if there is no such file.
pub(super) fn permissions(group: &Group, name: &str) -> Result<Option<CgroupPerms>> {
    Ok(group.stat(name)?.map(|stat| CgroupPerms { mode: stat.st_mode, uid: stat.st_uid, gid: stat.st_gid }))
}

/// Sets them.
pub(super) fn set_permissions(group: &Group, name: &str, perms: &CgroupPerms) -> Result<()> {
    group.set_owner(name, perms.uid, perms.gid, perms.mode & 0o7777)
}

/// Whether owner and mode are the same, whatever kind of file has them.
pub(super) fn are_same(one: &CgroupPerms, other: &CgroupPerms) -> bool {
    let all = |perms: &CgroupPerms| (perms.mode & 0o7777, perms.uid, perms.gid);
    all(one) == all(other)
}

fn read_known(group: &Group, name: &str) -> Result<Option<CgroupPropEntry>> {
    let Some(perms) = permissions(group, name)? else { return Ok(None) };
    let value = match name {
        // CRIU would freeze the cgroup under its own hands.
        "cgroup.freeze" => b"0".to_vec(),
        name if MEMBERS.contains(&name) => Vec::new(),
        _ => normal(name, group.read(name)?.unwrap_or_default()),
    };
    Ok(Some(CgroupPropEntry { name: name.to_owned(), value, perms: Some(perms) }))
}

/// A file that CRIU does not know: its lines, and owner and mode if they are special.
fn read_other(group: &Group, name: &str) -> Result<Vec<CgroupPropEntry>> {
    let Some(perms) = permissions(group, name)? else { return Ok(Vec::new()) };
    let is_special =
        perms.uid != 0 || perms.gid != 0 || MEMBERS.contains(&name) && perms.mode & 0o777 != 0o644;
    let value = match is_state(name) && perms.mode & 0o600 == 0o600 {
        true => normal(name, group.read(name)?.unwrap_or_default()),
        false => Vec::new(),
    };
    let lines = value.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let entry = |value: &[u8], perms| CgroupPropEntry { name: name.to_owned(), value: value.to_vec(), perms };
    let mut entries: Vec<CgroupPropEntry> = lines.map(|line| entry(line, None)).collect();
    if is_special {
        entries.push(entry(b"", Some(perms)));
    }
    Ok(entries)
}

/// Whether a writable file is state, and not a counter or a trigger, and says what no other one does.
fn is_state(name: &str) -> bool {
    let counters = [".peak", "failcnt", "max_usage_in_bytes"];
    let is_trigger = name.ends_with(".pressure") && name != "cgroup.pressure";
    let others = ["cpuacct.usage", "cpu.weight.nice", "release_agent", "cgroup.event_control"];
    !is_trigger
        && !counters.iter().any(|end| name.ends_with(end))
        && !others.contains(&name)
        && !MEMBERS.contains(&name)
        && !FREEZERS.contains(&name)
}

/// The content as it can be written.
fn normal(name: &str, content: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&content);
    let value = match name {
        // oom_kill_disable 0, then counters.
        "memory.oom_control" => text.split_ascii_whitespace().nth(1),
        // root invalid (why)
        "cpuset.cpus.partition" => text.split_ascii_whitespace().next(),
        _ if text.parse() == Ok(i64::MAX) => Some("-1"),
        _ => None,
    };
    value.map_or_else(|| content.clone(), |value| value.as_bytes().to_vec())
}

/// Sets a property, unless it is so already. What could not be set and does not matter goes to `tell`.
pub(super) fn write(group: &Group, entry: &CgroupPropEntry, tell: &mut dyn FnMut(&Error)) -> Result<()> {
    let (name, value) = (entry.name.as_str(), entry.value.as_slice());
    if let Some(perms) = &entry.perms
        && let Some(now) = permissions(group, name)?
        && !are_same(&now, perms)
    {
        set_permissions(group, name, perms)?;
    }
    if value.is_empty() && name != "devices.list" && name != "cgroup.subtree_control"
        || MEMBERS.contains(&name)
    {
        return Ok(());
    }
    let now = normal(name, group.read(name)?.unwrap_or_default());
    let has = |line: &[u8]| now.split(|byte| *byte == b'\n').any(|there| there == line);
    let lines = || value.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    match name {
        "cgroup.type" if value != b"threaded" => Ok(()),
        "cgroup.subtree_control" => write_subtree_control(group, &now, value),
        "devices.list" if now == value => Ok(()),
        "devices.list" => {
            group.write("devices.deny", b"a")?;
            lines().try_for_each(|line| group.write("devices.allow", line))
        }
        "net_prio.ifpriomap" => {
            // Interfaces come and go with machines.
            let set = lines().filter(|line| !line.ends_with(b" 0") && !has(line));
            set.filter_map(|line| group.write(name, line).err()).for_each(|error| tell(&error));
            Ok(())
        }
        // Without effect since Linux 5.16.
        "memory.kmem.limit_in_bytes" if now != value => match group.write(name, value) {
            Err(e) if e.errno() == Some(libc::EOPNOTSUPP) => Ok(()),
            written => written,
        },
        _ => lines().filter(|line| !has(line)).try_for_each(|line| group.write(name, line)),
    }
}

fn write_subtree_control(group: &Group, now: &[u8], wanted: &[u8]) -> Result<()> {
    let words = |text: &[u8]| -> Vec<Vec<u8>> {
        text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let (now, wanted) = (words(now), words(wanted));
    let less = now.iter().filter(|word| !wanted.contains(word)).map(|word| [b"-", word.as_slice()].concat());
    let more = wanted.iter().filter(|word| !now.contains(word)).map(|word| [b"+", word.as_slice()].concat());
    let changes = less.chain(more).collect::<Vec<_>>().join(&b' ');
    if changes.is_empty() { Ok(()) } else { group.write("cgroup.subtree_control", &changes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_triggers_are_no_state() {
        for name in ["memory.max", "cpu.weight", "cgroup.pressure", "hugetlb.2MB.limit_in_bytes", "io.max"] {
            assert!(is_state(name), "{name}");
        }
        for name in
            ["memory.peak", "io.pressure", "memory.failcnt", "hugetlb.2MB.max_usage_in_bytes", "cgroup.procs"]
        {
            assert!(!is_state(name), "{name}");
        }
    }

    #[test]
    fn values_can_be_written_as_they_are_kept() {
        let kept = |name: &str, content: &str| normal(name, content.as_bytes().to_vec());
        assert_eq!(kept("memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 3"), b"1");
        assert_eq!(kept("cpuset.cpus.partition", "root invalid (no CPU)"), b"root");
        assert_eq!(kept("memory.limit_in_bytes", "9223372036854775807"), b"-1");
        assert_eq!(kept("memory.limit_in_bytes", "9223372036854771712"), b"9223372036854771712");
        assert_eq!(kept("io.max", "8:0 rbps=1 wbps=max"), b"8:0 rbps=1 wbps=max");
    }
}
