//! An open `/proc/PID` (or `/proc/PID/task/TID`) directory.
//!
//! A pid is reused as soon as its process is reaped; an open directory is not: once the task is gone every look-up in
//! it fails, whoever has its number now (proc_pid_lookup in fs/proc/base.c holds a `struct pid`). The kernel answers
//! ENOENT or ESRCH then, and ENOENT also for a file it was built without. Here the first is always `E-TASK-GONE`.
//!
//! A thread is looked up below its open process with each call, which is cheaper than a directory of its own: most
//! threads are asked for two or three files. Its number can be given only to another thread of the same process.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

use super::{Pid, text};
use crate::error::{Error, OsContext, Result};
use crate::sys::fd::get_attribute;
use crate::sys::stat::{FileStat, fstatat};

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Room for the first read: seq_file hands out at most a page at a time.
const FIRST_READ: usize = 4096;

/// One task of /proc, held open; see the module for what that is good for.
#[derive(Debug)]
pub struct ProcDir {
    /// That of the process.
    fd: Arc<OwnedFd>,
    /// `task/TID/` for a thread.
    below: String,
    pid: Pid,
    /// For messages.
    path: String,
}

impl ProcDir {
    /// Opens `/proc/PID`. `E-TASK-GONE` if there is no such process.
    pub fn open(pid: Pid) -> Result<Self> {
        Self::open_path(nix::fcntl::AT_FDCWD, pid, format!("/proc/{pid}"))
    }

    /// Opens the process that calls.
    pub fn current() -> Result<Self> {
        Self::open(nix::unistd::getpid().as_raw())
    }

    /// Thread `tid` of this process: `/proc/PID/task/TID`, which has most files of `/proc/PID`. What is read of a thread
    /// that is not there is `E-TASK-GONE`.
    pub fn thread(&self, tid: Pid) -> Self {
        let below = format!("task/{tid}/");
        ProcDir { fd: Arc::clone(&self.fd), path: format!("{}/task/{tid}", self.path), below, pid: tid }
    }

    fn open_path(at: BorrowedFd<'_>, pid: Pid, path: String) -> Result<Self> {
        // Without the directory there is no task: /proc has no other reason for ENOENT on a number.
        let gone = |e| if e == Errno::ENOENT { Errno::ESRCH } else { e };
        let fd = openat(at, path.as_str(), DIRECTORY, Mode::empty())
            .map_err(gone)
            .os(|| format!("open {path}"))?;
        Ok(ProcDir { fd: Arc::new(fd), below: String::new(), pid, path })
    }

