//! What a stopped thread had before it was borrowed, and with what it goes on.
//!
//! Where the kernel would forget something about a thread because it makes system calls for us, that is found out before
//! and put back after: an interrupted restartable sequence, an interrupted sleep (see [`arch`]), vector registers that
//! every system call clears.

use arch::{RegSet, Regs};

use super::filter;
use super::rseq::{self, RSEQ_CS};
use super::wait::{gone, wait};
use crate::error::{Blame, Error, OsContext, Result};
use crate::fault;
use crate::sys::process::read_memory;
use crate::sys::ptrace::{self, Rseq, Stop};

const ALL_SIGNALS: u128 = !0;

/// See the module text.
#[derive(Debug, Clone)]
pub(super) struct Departure {
    /// The general registers.
    pub(super) regs: Regs,
    /// The signal mask.
    pub(super) mask: u128,
    /// The restartable sequence area that the thread has registered; `None` if the kernel does not tell.
    pub(super) rseq: Option<Rseq>,
    /// Other registers to put back: those that system calls change, or all.
    pub(super) aside: Vec<RegSet>,
}

impl Departure {
    /// Asks the kernel about a stopped thread, before anything of it has changed.
    pub(super) fn of(pid: i32, tid: i32) -> Result<Self> {
        let mask = ptrace::get_sigmask(tid).os(|| format!("PTRACE_GETSIGMASK {tid}"))?;
        let aside = other_registers(tid, arch::CALL_CLOBBERS)?;
        refuse(tid, &aside)?;
        let rseq = ptrace::rseq(tid).ok();
        let regs = spared(tid, resumed(pid, tid, registers(tid)?, mask)?);
        Ok(Departure { regs: aborted(pid, tid, regs, rseq), mask, rseq, aside })
    }

    /// That of a task which was born just now and has done nothing yet.
    pub(super) fn of_newborn(tid: i32) -> Result<Self> {
        let mask = ptrace::get_sigmask(tid).os(|| format!("PTRACE_GETSIGMASK {tid}"))?;
        Ok(Departure { mask, ..Self::default_of(registers(tid)?) })
    }

    /// General registers alone.
    pub(super) fn default_of(regs: Regs) -> Self {
        Departure { regs, mask: 0, rseq: None, aside: Vec::new() }
    }

    /// Puts mask and registers of the thread back, in this order; it stands in the stub at `stub`. A failure of ours does
    /// not keep it.
    pub(super) fn bring_home(&self, tid: i32, stub: u64) -> Result<()> {
        let feigned = self.regs.feigned_exit();
        if feigned.is_some() {
            set_registers(tid, &arch::enter_one(&self.regs, stub, libc::SYS_getpid as u64, [0; 6]))?;
            pass_call(tid)?;
        }
        ptrace::set_sigmask(tid, self.mask).os(|| format!("PTRACE_SETSIGMASK {tid}"))?;
        let passed = fault::point("mask-restored");
        for set in arch::arrange(&self.aside) {
            ptrace::set_regset(tid, set.kind, &set.bytes)
                .os(|| format!("PTRACE_SETREGSET {tid} set {:#x}", set.kind))?;
        }
        if let Some(feigned) = feigned {
            set_registers(tid, &feigned)?;
            // The trap comes before any signal is looked at (kernel/signal.c, get_signal).
            ptrace::interrupt(tid).os(|| format!("PTRACE_INTERRUPT {tid}"))?;
            ptrace::cont(tid, 0).os(|| format!("PTRACE_CONT {tid}"))?;
            wait(tid)?;
        }
        set_registers(tid, &self.regs)?;
        passed.and_then(|()| fault::point("registers-restored"))
    }
}

/// Lets a thread, whose signals are blocked, make a system call and stops it at the exit.
pub(super) fn pass_call(tid: i32) -> Result<()> {
    enter_call(tid)?;
    enter_call(tid).map(drop)
}

/// What a loan needs of the memory of a stopped thread.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// Where.
    pub address: u64,
    /// What is there.
    pub what: &'static str,
    /// Whether the kernel writes there when the thread goes on.
    pub written: bool,
}

/// What [`Departure::of`] reads, and the kernel writes (kernel/rseq.c).
pub fn needs(tid: i32) -> Result<Vec<Need>> {
    let code = Need { address: registers(tid)?.ip(), what: "next instruction", written: false };
    let area = ptrace::rseq(tid).unwrap_or_default().address;
    let rseq = Need { address: area + RSEQ_CS, what: "area of restartable sequences", written: true };
    Ok(std::iter::once(code).chain((area != 0).then_some(rseq)).collect())
}

/// Those of the register sets `kinds` that a stopped thread has.
pub fn other_registers(tid: i32, kinds: &[u32]) -> Result<Vec<RegSet>> {
    let mut sets = Vec::new();
    for kind in kinds {
        let set = ptrace::read_regset(tid, *kind, arch::FPU_CAPACITY);
        sets.extend(set.os(|| format!("PTRACE_GETREGSET {tid} set {kind:#x}"))?);
    }
    Ok(sets)
}

