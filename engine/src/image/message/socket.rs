//! Sockets of every family, their options, queued packets and TCP connections.
//!
//! The sockets are embedded in `files.img`; `sk-queues.img` and `tcp-stream-N.img` carry their data as payload. Field
//! numbers are those of CRIU 4.2's `images/{sk-*,packet-sock,tcp-stream}.proto`.

use serde::{Deserialize, Serialize};

use super::file::FownEntry;
use crate::image::style::{
    As, Base64, Hex, Ip, Named, SockFamily, SockProto, SockState, SockType, Text, UnixName,
};

/// Options of socket(7) that every family has.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkOptsEntry {
    #[prost(uint32, required, tag = "1")]
    pub so_sndbuf: u32,
    #[prost(uint32, required, tag = "2")]
    pub so_rcvbuf: u32,
    #[prost(uint64, required, tag = "3")]
    pub so_snd_tmo_sec: u64,
    #[prost(uint64, required, tag = "4")]
    pub so_snd_tmo_usec: u64,
    #[prost(uint64, required, tag = "5")]
    pub so_rcv_tmo_sec: u64,
    #[prost(uint64, required, tag = "6")]
    pub so_rcv_tmo_usec: u64,
    #[prost(bool, optional, tag = "7")]
    pub reuseaddr: Option<bool>,
    #[prost(uint32, optional, tag = "8")]
    pub so_priority: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub so_rcvlowat: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub so_mark: Option<u32>,
    #[prost(bool, optional, tag = "11")]
    pub so_passcred: Option<bool>,
    #[prost(bool, optional, tag = "12")]
    pub so_passsec: Option<bool>,
    #[prost(bool, optional, tag = "13")]
    pub so_dontroute: Option<bool>,
    #[prost(bool, optional, tag = "14")]
    pub so_no_check: Option<bool>,
    #[prost(bytes = "vec", optional, tag = "15")]
    #[serde(with = "As::<Text>")]
    pub so_bound_dev: Option<Vec<u8>>,
    #[prost(fixed64, repeated, tag = "16", packed = "false")]
    pub so_filter: Vec<u64>,
    #[prost(bool, optional, tag = "17")]
    pub so_reuseport: Option<bool>,
    #[prost(bool, optional, tag = "18")]
    pub so_broadcast: Option<bool>,
    #[prost(bool, optional, tag = "19")]
    pub so_keepalive: Option<bool>,
    #[prost(uint32, optional, tag = "20")]
    pub tcp_keepcnt: Option<u32>,
    #[prost(uint32, optional, tag = "21")]
    pub tcp_keepidle: Option<u32>,
    #[prost(uint32, optional, tag = "22")]
    pub tcp_keepintvl: Option<u32>,
    #[prost(uint32, optional, tag = "23")]
    pub so_oobinline: Option<u32>,
    #[prost(uint32, optional, tag = "24")]
    pub so_linger: Option<u32>,
    #[prost(uint32, optional, tag = "25")]
    pub so_buf_lock: Option<u32>,
    /// Ours: options that the format has no field for and that are not as in a new socket.
    #[prost(message, repeated, tag = "10000")]
    pub others: Vec<SkOptionEntry>,
}

/// One option of setsockopt(2), in the numbers of the machine.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkOptionEntry {
    #[prost(int32, required, tag = "1")]
    pub level: i32,
    #[prost(int32, required, tag = "2")]
    pub name: i32,
    #[prost(bytes = "vec", required, tag = "3")]
    #[serde(with = "As::<Base64>")]
    pub value: Vec<u8>,
}

/// A process with its user and group, as `struct ucred` has them.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkUcredEntry {
    #[prost(int32, required, tag = "1")]
    pub pid: i32,
    #[prost(uint32, required, tag = "2")]
    pub uid: u32,
    #[prost(uint32, required, tag = "3")]
    pub gid: u32,
}

/// Directions closed by shutdown(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum SkShutdown {
    #[serde(rename = "NONE")]
    None = 0,
    #[serde(rename = "READ")]
    Read = 1,
    #[serde(rename = "WRITE")]
    Write = 2,
    #[serde(rename = "BOTH")]
    Both = 3,
}

/// Options of raw IP sockets.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpOptsRawEntry {
    #[prost(bool, optional, tag = "1")]
    pub hdrincl: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub nodefrag: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub checksum: Option<bool>,
    #[prost(uint32, repeated, tag = "4", packed = "false")]
    pub icmpv_filter: Vec<u32>,
}

