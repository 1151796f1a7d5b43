//! All sockets of ip(7) and ipv6(7) of a tree while it is dumped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::network_lock::Connection;
use super::super::{elsewhere, options, unsupported};
use super::closing::Fins;
use super::connections::Connections;
use super::{CLOSE, ESTABLISHED, LISTEN, SYN_SENT, address, datagram, judge, levels, multicast, tcp};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{
    FdType, FileEntry, InetSkEntry, IpOptsEntry, IpOptsRawEntry, SkPacketEntry, SkShutdown, TcpOptsEntry,
};
use crate::image::{ImageDir, Kind};
use crate::kernel::Pid;
use crate::kernel::sock_diag::datagram_shutdowns;
use crate::options::DumpOptions;
use crate::report::NotKept;
use crate::resource::file::{Description, owner};
use crate::resource::namespace::HOST_NETWORK;
use crate::sys::fd::{readable, ready, unsent};
use crate::sys::socket::{self, int_option, option};
use crate::sys::stat::fstat;

/// `struct tcp_info`: `tcpi_state`, `tcpi_unacked` and `tcpi_sacked`, which of a listening socket are the connections that
/// wait and their limit (tcp_get_info in net/ipv4/tcp.c).
const INFO: usize = 32;
const INFO_UNACKED: usize = 24;
const INFO_SACKED: usize = 28;

/// The sockets of a tree so far.
#[derive(Debug, Default)]
pub struct InetDump {
    /// The inode of ours, once it was asked for.
    namespace: Option<u64>,
    /// By protocol and inode, once they were asked for; none if the kernel lists no sockets of the protocol.
    shutdowns: HashMap<i32, Option<HashMap<u32, u8>>>,
    entries: Vec<InetSkEntry>,
    packets: Vec<(SkPacketEntry, Vec<u8>)>,
    /// What is to be judged when the options are known: task, its name, socket, state, connections that wait.
    tcp: Vec<(Pid, String, String, u32, u32)>,
    not_kept: Vec<NotKept>,
    connections: Vec<Connected>,
}

/// A connection of the tree; also one that is not there yet, or one that is over and has something to be read.
#[derive(Debug)]
struct Connected {
    fd: OwnedFd,
    inode: u32,
    ends: Connection,
    is_over: bool,
}

/// What a TCP socket says of itself.
struct Tcp {
    state: u32,
    pending: u32,
    backlog: u32,
}

impl InetDump {
    /// Reads a socket, with what waits in it.
    pub fn add(&mut self, id: u32, family: i32, d: &Description<'_>) -> Result<()> {
        let fd = d.fd.as_fd();
        self.check_namespace(fd)?;
        let ask = |name| int_option(fd, libc::SOL_SOCKET, name).os(|| format!("getsockopt {name}"));
        let (kind, protocol) = (ask(libc::SO_TYPE)?, ask(libc::SO_PROTOCOL)?);
        judge::protocol(kind, protocol)?;
        let local = address::parse(&socket::name(fd).os(|| "getsockname")?);
        let local = local.ok_or_else(|| unsupported("without an address of its family"))?;
        let tcp = if kind == libc::SOCK_STREAM { Some(ask_tcp(fd, protocol)?) } else { None };
        let peer = peer(fd, tcp.as_ref())?;
        let connected = if peer.is_some() { ESTABLISHED } else { CLOSE };
        let state = tcp.as_ref().map_or(connected, |tcp| tcp.state);
        if let Some(tcp) = &tcp {
            self.tcp.push((d.pid, d.comm.to_owned(), d.name(), state, tcp.pending));
            if let Some(peer) = peer {
                let (fd, is_over) = (fd.try_clone_to_owned().os(|| "duplicate a socket")?, state == CLOSE);
                let (inode, ends) = (d.stat.st_ino as u32, (local, peer));
                self.connections.push(Connected { fd, inode, ends, is_over });
            }
        }
        let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
        let shutdown = self.shutdown(fd, (kind, protocol), d)?;
        let connected = !matches!(state, CLOSE | LISTEN) || state == CLOSE && shutdown.is_some();
        let levels = levels::of(family, kind, protocol, connected);
        let opts = options::dump(fd, &levels)?;
        let scoped = [Some(local), peer].into_iter().flatten().find_map(scope);
        self.entries.push(InetSkEntry {
            id,
            ino: d.stat.st_ino as u32,
            family: family as u32,
            r#type: kind as u32,
            proto: protocol as u32,
            state,
            src_port: local.port().into(),
            dst_port: peer.map_or(0, |peer| peer.port().into()),
            flags,
            backlog: tcp.as_ref().map_or(0, |tcp| tcp.backlog),
            src_addr: address::words(local.ip()),
            dst_addr: peer.map_or_else(Vec::new, |peer| address::words(peer.ip())),
            fown: owner::of(fd, flags)?,
            v6only: is_on(fd, libc::SOL_IPV6, libc::IPV6_V6ONLY).filter(|_| family == libc::AF_INET6),
            ip_opts: Some(ip_options(fd, family, kind)),
            ifname: scoped.and_then(address::interface_name),
            ns_id: Some(HOST_NETWORK),
            shutdown: shutdown.map(Into::into),
            tcp_opts: tcp.is_some().then(|| tcp_options(fd)),
            groups: if tcp.is_none() { multicast::dump(fd, family)? } else { Vec::new() },
            uid: Some(d.stat.st_uid),
            gid: Some(d.stat.st_gid),
            foreign: is_foreign(&local)?.then_some(true),
            error: None,
            opts,
        });
        self.queue(id, family, kind, protocol, d)
    }

