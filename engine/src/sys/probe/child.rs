//! Probes that need a task of their own: one to trace, or one that may crash or change what cannot be changed back.
//!
//! A child of fork(2) in a program with threads may call only what signal-safety(7) lists, so everything that
//! allocates is done before the fork. It dies with its parent.

#![allow(unsafe_code, reason = "fork and ptrace")]

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, OwnedFd};

use libc::{c_int, c_long, c_uint, c_ulong, c_void, pid_t};

use super::{check, expect};

/// A mapping that the kernel made, to be moved: first address and length in bytes.
pub type Mapping = (usize, usize);

/// A child that ends when this is dropped.
pub(super) struct Child {
    pid: pid_t,
    /// Its end was waited for: the pid may be another's.
    reaped: Cell<bool>,
}

impl Child {
    /// Runs `body` in a child. Its result is the exit status.
    ///
    /// # Safety
    /// `body` calls async-signal-safe functions only.
    pub(super) unsafe fn fork(body: impl FnOnce() -> c_int) -> io::Result<Self> {
        // SAFETY: the child runs `body`, whose caller vouches for it, and leaves without unwinding.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::_exit(body());
            }
            check(pid.into()).map(|_| Child { pid, reaped: Cell::new(false) })
        }
    }

    /// Waits for the end; the exit status, or the signal as an error.
    fn status(self) -> io::Result<c_int> {
        let status = self.wait()?;
        if libc::WIFEXITED(status) {
            Ok(libc::WEXITSTATUS(status))
        } else {
            Err(io::Error::other(format!("the probing child died of signal {}", libc::WTERMSIG(status))))
        }
    }

    /// Waits for the next stop, or the end.
    fn wait(&self) -> io::Result<c_int> {
        let mut status = 0;
        loop {
            if self.reaped.get() {
                return Err(io::Error::from_raw_os_error(libc::ECHILD));
            }
            // SAFETY: the status is a live int. __WALL, because a tracee is waited for as well.
            let ret = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
            match check(ret.into()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.reaped.set(e.raw_os_error() == Some(libc::ECHILD));
                    return Err(e);
                }
                Ok(_) => {
                    self.reaped.set(!libc::WIFSTOPPED(status));
                    return Ok(status);
                }
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.reaped.get() {
            return;
        }
        // SAFETY: the pid is that of a child not waited for yet, so it cannot be another's.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        while matches!(self.wait(), Ok(status) if libc::WIFSTOPPED(status)) {}
    }
}

