//! Unread input of the two ends of a pseudo terminal.
//!
//! No request shows it without taking it. So it is read and put back at once, before anything else is done, by a process
//! of its own ([`undisturbed`]): a dump that fails later has nothing to undo, and one that is killed meanwhile takes
//! nothing away. In that one case the program, which goes on at once, may find its input a moment late, or behind what
//! is typed in that moment. Only who kills that process too, as the OOM killer does with a whole cgroup, takes it away.
//!
//! It is put back by TIOCSTI, which is done when it returns, with settings that change nothing in it; only what exceeds
//! the line discipline's buffer (N_TTY_BUF_SIZE of drivers/tty/n_tty.c) is written to the other end.
//!
//! In canonical mode the queue is lines and not only bytes. The image has what somebody would have to type to get it:
//! VEOF where a line was sent without a newline, VLNEXT before a byte that would act. That is also what CRIU's restore
//! needs, because it writes the bytes to the master of a terminal with all settings in place.
//!
//! Not kept: input in excess of one buffer in canonical mode goes through the line discipline twice.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libc::termios2;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use crate::error::{Error, OsContext, Result};
use crate::fault;
use crate::log;
use crate::sys::process::in_survivor;
use crate::sys::tty;

/// What n_tty takes before it throttles.
const ROOM: usize = 4095;
const CHUNK: usize = 1 << 16;

/// The kernel's unit of buffers between the ends: where there is room at all, this much fits.
const PIECE: usize = 256;
/// Milliseconds until a full buffer is taken to stay so.
const PATIENCE: u16 = 2000;

const ICANON: u32 = libc::ICANON;
const IEXTEN: u32 = libc::IEXTEN;

/// Both ends of a pair, with packet mode off for as long as it lives: reading would give packets, and changing settings
/// would make one.
struct Quiet<'a> {
    master: BorrowedFd<'a>,
    packets: bool,
}

impl<'a> Quiet<'a> {
    fn new(master: BorrowedFd<'a>) -> Result<Self> {
        let packets = tty::packet_mode(master).os(|| "ioctl TIOCGPKT")?;
        if packets {
            if wait(master, PollFlags::POLLPRI)? {
                log::warn!("a status in packet mode that a terminal's master has not read is not kept");
            }
            tty::set_packet_mode(master, false).os(|| "ioctl TIOCPKT")?;
        }
        Ok(Quiet { master, packets })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        if self.packets && tty::set_packet_mode(self.master, true).is_err() {
            log::error!("packet mode of a terminal could not be switched on again");
        }
    }
}

/// Settings that change, put back at the end.
struct Changed<'a> {
    fd: BorrowedFd<'a>,
    before: termios2,
}

impl<'a> Changed<'a> {
    fn to(fd: BorrowedFd<'a>, before: termios2, now: &termios2) -> Result<Self> {
        tty::set_settings(fd, now).os(|| "ioctl TCSETS2")?;
        Ok(Changed { fd, before })
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        if let Err(e) = tty::set_settings(self.fd, &self.before) {
            log::error!("the settings of a terminal could not be put back: {e}");
        }
    }
}

/// A description of the slave that never waits.
pub(super) fn open_slave(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let locked = tty::locked(master).os(|| "ioctl TIOCGPTLCK")?;
    if locked {
        tty::set_locked(master, false).os(|| "ioctl TIOCSPTLCK")?;
    }
    let slave = tty::open_slave(master, flags).os(|| "ioctl TIOCGPTPEER");
    if locked {
        tty::set_locked(master, true).os(|| "ioctl TIOCSPTLCK")?;
    }
    slave
}

/// Does `work` where our own death does not stop it halfway.
fn undisturbed(work: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    const DONE: u8 = 0;
    const FAILED: u8 = 1;
    let answer = in_survivor(|| match work() {
        Ok(bytes) => [&[DONE][..], &bytes].concat(),
        Err(e) => [&[FAILED][..], &e.errno().unwrap_or(0).to_ne_bytes(), e.headline().as_bytes()].concat(),
    });
    let answer = answer.os(|| "read a terminal in a process of its own")?.unwrap_or_default();
    match answer.split_first() {
        Some((&DONE, bytes)) => Ok(bytes.to_vec()),
        Some((&FAILED, rest)) if rest.len() >= 4 => {
            let (errno, headline) = rest.split_at(4);
            let errno = std::io::Error::from_raw_os_error(errno.try_into().map_or(0, i32::from_ne_bytes));
            let headline = String::from_utf8_lossy(headline);
            let reason = headline.strip_suffix(&format!(": {errno}")).unwrap_or(&headline);
            Err(Error::os(reason, errno))
        }
        _ => Err(Error::bug("the process that reads a terminal has died")),
    }
}

