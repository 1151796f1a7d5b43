//! What a descriptor leads to: the one place that tells files that are kept from files that are refused.
//!
//! stat(2) gives the type and the device; what both leave open (memfd or file, eventfd or io_uring) the kernel shows in
//! the link of `/proc/PID/fd`: proc_pid_fd(5), and the `d_dname` functions of fs/pipe.c, fs/anon_inodes.c, net/socket.c.
//! Nothing is opened here, so that the survey can ask for a running task.

use nix::sys::stat::{major, minor};

use super::event::EventKind;
use super::{memfd, namespace};
use crate::error::{Blame, Error, Result};
use crate::kernel::smaps;
use crate::sys::stat::FileStat;

/// The kinds of files that are kept; each is one module beside this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file of a file system, named or deleted.
    Regular,
    /// A directory.
    Directory,
    /// Opened with O_PATH: a place in a file system, whatever is there. A symbolic link is always this.
    Path,
    /// A memory device: null, zero, full, random, urandom, kmsg. It has no state but its position.
    MemoryDevice,
    /// An end of a pipe(2).
    Pipe,
    /// A FIFO of a file system.
    Fifo,
    /// A terminal or one side of a pseudoterminal.
    Tty,
    /// A memfd_create(2) file.
    Memfd,
    /// A socket; [`socket`](crate::resource::socket) knows which of them are kept.
    Socket,
    /// A file that exists for its events: eventfd, timerfd and their like.
    Event(EventKind),
    /// A namespace.
    Namespace,
}

/// What can be seen of a descriptor without opening anything: the survey has it from `/proc/PID/fd/N`.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its number in its task, or -1.
    pub number: i32,
    /// `O_*`, as fdinfo shows them.
    pub flags: u32,
    /// stat(2) through the link.
    pub stat: &'a FileStat,
    /// The raw target of the link.
    pub target: &'a [u8],
}

/// What the kernel appends to the target of a link whose file has no name any more.
pub const DELETED: &[u8] = b" (deleted)";

/// include/uapi/linux/major.h
const MEM_MAJOR: u64 = 1;
const TTY_MAJOR: u64 = 4;
const TTYAUX_MAJOR: u64 = 5;
const MISC_MAJOR: u64 = 10;
const UNIX98_PTY_MASTER_MAJOR: u64 = 128;
const UNIX98_PTY_SLAVE_MAJOR_END: u64 = 143;

impl Seen<'_> {
    /// How messages name it: `fd 5 (/tmp/a)`, or the target alone if it has no number.
    pub fn name(&self) -> String {
        let target = String::from_utf8_lossy(self.target);
        if self.number < 0 { target.into_owned() } else { format!("fd {} ({target})", self.number) }
    }

    fn refuse(&self, what: impl Into<String>, remedy: &str) -> Error {
        Error::new("E-FILE-UNSUPPORTED", Blame::Program, what).on(self.name()).help(remedy)
    }
}

impl Kind {
    /// Which kind of file this is.
    ///
    /// # Errors
    /// `E-FILE-UNSUPPORTED` with the descriptor, what it is and what can be done; the caller adds the task.
    pub fn of(seen: &Seen<'_>) -> Result<Kind> {
        if seen.flags & libc::O_PATH as u32 != 0 && seen.target.starts_with(b"/") {
            return Ok(Kind::Path);
        }
        match seen.stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => of_regular(seen),
            libc::S_IFDIR if seen.target.starts_with(b"/") => Ok(Kind::Directory),
            libc::S_IFLNK if seen.target.starts_with(b"/") => Ok(Kind::Path),
            libc::S_IFIFO if seen.target.starts_with(b"pipe:[") => Ok(Kind::Pipe),
            libc::S_IFIFO if seen.target.starts_with(b"/") => Ok(Kind::Fifo),
            libc::S_IFCHR => of_char_device(seen),
            libc::S_IFBLK => Err(of_block_device(seen)),
            libc::S_IFSOCK => Ok(Kind::Socket),
            _ => of_anonymous(seen),
        }
    }
}

/// Regular by its mode: also memfds, and the files of nsfs, pidfs and bpf, which have no path.
fn of_regular(seen: &Seen<'_>) -> Result<Kind> {
    if is_memfd(seen) {
        Ok(Kind::Memfd)
    } else if smaps::Mapped::of(seen.target) == smaps::Mapped::SysvSegment && memfd::is_shmem(seen.stat) {
        Err(seen.refuse("is a System V segment, which shmat(2) cannot open", "close it before the dump"))
    } else if seen.target.starts_with(b"/dmabuf:") {
        Err(seen.refuse("is a buffer of a device (dma-buf)", "stop what uses the device before the dump"))
    } else if seen.target.starts_with(b"/") {
        Ok(Kind::Regular)
    } else if seen.target.starts_with(b"(unreachable)") {
        Err(seen.refuse(
            "lies in a mount that cannot be reached from the root directory of crio",
            "run crio in the mount namespace of the program",
        ))
    } else {
        of_anonymous(seen)
    }
}

