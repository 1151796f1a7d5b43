//! Which unix sockets cannot be kept: those whose other half is outside of the tree, and connections that nobody has
//! accepted yet if there is something in them that cannot be seen.

use std::collections::HashMap;

use super::LISTEN;
use crate::error::{Blame, Error};
use crate::kernel::Pid;
use crate::kernel::sock_diag::UnixSocket;
use crate::options::DumpOptions;

/// A socket of the tree, and a task that has it.
#[derive(Debug, Clone)]
pub struct Member {
    /// The task.
    pub pid: Pid,
    /// Its name.
    pub comm: String,
    /// How messages name it there: `fd 5 (socket:[17])`.
    pub name: String,
}

/// The unix sockets of a machine, and which of them are in the tree.
#[derive(Debug)]
pub struct Judge<'a> {
    sockets: &'a HashMap<u32, UnixSocket>,
    members: &'a HashMap<u32, Member>,
    options: &'a DumpOptions,
}

impl<'a> Judge<'a> {
    /// `members` by inode; other sockets may be among them.
    pub fn new(
        sockets: &'a HashMap<u32, UnixSocket>,
        members: &'a HashMap<u32, Member>,
        options: &'a DumpOptions,
    ) -> Self {
        Judge { sockets, members, options }
    }

    /// Everything that cannot be kept, in the order of inodes.
    pub fn blockers(&self) -> Vec<Error> {
        let mut inodes: Vec<_> = self.members.keys().copied().collect();
        inodes.sort_unstable();
        let members = inodes.iter().filter_map(|inode| {
            let (socket, member) = (self.sockets.get(inode)?, self.members.get(inode)?);
            Some((socket, member))
        });
        members
            .filter_map(|(socket, member)| {
                let error = self.judge(socket)?;
                Some(error.on(member.name.clone()).task(member.pid, &member.comm))
            })
            .collect()
    }

    fn judge(&self, socket: &UnixSocket) -> Option<Error> {
        if socket.state == LISTEN {
            return self.judge_pending(socket);
        }
        match socket.peer {
            Some(0) => self.judge_waiting(socket),
            Some(peer) if !self.members.contains_key(&peer) => self.judge_outside(socket, peer),
            _ => None,
        }
    }

    fn judge_pending(&self, listener: &UnixSocket) -> Option<Error> {
        let lost = listener.pending.iter().find(|inode| !self.members.contains_key(inode))?;
        let from = match lost {
            0 => "was closed by its client already".to_owned(),
            inode => format!("comes from outside of the tree (socket {inode}{})", self.name_of(*inode)),
        };
        Some(pending(format!("socket {} listens, and a connection to be accepted {from}", listener.inode)))
    }

    /// A client whose connection waits to be accepted.
    fn judge_waiting(&self, socket: &UnixSocket) -> Option<Error> {
        if socket.kind == libc::SOCK_DGRAM {
            return None;
        }
        let waits_at = self.waits_at(socket.inode)?;
        if !self.members.contains_key(&waits_at) {
            let name = self.name_of(waits_at);
            let reason = format!("waits to be accepted outside of the tree (socket {waits_at}{name})");
            return Some(pending(reason));
        }
        let sent = socket.unsent;
        (sent > 0)
            .then(|| pending(format!("has sent data to socket {waits_at}, which has not accepted it yet")))
    }

    /// The listening socket in whose queue a client is.
    fn waits_at(&self, inode: u32) -> Option<u32> {
        self.sockets.values().find(|listener| listener.pending.contains(&inode)).map(|found| found.inode)
    }

    fn judge_outside(&self, socket: &UnixSocket, peer: u32) -> Option<Error> {
        let inode = socket.inode;
        let declared = |inode: u32| self.options.external.contains(&format!("unix[{inode}]"));
        let named = self.sockets.get(&peer).is_some_and(|peer| peer.name.is_some());
        if declared(inode) || declared(peer) {
            return None;
        }
        let datagram = socket.kind == libc::SOCK_DGRAM;
        if self.options.ext_unix_sk && datagram && named {
            return None;
        }
        let reason = format!(
            "socket {inode} is connected to socket {peer}{}, outside of the tree",
            self.name_of(peer)
        );
        let help = match (datagram && named, datagram) {
            (true, _) => "add --ext-unix-sk, and it is connected by that name again".to_owned(),
            (_, true) => format!("dump a tree that has both, or add --external 'unix[{inode}]'"),
            _ => format!(
                "dump a tree that has both, or add --external 'unix[{inode}]' and restore with --inherit-fd 'fd[N]:socket:[{inode}]'"
            ),
        };
        let error = Error::new("E-SOCKET-PEER", Blame::Program, reason).help(help);
        // One that was accepted has the listener's name. Clients come and go.
        let accepted = !datagram && socket.name.is_some();
        Some(if accepted { error.passing() } else { error })
    }

