//! References to processes: pidfd_open(2), kernel/pid.c, fs/pidfs.c.
//!
//! A pidfd leads to a task of the tree, which has its old id when the file is made again, or to one that has ended and
//! was waited for: a child of ours, ended alike, takes its place. All pidfds of one dead process are made from one
//! child, because they share an inode, and PIDFD_GET_INFO tells the exit code to each.
//!
//! A process outside of the tree is refused ([`refuse_outsider`]): by the time of the restore its id may be another's.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry, PidfdEntry};
use crate::kernel::fdinfo::FdInfo;
use crate::kernel::{Pid, ProcDir, event, stat, status};
use crate::resource::file::reopen::set_flags;
use crate::resource::file::{Description, owner};
use crate::sys;

/// What the image says of a process that is gone.
const DEAD: Pid = -1;

/// The entry of a pidfd.
pub(super) fn dump(id: u32, d: &Description<'_>) -> Result<FileEntry> {
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32 | libc::O_RDWR as u32);
    let nspid = event::pidfd(&d.info)?;
    let exit_code = if nspid == DEAD { sys::event::pidfd_exit_code(d.fd.as_fd()) } else { None };
    let pidfd = PidfdEntry {
        id,
        // Inode numbers of pidfs have 64 bits, of which the upper ones count incarnations of the lower.
        ino: d.stat.st_ino as u32,
        flags,
        nspid,
        fown: owner::of(d.fd.as_fd(), flags)?,
        exit_code,
    };
    Ok(FileEntry { r#type: FdType::Pidfd.into(), id, pidfd: Some(pidfd), ..FileEntry::default() })
}

/// Refuses a pidfd of a task that is not in the tree of `root`.
///
/// # Errors
/// `E-PIDFD-OUTSIDE`; the caller adds descriptor and task.
pub fn refuse_outsider(info: &FdInfo, root: Pid) -> Result<()> {
    let target = event::pidfd(info)?;
    if target == DEAD || is_in_tree(target, root) {
        return Ok(());
    }
    let reason = format!("refers to process {target}, which is not in the tree");
    Err(Error::new("E-PIDFD-OUTSIDE", Blame::Program, reason)
        .help("dump a tree that has both, or let the program close it before the dump"))
}

/// Whether the task, or the process of the thread, descends from `root`. One that has just ended does not matter.
pub(in crate::resource::file) fn is_in_tree(task: Pid, root: Pid) -> bool {
    let parent = |pid: Pid| ProcDir::open(pid).and_then(|proc| stat::read(&proc)).map(|stat| stat.ppid);
    let process = ProcDir::open(task).and_then(|proc| status::read(&proc)).map(|status| status.tgid);
    let mut pid = match process {
        Ok(tgid) => tgid,
        Err(_) => return true,
    };
    while pid != root {
        match parent(pid) {
            Ok(ppid) if ppid != 0 => pid = ppid,
            Ok(_) => return false,
            Err(_) => return true,
        }
    }
    true
}

/// The pidfds of dead processes of a tree being restored.
#[derive(Debug, Default)]
pub(super) struct DeadProcesses {
    /// The entries by the inode of their process.
    entries: HashMap<u32, Vec<PidfdEntry>>,
    /// Made with the first of their process, by the id of their entry.
    made: HashMap<u32, OwnedFd>,
}

impl DeadProcesses {
    /// Those that `files.img` lists.
    pub(super) fn load<'e>(listed: impl Iterator<Item = &'e FileEntry>) -> Self {
        let mut entries: HashMap<u32, Vec<PidfdEntry>> = HashMap::new();
        for entry in listed.filter_map(|entry| entry.pidfd.as_ref()).filter(|entry| entry.nspid == DEAD) {
            entries.entry(entry.ino).or_default().push(entry.clone());
        }
        DeadProcesses { entries, made: HashMap::new() }
    }

    /// Opens the pidfd of an entry. Tasks of the tree must exist, and none of its ids be free.
    pub(super) fn open(&mut self, entry: &PidfdEntry) -> Result<OwnedFd> {
        if entry.nspid == DEAD {
            self.make(entry.ino)?;
        }
        let fd = match self.made.remove(&entry.id) {
            Some(fd) => fd,
            None => sys::event::pidfd(entry.nspid, thread_flag(entry))
                .os(|| format!("pidfd_open {}", entry.nspid))?,
        };
        set_flags(&fd, entry.flags)?;
        Ok(fd)
    }

    fn make(&mut self, ino: u32) -> Result<()> {
        let entries = self.entries.remove(&ino).unwrap_or_default();
        let Some(first) = entries.first() else { return Ok(()) };
        let status = first.exit_code.unwrap_or(libc::SIGKILL);
        let flags: Vec<u32> = entries.iter().map(thread_flag).collect();
        let fds =
            sys::event::pidfds_of_dead(status, &flags).os(|| "pidfd_open of a process that has ended")?;
        self.made.extend(entries.iter().map(|entry| entry.id).zip(fds));
        Ok(())
    }
}

/// PIDFD_THREAD, which the flags of the file show as what it is: O_EXCL.
fn thread_flag(entry: &PidfdEntry) -> u32 {
    entry.flags & libc::O_EXCL as u32
}
