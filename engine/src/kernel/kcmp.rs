//! Which tasks share one kernel object: ids for address spaces, descriptor tables, open files and the like.
//!
//! kcmp(2) compares two objects at a time. Its answer is an order, so that a sorted list finds the equal one in
//! log2(n) calls; and objects that a cheap key tells apart (the inode and position of an open file) are never compared.
//! Tasks must be frozen and alive while a set is filled: it compares new objects with those of earlier tasks.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;

use super::Pid;
use crate::error::{Error, Result};
use crate::sys;

pub use crate::sys::kcmp::{EpollSlot, Kind};

/// Where an object is seen: a task and, for open files, its descriptor (0 for all else).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The task.
    pub pid: Pid,
    /// The descriptor.
    pub fd: u32,
}

/// Distinct objects of one kind, with ids in the order of their discovery. `K` is what equal objects have in common;
/// `()` if nothing is known before.
#[derive(Debug)]
pub struct KcmpSet<K> {
    kind: Kind,
    next: u32,
    calls: u64,
    /// Under each key one place for every object, in the order of kcmp.
    objects: HashMap<K, Vec<(Place, u32)>>,
}

impl<K: Hash + Eq> KcmpSet<K> {
    /// An empty set whose first object gets `first_id`.
    pub fn new(kind: Kind, first_id: u32) -> Self {
        KcmpSet { kind, next: first_id, calls: 0, objects: HashMap::new() }
    }

    /// The id of the object at `place`, and whether it is a new one. `E-TASK-GONE` if a task has vanished,
    /// `E-KERNEL-FEATURE` without CONFIG_KCMP.
    pub fn insert(&mut self, key: K, place: Place) -> Result<(u32, bool)> {
        let kind = self.kind;
        self.insert_by(key, place, |known| compare(kind, *known, place))
    }

    /// How many distinct objects there are.
    pub fn len(&self) -> usize {
        self.objects.values().map(Vec::len).sum()
    }

