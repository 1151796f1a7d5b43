//! All sockets of ip(7) and ipv6(7) of a tree while it is restored.
//!
//! All are made and bound first ([`InetRestore::make`]), then packets are put into their queues ([`InetRestore::fill`]),
//! in whose way connections, filters and limits would be: those come last ([`InetRestore::finish`]), and nobody can
//! connect before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::unistd::{Gid, Uid, fchown};

use super::super::network_lock::{self, LOCKED_BY_IPTABLES, LOCKED_BY_NFTABLES};
use super::super::options;
use super::super::queue::Queues;
use super::tcp::{self, Repair, Stream};
use super::{CLOSE, ESTABLISHED, LISTEN, SYN_SENT, address, datagram, judge, levels, multicast};
use crate::check::{self, Feature};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{
    FileEntry, InetSkEntry, InventoryEntry, IpOptsEntry, SkPacketEntry, SkShutdown, TcpOptsEntry,
    TcpStreamEntry,
};
use crate::image::{ImageDir, Kind};
use crate::log_warn;
use crate::options::RestoreOptions;
use crate::resource::file::reopen::set_flags;
use crate::sys::socket::{self, int_option, set_option};

/// The sockets of an image.
#[derive(Debug)]
pub struct InetRestore {
    /// By id.
    entries: BTreeMap<u32, InetSkEntry>,
    made: HashMap<u32, Rc<OwnedFd>>,
    /// Protocols and ports that several sockets have.
    shared: HashSet<(u32, u32)>,
    queues: Queues,
    /// Connections that go on when the restore has succeeded.
    streams: HashMap<u32, Stream>,
    repairs: Vec<Repair>,
    /// The name of the lock that the dump has left.
    lock: Option<String>,
    /// CRIU has locked by iptables(8).
    by_iptables: bool,
}

