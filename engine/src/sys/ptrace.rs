//! ptrace(2) as a seized tracee needs it, and the wait that goes with it.
//!
//! All requests must come from the thread that seized the tracee.

#![allow(unsafe_code, reason = "ptrace passes addresses as integers")]

use std::io;
use std::time::Duration;

use arch::{CallNumber, RegSet, Regs, RegsAccess};
use libc::{c_long, c_uint, c_void};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::time::TimeSpec;

/// A thread id as the caller's pid namespace sees it.
pub type Tid = i32;

/// The kernel kills the tracee when the tracer exits.
pub const O_EXITKILL: u64 = 1 << 20;
/// Children and threads of the tracee are seized from their first instruction on.
pub const O_TRACE_BIRTHS: u64 = (1 << 1) | (1 << 2) | (1 << 3);
/// Stops at system calls are told apart from SIGTRAP by bit 7.
pub const O_TRACESYSGOOD: u64 = 1;

/// Seccomp does not look at the system calls of the tracee. Since Linux 4.3, with CONFIG_CHECKPOINT_RESTORE.
pub const O_SUSPEND_SECCOMP: u64 = 1 << 21;

const PTRACE_GETSIGMASK: c_uint = 0x420a;
const PTRACE_SETSIGMASK: c_uint = 0x420b;
const PTRACE_PEEKSIGINFO: c_uint = 0x4209;
const PTRACE_PEEKSIGINFO_SHARED: u32 = 1;
const PTRACE_SECCOMP_GET_FILTER: c_uint = 0x420c;
const PTRACE_SECCOMP_GET_METADATA: c_uint = 0x420d;
const PTRACE_GET_RSEQ_CONFIGURATION: c_uint = 0x420f;
const PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG: c_uint = 0x4211;
const PTRACE_GET_SYSCALL_INFO: c_uint = 0x420e;
const PTRACE_SYSCALL_INFO_ENTRY: u8 = 1;
const PTRACE_EVENT_STOP: i32 = 128;

/// Bytes of a `siginfo_t`.
pub const SIGINFO_LEN: usize = 128;

fn request(req: c_uint, tid: Tid, addr: u64, data: u64) -> io::Result<c_long> {
    // SAFETY: callers below pass either integers or addresses of live buffers of the length that the request uses.
    let ret = unsafe { libc::ptrace(req as _, tid, addr as *mut c_void, data as *mut c_void) };
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

/// Attaches without stopping the thread. `options` are `O_*` bits.
pub fn seize(tid: Tid, options: u64) -> io::Result<()> {
    request(libc::PTRACE_SEIZE as _, tid, 0, options).map(drop)
}

/// Replaces the options of a stopped thread.
pub fn set_options(tid: Tid, options: u64) -> io::Result<()> {
    request(libc::PTRACE_SETOPTIONS as _, tid, 0, options).map(drop)
}

/// Asks a seized thread to stop; a wait then reports [`Stop::Trap`] or [`Stop::Group`].
pub fn interrupt(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT as _, tid, 0, 0).map(drop)
}

/// Continues a stopped thread, delivering `signal` (0 for none).
pub fn cont(tid: Tid, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_CONT as _, tid, 0, signal as u64).map(drop)
}

/// Continues a stopped thread up to the next entry to or exit from a system call, delivering `signal` (0 for none).
pub fn cont_to_syscall(tid: Tid, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL as _, tid, 0, signal as u64).map(drop)
}

/// Lets a stopped thread go.
pub fn detach(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_DETACH as _, tid, 0, 0).map(drop)
}

/// The id of the task born at a [`Stop::Birth`].
pub fn event_message(tid: Tid) -> io::Result<u64> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG as _, tid, 0, (&raw mut message).expose_provenance() as u64)?;
    Ok(message as u64)
}

/// Reads register set `kind` (`NT_*`) into `buffer`; returns the bytes that the kernel wrote.
pub fn get_regset(tid: Tid, kind: u32, buffer: &mut [u8]) -> io::Result<usize> {
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    request(libc::PTRACE_GETREGSET as _, tid, kind.into(), (&raw mut iov).expose_provenance() as u64)?;
    Ok(iov.iov_len)
}

