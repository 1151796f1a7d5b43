//! A TCP connection: what the kernel tells and takes in repair mode (TCP_REPAIR of include/uapi/linux/tcp.h,
//! net/ipv4/tcp.c), and `tcp-stream-N.img`.
//!
//! In repair mode a socket gives its queues and their sequence numbers, takes them, connects and closes without a packet.
//! A socket that stays in repair mode is dead for its program, so the dump has it so only for the moment of reading, and
//! again when the tree ends: what is closed then, its peer is not told of.
//!
//! Not kept: measurements of the path (round trips, congestion window), which the kernel
//! makes again.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::options;
use super::closing::{self, Fins};
use super::{CLOSE, ESTABLISHED, address};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::TcpStreamEntry;
use crate::sys::fd::{readable, ready, unsent, unsent_at_all};
use crate::sys::socket::{self, Along, int_option, option, set_option};

const OFF: i32 = 0;
const ON: i32 = 1;
/// Off without a window probe: the peer is not to hear of us.
const OFF_SILENTLY: i32 = -1;

/// Queues, as TCP_REPAIR_QUEUE chooses them.
pub(super) const NO_QUEUE: i32 = 0;
const RECV_QUEUE: i32 = 1;
pub(super) const SEND_QUEUE: i32 = 2;

/// Options of the handshake, TCPI_OPT_*.
const TIMESTAMPS: u32 = 1;
const SACK: u32 = 2;
const WINDOW_SCALE: u32 = 4;
/// TCPOPT_* of include/net/tcp.h.
const OPT_MSS: u32 = 2;
const OPT_WINDOW: u32 = 3;
const OPT_SACK_PERM: u32 = 4;
const OPT_TIMESTAMP: u32 = 8;

/// Bytes that are sent into a queue at once; the kernel may have no single buffer for more.
const CHUNK: usize = 64 << 10;

/// A socket in repair mode. Dropped, it is as before.
///
/// The mode forces SO_REUSEADDR on, and leaving it turns that off (do_tcp_setsockopt), whatever it was.
#[derive(Debug)]
pub struct Repair {
    fd: Option<OwnedFd>,
    reuse: i32,
}

impl Repair {
    /// Needs CAP_NET_ADMIN, and a socket that is connected or closed.
    pub fn begin(fd: BorrowedFd<'_>) -> Result<Self> {
        let own = fd.try_clone_to_owned().os(|| "duplicate a socket")?;
        let reuse = int_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR).os(|| "getsockopt SO_REUSEADDR")?;
        set(fd, libc::TCP_REPAIR, ON)?;
        Ok(Repair { fd: Some(own), reuse })
    }

    fn end(fd: BorrowedFd<'_>, how: i32, reuse: i32) -> Result<()> {
        set(fd, libc::TCP_REPAIR, how)?;
        options::set(fd, libc::SO_REUSEADDR, reuse as u32)
    }

    /// The tree has ended: whoever closes the socket last, no packet says so.
    pub fn leave(mut self) {
        self.fd = None;
    }
}

impl Drop for Repair {
    fn drop(&mut self) {
        if let Some(fd) = &self.fd
            && let Err(error) = Self::end(fd.as_fd(), OFF_SILENTLY, self.reuse)
        {
            crate::log_warn!("a TCP connection stays in repair mode: {error}");
        }
    }
}

pub(super) fn set(fd: BorrowedFd<'_>, name: i32, value: i32) -> Result<()> {
    set_option(fd, libc::SOL_TCP, name, &value.to_ne_bytes())
        .os(|| format!("setsockopt SOL_TCP {name} {value}"))
}

fn get(fd: BorrowedFd<'_>, name: i32) -> Result<u32> {
    let value = int_option(fd, libc::SOL_TCP, name).os(|| format!("getsockopt SOL_TCP {name}"))?;
    Ok(value as u32)
}

/// `tcpi_state`, of include/net/tcp_states.h.
pub(super) fn state(fd: BorrowedFd<'_>) -> Result<u32> {
    let info = option(fd, libc::SOL_TCP, libc::TCP_INFO, 1).os(|| "getsockopt TCP_INFO")?;
    Ok(info.first().copied().unwrap_or(0).into())
}

/// A connection with both queues.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stream {
    /// Its state, of include/net/tcp_states.h; that of the socket is not in the entry.
    pub state: u32,
    /// The numbers.
    pub entry: TcpStreamEntry,
    /// Received and not yet read.
    pub received: Vec<u8>,
    /// Written and not yet acknowledged; the last `unsq_len` bytes were never sent.
    pub written: Vec<u8>,
}

