//! What can be read and set of a task from outside: scheduling, I/O priority, limits, robust list.

#![allow(unsafe_code, reason = "raw system calls")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::process::check;

/// `struct sched_attr` of linux/sched/types.h, version with utilisation clamps.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedAttr {
    /// Bytes of this structure.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// -20 to 19, of SCHED_OTHER and SCHED_BATCH.
    pub nice: i32,
    /// 1 to 99, of SCHED_FIFO and SCHED_RR.
    pub priority: u32,
    /// Nanoseconds, of SCHED_DEADLINE.
    pub runtime: u64,
    /// Nanoseconds, of SCHED_DEADLINE.
    pub deadline: u64,
    /// Nanoseconds, of SCHED_DEADLINE.
    pub period: u64,
    /// Utilisation clamp, 0 to 1024.
    pub util_min: u32,
    /// Utilisation clamp, 0 to 1024.
    pub util_max: u32,
}

/// Policy and parameters of a thread.
pub fn sched_getattr(tid: i32) -> io::Result<SchedAttr> {
    let mut attr = SchedAttr::default();
    // SAFETY: the kernel writes at most the given size.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &raw mut attr, size_of::<SchedAttr>(), 0) })?;
    Ok(attr)
}

/// Sets policy and parameters of a thread.
pub fn sched_setattr(tid: i32, attr: &SchedAttr) -> io::Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: the kernel reads the size that the structure states.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, tid, &raw const attr, 0) }).map(drop)
}

/// The nice value of a thread, -20 to 19, also while its policy has no use for it.
pub fn nice(tid: i32) -> io::Result<i32> {
    // SAFETY: no memory is passed. The system call, unlike the C library's function, returns 20 - nice.
    check(unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, tid) })
        .map(|value| 20 - value as i32)
}

/// Sets what [`nice`] reads.
pub fn set_nice(tid: i32, nice: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, tid, nice) }).map(drop)
}

const PR_SCHED_CORE: i32 = 62;
const PR_SCHED_CORE_GET: i32 = 0;
const PIDTYPE_PID: i32 = 0;

/// The core scheduling cookie of a thread, 0 for none. EINVAL without CONFIG_SCHED_CORE, ENODEV without SMT.
pub fn core_cookie(tid: i32) -> io::Result<u64> {
    let mut cookie = 0u64;
    // SAFETY: the kernel writes one word, which outlives the call.
    let ret = unsafe {
        libc::syscall(libc::SYS_prctl, PR_SCHED_CORE, PR_SCHED_CORE_GET, tid, PIDTYPE_PID, &raw mut cookie)
    };
    check(ret).map(|_| cookie)
}

/// CPUs that a thread may run on, as 32-bit words, lowest CPU first.
pub fn affinity(tid: i32) -> io::Result<Vec<u32>> {
    let mut words = vec![0u32; 2048];
    // SAFETY: the length is that of the buffer.
    let ret = unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid, words.len() * 4, words.as_mut_ptr()) };
    words.truncate(check(ret)? as usize / 4);
    Ok(words)
}

/// Restricts a thread to CPUs; the words of [`affinity`].
pub fn set_affinity(tid: i32, words: &[u32]) -> io::Result<()> {
    // SAFETY: the length is that of the buffer.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, words.len() * 4, words.as_ptr()) })
        .map(drop)
}

const IOPRIO_WHO_PROCESS: i32 = 1;

/// I/O priority: class in the upper bits, see ioprio_set(2).
pub fn ioprio(tid: i32) -> io::Result<u32> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, tid) }).map(|prio| prio as u32)
}

/// Sets what [`ioprio`] reads.
pub fn set_ioprio(tid: i32, prio: u32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, tid, prio) }).map(drop)
}

/// Address and length of a thread's robust futex list head; address 0 when there is none.
pub fn robust_list(tid: i32) -> io::Result<(u64, u64)> {
    let (mut head, mut len) = (0usize, 0usize);
    // SAFETY: both are words that outlive the call.
    check(unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut len) })?;
    Ok((head as u64, len as u64))
}

/// Soft and hard limit of `resource` (`RLIMIT_*`); sets new ones when given.
pub fn prlimit(pid: i32, resource: u32, new: Option<(u64, u64)>) -> io::Result<(u64, u64)> {
    let new = new.map(|(cur, max)| libc::rlimit64 { rlim_cur: cur, rlim_max: max });
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new_ptr = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both structures outlive the call.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, new_ptr, &raw mut old) })?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// Our own limit on descriptors, raised as far as we may. Dropped, it is as it was.
///
/// We have several of each task and one of each file of a tree, and the usual soft limit is a thousand.
#[derive(Debug)]
pub struct DescriptorLimit {
    before: Option<(u64, u64)>,
}

impl DescriptorLimit {
    /// To what the kernel has at most (fs.nr_open) with CAP_SYS_RESOURCE, else to the hard limit: getrlimit(2).
    pub fn raise() -> Self {
        let before = prlimit(0, libc::RLIMIT_NOFILE, None).ok();
        let most =
            std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
        let hard = before.map(|(_, hard)| hard);
        let mut wanted = [most.max(hard), hard].into_iter().flatten().map(|limit| (limit, limit));
        // Where neither is possible, it stays as it is.
        let _ = wanted.any(|limit| prlimit(0, libc::RLIMIT_NOFILE, Some(limit)).is_ok());
        DescriptorLimit { before }
    }

    /// A program of somebody else's is not to inherit our limit.
    pub fn spare(&self, command: &mut Command) {
        let Some(before) = self.before else { return };
        // SAFETY: between fork and execve the closure makes one system call, and touches no memory but its stack's.
        unsafe { command.pre_exec(move || prlimit(0, libc::RLIMIT_NOFILE, Some(before)).map(drop)) };
    }
}

impl Drop for DescriptorLimit {
    fn drop(&mut self) {
        // Lowering is never refused.
        let _ = self.before.map(|before| prlimit(0, libc::RLIMIT_NOFILE, Some(before)));
    }
}

/// The securebits of the calling thread, capabilities(7).
pub fn securebits() -> io::Result<u32> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::prctl(libc::PR_GET_SECUREBITS) }.into()).map(|bits| bits as u32)
}