/// Writes register set `kind` from `bytes`.
pub fn set_regset(tid: Tid, kind: u32, bytes: &[u8]) -> io::Result<()> {
    if kind == TLS_DESCRIPTORS {
        return set_tls_descriptors(tid, bytes);
    }
    let iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    request(libc::PTRACE_SETREGSET as _, tid, kind.into(), (&raw const iov).expose_provenance() as u64)
        .map(drop)
}

/// `NT_386_TLS`: `struct user_desc` for each of the three entries of the descriptor table that are the thread's own. The
/// kernel has this set for 32-bit tasks; those of a 64-bit one are behind requests of their own.
pub const TLS_DESCRIPTORS: u32 = 0x200;
const PTRACE_GET_THREAD_AREA: c_uint = 25;
const PTRACE_SET_THREAD_AREA: c_uint = 26;
/// `GDT_ENTRY_TLS_MIN` to `GDT_ENTRY_TLS_MAX` of arch/x86/include/asm/segment.h, 64 bits.
const TLS_ENTRIES: std::ops::RangeInclusive<u64> = 12..=14;
type TlsDescriptor = [u32; 4];
/// Flags of an entry that was never set: `LDT_empty` of arch/x86/include/asm/desc.h.
const TLS_UNSET: u32 = 0x28;

/// `None` if the thread has set none.
fn tls_descriptors(tid: Tid) -> io::Result<Option<Vec<u8>>> {
    let mut all = Vec::new();
    let mut any = false;
    for entry in TLS_ENTRIES {
        let mut descriptor: TlsDescriptor = [0; 4];
        request(PTRACE_GET_THREAD_AREA, tid, entry, descriptor.as_mut_ptr().expose_provenance() as u64)?;
        any |= descriptor[1..] != [0, 0, TLS_UNSET];
        all.extend(descriptor.into_iter().flat_map(u32::to_ne_bytes));
    }
    Ok(any.then_some(all))
}

