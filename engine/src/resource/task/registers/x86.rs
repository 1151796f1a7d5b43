//! x86-64 registers in the image.
//!
//! CRIU's message takes the XSAVE area apart into the components that it knows. The whole area goes into a field of ours
//! as well, so that components without a field there survive; it is used on a CPU with the same layout. On another one,
//! and for images of CRIU, the area is put together from the parts. Intel SDM vol. 1, 13.4: legacy area 512 bytes,
//! header 64, then the components at the offsets that CPUID tells.

use arch::RegSet;

use super::Registers;
use crate::image::message::{
    CoreEntry, ThreadInfoX86, UserDescX86, UserX86FpregsEntry, UserX86RegsEntry, UserX86XsaveEntry,
};

const NT_X86_XSTATE: u32 = 0x202;
const NT_386_TLS: u32 = 0x200;
const LEGACY: usize = 512;
const HEADER: usize = 576;
/// The last 48 bytes of the legacy area belong to software; its first two words there are the supported features.
const SOFTWARE: usize = 464;
/// x87 and SSE are in the legacy area.
const LEGACY_FEATURES: u64 = 0b11;

/// The components that the image has fields for, by their number in XSTATE_BV.
const YMM: u32 = 2;
const BNDREGS: u32 = 3;
const BNDCSR: u32 = 4;
const OPMASK: u32 = 5;
const ZMM_UPPER: u32 = 6;
const HI16_ZMM: u32 = 7;
const PKRU: u32 = 9;
const IN_IMAGE: [u32; 7] = [YMM, BNDREGS, BNDCSR, OPMASK, ZMM_UPPER, HI16_ZMM, PKRU];

/// Where a component stands in the area, if this CPU has it.
type Layout = fn(u32) -> Option<(usize, usize)>;

/// Fills the register fields of a core entry. The words are those of `struct user_regs_struct`.
pub(super) fn to_image(registers: &Registers, clear_tid_addr: u64, core: &mut CoreEntry) {
    let area = RegSet::find(&registers.sets, NT_X86_XSTATE).unwrap_or_default();
    let fpregs = fpregs_to_image(area, arch::fpu_component);
    let gpregs = gpregs_to_image(&registers.words);
    let tls = tls_to_image(RegSet::find(&registers.sets, NT_386_TLS).unwrap_or_default());
    core.thread_info = Some(ThreadInfoX86 { clear_tid_addr, gpregs, fpregs, tls });
    core.thread_core.get_or_insert_default().xstate = Some(area.to_vec());
}

/// The registers of a core entry, `None` without any.
pub(super) fn from_image(core: &CoreEntry) -> Option<Registers> {
    let info = core.thread_info.as_ref()?;
    let raw = core.thread_core.as_ref().and_then(|thread| thread.xstate.as_ref());
    let area = match raw {
        Some(raw) if raw.len() == area_len(arch::fpu_component) => raw.clone(),
        _ => fpregs_from_image(&info.fpregs, arch::fpu_component),
    };
    let mut sets = vec![RegSet { kind: NT_X86_XSTATE, bytes: area }];
    let tls = tls_from_image(&info.tls);
    if !tls.is_empty() {
        sets.push(RegSet { kind: NT_386_TLS, bytes: tls });
    }
    Some(Registers { words: gpregs_from_image(&info.gpregs), sets, thread_area: 0 })
}

/// Bytes of the area with everything this CPU has enabled.
fn area_len(layout: Layout) -> usize {
    (2..63).filter_map(layout).map(|(offset, size)| offset + size).max().unwrap_or(HEADER)
}

fn gpregs_to_image(words: &[u64]) -> UserX86RegsEntry {
    let w = |i: usize| words.get(i).copied().unwrap_or(0);
    UserX86RegsEntry {
        r15: w(0),
        r14: w(1),
        r13: w(2),
        r12: w(3),
        bp: w(4),
        bx: w(5),
        r11: w(6),
        r10: w(7),
        r9: w(8),
        r8: w(9),
        ax: w(10),
        cx: w(11),
        dx: w(12),
        si: w(13),
        di: w(14),
        orig_ax: w(15),
        ip: w(16),
        cs: w(17),
        flags: w(18),
        sp: w(19),
        ss: w(20),
        fs_base: w(21),
        gs_base: w(22),
        ds: w(23),
        es: w(24),
        fs: w(25),
        gs: w(26),
        mode: Some(1),
    }
}

