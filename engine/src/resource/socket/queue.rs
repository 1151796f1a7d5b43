//! Messages that wait in a socket: seen by MSG_PEEK at the dump, sent again at the restore (`sk-queues.img`).
//!
//! SO_PEEK_OFF makes the kernel go on behind what was peeked, and SO_PASSCRED makes it show who sent a message. Both
//! belong to the socket, so they are changed only where a queue has something, and put back at once ([`Peeking`]).
//!
//! Messages of a stream flow together when they are read, but not over descriptors and, with SO_PASSCRED, not over
//! another sender: the image has one entry for each stretch that a read would give.
//!
//! Not kept: times of arrival, security labels; in a stream, where descriptors came behind bytes without any. A peek
//! gives both at once, wherever it starts (unix_stream_read_generic in net/unix/af_unix.c), and so does the restored
//! socket: the descriptors come with the first of these bytes, as after CRIU.

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{ScmEntry, SkPacketEntry, SkUcredEntry};
use crate::image::{EntryReader, ImageDir, Kind};
use crate::kernel::Pid;
use crate::sys::fd::readable;
use crate::sys::socket::{self, Credentials, Received, int_option, receive, set_option};

/// What SCM_CREDENTIALS say of a message that carries none: `overflowuid` and `overflowgid`.
const NOBODY: u32 = 65534;

/// A message that was seen.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    /// Descriptors in flight, now also ours.
    pub(super) rights: Vec<OwnedFd>,
    pub(super) credentials: Option<Credentials>,
    /// The sender's address without its family; empty if it has none.
    pub(super) from: Vec<u8>,
}

impl Message {
    fn of(got: Received, bytes: Vec<u8>) -> Self {
        let noted = |c: &Credentials| *c != Credentials { pid: 0, uid: NOBODY, gid: NOBODY };
        let family = size_of::<libc::sa_family_t>();
        Message {
            bytes,
            rights: got.rights,
            credentials: got.credentials.filter(noted),
            from: got.name.get(family..).unwrap_or_default().to_vec(),
        }
    }
}

/// Everything that waits in a unix socket of the type `kind`, in its order. The socket is left as it was.
pub(super) fn peek(fd: BorrowedFd<'_>, kind: i32) -> Result<Vec<Message>> {
    if !has_input(fd)? {
        return Ok(Vec::new());
    }
    if kind == libc::SOCK_STREAM && receive(fd, &mut [0], libc::MSG_PEEK | libc::MSG_OOB).is_ok() {
        return Err(Error::new("E-SOCKET-URGENT", Blame::Program, "has unread urgent data (MSG_OOB)")
            .help("let the program read it before the dump"));
    }
    let peeking = Peeking::begin(fd)?;
    let messages = if kind == libc::SOCK_STREAM { peeking.stream() } else { peeking.packets() };
    peeking.end()?;
    messages
}

/// Also true for a socket that was shut down.
fn has_input(fd: BorrowedFd<'_>) -> Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).os(|| "poll")?;
    Ok(fds.iter().filter_map(PollFd::revents).any(|found| found.contains(PollFlags::POLLIN)))
}

/// A socket whose options are changed for looking at its queue. Dropped, it has the old ones.
struct Peeking<'a> {
    fd: BorrowedFd<'a>,
    before: [(i32, i32); 2],
    ended: bool,
}

impl<'a> Peeking<'a> {
    fn begin(fd: BorrowedFd<'a>) -> Result<Self> {
        let ask = |name| {
            let value = int_option(fd, libc::SOL_SOCKET, name).os(|| format!("getsockopt {name}"));
            value.map(|value| (name, value))
        };
        let peeking =
            Peeking { fd, before: [ask(libc::SO_PEEK_OFF)?, ask(libc::SO_PASSCRED)?], ended: false };
        peeking.set(libc::SO_PEEK_OFF, 0)?;
        peeking.set(libc::SO_PASSCRED, 1)?;
        Ok(peeking)
    }

    fn set(&self, name: i32, value: i32) -> Result<()> {
        set_option(self.fd, libc::SOL_SOCKET, name, &value.to_ne_bytes())
            .os(|| format!("setsockopt {name} {value}"))
    }

    fn end(mut self) -> Result<()> {
        self.ended = true;
        self.before.iter().try_for_each(|(name, value)| self.set(*name, *value))
    }