/// Copies what the slave has not read, as it would be typed.
pub(super) fn peek_slave(master: BorrowedFd<'_>) -> Result<Vec<u8>> {
    undisturbed(|| take_and_put_slave(master))
}

fn take_and_put_slave(master: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let _quiet = Quiet::new(master)?;
    let slave = open_slave(master)?;
    let settings = tty::settings(slave.as_fd()).os(|| "ioctl TCGETS2")?;
    let mut typed = Vec::new();
    let taken = if is_canonical(&settings) {
        take_lines(&slave, &settings, &mut typed)
    } else {
        take_all(&slave, &mut typed)
    };
    let passed = fault::point(fault::TERMINAL_TAKEN);
    // Whatever was taken goes back, also after an error.
    put_slave(master, slave.as_fd(), &typed)?;
    passed.and(taken).map(|()| typed)
}

/// Copies what the master has not read.
pub(super) fn peek_master(master: BorrowedFd<'_>) -> Result<Vec<u8>> {
    undisturbed(|| take_and_put_master(master))
}

fn take_and_put_master(master: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let _quiet = Quiet::new(master)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; CHUNK];
    // The description is the program's and may wait: only what is there is asked for.
    while wait(master, PollFlags::POLLIN)? {
        match read(master, &mut buffer) {
            // EIO: the slave is closed, and everything has been read.
            Ok(0) | Err(Errno::EIO | Errno::EAGAIN) => break,
            got => bytes.extend_from_slice(buffer.get(..got.os(|| "read a terminal")?).unwrap_or_default()),
        }
    }
    let passed = fault::point(fault::TERMINAL_TAKEN);
    put_master(master, &bytes)?;
    passed.map(|()| bytes)
}

/// Gives the slave input, as typed, with its final settings in place.
pub(super) fn push_slave(master: BorrowedFd<'_>, typed: &[u8]) -> Result<()> {
    let _quiet = Quiet::new(master)?;
    let slave = open_slave(master)?;
    put_slave(master, slave.as_fd(), typed)
}

/// Gives the master input.
pub(super) fn push_master(master: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    let _quiet = Quiet::new(master)?;
    put_master(master, bytes)
}

fn is_canonical(settings: &termios2) -> bool {
    settings.c_lflag & ICANON != 0 && settings.c_lflag & libc::EXTPROC == 0
}

fn wait(fd: BorrowedFd<'_>, events: PollFlags) -> Result<bool> {
    let mut fds = [PollFd::new(fd, events)];
    poll(&mut fds, PollTimeout::ZERO).os(|| "poll a terminal")?;
    Ok(fds.iter().filter_map(PollFd::revents).any(|revents| revents.intersects(events)))
}

/// One read of a description that does not wait; `None` if there is nothing.
fn take(slave: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>> {
    match read(slave, buffer) {
        Err(Errno::EAGAIN | Errno::EIO) => Ok(None),
        got => got.map(Some).os(|| "read a terminal"),
    }
}

fn take_all(slave: &OwnedFd, bytes: &mut Vec<u8>) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    // With VMIN 0 a read that finds nothing gives 0.
    while let Some(len @ 1..) = take(slave, &mut buffer)? {
        bytes.extend_from_slice(buffer.get(..len).unwrap_or_default());
    }
    Ok(())
}

/// Takes line by line, and then what has no end yet, which can only be read in non-canonical mode.
fn take_lines(slave: &OwnedFd, settings: &termios2, typed: &mut Vec<u8>) -> Result<()> {
    let keys = Keys(settings);
    let mut buffer = vec![0; CHUNK];
    while let Some(len) = take(slave, &mut buffer)? {
        let line = buffer.get(..len).unwrap_or_default();
        match line.split_last() {
            Some((end, body)) if *end == b'\n' || keys.ends_line(*end) => {
                keys.type_literally(body, typed);
                typed.push(*end);
            }
            _ => {
                keys.type_literally(line, typed);
                typed.extend(keys.get(libc::VEOF));
            }
        }
    }
    let mut raw = *settings;
    raw.c_lflag &= !ICANON;
    raw.c_cc[libc::VMIN] = 1;
    raw.c_cc[libc::VTIME] = 0;
    let _changed = Changed::to(slave.as_fd(), *settings, &raw)?;
    let mut unfinished = Vec::new();
    let taken = take_all(slave, &mut unfinished);
    keys.type_literally(&unfinished, typed);
    taken
}

/// The control characters of canonical mode.
struct Keys<'a>(&'a termios2);