impl InetRestore {
    /// Takes the sockets among the entries of `files.img`.
    pub fn load<'e>(
        images: &ImageDir,
        listed: impl Iterator<Item = &'e FileEntry>,
        options: &RestoreOptions,
    ) -> Result<Self> {
        let inventory: Option<InventoryEntry> = images.read_one(Kind::Inventory)?;
        let closed = inventory.as_ref().is_some_and(|found| found.tcp_close == Some(true));
        let (mut entries, mut streams) = (BTreeMap::new(), HashMap::new());
        for entry in listed.filter_map(|entry| entry.isk.as_ref()) {
            let family = entry.family as i32;
            if !matches!(family, libc::AF_INET | libc::AF_INET6)
                || entries.insert(entry.id, entry.clone()).is_some()
            {
                return Err(bad(entry, "has a bad family or id"));
            }
            judge::protocol(entry.r#type as i32, entry.proto as i32)?;
            streams.extend(stream((images, closed), entry, options)?.map(|stream| (entry.id, stream)));
        }
        let by_criu = inventory.as_ref().filter(|found| found.crio_version.is_none());
        let by_iptables = by_criu
            .is_some_and(|found| found.network_lock_method.is_none_or(|method| method == LOCKED_BY_IPTABLES));
        let locked = inventory.filter(|found| found.network_lock_method == Some(LOCKED_BY_NFTABLES));
        let lock = locked.and_then(|inventory| inventory.dump_criu_run_id);
        let (made, repairs, queues) = (HashMap::new(), Vec::new(), Queues::load(images)?);
        let shared = shared_ports(entries.values());
        Ok(InetRestore { entries, made, shared, queues, streams, repairs, lock, by_iptables })
    }

    /// Whether this kernel has such sockets.
    pub fn check(&self) -> Result<()> {
        let is_lite = |entry: &&InetSkEntry| {
            (entry.r#type as i32, entry.proto as i32) == (libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE)
        };
        let Some(lite) = self.entries.values().find(is_lite) else { return Ok(()) };
        check::require(Feature::UdpLite, "is of a protocol that this kernel does not have")
            .map_err(|e| e.on(shown(lite)))
    }

    /// If there is a socket of this inode, it is `fd`.
    pub fn inherit(&mut self, inode: u32, fd: &Rc<OwnedFd>) {
        if let Some(entry) = self.entries.values().find(|entry| entry.ino == inode) {
            self.made.insert(entry.id, Rc::clone(fd));
        }
    }

    /// Makes every socket, with its name.
    pub fn make(&mut self) -> Result<()> {
        for entry in self.entries.values() {
            if self.made.contains_key(&entry.id) {
                continue;
            }
            let stream = self.streams.get(&entry.id).filter(|stream| stream.state != SYN_SENT);
            let named = stream.is_none() && !is_connection(entry);
            let fd = make(entry, named, &self.shared).map_err(|e| e.on(shown(entry)))?;
            if let Some(stream) = stream {
                let repair = connect_again(entry, fd.as_fd(), stream).map_err(|e| e.on(shown(entry)))?;
                self.repairs.push(repair);
            }
            self.made.insert(entry.id, Rc::new(fd));
        }
        Ok(())
    }

    /// The restore has succeeded: the connections go on.
    pub fn commit(&mut self) {
        let by_iptables = std::mem::take(&mut self.by_iptables);
        let alive = self
            .entries
            .values()
            .filter(|entry| entry.state != CLOSE && self.streams.contains_key(&entry.id));
        let locked: Vec<_> = alive.filter_map(|entry| Some((name(entry).ok()?, peer(entry).ok()?))).collect();
        let unlocked = self.lock.take().map_or(Ok(()), |run| network_lock::unlock(&run));
        let gone_on = self.repairs.drain(..).map(tcp::go_on);
        let rules = if by_iptables { network_lock::unlock_iptables(locked.into_iter()) } else { Ok(()) };
        let mut done: Vec<Result<()>> = [unlocked, rules].into_iter().chain(gone_on).collect();
        done.extend(self.entries.values().filter(|entry| entry.state == SYN_SENT).filter_map(|entry| {
            let (fd, stream) = (self.made.get(&entry.id)?, self.streams.get(&entry.id)?);
            Some(begin_again(entry, fd.as_fd(), stream).map_err(|e| e.on(shown(entry))))
        }));
        for error in done.into_iter().filter_map(Result::err) {
            log_warn!("a TCP connection may not go on: {error}");
        }
    }

    /// The sockets by the ids of their files.
    pub fn opened(&self) -> impl Iterator<Item = (u32, Rc<OwnedFd>)> {
        self.made.iter().map(|(id, fd)| (*id, Rc::clone(fd)))
    }

    /// Puts the packets back that waited.
    pub fn fill(&mut self) -> Result<()> {
        for entry in self.entries.values() {
            let waiting = self.queues.take(entry.id);
            let Some(fd) = self.made.get(&entry.id).filter(|_| !waiting.is_empty()) else { continue };
            let mut packets = Vec::new();
            for packet in &waiting {
                let found =
                    read(entry, &packet.entry).ok_or_else(|| bad(entry, "has a packet without a sender"))?;
                packets.push(datagram::Packet { bytes: self.queues.bytes(packet)?, ..found });
            }
            let name = address::parse(&socket::name(fd.as_fd()).os(|| "getsockname")?);
            let name = name.ok_or_else(|| bad(entry, "has packets, but no name"))?;
            let arrived = datagram::fill(fd.as_fd(), &name, entry.proto as i32, &packets)
                .map_err(|e| e.on(shown(entry)))?;
            if arrived < packets.len() {
                let lost = packets.len() - arrived;
                log_warn!(
                    "{lost} unread packets of {} were dropped, perhaps by a packet filter",
                    shown(entry)
                );
            }
        }
        Ok(())
    }

    /// Gives all sockets their options and connections.
    pub fn finish(&mut self) -> Result<()> {
        for entry in self.entries.values() {
            let Some(fd) = self.made.get(&entry.id) else { continue };
            let alive = self.streams.get(&entry.id).is_some_and(|stream| stream.state != SYN_SENT);
            finish(entry, fd.as_fd(), alive).map_err(|e| e.on(shown(entry)))?;
        }
        Ok(())
    }
}

impl Drop for InetRestore {
    fn drop(&mut self) {
        // It has failed: peers are not told, and the image may be restored again.
        self.repairs.drain(..).for_each(Repair::leave);
    }
}

/// The connection that a socket has, or had: one that is over only if there is something to be read. `closed`: the dump has
/// written none, by `--tcp-close`.
fn stream(
    (images, closed): (&ImageDir, bool),
    entry: &InetSkEntry,
    options: &RestoreOptions,
) -> Result<Option<Stream>> {
    let is_over = is_tcp(entry) && entry.state == CLOSE && entry.dst_port != 0;
    if is_over && images.reader(Kind::TcpStream(entry.ino))?.is_some() {
        let stream = load_stream(images, entry)?;
        return Ok(Some(stream).filter(|stream| !stream.received.is_empty() || entry.error == Some(true)));
    }
    if !(is_connection(entry) || is_tcp(entry) && entry.state == SYN_SENT) || options.tcp_close {
        return Ok(None);
    }
    if closed {
        let reason = "is a TCP connection that was dumped with --tcp-close";
        return Err(Error::new("E-SOCKET-CONNECTED", Blame::Usage, reason)
            .on(shown(entry))
            .help("add --tcp-close: the program finds it closed"));
    }
    if options.tcp_established {
        return load_stream(images, entry).map(Some);
    }
    let reason = "is a TCP connection in the image";
    Err(Error::new("E-SOCKET-CONNECTED", Blame::Usage, reason)
        .on(shown(entry))
        .help("add --tcp-established, or --tcp-close, and the program finds it closed"))
}

fn load_stream(images: &ImageDir, entry: &InetSkEntry) -> Result<Stream> {
    let kind = Kind::TcpStream(entry.ino);
    let missing = || Error::image(kind.file_name(), format!("it is missing, and {} needs it", shown(entry)));
    let mut reader = images.reader(kind)?.ok_or_else(missing)?;
    let stream: TcpStreamEntry = reader.next()?.ok_or_else(missing)?;
    let mut received = reader.payload()?;
    received.truncate(stream.inq_len as usize + stream.outq_len as usize);
    let written = received.split_off(received.len().min(stream.inq_len as usize));
    Ok(Stream { state: entry.state, entry: stream, received, written })
}

fn connect_again(entry: &InetSkEntry, fd: BorrowedFd<'_>, stream: &Stream) -> Result<Repair> {
    let repair = tcp::connect(fd, &name(entry)?, &peer(entry)?, stream).map_err(|e| match e.errno() {
        Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => {
            let reason = "its address is none of this machine, or the connection still exists";
            Error::new("E-SOCKET-ADDRESS", Blame::Environment, reason)
                .help("add the address to an interface, or end the program that has the connection")
        }
        _ => e,
    })?;
    if stream.state == CLOSE && entry.error != Some(true) {
        // The program has seen it already.
        int_option(fd, libc::SOL_SOCKET, libc::SO_ERROR).os(|| "getsockopt SO_ERROR")?;
    }
    Ok(repair)
}

/// A connection that was not there yet when it was dumped.
fn begin_again(entry: &InetSkEntry, fd: BorrowedFd<'_>, stream: &Stream) -> Result<()> {
    set_flags(fd, entry.flags | libc::O_NONBLOCK as u32)?;
    let begun = tcp::begin(fd, &peer(entry)?, stream);
    set_flags(fd, entry.flags)?;
    begun
}

fn is_tcp(entry: &InetSkEntry) -> bool {
    entry.r#type == libc::SOCK_STREAM as u32
}

fn is_connection(entry: &InetSkEntry) -> bool {
    is_tcp(entry) && !matches!(entry.state, CLOSE | LISTEN | SYN_SENT)
}

/// Ports that several sockets have, but for connections, which have that of the socket that has accepted them.
fn shared_ports<'e>(entries: impl Iterator<Item = &'e InetSkEntry>) -> HashSet<(u32, u32)> {
    let mut seen = HashSet::new();
    let bound = entries.filter(|entry| !is_connection(entry) && entry.src_port != 0);
    bound.map(|entry| (entry.proto, entry.src_port)).filter(|port| !seen.insert(*port)).collect()
}

