//! Files that exist only for their events. None has a name: each is made anew, in our own process, and given its state.
//!
//! | module | what it is |
//! |---|---|
//! | `eventfd` | a counter |
//! | `signalfd` | a mask of signals |
//! | `timerfd` | a timer |
//! | [`epoll`] | files, and which of their events are waited for |
//! | [`pidfd`] | a process |
//! | `inotify`, [`fanotify`] | what is done with files, directories, mounts |
//! | [`userfaultfd`] | pages that are absent or protected |
//! | `watched` | where the inode of a watch is |
//!
//! What would begin to work at once is left for the end of the restore ([`EventRestore::start`]).

pub mod epoll;
mod eventfd;
pub mod fanotify;
mod inotify;
pub mod pidfd;
mod signalfd;
mod timerfd;
pub mod userfaultfd;
mod watched;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use self::epoll::EpollDump;
use self::inotify::Find;
use self::pidfd::DeadProcesses;
use self::userfaultfd::UserfaultfdDump;
use self::watched::Places;
use super::Description;
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FdType, FhEntry, FileEntry};
use crate::kernel::fdinfo::FdInfo;
use crate::kernel::{self, Pid};
use crate::report::NotKept;
use crate::sys::fd::readable;

pub(super) use self::watched::{find, open_path};

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
    /// `anon_inode:inotify`
    Inotify,
    /// `anon_inode:[fanotify]`
    Fanotify,
    /// `anon_inode:[userfaultfd]`
    Userfaultfd,
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
            b"inotify" => Some(EventKind::Inotify),
            b"fanotify" => Some(EventKind::Fanotify),
            b"userfaultfd" => Some(EventKind::Userfaultfd),
            _ if name.starts_with(b"pidfd:[") => Some(EventKind::Pidfd),
            _ => None,
        }
    }
}

/// Refuses what a look at an event file shows that it cannot be kept; `root` leads the tree.
///
/// # Errors
/// The caller adds descriptor and task.
pub fn refuse(kind: EventKind, info: &FdInfo, root: Pid) -> Result<()> {
    match kind {
        EventKind::Pidfd => pidfd::refuse_outsider(info, root),
        EventKind::Fanotify => fanotify::refuse_permission(info),
        _ => Ok(()),
    }
}

/// A watch on an inode without a path.
#[derive(Debug)]
struct Nameless {
    inode: (u64, u64),
    pid: Pid,
    comm: String,
    name: String,
}

/// The event files of a tree being dumped.
#[derive(Debug)]
pub(super) struct EventDump {
    pub(super) epolls: EpollDump,
    pub(super) userfaultfds: UserfaultfdDump,
    places: Places,
    nameless: Vec<Nameless>,
    not_kept: Vec<NotKept>,
}

impl EventDump {
    /// None yet. Paths of watched inodes are looked for in `scanned` first.
    pub(super) fn new(scanned: &[PathBuf]) -> Self {
        EventDump {
            epolls: EpollDump::default(),
            userfaultfds: UserfaultfdDump::default(),
            places: Places::new(scanned),
            nameless: Vec::new(),
            not_kept: Vec::new(),
        }
    }

    /// The entry of an event file in `files.img`. `root` leads the tree.
    pub(super) fn add(
        &mut self,
        id: u32,
        kind: EventKind,
        d: &Description<'_>,
        root: Pid,
    ) -> Result<(FdType, FileEntry)> {
        refuse(kind, &d.info, root)?;
        let (kind, entry) = match kind {
            EventKind::Eventfd => (FdType::Eventfd, eventfd::dump(id, d)?),
            EventKind::Signalfd => (FdType::Signalfd, signalfd::dump(id, d)?),
            EventKind::Timerfd => (FdType::Timerfd, timerfd::dump(id, d)?),
            EventKind::Epoll => (FdType::Eventpoll, self.epolls.add(id, d)?),
            EventKind::Pidfd => (FdType::Pidfd, pidfd::dump(id, d)?),
            EventKind::Inotify => (FdType::Inotify, inotify::dump(id, d, &mut self.places)?),
            EventKind::Fanotify => (FdType::Fanotify, fanotify::dump(id, d, &mut self.places)?),
            EventKind::Userfaultfd => (FdType::Userfaultfd, self.userfaultfds.add(id, d)?),
        };
        self.note(d, &entry)?;
        Ok((kind, entry))
    }