    /// The next message, or `None` at the end of the queue.
    fn next(&self, buffer: &mut [u8], flags: i32) -> Result<Option<Received>> {
        match receive(self.fd, buffer, flags | libc::MSG_PEEK) {
            // The end of file has no sender; every message has one while SO_PASSCRED is on.
            Ok(got) if got.credentials.is_none() => Ok(None),
            Ok(got) => Ok(Some(got)),
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
            // Of a stream whose peer was closed: it comes behind the data.
            Err(e) if e.raw_os_error() == Some(libc::ECONNRESET) => Ok(None),
            Err(e) => Err(Error::os("recvmsg MSG_PEEK", e)),
        }
    }

    fn packets(&self) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        // Without room nothing is copied, and the place in the queue stays the same, unless the packet is empty.
        while let Some(size) = self.next(&mut [], libc::MSG_TRUNC)? {
            if size.len == 0 {
                messages.push(Message::of(size, Vec::new()));
                continue;
            }
            let mut bytes = vec![0; size.len];
            let Some(got) = self.next(&mut bytes, 0)? else { break };
            messages.push(Message::of(got, bytes));
        }
        Ok(messages)
    }

    fn stream(&self) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        let mut at = 0;
        let total = readable(self.fd).os(|| "ioctl FIONREAD")?;
        let mut buffer = vec![0; total];
        while at < total {
            let Some(got) = self.next(&mut buffer, 0)? else { break };
            let bytes = buffer.get(..got.len).unwrap_or_default().to_vec();
            at += got.len;
            messages.push(Message::of(got, bytes));
        }
        Ok(messages)
    }
}

impl Drop for Peeking<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // The failure that brought us here is the one to report.
            let _ = self.before.iter().try_for_each(|(name, value)| self.set(*name, *value));
        }
    }
}

/// The entry of a message for the socket `id`; `rights` are ids of files.
pub(super) fn entry(id: u32, message: &Message, rights: Vec<u32>) -> SkPacketEntry {
    let scm = ScmEntry { r#type: libc::SCM_RIGHTS as u32, rights };
    SkPacketEntry {
        id_for: id,
        length: message.bytes.len() as u32,
        scm: if scm.rights.is_empty() { Vec::new() } else { vec![scm] },
        addr: (!message.from.is_empty()).then(|| message.from.clone()),
        ucred: message.credentials.map(|c| SkUcredEntry { pid: c.pid, uid: c.uid, gid: c.gid }),
        to: None,
    }
}

/// A message of the image.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) entry: SkPacketEntry,
    offset: u64,
}

impl Packet {
    /// Ids of the files that it carries.
    pub(super) fn rights(&self) -> impl Iterator<Item = u32> {
        self.entry.scm.iter().flat_map(|scm| scm.rights.iter().copied())
    }

    pub(super) fn credentials(&self) -> Option<Credentials> {
        self.entry.ucred.map(|c| Credentials { pid: c.pid, uid: c.uid, gid: c.gid })
    }
}

/// The queues of an image.
#[derive(Debug)]
pub(super) struct Queues {
    image: Option<EntryReader>,
    packets: HashMap<u32, Vec<Packet>>,
}

