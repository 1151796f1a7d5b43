//! System calls whose numbers or argument layouts are not the same on all machines.

pub use crate::lp64::*;
use crate::sigaction::Layout;

/// One past the highest address that a task can map, for each size of the address space that a kernel can be built for
/// (CONFIG_ARM64_VA_BITS; 52 bits are given only to those who ask by a hint). Descending.
pub const TASK_SIZES: &[u64] = &[1 << 48, 1 << 47, 1 << 42, 1 << 39, 1 << 36];

/// With what the C library registers its rseq(2) area, `RSEQ_SIG` of its sys/rseq.h.
pub const RSEQ_SIGNATURE: u32 = 0xd428_bc00;

/// As whose system calls seccomp filters see those of this machine: `AUDIT_ARCH_AARCH64` of include/uapi/linux/audit.h.
pub const AUDIT_ARCH: u32 = 0xc000_00b7;

/// Addresses for shmat(2) have to be multiples of this many bytes (SHMLBA of arch/arm64/include/asm/shmparam.h); any page will do; only 32-bit programs are told more.
pub const SHMLBA: u64 = 1;

/// How many signals there are, and so the highest number: `_NSIG`.
pub const SIGNALS: i32 = 64;

/// The call with its first argument that maps the code that the kernel gives to 32-bit programs, at an address in the
/// second: there is none.
pub const MAP_VDSO: Option<(libc::c_long, libc::c_ulong)> = None;

/// Where the parts of a signal action stand: words (include/uapi/asm-generic/signal.h).
pub(crate) const SIGACTION: Layout = Layout { handler: 0..8, flags: 8..16, restorer: 16..24, mask: 24..32 };
