//! System calls as all machines with words of 64 bits have them: no number has a wider successor, no argument is split.

use libc::c_long;

/// `fcntl` for locks of 64-bit offsets.
pub const FCNTL64: c_long = libc::SYS_fcntl;
/// Its command to take a POSIX lock, with a `struct flock64`.
pub const F_SETLK64: i32 = libc::F_SETLK;
/// `setgroups`, with ids of 32 bits.
pub const SETGROUPS: c_long = libc::SYS_setgroups;
/// `setresuid`, with ids of 32 bits.
pub const SETRESUID: c_long = libc::SYS_setresuid;
/// `setresgid`, with ids of 32 bits.
pub const SETRESGID: c_long = libc::SYS_setresgid;
/// `setfsuid`, with ids of 32 bits.
pub const SETFSUID: c_long = libc::SYS_setfsuid;
/// `setfsgid`, with ids of 32 bits.
pub const SETFSGID: c_long = libc::SYS_setfsgid;
/// `timer_gettime`, with seconds of 64 bits.
pub const TIMER_GETTIME: c_long = libc::SYS_timer_gettime;
/// `timer_settime`, with seconds of 64 bits.
pub const TIMER_SETTIME: c_long = libc::SYS_timer_settime;
/// `utimensat`, with seconds of 64 bits.
pub const UTIMENSAT: c_long = libc::SYS_utimensat;

/// `mmap`: the arguments of the C prototype, the offset in bytes.
pub fn mmap(addr: u64, len: u64, prot: u64, flags: u64, fd: i32, offset: u64) -> (u64, [u64; 6]) {
    (libc::SYS_mmap as u64, [addr, len, prot, flags, fd as i64 as u64, offset])
}

/// `preadv`: the arguments of the C prototype, the offset in bytes.
pub fn preadv(fd: i32, iov: u64, count: u64, offset: u64) -> (u64, [u64; 6]) {
    (libc::SYS_preadv as u64, [fd as i64 as u64, iov, count, offset, 0, 0])
}
