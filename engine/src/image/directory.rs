//! A directory of images, held by descriptor: renaming it or changing the working directory does not matter.
//!
//! An image that does not exist is an empty set, never an error: CRIU creates an image with its first entry.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, unlinkat};

use super::format::Kind;
use super::journal::{Journal, Note};
use super::message::InventoryEntry;
use super::payload::Entry;
use super::reader::EntryReader;
use super::writer::{EntryWriter, entry_to_bytes, header_to_bytes};
use crate::error::{Error, OsContext, Result};
use crate::sys::stat::{FileStat, fstatat};

/// Name of the symbolic link to the directory of the previous dump, relative to this one.
pub const PARENT: &str = "parent";
/// Mode of a new image.
pub(super) const MODE: Mode = Mode::from_bits_truncate(0o600);

/// An open directory of images. Clones share the descriptor, and the journal of the dump that writes there.
#[derive(Debug, Clone)]
pub struct ImageDir {
    fd: Arc<OwnedFd>,
    path: PathBuf,
    journal: Option<Arc<Journal>>,
}

impl ImageDir {
    /// Opens the directory at `path`.
    pub fn open(path: impl AsRef<Path>) -> Result<ImageDir> {
        let path = path.as_ref();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(path, flags, Mode::empty())
            .os(|| format!("open images directory {}", path.display()))?;
        Ok(ImageDir::from_fd(fd, path))
    }

    /// Takes an open directory, as a service gets it from its client; `path` is for messages only.
    pub fn from_fd(fd: OwnedFd, path: impl Into<PathBuf>) -> ImageDir {
        ImageDir { fd: Arc::new(fd), path: path.into(), journal: None }
    }

    /// The same directory, with a journal.
    pub fn with_journal(self, journal: Journal) -> ImageDir {
        ImageDir { journal: Some(Arc::new(journal)), ..self }
    }

