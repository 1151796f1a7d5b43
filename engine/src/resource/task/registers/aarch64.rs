//! aarch64 registers in the image.
//!
//! CRIU's message has fields for the general registers, FPSIMD, the first TLS register and the keys of pointer
//! authentication. The other sets (SVE, TPIDR2_EL0, tagged addresses, ...) go into a field of ours, as the kernel shows
//! them. Those of SME are left out: a thread that uses them is refused. Layouts: arch/arm64/include/uapi/asm/ptrace.h.

use arch::RegSet;

use super::Registers;
use crate::image::message::{
    CoreEntry, PacAddressKeys, PacGenericKeys, PacKeys, RegisterSetEntry, ThreadInfoAarch64,
    UserAarch64FpsimdContextEntry, UserAarch64RegsEntry,
};

const NT_PRFPREG: u32 = 2;
const NT_ARM_TLS: u32 = 0x401;
const NT_ARM_PACA_KEYS: u32 = 0x407;
const NT_ARM_PACG_KEYS: u32 = 0x408;
const NT_ARM_PAC_ENABLED_KEYS: u32 = 0x40a;
/// `PR_PAC_AP*KEY` of linux/prctl.h. So they are from the start, and always before Linux 5.13, which has no set for that.
const ALL_KEYS: u64 = 0xf;
const IN_IMAGE: [u32; 4] = [NT_PRFPREG, NT_ARM_PACA_KEYS, NT_ARM_PACG_KEYS, NT_ARM_PAC_ENABLED_KEYS];
const NT_ARM_SVE: u32 = 0x405;
const NT_ARM_SSVE: u32 = 0x40b;
const NT_ARM_ZA: u32 = 0x40c;

/// Words of x0 to x30.
const GENERAL: usize = 31;
/// Words of v0 to v31.
const VECTORS: usize = 64;

/// Fills the register fields of a core entry. The words are those of `struct user_pt_regs`.
pub(super) fn to_image(registers: &Registers, clear_tid_addr: u64, core: &mut CoreEntry) {
    let find = |kind| RegSet::find(&registers.sets, kind);
    let word = |i: usize| registers.words.get(i).copied().unwrap_or(0);
    let gpregs = UserAarch64RegsEntry {
        regs: (0..GENERAL).map(word).collect(),
        sp: word(GENERAL),
        pc: word(GENERAL + 1),
        pstate: word(GENERAL + 2),
    };
    let tls = find(NT_ARM_TLS).and_then(|bytes| words(bytes).first().copied()).unwrap_or(0);
    let fpsimd = fpsimd_to_image(find(NT_PRFPREG).unwrap_or_default());
    let pac_keys = find(NT_ARM_PACA_KEYS).map(|address| PacKeys {
        pac_address_keys: address_keys(address, find(NT_ARM_PAC_ENABLED_KEYS)),
        pac_generic_keys: find(NT_ARM_PACG_KEYS).and_then(generic_keys),
    });
    core.ti_aarch64 = Some(ThreadInfoAarch64 { clear_tid_addr, tls, gpregs, fpsimd, pac_keys });
    let left_out = [&IN_IMAGE[..], &[NT_ARM_SSVE, NT_ARM_ZA]].concat();
    let others = registers.sets.iter().filter(|set| !left_out.contains(&set.kind));
    core.thread_core.get_or_insert_default().register_sets =
        others.map(|set| RegisterSetEntry { kind: set.kind, bytes: used(set).to_vec() }).collect();
}

/// Without the zeros that the kernel adds for vectors longer than the thread's: `struct user_sve_header` begins with the
/// size of what there is.
fn used(set: &RegSet) -> &[u8] {
    let size = set.bytes.first_chunk().map_or(0, |size| u32::from_le_bytes(*size)) as usize;
    set.bytes.get(..size).filter(|_| set.kind == NT_ARM_SVE).unwrap_or(&set.bytes)
}

