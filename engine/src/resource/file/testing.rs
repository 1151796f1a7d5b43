//! Descriptions of files that a unit test has made itself.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::Description;
use crate::error::{OsContext, Result};
use crate::kernel::{ProcDir, fdinfo};
use crate::sys::fd::fcntl;

/// This process as the owner of descriptions.
pub(super) struct Mine {
    proc: ProcDir,
}

impl Mine {
    pub(super) fn new() -> Result<Self> {
        Ok(Mine { proc: ProcDir::current()? })
    }

    /// What the dump knows of a descriptor.
    pub(super) fn description(&self, fd: OwnedFd) -> Result<Description<'_>> {
        let number = fd.as_raw_fd();
        Ok(Description {
            pid: self.proc.pid(),
            comm: "test",
            proc: &self.proc,
            number,
            target: fdinfo::target(&self.proc, number)?,
            info: fdinfo::read(&self.proc, number)?,
            stat: crate::sys::stat::fstat(&fd).os(|| "fstat")?,
            fd,
        })
    }
}

/// F_GETFL.
pub(super) fn flags(fd: &OwnedFd) -> Result<i32> {
    fcntl(fd.as_fd(), libc::F_GETFL, 0).os(|| "fcntl F_GETFL")
}
