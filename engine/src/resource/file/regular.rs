//! Files that are opened again by their path: regular files, directories, memory devices, and whatever is O_PATH.
//!
//! Kept: path, flags, position (of a directory: the file system's cookie), owner of signals. The access is that of the
//! open flags: a file that the restored user could not open any more is opened all the same, as we are root.
//!
//! The kernel drops O_CREAT, O_EXCL, O_NOCTTY and O_TRUNC once a file is open (do_dentry_open in fs/open.c); they are
//! dropped again here, because an image may say anything. Not kept: O_NOFOLLOW of files without a name.

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek64};

use super::made::Anchor;
use super::remap::{Judged, path_of};
use super::{Description, owner, validate};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{FownEntry, RegFileEntry};
use crate::options::FileValidation;
use crate::sys::stat::{self, fstat};

/// The position of a file that has none to be set: a write-only /dev/kmsg.
const NO_POSITION: u64 = u64::MAX;

/// The entry of a description whose path was judged.
pub(super) fn entry(
    d: &Description<'_>,
    id: u32,
    judged: &Judged,
    method: FileValidation,
) -> Result<RegFileEntry> {
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    let method = if judged.pseudo { FileValidation::FileSize } else { method };
    let anchor = Anchor::new(d.fd.try_clone().os(|| "duplicate a descriptor")?);
    let (size, build_id) = validate::record(&anchor, &d.stat, flags, method);
    // What no descriptor of the task leads to is here by a descriptor of ours.
    let fown = if d.number < 0 { FownEntry::default() } else { owner::of(d.fd.as_fd(), flags)? };
    Ok(RegFileEntry {
        id,
        flags,
        pos: position(d),
        fown,
        name: judged.path.clone(),
        mode: Some(d.stat.st_mode),
        size,
        build_id,
        ..RegFileEntry::default()
    })
}

fn position(d: &Description<'_>) -> u64 {
    let write_only = d.info.flags & libc::O_ACCMODE as u32 == libc::O_WRONLY as u32;
    let is_kmsg = d.stat.st_mode & libc::S_IFMT == libc::S_IFCHR && d.stat.st_rdev == libc::makedev(1, 11);
    if is_kmsg && write_only && d.info.pos == 0 { NO_POSITION } else { d.info.pos as u64 }
}

/// `O_*` as open(2) takes them from an image.
pub(super) fn open_flags(flags: u32) -> OFlag {
    // O_ASYNC is switched on by the task itself, see SETTABLE of `reopen`.
    let dropped = libc::O_CREAT | libc::O_EXCL | libc::O_NOCTTY | libc::O_TRUNC | libc::O_ASYNC;
    let mut flags = flags as i32 & !dropped;
    // O_TMPFILE holds the bit of O_DIRECTORY, so that it cannot be dropped from directories.
    if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        flags &= !libc::O_TMPFILE;
    }
    OFlag::from_bits_retain(flags) | OFlag::O_CLOEXEC | OFlag::O_NOCTTY
}

/// A new description of a file that has its name: O_NOFOLLOW stays visible in the flags only if it is opened by that.
pub(super) fn open_named(anchor: &Anchor, reg: &RegFileEntry, flags: OFlag) -> Result<OwnedFd> {
    if !flags.intersects(OFlag::O_NOFOLLOW | OFlag::O_PATH) {
        return open_anchored(anchor, reg, flags);
    }
    let path = path_of(&reg.name);
    let fd = nix::fcntl::open(path, flags, Mode::empty()).os(|| format!("open {}", path.display()))?;
    let (was, is) = (fstat(anchor).os(|| "fstat")?, fstat(&fd).os(|| "fstat")?);
    if (was.st_dev, was.st_ino) == (is.st_dev, is.st_ino) {
        Ok(fd)
    } else {
        Err(Error::os(
            format!("open {}: it changes while we restore", path.display()),
            nix::errno::Errno::EBUSY,
        ))
    }
}

