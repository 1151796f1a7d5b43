//! General registers as `PTRACE_GETREGSET` with `NT_PRSTATUS` shows them: `struct pt_regs` of
//! arch/arm/include/uapi/asm/ptrace.h, and how the kernel restarts an interrupted system call
//! (arch/arm/kernel/signal.c, `do_signal`).

use crate::{CallNumber, RegsAccess, ThreadArea, words};

/// `NT_PRSTATUS`.
pub const REGS_ACCESS: RegsAccess = RegsAccess::Set(1);
/// `PTRACE_SET_SYSCALL`.
pub const CALL_NUMBER: CallNumber = CallNumber::Request(23);
/// Where in `struct user` the registers of hardware breakpoints are, for PTRACE_POKEUSER: four addresses, two unused, the
/// status and what is enabled: not on this machine.
pub const DEBUG_REGISTERS: Option<usize> = None;
/// `PTRACE_GET_THREAD_AREA`, and `set_tls` of the calls that only ARM has.
pub const THREAD_AREA: Option<ThreadArea> = Some(ThreadArea { get: 22, set: 0xf_0005 });
/// Bytes of the register set.
pub const REGS_LEN: usize = WORDS * 4;
/// Bytes of the kernel's `sigset_t`, as `PTRACE_GETSIGMASK` wants them.
pub const SIGMASK_LEN: usize = 8;

const WORDS: usize = 18;
const ERESTART_RESTARTBLOCK: i32 = -516;
const NR_RESTART_SYSCALL: u64 = 0;
/// Thumb code runs.
const PSR_T: u64 = 1 << 5;
/// What belongs to the next instruction only: IT blocks of Thumb, Jazelle, big endian data.
const PSR_EXECUTION: u64 = 0x0600_fc00 | 1 << 24 | 1 << 9;

/// `struct pt_regs`: r0 to r15, cpsr, orig_r0; 32 bits each.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regs(pub [u64; WORDS]);

#[allow(missing_docs, reason = "indices named after their registers")]
impl Regs {
    pub const R0: usize = 0;
    pub const R7: usize = 7;
    pub const R8: usize = 8;
    pub const R9: usize = 9;
    pub const R10: usize = 10;
    pub const SP: usize = 13;
    pub const LR: usize = 14;
    pub const PC: usize = 15;
    pub const CPSR: usize = 16;
    pub const ORIG_R0: usize = 17;
}

