//! POSIX message queues: mq_overview(7), ipc/mqueue.c.
//!
//! A descriptor shows its queue's name as path, mq_getattr(3) its size, and a read what it notifies whom of. No interface
//! looks at a message without taking it, and what is taken is lost if we die, or overtaken by what others send: so
//! messages are never touched. A queue with a name stays in the kernel, with them, and is opened again as it is then. One
//! that is gone is made anew if it was empty. One without a name goes with the tree, and is kept if it is empty.
//!
//! Refused: messages of a queue without a name, notifications (mq_notify(3)), whose value nothing shows; at the restore, a
//! queue that had messages and is gone, or is another one, which its inode tells. Not kept: that others have a queue without a name open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::sys::stat::{Mode, fchmod};
use nix::sys::statfs::fstatfs;
use nix::unistd::{Gid, Uid, fchown};

use super::event::pidfd::is_in_tree;
use super::kind::DELETED;
use super::remap::magic::MQUEUE;
use super::reopen::{SETTABLE, reopen, set_flags};
use super::{Description, owner};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry, MqueueFileEntry};
use crate::kernel::Pid;
use crate::log_warn;
use crate::resource::maker::{Maker, Mark};
use crate::sys::fd::fcntl;
use crate::sys::mqueue::{self, Attributes};
use crate::sys::stat::fstat;

/// Whether this is a queue: its path looks like a file's.
pub fn is(d: &Description<'_>) -> Result<bool> {
    // The type of f_type differs between machines and C libraries.
    #[allow(clippy::unnecessary_cast)]
    let magic = fstatfs(&d.fd).os(|| "fstatfs")?.filesystem_type().0 as i64;
    Ok(magic == MQUEUE && d.stat.st_mode & libc::S_IFMT == libc::S_IFREG)
}

/// Refuses a queue that cannot be kept; `root` leads the tree.
///
/// # Errors
/// `E-MQUEUE-MESSAGES`, `E-MQUEUE-NOTIFY`; the caller adds descriptor and task.
pub fn refuse(d: &Description<'_>, root: Pid) -> Result<()> {
    let messages = mqueue::attributes(d.fd.as_fd()).os(|| "mq_getattr")?.messages;
    if d.stat.st_nlink == 0 && messages > 0 {
        let reason =
            format!("is a message queue without a name, and {messages} messages in it cannot be read");
        return Err(Error::new("E-MQUEUE-MESSAGES", Blame::Program, reason)
            .help("dump when the program has received them, or give the queue a name that lasts"));
    }
    // By a description of our own, with its own position.
    let own = File::from(reopen(&d.fd, libc::O_RDONLY as u32)?);
    let mut text = [0; 160];
    let got = own.read_at(&mut text, 0).os(|| "read a message queue")?;
    match notified(text.get(..got).unwrap_or_default()) {
        Some(pid) if is_in_tree(pid, root) => {
            let reason =
                format!("is a message queue that notifies process {pid}, with a value that nothing shows");
            Err(Error::new("E-MQUEUE-NOTIFY", Blame::Program, reason)
                .help("let the program end the notification before the dump: mq_notify(queue, NULL)"))
        }
        _ => Ok(()),
    }
}

/// The process in `QSIZE:0 NOTIFY:0 SIGNO:0 NOTIFY_PID:17`.
fn notified(text: &[u8]) -> Option<Pid> {
    let text = std::str::from_utf8(text).ok()?;
    let pid = text.split_whitespace().find_map(|word| word.strip_prefix("NOTIFY_PID:"))?;
    pid.parse().ok().filter(|pid| *pid != 0)
}

