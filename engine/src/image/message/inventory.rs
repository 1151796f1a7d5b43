//! What an images directory holds as a whole: the inventory, the process tree, the CPU it came from, statistics.
//!
//! `inventory.img` is written last: a directory without it is not an image. Field numbers are those of CRIU 4.2's
//! `images/{inventory,pstree,cpuinfo,stats}.proto`.

use serde::{Deserialize, Serialize};

use super::task::{CoreEntry, TaskCoreEntry, TaskKobjIdsEntry};
use crate::image::style::{As, Named};

/// The security module of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum LsmType {
    #[serde(rename = "NO_LSM")]
    NoLsm = 0,
    #[serde(rename = "SELINUX")]
    Selinux = 1,
    #[serde(rename = "APPARMOR")]
    Apparmor = 2,
}

/// Names of the plugins that were active; a message, so that empty differs from unknown.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginsEntry {
    #[prost(string, repeated, tag = "12")]
    pub plugins: Vec<String>,
}

/// The inventory (`inventory.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InventoryEntry {
    /// 1 or 2; see [`format`](crate::image::format).
    #[prost(uint32, required, tag = "1")]
    pub img_version: u32,
    #[prost(bool, optional, tag = "2")]
    pub fdinfo_per_id: Option<bool>,
    #[prost(message, optional, tag = "3")]
    pub root_ids: Option<TaskKobjIdsEntry>,
    #[prost(bool, optional, tag = "4")]
    pub ns_per_id: Option<bool>,
    #[prost(uint32, optional, tag = "5")]
    pub root_cg_set: Option<u32>,
    #[prost(enumeration = "LsmType", optional, tag = "6")]
    #[serde(with = "As::<Named<LsmType>>")]
    pub lsmtype: Option<i32>,
    /// CLOCK_MONOTONIC of the dump, microseconds.
    #[prost(uint64, optional, tag = "8")]
    pub dump_uptime: Option<u64>,
    #[prost(uint32, optional, tag = "9")]
    pub pre_dump_mode: Option<u32>,
    #[prost(bool, optional, tag = "10")]
    pub tcp_close: Option<bool>,
    #[prost(uint32, optional, tag = "11")]
    pub network_lock_method: Option<u32>,
    #[prost(message, optional, tag = "12")]
    pub plugins_entry: Option<PluginsEntry>,
    #[prost(string, optional, tag = "13")]
    pub dump_criu_run_id: Option<String>,
    #[prost(bool, optional, tag = "14")]
    pub allow_uprobes: Option<bool>,
    /// Ours: version of `crio` that wrote the directory.
    #[prost(string, optional, tag = "10000")]
    pub crio_version: Option<String>,
}

/// One task of the tree (`pstree.img`), parents before children.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PstreeEntry {
    #[prost(uint32, required, tag = "1")]
    pub pid: u32,
    #[prost(uint32, required, tag = "2")]
    pub ppid: u32,
    #[prost(uint32, required, tag = "3")]
    pub pgid: u32,
    #[prost(uint32, required, tag = "4")]
    pub sid: u32,
    /// Thread ids, the leader first.
    #[prost(uint32, repeated, tag = "5", packed = "false")]
    pub threads: Vec<u32>,
}

impl PstreeEntry {
    /// The thread ids that count; `leader` is the core of the task. A zombie is one thread, whatever the entry says:
    /// CRIU writes a word that it never set there.
    pub fn threads_of(&self, leader: &CoreEntry) -> &[u32] {
        match leader.tc.as_ref().is_some_and(TaskCoreEntry::is_dead) {
            true => std::slice::from_ref(&self.pid),
            false => &self.threads,
        }
    }
}

