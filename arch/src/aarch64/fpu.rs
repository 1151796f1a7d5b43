//! The register sets besides the general ones, include/uapi/linux/elf.h and arch/arm64/kernel/ptrace.c.
//!
//! FPSIMD and SVE are two views of the same registers. A system call clears what SVE adds (Documentation/arch/arm64/sve.rst),
//! so both are set aside while a thread makes calls for us. The streaming mode of SME and its ZA array are refused while
//! in use: no machine was there to try them on. The same holds for guarded control stacks.

use crate::RegSet;

const NT_PRFPREG: u32 = 2;
const NT_ARM_TLS: u32 = 0x401;
const NT_ARM_SVE: u32 = 0x405;
const NT_ARM_PACA_KEYS: u32 = 0x407;
const NT_ARM_PACG_KEYS: u32 = 0x408;
const NT_ARM_TAGGED_ADDR_CTRL: u32 = 0x409;
const NT_ARM_PAC_ENABLED_KEYS: u32 = 0x40a;
const NT_ARM_SSVE: u32 = 0x40b;
const NT_ARM_ZA: u32 = 0x40c;
const NT_ARM_FPMR: u32 = 0x40e;
const NT_ARM_POE: u32 = 0x40f;
const NT_ARM_GCS: u32 = 0x410;

/// The register sets besides the general registers.
pub const FPU_REGSETS: &[u32] = &[
    NT_PRFPREG,
    NT_ARM_SVE,
    NT_ARM_SSVE,
    NT_ARM_ZA,
    NT_ARM_TLS,
    NT_ARM_PACA_KEYS,
    NT_ARM_PACG_KEYS,
    NT_ARM_PAC_ENABLED_KEYS,
    NT_ARM_TAGGED_ADDR_CTRL,
    NT_ARM_FPMR,
    NT_ARM_POE,
    NT_ARM_GCS,
];
/// Those of them that making a system call changes.
pub const CALL_CLOBBERS: &[u32] = &[NT_PRFPREG, NT_ARM_SVE, NT_ARM_SSVE];
/// Bytes that are enough for each: ZA of the longest vectors there can be, 256 times 256 bytes, and its header.
pub const FPU_CAPACITY: usize = (64 << 10) + 64;

/// `struct user_sve_header` and `struct user_za_header` begin with the size of what is in use, themselves included; the
/// kernel copies as much as there could be.
const HEADER: u32 = 16;
/// `SVE_PT_REGS_SVE` in its flags, at byte 12: the registers are in this format, and so in this mode.
const FLAGS_AT: usize = 12;
const REGS_SVE: u8 = 1;

/// The sets in the order in which they are to be set: what SVE adds comes after the registers that it is added to. Sets
/// of unused units are left out, because setting them would switch the units on.
pub fn arrange(sets: &[RegSet]) -> Vec<&RegSet> {
    let idle = [NT_ARM_SSVE, NT_ARM_ZA, NT_ARM_GCS];
    let mut sets: Vec<&RegSet> = sets.iter().filter(|set| !idle.contains(&set.kind)).collect();
    sets.sort_by_key(|set| FPU_REGSETS.iter().position(|kind| *kind == set.kind));
    sets
}

/// Why a thread with these sets cannot be borrowed or kept.
pub fn refusal(sets: &[RegSet]) -> Option<(&'static str, &'static str)> {
    let find = |kind| RegSet::find(sets, kind);
    let in_use = |bytes: &&[u8]| bytes.first_chunk().is_some_and(|size| u32::from_ne_bytes(*size) > HEADER);
    // In the other mode older kernels show the ordinary registers without this flag, newer ones no registers.
    let streams = |bytes: &[u8]| bytes.get(FLAGS_AT).is_some_and(|flags| flags & REGS_SVE != 0);
    if find(NT_ARM_SSVE).filter(in_use).is_some_and(streams) || find(NT_ARM_ZA).filter(in_use).is_some() {
        return Some(("E-CPU-SME", "uses matrix registers (SME), which are not kept yet"));
    }
    // struct user_gcs: features_enabled, features_locked, gcspr_el0.
    if find(NT_ARM_GCS).is_some_and(|bytes| bytes.iter().take(8).any(|byte| *byte != 0)) {
        return Some(("E-CPU-GCS", "uses a guarded control stack (GCS), which is not kept yet"));
    }
    None
}

/// Components of one set are known on x86-64 only.
pub fn component(_number: u32) -> Option<(usize, usize)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kind: u32, bytes: &[u8]) -> RegSet {
        RegSet { kind, bytes: bytes.to_vec() }
    }

    #[test]
    fn vectors_come_first_and_idle_units_not_at_all() {
        let sets = [set(NT_ARM_TLS, &[]), set(NT_ARM_SSVE, &[]), set(NT_ARM_SVE, &[]), set(NT_PRFPREG, &[])];
        let kinds: Vec<u32> = arrange(&sets).iter().map(|set| set.kind).collect();
        assert_eq!(kinds, [NT_PRFPREG, NT_ARM_SVE, NT_ARM_TLS]);
    }

    #[test]
    fn units_in_use_are_refused() {
        let header = |size: u8, flags| {
            let mut bytes = [0; 64];
            (bytes[0], bytes[FLAGS_AT]) = (size, flags);
            bytes
        };
        let code = |kind, bytes: &[u8]| refusal(&[set(kind, bytes)]).map(|refused| refused.0);
        let idle = [header(16, 0), header(16, REGS_SVE), header(64, 0)];
        assert_eq!(idle.map(|bytes| code(NT_ARM_SSVE, &bytes)), [None; 3]);
        assert_eq!(code(NT_ARM_ZA, &header(16, 0)), None);
        assert_eq!(code(NT_ARM_SVE, &header(64, REGS_SVE)), None);
        assert_eq!(code(NT_ARM_SSVE, &header(64, REGS_SVE)), Some("E-CPU-SME"));
        assert_eq!(code(NT_ARM_ZA, &header(64, 0)), Some("E-CPU-SME"));
        assert_eq!(code(NT_ARM_GCS, &[1, 0, 0, 0, 0, 0, 0, 0]), Some("E-CPU-GCS"));
    }
}
