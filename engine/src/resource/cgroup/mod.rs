//! Control groups: which ones tasks and threads are in, and the directories with their properties. cgroups(7), cgroup.proc
//! in CRIU; v1, named hierarchies, v2 and its threaded cgroups.
//!
//! The content of `/proc/TID/cgroup` is a *set* and has a number; that of crio itself is 1. If all tasks are in that set,
//! they are restored in the cgroups of whoever restores them, and there is no image. Otherwise the image has every set
//! and, of every hierarchy, the directories that the tree is in with all that is below. Of the root of a hierarchy
//! neither children nor properties are kept: it belongs to the machine.
//!
//! A restore makes what is missing, before any process exists; a task enters its cgroups before it has memory. Limits are
//! set when the tree is complete, freezers as it is let go. `--manage-cgroups` says what else is touched. What a failed
//! restore has made or changed, it takes back. One that is killed leaves empty directories, with a mark by which the next
//! restore knows them ([`maker`](super::maker)).
//!
//! Not kept: what was counted and charged, BPF programs of cgroups, triggers of pressure, event_control.
//!
//! | file | what it has |
//! |---|---|
//! | `properties`, `specification` | control files, and the options about them |
//! | `dump` | sets and directories into the image |
//! | `restore`, `place` | the image back; one directory of it |
//! | `freezer` | tasks that a frozen cgroup holds |
//! | `namespace` | the cgroup namespace of a tree |
//! | `root` | `--cgroup-root`, and what paths may be |

mod dump;
pub mod freezer;
mod namespace;
mod place;
mod properties;
mod restore;
mod root;
mod specification;

pub use dump::CgroupDump;
pub use restore::{CgroupRestore, Hierarchies};

use crate::error::Result;
use crate::kernel::cgroupfs::Hierarchy;
use crate::kernel::{ProcDir, mountinfo};
use crate::options::CgroupOptions;

/// The set of the program that dumps.
pub const OWN_SET: u32 = 1;

/// Reads what options say of properties, before anything is done.
///
/// # Errors
/// `E-USAGE`, or that of a file that cannot be read.
pub fn check_options(options: &CgroupOptions) -> Result<()> {
    properties::Properties::of(options).map(drop)
}

/// Opens hierarchies where they are mounted, or in a yard.
#[derive(Debug)]
struct Opener<'a> {
    options: &'a CgroupOptions,
    mounts: Vec<mountinfo::Mount>,
}

impl<'a> Opener<'a> {
    fn new(options: &'a CgroupOptions) -> Result<Self> {
        let mounts = if options.yard.is_some() { Vec::new() } else { mountinfo::read(&ProcDir::current()?)? };
        Ok(Opener { options, mounts })
    }

    fn open(&self, controllers: &[Vec<u8>]) -> Result<Hierarchy> {
        match &self.options.yard {
            Some(yard) => Hierarchy::open_in(yard, controllers),
            None => Hierarchy::open(controllers, &self.mounts),
        }
    }
}
