//! Sockets of netlink(7): their port, groups, peer and options. Everything is asked of a descriptor of ours that shares the
//! socket, and all are made again in our own process.
//!
//! Refused: messages that were not read, whose sender, mostly the kernel, nobody else can be; and a port that another socket
//! has at the restore. Not kept: what the kernel tells the groups between dump and restore; connect(2) to the kernel, which
//! is what an unconnected socket talks to, too.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::{HOST_NETWORK, options};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::Kind;
use crate::image::message::{FdType, FileEntry, NetlinkSkEntry};
use crate::resource::file::reopen::set_flags;
use crate::resource::file::{Description, owner};
use crate::sys::fd::ready;
use crate::sys::socket::{self, int_option, option, set_option};

/// include/uapi/linux/netlink.h
const ADD_MEMBERSHIP: i32 = 1;
const LIST_MEMBERSHIPS: i32 = 9;
/// Bytes for more groups than any protocol has.
const GROUPS_ROOM: usize = 128;
/// NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS, NETLINK_LISTEN_ALL_NSID, NETLINK_CAP_ACK, NETLINK_EXT_ACK,
/// NETLINK_GET_STRICT_CHK
const LEVELS: [(i32, i32, usize); 7] = [
    (libc::SOL_NETLINK, 3, 4),
    (libc::SOL_NETLINK, 4, 4),
    (libc::SOL_NETLINK, 5, 4),
    (libc::SOL_NETLINK, 8, 4),
    (libc::SOL_NETLINK, 10, 4),
    (libc::SOL_NETLINK, 11, 4),
    (libc::SOL_NETLINK, 12, 4),
];
/// States of net/netlink/af_netlink.h.
const UNCONNECTED: u32 = 0;
const CONNECTED: u32 = 1;

/// Reads a socket.
///
/// # Errors
/// `E-SOCKET-QUEUE` when a message waits.
pub fn dump(id: u32, d: &Description<'_>) -> Result<FileEntry> {
    let fd = d.fd.as_fd();
    if ready(fd, libc::POLLIN).os(|| "poll")? & libc::POLLIN != 0 {
        let reason = "is a netlink socket with messages that were not read";
        return Err(Error::new("E-SOCKET-QUEUE", Blame::Program, reason)
            .help("let the program read them before the dump"));
    }
    let protocol = int_option(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL).os(|| "getsockopt SO_PROTOCOL")?;
    let kind = int_option(fd, libc::SOL_SOCKET, libc::SO_TYPE).os(|| "getsockopt SO_TYPE")?;
    let (portid, _) = parse(&socket::name(fd).os(|| "getsockname")?);
    let (dst_portid, dst_groups) = parse(&socket::peer(fd).os(|| "getpeername")?);
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    let entry = NetlinkSkEntry {
        id,
        ino: d.stat.st_ino as u32,
        protocol: protocol as u32,
        state: if dst_portid | dst_groups == 0 { UNCONNECTED } else { CONNECTED },
        flags,
        portid,
        groups: groups(fd)?,
        dst_portid,
        // A number; the address has a mask.
        dst_group: if dst_groups == 0 { 0 } else { dst_groups.trailing_zeros() + 1 },
        fown: owner::of(fd, flags)?,
        opts: options::dump(fd, &LEVELS)?,
        ns_id: Some(HOST_NETWORK),
        kind: Some(kind as u32),
    };
    Ok(FileEntry { r#type: FdType::Netlinksk.into(), id, nlsk: Some(entry), ..FileEntry::default() })
}

/// Port and mask of groups of a `struct sockaddr_nl`.
fn parse(address: &[u8]) -> (u32, u32) {
    let word = |at: usize| {
        address.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_ne_bytes(*word))
    };
    (word(4), word(8))
}

fn address(portid: u32, groups: u32) -> Vec<u8> {
    let family = (libc::AF_NETLINK as libc::sa_family_t).to_ne_bytes();
    [&family[..], &[0; 2], &portid.to_ne_bytes(), &groups.to_ne_bytes()].concat()
}

/// Those that the socket hears, the first group in the lowest bit of the first word.
fn groups(fd: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let bytes = option(fd, libc::SOL_NETLINK, LIST_MEMBERSHIPS, GROUPS_ROOM);
    let bytes = bytes.os(|| "getsockopt NETLINK_LIST_MEMBERSHIPS")?;
    let mut words: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
    words.truncate(words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1));
    Ok(words)
}

