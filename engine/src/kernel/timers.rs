//! `/proc/PID/timers`: the POSIX timers of a process, timer_create(2), show_timer in fs/proc/base.c.
//!
//! Needs CONFIG_CHECKPOINT_RESTORE. What is armed, and for when, is not here: timer_gettime(2) says it, from inside.

use super::{Pid, ProcDir, text};
use crate::error::Result;

/// What expiry does: `sigev_notify` of sigevent(3type).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// SIGEV_NONE
    None,
    /// SIGEV_SIGNAL: to the process, or with `thread` (SIGEV_THREAD_ID) to the thread.
    Signal,
    /// SIGEV_THREAD: the C library makes a thread of it.
    Thread,
}

/// One timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// The kernel's id (`timer_t` of the system call).
    pub id: i32,
    /// The signal sent.
    pub signal: i32,
    /// `sigev_value`, pointer-sized.
    pub value: u64,
    /// How it is told.
    pub notify: Notify,
    /// SIGEV_THREAD_ID: `target` is a thread.
    pub thread: bool,
    /// Who is told.
    pub target: Pid,
    /// `CLOCK_*`; negative for the CPU clock of a task.
    pub clock: i32,
}

/// Reads `timers`. ENOENT (`E-NOT-FOUND`) on kernels without CONFIG_CHECKPOINT_RESTORE.
pub fn read(proc: &ProcDir) -> Result<Vec<Timer>> {
    proc.parse("timers", parse)
}

/// Parses groups of four lines.
pub fn parse(bytes: &[u8]) -> Result<Vec<Timer>> {
    let mut lines = text::lines(bytes);
    let mut timers = Vec::new();
    while let Some(first) = lines.next() {
        let id = value(first, "ID")?;
        let mut next = |key: &'static str| value(lines.next().ok_or_else(|| text::missing(key))?, key);
        let (signal, sigev_value) = text::field("signal", next("signal")?, signal)?;
        let (notify, thread, target) = text::field("notify", next("notify")?, notify)?;
        let clock = text::field("ClockID", next("ClockID")?, text::dec)?;
        let id = text::field("ID", id, text::dec)?;
        timers.push(Timer { id, signal, value: sigev_value, notify, thread, target, clock });
    }
    Ok(timers)
}

fn value<'a>(line: &'a [u8], key: &'static str) -> Result<&'a [u8]> {
    let rest = line.strip_prefix(key.as_bytes()).and_then(|rest| rest.strip_prefix(b": "));
    rest.ok_or_else(|| text::malformed(key, line))
}

/// `14/00007f0012345678`
fn signal(value: &[u8]) -> Option<(i32, u64)> {
    let (number, pointer) = text::split_once(value, b'/')?;
    Some((text::dec(number)?, text::hex(pointer)?))
}

/// `signal/tid.17`
fn notify(value: &[u8]) -> Option<(Notify, bool, Pid)> {
    let (how, target) = text::split_once(value, b'/')?;
    let (whom, pid) = text::split_once(target, b'.')?;
    let how = match how {
        b"none" => Notify::None,
        b"signal" => Notify::Signal,
        b"thread" => Notify::Thread,
        _ => return None,
    };
    let thread = match whom {
        b"tid" => true,
        b"pid" => false,
        _ => return None,
    };
    Some((how, thread, text::dec(pid)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;
    use nix::sys::signal::{SigEvent, SigevNotify, Signal};

    const TWO: &[u8] = b"ID: 0\nsignal: 14/00007ffd0badcafe\nnotify: signal/tid.17\nClockID: 1\n\
        ID: 3\nsignal: 0/0000000000000000\nnotify: none/pid.0\nClockID: -6\n";

    #[test]
    fn reads_two_timers() -> Result<()> {
        let first = Timer {
            id: 0,
            signal: 14,
            value: 0x7ffd0badcafe,
            notify: Notify::Signal,
            thread: true,
            target: 17,
            clock: 1,
        };
        let second =
            Timer { id: 3, signal: 0, value: 0, notify: Notify::None, thread: false, target: 0, clock: -6 };
        assert_eq!(parse(TWO)?, [first, second]);
        assert_eq!(parse(b"")?, []);
        Ok(())
    }

    #[test]
    fn malformed_files_are_errors() {
        for count in (1..8).filter(|count| count % 4 != 0) {
            let cut = TWO.split(|&b| b == b'\n').take(count).collect::<Vec<_>>().join(&b'\n');
            assert!(parse(&cut).is_err(), "{count}");
        }
        for bad in ["signal: 14", "notify: signal/sid.1", "notify: what/pid.1", "ClockID: x"] {
            let key = bad.split(':').next().unwrap_or_default();
            let lines = TWO
                .split(|&b| b == b'\n')
                .map(|l| if l.starts_with(key.as_bytes()) { bad.as_bytes() } else { l });
            assert!(parse(&lines.collect::<Vec<_>>().join(&b'\n')).is_err(), "{bad}");
        }
    }

    #[test]
    fn shows_a_timer_of_ours() -> Result<()> {
        let notify = SigevNotify::SigevSignal { signal: Signal::SIGWINCH, si_value: 0x1234 };
        let timer = nix::sys::timer::Timer::new(nix::time::ClockId::CLOCK_MONOTONIC, SigEvent::new(notify));
        let timer = timer.os(|| "timer_create")?;
        let proc = ProcDir::current()?;
        let shown = read(&proc)?.into_iter().find(|t| t.value == 0x1234);
        let shown = shown.map(|t| (t.signal, t.notify, t.thread, t.target, t.clock));
        assert_eq!(
            shown,
            Some((Signal::SIGWINCH as i32, Notify::Signal, false, proc.pid(), libc::CLOCK_MONOTONIC))
        );
        drop(timer);
        Ok(())
    }
}
