//! MIPS64 registers in the image.
//!
//! CRIU's message has fields for the general registers, the base of thread-local storage and the floating point
//! registers; its `lo` and `hi` of the latter stand for nothing. DSP and MSA go into a field of ours, as the kernel shows
//! them. Layouts: arch/mips/include/uapi/asm/ptrace.h, `fpr_get` in arch/mips/kernel/ptrace.c.

use arch::RegSet;

use super::Registers;
use crate::image::message::{
    CoreEntry, RegisterSetEntry, ThreadInfoMips, UserMipsFpregsEntry, UserMipsRegsEntry,
};

const NT_PRFPREG: u32 = 2;

/// Fills the register fields of a core entry. The words are those of `struct user_pt_regs`.
pub(super) fn to_image(registers: &Registers, clear_tid_addr: u64, core: &mut CoreEntry) {
    core.ti_mips = Some(ThreadInfoMips {
        clear_tid_addr,
        tls: registers.thread_area,
        gpregs: gpregs_to_image(&registers.words),
        fpregs: fpregs_to_image(RegSet::find(&registers.sets, NT_PRFPREG).unwrap_or_default()),
    });
    let others = registers.sets.iter().filter(|set| set.kind != NT_PRFPREG);
    core.thread_core.get_or_insert_default().register_sets =
        others.map(|set| RegisterSetEntry { kind: set.kind, bytes: set.bytes.clone() }).collect();
}

/// The registers of a core entry, `None` without any.
pub(super) fn from_image(core: &CoreEntry) -> Option<Registers> {
    let info = core.ti_mips.as_ref()?;
    let mut sets = vec![RegSet { kind: NT_PRFPREG, bytes: fpregs_from_image(&info.fpregs) }];
    let others = core.thread_core.as_ref().map_or(&[][..], |thread| &thread.register_sets);
    sets.extend(others.iter().map(|set| RegSet { kind: set.kind, bytes: set.bytes.clone() }));
    Some(Registers { words: gpregs_from_image(&info.gpregs), sets, thread_area: info.tls })
}

fn gpregs_to_image(words: &[u64]) -> UserMipsRegsEntry {
    let w = |i: usize| words.get(i).copied().unwrap_or(0);
    UserMipsRegsEntry {
        r0: w(0),
        r1: w(1),
        r2: w(2),
        r3: w(3),
        r4: w(4),
        r5: w(5),
        r6: w(6),
        r7: w(7),
        r8: w(8),
        r9: w(9),
        r10: w(10),
        r11: w(11),
        r12: w(12),
        r13: w(13),
        r14: w(14),
        r15: w(15),
        r16: w(16),
        r17: w(17),
        r18: w(18),
        r19: w(19),
        r20: w(20),
        r21: w(21),
        r22: w(22),
        r23: w(23),
        r24: w(24),
        r25: w(25),
        r26: w(26),
        r27: w(27),
        r28: w(28),
        r29: w(29),
        r30: w(30),
        r31: w(31),
        lo: w(32),
        hi: w(33),
        cp0_epc: w(34),
        cp0_badvaddr: w(35),
        cp0_status: w(36),
        cp0_cause: w(37),
    }
}

fn gpregs_from_image(r: &UserMipsRegsEntry) -> Vec<u64> {
    vec![
        r.r0,
        r.r1,
        r.r2,
        r.r3,
        r.r4,
        r.r5,
        r.r6,
        r.r7,
        r.r8,
        r.r9,
        r.r10,
        r.r11,
        r.r12,
        r.r13,
        r.r14,
        r.r15,
        r.r16,
        r.r17,
        r.r18,
        r.r19,
        r.r20,
        r.r21,
        r.r22,
        r.r23,
        r.r24,
        r.r25,
        r.r26,
        r.r27,
        r.r28,
        r.r29,
        r.r30,
        r.r31,
        r.lo,
        r.hi,
        r.cp0_epc,
        r.cp0_badvaddr,
        r.cp0_status,
        r.cp0_cause,
    ]
}

fn fpregs_to_image(set: &[u8]) -> UserMipsFpregsEntry {
    let w = |i: usize| set.as_chunks::<8>().0.get(i).map_or(0, |word| u64::from_le_bytes(*word));
    UserMipsFpregsEntry {
        r0: w(0),
        r1: w(1),
        r2: w(2),
        r3: w(3),
        r4: w(4),
        r5: w(5),
        r6: w(6),
        r7: w(7),
        r8: w(8),
        r9: w(9),
        r10: w(10),
        r11: w(11),
        r12: w(12),
        r13: w(13),
        r14: w(14),
        r15: w(15),
        r16: w(16),
        r17: w(17),
        r18: w(18),
        r19: w(19),
        r20: w(20),
        r21: w(21),
        r22: w(22),
        r23: w(23),
        r24: w(24),
        r25: w(25),
        r26: w(26),
        r27: w(27),
        r28: w(28),
        r29: w(29),
        r30: w(30),
        r31: w(31),
        lo: 0,
        hi: 0,
        fpu_fcr31: w(32) as u32,
        fpu_id: (w(32) >> 32) as u32,
    }
}

fn fpregs_from_image(r: &UserMipsFpregsEntry) -> Vec<u8> {
    let control = u64::from(r.fpu_fcr31) | u64::from(r.fpu_id) << 32;
    let words = [
        r.r0, r.r1, r.r2, r.r3, r.r4, r.r5, r.r6, r.r7, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
        r.r16, r.r17, r.r18, r.r19, r.r20, r.r21, r.r22, r.r23, r.r24, r.r25, r.r26, r.r27, r.r28, r.r29,
        r.r30, r.r31, control,
    ];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_registers_come_back() {
        let float = RegSet { kind: NT_PRFPREG, bytes: (0..264u32).map(|i| (i * 7) as u8).collect() };
        let dsp = RegSet { kind: 0x800, bytes: vec![3; 56] };
        let registers =
            Registers { words: (100..138).collect(), sets: vec![float, dsp], thread_area: 0xff_f000_7000 };
        let mut core = CoreEntry::default();
        to_image(&registers, 5, &mut core);
        assert_eq!(from_image(&core), Some(registers));
        let info = core.ti_mips.unwrap_or_default();
        assert_eq!(
            (info.clear_tid_addr, info.gpregs.r31, info.gpregs.hi, info.gpregs.cp0_epc),
            (5, 131, 133, 134)
        );
    }
}
