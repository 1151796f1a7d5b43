//! Unread packets of UDP and UDP-Lite sockets, which CRIU drops.
//!
//! At the dump MSG_PEEK shows each with its sender and the address that it came to. At the restore it is sent again, with
//! that sender, from a raw socket that is bound to the loopback interface: no such packet leaves the machine, and the
//! sender's own socket, if there is one, is not asked. A packet on its way through the loopback interface keeps the route
//! by which it was sent (loopback_xmit in drivers/net/loopback.c), so its source is not compared with the routes.
//!
//! raw(7), IPV6_HDRINCL of include/uapi/linux/in6.h, RFC 768, RFC 3828.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::address::{self, octets};
use crate::error::{Error, OsContext, Result};
use crate::sys::socket::{self, Along, Received, int_option, set_option};

const UDP_GRO: i32 = 104;
const HEADER: usize = 8;
/// No packet has more bytes, nor has what the kernel puts together.
const LARGEST: usize = 1 << 16;
/// How long the kernel may take to deliver what was sent.
const PATIENCE: Duration = Duration::from_secs(1);

/// A packet that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) from: SocketAddr,
    /// The local address that it came to, if the kernel says.
    pub(super) to: Option<IpAddr>,
}

/// Options that make packets show themselves; dropped, it puts the old values back.
struct Peeking<'a> {
    fd: BorrowedFd<'a>,
    before: [(i32, i32, i32); 2],
}

impl<'a> Peeking<'a> {
    fn begin(fd: BorrowedFd<'a>, family: i32) -> Result<Self> {
        let info = match family {
            libc::AF_INET => (libc::SOL_IP, libc::IP_PKTINFO),
            _ => (libc::SOL_IPV6, libc::IPV6_RECVPKTINFO),
        };
        let ask = |(level, name)| {
            let value = int_option(fd, level, name).os(|| format!("getsockopt {level} {name}"))?;
            Ok((level, name, value))
        };
        let peeking = Peeking { fd, before: [ask((libc::SOL_SOCKET, libc::SO_PEEK_OFF))?, ask(info)?] };
        set(fd, libc::SOL_SOCKET, libc::SO_PEEK_OFF, 0)?;
        set(fd, info.0, info.1, 1)?;
        Ok(peeking)
    }

    /// The next packet, or `None` at the end of the queue.
    fn next(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        let peek = |buffer: &mut [u8]| socket::receive(self.fd, buffer, libc::MSG_PEEK);
        let again = |e: &io::Error| e.raw_os_error() == Some(libc::EAGAIN);
        // The first call may fail with what an earlier packet was answered.
        match peek(buffer).or_else(|e| if again(&e) { Err(e) } else { peek(buffer) }) {
            Ok(got) => Ok(Some(got)),
            Err(e) if again(&e) => Ok(None),
            Err(e) => Err(Error::os("recvmsg MSG_PEEK", e)),
        }
    }
}

impl Drop for Peeking<'_> {
    fn drop(&mut self) {
        for (level, name, value) in self.before {
            // It was taken from there: nothing can be wrong with it.
            let _ = set(self.fd, level, name, value);
        }
    }
}

