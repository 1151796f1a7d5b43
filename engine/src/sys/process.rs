//! Making, finding and judging processes: clone3(2), pidfds, process memory.

#![allow(unsafe_code, reason = "raw system calls")]

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

/// Turns the return of `libc::syscall` into a result.
pub(super) fn check(ret: libc::c_long) -> io::Result<libc::c_long> {
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

/// `struct clone_args` of linux/sched.h.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneArgs {
    /// `CLONE_*`.
    pub flags: u64,
    /// Where to store the pidfd.
    pub pidfd: u64,
    /// Where to store the tid in the child.
    pub child_tid: u64,
    /// Where to store the tid in the parent.
    pub parent_tid: u64,
    /// Signal sent to the parent at exit; 0 for threads.
    pub exit_signal: u64,
    /// Lowest byte of the stack, 0 to keep the caller's.
    pub stack: u64,
    /// Bytes of the stack.
    pub stack_size: u64,
    /// TLS.
    pub tls: u64,
    /// Address of the wanted ids, innermost namespace first.
    pub set_tid: u64,
    /// How many.
    pub set_tid_size: u64,
    /// Target cgroup.
    pub cgroup: u64,
}

impl CloneArgs {
    /// The bytes that clone3(2) takes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [
            self.flags,
            self.pidfd,
            self.child_tid,
            self.parent_tid,
            self.exit_signal,
            self.stack,
            self.stack_size,
            self.tls,
            self.set_tid,
            self.set_tid_size,
            self.cgroup,
        ]
        .into_iter()
        .flat_map(u64::to_ne_bytes)
        .collect()
    }
}

/// Forks a child with the process id `pid` that does nothing, and ends when we do.
///
/// `flags` are `CLONE_*` bits (`CLONE_PARENT` makes it a sibling).
pub fn fork_idle(pid: i32, flags: u64) -> io::Result<()> {
    let ours = pidfd_open(std::process::id() as i32)?;
    if clone_with_pid(pid, flags)? == 0 {
        idle(ours.as_raw_fd());
    }
    Ok(())
}

/// Forks by clone3(2); 0 in the child, which shares nothing with us.
fn clone_with_pid(pid: i32, flags: u64) -> io::Result<libc::c_long> {
    let wanted = [pid];
    let args = CloneArgs {
        flags,
        // With CLONE_PARENT the kernel takes the caller's own exit signal and refuses another one.
        exit_signal: if flags & libc::CLONE_PARENT as u64 != 0 { 0 } else { libc::SIGCHLD as u64 },
        set_tid: wanted.as_ptr().expose_provenance() as u64,
        set_tid_size: 1,
        ..CloneArgs::default()
    };
    // SAFETY: the child shares nothing with us, and the buffers are alive. What it may do its callers see to: only
    // async-signal-safe calls, or whatever a child of a process with one thread can do.
    check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) })
}

/// As [`fork_idle`] by clone(2), with the pid that is next; returns it.
pub fn fork_idle_next(flags: u64) -> io::Result<i32> {
    let ours = pidfd_open(std::process::id() as i32)?;
    // The arguments behind the flags are not in the same order everywhere, and all of them 0.
    // SAFETY: the child shares nothing with us and calls only async-signal-safe functions.
    let child = check(unsafe {
        libc::syscall(libc::SYS_clone, (flags | libc::SIGCHLD as u64) as libc::c_ulong, 0, 0, 0, 0)
    })?;
    if child == 0 {
        idle(ours.as_raw_fd());
    }
    Ok(child as i32)
}

/// Waits for the end of the process that `pidfd` refers to, which covers the time until a tracer has seized us. A
/// parent-death signal would not: the parent may have died before it is asked for, and a sibling has another parent.
fn idle(pidfd: i32) -> ! {
    let mut fds = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `fds` outlives the calls, which are async-signal-safe.
    unsafe {
        while libc::poll(&raw mut fds, 1, -1) != 1 {}
        libc::_exit(0)
    }
}

/// Runs `work` in a forked child that leads a session of its own, and returns what it gives. A signal that ends us, or
/// our process group, does not stop it halfway. `None` if it has died all the same. For single-threaded callers: the
/// child has only the calling thread, and may use the allocator.
pub fn in_survivor(work: impl FnOnce() -> Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    in_child(|| {
        // SAFETY: no memory is passed.
        unsafe { libc::setsid() };
        work()
    })
}

