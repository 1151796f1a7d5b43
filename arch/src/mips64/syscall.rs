//! System calls whose numbers or argument layouts are not the same on all machines.

/// One past the highest address that a task can map, with and without CONFIG_MIPS_VA_BITS_48: TASK_SIZE64 of
/// arch/mips/include/asm/processor.h. Descending.
pub const TASK_SIZES: &[u64] = &[1 << 48, 1 << 40];

/// `fcntl` for locks of 64-bit offsets.
pub const FCNTL64: libc::c_long = libc::SYS_fcntl;

/// Its command to take a POSIX lock, with a `struct flock64`.
pub const F_SETLK64: i32 = libc::F_SETLK;

/// How many signals there are, and so the highest number: `_NSIG` of arch/mips/include/uapi/asm/signal.h.
pub const SIGNALS: i32 = 128;

/// `mmap`: the arguments of the C prototype, the offset in bytes.
pub fn mmap(addr: u64, len: u64, prot: u64, flags: u64, fd: i32, offset: u64) -> (u64, [u64; 6]) {
    (libc::SYS_mmap as u64, [addr, len, prot, flags, fd as i64 as u64, offset])
}

/// `preadv`: the arguments of the C prototype, the offset in bytes.
pub fn preadv(fd: i32, iov: u64, count: u64, offset: u64) -> (u64, [u64; 6]) {
    (libc::SYS_preadv as u64, [fd as i64 as u64, iov, count, offset, 0, 0])
}

/// `setgroups`, with ids of 32 bits.
pub const SETGROUPS: libc::c_long = libc::SYS_setgroups;
/// `setresuid`, with ids of 32 bits.
pub const SETRESUID: libc::c_long = libc::SYS_setresuid;
/// `setresgid`, with ids of 32 bits.
pub const SETRESGID: libc::c_long = libc::SYS_setresgid;
/// `setfsuid`, with ids of 32 bits.
pub const SETFSUID: libc::c_long = libc::SYS_setfsuid;
/// `setfsgid`, with ids of 32 bits.
pub const SETFSGID: libc::c_long = libc::SYS_setfsgid;
/// `timer_gettime`, with seconds of 64 bits.
pub const TIMER_GETTIME: libc::c_long = libc::SYS_timer_gettime;
/// `timer_settime`, with seconds of 64 bits.
pub const TIMER_SETTIME: libc::c_long = libc::SYS_timer_settime;
/// `utimensat`, with seconds of 64 bits.
pub const UTIMENSAT: libc::c_long = libc::SYS_utimensat;

/// A signal action as the kernel keeps it (`struct sigaction`), in neutral words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SigAction {
    /// Handler, or SIG_DFL 0, SIG_IGN 1.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to: always into the vdso here, so 0.
    pub restorer: u64,
    /// Signals blocked meanwhile: bit n-1 for signal n.
    pub mask: u128,
}

/// Bytes of [`SigAction`] in this machine's layout.
pub const SIGACTION_LEN: usize = 32;

impl SigAction {
    /// From this machine's layout, which is that of IRIX: flags in a half word and its padding, handler, mask.
    pub fn from_bytes(bytes: &[u8; SIGACTION_LEN]) -> Self {
        let word = |i: usize| bytes.as_chunks::<8>().0.get(i).map_or(0, |w| u64::from_ne_bytes(*w));
        let mask = u128::from(word(2)) | u128::from(word(3)) << 64;
        SigAction { handler: word(1), flags: word(0) & u64::from(u32::MAX), restorer: 0, mask }
    }

    /// In this machine's layout.
    pub fn to_bytes(&self) -> [u8; SIGACTION_LEN] {
        let mut bytes = [0; SIGACTION_LEN];
        let words =
            [self.flags & u64::from(u32::MAX), self.handler, self.mask as u64, (self.mask >> 64) as u64];
        for (slot, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *slot = word.to_ne_bytes();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_keeps_its_upper_signals() {
        let action =
            SigAction { handler: 0x1_2000_0000, flags: 0x1000_0008, restorer: 0, mask: 1 << 127 | 2 };
        assert_eq!(SigAction::from_bytes(&action.to_bytes()), action);
    }
}