/// The kernel shows a memfd as `/memfd:NAME (deleted)`, and what is kept in the same way as `/dev/zero (deleted)`, shared
/// memory, and `/anon_hugepage (deleted)`, the same of huge pages. A deleted file of such a name looks alike, but is not on
/// one of the hidden mounts of shmem and hugetlbfs; the latter is never the root's.
pub(super) fn is_memfd(seen: &Seen<'_>) -> bool {
    memfd::MemfdDump::is_memfd(seen.target)
        && seen.stat.st_mode & libc::S_IFMT == libc::S_IFREG
        && seen.stat.st_nlink == 0
        && match smaps::Mapped::of(seen.target) {
            smaps::Mapped::SharedMemory => memfd::is_shmem(seen.stat),
            _ => crate::sys::stat::stat("/").is_ok_and(|root| root.st_dev != seen.stat.st_dev),
        }
}

fn of_char_device(seen: &Seen<'_>) -> Result<Kind> {
    let (major, minor) = (major(seen.stat.st_rdev), minor(seen.stat.st_rdev));
    match (major, minor) {
        (MEM_MAJOR, 1 | 4) => Err(seen.refuse(
            "gives access to this machine's memory or ports, which another one does not have",
            "close it before the dump",
        )),
        (MEM_MAJOR, _) => Ok(Kind::MemoryDevice),
        (TTY_MAJOR | TTYAUX_MAJOR, _) | (UNIX98_PTY_MASTER_MAJOR..=UNIX98_PTY_SLAVE_MAJOR_END, _) => {
            Ok(Kind::Tty)
        }
        _ => {
            let what = match (major, minor) {
                (MISC_MAJOR, 200) => "network tunnel (tun/tap)",
                (MISC_MAJOR, 229) => "FUSE device",
                (MISC_MAJOR, 232) => "virtual machine device (KVM)",
                (MISC_MAJOR, 235) => "autofs device",
                (226, _) => "graphics device",
                (116, _) => "sound device",
                (13, _) => "input device",
                _ => "character device",
            };
            Err(seen.refuse(
                format!("is a {what} ({major}:{minor}), whose state only its driver knows"),
                "close it before the dump",
            ))
        }
    }
}

fn of_block_device(seen: &Seen<'_>) -> Error {
    let (major, minor) = (major(seen.stat.st_rdev), minor(seen.stat.st_rdev));
    seen.refuse(
        format!("is a block device ({major}:{minor}), whose content may change behind the image"),
        "close it before the dump",
    )
}

/// Files without a path: name them by what the kernel calls them.
fn of_anonymous(seen: &Seen<'_>) -> Result<Kind> {
    let name = seen.target.strip_prefix(b"anon_inode:").unwrap_or(seen.target);
    let name = name.strip_prefix(b"[").and_then(|n| n.strip_suffix(b"]")).unwrap_or(name);
    if let Some(kind) = EventKind::of(name) {
        return Ok(Kind::Event(kind));
    }
    if namespace::kind_of(name).is_some() && name.ends_with(b"]") {
        return Ok(Kind::Namespace);
    }
    let later = "is not supported yet";
    let (what, why) = match name {
        b"bpf-map" => ("a BPF map", later),
        b"io_uring" => ("an io_uring", "has requests in the kernel that cannot be read"),
        b"perf_event" => ("a perf event", "counts events that cannot be set again"),
        b"seccomp notify" => ("a seccomp listener", "has requests in the kernel that cannot be read"),
        b"landlock-ruleset" => ("a landlock ruleset", "cannot be read"),
        _ if name.starts_with(b"kvm") => ("a virtual machine (KVM)", "has state that only its driver knows"),
        _ if name.starts_with(b"bpf-") || name == b"btf" => ("a BPF object", "cannot be made again"),
        _ => return Err(seen.refuse("is a file of the kernel that has no path", "close it before the dump")),
    };
    let help = match name {
        b"io_uring" => {
            "have it work without, by a setting of its own or the sysctl kernel.io_uring_disabled at its start"
        }
        _ => "close it before the dump",
    };
    Err(seen.refuse(format!("is {what}, which {why}"), help))
}
