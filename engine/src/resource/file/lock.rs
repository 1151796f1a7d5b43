//! Locks and leases: flock(2), fcntl(2), fs/locks.c (`filelocks.img`), with `--file-locks`.
//!
//! fdinfo shows them at the descriptor through which they were taken. Three belong to the open file description, and are
//! there whoever has it: flock, open file description locks, leases. A POSIX lock belongs to a descriptor table, and says
//! which process has taken it. All are taken again by a task and under the number that the image names, when all
//! tables are installed: after that, a close would release the POSIX locks of the file.
//!
//! Refused: without `--file-locks` all of them; a lease that is being broken, because whoever breaks it is waiting. Not
//! here: who waits for a lock, which is a system call that is restarted.

use std::collections::HashSet;

use crate::error::{Blame, Error, Result};
use crate::image::message::FileLockEntry;
use crate::image::{EntryWriter, ImageDir, Kind};
use crate::kernel::Pid;
use crate::kernel::fdinfo::{FdInfo, Lock, LockKind, LockMode};
use crate::tracee::{Batch, CallId};

/// CRIU's names of the kinds, `flag` of the entry.
const POSIX: u32 = 1;
const FLOCK: u32 = 2;
const OPEN_FILE: u32 = 4;
const LEASE: u32 = 8;

/// CRIU's bit of `type` for a lease that is being broken.
const BREAKING: u32 = 4;

/// Refuses what cannot be kept. `kept` says that `--file-locks` was given.
///
/// # Errors
/// `E-FILE-LOCKED`, `E-LEASE-BREAKING`; the caller adds descriptor and task.
pub fn refuse(info: &FdInfo, kept: bool) -> Result<()> {
    let Some(lock) = info.locks.first() else { return Ok(()) };
    if !kept {
        let reason = format!("holds a lock ({:?}, {:?})", lock.kind, lock.mode);
        return Err(Error::new("E-FILE-LOCKED", Blame::Usage, reason)
            .detail("between dump and restore somebody else may take it")
            .help("add --file-locks to dump and restore, or let the program release it before the dump"));
    }
    let broken = info.locks.iter().any(|lock| {
        lock.kind == LockKind::Delegation
            || lock.kind == LockKind::Lease && lock.status.as_slice() == b"BREAKING"
    });
    if broken {
        let reason = "holds a lease that is being broken: somebody waits until it is given up";
        return Err(Error::new("E-LEASE-BREAKING", Blame::Program, reason).help("dump again a moment later"));
    }
    Ok(())
}

/// The locks of a tree being dumped.
#[derive(Debug)]
pub struct LockDump {
    image: EntryWriter,
    /// By the description or, for POSIX locks, the table: each lock is shown at every number of a description.
    seen: HashSet<(u32, u32, u32, u64, Option<u64>)>,
}

impl LockDump {
    /// None yet; `filelocks.img` appears in `images` with the first one.
    pub fn new(images: &ImageDir) -> Self {
        LockDump { image: images.writer(Kind::FileLocks), seen: HashSet::new() }
    }

    /// Dumps the locks that are shown at descriptor `number` of task `pid`: one of table `table`, and of description `id`.
    pub fn add(&mut self, (pid, number): (Pid, i32), (table, id): (u32, u32), locks: &[Lock]) -> Result<()> {
        for lock in locks {
            let (flag, owner) = match lock.kind {
                LockKind::Posix => (POSIX, table),
                LockKind::Flock => (FLOCK, id),
                LockKind::OpenFile => (OPEN_FILE, id),
                LockKind::Lease | LockKind::Delegation => (LEASE, id),
            };
            if !self.seen.insert((flag, owner, id, lock.start, lock.end)) {
                continue;
            }
            // Of tasks with one table, the kernel says which has taken a POSIX lock.
            let pid = if lock.kind == LockKind::Posix && lock.pid > 0 { lock.pid } else { pid };
            self.image.push(&FileLockEntry {
                flag,
                r#type: mode(lock.mode),
                pid,
                fd: number,
                start: lock.start as i64,
                len: lock.end.map_or(0, |end| end.saturating_sub(lock.start).saturating_add(1) as i64),
            })?;
        }
        Ok(())
    }

