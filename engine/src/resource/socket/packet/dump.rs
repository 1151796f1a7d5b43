//! All sockets of packet(7) of a tree while it is dumped.
//!
//! What rings hold goes into a pagemap of their own, because CRIU takes no pages for a mapping that is not private.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::super::inet::interface_name;
use super::super::options;
use super::fill::Rings;
use super::{FANOUT, LEVELS, SOL_PACKET, content_id, judge, judge_mapping, ring_entry, rings};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry, PacketMclist, PacketSockEntry, pe};
use crate::image::{ImageDir, Kind, PageWriter};
use crate::kernel::packet_diag::{Membership, PacketSocket, packet_sockets};
use crate::kernel::pagemap::page_size;
use crate::report::NotKept;
use crate::resource::file::{Description, owner};
use crate::resource::namespace::HOST_NETWORK;
use crate::sys::fd::{readable, ready};
use crate::sys::socket::int_option;

/// Page images of rings are numbered from here, out of reach of all others.
const FIRST_PAGES_ID: u32 = 1 << 25;

/// The sockets of a tree so far.
#[derive(Debug, Default)]
pub struct PacketDump {
    /// All of our network namespace by inode, once they were asked for.
    listed: Option<HashMap<u32, PacketSocket>>,
    entries: Vec<PacketSockEntry>,
    /// By the id of the file.
    rings: Vec<(u32, OwnedFd, Rings)>,
    not_kept: Vec<NotKept>,
}

impl PacketDump {
    /// Reads a socket of our network namespace.
    pub fn add(&mut self, id: u32, d: &Description<'_>) -> Result<()> {
        let inode = d.stat.st_ino as u32;
        let listed = match &self.listed {
            Some(listed) => listed,
            None => self.listed.insert(packet_sockets()?),
        };
        let socket =
            listed.get(&inode).ok_or_else(|| Error::bug("a packet socket is not listed by sock_diag(7)"))?;
        if let Some(error) = judge(socket) {
            return Err(error);
        }
        self.entries.push(entry(id, d, socket)?);
        let rings = rings(socket).ok_or_else(|| Error::bug("a ring that cannot be is listed"))?;
        if !rings.layouts.is_empty() {
            refuse_unseen(&rings, &rings.read(d.fd.as_fd())?)?;
            self.rings.push((id, d.fd.try_clone().os(|| "duplicate a socket")?, rings));
        }
        if readable(d.fd.as_fd()).os(|| "ioctl FIONREAD")? > 0 {
            self.lose(d, "unread packets", "they are lost, as on a network");
        }
        if ready(d.fd.as_fd(), 0).os(|| "poll")? & libc::POLLERR != 0 {
            self.lose(d, "an error that waits (SO_ERROR)", "the next call does not fail with it");
        }
        Ok(())
    }

    fn lose(&mut self, d: &Description<'_>, what: &str, consequence: &str) {
        self.not_kept.push(NotKept {
            pid: d.pid,
            comm: d.comm.to_owned(),
            what: format!("{}: {what}", d.name()),
            consequence: consequence.to_owned(),
        });
    }

    /// The id of the socket that has the mapped rings; it must have been met.
    pub fn of_mapping(&self, inode: u64, offset: u64, len: u64) -> Result<u32> {
        let known = self.entries.iter().find(|entry| entry.ino == Some(inode as u32));
        let socket = known.and_then(|_| self.listed.as_ref()?.get(&(inode as u32)));
        match (known, judge_mapping(socket, offset, len)) {
            (Some(entry), None) => Ok(entry.id),
            (_, error) => Err(error.unwrap_or_else(|| Error::bug("a ring without a socket"))),
        }
    }

    /// What is lost.
    pub fn not_kept(&self) -> Vec<NotKept> {
        self.not_kept.clone()
    }

    /// Writes what the rings hold; gives the entries for `files.img`.
    pub fn finish(self, images: &ImageDir) -> Result<impl Iterator<Item = FileEntry>> {
        for ((id, fd, rings), pages_id) in self.rings.iter().zip(FIRST_PAGES_ID..) {
            let content = rings.read(fd.as_fd())?;
            refuse_unseen(rings, &content)?;
            write(images, Kind::PagemapShmem(content_id(*id)), pages_id, &content)?;
        }
        Ok(self.entries.into_iter().map(|psk| FileEntry {
            r#type: FdType::Packetsk.into(),
            id: psk.id,
            psk: Some(psk),
            ..FileEntry::default()
        }))
    }
}

/// Refuses a ring for sending in which the kernel is nobody knows where.
fn refuse_unseen(rings: &Rings, content: &[u8]) -> Result<()> {
    let mut to_send = rings.each().filter(|(_, layout)| layout.sends);
    if to_send.all(|(start, layout)| layout.next_to_send(content.get(start..).unwrap_or_default()).is_some())
    {
        return Ok(());
    }
    let reason = "has a ring for sending that has gone round: nothing shows which frame is next";
    Err(Error::new("E-SOCKET-RING", Blame::Program, reason)
        .help("dump while some of its frames wait to be sent, or let the program make a new ring"))
}

/// Writes the pages that are not all zero.
fn write(images: &ImageDir, kind: Kind, pages_id: u32, content: &[u8]) -> Result<()> {
    let page = page_size()?;
    let mut writer = PageWriter::create(images, kind, pages_id, page)?;
    for (bytes, number) in content.chunks(page as usize).zip(0..) {
        if bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        if let Some(offset) = writer.add(number * page, 1, pe::PRESENT)? {
            writer
                .file()
                .write_all_at(bytes, offset)
                .os(|| format!("write {}", Kind::Pages(pages_id).file_name()))?;
        }
    }
    writer.finish()
}

fn entry(id: u32, d: &Description<'_>, socket: &PacketSocket) -> Result<PacketSockEntry> {
    let fd = d.fd.as_fd();
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    // Only the descriptor tells the flags of the group, too, and only the list whether there is one.
    let fanout = match socket.fanout {
        Some(_) => Some(int_option(fd, SOL_PACKET, FANOUT).os(|| "getsockopt PACKET_FANOUT")? as u32),
        None => None,
    };
    Ok(PacketSockEntry {
        id,
        r#type: socket.kind as u32,
        // As socket(2) takes it.
        protocol: socket.protocol.to_be().into(),
        flags,
        ifindex: socket.interface,
        fown: owner::of(fd, flags)?,
        opts: options::dump(fd, &LEVELS)?,
        version: socket.version,
        reserve: socket.reserve,
        aux_data: socket.aux_data,
        orig_dev: socket.orig_dev,
        vnet_hdr: socket.vnet_hdr,
        loss: socket.loss,
        timestamp: socket.timestamp,
        copy_thresh: socket.copy_thresh,
        mclist: socket.memberships.iter().flat_map(memberships).collect(),
        fanout,
        rx_ring: socket.rx_ring.map(ring_entry),
        tx_ring: socket.tx_ring.map(ring_entry),
        ns_id: Some(HOST_NETWORK),
        ino: Some(d.stat.st_ino as u32),
        ifname: interface_name(socket.interface),
    })
}

/// The image has no number of times.
fn memberships(of: &Membership) -> impl Iterator<Item = PacketMclist> {
    let entry = PacketMclist {
        index: of.interface,
        r#type: of.kind.into(),
        addr: of.address.clone(),
        ifname: interface_name(of.interface),
    };
    std::iter::repeat_n(entry, of.count as usize)
}
