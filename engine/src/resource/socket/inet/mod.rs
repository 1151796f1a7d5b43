//! Sockets of ip(7) and ipv6(7): TCP, UDP, UDP-Lite, raw and ICMP sockets.
//!
//! Everything is asked of a descriptor of ours that shares the socket, and all are made again in our own process.
//!
//! | module | what it does |
//! |---|---|
//! | [`dump`], [`restore`] | all such sockets of a tree |
//! | [`judge`] | which of them cannot be kept, for survey and dump alike |
//! | `levels` | the options of each protocol |
//! | `multicast` | memberships of groups |
//! | [`tcp`] | connections in repair mode |
//! | `closing` | those that one end has closed, or both |
//! | [`connections`] | all of them while the tree is dumped |
//! | `datagram` | packets that wait to be read |
//! | `address` | addresses in calls and in images |
//!
//! Not kept: errors that wait (SO_ERROR, MSG_ERRQUEUE); unread packets of raw and ICMP sockets, which only their reader
//! can take; times, labels and interfaces of unread packets.

mod address;
mod closing;
pub(super) use address::{interface, interface_name, octets};
pub mod connections;
mod datagram;
pub mod dump;
pub mod judge;
mod levels;
mod multicast;
pub(super) use multicast::no_interface;
pub mod restore;
pub mod tcp;

/// States of include/net/tcp_states.h, which the image has for every protocol.
pub(super) const ESTABLISHED: u32 = 1;
pub(super) const SYN_SENT: u32 = 2;
const FIN_WAIT1: u32 = 4;
const FIN_WAIT2: u32 = 5;
pub(super) const CLOSE: u32 = 7;
const CLOSE_WAIT: u32 = 8;
const LAST_ACK: u32 = 9;
pub(super) const LISTEN: u32 = 10;
const CLOSING: u32 = 11;
