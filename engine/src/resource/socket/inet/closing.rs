//! A TCP connection that is being closed: its FINs, which have sequence numbers like a byte each (RFC 9293, section 3.3.2).
//!
//! Ours is made by shutdown(2). That of the other end, and its acknowledgement of ours, no call makes: the socket gets them
//! as segments, which a raw socket sends to this machine in the name of the other end, marked for the network lock. One
//! that is over, and has something to be read, is ended by a segment, too: a reset.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::super::network_lock::MARK;
use super::tcp::{self, NO_QUEUE, SEND_QUEUE};
use super::{CLOSE, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, LAST_ACK, address, octets};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::TcpStreamEntry;
use crate::sys::socket::{self, Along, set_option};

const FIN: u8 = 1;
const RST: u8 = 4;
const ACK: u8 = 16;
const TCP_HEADER: usize = 20;
/// The segment goes over the loopback interface, while we are in sendmsg(2) or soon after.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a state says of both FINs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fins {
    /// Ours is in the queue or sent.
    sent: bool,
    /// The other end has acknowledged ours.
    acknowledged: bool,
    /// That of the other end was received.
    received: bool,
}

impl Fins {
    /// Of a connection that is not there yet, or no more.
    pub(super) const NONE: Fins = Fins { sent: false, acknowledged: false, received: false };

    /// By a state of include/net/tcp_states.h; `None` if that is no state of a connection.
    pub(super) fn of(state: u32) -> Option<Self> {
        let (sent, acknowledged, received) = match state {
            ESTABLISHED => return Some(Self::NONE),
            FIN_WAIT1 => (true, false, false),
            FIN_WAIT2 => (true, true, false),
            CLOSE_WAIT => (false, false, true),
            LAST_ACK | CLOSING => (true, false, true),
            _ => return None,
        };
        Some(Fins { sent, acknowledged, received })
    }

    /// How many of the numbers that the kernel counts as written and not acknowledged are no bytes.
    pub(super) fn waiting(self) -> usize {
        (self.sent && !self.acknowledged).into()
    }

    /// How many numbers ours has taken.
    pub(super) fn sent(self) -> u32 {
        self.sent.into()
    }

    /// How many numbers that of the other end has taken.
    pub(super) fn received(self) -> u32 {
        self.received.into()
    }
}

/// Brings a connection in repair mode from `ESTABLISHED` to `state`; `ends` are its name and its peer's. The stream has
/// the numbers that the kernel had, behind all FINs.
pub(super) fn close(
    fd: BorrowedFd<'_>,
    ends: (SocketAddr, SocketAddr),
    state: u32,
    stream: &TcpStreamEntry,
) -> Result<()> {
    let Some(fins) = Fins::of(state) else { return Ok(()) };
    // The end that closes second has received first.
    let second = state == LAST_ACK;
    if fins.sent && !second {
        shut_down(fd, fins.acknowledged)?;
    }
    if fins.received {
        let number = stream.inq_seq.wrapping_sub(1);
        send(ends, &segment(ends, number, unacknowledged(stream, fins), FIN | ACK, stream))?;
    }
    if fins.sent && second {
        shut_down(fd, false)?;
    }
    if fins.acknowledged {
        send(ends, &segment(ends, stream.inq_seq, stream.outq_seq, ACK, stream))?;
    }
    await_state(fd, state)
}

/// Ends a connection in repair mode that is `ESTABLISHED`; what it has received stays, and the error is ECONNRESET.
pub(super) fn reset(
    fd: BorrowedFd<'_>,
    ends: (SocketAddr, SocketAddr),
    stream: &TcpStreamEntry,
) -> Result<()> {
    send(ends, &segment(ends, stream.inq_seq, stream.outq_seq, RST, stream))?;
    await_state(fd, CLOSE)
}

/// The number of our oldest byte that the other end has not acknowledged.
fn unacknowledged(stream: &TcpStreamEntry, fins: Fins) -> u32 {
    stream.outq_seq.wrapping_sub(stream.outq_len).wrapping_sub(fins.waiting() as u32)
}

/// Queues our FIN. One that was acknowledged is not sent again, as nothing is that goes into the chosen queue.
fn shut_down(fd: BorrowedFd<'_>, acknowledged: bool) -> Result<()> {
    let queue = if acknowledged { SEND_QUEUE } else { NO_QUEUE };
    tcp::set(fd, libc::TCP_REPAIR_QUEUE, queue)?;
    socket::shutdown(fd, libc::SHUT_WR).os(|| "shutdown in repair mode")?;
    tcp::set(fd, libc::TCP_REPAIR_QUEUE, NO_QUEUE)
}

