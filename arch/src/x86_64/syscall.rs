//! System calls whose numbers or argument layouts are not the same on all machines.

/// `mmap`: the arguments of the C prototype, the offset in bytes.
pub fn mmap(addr: u64, len: u64, prot: u64, flags: u64, fd: i32, offset: u64) -> (u64, [u64; 6]) {
    (libc::SYS_mmap as u64, [addr, len, prot, flags, fd as i64 as u64, offset])
}
