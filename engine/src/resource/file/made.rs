//! Files that we make: where they are put, and that none is left behind.
//!
//! A file without a name is made under the name that it had, opened, and unlinked at once: from then on it is reached
//! through the descriptor alone ([`Anchor`]), nothing has to be cleaned up, and `/proc/PID/fd` shows the old path with
//! ` (deleted)`. Only if that name is taken, or its directory cannot be written to, is the shown path another one.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Error, OsContext, Result};
use crate::log;

/// How many other names are tried when one is taken.
const ATTEMPTS: u32 = 1000;

/// An O_PATH descriptor: it holds a file, named or not, and [`Anchor::open`] makes descriptions of it.
#[derive(Debug)]
pub(super) struct Anchor(OwnedFd);

impl Anchor {
    /// Takes a descriptor opened with O_PATH.
    pub(super) fn new(fd: OwnedFd) -> Self {
        Anchor(fd)
    }

    /// Opens what is at `path`, a symbolic link itself if that is what is there.
    pub(super) fn at(path: &Path) -> nix::Result<Self> {
        open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()).map(Anchor)
    }

    /// Opens what `path` leads to.
    pub(super) fn follow(path: &Path) -> nix::Result<Self> {
        open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map(Anchor)
    }

    /// The name through which the kernel leads to the file whatever became of its own, see proc_pid_fd(5).
    pub(super) fn path(&self) -> PathBuf {
        link_of(self.as_fd())
    }

    /// A new description. O_NOFOLLOW and O_TMPFILE are about names, and have to be left out.
    pub(super) fn open(&self, flags: OFlag) -> nix::Result<OwnedFd> {
        let flags = flags.difference(OFlag::O_NOFOLLOW) | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        open(&self.path(), flags, Mode::empty())
    }

    /// The file's content, for us to read or write: of any size, also where a word has 32 bits.
    pub(super) fn content(&self, flags: OFlag) -> nix::Result<File> {
        self.open(flags | OFlag::O_LARGEFILE).map(File::from)
    }
}

