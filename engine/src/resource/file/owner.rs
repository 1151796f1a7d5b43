//! Who is told that a file is ready: the owner of a description (F_SETOWN_EX) and its signal (F_SETSIG), fcntl(2).
//!
//! The owner may be a thread, a process or a group; the kernel also remembers the real and effective user of whoever
//! set it, and asks with these whether the signal may be sent (sigio_perm in fs/fcntl.c). There is no request to set
//! the users: F_SETOWN_EX takes the caller's (f_setown), so a thread of ours that has changed its own does it.
//!
//! An owner must exist when it is set: [`apply`] is for when all tasks are there. Not kept: an owner that is gone,
//! which the kernel already reports as nobody; and, as in CRIU's format, the users while there is no owner.

use std::os::fd::BorrowedFd;

use crate::error::{Error, OsContext, Result};
use crate::image::message::FownEntry;
use crate::parallel;
use crate::sys::fd::{Owner, fcntl, owner, set_owner};
use crate::sys::process::{dumpable, set_dumpable, set_thread_uids};

const F_SETSIG: i32 = 10;

/// The owner of a description; nobody for one of O_PATH, which cannot have one.
pub fn of(fd: BorrowedFd<'_>, flags: u32) -> Result<FownEntry> {
    if flags & libc::O_PATH as u32 != 0 {
        return Ok(FownEntry::default());
    }
    let Owner { kind, pid, signal, uids: [uid, euid] } = owner(fd).os(|| "fcntl F_GETOWN_EX")?;
    let signum = signal as u32;
    if pid == 0 {
        return Ok(FownEntry { signum, ..FownEntry::default() });
    }
    Ok(FownEntry { uid, euid, signum, pid_type: kind as u32, pid: pid as u32 })
}

/// Gives a description its owner and signal.
pub fn apply(fd: BorrowedFd<'_>, entry: &FownEntry) -> Result<()> {
    if entry.signum != 0 {
        let signal = i32::try_from(entry.signum).unwrap_or(-1);
        fcntl(fd, F_SETSIG, signal).os(|| format!("fcntl F_SETSIG {signal}"))?;
    }
    let (kind, pid) = (entry.pid_type as i32, entry.pid as i32);
    if pid == 0 {
        return disown(fd);
    }
    let set = |fd: BorrowedFd<'_>| {
        set_owner(fd, kind, pid).map_err(|e| match e.raw_os_error() {
            Some(libc::ESRCH) => Error::os(format!("fcntl F_SETOWN_EX {pid}"), e)
                .detail("the owner of a file's signals was not restored"),
            _ => Error::os(format!("fcntl F_SETOWN_EX type {kind}, id {pid}"), e),
        })
    };
    let ours = [nix::unistd::getuid().as_raw(), nix::unistd::geteuid().as_raw()];
    if [entry.uid, entry.euid] == ours { set(fd) } else { as_user(entry.uid, entry.euid, || set(fd)) }
}

/// O_ASYNC on a terminal makes the caller its owner (__tty_fasync in drivers/tty/tty_io.c): that was us.
fn disown(fd: BorrowedFd<'_>) -> Result<()> {
    match owner(fd) {
        Ok(Owner { pid: 0, .. }) | Err(_) => Ok(()),
        Ok(Owner { kind, .. }) => set_owner(fd, kind, 0).os(|| "fcntl F_SETOWN_EX 0"),
    }
}

/// Runs `call` in a thread with these users. The raw system call changes one thread only, but the process stops being
/// dumpable by it (commit_creds in kernel/cred.c): that is put back.
fn as_user<T: Send>(uid: u32, euid: u32, call: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let before = dumpable().os(|| "prctl PR_GET_DUMPABLE")?;
    let result = parallel::apart(|| {
        set_thread_uids(uid, euid).os(|| format!("setresuid {uid} {euid}"))?;
        call()
    });
    // 2 (suid_dumpable) cannot be set, and is what the kernel has put there itself.
    if before == 1 {
        set_dumpable(1).os(|| "prctl PR_SET_DUMPABLE")?;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn pipe() -> Result<(std::os::fd::OwnedFd, std::os::fd::OwnedFd)> {
        nix::unistd::pipe().os(|| "pipe")
    }

    #[test]
    fn owner_signal_and_users_return() -> Result<()> {
        let (read, write) = pipe()?;
        let me = nix::unistd::getpid().as_raw() as u32;
        for (pid_type, pid) in
            [(0, nix::unistd::gettid().as_raw() as u32), (1, me), (2, nix::unistd::getpgrp().as_raw() as u32)]
        {
            let wanted = FownEntry { uid: 65534, euid: 1000, signum: 35, pid_type, pid };
            apply(read.as_fd(), &wanted)?;
            assert_eq!(of(read.as_fd(), 0)?, wanted);
        }
        let ours = FownEntry { uid: 0, euid: 0, signum: 10, pid_type: 1, pid: me };
        apply(write.as_fd(), &ours)?;
        assert_eq!(of(write.as_fd(), 0)?, ours);
        assert_eq!(nix::unistd::geteuid().as_raw(), 0);
        assert_eq!(dumpable().os(|| "dumpable")?, 1);
        Ok(())
    }

    #[test]
    fn nobody_is_nobody_and_a_missing_owner_an_error() -> Result<()> {
        let (read, _write) = pipe()?;
        assert_eq!(of(read.as_fd(), 0)?, FownEntry::default());
        apply(read.as_fd(), &FownEntry { pid_type: 1, pid: 1, ..FownEntry::default() })?;
        apply(read.as_fd(), &FownEntry::default())?;
        assert_eq!(of(read.as_fd(), 0)?.pid, 0);
        let gone = FownEntry { pid_type: 1, pid: 0x3fff_fff0, ..FownEntry::default() };
        assert_eq!(apply(read.as_fd(), &gone).map_err(|e| e.code()), Err("E-TASK-GONE"));
        let path = nix::fcntl::open("/tmp", nix::fcntl::OFlag::O_PATH, nix::sys::stat::Mode::empty())
            .os(|| "open")?;
        assert_eq!(of(path.as_fd(), libc::O_PATH as u32)?, FownEntry::default());
        Ok(())
    }
}
