//! System calls whose numbers or argument layouts are not the same on all machines.

pub use crate::lp64::*;
use crate::sigaction::Layout;

/// One past the highest address that a task can map, for each size of the address space that a kernel can have;
/// descending. Here TASK_SIZE_MAX with four levels of page tables; more are given only to those who ask by a hint.
pub const TASK_SIZES: &[u64] = &[0x7fff_ffff_f000];

/// With what the C library registers its rseq(2) area, `RSEQ_SIG` of its sys/rseq.h.
pub const RSEQ_SIGNATURE: u32 = 0x5305_3053;

/// As whose system calls seccomp filters see those of this machine: `AUDIT_ARCH_X86_64` of include/uapi/linux/audit.h.
pub const AUDIT_ARCH: u32 = 0xc000_003e;

/// Addresses for shmat(2) have to be multiples of this many bytes (SHMLBA of arch/x86/include/asm/shmparam.h); any page will do.
pub const SHMLBA: u64 = 1;

/// How many signals there are, and so the highest number: `_NSIG`.
pub const SIGNALS: i32 = 64;

/// The call with its first argument that maps the code that the kernel gives to 32-bit programs, at an address in the
/// second: ARCH_MAP_VDSO_32 of arch/x86/include/uapi/asm/prctl.h.
pub const MAP_VDSO: Option<(libc::c_long, libc::c_ulong)> = Some((libc::SYS_arch_prctl, 0x2002));

/// Where the parts of a signal action stand: words.
pub(crate) const SIGACTION: Layout = Layout { handler: 0..8, flags: 8..16, restorer: 16..24, mask: 24..32 };
