//! The checkpoint/restore engine behind `crio`.
//!
//! Reading order: [`dump`] and [`restore`] are the tables of contents; each names the phases of its direction, one
//! line each. Below them:
//!
//! | module | what it is |
//! |---|---|
//! | [`error`] | the one error type: code, blame, object, reason, remedy |
//! | [`sys`] | the only module with `unsafe`: system calls that nix lacks |
//! | [`kernel`] | parsers of what /proc shows, one per file |
//! | [`image`] | CRIU's on-disk format: framing, messages, directories, page store |
//! | [`options`] | what the engine is told to do: plain data with CRIU's defaults |

pub mod error;
pub mod image;
pub mod kernel;
pub mod options;
pub mod sys;

pub use error::{Error, Result};
