//! Epoll instances: epoll(7), fs/eventpoll.c.
//!
//! A target is a file together with the number under which it was added; the program names both when it changes or removes
//! the target. fdinfo shows number, events and data. Which file it is, kcmp(2) tells: mostly the one that still has
//! that number in the same task, but the number may be closed or taken by another file since, as long as the file is
//! open under any number of any task ([`EpollDump::resolve`]). A file that nobody in the tree has open is refused.
//!
//! Targets are added by a task of the tree, with the files under their old numbers, before its descriptors are installed
//! ([`crate::restore`]): of a signalfd, epoll waits for the signals of whoever has added it. Whether a target is ready,
//! epoll then finds out by itself. A target that EPOLLONESHOT has disarmed is disarmed by reporting it.
//!
//! Not kept: the order in which files became ready; that an edge (EPOLLET) was reported already.

use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{EventpollFileEntry, EventpollTfdEntry, FdType, FdinfoEntry, FileEntry};
use crate::kernel::event::{self, EpollTarget};
use crate::kernel::kcmp::{EpollSlot, Place, is_epoll_target};
use crate::resource::file::reopen::set_flags;
use crate::resource::file::table::Tables;
use crate::resource::file::{Description, owner};
use crate::sys;
use crate::sys::event::BusyPoll;

/// What is not an event: EP_PRIVATE_BITS of fs/eventpoll.c.
const HOW: u32 =
    (libc::EPOLLWAKEUP | libc::EPOLLONESHOT | libc::EPOLLEXCLUSIVE) as u32 | libc::EPOLLET as u32;

/// The epoll instances of a tree being dumped.
#[derive(Debug, Default)]
pub(in crate::resource::file) struct EpollDump {
    pending: Vec<Pending>,
}

/// An instance whose targets wait until all tables are known.
#[derive(Debug)]
struct Pending {
    id: u32,
    place: Place,
    comm: String,
    name: String,
    targets: Vec<EpollTarget>,
}

impl EpollDump {
    /// The entry of an instance, without its targets.
    pub(super) fn add(&mut self, id: u32, d: &Description<'_>) -> Result<FileEntry> {
        let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
        let targets = event::epoll(&d.info)?;
        // Older kernels have no such request.
        let busy = sys::event::busy_poll(d.fd.as_fd()).unwrap_or_default();
        let used = busy != BusyPoll::default();
        let epfd = EventpollFileEntry {
            id,
            flags,
            fown: owner::of(d.fd.as_fd(), flags)?,
            tfd: Vec::new(),
            busy_poll_usecs: used.then_some(busy.usecs),
            busy_poll_budget: used.then_some(busy.budget.into()),
            prefer_busy_poll: used.then_some(busy.prefer != 0),
        };
        if !targets.is_empty() {
            let place = Place { pid: d.pid, fd: d.number as u32 };
            self.pending.push(Pending { id, place, comm: d.comm.to_owned(), name: d.name(), targets });
        }
        Ok(FileEntry { r#type: FdType::Eventpoll.into(), id, epfd: Some(epfd), ..FileEntry::default() })
    }

    /// Adds the targets to the entries, when all tables were dumped and all tasks are still there.
    ///
    /// # Errors
    /// `E-EPOLL-TARGET`: nobody in the tree has the file of a target.
    pub(in crate::resource::file) fn resolve(
        &mut self,
        entries: &mut [FileEntry],
        tables: &Tables,
    ) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        for instance in pending {
            let found = instance
                .resolve(tables)
                .map_err(|e| e.on(&*instance.name).task(instance.place.pid, &instance.comm))?;
            let entry = entries.iter_mut().find(|entry| entry.id == instance.id);
            if let Some(epfd) = entry.and_then(|entry| entry.epfd.as_mut()) {
                epfd.tfd = found;
            }
        }
        Ok(())
    }

    /// Whether all instances have their targets.
    pub(in crate::resource::file) fn is_resolved(&self) -> bool {
        self.pending.is_empty()
    }
}

impl Pending {
    fn resolve(&self, tables: &Tables) -> Result<Vec<EventpollTfdEntry>> {
        let mut entries: Vec<EventpollTfdEntry> = Vec::new();
        for (index, target) in self.targets.iter().enumerate() {
            // The kernel counts those of one number in the order in which it lists them.
            let before = self.targets.iter().take(index).filter(|other| other.number == target.number);
            let slot = EpollSlot { efd: self.place.fd, tfd: target.number, toff: before.count() as u32 };
            let (place, file) = self.find(target, slot, tables)?;
            let near = place.pid == self.place.pid;
            let (pos, inode, dev) = target
                .file
                .map_or((None, None, None), |(pos, inode, dev)| (Some(pos as u64), Some(inode), Some(dev)));
            entries.push(EventpollTfdEntry {
                id: self.id,
                tfd: if near { place.fd } else { target.number },
                events: target.events,
                data: target.data,
                dev,
                inode,
                pos,
                added_as: (near && place.fd != target.number).then_some(target.number),
                file: (!near).then_some(file),
            });
        }
        Ok(entries)
    }

