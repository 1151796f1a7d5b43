//! Options of socket(7), and those of a family that are plain values: setsockopt(2), net/core/sock.c.
//!
//! CRIU's format has fields for the oldest of them. All others are in the list `others` of ours: number and value of
//! each that is not as in a new socket of the same family, so that a kernel without an option is asked for it only if
//! the program used it.
//!
//! Not kept: SO_INCOMING_CPU, which follows the packets; a pending SO_ERROR, which reading would clear.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{SkOptionEntry, SkOptsEntry};
use crate::sys::socket::{self, attach_filter, filter, int_option, option, set_option};

const SOCKET: i32 = libc::SOL_SOCKET;
/// include/uapi/asm-generic/socket.h; the same on MIPS, whose older options have numbers of their own.
const SO_LOCK_FILTER: i32 = 44;
const SO_BUF_LOCK: i32 = 72;
const IFNAMSIZ: usize = 16;

/// Options that are a plain value and have no field in the format, in the order in which they are set: name, largest
/// value. Those from 40 on stand here by their numbers, see [`SO_LOCK_FILTER`].
const OTHERS: [(i32, usize); 21] = [
    (libc::SO_TIMESTAMP, 4),
    (libc::SO_TIMESTAMPNS, 4),
    (libc::SO_TIMESTAMPING, 8),
    (40, 4), // SO_RXQ_OVFL
    (41, 4), // SO_WIFI_STATUS
    (43, 4), // SO_NOFCS
    (45, 4), // SO_SELECT_ERR_QUEUE
    (46, 4), // SO_BUSY_POLL
    (47, 8), // SO_MAX_PACING_RATE
    (60, 4), // SO_ZEROCOPY
    (61, 8), // SO_TXTIME
    (63, 4), // SO_TIMESTAMP_NEW
    (64, 4), // SO_TIMESTAMPNS_NEW
    (69, 4), // SO_PREFER_BUSY_POLL
    (73, 4), // SO_RESERVE_MEM
    (74, 4), // SO_TXREHASH
    (75, 4), // SO_RCVMARK
    (76, 4), // SO_PASSPIDFD
    (83, 4), // SO_PASSRIGHTS
    (libc::SO_PEEK_OFF, 4),
    (SO_LOCK_FILTER, 4), // forbids SO_ATTACH_FILTER
];

/// A new socket with the family, type and protocol of another: what its options are compared with.
pub(super) fn new_like(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let ask = |name| int_option(fd, SOCKET, name).os(|| format!("getsockopt {name}"));
    let (family, kind, protocol) = (ask(libc::SO_DOMAIN)?, ask(libc::SO_TYPE)?, ask(libc::SO_PROTOCOL)?);
    socket::socket(family, kind, protocol).os(|| format!("socket {family} {kind} {protocol}"))
}

/// All options of a socket. `levels` are those of its family: level, name, largest value.
pub(super) fn dump(fd: BorrowedFd<'_>, levels: &[(i32, i32, usize)]) -> Result<SkOptsEntry> {
    let ask = |name| int_option(fd, SOCKET, name).os(|| format!("getsockopt SOL_SOCKET {name}"));
    let is_on = |name| ask(name).map(|value| Some(value != 0));
    let family = ask(libc::SO_DOMAIN)?;
    let passes = family == libc::AF_UNIX || family == libc::AF_NETLINK;
    let (send, receive) = (timeout(fd, libc::SO_SNDTIMEO)?, timeout(fd, libc::SO_RCVTIMEO)?);
    let mark = ask(libc::SO_MARK)? as u32;
    Ok(SkOptsEntry {
        so_sndbuf: ask(libc::SO_SNDBUF)? as u32,
        so_rcvbuf: ask(libc::SO_RCVBUF)? as u32,
        so_snd_tmo_sec: send.0,
        so_snd_tmo_usec: send.1,
        so_rcv_tmo_sec: receive.0,
        so_rcv_tmo_usec: receive.1,
        reuseaddr: is_on(libc::SO_REUSEADDR)?,
        so_priority: Some(ask(libc::SO_PRIORITY)? as u32),
        so_rcvlowat: Some(ask(libc::SO_RCVLOWAT)? as u32),
        so_mark: (mark != 0).then_some(mark),
        so_passcred: if passes { is_on(libc::SO_PASSCRED)? } else { None },
        so_passsec: if passes { is_on(libc::SO_PASSSEC)? } else { None },
        so_dontroute: is_on(libc::SO_DONTROUTE)?,
        so_no_check: is_on(libc::SO_NO_CHECK)?,
        so_bound_dev: device(fd)?,
        so_filter: instructions(fd)?,
        so_reuseport: is_on(libc::SO_REUSEPORT)?,
        so_broadcast: is_on(libc::SO_BROADCAST)?,
        so_keepalive: is_on(libc::SO_KEEPALIVE)?,
        so_oobinline: Some(u32::from(ask(libc::SO_OOBINLINE)? != 0)),
        so_linger: linger(fd)?,
        so_buf_lock: optional(int_option(fd, SOCKET, SO_BUF_LOCK))?.map(|lock| lock as u32),
        others: others(fd, levels)?,
        ..SkOptsEntry::default()
    })
}