fn set_tls_descriptors(tid: Tid, bytes: &[u8]) -> io::Result<()> {
    for raw in bytes.as_chunks::<{ size_of::<TlsDescriptor>() }>().0 {
        let mut descriptor: TlsDescriptor = [0; 4];
        for (word, bytes) in descriptor.iter_mut().zip(raw.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        let address = (&raw const descriptor).expose_provenance() as u64;
        request(PTRACE_SET_THREAD_AREA, tid, descriptor[0].into(), address)?;
    }
    Ok(())
}

/// Reads register set `kind`; `None` if the kernel or the CPU has no such registers. `most` are more bytes than it has.
pub fn read_regset(tid: Tid, kind: u32, most: usize) -> io::Result<Option<RegSet>> {
    let read = if kind == TLS_DESCRIPTORS {
        tls_descriptors(tid)
    } else {
        let mut bytes = vec![0; most];
        get_regset(tid, kind, &mut bytes).map(|len| {
            bytes.truncate(len);
            Some(bytes)
        })
    };
    match read {
        Ok(bytes) => Ok(bytes.map(|bytes| RegSet { kind, bytes })),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ENODEV | libc::EIO)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads the general registers; returns the bytes that the kernel wrote.
pub fn get_regs(tid: Tid, buffer: &mut [u8; arch::REGS_LEN]) -> io::Result<usize> {
    match arch::REGS_ACCESS {
        RegsAccess::Set(kind) => get_regset(tid, kind, buffer),
        RegsAccess::Requests { get, .. } => {
            request(get as _, tid, 0, buffer.as_mut_ptr().expose_provenance() as u64).map(|_| arch::REGS_LEN)
        }
    }
}

/// Writes the general registers.
pub fn set_regs(tid: Tid, regs: &Regs) -> io::Result<()> {
    let bytes = regs.to_bytes();
    match arch::REGS_ACCESS {
        RegsAccess::Set(kind) => set_regset(tid, kind, &bytes),
        RegsAccess::Requests { set, .. } => {
            request(set as _, tid, 0, bytes.as_ptr().expose_provenance() as u64).map(drop)
        }
    }
}

/// The number of the system call that the thread is stopped at the entry of; `None` at any other stop.
pub fn entered_call(tid: Tid) -> io::Result<Option<u64>> {
    // struct ptrace_syscall_info: op, padding, arch, instruction_pointer, stack_pointer, nr.
    let mut info = [0u64; 11];
    let address = info.as_mut_ptr().expose_provenance() as u64;
    request(PTRACE_GET_SYSCALL_INFO, tid, size_of_val(&info) as u64, address)?;
    let op = info[0].to_ne_bytes()[0];
    Ok((op == PTRACE_SYSCALL_INFO_ENTRY).then_some(info[3]))
}

/// Makes a thread that is stopped at the entry of a system call leave without making it.
pub fn skip_call(tid: Tid) -> io::Result<()> {
    match arch::CALL_NUMBER {
        CallNumber::InRegs => Ok(()),
        CallNumber::Set(kind) => set_regset(tid, kind, &(-1i32).to_ne_bytes()),
        CallNumber::Request(req) => request(req as _, tid, 0, -1i64 as u64).map(drop),
    }
}

/// The base of thread-local storage, asked by request `get` of [`arch::THREAD_AREA`].
pub fn thread_area(tid: Tid, get: u32) -> io::Result<u64> {
    let mut base = 0usize;
    request(get as _, tid, 0, (&raw mut base).expose_provenance() as u64)?;
    Ok(base as u64)
}

/// The signal mask, bit n-1 for signal n; inside sigsuspend(2) and its like the mask that will be put back.
pub fn get_sigmask(tid: Tid) -> io::Result<u128> {
    let mut mask = [0u64; 2];
    request(PTRACE_GETSIGMASK, tid, arch::SIGMASK_LEN as u64, mask.as_mut_ptr().expose_provenance() as u64)?;
    Ok(u128::from(mask[0]) | u128::from(mask[1]) << 64)
}

/// Replaces the signal mask.
pub fn set_sigmask(tid: Tid, mask: u128) -> io::Result<()> {
    let mask = [mask as u64, (mask >> 64) as u64];
    request(PTRACE_SETSIGMASK, tid, arch::SIGMASK_LEN as u64, mask.as_ptr().expose_provenance() as u64)
        .map(drop)
}

/// The signals queued for the thread, or for its whole process when `shared`; each a raw `siginfo_t`, oldest first.
pub fn peek_signals(tid: Tid, shared: bool) -> io::Result<Vec<[u8; SIGINFO_LEN]>> {
    const AT_ONCE: i32 = 32;
    #[repr(C)]
    struct Args {
        off: u64,
        flags: u32,
        nr: i32,
    }
    let mut all = Vec::new();
    loop {
        let mut chunk = [[0u8; SIGINFO_LEN]; AT_ONCE as usize];
        let flags = if shared { PTRACE_PEEKSIGINFO_SHARED } else { 0 };
        let args = Args { off: all.len() as u64, flags, nr: AT_ONCE };
        let addr = (&raw const args).expose_provenance() as u64;
        let got = request(PTRACE_PEEKSIGINFO, tid, addr, chunk.as_mut_ptr().expose_provenance() as u64)?;
        all.extend(chunk.into_iter().take(got as usize));
        if got < c_long::from(AT_ONCE) {
            return Ok(all);
        }
    }
}

/// What rseq(2) registered for a thread.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rseq {
    /// Address of `struct rseq`, 0 when none is registered.
    pub address: u64,
    /// Its size.
    pub size: u32,
    /// The signature before each abort handler.
    pub signature: u32,
    /// Always 0.
    pub flags: u32,
    /// Padding.
    pub pad: u32,
}

/// The thread's rseq registration. Since Linux 5.13.
pub fn rseq(tid: Tid) -> io::Result<Rseq> {
    let mut conf = Rseq::default();
    request(
        PTRACE_GET_RSEQ_CONFIGURATION,
        tid,
        size_of::<Rseq>() as u64,
        (&raw mut conf).expose_provenance() as u64,
    )?;
    Ok(conf)
}

/// Whether system calls of the thread are dispatched to itself, prctl(PR_SET_SYSCALL_USER_DISPATCH). Since Linux 6.4.
pub fn has_syscall_dispatch(tid: Tid) -> io::Result<bool> {
    // struct ptrace_sud_config: mode, selector, offset, len.
    let mut config = [0u64; 4];
    let address = config.as_mut_ptr().expose_provenance() as u64;
    request(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, tid, size_of_val(&config) as u64, address)?;
    Ok(config[0] != 0)
}

/// Bytes of an instruction of a filter, `struct sock_filter`.
pub const FILTER_STEP: usize = 8;

/// The instructions of a seccomp filter of a stopped thread; `None` beyond the last. 0 is the oldest: the kernel counts
/// from the end of its list (get_nth_filter in kernel/seccomp.c).
pub fn seccomp_filter(tid: Tid, index: u64) -> io::Result<Option<Vec<u8>>> {
    let steps = match request(PTRACE_SECCOMP_GET_FILTER, tid, index, 0) {
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        other => other?,
    };
    let mut program = vec![0; steps as usize * FILTER_STEP];
    request(PTRACE_SECCOMP_GET_FILTER, tid, index, program.as_mut_ptr().expose_provenance() as u64)?;
    Ok(Some(program))
}

/// The flags of that filter, `SECCOMP_FILTER_FLAG_LOG` or none. Since Linux 4.16.
pub fn seccomp_filter_flags(tid: Tid, index: u64) -> io::Result<u32> {
    // struct seccomp_metadata: filter_off, flags.
    let mut metadata = [index, 0];
    let address = metadata.as_mut_ptr().expose_provenance() as u64;
    request(PTRACE_SECCOMP_GET_METADATA, tid, size_of_val(&metadata) as u64, address)?;
    Ok(metadata[1] as u32)
}

/// What a wait reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The stop that [`interrupt`] asked for, or the first stop of a newborn tracee.
    Trap,
    /// The process is stopped by this signal (job control), the thread takes part in it.
    Group(i32),
    /// This signal is about to be delivered.
    Signal(i32),
    /// Entry to or exit from a system call.
    Syscall,
    /// A child or thread was born; [`event_message`] names it.
    Birth,
    /// The thread exited; the value is its wait(2) status.
    Exited(i32),
}

