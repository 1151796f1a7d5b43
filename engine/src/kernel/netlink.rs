//! Asking the kernel by netlink(7): a request and the messages of its answer, or a transaction of several.
//!
//! A message is a header (`struct nlmsghdr`), a structure of the protocol, and attributes (`struct nlattr`), all in the
//! byte order of the machine and aligned to four bytes. Here they are taken apart; what they say is for the callers.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, OsContext, Result};
use crate::sys::socket;

const HEADER_LEN: usize = 16;
/// Where in it the number of the request is.
const SEQUENCE: usize = 8;
const ATTRIBUTE_LEN: usize = 4;
/// The upper bits of an attribute's type are flags: include/uapi/linux/netlink.h.
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;
/// What the kernel puts into one answer at most: NETLINK_GOODSIZE and, for dumps, 32 KiB.
const ROOM: usize = 1 << 16;

/// A netlink socket of one protocol.
#[derive(Debug)]
pub struct Netlink {
    fd: OwnedFd,
    /// The number of the next request that is answered.
    sequence: Cell<u32>,
}

impl Netlink {
    /// `NETLINK_*`
    pub fn open(protocol: i32) -> Result<Self> {
        let fd = socket::socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)
            .os(|| format!("socket AF_NETLINK, protocol {protocol}"))?;
        // Another's may have this port; then the kernel chooses one.
        let _ = socket::bind(fd.as_fd(), &own_address());
        Ok(Netlink { fd, sequence: Cell::new(1) })
    }

    /// Asks for a list, and gives every message of the answer, without its header, to `each`.
    pub fn dump(&self, kind: u16, request: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        let request = Request { kind, flags: libc::NLM_F_DUMP, body: request.to_vec() };
        // There is one such request on this socket at a time: it needs no number.
        let message = request.frame(0, 0);
        socket::send(self.fd.as_fd(), &message, &socket::Along::default()).os(|| "send to netlink")?;
        let mut buffer = vec![0; ROOM];
        // A dump answers while it is asked for the next part: there is always something to receive.
        loop {
            if !Self::take(self.receive(&mut buffer)?, kind, &mut each)? {
                return Ok(());
            }
        }
    }

    /// Makes one request, and gives every message of the answer, without its header, to `each`.
    pub fn ask(&self, request: &Request, mut each: impl FnMut(&[u8])) -> Result<()> {
        let number = self.sequence.get();
        self.sequence.set(number.wrapping_add(1));
        let message = request.frame(libc::NLM_F_ACK, number);
        socket::send(self.fd.as_fd(), &message, &socket::Along::default()).os(|| "send to netlink")?;
        let mut buffer = vec![0; ROOM];
        loop {
            // The kernel has answered before it lets us go on.
            for (len, kind, answer) in messages(self.receive(&mut buffer)?) {
                let is_end = i32::from(kind) == libc::NLMSG_ERROR;
                match (is_end, errno(answer)) {
                    (true, 0) => return Ok(()),
                    (true, _) => return Err(failed(format!("netlink request {}", request.kind), answer)),
                    (false, _) => each(answer.get(HEADER_LEN..len).unwrap_or_default()),
                }
            }
        }
    }

    /// Sends requests as one: all are done, or none (nfnetlink_rcv_batch in net/netfilter/nfnetlink.c). `begin` and `end`
    /// frame them.
    pub fn transact(&self, requests: &[Request], [begin, end]: [&Request; 2]) -> Result<()> {
        // Whatever is still to be read of an earlier transaction has a lower number.
        let first = self.sequence.get();
        let last = first.wrapping_add(1);
        self.sequence.set(last.wrapping_add(1));
        let mut bytes = begin.frame(0, first);
        for (index, request) in requests.iter().enumerate() {
            // An error is answered in any case, and one answer says that all went well.
            let is_last = index + 1 == requests.len();
            let (flags, number) = if is_last { (libc::NLM_F_ACK, last) } else { (0, first) };
            bytes.extend(request.frame(flags, number));
        }
        bytes.extend(end.frame(0, first));
        // The default has room for some hundred rules.
        let room = (2 * bytes.len() as i32).max(ROOM as i32);
        socket::set_option(self.fd.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &room.to_ne_bytes())
            .os(|| format!("setsockopt SO_SNDBUFFORCE {room}"))?;
        socket::send(self.fd.as_fd(), &bytes, &socket::Along::default()).os(|| "send to netlink")?;
        let mut buffer = vec![0; ROOM];
        loop {
            // The kernel has answered before it lets us go on.
            for (_, kind, answer) in messages(self.receive(&mut buffer)?) {
                let number = word(answer, SEQUENCE);
                let ours = i32::from(kind) == libc::NLMSG_ERROR && (number == first || number == last);
                if ours && errno(answer) != 0 {
                    return Err(failed("netlink request".to_owned(), answer));
                }
                if ours && number == last {
                    return Ok(());
                }
            }
        }
    }

    /// One datagram, in `buffer`.
    fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        let got = socket::receive(self.fd.as_fd(), buffer, 0).os(|| "receive from netlink")?;
        Ok(buffer.get(..got.len).unwrap_or_default())
    }

    /// Hands out the messages of one datagram; whether more datagrams follow.
    fn take(datagram: &[u8], asked: u16, each: &mut impl FnMut(&[u8])) -> Result<bool> {
        for (len, kind, answer) in messages(datagram) {
            let body = answer.get(HEADER_LEN..len).ok_or_else(|| Error::bug("a short netlink message"))?;
            match i32::from(kind) {
                // An error that comes up on the way is told at the end (netlink_dump_done in af_netlink.c).
                libc::NLMSG_DONE if errno(answer) > 0 => {
                    return Err(failed(format!("netlink request {asked}"), answer));
                }
                libc::NLMSG_DONE => return Ok(false),
                libc::NLMSG_ERROR => return Err(failed(format!("netlink request {asked}"), answer)),
                _ => each(body),
            }
        }
        Ok(true)
    }
}