/// The entry of a queue in `files.img`.
pub(super) fn dump(id: u32, d: &Description<'_>, root: Pid) -> Result<FileEntry> {
    refuse(d, root)?;
    let Attributes { most, longest, messages } = mqueue::attributes(d.fd.as_fd()).os(|| "mq_getattr")?;
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    let unlinked = d.stat.st_nlink == 0;
    let path = if unlinked { d.target.strip_suffix(DELETED).unwrap_or(&d.target) } else { &d.target };
    let mq = MqueueFileEntry {
        id,
        flags,
        fown: owner::of(d.fd.as_fd(), flags)?,
        // It may have been opened by a mount of the file system.
        name: path.rsplit(|byte| *byte == b'/').next().unwrap_or(path).to_vec(),
        ino: d.stat.st_ino,
        mode: d.stat.st_mode & 0o7777,
        uid: d.stat.st_uid,
        gid: d.stat.st_gid,
        most,
        longest,
        messages,
        unlinked,
    };
    Ok(FileEntry { r#type: FdType::Mqueue.into(), id, mq: Some(mq), ..FileEntry::default() })
}

/// The queues of a tree being restored. Dropped, it removes those that it has made, unless they were kept.
#[derive(Debug, Default)]
pub(super) struct MqueueRestore {
    /// By the inode that they had.
    open: HashMap<u64, Open>,
}

/// A queue. One that was made lets nobody in, and has a name, until it is finished: only so descriptions can be opened by
/// mq_open(3), which unlike open(2) leaves no O_LARGEFILE in their flags.
#[derive(Debug)]
struct Open {
    queue: OwnedFd,
    name: CString,
    /// What is to be done with one that was made.
    unfinished: Option<MqueueFileEntry>,
    /// A failure removes it.
    made: bool,
}

impl MqueueRestore {
    /// What stands in the way of a queue.
    pub(super) fn check(entry: &MqueueFileEntry) -> Result<()> {
        find(entry).map(drop).map_err(|e| e.on(object(entry)))
    }

    /// Opens one description.
    pub(super) fn open(&mut self, entry: &MqueueFileEntry) -> Result<OwnedFd> {
        let open = match self.open.entry(entry.ino) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(make(entry).map_err(|e| e.on(object(entry)))?),
        };
        let mut fd =
            mqueue::open(&open.name, entry.flags as i32).os(|| "mq_open").map_err(|e| e.on(object(entry)))?;
        let has = fcntl(fd.as_fd(), libc::F_GETFL, 0).os(|| "fcntl F_GETFL")?;
        if (has ^ entry.flags as i32) & !SETTABLE != 0 {
            // It was opened by a path.
            fd = reopen(&open.queue, entry.flags)?;
        }
        set_flags(&fd, entry.flags)?;
        Ok(fd)
    }

    /// Gives queues that were made to their owners, and takes names away; when all descriptions were opened.
    pub(super) fn finish(&mut self) -> Result<()> {
        for open in self.open.values_mut() {
            let Some(entry) = open.unfinished.take() else { continue };
            if entry.unlinked {
                open.made = false;
                mqueue::unlink(&open.name).os(|| "mq_unlink")?;
            }
            let owner = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
            fchown(&open.queue, owner.0, owner.1).os(|| format!("fchown {} {}", entry.uid, entry.gid))?;
            fchmod(&open.queue, Mode::from_bits_truncate(entry.mode))
                .os(|| format!("fchmod {:#o}", entry.mode))?;
        }
        Ok(())
    }

    /// Nothing is taken back any more.
    pub(super) fn keep(&mut self) {
        self.open.values_mut().for_each(|open| open.made = false);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.made {
            // The failure that brought us here is the one to report.
            let _ = mqueue::unlink(&self.name);
        }
    }
}

fn make(entry: &MqueueFileEntry) -> Result<Open> {
    let mut name = name(entry)?;
    if let Some(queue) = find(entry)? {
        return Ok(Open { queue, name, unfinished: None, made: false });
    }
    let there = mqueue::open(&name, libc::O_RDWR);
    if there.is_ok_and(|queue| is_left_behind(entry, &queue).is_ok_and(|is| is)) {
        mqueue::unlink(&name).os(|| "mq_unlink")?;
    }
    let attributes = Attributes { most: entry.most, longest: entry.longest, messages: 0 };
    let mut made = mqueue::create(&name, attributes);
    if entry.unlinked && made.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::EEXIST)) {
        name = CString::new(format!("/crio-{}-{}", std::process::id(), entry.ino)).unwrap_or(name);
        made = mqueue::create(&name, attributes);
    }
    let queue = made.map_err(|e| {
        let limit = e.raw_os_error() == Some(libc::EMFILE);
        let error = Error::os(format!("mq_open of {} messages of {} bytes", entry.most, entry.longest), e);
        if limit { error.help("raise the limit for bytes of message queues: ulimit -q") } else { error }
    })?;
    // One without a mark is not known as ours if we are killed, and no worse for that.
    let _ = Mark::own()
        .map(|Mark { uid, gid }| fchown(&queue, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))));
    Ok(Open { queue, name, unfinished: Some(entry.clone()), made: true })
}