/// The status of `body` as an answer: 0 is yes, anything else an errno.
///
/// # Safety
/// As [`Child::fork`].
pub(super) unsafe fn ask(body: impl FnOnce() -> c_int) -> io::Result<()> {
    // SAFETY: passed on to the caller.
    match unsafe { Child::fork(body) }?.status()? {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

pub(super) fn errno() -> c_int {
    // SAFETY: the thread's own errno.
    unsafe { *libc::__errno_location() }
}

/// A seized and stopped child.
pub struct Tracee(Child);

const PTRACE_O_EXITKILL: usize = 1 << 20;

impl Tracee {
    /// PTRACE_SEIZE with PTRACE_O_EXITKILL and PTRACE_INTERRUPT work on an idle child.
    pub fn new() -> io::Result<Self> {
        // SAFETY: pause(2) is async-signal-safe.
        Self::seize(unsafe { Child::fork(idle) }?)
    }

    /// The same for a child with a seccomp filter, which allows everything.
    pub fn with_filter() -> io::Result<Self> {
        let mut allow = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
        let program = libc::sock_fprog { len: 1, filter: &raw mut allow };
        let (ready, tell) = std::io::pipe()?;
        let (mut ready, tell) = (File::from(OwnedFd::from(ready)), OwnedFd::from(tell));
        let fd = tell.as_raw_fd();
        let body = || {
            // SAFETY: the filter is a copy of ours at the same address; one byte of a constant is written.
            unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == -1 {
                    return errno();
                }
                libc::write(fd, c"".as_ptr().cast(), 1);
            }
            idle()
        };
        // SAFETY: prctl(2), write(2) and pause(2) are system calls without a library's state.
        let child = unsafe { Child::fork(body) }?;
        drop(tell);
        expect(ready.read(&mut [0])? == 1, "a seccomp filter cannot be installed")?;
        Self::seize(child)
    }

    pub(super) fn seize(child: Child) -> io::Result<Self> {
        let tracee = Tracee(child);
        tracee.request(libc::PTRACE_SEIZE as _, 0, PTRACE_O_EXITKILL)?;
        tracee.request(libc::PTRACE_INTERRUPT as _, 0, 0)?;
        expect(libc::WIFSTOPPED(tracee.0.wait()?), "PTRACE_INTERRUPT does not stop a task")?;
        Ok(tracee)
    }

    /// Waits for the next stop, or the end.
    pub(super) fn wait(&self) -> io::Result<c_int> {
        self.0.wait()
    }

    /// The callers pass integers, or addresses of live buffers of the size that the request writes.
    pub(super) fn request(&self, request: c_uint, address: usize, data: usize) -> io::Result<c_long> {
        // SAFETY: see above.
        check(unsafe { libc::ptrace(request as _, self.0.pid, address as *mut c_void, data as *mut c_void) })
    }

    /// PTRACE_PEEKSIGINFO finds an empty queue, PTRACE_GETSIGMASK a mask.
    pub fn peek_signals(&self) -> io::Result<()> {
        const PTRACE_PEEKSIGINFO: c_uint = 0x4209;
        const PTRACE_GETSIGMASK: c_uint = 0x420a;
        // struct ptrace_peeksiginfo_args, include/uapi/linux/ptrace.h: off, then flags and nr in one word each half.
        let (arguments, mut info) = (PeekArguments { off: 0, flags: 0, nr: 1 }, [0_u64; 16]);
        let found = self.request(
            PTRACE_PEEKSIGINFO,
            (&raw const arguments).expose_provenance(),
            info.as_mut_ptr().expose_provenance(),
        )?;
        expect(found == 0, "PTRACE_PEEKSIGINFO finds a signal that was not sent")?;
        // Room for the largest set, of 128 signals.
        let mut mask = [0_u64; 2];
        self.request(PTRACE_GETSIGMASK, arch::SIGMASK_LEN, mask.as_mut_ptr().expose_provenance()).map(drop)
    }

    /// PTRACE_GET_RSEQ_CONFIGURATION has the size that we know.
    pub fn rseq_configuration(&self) -> io::Result<()> {
        const PTRACE_GET_RSEQ_CONFIGURATION: c_uint = 0x420f;
        // struct ptrace_rseq_configuration: address, then four 32-bit words.
        let mut configuration = [0_u64; 3];
        let size = size_of_val(&configuration);
        let got = self.request(
            PTRACE_GET_RSEQ_CONFIGURATION,
            size,
            configuration.as_mut_ptr().expose_provenance(),
        )?;
        expect(usize::try_from(got) == Ok(size), "PTRACE_GET_RSEQ_CONFIGURATION has another size")
    }

    /// PTRACE_GET_THREAD_AREA knows the first descriptor of a 64-bit task. Elsewhere the request is another one.
    pub fn thread_area(&self) -> io::Result<()> {
        const PTRACE_GET_THREAD_AREA: c_uint = 25;
        let known = arch::FPU_REGSETS.contains(&crate::sys::ptrace::TLS_DESCRIPTORS);
        expect(known, "this machine has no descriptors of thread-local storage")?;
        let mut descriptor = [0_u32; 4];
        self.request(PTRACE_GET_THREAD_AREA, 12, descriptor.as_mut_ptr().expose_provenance()).map(drop)
    }

    /// PTRACE_GETREGSET knows the set `kind`, of at least `least` bytes.
    pub fn register_set(&self, kind: u32, least: usize) -> io::Result<()> {
        let mut set = [0_u8; 64];
        let iov = libc::iovec { iov_base: set.as_mut_ptr().cast(), iov_len: set.len() };
        self.request(libc::PTRACE_GETREGSET as _, kind as usize, (&raw const iov).expose_provenance())?;
        // SAFETY: the kernel has written the length that it used.
        let got = unsafe { std::ptr::read_volatile(&raw const iov.iov_len) };
        expect(got >= least, "the register set is smaller")
    }

    /// PTRACE_O_SUSPEND_SECCOMP is accepted.
    pub fn suspend_seccomp(&self) -> io::Result<()> {
        let options = PTRACE_O_EXITKILL | libc::PTRACE_O_SUSPEND_SECCOMP as usize;
        self.request(libc::PTRACE_SETOPTIONS as _, 0, options).map(drop)
    }

    /// PTRACE_SECCOMP_GET_FILTER tells the length of the filter of [`Tracee::with_filter`].
    pub fn seccomp_filter(&self) -> io::Result<()> {
        const PTRACE_SECCOMP_GET_FILTER: c_uint = 0x420c;
        let instructions = self.request(PTRACE_SECCOMP_GET_FILTER, 0, 0)?;
        expect(instructions == 1, "PTRACE_SECCOMP_GET_FILTER finds another filter")
    }
}

#[repr(C)]
struct PeekArguments {
    off: u64,
    flags: u32,
    nr: i32,
}

fn idle() -> c_int {
    loop {
        // SAFETY: pause(2) takes no memory.
        unsafe { libc::pause() };
    }
}

/// rt_sigqueueinfo(2) to oneself with a positive code, which is the kernel's to send.
pub fn queue_signal() -> io::Result<()> {
    // siginfo_t as the kernel has it: 128 bytes, si_code is the third int on all machines but MIPS, where it is the
    // second; with both set, either reading finds a positive code, and si_errno may be anything.
    let mut info = [0_i32; 32];
    info[0] = libc::SIGUSR1;
    info[1] = 1;
    info[2] = 1;
    let body = || {
        // SAFETY: the siginfo is a copy of ours; the signal is ignored.
        unsafe {
            libc::signal(libc::SIGUSR1, libc::SIG_IGN);
            let sent = libc::syscall(libc::SYS_rt_sigqueueinfo, libc::getpid(), libc::SIGUSR1, info.as_ptr());
            if sent == -1 { errno() } else { 0 }
        }
    };
    // SAFETY: signal(2), getpid(2) and the system call are async-signal-safe.
    unsafe { ask(body) }
}

/// /proc/self/loginuid can be set, and cleared again, which alone needs a privilege (kernel/auditsc.c, audit_set_loginuid).
pub fn set_loginuid() -> io::Result<()> {
    let body = || {
        // SAFETY: the strings are constants; the descriptor is the child's.
        unsafe {
            let fd = libc::open(c"/proc/self/loginuid".as_ptr(), libc::O_RDWR);
            let written = fd != -1
                && libc::pwrite(fd, c"0".as_ptr().cast(), 1, 0) == 1
                && libc::pwrite(fd, c"4294967295".as_ptr().cast(), 10, 0) == 10;
            if written { 0 } else { errno() }
        }
    };
    // SAFETY: open(2) and pwrite(2) are async-signal-safe.
    unsafe { ask(body) }
}

/// PR_SET_MDWE, which nothing takes back.
pub fn refuse_execution_gain() -> io::Result<()> {
    const PR_SET_MDWE: c_int = 65;
    const REFUSE_EXEC_GAIN: c_ulong = 1;
    const NONE: c_ulong = 0;
    let body = || {
        // SAFETY: only integers are passed.
        let set = unsafe { libc::prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, NONE, NONE, NONE) };
        if set == -1 { errno() } else { 0 }
    };
    // SAFETY: prctl(2) is a system call without a library's state.
    unsafe { ask(body) }
}

