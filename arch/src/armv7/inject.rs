//! The stub: the only code of ours that ever runs inside another process.
//!
//! It is written into the unused tail of the vdso page, so that it needs no mapping of its own, and does three things:
//!
//! 1. `loop`: execute an array of [`Call`](crate::Call)s, storing each result (`r8` = first, `r9` = one past the last);
//! 2. `tell`: send this very thread the wake signal. The tracer, if it lives, stops the thread here and takes over;
//! 3. `rescue`: reached only when no tracer is left. Unmap the borrowed area, then return from a signal that never came:
//!    rt_sigreturn(2) loads all registers, the state of Thumb's IT blocks among them, and the signal mask from the
//!    [`frame`], which stands right behind the code.
//!
//! The wake signal is one that the victim ignores; sent to a thread without a tracer it vanishes. The stub uses no
//! stack and no vector register. It is ARM code.

#![allow(unsafe_code, reason = "nobody but the assembler checks global_asm!")]

use super::regs::{Regs, result};
use crate::RegSet;
use crate::stub::{at, one};

core::arch::global_asm!(
    ".pushsection .rodata.crio_stub,\"a\",%progbits",
    ".arm",
    ".balign 16",
    ".globl crio_stub, crio_stub_one, crio_stub_told, crio_stub_saved",
    "crio_stub:",
    "2:  cmp r8, r9",
    "    bhs 3f",
    "    ldr r7, [r8]",
    "    ldr r0, [r8, #8]",
    "    ldr r1, [r8, #16]",
    "    ldr r2, [r8, #24]",
    "    ldr r3, [r8, #32]",
    "    ldr r4, [r8, #40]",
    "    ldr r5, [r8, #48]",
    "    svc 0",
    "    mov r1, #0",
    "    cmn r0, #4096", // carries for -4096 and above
    "    mvncs r1, #0",
    "    str r0, [r8, #56]",
    "    str r1, [r8, #60]",
    "    add r8, r8, #64",
    "    b 2b",
    "crio_stub_one:",
    "    svc 0",
    "    mov r10, r0",
    "3:  adr r4, 9f",
    "    ldr r0, [r4, #{tgid}]",
    "    ldr r1, [r4, #{tid}]",
    "    ldr r2, [r4, #{wake}]",
    "    movw r7, #268", // tgkill
    "    svc 0",
    "crio_stub_told:",
    "    adr r4, 9f",
    "    ldr r0, [r4, #{area}]",
    "    ldr r1, [r4, #{area_len}]",
    "    mov r7, #91", // munmap
    "    svc 0",
    "    sub sp, r4, #{siginfo}",
    "    mov r7, #173", // rt_sigreturn
    "    svc 0",
    ".balign 8",
    "crio_stub_saved:",
    "9:",
    ".popsection",
    tgid = const at::TGID,
    tid = const at::TID,
    wake = const at::WAKE,
    area = const at::AREA,
    area_len = const at::AREA_LEN,
    siginfo = const SIGINFO_LEN,
);

/// A frame begins with the `siginfo_t` of the signal, which nobody reads on the way back: the code may stand there.
const SIGINFO_LEN: usize = 128;
/// Offsets in `struct ucontext` of arch/arm/include/asm/ucontext.h: flags of the alternate stack, then in
/// `struct sigcontext` r0 and those that follow, the mask, the coprocessors' registers.
const UC_STACK_FLAGS: usize = 12;
const UC_REGS: usize = 32;
const UC_SIGMASK: usize = 104;
const UC_REGSPACE: usize = 232;
/// `struct vfp_sigframe`: magic and size, `struct user_vfp`, then FPEXC, FPINST, FPINST2.
const VFP_MAGIC: u32 = 0x5646_5001;
const VFP_LEN: usize = 288;
const VFP_REGS: usize = 8;
/// r0 to r15 and cpsr, as ptrace has them.
const CONTEXT_WORDS: usize = Regs::CPSR + 1;
/// Flags that sigaltstack(2) refuses, so that the alternate stack stays as it is (kernel/signal.c, restore_altstack).
const KEEP_STACK: u32 = 0x7fff_ffff;

