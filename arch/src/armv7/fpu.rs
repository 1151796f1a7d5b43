//! Floating point and vectors: d0 to d31 and FPSCR, in one register set (`NT_ARM_VFP`, `struct user_vfp` of
//! arch/arm/include/asm/user.h). Where a processor has d0 to d15 only, the kernel keeps what is said of the others.
//!
//! iWMMXt is a coprocessor of XScale, which is no v7.

use crate::RegSet;

/// The register sets besides the general registers: `NT_ARM_VFP`.
pub const FPU_REGSETS: &[u32] = &[0x400];
/// Those of them that a borrowed thread does not keep: rt_sigreturn(2), by which the stub gives a thread back, wants them.
pub const CALL_CLOBBERS: &[u32] = FPU_REGSETS;
/// Bytes that are enough for the set.
pub const FPU_CAPACITY: usize = 512;

/// The sets in the order in which they are to be set.
pub fn arrange(sets: &[RegSet]) -> Vec<&RegSet> {
    sets.iter().collect()
}

/// Why a thread with these sets cannot be borrowed or kept: there is no such thing here.
pub fn refusal(_sets: &[RegSet]) -> Option<(&'static str, &'static str)> {
    None
}

/// Offset and size of a component of an XSAVE area: this machine has none.
pub fn component(_number: u32) -> Option<(usize, usize)> {
    None
}