impl Keys<'_> {
    /// The byte that acts as this control character, if any does.
    fn get(&self, index: usize) -> Option<u8> {
        let extended =
            matches!(index, libc::VLNEXT | libc::VEOL2 | libc::VWERASE | libc::VREPRINT | libc::VDISCARD);
        let byte = self.0.c_cc.get(index).copied().unwrap_or(0);
        (byte != 0 && (!extended || self.0.c_lflag & IEXTEN != 0)).then_some(byte)
    }

    fn ends_line(&self, byte: u8) -> bool {
        [libc::VEOL, libc::VEOL2].into_iter().any(|index| self.get(index) == Some(byte))
    }

    fn acts(&self, byte: u8) -> bool {
        let values = [libc::VMIN, libc::VTIME];
        byte == b'\n'
            || byte == b'\r' && self.0.c_iflag & (libc::ICRNL | libc::IGNCR) != 0
            || self.0.c_cc.iter().enumerate().any(|(index, cc)| {
                *cc == byte && (!values.contains(&index) || index == libc::VEOF) && self.get(index).is_some()
            })
    }

    fn type_literally(&self, bytes: &[u8], typed: &mut Vec<u8>) {
        for byte in bytes {
            if self.acts(*byte) {
                typed.extend(self.get(libc::VLNEXT));
            }
            typed.push(*byte);
        }
    }

    /// Settings under which what is typed has no effect but on the queue: no echo, no signal, no editing. ICANON stays
    /// as it is, because changing it forgets where lines end (n_tty_set_termios).
    fn silent(&self) -> termios2 {
        let mut silent = *self.0;
        // Clearing IXON would let output go on that ^S has stopped.
        silent.c_iflag &= libc::IXON;
        for key in [libc::VSTART, libc::VSTOP] {
            silent.c_cc[key] = 0;
        }
        if is_canonical(self.0) {
            silent.c_lflag &= ICANON | IEXTEN;
            let kept = [libc::VEOF, libc::VEOL, libc::VEOL2, libc::VLNEXT];
            for (index, cc) in silent.c_cc.iter_mut().enumerate() {
                if !kept.contains(&index) {
                    *cc = 0;
                }
            }
        } else {
            silent.c_lflag &= ICANON | libc::EXTPROC;
        }
        silent
    }
}

fn put_slave(master: BorrowedFd<'_>, slave: BorrowedFd<'_>, typed: &[u8]) -> Result<()> {
    if typed.is_empty() {
        return Ok(());
    }
    let settings = tty::settings(slave).os(|| "ioctl TCGETS2")?;
    let _changed = Changed::to(slave, settings, &Keys(&settings).silent())?;
    let rest = push(slave, typed)?;
    if !rest.is_empty() && is_canonical(&settings) {
        log::warn!("a terminal has {} bytes of lines unread, more than its buffer holds", typed.len());
    }
    write_all(master, rest)
}

fn put_master(master: BorrowedFd<'_>, bytes: &[u8]) -> Result<()> {
    let rest = push(master, bytes)?;
    if rest.is_empty() {
        return Ok(());
    }
    let slave = open_slave(master)?;
    let settings = tty::settings(slave.as_fd()).os(|| "ioctl TCGETS2")?;
    // No room so soon means that ^S has stopped the slave; without IXON it may write.
    let stopped = settings.c_iflag & libc::IXON != 0 && !wait(slave.as_fd(), PollFlags::POLLOUT)?;
    let mut plain = settings;
    plain.c_oflag = 0;
    plain.c_iflag &= !libc::IXON;
    let changed = Changed::to(slave.as_fd(), settings, &plain)?;
    let written = write_all(slave.as_fd(), rest);
    drop(changed);
    if stopped {
        tty::push_input(slave.as_fd(), settings.c_cc[libc::VSTOP]).os(|| "ioctl TIOCSTI")?;
    }
    written
}

/// Pushes what the buffer holds; returns the rest.
fn push<'a>(fd: BorrowedFd<'_>, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let (now, rest) = bytes.split_at(bytes.len().min(ROOM));
    for byte in now {
        tty::push_input(fd, *byte).map_err(|e| {
            Error::os("ioctl TIOCSTI", e).help("putting input back into a terminal needs CAP_SYS_ADMIN")
        })?;
    }
    Ok(rest)
}

/// Writes what did not fit into the line discipline. The pair's own buffer is small and emptied by a worker of the
/// kernel, so it may be full for a moment.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
        poll(&mut fds, PATIENCE).os(|| "poll a terminal")?;
        let room = fds.iter().filter_map(PollFd::revents).any(|revents| revents.contains(PollFlags::POLLOUT));
        if !room {
            return Err(Error::os("write to a terminal", Errno::EAGAIN)
                .detail(format!("{} bytes of unread input do not fit", bytes.len())));
        }
        match write(fd, bytes.get(..PIECE).unwrap_or(bytes)) {
            Err(Errno::EAGAIN) => std::thread::yield_now(),
            written => bytes = bytes.get(written.os(|| "write to a terminal")?..).unwrap_or_default(),
        }
    }
    Ok(())
}