/// `struct sockaddr_nl` with a port that no socket of ours had before. The kernel gives the process id again as soon as a
/// socket leaves it, and tells nftables only then that the socket is gone (netlink_release in net/netlink/af_netlink.c):
/// the table of another thread's socket would go with it.
fn own_address() -> Vec<u8> {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    let number = OPENED.fetch_add(1, Ordering::Relaxed) & 0x3ff;
    let port = 1 << 30 | (std::process::id() & 0xf_ffff) << 10 | number;
    let family = (libc::AF_NETLINK as u16).to_ne_bytes();
    [&family[..], &[0; 2], &port.to_ne_bytes(), &[0; 4]].concat()
}

/// A message to the kernel: its type, flags besides NLM_F_REQUEST, and what follows the header.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Type.
    pub kind: u16,
    /// `NLM_F_*`
    pub flags: i32,
    /// Structure and attributes.
    pub body: Vec<u8>,
}

impl Request {
    fn frame(&self, flags: i32, sequence: u32) -> Vec<u8> {
        let flags = (libc::NLM_F_REQUEST | flags | self.flags) as u16;
        let mut message = ((HEADER_LEN + self.body.len()) as u32).to_ne_bytes().to_vec();
        message.extend([self.kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        message.extend([sequence.to_ne_bytes(), [0; 4]].concat());
        message.extend_from_slice(&self.body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }
}

/// An attribute with its padding.
pub fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = ((ATTRIBUTE_LEN + content.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute that consists of attributes.
pub fn nested(kind: u16, content: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &content.concat())
}

/// What NLMSG_ERROR says; 0 is success.
fn errno(message: &[u8]) -> i32 {
    (word(message, HEADER_LEN) as i32).wrapping_neg()
}

fn failed(request: String, answer: &[u8]) -> Error {
    Error::os(request, std::io::Error::from_raw_os_error(errno(answer)))
}

/// The messages of a datagram: bytes that each claims to have, type, and what there is from its header on.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (usize, u16, &[u8])> {
    std::iter::from_fn(move || {
        let message = bytes;
        let len = u32::from_ne_bytes(*message.first_chunk()?) as usize;
        let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
        bytes = message.get(len.next_multiple_of(4).max(HEADER_LEN)..).unwrap_or_default();
        Some((len, kind, message))
    })
}

/// The attributes behind the structure of a message: type and content.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> + Clone {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let content = bytes.get(ATTRIBUTE_LEN..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

/// The 32-bit word at `offset`, 0 beyond the end: structures have grown over time.
pub fn word(bytes: &[u8], offset: usize) -> u32 {
    let found = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    found.map_or(0, |word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_aligned_and_end_where_the_bytes_do() {
        let bytes = [attribute(1, b"abc"), nested(2, &[]), attribute(3, b"1234")].concat();
        assert_eq!(bytes, [7, 0, 1, 0, 97, 98, 99, 0, 4, 0, 2, 0x80, 8, 0, 3, 0, 49, 50, 51, 52]);
        let all: Vec<_> = attributes(&bytes).collect();
        assert_eq!(all, [(1, &b"abc"[..]), (2, b""), (3, b"1234")]);
        // One that claims more than there is ends the list.
        assert_eq!(attributes(&[9, 0, 1, 0, 5]).count(), 0);
        assert_eq!(attributes(&[]).count(), 0);
    }
}
