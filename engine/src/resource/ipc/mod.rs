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

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use self::msg::MsgRestore;
use self::sem::SemRestore;
use self::shm::ShmRestore;
use self::undo::{Adjustment, Retake};
use crate::error::{Blame, Error, OsContext, Result};
use crate::fault;
use crate::image::ImageDir;
use crate::image::message::{IpcDescEntry, VmaEntry};
use crate::kernel::Pid;
use crate::kernel::kcmp::{KcmpSet, Kind as Shared, Place};
use crate::kernel::sysvipc::{self, Set};
use crate::log_warn;
use crate::report::NotKept;
use crate::resource::maker::{Maker, Mark};
use crate::sys::ipc::Perm;
use crate::sys::process;
use crate::tracee::{FrozenTask, Loan};

/// The nine bits that IPC_SET can set.
const PERMISSIONS: u32 = 0o777;
/// Those that let somebody in: the kernel ignores the bits for execution.
const ACCESS: u32 = 0o666;

/// Permissions of an object that a restore has not completed. They let nobody in, and are not those that it will have.
fn unfinished(desc: &IpcDescEntry) -> u32 {
    if desc.mode & PERMISSIONS == 0o111 { 0o101 } else { 0o111 }
}

/// How often somebody else may be faster.
const ATTEMPTS: usize = 20;
/// How long other restores may take to make one object each; they wait for pids, too.
const TURN: Duration = Duration::from_secs(3);
/// Whether a turn did not come: whoever has it is no restore.
static NO_TURNS: AtomicBool = AtomicBool::new(false);

/// A kind of object.
#[derive(Debug, Clone, Copy)]
struct Noun {
    /// For messages.
    name: &'static str,
    /// The file in /proc/sys/kernel that sets the number of the next one.
    next_id: &'static str,
    /// The option of ipcrm(1).
    option: &'static str,
    perm: fn(i32) -> io::Result<Perm>,
    /// The number of the one with a key.
    find: fn(u32) -> io::Result<i32>,
    /// Sets user, group and permissions.
    set_owner: fn(i32, u32, u32, u32) -> io::Result<()>,
    remove: fn(i32) -> io::Result<()>,
}

/// What there is where an object of the image was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    /// The object.
    Same,
    /// What a killed restore has left behind.
    LeftBehind,
    Nothing,
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

    /// What there is under the number of an object; an error if it is another one, as `differs` tells in words.
    fn look(&self, desc: &IpcDescEntry, differs: impl Fn(&Perm) -> Option<String>) -> Result<There> {
        let there = match (self.perm)(desc.id as i32) {
            Ok(there) => there,
            Err(e) if is_absence(&e) => return self.key_is_free(desc).map(|()| There::Nothing),
            Err(e) => return Err(Error::os(format!("IPC_STAT of {}", self.object(desc.id)), e)),
        };
        if there.mode & ACCESS == 0 && self.is_left_behind(desc, &there)? {
            return Ok(There::LeftBehind);
        }
        match differs(&there) {
            None => Ok(There::Same),
            Some(what) => Err(self.taken(desc.id, format!("is another one by now, with {what}"))),
        }
    }

    /// Whether one that lets nobody in was left behind; an error if it is another restore's, or may be left behind.
    fn is_left_behind(&self, desc: &IpcDescEntry, there: &Perm) -> Result<bool> {
        let mode = there.mode & PERMISSIONS;
        match (Mark { uid: there.uid, gid: there.gid }).maker() {
            Maker::Gone => Ok(true),
            Maker::Working(pid) => Err(self
                .taken(desc.id, format!("is being restored by process {pid}"))
                .help("wait for its end, or restore in a new namespace (unshare --ipc)")),
            Maker::Unknown if mode == desc.mode & PERMISSIONS => Ok(false),
            Maker::Unknown => {
                let reason =
                    format!("lets nobody in (mode {mode:04o}), as what a killed restore leaves behind");
                Err(self.taken(desc.id, reason))
            }
        }
    }

    /// Sees to it that no other object has the key of one that is gone.
    fn key_is_free(&self, IpcDescEntry { id, key, .. }: &IpcDescEntry) -> Result<()> {
        match Some(*key).filter(|key| *key != 0).and_then(|key| (self.find)(key).ok()) {
            Some(other) => Err(self
                .taken(*id, format!("has the key {key:#x}, which {} has by now", self.object(other as u32)))),
            None => Ok(()),
        }
    }

    /// Runs `create`, which makes one object, until it gets its number, and marks it as ours. Whether it was made by whom
    /// it should. The next number is the whole namespace's: somebody else may have taken it, and we what was theirs.
    fn create(&self, desc: &IpcDescEntry, by: Creator, create: impl Fn() -> io::Result<i32>) -> Result<bool> {
        let path = format!("/proc/sys/kernel/{}", self.next_id);
        let setting = take_turn(File::options().write(true).open(&path).os(|| format!("open {path}"))?);
        let set =
            |value: &str| setting.write_all_at(value.as_bytes(), 0).os(|| format!("write {value} to {path}"));
        let (mark, mode) = (Mark::own(), unfinished(desc));
        let create = || {
            let id = create()?;
            // One without a mark is not known as ours if we are killed, and no worse for that.
            let _ = mark.map(|mark| (self.set_owner)(id, mark.uid, mark.gid, mode));
            Ok(id)
        };
        let mut got = -1;
        for attempt in 0..ATTEMPTS {
            set(&desc.id.to_string())?;
            let made = by.run((desc.cuid, desc.cgid), create);
            let made = made.os(|| format!("create {}", self.object(desc.id)));
            // What was not used must not be what somebody else gets.
            let (id, kept) = made.or_else(|e| set("-1").and(Err(e)))?;
            if id as u32 == desc.id {
                return Ok(kept);
            }
            (self.remove)(id).os(|| format!("remove {}", self.object(id as u32)))?;
            got = id;
            // Two that are in each other's way must not stay in step.
            sleep(Duration::from_micros(u64::from(std::process::id() % 97) * attempt as u64));
        }
        Err(self.taken(desc.id, format!("cannot have its number: what is free is {got}")))
    }

    /// Removes what a killed restore has left behind.
    fn clear(&self, desc: &IpcDescEntry) -> Result<()> {
        match (self.remove)(desc.id as i32) {
            // A segment may have gone with its last mapping.
            Err(e) if !is_absence(&e) => Err(Error::os(format!("IPC_RMID of {}", self.object(desc.id)), e)),
            _ => self.key_is_free(desc),
        }
    }

    /// Gives one that was made to its owner.
    fn complete(&self, desc: &IpcDescEntry) -> Result<()> {
        (self.set_owner)(desc.id as i32, desc.uid, desc.gid, desc.mode & PERMISSIONS)
            .os(|| format!("IPC_SET of {}", self.object(desc.id)))
    }
}

