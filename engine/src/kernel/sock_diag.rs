//! The sockets of our network namespace, as sock_diag(7) lists them.
//!
//! A list is a snapshot: sockets of frozen tasks do not change, those of others may.

use std::collections::HashMap;

use super::netlink::{Netlink, attributes, word};
use crate::error::{Error, Result};

pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// include/uapi/linux/unix_diag.h
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_ICONS: u16 = 3;
const UNIX_DIAG_RQLEN: u16 = 4;
const UNIX_DIAG_SHUTDOWN: u16 = 6;
const UDIAG_SHOW_ALL: u32 = 0x1f;
const UNIX_DIAG_MSG_LEN: usize = 16;

/// include/uapi/linux/inet_diag.h: `struct inet_diag_sockid`, and places in `struct inet_diag_msg`.
const INET_DIAG_SOCKID_LEN: usize = 48;
const INET_DIAG_RQUEUE: usize = 56;
const INET_DIAG_INODE: usize = 68;
const INET_DIAG_MSG_LEN: usize = 72;
const INET_DIAG_SHUTDOWN: u16 = 8;

/// A unix(7) socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnixSocket {
    /// Inode of sockfs.
    pub inode: u32,
    /// `SOCK_*`
    pub kind: i32,
    /// `TCP_*` of include/net/tcp_states.h.
    pub state: u32,
    /// The content of `sun_path`: a path with its NUL, or an abstract name, which starts with one. `None` if unbound.
    pub name: Option<Vec<u8>>,
    /// Inode number of the file that it is bound to, 32 bits of it.
    pub file: Option<u32>,
    /// Inode of the peer: 0 if that is closed or not accepted yet, `None` if there never was one.
    pub peer: Option<u32>,
    /// Of a listening socket: inodes of the sockets that wait for accept(2), in their order; 0 for one that is closed.
    pub pending: Vec<u32>,
    /// Bytes to be read; of a listening socket, connections to be accepted.
    pub unread: u32,
    /// Bytes sent that the peer has not read; of a listening socket, its backlog.
    pub unsent: u32,
    /// RCV_SHUTDOWN 1, SEND_SHUTDOWN 2.
    pub shutdown: u8,
}

/// All unix sockets, by inode. `E-KERNEL-FEATURE` without CONFIG_UNIX_DIAG.
pub fn unix_sockets() -> Result<HashMap<u32, UnixSocket>> {
    // struct unix_diag_req: family, protocol, padding, states, inode, what to show, cookie.
    let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
    request.extend([u32::MAX, 0, UDIAG_SHOW_ALL, u32::MAX, u32::MAX].into_iter().flat_map(u32::to_ne_bytes));
    let mut sockets = HashMap::new();
    Netlink::open(libc::NETLINK_SOCK_DIAG)?
        .dump(SOCK_DIAG_BY_FAMILY, &request, |message| {
            if let Some(socket) = unix_socket(message)
                && socket.inode != 0
            {
                sockets.insert(socket.inode, socket);
            }
        })
        .map_err(|e| absent(e, "CONFIG_UNIX_DIAG"))?;
    Ok(sockets)
}

/// A TCP socket: its state (`TCP_*` of include/net/tcp_states.h) and what can be read, or of a listening one, how many
/// connections wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpSocket {
    /// `TCP_*`
    pub state: u32,
    /// Bytes or connections.
    pub unread: u32,
}

/// All TCP sockets but closed ones, by inode. `E-KERNEL-FEATURE` without CONFIG_INET_DIAG.
pub fn tcp_sockets() -> Result<HashMap<u32, TcpSocket>> {
    inet_sockets(libc::IPPROTO_TCP, "CONFIG_INET_DIAG", |message| {
        let state = message.get(1).copied().map_or(0, u32::from);
        TcpSocket { state, unread: word(message, INET_DIAG_RQUEUE) }
    })
}

/// The directions in which sockets of UDP or UDP-Lite that have a port are shut down (RCV_SHUTDOWN 1, SEND_SHUTDOWN 2), by
/// inode. `E-KERNEL-FEATURE` without CONFIG_INET_UDP_DIAG.
pub fn datagram_shutdowns(protocol: i32) -> Result<HashMap<u32, u8>> {
    inet_sockets(protocol, "CONFIG_INET_UDP_DIAG", |message| {
        let mut listed = attributes(message.get(INET_DIAG_MSG_LEN..).unwrap_or_default());
        let found = listed.find(|(attribute, _)| *attribute == INET_DIAG_SHUTDOWN);
        found.and_then(|(_, content)| content.first().copied()).unwrap_or(0)
    })
}

