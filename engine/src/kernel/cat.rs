//! A process for tests to look at: cat(1), started by any command that becomes it.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use super::{Pid, ProcDir};
use crate::error::{OsContext, Result};

/// Runs `observe` once `command` echoes, then ends it. Before, it may not be cat yet: posix_spawn(3) returns when
/// execve(2) lets go of our memory, a moment before the new program's memory and arguments are in place.
pub(super) fn with_cat<T>(command: &mut Command, observe: impl FnOnce(&ProcDir) -> Result<T>) -> Result<T> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().os(|| "spawn")?;
    child.stdin.as_mut().map_or(Ok(()), |pipe| pipe.write_all(b"x")).os(|| "write")?;
    child.stdout.as_mut().map_or(Ok(()), |pipe| pipe.read_exact(&mut [0])).os(|| "read")?;
    let observed = ProcDir::open(Pid::try_from(child.id()).unwrap_or(-1)).and_then(|proc| observe(&proc));
    child.kill().os(|| "kill")?;
    child.wait().os(|| "wait")?;
    observed
}
