//! Sockets of netlink(7): their port, groups, peer and options. Everything is asked of a descriptor of ours that shares the
//! socket, and all are made again in our own process.
//!
//! A message that was not read is sent again from the port that it came from. Only the first one in a queue can be peeked
//! (SO_PEEK_OFF is not for netlink): that there is no other, the memory tells which it takes.
//!
//! Refused: several unread messages; one of the kernel, which nobody else can be (port 0), or to a group, which others would
//! hear again; and a port that another socket has at the restore. Not kept: what the kernel tells the groups between dump
//! and restore; connect(2) to the kernel, which is what an unconnected socket talks to, too; who has sent a message
//! (SCM_CREDENTIALS) to a socket without SO_PASSCRED.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::options;
use super::queue::{self, Queues};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry, NetlinkSkEntry, SkPacketEntry, SkUcredEntry};
use crate::image::{ImageDir, Kind};
use crate::kernel::Pid;
use crate::resource::file::reopen::set_flags;
use crate::resource::file::{Description, owner};
use crate::resource::namespace::HOST_NETWORK;
use crate::sys::fd::ready;
use crate::sys::socket::{self, Along, Credentials, int_option, option, receive, set_option};

/// include/uapi/linux/netlink.h
const ADD_MEMBERSHIP: i32 = 1;
const LIST_MEMBERSHIPS: i32 = 9;
/// include/uapi/asm-generic/socket.h, and the size of its words.
const SO_MEMINFO: i32 = 55;
const MEMINFO_ROOM: usize = 36;
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

/// The sockets of a tree so far.
#[derive(Debug, Default)]
pub struct NetlinkDump {
    entries: Vec<NetlinkSkEntry>,
    unread: Vec<Unread>,
}

/// A message, and the socket that has it.
#[derive(Debug)]
struct Unread {
    packet: SkPacketEntry,
    bytes: Vec<u8>,
    pid: Pid,
    comm: String,
    name: String,
}

