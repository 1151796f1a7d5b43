//! Terminals of a tree being dumped.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{BEYOND_PAIRS, CTTY_NUMBER, PTY_SLAVE_MAJOR, Terminal, queue, settings};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{
    FdType, FileEntry, TtyDataEntry, TtyFileEntry, TtyInfoEntry, TtyPtyEntry, TtyType,
};
use crate::image::{ImageDir, Kind};
use crate::kernel::Pid;
use crate::kernel::stat::Stat;
use crate::resource::file::{Description, owner};
use crate::sys::tty;

/// What `/proc/PID/stat` says of a task's controlling terminal: the kernel tells the session of a slave to its own
/// tasks only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskTerminal {
    /// The task.
    pub pid: Pid,
    /// Its session.
    pub sid: Pid,
    /// Device number of the terminal as new_encode_dev prints it; 0 is none.
    pub device: u32,
    /// Foreground process group of that terminal.
    pub foreground: Pid,
}

impl From<&Stat> for TaskTerminal {
    fn from(stat: &Stat) -> Self {
        let (pid, sid, foreground) = (stat.pid, stat.sid, stat.tpgid);
        TaskTerminal { pid, sid, device: stat.tty_nr as u32, foreground }
    }
}

/// The terminals of a tree. Nothing is written, and no queue is touched, before [`TtyDump::finish`]: a survey uses it too.
#[derive(Debug)]
pub struct TtyDump<'a> {
    tasks: &'a [TaskTerminal],
    external: &'a [String],
    /// By id.
    seen: BTreeMap<u32, Seen>,
}

#[derive(Debug)]
struct Seen {
    terminal: Terminal,
    info: TtyInfoEntry,
    fd: OwnedFd,
    pid: Pid,
    comm: String,
    name: String,
}

impl<'a> TtyDump<'a> {
    /// `tasks` are all tasks of the tree, `external` the arguments of `--external`.
    pub fn new(tasks: &'a [TaskTerminal], external: &'a [String]) -> Self {
        TtyDump { tasks, external, seen: BTreeMap::new() }
    }

    /// Whether a REG entry with the path of this terminal is needed: not if it is external.
    pub fn needs_path(&self, file: &Description<'_>) -> bool {
        !matches!(Terminal::of(file, self.external), Ok(Terminal { kind: TtyType::ExtTty, .. }))
    }

    /// Dumps one description; `regf_id` is its REG entry.
    pub fn add(&mut self, id: u32, regf_id: Option<u32>, file: &Description<'_>) -> Result<FileEntry> {
        self.dump(id, regf_id, file).map_err(|e| file.blame(e))
    }

