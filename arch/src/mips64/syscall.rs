//! System calls whose numbers or argument layouts are not the same on all machines.

pub use crate::lp64::*;
use crate::sigaction::Layout;

/// One past the highest address that a task can map, with and without CONFIG_MIPS_VA_BITS_48: TASK_SIZE64 of
/// arch/mips/include/asm/processor.h. Descending.
pub const TASK_SIZES: &[u64] = &[1 << 48, 1 << 40];

/// With what the C library registers its rseq(2) area, `RSEQ_SIG` of its sys/rseq.h.
pub const RSEQ_SIGNATURE: u32 = 0x0350_000d;

/// As whose system calls seccomp filters see those of this machine: `AUDIT_ARCH_MIPSEL64` of include/uapi/linux/audit.h.
pub const AUDIT_ARCH: u32 = 0xc000_0008;

/// Addresses for shmat(2) have to be multiples of this many bytes (SHMLBA of arch/mips/include/asm/shmparam.h).
pub const SHMLBA: u64 = 0x40000;

/// How many signals there are, and so the highest number: `_NSIG` of arch/mips/include/uapi/asm/signal.h.
pub const SIGNALS: i32 = 128;

/// The call with its first argument that maps the code that the kernel gives to 32-bit programs, at an address in the
/// second: there is none.
pub const MAP_VDSO: Option<(libc::c_long, libc::c_ulong)> = None;

/// Where the parts of a signal action stand, as in IRIX: flags in half a word, which is padded; handlers return by the
/// vdso (arch/mips/include/uapi/asm/signal.h).
pub(crate) const SIGACTION: Layout = Layout { handler: 8..16, flags: 0..4, restorer: 0..0, mask: 16..32 };
