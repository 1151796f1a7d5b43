//! General registers as `PTRACE_GETREGS` shows them: `struct user_pt_regs` of arch/mips/include/uapi/asm/ptrace.h, and
//! how the kernel restarts an interrupted system call (arch/mips/kernel/signal.c, `do_signal`).
//!
//! The register set `NT_PRSTATUS` is not used: it lacks word 0, in which the kernel keeps the number of a call that has
//! failed, and word 26 with the call's third argument, so that a call could not be restarted.

use crate::sleep::Sleeps;
use crate::{CallNumber, RegsAccess, ThreadArea, words};

/// `PTRACE_GETREGS` and `PTRACE_SETREGS`.
pub const REGS_ACCESS: RegsAccess = RegsAccess::Requests { get: 12, set: 13 };
/// `$v0`.
pub const CALL_NUMBER: CallNumber = CallNumber::InRegs;
/// Where in `struct user` the registers of hardware breakpoints are, for PTRACE_POKEUSER: four addresses, two unused, the
/// status and what is enabled: not on this machine.
pub const DEBUG_REGISTERS: Option<usize> = None;
/// `PTRACE_GET_THREAD_AREA`, and set_thread_area(2), which takes the address itself here.
pub const THREAD_AREA: Option<ThreadArea> =
    Some(ThreadArea { get: 25, set: libc::SYS_set_thread_area as u64 });
/// Bytes of the register set.
pub const REGS_LEN: usize = size_of::<Regs>();
/// Bytes of the kernel's `sigset_t`, as `PTRACE_GETSIGMASK` wants them.
pub const SIGMASK_LEN: usize = 16;

const ERESTARTSYS: u64 = 512;
const ERESTARTNOINTR: u64 = 513;
const ERESTARTNOHAND: u64 = 514;
const ERESTART_RESTARTBLOCK: u64 = 516;
/// A system call instruction.
const SYSCALL: [u8; 4] = [0x0c, 0, 0, 0];
const SYSCALL_LEN: u64 = SYSCALL.len() as u64;
/// How many bytes before it may load its number.
const BEFORE: usize = 32;
const RESTART_SYSCALL: u64 = libc::SYS_restart_syscall as u64;
const SLEEPS: Sleeps = Sleeps {
    nanosleep: libc::SYS_nanosleep as u64,
    clock_nanosleep: libc::SYS_clock_nanosleep as u64,
    futex: libc::SYS_futex as u64,
    poll: libc::SYS_poll as u64,
};

/// `struct user_pt_regs`: $0 to $31, lo, hi, epc, badvaddr, status, cause.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regs(pub [u64; 38]);

#[allow(missing_docs, reason = "indices named after their registers")]
impl Regs {
    /// `$0` is always zero; the kernel keeps the number of a failed system call here, for its restart.
    pub const RESTART: usize = 0;
    pub const V0: usize = 2;
    pub const A0: usize = 4;
    /// The third argument; from a system call, whether it has failed.
    pub const A3: usize = 7;
    pub const S0: usize = 16;
    pub const S1: usize = 17;
    pub const S2: usize = 18;
    /// `$k0` belongs to the kernel, which keeps the third argument of a system call here, for its restart.
    pub const ORIG_A3: usize = 26;
    pub const LO: usize = 32;
    pub const HI: usize = 33;
    pub const EPC: usize = 34;
}

