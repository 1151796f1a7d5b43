//! The safety promises, each proven by doing what they are about: failing, dying, filling disks, flipping bits.
//!
//! Run as root, natively. A victim (`tests/programs/victim.c`) checks from inside that nothing has happened to it;
//! [`victim`] compares what /proc shows from outside. Faults are injected where `engine::fault` has its points.

#![allow(clippy::unwrap_used)]

mod cgroup;
mod clean;
mod command;
mod dump;
mod hostile;
mod ipc;
mod judged;
mod random;
mod restore;
mod served;
mod storage;
mod victim;
