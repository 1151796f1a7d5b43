//! The stub: the only code of ours that ever runs inside another process.
//!
//! It is written behind what is loaded of the vdso page, so that it needs no mapping of its own, and does three things:
//!
//! 1. `loop`: execute an array of [`Call`](crate::Call)s, storing each result (`$s0` = first, `$s1` = one past the last);
//! 2. `tell`: send this very thread the wake signal. The tracer, if it lives, stops the thread here and takes over;
//! 3. `rescue`: reached only when no tracer is left. Put the signal mask back, unmap the borrowed area, load every
//!    general register from [`Saved`](crate::Saved) (which stands right behind the code) and jump to where the thread was.
//!
//! The wake signal is one that the victim ignores; sent to a thread without a tracer it vanishes. The stub uses no
//! stack and no floating point register, so the thread's own ones need no saving, and a signal handler may run at any
//! of its instructions. A jump needs a register, and the rescue has but one to spare for its last: `$k0`, which no
//! program can use because the kernel overwrites it at each interrupt. One that comes between the load of `$k0` and
//! the next instruction would ruin the jump; both are in one cache line.
//!
//! Code finds [`Saved`](crate::Saved) by a `bal` at the very end, whose return address it is; `$s0` to `$s2` and `$ra` survive system
//! calls, `$at`, `$t0` and the like do not.

#![allow(unsafe_code, reason = "nobody but the assembler checks global_asm!")]

use super::regs::Regs;
use crate::RegSet;
use crate::stub::{at, one};

core::arch::global_asm!(
    ".pushsection .rodata.crio_stub,\"a\",@progbits",
    ".set push",
    ".set noreorder",
    ".set noat",
    ".balign 16",
    ".globl crio_stub, crio_stub_one, crio_stub_told, crio_stub_saved",
    "crio_stub:",
    "2:  sltu $1, $16, $17",
    "    beq $1, $0, 3f",
    "    nop",
    "    ld $2, 0($16)",
    "    ld $4, 8($16)",
    "    ld $5, 16($16)",
    "    ld $6, 24($16)",
    "    ld $7, 32($16)",
    "    ld $8, 40($16)",
    "    ld $9, 48($16)",
    "    syscall",
    "    beq $7, $0, 1f", // $a3 says whether $v0 is an error number
    "    nop",
    "    dsubu $2, $0, $2",
    "1:  sd $2, 56($16)",
    "    beq $0, $0, 2b",
    "    daddiu $16, $16, 64",
    "crio_stub_one:",
    "    syscall",
    "    beq $7, $0, 3f",
    "    daddu $18, $2, $0",
    "    dsubu $18, $0, $2",
    "3:  beq $0, $0, 8f",
    "    nop",
    "4:  addiu $2, $0, {tgkill}",
    "    lw $4, {tgid}($31)",
    "    lw $5, {tid}($31)",
    "    lw $6, {wake}($31)",
    "    syscall",
    "crio_stub_told:",
    "    addiu $2, $0, {sigprocmask}",
    "    addiu $4, $0, {setmask}",
    "    daddiu $5, $31, {mask}",
    "    daddu $6, $0, $0",
    "    addiu $7, $0, 16",
    "    syscall",
    "    addiu $2, $0, {munmap}",
    "    ld $4, {area}($31)",
    "    ld $5, {area_len}($31)",
    "    syscall",
    "    ld $1, {lo}($31)",
    "    ld $2, {hi}($31)",
    "    mtlo $1",
    "    mthi $2",
    "    ld $1, 8($31)",
    "    ld $2, 16($31)",
    "    ld $3, 24($31)",
    "    ld $4, 32($31)",
    "    ld $5, 40($31)",
    "    ld $6, 48($31)",
    "    ld $7, 56($31)",
    "    ld $8, 64($31)",
    "    ld $9, 72($31)",
    "    ld $10, 80($31)",
    "    ld $11, 88($31)",
    "    ld $12, 96($31)",
    "    ld $13, 104($31)",
    "    ld $14, 112($31)",
    "    ld $15, 120($31)",
    "    ld $16, 128($31)",
    "    ld $17, 136($31)",
    "    ld $18, 144($31)",
    "    ld $19, 152($31)",
    "    ld $20, 160($31)",
    "    ld $21, 168($31)",
    "    ld $22, 176($31)",
    "    ld $23, 184($31)",
    "    ld $24, 192($31)",
    "    ld $25, 200($31)",
    "    ld $28, 224($31)",
    "    ld $29, 232($31)",
    "    ld $30, 240($31)",
    "    ld $26, {epc}($31)",
    "    jr $26",
    "    ld $31, 248($31)",
    ".balign 8",
    "8:  bal 4b",
    "    nop",
    "crio_stub_saved:",
    ".set pop",
    ".popsection",
    tgkill = const libc::SYS_tgkill,
    sigprocmask = const libc::SYS_rt_sigprocmask,
    munmap = const libc::SYS_munmap,
    setmask = const libc::SIG_SETMASK,
    tgid = const at::TGID,
    tid = const at::TID,
    wake = const at::WAKE,
    mask = const at::MASK,
    area = const at::AREA,
    area_len = const at::AREA_LEN,
    lo = const Regs::LO * 8,
    hi = const Regs::HI * 8,
    epc = const Regs::EPC * 8,
);

/// Bytes of [`frame`].
pub const FRAME_LEN: usize = crate::REGS_LEN;

/// What the rescue code loads the registers from: their ptrace layout. System calls change no other register.
pub fn frame(regs: &Regs, _mask: u128, _aside: &[RegSet]) -> Vec<u8> {
    regs.to_bytes()
}

/// The registers of a [`frame`].
pub fn from_frame(frame: &[u8]) -> Option<Regs> {
    Regs::from_bytes(frame)
}

/// The registers with which a thread, now at `victim`, executes the calls in `[first, end)` by the stub at `stub`.
pub fn enter(victim: &Regs, stub: u64, first: u64, end: u64) -> Regs {
    let mut regs = victim.detached(stub);
    regs.0[Regs::S0] = first;
    regs.0[Regs::S1] = end;
    regs
}

/// The registers with which a thread executes the single call `nr(args)`, which needs no memory.
pub fn enter_one(victim: &Regs, stub: u64, nr: u64, args: [u64; 6]) -> Regs {
    let mut regs = victim.detached(stub + one());
    regs.0[Regs::V0] = nr;
    regs.0[Regs::A0..Regs::A0 + 6].copy_from_slice(&args);
    regs
}

/// What the call of [`enter_one`] returned, read off the registers after the stub has told the tracer.
pub fn result_of_one(regs: &Regs) -> i64 {
    regs.0[Regs::S2] as i64
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
        assert!(stub_len() < 700, "two must fit behind the vdso: {}", stub_len());
    }
}
