//! The checkpoint/restore engine behind `crio`.
//!
//! Reading order: [`dump`] and [`restore`] are the tables of contents; each names the phases of its direction, one
//! line each. Below them:
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the command line: arguments to calls |
//! | [`survey`] | what cannot be dumped of a running tree, found before anything is touched |
//! | [`resource`] | one file for each kernel resource: how it is dumped and restored |
//! | [`tracee`] | another process held by ptrace: frozen, made to run system calls for us, given back |
//! | [`image`] | CRIU's on-disk format: framing, messages, directories, page store |
//! | [`kernel`] | parsers of what /proc shows, one per file |
//! | [`sys`] | the only module with `unsafe`: system calls that nix lacks |
//! | [`check`] | what this kernel can do: one `Feature` enum, one probe each, one report |
//! | [`clean`] | what a killed dump has left, and its removal |
//! | [`hooks`] | action scripts: programs of the caller at named points |
//! | [`options`] | what the engine is told to do: plain data with CRIU's defaults |
//! | [`report`] | what a command tells at its end, as text and as JSON |
//! | [`error`] | the one error type: code, blame, object, reason, remedy |
//! | [`log`] | the log in CRIU's line format |
//! | [`fault`] | points where tests make a command fail, die or wait |
//! | `parallel` | the same work on many objects, done by several threads |
//! | `worker` | the process that does what must not end halfway, should the one that was called be killed |

pub mod check;
pub mod clean;
pub mod cli;
pub mod dump;
pub mod error;
pub mod fault;
pub mod hooks;
pub mod image;
pub mod kernel;
pub mod log;
pub mod options;
mod parallel;
pub mod report;
pub mod resource;
pub mod restore;
pub mod survey;
pub mod sys;
pub mod tracee;
mod worker;

pub use error::{Error, Result};
