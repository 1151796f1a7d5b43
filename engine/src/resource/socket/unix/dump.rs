//! All unix sockets of a tree while it is dumped.
//!
//! A socket is read when it is met; who is connected to whom is known when all were met ([`UnixDump::finish`]).

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::super::queue::{self, Message};
use super::super::{elsewhere, options, place};
use super::judge::{Judge, Member};
use super::{EXTERN, LISTEN};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry, FownEntry, SkPacketEntry, SkUcredEntry, UnixSkEntry};
use crate::kernel::sock_diag::{UnixSocket, unix_sockets};
use crate::kernel::{Pid, ProcDir};
use crate::options::DumpOptions;
use crate::report::NotKept;
use crate::resource::file::{Description, owner};
use crate::resource::namespace::HOST_NETWORK;
use crate::sys::socket::{Credentials, option};

/// The unix sockets of a tree so far.
#[derive(Debug, Default)]
pub struct UnixDump {
    sockets: Option<HashMap<u32, UnixSocket>>,
    entries: BTreeMap<u32, UnixSkEntry>,
    members: HashMap<u32, Member>,
    queues: Vec<(u32, Vec<Message>)>,
    packets: Vec<(SkPacketEntry, Vec<u8>)>,
    /// Processes that a kept state names: they should be in the tree.
    named: Vec<(Credentials, Member, &'static str)>,
}

impl UnixDump {
    /// Reads a socket, with what waits in it.
    pub fn add(&mut self, id: u32, d: &Description<'_>) -> Result<()> {
        let inode = d.stat.st_ino as u32;
        let sockets = match &mut self.sockets {
            Some(sockets) => sockets,
            // Now and not before: the tree stands still.
            none => none.insert(unix_sockets()?),
        };
        let seen = sockets.get(&inode).cloned().ok_or_else(elsewhere)?;
        let member = Member { pid: d.pid, comm: d.comm.to_owned(), name: d.name() };
        let entry = self.entry(id, &seen, d, &member)?;
        if seen.state != LISTEN {
            let messages = queue::peek(d.fd.as_fd(), seen.kind)?;
            for credentials in messages.iter().filter_map(|message| message.credentials) {
                self.named.push((credentials, member.clone(), "sender of an unread message"));
            }
            self.queues.push((id, messages));
        }
        self.members.insert(inode, member);
        self.entries.insert(inode, entry);
        Ok(())
    }

    fn entry(
        &mut self,
        id: u32,
        seen: &UnixSocket,
        d: &Description<'_>,
        member: &Member,
    ) -> Result<UnixSkEntry> {
        let fd = d.fd.as_fd();
        let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
        let mut entry = UnixSkEntry {
            id,
            ino: seen.inode,
            r#type: seen.kind as u32,
            state: seen.state,
            flags,
            backlog: if seen.state == LISTEN { seen.unsent } else { 0 },
            peer: seen.peer.unwrap_or(0),
            fown: owner::of(fd, flags)?,
            opts: options::dump(fd, &[])?,
            name: seen.name.clone().unwrap_or_default(),
            shutdown: (seen.shutdown != 0).then_some(seen.shutdown.into()),
            ns_id: Some(HOST_NETWORK),
            ..UnixSkEntry::default()
        };
        place::locate(fd, &mut entry)?;
        if let Some(credentials) = peer_credentials(d)? {
            entry.peer_cred =
                Some(SkUcredEntry { pid: credentials.pid, uid: credentials.uid, gid: credentials.gid });
            self.named.push((credentials, member.clone(), "peer (SO_PEERCRED)"));
        }
        if seen.peer == Some(0) {
            entry.peer_closed = Some(true);
            entry.reset = (seen.kind != libc::SOCK_DGRAM && has_error(d)?).then_some(true);
        }
        Ok(entry)
    }

    /// The next descriptors that are in flight to a socket, with the number of their message.
    pub fn next_in_flight(&mut self) -> Option<InFlight> {
        while let Some((id, messages)) = self.queues.pop() {
            let mut rest = messages.into_iter();
            while let Some(mut message) = rest.next() {
                if message.rights.is_empty() {
                    self.packets.push((queue::entry(id, &message, Vec::new()), message.bytes));
                    continue;
                }
                let rights = std::mem::take(&mut message.rights);
                self.queues.push((id, rest.collect()));
                return Some(InFlight { id, message, rights });
            }
        }
        None
    }

