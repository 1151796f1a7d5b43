//! The vdso: the kernel's own code in every process. arch/x86/entry/vdso/vdso.lds.S names its symbols.

/// Functions that programs call in the vdso; glibc keeps their addresses.
pub const VDSO_SYMBOLS: &[&str] = &[
    "__vdso_clock_gettime",
    "__vdso_gettimeofday",
    "__vdso_time",
    "__vdso_getcpu",
    "__vdso_clock_getres",
    "__vdso_getrandom",
    "__vdso_sgx_enter_enclave",
];

/// Bytes of [`vdso_jump`].
pub const VDSO_JUMP_LEN: usize = 12;

/// Code that jumps to `target` from anywhere, changing `rax` only: `movabs rax, target; jmp rax`.
pub fn vdso_jump(target: u64) -> [u8; VDSO_JUMP_LEN] {
    let mut code = [0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0];
    code[2..10].copy_from_slice(&target.to_le_bytes());
    code
}
