//! One mount namespace: its mounts, autofs and binfmt_misc state.
//!
//! Field numbers are those of CRIU 4.2's `images/{mnt,autofs,binfmt-misc}.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Hex, NewDev, Text};

/// File systems that a mount can be brought back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum FsType {
    #[serde(rename = "UNSUPPORTED")]
    Unsupported = 0,
    #[serde(rename = "PROC")]
    Proc = 1,
    #[serde(rename = "SYSFS")]
    Sysfs = 2,
    #[serde(rename = "DEVTMPFS")]
    Devtmpfs = 3,
    #[serde(rename = "BINFMT_MISC")]
    BinfmtMisc = 4,
    #[serde(rename = "TMPFS")]
    Tmpfs = 5,
    #[serde(rename = "DEVPTS")]
    Devpts = 6,
    #[serde(rename = "SIMFS")]
    Simfs = 7,
    #[serde(rename = "PSTORE")]
    Pstore = 8,
    #[serde(rename = "SECURITYFS")]
    Securityfs = 9,
    #[serde(rename = "FUSECTL")]
    Fusectl = 10,
    #[serde(rename = "DEBUGFS")]
    Debugfs = 11,
    #[serde(rename = "CGROUP")]
    Cgroup = 12,
    #[serde(rename = "AUFS")]
    Aufs = 13,
    #[serde(rename = "MQUEUE")]
    Mqueue = 14,
    #[serde(rename = "FUSE")]
    Fuse = 15,
    #[serde(rename = "AUTO")]
    Auto = 16,
    #[serde(rename = "OVERLAYFS")]
    Overlayfs = 17,
    #[serde(rename = "AUTOFS")]
    Autofs = 18,
    #[serde(rename = "TRACEFS")]
    Tracefs = 19,
    #[serde(rename = "CGROUP2")]
    Cgroup2 = 23,
}

/// One mount (a line of `/proc/PID/mountinfo`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MntEntry {
    #[prost(uint32, required, tag = "1")]
    pub fstype: u32,
    #[prost(uint32, required, tag = "2")]
    pub mnt_id: u32,
    #[prost(uint32, required, tag = "3")]
    #[serde(with = "As::<NewDev>")]
    pub root_dev: u32,
    #[prost(uint32, required, tag = "4")]
    pub parent_mnt_id: u32,
    #[prost(uint32, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(bytes = "vec", required, tag = "6")]
    #[serde(with = "As::<Text>")]
    pub root: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "7")]
    #[serde(with = "As::<Text>")]
    pub mountpoint: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "8")]
    #[serde(with = "As::<Text>")]
    pub source: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "9")]
    #[serde(with = "As::<Text>")]
    pub options: Vec<u8>,
    #[prost(uint32, optional, tag = "10")]
    pub shared_id: Option<u32>,
    #[prost(uint32, optional, tag = "11")]
    pub master_id: Option<u32>,
    #[prost(bool, optional, tag = "12")]
    pub with_plugin: Option<bool>,
    #[prost(bool, optional, tag = "13")]
    pub ext_mount: Option<bool>,
    #[prost(string, optional, tag = "14")]
    pub fsname: Option<String>,
    #[prost(bool, optional, tag = "15")]
    pub internal_sharing: Option<bool>,
    #[prost(bool, optional, tag = "16")]
    pub deleted: Option<bool>,
    #[prost(uint32, optional, tag = "17")]
    #[serde(with = "As::<Hex>")]
    pub sb_flags: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "18")]
    #[serde(with = "As::<Text>")]
    pub ext_key: Option<Vec<u8>>,
}

/// Mount options of one autofs mount (`autofs-N.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutofsEntry {
    #[prost(int32, required, tag = "1")]
    pub fd: i32,
    #[prost(int32, required, tag = "2")]
    pub pgrp: i32,
    #[prost(int32, required, tag = "3")]
    pub timeout: i32,
    #[prost(int32, required, tag = "4")]
    pub minproto: i32,
    #[prost(int32, required, tag = "5")]
    pub maxproto: i32,
    #[prost(int32, required, tag = "6")]
    pub mode: i32,
    #[prost(int32, optional, tag = "7")]
    pub uid: Option<i32>,
    #[prost(int32, optional, tag = "8")]
    pub gid: Option<i32>,
    #[prost(int32, optional, tag = "9")]
    pub read_fd: Option<i32>,
}

/// One registered binary format (`binfmt-misc.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BinfmtMiscEntry {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "As::<Text>")]
    pub name: Vec<u8>,
    #[prost(bool, required, tag = "2")]
    pub enabled: bool,
    #[prost(bytes = "vec", required, tag = "3")]
    #[serde(with = "As::<Text>")]
    pub interpreter: Vec<u8>,
    #[prost(string, optional, tag = "4")]
    pub flags: Option<String>,
    #[prost(bytes = "vec", optional, tag = "5")]
    #[serde(with = "As::<Text>")]
    pub extension: Option<Vec<u8>>,
    #[prost(string, optional, tag = "6")]
    pub magic: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub mask: Option<String>,
    #[prost(int32, optional, tag = "8")]
    pub offset: Option<i32>,
}
