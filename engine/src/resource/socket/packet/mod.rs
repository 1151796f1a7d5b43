//! Sockets of packet(7): what they hear and on which interface, their options, memberships and fanout group.
//!
//! Half of that only sock_diag(7) tells, the rest a descriptor of ours that shares the socket. All are made again in our own
//! process. A socket that is made without a protocol hears nothing: it gets that last, when its filter is in place. One of type
//! SOCK_PACKET has its protocol from the start, so it has a filter that lets nothing through until it is bound.
//!
//! | module | what it does |
//! |---|---|
//! | [`dump`], [`restore`] | all such sockets of a tree |
//! | `ring` | how a ring is laid out, and where the kernel is in it |
//! | `fill` | the content of rings, read and put back |
//!
//! Not kept: unread packets, which only their reader can take; PACKET_STATISTICS, which reading clears; how many members a
//! fanout group may have, which nothing shows.

pub mod dump;
mod fill;
pub mod restore;
mod ring;

use crate::error::{Blame, Error};
use crate::image::message::PacketRing;
use crate::kernel::packet_diag::{self, PacketSocket};
use fill::Rings;
use ring::Layout;

/// include/linux/net.h; the libc crate has it for some machines only.
const SOCK_PACKET: i32 = 10;

/// include/linux/socket.h
const SOL_PACKET: i32 = 263;

/// include/uapi/linux/if_packet.h
const ADD_MEMBERSHIP: i32 = 1;
const RX_RING: i32 = 5;
const STATISTICS: i32 = 6;
const COPY_THRESH: i32 = 7;
const AUXDATA: i32 = 8;
const ORIGDEV: i32 = 9;
const VERSION: i32 = 10;
const RESERVE: i32 = 12;
const TX_RING: i32 = 13;
const LOSS: i32 = 14;
const VNET_HDR: i32 = 15;
const TIMESTAMP: i32 = 17;
const FANOUT: i32 = 18;
const TX_HAS_OFF: i32 = 19;
const QDISC_BYPASS: i32 = 20;
const IGNORE_OUTGOING: i32 = 23;
const VNET_HDR_SZ: i32 = 24;

/// TPACKET_V3
const V3: u32 = 2;

/// Options that the image has no field for.
const LEVELS: [(i32, i32, usize); 4] = [
    (SOL_PACKET, TX_HAS_OFF, 4),
    (SOL_PACKET, QDISC_BYPASS, 4),
    (SOL_PACKET, IGNORE_OUTGOING, 4),
    (SOL_PACKET, VNET_HDR_SZ, 4),
];

/// Those of them that cannot be set any more when there is a ring.
const BEFORE_RINGS: [i32; 2] = [TX_HAS_OFF, VNET_HDR_SZ];

/// PACKET_FANOUT_CBPF and PACKET_FANOUT_EBPF.
const FANOUT_BY_PROGRAM: [u32; 2] = [6, 7];

/// The number of an interface that is gone (packet_notifier in net/packet/af_packet.c).
const GONE: u32 = u32::MAX;

/// Why a socket cannot be kept.
pub(super) fn judge(socket: &PacketSocket) -> Option<Error> {
    if socket.interface == GONE {
        let reason = "is bound to an interface that is gone, and hears nothing any more";
        return Some(
            Error::new("E-SOCKET-ADDRESS", Blame::Program, reason)
                .help("let the program close it, or bind it to another interface"),
        );
    }
    if socket.fanout.is_some_and(|fanout| FANOUT_BY_PROGRAM.contains(&(fanout >> 16 & 0xff))) {
        let reason = "is in a fanout group that a BPF program distributes, which nothing shows";
        return Some(
            Error::new("E-SOCKET-FILTER", Blame::Program, reason)
                .help("let the program use another kind of group (PACKET_FANOUT_HASH)"),
        );
    }
    None
}

/// Why a mapping cannot be kept, `len` bytes from `offset` on of the rings of a socket; `None` for a socket that no descriptor
/// of the tree leads to.
pub(super) fn judge_mapping(socket: Option<&PacketSocket>, offset: u64, len: u64) -> Option<Error> {
    let refuse = |reason, help| Some(Error::new("E-VMA-SOCKET", Blame::Program, reason).help(help));
    let Some(socket) = socket else {
        return refuse(
            "is the ring of a packet socket that the process has closed",
            "let the program keep the descriptor open, or unmap the ring",
        );
    };
    match rings(socket) {
        Some(rings) if offset == 0 && rings.len() as u64 == len => None,
        _ => refuse("is a part of the rings of a packet socket", "let the program map them whole"),
    }
}

/// The rings that a socket has.
fn rings(socket: &PacketSocket) -> Option<Rings> {
    rings_of(socket.version, &socket.rx_ring.map(ring_entry), &socket.tx_ring.map(ring_entry))
}

fn ring_entry(packet_diag::Ring(words): packet_diag::Ring) -> PacketRing {
    let [block_size, block_nr, frame_size, frame_nr, retire_tmo, sizeof_priv, features] = words;
    PacketRing { block_size, block_nr, frame_size, frame_nr, retire_tmo, sizeof_priv, features }
}

/// `None` if there cannot be such rings.
fn rings_of(version: u32, rx: &Option<PacketRing>, tx: &Option<PacketRing>) -> Option<Rings> {
    let both = [(rx, false), (tx, true)].into_iter();
    let there = both.filter_map(|(ring, sends)| Some(Layout::of(version, ring.as_ref()?, sends)));
    Some(Rings { layouts: there.collect::<Option<_>>()? })
}

/// The number of what the rings of a file hold, among those of all kinds of shared memory: beyond the others.
fn content_id(file: u32) -> u64 {
    1 << 32 | u64::from(file)
}

#[cfg(test)]
mod tests;
