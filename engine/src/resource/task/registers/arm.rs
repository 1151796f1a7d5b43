//! 32-bit ARM registers in the image: CRIU's message has fields for all of them.
//!
//! The registers of floating point exceptions (FPEXC, FPINST, FPINST2) are the kernel's own business: ptrace does not show
//! them, and CRIU writes zeroes. Layouts: arch/arm/include/asm/user.h.

use arch::RegSet;

use super::Registers;
use crate::image::message::{CoreEntry, ThreadInfoArm, UserArmRegsEntry, UserArmVfpstateEntry};

const NT_ARM_VFP: u32 = 0x400;
/// d0 to d31.
const VECTORS: usize = 32;

/// Fills the register fields of a core entry. The words are those of `struct pt_regs`.
pub(super) fn to_image(registers: &Registers, clear_tid_addr: u64, core: &mut CoreEntry) {
    core.ti_arm = Some(ThreadInfoArm {
        clear_tid_addr,
        tls: registers.thread_area as u32,
        gpregs: gpregs_to_image(&registers.words),
        fpstate: vfp_to_image(RegSet::find(&registers.sets, NT_ARM_VFP).unwrap_or_default()),
    });
}

/// The registers of a core entry, `None` without any.
pub(super) fn from_image(core: &CoreEntry) -> Option<Registers> {
    let info = core.ti_arm.as_ref()?;
    let sets = vec![RegSet { kind: NT_ARM_VFP, bytes: vfp_from_image(&info.fpstate) }];
    Some(Registers { words: gpregs_from_image(&info.gpregs), sets, thread_area: info.tls.into() })
}

fn gpregs_to_image(words: &[u64]) -> UserArmRegsEntry {
    let w = |i: usize| words.get(i).copied().unwrap_or(0) as u32;
    UserArmRegsEntry {
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
        fp: w(11),
        ip: w(12),
        sp: w(13),
        lr: w(14),
        pc: w(15),
        cpsr: w(16),
        orig_r0: w(17),
    }
}

fn gpregs_from_image(r: &UserArmRegsEntry) -> Vec<u64> {
    let words = [
        r.r0, r.r1, r.r2, r.r3, r.r4, r.r5, r.r6, r.r7, r.r8, r.r9, r.r10, r.fp, r.ip, r.sp, r.lr, r.pc,
        r.cpsr, r.orig_r0,
    ];
    words.map(u64::from).to_vec()
}

/// `struct user_vfp`: the vectors, then FPSCR.
fn vfp_to_image(state: &[u8]) -> UserArmVfpstateEntry {
    let (vectors, rest) = state.split_at_checked(VECTORS * 8).unwrap_or_default();
    UserArmVfpstateEntry {
        vfp_regs: vectors.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect(),
        fpscr: rest.first_chunk().map_or(0, |word| u32::from_le_bytes(*word)),
        fpexc: 0,
        fpinst: 0,
        fpinst2: 0,
    }
}

fn vfp_from_image(entry: &UserArmVfpstateEntry) -> Vec<u8> {
    let mut vectors = entry.vfp_regs.clone();
    vectors.resize(VECTORS, 0);
    let mut state: Vec<u8> = vectors.iter().flat_map(|word| word.to_le_bytes()).collect();
    state.extend(entry.fpscr.to_le_bytes());
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_registers_come_back() {
        let vfp = RegSet { kind: NT_ARM_VFP, bytes: (0..260u32).map(|i| i as u8).collect() };
        let registers = Registers { words: (1..19).collect(), sets: vec![vfp], thread_area: 0xb6f0_0000 };
        let mut core = CoreEntry::default();
        to_image(&registers, 5, &mut core);
        assert_eq!(from_image(&core), Some(registers));
        let info = core.ti_arm.unwrap_or_default();
        assert_eq!((info.clear_tid_addr, info.gpregs.pc, info.fpstate.vfp_regs.len()), (5, 16, 32));
    }
}
