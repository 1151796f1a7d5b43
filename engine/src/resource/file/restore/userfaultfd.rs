//! userfaultfds of a tree being restored: made by the tasks whose memory they serve.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::FileRestore;
use crate::error::{Error, Result};
use crate::image::message::UserfaultfdEntry;
use crate::kernel::Pid;
use crate::resource::file::event::userfaultfd;

impl FileRestore {
    /// All of them, with the task that has to make each and [provide](FileRestore::provide_userfaultfd) it.
    pub fn userfaultfds(&self) -> Vec<(u32, Pid)> {
        self.entries.values().filter_map(|entry| Some((entry.id, entry.uffd.as_ref()?.pid as Pid))).collect()
    }

    /// Takes `fd`, new, for the userfaultfd `id`.
    pub fn provide_userfaultfd(&mut self, id: u32, fd: OwnedFd) -> Result<()> {
        if let Some(entry) = self.entries.get(&id).and_then(|entry| entry.uffd.as_ref()) {
            userfaultfd::set_up(entry, &fd).map_err(|e| e.on(format!("file {id:#x}")))?;
        }
        self.opened.insert(id, Rc::new(fd));
        Ok(())
    }

    /// Registers the ranges of a task, whose memory is complete.
    pub fn register(&self, pid: Pid) -> Result<()> {
        self.with_userfaultfds(pid, userfaultfd::register)
    }

    /// Protects pages of a task, in which nothing is left to be written.
    pub fn protect(&self, pid: Pid) -> Result<()> {
        self.with_userfaultfds(pid, userfaultfd::protect)
    }

    fn with_userfaultfds(
        &self,
        pid: Pid,
        work: impl Fn(&UserfaultfdEntry, &OwnedFd) -> Result<()>,
    ) -> Result<()> {
        for entry in self.entries.values().filter_map(|entry| entry.uffd.as_ref()) {
            if entry.pid as Pid == pid {
                let fd = self.opened.get(&entry.id);
                let fd = fd.ok_or_else(|| Error::bug(format!("userfaultfd {:#x} was not made", entry.id)))?;
                work(entry, fd).map_err(|e| e.on(format!("file {:#x}", entry.id)))?;
            }
        }
        Ok(())
    }
}
