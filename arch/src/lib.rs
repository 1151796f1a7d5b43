//! Everything that differs between machines, and nothing else.
//!
//! This is the only file of the workspace that names `target_arch`. It picks one folder, then re-exports one explicit
//! list: that list is the porting guide, and a backend that lacks a name does not compile. Every folder has the same
//! files; callers never ask which machine they are on.
//!
//! | file | what a backend defines there |
//! |---|---|
//! | `inject` | the code of the [`stub`] that runs in a borrowed thread, how to [`enter`] it, and the [`frame`] it rescues from |
//! | `regs` | general registers as ptrace shows them ([`Regs`], [`REGS_ACCESS`]), and what a restarted system call needs |
//! | `fpu` | the other register sets: [`FPU_REGSETS`], and those that a system call changes: [`CALL_CLOBBERS`] |
//! | `syscall` | numbers and argument layouts that are not the same everywhere |
//! | `vdso` | where the kernel's own code lives, and how to replace it: [`VDSO_SYMBOLS`], [`vdso_jump`] |
//!
//! What is the same on all machines: [`Call`] and [`Saved`], which the stub reads; [`RegSet`] and the kinds of ptrace
//! request that a backend chooses from; [`SigAction`], but for its layout; what words of 64 bits make equal (`lp64`).
//!
//! **Interrupted system calls.** At a ptrace stop a kernel has decided about a restart (arm, aarch64: the program counter
//! is back at the call) or has not (x86-64, MIPS: the registers tell it to, when the thread leaves). [`Regs`] knows: what
//! starts the call over is `restarted()`, and `elsewhere()` in an image, for another process. Relative sleeps go on where they were only in
//! the same process, by the kernel's restart block. Where sending the thread elsewhere would lose it,
//! `may_resume_call()` says that it may be there; the tracer then lets the thread enter the call, reads its number and
//! skips it; `resuming(nr)` are the registers that later go on with it; `resumes_call()` tells of any registers whether they
//! do. `feigned_exit()`, where there is one, is set at the
//! exit of a system call first, so that the kernel takes its decision again. `interruption()` goes into the image beside
//! the call that starts over, and `interrupted()` puts it back, where the registers are what the kernel decides by: then a
//! handler that runs before the restored thread's first step makes the call fail with `EINTR`.

// Assembly for MIPS is unstable (rust-lang/rust#93335), and so is the target's std: both ask for a bootstrap compiler.
#![cfg_attr(target_arch = "mips64", feature(asm_experimental_arch))]

mod access;
#[cfg(target_pointer_width = "64")]
mod lp64;
mod sigaction;
// Elsewhere the kernel leaves the number alone, or more of it can be seen.
#[cfg(any(target_arch = "x86_64", target_arch = "mips64"))]
mod sleep;
mod stub;
mod words;

/// The machines there are backends for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// `x86_64`, 64-bit tasks.
    X86_64,
    /// `aarch64`.
    Aarch64,
    /// 32-bit ARM from v7 on.
    Armv7,
    /// Little endian MIPS, ABI n64.
    Mips64,
}

#[cfg(target_arch = "x86_64")]
#[path = "x86_64/mod.rs"]
mod machine;
#[cfg(target_arch = "arm")]
#[path = "armv7/mod.rs"]
mod machine;
#[cfg(target_arch = "aarch64")]
#[path = "aarch64/mod.rs"]
mod machine;

#[cfg(target_arch = "mips64")]
#[path = "mips64/mod.rs"]
mod machine;

pub use access::{CallNumber, RegSet, RegsAccess, ThreadArea};
pub use machine::MACHINE;
pub use machine::fpu::{
    CALL_CLOBBERS, FPU_CAPACITY, FPU_REGSETS, arrange, component as fpu_component, refusal,
};
pub use machine::inject::{FRAME_LEN, enter, enter_one, frame, from_frame, mmap_of_32_bits, result_of_one};
pub use machine::regs::{
    CALL_NUMBER, DEBUG_REGISTERS, REGS_ACCESS, REGS_LEN, Regs, SIGMASK_LEN, THREAD_AREA,
};
pub use machine::syscall;
pub use machine::vdso::{VDSO_JUMP_LEN, VDSO_SYMBOLS, vdso_jump};
pub use sigaction::{SIGACTION_LEN, SigAction};
pub use stub::{Call, SAVED_LEN, Saved, stub, stub_len, told};
