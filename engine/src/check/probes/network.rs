//! Probes of sockets, network devices and packet filters.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::process::{Command, Stdio};

use nix::sched::CloneFlags;

use super::missing;
use super::namespace::{apart, apart_if_possible};
use crate::error::Error;
use crate::kernel::netlink::{Netlink, Request, attribute, attributes, nested, word};
use crate::kernel::{packet_diag, sock_diag};
use crate::resource::socket::network_lock;
use crate::sys::{fd, socket};

/// include/uapi/linux/rtnetlink.h, if_link.h, net_namespace.h, veth.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_GETNSID: u16 = 90;
const IFINFOMSG: [u8; 16] = [0; 16];
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_NEW_IFINDEX: u16 = 49;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const NETNSA_NSID: u16 = 1;
const NETNSA_PID: u16 = 2;
/// A device that there is not.
const NO_DEVICE: &[u8] = b"crio-none\0";

/// The errno of an error of ours, so that a refusal is told from a lack.
fn io_error(error: Error) -> io::Error {
    error.errno().map_or_else(|| io::Error::other(error), io::Error::from_raw_os_error)
}

fn inet_socket(protocol: i32) -> io::Result<OwnedFd> {
    socket::socket(libc::AF_INET, libc::SOCK_DGRAM, protocol)
}

pub(super) fn udplite() -> io::Result<()> {
    inet_socket(libc::IPPROTO_UDPLITE).map(drop)
}

pub(super) fn namespace_of_socket() -> io::Result<()> {
    socket::namespace(inet_socket(libc::IPPROTO_UDP)?.as_fd()).map(drop)
}

pub(super) fn buffer_lock() -> io::Result<()> {
    const SO_BUF_LOCK: i32 = 72;
    let socket = socket::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
    socket::int_option(socket.as_fd(), libc::SOL_SOCKET, SO_BUF_LOCK).map(drop)
}

/// What is peeked twice is read on from where the first time ended.
pub(super) fn peek_offset() -> io::Result<()> {
    let [from, to] = socket::pair(libc::SOCK_STREAM)?;
    socket::set_option(to.as_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF, &0_i32.to_ne_bytes())?;
    socket::send(from.as_fd(), b"crio", &socket::Along::default())?;
    let mut byte = [0];
    for expected in *b"cr" {
        socket::receive(to.as_fd(), &mut byte, libc::MSG_PEEK)?;
        if byte != [expected] {
            return Err(missing("SO_PEEK_OFF does not move on"));
        }
    }
    Ok(())
}

/// The socket of a file, in a directory of ours, leads to the file.
pub(super) fn file_of_socket() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let listener = std::os::unix::net::UnixListener::bind(folder.path().join("socket"))?;
    socket::unix_file(listener.as_fd()).map(drop)
}

/// Unix sockets and those of TCP can be listed.
pub(super) fn sock_diag() -> io::Result<()> {
    sock_diag::unix_sockets().map_err(io_error)?;
    sock_diag::tcp_sockets().map_err(io_error).map(drop)
}

/// Raw sockets of both families can be listed.
pub(super) fn raw_diag() -> io::Result<()> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    // struct inet_diag_req_raw: family, protocol, extensions, the sockets' protocol; then states and names: any.
    const REST: [u8; 52] = [0xff; 52];
    for family in [libc::AF_INET, libc::AF_INET6] {
        let raw = libc::IPPROTO_RAW as u8;
        let request = [&[family as u8, raw, 0, raw][..], &REST].concat();
        let netlink = Netlink::open(libc::NETLINK_SOCK_DIAG).map_err(io_error)?;
        netlink.dump(SOCK_DIAG_BY_FAMILY, &request, |_| {}).map_err(io_error)?;
    }
    Ok(())
}

pub(super) fn packet_diag() -> io::Result<()> {
    packet_diag::packet_sockets().map_err(io_error).map(drop)
}

pub(super) fn mptcp() -> io::Result<()> {
    let socket = socket::socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP)?;
    socket::option(socket.as_fd(), libc::SOL_TCP, libc::TCP_INFO, 1).map(drop)
}

pub(super) fn ipv6_freebind() -> io::Result<()> {
    const IPV6_FREEBIND: i32 = 78;
    let socket = socket::socket(libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP)?;
    socket::set_option(socket.as_fd(), libc::IPPROTO_IPV6, IPV6_FREEBIND, &1_i32.to_ne_bytes())
}

fn set_repair(socket: impl AsFd) -> io::Result<()> {
    socket::set_option(socket.as_fd(), libc::SOL_TCP, libc::TCP_REPAIR, &1_i32.to_ne_bytes())
}

/// A socket without a connection, in repair mode.
fn in_repair() -> io::Result<OwnedFd> {
    let socket = socket::socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
    set_repair(&socket).map(|()| socket)
}

pub(super) fn tcp_repair() -> io::Result<()> {
    in_repair().map(drop)
}

pub(super) fn tcp_repair_window() -> io::Result<()> {
    // struct tcp_repair_window: five 32-bit words.
    socket::option(in_repair()?.as_fd(), libc::SOL_TCP, libc::TCP_REPAIR_WINDOW, 20).map(drop)
}

/// A connection of ours over the loopback device, of which we have ended our direction.
pub(super) fn tcp_half_closed() -> io::Result<()> {
    // The kernel says EPERM for what it does not have, too.
    in_repair()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    client.shutdown(Shutdown::Write)?;
    set_repair(&client).map_err(|error| missing(format!("TCP_REPAIR of a half closed connection: {error}")))
}