/// The stop or end of `tid` that is to be reported, if there is one.
pub fn poll(tid: Tid) -> io::Result<Option<Stop>> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    match unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::WNOHANG) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ => Ok(Some(decode(status))),
    }
}

/// Waits for the next stop or the end of `tid`, for up to `patience` or any SIGCHLD; the first need not be waited for.
pub fn wait_for(tid: Tid, patience: Duration) -> io::Result<Option<Stop>> {
    if let Some(stop) = poll(tid)? {
        return Ok(Some(stop));
    }
    // The kernel sends a tracer SIGCHLD (do_notify_parent_cldstop in kernel/signal.c). Blocked, none is missed.
    let child = SigSet::from(Signal::SIGCHLD);
    let mask = child.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let stop = match poll(tid) {
        Ok(None) => {
            let patience = TimeSpec::from_duration(patience);
            // SAFETY: set and time outlive the call. Whether there was a signal is of no interest.
            unsafe { libc::sigtimedwait(child.as_ref(), std::ptr::null_mut(), patience.as_ref()) };
            poll(tid)
        }
        stop => stop,
    };
    mask.thread_set_mask()?;
    stop
}

/// Reaps `tid` if it has ended, whichever of our threads traces it; its stops are left to be waited for.
pub fn take_end(tid: Tid) {
    let ended = |flags| {
        // SAFETY: `info` is plain old data and outlives the call.
        let info = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::__WALL | flags;
            libc::waitid(libc::P_PID, tid as libc::id_t, &raw mut info, flags);
            info
        };
        // Stops of a tracee are reported, too, if asked for or not (wait_task_stopped in kernel/exit.c).
        matches!(info.si_code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED)
    };
    if ended(libc::WNOWAIT) {
        ended(0);
    }
}

fn decode(status: i32) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return Stop::Exited(status);
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Stop::Trap,
        PTRACE_EVENT_STOP => Stop::Group(signal),
        1..=3 => Stop::Birth,
        _ if signal == libc::SIGTRAP | 0x80 => Stop::Syscall,
        _ => Stop::Signal(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_told_apart() {
        assert_eq!(decode(0x80057f), Stop::Trap);
        assert_eq!(decode(0x80137f), Stop::Group(19));
        assert_eq!(decode(0x137f), Stop::Signal(19));
        assert_eq!(decode(0x857f), Stop::Syscall);
        assert_eq!(decode(0x3057f), Stop::Birth);
        assert_eq!(decode(0x0100), Stop::Exited(0x100));
    }
}