/// Options of ip(7) and ipv6(7).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpOptsEntry {
    #[prost(bool, optional, tag = "1")]
    pub freebind: Option<bool>,
    #[prost(message, optional, tag = "4")]
    pub raw: Option<IpOptsRawEntry>,
    #[prost(bool, optional, tag = "5")]
    pub pktinfo: Option<bool>,
    #[prost(uint32, optional, tag = "6")]
    pub tos: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub ttl: Option<u32>,
}

/// An IPv4 or IPv6 socket; addresses are 32-bit words in network order.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InetSkEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub ino: u32,
    #[prost(uint32, required, tag = "3")]
    #[serde(with = "As::<SockFamily>")]
    pub family: u32,
    #[prost(uint32, required, tag = "4")]
    #[serde(with = "As::<SockType>")]
    pub r#type: u32,
    #[prost(uint32, required, tag = "5")]
    #[serde(with = "As::<SockProto>")]
    pub proto: u32,
    #[prost(uint32, required, tag = "6")]
    #[serde(with = "As::<SockState>")]
    pub state: u32,
    #[prost(uint32, required, tag = "7")]
    pub src_port: u32,
    #[prost(uint32, required, tag = "8")]
    pub dst_port: u32,
    #[prost(uint32, required, tag = "9")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(uint32, required, tag = "10")]
    pub backlog: u32,
    #[prost(uint32, repeated, tag = "11", packed = "false")]
    #[serde(with = "As::<Ip>")]
    pub src_addr: Vec<u32>,
    #[prost(uint32, repeated, tag = "12", packed = "false")]
    #[serde(with = "As::<Ip>")]
    pub dst_addr: Vec<u32>,
    #[prost(message, required, tag = "13")]
    pub fown: FownEntry,
    #[prost(message, required, tag = "14")]
    pub opts: SkOptsEntry,
    #[prost(bool, optional, tag = "15")]
    pub v6only: Option<bool>,
    #[prost(message, optional, tag = "16")]
    pub ip_opts: Option<IpOptsEntry>,
    #[prost(bytes = "vec", optional, tag = "17")]
    #[serde(with = "As::<Text>")]
    pub ifname: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "18")]
    pub ns_id: Option<u32>,
    #[prost(enumeration = "SkShutdown", optional, tag = "19")]
    #[serde(with = "As::<Named<SkShutdown>>")]
    pub shutdown: Option<i32>,
    #[prost(message, optional, tag = "20")]
    pub tcp_opts: Option<TcpOptsEntry>,
    /// Ours: memberships of multicast groups.
    #[prost(message, repeated, tag = "10000")]
    pub groups: Vec<InetGroupEntry>,
    /// Ours: whose packets these are, for packet filters; fchown(2) sets it.
    #[prost(uint32, optional, tag = "10001")]
    pub uid: Option<u32>,
    /// Ours: its group.
    #[prost(uint32, optional, tag = "10002")]
    pub gid: Option<u32>,
    /// Ours: the machine of the dump did not have its address (IP_FREEBIND).
    #[prost(bool, optional, tag = "10003")]
    pub foreign: Option<bool>,
    /// Ours: an error waits (SO_ERROR) in a connection that is over.
    #[prost(bool, optional, tag = "10004")]
    pub error: Option<bool>,
}

/// Membership of a multicast group on one interface. Addresses are 4 or 16 bytes in network order.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InetGroupEntry {
    /// Name of the interface.
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "As::<Text>")]
    pub ifname: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "2")]
    #[serde(with = "As::<Base64>")]
    pub group: Vec<u8>,
    /// MCAST_INCLUDE: packets of the sources only; else all but those.
    #[prost(bool, required, tag = "3")]
    pub include: bool,
    /// One after the other.
    #[prost(bytes = "vec", required, tag = "4")]
    #[serde(with = "As::<Base64>")]
    pub sources: Vec<u8>,
}

/// Options of tcp(7).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpOptsEntry {
    #[prost(bool, optional, tag = "1")]
    pub cork: Option<bool>,
    #[prost(bool, optional, tag = "2")]
    pub nodelay: Option<bool>,
    #[prost(uint32, optional, tag = "3")]
    pub keepcnt: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub keepidle: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub keepintvl: Option<u32>,
}