/// An option that this kernel, or this family, does not have.
fn optional<T>(value: io::Result<T>) -> Result<Option<T>> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP)) => Ok(None),
        Err(e) => Err(Error::os("getsockopt", e)),
    }
}

/// Seconds and microseconds.
fn timeout(fd: BorrowedFd<'_>, name: i32) -> Result<(u64, u64)> {
    let value = option(fd, SOCKET, name, size_of::<libc::timeval>()).os(|| "getsockopt of a timeout")?;
    let (seconds, micros) = value.split_at(value.len() / 2);
    Ok((integer(seconds), integer(micros)))
}

/// An unsigned integer of any size, in the order of the machine.
fn integer(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    let len = bytes.len().min(8);
    let at = if cfg!(target_endian = "big") { 8 - len } else { 0 };
    if let (Some(room), Some(bytes)) = (wide.get_mut(at..at + len), bytes.get(..len)) {
        room.copy_from_slice(bytes);
    }
    u64::from_ne_bytes(wide)
}

fn device(fd: BorrowedFd<'_>) -> Result<Option<Vec<u8>>> {
    let name = optional(option(fd, SOCKET, libc::SO_BINDTODEVICE, IFNAMSIZ))?.unwrap_or_default();
    let name: Vec<u8> = name.into_iter().take_while(|byte| *byte != 0).collect();
    Ok((!name.is_empty()).then_some(name))
}

/// Seconds, if SO_LINGER is on.
fn linger(fd: BorrowedFd<'_>) -> Result<Option<u32>> {
    let value = option(fd, SOCKET, libc::SO_LINGER, 8).os(|| "getsockopt SO_LINGER")?;
    let words: Vec<u32> = value.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
    Ok(match words[..] {
        [on, seconds] if on != 0 => Some(seconds),
        _ => None,
    })
}

fn instructions(fd: BorrowedFd<'_>) -> Result<Vec<u64>> {
    let filter = match filter(fd) {
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => {
            return Err(Error::new("E-SOCKET-FILTER", Blame::Program, "has an eBPF program as its filter")
                .help("let the program use a classic filter (SO_ATTACH_FILTER)"));
        }
        other => other.os(|| "getsockopt SO_GET_FILTER")?,
    };
    let code = |i: &libc::sock_filter| {
        u64::from(i.code) << 48 | u64::from(i.jt) << 40 | u64::from(i.jf) << 32 | u64::from(i.k)
    };
    Ok(filter.iter().map(code).collect())
}

fn others(fd: BorrowedFd<'_>, levels: &[(i32, i32, usize)]) -> Result<Vec<SkOptionEntry>> {
    let new = new_like(fd)?;
    let mut changed = Vec::new();
    let (early, late) = OTHERS.split_at(OTHERS.len() - 2);
    let general = |list: &'static [(i32, usize)]| list.iter().map(|(name, room)| (SOCKET, *name, *room));
    for (level, name, room) in general(early).chain(levels.iter().copied()).chain(general(late)) {
        // What a new socket does not have, this one has not either: not on this kernel, or not in this family.
        let Ok(default) = option(new.as_fd(), level, name, room) else { continue };
        let Some(value) = optional(option(fd, level, name, room))? else { continue };
        if value != default {
            changed.push(SkOptionEntry { level, name, value });
        }
    }
    Ok(changed)
}

/// Gives a socket its options, when its queue is filled.
pub(super) fn restore(fd: BorrowedFd<'_>, entry: &SkOptsEntry) -> Result<()> {
    let locks = |lock| set_some(fd, SO_BUF_LOCK, lock).map_err(|error| (error.errno(), error));
    // MPTCP takes no lock away: sizes that the program has not chosen stay the kernel's.
    let stays = entry.so_buf_lock == Some(0) && matches!(locks(Some(0)), Err((Some(libc::EOPNOTSUPP), _)));
    if !stays {
        // The kernel doubles what it is given.
        set(fd, libc::SO_SNDBUFFORCE, entry.so_sndbuf / 2)?;
        set(fd, libc::SO_RCVBUFFORCE, entry.so_rcvbuf / 2)?;
    }
    match locks(entry.so_buf_lock) {
        // Linux before 5.14 has locked both sizes by now, and unlocks none, wherever the image comes from.
        Err((Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP), _)) => {}
        outcome => outcome.map_err(|(_, error)| error)?,
    }
    // Some families have no SO_RCVLOWAT of their own, and 1 is what all start with.
    set_some(fd, libc::SO_RCVLOWAT, entry.so_rcvlowat.filter(|low| *low != 1))?;
    set_some(fd, libc::SO_MARK, entry.so_mark)?;
    let switches = [
        (libc::SO_PASSCRED, entry.so_passcred),
        (libc::SO_PASSSEC, entry.so_passsec),
        (libc::SO_DONTROUTE, entry.so_dontroute),
        (libc::SO_NO_CHECK, entry.so_no_check),
        (libc::SO_BROADCAST, entry.so_broadcast),
        (libc::SO_KEEPALIVE, entry.so_keepalive),
        (libc::SO_REUSEADDR, entry.reuseaddr),
        (libc::SO_OOBINLINE, entry.so_oobinline.map(|on| on != 0)),
    ];
    for (name, _) in switches.iter().filter(|(_, on)| *on == Some(true)) {
        set(fd, *name, 1)?;
    }
    if let Some(seconds) = entry.so_linger {
        let value = [1, seconds].map(u32::to_ne_bytes).concat();
        set_option(fd, SOCKET, libc::SO_LINGER, &value).os(|| "setsockopt SO_LINGER")?;
    }
    set_timeout(fd, libc::SO_SNDTIMEO, entry.so_snd_tmo_sec, entry.so_snd_tmo_usec)?;
    set_timeout(fd, libc::SO_RCVTIMEO, entry.so_rcv_tmo_sec, entry.so_rcv_tmo_usec)?;
    if let Some(device) = &entry.so_bound_dev {
        let what = || format!("setsockopt SO_BINDTODEVICE {}", String::from_utf8_lossy(device));
        set_option(fd, SOCKET, libc::SO_BINDTODEVICE, device).os(what)?;
    }
    restore_filter(fd, &entry.so_filter)?;
    entry.others.iter().try_for_each(|other| set_other(fd, other))?;
    // After IP_TOS, which sets it, too.
    set_some(fd, libc::SO_PRIORITY, entry.so_priority.filter(|priority| *priority != 0))
}

