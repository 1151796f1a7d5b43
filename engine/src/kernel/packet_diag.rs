//! The packet(7) sockets of our network namespace, as sock_diag(7) lists them (net/packet/diag.c).
//!
//! It alone tells interface, memberships and rings. Numbers and structures: include/uapi/linux/packet_diag.h.

use std::collections::HashMap;

use super::netlink::{Netlink, attributes, word};
use super::sock_diag::{SOCK_DIAG_BY_FAMILY, absent};
use crate::error::Result;

const SHOW_INFO: u32 = 1;
const SHOW_MEMBERSHIPS: u32 = 2;
const SHOW_RINGS: u32 = 4;
const SHOW_FANOUT: u32 = 8;

const INFO: u16 = 0;
const MEMBERSHIPS: u16 = 1;
const RX_RING: u16 = 2;
const TX_RING: u16 = 3;
const FANOUT: u16 = 4;

/// `struct packet_diag_msg`
const MSG_LEN: usize = 16;
/// `struct packet_diag_mclist`: interface, count, type, length of the address, the address.
const MEMBERSHIP_LEN: usize = 44;
const MEMBERSHIP_ADDRESS: usize = 12;

/// Bits of `pdi_flags`.
const AUXDATA: u32 = 1 << 1;
const ORIGDEV: u32 = 1 << 2;
const VNETHDR: u32 = 1 << 3;
const LOSS: u32 = 1 << 4;

/// A packet(7) socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacketSocket {
    /// `SOCK_*`
    pub kind: i32,
    /// `ETH_P_*`, 0 if it hears nothing.
    pub protocol: u16,
    /// Number of its interface, 0 for all, -1 if that is gone.
    pub interface: u32,
    /// PACKET_VERSION
    pub version: u32,
    /// PACKET_RESERVE
    pub reserve: u32,
    /// PACKET_COPY_THRESH
    pub copy_thresh: u32,
    /// PACKET_TIMESTAMP
    pub timestamp: u32,
    /// PACKET_AUXDATA
    pub aux_data: bool,
    /// PACKET_ORIGDEV
    pub orig_dev: bool,
    /// PACKET_VNET_HDR
    pub vnet_hdr: bool,
    /// PACKET_LOSS
    pub loss: bool,
    /// PACKET_ADD_MEMBERSHIP
    pub memberships: Vec<Membership>,
    /// PACKET_FANOUT: number of the group, and from bit 16 on `PACKET_FANOUT_*`.
    pub fanout: Option<u32>,
    /// PACKET_RX_RING
    pub rx_ring: Option<Ring>,
    /// PACKET_TX_RING
    pub tx_ring: Option<Ring>,
}

/// What a socket has asked of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Its number.
    pub interface: u32,
    /// How often.
    pub count: u32,
    /// `PACKET_MR_*`
    pub kind: u16,
    /// The address, if the kind has one.
    pub address: Vec<u8>,
}

/// `struct packet_diag_ring`, the words of `struct tpacket_req3` in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring(pub [u32; 7]);

/// All packet sockets, by inode. `E-KERNEL-FEATURE` without CONFIG_PACKET_DIAG.
pub fn packet_sockets() -> Result<HashMap<u32, PacketSocket>> {
    // struct packet_diag_req: family, protocol, padding, inode, what to show, cookie.
    let mut request = vec![libc::AF_PACKET as u8, 0, 0, 0];
    let show = SHOW_INFO | SHOW_MEMBERSHIPS | SHOW_RINGS | SHOW_FANOUT;
    request.extend([0, show, u32::MAX, u32::MAX].into_iter().flat_map(u32::to_ne_bytes));
    let mut sockets = HashMap::new();
    Netlink::open(libc::NETLINK_SOCK_DIAG)?
        .dump(SOCK_DIAG_BY_FAMILY, &request, |message| {
            if let Some(socket) = packet_socket(message) {
                sockets.insert(word(message, 4), socket);
            }
        })
        .map_err(|e| absent(e, "CONFIG_PACKET_DIAG"))?;
    Ok(sockets)
}

fn packet_socket(message: &[u8]) -> Option<PacketSocket> {
    let [_, kind, low, high] = *message.first_chunk()?;
    let protocol = u16::from_ne_bytes([low, high]);
    let mut socket = PacketSocket { kind: kind.into(), protocol, ..PacketSocket::default() };
    for (attribute, content) in attributes(message.get(MSG_LEN..)?) {
        let ring = || Some(Ring(std::array::from_fn(|index| word(content, 4 * index))));
        match attribute {
            INFO => inform(&mut socket, content),
            MEMBERSHIPS => {
                socket.memberships = content.chunks_exact(MEMBERSHIP_LEN).filter_map(membership).collect();
            }
            FANOUT => socket.fanout = Some(word(content, 0)),
            RX_RING => socket.rx_ring = ring(),
            TX_RING => socket.tx_ring = ring(),
            _ => {}
        }
    }
    Some(socket)
}

/// `struct packet_diag_info`
fn inform(socket: &mut PacketSocket, content: &[u8]) {
    let [interface, version, reserve, copy_thresh, timestamp, flags] =
        std::array::from_fn(|index| word(content, 4 * index));
    let has = |flag| flags & flag != 0;
    (socket.interface, socket.version, socket.reserve) = (interface, version, reserve);
    (socket.copy_thresh, socket.timestamp) = (copy_thresh, timestamp);
    (socket.aux_data, socket.orig_dev) = (has(AUXDATA), has(ORIGDEV));
    (socket.vnet_hdr, socket.loss) = (has(VNETHDR), has(LOSS));
}

fn membership(bytes: &[u8]) -> Option<Membership> {
    let half = |at: usize| bytes.get(at..)?.first_chunk().map(|half| u16::from_ne_bytes(*half));
    let (kind, len) = (half(8)?, usize::from(half(10)?));
    let address = bytes.get(MEMBERSHIP_ADDRESS..)?.get(..len)?.to_vec();
    Some(Membership { interface: word(bytes, 0), count: word(bytes, 4), kind, address })
}
