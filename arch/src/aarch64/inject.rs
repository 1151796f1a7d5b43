//! The stub: the only code of ours that ever runs inside another process.
//!
//! It is written into the unused tail of the vdso page, so that it needs no mapping of its own, and does three things:
//!
//! 1. `loop`: execute an array of [`Call`](crate::Call)s, storing each result (`x19` = first, `x20` = one past the last);
//! 2. `tell`: send this very thread the wake signal. The tracer, if it lives, stops the thread here and takes over;
//! 3. `rescue`: reached only when no tracer is left. Unmap the borrowed area, and have the kernel load mask and registers
//!    from the frame that stands right behind the code.
//!
//! The wake signal is one that the victim ignores; sent to a thread without a tracer it vanishes. The stub uses no
//! stack and no vector register, and a signal handler may run at any of its instructions.
//!
//! No branch of this machine reaches all addresses without a register to hold the target, and the thread may have been at
//! any instruction. So the rescue ends in rt_sigreturn(2), which loads everything at once from a frame as signal handlers
//! have it (arch/arm64/kernel/signal.c, struct rt_sigframe). What SVE adds to the vectors does not fit there: a thread that
//! was interrupted between SVE instructions, and whose tracer was killed, has only the lower 128 bits of each.

#![allow(unsafe_code, reason = "nobody but the assembler checks global_asm!")]

use super::regs::Regs;
use crate::RegSet;
use crate::stub::{at, one};

core::arch::global_asm!(
    ".pushsection .rodata.crio_stub,\"a\",@progbits",
    ".balign 16",
    ".globl crio_stub, crio_stub_one, crio_stub_told, crio_stub_saved",
    "crio_stub:",
    "2:  cmp x19, x20",
    "    b.hs 3f",
    "    ldp x8, x0, [x19]",
    "    ldp x1, x2, [x19, #16]",
    "    ldp x3, x4, [x19, #32]",
    "    ldr x5, [x19, #48]",
    "    svc #0",
    "    str x0, [x19, #56]",
    "    add x19, x19, #64",
    "    b 2b",
    "crio_stub_one:",
    "    svc #0",
    "    mov x21, x0",
    "3:  mov x8, #131", // tgkill
    "    ldr w0, 9f + {tgid}",
    "    ldr w1, 9f + {tid}",
    "    ldr w2, 9f + {wake}",
    "    svc #0",
    "crio_stub_told:",
    "    mov x8, #215", // munmap
    "    ldr x0, 9f + {area}",
    "    ldr x1, 9f + {area_len}",
    "    svc #0",
    "    adr x0, 9f",
    "    mov sp, x0",
    "    mov x8, #139", // rt_sigreturn
    "    svc #0",
    ".balign 16",
    "crio_stub_saved:",
    "9:",
    ".popsection",
    tgid = const at::TGID,
    tid = const at::TID,
    wake = const at::WAKE,
    area = const at::AREA,
    area_len = const at::AREA_LEN,
);

/// Offsets in `struct rt_sigframe`: 128 bytes of siginfo, then `struct ucontext` with flags, link, stack_t, sigset_t and
/// room, then `struct sigcontext` with the fault address, the registers and records.
const STACK_FLAGS: usize = 152;
const SIGMASK: usize = 168;
const REGISTERS: usize = 312;
const RECORDS: usize = 592;
/// `struct fpsimd_context`: magic, size, fpsr, fpcr, vregs. The kernel insists on one.
const FPSIMD_MAGIC: u32 = 0x4650_8001;
const FPSIMD_LEN: usize = 528;
/// In NT_PRFPREG the vectors come first.
const VECTORS_LEN: usize = 512;
const NT_PRFPREG: u32 = 2;
/// No valid mode: the kernel leaves the alternate stack as it is (kernel/signal.c, restore_altstack).
const KEEP_STACK: u32 = 4;

/// Bytes of [`frame`]: up to the record of zeros that ends the records; the kernel reads no further.
pub const FRAME_LEN: usize = RECORDS + FPSIMD_LEN + 16;

/// What the rescue code hands to rt_sigreturn(2).
pub fn frame(regs: &Regs, mask: u128, aside: &[RegSet]) -> Vec<u8> {
    let mut frame = vec![0; FRAME_LEN];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(slot) = frame.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    };
    put(STACK_FLAGS, &KEEP_STACK.to_ne_bytes());
    put(SIGMASK, &(mask as u64).to_ne_bytes());
    put(REGISTERS, &regs.to_bytes());
    put(RECORDS, &FPSIMD_MAGIC.to_ne_bytes());
    put(RECORDS + 4, &(FPSIMD_LEN as u32).to_ne_bytes());
    let fpsimd = RegSet::find(aside, NT_PRFPREG).unwrap_or_default();
    let (vectors, modes) = fpsimd.split_at_checked(VECTORS_LEN).unwrap_or_default();
    put(RECORDS + 8, modes.get(..8).unwrap_or_default());
    put(RECORDS + 16, vectors);
    frame
}

/// The registers of a [`frame`].
pub fn from_frame(frame: &[u8]) -> Option<Regs> {
    Regs::from_bytes(frame.get(REGISTERS..REGISTERS + crate::REGS_LEN)?)
}

/// The registers with which a thread, now at `victim`, executes the calls in `[first, end)` by the stub at `stub`.
pub fn enter(victim: &Regs, stub: u64, first: u64, end: u64) -> Regs {
    victim.detached(stub).with([(19, first), (20, end)])
}

/// The registers with which a thread executes the single call `nr(args)`, which needs no memory.
pub fn enter_one(victim: &Regs, stub: u64, nr: u64, args: [u64; 6]) -> Regs {
    let regs = victim.detached(stub + one());
    regs.with([(8, nr)]).with(args.into_iter().enumerate())
}

/// What the call of [`enter_one`] returned, read off the registers after the stub has told the tracer.
pub fn result_of_one(regs: &Regs) -> i64 {
    regs.general(21) as i64
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
    fn labels_are_in_order_and_the_frame_is_aligned() {
        let (one, told) = (one(), told());
        assert!(0 < one && one < told && told < stub().len() as u64);
        assert_eq!((stub().len() % 16, FRAME_LEN % 16), (0, 0));
        assert!(stub_len() < 1400, "must fit the vdso's tail: {}", stub_len());
    }

    #[test]
    fn the_frame_holds_registers_vectors_and_modes() {
        let regs = Regs::from_words(&(1..35).collect::<Vec<u64>>()).unwrap();
        let mut fpsimd = vec![3; VECTORS_LEN];
        fpsimd.extend([1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let frame = frame(&regs, 5, &[RegSet { kind: NT_PRFPREG, bytes: fpsimd }]);
        assert_eq!(from_frame(&frame), Some(regs));
        assert_eq!((frame[SIGMASK], frame[RECORDS + 8], frame[RECORDS + 12]), (5, 1, 2));
        assert!(frame[RECORDS + 16..RECORDS + FPSIMD_LEN].iter().all(|byte| *byte == 3));
        assert!(frame[RECORDS + FPSIMD_LEN..].iter().all(|byte| *byte == 0));
    }
}
