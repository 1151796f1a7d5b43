//! Terminals of a tree being restored.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown, isatty};

use super::{PTY_SLAVE_MAJOR, key, queue, settings};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FileEntry, RegFileEntry, TtyDataEntry, TtyFileEntry, TtyInfoEntry, TtyType};
use crate::image::{ImageDir, Kind};
use crate::kernel::{Pid, ProcDir, stat};
use crate::resource::file::reopen::{reopen, set_flags};
use crate::sys::tty;

/// How a description is come by.
#[derive(Debug)]
pub enum Opened {
    /// Here it is.
    Here(OwnedFd),
    /// It is /dev/tty, which leads to the caller's own terminal: a task of session `sid` has to open it with `flags`,
    /// after the leader's claim.
    InSession {
        /// The session.
        sid: Pid,
        /// For open(2).
        flags: u32,
    },
}

/// A terminal that is to control a session.
#[derive(Debug)]
pub struct TtyClaim {
    /// The session; its leader calls ioctl(TIOCSCTTY, 1) on `terminal`. 0 is the session that the restore was called
    /// in, which has the terminal already.
    pub sid: Pid,
    /// The foreground group, for ioctl(TIOCSPGRP) thereafter, when the groups exist; 0 is none. A group that has no
    /// task any more cannot be set (ESRCH).
    pub pgrp: Pid,
    /// A description of it, only for these two calls.
    pub terminal: OwnedFd,
}

/// The terminals of a tree. Drop it before the tasks run: it has ends of pairs open.
#[derive(Debug)]
pub struct TtyRestore {
    infos: HashMap<u32, TtyInfoEntry>,
    data: HashMap<u32, Vec<u8>>,
    /// Descriptions of the image by terminal: the path and flags that a master is made with, the mode of a slave.
    paths: HashMap<u32, RegFileEntry>,
    shell_job: bool,
    inherited: HashMap<String, OwnedFd>,
    /// Masters by number of the pair; whether it was given out.
    masters: HashMap<u32, (OwnedFd, bool)>,
    /// One description of every other terminal, by id.
    opened: HashMap<u32, OwnedFd>,
    current: Option<OwnedFd>,
}

impl TtyRestore {
    /// Reads the terminals; `files` is the whole of `files.img`.
    pub fn load(images: &ImageDir, files: &[FileEntry], shell_job: bool) -> Result<Self> {
        let infos: HashMap<_, _> =
            images.read_all::<TtyInfoEntry>(Kind::TtyInfo)?.into_iter().map(|info| (info.id, info)).collect();
        let data = images.read_all::<TtyDataEntry>(Kind::TtyData)?;
        let regular: HashMap<_, _> = files.iter().filter_map(|f| Some((f.id, f.reg.as_ref()?))).collect();
        let path = |tty: &TtyFileEntry| Some((tty.tty_info_id, (*regular.get(&tty.regf_id?)?).clone()));
        Ok(TtyRestore {
            infos,
            data: data.into_iter().map(|data| (data.tty_id, data.data)).collect(),
            paths: files.iter().filter_map(|f| path(f.tty.as_ref()?)).collect(),
            shell_job,
            inherited: HashMap::new(),
            masters: HashMap::new(),
            opened: HashMap::new(),
            current: None,
        })
    }

    /// `--inherit-fd fd[N]:tty[RDEV:DEV]`. Whether the key is that of a terminal.
    pub fn inherit(&mut self, key: &str, fd: OwnedFd) -> bool {
        let is_tty = key.starts_with("tty[");
        if is_tty {
            self.inherited.insert(key.to_owned(), fd);
        }
        is_tty
    }

