//! A dump and a restore of descriptors of the test process itself, by way of images in a temporary directory.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::testing::Mine;
use super::{FileDump, FileRestore, LinkRemaps};
use crate::error::{Error, OsContext, Result};
use crate::image::ImageDir;
use crate::options::{DumpOptions, RestoreOptions};

/// A directory for the files of a test, and one for its images.
pub(super) struct RoundTrip {
    pub(super) files: TempDir,
    pub(super) images: TempDir,
    pub(super) dump: DumpOptions,
    pub(super) restore: RestoreOptions,
}

impl RoundTrip {
    pub(super) fn new() -> Result<Self> {
        let dir = || tempfile::tempdir().os(|| "create a directory");
        let (dump, restore) = (DumpOptions::default(), RestoreOptions::default());
        Ok(RoundTrip { files: dir()?, images: dir()?, dump, restore })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// What is in the directory of files.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.files.path()).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    pub(super) fn open(&self, name: &str, flags: OFlag) -> Result<OwnedFd> {
        open(&self.path(name), flags | OFlag::O_CLOEXEC, Mode::from_bits_truncate(0o644))
            .os(|| format!("open {name}"))
    }

    pub(super) fn image_dir(&self) -> Result<ImageDir> {
        ImageDir::open(self.images.path())
    }

    /// Dumps descriptions under the ids 1, 2, ..., and closes them.
    pub(super) fn dump(&self, fds: impl IntoIterator<Item = OwnedFd>) -> Result<LinkRemaps> {
        let (images, mine) = (self.image_dir()?, Mine::new()?);
        let mut dump = FileDump::new(&self.dump, &images, &[]);
        let fds: Vec<(u32, OwnedFd)> = fds.into_iter().map(|fd| (dump.allocate(), fd)).collect();
        for (id, fd) in fds {
            dump.add(id, &mine.description(fd)?)?;
        }
        dump.finish().map(|dumped| dumped.links)
    }

    /// Loads the images, which have to be without fault.
    pub(super) fn load(&self) -> Result<FileRestore> {
        let files = FileRestore::load(&self.image_dir()?, &self.restore)?;
        files.check().into_iter().next().map_or(Ok(files), Err)
    }

    /// Dumps one description and opens it again.
    pub(super) fn one(&self, fd: OwnedFd) -> Result<Rc<OwnedFd>> {
        self.dump([fd])?.keep();
        let mut files = self.load()?;
        let fd = files.open(1)?;
        files.commit();
        Ok(fd)
    }

    /// The faults that a restore would report.
    pub(super) fn faults(&self) -> Result<Vec<Error>> {
        Ok(FileRestore::load(&self.image_dir()?, &self.restore)?.check())
    }
}

/// Where the kernel says that a descriptor leads to.
pub(super) fn shown(fd: impl AsFd) -> Result<PathBuf> {
    std::fs::read_link(super::made::link_of(fd.as_fd())).os(|| "readlink")
}

/// `PATH (deleted)`
pub(super) fn deleted(path: &Path) -> PathBuf {
    PathBuf::from(format!("{} (deleted)", path.display()))
}
