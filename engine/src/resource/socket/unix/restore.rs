//! All unix sockets of a tree while it is restored.
//!
//! Every socket is made and bound first ([`UnixRestore::make`]), then the queues are filled ([`UnixRestore::fill`]),
//! for which other files may be opened: what is in flight may be a socket itself, even the one that it is in flight to.
//! Connections of datagram sockets, options and shutdowns would stand in the way of filling, and come last
//! ([`UnixRestore::finish`]).
//!
//! A connected stream whose server side has a name was accepted there: it is accepted there again, because that is how
//! a socket gets a name that is not its own. If nobody listens there any more, a helper does for a moment.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;

use super::super::options;
use super::super::place::{self, Way, reach, shown};
use super::super::queue::{self, Packet, Queues};
use super::{Call, ESTABLISHED, EXTERN, LISTEN, Tasks};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FileEntry, SkShutdown, UnixSkEntry};
use crate::image::{ImageDir, Kind};
use crate::kernel::Pid;
use crate::log_warn;
use crate::resource::file::reopen::set_flags;
use crate::sys::socket::{self, Along, Credentials};

/// What a bound socket is known by: type, name, directory, whether its file is gone.
type Place = (u32, Vec<u8>, Option<Vec<u8>>, bool);

/// The unix sockets of an image. Dropped before [`commit`](UnixRestore::commit), it removes the files that it has made.
#[derive(Debug)]
pub struct UnixRestore {
    /// By inode.
    entries: BTreeMap<u32, UnixSkEntry>,
    made: HashMap<u32, Rc<OwnedFd>>,
    queues: Queues,
    /// Peers that were closed, until the queues of the others are filled.
    closed: HashMap<u32, OwnedFd>,
    /// Listening sockets that are gone, until everybody has connected.
    gone: HashMap<Place, OwnedFd>,
    files: Vec<PathBuf>,
}

