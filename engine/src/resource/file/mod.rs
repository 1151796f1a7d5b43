//! Open files: descriptions, the tables that name them, and what a task's file system view refers to.
//!
//! The dump meets each open file description once, as a descriptor of our own that shares it ([`Description`]), and
//! each kind of file answers with its entry of `files.img`. The restore opens each description once, in our own
//! process, and hands it to the tasks. No kind of file needs anything from inside a task, but for a terminal that has
//! to become a session's controlling one.
//!
//! Which kind a description is, is decided in one place, [`Kind::of`], for survey and dump alike.
//!
//! | module | what it is |
//! |---|---|
//! | [`kind`] | what a descriptor leads to, and the refusal of what cannot be kept |
//! | `survey` | what a dump would refuse, found without freezing: [`FileSurvey`] |
//! | [`dump`], [`restore`] | all files of a tree: [`FileDump`] and [`FileRestore`] |
//! | `regular` | files that are opened again by their path: regular files, directories, memory devices, O_PATH |
//! | `remap` | what stands in for a path that is gone: ghost, hard link, dead process |
//! | `ghost` | files without any name: their content travels in the image |
//! | `validate` | whether a file is still the one that was dumped |
//! | `made` | where files that we make are put, and that none is left behind |
//! | `content` | bytes of files: holes, copying, comparing |
//! | `embed` | `--embed-files`: content of named files in the image |
//! | [`pipe`], [`fifo`], [`tty`], [`memfd`], [`mqueue`] | the kinds that have more state than a path and a position |
//! | [`event`] | the kinds that exist for their events: eventfd, epoll and their like |
//! | [`namespace`] | open namespaces |
//! | [`lock`] | locks and leases |
//! | [`owner`], `reopen` | who gets the signals of a description; its flags |
//! | [`fs`] | working directory, root and umask of a task |

mod content;
pub mod dump;
mod embed;
pub mod event;
pub mod fifo;
pub mod fs;
mod ghost;
pub mod kind;
pub mod lock;
mod made;
pub mod memfd;
pub mod mqueue;
pub mod namespace;
pub mod owner;
pub mod pipe;
mod regular;
pub mod remap;
pub(in crate::resource) mod reopen;
pub mod restore;
#[cfg(test)]
mod round_trip;
mod survey;
pub mod table;
#[cfg(test)]
mod testing;
pub mod tty;
mod validate;
mod xattr;

use std::os::fd::OwnedFd;

pub use dump::{DumpedFiles, FileDump};
pub use kind::{Kind, Seen};
pub use remap::LinkRemaps;
pub use restore::FileRestore;
pub use survey::FileSurvey;

use crate::error::Error;
use crate::kernel::fdinfo::FdInfo;
use crate::kernel::{Pid, ProcDir};
use crate::sys::stat::FileStat;

/// One open file description of the tree, held by us.
#[derive(Debug)]
pub struct Description<'a> {
    /// A task that has it open, for messages and for paths as that task sees them.
    pub pid: Pid,
    /// Its name.
    pub comm: &'a str,
    /// Its directory in /proc.
    pub proc: &'a ProcDir,
    /// Its number in that task; -1 for a file that is only mapped, executed, or a directory of the task.
    pub number: i32,
    /// The same description in this process.
    pub fd: OwnedFd,
    /// The raw target of its link in /proc: a path, perhaps with ` (deleted)`, `pipe:[17]`, `anon_inode:[eventfd]`.
    pub target: Vec<u8>,
    /// Position, flags, mount.
    pub info: FdInfo,
    /// fstat(2) of it.
    pub stat: FileStat,
}

impl Description<'_> {
    /// What [`Kind::of`] judges.
    pub fn seen(&self) -> Seen<'_> {
        Seen { number: self.number, flags: self.info.flags, stat: &self.stat, target: &self.target }
    }

    /// How messages name it: `fd 5 (/tmp/a)`, or its path if it has no number.
    pub fn name(&self) -> String {
        self.seen().name()
    }

    /// Puts task and description into an error.
    pub fn blame(&self, e: Error) -> Error {
        e.on(self.name()).task(self.pid, self.comm)
    }
}
