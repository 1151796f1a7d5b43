//! Little endian MIPS64, ABI n64. Programs of o32 and n32 are 32-bit ones, which the survey refuses.

pub(crate) mod fpu;
pub(crate) mod inject;
pub(crate) mod regs;
pub mod syscall;
pub(crate) mod vdso;

/// This machine.
pub const MACHINE: crate::Machine = crate::Machine::Mips64;
