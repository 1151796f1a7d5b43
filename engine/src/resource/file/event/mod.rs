//! Files that exist only for their events. None has a name: each is made anew, in our own process, and given its state.
//!
//! | module | what it is |
//! |---|---|
//! | `eventfd` | a counter |
//! | `signalfd` | a mask of signals |
//! | `timerfd` | a timer |
//! | [`epoll`] | files, and which of their events are waited for |
//! | [`pidfd`] | a process |
//!
//! What would begin to work at once is left for the end of the restore ([`EventRestore::start`]).

pub mod epoll;
mod eventfd;
pub mod pidfd;
mod signalfd;
mod timerfd;

use std::os::fd::OwnedFd;

use self::epoll::EpollDump;
use self::pidfd::DeadProcesses;
use super::Description;
use crate::error::Result;
use crate::image::message::{FdType, FileEntry};
use crate::kernel::Pid;

/// What the kernel calls these files in the links of /proc/PID/fd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// `anon_inode:[eventfd]`
    Eventfd,
    /// `anon_inode:[signalfd]`
    Signalfd,
    /// `anon_inode:[timerfd]`
    Timerfd,
    /// `anon_inode:[eventpoll]`
    Epoll,
    /// `anon_inode:[pidfd]`, or `pidfd:[INODE]`
    Pidfd,
}

impl EventKind {
    /// By the name of its anonymous inode, without brackets.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"eventfd" => Some(EventKind::Eventfd),
            b"signalfd" => Some(EventKind::Signalfd),
            b"timerfd" => Some(EventKind::Timerfd),
            b"eventpoll" => Some(EventKind::Epoll),
            b"pidfd" => Some(EventKind::Pidfd),
            _ if name.starts_with(b"pidfd:[") => Some(EventKind::Pidfd),
            _ => None,
        }
    }
}

/// The event files of a tree being dumped.
#[derive(Debug, Default)]
pub(super) struct EventDump {
    pub(super) epolls: EpollDump,
}

impl EventDump {
    /// The entry of an event file in `files.img`. `root` leads the tree.
    pub(super) fn add(
        &mut self,
        id: u32,
        kind: EventKind,
        d: &Description<'_>,
        root: Pid,
    ) -> Result<(FdType, FileEntry)> {
        Ok(match kind {
            EventKind::Eventfd => (FdType::Eventfd, eventfd::dump(id, d)?),
            EventKind::Signalfd => (FdType::Signalfd, signalfd::dump(id, d)?),
            EventKind::Timerfd => (FdType::Timerfd, timerfd::dump(id, d)?),
            EventKind::Epoll => (FdType::Eventpoll, self.epolls.add(id, d)?),
            EventKind::Pidfd => {
                pidfd::refuse_outsider(&d.info, root)?;
                (FdType::Pidfd, pidfd::dump(id, d)?)
            }
        })
    }
}

/// The event files of a tree being restored.
#[derive(Debug)]
pub(super) struct EventRestore {
    dead: DeadProcesses,
}

impl EventRestore {
    /// Those among all entries of `files.img`.
    pub(super) fn load<'e>(listed: impl Iterator<Item = &'e FileEntry>) -> Self {
        EventRestore { dead: DeadProcesses::load(listed) }
    }

    /// Makes the event file of an entry; `None` if it is of another kind.
    pub(super) fn open(&mut self, entry: &FileEntry) -> Result<Option<OwnedFd>> {
        let fd = match (FdType::try_from(entry.r#type), entry) {
            (Ok(FdType::Eventfd), FileEntry { efd: Some(entry), .. }) => eventfd::open(entry)?,
            (Ok(FdType::Signalfd), FileEntry { sgfd: Some(entry), .. }) => signalfd::open(entry)?,
            (Ok(FdType::Timerfd), FileEntry { tfd: Some(entry), .. }) => timerfd::open(entry)?,
            (Ok(FdType::Eventpoll), FileEntry { epfd: Some(entry), .. }) => epoll::open(entry)?,
            (Ok(FdType::Pidfd), FileEntry { pidfd: Some(entry), .. }) => self.dead.open(entry)?,
            _ => return Ok(None),
        };
        Ok(Some(fd))
    }

    /// Starts what is to run only with the tree: timers.
    pub(super) fn start(&self, entry: &FileEntry, fd: &OwnedFd) -> Result<()> {
        match &entry.tfd {
            Some(timer) => timerfd::arm(timer, fd),
            None => Ok(()),
        }
    }
}