    /// Where `name` is, as seen from the open directory.
    fn relative<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self.below.as_str() {
            "" => Cow::Borrowed(name),
            below => Cow::Owned(format!("{below}{name}")),
        }
    }

    /// The pid, or tid, this directory was opened for.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The path of `name` in this directory, for messages only: never open it.
    pub fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Opens `name` with `flags` and O_CLOEXEC; what it leads to may have any size.
    pub fn open_file(&self, name: &str, flags: OFlag) -> Result<OwnedFd> {
        self.open_raw(name, flags).map_err(|e| self.refused("open", name, e))
    }

    fn open_raw(&self, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        openat(
            &self.fd,
            self.relative(name).as_ref(),
            flags | OFlag::O_CLOEXEC | OFlag::O_LARGEFILE,
            Mode::empty(),
        )
    }

    /// The whole content of `name`.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let mut buffer = Vec::new();
        self.read_into(name, &mut buffer)?;
        Ok(buffer)
    }

    /// Replaces `buffer` by the content of `name`: for callers that read many files, without allocation.
    pub fn read_into(&self, name: &str, buffer: &mut Vec<u8>) -> Result<()> {
        let file = File::from(self.open_file(name, OFlag::O_RDONLY)?);
        buffer.clear();
        buffer.reserve(FIRST_READ);
        // `take` skips the fstat and lseek by which File::read_to_end guesses the size: /proc says 0 anyway.
        file.take(u64::MAX).read_to_end(buffer).os(|| format!("read {}", self.path_of(name)))?;
        Ok(())
    }

    /// The content of a file that some kernels lack: `None` if this one does and the task is still there.
    pub fn read_optional(&self, name: &str) -> Result<Option<Vec<u8>>> {
        absent_is_none(self.read(name))
    }

    /// Parses `name`; an error of the parser is told with the file's path.
    pub(super) fn parse<T>(&self, name: &str, parse: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        let bytes = self.read(name)?;
        parse(&bytes).map_err(|e| e.on(self.path_of(name)))
    }

    /// The target of the symbolic link `name`, raw: a path as this process sees it, `pipe:[17]`, or with ` (deleted)`.
    pub fn readlink(&self, name: &str) -> Result<Vec<u8>> {
        let target = readlinkat(&self.fd, self.relative(name).as_ref())
            .map_err(|e| self.refused("readlink", name, e))?;
        Ok(target.into_vec())
    }

    /// [`ProcDir::readlink`] of a link that not all kernels and tasks have.
    pub fn readlink_optional(&self, name: &str) -> Result<Option<Vec<u8>>> {
        absent_is_none(self.readlink(name))
    }

    /// stat(2) of what the magic link `name` (`fd/3`, `exe`, `ns/net`) leads to.
    pub fn stat(&self, name: &str) -> Result<FileStat> {
        fstatat(&self.fd, self.relative(name).as_ref(), AtFlags::empty())
            .map_err(|e| self.refused("stat", name, e))
    }

    /// An extended attribute of what the link `name` leads to.
    pub fn attribute(&self, name: &str, attribute: &str) -> Result<Vec<u8>> {
        let path = format!("/proc/self/fd/{}/{}", self.fd.as_raw_fd(), self.relative(name));
        get_attribute(&path, attribute).os(|| format!("getxattr {attribute} of {}", self.path_of(name)))
    }

    /// The names in directory `name`, in the kernel's order, without `.` and `..`.
    pub fn list(&self, name: &str) -> Result<Vec<Vec<u8>>> {
        let what = || format!("read directory {}", self.path_of(name));
        let mut dir = Dir::from_fd(self.open_file(name, DIRECTORY)?).os(what)?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry.os(what)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    /// The names in directory `name` (`fd`, `task`) as ascending numbers.
    pub fn list_numbers(&self, name: &str) -> Result<Vec<i32>> {
        let number = |entry: Vec<u8>| text::field("directory entry", &entry, text::dec::<i32>);
        let names = self.list(name)?.into_iter();
        let mut numbers =
            names.map(number).collect::<Result<Vec<_>>>().map_err(|e| e.on(self.path_of(name)))?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether the task still has an entry in /proc: true for a zombie.
    pub fn is_alive(&self) -> bool {
        // `status` exists for every task on every kernel; the look-up fails once the task is reaped.
        !matches!(
            fstatat(&self.fd, self.relative("status").as_ref(), AtFlags::empty()),
            Err(Errno::ENOENT | Errno::ESRCH)
        )
    }

    fn refused(&self, call: &str, name: &str, errno: Errno) -> Error {
        let gone = errno == Errno::ENOENT && !self.is_alive();
        Error::os(format!("{call} {}", self.path_of(name)), if gone { Errno::ESRCH } else { errno })
    }
}

impl AsFd for ProcDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// ENOENT, which [`ProcDir`] gives only while the task is alive, means that the kernel lacks the file.
fn absent_is_none<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.errno() == Some(libc::ENOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reaped_process_is_gone_and_a_missing_file_is_not() -> Result<()> {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().os(|| "spawn sleep")?;
        let proc = ProcDir::open(Pid::try_from(child.id()).unwrap_or(-1))?;
        assert!(proc.is_alive());
        assert_eq!(proc.read_optional("no-such-file")?, None);
        child.kill().os(|| "kill")?;
        child.wait().os(|| "wait")?;
        assert!(!proc.is_alive());
        for refused in [proc.read("stat"), proc.readlink("exe"), proc.read("no-such-file")] {
            assert_eq!(refused.map_err(|e| e.code()), Err("E-TASK-GONE"));
        }
        assert_eq!(proc.list("fd").map_err(|e| e.code()), Err("E-TASK-GONE"));
        assert_eq!(ProcDir::open(proc.pid()).map(|_| ()).map_err(|e| e.code()), Err("E-TASK-GONE"));
        Ok(())
    }

    #[test]
    fn lists_our_descriptors_and_threads() -> Result<()> {
        let proc = ProcDir::current()?;
        assert!(proc.list_numbers("fd")?.contains(&2));
        let tid = nix::unistd::gettid().as_raw();
        assert!(proc.list_numbers("task")?.contains(&tid));
        let thread = proc.thread(tid);
        assert_eq!(thread.path_of("stat"), format!("/proc/{}/task/{tid}/stat", proc.pid()));
        assert!(thread.is_alive() && thread.read("stat")?.starts_with(format!("{tid} ").as_bytes()));
        assert_eq!(thread.read_optional("no-such-file")?, None);
        let nobody = proc.thread(1 << 29);
        assert!(!nobody.is_alive());
        for refused in [nobody.read("stat"), nobody.readlink("ns/net")] {
            assert_eq!(refused.map_err(|e| e.code()), Err("E-TASK-GONE"));
        }
        Ok(())
    }
}
