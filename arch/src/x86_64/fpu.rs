//! Floating point and vectors: one register set, the XSAVE area in its standard (not compacted) format, as
//! `PTRACE_GETREGSET` with `NT_X86_XSTATE` shows it (arch/x86/kernel/fpu/regset.c). Intel SDM vol. 1, chapter 13.

use std::sync::OnceLock;

use crate::RegSet;

/// The register sets besides the general registers: `NT_X86_XSTATE`, and `NT_386_TLS` for the descriptors that a 64-bit
/// thread has set, too, by a 32-bit system call (set_thread_area(2)).
pub const FPU_REGSETS: &[u32] = &[0x202, 0x200];
/// Those of them that making a system call changes: none.
pub const CALL_CLOBBERS: &[u32] = &[];
/// Bytes that are enough for it on every CPU so far (AMX: 11008), with room to grow.
pub const FPU_CAPACITY: usize = 32 << 10;

/// The sets in the order in which they are to be set.
pub fn arrange(sets: &[RegSet]) -> Vec<&RegSet> {
    sets.iter().collect()
}

/// Offset and size, in bytes, of component `number` in the area of this CPU; CPUID leaf 0xd. `None` if it has none.
pub fn component(number: u32) -> Option<(usize, usize)> {
    // CPUID leaves a virtual machine each time, which costs more than all else that is done for a thread.
    static LAYOUT: OnceLock<[Option<(usize, usize)>; 64]> = OnceLock::new();
    let layout = LAYOUT.get_or_init(|| core::array::from_fn(|number| ask(number as u32)));
    layout.get(number as usize).copied().flatten()
}

fn ask(number: u32) -> Option<(usize, usize)> {
    let leaf = core::arch::x86_64::__cpuid_count(0xd, number);
    (leaf.eax != 0).then_some((leaf.ebx as usize, leaf.eax as usize))
}
