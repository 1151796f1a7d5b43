//! A task's view of the file system: working directory, root and umask (`fs-PID.img`).
//!
//! Read from the links `cwd` and `root` of proc_pid(5), and the `Umask` line of its status; set by fchdir(2),
//! chroot(2) and umask(2) in the task. Both directories are entries of `files.img` like any other, so that a deleted
//! one is a ghost. Tasks that share their view (CLONE_FS) are found by kcmp(2), which is not done here.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::image::message::FsEntry;
use crate::kernel::ProcDir;

use super::{FileDump, FileRestore};

/// What the task has to be given.
#[derive(Debug, Clone)]
pub struct FsView {
    /// For fchdir(2), after the root.
    pub cwd: Rc<std::os::fd::OwnedFd>,
    /// For fchdir(2) and then chroot(2) of `.`; `None` if it is ours.
    pub root: Option<Rc<std::os::fd::OwnedFd>>,
    /// For umask(2); CRIU always writes it.
    pub umask: Option<u32>,
}

/// The entry of a task. `umask` is what its status shows.
pub fn dump(files: &mut FileDump<'_>, proc: &ProcDir, comm: &str, umask: Option<u32>) -> Result<FsEntry> {
    let cwd_id = files.add_link(proc, comm, "cwd", false)?;
    let root_id = files.add_link(proc, comm, "root", false)?;
    Ok(FsEntry { cwd_id, root_id, umask })
}

/// Opens the directories of an entry.
pub fn open(files: &mut FileRestore, entry: &FsEntry) -> Result<FsView> {
    if let Some(umask) = entry.umask.filter(|umask| *umask > 0o777) {
        return Err(Error::image("fs", format!("umask {umask:o} is out of range")));
    }
    let is_ours = files.path(entry.root_id)? == b"/";
    let root = if is_ours { None } else { Some(files.open_directory(entry.root_id)?) };
    Ok(FsView { cwd: files.open_directory(entry.cwd_id)?, root, umask: entry.umask })
}

#[cfg(test)]
mod tests {
    use super::super::round_trip::{RoundTrip, deleted, shown};
    use super::*;
    use crate::error::OsContext;
    use crate::image::Kind;

    fn dumped(trip: &RoundTrip, proc: &ProcDir, comm: &str) -> Result<FsEntry> {
        let images = trip.image_dir()?;
        let mut files = FileDump::new(&trip.dump, &images, &[]);
        let entry = dump(&mut files, proc, comm, Some(0o27))?;
        files.finish()?.links.keep();
        images.write_one(Kind::Fs(1), &entry)?;
        images.require(Kind::Fs(1))
    }

    #[test]
    fn our_own_view() -> Result<()> {
        let (trip, proc) = (RoundTrip::new()?, ProcDir::current()?);
        let entry = dumped(&trip, &proc, "test")?;
        let view = open(&mut trip.load()?, &entry)?;
        assert_eq!((shown(&view.cwd)?, view.umask), (std::env::current_dir().os(|| "getcwd")?, Some(0o27)));
        assert!(view.root.is_none());
        assert!(open(&mut trip.load()?, &FsEntry { umask: Some(0o1000), ..entry.clone() }).is_err());
        assert!(open(&mut trip.load()?, &FsEntry { root_id: 99, ..entry }).is_err());
        Ok(())
    }

    #[test]
    fn a_deleted_directory_is_made_for_a_moment() -> Result<()> {
        let trip = RoundTrip::new()?;
        std::fs::create_dir(trip.path("cwd")).os(|| "mkdir")?;
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .current_dir(trip.path("cwd"))
            .spawn()
            .os(|| "spawn")?;
        std::fs::remove_dir(trip.path("cwd")).os(|| "rmdir")?;
        let entry = ProcDir::open(child.id() as i32).and_then(|proc| dumped(&trip, &proc, "sleep"));
        child.kill().and_then(|()| child.wait()).os(|| "kill")?;
        let view = open(&mut trip.load()?, &entry?)?;
        assert_eq!((shown(&view.cwd)?, trip.names()), (deleted(&trip.path("cwd")), vec![]));
        Ok(())
    }
}
