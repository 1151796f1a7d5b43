//! The TCP connections of a tree that is dumped: none of their packets passes from the moment when they are read.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::super::network_lock::{Connection, NetworkLock, unlock};
use super::tcp::Repair;
use crate::error::{OsContext, Result};
use crate::image::ImageDir;
use crate::image::journal::Note;
use crate::kernel::Pid;
use crate::log_warn;
use crate::options::DumpOptions;

/// Connections that are in an image. Dropped, they go on as if nothing had been.
#[derive(Debug, Default)]
pub struct Connections {
    /// What the lock is called after; the restore asks the inventory for it.
    run: Option<String>,
    lock: Option<NetworkLock>,
    fds: Vec<OwnedFd>,
    /// The lock is there without us.
    left: bool,
}

impl Connections {
    /// Holds back their packets, if there are any, and unless somebody else does.
    pub fn lock(ends: Vec<Connection>, images: &ImageDir, options: &DumpOptions) -> Result<Self> {
        if ends.is_empty() || options.skip_network_lock {
            return Ok(Connections::default());
        }
        let path = "/proc/sys/kernel/random/uuid";
        let run = std::fs::read_to_string(path).os(|| format!("read {path}"))?.trim().to_owned();
        images.note(&Note::Lock { run: run.clone() })?;
        let lock = Some(NetworkLock::take(&run, &about(images, options.tree), ends)?);
        Ok(Connections { run: Some(run), lock, fds: Vec::new(), left: false })
    }

    /// With the sockets.
    pub fn with(mut self, fds: Vec<OwnedFd>) -> Self {
        self.fds = fds;
        self
    }

    /// The name of the lock, for the inventory.
    pub fn run(&self) -> Option<&str> {
        self.run.as_deref()
    }

    /// The tree is about to end: the lock stays.
    pub fn prepare_end(&mut self) -> Result<()> {
        if let Some(lock) = self.lock.take() {
            lock.leave()?;
            self.left = true;
        }
        Ok(())
    }

    /// The tree has ended, and we are the last to have its connections: no packet says that they end.
    pub fn ended(mut self) {
        for fd in &self.fds {
            match Repair::begin(fd.as_fd()) {
                Ok(repair) => repair.leave(),
                Err(error) => log_warn!("a peer may be told that its connection has ended: {error}"),
            }
        }
        self.left = false;
    }
}

/// What a lock says of itself to whoever lists it.
fn about(images: &ImageDir, root: Pid) -> String {
    let link = format!("/proc/self/fd/{}", images.as_fd().as_raw_fd());
    let dir = std::fs::read_link(link).unwrap_or_else(|_| images.path().to_owned());
    format!("crio dump of {root} into {}", dir.display())
}

impl Drop for Connections {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.run.as_deref().filter(|_| self.left).map(unlock) {
            log_warn!("{error}");
        }
    }
}