    /// Closes the image.
    pub fn finish(self) -> Result<()> {
        self.image.finish()
    }
}

fn mode(mode: LockMode) -> u32 {
    match mode {
        LockMode::Read => libc::F_RDLCK as u32,
        LockMode::Write => libc::F_WRLCK as u32,
        LockMode::Unlock => libc::F_UNLCK as u32,
    }
}

/// The locks of an image.
pub fn load(images: &ImageDir) -> Result<Vec<FileLockEntry>> {
    images.read_all(Kind::FileLocks)
}

/// Adds the call by which the task at `entry.pid` takes the lock.
///
/// # Errors
/// `E-IMAGE-BAD`: no such lock; `E-LEASE-BREAKING`: CRIU has dumped it in that state.
pub fn take(batch: &mut Batch, entry: &FileLockEntry) -> Result<CallId> {
    let fd = entry.fd as u64;
    let bad = || {
        Error::image("filelocks.img", format!("lock {:#x} of type {} is unknown", entry.flag, entry.r#type))
    };
    let kind = i16::try_from(entry.r#type).map_err(|_| bad())?;
    match entry.flag {
        FLOCK => {
            let shared = kind == libc::F_RDLCK as i16;
            let how = libc::LOCK_NB | if shared { libc::LOCK_SH } else { libc::LOCK_EX };
            Ok(batch.call(format!("flock {fd}"), libc::SYS_flock, &[fd, how as u64]))
        }
        POSIX | OPEN_FILE => {
            let (name, command) = match entry.flag {
                POSIX => ("F_SETLK", arch::syscall::F_SETLK64),
                _ => ("F_OFD_SETLK", libc::F_OFD_SETLK),
            };
            let range = batch.put(&range(kind, entry.start, entry.len));
            let args = [fd, command as u64, range];
            Ok(batch.call(format!("fcntl {fd} {name}"), arch::syscall::FCNTL64, &args))
        }
        LEASE if entry.r#type & BREAKING != 0 => {
            let reason = "a lease was being broken when CRIU dumped it, which is not supported";
            Err(Error::new("E-LEASE-BREAKING", Blame::Image, reason).help("dump it when nobody breaks it"))
        }
        LEASE => {
            let args = [fd, libc::F_SETLEASE as u64, kind as u64];
            Ok(batch.call(format!("fcntl {fd} F_SETLEASE"), libc::SYS_fcntl, &args))
        }
        _ => Err(bad()),
    }
}

/// `struct flock` with offsets of 64 bits, from the start of the file.
fn range(kind: i16, start: i64, len: i64) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<libc::flock64>()];
    let pieces: [(usize, &[u8]); 4] = [
        (std::mem::offset_of!(libc::flock64, l_type), &kind.to_ne_bytes()),
        (std::mem::offset_of!(libc::flock64, l_whence), &(libc::SEEK_SET as i16).to_ne_bytes()),
        (std::mem::offset_of!(libc::flock64, l_start), &start.to_ne_bytes()),
        (std::mem::offset_of!(libc::flock64, l_len), &len.to_ne_bytes()),
    ];
    for (at, piece) in pieces {
        bytes.iter_mut().skip(at).zip(piece).for_each(|(to, from)| *to = *from);
    }
    bytes
}

/// Why a task did not get the lock of an entry.
pub fn explain(e: Error, entry: &FileLockEntry) -> Error {
    match e.errno() {
        Some(libc::EAGAIN | libc::EACCES) => {
            let reason = "the lock that it had is held by somebody else now";
            Error::new("E-LOCK-TAKEN", Blame::Environment, reason)
                .on(format!("fd {}", entry.fd))
                .help("end the process that holds it, see /proc/locks")
        }
        _ => e,
    }
}
