//! Namespaces that are a handful of numbers: UTS, time, PID and user.
//!
//! Field numbers are those of CRIU 4.2's `images/{utsns,timens,pidns,userns}.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Text};

/// Names of a UTS namespace (`utsns-N.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UtsnsEntry {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "As::<Text>")]
    pub nodename: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "2")]
    #[serde(with = "As::<Text>")]
    pub domainname: Vec<u8>,
}

/// Seconds and nanoseconds.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timespec {
    #[prost(uint64, required, tag = "1")]
    pub tv_sec: u64,
    #[prost(uint64, required, tag = "2")]
    pub tv_nsec: u64,
}

/// Clock offsets of a time namespace (`timens-N.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimensEntry {
    #[prost(message, required, tag = "1")]
    pub monotonic: Timespec,
    #[prost(message, required, tag = "2")]
    pub boottime: Timespec,
}

/// A PID namespace that was not dumped but named by the user.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PidnsEntry {
    #[prost(string, optional, tag = "1")]
    pub ext_key: Option<String>,
}

/// One line of a uid or gid map.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UidGidExtent {
    #[prost(uint32, required, tag = "1")]
    pub first: u32,
    #[prost(uint32, required, tag = "2")]
    pub lower_first: u32,
    #[prost(uint32, required, tag = "3")]
    pub count: u32,
}

/// Maps of a user namespace (`userns-N.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsernsEntry {
    #[prost(message, repeated, tag = "1")]
    pub uid_map: Vec<UidGidExtent>,
    #[prost(message, repeated, tag = "2")]
    pub gid_map: Vec<UidGidExtent>,
}
