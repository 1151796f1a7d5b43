//! The namespaces that a tree lives in: those of crio itself, as others are refused, but for a cgroup namespace.
//!
//! Images refer to a namespace by a number. CRIU gives them in the order in which it meets namespaces, and it meets its
//! own first; they are the same in all our images.

use crate::image::message::TaskKobjIdsEntry;
use crate::kernel::ns::Kind;

/// The number of crio's own network namespace.
pub const HOST_NETWORK: u32 = 2;
/// That of its IPC namespace.
pub const HOST_IPC: u32 = 3;
/// That of a cgroup namespace that all of the tree is in, and crio is not: the first behind those of crio.
pub const TREES_CGROUP: u32 = 9;

/// The numbers of crio's own namespaces, and nothing else.
pub fn host() -> TaskKobjIdsEntry {
    TaskKobjIdsEntry {
        pid_ns_id: Some(1),
        net_ns_id: Some(HOST_NETWORK),
        ipc_ns_id: Some(HOST_IPC),
        uts_ns_id: Some(4),
        time_ns_id: Some(5),
        mnt_ns_id: Some(6),
        user_ns_id: Some(7),
        cgroup_ns_id: Some(8),
        ..TaskKobjIdsEntry::default()
    }
}

/// The number that `ids` have for the namespace of a kind.
pub fn number(ids: &TaskKobjIdsEntry, kind: Kind) -> Option<u32> {
    match kind {
        Kind::Cgroup => ids.cgroup_ns_id,
        Kind::Ipc => ids.ipc_ns_id,
        Kind::Mount => ids.mnt_ns_id,
        Kind::Net => ids.net_ns_id,
        Kind::Pid | Kind::PidForChildren => ids.pid_ns_id,
        Kind::Time | Kind::TimeForChildren => ids.time_ns_id,
        Kind::User => ids.user_ns_id,
        Kind::Uts => ids.uts_ns_id,
    }
}
