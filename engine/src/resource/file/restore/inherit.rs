//! Descriptors of ours that take the place of files, pipes, terminals and sockets (`--inherit-fd`).

use std::os::fd::{AsFd, OwnedFd};

use super::FileRestore;
use crate::error::{OsContext, Result};
use crate::image::message::RegFileEntry;
use crate::sys::process::{pidfd_getfd, pidfd_open};

impl FileRestore {
    /// The number of our descriptor that replaces a file.
    pub(super) fn inherited_number(&self, reg: &RegFileEntry) -> Option<i32> {
        let key = reg.name.strip_prefix(b"/").unwrap_or(&reg.name);
        self.options
            .inherit_fds
            .iter()
            .find(|inherit| inherit.key.as_bytes() == key)
            .map(|inherit| inherit.fd)
    }

    /// Our descriptor that replaces a file, if there is one.
    pub(super) fn inherit(&self, reg: &RegFileEntry) -> Result<Option<OwnedFd>> {
        self.inherited_number(reg).map(duplicate).transpose()
    }

    /// Hands pipes and terminals the descriptors that replace them.
    pub(super) fn take_inherited(&mut self) -> Result<()> {
        for inherit in &self.options.inherit_fds {
            let is_tty =
                inherit.key.starts_with("tty[") && self.ttys.inherit(&inherit.key, duplicate(inherit.fd)?);
            if inherit.key.starts_with("socket:[") {
                self.sockets.inherit(&inherit.key, duplicate(inherit.fd)?);
            }
            if let (false, Some((pipes, _))) = (is_tty || !inherit.key.starts_with("pipe:["), &mut self.pipes)
            {
                pipes.inherit(&inherit.key, duplicate(inherit.fd)?);
            }
        }
        Ok(())
    }
}

/// dup(2) of a bare number, which no type says to be open.
fn duplicate(number: i32) -> Result<OwnedFd> {
    let own = pidfd_open(nix::unistd::getpid().as_raw()).os(|| "pidfd_open of ourselves")?;
    pidfd_getfd(own.as_fd(), number).os(|| format!("duplicate descriptor {number} of --inherit-fd"))
}