/// Statistics of a dump; times in microseconds.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DumpStatsEntry {
    #[prost(uint32, required, tag = "1")]
    pub freezing_time: u32,
    #[prost(uint32, required, tag = "2")]
    pub frozen_time: u32,
    #[prost(uint32, required, tag = "3")]
    pub memdump_time: u32,
    #[prost(uint32, required, tag = "4")]
    pub memwrite_time: u32,
    #[prost(uint64, required, tag = "5")]
    pub pages_scanned: u64,
    #[prost(uint64, required, tag = "6")]
    pub pages_skipped_parent: u64,
    #[prost(uint64, required, tag = "7")]
    pub pages_written: u64,
    #[prost(uint32, optional, tag = "8")]
    pub irmap_resolve: Option<u32>,
    #[prost(uint64, required, tag = "9")]
    pub pages_lazy: u64,
    #[prost(uint64, optional, tag = "10")]
    pub page_pipes: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    pub page_pipe_bufs: Option<u64>,
    #[prost(uint64, optional, tag = "12")]
    pub shpages_scanned: Option<u64>,
    #[prost(uint64, optional, tag = "13")]
    pub shpages_skipped_parent: Option<u64>,
    #[prost(uint64, optional, tag = "14")]
    pub shpages_written: Option<u64>,
}

/// Statistics of a restore; times in microseconds.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreStatsEntry {
    #[prost(uint64, required, tag = "1")]
    pub pages_compared: u64,
    #[prost(uint64, required, tag = "2")]
    pub pages_skipped_cow: u64,
    #[prost(uint32, required, tag = "3")]
    pub forking_time: u32,
    #[prost(uint32, required, tag = "4")]
    pub restore_time: u32,
    #[prost(uint64, optional, tag = "5")]
    pub pages_restored: Option<u64>,
}

/// `stats-dump` or `stats-restore`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatsEntry {
    #[prost(message, optional, tag = "1")]
    pub dump: Option<DumpStatsEntry>,
    #[prost(message, optional, tag = "2")]
    pub restore: Option<RestoreStatsEntry>,
}

/// CPU vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum X86Vendor {
    #[serde(rename = "UNKNOWN")]
    Unknown = 0,
    #[serde(rename = "INTEL")]
    Intel = 1,
    #[serde(rename = "AMD")]
    Amd = 2,
}

/// CPUID facts that decide whether an image may run here.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CpuinfoX86Entry {
    #[prost(enumeration = "X86Vendor", required, tag = "1")]
    #[serde(with = "As::<Named<X86Vendor>>")]
    pub vendor_id: i32,
    #[prost(uint32, required, tag = "2")]
    pub cpu_family: u32,
    #[prost(uint32, required, tag = "3")]
    pub model: u32,
    #[prost(uint32, required, tag = "4")]
    pub stepping: u32,
    #[prost(uint32, required, tag = "5")]
    pub capability_ver: u32,
    #[prost(uint32, repeated, tag = "6", packed = "false")]
    pub capability: Vec<u32>,
    #[prost(string, optional, tag = "7")]
    pub model_id: Option<String>,
    #[prost(uint64, optional, tag = "8")]
    pub xfeatures_mask: Option<u64>,
    #[prost(uint32, optional, tag = "9")]
    pub xsave_size: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub xsave_size_max: Option<u32>,
}

/// Byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum Ppc64Endianness {
    #[serde(rename = "BIGENDIAN")]
    Bigendian = 0,
    #[serde(rename = "LITTLEENDIAN")]
    Littleendian = 1,
}

/// Hardware capabilities of a ppc64 CPU.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CpuinfoPpc64Entry {
    #[prost(enumeration = "Ppc64Endianness", required, tag = "1")]
    #[serde(with = "As::<Named<Ppc64Endianness>>")]
    pub endian: i32,
    #[prost(uint64, repeated, tag = "2", packed = "false")]
    pub hwcap: Vec<u64>,
}

/// Hardware capabilities of an s390x CPU.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CpuinfoS390Entry {
    #[prost(uint64, repeated, tag = "2", packed = "false")]
    pub hwcap: Vec<u64>,
}

/// The CPUs of the machine of the dump (`cpuinfo.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CpuinfoEntry {
    #[prost(message, repeated, tag = "1")]
    pub x86_entry: Vec<CpuinfoX86Entry>,
    #[prost(message, repeated, tag = "2")]
    pub ppc64_entry: Vec<CpuinfoPpc64Entry>,
    #[prost(message, repeated, tag = "3")]
    pub s390_entry: Vec<CpuinfoS390Entry>,
}