fn await_state(fd: BorrowedFd<'_>, state: u32) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let now = tcp::state(fd)?;
        if now == state {
            return Ok(());
        }
        if Instant::now() > end {
            let reason = format!(
                "does not come to state {state} but stays in {now}: a segment in the peer's name was lost"
            );
            return Err(Error::new("E-SOCKET-STATE", Blame::Environment, reason)
                .help("let the packet filter pass marked packets (mark 0xc114) on the loopback interface"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A segment without data from the other end to ours, with the headers of IP and TCP. It opens the window no further.
fn segment(
    (ours, other): (SocketAddr, SocketAddr),
    number: u32,
    acknowledged: u32,
    flags: u8,
    stream: &TcpStreamEntry,
) -> Vec<u8> {
    let window = stream.snd_wnd.unwrap_or(u32::MAX) >> stream.snd_wscale.min(14);
    let window = u16::try_from(window).unwrap_or(u16::MAX);
    let mut tcp = Vec::with_capacity(TCP_HEADER);
    tcp.extend(other.port().to_be_bytes());
    tcp.extend(ours.port().to_be_bytes());
    tcp.extend(number.to_be_bytes());
    tcp.extend(acknowledged.to_be_bytes());
    // The header's length in words.
    tcp.extend([((TCP_HEADER / 4) as u8) << 4, flags]);
    tcp.extend(window.to_be_bytes());
    // Checksum and urgent pointer.
    tcp.extend([0; 4]);
    let (from, to) = (octets(other.ip().to_canonical()), octets(ours.ip().to_canonical()));
    let sum = checksum(&[&from[..], &to, &[0, libc::IPPROTO_TCP as u8, 0, TCP_HEADER as u8], &tcp].concat());
    if let Some(field) = tcp.get_mut(16..18) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    let (len, protocol, hops) = (TCP_HEADER as u8, libc::IPPROTO_TCP as u8, 64);
    let ip = match ours.ip().to_canonical() {
        // Identification and checksum are the kernel's (raw(7)).
        IpAddr::V4(_) => vec![0x45, 0, 0, 20 + len, 0, 0, 0, 0, hops, protocol, 0, 0],
        IpAddr::V6(_) => vec![0x60, 0, 0, 0, 0, len, protocol, hops],
    };
    [ip, from, to, tcp].concat()
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

fn send((ours, _): (SocketAddr, SocketAddr), packet: &[u8]) -> Result<()> {
    let mut to = SocketAddr::new(ours.ip().to_canonical(), 0);
    if let (SocketAddr::V6(to), SocketAddr::V6(ours)) = (&mut to, ours) {
        to.set_scope_id(ours.scope_id());
    }
    let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let raw = socket::socket(family, libc::SOCK_RAW, libc::IPPROTO_RAW).os(|| "make a raw socket")?;
    set_option(raw.as_fd(), libc::SOL_SOCKET, libc::SO_MARK, &MARK.to_ne_bytes()).os(|| "SO_MARK")?;
    let to = address::raw(&to);
    let along = Along { address: &to, ..Along::default() };
    socket::send(raw.as_fd(), packet, &along).os(|| "send a segment in the peer's name").map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::super::network_lock::NetworkLock;
    use super::super::tcp::{Repair, Stream};
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_checksum_over_itself_is_zero() {
        let ends = ([10, 0, 0, 1], 5).into();
        let packet = segment((ends, ([10, 0, 0, 2], 7).into()), 1, 2, FIN | ACK, &TcpStreamEntry::default());
        let (addresses, tcp) = (packet.get(12..20), packet.get(20..));
        let pseudo = [addresses.unwrap_or_default(), &[0, 6, 0, 20], tcp.unwrap_or_default()].concat();
        assert_eq!((packet.len(), checksum(&pseudo)), (40, 0));
    }

    /// What the kernel would say of a connection in `state`, made of an idle one, is what it says of the restored one.
    fn comes_back(address: &str, state: u32) -> Result<()> {
        let listener = TcpListener::bind(address).os(|| "bind")?;
        let peer = TcpStream::connect(listener.local_addr().os(|| "name")?).os(|| "connect")?;
        let (ours, _) = listener.accept().os(|| "accept")?;
        let (name, other) = (ours.local_addr().os(|| "name")?, peer.local_addr().os(|| "name")?);
        let run = format!("closing-{}-{}", std::process::id(), name.port());
        let lock = NetworkLock::take(&run, "a test", vec![(name, other)])?;
        let mut stream = tcp::read(ours.as_fd())?;
        Repair::begin(ours.as_fd())?.leave();
        drop(ours);
        let fins = Fins::of(state).ok_or_else(|| Error::bug("no state of a connection"))?;
        stream.state = state;
        stream.entry.inq_seq = stream.entry.inq_seq.wrapping_add(fins.received());
        stream.entry.rcv_wup = stream.entry.rcv_wup.map(|number| number.wrapping_add(fins.received()));
        stream.entry.outq_seq = stream.entry.outq_seq.wrapping_add(fins.sent());
        let family = if name.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let fd = socket::socket(family, libc::SOCK_STREAM, 0).os(|| "socket")?;
        let repair = tcp::connect(fd.as_fd(), &name, &other, &stream)?;
        let again = tcp::read(fd.as_fd())?;
        let numbers = |stream: &Stream| {
            let entry = &stream.entry;
            (stream.state, entry.inq_seq, entry.outq_seq, entry.inq_len, entry.outq_len, entry.snd_wnd)
        };
        assert_eq!(numbers(&again), numbers(&stream), "{address} {state}");
        set_repair(fd.as_fd())?;
        repair.leave();
        drop((fd, lock));
        Ok(())
    }

    /// What is closed in this mode tells nobody.
    fn set_repair(fd: BorrowedFd<'_>) -> Result<()> {
        tcp::set(fd, libc::TCP_REPAIR, 1)
    }

    #[test]
    fn every_state_comes_back() -> Result<()> {
        for state in [FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING] {
            comes_back("127.0.0.1:0", state)?;
            comes_back("[::1]:0", state)?;
        }
        Ok(())
    }

    #[test]
    fn a_fin_counts_until_it_is_acknowledged() {
        let waiting = |state| Fins::of(state).map(Fins::waiting);
        assert_eq!([FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK].map(waiting), [1, 0, 0, 1].map(Some));
        assert_eq!(Fins::of(super::super::CLOSE), None);
    }
}
