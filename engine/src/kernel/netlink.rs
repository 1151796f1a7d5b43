//! Asking the kernel by netlink(7): a request and the messages of its answer, or a transaction of several.
//!
//! A message is a header (`struct nlmsghdr`), a structure of the protocol, and attributes (`struct nlattr`), all in the
//! byte order of the machine and aligned to four bytes. Here they are taken apart; what they say is for the callers.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Error, OsContext, Result};
use crate::sys::socket;

const HEADER_LEN: usize = 16;
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
        Ok(Netlink { fd, sequence: Cell::new(1) })
    }

    /// Asks for a list, and gives every message of the answer, without its header, to `each`.
    pub fn dump(&self, kind: u16, request: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
        let mut message = ((HEADER_LEN + request.len()) as u32).to_ne_bytes().to_vec();
        message.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        // Sequence number and our port: there is one request on this socket at a time.
        message.extend([0; 8]);
        message.extend_from_slice(request);
        socket::send(self.fd.as_fd(), &message, &socket::Along::default()).os(|| "send to netlink")?;
        let mut buffer = vec![0; ROOM];
        // A dump answers while it is asked for the next part: there is always something to receive.
        loop {
            let got = socket::receive(self.fd.as_fd(), &mut buffer, 0).os(|| "receive from netlink")?;
            let answer = buffer.get(..got.len).unwrap_or_default();
            if !Self::take(answer, kind, &mut each)? {
                return Ok(());
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
            let got = socket::receive(self.fd.as_fd(), &mut buffer, 0).os(|| "receive from netlink")?;
            let mut answer = buffer.get(..got.len).unwrap_or_default();
            while let Some((len, kind)) = header(answer) {
                let number = word(answer, 8);
                let errno = -(word(answer, HEADER_LEN) as i32);
                let ours = i32::from(kind) == libc::NLMSG_ERROR && (number == first || number == last);
                if ours && errno != 0 {
                    return Err(Error::os("netlink request", std::io::Error::from_raw_os_error(errno)));
                }
                if ours && number == last {
                    return Ok(());
                }
                answer = answer.get(len.next_multiple_of(4).max(HEADER_LEN)..).unwrap_or_default();
            }
        }
    }

    /// Hands out the messages of one datagram; whether more datagrams follow.
    fn take(mut answer: &[u8], asked: u16, each: &mut impl FnMut(&[u8])) -> Result<bool> {
        while let Some((len, kind)) = header(answer) {
            let body = answer.get(HEADER_LEN..len).ok_or_else(|| Error::bug("a short netlink message"))?;
            match i32::from(kind) {
                libc::NLMSG_DONE => return Ok(false),
                libc::NLMSG_ERROR => {
                    let errno = body.first_chunk().map_or(0, |bytes| -i32::from_ne_bytes(*bytes));
                    let error = std::io::Error::from_raw_os_error(errno);
                    return Err(Error::os(format!("netlink request {asked}"), error));
                }
                _ => each(body),
            }
            answer = answer.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(true)
    }
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

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let len = u32::from_ne_bytes(*bytes.first_chunk()?);
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    Some((len as usize, kind))
}

/// The attributes behind the structure of a message: type and content.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
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
        let mut bytes = Vec::new();
        for (kind, content) in [(1u16, &b"abc"[..]), (0x8002, b""), (3, b"1234")] {
            bytes.extend(((ATTRIBUTE_LEN + content.len()) as u16).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let all: Vec<_> = attributes(&bytes).collect();
        assert_eq!(all, [(1, &b"abc"[..]), (2, b""), (3, b"1234")]);
        // One that claims more than there is ends the list.
        assert_eq!(attributes(&[9, 0, 1, 0, 5]).count(), 0);
        assert_eq!(attributes(&[]).count(), 0);
    }
}
