//! System V IPC: objects that have a number and perhaps a key, belong to no process, and outlive all of them. sysvipc(7).
//!
//! They are kept as files are. One that is still there when the tree is restored is taken as it is then, contents
//! included: it belongs to others as well. One that is gone (another boot, another machine, or the tree was the last to
//! use it) is made anew from the image, with its number. A number or key that somebody else has by then is an error.
//! Whether it is the same object is told by its number, key, size and creator ([`Perm`](crate::sys::ipc::Perm)).
//!
//! | file | what it has |
//! |---|---|
//! | `shm` | shared memory segments |
//! | `sem`, `undo` | semaphore sets, and what an exit undoes of their use |
//! | `msg` | message queues |
//!
//! Here stands what they have in common: the number of the next object (`kernel.*_next_id`, ipc/util.c), and a creator
//! that is not us.

pub mod msg;
pub mod sem;
pub mod shm;
pub mod undo;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use self::msg::MsgRestore;
use self::sem::SemRestore;
use self::shm::ShmRestore;
use self::undo::Adjustment;
use crate::error::{Blame, Error, OsContext, Result};
use crate::fault;
use crate::image::ImageDir;
use crate::image::message::{IpcDescEntry, VmaEntry};
use crate::kernel::Pid;
use crate::kernel::kcmp::{KcmpSet, Kind as Shared, Place};
use crate::kernel::sysvipc::{self, Set};
use crate::report::NotKept;
use crate::sys::ipc::Perm;
use crate::sys::process;
use crate::tracee::{FrozenTask, Loan};

/// The nine bits that IPC_SET can set.
const PERMISSIONS: u32 = 0o777;
/// Permissions of an object that a restore has not completed. They let nobody in: the kernel ignores the bits for
/// execution. What a killed restore has left behind shows by them.
const UNFINISHED: u32 = 0o111;

/// Whether an object is one that a restore has not completed.
fn is_unfinished(there: &Perm) -> bool {
    there.mode & PERMISSIONS == UNFINISHED
}

/// How often somebody else may be faster.
const ATTEMPTS: usize = 20;

/// A kind of object.
#[derive(Debug, Clone, Copy)]
struct Noun {
    /// For messages.
    name: &'static str,
    /// The file in /proc/sys/kernel that sets the number of the next one.
    next_id: &'static str,
    /// The option of ipcrm(1).
    option: &'static str,
}

impl Noun {
    fn object(&self, id: u32) -> String {
        format!("{} {id}", self.name)
    }

    /// Somebody else's object stands where one of the image was.
    fn taken(&self, id: u32, reason: String) -> Error {
        Error::new("E-IPC-TAKEN", Blame::Environment, reason).on(self.object(id)).help(format!(
            "remove what is in the way if nobody needs it (ipcrm {} ID), or restore in a new namespace (unshare --ipc)",
            self.option
        ))
    }

    /// In what an object of the same number differs. Owner and mode may change.
    fn difference(&self, desc: &IpcDescEntry, there: &Perm) -> Option<String> {
        difference(&[
            ("key", desc.key.into(), there.key.into()),
            ("creating user", desc.cuid.into(), there.cuid.into()),
            ("creating group", desc.cgid.into(), there.cgid.into()),
        ])
    }

    /// Sees to it that no other object has the key of one that is gone; `find` gives the number of one.
    fn key_is_free(&self, id: u32, key: u32, find: impl Fn(u32) -> io::Result<i32>) -> Result<()> {
        match Some(key).filter(|key| *key != 0).and_then(|key| find(key).ok()) {
            Some(other) => Err(self
                .taken(id, format!("has the key {key:#x}, which {} has by now", self.object(other as u32)))),
            None => Ok(()),
        }
    }

