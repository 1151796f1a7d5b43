//! `/proc/PID/ns`: which namespaces a task is in, namespaces(7).
//!
//! Two tasks are in the same namespace if the inode numbers are equal. A kernel built without a kind lacks its link,
//! a zombie has none.

use super::{ProcDir, text};
use crate::error::Result;

/// include/uapi/linux/sched.h
const CLONE_NEWTIME: i32 = 0x80;

/// The kinds of namespaces and their links in `ns/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// cgroup_namespaces(7)
    Cgroup,
    /// ipc_namespaces(7)
    Ipc,
    /// mount_namespaces(7)
    Mount,
    /// network_namespaces(7)
    Net,
    /// pid_namespaces(7): the task's own.
    Pid,
    /// The one that its children will be in.
    PidForChildren,
    /// time_namespaces(7): the task's own.
    Time,
    /// The one that its children will be in.
    TimeForChildren,
    /// user_namespaces(7)
    User,
    /// uts_namespaces(7)
    Uts,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 10] = [
        Kind::Cgroup,
        Kind::Ipc,
        Kind::Mount,
        Kind::Net,
        Kind::Pid,
        Kind::PidForChildren,
        Kind::Time,
        Kind::TimeForChildren,
        Kind::User,
        Kind::Uts,
    ];

    /// Those that a thread can have for itself while it shares the table of mounts' root with its process, CLONE_FS: a
    /// mount namespace is entered with a table of one's own only (mntns_install() in fs/namespace.c), a process has one
    /// user and one pid namespace (copy_process() in kernel/fork.c, userns_install() in kernel/user_namespace.c), and a
    /// time namespace is entered with no other thread there (timens_install() in kernel/time/namespace.c).
    pub const OF_THREADS: [Kind; 6] =
        [Kind::Cgroup, Kind::Ipc, Kind::Net, Kind::PidForChildren, Kind::TimeForChildren, Kind::Uts];

    /// By the name that nsfs shows (fs/nsfs.c, `ns_dname`), which is the link's but for the namespaces of children.
    pub fn of_name(name: &[u8]) -> Option<Self> {
        let for_children = |kind: &Kind| matches!(kind, Kind::PidForChildren | Kind::TimeForChildren);
        Self::ALL.into_iter().find(|kind| !for_children(kind) && kind.link().as_bytes() == name)
    }

    /// `CLONE_NEW*`, as clone(2) and setns(2) take it.
    pub fn clone_flag(self) -> u32 {
        let flag = match self {
            Kind::Cgroup => libc::CLONE_NEWCGROUP,
            Kind::Ipc => libc::CLONE_NEWIPC,
            Kind::Mount => libc::CLONE_NEWNS,
            Kind::Net => libc::CLONE_NEWNET,
            Kind::Pid | Kind::PidForChildren => libc::CLONE_NEWPID,
            Kind::Time | Kind::TimeForChildren => CLONE_NEWTIME,
            Kind::User => libc::CLONE_NEWUSER,
            Kind::Uts => libc::CLONE_NEWUTS,
        };
        flag as u32
    }

    /// The link's name in `ns/`.
    pub fn link(self) -> &'static str {
        match self {
            Kind::Cgroup => "cgroup",
            Kind::Ipc => "ipc",
            Kind::Mount => "mnt",
            Kind::Net => "net",
            Kind::Pid => "pid",
            Kind::PidForChildren => "pid_for_children",
            Kind::Time => "time",
            Kind::TimeForChildren => "time_for_children",
            Kind::User => "user",
            Kind::Uts => "uts",
        }
    }
}

/// The inode number of the namespace of `kind`; `None` if the kernel lacks the kind or the task has left it.
pub fn read(proc: &ProcDir, kind: Kind) -> Result<Option<u32>> {
    let name = format!("ns/{}", kind.link());
    let target = proc.readlink_optional(&name)?;
    target.map(|t| parse(&t).map_err(|e| e.on(proc.path_of(&name)))).transpose()
}

/// Parses a link's target, `mnt:[4026531841]`.
pub fn parse(target: &[u8]) -> Result<u32> {
    text::field("namespace", target, |target| {
        let (_, id) = text::split_once(target, b':')?;
        text::dec(id.strip_prefix(b"[")?.strip_suffix(b"]")?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_links() -> Result<()> {
        assert_eq!(parse(b"time_for_children:[4026531834]")?, 4026531834);
        for bad in [b"".as_slice(), b"mnt", b"mnt:1", b"mnt:[", b"mnt:[]", b"mnt:[x]", b"mnt:[99999999999]"] {
            assert!(parse(bad).is_err());
        }
        Ok(())
    }

    #[test]
    fn kinds_are_known_by_what_nsfs_calls_them() {
        assert_eq!(Kind::of_name(b"net").map(Kind::clone_flag), Some(0x4000_0000));
        assert_eq!(Kind::of_name(b"time"), Some(Kind::Time));
        assert_eq!((Kind::of_name(b"pid_for_children"), Kind::of_name(b"pidfd")), (None, None));
    }

    #[test]
    fn agrees_with_the_inode() -> Result<()> {
        let proc = ProcDir::current()?;
        let mut found = 0;
        for kind in Kind::ALL {
            if let Some(id) = read(&proc, kind)? {
                assert_eq!(u64::from(id), proc.stat(&format!("ns/{}", kind.link()))?.st_ino as u64);
                found += 1;
            }
        }
        assert!(found > 0);
        Ok(())
    }
}
