//! aarch64: 64-bit tasks, little endian. Tasks in 32-bit mode are refused by the survey.

pub(crate) mod fpu;
pub(crate) mod inject;
pub(crate) mod regs;
pub mod syscall;
pub(crate) mod vdso;

/// This machine.
pub const MACHINE: crate::Machine = crate::Machine::Aarch64;
