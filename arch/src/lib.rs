//! Everything that differs between machines, and nothing else.
//!
//! This is the only file of the workspace that names `target_arch`. It picks one folder, then re-exports one explicit
//! list: that list is the porting guide, and a backend that lacks a name does not compile. Every folder has the same
//! files; callers never ask which machine they are on.
//!
//! | file | what a backend defines there |
//! |---|---|
//! | `inject` | the stub that runs in a borrowed thread: [`stub`], [`Call`], [`Saved`], [`enter`] |
//! | `regs` | general registers as ptrace shows them, and what a restarted system call needs: [`Regs`] |
//! | `fpu` | the register sets of floating point and vectors: [`FPU_REGSET`], [`FPU_CAPACITY`] |
//! | `syscall` | numbers and argument layouts that are not the same everywhere |
//! | `vdso` | where the kernel's own code lives, and how to replace it: [`VDSO_SYMBOLS`], [`vdso_jump`] |

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

pub use machine::MACHINE;
pub use machine::fpu::{FPU_CAPACITY, FPU_REGSET, component as fpu_component};
pub use machine::inject::{Call, Saved, enter, enter_one, result_of_one, stub, stub_len, told};
pub use machine::regs::{REGS_LEN, Regs, SIGMASK_LEN};
pub use machine::syscall;
pub use machine::vdso::{VDSO_JUMP_LEN, VDSO_SYMBOLS, vdso_jump};
