//! The vdso: the kernel's own code in every process. arch/arm/vdso/vdso.lds.S names its symbols.

/// Functions that programs call in the vdso; glibc keeps their addresses.
pub const VDSO_SYMBOLS: &[&str] =
    &["__vdso_clock_gettime", "__vdso_clock_gettime64", "__vdso_gettimeofday", "__vdso_clock_getres"];

/// Bytes of [`vdso_jump`].
pub const VDSO_JUMP_LEN: usize = 8;

/// Code that jumps to `target` from anywhere, changing no register: `ldr pc, [pc, #-4]` and the address. The functions
/// are ARM code, and `ldr` to pc goes over to Thumb where the address is odd.
pub fn vdso_jump(target: u64) -> [u8; VDSO_JUMP_LEN] {
    let mut code = [0x04, 0xf0, 0x1f, 0xe5, 0, 0, 0, 0];
    code[4..].copy_from_slice(&(target as u32).to_le_bytes());
    code
}
