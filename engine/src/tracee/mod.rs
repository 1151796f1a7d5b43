//! Another process, held by ptrace: frozen, made to run system calls for us, and given back.
//!
//! There is one way to do something inside a tracee: a [`Batch`] of system calls, run by a thread that is on [`Loan`].
//! The dump collects with it what only the task itself can tell; the restore builds a task with it from outside.
//!
//! **Whatever happens to us, the victim goes on.** Errors and panics drop the [`Loan`] and the [`Frozen`] tree, which
//! give everything back. If we are killed, the kernel detaches the tracees; a thread on loan then runs on into the
//! stub's rescue code (crate `arch`, `inject.rs`), which restores mask and registers and unmaps the borrowed area. All
//! that remains is that the vdso page has become a private copy with some bytes in its unused tail.

mod batch;
mod departure;
mod filter;
mod freeze;
mod freezer;
mod loan;
mod rseq;
mod site;
mod stop;
#[cfg(test)]
mod tests;
mod wait;
pub mod zombie;

pub use batch::{Area, Batch, CallId};
pub use departure::{Need, needs, other_registers, refuse};
pub use filter::{Filter, filters};
pub use freeze::{Fate, Frozen, FrozenTask, Look};
pub use freezer::Freezer;
pub use loan::Loan;
pub use site::{Site, hole, refuse_crowded};
pub use stop::stop;
pub use wait::{await_end, await_newborn, beside, reap};
