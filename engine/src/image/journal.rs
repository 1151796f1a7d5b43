//! The journal of a dump: a file in the directory of its images that tells, should the dump be killed, what it was about
//! and what it has made elsewhere.
//!
//! One JSON value a line. The writer holds a lock on the file (flock(2)), which the kernel gives up when the writer is
//! gone, whatever has ended it and whichever pid namespace it was in; so one that is there and not locked is of a run that
//! is over. A dump that has succeeded, or failed before it has written anything, removes the file; one that fails later
//! takes back what it has made elsewhere, and leaves a journal that tells of its images alone.
//!
//! Not here: what is done about such a run (`clean`).

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, openat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::{Deserialize, Serialize};

use super::directory::{ImageDir, MODE};
use crate::error::{Blame, Error, OsContext, Result};
use crate::kernel::{Pid, ProcDir, stat};
use crate::log_warn;
use crate::sys::stat::fstat;

/// The file's name.
pub const NAME: &str = ".crio-run";
/// How long a run whose caller was killed may take to give up.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A process, whatever happens to its pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its pid, as seen by the writer.
    pub pid: Pid,
    /// Its start, in clock ticks since the boot.
    pub start: u64,
    /// /proc/sys/kernel/random/boot_id
    pub boot: String,
}

impl Identity {
    /// That of a running process.
    pub fn of(pid: Pid) -> Result<Self> {
        Ok(Identity { pid, start: stat::read(&ProcDir::open(pid)?)?.start_time, boot: boot()? })
    }

    /// Whether it is there and has not exited.
    pub fn is_alive(&self) -> Result<bool> {
        let found = ProcDir::open(self.pid).and_then(|proc| stat::read(&proc));
        let same = |stat: stat::Stat| stat.start_time == self.start && stat.state != stat::State::Zombie;
        match found {
            Err(error) if error.code() == "E-TASK-GONE" => Ok(false),
            found => Ok(same(found?) && boot()? == self.boot),
        }
    }
}

fn boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    std::fs::read_to_string(path).os(|| format!("read {path}")).map(|text| text.trim().to_owned())
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// The first: the tree's root, and whether the tree is to end.
    Dump {
        /// The root.
        root: Identity,
        /// The tree is killed when its image is complete.
        ends: bool,
    },
    /// Images that were there are overwritten from here on.
    Writing,
    /// A file is about to get another name.
    Link {
        /// The new name.
        path: OsString,
        /// The file's device.
        device: u64,
        /// The file's inode.
        inode: u64,
    },
    /// Connections are about to be locked.
    Lock {
        /// What the lock is called after.
        run: String,
    },
    /// The directory is about to become an image.
    Inventory,
    /// The end can only go on.
    Decided,
}

/// An open journal, locked. Dropped, it is removed, unless there are images that are none.
#[derive(Debug)]
pub struct Journal {
    file: File,
    dir: Arc<OwnedFd>,
    /// It is not ours to remove.
    stays: bool,
    /// What the run is about, once it has written images.
    half_written: Mutex<Option<Note>>,
}

impl Journal {
    /// A journal to be written, and what a killed run has left in it. `None` where files cannot be locked.
    ///
    /// # Errors
    /// `E-IMAGES-BUSY`: a living one.
    pub fn open(images: &ImageDir) -> Result<Option<(Journal, Vec<Note>)>> {
        Self::lock(images, OFlag::O_CREAT)
    }

    /// That of a killed run, with its notes.
    ///
    /// # Errors
    /// `E-IMAGES-BUSY`: it lives.
    pub fn left(images: &ImageDir) -> Result<Option<(Journal, Vec<Note>)>> {
        Self::lock(images, OFlag::empty())
    }

    fn lock(images: &ImageDir, create: OFlag) -> Result<Option<(Journal, Vec<Note>)>> {
        let end = Instant::now() + PATIENCE;
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | create;
        let path = || images.path().join(NAME).display().to_string();
        loop {
            let file = match openat(images, NAME, flags, MODE) {
                Err(nix::errno::Errno::ENOENT) if create.is_empty() => return Ok(None),
                file => File::from(file.os(|| format!("open {}", path()))?),
            };
            match file.try_lock() {
                // Removed by its writer meanwhile: another one may be there now.
                Ok(()) if fstat(&file).os(|| format!("fstat {}", path()))?.st_nlink == 0 => {}
                Ok(()) => {
                    let journal = Journal {
                        file,
                        dir: images.descriptor(),
                        stays: false,
                        half_written: Mutex::default(),
                    };
                    return journal.notes().map(|notes| Some((journal, notes)));
                }
                Err(TryLockError::WouldBlock) if Instant::now() > end => return Err(busy(images)),
                Err(TryLockError::WouldBlock) => sleep(LOOK_AGAIN),
                Err(TryLockError::Error(error)) => {
                    log_warn!("{} cannot be locked, so that there is no journal: {error}", path());
                    let _ = unlinkat(images, NAME, UnlinkatFlags::NoRemoveDir);
                    return Ok(None);
                }
            }
        }
    }

    /// What it says. The last line may be incomplete, and what it was about was not done then.
    fn notes(&self) -> Result<Vec<Note>> {
        let mut text = String::new();
        (&self.file)
            .rewind()
            .and_then(|()| (&self.file).read_to_string(&mut text))
            .os(|| format!("read {NAME}"))?;
        Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Forgets what it says.
    pub fn restart(&self) -> Result<()> {
        self.file.set_len(0).and_then(|()| (&self.file).rewind()).os(|| format!("truncate {NAME}"))
    }

    /// Adds a line, before what it is about is done.
    pub fn note(&self, note: &Note) -> Result<()> {
        if let (Note::Writing, Ok(mut half)) = (note, self.half_written.lock()) {
            *half = self.notes()?.into_iter().next();
        }
        self.write(note)
    }

    fn write(&self, note: &Note) -> Result<()> {
        let line = serde_json::to_string(note).map_err(|e| Error::bug(format!("{note:?}: {e}")))?;
        (&self.file).write_all(format!("{line}\n").as_bytes()).os(|| format!("write {NAME}"))?;
        // A name is to be found after a power failure, too; the rest of a run has ended with it.
        match note {
            Note::Link { .. } => self.file.sync_data().os(|| format!("fdatasync {NAME}")),
            _ => Ok(()),
        }
    }

    /// The images are whole.
    pub fn finish(&self) {
        if let Ok(mut half) = self.half_written.lock() {
            *half = None;
        }
    }

    /// Closes it, and lets the file be there as it is.
    pub fn leave(mut self) {
        self.stays = true;
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if let Some(dump) = self.half_written.get_mut().ok().and_then(Option::take) {
            let notes = [dump, Note::Writing];
            if self.restart().and_then(|()| notes.iter().try_for_each(|note| self.write(note))).is_ok() {
                return;
            }
        }
        if let Err(errno) = unlinkat(&*self.dir, NAME, UnlinkatFlags::NoRemoveDir) {
            log_warn!("{NAME} was not removed: {errno}");
        }
    }
}

fn busy(images: &ImageDir) -> Error {
    Error::new("E-IMAGES-BUSY", Blame::Environment, "another dump writes to this directory")
        .on(images.path().display().to_string())
        .help("wait until it has ended, or choose another directory")
}
