//! `--embed-files`: the content of files that have a name travels in the image, too.
//!
//! Each inode gets one raw image of our own, `embedded-ID.img`, which the entries of `files.img` name in a field of
//! ours (`RegFileEntry.embedded`); CRIU skips both. At restore the file at the path is used if it is the same: by
//! size and build-id where there is one, else byte for byte. If it is missing or another one, then
//!
//! - a file that was open for writing is made anew under its name if there is none, and stays: what the program
//!   writes there is meant to last. One that is there is never overwritten: that is an error;
//! - any other file becomes a nameless copy beside it (see [`made`](super::made)): `/proc/PID/maps` and `/proc/PID/exe`
//!   show its path with ` (deleted)`. That is a real file and no memfd, because programs find their own parts by these
//!   paths, and because pages of a file need not be kept in memory. A second dump carries it as a ghost.
//!
//! Files of /proc, /sys and their like are not embedded: their content is the kernel's.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions, Permissions};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::content;
use super::made::{Anchor, Made, nameless};
use crate::error::{Error, OsContext, Result};
use crate::image::ImageDir;
use crate::image::message::RegFileEntry;
use crate::log;
use crate::sys::stat::FileStat;

/// What is embedded so far, by device and inode.
#[derive(Debug, Default)]
pub(super) struct EmbedDump {
    names: HashMap<(u64, u64), String>,
}

impl EmbedDump {
    /// Stores the content of a regular file, once for each inode, and gives the name of its image.
    pub(super) fn store(&mut self, images: &ImageDir, anchor: &Anchor, stat: &FileStat) -> Result<String> {
        if let Some(name) = self.names.get(&(stat.st_dev, stat.st_ino)) {
            return Ok(name.clone());
        }
        let name = format!("embedded-{:x}.img", self.names.len() + 1);
        let from = anchor.content(OFlag::O_RDONLY).os(|| "open a file to embed it")?;
        let to = images.create_file(&name)?;
        content::copy_sparse(&from, &to, stat.st_size as u64).os(|| format!("write {name}"))?;
        self.names.insert((stat.st_dev, stat.st_ino), name.clone());
        Ok(name)
    }
}

/// The image with the content of `reg`.
pub(super) fn open(images: &ImageDir, name: &str) -> Result<File> {
    if !name.starts_with("embedded-") || name.contains('/') {
        return Err(Error::image("files.img", format!("{name:?} is no name of an embedded file")));
    }
    images.open_file(name)?.ok_or_else(|| {
        Error::image(name, format!("there is no such image in {}", images.path().display()))
            .help("the directory is incomplete: was it copied without this file?")
    })
}

/// Whether the file at the path has the content that was embedded.
pub(super) fn is_same(anchor: &Anchor, image: &File) -> Result<bool> {
    let file = anchor.content(OFlag::O_RDONLY).os(|| "open a file to compare it")?;
    content::equal(&file, image).os(|| "compare a file with its embedded copy")
}

/// A copy without a name.
pub(super) fn copy(image: &File, path: &Path, reg: &RegFileEntry) -> Result<Anchor> {
    log::info!("Using the embedded copy of {}", path.display());
    let mut make = |dir: BorrowedFd<'_>, name: &OsStr| {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        openat(dir, name, flags, Mode::from_bits_truncate(0o600)).map(drop)
    };
    let anchor = nameless(path, &mut make, &|_, _| Ok(()))?;
    let file = anchor.content(OFlag::O_RDWR).os(|| "open an embedded copy for writing")?;
    fill(&file, image, path, reg)?;
    Ok(anchor)
}

/// The file itself, where there is none.
pub(super) fn install(image: &File, path: &Path, reg: &RegFileEntry, made: &mut Made) -> Result<Anchor> {
    log::info!("Making {} from its embedded copy", path.display());
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    let file = file.os(|| format!("create {}", path.display()))?;
    made.remove_on_failure(path.to_owned());
    fill(&file, image, path, reg)?;
    Anchor::at(path).os(|| format!("open {}", path.display()))
}