impl Regs {
    /// From the bytes of the register set; `None` when they are of another mode.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        words::from_bytes(bytes).map(Regs)
    }

    /// The bytes that `PTRACE_SETREGSET` takes.
    pub fn to_bytes(&self) -> Vec<u8> {
        words::to_bytes(&self.0)
    }

    /// From the words of the register set; `None` of another number of them.
    pub fn from_words(words: &[u64]) -> Option<Self> {
        words.try_into().ok().map(Regs)
    }

    /// The words of the register set, in the kernel's order, each widened to 64 bits.
    pub fn words(&self) -> Vec<u64> {
        self.0.to_vec()
    }

    /// Address of the next instruction.
    pub fn ip(&self) -> u64 {
        self.0[Self::PC]
    }

    /// The same registers continuing at `ip`.
    pub fn with_ip(mut self, ip: u64) -> Self {
        self.0[Self::PC] = ip;
        self
    }

    /// What the system call that the thread is just leaving returned, `-errno` on failure.
    pub fn syscall_result(&self) -> i64 {
        result(self.0[Self::R0])
    }

    /// Whether the thread may be about to make a call again that goes on where it was interrupted, which the kernel
    /// forgets when the thread is sent elsewhere at this stop; `code` is what stands at [`ip`](Regs::ip). Its `svc 0`
    /// says so: the program counter is back at it.
    pub fn may_resume_call(&self, code: &[u8]) -> bool {
        match self.0[Self::CPSR] & PSR_T {
            0 => code.starts_with(&[0x00, 0x00, 0x00, 0xef]),
            _ => code.starts_with(&[0x00, 0xdf]),
        }
    }

    /// The registers that go on with the interrupted call, after the kernel has been seen to enter `nr` at this stop;
    /// `None` if that call just starts over. The kernel sees what these are in the feigned exit only: the program keeps the
    /// number of its call in r7.
    pub fn resuming(&self, nr: u64) -> Option<Self> {
        let mut regs = *self;
        regs.0[Self::ORIG_R0] |= RESUMES;
        (nr == NR_RESTART_SYSCALL).then_some(regs)
    }

    /// Whether a thread that goes on with these registers makes the call that resumes an interrupted one, restart_syscall(2).
    pub fn resumes_call(&self) -> bool {
        self.0[Self::ORIG_R0] & RESUMES != 0
    }

    /// What to set at the exit of a system call, where the machine's kernel decides about a restart, before the thread
    /// continues with these registers; `None` where setting them is enough. Here: a call that the kernel has just
    /// interrupted, so that it goes back to it, and marks it as one to be resumed.
    pub fn feigned_exit(&self) -> Option<Self> {
        if self.0[Self::ORIG_R0] & RESUMES == 0 {
            return None;
        }
        let mut regs = *self;
        regs.0[Self::PC] += if regs.0[Self::CPSR] & PSR_T == 0 { 4 } else { 2 };
        regs.0[Self::ORIG_R0] = regs.0[Self::R0];
        regs.0[Self::R0] = u64::from(ERESTART_RESTARTBLOCK as u32);
        Some(regs)
    }

    /// The same thread sent elsewhere: not inside a system call, in ARM code, without a condition left over.
    pub(crate) fn detached(&self, ip: u64) -> Self {
        let mut regs = self.with_ip(ip);
        regs.0[Self::ORIG_R0] = NONE;
        regs.0[Self::CPSR] &= !(PSR_T | PSR_EXECUTION);
        regs
    }

    /// The registers that make an interrupted system call run again from its beginning wherever they are loaded. The
    /// kernel has put the program counter back already. A sleep starts over with its full time.
    pub fn restarted(&self) -> Self {
        let mut regs = *self;
        regs.0[Self::ORIG_R0] = NONE;
        regs
    }

    /// What an image records: as [`restarted`](Regs::restarted), for another process, where no sleep can go on. The program
    /// keeps the number of its call in r7.
    pub fn elsewhere(&self, _code: impl Fn(u64, &mut [u8])) -> Self {
        self.restarted()
    }

    /// How a call was interrupted cannot be seen at a stop here.
    pub fn interruption(&self) -> Option<u32> {
        None
    }

    /// What the kernel decides by is not in the registers.
    pub fn interrupted(&self, _interruption: u32) -> Option<Self> {
        None
    }
}

/// orig_r0 outside of system calls.
const NONE: u64 = u32::MAX as u64;
/// Ours, above what the kernel sees of orig_r0: the thread is to go on with an interrupted sleep.
const RESUMES: u64 = 1 << 32;

/// What r0 says when a system call returns: a word of 32 bits, or `-errno`.
pub(crate) fn result(r0: u64) -> i64 {
    match r0 as u32 as i32 {
        errno @ -4095..=-1 => errno.into(),
        _ => r0 as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_call(thumb: bool) -> Regs {
        let mut regs = Regs([0; WORDS]);
        regs.0[Regs::PC] = 0x1_0000;
        regs.0[Regs::R0] = 77;
        regs.0[Regs::CPSR] = if thumb { 0x30 } else { 0x10 };
        regs
    }

    #[test]
    fn a_call_is_recognised_in_both_instruction_sets() {
        assert!(
            at_call(false).may_resume_call(&[0, 0, 0, 0xef]) && at_call(true).may_resume_call(&[0, 0xdf])
        );
        assert!(
            !at_call(true).may_resume_call(&[0, 0, 0, 0xef])
                && !at_call(false).may_resume_call(&[0, 0xdf, 0, 0])
        );
    }

    #[test]
    fn a_feigned_exit_stands_behind_the_call() {
        for (thumb, behind) in [(false, 0x1_0004), (true, 0x1_0002)] {
            assert_eq!(at_call(thumb).resuming(162).or(at_call(thumb).feigned_exit()), None);
            assert!(at_call(thumb).resuming(0).is_some_and(|regs| regs.resumes_call()));
            let exit = at_call(thumb).resuming(0).and_then(|regs| regs.feigned_exit()).unwrap();
            assert_eq!((exit.ip(), exit.syscall_result(), exit.0[Regs::ORIG_R0]), (behind, -516, 77));
        }
    }

    #[test]
    fn the_stub_is_entered_without_what_belongs_to_one_instruction() {
        let mut regs = at_call(true);
        regs.0[Regs::CPSR] = 0xfe0f_fe30;
        assert_eq!(regs.detached(0x2000).0[Regs::CPSR], 0xf80f_0010);
    }

    #[test]
    fn addresses_are_no_errors() {
        assert_eq!((result(0xb6f0_0000), result(0xffff_fffe)), (0xb6f0_0000, -2));
    }
}