/// Gives a socket an option of the list.
pub(super) fn set_other(fd: BorrowedFd<'_>, other: &SkOptionEntry) -> Result<()> {
    set_option(fd, other.level, other.name, &other.value)
        .os(|| format!("setsockopt level {} option {}", other.level, other.name))
}

/// An option of SOL_SOCKET.
pub(super) fn set(fd: BorrowedFd<'_>, name: i32, value: u32) -> Result<()> {
    set_option(fd, SOCKET, name, &value.to_ne_bytes()).os(|| format!("setsockopt SOL_SOCKET {name} {value}"))
}

fn set_some(fd: BorrowedFd<'_>, name: i32, value: Option<u32>) -> Result<()> {
    value.map_or(Ok(()), |value| set(fd, name, value))
}

fn set_timeout(fd: BorrowedFd<'_>, name: i32, seconds: u64, micros: u64) -> Result<()> {
    if seconds == 0 && micros == 0 {
        return Ok(());
    }
    // The words of struct timeval are as wide as the machine's.
    let half = size_of::<libc::timeval>() / 2;
    let narrow = |value: u64| match half {
        4 => (value as u32).to_ne_bytes().to_vec(),
        _ => value.to_ne_bytes().to_vec(),
    };
    set_option(fd, SOCKET, name, &[narrow(seconds), narrow(micros)].concat()).os(|| "setsockopt of a timeout")
}

fn restore_filter(fd: BorrowedFd<'_>, instructions: &[u64]) -> Result<()> {
    if instructions.is_empty() {
        return Ok(());
    }
    let instruction = |code: &u64| libc::sock_filter {
        code: (code >> 48) as u16,
        jt: (code >> 40) as u8,
        jf: (code >> 32) as u8,
        k: *code as u32,
    };
    let filter: Vec<libc::sock_filter> = instructions.iter().map(instruction).collect();
    attach_filter(fd, &filter).os(|| "setsockopt SO_ATTACH_FILTER")
}

/// Makes room for everything that a queue may hold, until [`restore`] sets what it was.
pub(super) fn make_room(fd: BorrowedFd<'_>) -> Result<()> {
    let most = (i32::MAX / 2) as u32;
    set(fd, libc::SO_SNDBUFFORCE, most)?;
    set(fd, libc::SO_RCVBUFFORCE, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_return_and_defaults_take_no_room() -> Result<()> {
        let make = || socket::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0).os(|| "socket");
        let (first, second) = (make()?, make()?);
        assert_eq!(dump(first.as_fd(), &[])?.others, []);
        for (name, value) in [
            (libc::SO_SNDBUF, 30000),
            (libc::SO_PASSCRED, 1),
            (libc::SO_PRIORITY, 3),
            (libc::SO_PEEK_OFF, 17),
            (libc::SO_TIMESTAMP, 1),
        ] {
            set(first.as_fd(), name, value)?;
        }
        set_timeout(first.as_fd(), libc::SO_RCVTIMEO, 3, 500_000)?;
        attach_filter(first.as_fd(), &[libc::sock_filter { code: 6, jt: 0, jf: 0, k: 77 }])
            .os(|| "attach")?;
        set(first.as_fd(), SO_LOCK_FILTER, 1)?;
        let entry = dump(first.as_fd(), &[])?;
        assert_eq!((entry.so_rcv_tmo_sec, entry.so_rcv_tmo_usec, entry.so_filter.len()), (3, 500_000, 1));
        assert_eq!(entry.others.len(), 3);
        restore(second.as_fd(), &entry)?;
        assert_eq!(dump(second.as_fd(), &[])?, entry);
        Ok(())
    }
}