/// A connected TCP socket (TCP_REPAIR); both queues follow as payload.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpStreamEntry {
    #[prost(uint32, required, tag = "1")]
    pub inq_len: u32,
    #[prost(uint32, required, tag = "2")]
    pub inq_seq: u32,
    #[prost(uint32, required, tag = "3")]
    pub outq_len: u32,
    #[prost(uint32, required, tag = "4")]
    pub outq_seq: u32,
    /// TCPI_OPT_* bits.
    #[prost(uint32, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub opt_mask: u32,
    #[prost(uint32, required, tag = "6")]
    pub snd_wscale: u32,
    #[prost(uint32, required, tag = "7")]
    pub mss_clamp: u32,
    #[prost(uint32, optional, tag = "8")]
    pub rcv_wscale: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub timestamp: Option<u32>,
    #[prost(bool, optional, tag = "10")]
    pub cork: Option<bool>,
    #[prost(bool, optional, tag = "11")]
    pub nodelay: Option<bool>,
    #[prost(uint32, optional, tag = "12")]
    pub unsq_len: Option<u32>,
    #[prost(uint32, optional, tag = "13")]
    pub snd_wl1: Option<u32>,
    #[prost(uint32, optional, tag = "14")]
    pub snd_wnd: Option<u32>,
    #[prost(uint32, optional, tag = "15")]
    pub max_window: Option<u32>,
    #[prost(uint32, optional, tag = "16")]
    pub rcv_wnd: Option<u32>,
    #[prost(uint32, optional, tag = "17")]
    pub rcv_wup: Option<u32>,
}

/// Owner and mode of a bound socket.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilePermsEntry {
    #[prost(uint32, required, tag = "1")]
    pub mode: u32,
    #[prost(uint32, required, tag = "2")]
    pub uid: u32,
    #[prost(uint32, required, tag = "3")]
    pub gid: u32,
}

/// A unix(7) socket.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnixSkEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub ino: u32,
    #[prost(uint32, required, tag = "3")]
    #[serde(with = "As::<SockType>")]
    pub r#type: u32,
    #[prost(uint32, required, tag = "4")]
    #[serde(with = "As::<SockState>")]
    pub state: u32,
    #[prost(uint32, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(uint32, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub uflags: u32,
    #[prost(uint32, required, tag = "7")]
    pub backlog: u32,
    #[prost(uint32, required, tag = "8")]
    pub peer: u32,
    #[prost(message, required, tag = "9")]
    pub fown: FownEntry,
    #[prost(message, required, tag = "10")]
    pub opts: SkOptsEntry,
    #[prost(bytes = "vec", required, tag = "11")]
    #[serde(with = "As::<UnixName>")]
    pub name: Vec<u8>,
    #[prost(enumeration = "SkShutdown", optional, tag = "12")]
    #[serde(with = "As::<Named<SkShutdown>>")]
    pub shutdown: Option<i32>,
    #[prost(message, optional, tag = "13")]
    pub file_perms: Option<FilePermsEntry>,
    #[prost(bytes = "vec", optional, tag = "14")]
    #[serde(with = "As::<Text>")]
    pub name_dir: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "15")]
    pub deleted: Option<bool>,
    #[prost(uint32, optional, tag = "16")]
    pub ns_id: Option<u32>,
    #[prost(sint32, optional, tag = "17", default = "-1")]
    pub mnt_id: Option<i32>,
    /// Ours: what SO_PEERCRED says.
    #[prost(message, optional, tag = "10000")]
    pub peer_cred: Option<SkUcredEntry>,
    /// Ours: where the file of the socket is, if neither `name` nor `name_dir` tell.
    #[prost(bytes = "vec", optional, tag = "10001")]
    #[serde(with = "As::<Text>")]
    pub path: Option<Vec<u8>>,
    /// Ours: place in the queue of connections that `peer` has not accepted yet.
    #[prost(uint32, optional, tag = "10002")]
    pub pending: Option<u32>,
    /// Ours: the peer was closed with unread bytes, and this socket has not been told yet (ECONNRESET).
    #[prost(bool, optional, tag = "10003")]
    pub reset: Option<bool>,
    /// Ours: it had a peer, which was closed. Of a connectionless socket nothing else tells.
    #[prost(bool, optional, tag = "10004")]
    pub peer_closed: Option<bool>,
}

/// A netlink(7) socket.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetlinkSkEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub ino: u32,
    #[prost(uint32, required, tag = "3")]
    pub protocol: u32,
    #[prost(uint32, required, tag = "4")]
    pub state: u32,
    #[prost(uint32, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(uint32, required, tag = "7")]
    pub portid: u32,
    #[prost(uint32, repeated, tag = "8", packed = "false")]
    pub groups: Vec<u32>,
    #[prost(uint32, required, tag = "9")]
    pub dst_portid: u32,
    #[prost(uint32, required, tag = "10")]
    pub dst_group: u32,
    #[prost(message, required, tag = "11")]
    pub fown: FownEntry,
    #[prost(message, required, tag = "12")]
    pub opts: SkOptsEntry,
    #[prost(uint32, optional, tag = "13")]
    pub ns_id: Option<u32>,
    /// Ours: `SOCK_RAW`, which it is without this, or `SOCK_DGRAM`.
    #[prost(uint32, optional, tag = "10000")]
    pub kind: Option<u32>,
}