fn object(entry: &MqueueFileEntry) -> String {
    format!("message queue /{}", String::from_utf8_lossy(&entry.name))
}

fn name(entry: &MqueueFileEntry) -> Result<CString> {
    let name = [b"/", entry.name.as_slice()].concat();
    CString::new(name).map_err(|_| Error::image("files.img", "has a message queue with an impossible name"))
}

/// The queue, if it is still there.
fn find(entry: &MqueueFileEntry) -> Result<Option<OwnedFd>> {
    if entry.unlinked {
        return Ok(None);
    }
    let gone = || {
        let reason = format!("is gone, with the {} messages that it had", entry.messages);
        Error::new("E-MQUEUE-GONE", Blame::Environment, reason)
            .help("restore where it still is, or dump when it is empty")
    };
    match mqueue::open(&name(entry)?, libc::O_RDWR) {
        Ok(queue) if !is_left_behind(entry, &queue)? => judge(entry, &queue).map(|()| Some(queue)),
        Err(e) if e.raw_os_error() != Some(libc::ENOENT) => Err(Error::os("mq_open", e)),
        // Or left behind.
        _ if entry.messages == 0 => Ok(None),
        _ => Err(gone()),
    }
}

fn changed(reason: String) -> Error {
    Error::new("E-MQUEUE-CHANGED", Blame::Environment, reason).help(
        "remove it if nobody needs it (rm /dev/mqueue/NAME), or restore in a new namespace (unshare --ipc)",
    )
}

/// Whether a killed restore has left this queue behind. One that lets nobody in may be another restore's, or look like it.
fn is_left_behind(entry: &MqueueFileEntry, queue: &OwnedFd) -> Result<bool> {
    let stat = fstat(queue).os(|| "fstat of a message queue")?;
    if stat.st_mode & 0o777 != 0 {
        return Ok(false);
    }
    match (Mark { uid: stat.st_uid, gid: stat.st_gid }).maker() {
        Maker::Gone if mqueue::attributes(queue.as_fd()).is_ok_and(|there| there.messages == 0) => Ok(true),
        Maker::Working(pid) => Err(changed(format!("is being restored by process {pid}"))
            .help("wait for its end, or restore in a new namespace (unshare --ipc)")),
        Maker::Unknown if entry.mode & 0o777 == 0 => Ok(false),
        _ => Err(changed("lets nobody in, as what a killed restore leaves behind".to_owned())),
    }
}

/// Refuses a queue that is not the one of the image.
fn judge(entry: &MqueueFileEntry, queue: &OwnedFd) -> Result<()> {
    let there = mqueue::attributes(queue.as_fd()).os(|| "mq_getattr")?;
    if (there.most, there.longest) != (entry.most, entry.longest) {
        return Err(changed(format!(
            "is for {} messages of {} bytes by now, not {} of {}",
            there.most, there.longest, entry.most, entry.longest
        )));
    }
    // Inodes are numbered all over the kernel (get_next_ino in fs/inode.c): another queue has another number.
    match fstat(queue).os(|| "fstat of a message queue")?.st_ino == entry.ino {
        true => Ok(()),
        false if entry.messages == 0 => {
            log_warn!(
                "The {} was made anew by somebody else since the dump, and is used as it is",
                object(entry)
            );
            Ok(())
        }
        false => Err(changed(format!(
            "was made since the dump, without the {} messages that it had",
            entry.messages
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notified_process_is_told() {
        assert_eq!(notified(b"QSIZE:5          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n"), None);
        assert_eq!(notified(b"QSIZE:129        NOTIFY:2     SIGNO:0     NOTIFY_PID:8260  \n"), Some(8260));
        assert_eq!(notified(b"QSIZE:129"), None);
    }
}
