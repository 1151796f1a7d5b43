//! General registers as `PTRACE_GETREGSET` with `NT_PRSTATUS` shows them: `struct user_regs_struct` of
//! arch/x86/include/asm/user_64.h, and how the kernel restarts an interrupted system call
//! (arch/x86/kernel/signal.c, `arch_do_signal_or_restart`).

use crate::sleep::Sleeps;
use crate::{CallNumber, RegsAccess, ThreadArea, words};

/// `NT_PRSTATUS`.
pub const REGS_ACCESS: RegsAccess = RegsAccess::Set(1);
/// `orig_ax`.
pub const CALL_NUMBER: CallNumber = CallNumber::InRegs;
/// Where in `struct user` the registers of hardware breakpoints are, for PTRACE_POKEUSER: four addresses, two unused, the
/// status and what is enabled.
pub const DEBUG_REGISTERS: Option<usize> = Some(core::mem::offset_of!(libc::user, u_debugreg));
/// `fs_base`.
pub const THREAD_AREA: Option<ThreadArea> = None;
/// Bytes of the register set of a 64-bit task; a task in 32-bit mode answers with fewer.
pub const REGS_LEN: usize = size_of::<Regs>();
/// Bytes of the kernel's `sigset_t`, as `PTRACE_GETSIGMASK` wants them.
pub const SIGMASK_LEN: usize = 8;

const ERESTARTSYS: i64 = -512;
const ERESTARTNOINTR: i64 = -513;
const ERESTARTNOHAND: i64 = -514;
const ERESTART_RESTARTBLOCK: i64 = -516;
/// `syscall`
const SYSCALL: [u8; 2] = [0x0f, 0x05];
const SYSCALL_LEN: u64 = SYSCALL.len() as u64;
/// How many bytes before it may load its number.
const BEFORE: usize = 24;
const RESTART_SYSCALL: u64 = libc::SYS_restart_syscall as u64;
const SLEEPS: Sleeps = Sleeps {
    nanosleep: libc::SYS_nanosleep as u64,
    clock_nanosleep: libc::SYS_clock_nanosleep as u64,
    futex: libc::SYS_futex as u64,
    poll: libc::SYS_poll as u64,
};

/// `struct user_regs_struct`: r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs flags sp ss fs_base
/// gs_base ds es fs gs.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regs(pub [u64; 27]);

#[allow(missing_docs, reason = "indices named after their registers")]
impl Regs {
    pub const R15: usize = 0;
    pub const R14: usize = 1;
    pub const R13: usize = 2;
    pub const R12: usize = 3;
    pub const BP: usize = 4;
    pub const BX: usize = 5;
    pub const R11: usize = 6;
    pub const R10: usize = 7;
    pub const R9: usize = 8;
    pub const R8: usize = 9;
    pub const AX: usize = 10;
    pub const CX: usize = 11;
    pub const DX: usize = 12;
    pub const SI: usize = 13;
    pub const DI: usize = 14;
    pub const ORIG_AX: usize = 15;
    pub const IP: usize = 16;
    pub const CS: usize = 17;
    pub const FLAGS: usize = 18;
    pub const SP: usize = 19;
    pub const SS: usize = 20;
    pub const FS_BASE: usize = 21;
    pub const GS_BASE: usize = 22;
    pub const DS: usize = 23;
    pub const ES: usize = 24;
    pub const FS: usize = 25;
    pub const GS: usize = 26;
}