fn set(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> Result<()> {
    set_option(fd, level, name, &value.to_ne_bytes()).os(|| format!("setsockopt {level} {name} {value}"))
}

/// Everything that waits in a socket, in its order. The socket is left as it was, but that no one will see an empty packet
/// by MSG_PEEK again (__skb_try_recv_from_queue in net/core/datagram.c); reading takes it all the same.
pub(super) fn peek(fd: BorrowedFd<'_>, family: i32) -> Result<Vec<Packet>> {
    let peeking = Peeking::begin(fd, family)?;
    let (mut packets, mut buffer) = (Vec::new(), vec![0; LARGEST]);
    while let Some(got) = peeking.next(&mut buffer)? {
        let bytes = buffer.get(..got.len).unwrap_or_default().to_vec();
        let Some(from) = address::parse(&got.name) else { continue };
        let to = got.other.iter().find_map(destination);
        // Those that the kernel has put together (UDP_GRO) are sent one by one.
        let segment = got.other.iter().find_map(segment).filter(|len| *len > 0).unwrap_or(usize::MAX);
        match bytes.is_empty() {
            true => packets.push(Packet { bytes, from, to }),
            false => {
                packets.extend(bytes.chunks(segment).map(|part| Packet { bytes: part.to_vec(), from, to }))
            }
        }
    }
    Ok(packets)
}

/// `struct in_pktinfo` and `struct in6_pktinfo`.
fn destination((level, kind, content): &(i32, i32, Vec<u8>)) -> Option<IpAddr> {
    match (*level, *kind) {
        (libc::SOL_IP, libc::IP_PKTINFO) => address::from_octets(content.get(8..12)?),
        (libc::SOL_IPV6, libc::IPV6_PKTINFO) => address::from_octets(content.get(..16)?),
        _ => None,
    }
}

fn segment((level, kind, content): &(i32, i32, Vec<u8>)) -> Option<usize> {
    let is_size = (*level, *kind) == (libc::SOL_UDP, UDP_GRO);
    content.first_chunk().filter(|_| is_size).and_then(|size| usize::try_from(i32::from_ne_bytes(*size)).ok())
}

/// Puts packets into the queue of a socket that is bound to `name`, and not connected yet. How many arrived.
pub(super) fn fill(
    fd: BorrowedFd<'_>,
    name: &SocketAddr,
    protocol: i32,
    packets: &[Packet],
) -> Result<usize> {
    for packet in packets {
        let (from, to) = (canonical(packet.from.ip()), canonical(target(name.ip(), packet)));
        let length = HEADER + packet.bytes.len();
        let udp = transport(protocol, (from, packet.from.port()), (to, name.port()), &packet.bytes);
        let whole = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => [ipv4(from, to, protocol, length), udp].concat(),
            (IpAddr::V6(from), IpAddr::V6(to)) => [ipv6(from, to, protocol, length), udp].concat(),
            _ => return Err(Error::bug(format!("a packet from {from} to {to}"))),
        };
        let sender = raw_socket(to)?;
        let address = address::raw(&SocketAddr::new(to, 0));
        socket::send(sender.as_fd(), &whole, &Along { address: &address, ..Along::default() })
            .os(|| format!("send {} bytes from {from} to {to} again", packet.bytes.len()))?;
    }
    let family = if name.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let end = Instant::now() + PATIENCE;
    let with_bytes = |packets: &[Packet]| packets.iter().filter(|packet| !packet.bytes.is_empty()).count();
    let sent = with_bytes(packets);
    loop {
        let arrived = with_bytes(&peek(fd, family)?);
        if arrived >= sent || Instant::now() > end {
            return Ok(packets.len() - sent.saturating_sub(arrived));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn raw_socket(to: IpAddr) -> Result<OwnedFd> {
    let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let fd = socket::socket(family, libc::SOCK_RAW, libc::IPPROTO_RAW).os(|| "socket SOCK_RAW")?;
    set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo\0")
        .os(|| "setsockopt SO_BINDTODEVICE lo")?;
    Ok(fd)
}

/// Where a packet is sent to: where it came to, if that is an address of one machine; else to the loopback address, which
/// a socket that is bound to all takes as well.
fn target(bound: IpAddr, packet: &Packet) -> IpAddr {
    let v4 = canonical(packet.from.ip()).is_ipv4();
    let here = packet.to.filter(|to| !canonical(*to).is_multicast() && is_local(*to));
    match (bound.is_unspecified(), here, v4) {
        (false, ..) => bound,
        (true, Some(here), _) => here,
        (true, None, true) => Ipv4Addr::LOCALHOST.into(),
        (true, None, false) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Whether something can be bound to an address, as a broadcast address can.
fn is_local(ip: IpAddr) -> bool {
    let ip = canonical(ip);
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !broadcast && std::net::UdpSocket::bind((ip, 0)).is_ok()
}

fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The kernel fills in identification and checksum, ip(7).
fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: i32, length: usize) -> Vec<u8> {
    let total = ((20 + length) as u16).to_be_bytes();
    let head = [0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, protocol as u8, 0, 0];
    [&head[..], &from.octets(), &to.octets()].concat()
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, protocol: i32, length: usize) -> Vec<u8> {
    let length = (length as u16).to_be_bytes();
    let head = [0x60, 0, 0, 0, length[0], length[1], protocol as u8, 64];
    [&head[..], &from.octets(), &to.octets()].concat()
}

/// Header and content. UDP-Lite has its coverage where UDP has the length, and 0 is all.
fn transport(protocol: i32, from: (IpAddr, u16), to: (IpAddr, u16), bytes: &[u8]) -> Vec<u8> {
    let length = (HEADER + bytes.len()) as u16;
    let field = if protocol == libc::IPPROTO_UDP { length } else { 0 };
    let mut packet: Vec<u8> = [from.1, to.1, field, 0].into_iter().flat_map(u16::to_be_bytes).collect();
    packet.extend_from_slice(bytes);
    let pseudo = [
        octets(from.0),
        octets(to.0),
        u32::from(length).to_be_bytes().to_vec(),
        (protocol as u32).to_be_bytes().to_vec(),
    ]
    .concat();
    let sum = checksum(&[&pseudo, &packet]).to_be_bytes();
    if let Some(place) = packet.get_mut(6..8) {
        place.copy_from_slice(&sum);
    }
    packet
}

/// RFC 1071. The parts but for the last have an even length. 0 would say that there is none.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(u16::from_be_bytes([
            pair.first().copied().unwrap_or(0),
            pair.get(1).copied().unwrap_or(0),
        ]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => u16::MAX,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn lengths(packets: &[Packet]) -> Vec<usize> {
        packets.iter().map(|packet| packet.bytes.len()).collect()
    }

    #[test]
    fn packets_are_seen_and_come_again_from_where_they_came() -> Result<()> {
        for bound in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let (first, second) =
                (UdpSocket::bind(bound).os(|| bound)?, UdpSocket::bind(bound).os(|| bound)?);
            let port = first.local_addr().os(|| "name")?.port();
            let to = if bound.starts_with('[') { "::1" } else { "127.0.0.1" };
            let sender = UdpSocket::bind((to, 0)).os(|| "bind")?;
            for bytes in [&b"first"[..], b"", &[7; 60000]] {
                sender.send_to(bytes, (to, port)).os(|| "send")?;
            }
            let family = if to == "::1" { libc::AF_INET6 } else { libc::AF_INET };
            let packets = peek(first.as_fd(), family)?;
            assert_eq!(lengths(&packets), [5, 0, 60000]);
            // The empty one shows itself once.
            assert_eq!(lengths(&peek(first.as_fd(), family)?), [5, 60000]);
            // The sender lives, and its address is taken.
            let name = second.local_addr().os(|| "name")?;
            assert_eq!(fill(second.as_fd(), &name, libc::IPPROTO_UDP, &packets)?, 3);
            let again = peek(second.as_fd(), family)?;
            assert_eq!(lengths(&again), [5, 60000]);
            assert!(again.iter().all(|packet| packets.contains(packet)));
            let mut buffer = [0; 100];
            let (len, from) = second.recv_from(&mut buffer).os(|| "receive")?;
            assert_eq!((len, from), (5, sender.local_addr().os(|| "name")?));
            assert_eq!(second.recv_from(&mut buffer).os(|| "receive")?.0, 0);
        }
        Ok(())
    }

    #[test]
    fn the_checksum_is_the_one_of_rfc_1071() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03], &[0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(checksum(&[&[0xff, 0xff]]), u16::MAX);
    }
}