    /// Refuses a socket of another network namespace than ours.
    pub fn check_namespace(&mut self, fd: BorrowedFd<'_>) -> Result<()> {
        let theirs = inode(&socket::namespace(fd).os(|| "ioctl SIOCGSKNS")?)?;
        if theirs == self.own_namespace()? { Ok(()) } else { Err(elsewhere()) }
    }

    /// Directions that were shut down, of a socket without a connection of TCP. poll(2) tells of reading only.
    fn shutdown(
        &mut self,
        fd: BorrowedFd<'_>,
        (kind, protocol): (i32, i32),
        d: &Description<'_>,
    ) -> Result<Option<SkShutdown>> {
        if kind != libc::SOCK_DGRAM || !matches!(protocol, libc::IPPROTO_UDP | libc::IPPROTO_UDPLITE) {
            return shutdown(fd);
        }
        let listed = match self.shutdowns.entry(protocol) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(slot) => slot.insert(listed(datagram_shutdowns(protocol))?),
        };
        match listed.as_ref().map(|listed| listed.get(&(d.stat.st_ino as u32))) {
            Some(Some(1)) => Ok(Some(SkShutdown::Read)),
            Some(Some(2)) => Ok(Some(SkShutdown::Write)),
            Some(Some(3)) => Ok(Some(SkShutdown::Both)),
            Some(Some(_)) => Ok(None),
            // It has no port.
            Some(None) => shutdown(fd),
            None => {
                let what = "a shutdown of writing, which this kernel does not show (CONFIG_INET_UDP_DIAG)";
                self.lose(d, what, "it can send again");
                shutdown(fd)
            }
        }
    }

    /// The inode of our network namespace.
    fn own_namespace(&mut self) -> Result<u64> {
        if let Some(known) = self.namespace {
            return Ok(known);
        }
        let ours = inode(&File::open("/proc/self/ns/net").os(|| "open /proc/self/ns/net")?)?;
        Ok(*self.namespace.insert(ours))
    }

    fn queue(&mut self, id: u32, family: i32, kind: i32, protocol: i32, d: &Description<'_>) -> Result<()> {
        let fd = d.fd.as_fd();
        if has_error(fd)? {
            let is_kept = self.connections.last().is_some_and(|last| last.inode == d.stat.st_ino as u32);
            let (what, notice) = match is_kept {
                true => ("which error waits (SO_ERROR)", "it finds ECONNRESET"),
                false => ("an error that waits (SO_ERROR)", "the next call does not fail with it"),
            };
            self.lose(d, what, notice);
        }
        match (kind, protocol) {
            (libc::SOCK_DGRAM, libc::IPPROTO_UDP | libc::IPPROTO_UDPLITE) => {
                if is_corked(fd, family)? {
                    return Err(Error::new(
                        "E-SOCKET-QUEUE",
                        Blame::Program,
                        "has a datagram that is being put together (UDP_CORK)",
                    )
                    .help("let the program send it before the dump"));
                }
                for packet in datagram::peek(fd, family)? {
                    let from = address::raw(&packet.from);
                    let entry = SkPacketEntry {
                        id_for: id,
                        length: packet.bytes.len() as u32,
                        addr: from.get(size_of::<libc::sa_family_t>()..).map(<[u8]>::to_vec),
                        to: packet.to.map(address::octets),
                        ..SkPacketEntry::default()
                    };
                    self.packets.push((entry, packet.bytes));
                }
            }
            (libc::SOCK_STREAM, _) => {}
            _ if ready(fd, libc::POLLIN).os(|| "poll")? & libc::POLLIN != 0 => {
                self.lose(d, "unread packets", "they are lost, as on a network");
            }
            _ => {}
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

    /// What cannot be kept.
    pub fn blockers(&self, options: &DumpOptions) -> Vec<Error> {
        let judged = self.tcp.iter().filter_map(|(pid, comm, name, state, pending)| {
            let error = judge::tcp(*state, *pending, options)?;
            Some(error.on(name.clone()).task(*pid, comm))
        });
        judged.collect()
    }

    /// What is lost.
    pub fn not_kept(&self) -> Vec<NotKept> {
        self.not_kept.clone()
    }

    /// Writes the connections, which are locked from here on.
    pub fn write_connections(&mut self, images: &ImageDir, options: &DumpOptions) -> Result<Connections> {
        let mut connections = std::mem::take(&mut self.connections);
        connections.retain(|connection| connection.is_over || !options.tcp_close);
        let alive = connections.iter().filter(|connection| !connection.is_over);
        let held = Connections::lock(alive.map(|connection| connection.ends).collect(), images, options)?;
        let mut fds = Vec::new();
        for Connected { fd, inode, ends, .. } in connections {
            let what = || format!("TCP socket {} to {}", ends.0, ends.1);
            let stream = tcp::read(fd.as_fd()).map_err(|e| e.on(what()))?;
            let mut image = images.writer(Kind::TcpStream(inode));
            image.push_with_payload(&stream.entry, &[stream.received, stream.written].concat())?;
            image.finish()?;
            // It may have gone on before the lock.
            for entry in self.entries.iter_mut().filter(|entry| entry.ino == inode) {
                entry.state = stream.state;
                if stream.state == CLOSE {
                    entry.shutdown = Some(SkShutdown::Both.into());
                    entry.error = has_error(fd.as_fd())?.then_some(true);
                }
            }
            if Fins::of(stream.state).is_some() {
                fds.push(fd);
            }
        }
        Ok(held.with(fds))
    }

    /// The entries for `files.img` and the packets for `sk-queues.img`.
    pub fn finish(self) -> (Vec<FileEntry>, Vec<(SkPacketEntry, Vec<u8>)>) {
        let file = |isk: InetSkEntry| FileEntry {
            r#type: FdType::Inetsk.into(),
            id: isk.id,
            isk: Some(isk),
            ..FileEntry::default()
        };
        (self.entries.into_iter().map(file).collect(), self.packets)
    }
}

/// The other end of a socket, if there is one. Of TCP also that of a connection which is not there yet, or which is over and
/// has something to be read.
fn peer(fd: BorrowedFd<'_>, tcp: Option<&Tcp>) -> Result<Option<SocketAddr>> {
    let parse = |raw: std::io::Result<Vec<u8>>| raw.ok().and_then(|raw| address::parse(&raw));
    match tcp.map(|tcp| tcp.state) {
        Some(CLOSE) if readable(fd).os(|| "ioctl FIONREAD")? > 0 => Ok(parse(socket::any_peer(fd))),
        Some(SYN_SENT) => Ok(parse(socket::any_peer(fd))),
        _ => Ok(parse(socket::peer(fd))),
    }
}

fn inode(file: &impl AsFd) -> Result<u64> {
    Ok(fstat(file).os(|| "fstat")?.st_ino)
}

/// Whether this machine does not have the address: it was bound by IP_FREEBIND, or has gone since.
fn is_foreign(local: &SocketAddr) -> Result<bool> {
    if local.ip().is_unspecified() || local.ip().is_multicast() {
        return Ok(false);
    }
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let probe = socket::socket(family, libc::SOCK_DGRAM, 0).os(|| "make a socket")?;
    let mut name = *local;
    name.set_port(0);
    let bound = socket::bind(probe.as_fd(), &address::raw(&name));
    Ok(bound.is_err_and(|e| e.raw_os_error() == Some(libc::EADDRNOTAVAIL)))
}

fn scope(address: SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V6(v6) if address::is_scoped(address.ip()) => {
            Some(v6.scope_id()).filter(|scope| *scope != 0)
        }
        _ => None,
    }
}

