//! Names of unix sockets: where the file of a bound socket is, and binding a socket to the same name again.
//!
//! A socket keeps the very bytes that bind(2) was given, while its file may since have been moved or deleted, and what
//! the bytes mean depended on the root and working directory of the caller. So a socket is bound in a fresh directory
//! that a thread of ours has taken as its root, by whatever name is wanted, and then its file is moved to where it was,
//! over the dead one of before, or deleted. Nothing of others is ever in the way, and nobody can connect in between.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FilePermsEntry, UnixSkEntry};
use crate::kernel::sock_diag::unix_sockets;
use crate::parallel;
use crate::resource::file::remap::name_beside;
use crate::sys::socket::{self, unix_file};
use crate::sys::stat::{FileStat, fstat};

const DELETED: &[u8] = b" (deleted)";
const MODE: u32 = 0o7777;
/// Bytes of `sun_path`. A path may fill it; the zero byte with which the kernel then ends it stands behind.
const ROOM: usize = 108;

/// Whether a name is one in the file system; abstract ones start with a zero byte.
pub(super) fn is_path(name: &[u8]) -> bool {
    name.first().is_some_and(|byte| *byte != 0)
}

/// Whether a socket can have this name.
pub(super) fn is_possible(name: &[u8]) -> bool {
    name.len() <= ROOM || (is_path(name) && name.len() == ROOM + 1 && name.ends_with(&[0]))
}

/// A name as bind(2) and connect(2) take it.
pub(super) fn address(name: &[u8]) -> Vec<u8> {
    let taken = name.get(..ROOM).unwrap_or(name);
    [&(libc::AF_UNIX as libc::sa_family_t).to_ne_bytes()[..], taken].concat()
}

/// Puts into the entry where the file of a socket is that is bound to a path.
pub(super) fn locate(fd: BorrowedFd<'_>, entry: &mut UnixSkEntry) -> Result<()> {
    if !is_path(&entry.name) {
        return Ok(());
    }
    let file = unix_file(fd).os(|| "ioctl SIOCUNIXFILE")?;
    let stat = fstat(&file).os(|| "fstat of the file of a socket")?;
    entry.file_perms = Some(FilePermsEntry { mode: stat.st_mode, uid: stat.st_uid, gid: stat.st_gid });
    let mut path = path_of(file.as_fd())?.into_os_string().into_vec();
    if let Some(gone) = path.strip_suffix(DELETED).filter(|_| !leads_to(&path, &stat)) {
        if stat.st_nlink == 0 {
            entry.deleted = Some(true);
            return Ok(());
        }
        path = other_name(gone, &stat)?;
    }
    let name = text(&entry.name);
    let directory = path.strip_suffix(name).and_then(|rest| rest.strip_suffix(b"/"));
    match directory {
        _ if path == name => {}
        Some(directory) if !name.starts_with(b"/") => {
            entry.name_dir = Some(if directory.is_empty() { b"/".to_vec() } else { directory.to_vec() });
        }
        _ if leads_to(name, &stat) => {}
        _ => entry.path = Some(path),
    }
    Ok(())
}

/// The name that link(2) has given to a file whose own is gone: so supervisord puts its socket into place.
fn other_name(gone: &[u8], stat: &FileStat) -> Result<Vec<u8>> {
    let beside = name_beside(stat, Path::new(OsStr::from_bytes(gone)));
    beside.map(|path| path.into_os_string().into_vec()).ok_or_else(|| {
        let reason =
            format!("the path of its file is gone, and none of the {} links to it is beside", stat.st_nlink);
        Error::new("E-FILE-UNLINKED", Blame::Program, reason)
            .help("give the file a second name in its first folder before the dump (ln)")
    })
}

/// Whether an absolute name, perhaps over a symbolic link, is that file for us, too.
fn leads_to(name: &[u8], stat: &FileStat) -> bool {
    let found = std::fs::metadata(OsStr::from_bytes(name));
    name.starts_with(b"/") && found.is_ok_and(|at| (at.dev(), at.ino()) == (stat.st_dev, stat.st_ino))
}