/// Bytes of [`frame`].
pub const FRAME_LEN: usize = UC_REGSPACE + VFP_LEN;

/// What the rescue code returns from: `struct ucontext` as far as `do_rt_sigreturn` of arch/arm/kernel/signal.c reads it.
pub fn frame(regs: &Regs, mask: u128, aside: &[RegSet]) -> Vec<u8> {
    let mut bytes = vec![0; FRAME_LEN];
    let mut put = |at: usize, part: &[u8]| {
        if let Some(slot) = bytes.get_mut(at..at + part.len()) {
            slot.copy_from_slice(part);
        }
    };
    put(UC_STACK_FLAGS, &KEEP_STACK.to_ne_bytes());
    put(UC_REGS, regs.to_bytes().get(..CONTEXT_WORDS * 4).unwrap_or_default());
    put(UC_SIGMASK, &(mask as u64).to_ne_bytes());
    put(UC_REGSPACE, &[VFP_MAGIC, VFP_LEN as u32].map(u32::to_ne_bytes).concat());
    let vfp = RegSet::find(aside, super::fpu::FPU_REGSETS[0]).unwrap_or_default();
    put(UC_REGSPACE + VFP_REGS, vfp.get(..VFP_LEN - VFP_REGS - 16).unwrap_or(vfp));
    bytes
}

/// The registers of a [`frame`].
pub fn from_frame(frame: &[u8]) -> Option<Regs> {
    let words = frame.get(UC_REGS..UC_REGS + CONTEXT_WORDS * 4)?;
    Regs::from_bytes(&[words, &u32::MAX.to_ne_bytes()].concat())
}

/// The registers with which a thread, now at `victim`, executes the calls in `[first, end)` by the stub at `stub`.
pub fn enter(victim: &Regs, stub: u64, first: u64, end: u64) -> Regs {
    let mut regs = victim.detached(stub);
    regs.0[Regs::R8] = first;
    regs.0[Regs::R9] = end;
    regs
}

/// The registers with which a thread executes the single call `nr(args)`, which needs no memory.
pub fn enter_one(victim: &Regs, stub: u64, nr: u64, args: [u64; 6]) -> Regs {
    let mut regs = victim.detached(stub + one());
    regs.0[Regs::R7] = nr;
    for (slot, value) in regs.0.iter_mut().zip(args) {
        *slot = value;
    }
    regs
}

/// What the call of [`enter_one`] returned, read off the registers after the stub has told the tracer.
pub fn result_of_one(regs: &Regs) -> i64 {
    result(regs.0[Regs::R10])
}

/// Maps memory by the call of 32-bit programs, from a program of 64 bits: no such call is made on this machine.
pub fn mmap_of_32_bits(_len: u32) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stub, stub_len, told};

    #[test]
    fn labels_are_in_order_and_saved_is_aligned() {
        let (one, told) = (one(), told());
        assert!(0 < one && one < told && told < stub().len() as u64);
        assert_eq!(stub().len() % 8, 0);
        assert!(stub_len() < 840, "must fit the vdso's tail: {}", stub_len());
    }

    #[test]
    fn a_frame_holds_registers_mask_and_vectors() {
        let mut regs = Regs(core::array::from_fn(|i| i as u64 + 1));
        regs.0[Regs::ORIG_R0] = u32::MAX.into();
        let vfp = RegSet { kind: 0x400, bytes: vec![7; 260] };
        let frame = frame(&regs, 0x0102_0304_0506_0708, &[vfp]);
        assert_eq!(from_frame(&frame), Some(regs));
        assert_eq!(frame[UC_SIGMASK..UC_SIGMASK + 2], [8, 7]);
        let end = UC_REGSPACE + VFP_REGS + 260;
        assert_eq!((frame[end - 1], frame[end]), (7, 0));
    }
}