const TUN: &str = "/dev/net/tun";

pub(super) fn tun() -> io::Result<()> {
    let device = File::options().read(true).write(true).open(TUN)?;
    let index: libc::c_uint = 13;
    let request = nix::request_code_write!(b'T', 218, size_of_val(&index));
    fd::ioctl_write(device.as_fd(), request, &index)
}

pub(super) fn namespace_of_tun() -> io::Result<()> {
    socket::namespace(File::open(TUN)?.as_fd()).map(drop)
}

/// The id of our own network namespace, which may be that there is none.
pub(super) fn namespace_id() -> io::Result<()> {
    let pid = attribute(NETNSA_PID, &std::process::id().to_ne_bytes());
    // struct rtgenmsg is one byte, aligned to four.
    let request = Request { kind: RTM_GETNSID, flags: 0, body: [&[0; 4][..], &pid].concat() };
    let mut told = false;
    routing()?
        .ask(&request, |message| {
            let body = message.get(4..).unwrap_or_default();
            told |= attributes(body).any(|(kind, _)| kind == NETNSA_NSID);
        })
        .map_err(io_error)?;
    if told { Ok(()) } else { Err(missing("RTM_GETNSID tells no id")) }
}

fn routing() -> io::Result<Netlink> {
    Netlink::open(libc::NETLINK_ROUTE).map_err(io_error)
}

/// A pair of devices in two new network namespaces: each tells where the other is.
pub(super) fn namespace_of_link() -> io::Result<()> {
    apart(CloneFlags::CLONE_NEWNET, || {
        let there = File::open("/proc/thread-self/ns/net")?;
        nix::sched::unshare(CloneFlags::CLONE_NEWNET)?;
        let namespace = attribute(IFLA_NET_NS_FD, &(there.as_raw_fd() as u32).to_ne_bytes());
        let peer = attribute(VETH_INFO_PEER, &[&IFINFOMSG[..], &namespace].concat());
        let kind = attribute(IFLA_INFO_KIND, b"veth");
        let link = nested(IFLA_LINKINFO, &[kind, nested(IFLA_INFO_DATA, &[peer])]);
        let body = [&IFINFOMSG[..], &link].concat();
        let create = Request { kind: RTM_NEWLINK, flags: libc::NLM_F_CREATE | libc::NLM_F_EXCL, body };
        let netlink = routing()?;
        netlink.ask(&create, |_| {}).map_err(io_error)?;
        let mut told = false;
        let links = |message: &[u8]| {
            let body = message.get(IFINFOMSG.len()..).unwrap_or_default();
            told |= attributes(body).any(|(kind, id)| kind == IFLA_LINK_NETNSID && word(id, 0) as i32 >= 0);
        };
        netlink.dump(RTM_GETLINK, &IFINFOMSG, links).map_err(io_error)?;
        if told { Ok(()) } else { Err(missing("a device does not tell where its other end is")) }
    })
}

/// An index that cannot be, for a device that there is not: who knows of indices complains of the first.
pub(super) fn new_index() -> io::Result<()> {
    let index = attribute(IFLA_NEW_IFINDEX, &(-1_i32).to_ne_bytes());
    let body = [&IFINFOMSG[..], &index, &attribute(IFLA_IFNAME, NO_DEVICE)].concat();
    let request = Request { kind: RTM_SETLINK, flags: 0, body };
    match routing()?.ask(&request, |_| {}).map_err(io_error) {
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
            Err(missing("IFLA_NEW_IFINDEX is ignored"))
        }
        Err(error) => Err(error),
        Ok(()) => Err(missing("RTM_SETLINK changes a device that there is not")),
    }
}

/// A packet filter's tables can be listed.
pub(super) fn nftables() -> io::Result<()> {
    // NFT_MSG_GETTABLE of NFNL_SUBSYS_NFTABLES; struct nfgenmsg: any family.
    const GET_TABLES: u16 = 10 << 8 | 1;
    let netlink = Netlink::open(libc::NETLINK_NETFILTER).map_err(io_error)?;
    netlink.dump(GET_TABLES, &[0; 4], |_| {}).map_err(io_error)
}

/// A lock is a table that everybody in the network namespace sees.
pub(super) fn network_lock() -> io::Result<()> {
    apart_if_possible(CloneFlags::CLONE_NEWNET, || network_lock::probe().map_err(io_error))
}

/// Programs that save filters and do so by the interface of before nftables, for IPv4 and, where there is that, IPv6.
pub(super) fn legacy_filters() -> io::Result<()> {
    legacy(["iptables-save", "iptables-legacy-save"])?;
    match socket::socket(libc::AF_INET6, libc::SOCK_DGRAM, 0) {
        Ok(_) => legacy(["ip6tables-save", "ip6tables-legacy-save"]),
        Err(_) => Ok(()),
    }
}

fn legacy(names: [&str; 2]) -> io::Result<()> {
    let is_legacy = |name: &&str| {
        let version = Command::new(name).arg("-V").stdin(Stdio::null()).stderr(Stdio::null()).output();
        version.is_ok_and(|v| v.status.success() && !String::from_utf8_lossy(&v.stdout).contains("nf_tables"))
    };
    match names.iter().any(is_legacy) {
        true => Ok(()),
        false => Err(missing(format!("neither {} nor {} is there and of that kind", names[0], names[1]))),
    }
}