impl AsFd for Anchor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `/proc/self/fd/N`
pub(super) fn link_of(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Names that outlive a function: some go when the restore has failed, others when it has succeeded.
#[derive(Debug, Default)]
pub(super) struct Made {
    on_failure: Vec<PathBuf>,
    on_success: Vec<PathBuf>,
}

impl Made {
    /// A file of ours that belongs to the restored program, if there will be one.
    pub(super) fn remove_on_failure(&mut self, path: PathBuf) {
        self.on_failure.push(path);
    }

    /// A file of the dump that the restored program does not need any more.
    pub(super) fn remove_on_success(&mut self, path: PathBuf) {
        self.on_success.push(path);
    }

    /// The restore has succeeded.
    pub(super) fn commit(&mut self) {
        self.on_failure.clear();
        remove_all(&mut self.on_success);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        remove_all(&mut self.on_failure);
    }
}

/// Removes files, last first. There is nobody to return an error to; the log has it.
pub(super) fn remove_all(paths: &mut Vec<PathBuf>) {
    while let Some(path) = paths.pop() {
        match std::fs::remove_file(&path) {
            Err(e) if e.raw_os_error() != Some(libc::ENOENT) => {
                log::warn!("Can't remove {}: {e}", path.display())
            }
            _ => log::debug!("Removed {}", path.display()),
        }
    }
}

/// An open directory, and those of its parents that had to be made, which go when this is dropped.
struct Place {
    dir: OwnedFd,
    path: PathBuf,
    made: Vec<PathBuf>,
}

impl Place {
    fn open(path: &Path) -> nix::Result<Self> {
        let mut made = Vec::new();
        match make_parents(path, &mut made)
            .and_then(|()| open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()))
        {
            Ok(dir) => Ok(Place { dir, path: path.to_owned(), made }),
            Err(e) => {
                remove_directories(&mut made);
                Err(e)
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove_directories(&mut self.made);
    }
}

fn make_parents(path: &Path, made: &mut Vec<PathBuf>) -> nix::Result<()> {
    let mut missing: Vec<&Path> = path.ancestors().take_while(|p| !p.exists()).collect();
    while let Some(dir) = missing.pop() {
        match nix::unistd::mkdir(dir, Mode::from_bits_truncate(0o755)) {
            Ok(()) => made.push(dir.to_owned()),
            Err(Errno::EEXIST) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn remove_directories(made: &mut Vec<PathBuf>) {
    while let Some(dir) = made.pop() {
        if let Err(e) = std::fs::remove_dir(&dir) {
            log::warn!("Can't remove directory {}: {e}", dir.display());
        }
    }
}

/// Makes a file that has no name when this returns. `make` makes it under the given name in the given directory, and
/// must fail with EEXIST if something is there; `finish` may still use the name.
///
/// # Errors
/// The first one, if neither the old directory nor /tmp serves.
pub(super) fn nameless(
    path: &Path,
    make: &mut dyn FnMut(BorrowedFd<'_>, &OsStr) -> nix::Result<()>,
    finish: &dyn Fn(&Anchor, &Path) -> Result<()>,
) -> Result<Anchor> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::image("files.img", format!("{} is no path of a file", path.display())));
    };
    let first = match in_directory(parent, name, make, finish) {
        Err(e) if is_about_place(&e) => e,
        done => return done,
    };
    log::warn!("Can't make {} in its directory, it goes to /tmp: {first}", path.display());
    in_directory(Path::new("/tmp"), name, make, finish).map_err(|_| first)
}

/// Whether another directory could do better.
fn is_about_place(e: &Error) -> bool {
    let errnos = [libc::EROFS, libc::EACCES, libc::EPERM, libc::ENOTDIR, libc::ENOENT, libc::EOPNOTSUPP];
    e.errno().is_some_and(|errno| errnos.contains(&errno))
}

fn in_directory(
    parent: &Path,
    name: &OsStr,
    make: &mut dyn FnMut(BorrowedFd<'_>, &OsStr) -> nix::Result<()>,
    finish: &dyn Fn(&Anchor, &Path) -> Result<()>,
) -> Result<Anchor> {
    let place = Place::open(parent).os(|| format!("open directory {}", parent.display()))?;
    let name = take_name(&place, name, make)?;
    let path = place.path.join(&name);
    let opened = openat(
        &place.dir,
        name.as_os_str(),
        OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .os(|| format!("open {}", path.display()))
    .and_then(|fd| {
        let anchor = Anchor(fd);
        finish(&anchor, &path).map(|()| anchor)
    });
    let removed = match unlinkat(&place.dir, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => unlinkat(&place.dir, name.as_os_str(), UnlinkatFlags::RemoveDir),
        done => done,
    };
    let anchor = opened?;
    removed.os(|| format!("unlink {}", path.display()))?;
    Ok(anchor)
}

/// Makes the file under its name, or, while that is taken, under another one in the same directory.
fn take_name(
    place: &Place,
    name: &OsStr,
    make: &mut dyn FnMut(BorrowedFd<'_>, &OsStr) -> nix::Result<()>,
) -> Result<OsString> {
    let mut candidate = name.to_owned();
    for n in 1..=ATTEMPTS {
        match make(place.dir.as_fd(), &candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EEXIST) => candidate = another_name(name, n),
            Err(e) => return Err(Error::os(format!("create {}", place.path.join(&candidate).display()), e)),
        }
    }
    let e = Error::os(format!("create {}", place.path.join(name).display()), Errno::EEXIST);
    Err(e.help("remove the files whose names start like it"))
}

/// `NAME.crio-3`, without growing at every restore, and short enough for NAME_MAX.
fn another_name(name: &OsStr, n: u32) -> OsString {
    let bytes = name.as_bytes();
    let marker = b".crio-";
    let stem =
        bytes.windows(marker.len()).position(|w| w == marker).and_then(|at| bytes.get(..at)).unwrap_or(bytes);
    let stem = stem.get(..stem.len().min(240)).unwrap_or(stem);
    let mut other = OsStr::from_bytes(stem).to_owned();
    other.push(format!(".crio-{n}"));
    other
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn make_file(dir: BorrowedFd<'_>, name: &OsStr) -> nix::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        openat(dir, name, flags, Mode::from_bits_truncate(0o600)).map(drop)
    }

    fn shown(anchor: &Anchor) -> PathBuf {
        std::fs::read_link(anchor.path()).unwrap()
    }

    #[test]
    fn a_nameless_file_shows_its_old_path_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gone/deep/file");
        let anchor = nameless(&path, &mut make_file, &|_, _| Ok(())).unwrap();
        assert_eq!(shown(&anchor), PathBuf::from(format!("{} (deleted)", path.display())));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut writer = std::fs::File::from(anchor.open(OFlag::O_WRONLY).unwrap());
        writer.write_all(b"still here").unwrap();
        let mut text = String::new();
        std::fs::File::from(anchor.open(OFlag::O_RDONLY).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "still here");
    }

    #[test]
    fn a_taken_name_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("name");
        std::fs::write(&path, "mine").unwrap();
        let anchor = nameless(&path, &mut make_file, &|_, _| Ok(())).unwrap();
        assert_eq!(shown(&anchor), PathBuf::from(format!("{}.crio-1 (deleted)", path.display())));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        let again = dir.path().join("name.crio-1");
        std::fs::write(&again, "").unwrap();
        let anchor = nameless(&again, &mut make_file, &|_, _| Ok(())).unwrap();
        assert!(shown(&anchor).ends_with("name.crio-2 (deleted)"), "{:?}", shown(&anchor));
    }

    #[test]
    fn a_failure_leaves_neither_file_nor_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c");
        let refused = nameless(&path, &mut make_file, &|_, _| Err(Error::bug("injected")));
        assert_eq!(refused.unwrap_err().code(), "E-BUG");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn names_go_with_the_outcome() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
        for commit in [false, true] {
            std::fs::write(&ours, "").unwrap();
            std::fs::write(&theirs, "").unwrap();
            let mut made = Made::default();
            made.remove_on_failure(ours.clone());
            made.remove_on_success(theirs.clone());
            if commit {
                made.commit();
            }
            drop(made);
            assert_eq!((ours.exists(), theirs.exists()), (commit, !commit));
        }
    }
}