/// Reads a connection, whose packets must not pass meanwhile.
pub fn read(fd: BorrowedFd<'_>) -> Result<Stream> {
    let repair = Repair::begin(fd)?;
    let info = option(fd, libc::SOL_TCP, libc::TCP_INFO, 8).os(|| "getsockopt TCP_INFO")?;
    let byte = |at: usize| info.get(at).copied().map_or(0, u32::from);
    let state = byte(0);
    let fins = Fins::of(state).unwrap_or(Fins::NONE);
    // What comes behind an urgent byte is not part of what can be asked for.
    if ready(fd, libc::POLLPRI).os(|| "poll")? & libc::POLLPRI != 0 {
        return Err(Error::new("E-SOCKET-URGENT", Blame::Program, "has unread urgent data (MSG_OOB)")
            .help("let the program read it before the dump"));
    }
    let (opt_mask, scales) = (byte(5), byte(6));
    let window =
        option(fd, libc::SOL_TCP, libc::TCP_REPAIR_WINDOW, 20).os(|| "getsockopt TCP_REPAIR_WINDOW")?;
    let words: Vec<u32> = window.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
    let word = |at: usize| words.get(at).copied();
    let (received, inq_seq) = queue(fd, RECV_QUEUE, readable(fd).os(|| "ioctl SIOCINQ")?)?;
    let [in_queue, unsent] = match state {
        // What was written is gone, but the numbers are as before (tcp_write_queue_purge).
        CLOSE => [0; 2],
        _ => [unsent(fd).os(|| "ioctl SIOCOUTQ")?, unsent_at_all(fd).os(|| "ioctl SIOCOUTQNSD")?],
    }
    .map(|bytes| bytes.saturating_sub(fins.waiting()));
    let (written, outq_seq) = queue(fd, SEND_QUEUE, in_queue)?;
    set(fd, libc::TCP_REPAIR_QUEUE, NO_QUEUE)?;
    let entry = TcpStreamEntry {
        inq_len: received.len() as u32,
        inq_seq,
        outq_len: written.len() as u32,
        outq_seq,
        opt_mask,
        // Bit fields, which start with the lowest bits of a little-endian machine.
        snd_wscale: scales & 0xf,
        rcv_wscale: (opt_mask & WINDOW_SCALE != 0).then_some(scales >> 4),
        mss_clamp: get(fd, libc::TCP_MAXSEG)?,
        timestamp: if opt_mask & TIMESTAMPS != 0 { Some(get(fd, libc::TCP_TIMESTAMP)?) } else { None },
        unsq_len: Some(unsent as u32),
        snd_wl1: word(0),
        snd_wnd: word(1),
        max_window: word(2),
        rcv_wnd: word(3),
        rcv_wup: word(4),
        ..TcpStreamEntry::default()
    };
    drop(repair);
    Ok(Stream { state, entry, received, written })
}

/// The bytes of a queue and the sequence number behind them.
fn queue(fd: BorrowedFd<'_>, queue: i32, len: usize) -> Result<(Vec<u8>, u32)> {
    set(fd, libc::TCP_REPAIR_QUEUE, queue)?;
    let seq = get(fd, libc::TCP_QUEUE_SEQ)?;
    let mut bytes = vec![0; len];
    if len > 0 {
        let got =
            socket::receive(fd, &mut bytes, libc::MSG_PEEK).os(|| "recvmsg of a queue in repair mode")?;
        if got.len != len {
            return Err(Error::bug(format!("a queue of TCP gave {} of {len} bytes", got.len)));
        }
    }
    Ok((bytes, seq))
}

/// Binds and connects a new socket as the connection was. It stays in repair mode until [`Repair`] is dropped or
/// [`go_on`] is called. Only in that mode it may have the name of a listening socket.
pub fn connect(fd: BorrowedFd<'_>, name: &SocketAddr, peer: &SocketAddr, stream: &Stream) -> Result<Repair> {
    let repair = Repair::begin(fd)?;
    match rebuild(fd, name, peer, stream) {
        Ok(()) => Ok(repair),
        Err(error) => {
            // Closed in this mode, it tells its peer nothing.
            let _ = set(fd, libc::TCP_REPAIR, ON);
            repair.leave();
            Err(error)
        }
    }
}

/// Begins a connection that was not there yet, with the number that its SYN had: the other end takes it for the same.
pub fn begin(fd: BorrowedFd<'_>, peer: &SocketAddr, stream: &Stream) -> Result<()> {
    let repair = Repair::begin(fd)?;
    set(fd, libc::TCP_REPAIR_QUEUE, SEND_QUEUE)?;
    set(fd, libc::TCP_QUEUE_SEQ, stream.entry.outq_seq.wrapping_sub(1) as i32)?;
    set(fd, libc::TCP_REPAIR_QUEUE, NO_QUEUE)?;
    drop(repair);
    match socket::connect(fd, &address::raw(peer)) {
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        begun => begun.os(|| format!("connect to {peer}")),
    }
}