/// The registers of a core entry, `None` without any.
pub(super) fn from_image(core: &CoreEntry) -> Option<Registers> {
    let info = core.ti_aarch64.as_ref()?;
    let gpregs = &info.gpregs;
    let words = gpregs.regs.iter().copied().chain([gpregs.sp, gpregs.pc, gpregs.pstate]).collect();
    let mut sets = vec![RegSet { kind: NT_PRFPREG, bytes: fpsimd_from_image(&info.fpsimd) }];
    let others = core.thread_core.as_ref().map_or(&[][..], |thread| &thread.register_sets);
    sets.extend(others.iter().map(|set| RegSet { kind: set.kind, bytes: set.bytes.clone() }));
    // CRIU's image has the first register only.
    if RegSet::find(&sets, NT_ARM_TLS).is_none() {
        sets.push(RegSet { kind: NT_ARM_TLS, bytes: bytes(&[info.tls]) });
    }
    sets.extend(info.pac_keys.as_ref().map(keys_from_image).unwrap_or_default());
    Some(Registers { words, sets, thread_area: 0 })
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// `struct user_fpsimd_state`: vregs, fpsr, fpcr, two reserved words.
fn fpsimd_to_image(state: &[u8]) -> UserAarch64FpsimdContextEntry {
    let (vectors, rest) = state.split_at_checked(VECTORS * 8).unwrap_or_default();
    let half = |i: usize| rest.as_chunks::<4>().0.get(i).map_or(0, |half| u32::from_le_bytes(*half));
    UserAarch64FpsimdContextEntry { vregs: words(vectors), fpsr: half(0), fpcr: half(1) }
}

fn fpsimd_from_image(entry: &UserAarch64FpsimdContextEntry) -> Vec<u8> {
    let mut vectors = entry.vregs.clone();
    vectors.resize(VECTORS, 0);
    let mut state = bytes(&vectors);
    state.extend([entry.fpsr, entry.fpcr, 0, 0].into_iter().flat_map(u32::to_le_bytes));
    state
}

fn address_keys(keys: &[u8], enabled: Option<&[u8]>) -> Option<PacAddressKeys> {
    let [ia0, ia1, ib0, ib1, da0, da1, db0, db1] = words(keys).try_into().ok()?;
    Some(PacAddressKeys {
        apiakey_lo: ia0,
        apiakey_hi: ia1,
        apibkey_lo: ib0,
        apibkey_hi: ib1,
        apdakey_lo: da0,
        apdakey_hi: da1,
        apdbkey_lo: db0,
        apdbkey_hi: db1,
        pac_enabled_key: enabled.and_then(|set| words(set).first().copied()).unwrap_or(ALL_KEYS),
    })
}

fn generic_keys(key: &[u8]) -> Option<PacGenericKeys> {
    let [apgakey_lo, apgakey_hi] = words(key).try_into().ok()?;
    Some(PacGenericKeys { apgakey_lo, apgakey_hi })
}

fn keys_from_image(keys: &PacKeys) -> Vec<RegSet> {
    let mut sets = Vec::new();
    if let Some(k) = &keys.pac_address_keys {
        let all = [
            k.apiakey_lo,
            k.apiakey_hi,
            k.apibkey_lo,
            k.apibkey_hi,
            k.apdakey_lo,
            k.apdakey_hi,
            k.apdbkey_lo,
            k.apdbkey_hi,
        ];
        sets.push(RegSet { kind: NT_ARM_PACA_KEYS, bytes: bytes(&all) });
        if k.pac_enabled_key != ALL_KEYS {
            sets.push(RegSet { kind: NT_ARM_PAC_ENABLED_KEYS, bytes: bytes(&[k.pac_enabled_key]) });
        }
    }
    if let Some(k) = &keys.pac_generic_keys {
        sets.push(RegSet { kind: NT_ARM_PACG_KEYS, bytes: bytes(&[k.apgakey_lo, k.apgakey_hi]) });
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kind: u32, len: usize) -> RegSet {
        RegSet { kind, bytes: (0..len).map(|i| (i as u32 * 7 + kind) as u8).collect() }
    }

    fn sorted(mut registers: Registers) -> Registers {
        registers.sets.sort_by_key(|set| set.kind);
        registers
    }

    #[test]
    fn all_sets_come_back() {
        let mut fpsimd = set(NT_PRFPREG, 528);
        fpsimd.bytes[520..].fill(0); // reserved
        let sets = vec![
            fpsimd,
            set(NT_ARM_TLS, 16),
            set(NT_ARM_SVE, 560),
            set(NT_ARM_PACA_KEYS, 64),
            set(NT_ARM_PACG_KEYS, 16),
            set(0x409, 8),
            set(NT_ARM_PAC_ENABLED_KEYS, 8),
        ];
        let registers = Registers { words: (1..35).collect(), sets, thread_area: 0 };
        let mut core = CoreEntry::default();
        to_image(&registers, 5, &mut core);
        assert_eq!(from_image(&core).map(sorted), Some(sorted(registers)));
        let info = core.ti_aarch64.unwrap_or_default();
        assert_eq!((info.clear_tid_addr, info.gpregs.pc, info.fpsimd.vregs.len()), (5, 33, 64));
    }

    #[test]
    fn of_scalable_vectors_only_what_there_is_goes_into_the_image() {
        let mut vectors = set(NT_ARM_SVE, 8192);
        vectors.bytes[..4].copy_from_slice(&560_u32.to_le_bytes());
        let sets = vec![vectors.clone(), set(NT_ARM_SSVE, 8192), set(NT_ARM_ZA, 65536)];
        let mut core = CoreEntry::default();
        to_image(&Registers { sets, ..Registers::default() }, 0, &mut core);
        let kept = core.thread_core.unwrap_or_default().register_sets;
        assert_eq!(kept.iter().map(|set| set.kind).collect::<Vec<_>>(), [NT_ARM_SVE]);
        assert_eq!(kept[0].bytes, vectors.bytes[..560]);
    }

    #[test]
    fn kernels_that_cannot_disable_keys_have_all_enabled() {
        let sets = vec![set(NT_ARM_PACA_KEYS, 64)];
        let mut core = CoreEntry::default();
        to_image(&Registers { sets: sets.clone(), ..Registers::default() }, 0, &mut core);
        let keys = core.ti_aarch64.as_ref().and_then(|info| info.pac_keys.clone());
        let enabled = keys.and_then(|keys| keys.pac_address_keys).map(|keys| keys.pac_enabled_key);
        assert_eq!(enabled, Some(ALL_KEYS));
        let kinds = from_image(&core).map(|registers| registers.sets).unwrap_or_default();
        assert_eq!(RegSet::find(&kinds, NT_ARM_PACA_KEYS), Some(sets[0].bytes.as_slice()));
        assert_eq!(RegSet::find(&kinds, NT_ARM_PAC_ENABLED_KEYS), None, "that would be refused there");
    }

    #[test]
    fn an_image_of_criu_has_one_tls_register() {
        let mut core = CoreEntry::default();
        to_image(&Registers { sets: vec![set(NT_ARM_TLS, 8)], ..Registers::default() }, 0, &mut core);
        core.thread_core = None;
        let sets = from_image(&core).map(|registers| registers.sets).unwrap_or_default();
        assert_eq!(RegSet::find(&sets, NT_ARM_TLS), Some(set(NT_ARM_TLS, 8).bytes.as_slice()));
        assert_eq!(RegSet::find(&sets, NT_ARM_PACA_KEYS), None);
    }
}