/// Refuses a thread that uses what this version cannot keep.
pub fn refuse(tid: i32, sets: &[RegSet]) -> Result<()> {
    arch::refusal(sets).map_or(Ok(()), |(code, reason)| {
        Err(Error::new(code, Blame::Program, reason).on(format!("thread {tid}")))
    })
}

/// Registers that go on with an interrupted system call where the kernel alone knows how much of it is left.
///
/// The kernel has to be seen entering the call for that, and the entry is undone: the thread stands before the call
/// again. If we die meanwhile, it makes the call.
fn resumed(pid: i32, tid: i32, regs: Regs, mask: u128) -> Result<Regs> {
    let mut code = [0; 4];
    let read = read_memory(pid, regs.ip(), &mut code).unwrap_or(0);
    if !code.get(..read).is_some_and(|code| regs.may_resume_call(code)) {
        return Ok(regs);
    }
    ptrace::set_sigmask(tid, ALL_SIGNALS).os(|| format!("PTRACE_SETSIGMASK {tid}"))?;
    let entered = enter_call(tid);
    ptrace::set_sigmask(tid, mask).os(|| format!("PTRACE_SETSIGMASK {tid}"))?;
    let regs = entered?.and_then(|nr| regs.resuming(nr)).unwrap_or(regs);
    set_registers(tid, &regs)?;
    ptrace::skip_call(tid).os(|| format!("skip the system call of {tid}"))?;
    Ok(regs)
}

/// Registers that start an interrupted call over, where the thread's seccomp filters forbid the one that resumes it. Its
/// time is longer then; but the thread lives, and who filters that call away has not asked for more.
fn spared(tid: i32, regs: Regs) -> Regs {
    let allows = |filters: Vec<_>| filter::allow(&filters, libc::SYS_restart_syscall as u32);
    // A thread without filters is answered with an error.
    if !regs.resumes_call() || filter::filters(tid).map_or(true, allows) {
        return regs;
    }
    let over = regs.restarted();
    regs.interruption().and_then(|interruption| over.interrupted(interruption)).unwrap_or(over)
}

/// The same for a thread that has just stopped, and may be let go before it is ever borrowed. Where [`Departure::of`] alone
/// can find out, nothing is done.
pub(super) fn spare_resumption(tid: i32) {
    // A thread that cannot be read or set has died, which whoever needs it will find.
    let Ok(regs) = registers(tid) else { return };
    let spared = spared(tid, regs);
    if spared != regs {
        let _ = set_registers(tid, &spared);
    }
}

/// Lets a thread go on to the next entry or exit of a system call; the call's number at an entry.
fn enter_call(tid: i32) -> Result<Option<u64>> {
    let mut signal = 0;
    loop {
        ptrace::cont_to_syscall(tid, signal).os(|| format!("PTRACE_SYSCALL {tid}"))?;
        signal = 0;
        match wait(tid)? {
            Stop::Syscall => break,
            Stop::Signal(got) => signal = got,
            Stop::Trap | Stop::Group(_) | Stop::Birth => {}
            Stop::Exited(_) => return Err(gone(tid)),
        }
    }
    ptrace::entered_call(tid).os(|| format!("PTRACE_GET_SYSCALL_INFO {tid}"))
}

/// A restartable sequence is aborted when the thread is interrupted in it, and so it is here: on its way into the stub
/// the kernel would find it outside of the sequence and forget about the abort (kernel/rseq.c, rseq_ip_fixup).
fn aborted(pid: i32, tid: i32, regs: Regs, rseq: Option<Rseq>) -> Regs {
    let abort = match rseq {
        Some(Rseq { address: 0, .. }) => None,
        Some(Rseq { address, .. }) => rseq::abort_of(pid, address, regs.ip()),
        None => rseq::abort_of_untold(pid, tid, &regs),
    };
    abort.map_or(regs, |abort| regs.with_ip(abort))
}

/// The general registers of a stopped thread.
pub(super) fn registers(tid: i32) -> Result<Regs> {
    let mut bytes = [0; arch::REGS_LEN];
    let len = ptrace::get_regs(tid, &mut bytes).os(|| format!("PTRACE_GETREGSET {tid}"))?;
    bytes.get(..len).and_then(Regs::from_bytes).ok_or_else(|| {
        Error::new("E-TASK-MODE", Blame::Program, "runs in another mode of the CPU (32-bit)")
            .on(format!("thread {tid}"))
    })
}

/// Replaces the general registers of a stopped thread.
pub(super) fn set_registers(tid: i32, regs: &Regs) -> Result<()> {
    ptrace::set_regs(tid, regs).os(|| format!("PTRACE_SETREGSET {tid}"))
}
