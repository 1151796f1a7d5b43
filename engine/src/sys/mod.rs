//! The only module with `unsafe`: the system calls that nix lacks, each behind a safe function that returns
//! `io::Result`. One file per family; a block says why it is sound.

pub mod attr;
pub mod event;
pub mod extent;
pub mod fd;
pub mod ipc;
pub mod kcmp;
pub mod mapping;
pub mod memory;
pub mod mount;
pub mod mqueue;
pub mod notify;
pub mod pagemap;
pub mod probe;
pub mod process;
pub mod ptrace;
pub mod socket;
pub mod stat;
pub mod tty;
pub mod userfaultfd;
pub mod xattr;
