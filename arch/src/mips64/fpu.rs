//! Floating point and its extensions, as `PTRACE_GETREGSET` shows them (arch/mips/kernel/ptrace.c). Other modes of the
//! FPU than 64-bit registers (FR=1) are for o32 only (prctl PR_SET_FP_MODE), so there is no mode to keep.

use crate::RegSet;

/// 32 registers of 64 bits, FCSR and FIR.
const NT_PRFPREG: u32 = 2;
/// Three more accumulators, and DSPControl.
const NT_MIPS_DSP: u32 = 0x800;
/// The same registers with 128 bits, and MSACSR.
const NT_MIPS_MSA: u32 = 0x802;

/// The register sets besides the general registers. DSP and MSA are there if the kernel was built with them.
pub const FPU_REGSETS: &[u32] = &[NT_PRFPREG, NT_MIPS_DSP, NT_MIPS_MSA];
/// Those of them that making a system call changes: none.
pub const CALL_CLOBBERS: &[u32] = &[];
/// Bytes that are more than any of them has (MSA: 528).
pub const FPU_CAPACITY: usize = 1024;

/// The sets in the order in which they are to be set: MSA overlays the floating point registers, which have the lower
/// half of each.
pub fn arrange(sets: &[RegSet]) -> Vec<&RegSet> {
    let mut sets: Vec<&RegSet> = sets.iter().collect();
    sets.sort_by_key(|set| set.kind);
    sets
}

/// Why a thread with these sets cannot be borrowed or kept: there is no such thing here.
pub fn refusal(_sets: &[RegSet]) -> Option<(&'static str, &'static str)> {
    None
}

/// There are no components: a set has one layout on every CPU.
pub fn component(_number: u32) -> Option<(usize, usize)> {
    None
}