/// The same in a child that dies with us, until it calls [`outlive_parent`].
pub fn in_companion(work: impl FnOnce() -> Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let parent = std::process::id();
    in_child(|| {
        // SAFETY: no memory is passed.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        // It may have died before it was watched.
        if std::os::unix::process::parent_id() == parent { work() } else { Vec::new() }
    })
}

/// Whether this process dies with its parent.
pub fn die_with_parent(on: bool) -> io::Result<()> {
    let signal = if on { libc::SIGKILL } else { 0 };
    // SAFETY: no memory is passed.
    unsafe { check(libc::prctl(libc::PR_SET_PDEATHSIG, signal).into()) }.map(drop)
}

/// From here on, neither the parent's death ends this process nor a signal to the process group that it was in.
pub fn outlive_parent() -> io::Result<()> {
    // SAFETY: no memory is passed.
    unsafe {
        check(libc::setsid().into())?;
        check(libc::prctl(libc::PR_SET_PDEATHSIG, 0).into()).map(drop)
    }
}

/// The same in a child that may have the id `pid`, and has this effective user and group but keeps all capabilities.
pub fn as_other(
    pid: Option<i32>,
    (euid, egid): (u32, u32),
    work: impl FnOnce() -> Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    const SECBIT_NO_SETUID_FIXUP: libc::c_long = 1 << 2;
    let born = || match pid {
        Some(pid) => clone_with_pid(pid, 0),
        // SAFETY: as in `in_child`.
        None => check(unsafe { libc::fork() }.into()),
    };
    in_child_born(born, || {
        // SAFETY: no memory is passed, and this process has one thread.
        let changed = unsafe {
            (libc::geteuid(), libc::getegid()) == (euid, egid)
                || libc::prctl(libc::PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0
                    && libc::setresgid(u32::MAX, egid, u32::MAX) == 0
                    && libc::setresuid(u32::MAX, euid, u32::MAX) == 0
        };
        if changed { work() } else { Vec::new() }
    })
}

fn in_child(work: impl FnOnce() -> Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    // SAFETY: the child never returns into our frames, see below.
    in_child_born(|| check(unsafe { libc::fork() }.into()), work)
}

/// `born` forks.
fn in_child_born(
    born: impl FnOnce() -> io::Result<libc::c_long>,
    work: impl FnOnce() -> Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    let (from, to) = io::pipe()?;
    // The child never returns into our frames: it leaves by _exit, also after a panic.
    match born()? {
        0 => {
            drop(from);
            let answered =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (&to).write_all(&work())));
            // SAFETY: nobody else has anything to do in this process.
            unsafe { libc::_exit(if matches!(answered, Ok(Ok(()))) { 0 } else { 1 }) }
        }
        child => {
            drop(to);
            let mut answer = Vec::new();
            let read = (&from).read_to_end(&mut answer);
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            while unsafe { libc::waitpid(child as i32, &raw mut status, 0) } == -1 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            read.map(|_| (status == 0).then_some(answer))
        }
    }
}

/// A program starts with these signals blocked, whatever we block.
pub fn run_with_mask(command: &mut Command, mask: SigSet) {
    // SAFETY: between fork and execve the closure makes one system call, and touches no memory but its stack's.
    unsafe { command.pre_exec(move || mask.thread_set_mask().map_err(io::Error::from)) };
}

/// Has children that end wait for us, whatever our parent has set: where SIGCHLD is ignored, wait(2) loses their status
/// and fails with ECHILD (do_notify_parent in kernel/signal.c), and execve(2) hands that on.
pub fn await_children() {
    // SAFETY: no handler is installed, and the signal's default is to do nothing.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// A descriptor that refers to the process, whatever happens to its number.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; a returned descriptor is ours.
    unsafe { check(libc::syscall(libc::SYS_pidfd_open, pid, 0)).map(|fd| OwnedFd::from_raw_fd(fd as i32)) }
}

