//! What begins to work when the tree does: timers that run, and watches, which would report our own work on files.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use super::{FileRestore, Found, StandIn};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{FhEntry, FileEntry};
use crate::kernel::event::device;
use crate::resource::file::made::Anchor;
use crate::resource::file::{event, ghost};

impl FileRestore {
    /// Starts timers and watches; the last that is done before the tree runs.
    pub fn start(&mut self) -> Result<()> {
        let opened: Vec<(FileEntry, Rc<OwnedFd>)> = self
            .opened
            .iter()
            .filter_map(|(id, fd)| Some((self.entries.get(id)?.clone(), Rc::clone(fd))))
            .collect();
        for (entry, fd) in opened {
            let mut find = |handle: &FhEntry, dev: u32, ino: u64| self.find_watched(handle, dev, ino);
            event::start(&entry, &fd, &mut find).map_err(|e| e.on(format!("file {:#x}", entry.id)))?;
        }
        Ok(())
    }

    /// Watched paths that are not there.
    pub(super) fn check_watches(&self) -> Vec<Error> {
        let watched = self.entries.values().filter_map(event::watches).flatten();
        let paths = watched.filter_map(|(handle, ..)| handle.path.as_deref());
        paths.filter_map(|path| event::open_path(path).err()).collect()
    }

    /// The inode of a watch: by its path, as a deleted file of the image, or by its handle.
    fn find_watched(&mut self, handle: &FhEntry, dev: u32, ino: u64) -> Result<Anchor> {
        if let Some(path) = &handle.path {
            return event::open_path(path);
        }
        match self.watched_ghost(dev, ino)? {
            Some(anchor) => Ok(anchor),
            None => event::find(handle, dev, ino),
        }
    }

    fn watched_ghost(&mut self, dev: u32, ino: u64) -> Result<Option<Anchor>> {
        let (major, minor) = device(dev);
        // CRIU writes the device as the kernel encodes it.
        let devices = [dev, libc::makedev(major, minor) as u32];
        let ghosts: Vec<(u32, u32)> = self
            .stand_ins
            .iter()
            .filter_map(|(id, stand_in)| match stand_in {
                StandIn::Ghost(ghost) => Some((*id, *ghost)),
                _ => None,
            })
            .collect();
        for (id, ghost) in ghosts {
            let (_, entry) = ghost::load(&self.images, ghost)?;
            if entry.ino != Some(ino) || !entry.dev.is_some_and(|dev| devices.contains(&dev)) {
                continue;
            }
            let reg = self.regular(id)?.clone();
            let (Found::Nameless(anchor) | Found::Named(anchor)) = self.find(&reg)?;
            let fd = anchor.as_fd().try_clone_to_owned().os(|| "duplicate a descriptor")?;
            return Ok(Some(Anchor::new(fd)));
        }
        Ok(None)
    }
}