/// A path without the zero byte at its end.
fn text(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn path_of(file: BorrowedFd<'_>) -> Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    std::fs::read_link(&link).os(|| format!("readlink {link}"))
}

/// How messages name the socket: `/tmp/a`, `@abstract`, or `socket:[17]`.
pub(super) fn shown(entry: &UnixSkEntry) -> String {
    match entry.name.split_first() {
        None => format!("socket:[{}]", entry.ino),
        Some((0, rest)) => format!("@{}", rest.escape_ascii()),
        Some(_) => String::from_utf8_lossy(text(&entry.name)).into_owned(),
    }
}

/// Where the file of a socket belongs; `None` if it was deleted.
fn target(entry: &UnixSkEntry) -> Option<PathBuf> {
    if entry.deleted == Some(true) {
        return None;
    }
    let name = Path::new(OsStr::from_bytes(text(&entry.name)));
    Some(match (&entry.path, &entry.name_dir) {
        (Some(path), _) => PathBuf::from(OsStr::from_bytes(path)),
        (None, Some(directory)) => Path::new(OsStr::from_bytes(directory)).join(name),
        (None, None) => name.to_owned(),
    })
}

/// Gives a socket the name of an entry. Returns the file that was made for that, if there is one.
pub(super) fn bind(fd: BorrowedFd<'_>, entry: &UnixSkEntry) -> Result<Option<PathBuf>> {
    if entry.name.is_empty() {
        return Ok(None);
    }
    if is_path(&entry.name) {
        return bind_path(fd, entry).map_err(|e| e.on(shown(entry)));
    }
    match socket::bind(fd, &address(&entry.name)) {
        Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => Err(taken(entry, "belongs to a socket")),
        bound => bound.os(|| format!("bind {}", shown(entry))).map(|()| None),
    }
}

fn taken(entry: &UnixSkEntry, why: &str) -> Error {
    Error::new("E-SOCKET-NAME-TAKEN", Blame::Environment, why)
        .on(shown(entry))
        .help("end the program that has it, or restore in another place")
}

fn bind_path(fd: BorrowedFd<'_>, entry: &UnixSkEntry) -> Result<Option<PathBuf>> {
    let target = target(entry);
    let parent = match &target {
        Some(target) => {
            refuse_living(entry, target)?;
            target.parent().unwrap_or(Path::new("/")).to_owned()
        }
        None => std::env::temp_dir(),
    };
    let place = tempfile::Builder::new()
        .prefix(".crio-")
        .tempdir_in(&parent)
        .os(|| format!("make a directory in {}", parent.display()))?;
    in_root(place.path(), || bind_here(fd, text(&entry.name)))?;
    let file = unix_file(fd).os(|| "ioctl SIOCUNIXFILE")?;
    let path = path_of(file.as_fd())?;
    if let Some(perms) = &entry.file_perms {
        std::os::unix::fs::chown(&path, Some(perms.uid), Some(perms.gid))
            .os(|| format!("chown {}", path.display()))?;
        let mode = std::fs::Permissions::from_mode(perms.mode & MODE);
        std::fs::set_permissions(&path, mode).os(|| format!("chmod {}", path.display()))?;
    }
    match &target {
        Some(target) => std::fs::rename(&path, target).os(|| format!("rename to {}", target.display()))?,
        None => std::fs::remove_file(&path).os(|| format!("unlink {}", path.display()))?,
    }
    Ok(target)
}

/// What is at the place of a socket's file may only be the file of a dead one.
fn refuse_living(entry: &UnixSkEntry, target: &Path) -> Result<()> {
    let Ok(found) = std::fs::symlink_metadata(target) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(taken(entry, "is another file by now"));
    }
    let living = unix_sockets()?.into_values().any(|socket| {
        socket.file == Some(found.ino() as u32)
            && socket.name.is_some_and(|name| text(&name) == text(&entry.name))
    });
    if living { Err(taken(entry, "belongs to a living socket")) } else { Ok(()) }
}

fn bind_here(fd: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let path = Path::new(OsStr::from_bytes(name));
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).os(|| format!("mkdir {}", parent.display()))?;
    }
    // The zero byte is part of the address as the kernel shows it, but adds nothing here.
    socket::bind(fd, &address(name)).os(|| format!("bind {}", path.display()))
}