fn gpregs_from_image(r: &UserX86RegsEntry) -> Vec<u64> {
    vec![
        r.r15, r.r14, r.r13, r.r12, r.bp, r.bx, r.r11, r.r10, r.r9, r.r8, r.ax, r.cx, r.dx, r.si, r.di,
        r.orig_ax, r.ip, r.cs, r.flags, r.sp, r.ss, r.fs_base, r.gs_base, r.ds, r.es, r.fs, r.gs,
    ]
}

/// From an array of `struct user_desc`: entry, base, limit, and bits from the lowest: 32-bit, contents (two), read and
/// execute only, limit in pages, not present, usable.
fn tls_to_image(descriptors: &[u8]) -> Vec<UserDescX86> {
    let words = u32s(descriptors);
    let entries = words.as_chunks::<4>().0.iter().map(|[entry_number, base_addr, limit, bits]| {
        let bit = |n: u32| bits & (1 << n) != 0;
        UserDescX86 {
            entry_number: *entry_number,
            base_addr: *base_addr,
            limit: *limit,
            seg_32bit: bit(0),
            contents_l: bit(1),
            contents_h: bit(2),
            read_exec_only: bit(3),
            limit_in_pages: bit(4),
            seg_not_present: bit(5),
            usable: bit(6),
        }
    });
    entries.collect()
}

fn tls_from_image(entries: &[UserDescX86]) -> Vec<u8> {
    let words = entries.iter().flat_map(|d| {
        let bits = [
            d.seg_32bit,
            d.contents_l,
            d.contents_h,
            d.read_exec_only,
            d.limit_in_pages,
            d.seg_not_present,
            d.usable,
        ];
        let flags = bits.iter().zip(0..).fold(0, |all, (bit, n)| all | (u32::from(*bit) << n));
        [d.entry_number, d.base_addr, d.limit, flags]
    });
    words.flat_map(u32::to_le_bytes).collect()
}

