//! General registers as `PTRACE_GETREGSET` with `NT_PRSTATUS` shows them: `struct user_pt_regs` of
//! arch/arm64/include/uapi/asm/ptrace.h, and how the kernel restarts an interrupted system call
//! (arch/arm64/kernel/signal.c, do_signal).
//!
//! At the stop the kernel has already put the program counter back to the call and x0 to its first argument. It will
//! still exchange the number in x8 for that of restart_syscall(2) if it has the rest of a relative sleep in its restart
//! block, but only if the thread leaves this very stop for that address.

use crate::{CallNumber, RegsAccess, ThreadArea, words};

/// `NT_PRSTATUS`.
pub const REGS_ACCESS: RegsAccess = RegsAccess::Set(1);
/// `NT_ARM_SYSTEM_CALL`.
pub const CALL_NUMBER: CallNumber = CallNumber::Set(0x404);
/// Where in `struct user` the registers of hardware breakpoints are, for PTRACE_POKEUSER: four addresses, two unused, the
/// status and what is enabled: not on this machine.
pub const DEBUG_REGISTERS: Option<usize> = None;
/// It is the register set `NT_ARM_TLS`.
pub const THREAD_AREA: Option<ThreadArea> = None;
/// Bytes of the register set of a 64-bit task; a task in 32-bit mode answers with fewer.
pub const REGS_LEN: usize = WORDS * 8;
/// Bytes of the kernel's `sigset_t`, as `PTRACE_GETSIGMASK` wants them.
pub const SIGMASK_LEN: usize = 8;

/// x0 to x30, sp, pc, pstate.
const WORDS: usize = 34;
const SP: usize = 31;
const PC: usize = 32;
const PSTATE: usize = 33;
/// The number of a system call is in x8.
const NUMBER: usize = 8;
/// PSTATE.BTYPE: the last instruction was an indirect branch, and the next must be one that may be its target.
const BTYPE: u64 = 3 << 10;

/// `svc #0`
const SVC: u32 = 0xd400_0001;
const FUTEX: u64 = 98;
const NANOSLEEP: u64 = 101;
const CLOCK_NANOSLEEP: u64 = 115;
const RESTART_SYSCALL: u64 = 128;
/// Below are no pointers, above no clocks and no futex operations.
const LOWEST_POINTER: u64 = 0x1000;

/// The registers, and of a sleep that goes on by restart_syscall(2) the call with which it has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regs {
    words: [u64; WORDS],
    begun_by: Option<u64>,
}