    /// Runs `create`, which makes one object, until it gets its number. Whether it was made by whom it should. The next
    /// number is the whole namespace's: somebody else may have taken it, and is not undone by `remove`, as what we get then.
    fn create(
        &self,
        desc: &IpcDescEntry,
        by: Creator,
        create: impl Fn() -> io::Result<i32>,
        remove: fn(i32) -> io::Result<()>,
    ) -> Result<bool> {
        let path = format!("/proc/sys/kernel/{}", self.next_id);
        let setting = File::options().write(true).open(&path).os(|| format!("open {path}"))?;
        // Other restores wait here.
        let setting = Flock::lock(setting, FlockArg::LockExclusive)
            .map_err(|(_, e)| Error::os(format!("flock {path}"), e))?;
        let set =
            |value: &str| setting.write_all_at(value.as_bytes(), 0).os(|| format!("write {value} to {path}"));
        let mut got = -1;
        for _ in 0..ATTEMPTS {
            set(&desc.id.to_string())?;
            let made = by.run((desc.cuid, desc.cgid), &create);
            let made = made.os(|| format!("create {}", self.object(desc.id)));
            // What was not used must not be what somebody else gets.
            let (id, kept) = made.or_else(|e| set("-1").and(Err(e)))?;
            if id as u32 == desc.id {
                return Ok(kept);
            }
            remove(id).os(|| format!("remove {}", self.object(id as u32)))?;
            got = id;
        }
        Err(self.taken(desc.id, format!("cannot have its number: what is free is {got}")))
    }
}

/// How long an id may be leaving.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who makes an object.
#[derive(Debug, Clone, Copy)]
enum Creator {
    /// We do.
    Ourselves,
    /// A process of its own, with this pid if there is one and it is free.
    Process(Option<i32>),
}

impl Creator {
    /// Has it create an object as these users. The second is whether the pid is that which was asked for.
    fn run(self, users: (u32, u32), create: impl Fn() -> io::Result<i32>) -> io::Result<(i32, bool)> {
        let Creator::Process(pid) = self else { return create().map(|id| (id, false)) };
        let answer = || match create() {
            Ok(id) => [id, 0].map(i32::to_ne_bytes).concat(),
            Err(e) => [-1, e.raw_os_error().unwrap_or(libc::EIO)].map(i32::to_ne_bytes).concat(),
        };
        // It may be somebody's, or the kernel too old to give it.
        let as_asked = pid.and_then(|pid| once_free(pid, || process::as_other(Some(pid), users, answer)));
        let kept = as_asked.is_some();
        let told = as_asked.map_or_else(|| process::as_other(None, users, answer), Ok)?;
        match told.as_deref().map(<[u8]>::as_chunks::<4>) {
            Some(([id, errno], [])) => match i32::from_ne_bytes(*errno) {
                0 => Ok((i32::from_ne_bytes(*id), kept)),
                errno => Err(io::Error::from_raw_os_error(errno)),
            },
            // It could not change its users.
            _ => Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
    }
}

/// The result of an attempt to have a process with a pid; `None` if somebody has it. An id that no task has any more is
/// not free before its groups and session are gone, too (__change_pid in kernel/pid.c): that is waited for.
fn once_free<T>(pid: i32, attempt: impl FnMut() -> io::Result<T>) -> Option<T> {
    let is_leaving = |e: &io::Error| {
        e.raw_os_error() == Some(libc::EEXIST) && !Path::new("/proc").join(pid.to_string()).exists()
    };
    process::until_free(PATIENCE, is_leaving, attempt).ok()
}

/// The first fact that differs: what it is, what it was and is.
fn difference(facts: &[(&str, u64, u64)]) -> Option<String> {
    let different = facts.iter().find(|(_, was, is)| was != is);
    different.map(|(what, was, is)| format!("{is} as {what}, not {was}"))
}

/// Whether there is no object of a number.
fn is_absence(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EIDRM))
}

/// The user and group by which we are judged.
fn our_users() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

fn desc_of(id: u32, perm: &Perm) -> IpcDescEntry {
    let Perm { key, uid, gid, cuid, cgid, mode } = *perm;
    IpcDescEntry { key, uid, gid, cuid, cgid, mode, id }
}