    /// Where the file of a target is open, best in the same task and under the same number, and its id.
    fn find(&self, target: &EpollTarget, slot: EpollSlot, tables: &Tables) -> Result<(Place, u32)> {
        let same = Place { pid: self.place.pid, fd: target.number };
        let known = tables.id_at(same).map(|id| (same, id));
        let mut others: Vec<_> = tables.holders(target.file.map(|(_, inode, _)| inode)).collect();
        others.sort_by_key(|(place, _)| (place.pid != self.place.pid, *place == same));
        for (place, id) in known.into_iter().chain(others) {
            if is_epoll_target(place, self.place.pid, slot)? {
                return Ok((place, id));
            }
        }
        let reason = format!(
            "watches a file that was descriptor {}, and that no task of the tree has open any more",
            target.number
        );
        Err(Error::new("E-EPOLL-TARGET", Blame::Program, reason)
            .help("dump a tree that has the process with that file, or end that process"))
    }
}

/// A new instance without targets.
pub(super) fn open(entry: &EventpollFileEntry) -> Result<OwnedFd> {
    let fd = sys::event::epoll().os(|| "epoll_create1")?;
    if let (Some(usecs), Some(budget)) = (entry.busy_poll_usecs, entry.busy_poll_budget) {
        let how = BusyPoll::new(usecs, budget as u16, entry.prefer_busy_poll == Some(true));
        sys::event::set_busy_poll(fd.as_fd(), how).os(|| format!("ioctl EPIOCSPARAMS {how:?}"))?;
    }
    set_flags(&fd, entry.flags)?;
    Ok(fd)
}

/// A target to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The number of the file while it is added.
    pub number: u32,
    /// The id of the file.
    pub file: u32,
    /// `EPOLL*`
    pub events: u32,
    /// What epoll_wait(2) gives for it.
    pub data: u64,
}

impl Target {
    /// Whether EPOLLONESHOT has taken its events away. An armed target has two at least, EPOLLERR and EPOLLHUP.
    pub fn is_disarmed(&self) -> bool {
        self.events & !HOW == 0
    }

    /// Its events, and if there are none all that there can be.
    pub fn any_events(&self) -> u32 {
        const ALL: u32 = 0x27ff;
        if self.is_disarmed() { self.events | ALL } else { self.events }
    }
}

/// The targets of an instance, as a task with this table knows them; `None` if it does not.
pub fn targets(entry: &EventpollFileEntry, table: &[FdinfoEntry]) -> Option<Vec<Target>> {
    let at = |number: u32| {
        let found = table.binary_search_by_key(&number, |descriptor| descriptor.fd).ok()?;
        table.get(found).map(|descriptor| descriptor.id)
    };
    let target = |tfd: &EventpollTfdEntry| {
        let file = tfd.file.or_else(|| at(tfd.tfd))?;
        let number = tfd.added_as.unwrap_or(tfd.tfd);
        Some(Target { number, file, events: tfd.events, data: tfd.data })
    };
    entry.tfd.iter().map(target).collect()
}
