//! Control groups: which sets tasks are in, and the directories to create again with their properties.
//!
//! Field numbers are those of CRIU 4.2's `images/cgroup.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Text};

/// Owner and mode of a cgroup file or directory.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgroupPerms {
    #[prost(uint32, required, tag = "1")]
    pub mode: u32,
    #[prost(uint32, required, tag = "2")]
    pub uid: u32,
    #[prost(uint32, required, tag = "3")]
    pub gid: u32,
}

/// One control file and its content.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgroupPropEntry {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", required, tag = "2")]
    #[serde(with = "As::<Text>")]
    pub value: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    pub perms: Option<CgroupPerms>,
}

/// One cgroup directory, its properties and its children.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgroupDirEntry {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "As::<Text>")]
    pub dir_name: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub children: Vec<CgroupDirEntry>,
    #[prost(message, repeated, tag = "3")]
    pub properties: Vec<CgroupPropEntry>,
    #[prost(message, optional, tag = "4")]
    pub dir_perms: Option<CgroupPerms>,
    /// Ours: those that CRIU does not know, one line each.
    #[prost(message, repeated, tag = "10000")]
    pub more_properties: Vec<CgroupPropEntry>,
}

/// One hierarchy: the controllers mounted together and the directories in it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgControllerEntry {
    #[prost(string, repeated, tag = "1")]
    pub cnames: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub dirs: Vec<CgroupDirEntry>,
    #[prost(bool, optional, tag = "3")]
    pub is_threaded: Option<bool>,
}

/// The path of a task in one hierarchy (a line of `/proc/PID/cgroup`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgMemberEntry {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(bytes = "vec", required, tag = "2")]
    #[serde(with = "As::<Text>")]
    pub path: Vec<u8>,
    #[prost(uint32, optional, tag = "3")]
    pub cgns_prefix: Option<u32>,
}

/// One distinct content of `/proc/PID/cgroup`, referred to by id.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgSetEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(message, repeated, tag = "2")]
    pub ctls: Vec<CgMemberEntry>,
}

/// All cgroups of the dump (`cgroup.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgroupEntry {
    #[prost(message, repeated, tag = "1")]
    pub sets: Vec<CgSetEntry>,
    #[prost(message, repeated, tag = "2")]
    pub controllers: Vec<CgControllerEntry>,
}