fn rebuild(fd: BorrowedFd<'_>, name: &SocketAddr, peer: &SocketAddr, stream: &Stream) -> Result<()> {
    let entry = &stream.entry;
    let is_over = (stream.state == CLOSE).then_some(Fins::NONE);
    let fins = Fins::of(stream.state).or(is_over).ok_or_else(|| {
        Error::new("E-SOCKET-CONNECTED", Blame::Image, format!("has the state {}", stream.state))
            .help("restore with --tcp-close")
    })?;
    options::make_room(fd)?;
    socket::bind(fd, &address::raw(name)).os(|| "bind in repair mode")?;
    // Before the bytes of the queue, which come before the FIN.
    for (queue, seq, len) in [
        (RECV_QUEUE, entry.inq_seq, entry.inq_len.wrapping_add(fins.received())),
        (SEND_QUEUE, entry.outq_seq, entry.outq_len.wrapping_add(fins.sent())),
    ] {
        set(fd, libc::TCP_REPAIR_QUEUE, queue)?;
        set(fd, libc::TCP_QUEUE_SEQ, seq.wrapping_sub(len) as i32)?;
    }
    socket::connect(fd, &address::raw(peer)).os(|| "connect in repair mode")?;
    let scales = entry.snd_wscale | entry.rcv_wscale.unwrap_or(0) << 16;
    let options = [
        (OPT_MSS, entry.mss_clamp, true),
        (OPT_WINDOW, scales, entry.opt_mask & WINDOW_SCALE != 0),
        (OPT_SACK_PERM, 0, entry.opt_mask & SACK != 0),
        (OPT_TIMESTAMP, 0, entry.opt_mask & TIMESTAMPS != 0),
    ];
    for (code, value, _) in options.into_iter().filter(|(.., on)| *on) {
        // struct tcp_repair_opt
        let option = [code, value].map(u32::to_ne_bytes).concat();
        set_option(fd, libc::SOL_TCP, libc::TCP_REPAIR_OPTIONS, &option)
            .os(|| format!("setsockopt TCP_REPAIR_OPTIONS {code} {value}"))?;
    }
    if let Some(timestamp) = entry.timestamp {
        set(fd, libc::TCP_TIMESTAMP, timestamp as i32)?;
    }
    let unsent = entry.unsq_len.unwrap_or(0).min(entry.outq_len) as usize;
    let (sent, fresh) = stream.written.split_at(stream.written.len().saturating_sub(unsent));
    fill(fd, RECV_QUEUE, &stream.received)?;
    fill(fd, SEND_QUEUE, sent)?;
    set(fd, libc::TCP_REPAIR_QUEUE, NO_QUEUE)?;
    if stream.state == CLOSE {
        return closing::reset(fd, (*name, *peer), entry);
    }
    set_window(fd, entry, fins)?;
    adopt_segment_size(fd)?;
    if !fresh.is_empty() {
        // What was never sent is sent as usual.
        set(fd, libc::TCP_REPAIR, OFF_SILENTLY)?;
        push(fd, fresh)?;
        set(fd, libc::TCP_REPAIR, ON)?;
    }
    if stream.state == ESTABLISHED {
        return Ok(());
    }
    closing::close(fd, (*name, *peer), stream.state, entry)
}

/// Lets the kernel make segments of the size that the repair option allows: TCP_REPAIR_OPTIONS does not ask for that, so
/// that they would have 536 bytes less options for ever. Options of IP do (do_ip_setsockopt in net/ipv4/ip_sockglue.c),
/// also on sockets of IPv6; the socket has none yet. The window limits the size, too (tcp_bound_to_half_wnd).
fn adopt_segment_size(fd: BorrowedFd<'_>) -> Result<()> {
    set_option(fd, libc::SOL_IP, libc::IP_OPTIONS, &[]).os(|| "setsockopt IP_OPTIONS")
}

/// The window before the other end's FIN has taken its number, which is so before what was received and acknowledged last.
fn set_window(fd: BorrowedFd<'_>, entry: &TcpStreamEntry, fins: Fins) -> Result<()> {
    let (Some(snd_wl1), Some(snd_wnd), Some(max_window), Some(rcv_wnd), Some(rcv_wup)) =
        (entry.snd_wl1, entry.snd_wnd, entry.max_window, entry.rcv_wnd, entry.rcv_wup)
    else {
        return Ok(());
    };
    let (rcv_wnd, rcv_wup) = (rcv_wnd.wrapping_add(fins.received()), rcv_wup.wrapping_sub(fins.received()));
    let window = [snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup].map(u32::to_ne_bytes).concat();
    set_option(fd, libc::SOL_TCP, libc::TCP_REPAIR_WINDOW, &window).os(|| "setsockopt TCP_REPAIR_WINDOW")
}

