//! The kernel's resources: one file each, with its image, its dump and its restore.
//!
//! Every file has the same order: (1) the kernel object, the interfaces that read and write it, and what is *not*
//! kept; (2) `dump`; (3) `restore`; (4) tests. The image types stand in [`crate::image::message`].
//!
//! | family | what it has |
//! |---|---|
//! | `task` | what belongs to a process or thread by itself |
//! | `memory` | its address space |
//! | `file` | open files, and what they lead to |
//! | `socket` | sockets, which have no meaning alone |
//! | `ipc` | System V objects, which belong to no process |
//! | [`namespace`] | the namespaces that the tree lives in |
//! | `cgroup` | control groups, which limit processes from outside |
//!
//! [`state`] is the table of all state: kept, refused, or not kept and said so. [`maker`] tells who is making an object
//! that outlives processes, of which `ipc`, `file` and `cgroup` have some.

pub mod cgroup;
pub mod file;
pub mod ipc;
pub mod maker;
pub mod memory;
pub mod namespace;
pub mod socket;
pub mod state;
pub mod task;
