//! CRIU's messages, one module per family: what a task, its memory, its files and namespaces look like on disk.
//!
//! Wire format is proto2 without packing. Names and numbers are those of CRIU 4.2's `images/*.proto`, so that either
//! project reads what the other wrote; numbers from 10000 on are ours, and CRIU skips what it does not know. Text that
//! the kernel does not promise to be UTF-8 (paths, comm, device names) is `Vec<u8>`, which is the same on the wire.
//!
//! The serde derives give crit's JSON; how a number or byte string looks there is a [`style`](crate::image::style).
//! Nothing here interprets a message: that is the work of the resource that owns it.

// A field is the kernel's field of the same name in the interface that its message cites; only the others are explained.
#![allow(missing_docs)]

pub mod bpf;
pub mod cgroup;
pub mod event;
pub mod file;
pub mod inventory;
pub mod ipc;
pub mod machine;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod security;
pub mod signal;
pub mod socket;
pub mod task;
pub mod tty;

pub use bpf::*;
pub use cgroup::*;
pub use event::*;
pub use file::*;
pub use inventory::*;
pub use ipc::*;
pub use machine::*;
pub use memory::*;
pub use mount::*;
pub use namespace::*;
pub use network::*;
pub use security::*;
pub use signal::*;
pub use socket::*;
pub use task::*;
pub use tty::*;
