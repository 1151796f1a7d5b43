//! Descriptor tables: which number in which task refers to which description (`fdinfo-FILES_ID.img`).
//!
//! The dump takes its own descriptor of each open file by pidfd_getfd(2). kcmp(2) tells whether two of them are one
//! description; only those that agree in device, inode, flags and position are compared.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::{Description, FileDump, lock};
use crate::error::{OsContext, Result};
use crate::image::message::FdinfoEntry;
use crate::image::{ImageDir, Kind};
use crate::kernel::kcmp::{self, KcmpSet, Place};
use crate::kernel::{Pid, ProcDir, fdinfo};
use crate::sys::process::{pidfd_getfd, pidfd_open};
use crate::tracee::FrozenTask;

/// What makes it worth asking kcmp whether two descriptors are one description.
type Key = (u64, u64, u32, i64);

/// The open descriptions of a tree.
#[derive(Debug)]
pub struct Tables {
    descriptions: KcmpSet<Key>,
    /// Id and type in `files.img` of a description, by the number of the set.
    known: HashMap<u32, (u32, i32)>,
    /// Descriptors that were in flight: the places of descriptions that are open nowhere else.
    own: Vec<OwnedFd>,
    /// Every descriptor by its inode, with the id of its description.
    by_inode: HashMap<u64, Vec<(Place, u32)>>,
    by_place: HashMap<(Pid, u32), u32>,
}

impl Default for Tables {
    fn default() -> Self {
        Tables {
            descriptions: KcmpSet::new(kcmp::Kind::File, 1),
            known: HashMap::new(),
            own: Vec::new(),
            by_inode: HashMap::new(),
            by_place: HashMap::new(),
        }
    }
}

impl Tables {
    /// How many descriptions were found.
    pub fn descriptions(&self) -> usize {
        self.known.len()
    }

    /// The id of the description at this place; for tasks that share a table, the first of them.
    pub fn id_at(&self, place: Place) -> Option<u32> {
        self.by_place.get(&(place.pid, place.fd)).copied()
    }

    /// All places where this inode is open, with the ids of the descriptions there; without one, of any inode.
    pub fn holders(&self, inode: Option<u64>) -> impl Iterator<Item = (Place, u32)> {
        let chosen =
            self.by_inode.iter().filter(move |(known, _)| inode.is_none_or(|inode| **known == inode));
        chosen.flat_map(|(_, places)| places).copied()
    }

    /// Dumps the table of a frozen task, with those of its files that are new.
    pub fn add(
        &mut self,
        task: &FrozenTask,
        files_id: u32,
        images: &ImageDir,
        files: &mut FileDump<'_>,
    ) -> Result<()> {
        let pidfd = pidfd_open(task.pid).os(|| format!("pidfd_open {}", task.pid))?;
        let mut image = images.writer(Kind::Fdinfo(files_id));
        for number in fdinfo::list(&task.proc)? {
            let description = describe(&task.proc, &task.comm, &pidfd, number)?;
            let close_on_exec = description.info.flags & libc::O_CLOEXEC as u32 != 0;
            let (place, inode) = (Place { pid: task.pid, fd: number as u32 }, description.stat.st_ino);
            let (info, name) = (description.info.clone(), description.name());
            let (id, kind) = self.id_of(description, files)?;
            // A POSIX lock may be shown at a description that another table has already brought.
            lock::refuse(&info, files.options().file_locks).map_err(|e| e.on(name))?;
            files.add_locks((task.pid, number), (files_id, id), &info.locks)?;
            self.by_place.insert((place.pid, place.fd), id);
            self.by_inode.entry(inode).or_default().push((place, id));
            image.push(&FdinfoEntry {
                id,
                flags: if close_on_exec { libc::FD_CLOEXEC as u32 } else { 0 },
                r#type: kind,
                fd: number as u32,
                ..FdinfoEntry::default()
            })?;
        }
        image.finish()
    }

    /// The id of a description that we have from a message in flight.
    pub fn add_own(&mut self, fd: OwnedFd, files: &mut FileDump<'_>) -> Result<u32> {
        let (proc, number) = (ProcDir::current()?, fd.as_raw_fd());
        let description = Description {
            pid: proc.pid(),
            comm: "crio",
            proc: &proc,
            number,
            stat: crate::sys::stat::fstat(&fd).os(|| format!("fstat fd {number}"))?,
            target: fdinfo::target(&proc, number)?,
            info: fdinfo::read(&proc, number)?,
            fd: fd.try_clone().os(|| "duplicate a descriptor in flight")?,
        };
        let (place, inode) = (Place { pid: proc.pid(), fd: number as u32 }, description.stat.st_ino);
        self.own.push(fd);
        let (id, _) = self.id_of(description, files)?;
        self.by_inode.entry(inode).or_default().push((place, id));
        Ok(id)
    }

    fn id_of(&mut self, description: Description<'_>, files: &mut FileDump<'_>) -> Result<(u32, i32)> {
        let key = (
            description.stat.st_dev,
            description.stat.st_ino,
            description.info.flags & !(libc::O_CLOEXEC as u32),
            description.info.pos,
        );
        let place = Place { pid: description.pid, fd: description.number as u32 };
        let (number, _) = self.descriptions.insert(key, place)?;
        if let Some(known) = self.known.get(&number) {
            return Ok(*known);
        }
        let id = files.allocate();
        let kind = files.add(id, &description)?.into();
        self.known.insert(number, (id, kind));
        Ok((id, kind))
    }
}

/// Takes a descriptor of our own of what `number` refers to in the task.
pub(super) fn describe<'a>(
    proc: &'a ProcDir,
    comm: &'a str,
    pidfd: &OwnedFd,
    number: i32,
) -> Result<Description<'a>> {
    let pid = proc.pid();
    let fd = pidfd_getfd(pidfd.as_fd(), number).os(|| format!("pidfd_getfd {number} of {pid}"))?;
    let stat = crate::sys::stat::fstat(&fd).os(|| format!("fstat fd {number} of {pid}"))?;
    let (target, info) = (fdinfo::target(proc, number)?, fdinfo::read(proc, number)?);
    Ok(Description { pid, comm, proc, number, fd, target, info, stat })
}
