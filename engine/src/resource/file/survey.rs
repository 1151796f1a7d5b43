//! What the files of a running tree would be refused for: the dump's own judgements, without its writing.
//!
//! Not here: what shows only when the data is read, such as a pipe that is written to meanwhile.

use std::collections::HashSet;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;

use super::remap::{self, Standing};
use super::tty::{TaskTerminal, TtyDump};
use super::{Description, Kind, Seen, dump, mqueue, namespace, table};
use crate::error::{OsContext, Result};
use crate::kernel::ProcDir;
use crate::kernel::smaps::{Mapped, Vma};
use crate::options::DumpOptions;
use crate::sys::process::pidfd_open;
use crate::sys::stat::fstatat;

/// The files of a tree so far.
#[derive(Debug)]
pub struct FileSurvey<'a> {
    options: &'a DumpOptions,
    ttys: TtyDump<'a>,
    /// Device, inode and path of what was judged.
    judged: HashSet<(u64, u64, Vec<u8>)>,
    /// Device and inode of mapped files.
    mapped: HashSet<((u32, u32), u64)>,
    last_id: u32,
}

impl<'a> FileSurvey<'a> {
    /// Nothing yet; `terminals` are those of all tasks.
    pub fn new(options: &'a DumpOptions, terminals: &'a [TaskTerminal]) -> Self {
        let ttys = TtyDump::new(terminals, &options.external);
        FileSurvey { options, ttys, judged: HashSet::new(), mapped: HashSet::new(), last_id: 0 }
    }

    /// Judges a descriptor of a kind that can be dumped.
    pub fn add(&mut self, proc: &ProcDir, comm: &str, seen: &Seen<'_>, kind: Kind) -> Result<()> {
        let key = (seen.stat.st_dev, seen.stat.st_ino, seen.target.to_vec());
        // All masters of pseudo-terminals are one inode.
        let is_master = kind == Kind::Tty && seen.target.ends_with(b"ptmx");
        if !self.judged.insert(key) && !is_master || kind == Kind::Pipe {
            return Ok(());
        }
        if kind == Kind::Namespace {
            return namespace::refuse(seen);
        }
        let pid = proc.pid();
        let pidfd = pidfd_open(pid).os(|| format!("pidfd_open {pid}"))?;
        let d = table::describe(proc, comm, &pidfd, seen.number)?;
        let judged = match kind {
            Kind::Tty => self.add_terminal(&d),
            Kind::Regular if mqueue::is(&d).is_ok_and(|is| is) => mqueue::refuse(&d, self.options.tree),
            Kind::Regular | Kind::Directory | Kind::Path | Kind::MemoryDevice | Kind::Fifo => self.judge(&d),
            // Sockets are judged together, by `resource::socket::Sockets`.
            Kind::Pipe | Kind::Event(_) | Kind::Socket | Kind::Memfd | Kind::Namespace => Ok(()),
        };
        judged.map_err(|e| d.blame(e))
    }

    /// Judges what a link of the task's directory leads to: `exe`, `cwd`, `root`.
    pub fn add_link(&mut self, proc: &ProcDir, comm: &str, link: &str) -> Result<()> {
        let (stat, target) = (proc.stat(link)?, proc.readlink(link)?);
        if !self.judged.insert((stat.st_dev, stat.st_ino, target)) {
            return Ok(());
        }
        let d = dump::describe_link(proc, comm, link, self.options)?;
        self.judge(&d).map_err(|e| d.blame(e))
    }

    /// Judges a mapped file, unless it is still at its path, which most are.
    pub fn add_mapping(&mut self, proc: &ProcDir, comm: &str, vma: &Vma) -> Result<()> {
        let Some(path) = vma.path().filter(|_| self.mapped.insert((vma.dev, vma.ino))) else { return Ok(()) };
        match fstatat(AT_FDCWD, remap::path_of(&path), nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(there) if there.st_ino == vma.ino => return Ok(()),
            Err(Errno::EACCES) => return Ok(()),
            _ => {}
        }
        if Mapped::of(&path).has_path() { self.add_link(proc, comm, &vma.map_file()) } else { Ok(()) }
    }

    /// What shows only now that all files were added.
    pub fn blockers(&self) -> Vec<crate::Error> {
        self.ttys.blockers(self.options.shell_job)
    }

    fn add_terminal(&mut self, d: &Description<'_>) -> Result<()> {
        if self.ttys.needs_path(d) {
            self.judge(d)?;
        }
        self.last_id += 1;
        self.ttys.add(self.last_id, None, d).map(drop)
    }

    fn judge(&self, d: &Description<'_>) -> Result<()> {
        if dump::external_name(d, self.options).is_some() {
            return Ok(());
        }
        match remap::judge(d, self.options)?.standing {
            Standing::Ghost => dump::check_ghost(d, self.options),
            Standing::Linked if !self.options.link_remap => Err(remap::refuse_link(&d.stat)),
            Standing::Named | Standing::Linked | Standing::Renamed(_) | Standing::DeadProcess(_) => Ok(()),
        }
    }
}