fn fill(file: &File, image: &File, path: &Path, reg: &RegFileEntry) -> Result<()> {
    let size = image.metadata().os(|| "stat an embedded file")?.len();
    content::copy_sparse(image, file, size).os(|| format!("write {}", path.display()))?;
    let mode = Permissions::from_mode(reg.mode.unwrap_or(0o644) & 0o7777);
    file.set_permissions(mode).os(|| format!("chmod {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;
    use std::rc::Rc;

    use super::super::round_trip::{RoundTrip, deleted, shown};
    use super::*;

    fn embedding() -> Result<RoundTrip> {
        let mut trip = RoundTrip::new()?;
        trip.dump.embed_files = true;
        std::fs::write(trip.path("file"), "as it was").os(|| "write")?;
        Ok(trip)
    }

    fn content(fd: impl AsFd) -> Result<String> {
        let mut bytes = vec![0; 100];
        let n =
            File::from(fd.as_fd().try_clone_to_owned().os(|| "dup")?).read_at(&mut bytes, 0).os(|| "read")?;
        bytes.truncate(n);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn the_same_file_is_used_and_another_one_is_not() -> Result<()> {
        let trip = embedding()?;
        trip.dump([trip.open("file", OFlag::O_RDONLY)?, trip.open("file", OFlag::O_RDONLY)?])?.keep();
        assert!(!trip.images.path().join("embedded-2.img").exists(), "one image for an inode");
        assert_eq!(shown(&trip.load()?.open(1)?)?, trip.path("file"));
        for other in [Some("as it is!"), Some("longer than it was"), None] {
            std::fs::remove_file(trip.path("file")).os(|| "unlink")?;
            if let Some(other) = other {
                std::fs::write(trip.path("file"), other).os(|| "write")?;
            }
            let mut files = trip.load()?;
            let (fd, second) = (files.open(1)?, files.open(2)?);
            let name = if other.is_some() { "file.crio-1" } else { "file" };
            assert_eq!((content(&fd)?.as_str(), shown(&fd)?), ("as it was", deleted(&trip.path(name))));
            assert_eq!(shown(&second)?, shown(&fd)?);
            assert!(!Rc::ptr_eq(&fd, &second));
            drop(files);
            assert_eq!(trip.path("file").exists(), other.is_some());
            if other.is_none() {
                std::fs::write(trip.path("file"), "").os(|| "write")?;
            }
        }
        Ok(())
    }

    #[test]
    fn a_written_file_is_installed_but_never_replaced() -> Result<()> {
        let trip = embedding()?;
        trip.dump([trip.open("file", OFlag::O_RDWR)?, trip.open("file", OFlag::O_RDONLY)?])?.keep();
        std::fs::remove_file(trip.path("file")).os(|| "unlink")?;
        let mut files = trip.load()?;
        assert_eq!(shown(&files.open(2)?)?, trip.path("file"));
        drop(files);
        assert_eq!(trip.names(), Vec::<String>::new(), "a failed restore leaves no file");
        let mut files = trip.load()?;
        let (written, read) = (files.open(1)?, files.open(2)?);
        files.commit();
        File::from(written.try_clone().os(|| "dup")?).write_all_at(b"AS", 0).os(|| "write")?;
        assert_eq!((content(&read)?.as_str(), trip.names()), ("AS it was", vec!["file".to_owned()]));
        std::fs::write(trip.path("file"), "other").os(|| "write")?;
        let faults = trip.faults()?;
        assert_eq!(faults.first().map(Error::code), Some("E-FILE-CHANGED"));
        assert_eq!(std::fs::read(trip.path("file")).os(|| "read")?, b"other");
        Ok(())
    }

    #[test]
    fn an_incomplete_or_hostile_image_is_an_error() -> Result<()> {
        let trip = embedding()?;
        trip.dump([trip.open("file", OFlag::O_RDONLY)?])?.keep();
        std::fs::remove_file(trip.path("file")).os(|| "unlink")?;
        std::fs::remove_file(trip.images.path().join("embedded-1.img")).os(|| "unlink")?;
        assert_eq!(trip.faults()?.first().map(Error::code), Some("E-IMAGE-BAD"));
        let images = trip.image_dir()?;
        for name in ["../secret", "embedded-/../../etc/shadow", "/etc/shadow", ""] {
            assert_eq!(open(&images, name).err().map(|e| e.code()), Some("E-IMAGE-BAD"), "{name}");
        }
        Ok(())
    }

    #[test]
    fn files_of_the_kernel_stay_where_they_are() -> Result<()> {
        let trip = embedding()?;
        let proc = File::open("/proc/version").os(|| "open")?;
        let sys = File::open("/sys/kernel/uevent_seqnum").os(|| "open")?;
        trip.dump([proc.into(), sys.into()])?.keep();
        assert!(!trip.images.path().join("embedded-1.img").exists());
        assert!(content(&trip.load()?.open(1)?)?.starts_with("Linux"));
        Ok(())
    }
}