impl Regs {
    /// From the bytes of the register set; `None` when there are fewer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        words::from_bytes(bytes).map(Regs)
    }

    /// The bytes that `PTRACE_SETREGS` takes.
    pub fn to_bytes(&self) -> Vec<u8> {
        words::to_bytes(&self.0)
    }

    /// From the words of the register set; `None` when there are not as many.
    pub fn from_words(words: &[u64]) -> Option<Self> {
        words.try_into().ok().map(Regs)
    }

    /// The words of the register set, in the kernel's order, each widened to 64 bits.
    pub fn words(&self) -> Vec<u64> {
        self.0.to_vec()
    }

    /// Address of the next instruction.
    pub fn ip(&self) -> u64 {
        self.0[Self::EPC]
    }

    /// The same registers continuing at `ip`.
    pub fn with_ip(mut self, ip: u64) -> Self {
        self.0[Self::EPC] = ip;
        self
    }

    /// What the system call that the thread is just leaving returned, `-errno` on failure.
    pub fn syscall_result(&self) -> i64 {
        let value = self.0[Self::V0] as i64;
        if self.0[Self::A3] == 0 { value } else { value.wrapping_neg() }
    }

    /// Whether the thread may be about to make a call again that goes on where it was interrupted, which the kernel
    /// forgets when the thread is sent elsewhere at this stop; `code` is what stands at [`ip`](Regs::ip). Here the kernel
    /// decides when the thread leaves, by registers that we put back.
    pub fn may_resume_call(&self, _code: &[u8]) -> bool {
        false
    }

    /// The registers that go on with the interrupted call, after the kernel has been seen to enter `nr` at this stop;
    /// `None` if that call just starts over.
    pub fn resuming(&self, _nr: u64) -> Option<Self> {
        None
    }

    /// Whether a thread that goes on with these registers makes the call that resumes an interrupted one, restart_syscall(2).
    pub fn resumes_call(&self) -> bool {
        self.0[Self::RESTART] != 0 && self.0[Self::V0] == ERESTART_RESTARTBLOCK
    }

    /// What to set at the exit of a system call, where the machine's kernel decides about a restart, before the thread
    /// continues with these registers; `None` where setting them is enough.
    pub fn feigned_exit(&self) -> Option<Self> {
        None
    }

    /// The same thread sent elsewhere, with no system call to restart.
    pub(crate) fn detached(&self, ip: u64) -> Self {
        let mut regs = self.with_ip(ip);
        regs.0[Self::RESTART] = 0;
        regs
    }

    /// The registers that make an interrupted system call run again from its beginning wherever they are loaded.
    ///
    /// The kernel would do the same on its way out, except for `ERESTART_RESTARTBLOCK` (relative sleeps): what is left
    /// of the time is in the kernel only, so the call starts over with its full time. A sleep that lasts longer is
    /// what every program must expect; an `EINTR` without a signal is not.
    pub fn restarted(&self) -> Self {
        let mut regs = *self;
        let interrupted =
            matches!(regs.0[Self::V0], ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK);
        if regs.0[Self::RESTART] != 0 && interrupted {
            regs.0[Self::V0] = regs.0[Self::RESTART];
            regs.0[Self::A3] = regs.0[Self::ORIG_A3];
            regs.0[Self::EPC] = regs.0[Self::EPC].wrapping_sub(SYSCALL_LEN);
        }
        regs.0[Self::RESTART] = 0;
        regs
    }

    /// What an image records: as [`restarted`](Regs::restarted), for another process, where no sleep can go on. `code` reads
    /// what stands at an address.
    pub fn elsewhere(&self, code: impl Fn(u64, &mut [u8])) -> Self {
        let mut regs = self.restarted();
        if regs.0[Self::V0] != RESTART_SYSCALL {
            return regs;
        }
        let mut around = [0; BEFORE + SYSCALL.len()];
        code(regs.ip().wrapping_sub(BEFORE as u64), &mut around);
        let (before, at) = around.split_at(BEFORE);
        if at == SYSCALL {
            let args = [0, 1, 2, 3].map(|number| regs.0[Self::A0 + number]);
            // li v0, NUMBER
            let loads = before.chunks_exact(4).rev().filter(|code| code[2..] == [0x02, 0x24]);
            let loaded = loads.map(|code| u16::from_le_bytes([code[0], code[1]]).into());
            regs.0[Self::V0] = SLEEPS.begun(loaded, args);
        }
        regs
    }

    /// How a call was interrupted is of no use here, see [`interrupted`](Regs::interrupted).
    pub fn interruption(&self) -> Option<u32> {
        None
    }

    /// What the kernel decides by, `$0` of its frame, ptrace(2) does not set.
    pub fn interrupted(&self, _interruption: u32) -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_starts_over() {
        let mut regs = Regs([0; 38]);
        regs.0[Regs::RESTART] = 5034;
        regs.0[Regs::V0] = ERESTART_RESTARTBLOCK;
        regs.0[Regs::A3] = 1;
        regs.0[Regs::ORIG_A3] = 77;
        regs.0[Regs::EPC] = 0x1004;
        let again = regs.restarted();
        assert!(regs.resumes_call() && !again.resumes_call());
        assert_eq!((again.0[Regs::V0], again.0[Regs::A3], again.ip()), (5034, 77, 0x1000));
        assert_eq!((again.0[Regs::RESTART], regs.syscall_result()), (0, -516));
        regs.0[Regs::RESTART] = 0;
        assert_eq!(regs.restarted().ip(), 0x1004);
    }

    #[test]
    fn bytes_of_another_length_are_refused() {
        assert_eq!(Regs::from_bytes(&[0; 296]), None);
        let regs = Regs(core::array::from_fn(|i| i as u64));
        assert_eq!(Regs::from_bytes(&regs.to_bytes()), Some(regs));
    }
}