/// One membership of a packet socket.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacketMclist {
    #[prost(uint32, required, tag = "1")]
    pub index: u32,
    #[prost(uint32, required, tag = "2")]
    pub r#type: u32,
    #[prost(bytes = "vec", required, tag = "3")]
    #[serde(with = "As::<Base64>")]
    pub addr: Vec<u8>,
    /// Ours: the name of the interface, which has the number `index` on the machine of the dump.
    #[prost(bytes = "vec", optional, tag = "10000")]
    #[serde(with = "As::<Text>")]
    pub ifname: Option<Vec<u8>>,
}

/// A PACKET_RX_RING or PACKET_TX_RING.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacketRing {
    #[prost(uint32, required, tag = "1")]
    pub block_size: u32,
    #[prost(uint32, required, tag = "2")]
    pub block_nr: u32,
    #[prost(uint32, required, tag = "3")]
    pub frame_size: u32,
    #[prost(uint32, required, tag = "4")]
    pub frame_nr: u32,
    #[prost(uint32, required, tag = "5")]
    pub retire_tmo: u32,
    #[prost(uint32, required, tag = "6")]
    pub sizeof_priv: u32,
    #[prost(uint32, required, tag = "7")]
    pub features: u32,
}

/// A packet(7) socket.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacketSockEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub r#type: u32,
    #[prost(uint32, required, tag = "3")]
    pub protocol: u32,
    #[prost(uint32, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(uint32, required, tag = "5")]
    pub ifindex: u32,
    #[prost(message, required, tag = "6")]
    pub fown: FownEntry,
    #[prost(message, required, tag = "7")]
    pub opts: SkOptsEntry,
    #[prost(uint32, required, tag = "8")]
    pub version: u32,
    #[prost(uint32, required, tag = "9")]
    pub reserve: u32,
    #[prost(bool, required, tag = "10")]
    pub aux_data: bool,
    #[prost(bool, required, tag = "11")]
    pub orig_dev: bool,
    #[prost(bool, required, tag = "12")]
    pub vnet_hdr: bool,
    #[prost(bool, required, tag = "13")]
    pub loss: bool,
    #[prost(uint32, required, tag = "14")]
    pub timestamp: u32,
    #[prost(uint32, required, tag = "15")]
    pub copy_thresh: u32,
    #[prost(message, repeated, tag = "16")]
    pub mclist: Vec<PacketMclist>,
    #[prost(uint32, optional, tag = "17", default = "4294967295")]
    pub fanout: Option<u32>,
    #[prost(message, optional, tag = "18")]
    pub rx_ring: Option<PacketRing>,
    #[prost(message, optional, tag = "19")]
    pub tx_ring: Option<PacketRing>,
    #[prost(uint32, optional, tag = "20")]
    pub ns_id: Option<u32>,
    /// Ours: the inode, by which an inherited socket is named.
    #[prost(uint32, optional, tag = "10000")]
    pub ino: Option<u32>,
    /// Ours: the name of the interface, which has the number `ifindex` on the machine of the dump.
    #[prost(bytes = "vec", optional, tag = "10001")]
    #[serde(with = "As::<Text>")]
    pub ifname: Option<Vec<u8>>,
}

/// Ancillary data of a queued packet; `rights` are ids of files.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScmEntry {
    #[prost(uint32, required, tag = "1")]
    pub r#type: u32,
    #[prost(uint32, repeated, tag = "2", packed = "false")]
    pub rights: Vec<u32>,
}

/// One queued packet of a socket; `length` bytes follow.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SkPacketEntry {
    #[prost(uint32, required, tag = "1")]
    pub id_for: u32,
    #[prost(uint32, required, tag = "2")]
    pub length: u32,
    #[prost(message, repeated, tag = "4")]
    pub scm: Vec<ScmEntry>,
    /// Ours, in the place that CRIU reserves: the address of the sender, without its family.
    #[prost(bytes = "vec", optional, tag = "3")]
    #[serde(with = "As::<UnixName>")]
    pub addr: Option<Vec<u8>>,
    /// Ours, in the place that CRIU reserves: SCM_CREDENTIALS.
    #[prost(message, optional, tag = "128")]
    pub ucred: Option<SkUcredEntry>,
    /// Ours: the local address that the packet came to, 4 or 16 bytes in network order.
    #[prost(bytes = "vec", optional, tag = "10000")]
    #[serde(with = "As::<Base64>")]
    pub to: Option<Vec<u8>>,
}