    /// Whether nothing was inserted.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// How many kcmp calls this has cost.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// `compare` orders a known place against the new one.
    fn insert_by(
        &mut self,
        key: K,
        place: Place,
        mut compare: impl FnMut(&Place) -> Result<Ordering>,
    ) -> Result<(u32, bool)> {
        let row = self.objects.entry(key).or_default();
        let (mut low, mut high) = (0, row.len());
        while low < high {
            let middle = low.midpoint(high);
            let Some((known, id)) = row.get(middle) else { break };
            self.calls += 1;
            match compare(known)? {
                Ordering::Equal => return Ok((*id, false)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        let id = self.next;
        self.next = id.checked_add(1).ok_or_else(|| Error::bug("more than 2^32 kernel objects"))?;
        row.insert(low, (place, id));
        Ok((id, true))
    }
}

/// The kernel's order of two objects of a kind.
pub fn compare(kind: Kind, one: Place, other: Place) -> Result<Ordering> {
    sys::kcmp::kcmp(kind, (one.pid, one.fd), (other.pid, other.fd)).map_err(|e| {
        Error::os(
            format!("kcmp {kind:?} of tasks {} (fd {}) and {} (fd {})", one.pid, one.fd, other.pid, other.fd),
            e,
        )
    })
}

/// Whether the target `slot` of an epoll instance of task `epoll` is the open file at `file`. `E-NOT-FOUND` if the
/// instance has no such target.
pub fn is_epoll_target(file: Place, epoll: Pid, slot: EpollSlot) -> Result<bool> {
    let order = sys::kcmp::kcmp_epoll((file.pid, file.fd), (epoll, slot)).map_err(|e| {
        Error::os(format!("kcmp of task {} fd {} and task {epoll} {slot:?}", file.pid, file.fd), e)
    })?;
    Ok(order == Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;
    use std::os::fd::AsRawFd;

    fn here(file: &impl AsRawFd) -> Place {
        Place { pid: nix::unistd::getpid().as_raw(), fd: file.as_raw_fd() as u32 }
    }

    #[test]
    fn finds_equal_objects_in_few_calls() -> Result<()> {
        // The task's number stands for the address of its object; 997 is prime to 512: a permutation.
        let mut set = KcmpSet::new(Kind::Vm, 1);
        let mut ids = HashMap::new();
        for round in 0..1024 {
            let object = round * 997 % 512;
            let (id, new) =
                set.insert_by((), Place { pid: object, fd: 0 }, |known| Ok(known.pid.cmp(&object)))?;
            assert_eq!(new, round < 512);
            assert_eq!(*ids.entry(object).or_insert(id), id);
        }
        assert_eq!(set.len(), 512);
        assert!(set.calls() <= 1024 * 10, "{}", set.calls());
        Ok(())
    }

    #[test]
    fn different_keys_are_never_compared() -> Result<()> {
        let mut set = KcmpSet::new(Kind::File, 5);
        for key in 0..9 {
            let answer = set.insert_by(key, Place { pid: 1, fd: key }, |_| Err(Error::bug("compared")))?;
            assert_eq!(answer, (5 + key, true));
        }
        assert_eq!(set.calls(), 0);
        assert!(set.insert_by(0, Place { pid: 2, fd: 0 }, |_| Err(Error::bug("compared"))).is_err());
        Ok(())
    }

    #[test]
    fn a_duplicate_is_the_same_open_file() -> Result<()> {
        let open = || std::fs::File::open("/dev/null").os(|| "open /dev/null");
        let files = [open()?, open()?, open()?];
        let mut set = KcmpSet::new(Kind::File, 1);
        for (number, file) in (1..).zip(&files) {
            assert_eq!(set.insert("null", here(file))?, (number, true));
        }
        for (number, file) in (1..).zip(&files) {
            let copy = file.try_clone().os(|| "dup")?;
            assert_eq!(set.insert("null", here(&copy))?, (number, false));
        }
        Ok(())
    }

    #[test]
    fn threads_share_and_processes_do_not() -> Result<()> {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().os(|| "spawn sleep")?;
        let other = Place { pid: Pid::try_from(child.id()).unwrap_or(-1), fd: 0 };
        let thread = Place { pid: nix::unistd::gettid().as_raw(), fd: 0 };
        let leader = Place { pid: nix::unistd::getpid().as_raw(), fd: 0 };
        let mut answers = Vec::new();
        for kind in [Kind::Vm, Kind::Files, Kind::Fs, Kind::Sighand] {
            let mut set = KcmpSet::new(kind, 1);
            answers.push([leader, thread, other, other].map(|place| set.insert((), place).map(|a| a.0).ok()));
        }
        child.kill().os(|| "kill")?;
        child.wait().os(|| "wait")?;
        assert_eq!(answers, [[Some(1), Some(1), Some(2), Some(2)]; 4]);
        assert_eq!(compare(Kind::Vm, leader, other).map_err(|e| e.code()), Err("E-TASK-GONE"));
        Ok(())
    }

    #[test]
    fn a_closed_descriptor_is_an_error() {
        let none = Place { pid: nix::unistd::getpid().as_raw(), fd: 1 << 30 };
        assert_eq!(compare(Kind::File, none, none).map_err(|e| e.errno()), Err(Some(libc::EBADF)));
    }

    #[test]
    fn finds_the_target_of_an_epoll_instance() -> Result<()> {
        use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
        let (reader, writer) = nix::unistd::pipe().os(|| "pipe")?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).os(|| "epoll_create1")?;
        epoll.add(&reader, EpollEvent::new(EpollFlags::EPOLLIN, 0)).os(|| "epoll_ctl")?;
        let slot = EpollSlot { efd: epoll.0.as_raw_fd() as u32, tfd: reader.as_raw_fd() as u32, toff: 0 };
        let own = nix::unistd::getpid().as_raw();
        assert!(is_epoll_target(here(&reader), own, slot)?);
        assert!(!is_epoll_target(here(&writer), own, slot)?);
        let absent = is_epoll_target(here(&reader), own, EpollSlot { toff: 1, ..slot });
        assert_eq!(absent.map_err(|e| e.code()), Err("E-NOT-FOUND"));
        Ok(())
    }
}
