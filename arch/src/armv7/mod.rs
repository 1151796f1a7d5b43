//! 32-bit ARM from v7 on, EABI, little endian; programs in ARM and in Thumb code.

pub(crate) mod fpu;
pub(crate) mod inject;
pub(crate) mod regs;
pub mod syscall;
pub(crate) mod vdso;

/// This machine.
pub const MACHINE: crate::Machine = crate::Machine::Armv7;
