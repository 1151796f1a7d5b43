//! The vdso: the kernel's own code in every process. arch/mips/vdso/vdso.lds.S names its symbols.
//!
//! Signal handlers return through it as well, but the kernel finds that place by itself wherever the vdso is
//! (`vdso_mremap` in arch/mips/vdso/genvdso.c keeps `mm->context.vdso`).

/// Functions that programs call in the vdso; glibc keeps their addresses.
pub const VDSO_SYMBOLS: &[&str] = &["__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_clock_getres"];

/// Bytes of [`vdso_jump`].
pub const VDSO_JUMP_LEN: usize = 32;

/// Code that jumps to `target` from anywhere, changing `$t9` only, which holds the address of the function by
/// convention: four times 16 bits into it, then `jr $t9`.
pub fn vdso_jump(target: u64) -> [u8; VDSO_JUMP_LEN] {
    const LUI_T9: u32 = 0x3c19_0000;
    const ORI_T9: u32 = 0x3739_0000;
    const SHIFT_T9: u32 = 0x0019_cc38; // dsll t9, t9, 16
    const JR_T9: u32 = 0x0320_0008;
    let half = |shift: u32| (target >> shift) as u32 & 0xffff;
    let code = [
        LUI_T9 | half(48),
        ORI_T9 | half(32),
        SHIFT_T9,
        ORI_T9 | half(16),
        SHIFT_T9,
        ORI_T9 | half(0),
        JR_T9,
        0, // its delay slot
    ];
    let mut bytes = [0; VDSO_JUMP_LEN];
    for (slot, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(code) {
        *slot = word.to_ne_bytes();
    }
    bytes
}