fn ask_tcp(fd: BorrowedFd<'_>, protocol: i32) -> Result<Tcp> {
    let info = option(fd, libc::SOL_TCP, libc::TCP_INFO, INFO).os(|| "getsockopt TCP_INFO")?;
    let word =
        |at: usize| info.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_ne_bytes(*word));
    let state = info.first().copied().map_or(CLOSE, u32::from);
    if protocol == libc::IPPROTO_MPTCP {
        judge::mptcp(state, state == CLOSE && has_left(fd)?)?;
    } else if option(fd, libc::SOL_TCP, libc::TCP_ULP, 16).is_ok_and(|name| !name.is_empty()) {
        return Err(unsupported("with a protocol of the upper layer (TCP_ULP)"));
    }
    let (pending, backlog) = if state == LISTEN { (word(INFO_UNACKED), word(INFO_SACKED)) } else { (0, 0) };
    Ok(Tcp { state, pending, backlog })
}

/// Whether a closed socket of MPTCP was connected, and has something to tell; FIONREAD answers 1 for any that is closed
/// (mptcp_inq_hint in net/mptcp/protocol.c).
fn has_left(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(has_error(fd)? || socket::receive(fd, &mut [0], libc::MSG_PEEK).is_ok())
}

fn has_error(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(ready(fd, 0).os(|| "poll")? & libc::POLLERR != 0)
}

