//! Terminals: the requests of ioctl_tty(2), under the kernel's names.
//!
//! The settings are `struct termios2`, which has the speeds as numbers: with BOTHER the plain `struct termios` loses
//! them. On a master the requests about settings and window are answered for its slave (tty_mode_ioctl in
//! drivers/tty/tty_ioctl.c).

#![allow(unsafe_code, reason = "raw ioctl requests")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::termios2;

use super::fd::{fcntl, ioctl_read, ioctl_value, ioctl_write};
use super::process::check;

/// TCGETS2: the settings.
pub fn settings(fd: BorrowedFd<'_>) -> io::Result<termios2> {
    // SAFETY: all zeroes is a valid termios2, and the request fills one.
    unsafe {
        let mut value: termios2 = std::mem::zeroed();
        check(libc::ioctl(fd.as_raw_fd(), libc::TCGETS2, &raw mut value).into())?;
        Ok(value)
    }
}

/// TCSETS2: changes the settings at once, without waiting and without dropping input.
pub fn set_settings(fd: BorrowedFd<'_>, value: &termios2) -> io::Result<()> {
    ioctl_write(fd, libc::TCSETS2, value)
}

/// All zeroes: no flag, no control character.
pub fn no_settings() -> termios2 {
    // SAFETY: all zeroes is a valid termios2.
    unsafe { std::mem::zeroed() }
}

/// TIOCGLCKTRMIOS: settings whose set bits are those that nobody may change. Speeds cannot be locked.
pub fn locked_settings(fd: BorrowedFd<'_>) -> io::Result<libc::termios> {
    // SAFETY: all zeroes is a valid termios; the structure that the kernel writes is a prefix of it.
    unsafe {
        let mut value: libc::termios = std::mem::zeroed();
        check(libc::ioctl(fd.as_raw_fd(), libc::TIOCGLCKTRMIOS, &raw mut value).into())?;
        Ok(value)
    }
}

/// TIOCSLCKTRMIOS: what [`locked_settings`] reads. Needs CAP_SYS_ADMIN.
pub fn set_locked_settings(fd: BorrowedFd<'_>, value: &libc::termios) -> io::Result<()> {
    ioctl_write(fd, libc::TIOCSLCKTRMIOS, value)
}

/// No bit locked.
pub fn no_locked_settings() -> libc::termios {
    // SAFETY: all zeroes is a valid termios.
    unsafe { std::mem::zeroed() }
}

/// TIOCGWINSZ: rows, columns, and pixels across and down.
pub fn window(fd: BorrowedFd<'_>) -> io::Result<[u16; 4]> {
    ioctl_read(fd, libc::TIOCGWINSZ)
}

/// A request as a system call takes it: the C library's type for it has a word on some machines and 32 bits on others.
#[allow(clippy::unnecessary_cast, reason = "it is the same type on some")]
pub fn number(request: libc::Ioctl) -> u64 {
    request as u64
}

/// TIOCSWINSZ: sends SIGWINCH to the foreground if it changes anything.
pub fn set_window(fd: BorrowedFd<'_>, window: [u16; 4]) -> io::Result<()> {
    ioctl_write(fd, libc::TIOCSWINSZ, &window)
}

/// TIOCGPTN: the number of the pair that this master belongs to; ENOTTY for everything else.
pub fn pair_number(fd: BorrowedFd<'_>) -> io::Result<u32> {
    ioctl_read(fd, libc::TIOCGPTN)
}

/// TIOCGDEV: the device number of the terminal behind the file, as new_encode_dev makes it; for a master, its slave's.
pub fn device(fd: BorrowedFd<'_>) -> io::Result<u32> {
    ioctl_read(fd, libc::TIOCGDEV)
}

/// TIOCGSID: the session that this terminal controls. ENOTTY if none; and for a file that is not a master also if it
/// is not the caller's own controlling terminal.
pub fn session(fd: BorrowedFd<'_>) -> io::Result<i32> {
    ioctl_read(fd, libc::TIOCGSID)
}

/// TIOCGPGRP: the foreground process group; with the restriction of [`session`]; 0 is none.
pub fn foreground(fd: BorrowedFd<'_>) -> io::Result<i32> {
    ioctl_read(fd, libc::TIOCGPGRP)
}

/// TIOCSPGRP: makes `group` the foreground. Only for a task of the session; SIGTTOU should be blocked.
pub fn set_foreground(fd: BorrowedFd<'_>, group: i32) -> io::Result<()> {
    ioctl_write(fd, libc::TIOCSPGRP, &group)
}

/// TIOCGEXCL: whether further opens are refused.
pub fn exclusive(fd: BorrowedFd<'_>) -> io::Result<bool> {
    ioctl_read::<i32>(fd, libc::TIOCGEXCL).map(|on| on != 0)
}

/// TIOCEXCL: refuses further opens, but those of CAP_SYS_ADMIN.
pub fn set_exclusive(fd: BorrowedFd<'_>) -> io::Result<()> {
    ioctl_value(fd, libc::TIOCEXCL, 0).map(drop)
}

/// TIOCGPKT: whether the master reads packets.
pub fn packet_mode(master: BorrowedFd<'_>) -> io::Result<bool> {
    ioctl_read::<i32>(master, libc::TIOCGPKT).map(|on| on != 0)
}

/// TIOCPKT: see [`packet_mode`]. Switching it on forgets a status that was not read yet.
pub fn set_packet_mode(master: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    ioctl_write(master, libc::TIOCPKT, &i32::from(on))
}

/// TIOCGPTLCK: whether the slave may not be opened.
pub fn locked(master: BorrowedFd<'_>) -> io::Result<bool> {
    ioctl_read::<i32>(master, libc::TIOCGPTLCK).map(|on| on != 0)
}

/// TIOCSPTLCK: see [`locked`]; a new pair is locked.
pub fn set_locked(master: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    ioctl_write(master, libc::TIOCSPTLCK, &i32::from(on))
}

/// TIOCGPTPEER: a new description of the slave, whatever /dev/pts is here. EIO if it is locked. Close-on-exec, which
/// is not among `flags`: the request, unlike open(2), leaves O_CLOEXEC in the flags of the description.
pub fn open_slave(master: BorrowedFd<'_>, flags: i32) -> io::Result<OwnedFd> {
    let flags = flags & !libc::O_CLOEXEC;
    let fd = ioctl_value(master, libc::TIOCGPTPEER, flags as libc::c_ulong)?;
    // SAFETY: the descriptor is new, and ours.
    let slave = unsafe { OwnedFd::from_raw_fd(fd) };
    fcntl(slave.as_fd(), libc::F_SETFD, libc::FD_CLOEXEC)?;
    Ok(slave)
}

/// TIOCSTI: one byte of input, through the line discipline, before the call returns. On a master it is input of the
/// master, that is, output of the slave. Needs CAP_SYS_ADMIN.
pub fn push_input(fd: BorrowedFd<'_>, byte: u8) -> io::Result<()> {
    ioctl_write(fd, libc::TIOCSTI, &byte)
}

/// FIONREAD: bytes that can be read; in canonical mode those of complete lines.
pub fn readable(fd: BorrowedFd<'_>) -> io::Result<usize> {
    ioctl_read::<i32>(fd, libc::FIONREAD).map(|n| usize::try_from(n).unwrap_or(0))
}
