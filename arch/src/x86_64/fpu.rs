//! Floating point and vectors: one register set, the XSAVE area in its standard (not compacted) format, as
//! `PTRACE_GETREGSET` with `NT_X86_XSTATE` shows it (arch/x86/kernel/fpu/regset.c). Intel SDM vol. 1, chapter 13.

use std::sync::OnceLock;

use crate::RegSet;

const NT_X86_XSTATE: u32 = 0x202;
const NT_386_TLS: u32 = 0x200;
/// Components XTILECFG and XTILEDATA of XSTATE_BV, which is the first word behind the legacy area of 512 bytes.
const AMX: u64 = 3 << 17;

/// The register sets besides the general registers. A 64-bit thread, too, can set descriptors of thread-local storage, by
/// a 32-bit system call (set_thread_area(2)).
pub const FPU_REGSETS: &[u32] = &[NT_X86_XSTATE, NT_386_TLS];
/// Those of them that making a system call changes: none.
pub const CALL_CLOBBERS: &[u32] = &[];
/// Bytes that are enough for it on every CPU so far (AMX: 11008), with room to grow.
pub const FPU_CAPACITY: usize = 32 << 10;

/// The sets in the order in which they are to be set.
pub fn arrange(sets: &[RegSet]) -> Vec<&RegSet> {
    sets.iter().collect()
}

/// Why a thread with these sets cannot be borrowed or kept: the code of the error and its text.
pub fn refusal(sets: &[RegSet]) -> Option<(&'static str, &'static str)> {
    let header = RegSet::find(sets, NT_X86_XSTATE).and_then(|area| area.get(512..520)?.first_chunk());
    let present = header.map_or(0, |word| u64::from_le_bytes(*word));
    (present & AMX != 0).then_some(("E-CPU-AMX", "uses matrix registers (AMX), which are not kept yet"))
}

/// Offset and size, in bytes, of component `number` in the area of this CPU; CPUID leaf 0xd. `None` if it has none.
pub fn component(number: u32) -> Option<(usize, usize)> {
    // CPUID leaves a virtual machine each time, which costs more than all else that is done for a thread: it is asked once,
    // and only about the components that may be in the area.
    static LAYOUT: OnceLock<[Option<(usize, usize)>; 64]> = OnceLock::new();
    let layout = LAYOUT.get_or_init(|| {
        let all = ask(0);
        // x87 and SSE are in the legacy area.
        let present = (u64::from(all.edx) << 32 | u64::from(all.eax)) & !0b11;
        core::array::from_fn(|number| (present >> number & 1 != 0).then(|| place(number as u32)).flatten())
    });
    layout.get(number as usize).copied().flatten()
}

fn place(number: u32) -> Option<(usize, usize)> {
    let leaf = ask(number);
    (leaf.eax != 0).then_some((leaf.ebx as usize, leaf.eax as usize))
}

fn ask(part: u32) -> core::arch::x86_64::CpuidResult {
    core::arch::x86_64::__cpuid_count(0xd, part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_refused() {
        let mut set = RegSet { kind: NT_X86_XSTATE, bytes: vec![0; 600] };
        set.bytes[512] = 0xff;
        assert_eq!(refusal(std::slice::from_ref(&set)), None);
        set.bytes[514] = 4;
        assert_eq!(refusal(&[set]).map(|r| r.0), Some("E-CPU-AMX"));
    }
}
