//! Registers of one thread, for every machine that CRIU's format knows: an image can be shown anywhere.
//!
//! This is data, not behaviour: what a machine does with its registers is in the crate `arch`.

pub mod aarch64;
pub mod arm;
pub mod loongarch64;
pub mod mips;
pub mod ppc64;
pub mod riscv64;
pub mod s390;
pub mod x86;

pub use aarch64::*;
pub use arm::*;
pub use loongarch64::*;
pub use mips::*;
pub use ppc64::*;
pub use riscv64::*;
pub use s390::*;
pub use x86::*;
