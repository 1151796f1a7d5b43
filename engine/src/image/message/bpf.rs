//! BPF maps: the open file and, as payload of `bpfmap-data.img`, the keys and values.
//!
//! Field numbers are those of CRIU 4.2's `images/{bpfmap-file,bpfmap-data}.proto`.

use serde::{Deserialize, Serialize};

use super::file::FownEntry;
use crate::image::style::{As, OpenFlags};

/// An open BPF map: what `/proc/PID/fdinfo` and `bpf(2)` tell of it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BpfmapFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<OpenFlags>")]
    pub flags: u32,
    #[prost(uint64, required, tag = "3")]
    pub pos: u64,
    #[prost(message, required, tag = "4")]
    pub fown: FownEntry,
    #[prost(uint32, required, tag = "5")]
    pub map_type: u32,
    #[prost(uint32, required, tag = "6")]
    pub key_size: u32,
    #[prost(uint32, required, tag = "7")]
    pub value_size: u32,
    #[prost(uint32, required, tag = "8")]
    pub map_id: u32,
    #[prost(uint32, required, tag = "9")]
    pub max_entries: u32,
    #[prost(uint32, required, tag = "10")]
    pub map_flags: u32,
    #[prost(uint64, required, tag = "11")]
    pub memlock: u64,
    #[prost(bool, required, tag = "12", default = "false")]
    pub frozen: bool,
    #[prost(string, required, tag = "13")]
    pub map_name: String,
    #[prost(uint32, required, tag = "14", default = "0")]
    pub ifindex: u32,
    #[prost(sint32, optional, tag = "15", default = "-1")]
    pub mnt_id: Option<i32>,
    #[prost(uint64, optional, tag = "16")]
    pub map_extra: Option<u64>,
}

/// Counts of the keys and values that follow as payload (`bpfmap-data.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BpfmapDataEntry {
    #[prost(uint32, required, tag = "1")]
    pub map_id: u32,
    #[prost(uint32, required, tag = "2")]
    pub keys_bytes: u32,
    #[prost(uint32, required, tag = "3")]
    pub values_bytes: u32,
    #[prost(uint32, required, tag = "4")]
    pub count: u32,
}
