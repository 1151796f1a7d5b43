//! What `/proc/PID/fdinfo/N` adds for event files: proc_pid_fdinfo(5).
//!
//! Each kind prints lines of its own, which [`fdinfo`](super::fdinfo) hands on: eventfd_show_fdinfo in fs/eventfd.c,
//! signalfd_show_fdinfo in fs/signalfd.c, timerfd_show in fs/timerfd.c, ep_show_fdinfo in fs/eventpoll.c,
//! fs/notify/fdinfo.c, pidfd_show_fdinfo in kernel/fork.c and later fs/pidfs.c.

use super::fdinfo::FdInfo;
use super::{Pid, text};
use crate::error::Result;

/// An eventfd(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eventfd {
    /// Its counter.
    pub count: u64,
    /// EFD_SEMAPHORE; `None` before Linux 6.5, which does not show it.
    pub semaphore: Option<bool>,
}

/// A timerfd_create(2) file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timerfd {
    /// `CLOCK_*`
    pub clock: u32,
    /// Expirations that were not read yet.
    pub ticks: u64,
    /// `TFD_TIMER_*` of the last timerfd_settime(2).
    pub flags: u32,
    /// Seconds and nanoseconds until it expires; 0 if it is not armed.
    pub value: (u64, u64),
    /// Its interval; 0 if it expires once.
    pub interval: (u64, u64),
}

/// A target of an epoll(7) instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpollTarget {
    /// The descriptor by which it was added.
    pub number: u32,
    /// `EPOLL*`
    pub events: u32,
    /// What epoll_wait(2) gives for it.
    pub data: u64,
    /// Position, inode and device of the file; not before Linux 4.13. The device is in the kernel's own encoding.
    pub file: Option<(i64, u64, u32)>,
}

/// The lines whose key is `key`, with what follows the colon.
fn lines<'i>(info: &'i FdInfo, key: &'static [u8]) -> impl Iterator<Item = &'i [u8]> {
    info.rest.iter().filter_map(move |line| {
        let (found, value) = text::split_once(line, b':')?;
        (found == key).then(|| value.trim_ascii())
    })
}

fn optional<T>(info: &FdInfo, key: &'static str, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>> {
    lines(info, key.as_bytes()).next().map(|value| text::field(key, value, read)).transpose()
}

fn required<T>(info: &FdInfo, key: &'static str, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T> {
    optional(info, key, read)?.ok_or_else(|| text::missing(key))
}

/// Reads the lines of an eventfd.
pub fn eventfd(info: &FdInfo) -> Result<Eventfd> {
    let semaphore = optional(info, "eventfd-semaphore", text::dec::<u32>)?.map(|on| on != 0);
    Ok(Eventfd { count: required(info, "eventfd-count", text::hex)?, semaphore })
}

/// The signals that a signalfd(2) accepts, from 1 in the lowest bit.
pub fn signalfd(info: &FdInfo) -> Result<u64> {
    required(info, "sigmask", text::hex)
}

/// Reads the lines of a timerfd.
pub fn timerfd(info: &FdInfo) -> Result<Timerfd> {
    Ok(Timerfd {
        clock: required(info, "clockid", text::dec)?,
        ticks: required(info, "ticks", text::dec)?,
        flags: required(info, "settime flags", |value| u32::try_from(text::oct(value)?).ok())?,
        value: required(info, "it_value", pair)?,
        interval: required(info, "it_interval", pair)?,
    })
}

/// `(1, 500000000)`
fn pair(value: &[u8]) -> Option<(u64, u64)> {
    let inner = value.strip_prefix(b"(")?.strip_suffix(b")")?;
    let (seconds, nanoseconds) = text::split_once(inner, b',')?;
    Some((text::dec(seconds)?, text::dec(nanoseconds.trim_ascii())?))
}

/// The targets of an epoll instance, in the kernel's order.
pub fn epoll(info: &FdInfo) -> Result<Vec<EpollTarget>> {
    lines(info, b"tfd").map(|value| text::field("tfd", value, target)).collect()
}

/// `5 events:       1d data: ffffffffffffffff  pos:0 ino:51 sdev:a`
fn target(value: &[u8]) -> Option<EpollTarget> {
    let mut fields = text::fields(value);
    let number = text::dec(fields.next()?)?;
    let mut labelled = |label: &[u8]| (fields.next()? == label).then(|| fields.next()).flatten();
    let events = u32::try_from(text::hex(labelled(b"events:")?)?).ok()?;
    let data = text::hex(labelled(b"data:")?)?;
    let Some(pos) = fields.next() else { return Some(EpollTarget { number, events, data, file: None }) };
    let pos = text::dec(pos.strip_prefix(b"pos:")?)?;
    let inode = text::hex(fields.next()?.strip_prefix(b"ino:")?)?;
    let device = u32::try_from(text::hex(fields.next()?.strip_prefix(b"sdev:")?)?).ok()?;
    Some(EpollTarget { number, events, data, file: Some((pos, inode, device)) })
}

/// The process or thread of a pidfd, in the pid namespace of our own /proc: -1 if it has ended and was waited for.
pub fn pidfd(info: &FdInfo) -> Result<Pid> {
    required(info, "Pid", text::dec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fdinfo;

    fn info(rest: &str) -> Result<FdInfo> {
        fdinfo::parse(format!("pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t40\n{rest}").as_bytes())
    }

    #[test]
    fn reads_counters_signals_and_processes() -> Result<()> {
        let shown = info("eventfd-count:               1f\neventfd-id: 7\neventfd-semaphore: 1\n")?;
        assert_eq!(eventfd(&shown)?, Eventfd { count: 31, semaphore: Some(true) });
        assert_eq!(eventfd(&info("eventfd-count: 0\n")?)?.semaphore, None);
        assert_eq!(signalfd(&info("sigmask:\t0000000000000a00\n")?)?, 0xa00);
        assert_eq!(pidfd(&info("Pid:\t-1\nNSpid:\t-1\n")?)?, -1);
        assert!(eventfd(&info("tfd: 1\n")?).is_err());
        Ok(())
    }

    #[test]
    fn reads_targets() -> Result<()> {
        let shown = info(
            "tfd:        5 events:       1d data: ffffffffffffffff  pos:0 ino:51 sdev:a\n\
             tfd:        7 events: 40000000 data:                0\n",
        )?;
        let first = EpollTarget { number: 5, events: 0x1d, data: u64::MAX, file: Some((0, 0x51, 10)) };
        let second = EpollTarget { number: 7, events: 1 << 30, data: 0, file: None };
        assert_eq!(epoll(&shown)?, [first, second]);
        assert_eq!(epoll(&info("")?)?, []);
        assert!(epoll(&info("tfd: 5 events: 1d\n")?).is_err());
        Ok(())
    }

    #[test]
    fn reads_a_timer() -> Result<()> {
        let shown =
            info("clockid: 1\nticks: 3\nsettime flags: 01\nit_value: (0, 49406829)\nit_interval: (1, 0)\n")?;
        let expected = Timerfd { clock: 1, ticks: 3, flags: 1, value: (0, 49_406_829), interval: (1, 0) };
        assert_eq!(timerfd(&shown)?, expected);
        assert!(
            timerfd(&info("clockid: 1\nticks: 3\nsettime flags: 01\nit_value: 0\nit_interval: (1, 0)\n")?)
                .is_err()
        );
        Ok(())
    }
}