    fn dump(&mut self, id: u32, regf_id: Option<u32>, file: &Description<'_>) -> Result<FileEntry> {
        let mut terminal = Terminal::of(file, self.external)?;
        if terminal.kind == TtyType::ExtTty {
            // Each description is a terminal of its own, as with CRIU.
            terminal.number +=
                self.seen.values().filter(|s| s.terminal.kind == TtyType::ExtTty).count() as u32;
        }
        if terminal.kind == TtyType::Ctty {
            terminal.number = self.controlling_number(file.fd.as_fd());
        }
        let tty_info_id = terminal.id();
        if !self.seen.contains_key(&tty_info_id) {
            let info = self.info(tty_info_id, terminal, file)?;
            let fd = file.fd.try_clone().os(|| "dup")?;
            let (pid, comm, name) = (file.pid, file.comm.to_owned(), file.name());
            self.seen.insert(tty_info_id, Seen { terminal, info, fd, pid, comm, name });
        }
        let flags = file.info.flags & !(libc::O_CLOEXEC as u32);
        let fown = owner::of(file.fd.as_fd(), flags)?;
        let tty = Some(TtyFileEntry { id, tty_info_id, flags, fown, regf_id });
        Ok(FileEntry { r#type: FdType::Tty.into(), id, tty, ..FileEntry::default() })
    }

    /// /dev/tty is another terminal in each session. The first has CRIU's number, which knows no second.
    fn controlling_number(&self, fd: BorrowedFd<'_>) -> u32 {
        let device = tty::device(fd).ok();
        let known: Vec<&Seen> = self.seen.values().filter(|s| s.terminal.kind == TtyType::Ctty).collect();
        match known.iter().find(|s| tty::device(s.fd.as_fd()).ok() == device) {
            Some(same) => same.terminal.number,
            None if known.is_empty() => CTTY_NUMBER,
            None => BEYOND_PAIRS + known.len() as u32,
        }
    }

    fn info(&self, id: u32, terminal: Terminal, file: &Description<'_>) -> Result<TtyInfoEntry> {
        let fd = file.fd.as_fd();
        let mut info = TtyInfoEntry {
            id,
            r#type: terminal.kind.into(),
            rdev: file.stat.st_rdev as u32,
            dev: Some(file.stat.st_dev as u32),
            uid: Some(file.stat.st_uid),
            gid: Some(file.stat.st_gid),
            pty: (terminal.kind == TtyType::Pty).then_some(TtyPtyEntry { index: terminal.number }),
            ..TtyInfoEntry::default()
        };
        // The kernel answers EIO for a slave whose master is gone.
        let termios = match tty::settings(fd) {
            Err(e) if e.raw_os_error() == Some(libc::EIO) => return Ok(info),
            termios => termios.os(|| "ioctl TCGETS2")?,
        };
        info.termios = Some(settings::to_entry(&termios));
        let locked = tty::locked_settings(fd).os(|| "ioctl TIOCGLCKTRMIOS")?;
        info.termios_locked = Some(settings::locked_to_entry(&locked));
        info.winsize = Some(settings::window_to_entry(tty::window(fd).os(|| "ioctl TIOCGWINSZ")?));
        info.exclusive = tty::exclusive(fd).os(|| "ioctl TIOCGEXCL")?;
        if terminal.master {
            info.packet_mode = tty::packet_mode(fd).os(|| "ioctl TIOCGPKT")?;
            info.locked = tty::locked(fd).os(|| "ioctl TIOCGPTLCK")?;
        }
        // The device behind /dev/tty and a master is the one that tasks are said to be controlled by.
        let device = tty::device(fd).os(|| "ioctl TIOCGDEV")?;
        if let Some(task) = self.tasks.iter().find(|task| task.device == device) {
            (info.sid, info.pgrp) = (task.sid as u32, task.foreground.max(0) as u32);
        } else if terminal.master {
            info.sid = tty::session(fd).unwrap_or(0) as u32;
            info.pgrp = tty::foreground(fd).unwrap_or(0).max(0) as u32;
        }
        Ok(info)
    }

    /// What cannot be dumped, when all descriptions were added.
    pub fn blockers(&self, shell_job: bool) -> Vec<Error> {
        let mut blockers: Vec<Error> = Vec::new();
        let foreign: Vec<&Seen> = self.seen.values().filter(|seen| self.is_foreign(seen)).collect();
        for seen in foreign.iter().skip(if shell_job { 1 } else { 0 }) {
            let e = if shell_job {
                Error::new(
                    "E-TTY-SECOND",
                    Blame::Program,
                    "is a second terminal of somebody outside of the tree",
                )
                .detail("a shell job can be given one terminal on restore")
                .help("dump the program that has the master too, or use --external for one of them")
            } else {
                Error::new("E-TTY-SHELL-JOB", Blame::Usage, "is a terminal that somebody outside of the tree provides")
                    .help("use --shell-job, and restore it from a terminal; or start the program with setsid and files for its output")
            };
            blockers.push(e.on(&seen.name).task(seen.pid, &seen.comm));
        }
        blockers
    }

    /// Whether a slave's master, or the leader of a terminal's session, is not in the tree.
    fn is_foreign(&self, seen: &Seen) -> bool {
        let Seen { terminal, info, .. } = seen;
        match terminal.kind {
            TtyType::ExtTty | TtyType::Ctty => false,
            _ if info.termios.is_none() => false,
            TtyType::Pty if terminal.master => false,
            TtyType::Pty => !self.seen.contains_key(&terminal.other_end().id()),
            _ => info.sid != 0 && !self.tasks.iter().any(|task| task.pid == info.sid as Pid),
        }
    }

    /// Writes the terminals and the unread input of pairs.
    pub fn finish(self, images: &ImageDir) -> Result<()> {
        let (mut infos, mut data) = (images.writer(Kind::TtyInfo), images.writer(Kind::TtyData));
        for seen in self.seen.values() {
            infos.push(&seen.info)?;
            if seen.terminal.kind != TtyType::Pty || !seen.terminal.master {
                continue;
            }
            let unread = self.queues(seen).map_err(|e| e.on(&seen.name).task(seen.pid, &seen.comm))?;
            for (tty_id, bytes) in unread.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
                data.push(&TtyDataEntry { tty_id, data: bytes })?;
            }
            if let Some(gone) = self.closed_slave(seen)? {
                infos.push(&gone)?;
            }
        }
        infos.finish()?;
        data.finish()
    }

    /// What either end of a master's pair has not read, by the id of that end.
    fn queues(&self, master: &Seen) -> Result<Vec<(u32, Vec<u8>)>> {
        let mut queues = vec![(master.info.id, queue::peek_master(master.fd.as_fd())?)];
        let slave = master.terminal.other_end().id();
        if self.seen.get(&slave).is_some_and(|seen| seen.info.termios.is_some()) {
            queues.push((slave, queue::peek_slave(master.fd.as_fd())?));
        }
        Ok(queues)
    }

    /// A slave that was open and is not any more makes reads of the master fail: an entry without settings says so, the
    /// form that CRIU has for an end that is gone, and passes over if no file belongs to it.
    fn closed_slave(&self, master: &Seen) -> Result<Option<TtyInfoEntry>> {
        let slave = master.terminal.other_end();
        let mut fds = [PollFd::new(master.fd.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).os(|| "poll a terminal")?;
        let closed = fds.iter().filter_map(PollFd::revents).any(|r| r.contains(PollFlags::POLLHUP));
        if !closed || self.seen.contains_key(&slave.id()) {
            return Ok(None);
        }
        Ok(Some(TtyInfoEntry {
            id: slave.id(),
            r#type: TtyType::Pty.into(),
            rdev: nix::libc::makedev(PTY_SLAVE_MAJOR as u32, slave.number) as u32,
            pty: Some(TtyPtyEntry { index: slave.number }),
            ..TtyInfoEntry::default()
        }))
    }
}
