//! The vdso: the kernel's own code in every process. arch/arm64/kernel/vdso/vdso.lds.S names its symbols.
//!
//! `__kernel_rt_sigreturn`, to which handlers return, is not among them: it reads no data, so that the code of another
//! kernel works as it is, and debuggers know it by its instructions.

/// Functions that programs call in the vdso; glibc keeps their addresses.
pub const VDSO_SYMBOLS: &[&str] =
    &["__kernel_clock_gettime", "__kernel_gettimeofday", "__kernel_clock_getres", "__kernel_getrandom"];

/// Bytes of [`vdso_jump`].
pub const VDSO_JUMP_LEN: usize = 24;

/// Code that jumps to `target` from anywhere, changing x16 only, which every call may change:
/// `bti c; ldr x16, 1f; br x16; nop; 1: .quad target`. Its begin may be the target of an indirect branch, as that of
/// each function of the vdso, and `br x16` may lead to one.
pub fn vdso_jump(target: u64) -> [u8; VDSO_JUMP_LEN] {
    let code: [u32; 4] = [0xd503_245f, 0x5800_0070, 0xd61f_0200, 0xd503_201f];
    let mut bytes = [0; VDSO_JUMP_LEN];
    for (slot, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(code) {
        *slot = word.to_le_bytes();
    }
    bytes[16..].copy_from_slice(&target.to_le_bytes());
    bytes
}