/// Descriptor `fd` of the process: the same open file description, now also ours. Close-on-exec.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; a returned descriptor is ours.
    unsafe {
        check(libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0))
            .map(|fd| OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Copies memory of `pid` at `address` into `buffer`; returns the bytes copied, fewer when a page is not readable.
pub fn read_memory(pid: i32, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: `local` describes `buffer`; the remote side is checked by the kernel.
    let ret = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    check(ret as libc::c_long).map(|n| n as usize)
}

/// Copies two pieces of bytes into the memory of `pid`, each to its address; returns the bytes copied.
pub fn write_memory(pid: i32, pieces: [(u64, &[u8]); 2]) -> io::Result<usize> {
    let local = pieces
        .map(|(_, bytes)| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
    let remote = pieces
        .map(|(address, bytes)| libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() });
    // SAFETY: `local` describes the pieces, which are only read; the remote side is checked by the kernel.
    let ret = unsafe { libc::process_vm_writev(pid, local.as_ptr(), 2, remote.as_ptr(), 2, 0) };
    check(ret as libc::c_long).map(|n| n as usize)
}

/// Several ranges of `pid`, copied in order into `buffer`, which is as long as they are together. At most 1024 ranges.
pub fn gather_memory(pid: i32, ranges: &[(u64, usize)], buffer: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote: Vec<libc::iovec> = ranges
        .iter()
        .map(|&(address, len)| libc::iovec { iov_base: address as *mut libc::c_void, iov_len: len })
        .collect();
    // SAFETY: as in `read_memory`; the kernel stops at the shorter side.
    let ret = unsafe {
        libc::process_vm_readv(pid, &raw const local, 1, remote.as_ptr(), remote.len() as libc::c_ulong, 0)
    };
    check(ret as libc::c_long).map(|n| n as usize)
}

/// Sets the real and effective user of the calling thread alone: the C library's setresuid(3) would set them in all.
pub fn set_thread_uids(uid: u32, euid: u32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(arch::syscall::SETRESUID, uid, euid, u32::MAX) }).map(drop)
}

/// PR_GET_DUMPABLE of this process.
pub fn dumpable() -> io::Result<i32> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }.into()).map(|value| value as i32)
}

/// PR_SET_DUMPABLE of this process: 0 or 1.
pub fn set_dumpable(value: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_long::from(value)) }.into()).map(drop)
}

/// Attempts something for as long as `patience` while it fails because an id is not free yet, as `is_leaving` tells.
pub fn until_free<T, E>(
    patience: Duration,
    is_leaving: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let since = Instant::now();
    loop {
        match attempt() {
            Err(e) if since.elapsed() < patience && is_leaving(&e) => sleep(Duration::from_millis(1)),
            done => return done,
        }
    }
}

/// Bytes around the list of robust futexes in which the C library may have its rseq(2) area: both belong to the thread.
const RSEQ_AWAY: u64 = 16 << 10;
/// The first version of the area: its bytes, and what its address is a multiple of.
pub const RSEQ_LEN: u64 = 32;
const RSEQ_FLAG_UNREGISTER: u64 = 1;

/// Where the C library may have the rseq(2) area of the thread whose list of robust futexes is at `head`.
pub fn rseq_candidates(head: u64) -> impl Iterator<Item = u64> {
    let first = head.saturating_sub(RSEQ_AWAY).next_multiple_of(RSEQ_LEN);
    (first..head.saturating_add(RSEQ_AWAY)).step_by(RSEQ_LEN as usize)
}

/// Takes back the rseq(2) registration of this thread, wherever the C library has put it: a child that gives its memory
/// up would be killed for it. The kernel itself finds it, in what it compares: any other address changes nothing.
pub fn unregister_rseq() -> bool {
    let (mut head, mut len) = (0usize, 0usize);
    // SAFETY: the kernel fills both words.
    let asked = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    asked == 0
        && rseq_candidates(head as u64).any(|address| {
            let args = [address, RSEQ_LEN, RSEQ_FLAG_UNREGISTER, arch::syscall::RSEQ_SIGNATURE.into()];
            let [address, len, flags, signature] = args.map(|arg| arg as usize);
            // SAFETY: the kernel writes to the area only that it has in its records, which is ours.
            unsafe { libc::syscall(libc::SYS_rseq, address, len, flags, signature) == 0 }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_taken_back_once() {
        // In a thread of its own: what the C library has registered for it is gone afterwards.
        let again = std::thread::spawn(|| {
            unregister_rseq();
            unregister_rseq()
        });
        assert_eq!(again.join().ok(), Some(false));
    }
}