impl NetlinkDump {
    /// Reads a socket, with the message that waits in it.
    ///
    /// # Errors
    /// `E-SOCKET-QUEUE` when that cannot be kept.
    pub fn add(&mut self, id: u32, d: &Description<'_>) -> Result<()> {
        let entry = entry(id, d)?;
        if ready(d.fd.as_fd(), libc::POLLIN).os(|| "poll")? & libc::POLLIN != 0 {
            let (packet, bytes) = unread(d.fd.as_fd(), &entry)?;
            let (comm, name) = (d.comm.to_owned(), d.name());
            self.unread.push(Unread { packet, bytes, pid: d.pid, comm, name });
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Messages of senders that live outside of the tree, and so have their ports at the restore, too.
    pub fn blockers(&self) -> Vec<Error> {
        let judged = self.unread.iter().filter_map(|Unread { packet, pid, comm, name, .. }| {
            let to = self.entries.iter().find(|entry| entry.id == packet.id_for)?;
            let port = sender(packet)?;
            let inside = self.entries.iter().any(|from| (from.protocol, from.portid) == (to.protocol, port));
            if inside || sender_at(to.protocol, port).is_ok() {
                return None;
            }
            let error =
                refuse(&format!("has an unread message of port {port}, of a program outside of the tree"));
            Some(error.on(name.clone()).task(*pid, comm))
        });
        judged.collect()
    }

    /// The entries for `files.img` and the messages for `sk-queues.img`.
    pub fn finish(self) -> (impl Iterator<Item = FileEntry>, impl Iterator<Item = (SkPacketEntry, Vec<u8>)>) {
        let file = |entry: NetlinkSkEntry| {
            let (id, nlsk) = (entry.id, Some(entry));
            FileEntry { r#type: FdType::Netlinksk.into(), id, nlsk, ..FileEntry::default() }
        };
        let packets = self.unread.into_iter().map(|unread| (unread.packet, unread.bytes));
        (self.entries.into_iter().map(file), packets)
    }
}

fn refuse(reason: &str) -> Error {
    Error::new("E-SOCKET-QUEUE", Blame::Program, reason).help("let the program read it before the dump")
}

/// The only message that waits in a socket.
fn unread(fd: BorrowedFd<'_>, to: &NetlinkSkEntry) -> Result<(SkPacketEntry, Vec<u8>)> {
    // A receiving call would take the error away.
    if ready(fd, 0).os(|| "poll")? & libc::POLLERR != 0 {
        return Err(refuse("has unread messages, and has lost some (ENOBUFS)"));
    }
    let peek =
        |buffer: &mut [u8]| receive(fd, buffer, libc::MSG_PEEK | libc::MSG_TRUNC).os(|| "recvmsg MSG_PEEK");
    let mut bytes = vec![0; peek(&mut [])?.len];
    let got = peek(&mut bytes)?;
    match parse(&got.name) {
        (0, _) => return Err(refuse("has an unread message of the kernel")),
        (_, groups) if groups != 0 => return Err(refuse("has an unread message to a group")),
        _ => {}
    }
    if memory(fd)? != memory_of_one(to.protocol, &bytes)? {
        return Err(refuse("has several unread messages, of which only the first can be seen"));
    }
    let entry = SkPacketEntry {
        id_for: to.id,
        length: bytes.len() as u32,
        addr: got.name.get(size_of::<libc::sa_family_t>()..).map(<[u8]>::to_vec),
        ucred: got.credentials.map(|c| SkUcredEntry { pid: c.pid, uid: c.uid, gid: c.gid }),
        ..SkPacketEntry::default()
    };
    Ok((entry, bytes))
}

/// What the unread messages of a socket take (SK_MEMINFO_RMEM_ALLOC).
fn memory(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut words = option(fd, libc::SOL_SOCKET, SO_MEMINFO, MEMINFO_ROOM).os(|| "getsockopt SO_MEMINFO")?;
    words.truncate(size_of::<u32>());
    Ok(words)
}

/// The same of a socket that has this message alone.
fn memory_of_one(protocol: u32, bytes: &[u8]) -> Result<Vec<u8>> {
    let (from, to) = (sender_at(protocol, 0)?, sender_at(protocol, 0)?);
    let (port, _) = parse(&socket::name(to.as_fd()).os(|| "getsockname")?);
    send(from.as_fd(), bytes, port, None)?;
    memory(to.as_fd())
}

/// A socket with this port; 0 lets the kernel choose.
fn sender_at(protocol: u32, port: u32) -> Result<OwnedFd> {
    let fd =
        socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol as i32).os(|| "make a netlink socket")?;
    bind(fd.as_fd(), port)?;
    Ok(fd)
}

fn send(fd: BorrowedFd<'_>, bytes: &[u8], to: u32, credentials: Option<Credentials>) -> Result<()> {
    let address = address(to, 0);
    queue::send(fd, bytes, &Along { address: &address, credentials, ..Along::default() })
}

/// The port that a message has come from.
fn sender(packet: &SkPacketEntry) -> Option<u32> {
    // Behind two bytes of padding.
    let port = packet.addr.as_deref()?.get(2..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*port))
}

fn entry(id: u32, d: &Description<'_>) -> Result<NetlinkSkEntry> {
    let fd = d.fd.as_fd();
    let protocol = int_option(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL).os(|| "getsockopt SO_PROTOCOL")?;
    let kind = int_option(fd, libc::SOL_SOCKET, libc::SO_TYPE).os(|| "getsockopt SO_TYPE")?;
    let (portid, _) = parse(&socket::name(fd).os(|| "getsockname")?);
    let (dst_portid, dst_groups) = parse(&socket::peer(fd).os(|| "getpeername")?);
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    Ok(NetlinkSkEntry {
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
    })
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
    /// Those of the caller's, which are ready.
    inherited: Vec<u32>,
    queues: Option<Queues>,
}

impl NetlinkRestore {
    /// Takes the sockets among the entries of `files.img`.
    pub fn load<'e>(images: &ImageDir, listed: impl Iterator<Item = &'e FileEntry>) -> Result<Self> {
        let entries = listed.filter_map(|entry| entry.nlsk.clone()).collect();
        Ok(NetlinkRestore { entries, queues: Some(Queues::load(images)?), ..NetlinkRestore::default() })
    }