/// mremap(2) moves the vdso and what belongs to it, and a signal handler still finds its way back.
pub fn move_special_mappings(mappings: &[Mapping]) -> io::Result<()> {
    extern "C" fn nothing(_: c_int) {}
    let total: usize = mappings.iter().map(|m| m.1).sum();
    let body = || {
        // SAFETY: the mappings are the child's copies; after they moved, only system calls are made, which need none.
        unsafe {
            libc::signal(libc::SIGUSR1, nothing as *const () as libc::sighandler_t);
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let place = libc::mmap(std::ptr::null_mut(), total, libc::PROT_NONE, flags, -1, 0);
            if place == libc::MAP_FAILED {
                return errno();
            }
            let mut target = place.addr();
            for (start, len) in mappings {
                let how = libc::MREMAP_FIXED | libc::MREMAP_MAYMOVE;
                if libc::syscall(libc::SYS_mremap, *start, *len, *len, how, target) == -1 {
                    return errno();
                }
                target += len;
            }
            libc::syscall(libc::SYS_kill, libc::syscall(libc::SYS_getpid), libc::SIGUSR1);
            0
        }
    };
    // SAFETY: signal(2), mmap(2), mremap(2) and kill(2) are made as plain system calls.
    unsafe { ask(body) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tracee_is_gone_when_it_is_dropped() {
        let tracee = Tracee::new().unwrap();
        let place = format!("/proc/{}/status", tracee.0.pid);
        let status = std::fs::read_to_string(&place).unwrap();
        assert!(status.lines().any(|l| l.starts_with("State:\tt")), "{status}");
        drop(tracee);
        assert!(std::fs::read_to_string(&place).is_err());
    }

    #[test]
    fn a_child_that_has_ended_is_not_killed_once_more() {
        // SAFETY: the body does nothing.
        let child = unsafe { Child::fork(|| 7) }.unwrap();
        assert_eq!(child.wait().map(|status| libc::WEXITSTATUS(status)).unwrap(), 7);
        assert!(child.reaped.get());
        assert_eq!(child.wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    }

    #[test]
    fn a_childs_answer_is_its_errno_or_its_signal() {
        // SAFETY: the bodies make no call but kill(2) and getpid(2).
        let (yes, no, dead) =
            unsafe { (ask(|| 0), ask(|| libc::EXDEV), ask(|| libc::kill(libc::getpid(), libc::SIGKILL))) };
        assert!(yes.is_ok());
        assert_eq!(no.unwrap_err().raw_os_error(), Some(libc::EXDEV));
        assert!(dead.unwrap_err().to_string().contains("signal 9"));
    }

    #[test]
    fn a_mapping_that_cannot_be_moved_is_an_error() {
        let nowhere = [(0x1000, 0x1000)];
        assert!(move_special_mappings(&nowhere).is_err());
    }
}
