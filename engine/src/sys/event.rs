//! Making event files as the images describe them: eventfd(2), signalfd(2), timerfd_create(2).
//!
//! nix has these calls for a program's own use; its types leave out clocks and masks that another program may have.

#![allow(unsafe_code, reason = "system calls whose wrappers in nix do not take every value")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::process::check;

/// `TFD_IOC_SET_TICKS` of linux/timerfd.h: an _IOW of type T, number 0, with a word of 64 bits.
const TFD_IOC_SET_TICKS: libc::Ioctl = nix::request_code_write!(b'T', 0, size_of::<u64>());

/// Seconds and nanoseconds of `struct itimerspec`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timer {
    /// Until it expires, or when; 0 is not armed.
    pub value: (u64, u64),
    /// Between expirations, 0 for one.
    pub interval: (u64, u64),
}

/// Takes a descriptor that a system call has returned.
fn owned(ret: libc::c_long) -> io::Result<OwnedFd> {
    // SAFETY: every caller passes the return of a call that makes a descriptor, which is ours alone.
    check(ret).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A new eventfd with a counter of 0, close-on-exec. `flags` are `EFD_*`.
pub fn eventfd(flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::eventfd(0, flags | libc::EFD_CLOEXEC) }.into())
}

/// A new signalfd for the signals of `mask`, 1 in the lowest bit; close-on-exec. The C library's call would leave out
/// the signals that it keeps for itself.
pub fn signalfd(mask: u128) -> io::Result<OwnedFd> {
    // The kernel's sets are arrays of words, the first signals in the first.
    let set = [mask as u64, (mask >> 64) as u64];
    // SAFETY: `set` outlives the call and has at least the bytes that are announced.
    owned(unsafe {
        libc::syscall(libc::SYS_signalfd4, -1, set.as_ptr(), arch::SIGMASK_LEN, libc::SFD_CLOEXEC)
    })
}

/// A new epoll instance, close-on-exec.
pub fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())
}

/// A new timerfd on the clock, close-on-exec, not armed.
pub fn timerfd(clock: u32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::timerfd_create(clock as libc::clockid_t, libc::TFD_CLOEXEC) }.into())
}

/// timerfd_settime(2); `flags` are `TFD_TIMER_*`.
pub fn timerfd_settime(fd: BorrowedFd<'_>, flags: u32, timer: Timer) -> io::Result<()> {
    let spec = |(seconds, nanoseconds): (u64, u64)| libc::timespec {
        tv_sec: seconds as _,
        tv_nsec: nanoseconds as _,
    };
    let new = libc::itimerspec { it_value: spec(timer.value), it_interval: spec(timer.interval) };
    // SAFETY: `new` outlives the call; the old value is not asked for.
    let ret =
        unsafe { libc::timerfd_settime(fd.as_raw_fd(), flags as i32, &raw const new, std::ptr::null_mut()) };
    check(ret.into()).map(drop)
}

/// Has the kernel count the expirations of a periodic timer up to now, timerfd_gettime(2): it stops after the first one
/// that nobody reads.
pub fn timerfd_count(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all zeroes is a valid itimerspec.
    let mut now: libc::itimerspec = unsafe { std::mem::zeroed() };
    // SAFETY: `now` outlives the call.
    check(unsafe { libc::timerfd_gettime(fd.as_raw_fd(), &raw mut now) }.into()).map(drop)
}

/// Sets the number of expirations that were not read, which must not be 0.
pub fn timerfd_set_ticks(fd: BorrowedFd<'_>, ticks: u64) -> io::Result<()> {
    // SAFETY: `ticks` outlives the call, which reads 64 bits.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), TFD_IOC_SET_TICKS, &raw const ticks) }.into()).map(drop)
}

/// The time of a clock, seconds and nanoseconds.
pub fn clock_gettime(clock: u32) -> io::Result<(u64, u64)> {
    // SAFETY: all zeroes is a valid timespec.
    let mut now: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: `now` outlives the call.
    check(unsafe { libc::clock_gettime(clock as libc::clockid_t, &raw mut now) }.into())?;
    Ok((now.tv_sec as u64, now.tv_nsec as u64))
}

/// pidfd_open(2); `flags` are `PIDFD_*`.
pub fn pidfd(pid: i32, flags: u32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })
}

/// Pidfds, one for each of `flags`, of a process that has ended with this wait(2) status and was waited for.
pub fn pidfds_of_dead(status: i32, flags: &[u32]) -> io::Result<Vec<OwnedFd>> {
    // SAFETY: the child calls only async-signal-safe functions.
    let child = match check(unsafe { libc::fork() }.into())? {
        0 => end(status),
        child => child as i32,
    };
    let opened = flags.iter().map(|flags| pidfd(child, *flags)).collect();
    let mut ended = 0;
    // SAFETY: `ended` outlives the call.
    while unsafe { libc::waitpid(child, &raw mut ended, 0) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    opened
}

/// Ends the calling process, which is a fresh child, with a wait(2) status.
fn end(status: i32) -> ! {
    let signal = status & 0x7f;
    // SAFETY: async-signal-safe calls; `none` and `all` outlive them.
    unsafe {
        if signal != 0 {
            let none: libc::rlimit = std::mem::zeroed();
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
            libc::signal(signal, libc::SIG_DFL);
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigprocmask(libc::SIG_UNBLOCK, &raw const all, std::ptr::null_mut());
            libc::kill(libc::getpid(), signal);
        }
        libc::_exit(status >> 8)
    }
}

/// `struct pidfd_info` of linux/pidfd.h, in its first size.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// Process, thread group, parent; users and groups: real, effective, saved, file system.
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;
const PIDFD_GET_INFO: libc::Ioctl = nix::request_code_readwrite!(0xff, 11, size_of::<PidfdInfo>());

/// The wait(2) status of a process that has ended and was waited for; `None` before Linux 6.15.
pub fn pidfd_exit_code(fd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request has the size of `info`, which outlives the call.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    (ret == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// What epoll knows of busy polling: `struct epoll_params` of linux/eventpoll.h.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BusyPoll {
    /// How long to poll devices.
    pub usecs: u32,
    /// Packets at once.
    pub budget: u16,
    /// Whether interrupts are kept off.
    pub prefer: u8,
    pad: u8,
}

impl BusyPoll {
    /// All but the padding.
    pub fn new(usecs: u32, budget: u16, prefer: bool) -> Self {
        BusyPoll { usecs, budget, prefer: prefer.into(), pad: 0 }
    }
}

const EPIOCSPARAMS: libc::Ioctl = nix::request_code_write!(0x8a, 1, size_of::<BusyPoll>());
const EPIOCGPARAMS: libc::Ioctl = nix::request_code_read!(0x8a, 2, size_of::<BusyPoll>());

/// How an epoll instance polls devices; an error before Linux 6.9.
pub fn busy_poll(fd: BorrowedFd<'_>) -> io::Result<BusyPoll> {
    super::fd::ioctl_read(fd, EPIOCGPARAMS)
}

/// Has an epoll instance poll devices.
pub fn set_busy_poll(fd: BorrowedFd<'_>, how: BusyPoll) -> io::Result<()> {
    super::fd::ioctl_write(fd, EPIOCSPARAMS, &how)
}