    /// Opens one description.
    pub fn open(&mut self, entry: &TtyFileEntry) -> Result<Opened> {
        let info = self.infos.get(&entry.tty_info_id).cloned().ok_or_else(|| {
            Error::image(Kind::TtyInfo.file_name(), format!("there is no terminal {:#x}", entry.tty_info_id))
        })?;
        let kind = TtyType::try_from(info.r#type).unwrap_or(TtyType::Unknown);
        if kind == TtyType::Ctty {
            return self.open_controlling(&info, entry.flags).map_err(|e| e.on("/dev/tty"));
        }
        let name = self.name(&info);
        let fd = match (kind, &info.pty) {
            (TtyType::Pty, Some(pty)) if is_master(&info) => self.take_master(pty.index, entry.flags),
            (TtyType::Pty, Some(pty)) => self.open_slave(&info, pty.index, entry.flags),
            (TtyType::ExtTty, None) => self.open_inherited(&info, entry.flags),
            (TtyType::Console | TtyType::Vt | TtyType::Serial, None) => self.open_path(&info, entry.flags),
            _ => Err(Error::image(
                Kind::TtyInfo.file_name(),
                format!("a terminal of kind {kind:?} is malformed"),
            )),
        }
        .map_err(|e| e.on(name))?;
        if !is_master(&info) && info.termios.is_some() && !self.opened.contains_key(&info.id) {
            self.opened.insert(info.id, fd.try_clone().os(|| "dup")?);
        }
        Ok(Opened::Here(fd))
    }

    fn name(&self, info: &TtyInfoEntry) -> String {
        match (&info.pty, self.paths.get(&info.id)) {
            (Some(pty), _) if is_master(info) => format!("master of /dev/pts/{}", pty.index),
            (Some(pty), _) => format!("/dev/pts/{}", pty.index),
            (None, Some(path)) => String::from_utf8_lossy(&path.name).into_owned(),
            (None, None) => key(info.rdev, info.dev.unwrap_or(0)),
        }
    }

    fn take_master(&mut self, number: u32, flags: u32) -> Result<OwnedFd> {
        self.master(number)?;
        let Some((master, given)) = self.masters.get_mut(&number) else {
            return Err(Error::bug("no master"));
        };
        if std::mem::replace(given, true) {
            return Err(Error::image(Kind::Files.file_name(), "a master is opened twice"));
        }
        set_flags(&*master, flags)?;
        master.try_clone().os(|| "dup")
    }

    /// The master of a pair, made at its first use with the path that the image has for it.
    fn master(&mut self, number: u32) -> Result<BorrowedFd<'_>> {
        if !self.masters.contains_key(&number) {
            let path = self.paths.get(&master_id(number)).map_or(&b"/dev/ptmx"[..], |path| &path.name);
            let master = make_master(path, number)?;
            tty::set_locked(master.as_fd(), false).os(|| "ioctl TIOCSPTLCK")?;
            self.masters.insert(number, (master, false));
        }
        self.masters.get(&number).map(|(master, _)| master.as_fd()).ok_or_else(|| Error::bug("no master"))
    }

    fn open_slave(&mut self, info: &TtyInfoEntry, number: u32, flags: u32) -> Result<OwnedFd> {
        if info.termios.is_none() {
            return open_hung_up(flags);
        }
        if self.infos.contains_key(&(info.id | 1)) {
            return peer(self.master(number)?, flags);
        }
        if self.shell_job { reopen(self.current()?, flags) } else { Err(needs_shell_job()) }
    }

