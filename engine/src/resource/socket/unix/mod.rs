//! Unix sockets, unix(7), net/unix/af_unix.c: names, connections, and messages that wait.
//!
//! sock_diag(7) shows names and who is connected to whom; the rest is asked of a descriptor of ours that shares the
//! socket. At the restore all sockets are made in our own process, with three exceptions: socketpair(2), listen(2) and
//! connect(2) note the caller for SO_PEERCRED, so that the right task makes these calls ([`Tasks`]). One that is dead is
//! there for as long as sockets are made: the kernel goes on naming it.
//!
//! | module | what it does |
//! |---|---|
//! | [`judge`] | which sockets of a tree cannot be kept, for survey and dump alike |
//! | [`dump`], [`restore`] | all unix sockets of a tree |
//!
//! Not kept: SO_PEERCRED of a living process outside of the tree, or of a zombie, SO_PEERGROUPS, labels (SO_PEERSEC); the mark of urgent data
//! that is kept in line; errors that wait (SO_ERROR) but for the ECONNRESET of a closed peer.

pub mod dump;
pub mod judge;
pub mod restore;

use std::os::fd::{BorrowedFd, OwnedFd};

use super::place::Way;
use crate::error::Result;
use crate::sys::socket::Credentials;

/// States of unix sockets, include/net/tcp_states.h.
pub(super) const ESTABLISHED: u32 = 1;
pub(super) const LISTEN: u32 = 10;

/// `uflags` of an entry: a socket outside of the tree, of which only the name is known.
pub(super) const EXTERN: u32 = 1;

/// A call that the kernel notes the caller of.
#[derive(Debug, Clone, Copy)]
pub enum Call<'a> {
    /// listen(2) with this backlog.
    Listen(u32),
    /// connect(2) to this socket.
    Connect(&'a Way),
}

/// The tasks under construction: what they do for us.
pub trait Tasks {
    /// socketpair(2) by this process with these ids; `None` if there is no such task.
    fn pair(&mut self, who: Credentials, kind: i32) -> Result<Option<[OwnedFd; 2]>>;

    /// A call on our socket by this process with these ids. False if there is no such task.
    fn call(&mut self, who: Credentials, fd: BorrowedFd<'_>, call: Call<'_>) -> Result<bool>;

    /// A task that has the file open.
    fn owner(&self, id: u32) -> Option<Credentials>;
}