    /// Takes back what [`next_in_flight`](UnixDump::next_in_flight) has given, with the ids of the files.
    pub fn landed(&mut self, flight: InFlight, ids: Vec<u32>) {
        self.packets.push((queue::entry(flight.id, &flight.message, ids), flight.message.bytes));
    }

    /// What is known when all sockets were met.
    pub fn blockers(&self, options: &DumpOptions) -> Vec<Error> {
        match &self.sockets {
            Some(sockets) => Judge::new(sockets, &self.members, options).blockers(),
            None => Vec::new(),
        }
    }

    /// The entries for `files.img` and the messages for `sk-queues.img`. `allocate` gives ids for sockets outside of the
    /// tree.
    pub fn finish(
        mut self,
        mut allocate: impl FnMut() -> u32,
    ) -> (Vec<FileEntry>, Vec<(SkPacketEntry, Vec<u8>)>) {
        let sockets = self.sockets.take().unwrap_or_default();
        self.find_listeners(&sockets);
        let mut outside: BTreeMap<u32, UnixSkEntry> = BTreeMap::new();
        for entry in self.entries.values().filter(|entry| entry.peer != 0) {
            if !self.entries.contains_key(&entry.peer) {
                let name = sockets.get(&entry.peer).and_then(|peer| peer.name.clone()).unwrap_or_default();
                outside.entry(entry.peer).or_insert_with(|| external(allocate(), entry.peer, name));
            }
        }
        let files = self.entries.into_values().chain(outside.into_values()).map(file).collect();
        (files, self.packets)
    }

    /// A client that waits to be accepted has no peer yet: the image names the listening socket, as in CRIU's images.
    fn find_listeners(&mut self, sockets: &HashMap<u32, UnixSocket>) {
        let listeners: Vec<u32> = self.entries.keys().copied().collect();
        for listener in listeners.iter().filter_map(|inode| sockets.get(inode)) {
            for (place, client) in (0..).zip(&listener.pending) {
                if let Some(entry) = self.entries.get_mut(client) {
                    entry.peer = listener.inode;
                    entry.pending = Some(place);
                    entry.peer_closed = None;
                }
            }
        }
    }

    /// Processes that the program knows by its sockets and that will not be there; `tree` are those that will. One that is
    /// dead the restore can name again.
    pub fn not_kept(&self, tree: &[Pid]) -> Vec<NotKept> {
        let lives = |pid: Pid| pid == 0 || ProcDir::open(pid).is_ok();
        let is_lost = |pid: Pid| !tree.contains(&pid) && lives(pid);
        let lost = self.named.iter().filter(|(credentials, ..)| is_lost(credentials.pid));
        lost.map(|(credentials, member, what)| NotKept {
            pid: member.pid,
            comm: member.comm.clone(),
            what: format!("{}: its {what} is process {}, outside of the tree", member.name, credentials.pid),
            consequence: "after the restore that may be another process".to_owned(),
        })
        .collect()
    }
}

/// Descriptors on their way through a socket.
#[derive(Debug)]
pub struct InFlight {
    id: u32,
    message: Message,
    /// Ours, sharing the descriptions.
    pub rights: Vec<OwnedFd>,
}

fn file(usk: UnixSkEntry) -> FileEntry {
    FileEntry { r#type: FdType::Unixsk.into(), id: usk.id, usk: Some(usk), ..FileEntry::default() }
}

/// CRIU's way to say where a socket is connected to.
fn external(id: u32, ino: u32, name: Vec<u8>) -> UnixSkEntry {
    UnixSkEntry {
        id,
        ino,
        name,
        r#type: libc::SOCK_DGRAM as u32,
        state: LISTEN,
        uflags: EXTERN,
        fown: FownEntry::default(),
        ..UnixSkEntry::default()
    }
}

/// SO_PEERCRED, if there is a peer or will be.
fn peer_credentials(d: &Description<'_>) -> Result<Option<Credentials>> {
    let value = option(d.fd.as_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, size_of::<libc::ucred>())
        .os(|| "getsockopt SO_PEERCRED")?;
    let words: Vec<u32> = value.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
    Ok(match words[..] {
        [pid, uid, gid] if pid != 0 => Some(Credentials { pid: pid as i32, uid, gid }),
        _ => None,
    })
}

/// Whether an error waits; asking for it would take it away.
fn has_error(d: &Description<'_>) -> Result<bool> {
    let mut fds = [PollFd::new(d.fd.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).os(|| "poll")?;
    Ok(fds.iter().filter_map(PollFd::revents).any(|found| found.contains(PollFlags::POLLERR)))
}