impl Regs {
    /// From the bytes of the register set; `None` when they are of a 32-bit task.
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
        self.0[Self::IP]
    }

    /// The same registers continuing at `ip`.
    pub fn with_ip(mut self, ip: u64) -> Self {
        self.0[Self::IP] = ip;
        self
    }

    /// What the system call that the thread is just leaving returned, `-errno` on failure.
    pub fn syscall_result(&self) -> i64 {
        self.0[Self::AX] as i64
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
        (self.0[Self::ORIG_AX] as i64) >= 0 && self.0[Self::AX] as i64 == ERESTART_RESTARTBLOCK
    }

    /// What to set at the exit of a system call, where the machine's kernel decides about a restart, before the thread
    /// continues with these registers; `None` where setting them is enough.
    pub fn feigned_exit(&self) -> Option<Self> {
        None
    }

    /// The same thread sent elsewhere: not inside a system call, direction and trap flags clear.
    pub(crate) fn detached(&self, ip: u64) -> Self {
        let mut regs = self.with_ip(ip);
        regs.0[Self::ORIG_AX] = u64::MAX;
        regs.0[Self::FLAGS] &= !0x500;
        regs
    }

    /// The registers that make an interrupted system call run again from its beginning wherever they are loaded.
    ///
    /// The kernel would do the same on its way out, except for `ERESTART_RESTARTBLOCK` (relative sleeps): what is left
    /// of the time is in the kernel only, so the call starts over with its full time. A sleep that lasts longer is
    /// what every program must expect; an `EINTR` without a signal is not.
    pub fn restarted(&self) -> Self {
        let mut regs = *self;
        let interrupted = matches!(
            regs.0[Self::AX] as i64,
            ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK
        );
        if (regs.0[Self::ORIG_AX] as i64) >= 0 && interrupted {
            regs.0[Self::AX] = regs.0[Self::ORIG_AX];
            regs.0[Self::IP] = regs.0[Self::IP].wrapping_sub(SYSCALL_LEN);
        }
        regs.0[Self::ORIG_AX] = u64::MAX;
        regs
    }

    /// What an image records: as [`restarted`](Regs::restarted), for another process, where no sleep can go on. `code` reads
    /// what stands at an address.
    pub fn elsewhere(&self, code: impl Fn(u64, &mut [u8])) -> Self {
        let mut regs = self.restarted();
        if regs.0[Self::AX] != RESTART_SYSCALL {
            return regs;
        }
        let mut around = [0; BEFORE + SYSCALL.len()];
        code(regs.ip().wrapping_sub(BEFORE as u64), &mut around);
        let (before, at) = around.split_at(BEFORE);
        if at == SYSCALL {
            let args = [Self::DI, Self::SI, Self::DX, Self::R10].map(|register| self.0[register]);
            // mov eax, NUMBER
            let loads = before.windows(5).rev().filter(|code| code[0] == 0xb8);
            let loaded = loads.map(|code| u32::from_le_bytes([code[1], code[2], code[3], code[4]]).into());
            regs.0[Self::AX] = SLEEPS.begun(loaded, args);
        }
        regs
    }

    /// How the call that starts over by [`restarted`](Regs::restarted) was interrupted: the number of `ERESTARTSYS` or
    /// `ERESTARTNOHAND`, by which the kernel decides whether it fails with `EINTR` after a handler. `None`: in no such call,
    /// or in one that starts over in any case.
    pub fn interruption(&self) -> Option<u32> {
        let code = match self.0[Self::AX] as i64 {
            ERESTARTSYS => ERESTARTSYS,
            ERESTARTNOHAND | ERESTART_RESTARTBLOCK => ERESTARTNOHAND,
            _ => return None,
        };
        (self.0[Self::ORIG_AX] as i64 >= 0).then_some(code.unsigned_abs() as u32)
    }

    /// From registers that start a call over those of the stop at which it was interrupted, so that the kernel decides
    /// when the thread leaves such a stop with them; `None` if `interruption` is none.
    pub fn interrupted(&self, interruption: u32) -> Option<Self> {
        let code = -i64::from(interruption);
        let mut regs = *self;
        regs.0[Self::ORIG_AX] = self.0[Self::AX];
        regs.0[Self::AX] = code as u64;
        regs.0[Self::IP] = self.0[Self::IP].wrapping_add(SYSCALL_LEN);
        matches!(code, ERESTARTSYS | ERESTARTNOHAND).then_some(regs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_starts_over() {
        let mut regs = Regs([0; 27]);
        regs.0[Regs::ORIG_AX] = 35;
        regs.0[Regs::AX] = ERESTART_RESTARTBLOCK as u64;
        regs.0[Regs::IP] = 0x1002;
        let again = regs.restarted();
        assert!(regs.resumes_call() && !again.resumes_call());
        assert_eq!((again.0[Regs::AX], again.ip(), again.0[Regs::ORIG_AX]), (35, 0x1000, u64::MAX));
        regs.0[Regs::AX] = 3;
        assert_eq!(regs.restarted().ip(), 0x1002);
    }

    #[test]
    fn an_interruption_is_recorded_beside_the_call() {
        let mut regs = Regs([0; 27]);
        regs.0[Regs::ORIG_AX] = 34;
        regs.0[Regs::AX] = ERESTARTNOHAND as u64;
        regs.0[Regs::IP] = 0x1002;
        assert_eq!(regs.interruption(), Some(514));
        assert_eq!(regs.restarted().interrupted(514), Some(regs));
        assert_eq!((regs.restarted().interruption(), regs.interrupted(4)), (None, None));
        regs.0[Regs::AX] = ERESTART_RESTARTBLOCK as u64;
        assert_eq!(regs.interruption(), Some(514));
        regs.0[Regs::AX] = ERESTARTNOINTR as u64;
        assert_eq!(regs.interruption(), None);
    }

    #[test]
    fn a_sleep_that_was_interrupted_twice_starts_over_as_itself() {
        let mut regs = Regs([0; 27]);
        regs.0[Regs::ORIG_AX] = RESTART_SYSCALL;
        regs.0[Regs::AX] = ERESTART_RESTARTBLOCK as u64;
        regs.0[Regs::IP] = 0x1002;
        regs.0[Regs::SI] = 1;
        regs.0[Regs::DI] = 0x7fff_0000_0000;
        let read = |text: &'static [u8]| {
            move |address: u64, buffer: &mut [u8]| {
                assert_eq!((address, buffer.len()), (0x1002 - 26, 26));
                let at = buffer.len() - text.len();
                buffer[at..].copy_from_slice(text);
            }
        };
        let number = |text| regs.elsewhere(read(text)).0[Regs::AX];
        assert_eq!(number(&[0xb8, 0xca, 0, 0, 0, 0x31, 0xd2, 0x0f, 0x05]), 202);
        assert_eq!(number(&[0x48, 0x89, 0xf8, 0x0f, 0x05]), 7);
        assert_eq!(number(&[0x90]), RESTART_SYSCALL, "no call stands there");
        assert_eq!(regs.restarted().0[Regs::AX], RESTART_SYSCALL, "here the kernel knows what is left");
    }

    #[test]
    fn bytes_of_a_32_bit_task_are_refused() {
        assert_eq!(Regs::from_bytes(&[0; 68]), None);
        let regs = Regs(core::array::from_fn(|i| i as u64));
        assert_eq!(Regs::from_bytes(&regs.to_bytes()), Some(regs));
    }
}