impl Regs {
    /// From the bytes of the register set; `None` when they are of a 32-bit task.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        words::from_bytes(bytes).map(|words| Regs { words, begun_by: None })
    }

    /// The bytes that `PTRACE_SETREGSET` takes.
    pub fn to_bytes(&self) -> Vec<u8> {
        words::to_bytes(&self.words)
    }

    /// From the words of the register set; `None` of another number of them.
    pub fn from_words(words: &[u64]) -> Option<Self> {
        words.try_into().ok().map(|words| Regs { words, begun_by: None })
    }

    /// The words of the register set, in the kernel's order.
    pub fn words(&self) -> Vec<u64> {
        self.words.to_vec()
    }

    /// Address of the next instruction.
    pub fn ip(&self) -> u64 {
        self.words[PC]
    }

    /// The same registers continuing at `ip`, which no indirect branch has led to.
    pub fn with_ip(mut self, ip: u64) -> Self {
        self.words[PC] = ip;
        self.words[PSTATE] &= !BTYPE;
        self.begun_by = None;
        self
    }

    /// What the system call that the thread is just leaving returned, `-errno` on failure.
    pub fn syscall_result(&self) -> i64 {
        self.words[0] as i64
    }

    /// Whether the thread may be about to make a call again that goes on where it was interrupted, which the kernel
    /// forgets when the thread is sent elsewhere at this stop; `code` is what stands at [`ip`](Regs::ip).
    pub fn may_resume_call(&self, code: &[u8]) -> bool {
        let sleeps = [FUTEX, NANOSLEEP, CLOCK_NANOSLEEP, RESTART_SYSCALL];
        sleeps.contains(&self.words[NUMBER]) && code == SVC.to_le_bytes()
    }

    /// The registers that go on with the interrupted call, after the kernel has been seen to enter `nr` at this stop;
    /// `None` if that call just starts over.
    pub fn resuming(&self, nr: u64) -> Option<Self> {
        let mut regs = *self;
        regs.words[NUMBER] = RESTART_SYSCALL;
        regs.begun_by = Some(match self.words[NUMBER] {
            RESTART_SYSCALL => self.guessed_sleep(),
            number => number,
        });
        (nr == RESTART_SYSCALL).then_some(regs)
    }

    /// The call that a sleep has begun with, after an earlier interruption has changed its number: by its arguments, which
    /// are as they were. clock_nanosleep(clock, flags, ...), futex(word, operation, value, timeout), nanosleep(time, rest).
    fn guessed_sleep(&self) -> u64 {
        let [first, second, _, fourth, ..] = self.words;
        let is_clock = first < LOWEST_POINTER || (first as i32) < 0 && first >> 32 == 0;
        if is_clock || first as i64 >> 32 == -1 {
            CLOCK_NANOSLEEP
        } else if second < LOWEST_POINTER && (second != 0 || fourth >= LOWEST_POINTER) {
            FUTEX
        } else {
            NANOSLEEP
        }
    }

    /// Whether a thread that goes on with these registers makes the call that resumes an interrupted one, restart_syscall(2).
    pub fn resumes_call(&self) -> bool {
        self.begun_by.is_some()
    }

    /// What to set at the exit of a system call before the thread continues with these registers: nothing.
    pub fn feigned_exit(&self) -> Option<Self> {
        None
    }

    /// The same thread sent elsewhere.
    pub(crate) fn detached(&self, ip: u64) -> Self {
        self.with_ip(ip)
    }

    /// The same registers with some of x0 to x30 changed.
    pub(crate) fn with(mut self, changes: impl IntoIterator<Item = (usize, u64)>) -> Self {
        for (number, value) in changes {
            if let Some(word) = self.words.get_mut(number).filter(|_| number < SP) {
                *word = value;
            }
        }
        self
    }

    pub(crate) fn general(&self, number: usize) -> u64 {
        self.words.get(number).copied().unwrap_or(0)
    }

    /// The registers that make an interrupted system call run again from its beginning wherever they are loaded: a sleep
    /// that goes on in this process by the kernel's restart block starts over with its full time, as everywhere.
    pub fn restarted(&self) -> Self {
        let mut regs = *self;
        if let Some(number) = regs.begun_by.take() {
            regs.words[NUMBER] = number;
        }
        regs
    }

    /// What an image records: as [`restarted`](Regs::restarted), for another process, where no sleep can go on. The number that
    /// the sleep began with is known.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at_svc(number: u64, args: [u64; 4]) -> Regs {
        let mut words = [7; WORDS];
        words[NUMBER] = number;
        words[..4].copy_from_slice(&args);
        Regs { words, begun_by: None }
    }

    #[test]
    fn a_sleep_goes_on_here_and_starts_over_elsewhere() {
        let regs = at_svc(NANOSLEEP, [0x8000, 0, 0, 0]);
        assert!(regs.may_resume_call(&SVC.to_le_bytes()) && !regs.may_resume_call(&[0; 4]));
        assert_eq!(regs.resuming(NANOSLEEP), None);
        let here = regs.resuming(RESTART_SYSCALL).unwrap();
        assert!(here.resumes_call() && !here.restarted().resumes_call());
        assert_eq!((here.words[NUMBER], here.restarted()), (RESTART_SYSCALL, regs));
    }

    #[test]
    fn the_number_of_a_sleep_is_found_again() {
        let again = |args| at_svc(RESTART_SYSCALL, args).resuming(RESTART_SYSCALL).unwrap().begun_by;
        assert_eq!(again([1, 0, 0x7fff_0000, 0]), Some(CLOCK_NANOSLEEP));
        assert_eq!(again([-6i64 as u64, 0, 0x7fff_0000, 0]), Some(CLOCK_NANOSLEEP));
        assert_eq!(again([0x7fff_0000, 0, 0, 0]), Some(NANOSLEEP));
        assert_eq!(again([0x7fff_0000, 0x7fff_0010, 0, 0]), Some(NANOSLEEP));
        assert_eq!(again([0x7fff_0000, 0, 5, 0x7fff_0010]), Some(FUTEX));
        assert_eq!(again([0x7fff_0000, 0x189, 5, 0x7fff_0010]), Some(FUTEX));
    }

    #[test]
    fn bytes_of_a_32_bit_task_are_refused() {
        assert_eq!(Regs::from_bytes(&[0; 72]), None);
        let regs = at_svc(3, [1, 2, 3, 4]);
        assert_eq!(Regs::from_bytes(&regs.to_bytes()), Some(regs));
    }
}
