//! One network namespace: devices and sysctls. Addresses, routes and filter rules are raw images.
//!
//! Field numbers are those of CRIU 4.2's `images/{netdev,sysctl,macvlan,sit,tun}.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Base64, Hex, Ip, Named, Text};

/// Kinds of network devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum NetDeviceType {
    #[serde(rename = "LOOPBACK")]
    Loopback = 1,
    #[serde(rename = "VETH")]
    Veth = 2,
    #[serde(rename = "TUN")]
    Tun = 3,
    #[serde(rename = "EXTLINK")]
    Extlink = 4,
    #[serde(rename = "VENET")]
    Venet = 5,
    #[serde(rename = "BRIDGE")]
    Bridge = 6,
    #[serde(rename = "MACVLAN")]
    Macvlan = 7,
    #[serde(rename = "SIT")]
    Sit = 8,
}

/// One network device.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetDeviceEntry {
    #[prost(enumeration = "NetDeviceType", required, tag = "1")]
    #[serde(with = "As::<Named<NetDeviceType>>")]
    pub r#type: i32,
    #[prost(uint32, required, tag = "2")]
    pub ifindex: u32,
    #[prost(uint32, required, tag = "3")]
    pub mtu: u32,
    #[prost(uint32, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(bytes = "vec", required, tag = "5")]
    #[serde(with = "As::<Text>")]
    pub name: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    pub tun: Option<TunLinkEntry>,
    #[prost(bytes = "vec", optional, tag = "7")]
    #[serde(with = "As::<Base64>")]
    pub address: Option<Vec<u8>>,
    #[prost(int32, repeated, tag = "8", packed = "false")]
    pub conf: Vec<i32>,
    #[prost(message, repeated, tag = "9")]
    pub conf4: Vec<SysctlEntry>,
    #[prost(message, repeated, tag = "10")]
    pub conf6: Vec<SysctlEntry>,
    #[prost(message, optional, tag = "11")]
    pub macvlan: Option<MacvlanLinkEntry>,
    #[prost(uint32, optional, tag = "12")]
    pub peer_ifindex: Option<u32>,
    #[prost(uint32, optional, tag = "13")]
    pub peer_nsid: Option<u32>,
    #[prost(uint32, optional, tag = "14")]
    pub master: Option<u32>,
    #[prost(message, optional, tag = "15")]
    pub sit: Option<SitEntry>,
}

/// The id by which a namespace knows another (ip-netns(8), `set`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetnsId {
    #[prost(uint32, required, tag = "1")]
    pub target_ns_id: u32,
    #[prost(int32, required, tag = "2")]
    pub netnsid_value: i32,
}

/// Sysctls and ids of a network namespace (`netns-N.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetnsEntry {
    #[prost(int32, repeated, tag = "1", packed = "false")]
    pub def_conf: Vec<i32>,
    #[prost(int32, repeated, tag = "2", packed = "false")]
    pub all_conf: Vec<i32>,
    #[prost(message, repeated, tag = "3")]
    pub def_conf4: Vec<SysctlEntry>,
    #[prost(message, repeated, tag = "4")]
    pub all_conf4: Vec<SysctlEntry>,
    #[prost(message, repeated, tag = "5")]
    pub def_conf6: Vec<SysctlEntry>,
    #[prost(message, repeated, tag = "6")]
    pub all_conf6: Vec<SysctlEntry>,
    #[prost(message, repeated, tag = "7")]
    pub nsids: Vec<NetnsId>,
    #[prost(string, optional, tag = "8")]
    pub ext_key: Option<String>,
    #[prost(message, repeated, tag = "9")]
    pub unix_conf: Vec<SysctlEntry>,
    #[prost(message, repeated, tag = "10")]
    pub ipv4_sysctl: Vec<SysctlEntry>,
}

/// How a sysctl is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum SysctlType {
    #[serde(rename = "CTL_STR")]
    CtlStr = 5,
    #[serde(rename = "CTL_32")]
    Ctl32 = 6,
}

/// The value of one sysctl; its position says which.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SysctlEntry {
    #[prost(enumeration = "SysctlType", required, tag = "1")]
    #[serde(with = "As::<Named<SysctlType>>")]
    pub r#type: i32,
    #[prost(int32, optional, tag = "2")]
    pub iarg: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "3")]
    #[serde(with = "As::<Text>")]
    pub sarg: Option<Vec<u8>>,
}

/// Attributes of a macvlan device.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MacvlanLinkEntry {
    #[prost(uint32, required, tag = "1")]
    pub mode: u32,
    #[prost(uint32, optional, tag = "2")]
    pub flags: Option<u32>,
}

/// Attributes of a sit tunnel.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SitEntry {
    #[prost(uint32, optional, tag = "1")]
    pub link: Option<u32>,
    #[prost(uint32, repeated, tag = "2", packed = "false")]
    #[serde(with = "As::<Ip>")]
    pub local: Vec<u32>,
    #[prost(uint32, repeated, tag = "3", packed = "false")]
    #[serde(with = "As::<Ip>")]
    pub remote: Vec<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub ttl: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub tos: Option<u32>,
    #[prost(bool, optional, tag = "6")]
    pub pmtudisc: Option<bool>,
    #[prost(uint32, optional, tag = "7")]
    pub proto: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub flags: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub encap_type: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub encap_flags: Option<u32>,
    #[prost(uint32, optional, tag = "11")]
    pub encap_sport: Option<u32>,
    #[prost(uint32, optional, tag = "12")]
    pub encap_dport: Option<u32>,
    #[prost(uint32, optional, tag = "13")]
    pub rd_prefixlen: Option<u32>,
    #[prost(uint32, repeated, tag = "14", packed = "false")]
    #[serde(with = "As::<Ip>")]
    pub rd_prefix: Vec<u32>,
    #[prost(uint32, optional, tag = "15")]
    pub relay_prefixlen: Option<u32>,
    #[prost(uint32, repeated, tag = "16", packed = "false")]
    #[serde(with = "As::<Ip>")]
    pub relay_prefix: Vec<u32>,
}

/// An open `/dev/net/tun`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TunfileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(bytes = "vec", optional, tag = "2")]
    #[serde(with = "As::<Text>")]
    pub netdev: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    pub detached: Option<bool>,
    #[prost(uint32, optional, tag = "4")]
    pub ns_id: Option<u32>,
}

/// Attributes of a tun or tap device.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TunLinkEntry {
    #[prost(uint32, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(int32, required, tag = "2")]
    pub owner: i32,
    #[prost(int32, required, tag = "3")]
    pub group: i32,
    #[prost(uint32, required, tag = "4")]
    pub vnethdr: u32,
    #[prost(uint32, required, tag = "5")]
    pub sndbuf: u32,
}