/// Makes a socket. One that is not `named` here gets its name with its connection, or none: that of a connection that is
/// closed means nothing, and may still be in TIME-WAIT.
fn make(entry: &InetSkEntry, named: bool, shared: &HashSet<(u32, u32)>) -> Result<OwnedFd> {
    let fd = socket::socket(entry.family as i32, entry.r#type as i32, entry.proto as i32)
        .os(|| "make the socket")?;
    let borrowed = fd.as_fd();
    if !is_tcp(entry) {
        options::make_room(borrowed)?;
    }
    // A listening socket and the connections that it has accepted have the same name. Repair mode sees to those.
    if is_tcp(entry) && named || entry.opts.reuseaddr == Some(true) {
        options::set(borrowed, libc::SO_REUSEADDR, 1)?;
    }
    // A program may have switched it off when all had the port. UDP shares by SO_REUSEADDR as well, in another way.
    let is_shared = shared.contains(&(entry.proto, entry.src_port));
    if entry.opts.so_reuseport == Some(true)
        || is_shared && (is_tcp(entry) || entry.opts.reuseaddr != Some(true))
    {
        options::set(borrowed, libc::SO_REUSEPORT, 1)?;
    }
    // That of a raw socket, which has its number from the start, cannot be changed.
    if let Some(only) = entry.v6only.filter(|_| entry.r#type != libc::SOCK_RAW as u32) {
        let value = i32::from(only).to_ne_bytes();
        set_option(borrowed, libc::SOL_IPV6, libc::IPV6_V6ONLY, &value).os(|| "setsockopt IPV6_V6ONLY")?;
    }
    let freebind = entry.ip_opts.as_ref().and_then(|ip| ip.freebind) == Some(true);
    let is_foreign = entry.foreign == Some(true);
    if freebind || is_foreign {
        set_number(borrowed, libc::SOL_IP, libc::IP_FREEBIND, 1)?;
    }
    let early = entry.opts.others.iter().filter(|other| levels::is_early(other.level, other.name));
    early.into_iter().try_for_each(|other| options::set_other(borrowed, other))?;
    let name = name(entry)?;
    if named && (name.port() != 0 || !name.ip().is_unspecified()) {
        bind(borrowed, entry, &name)?;
    }
    if is_foreign && !freebind {
        set_number(borrowed, libc::SOL_IP, libc::IP_FREEBIND, 0)?;
    }
    Ok(fd)
}

fn bind(fd: BorrowedFd<'_>, entry: &InetSkEntry, name: &SocketAddr) -> Result<()> {
    // The number of a raw socket is its protocol, and given already.
    let name = if entry.r#type == libc::SOCK_RAW as u32 { SocketAddr::new(name.ip(), 0) } else { *name };
    let bound = socket::bind(fd, &address::raw(&name));
    // What a connection that is gone leaves as a name is not held by anybody.
    let was_connected = is_tcp(entry) && entry.state == CLOSE && entry.shutdown.is_some();
    match bound {
        Err(_) if was_connected => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => Err(taken()),
        Err(e) if e.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {
            let reason = format!("{} is no address of this machine", name.ip());
            Err(Error::new("E-SOCKET-ADDRESS", Blame::Environment, reason)
                .help("add the address to an interface (ip address add), or restore where it is"))
        }
        bound => bound.os(|| format!("bind {name}")),
    }
}

fn taken() -> Error {
    Error::new("E-SOCKET-NAME-TAKEN", Blame::Environment, "its address and port belong to another socket")
        .help("end the program that has it (ss -lpn), or restore in another network namespace")
}

fn name(entry: &InetSkEntry) -> Result<SocketAddr> {
    address::of_image(entry.family, &entry.src_addr, entry.src_port, interface(entry)?)
}

fn peer(entry: &InetSkEntry) -> Result<SocketAddr> {
    address::of_image(entry.family, &entry.dst_addr, entry.dst_port, interface(entry)?)
}

/// The interface of a link-local address.
fn interface(entry: &InetSkEntry) -> Result<u32> {
    let Some(name) = &entry.ifname else { return Ok(0) };
    address::interface(name).map_err(|e| multicast::no_interface(&String::from_utf8_lossy(name), e))
}

/// A packet of the image, but for its bytes.
fn read(entry: &InetSkEntry, packet: &SkPacketEntry) -> Option<datagram::Packet> {
    let family = (entry.family as libc::sa_family_t).to_ne_bytes();
    let from = address::parse(&[&family[..], packet.addr.as_deref()?].concat())?;
    let to = packet.to.as_deref().and_then(address::from_octets);
    Some(datagram::Packet { bytes: Vec::new(), from, to })
}

fn finish(entry: &InetSkEntry, fd: BorrowedFd<'_>, alive: bool) -> Result<()> {
    // IP_TOS sets SO_PRIORITY, too.
    entry.ip_opts.as_ref().map_or(Ok(()), |ip| set_ip(fd, ip))?;
    options::restore(fd, &entry.opts)?;
    entry.tcp_opts.as_ref().map_or(Ok(()), |tcp| set_tcp(fd, tcp))?;
    entry.groups.iter().try_for_each(|group| multicast::restore(fd, group))?;
    if let (Some(uid), Some(gid)) = (entry.uid, entry.gid) {
        fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(std::io::Error::from)
            .os(|| "fchown")?;
    }
    set_flags(fd, entry.flags)?;
    match entry.state {
        LISTEN => listen(fd, entry.backlog)?,
        ESTABLISHED if !is_tcp(entry) => connect(entry, fd)?,
        // Closed, or a connection, which is there already or comes last.
        _ => {}
    }
    // Not before listen(2), which looks for conflicts again. Repair mode puts it back by itself.
    if is_tcp(entry) && !alive && entry.opts.reuseaddr != Some(true) {
        options::set(fd, libc::SO_REUSEADDR, 0)?;
    }
    if entry.opts.so_reuseport == Some(false) {
        options::set(fd, libc::SO_REUSEPORT, 0)?;
    }
    let how = match entry.shutdown.map(SkShutdown::try_from) {
        // The other direction is shut down already if it was (`closing`).
        Some(Ok(SkShutdown::Read | SkShutdown::Both)) if alive => libc::SHUT_RD,
        _ if alive => return Ok(()),
        _ if is_connection(entry) => libc::SHUT_RDWR,
        Some(Ok(SkShutdown::Read)) => libc::SHUT_RD,
        Some(Ok(SkShutdown::Write)) => libc::SHUT_WR,
        Some(Ok(SkShutdown::Both)) => libc::SHUT_RDWR,
        _ => return Ok(()),
    };
    match socket::shutdown(fd, how) {
        // It is done all the same (inet_shutdown in net/ipv4/af_inet.c).
        Err(e) if e.raw_os_error() == Some(libc::ENOTCONN) => Ok(()),
        done => done.os(|| "shutdown"),
    }
}

fn listen(fd: BorrowedFd<'_>, backlog: u32) -> Result<()> {
    match socket::listen(fd, backlog as i32) {
        Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => Err(taken()),
        done => done.os(|| format!("listen {backlog}")),
    }
}

fn connect(entry: &InetSkEntry, fd: BorrowedFd<'_>) -> Result<()> {
    let peer = peer(entry)?;
    socket::connect(fd, &address::raw(&peer)).os(|| format!("connect to {peer}"))
}

/// The fields of CRIU's format, for images that do not have our list.
fn set_ip(fd: BorrowedFd<'_>, ip: &IpOptsEntry) -> Result<()> {
    let set =
        |name, value: Option<u32>| value.map_or(Ok(()), |value| set_number(fd, libc::SOL_IP, name, value));
    let raw = ip.raw.as_ref();
    set(libc::IP_HDRINCL, raw.and_then(|raw| raw.hdrincl).map(u32::from))?;
    set(libc::IP_TOS, ip.tos)?;
    set(libc::IP_TTL, ip.ttl)
}

fn set_tcp(fd: BorrowedFd<'_>, tcp: &TcpOptsEntry) -> Result<()> {
    let values = [
        (libc::TCP_CORK, tcp.cork.map(u32::from)),
        (libc::TCP_NODELAY, tcp.nodelay.map(u32::from)),
        (libc::TCP_KEEPCNT, tcp.keepcnt),
        (libc::TCP_KEEPIDLE, tcp.keepidle),
        (libc::TCP_KEEPINTVL, tcp.keepintvl),
    ];
    let given = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
    given.into_iter().try_for_each(|(name, value)| set_number(fd, libc::SOL_TCP, name, value))
}

fn set_number(fd: BorrowedFd<'_>, level: i32, name: i32, value: u32) -> Result<()> {
    set_option(fd, level, name, &value.to_ne_bytes()).os(|| format!("setsockopt {level} {name} {value}"))
}

/// How messages name a socket.
fn shown(entry: &InetSkEntry) -> String {
    let protocol = match (entry.r#type as i32, entry.proto as i32) {
        (libc::SOCK_STREAM, _) => "TCP",
        (libc::SOCK_DGRAM, libc::IPPROTO_UDP) => "UDP",
        (libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE) => "UDP-Lite",
        (libc::SOCK_DGRAM, _) => "ICMP",
        _ => "raw",
    };
    let address = |words: &[u32], port| {
        address::of_image(entry.family, words, port, 0)
            .map_or_else(|_| "?".to_owned(), |address| address.to_string())
    };
    let local = address(&entry.src_addr, entry.src_port);
    match entry.dst_port {
        0 => format!("{protocol} socket {local}"),
        port => format!("{protocol} socket {local} to {}", address(&entry.dst_addr, port)),
    }
}

fn bad(entry: &InetSkEntry, reason: &str) -> Error {
    Error::image(Kind::Files.file_name(), format!("{} {reason}", shown(entry)))
}