impl UnixRestore {
    /// Takes the unix sockets among the entries of `files.img`.
    pub fn load<'e>(images: &ImageDir, listed: impl Iterator<Item = &'e FileEntry>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for entry in listed.filter_map(|entry| entry.usk.as_ref()) {
            let is_possible = place::is_possible(&entry.name) && entry.ino != 0;
            if !is_possible || entries.insert(entry.ino, entry.clone()).is_some() {
                return Err(bad(entry, "has a bad name or inode"));
            }
        }
        for entry in entries.values().filter(|entry| entry.peer != 0) {
            if !entries.contains_key(&entry.peer) {
                return Err(bad(entry, "has a peer that is not there"));
            }
        }
        let (made, closed, gone, files) = (HashMap::new(), HashMap::new(), HashMap::new(), Vec::new());
        Ok(UnixRestore { entries, made, queues: Queues::load(images)?, closed, gone, files })
    }

    /// If there is a socket of this inode, it is `fd`.
    pub fn inherit(&mut self, inode: u32, fd: &Rc<OwnedFd>) {
        if self.entries.contains_key(&inode) {
            self.made.insert(inode, Rc::clone(fd));
        }
    }

    /// The processes that are named as peers or senders.
    pub fn named(&self) -> impl Iterator<Item = Pid> {
        let peers = self.entries.values().filter_map(|entry| entry.peer_cred.map(|cred| cred.pid));
        peers.chain(self.queues.senders())
    }

    /// Makes every socket, with its name and, of streams, its connection.
    pub fn make(&mut self, tasks: &mut dyn Tasks) -> Result<()> {
        let all: Vec<UnixSkEntry> = self.entries.values().cloned().collect();
        let datagram = |entry: &&UnixSkEntry| entry.r#type == libc::SOCK_DGRAM as u32;
        let ours = |entry: &&UnixSkEntry| entry.uflags & EXTERN == 0;
        let on = |entry: &UnixSkEntry, done: Result<()>| done.map_err(|e| e.on(shown(entry)));
        for entry in all.iter().filter(ours).filter(|entry| entry.state == LISTEN) {
            on(entry, self.make_listener(entry, tasks))?;
        }
        for entry in all.iter().filter(ours).filter(datagram) {
            on(entry, self.make_datagram(entry, tasks))?;
        }
        let mut pending = Vec::new();
        for entry in all.iter().filter(ours).filter(|entry| !datagram(entry) && entry.state != LISTEN) {
            match self.entries.get(&entry.peer) {
                Some(peer) if peer.state == LISTEN && peer.uflags & EXTERN == 0 => pending.push(entry),
                _ => on(entry, self.make_stream(entry, tasks))?,
            }
        }
        pending.sort_by_key(|entry| (entry.peer, entry.pending, entry.id));
        for entry in pending {
            on(entry, self.make_pending(entry, tasks))?;
        }
        self.gone.clear();
        all.iter().filter(|entry| entry.state == LISTEN).filter(ours).try_for_each(|entry| {
            let (fd, who) = (self.fd(entry.ino)?, who(entry, tasks));
            // While connections were made the queue had to be long enough for all.
            call(tasks, who, fd.as_fd(), Call::Listen(entry.backlog))
        })
    }

    /// The sockets by the ids of their files.
    pub fn opened(&self) -> impl Iterator<Item = (u32, Rc<OwnedFd>)> {
        self.made.iter().filter_map(|(inode, fd)| Some((self.entries.get(inode)?.id, Rc::clone(fd))))
    }

    fn fd(&self, inode: u32) -> Result<Rc<OwnedFd>> {
        self.made.get(&inode).cloned().ok_or_else(|| Error::bug(format!("socket {inode} was not made")))
    }

    fn keep(&mut self, entry: &UnixSkEntry, fd: OwnedFd) -> Result<()> {
        options::make_room(fd.as_fd())?;
        self.made.insert(entry.ino, Rc::new(fd));
        Ok(())
    }

    fn bind(&mut self, fd: BorrowedFd<'_>, entry: &UnixSkEntry) -> Result<()> {
        self.files.extend(place::bind(fd, entry)?);
        Ok(())
    }

    fn make_bound(&mut self, entry: &UnixSkEntry) -> Result<Rc<OwnedFd>> {
        let fd = socket::socket(libc::AF_UNIX, entry.r#type as i32, 0).os(|| "socket AF_UNIX")?;
        self.bind(fd.as_fd(), entry)?;
        self.keep(entry, fd)?;
        self.fd(entry.ino)
    }

    fn make_listener(&mut self, entry: &UnixSkEntry, tasks: &mut dyn Tasks) -> Result<()> {
        if self.made.contains_key(&entry.ino) {
            return Ok(());
        }
        let fd = self.make_bound(entry)?;
        let waiting = self.entries.values().filter(|client| client.peer == entry.ino).count() as u32;
        let who = who(entry, tasks);
        call(tasks, who, fd.as_fd(), Call::Listen(entry.backlog.max(waiting)))
    }

    /// A pair, if it was one, or if nothing else leads to the peer; else a socket, which is connected at the end.
    fn make_datagram(&mut self, entry: &UnixSkEntry, tasks: &mut dyn Tasks) -> Result<()> {
        if self.made.contains_key(&entry.ino) {
            return Ok(());
        }
        let peer = self.other_half(entry).cloned();
        let lone = entry.peer == 0 && (entry.peer_closed == Some(true) || self.is_unreachable(entry));
        if peer.is_none() && !lone {
            return self.make_bound(entry).map(drop);
        }
        let who = who(entry, tasks);
        let [one, other] = pair(tasks, who, libc::SOCK_DGRAM)?;
        self.bind(one.as_fd(), entry)?;
        self.keep(entry, one)?;
        match peer {
            Some(peer) => {
                self.bind(other.as_fd(), &peer)?;
                self.keep(&peer, other)?;
                self.part(entry, &peer)?;
                self.part(&peer, entry)
            }
            None => {
                if entry.peer_closed != Some(true) {
                    disconnect(self.fd(entry.ino)?.as_fd(), entry)?;
                }
                options::make_room(other.as_fd())?;
                self.closed.insert(entry.ino, other);
                Ok(())
            }
        }
    }

    /// The socket that can only be connected by making both as a pair.
    fn other_half(&self, entry: &UnixSkEntry) -> Option<&UnixSkEntry> {
        let is_free = |other: &&UnixSkEntry| {
            other.ino != entry.ino && other.uflags & EXTERN == 0 && !self.made.contains_key(&other.ino)
        };
        if entry.peer == 0 && entry.name.is_empty() {
            return self.entries.values().filter(is_free).find(|other| other.peer == entry.ino);
        }
        let peer = self.entries.get(&entry.peer).filter(is_free);
        peer.filter(|peer| peer.peer == entry.ino || peer.name.is_empty())
    }

    /// Has a half leave a pair, if it did so. Now, while nothing waits: what a socket has to read would be gone with its peer
    /// (net/unix/af_unix.c, unix_dgram_disconnected).
    fn part(&self, entry: &UnixSkEntry, from: &UnixSkEntry) -> Result<()> {
        if entry.peer == from.ino {
            return Ok(());
        }
        disconnect(self.fd(entry.ino)?.as_fd(), entry)
    }

    /// Has something in its queue, but no name by which it could be sent there.
    fn is_unreachable(&self, entry: &UnixSkEntry) -> bool {
        let pointed_at = self.entries.values().any(|other| other.peer == entry.ino);
        entry.name.is_empty() && !pointed_at && self.queues.has(entry.id)
    }

    fn make_stream(&mut self, entry: &UnixSkEntry, tasks: &mut dyn Tasks) -> Result<()> {
        if self.made.contains_key(&entry.ino) {
            return Ok(());
        }
        if entry.state != ESTABLISHED {
            return self.make_bound(entry).map(drop);
        }
        match self.entries.get(&entry.peer).cloned() {
            Some(outside) if outside.uflags & EXTERN != 0 => self.connect_outside(entry, &outside),
            Some(peer) => self.make_connected(entry, &peer, tasks),
            None => {
                let (server, client) = self.connected(entry, None, tasks)?;
                self.keep(entry, server)?;
                options::make_room(client.as_fd())?;
                self.closed.insert(entry.ino, client);
                Ok(())
            }
        }
    }

    fn make_connected(
        &mut self,
        one: &UnixSkEntry,
        other: &UnixSkEntry,
        tasks: &mut dyn Tasks,
    ) -> Result<()> {
        if other.peer != one.ino || other.ino == one.ino {
            return Err(bad(one, "is connected to a socket that is not connected to it"));
        }
        let listens = |entry: &UnixSkEntry| self.listener(entry).is_some();
        let accepted_is_one = match (one.name.is_empty(), other.name.is_empty()) {
            (_, true) => true,
            (true, false) => false,
            (false, false) => listens(one) || !listens(other),
        };
        let (server, client) = if accepted_is_one { (one, other) } else { (other, one) };
        let (accepted, connected) = self.connected(server, Some(client), tasks)?;
        self.keep(server, accepted)?;
        self.keep(client, connected)
    }

    /// A listening socket of the tree that may have accepted this one.
    fn listener(&self, entry: &UnixSkEntry) -> Option<Rc<OwnedFd>> {
        let found = self.entries.values().find(|other| {
            other.state == LISTEN && other.uflags & EXTERN == 0 && place_of(other) == place_of(entry)
        });
        found.and_then(|found| self.made.get(&found.ino).cloned())
    }

    /// The two ends of a connection: the one that was accepted, if it has a name, and the other.
    fn connected(
        &mut self,
        server: &UnixSkEntry,
        client: Option<&UnixSkEntry>,
        tasks: &mut dyn Tasks,
    ) -> Result<(OwnedFd, OwnedFd)> {
        let connects = who(server, tasks);
        if server.name.is_empty() {
            let [one, other] = pair(tasks, connects, server.r#type as i32)?;
            return Ok((one, other));
        }
        let listens = client.map_or(connects, |client| who(client, tasks));
        let listener = match self.listener(server) {
            Some(listener) => listener.try_clone().os(|| "duplicate a socket")?,
            None => self.helper(server, listens, tasks)?,
        };
        let fd = socket::socket(libc::AF_UNIX, server.r#type as i32, 0).os(|| "socket AF_UNIX")?;
        if let Some(client) = client {
            self.bind(fd.as_fd(), client)?;
        }
        let way = reach(listener.as_fd(), &server.name)?;
        call(tasks, connects, fd.as_fd(), Call::Connect(&way))?;
        Ok((socket::accept(listener.as_fd()).os(|| "accept")?, fd))
    }

    /// Listens in the place of a socket that is gone.
    fn helper(
        &mut self,
        server: &UnixSkEntry,
        who: Option<Credentials>,
        tasks: &mut dyn Tasks,
    ) -> Result<OwnedFd> {
        let place = place_of(server);
        if !self.gone.contains_key(&place) {
            let fd = socket::socket(libc::AF_UNIX, server.r#type as i32, 0).os(|| "socket AF_UNIX")?;
            self.bind(fd.as_fd(), server)?;
            self.gone.insert(place.clone(), fd);
        }
        let fd = self.gone.get(&place).ok_or_else(|| Error::bug("a helper that was not made"))?;
        // Again for each: the connected one is shown who has listened.
        call(tasks, who, fd.as_fd(), Call::Listen(1))?;
        fd.try_clone().os(|| "duplicate a socket")
    }

    /// A client that waits to be accepted.
    fn make_pending(&mut self, entry: &UnixSkEntry, tasks: &mut dyn Tasks) -> Result<()> {
        if self.made.contains_key(&entry.ino) {
            return Ok(());
        }
        let fd = self.make_bound(entry)?;
        let listener = self.fd(entry.peer)?;
        let name = self.entries.get(&entry.peer).map(|listener| listener.name.clone()).unwrap_or_default();
        let way = reach(listener.as_fd(), &name)?;
        let owner = tasks.owner(entry.id);
        call(tasks, owner, fd.as_fd(), Call::Connect(&way))
    }

    fn connect_outside(&mut self, entry: &UnixSkEntry, outside: &UnixSkEntry) -> Result<()> {
        let fd = self.make_bound(entry)?;
        connect_outside(fd.as_fd(), entry, outside)
    }

    /// Sends the messages that waited. `open` opens a file that is in flight.
    pub fn fill(&mut self, mut open: impl FnMut(u32) -> Result<Rc<OwnedFd>>) -> Result<()> {
        let all: Vec<UnixSkEntry> = self.entries.values().cloned().collect();
        for entry in &all {
            for packet in self.queues.take(entry.id) {
                self.fill_one(entry, &packet, &mut open).map_err(|e| e.on(shown(entry)))?;
            }
        }
        Ok(())
    }

    fn fill_one(
        &mut self,
        entry: &UnixSkEntry,
        packet: &Packet,
        open: &mut impl FnMut(u32) -> Result<Rc<OwnedFd>>,
    ) -> Result<()> {
        let bytes = self.queues.bytes(packet)?;
        let files: Vec<Rc<OwnedFd>> = packet.rights().map(open).collect::<Result<_>>()?;
        let rights: Vec<RawFd> = files.iter().map(|fd| fd.as_raw_fd()).collect();
        let to = self.fd(entry.ino)?;
        let mut along = Along { rights: &rights, credentials: packet.credentials(), ..Along::default() };
        let sender = self.sender(entry, packet.entry.addr.as_deref())?;
        let way = match &sender {
            Sender::Peer(_) => None,
            Sender::Other(_) => Some(reach(to.as_fd(), &entry.name)?),
        };
        let address = way.as_ref().map(Way::ours).unwrap_or_default();
        along.address = &address;
        match sender {
            Sender::Peer(fd) => queue::send(fd.as_fd(), &bytes, &along),
            Sender::Other(fd) => queue::send(fd.as_fd(), &bytes, &along),
        }
    }

    /// Who sends to a socket: its peer, or for datagrams whoever has the address that the message came from.
    fn sender(&self, entry: &UnixSkEntry, from: Option<&[u8]>) -> Result<Sender> {
        if let Some(closed) = self.closed.get(&entry.ino) {
            return Ok(Sender::Peer(Rc::new(closed.try_clone().os(|| "duplicate a socket")?)));
        }
        let peer = self.entries.get(&entry.peer).filter(|peer| peer.uflags & EXTERN == 0);
        let datagram = entry.r#type == libc::SOCK_DGRAM as u32;
        if !datagram || entry.name.is_empty() {
            let pointing = || self.entries.values().find(|other| other.peer == entry.ino);
            let peer = peer.or_else(pointing).ok_or_else(|| bad(entry, "has messages, but no peer"))?;
            return Ok(Sender::Peer(self.fd(peer.ino)?));
        }
        let paired = peer.filter(|peer| peer.name.is_empty() && peer.peer == entry.ino);
        if let Some(paired) = paired {
            return Ok(Sender::Peer(self.fd(paired.ino)?));
        }
        let Some(from) = from else { return Ok(Sender::Other(fresh()?)) };
        let known = self
            .entries
            .values()
            .find(|other| other.name == from && other.uflags & EXTERN == 0 && other.r#type == entry.r#type);
        if let Some(known) = known {
            return Ok(Sender::Other(self.fd(known.ino)?));
        }
        // The sender is gone: one with its name says the same.
        let fd = fresh()?;
        let entry = UnixSkEntry { name: from.to_vec(), deleted: Some(true), ..UnixSkEntry::default() };
        if let Err(error) = place::bind(fd.as_fd(), &entry) {
            log_warn!("A message of {} will have no sender: {error}", shown(&entry));
        }
        Ok(Sender::Other(fd))
    }

    /// Connects datagram sockets, and gives all sockets their options.
    pub fn finish(&mut self) -> Result<()> {
        for entry in self.entries.values().filter(|entry| entry.uflags & EXTERN == 0) {
            let Some(fd) = self.made.get(&entry.ino) else { continue };
            self.finish_one(entry, fd.as_fd()).map_err(|e| e.on(shown(entry)))?;
        }
        for (inode, closed) in std::mem::take(&mut self.closed) {
            let Some(fd) = self.made.get(&inode) else { continue };
            if self.entries.get(&inode).is_some_and(|entry| entry.reset == Some(true)) {
                // Closed with something unread: the other is told by ECONNRESET.
                queue::send(fd.as_fd(), b"x", &Along::default())?;
            }
            drop(closed);
        }
        for entry in self.entries.values().filter(|entry| entry.uflags & EXTERN == 0) {
            let Some(fd) = self.made.get(&entry.ino) else { continue };
            let how = match entry.shutdown.map(SkShutdown::try_from) {
                Some(Ok(SkShutdown::Read)) => libc::SHUT_RD,
                Some(Ok(SkShutdown::Write)) => libc::SHUT_WR,
                Some(Ok(SkShutdown::Both)) => libc::SHUT_RDWR,
                _ => continue,
            };
            socket::shutdown(fd.as_fd(), how).os(|| format!("shutdown {}", shown(entry)))?;
        }
        Ok(())
    }

    fn finish_one(&self, entry: &UnixSkEntry, fd: BorrowedFd<'_>) -> Result<()> {
        if entry.r#type == libc::SOCK_DGRAM as u32 {
            self.connect_datagram(entry, fd)?;
        }
        options::restore(fd, &entry.opts)?;
        set_flags(fd, entry.flags)
    }

    fn connect_datagram(&self, entry: &UnixSkEntry, fd: BorrowedFd<'_>) -> Result<()> {
        let Some(peer) = self.entries.get(&entry.peer) else { return Ok(()) };
        if peer.uflags & EXTERN != 0 {
            return connect_outside(fd, entry, peer);
        }
        if peer.name.is_empty() {
            return Ok(());
        }
        let way = reach(self.fd(peer.ino)?.as_fd(), &peer.name)?;
        socket::connect(fd, &way.ours()).os(|| format!("connect to {}", shown(peer)))
    }

    /// The restore has succeeded: the files of sockets stay.
    pub fn commit(&mut self) {
        self.files.clear();
    }
}

impl Drop for UnixRestore {
    fn drop(&mut self) {
        for path in &self.files {
            if let Err(error) = std::fs::remove_file(path) {
                log_warn!("Can't remove {}: {error}", path.display());
            }
        }
    }
}

enum Sender {
    /// Is connected to the receiver.
    Peer(Rc<OwnedFd>),
    /// Sends to the receiver's name.
    Other(Rc<OwnedFd>),
}

fn fresh() -> Result<Rc<OwnedFd>> {
    let fd = socket::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0).os(|| "socket AF_UNIX")?;
    options::make_room(fd.as_fd())?;
    Ok(Rc::new(fd))
}

fn place_of(entry: &UnixSkEntry) -> Place {
    (entry.r#type, entry.name.clone(), entry.name_dir.clone(), entry.deleted == Some(true))
}

/// Who has to make the call that the kernel notes: as the image says, or who has the file.
fn who(entry: &UnixSkEntry, tasks: &dyn Tasks) -> Option<Credentials> {
    let noted = entry.peer_cred.map(|c| Credentials { pid: c.pid, uid: c.uid, gid: c.gid });
    noted.or_else(|| tasks.owner(entry.id))
}

/// Makes a pair in the name of that process, or, if it is not of the tree, in ours.
fn pair(tasks: &mut dyn Tasks, who: Option<Credentials>, kind: i32) -> Result<[OwnedFd; 2]> {
    let theirs = who.map(|who| tasks.pair(who, kind)).transpose()?.flatten();
    theirs.map_or_else(|| socket::pair(kind).os(|| "socketpair"), Ok)
}

fn call(tasks: &mut dyn Tasks, who: Option<Credentials>, fd: BorrowedFd<'_>, call: Call<'_>) -> Result<()> {
    if who.map_or(Ok(false), |who| tasks.call(who, fd, call))? {
        return Ok(());
    }
    match call {
        Call::Listen(backlog) => socket::listen(fd, backlog as i32).os(|| format!("listen {backlog}")),
        Call::Connect(way) => socket::connect(fd, &way.ours()).os(|| "connect"),
    }
}

fn connect_outside(fd: BorrowedFd<'_>, entry: &UnixSkEntry, outside: &UnixSkEntry) -> Result<()> {
    if outside.name.is_empty() {
        let reason = format!("was connected to socket {}, which has no name", outside.ino);
        let help = format!("restore with --inherit-fd 'fd[N]:socket:[{}]'", entry.ino);
        return Err(Error::new("E-SOCKET-PEER", Blame::Usage, reason).help(help));
    }
    let what = || format!("connect to {}, outside of the tree", shown(outside));
    socket::connect(fd, &place::address(&outside.name)).os(what)
}

/// AF_UNSPEC takes the peer away. What the peer is told by that, nobody of before has been told.
fn disconnect(fd: BorrowedFd<'_>, entry: &UnixSkEntry) -> Result<()> {
    let nowhere = (libc::AF_UNSPEC as libc::sa_family_t).to_ne_bytes();
    socket::connect(fd, &nowhere).os(|| format!("disconnect {}", shown(entry)))
}

fn bad(entry: &UnixSkEntry, reason: &str) -> Error {
    Error::image(Kind::Files.file_name(), format!("socket {} {reason}", entry.ino))
}