/// Runs `work` in a thread whose root and working directory is `root`.
fn in_root<T: Send>(root: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    parallel::apart(|| {
        unshare(CloneFlags::CLONE_FS).os(|| "unshare CLONE_FS")?;
        chroot(root).os(|| format!("chroot {}", root.display()))?;
        chdir("/").os(|| "chdir /")?;
        work()
    })
}

/// How a bound socket is reached, wherever its file is by now.
#[derive(Debug)]
pub struct Way {
    name: Vec<u8>,
    file: Option<OwnedFd>,
}

impl Way {
    /// The file of a socket with a path: who connects needs a descriptor of it. It must be its own: those of others the
    /// kernel shows to few (fs/proc/base.c, proc_fd_access_allowed).
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// The address for a process that has the file, if there is one, under this number.
    pub fn address(&self, number: RawFd) -> Vec<u8> {
        match &self.file {
            Some(_) => address(format!("/proc/self/fd/{number}").as_bytes()),
            None => address(&self.name),
        }
    }

    /// The address for ourselves.
    pub(super) fn ours(&self) -> Vec<u8> {
        self.address(self.file.as_ref().map_or(-1, AsRawFd::as_raw_fd))
    }
}

/// The way to a socket of ours that is bound to `name`.
pub(super) fn reach(fd: BorrowedFd<'_>, name: &[u8]) -> Result<Way> {
    let file = if is_path(name) { Some(unix_file(fd).os(|| "ioctl SIOCUNIXFILE")?) } else { None };
    Ok(Way { name: name.to_vec(), file })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stream() -> OwnedFd {
        socket::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).unwrap()
    }

    #[test]
    fn a_name_is_bound_anew_over_a_dead_file_but_not_over_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/name");
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        let name = [b"name\0".to_vec()].concat();
        let name_dir = Some(dir.path().join("deep").into_os_string().into_vec());
        let perms = Some(FilePermsEntry { mode: 0o140640, uid: 17, gid: 18 });
        let entry = UnixSkEntry { name, name_dir, file_perms: perms.clone(), ..UnixSkEntry::default() };
        for _ in 0..2 {
            let socket = stream();
            // A process that another test has just forked may have the first one for a moment.
            while bind(socket.as_fd(), &entry).map_err(|e| e.code()) == Err("E-SOCKET-NAME-TAKEN") {
                std::thread::yield_now();
            }
            assert!(path.exists());
            assert_eq!(socket::name(socket.as_fd()).unwrap(), address(b"name\0"));
            let mut seen = UnixSkEntry { name: b"name\0".to_vec(), ..UnixSkEntry::default() };
            locate(socket.as_fd(), &mut seen).unwrap();
            assert_eq!(seen, entry);
            let living = bind(stream().as_fd(), &entry).unwrap_err();
            assert_eq!(living.code(), "E-SOCKET-NAME-TAKEN");
        }
        assert_eq!(std::fs::read_dir(dir.path().join("deep")).unwrap().count(), 1);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(bind(stream().as_fd(), &entry).unwrap_err().code(), "E-SOCKET-NAME-TAKEN");
    }

    #[test]
    fn a_deleted_name_needs_no_place() {
        let name = b"/no/such/place\0".to_vec();
        let entry = UnixSkEntry { name, deleted: Some(true), ..UnixSkEntry::default() };
        let socket = stream();
        assert_eq!(bind(socket.as_fd(), &entry).unwrap(), None);
        assert_eq!(socket::name(socket.as_fd()).unwrap(), address(b"/no/such/place\0"));
        socket::listen(socket.as_fd(), 1).unwrap();
        let way = reach(socket.as_fd(), &entry.name).unwrap();
        socket::connect(stream().as_fd(), &way.ours()).unwrap();
    }

    #[test]
    fn a_path_may_have_its_zero_byte_behind_the_address() {
        let path = [vec![b'p'; ROOM], vec![0]].concat();
        assert!(is_possible(&path) && !is_possible(&[b'p'; ROOM + 1]) && !is_possible(&[0; ROOM + 1]));
        assert_eq!(address(&path), address(&[b'p'; ROOM]));
    }
}