    /// The terminal that we were called from.
    fn current(&mut self) -> Result<BorrowedFd<'_>> {
        if self.current.is_none() {
            self.current = Some(current_terminal()?);
        }
        self.current.as_ref().map(AsFd::as_fd).ok_or_else(|| Error::bug("no current terminal"))
    }

    fn open_inherited(&self, info: &TtyInfoEntry, flags: u32) -> Result<OwnedFd> {
        let key = key(info.rdev, info.dev.unwrap_or(0));
        let fd = self.inherited.get(&key).ok_or_else(|| {
            Error::new(
                "E-TTY-EXTERNAL",
                Blame::Usage,
                "was declared external at the dump, and nothing stands in for it",
            )
            .help(format!("give it with --inherit-fd 'fd[N]:{key}'"))
        })?;
        // A master that is opened again is another one.
        if tty::pair_number(fd.as_fd()).is_ok() { fd.try_clone().os(|| "dup") } else { reopen(fd, flags) }
    }

    fn open_path(&self, info: &TtyInfoEntry, flags: u32) -> Result<OwnedFd> {
        let path = self
            .paths
            .get(&info.id)
            .ok_or_else(|| Error::image(Kind::Files.file_name(), "a terminal has no path"))?;
        open_at(&path.name, flags)
    }

    fn open_controlling(&mut self, info: &TtyInfoEntry, flags: u32) -> Result<Opened> {
        let ours =
            |other: &&TtyInfoEntry| other.sid == info.sid && other.id != info.id && !self.is_current(other);
        match self.infos.values().find(ours) {
            Some(_) if info.sid != 0 => Ok(Opened::InSession { sid: info.sid as Pid, flags }),
            _ if self.shell_job => open_at(b"/dev/tty", flags).map(Opened::Here),
            _ => Err(needs_shell_job()),
        }
    }

    /// Whether the terminal that we were called from stands in for this one.
    fn is_current(&self, info: &TtyInfoEntry) -> bool {
        let slave = info.pty.is_some() && !is_master(info);
        slave && self.shell_job && info.termios.is_some() && !self.infos.contains_key(&(info.id | 1))
    }

    /// Gives all terminals their settings and input, when all descriptions are open.
    pub fn finish(&mut self) -> Result<()> {
        let ids: Vec<u32> = self.infos.keys().copied().collect();
        for id in ids {
            let Some(info) = self.infos.get(&id).cloned() else { continue };
            let name = self.name(&info);
            let done = match &info.pty {
                Some(pty) if is_master(&info) => self.finish_pair(&info, pty.index),
                // Its pair does it.
                Some(_) if !self.is_current(&info) => Ok(()),
                _ => self.finish_other(&info),
            };
            done.map_err(|e| e.on(name))?;
        }
        Ok(())
    }

    fn finish_pair(&mut self, info: &TtyInfoEntry, number: u32) -> Result<()> {
        let Some((master, _)) = self.masters.get(&number) else { return Ok(()) };
        let (master, slave_id) = (master.as_fd(), info.id & !1);
        let slave_info = self.infos.get(&slave_id);
        let slave = self.opened.get(&slave_id);
        apply(master, info)?;
        if let Some(window) = &info.winsize {
            tty::set_window(master, settings::window_from_entry(window)).os(|| "ioctl TIOCSWINSZ")?;
        }
        if let Some(bytes) = self.data.get(&info.id) {
            queue::push_master(master, bytes)?;
        }
        match (slave, slave_info) {
            (Some(slave), Some(slave_info)) => {
                if let Some(typed) = self.data.get(&slave_id) {
                    queue::push_slave(master, typed)?;
                }
                give_node(slave, slave_info, self.paths.get(&slave_id).and_then(|path| path.mode))?;
                if slave_info.exclusive {
                    tty::set_exclusive(slave.as_fd()).os(|| "ioctl TIOCEXCL")?;
                }
            }
            // It was open, and is not any more: now the master knows.
            (None, Some(gone)) if gone.termios.is_none() => drop(queue::open_slave(master)?),
            _ => {}
        }
        if info.exclusive {
            tty::set_exclusive(master).os(|| "ioctl TIOCEXCL")?;
        }
        if info.packet_mode {
            tty::set_packet_mode(master, true).os(|| "ioctl TIOCPKT")?;
        }
        if info.locked { tty::set_locked(master, true).os(|| "ioctl TIOCSPTLCK") } else { Ok(()) }
    }

    /// The window of a terminal that somebody looks at, and its owner, are not ours to change.
    fn finish_other(&self, info: &TtyInfoEntry) -> Result<()> {
        match self.opened.get(&info.id) {
            Some(fd) => apply(fd.as_fd(), info),
            None => Ok(()),
        }
    }

    /// The terminals that control sessions, after [`TtyRestore::finish`]. `leaders` are the session leaders of the tree.
    pub fn claims(&self, leaders: &[Pid]) -> Result<Vec<TtyClaim>> {
        let mut claims: Vec<TtyClaim> = Vec::new();
        for info in self.infos.values() {
            let (sid, pgrp) = (info.sid as Pid, info.pgrp as Pid);
            let controls = sid != 0 && info.r#type != i32::from(TtyType::Ctty);
            let led = leaders.contains(&sid);
            if !controls
                || !led && !self.is_current(info)
                || led && claims.iter().any(|claim| claim.sid == sid)
            {
                continue;
            }
            if let Some(terminal) = self.any_slave(info)? {
                claims.push(TtyClaim { sid: if led { sid } else { 0 }, pgrp, terminal });
            }
        }
        Ok(claims)
    }

    /// A description with which a terminal can be claimed: not its master.
    fn any_slave(&self, info: &TtyInfoEntry) -> Result<Option<OwnedFd>> {
        let opened = self.opened.get(&(if is_master(info) { info.id & !1 } else { info.id }));
        let master = info.pty.as_ref().and_then(|pty| self.masters.get(&pty.index));
        match (opened, master) {
            (Some(fd), _) => fd.try_clone().os(|| "dup").map(Some),
            (None, Some((master, _))) => queue::open_slave(master.as_fd()).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn is_master(info: &TtyInfoEntry) -> bool {
    info.pty.is_some() && info.id & 1 == 1
}

fn master_id(number: u32) -> u32 {
    super::Terminal { kind: TtyType::Pty, number, master: true }.id()
}

fn needs_shell_job() -> Error {
    Error::new(
        "E-TTY-SHELL-JOB",
        Blame::Usage,
        "is the terminal of a shell job, without a master in the image",
    )
    .help("use --shell-job, and run crio from a terminal")
}

fn apply(fd: BorrowedFd<'_>, info: &TtyInfoEntry) -> Result<()> {
    if let Some(termios) = &info.termios {
        settings::apply(fd, termios)?;
    }
    info.termios_locked.as_ref().map_or(Ok(()), |locked| settings::lock(fd, locked))
}

/// Owner and mode of /dev/pts/N.
fn give_node(slave: &OwnedFd, info: &TtyInfoEntry, mode: Option<u32>) -> Result<()> {
    fchown(slave, info.uid.map(Uid::from_raw), info.gid.map(Gid::from_raw)).os(|| "fchown")?;
    mode.map_or(Ok(()), |mode| fchmod(slave, Mode::from_bits_truncate(mode & 0o7777)).os(|| "fchmod"))
}

fn open_at(path: &[u8], flags: u32) -> Result<OwnedFd> {
    // Nobody gets a controlling terminal by opening one here.
    let how = flags as i32 & !libc::O_ASYNC | libc::O_NOCTTY | libc::O_CLOEXEC;
    let fd = open(path, OFlag::from_bits_retain(how), Mode::empty())
        .os(|| format!("open {}", String::from_utf8_lossy(path)))?;
    set_flags(&fd, flags)?;
    Ok(fd)
}

fn peer(master: BorrowedFd<'_>, flags: u32) -> Result<OwnedFd> {
    let how = flags as i32 & !libc::O_ASYNC | libc::O_NOCTTY | libc::O_CLOEXEC;
    let fd = tty::open_slave(master, how).os(|| "ioctl TIOCGPTPEER")?;
    set_flags(&fd, flags)?;
    Ok(fd)
}

/// A slave whose master is gone; its number is of no use to anybody, so it may be another.
fn open_hung_up(flags: u32) -> Result<OwnedFd> {
    let master = open_at(b"/dev/ptmx", libc::O_RDWR as u32)?;
    tty::set_locked(master.as_fd(), false).os(|| "ioctl TIOCSPTLCK")?;
    peer(master.as_fd(), flags)
}

/// A new pair with this number. The kernel gives the lowest one that is free: those below are held meanwhile.
fn make_master(path: &[u8], number: u32) -> Result<OwnedFd> {
    let mut held = Vec::new();
    loop {
        let master = open_at(path, libc::O_RDWR as u32)?;
        match tty::pair_number(master.as_fd()).os(|| "ioctl TIOCGPTN")? {
            got if got == number => return Ok(master),
            got if got > number => return Err(number_taken(number)),
            _ => held.push(master),
        }
    }
}

fn number_taken(number: u32) -> Error {
    let device = nix::libc::makedev(PTY_SLAVE_MAJOR as u32, number) as i32;
    let tasks = nix::dir::Dir::open("/proc", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).into_iter();
    let pids = tasks.flat_map(|mut dir| {
        dir.iter().flatten().filter_map(|e| e.file_name().to_str().ok()?.parse().ok()).collect::<Vec<Pid>>()
    });
    let owner = pids
        .filter_map(|pid| stat::read(&ProcDir::open(pid).ok()?).ok())
        .find(|stat| stat.tty_nr == device)
        .map(|stat| format!("it controls task {} ({})", stat.pid, String::from_utf8_lossy(&stat.comm)));
    let e = Error::new("E-PTY-INDEX", Blame::Environment, "the number is in use, and the program knows it")
        .help("end the program that has it, or restore in a mount namespace with its own /dev/pts");
    match owner {
        Some(owner) => e.detail(owner),
        None => e,
    }
}

fn current_terminal() -> Result<OwnedFd> {
    let standard =
        [std::io::stdin().as_fd().try_clone_to_owned(), std::io::stdout().as_fd().try_clone_to_owned()];
    for fd in standard.into_iter().chain([std::io::stderr().as_fd().try_clone_to_owned()]).flatten() {
        if isatty(&fd).unwrap_or(false) {
            return Ok(fd);
        }
    }
    open_at(b"/dev/tty", libc::O_RDWR as u32).map_err(|e| {
        e.detail("a shell job needs a terminal to come back to")
            .help("run crio from a terminal, or with one as its stdin")
    })
}
