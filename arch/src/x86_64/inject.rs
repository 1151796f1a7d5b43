//! The stub: the only code of ours that ever runs inside another process.
//!
//! It is written into the unused tail of the vdso page, so that it needs no mapping of its own, and does three things:
//!
//! 1. `loop`: execute an array of [`Call`](crate::Call)s, storing each result (`rbx` = first, `r12` = one past the last);
//! 2. `tell`: send this very thread the wake signal. The tracer, if it lives, stops the thread here and takes over;
//! 3. `rescue`: reached only when no tracer is left. Put the signal mask back, unmap the borrowed area, load every
//!    general register from [`Saved`](crate::Saved) (which stands right behind the code) and jump to where the thread was.
//!
//! The wake signal is one that the victim ignores; sent to a thread without a tracer it vanishes. The stub uses no
//! stack and no vector register, so the thread's own ones need no saving, and a signal handler may run at any of its
//! instructions. Flags are put back by `sahf` and friends because `popf` would need a stack.

#![allow(unsafe_code, reason = "nobody but the assembler checks global_asm!")]

use super::regs::Regs;
use crate::RegSet;
use crate::stub::{at, one};

core::arch::global_asm!(
    ".pushsection .rodata.crio_stub,\"a\",@progbits",
    ".balign 16",
    ".globl crio_stub, crio_stub_one, crio_stub_told, crio_stub_saved",
    "crio_stub:",
    "2:  cmp rbx, r12",
    "    jae 3f",
    "    mov rax, [rbx]",
    "    mov rdi, [rbx + 8]",
    "    mov rsi, [rbx + 16]",
    "    mov rdx, [rbx + 24]",
    "    mov r10, [rbx + 32]",
    "    mov r8, [rbx + 40]",
    "    mov r9, [rbx + 48]",
    "    syscall",
    "    mov [rbx + 56], rax",
    "    add rbx, 64",
    "    jmp 2b",
    "crio_stub_one:",
    "    syscall",
    "    mov r13, rax",
    "3:  mov eax, 234", // tgkill
    "    mov edi, [rip + 9f + {tgid}]",
    "    mov esi, [rip + 9f + {tid}]",
    "    mov edx, [rip + 9f + {wake}]",
    "    syscall",
    "crio_stub_told:",
    "    mov eax, 14", // rt_sigprocmask(SIG_SETMASK, &mask, NULL, 8)
    "    mov edi, 2",
    "    lea rsi, [rip + 9f + {mask}]",
    "    xor edx, edx",
    "    mov r10d, 8",
    "    syscall",
    "    mov eax, 11", // munmap
    "    mov rdi, [rip + 9f + {area}]",
    "    mov rsi, [rip + 9f + {area_len}]",
    "    syscall",
    "    cld",
    "    mov eax, [rip + 9f + {eflags}]",
    "    test eax, 0x400",
    "    jz 4f",
    "    std",
    "4:  mov ecx, eax",
    "    shr ecx, 11",
    "    and ecx, 1",
    "    mov ah, al", // sahf loads SF ZF AF PF CF from ah
    "    mov al, cl",
    "    add al, 0x7f", // overflows into OF exactly when it was set
    "    sahf",
    "    mov r15, [rip + 9f + 0]",
    "    mov r14, [rip + 9f + 8]",
    "    mov r13, [rip + 9f + 16]",
    "    mov r12, [rip + 9f + 24]",
    "    mov rbp, [rip + 9f + 32]",
    "    mov rbx, [rip + 9f + 40]",
    "    mov r11, [rip + 9f + 48]",
    "    mov r10, [rip + 9f + 56]",
    "    mov r9, [rip + 9f + 64]",
    "    mov r8, [rip + 9f + 72]",
    "    mov rax, [rip + 9f + 80]",
    "    mov rcx, [rip + 9f + 88]",
    "    mov rdx, [rip + 9f + 96]",
    "    mov rsi, [rip + 9f + 104]",
    "    mov rdi, [rip + 9f + 112]",
    "    mov rsp, [rip + 9f + {sp}]",
    "    jmp [rip + 9f + {ip}]",
    ".balign 8",
    "crio_stub_saved:",
    "9:",
    ".popsection",
    tgid = const at::TGID,
    tid = const at::TID,
    wake = const at::WAKE,
    mask = const at::MASK,
    area = const at::AREA,
    area_len = const at::AREA_LEN,
    eflags = const Regs::FLAGS * 8,
    sp = const Regs::SP * 8,
    ip = const Regs::IP * 8,
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
    regs.0[Regs::BX] = first;
    regs.0[Regs::R12] = end;
    regs
}

/// The registers with which a thread executes the single call `nr(args)`, which needs no memory.
pub fn enter_one(victim: &Regs, stub: u64, nr: u64, args: [u64; 6]) -> Regs {
    let mut regs = victim.detached(stub + one());
    regs.0[Regs::AX] = nr;
    for (slot, value) in [Regs::DI, Regs::SI, Regs::DX, Regs::R10, Regs::R8, Regs::R9].into_iter().zip(args) {
        regs.0[slot] = value;
    }
    regs
}

/// What the call of [`enter_one`] returned, read off the registers after the stub has told the tracer.
pub fn result_of_one(regs: &Regs) -> i64 {
    regs.0[Regs::R13] as i64
}

/// Maps `len` bytes that cannot be accessed by the mmap2(2) of 32-bit programs, from a program of 64 bits: the address, or
/// an errno, negative. A kernel without 32-bit programs sends a signal, SIGSEGV.
pub fn mmap_of_32_bits(len: u32) -> Option<i32> {
    const MMAP2: i32 = 192; // arch/x86/entry/syscalls/syscall_32.tbl
    const MAP_PRIVATE_ANONYMOUS: i32 = 0x22;
    let result;
    // SAFETY: a new mapping at a place of the kernel's choice touches none of ours; what the kernel may change is named.
    unsafe {
        core::arch::asm!(
            "push rbx", "push rbp", "xor ebx, ebx", "xor ebp, ebp", "int 0x80", "pop rbp", "pop rbx",
            inlateout("eax") MMAP2 => result,
            in("ecx") len, in("edx") 0, in("esi") MAP_PRIVATE_ANONYMOUS, in("edi") -1,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    Some(result)
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
        assert!(stub_len() < 640, "must fit the vdso's tail: {}", stub_len());
    }
}