/// A new description of a file, by an anchor.
pub(super) fn open_anchored(anchor: &Anchor, reg: &RegFileEntry, flags: OFlag) -> Result<OwnedFd> {
    let is_link = reg.mode.is_some_and(|mode| mode & libc::S_IFMT == libc::S_IFLNK);
    if is_link && flags.contains(OFlag::O_PATH) {
        // A symbolic link cannot be opened through its link in /proc; and O_PATH has nothing that could be shared.
        return anchor.as_fd().try_clone_to_owned().os(|| "duplicate a descriptor");
    }
    let opened = anchor.open(flags);
    opened
        .os(|| format!("open {} with flags {:#o}", path_of(&reg.name).display(), flags.bits()))
        .map_err(|e| explain(e, anchor))
}

/// What chattr(1) forbids, it forbids root as well; who had the file open before may go on.
fn explain(e: Error, anchor: &Anchor) -> Error {
    let attributes = match e.errno() {
        Some(libc::EPERM) => stat::attributes(anchor).unwrap_or(0),
        _ => 0,
    };
    let forbids =
        [(libc::STATX_ATTR_IMMUTABLE, "immutable", 'i'), (libc::STATX_ATTR_APPEND, "append-only", 'a')];
    match forbids.into_iter().find(|(bit, ..)| attributes & *bit as u64 != 0) {
        Some((_, what, letter)) => e.help(format!(
            "the file is {what}: take that away for the restore (chattr -{letter}), and set it again afterwards"
        )),
        None => e,
    }
}