/// The sockets of an image.
#[derive(Debug, Default)]
pub struct NetlinkRestore {
    entries: Vec<NetlinkSkEntry>,
    made: BTreeMap<u32, Rc<OwnedFd>>,
}

impl NetlinkRestore {
    /// Takes the sockets among the entries of `files.img`.
    pub fn load<'e>(listed: impl Iterator<Item = &'e FileEntry>) -> Self {
        let entries = listed.filter_map(|entry| entry.nlsk.clone()).collect();
        NetlinkRestore { entries, made: BTreeMap::new() }
    }

    /// If there is a socket of this inode, it is `fd`.
    pub fn inherit(&mut self, inode: u32, fd: &Rc<OwnedFd>) {
        if let Some(entry) = self.entries.iter().find(|entry| entry.ino == inode) {
            self.made.insert(entry.id, Rc::clone(fd));
        }
    }

    /// Makes every socket.
    pub fn make(&mut self) -> Result<()> {
        for entry in &self.entries {
            if let Entry::Vacant(slot) = self.made.entry(entry.id) {
                slot.insert(Rc::new(make(entry).map_err(|e| e.on(shown(entry)))?));
            }
        }
        Ok(())
    }

    /// The sockets by the ids of their files.
    pub fn opened(&self) -> impl Iterator<Item = (u32, Rc<OwnedFd>)> {
        self.made.iter().map(|(id, fd)| (*id, Rc::clone(fd)))
    }
}

fn make(entry: &NetlinkSkEntry) -> Result<OwnedFd> {
    let kind = entry.kind.unwrap_or(libc::SOCK_RAW as u32) as i32;
    if !matches!(kind, libc::SOCK_RAW | libc::SOCK_DGRAM) || entry.groups.len() > GROUPS_ROOM / 4 {
        return Err(Error::image(Kind::Files.file_name(), "has no type or groups of netlink"));
    }
    let fd = socket::socket(libc::AF_NETLINK, kind, entry.protocol as i32).os(|| "make the socket")?;
    let borrowed = fd.as_fd();
    if entry.portid != 0 {
        socket::bind(borrowed, &address(entry.portid, 0)).map_err(|e| match e.raw_os_error() {
            Some(libc::EADDRINUSE) => {
                let reason = format!("its port {} belongs to another socket", entry.portid);
                Error::new("E-SOCKET-NAME-TAKEN", Blame::Environment, reason)
                    .help("end the program that has it (/proc/net/netlink), or restore in another network namespace")
            }
            _ => Error::os(format!("bind to port {}", entry.portid), e),
        })?;
    }
    let bits = |word: u32| (0..32).filter(move |bit| word & 1 << bit != 0);
    for group in
        entry.groups.iter().zip(0..).flat_map(|(word, at)| bits(*word).map(move |bit| at * 32 + bit + 1))
    {
        let number: i32 = group;
        set_option(borrowed, libc::SOL_NETLINK, ADD_MEMBERSHIP, &number.to_ne_bytes())
            .os(|| format!("join group {number}"))?;
    }
    if entry.state == CONNECTED {
        let mask = entry.dst_group.checked_sub(1).and_then(|bit| 1u32.checked_shl(bit)).unwrap_or(0);
        socket::connect(borrowed, &address(entry.dst_portid, mask))
            .os(|| format!("connect to port {} and groups {mask:#x}", entry.dst_portid))?;
    }
    options::restore(borrowed, &entry.opts)?;
    set_flags(borrowed, entry.flags)?;
    Ok(fd)
}

/// How messages name a socket.
fn shown(entry: &NetlinkSkEntry) -> String {
    format!("netlink socket of protocol {}, port {}", entry.protocol, entry.portid)
}
