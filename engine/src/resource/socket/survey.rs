//! All sockets of a running tree, and which of them cannot be kept.
//!
//! The kernel shows what protocol a descriptor has by an extended attribute of its link in /proc (sockfs_xattr_get in
//! net/socket.c), so that none has to be taken.

use std::collections::{BTreeMap, HashMap};

use super::unix::judge::{Judge, Member};
use super::{inet, packet, unsupported};
use crate::error::{Error, Result};
use crate::kernel::ProcDir;
use crate::kernel::fdinfo::FdInfo;
use crate::kernel::packet_diag::packet_sockets;
use crate::kernel::smaps::Vma;
use crate::kernel::sock_diag::{tcp_sockets, unix_sockets};
use crate::options::DumpOptions;
use crate::resource::file::Seen;

const PROTOCOL: &str = "system.sockprotoname";

/// The sockets that a survey has met.
#[derive(Debug, Default)]
pub struct Sockets {
    members: HashMap<u32, Member>,
    tcp: BTreeMap<u32, Member>,
    packet: BTreeMap<u32, Member>,
    /// Mapped rings: inode, offset and length.
    rings: Vec<(u32, u64, u64, Member)>,
    /// Something is in flight: it may be the socket that another is connected to.
    in_flight: bool,
}

impl Sockets {
    /// Notes a socket of a task; an error if no socket of its kind can be kept.
    pub fn add(&mut self, proc: &ProcDir, comm: &str, seen: &Seen<'_>, info: &FdInfo) -> Result<()> {
        let protocol = proc.attribute(&format!("fd/{}", seen.number), PROTOCOL)?;
        let text = String::from_utf8_lossy(&protocol).trim_end_matches('\0').to_owned();
        let member = || Member { pid: proc.pid(), comm: comm.to_owned(), name: seen.name() };
        let inode = seen.stat.st_ino as u32;
        match text.as_str() {
            // Datagrams, and the others.
            "UNIX" | "UNIX-STREAM" => {
                self.in_flight |= has_rights(info);
                self.members.entry(inode).or_insert_with(member);
            }
            // What a socket of MPTCP has accepted bears its name, and is mostly TCP.
            "TCP" | "TCPv6" | "MPTCP" | "MPTCPv6" => {
                self.tcp.entry(inode).or_insert_with(member);
            }
            "PACKET" => {
                self.packet.entry(inode).or_insert_with(member);
            }
            "UDP" | "UDPv6" | "UDP-Lite" | "UDPLITEv6" | "RAW" | "RAWv6" | "PING" | "PINGv6" | "NETLINK" => {}
            _ => return Err(unsupported(&format!("of the protocol {text}")).on(seen.name())),
        }
        Ok(())
    }

    /// Notes a mapping of rings.
    pub fn add_rings(&mut self, proc: &ProcDir, comm: &str, name: String, vma: &Vma) {
        let member = Member { pid: proc.pid(), comm: comm.to_owned(), name };
        self.rings.push((vma.ino as u32, vma.offset, vma.end - vma.start, member));
    }

    /// What cannot be kept, now that all were met.
    pub fn blockers(&self, options: &DumpOptions) -> Result<Vec<Error>> {
        let mut blockers = self.tcp_blockers(options)?;
        blockers.extend(self.packet_blockers()?);
        // What is in flight only the dump can see; it judges for itself, and then gives everything back.
        if !self.members.is_empty() && !self.in_flight {
            blockers.extend(Judge::new(&unix_sockets()?, &self.members, options).blockers());
        }
        Ok(blockers)
    }

    fn tcp_blockers(&self, options: &DumpOptions) -> Result<Vec<Error>> {
        let sockets = if self.tcp.is_empty() { HashMap::new() } else { tcp_sockets()? };
        let judged = self.tcp.iter().filter_map(|(inode, member)| {
            // One that is not listed is closed.
            let seen = sockets.get(inode)?;
            let error = inet::judge::tcp(seen.state, seen.unread, options)?;
            Some(error.on(member.name.clone()).task(member.pid, &member.comm))
        });
        Ok(judged.collect())
    }

    fn packet_blockers(&self) -> Result<Vec<Error>> {
        let sockets = if self.packet.is_empty() { HashMap::new() } else { packet_sockets()? };
        let judged = self
            .packet
            .iter()
            .filter_map(|(inode, member)| Some((packet::judge(sockets.get(inode)?)?, member)));
        let mapped = self.rings.iter().filter_map(|(inode, offset, len, member)| {
            let socket = sockets.get(inode).filter(|_| self.packet.contains_key(inode));
            Some((packet::judge_mapping(socket, *offset, *len)?, member))
        });
        let named =
            |(error, member): (Error, &Member)| error.on(member.name.clone()).task(member.pid, &member.comm);
        Ok(judged.chain(mapped).map(named).collect())
    }
}

/// `scm_fds` of fdinfo: how many descriptors wait in the queue of a unix socket.
fn has_rights(info: &FdInfo) -> bool {
    let count = info.rest.iter().find_map(|line| line.strip_prefix(b"scm_fds:"));
    count.is_some_and(|count| count.trim_ascii() != b"0")
}