/// What processes of the tree have to do with objects that they have not mapped.
#[derive(Debug)]
pub struct IpcDump {
    sets: Vec<Set>,
    lists: KcmpSet<()>,
    adjustments: Vec<Adjustment>,
    /// What the image will not have.
    pub not_kept: Vec<NotKept>,
}

impl IpcDump {
    /// Lists what there is.
    pub fn new() -> Result<Self> {
        Ok(IpcDump {
            sets: sysvipc::semaphore_sets()?,
            lists: KcmpSet::new(Shared::Sysvsem, 1),
            adjustments: Vec::new(),
            not_kept: Vec::new(),
        })
    }

    /// Asks a process, whose leader is on loan, what it would undo.
    pub fn add(&mut self, task: &FrozenTask, loan: &mut Loan) -> Result<()> {
        if self.sets.is_empty() || !undo::has_list(task, &mut self.not_kept)? {
            return Ok(());
        }
        if !self.lists.insert((), Place { pid: task.pid, fd: 0 })?.1 {
            self.not_kept
                .push(undo::lost(task, "semaphore undo list shared with another process".to_owned()));
            return Ok(());
        }
        self.adjustments.extend(undo::read(task, loan, &self.sets, &mut self.not_kept)?);
        Ok(())
    }

    /// Writes semaphores and messages as those of the IPC namespace `ns`.
    pub fn write(&self, images: &ImageDir, ns: u32, tree: &[Pid]) -> Result<()> {
        let tree: BTreeSet<Pid> = tree.iter().copied().collect();
        sem::dump(images, ns, &self.sets, &tree, &self.adjustments)?;
        msg::dump(images, ns, &tree)
    }
}

/// The objects of an image.
#[derive(Debug, Default)]
pub struct IpcRestore {
    /// Those that are mapped.
    pub segments: ShmRestore,
    sets: SemRestore,
    queues: MsgRestore,
}

impl IpcRestore {
    /// Reads those of the IPC namespace `ns`; segments only if they are mapped.
    pub fn load<'a>(
        images: &ImageDir,
        ns: Option<u32>,
        vmas: impl Iterator<Item = &'a VmaEntry>,
    ) -> Result<Self> {
        let ns = ns.unwrap_or(0);
        Ok(IpcRestore {
            segments: ShmRestore::load(images, ns, vmas)?,
            sets: SemRestore::load(images, ns)?,
            queues: MsgRestore::load(images, ns)?,
        })
    }

    /// What stands in the way of them.
    pub fn check(&self) -> Vec<Error> {
        let problems = self.segments.check().into_iter().chain(self.sets.check());
        problems.chain(self.queues.check()).collect()
    }

    /// Makes those that are gone, and takes hold of segments. `tell` gets what could not be kept, and what follows.
    pub fn make(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        self.segments.make(tell)?;
        self.sets.make(tell)?;
        self.queues.make(tell)?;
        fault::point("ipc-made")
    }

    /// What a task has to take again of semaphores: first what it gives, then what it takes.
    pub fn adjustments(&self) -> Vec<Adjustment> {
        let mut adjustments = self.sets.adjustments();
        adjustments.sort_by_key(|adjustment| adjustment.value);
        adjustments
    }

    /// Gives those that were made to their owners. The tasks are ready, and do not run yet.
    pub fn complete(&self) -> Result<()> {
        self.segments.complete()?;
        self.sets.complete()?;
        self.queues.complete()
    }

    /// Nothing is taken back any more.
    pub fn keep(&mut self) {
        self.segments.keep();
        self.sets.keep();
        self.queues.keep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_leaving_is_waited_for_and_one_in_use_is_not() {
        let taken = || io::Error::from_raw_os_error(libc::EEXIST);
        let mut left = 3;
        let mut attempt = || {
            left -= 1;
            if left > 0 { Err(taken()) } else { Ok(7) }
        };
        assert_eq!(once_free(i32::MAX, &mut attempt), Some(7));
        let mut attempts = 0;
        let own = std::process::id() as i32;
        let refused = once_free::<i32>(own, || {
            attempts += 1;
            Err(taken())
        });
        assert_eq!((refused, attempts), (None, 1));
    }
}
