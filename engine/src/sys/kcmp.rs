//! kcmp(2): whether two tasks share a kernel object, and if not, an order between the two objects.
//!
//! nix lacks the call. The order is that of obfuscated pointers: it is total and stable until reboot for objects that
//! live, and says nothing else. Needs CONFIG_KCMP and PTRACE_MODE_READ_REALCREDS on both tasks.

#![allow(unsafe_code, reason = "a system call without a wrapper in libc or nix")]

use std::cmp::Ordering;

use nix::errno::Errno;

/// What is compared: the `KCMP_*` of include/uapi/linux/kcmp.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Kind {
    /// Open files (struct file), by descriptor numbers.
    File = 0,
    /// Address spaces.
    Vm = 1,
    /// Descriptor tables.
    Files = 2,
    /// Root, working directory and umask.
    Fs = 3,
    /// Signal handlers.
    Sighand = 4,
    /// I/O contexts.
    Io = 5,
    /// System V semaphore undo lists.
    Sysvsem = 6,
}

/// `KCMP_EPOLL_TFD`
const EPOLL_TARGET: i32 = 7;

/// A target of an epoll(7) instance: struct kcmp_epoll_slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct EpollSlot {
    /// Descriptor of the instance.
    pub efd: u32,
    /// The descriptor number that was added.
    pub tfd: u32,
    /// Which one, of those added with this number: 0 is the first.
    pub toff: u32,
}

/// Compares object `index1` of `pid1` with `index2` of `pid2`; the indices are descriptors for [`Kind::File`] and are
/// ignored for all others. ESRCH: a task is gone; EBADF: no such descriptor; EPERM; ENOSYS: no CONFIG_KCMP.
pub fn kcmp(kind: Kind, (pid1, index1): (i32, u32), (pid2, index2): (i32, u32)) -> nix::Result<Ordering> {
    // SAFETY: for these kinds the kernel reads no memory of ours: all arguments are numbers.
    order(unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            pid1,
            pid2,
            kind as i32,
            libc::c_ulong::from(index1),
            libc::c_ulong::from(index2),
        )
    })
}

/// Compares open file `fd` of `pid1` with a target of an epoll instance of `pid2`. ENOENT: no such target.
pub fn kcmp_epoll((pid1, fd): (i32, u32), (pid2, slot): (i32, EpollSlot)) -> nix::Result<Ordering> {
    // SAFETY: the last argument points to a slot that lives until the call returns; the kernel only reads it.
    order(unsafe {
        libc::syscall(libc::SYS_kcmp, pid1, pid2, EPOLL_TARGET, libc::c_ulong::from(fd), &raw const slot)
    })
}

fn order(answer: libc::c_long) -> nix::Result<Ordering> {
    match Errno::result(answer)? {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        2 => Ok(Ordering::Greater),
        // 3, "unordered", is reserved by the manual; no kernel answers it.
        _ => Err(Errno::EPROTO),
    }
}