fn fill(fd: BorrowedFd<'_>, queue: i32, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    set(fd, libc::TCP_REPAIR_QUEUE, queue)?;
    push(fd, bytes)
}

fn push(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    let (mut rest, mut most) = (bytes, CHUNK);
    while !rest.is_empty() {
        let part = rest.get(..most).unwrap_or(rest);
        match socket::send(fd, part, &Along::default()) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
            Err(e) if e.raw_os_error() == Some(libc::ENOMEM) && most > 1024 => most /= 2,
            Err(e) => return Err(Error::os(format!("send {} bytes into a queue", part.len()), e)),
        }
    }
    Ok(())
}

/// Lets a connection go on: it tells its peer its window, and asks for what it has missed.
pub fn go_on(repair: Repair) -> Result<()> {
    let Some(fd) = &repair.fd else { return Ok(()) };
    Repair::end(fd.as_fd(), OFF, repair.reuse)?;
    repair.leave();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::network_lock::{NetworkLock, unlock};
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    /// One end is read, closed without a word, and made again; both ends go on.
    fn survives(address: &str, sent: usize, received: usize) -> Result<()> {
        let listener = TcpListener::bind(address).os(|| "bind")?;
        let mut peer = TcpStream::connect(listener.local_addr().os(|| "name")?).os(|| "connect")?;
        let (mut ours, _) = listener.accept().os(|| "accept")?;
        let (name, other) = (ours.local_addr().os(|| "name")?, ours.peer_addr().os(|| "peer")?);
        let bytes = |seed: u8, len: usize| (0..len).map(|i| (i % 251) as u8 ^ seed).collect::<Vec<_>>();
        peer.write_all(&bytes(1, received)).os(|| "write")?;
        // What is still on its way when the lock is taken does not arrive.
        let end = Instant::now() + Duration::from_secs(20);
        while readable(ours.as_fd()).os(|| "ioctl SIOCINQ")? < received && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let run = format!("stream-{}-{}", std::process::id(), name.port());
        let lock = NetworkLock::take(&run, "a test", vec![(name, other)])?;
        // These stay in the queue.
        ours.set_nonblocking(true).os(|| "nonblocking")?;
        let written = (0..sent).step_by(CHUNK).try_fold(0, |done, _| {
            let content = bytes(2, sent);
            Ok::<_, Error>(done + ours.write(content.get(done..).unwrap_or_default()).os(|| "write")?)
        })?;
        let stream = read(ours.as_fd())?;
        assert_eq!((stream.received.len(), stream.written.len()), (received, written));
        let again = read(ours.as_fd())?;
        assert_eq!((&again.received, &again.written), (&stream.received, &stream.written));
        let reuse = int_option(ours.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR);
        assert_eq!(reuse.ok(), Some(1), "std listens with SO_REUSEADDR, and what it accepts has it, too");
        Repair::begin(ours.as_fd())?.leave();
        drop(ours);
        lock.leave()?;
        let family = if name.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let fd = socket::socket(family, libc::SOCK_STREAM, 0).os(|| "socket")?;
        let repair = connect(fd.as_fd(), &name, &other, &stream)?;
        unlock(&run)?;
        go_on(repair)?;
        let mut ours = TcpStream::from(fd);
        ours.write_all(b"end").os(|| "write")?;
        let mut got = vec![0; written + 3];
        peer.set_read_timeout(Some(Duration::from_secs(20))).os(|| "timeout")?;
        peer.read_exact(&mut got).os(|| "the peer reads")?;
        assert!(got.get(..written) == bytes(2, sent).get(..written) && got.ends_with(b"end"));
        let mut got = vec![0; received];
        ours.read_exact(&mut got).os(|| "we read")?;
        assert!(got == bytes(1, received));
        peer.write_all(b"more").os(|| "write")?;
        let mut got = [0; 4];
        ours.read_exact(&mut got).os(|| "we read more")?;
        assert_eq!(&got, b"more");
        drop(peer);
        assert_eq!(ours.read(&mut got).ok(), Some(0));
        Ok(())
    }

    #[test]
    fn idle_connections_go_on() -> Result<()> {
        survives("127.0.0.1:0", 0, 0)?;
        survives("[::1]:0", 0, 0)
    }

    #[test]
    fn queues_go_on() -> Result<()> {
        survives("127.0.0.1:0", 10, 20)?;
        survives("127.0.0.1:0", 200_000, 100_000)
    }
}
