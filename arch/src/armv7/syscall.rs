//! System calls whose numbers or argument layouts are not the same on all machines.
//!
//! A word has 32 bits. What has 64 is passed in two: for preadv(2) low before high, in any two registers. Calls that have
//! kept their first number take ids of 16 bits and times of 32; those here are their successors.

use crate::sigaction::Layout;

/// One past the highest address that a task can map, for each border that a kernel can be built with, 16 MiB below it
/// (CONFIG_VMSPLIT_*; arch/arm/include/asm/memory.h). Descending.
pub const TASK_SIZES: &[u64] = &[0xbf00_0000, 0xaf00_0000, 0x7f00_0000, 0x3f00_0000];

/// `fcntl` for locks of 64-bit offsets.
pub const FCNTL64: libc::c_long = libc::SYS_fcntl64;

/// Its command to take a POSIX lock, with a `struct flock64`.
pub const F_SETLK64: i32 = 13;

/// With what the C library registers its rseq(2) area, `RSEQ_SIG` of its sys/rseq.h.
pub const RSEQ_SIGNATURE: u32 = 0xe7f5_def3;

/// As whose system calls seccomp filters see those of this machine: `AUDIT_ARCH_ARM` of include/uapi/linux/audit.h.
pub const AUDIT_ARCH: u32 = 0x4000_0028;

/// Addresses for shmat(2) have to be multiples of this many bytes (SHMLBA of arch/arm/include/asm/shmparam.h).
pub const SHMLBA: u64 = 4 * 4096;

/// How many signals there are, and so the highest number: `_NSIG`.
pub const SIGNALS: i32 = 64;

/// Unit of the offset of mmap2(2), whatever the page size is.
const MMAP2_UNIT: u64 = 4096;

/// `mmap`: the arguments of the C prototype, the offset in bytes.
pub fn mmap(addr: u64, len: u64, prot: u64, flags: u64, fd: i32, offset: u64) -> (u64, [u64; 6]) {
    (libc::SYS_mmap2 as u64, [addr, len, prot, flags, fd as i64 as u64, offset / MMAP2_UNIT])
}

/// `preadv`: the arguments of the C prototype, the offset in bytes.
pub fn preadv(fd: i32, iov: u64, count: u64, offset: u64) -> (u64, [u64; 6]) {
    (libc::SYS_preadv as u64, [fd as i64 as u64, iov, count, offset & 0xffff_ffff, offset >> 32, 0])
}

/// `setgroups`, with ids of 32 bits.
pub const SETGROUPS: libc::c_long = libc::SYS_setgroups32;
/// `setresuid`, with ids of 32 bits.
pub const SETRESUID: libc::c_long = libc::SYS_setresuid32;
/// `setresgid`, with ids of 32 bits.
pub const SETRESGID: libc::c_long = libc::SYS_setresgid32;
/// `setfsuid`, with ids of 32 bits.
pub const SETFSUID: libc::c_long = libc::SYS_setfsuid32;
/// `setfsgid`, with ids of 32 bits.
pub const SETFSGID: libc::c_long = libc::SYS_setfsgid32;
/// `timer_gettime`, with seconds of 64 bits: `timer_gettime64`.
pub const TIMER_GETTIME: libc::c_long = 408;
/// `timer_settime`, with seconds of 64 bits: `timer_settime64`.
pub const TIMER_SETTIME: libc::c_long = 409;
/// `utimensat`, with seconds of 64 bits: `utimensat_time64`.
pub const UTIMENSAT: libc::c_long = 412;

/// The call with its first argument that maps the code that the kernel gives to 32-bit programs, at an address in the
/// second: there is none.
pub const MAP_VDSO: Option<(libc::c_long, libc::c_ulong)> = None;

/// Where the parts of a signal action stand: words, the mask in two (include/linux/signal_types.h).
pub(crate) const SIGACTION: Layout = Layout { handler: 0..4, flags: 4..8, restorer: 8..12, mask: 12..20 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_split() {
        assert_eq!(preadv(3, 4, 5, 0x1_0000_2000).1, [3, 4, 5, 0x2000, 1, 0]);
        assert_eq!(mmap(0, 1, 2, 3, 4, 0x1_0000_2000).1[5], 0x10_0002);
    }
}
