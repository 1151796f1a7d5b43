//! The programs that people try first, dumped and restored as an operator would, by the program `crio` itself.
//!
//! Shell jobs run in an interactive bash on a pseudo terminal of their own ([`terminal`]): what is typed there is what
//! one would type. The other programs verify themselves and say so in a file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod counter;
mod files;
mod last_pid;
mod options;
mod own_terminal;
mod running;
mod script;
mod self_verifying;
mod survey;
mod terminal;
mod vdso;