/// Waits until no other restore uses the setting, which is given back when this is dropped. Anybody may lock the file for
/// ever, so that the turn is a courtesy: without it attempts fail more often.
fn take_turn(setting: File) -> Turn {
    let since = Instant::now();
    let mut setting = setting;
    while !NO_TURNS.load(Ordering::Relaxed) {
        setting = match Flock::lock(setting, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Turn::Ours(locked),
            Err((setting, Errno::EWOULDBLOCK | Errno::EINTR)) => setting,
            Err((setting, _)) => return Turn::Anybodys(setting),
        };
        NO_TURNS.store(since.elapsed() > TURN, Ordering::Relaxed);
        sleep(Duration::from_millis(1));
    }
    log_warn!(
        "Somebody has locked the number of the next object in /proc/sys/kernel, which is set all the same"
    );
    Turn::Anybodys(setting)
}

/// The setting of the next number.
enum Turn {
    Ours(Flock<File>),
    Anybodys(File),
}

impl Deref for Turn {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Turn::Ours(setting) => setting,
            Turn::Anybodys(setting) => setting,
        }
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

/// What the kernel tells of an object; none if it is gone. One that we may not look at is not kept, which is said.
fn readable<T>(told: io::Result<T>, object: impl Fn() -> String) -> Result<Option<T>> {
    match told {
        Ok(told) => Ok(Some(told)),
        Err(e) if is_absence(&e) => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            log_warn!("{} cannot be looked at, and is not kept if the tree uses it: {e}", object());
            Ok(None)
        }
        Err(e) => Err(Error::os("IPC_STAT", e).on(object())),
    }
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
    names: BTreeMap<Pid, String>,
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
            names: BTreeMap::new(),
            not_kept: Vec::new(),
        })
    }

    /// Asks a process, whose leader is on loan, what it would undo.
    pub fn add(&mut self, task: &FrozenTask, loan: &mut Loan) -> Result<()> {
        self.names.insert(task.pid, task.comm.clone());
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
    pub fn write(&mut self, images: &ImageDir, ns: u32, tree: &[Pid]) -> Result<()> {
        let tree: BTreeSet<Pid> = tree.iter().copied().collect();
        sem::dump(images, ns, &self.sets, &tree, &self.adjustments)?;
        msg::dump(images, ns, &tree, |pid, what, consequence| {
            let comm = self.names.get(&pid).cloned().unwrap_or_default();
            self.not_kept.push(NotKept { pid, comm, what, consequence: consequence.to_owned() });
        })
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

    /// What tasks have to take again of semaphores, in this order. `tell` gets what may not be as it was.
    pub fn retakes(&self, tell: &mut dyn FnMut(String, &'static str)) -> Result<Vec<Retake>> {
        self.sets.retakes(tell)
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