    /// Adds a line to the journal, if there is one.
    pub fn note(&self, note: &Note) -> Result<()> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.note(note))
    }

    /// The images are whole: nothing is left to be told, and the journal goes.
    pub fn finish_journal(&self) {
        self.journal.iter().for_each(|journal| journal.finish());
    }

    pub(super) fn descriptor(&self) -> Arc<OwnedFd> {
        self.fd.clone()
    }

    /// Fails if no image can be written here, while it harms nobody to find out.
    pub fn check_writable(&self) -> Result<()> {
        // With the effective ids, unlike access(2); a file system that is mounted read-only counts, too.
        faccessat(&*self.fd, ".", AccessFlags::W_OK, AtFlags::AT_EACCESS)
            .os(|| format!("write to the images directory {}", self.path.display()))
    }

    /// The path it was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the previous dump, if this one is incremental.
    pub fn parent(&self) -> Result<Option<ImageDir>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let path = self.path.join(PARENT);
        match openat(&*self.fd, PARENT, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(ImageDir::from_fd(fd, path))),
            Err(Errno::ENOENT) if self.stat(PARENT)?.is_none() => Ok(None),
            Err(Errno::ENOENT) => {
                Err(Error::image(path.display().to_string(), "the directory it points to is gone")
                    .help("restore needs the whole chain of pre-dumps: put it back"))
            }
            Err(errno) => Err(Error::os(format!("open {}", path.display()), errno)),
        }
    }

    /// Names of all files in it, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut dir =
            nix::dir::Dir::openat(&*self.fd, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
                .os(|| format!("open {}", self.path.display()))?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry.os(|| format!("read directory {}", self.path.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The kinds of all images in it, sorted by kind, then by id.
    pub fn kinds(&self) -> Result<Vec<Kind>> {
        let mut kinds: Vec<Kind> =
            self.names()?.iter().filter_map(|name| Kind::from_file_name(name)).collect();
        kinds.sort();
        Ok(kinds)
    }

    /// An image for reading, or `None` if there is none.
    pub fn reader(&self, kind: Kind) -> Result<Option<EntryReader>> {
        let name = kind.file_name();
        self.open_file(&name)?.map(|file| EntryReader::new(file, kind, &name)).transpose()
    }

    /// The only entry of an image, or `None` if there is no image. More than one entry, or none, is an error.
    pub fn read_one<M: Entry>(&self, kind: Kind) -> Result<Option<M>> {
        let Some(mut reader) = self.reader(kind)? else { return Ok(None) };
        let Some(message) = reader.next::<M>()? else {
            return Err(Error::image(kind.file_name(), "there is no entry"));
        };
        reader.skip_payload()?;
        if reader.offset() != reader.len() {
            return Err(Error::image(
                kind.file_name(),
                format!("there is more after the only entry, at {}", reader.offset()),
            ));
        }
        Ok(Some(message))
    }

    /// Like [`read_one`](ImageDir::read_one), where the image has to exist.
    pub fn require<M: Entry>(&self, kind: Kind) -> Result<M> {
        self.read_one(kind)?.ok_or_else(|| {
            Error::image(kind.file_name(), format!("there is no such image in {}", self.path.display()))
                .help("the directory is incomplete: was the dump interrupted, or copied without this file?")
        })
    }

    /// All entries of an image without payloads; none if there is no image.
    pub fn read_all<M: Entry>(&self, kind: Kind) -> Result<Vec<M>> {
        let Some(mut reader) = self.reader(kind)? else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        while let Some(entry) = reader.next()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    /// An image for writing; the file appears with its first entry and replaces an older one.
    pub fn writer(&self, kind: Kind) -> EntryWriter {
        EntryWriter::new(self.clone(), kind)
    }

    /// Writes an image of one entry.
    pub fn write_one<M: Entry>(&self, kind: Kind, message: &M) -> Result<()> {
        let mut writer = self.writer(kind);
        writer.push(message)?;
        writer.finish()
    }

    /// Writes an image of one entry so that it is there whole or not at all, even if we are killed. `sync` makes that
    /// true of a power failure, too.
    pub fn write_atomically<M: Entry>(&self, kind: Kind, message: &M, sync: bool) -> Result<()> {
        let name = kind.file_name();
        let temporary = temporary(&name);
        let mut bytes = header_to_bytes(kind);
        bytes.extend(entry_to_bytes(message, &name)?);
        let written = self.create_file(&temporary).and_then(|mut file| {
            file.write_all(&bytes).os(|| format!("write {}", self.path.join(&temporary).display()))?;
            if sync { file.sync_all().os(|| format!("fsync {temporary}")) } else { Ok(()) }
        });
        let renamed = written.and_then(|()| {
            renameat(&*self.fd, temporary.as_str(), &*self.fd, name.as_str())
                .os(|| format!("rename {temporary} to {name} in {}", self.path.display()))
        });
        if renamed.is_err() {
            // The first error counts; a name that starts with a dot and is left over harms nobody.
            let _ = unlinkat(&*self.fd, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        } else if sync {
            nix::unistd::fsync(&*self.fd).os(|| format!("fsync {}", self.path.display()))?;
        }
        renamed
    }

    /// The inventory: a directory without it is not an image.
    pub fn inventory(&self) -> Result<InventoryEntry> {
        let inventory: InventoryEntry = self.read_one(Kind::Inventory)?.ok_or_else(|| {
            Error::image(Kind::Inventory.file_name(), format!("there is none in {}", self.path.display()))
                .help("this is not a directory of images, or the dump did not finish: see its log")
        })?;
        match inventory.img_version {
            1 | 2 => Ok(inventory),
            other => {
                Err(Error::image(Kind::Inventory.file_name(), format!("format version {other} is not known")))
            }
        }
    }

    /// A file in it for reading, or `None` if there is none.
    pub fn open_file(&self, name: &str) -> Result<Option<File>> {
        // A FIFO under the name of an image must not make us wait; on regular files O_NONBLOCK does nothing.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let flags = flags | OFlag::O_LARGEFILE | OFlag::O_CLOEXEC;
        match openat(&*self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::os(format!("open {}", self.path.join(name).display()), errno)),
        }
    }

    /// The bytes of a file in it, 0 if there is none.
    pub fn size(&self, name: &str) -> Result<u64> {
        Ok(self.stat(name)?.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// A new or emptied file in it, mode 0600, for reading and writing.
    pub fn create_file(&self, name: &str) -> Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_LARGEFILE | OFlag::O_CLOEXEC;
        let fd = openat(&*self.fd, name, flags, MODE)
            .os(|| format!("create {}", self.path.join(name).display()))?;
        Ok(File::from(fd))
    }

    /// Removes a file; it is no error if there is none.
    pub fn remove(&self, name: &str) -> Result<()> {
        match unlinkat(&*self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(Error::os(format!("unlink {}", self.path.join(name).display()), errno)),
        }
    }

    fn stat(&self, name: &str) -> Result<Option<FileStat>> {
        match fstatat(&*self.fd, OsStr::new(name), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::os(format!("stat {}", self.path.join(name).display()), errno)),
        }
    }
}

/// What an image is called while [`ImageDir::write_atomically`] writes it.
pub fn temporary(name: &str) -> String {
    format!(".{name}.new")
}

impl AsFd for ImageDir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Where a word has 32 bits, a file is limited to 2 GiB unless its opener says otherwise.
    #[test]
    fn an_image_may_be_large() -> Result<()> {
        let folder = tempfile::tempdir().os(|| "make a folder")?;
        let dir = ImageDir::open(folder.path())?;
        let far = 5 << 30;
        dir.create_file("pages-1.img")?.write_all_at(b"page", far).os(|| "write")?;
        let mut bytes = [0; 4];
        let file = dir.open_file("pages-1.img")?.ok_or_else(|| Error::bug("it is not there"))?;
        file.read_exact_at(&mut bytes, far).os(|| "read")?;
        assert_eq!((&bytes, dir.size("pages-1.img")?), (b"page", far + 4));
        Ok(())
    }
}