/// None for a kernel, or a system without its modules, that cannot list them.
fn listed(sockets: Result<HashMap<u32, u8>>) -> Result<Option<HashMap<u32, u8>>> {
    match sockets {
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
        sockets => sockets.map(Some),
    }
}

/// Directions that were shut down, as poll(2) tells them.
fn shutdown(fd: BorrowedFd<'_>) -> Result<Option<SkShutdown>> {
    let events = ready(fd, libc::POLLRDHUP).os(|| "poll")?;
    // A TCP socket that is not connected hangs up in any case.
    Ok(match (events & libc::POLLRDHUP != 0, events & libc::POLLHUP != 0) {
        (true, true) => Some(SkShutdown::Both),
        (true, false) => Some(SkShutdown::Read),
        _ => None,
    })
}

/// Whether something waits for the end of UDP_CORK or MSG_MORE. What counts as unsent may also be on its way, in a queue of
/// the device or of a neighbour that does not answer.
fn is_corked(fd: BorrowedFd<'_>, family: i32) -> Result<bool> {
    let unspecified: IpAddr = match family {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    };
    let unsent = unsent(fd).os(|| "ioctl TIOCOUTQ")?;
    Ok(unsent > 0 && socket::is_corked(fd, &address::raw(&(unspecified, 0).into())))
}