    /// Notes what of a watch is found out later, or lost.
    fn note(&mut self, d: &Description<'_>, entry: &FileEntry) -> Result<()> {
        let inodes = watches(entry);
        if inodes.is_none() {
            return Ok(());
        }
        let nameless = inodes.into_iter().flatten().filter(|(handle, ..)| handle.path.is_none());
        self.nameless.extend(nameless.map(|(_, dev, ino)| {
            let (major, minor) = kernel::event::device(dev);
            let inode = (libc::makedev(major, minor), ino);
            Nameless { inode, pid: d.pid, comm: d.comm.to_owned(), name: d.name() }
        }));
        let unread = readable(d.fd.as_fd()).os(|| "ioctl FIONREAD")?;
        if unread > 0 {
            self.not_kept.push(NotKept {
                pid: d.pid,
                comm: d.comm.to_owned(),
                what: format!("{}: {unread} bytes of events that were not read", d.name()),
                consequence: "it does not learn of these changes".to_owned(),
            });
        }
        Ok(())
    }

    /// What is lost; when all files were added. `has` says whether an inode is carried as a deleted file.
    pub(super) fn finish(self, has: impl Fn((u64, u64)) -> bool) -> Result<Vec<NotKept>> {
        match self.nameless.into_iter().find(|watch| !has(watch.inode)) {
            None => Ok(self.not_kept.into_iter().chain(self.userfaultfds.not_kept()).collect()),
            Some(Nameless { inode: (_, ino), pid, comm, name }) => {
                let reason = format!(
                    "watches inode {ino}, to which no path leads and which the tree does not have open"
                );
                Err(Error::new("E-WATCH-PATH", Blame::Program, reason)
                    .help("let the program watch it by a path that is there")
                    .on(name)
                    .task(pid, &comm))
            }
        }
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
            (Ok(FdType::Inotify), FileEntry { ify: Some(entry), .. }) => inotify::open(entry)?,
            (Ok(FdType::Fanotify), FileEntry { ffy: Some(entry), .. }) => fanotify::open(entry)?,
            _ => return Ok(None),
        };
        Ok(Some(fd))
    }
}

/// Starts what is to run only with the tree: timers, watches. `find` finds the inode of a watch.
pub(super) fn start(entry: &FileEntry, fd: &OwnedFd, find: Find<'_>) -> Result<()> {
    match entry {
        FileEntry { tfd: Some(timer), .. } => timerfd::arm(timer, fd),
        FileEntry { ify: Some(instance), .. } => inotify::watch(instance, fd, find),
        FileEntry { ffy: Some(group), .. } => fanotify::watch(group, fd, find),
        _ => Ok(()),
    }
}

/// The inodes that an entry watches, with their devices in the kernel's encoding and their numbers; `None` if it is not
/// about watches.
pub(super) fn watches(entry: &FileEntry) -> Option<Vec<(&FhEntry, u32, u64)>> {
    match entry {
        FileEntry { ify: Some(instance), .. } => {
            let inodes = instance.wd.iter().map(|watch| (&watch.f_handle, watch.s_dev, watch.i_ino));
            Some(inodes.collect())
        }
        FileEntry { ffy: Some(group), .. } => {
            let on_inodes = group.mark.iter().filter_map(|mark| Some((mark, mark.ie.as_ref()?)));
            Some(on_inodes.map(|(mark, inode)| (&inode.f_handle, mark.s_dev, inode.i_ino)).collect())
        }
        _ => None,
    }
}