/// Puts a fresh description where the old one was.
pub(super) fn seek(fd: &OwnedFd, reg: &RegFileEntry) -> Result<()> {
    let no_seek = reg.flags & libc::O_PATH as u32 != 0 || matches!(reg.pos, 0 | NO_POSITION);
    if no_seek {
        return Ok(());
    }
    match lseek64(fd, reg.pos as i64, Whence::SeekSet) {
        Ok(_) => Ok(()),
        // /dev/kmsg and its like count a position that nobody can set, or that means nothing.
        Err(_) if reg.mode.is_some_and(|mode| mode & libc::S_IFMT == libc::S_IFCHR) => Ok(()),
        Err(e) => Err(Error::os(format!("seek {} to {}", path_of(&reg.name).display(), reg.pos), e)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::super::kind::{Kind, Seen};
    use super::super::round_trip::{RoundTrip, shown};
    use super::super::testing::{Mine, flags};
    use super::*;
    use nix::fcntl::open;

    #[test]
    fn position_and_flags_return() -> Result<()> {
        let trip = RoundTrip::new()?;
        std::fs::write(trip.path("data"), "0123456789").os(|| "write")?;
        let fd = trip.open("data", OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOATIME | OFlag::O_NOFOLLOW)?;
        lseek64(&fd, 7, Whence::SeekSet).os(|| "seek")?;
        let before = flags(&fd)?;
        let fd = trip.one(fd)?;
        assert_eq!((flags(&fd)?, shown(&fd)?), (before, trip.path("data")));
        let mut file = File::from(fd.try_clone().os(|| "dup")?);
        let mut rest = String::new();
        file.read_to_string(&mut rest).and_then(|_| file.write_all(b"ab")).os(|| "read")?;
        assert_eq!(
            (rest.as_str(), std::fs::read(trip.path("data")).os(|| "read")?),
            ("789", b"0123456789ab".to_vec())
        );
        Ok(())
    }

    #[test]
    fn what_forbids_to_write_is_named() -> Result<()> {
        let trip = RoundTrip::new()?;
        let change = |how: &str| {
            let changed = std::process::Command::new("chattr").arg(how).arg(trip.path("data")).status();
            assert!(changed.is_ok_and(|status| status.success()), "chattr {how}");
        };
        trip.dump([trip.open("data", OFlag::O_RDWR | OFlag::O_CREAT)?])?.keep();
        for (set, take, what) in [("+i", "-i", "immutable"), ("+a", "-a", "append-only")] {
            change(set);
            let opened = trip.load()?.open(1);
            change(take);
            let told = opened.err().map(|e| e.to_string()).unwrap_or_default();
            assert!(told.contains(what) && told.contains(take), "{told}");
        }
        trip.load()?.open(1).map(drop)
    }

    #[test]
    fn offsets_beyond_four_gigabytes_return() -> Result<()> {
        let trip = RoundTrip::new()?;
        let fd = trip.open("data", OFlag::O_RDWR | OFlag::O_CREAT)?;
        let far = (1 << 40) + 12345;
        lseek64(&fd, far, Whence::SeekSet).os(|| "seek")?;
        assert_eq!(lseek64(&*trip.one(fd)?, 0, Whence::SeekCur).os(|| "seek")?, far);
        Ok(())
    }

    #[test]
    fn one_description_is_opened_once_and_two_are_two() -> Result<()> {
        let trip = RoundTrip::new()?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT;
        trip.dump([trip.open("data", flags)?, trip.open("data", flags)?])?.keep();
        let mut files = trip.load()?;
        let (first, again, other) = (files.open(1)?, files.open(1)?, files.open(2)?);
        lseek64(&*first, 5, Whence::SeekSet).os(|| "seek")?;
        let at = |fd: &OwnedFd| lseek64(fd, 0, Whence::SeekCur).os(|| "seek");
        assert_eq!((at(&again)?, at(&other)?), (5, 0));
        assert_eq!(files.open(3).map_err(|e| e.code()).err(), Some("E-IMAGE-BAD"));
        Ok(())
    }

    #[test]
    fn path_only_descriptors_return_even_of_symbolic_links() -> Result<()> {
        let trip = RoundTrip::new()?;
        std::os::unix::fs::symlink("nowhere", trip.path("link")).os(|| "symlink")?;
        nix::unistd::mkfifo(&trip.path("fifo"), Mode::S_IRUSR).os(|| "mkfifo")?;
        for (name, extra) in
            [("link", OFlag::O_NOFOLLOW), ("fifo", OFlag::empty()), (".", OFlag::O_DIRECTORY)]
        {
            let fd = trip.open(name, OFlag::O_PATH | extra)?;
            let (before, stat) = (flags(&fd)?, fstat(&fd).os(|| "fstat")?);
            let fd = trip.one(fd)?;
            assert_eq!((flags(&fd)?, fstat(&*fd).os(|| "fstat")?.st_ino), (before, stat.st_ino), "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_directory_goes_on_where_it_was() -> Result<()> {
        let trip = RoundTrip::new()?;
        for n in 0..2000 {
            std::fs::write(trip.path(&format!("file-{n:04}-{}", "x".repeat(60))), "").os(|| "write")?;
        }
        let fd = trip.open(".", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        // One getdents64(2) of the C library's buffer leaves the description in the middle; dropping it rewinds.
        let mut dir = nix::dir::Dir::from_fd(fd.try_clone().os(|| "dup")?).os(|| "opendir")?;
        let mut begun = dir.iter();
        assert!(begun.next().is_some());
        let position = lseek64(&fd, 0, Whence::SeekCur).os(|| "seek")?;
        assert_ne!(position, 0);
        let rest = |fd: OwnedFd| -> Result<Vec<String>> {
            let mut dir = nix::dir::Dir::from_fd(fd).os(|| "opendir")?;
            dir.iter()
                .map(|e| e.os(|| "read").map(|e| e.file_name().to_string_lossy().into_owned()))
                .collect()
        };
        let restored = trip.one(fd.try_clone().os(|| "dup")?)?;
        assert_eq!(lseek64(&*restored, 0, Whence::SeekCur).os(|| "seek")?, position);
        let (wanted, found) = (rest(fd)?, rest(restored.try_clone().os(|| "dup")?)?);
        assert!(!wanted.is_empty() && wanted.len() < 2002);
        assert_eq!(found, wanted);
        drop(begun);
        Ok(())
    }

    #[test]
    fn memory_devices_return_and_others_are_refused() -> Result<()> {
        let trip = RoundTrip::new()?;
        for path in ["/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"] {
            let fd = open(path, OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).os(|| "open")?;
            let rdev = fstat(&fd).os(|| "fstat")?.st_rdev;
            assert_eq!(fstat(&*trip.one(fd)?).os(|| "fstat")?.st_rdev, rdev, "{path}");
        }
        let fuse = std::fs::File::open("/dev/fuse").os(|| "open")?;
        let e = trip.dump([fuse.into()]).err();
        let text = e.map(|e| e.to_string()).unwrap_or_default();
        assert!(text.starts_with("error[E-FILE-UNSUPPORTED]: task "), "{text}");
        assert!(text.contains("(/dev/fuse): is a FUSE device (10:229), whose state"), "{text}");
        Ok(())
    }

    #[test]
    fn what_others_add_to_a_log_does_not_matter() -> Result<()> {
        let trip = RoundTrip::new()?;
        let fd = trip.open("log", OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT)?;
        trip.dump([fd])?.keep();
        std::fs::write(trip.path("log"), "more").os(|| "write")?;
        assert!(trip.faults()?.is_empty());
        Ok(())
    }

    #[test]
    fn a_path_that_became_a_fifo_is_an_error_and_no_hang() -> Result<()> {
        let trip = RoundTrip::new()?;
        trip.dump([trip.open("file", OFlag::O_RDONLY | OFlag::O_CREAT)?])?.keep();
        std::fs::remove_file(trip.path("file")).os(|| "unlink")?;
        nix::unistd::mkfifo(&trip.path("file"), Mode::S_IRUSR).os(|| "mkfifo")?;
        let mut files = crate::resource::file::FileRestore::load(&trip.image_dir()?, &trip.restore)?;
        assert_eq!(files.open(1).map_err(|e| e.code()).err(), Some("E-FILE-CHANGED"));
        Ok(())
    }

    #[test]
    fn all_kinds_that_a_test_can_have() -> Result<()> {
        let mine = Mine::new()?;
        let (read, _write) = nix::unistd::pipe().os(|| "pipe")?;
        let memfd = nix::sys::memfd::memfd_create(c"x", nix::sys::memfd::MFdFlags::empty()).os(|| "memfd")?;
        let tty = open("/dev/ptmx", OFlag::O_RDWR | OFlag::O_NOCTTY, Mode::empty()).os(|| "open")?;
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().os(|| "socketpair")?;
        let kinds = [
            (read, Some(Kind::Pipe)),
            (memfd, Some(Kind::Memfd)),
            (tty, Some(Kind::Tty)),
            (socket.into(), Some(Kind::Socket)),
        ];
        for (fd, kind) in kinds {
            assert_eq!(Kind::of(&mine.description(fd)?.seen()).ok(), kind);
        }
        let mut file = crate::sys::stat::stat("/").os(|| "stat")?;
        (file.st_mode, file.st_nlink) = (libc::S_IFREG | 0o600, 0);
        let seen = |target| Kind::of(&Seen { number: 3, flags: 0, stat: &file, target }).ok();
        for target in [
            &b"/memfd:in the root directory (deleted)"[..],
            b"/dev/zero (deleted)",
            b"/SYSV00000000 (deleted)",
        ] {
            assert_eq!(seen(target), Some(Kind::Regular));
        }
        assert_eq!(
            (seen(b"net:[4026531840]"), seen(b"(unreachable)/a"), seen(b"/dmabuf:")),
            (Some(Kind::Namespace), None, None)
        );
        Ok(())
    }

    #[test]
    fn locks_are_refused() -> Result<()> {
        let trip = RoundTrip::new()?;
        let file = File::create(trip.path("locked")).os(|| "create")?;
        file.lock().os(|| "flock")?;
        assert_eq!(trip.dump([file.into()]).err().map(|e| e.code()), Some("E-FILE-LOCKED"));
        Ok(())
    }
}