impl Queues {
    pub(super) fn load(images: &ImageDir) -> Result<Self> {
        let mut image = images.reader(Kind::SkQueues)?;
        let mut packets: HashMap<u32, Vec<Packet>> = HashMap::new();
        if let Some(image) = &mut image {
            while let Some(entry) = image.next::<SkPacketEntry>()? {
                if let Some(scm) = entry.scm.iter().find(|scm| scm.r#type != libc::SCM_RIGHTS as u32) {
                    let reason = format!("has a control message of type {}", scm.r#type);
                    return Err(Error::image(Kind::SkQueues.file_name(), reason));
                }
                let (offset, _) = image.payload_range()?;
                packets.entry(entry.id_for).or_default().push(Packet { entry, offset });
            }
        }
        Ok(Queues { image, packets })
    }

    /// The messages for a socket, the first time that it is asked for.
    pub(super) fn take(&mut self, id: u32) -> Vec<Packet> {
        self.packets.remove(&id).unwrap_or_default()
    }

    /// Who has sent something.
    pub(super) fn senders(&self) -> impl Iterator<Item = Pid> {
        self.packets.values().flatten().filter_map(|packet| packet.credentials().map(|sender| sender.pid))
    }

    /// Whether something waits for the socket.
    pub(super) fn has(&self, id: u32) -> bool {
        self.packets.contains_key(&id)
    }

    /// The bytes of a message.
    pub(super) fn bytes(&self, packet: &Packet) -> Result<Vec<u8>> {
        let mut bytes = vec![0; packet.entry.length as usize];
        if let Some(image) = &self.image {
            let file = image.file();
            file.read_exact_at(&mut bytes, packet.offset).os(|| "read sk-queues.img")?;
        }
        Ok(bytes)
    }
}

/// Sends one message whole.
pub(super) fn send(fd: BorrowedFd<'_>, bytes: &[u8], along: &socket::Along<'_>) -> Result<()> {
    let sent = socket::send(fd, bytes, along).map_err(|e| {
        let error = Error::os(format!("sendmsg of {} bytes into the queue of a socket", bytes.len()), e);
        match error.errno() {
            Some(libc::EAGAIN) => {
                error.help("the queue was longer where it was dumped: raise net.unix.max_dgram_qlen")
            }
            Some(libc::ESRCH) => error.detail("the process that has sent it is not there"),
            _ => error,
        }
    })?;
    if sent == bytes.len() {
        return Ok(());
    }
    Err(Error::bug(format!("{sent} of {} bytes were sent into the queue of a socket", bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket::Along;
    use std::os::fd::{AsFd, AsRawFd};

    fn seen(fd: BorrowedFd<'_>, kind: i32) -> Result<Vec<(Vec<u8>, usize)>> {
        let messages = peek(fd, kind)?;
        Ok(messages.into_iter().map(|message| (message.bytes, message.rights.len())).collect())
    }

    #[test]
    fn packets_are_seen_again_and_again() -> Result<()> {
        for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
            let [from, to] = socket::pair(kind).os(|| "socketpair")?;
            assert_eq!(seen(to.as_fd(), kind)?, []);
            let null = std::fs::File::open("/dev/null").os(|| "open")?;
            let rights = [null.as_raw_fd(), from.as_raw_fd()];
            send(from.as_fd(), &[7; 70000], &Along::default())?;
            send(from.as_fd(), b"", &Along::default())?;
            send(from.as_fd(), b"last", &Along { rights: &rights, ..Along::default() })?;
            let expected = [(vec![7; 70000], 0), (vec![], 0), (b"last".to_vec(), 2)];
            assert_eq!(seen(to.as_fd(), kind)?, expected);
            assert_eq!(int_option(to.as_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED).ok(), Some(0));
            assert_eq!(int_option(to.as_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF).ok(), Some(-1));
        }
        Ok(())
    }

    #[test]
    fn descriptors_in_a_stream_end_a_stretch() -> Result<()> {
        let [from, to] = socket::pair(libc::SOCK_STREAM).os(|| "socketpair")?;
        let rights = [from.as_raw_fd()];
        send(from.as_fd(), b"first", &Along::default())?;
        send(from.as_fd(), b"second", &Along { rights: &rights, ..Along::default() })?;
        send(from.as_fd(), b"third", &Along::default())?;
        send(from.as_fd(), b"4", &Along { rights: &rights, ..Along::default() })?;
        // Where "second" starts, nobody can see.
        let expected = [("firstsecond", 1), ("third4", 1)].map(|(t, n)| (t.as_bytes().to_vec(), n));
        assert_eq!(seen(to.as_fd(), libc::SOCK_STREAM)?, expected);
        assert_eq!(readable(to.as_fd()).ok(), Some(17));
        Ok(())
    }

    #[test]
    fn senders_are_told_apart_and_nobody_is_nobody() -> Result<()> {
        let [from, to] = socket::pair(libc::SOCK_STREAM).os(|| "socketpair")?;
        let ours = Credentials { pid: nix::unistd::getpid().as_raw(), uid: 1000, gid: 1001 };
        send(from.as_fd(), b"nobody", &Along::default())?;
        send(from.as_fd(), b"user", &Along { credentials: Some(ours), ..Along::default() })?;
        drop(from);
        let messages = peek(to.as_fd(), libc::SOCK_STREAM)?;
        let found: Vec<_> = messages.iter().map(|m| (m.bytes.as_slice(), m.credentials)).collect();
        assert_eq!(found, [(&b"nobody"[..], None), (b"user", Some(ours))]);
        Ok(())
    }
}
