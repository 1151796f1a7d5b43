//! Locks and leases: flock(2), fcntl(2), fs/locks.c (`filelocks.img`), with `--file-locks`.
//!
//! fdinfo shows them at the descriptor through which they were taken. Three belong to the open file description, and are
//! there whoever has it: flock, open file description locks, leases. A POSIX lock belongs to a descriptor table, and says
//! which process has taken it. All are taken again by a task and under the number that the image names, when all
//! tables are installed: after that, a close would release the POSIX locks of the file.
//!
//! A lease that somebody is breaking shows what will be left of it, and not what it was: it is taken as the strongest that
//! its descriptor may have had, and broken again. How long it still lasts (lease-break-time) nothing shows: that starts
//! over.
//!
//! Refused: without `--file-locks` all of them; delegations. Not here: who waits for a lock, which is a system call that is
//! restarted.

use std::collections::HashSet;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::FileLockEntry;
use crate::image::{EntryWriter, ImageDir, Kind};
use crate::kernel::Pid;
use crate::kernel::fdinfo::{FdInfo, Lock, LockKind, LockMode};
use crate::sys::fd::{fcntl, set_owner};
use crate::tracee::{Batch, CallId};

/// include/uapi/asm-generic/fcntl.h
const F_SETSIG: i32 = 10;
const F_OWNER_PID: i32 = 1;

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
/// `E-FILE-LOCKED`; the caller adds descriptor and task.
pub fn refuse(info: &FdInfo, kept: bool) -> Result<()> {
    let Some(lock) = info.locks.first() else { return Ok(()) };
    if !kept {
        let reason = format!("holds a lock ({:?}, {:?})", lock.kind, lock.mode);
        return Err(Error::new("E-FILE-LOCKED", Blame::Usage, reason)
            .detail("between dump and restore somebody else may take it")
            .help("add --file-locks to dump and restore, or let the program release it before the dump"));
    }
    if info.locks.iter().any(|lock| lock.kind == LockKind::Delegation) {
        let reason = "holds a delegation (F_SETDELEG), which is not kept";
        return Err(Error::new("E-FILE-LOCKED", Blame::Program, reason).help("let the program give it up"));
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
            let is_broken = lock.kind == LockKind::Lease && lock.status.as_slice() == b"BREAKING";
            // Of tasks with one table, the kernel says which has taken a POSIX lock.
            let pid = if lock.kind == LockKind::Posix && lock.pid > 0 { lock.pid } else { pid };
            self.image.push(&FileLockEntry {
                flag,
                r#type: mode(lock.mode) | if is_broken { BREAKING } else { 0 },
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
/// `E-IMAGE-BAD`: no such lock.
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
        LEASE => {
            let args = [fd, libc::F_SETLEASE as u64, kind as u64];
            Ok(batch.call(format!("fcntl {fd} F_SETLEASE"), libc::SYS_fcntl, &args))
        }
        _ => Err(bad()),
    }
}

/// Whether it is a lease that was being broken.
pub fn is_broken(entry: &FileLockEntry) -> bool {
    entry.flag == LEASE && entry.r#type & BREAKING != 0
}

/// That lease before it was: one for reading is not to be had with a descriptor for writing.
pub fn whole(fd: BorrowedFd<'_>, entry: &FileLockEntry) -> Result<FileLockEntry> {
    let flags = fcntl(fd, libc::F_GETFL, 0).os(|| "fcntl F_GETFL")?;
    let reads = flags & libc::O_ACCMODE == libc::O_RDONLY && left(entry) == libc::F_UNLCK;
    let kind = if reads { libc::F_RDLCK } else { libc::F_WRLCK };
    Ok(FileLockEntry { r#type: kind as u32, ..entry.clone() })
}

/// What is left of it.
fn left(entry: &FileLockEntry) -> i32 {
    (entry.r#type & !BREAKING) as i32
}

/// Lets signals of a description go to us, who ignore this one. The kernel makes whoever takes a lease the owner only if
/// there is none (lease_setup in fs/locks.c).
pub fn hush(fd: BorrowedFd<'_>) -> Result<()> {
    fcntl(fd, F_SETSIG, libc::SIGURG).os(|| "fcntl F_SETSIG")?;
    let pid = std::process::id() as i32;
    set_owner(fd, F_OWNER_PID, pid).os(|| format!("fcntl F_SETOWN_EX {pid}"))
}

/// Undoes [`hush`]; owner and signal of the image are set when all tasks are complete.
pub fn let_speak(fd: BorrowedFd<'_>) -> Result<()> {
    set_owner(fd, F_OWNER_PID, 0).os(|| "fcntl F_SETOWN_EX 0")?;
    fcntl(fd, F_SETSIG, 0).os(|| "fcntl F_SETSIG").map(drop)
}

/// Breaks the lease of a description of ours again, as who opens the file does.
pub fn break_again(fd: BorrowedFd<'_>, entry: &FileLockEntry) -> Result<()> {
    let access = if left(entry) == libc::F_RDLCK { OFlag::O_RDONLY } else { OFlag::O_WRONLY };
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_LARGEFILE;
    match open(path.as_str(), flags, Mode::empty()) {
        Err(Errno::EWOULDBLOCK) => let_speak(fd),
        Err(e) => Err(e).os(|| format!("break the lease of fd {} again", entry.fd)),
        Ok(_) => Err(Error::bug(format!("the lease of fd {} was not broken", entry.fd))),
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
