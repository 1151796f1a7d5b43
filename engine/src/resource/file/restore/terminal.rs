//! The terminals of a tree: each is opened before tasks exist, but for /dev/tty, which only a member of its session can open.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::FileRestore;
use crate::error::Result;
use crate::image::message::TtyFileEntry;
use crate::kernel::Pid;
use crate::resource::file::reopen;
use crate::resource::file::tty::{Opened, TtyClaim};

impl FileRestore {
    /// Opens every terminal, but those that are /dev/tty, which only a member of the session can open.
    pub fn open_terminals(&mut self) -> Result<()> {
        for (id, tty) in self.terminals() {
            if let Opened::Here(fd) = self.ttys.open(&tty)? {
                self.opened.insert(id, Rc::new(fd));
            }
        }
        Ok(())
    }

    /// The terminals that were left out of [`open_terminals`](FileRestore::open_terminals): id, session, and flags for
    /// open(2). Each has to be [provided](FileRestore::provide).
    pub fn opened_in_sessions(&mut self) -> Result<Vec<(u32, Pid, u32)>> {
        let mut found = Vec::new();
        for (id, tty) in self.terminals() {
            if let Opened::InSession { sid, flags } = self.ttys.open(&tty)? {
                found.push((id, sid, flags));
            }
        }
        Ok(found)
    }

    /// Takes `fd` for the terminal `id`.
    pub fn provide(&mut self, id: u32, fd: OwnedFd) -> Result<()> {
        if let Some(tty) = self.entries.get(&id).and_then(|entry| entry.tty.as_ref()) {
            reopen::set_flags(&fd, tty.flags)?;
        }
        self.opened.insert(id, Rc::new(fd));
        Ok(())
    }

    /// The terminals that are not open yet.
    fn terminals(&self) -> Vec<(u32, TtyFileEntry)> {
        let closed = self.entries.values().filter(|entry| !self.opened.contains_key(&entry.id));
        closed.filter_map(|entry| Some((entry.id, entry.tty.clone()?))).collect()
    }

    /// Gives terminals their settings and input; when all descriptions are open.
    pub fn finish_terminals(&mut self) -> Result<()> {
        self.ttys.finish()
    }

    /// The terminals that are to control sessions, after [`finish_terminals`](FileRestore::finish_terminals).
    /// `leaders` are the session leaders of the tree.
    pub fn claims(&self, leaders: &[Pid]) -> Result<Vec<TtyClaim>> {
        self.ttys.claims(leaders)
    }
}
