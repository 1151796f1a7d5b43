//! Where a watched inode is. The kernel names it by its number and by a file handle, which open_by_handle_at(2) leads
//! to the inode, and the link of that descriptor in /proc to a path; a restore goes by the path. File systems without
//! handles are searched in a few directories and in those of `--irmap-scan-path`.
//!
//! An inode without a path is watched again if it is a deleted file that the tree has open.

use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::{Blame, Error, Result};
use crate::image::message::FhEntry;
use crate::kernel::ProcDir;
use crate::kernel::event::WatchedInode;
use crate::kernel::mountinfo::{self, Mount};
use crate::resource::file::made::{Anchor, link_of};
use crate::sys::notify::open_by_handle;
use crate::sys::stat::fstat;

/// Where programs look for changes most: what CRIU searches, too.
const HINTS: [&str; 4] = ["/etc", "/var/spool", "/lib/udev", "/run"];

/// Directory entries to look at before a search is given up.
const MOST_ENTRIES: usize = 200_000;

/// Words of a handle in the image: CRIU always reads as many.
const HANDLE_WORDS: usize = 16;

/// Finds paths of inodes, in our own mount namespace.
#[derive(Debug, Default)]
pub(super) struct Places {
    mounts: Option<Vec<Mount>>,
    scanned: Vec<PathBuf>,
}

impl Places {
    /// `scanned` are directories to be searched before all others.
    pub(super) fn new(scanned: &[PathBuf]) -> Self {
        Places { mounts: None, scanned: scanned.to_owned() }
    }

    pub(super) fn mounts(&mut self) -> Result<&[Mount]> {
        if self.mounts.is_none() {
            self.mounts = Some(mountinfo::read(&ProcDir::current()?)?);
        }
        Ok(self.mounts.as_deref().unwrap_or_default())
    }

    /// The image's name of an inode; without a path if it has none.
    pub(super) fn handle(&mut self, inode: &WatchedInode) -> Result<FhEntry> {
        let (kind, bytes) = inode.handle.clone().unwrap_or_default();
        let mut words: Vec<u64> = bytes.chunks(8).map(word).collect();
        words.resize(words.len().max(HANDLE_WORDS), 0);
        let path = match self.by_handle(inode)? {
            ByHandle::At(path) => Some(path),
            ByHandle::Nameless => None,
            ByHandle::Unknown => Some(self.search(inode)?),
        };
        let path = path.map(|path| path.as_os_str().as_bytes().to_vec());
        Ok(FhEntry { bytes: bytes.len() as u32, r#type: kind, handle: words, path, mnt_id: None })
    }

    fn by_handle(&mut self, inode: &WatchedInode) -> Result<ByHandle> {
        let Some((kind, bytes)) = &inode.handle else { return Ok(ByHandle::Unknown) };
        let mut answer = ByHandle::Unknown;
        for mount in self.mounts()?.iter().filter(|mount| mount.dev == inode.device()) {
            let Some(dir) = mounted(mount) else { continue };
            let Ok(file) = open_by_handle(dir.as_fd(), *kind, bytes) else { continue };
            let anchor = Anchor::new(file);
            match std::fs::read_link(anchor.path()) {
                Ok(path) if leads_to(&path, &anchor) => return Ok(ByHandle::At(path)),
                _ => answer = ByHandle::Nameless,
            }
        }
        Ok(answer)
    }

    /// Looks into directories, one file system each, for the number.
    fn search(&self, inode: &WatchedInode) -> Result<PathBuf> {
        let (major, minor) = inode.device();
        let dev = libc::makedev(major, minor);
        let roots = self.scanned.iter().cloned().chain(HINTS.iter().map(PathBuf::from));
        let mut queue: VecDeque<PathBuf> = roots.collect();
        let mut left = MOST_ENTRIES;
        while let (Some(path), true) = (queue.pop_front(), left > 0) {
            let Ok(found) = path.symlink_metadata() else { continue };
            if found.dev() == dev && found.ino() == inode.ino {
                return Ok(path);
            }
            if found.is_dir() {
                let entries = std::fs::read_dir(&path).into_iter().flatten().flatten().take(left);
                let before = queue.len();
                queue.extend(entries.map(|entry| entry.path()));
                left = left.saturating_sub(queue.len() - before);
            }
        }
        let reason =
            format!("watches inode {} of device {major}:{minor}, whose path was not found", inode.ino);
        Err(Error::new("E-WATCH-PATH", Blame::Program, reason)
            .detail("its file system has no handles by which it could be opened")
            .help("name a directory above it: --irmap-scan-path DIR"))
    }
}

enum ByHandle {
    At(PathBuf),
    /// The inode is there, and no path in our view leads to it.
    Nameless,
    /// The handle cannot be opened.
    Unknown,
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_ne_bytes(word)
}

fn leads_to(path: &Path, anchor: &Anchor) -> bool {
    let (Ok(there), Ok(here)) = (path.symlink_metadata(), fstat(anchor)) else { return false };
    // Of 32 bits on some machines.
    #[allow(clippy::useless_conversion)]
    let here = (u64::from(here.st_dev), u64::from(here.st_ino));
    (there.dev(), there.ino()) == here
}

/// The inode of an image's watch that has no path, by its handle.
pub(in crate::resource::file) fn find(handle: &FhEntry, dev: u32, ino: u64) -> Result<Anchor> {
    let bytes: Vec<u8> = handle.handle.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let bytes = bytes.get(..handle.bytes as usize).unwrap_or(&bytes);
    let inode = WatchedInode { ino, dev, handle: None };
    for mount in mountinfo::read(&ProcDir::current()?)?.iter().filter(|mount| mount.dev == inode.device()) {
        let Some(dir) = mounted(mount) else { continue };
        if let Ok(file) = open_by_handle(dir.as_fd(), handle.r#type, bytes) {
            return Ok(Anchor::new(file));
        }
    }
    let reason = format!("inode {ino}, which was watched, is not there");
    Err(Error::new("E-NOT-FOUND", Blame::Environment, reason)
        .help("restore on the machine of the dump, with the same file systems mounted"))
}

/// The directory where a mount is. Another one may hide it, which its handles then show.
fn mounted(mount: &Mount) -> Option<OwnedFd> {
    let mountpoint = Path::new(OsStr::from_bytes(&mount.mountpoint));
    open(mountpoint, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok()
}

/// The inode of an image that has a path, by which the notification calls can be told to watch exactly it.
pub(in crate::resource::file) fn open_path(path: &[u8]) -> Result<Anchor> {
    let path = Path::new(OsStr::from_bytes(path));
    Anchor::at(path).map_err(|e| {
        Error::os(format!("open {}", path.display()), e)
            .help("put back what was watched from the machine of the dump")
    })
}

/// `/proc/self/fd/N`, which leads to the anchored inode even if that is a symbolic link.
pub(super) fn through(anchor: &Anchor) -> CString {
    CString::new(link_of(anchor.as_fd()).into_os_string().into_encoded_bytes()).unwrap_or_default()
}