/// What `read` takes of each `struct inet_diag_msg` of a protocol, by inode.
fn inet_sockets<T>(protocol: i32, config: &str, read: impl Fn(&[u8]) -> T) -> Result<HashMap<u32, T>> {
    let mut sockets = HashMap::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        // struct inet_diag_req_v2: family, protocol, extensions, padding, states, the socket's names: any.
        let mut request = vec![family as u8, protocol as u8, 0, 0];
        request.extend(u32::MAX.to_ne_bytes());
        request.extend([0; INET_DIAG_SOCKID_LEN]);
        Netlink::open(libc::NETLINK_SOCK_DIAG)?
            .dump(SOCK_DIAG_BY_FAMILY, &request, |message| {
                sockets.insert(word(message, INET_DIAG_INODE), read(message));
            })
            .map_err(|e| absent(e, config))?;
    }
    // Those that nobody has, or nobody any more.
    sockets.remove(&0);
    Ok(sockets)
}

/// The kernel says ENOENT for a family without its module.
pub(super) fn absent(error: Error, config: &str) -> Error {
    match error.errno() {
        Some(libc::ENOENT) => error.help(format!("the kernel needs {config}: load its module")),
        _ => error,
    }
}

fn unix_socket(message: &[u8]) -> Option<UnixSocket> {
    let [_, kind, state, _] = *message.first_chunk()?;
    let mut socket = UnixSocket {
        kind: kind.into(),
        state: state.into(),
        inode: word(message, 4),
        ..UnixSocket::default()
    };
    for (attribute, content) in attributes(message.get(UNIX_DIAG_MSG_LEN..)?) {
        match attribute {
            UNIX_DIAG_NAME => socket.name = Some(content.to_vec()),
            UNIX_DIAG_VFS => socket.file = Some(word(content, 0)),
            UNIX_DIAG_PEER => socket.peer = Some(word(content, 0)),
            UNIX_DIAG_ICONS => {
                socket.pending = content.as_chunks::<4>().0.iter().map(|w| u32::from_ne_bytes(*w)).collect();
            }
            UNIX_DIAG_RQLEN => (socket.unread, socket.unsent) = (word(content, 0), word(content, 4)),
            UNIX_DIAG_SHUTDOWN => socket.shutdown = content.first().copied().unwrap_or(0),
            _ => {}
        }
    }
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;
    use crate::sys::socket;
    use std::os::fd::AsFd;

    fn inode(fd: &impl AsFd) -> Result<u32> {
        Ok(crate::sys::stat::fstat(fd).os(|| "fstat")?.st_ino as u32)
    }

    #[test]
    fn tcp_sockets_are_seen_with_what_waits() -> Result<()> {
        let server = std::net::TcpListener::bind("127.0.0.1:0").os(|| "bind")?;
        let address = server.local_addr().os(|| "name")?;
        let server_inode = inode(&server)?;
        let state = |inode: u32| -> Result<_> { Ok(tcp_sockets()?.get(&inode).copied()) };
        assert_eq!(state(server_inode)?, Some(TcpSocket { state: 10, unread: 0 }));
        let client = std::net::TcpStream::connect(address).os(|| "connect")?;
        assert_eq!(state(server_inode)?, Some(TcpSocket { state: 10, unread: 1 }));
        assert_eq!(state(inode(&client)?)?, Some(TcpSocket { state: 1, unread: 0 }));
        Ok(())
    }

    #[test]
    fn pairs_names_and_waiting_connections_are_seen() -> Result<()> {
        let [one, other] = socket::pair(libc::SOCK_SEQPACKET).os(|| "socketpair")?;
        socket::send(one.as_fd(), b"hello", &socket::Along::default()).os(|| "send")?;
        let server = socket::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).os(|| "socket")?;
        // Without a name the kernel chooses an abstract one.
        socket::bind(server.as_fd(), &(libc::AF_UNIX as u16).to_ne_bytes()).os(|| "bind")?;
        socket::listen(server.as_fd(), 7).os(|| "listen")?;
        let name = socket::name(server.as_fd()).os(|| "getsockname")?;
        let client = socket::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).os(|| "socket")?;
        socket::connect(client.as_fd(), &name).os(|| "connect")?;
        let all = unix_sockets()?;
        let seen = |inode: u32| all.get(&inode).cloned().ok_or_else(|| Error::bug("not listed"));
        let (first, second) = (seen(inode(&one)?)?, seen(inode(&other)?)?);
        assert_eq!((first.kind, first.peer), (libc::SOCK_SEQPACKET, Some(inode(&other)?)));
        assert_eq!((second.unread, second.peer), (5, Some(inode(&one)?)));
        let listening = seen(inode(&server)?)?;
        assert_eq!(listening.name.as_deref(), name.get(2..));
        assert_eq!((listening.pending, listening.unsent), (vec![inode(&client)?], 7));
        assert_eq!(seen(inode(&client)?)?.peer, Some(0));
        drop(other);
        assert_eq!(unix_sockets()?.get(&inode(&one)?).map(|s| (s.peer, s.shutdown)), Some((Some(0), 3)));
        Ok(())
    }
}
