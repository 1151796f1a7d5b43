//! What the kernel shows of a task: parsers of `/proc/PID/*`, the page map, kcmp(2) and the ELF images it maps.
//!
//! One file of /proc is one file here: a pure `parse(&[u8])`, tested on captured bytes, and a `read(&ProcDir)` that
//! feeds it and puts the path into the error. Everything is reached through a [`ProcDir`], an open directory, because
//! a path with a pid in it may name another process a moment later. Nothing here changes a task; what needs
//! ptrace(2) or a system call in the task's name is not here.
//!
//! | module | source |
//! |---|---|
//! | [`stat`] [`status`] | `stat`, `status`: identity, state, signals, credentials |
//! | [`smaps`] | `maps`, `smaps`: the memory layout |
//! | [`pagemap`] | `pagemap`: which pages hold content |
//! | [`huge_page`] [`huge_pool`] | transparent huge pages, those of hugetlbfs: `/sys/kernel/mm` |
//! | [`fdinfo`] [`event`] | `fd/`, `fdinfo/` |
//! | [`schedstat`] | `schedstat`: time without a CPU |
//! | [`tasks`] [`children`] | `task/`, `task/TID/children` |
//! | [`timers`] [`limits`] [`auxv`] [`cgroup`] [`mountinfo`] [`ns`] | the files of these names |
//! | [`attr`] | files that hold one value |
//! | [`cgroupfs`] | hierarchies of cgroups and their control files |
//! | [`kcmp`] | which kernel objects tasks share |
//! | [`netlink`], [`sock_diag`], [`packet_diag`] | sockets, as the kernel lists them: sock_diag(7) |
//! | [`igmp`] | multicast groups |
//! | [`sysvipc`] | System V semaphores and message queues |
//! | [`elf`] | build-ids, and the vdso |

#[cfg(test)]
mod cat;
mod proc_dir;
mod text;

pub mod attr;
pub mod auxv;
pub mod cgroup;
pub mod cgroupfs;
pub mod children;
pub mod elf;
pub mod event;
pub mod fdinfo;
pub mod huge_page;
pub mod huge_pool;
pub mod igmp;
pub mod kcmp;
pub mod limits;
pub mod mountinfo;
pub mod netlink;
pub mod ns;
pub mod packet_diag;
pub mod pagemap;
pub mod schedstat;
pub mod smaps;
pub mod sock_diag;
pub mod stat;
pub mod status;
pub mod sysvipc;
pub mod tasks;
pub mod timers;

pub use proc_dir::ProcDir;

/// A process or thread id as the pid namespace of our own /proc sees it.
pub type Pid = i32;
