//! Kernels, guest images, QEMU, and the channel to a guest.
//!
//! | module | what it is |
//! |---|---|
//! | [`matrix`] | `ci/matrix.yaml`: which kernels on which machines |
//! | [`apt`] | packages of any suite and architecture, from the machine's own mirror |
//! | [`kernel`] | a kernel with the modules that guests need, out of its package |
//! | [`modules`] | which module files it takes, and their order |
//! | [`cpio`] | the archive that is a guest's first root |
//! | [`image`] | the first root and the disk of a guest |
//! | [`qemu`] | its machine |
//! | [`kvm`] | whether the processor can do the work |
//! | [`console`] | what its kernel says, and which of that is its end |
//! | [`guest`] | a guest that runs, and what is said to its agent |
//! | [`pool`] | guests for tests: as many as wanted, a fresh one for each that died |
//! | [`userland`] | the programs of a guest |
//!
//! The agent itself is the runner, crate `zdtm`. Not here: how programs are compiled for a machine (`xtask`).

pub mod apt;
pub mod console;
pub mod cpio;
pub mod guest;
pub mod image;
pub mod kernel;
pub mod kvm;
pub mod matrix;
pub mod modules;
pub mod pool;
pub mod qemu;
pub mod userland;