    fn name_of(&self, inode: u32) -> String {
        let name = self.sockets.get(&inode).and_then(|socket| socket.name.as_deref());
        match name.map(|name| (name.first() == Some(&0), name)) {
            None => String::new(),
            Some((true, name)) => format!(", @{}", name.get(1..).unwrap_or_default().escape_ascii()),
            Some((false, name)) => {
                let text = name.split(|byte| *byte == 0).next().unwrap_or_default();
                format!(", {}", text.escape_ascii())
            }
        }
    }
}

fn pending(reason: String) -> Error {
    Error::new("E-SOCKET-PENDING", Blame::Program, reason)
        .help("let the program accept its connections before the dump")
        .passing()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(sockets: &[UnixSocket], members: &[u32], options: &DumpOptions) -> Vec<&'static str> {
        blockers(sockets, members, options).iter().map(Error::code).collect()
    }

    fn blockers(sockets: &[UnixSocket], members: &[u32], options: &DumpOptions) -> Vec<Error> {
        let sockets = sockets.iter().map(|socket| (socket.inode, socket.clone())).collect();
        let member =
            |inode: &u32| (*inode, Member { pid: 1, comm: "x".to_owned(), name: format!("fd {inode}") });
        let members = members.iter().map(member).collect();
        Judge::new(&sockets, &members, options).blockers()
    }

    fn socket(inode: u32, kind: i32, peer: Option<u32>) -> UnixSocket {
        UnixSocket { inode, kind, peer, ..UnixSocket::default() }
    }

    #[test]
    fn a_peer_outside_must_be_declared() {
        let named = UnixSocket { name: Some(b"\0log".to_vec()), ..socket(2, libc::SOCK_DGRAM, None) };
        let all = [socket(1, libc::SOCK_DGRAM, Some(2)), named, socket(3, libc::SOCK_STREAM, Some(4))];
        let mut options = DumpOptions::default();
        assert_eq!(judged(&all, &[1, 3], &options), ["E-SOCKET-PEER"; 2]);
        assert_eq!(judged(&all, &[1, 2], &options), [""; 0]);
        options.ext_unix_sk = true;
        assert_eq!(judged(&all, &[1, 3], &options), ["E-SOCKET-PEER"]);
        options.external = vec!["unix[3]".to_owned()];
        assert_eq!(judged(&all, &[1, 3], &options), [""; 0]);
    }

    #[test]
    fn clients_from_outside_go_again() {
        let connected = socket(1, libc::SOCK_STREAM, Some(2));
        let accepted = UnixSocket { name: Some(b"/run/socket".to_vec()), ..connected.clone() };
        let passing = |socket| blockers(&[socket], &[1], &DumpOptions::default()).iter().all(Error::passes);
        assert_eq!([accepted, connected].map(passing), [true, false]);
    }

    #[test]
    fn a_connection_to_be_accepted_must_be_of_the_tree_and_empty() {
        let listener = UnixSocket { state: LISTEN, pending: vec![2], ..socket(1, libc::SOCK_STREAM, None) };
        let client = socket(2, libc::SOCK_STREAM, Some(0));
        let options = DumpOptions::default();
        let all = [listener, client];
        assert_eq!(judged(&all, &[1, 2], &options), [""; 0]);
        assert_eq!(judged(&all, &[1], &options), ["E-SOCKET-PENDING"]);
        assert_eq!(judged(&all, &[2], &options), ["E-SOCKET-PENDING"]);
        let [mut listener, mut client] = all;
        client.unsent = 1;
        assert_eq!(judged(&[listener.clone(), client], &[1, 2], &options), ["E-SOCKET-PENDING"]);
        listener.pending = vec![0];
        assert_eq!(judged(&[listener], &[1], &options), ["E-SOCKET-PENDING"]);
    }
}
