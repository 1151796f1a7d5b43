//! Timers as files: timerfd_create(2), fs/timerfd.c.
//!
//! fdinfo shows what remains, and expirations that nobody has read. A periodic timer stops after the first of these until
//! somebody asks: timerfd_gettime(2) counts the ones that it has missed.
//!
//! Timers stand still from dump to restore: what remained then remains, also for those of absolute time. They are
//! armed ([`arm`]) when the tree is about to run. Not kept: a cancellation by a change of the clock
//! (TFD_TIMER_CANCEL_ON_SET) that was not read yet, which no interface shows.

use std::os::fd::{AsFd, OwnedFd};

use crate::error::{OsContext, Result};
use crate::image::message::{FdType, FileEntry, TimerfdEntry};
use crate::kernel::{event, fdinfo};
use crate::resource::file::reopen::set_flags;
use crate::resource::file::{Description, owner};
use crate::sys;
use crate::sys::event::Timer;

const TFD_TIMER_ABSTIME: u32 = libc::TFD_TIMER_ABSTIME as u32;
const NANOSECONDS: u64 = 1_000_000_000;

/// The entry of a timerfd.
pub(super) fn dump(id: u32, d: &Description<'_>) -> Result<FileEntry> {
    sys::event::timerfd_count(d.fd.as_fd()).os(|| "timerfd_gettime")?;
    let shown = event::timerfd(&fdinfo::read(d.proc, d.number)?)?;
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    let ((mut vsec, mut vnsec), (isec, insec)) = (shown.value, shown.interval);
    if (vsec, vnsec) == (0, 0) && shown.ticks > 0 {
        // A periodic timer that expires just now goes on: CRIU would leave it disarmed.
        (vsec, vnsec) = shown.interval;
    }
    let tfd = TimerfdEntry {
        id,
        flags,
        fown: owner::of(d.fd.as_fd(), flags)?,
        clockid: shown.clock,
        ticks: shown.ticks,
        settime_flags: shown.flags,
        vsec,
        vnsec,
        isec,
        insec,
    };
    Ok(FileEntry { r#type: FdType::Timerfd.into(), id, tfd: Some(tfd), ..FileEntry::default() })
}

/// A new timerfd on the clock of the entry, not armed.
pub(super) fn open(entry: &TimerfdEntry) -> Result<OwnedFd> {
    let fd = sys::event::timerfd(entry.clockid)
        .os(|| format!("timerfd_create on clock {}", entry.clockid))
        .map_err(|e| e.help("this machine lacks that clock: the alarm clocks need a real-time clock"))?;
    set_flags(&fd, entry.flags)?;
    Ok(fd)
}

/// Starts the timer, and gives it the expirations that were not read.
pub(super) fn arm(entry: &TimerfdEntry, fd: &OwnedFd) -> Result<()> {
    let (mut value, interval) = ((entry.vsec, entry.vnsec), (entry.isec, entry.insec));
    if value == (0, 0) && entry.ticks > 0 {
        // CRIU's images say nothing of the time that a periodic timer with unread expirations has left.
        value = interval;
    }
    if value != (0, 0) && entry.settime_flags & TFD_TIMER_ABSTIME != 0 {
        let now =
            sys::event::clock_gettime(entry.clockid).os(|| format!("clock_gettime {}", entry.clockid))?;
        value = sum(value, now);
    }
    let timer = Timer { value, interval };
    sys::event::timerfd_settime(fd.as_fd(), entry.settime_flags, timer)
        .os(|| format!("timerfd_settime {timer:?}"))?;
    if entry.ticks > 0 {
        sys::event::timerfd_set_ticks(fd.as_fd(), entry.ticks)
            .os(|| format!("ioctl TFD_IOC_SET_TICKS {}", entry.ticks))?;
    }
    Ok(())
}

fn sum(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    let nanoseconds = a.1.saturating_add(b.1);
    (a.0.saturating_add(b.0).saturating_add(nanoseconds / NANOSECONDS), nanoseconds % NANOSECONDS)
}