/// CRIU's fields for what is in our list of options as well.
fn ip_options(fd: BorrowedFd<'_>, family: i32, kind: i32) -> IpOptsEntry {
    let ip = |name| is_on(fd, libc::SOL_IP, name);
    let number = |name| int_option(fd, libc::SOL_IP, name).ok().map(|value| value as u32);
    let version6 = family == libc::AF_INET6;
    let (level, info) =
        if version6 { (libc::SOL_IPV6, libc::IPV6_RECVPKTINFO) } else { (libc::SOL_IP, libc::IP_PKTINFO) };
    let raw = (kind == libc::SOCK_RAW && !version6).then(|| IpOptsRawEntry {
        hdrincl: ip(libc::IP_HDRINCL),
        nodefrag: ip(libc::IP_NODEFRAG),
        checksum: None,
        icmpv_filter: Vec::new(),
    });
    IpOptsEntry {
        freebind: ip(libc::IP_FREEBIND),
        raw,
        pktinfo: is_on(fd, level, info),
        tos: number(libc::IP_TOS).filter(|tos| *tos != 0),
        ttl: number(libc::IP_TTL).filter(|_| !version6),
    }
}

fn is_on(fd: BorrowedFd<'_>, level: i32, name: i32) -> Option<bool> {
    int_option(fd, level, name).ok().map(|value| value != 0)
}

fn tcp_options(fd: BorrowedFd<'_>) -> TcpOptsEntry {
    let number = |name| int_option(fd, libc::SOL_TCP, name).ok().map(|value| value as u32);
    TcpOptsEntry {
        cork: number(libc::TCP_CORK).filter(|on| *on != 0).map(|_| true),
        nodelay: number(libc::TCP_NODELAY).filter(|on| *on != 0).map(|_| true),
        keepcnt: number(libc::TCP_KEEPCNT),
        keepidle: number(libc::TCP_KEEPIDLE),
        keepintvl: number(libc::TCP_KEEPINTVL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::set_option;
    use std::net::UdpSocket;

    /// Asked in the middle of a datagram, which comes whole.
    fn is_asked(name: &str, to: &str) -> Result<()> {
        const UDP_CORK: i32 = 1;
        let receiver = UdpSocket::bind(to).os(|| "bind")?;
        let to = receiver.local_addr().os(|| "name")?;
        let sender = UdpSocket::bind(name).os(|| "bind")?;
        let family = if name.starts_with('[') { libc::AF_INET6 } else { libc::AF_INET };
        // Mapped, if the sender is of the other version.
        let to = match to.ip() {
            IpAddr::V4(ip) if family == libc::AF_INET6 => (ip.to_ipv6_mapped(), to.port()).into(),
            _ => to,
        };
        let cork = |on: i32| set_option(sender.as_fd(), libc::SOL_UDP, UDP_CORK, &on.to_ne_bytes());
        let nowhere: IpAddr = match family {
            libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let asked = || socket::is_corked(sender.as_fd(), &address::raw(&(nowhere, 0).into()));
        assert!(!asked(), "{name}");
        cork(1).os(|| "UDP_CORK")?;
        sender.send_to(b"first", to).os(|| "send")?;
        assert!(asked() && is_corked(sender.as_fd(), family)?, "{name}");
        sender.send_to(b"second", to).os(|| "send")?;
        assert!(asked(), "{name}");
        cork(0).os(|| "UDP_CORK")?;
        assert!(!asked() && !is_corked(sender.as_fd(), family)?, "{name}");
        let mut got = [0; 20];
        let len = receiver.recv(&mut got).os(|| "recv")?;
        assert_eq!(got.get(..len), Some(&b"firstsecond"[..]));
        Ok(())
    }

    #[test]
    fn half_a_datagram_is_told_from_one_on_its_way() -> Result<()> {
        is_asked("127.0.0.1:0", "127.0.0.1:0")?;
        is_asked("[::1]:0", "[::1]:0")?;
        is_asked("[::]:0", "127.0.0.1:0")
    }

    #[test]
    fn a_kernel_that_lists_no_sockets_is_no_error_and_any_other_refusal_is() {
        let refused = |errno| listed(Err(Error::os("netlink", std::io::Error::from_raw_os_error(errno))));
        assert!(matches!(refused(libc::ENOENT), Ok(None)));
        assert!(refused(libc::EPERM).is_err());
        assert!(
            matches!(listed(Ok(HashMap::from([(7, 2)]))), Ok(Some(sockets)) if sockets.get(&7) == Some(&2))
        );
    }
}