    /// If there is a socket of this inode, it is `fd`.
    pub fn inherit(&mut self, inode: u32, fd: &Rc<OwnedFd>) {
        if let Some(entry) = self.entries.iter().find(|entry| entry.ino == inode) {
            self.made.insert(entry.id, Rc::clone(fd));
            self.inherited.push(entry.id);
        }
    }

    /// Makes every socket, with its port and groups.
    pub fn make(&mut self) -> Result<()> {
        for entry in &self.entries {
            if let Entry::Vacant(slot) = self.made.entry(entry.id) {
                slot.insert(Rc::new(make(entry).map_err(|e| e.on(shown(entry)))?));
            }
        }
        Ok(())
    }

    /// Sends the messages that waited.
    pub fn fill(&mut self) -> Result<()> {
        let Some(queues) = &mut self.queues else { return Ok(()) };
        for to in &self.entries {
            for packet in queues.take(to.id) {
                let malformed =
                    || Error::image(Kind::SkQueues.file_name(), "a message of netlink has no sender");
                let port = sender(&packet.entry).filter(|port| *port != 0).ok_or_else(malformed)?;
                let is_sender = |from: &&NetlinkSkEntry| (from.protocol, from.portid) == (to.protocol, port);
                let known = self.entries.iter().find(is_sender).and_then(|from| self.made.get(&from.id));
                let from = match known {
                    Some(known) => Rc::clone(known),
                    // It is gone: one with its port says the same.
                    None => Rc::new(sender_at(to.protocol, port).map_err(|e| e.on(shown(to)))?),
                };
                send(from.as_fd(), &queues.bytes(&packet)?, to.portid, packet.credentials())
                    .map_err(|e| e.on(shown(to)))?;
            }
        }
        Ok(())
    }

    /// Gives all sockets their peers and options.
    pub fn finish(&mut self) -> Result<()> {
        for entry in self.entries.iter().filter(|entry| !self.inherited.contains(&entry.id)) {
            let Some(fd) = self.made.get(&entry.id) else { continue };
            finish(entry, fd.as_fd()).map_err(|e| e.on(shown(entry)))?;
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
        bind(borrowed, entry.portid)?;
    }
    let bits = |word: u32| (0..32).filter(move |bit| word & 1 << bit != 0);
    for group in
        entry.groups.iter().zip(0..).flat_map(|(word, at)| bits(*word).map(move |bit| at * 32 + bit + 1))
    {
        let number: i32 = group;
        set_option(borrowed, libc::SOL_NETLINK, ADD_MEMBERSHIP, &number.to_ne_bytes())
            .os(|| format!("join group {number}"))?;
    }
    Ok(fd)
}

fn bind(fd: BorrowedFd<'_>, port: u32) -> Result<()> {
    socket::bind(fd, &address(port, 0)).map_err(|e| match e.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            let reason = format!("the port {port} belongs to another socket");
            Error::new("E-SOCKET-NAME-TAKEN", Blame::Environment, reason).help(
                "end the program that has it (/proc/net/netlink), or restore in another network namespace",
            )
        }
        _ => Error::os(format!("bind to port {port}"), e),
    })
}

fn finish(entry: &NetlinkSkEntry, fd: BorrowedFd<'_>) -> Result<()> {
    if entry.state == CONNECTED {
        let mask = entry.dst_group.checked_sub(1).and_then(|bit| 1u32.checked_shl(bit)).unwrap_or(0);
        socket::connect(fd, &address(entry.dst_portid, mask))
            .os(|| format!("connect to port {} and groups {mask:#x}", entry.dst_portid))?;
    }
    options::restore(fd, &entry.opts)?;
    set_flags(fd, entry.flags)
}

/// How messages name a socket.
fn shown(entry: &NetlinkSkEntry) -> String {
    format!("netlink socket of protocol {}, port {}", entry.protocol, entry.portid)
}