fn u32s(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

fn u64s(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

fn fpregs_to_image(area: &[u8], layout: Layout) -> UserX86FpregsEntry {
    let at = |offset: usize, len: usize| area.get(offset..offset + len).unwrap_or(&[]);
    let u16_at = |offset| at(offset, 2).first_chunk().map_or(0, |w| u16::from_le_bytes(*w)).into();
    let u32_at = |offset| at(offset, 4).first_chunk().map_or(0, |w| u32::from_le_bytes(*w));
    let u64_at = |offset| at(offset, 8).first_chunk().map_or(0, |w| u64::from_le_bytes(*w));
    let part = |number| layout(number).map_or(&[][..], |(offset, size)| at(offset, size));
    let xsave = (area.len() > HEADER).then(|| UserX86XsaveEntry {
        xstate_bv: u64_at(LEGACY),
        ymmh_space: u32s(part(YMM)),
        bndreg_state: u64s(part(BNDREGS)),
        bndcsr_state: u64s(part(BNDCSR)),
        opmask_reg: u64s(part(OPMASK)),
        zmm_upper: u64s(part(ZMM_UPPER)),
        hi16_zmm: u64s(part(HI16_ZMM)),
        pkru: u32s(part(PKRU)),
        cet: None,
    });
    UserX86FpregsEntry {
        cwd: u16_at(0),
        swd: u16_at(2),
        twd: u16_at(4),
        fop: u16_at(6),
        rip: u64_at(8),
        rdp: u64_at(16),
        mxcsr: u32_at(24),
        mxcsr_mask: u32_at(28),
        st_space: u32s(at(32, 128)),
        xmm_space: u32s(at(160, 256)),
        padding: u32s(at(416, 96)),
        xsave,
    }
}

fn fpregs_from_image(fp: &UserX86FpregsEntry, layout: Layout) -> Vec<u8> {
    let mut area = vec![0u8; area_len(layout)];
    let mut put = |offset: usize, bytes: &[u8]| {
        if let Some(slot) = area.get_mut(offset..offset + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    };
    let bytes32 = |words: &[u32], most: usize| -> Vec<u8> {
        words.iter().take(most / 4).flat_map(|word| word.to_le_bytes()).collect()
    };
    let bytes64 = |words: &[u64]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    for (offset, word) in [(0, fp.cwd), (2, fp.swd), (4, fp.twd), (6, fp.fop)] {
        put(offset, &(word as u16).to_le_bytes());
    }
    put(8, &fp.rip.to_le_bytes());
    put(16, &fp.rdp.to_le_bytes());
    put(24, &fp.mxcsr.to_le_bytes());
    put(28, &fp.mxcsr_mask.to_le_bytes());
    put(32, &bytes32(&fp.st_space, 128));
    put(160, &bytes32(&fp.xmm_space, 256));
    // The software bytes are the kernel's own business; XRSTOR ignores them, ptrace wants none.
    put(SOFTWARE, &[0; LEGACY - SOFTWARE]);
    let mut present = LEGACY_FEATURES;
    if let Some(xsave) = &fp.xsave {
        let parts = [
            bytes32(&xsave.ymmh_space, usize::MAX),
            bytes64(&xsave.bndreg_state),
            bytes64(&xsave.bndcsr_state),
            bytes64(&xsave.opmask_reg),
            bytes64(&xsave.zmm_upper),
            bytes64(&xsave.hi16_zmm),
            bytes32(&xsave.pkru, usize::MAX),
        ];
        for (number, part) in IN_IMAGE.into_iter().zip(parts) {
            let bit = 1u64 << number;
            if let Some((offset, size)) = layout(number).filter(|_| xsave.xstate_bv & bit != 0) {
                put(offset, part.get(..size).unwrap_or(&part));
                present |= bit;
            }
        }
        present &= xsave.xstate_bv | !LEGACY_FEATURES;
    }
    put(LEGACY, &present.to_le_bytes());
    area
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(number: u32) -> Option<(usize, usize)> {
        [(YMM, 576, 256), (OPMASK, 1088, 64), (ZMM_UPPER, 1152, 512), (HI16_ZMM, 1664, 1024), (PKRU, 2688, 8)]
            .into_iter()
            .find(|(n, ..)| *n == number)
            .map(|(_, offset, size)| (offset, size))
    }

    #[test]
    fn the_area_survives_being_taken_apart() {
        let mut area: Vec<u8> = (0..2696u32).map(|i| (i % 251) as u8).collect();
        area[416..LEGACY].fill(0); // reserved, and the kernel's own
        area[LEGACY..HEADER].fill(0);
        area[LEGACY..LEGACY + 8].copy_from_slice(&0x2e7u64.to_le_bytes());
        area[832..1088].fill(0); // between the components: not architectural
        assert_eq!(fpregs_from_image(&fpregs_to_image(&area, layout), layout), area);
    }

    #[test]
    fn a_component_in_its_initial_state_stays_initial() {
        let mut area = vec![0u8; 2696];
        area[LEGACY] = 3;
        area[600] = 7; // stale bytes of a component that is not present
        let back = fpregs_from_image(&fpregs_to_image(&area, layout), layout);
        assert_eq!((back[LEGACY], back[600]), (3, 0));
    }

    #[test]
    fn tls_descriptors_keep_their_bits() {
        let words = [12u32, 0x1000, 0xfffff, 0x51, 13, 0, 0, 0x28];
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        let image = tls_to_image(&bytes);
        assert_eq!((image[0].seg_32bit, image[0].contents_l, image[0].usable), (true, false, true));
        assert_eq!(tls_from_image(&image), bytes);
    }

    #[test]
    fn general_registers_keep_their_places() {
        let words: Vec<u64> = (100..127).collect();
        assert_eq!(gpregs_from_image(&gpregs_to_image(&words)), words);
    }
}
