//! Files without any name: unlinked while they are open, mapped, or somebody's directory.
//!
//! Such a file exists as long as the program does, so its content travels in `ghost-file-ID.img` with its owner, mode
//! and times. One image serves all descriptions and mappings of the inode. The restore makes the file where it was,
//! and unlinks it at once, see [`made`](super::made); every name that the inode had is shown again, because all of
//! them are linked before the first is unlinked.
//!
//! A file of O_TMPFILE is made by O_TMPFILE again, so that linkat(2) can still give it a name.
//!
//! Not kept: nanoseconds of the times (the format has none), and that O_EXCL has forbidden to give a file of O_TMPFILE a
//! name: the kernel does not show it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, linkat, symlinkat};

use super::content;
use super::made::{Anchor, link_of, nameless};
use super::validate::type_name;
use super::xattr;
use crate::error::{Error, OsContext, Result};
use crate::image::message::{GhostChunkEntry, GhostFileEntry, Timeval};
use crate::image::{EntryReader, ImageDir, Kind};
use crate::log;
use crate::sys::stat::{FileStat, set_times};

/// From this size on, bytes, CRIU writes content in chunks, which leave out holes.
const CHUNKS_FROM: i64 = 3 * 4096;

/// Writes the image of a file that has no name any more. `fiemap`: `--ghost-fiemap`.
pub(super) fn dump(
    images: &ImageDir,
    id: u32,
    fd: BorrowedFd<'_>,
    stat: &FileStat,
    fiemap: bool,
) -> Result<()> {
    let kind = Kind::GhostFile(id);
    let entry = entry_of(fd, stat)?;
    let mut image = images.writer(kind);
    image.push(&entry)?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFREG {
        // A description of our own: it can be read whatever the access of the victim's, whose position stays.
        let file = open_unseen(&link_of(fd)).os(|| "open a deleted file for reading")?;
        let size = stat.st_size as u64;
        let ranges = if entry.chunks == Some(true) {
            let ranges = if fiemap { content::written_ranges } else { content::data_ranges };
            ranges(&file, size).os(|| "find the holes of a deleted file")?
        } else {
            vec![(0, size)]
        };
        for (off, len) in ranges {
            if entry.chunks == Some(true) {
                image.push(&GhostChunkEntry { len, off })?;
            }
            append(image.file()?, &file, off, len).os(|| format!("write {}", kind.file_name()))?;
        }
    }
    image.finish()
}

/// Opens for reading without a trace in the access time, if the file's owner allows that.
fn open_unseen(path: &Path) -> nix::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_LARGEFILE | OFlag::O_CLOEXEC;
    match open(path, flags | OFlag::O_NOATIME, Mode::empty()) {
        Err(nix::errno::Errno::EPERM) => open(path, flags, Mode::empty()),
        opened => opened,
    }
    .map(File::from)
}

fn append(image: &mut File, from: &File, offset: u64, len: u64) -> std::io::Result<()> {
    use std::io::Seek;
    let at = image.stream_position()?;
    content::copy(from, offset, image, at, len)?;
    image.seek(std::io::SeekFrom::Start(at + len)).map(drop)
}

fn entry_of(fd: BorrowedFd<'_>, stat: &FileStat) -> Result<GhostFileEntry> {
    let time = |seconds: i64, nanoseconds: i64| {
        Some(Timeval { tv_sec: seconds as u64, tv_usec: nanoseconds as u64 / 1000 })
    };
    let kind = stat.st_mode & libc::S_IFMT;
    let chunked = kind == libc::S_IFREG && stat.st_size >= CHUNKS_FROM;
    let target = if kind == libc::S_IFLNK {
        let target = nix::fcntl::readlinkat(fd, "").os(|| "read a deleted symbolic link")?;
        Some(target.into_encoded_bytes())
    } else {
        None
    };
    Ok(GhostFileEntry {
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode,
        // The format has 32 bits, which hold every device number of Linux in the order that makedev(3) uses.
        dev: Some(stat.st_dev as u32),
        ino: Some(stat.st_ino),
        rdev: matches!(kind, libc::S_IFCHR | libc::S_IFBLK).then_some(stat.st_rdev as u32),
        atim: time(stat.st_atime, stat.st_atime_nsec),
        mtim: time(stat.st_mtime, stat.st_mtime_nsec),
        chunks: chunked.then_some(true),
        size: chunked.then_some(stat.st_size as u64),
        symlnk_target: target,
        xattrs: xattr::read(&link_of(fd))?,
    })
}

/// Opens the image of a ghost and reads its entry, which has to be one that [`recreate`] can make.
pub(super) fn load(images: &ImageDir, id: u32) -> Result<(EntryReader, GhostFileEntry)> {
    let kind = Kind::GhostFile(id);
    let missing = || {
        Error::image(kind.file_name(), format!("there is no such image in {}", images.path().display()))
            .help("the directory is incomplete: was it copied without this file?")
    };
    let mut reader = images.reader(kind)?.ok_or_else(missing)?;
    let Some(entry) = reader.next::<GhostFileEntry>()? else { return Err(reader.bad("there is no entry")) };
    let lacks = match entry.mode & libc::S_IFMT {
        libc::S_IFREG if entry.chunks == Some(true) && entry.size.is_none() => "its size",
        libc::S_IFCHR | libc::S_IFBLK if entry.rdev.is_none() => "its device",
        libc::S_IFLNK if entry.symlnk_target.is_none() => "its target",
        libc::S_IFREG | libc::S_IFCHR | libc::S_IFBLK | libc::S_IFLNK => return Ok((reader, entry)),
        libc::S_IFDIR | libc::S_IFIFO | libc::S_IFSOCK => return Ok((reader, entry)),
        _ => return Err(reader.bad(format!("a deleted {} cannot be made", type_name(entry.mode)))),
    };
    Err(reader.bad(format!("a deleted {} without {lacks}", type_name(entry.mode))))
}

/// Makes the file again: an anchor for each of the `paths` that it had. A path that cannot be linked shares the first.
pub(super) fn recreate(images: &ImageDir, id: u32, paths: &[PathBuf]) -> Result<HashMap<PathBuf, Anchor>> {
    let (mut reader, entry) = load(images, id)?;
    let Some((first, others)) = paths.split_first() else { return Ok(HashMap::new()) };
    let linked = RefCell::new(HashMap::new());
    let mut make = |dir: BorrowedFd<'_>, name: &OsStr| make_node(dir, name, &entry);
    let anchor = nameless(first, &mut make, &|anchor, path| {
        for other in others {
            match link_nameless(anchor, other) {
                Ok(more) => drop(linked.borrow_mut().insert(other.clone(), more)),
                Err(e) => log::warn!("{} is shown as {}: {e}", other.display(), path.display()),
            }
        }
        give_owner(anchor, path, &entry)
    })?;
    if entry.mode & libc::S_IFMT == libc::S_IFREG {
        fill(&anchor, &entry, &mut reader)?;
    }
    finish(&anchor, &entry)?;
    log::debug!("Made ghost file {id:#x} for {}", first.display());
    let mut anchors = linked.into_inner();
    anchors.insert(first.clone(), anchor);
    Ok(anchors)
}

/// Makes a file that was opened by O_TMPFILE in the same way: `flags` stay visible, and linkat(2) can name it again. The
/// descriptor is the description that was opened so. `None` where that cannot be done now: the directory is gone, or
/// its file system cannot.
pub(super) fn recreate_unnamed(
    images: &ImageDir,
    id: u32,
    path: &Path,
    flags: OFlag,
) -> Result<Option<(Anchor, OwnedFd)>> {
    let (mut reader, entry) = load(images, id)?;
    let Some(dir) = path.parent() else { return Ok(None) };
    let flags = flags | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
    let fd = match open(dir, flags, Mode::from_bits_truncate(0o600)) {
        Ok(fd) => fd,
        Err(e) => {
            log::warn!("Can't make an unnamed file in {}, it gets a name for a moment: {e}", dir.display());
            return Ok(None);
        }
    };
    let anchor = Anchor::follow(&link_of(fd.as_fd())).os(|| "open an unnamed file")?;
    give_owner(&anchor, path, &entry)?;
    fill(&anchor, &entry, &mut reader)?;
    finish(&anchor, &entry)?;
    Ok(Some((anchor, fd)))
}

/// A second name for an inode that still has one, gone again when this returns.
pub(super) fn link_nameless(anchor: &Anchor, path: &Path) -> Result<Anchor> {
    let source = anchor.path();
    let mut link = |dir: BorrowedFd<'_>, name: &OsStr| {
        linkat(nix::fcntl::AT_FDCWD, &source, dir, name, AtFlags::AT_SYMLINK_FOLLOW)
    };
    nameless(path, &mut link, &|_, _| Ok(()))
}

fn make_node(dir: BorrowedFd<'_>, name: &OsStr, entry: &GhostFileEntry) -> nix::Result<()> {
    let private = Mode::from_bits_truncate(0o600);
    let device = u64::from(entry.rdev.unwrap_or(0));
    match entry.mode & libc::S_IFMT {
        libc::S_IFDIR => mkdirat(dir, name, Mode::from_bits_truncate(0o700)),
        libc::S_IFIFO => mknodat(dir, name, SFlag::S_IFIFO, private, 0),
        // Opened by O_PATH. Nobody listens there, as before.
        libc::S_IFSOCK => mknodat(dir, name, SFlag::S_IFSOCK, private, 0),
        libc::S_IFCHR => mknodat(dir, name, SFlag::S_IFCHR, private, device),
        libc::S_IFBLK => mknodat(dir, name, SFlag::S_IFBLK, private, device),
        libc::S_IFLNK => symlinkat(entry.symlnk_target.as_deref().unwrap_or_default(), dir, name),
        _ => {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            openat(dir, name, flags, private).map(drop)
        }
    }
}

fn fill(anchor: &Anchor, entry: &GhostFileEntry, reader: &mut EntryReader) -> Result<()> {
    let file = anchor.content(OFlag::O_RDWR).os(|| "open a ghost file for writing")?;
    let written = || "write a ghost file";
    if entry.chunks != Some(true) {
        let (offset, len) = reader.payload_range()?;
        return content::copy(reader.file(), offset, &file, 0, len).os(written);
    }
    let size = entry.size.unwrap_or(0);
    file.set_len(size).os(|| format!("make a ghost file {size} bytes long"))?;
    while let Some(chunk) = reader.next::<GhostChunkEntry>()? {
        if chunk.off.checked_add(chunk.len).is_none_or(|end| end > size) {
            return Err(reader.bad(format!("a chunk of {} bytes at {} of {size}", chunk.len, chunk.off)));
        }
        let (offset, len) = reader.payload_range()?;
        content::copy(reader.file(), offset, &file, chunk.off, len).os(written)?;
    }
    Ok(())
}

/// Owner and mode. The order matters: chown(2) clears the set-user-id bit.
fn give_owner(anchor: &Anchor, path: &Path, entry: &GhostFileEntry) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
    fchownat(anchor.as_fd(), "", uid, gid, AtFlags::AT_EMPTY_PATH)
        .os(|| format!("chown {} to {}:{}", path.display(), entry.uid, entry.gid))?;
    if entry.mode & libc::S_IFMT == libc::S_IFLNK {
        return give_times_to(path, entry, AtFlags::AT_SYMLINK_NOFOLLOW);
    }
    std::fs::set_permissions(anchor.path(), Permissions::from_mode(entry.mode & 0o7777))
        .os(|| format!("chmod {}", path.display()))
}

/// What writing would change.
fn finish(anchor: &Anchor, entry: &GhostFileEntry) -> Result<()> {
    xattr::give(&anchor.path(), &entry.xattrs)?;
    if entry.mode & libc::S_IFMT == libc::S_IFLNK {
        return Ok(());
    }
    give_times_to(&anchor.path(), entry, AtFlags::empty())
}

fn give_times_to(path: &Path, entry: &GhostFileEntry, flags: AtFlags) -> Result<()> {
    let (Some(atime), Some(mtime)) = (entry.atim.as_ref(), entry.mtim.as_ref()) else { return Ok(()) };
    // What a hostile image has beyond these limits utimensat(2) refuses.
    let spec = |t: &Timeval| (t.tv_sec as i64, t.tv_usec.saturating_mul(1000).min(i64::MAX as u64) as i64);
    set_times(path, spec(atime), spec(mtime), flags).os(|| format!("set the times of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::FileExt;

    use super::super::FileRestore;
    use super::super::round_trip::{RoundTrip, deleted, shown};
    use super::*;
    use crate::sys::stat::fstat;

    fn unlinked(trip: &RoundTrip, name: &str, flags: OFlag) -> Result<OwnedFd> {
        let fd = trip.open(name, flags)?;
        let path = trip.path(name);
        let removed = if path.is_dir() { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) };
        removed.os(|| "remove")?;
        Ok(fd)
    }

    #[test]
    fn content_holes_owner_mode_and_times_return() -> Result<()> {
        let trip = RoundTrip::new()?;
        let file = File::from(unlinked(&trip, "sparse", OFlag::O_RDWR | OFlag::O_CREAT)?);
        file.write_all_at(&[1; 5000], 0).and_then(|()| file.write_all_at(&[2; 9], 1 << 20)).os(|| "write")?;
        file.set_len((4 << 20) + 1)
            .and_then(|()| file.set_permissions(Permissions::from_mode(0o4711)))
            .os(|| "size")?;
        nix::unistd::fchown(&file, Some(Uid::from_raw(12)), Some(Gid::from_raw(34))).os(|| "chown")?;
        file.set_permissions(Permissions::from_mode(0o4711)).os(|| "chmod")?;
        let copy = file.try_clone().os(|| "dup")?;
        let stat = fstat(&file).os(|| "fstat")?;
        let fd = trip.one(file.into())?;
        let back = fstat(&*fd).os(|| "fstat")?;
        let what = |s: &FileStat| {
            (s.st_size, s.st_mode, s.st_uid, s.st_gid, s.st_mtime, s.st_mtime_nsec / 1000, s.st_nlink)
        };
        assert_eq!(what(&back), what(&stat));
        assert!(
            back.st_blocks <= stat.st_blocks && stat.st_blocks < 1000,
            "{} {}",
            back.st_blocks,
            stat.st_blocks
        );
        let restored = File::from(fd.try_clone().os(|| "dup")?);
        assert!(content::equal(&restored, &copy).os(|| "compare")?);
        assert_eq!((shown(&fd)?, trip.names()), (deleted(&trip.path("sparse")), vec![]));
        let image = std::fs::metadata(trip.images.path().join("ghost-file-1.img")).os(|| "stat")?;
        assert!(image.len() < 1 << 16, "holes are in the image: {} bytes", image.len());
        Ok(())
    }

    #[test]
    fn descriptions_of_one_inode_share_one_again_under_all_its_names() -> Result<()> {
        let trip = RoundTrip::new()?;
        let mut first = File::from(trip.open("a", OFlag::O_RDWR | OFlag::O_CREAT)?);
        first.write_all(b"small").os(|| "write")?;
        std::fs::hard_link(trip.path("a"), trip.path("b")).os(|| "link")?;
        let second = unlinked(&trip, "b", OFlag::O_RDONLY)?;
        std::fs::remove_file(trip.path("a")).os(|| "unlink")?;
        trip.dump([first.into(), second])?.keep();
        let mut files = trip.load()?;
        let (first, second) = (files.open(1)?, files.open(2)?);
        let mapped = files.open_with(2, OFlag::O_RDWR)?;
        assert_eq!((shown(&first)?, shown(&second)?), (deleted(&trip.path("a")), deleted(&trip.path("b"))));
        File::from(mapped).write_all(b"S").os(|| "write")?;
        let mut text = String::new();
        File::from(second.try_clone().os(|| "dup")?).read_to_string(&mut text).os(|| "read")?;
        assert_eq!(text, "Small");
        drop(files);
        assert_eq!(trip.names(), Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn two_ghosts_of_one_name_both_show_it_and_a_taken_name_is_safe() -> Result<()> {
        let trip = RoundTrip::new()?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT;
        let fds = [unlinked(&trip, "again", flags)?, unlinked(&trip, "again", flags)?];
        trip.dump(fds)?.keep();
        let mut files = trip.load()?;
        let (a, b) = (files.open(1)?, files.open(2)?);
        assert_eq!((shown(&a)?, shown(&b)?), (deleted(&trip.path("again")), deleted(&trip.path("again"))));
        assert_ne!(fstat(&*a).os(|| "fstat")?.st_ino, fstat(&*b).os(|| "fstat")?.st_ino);
        std::fs::write(trip.path("again"), "of somebody else").os(|| "write")?;
        let fd = trip.load()?.open(1)?;
        assert_eq!(shown(&fd)?, deleted(&trip.path("again.crio-1")));
        assert_eq!(std::fs::read(trip.path("again")).os(|| "read")?, b"of somebody else");
        Ok(())
    }

    #[test]
    fn directories_fifos_sockets_devices_and_links_are_ghosts_too() -> Result<()> {
        let trip = RoundTrip::new()?;
        let mode = Mode::from_bits_truncate(0o640);
        std::fs::create_dir_all(trip.path("gone/dir")).os(|| "mkdir")?;
        let dir = unlinked(&trip, "gone/dir", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        std::fs::remove_dir(trip.path("gone")).os(|| "rmdir")?;
        nix::unistd::mkfifo(&trip.path("fifo"), mode).os(|| "mkfifo")?;
        let fifo = unlinked(&trip, "fifo", OFlag::O_PATH)?;
        drop(std::os::unix::net::UnixListener::bind(trip.path("socket")).os(|| "bind")?);
        let socket = unlinked(&trip, "socket", OFlag::O_PATH)?;
        nix::sys::stat::mknod(&trip.path("null"), SFlag::S_IFCHR, mode, libc::makedev(1, 3))
            .os(|| "mknod")?;
        let null = unlinked(&trip, "null", OFlag::O_RDWR)?;
        std::os::unix::fs::symlink("some/where", trip.path("link")).os(|| "symlink")?;
        let link = unlinked(&trip, "link", OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        let fds = [("gone/dir", dir), ("fifo", fifo), ("socket", socket), ("null", null), ("link", link)];
        for (name, fd) in fds {
            let stat = fstat(&fd).os(|| "fstat")?;
            let fd = trip.one(fd)?;
            let back = fstat(&*fd).os(|| "fstat")?;
            let what = |s: &FileStat| (s.st_mode, s.st_rdev, s.st_nlink, s.st_size, s.st_mtime);
            assert_eq!((what(&back), shown(&fd)?), (what(&stat), deleted(&trip.path(name))), "{name}");
            assert_eq!(trip.names(), Vec::<String>::new());
        }
        Ok(())
    }

    #[test]
    fn unnamed_temporary_files_can_be_linked_again() -> Result<()> {
        let trip = RoundTrip::new()?;
        let fd = trip.open(".", OFlag::O_RDWR | OFlag::O_TMPFILE)?;
        let second = open(&link_of(fd.as_fd()), OFlag::O_RDONLY, Mode::empty()).os(|| "open")?;
        let mut file = File::from(fd);
        file.write_all(b"text").os(|| "write")?;
        trip.dump([second, file.into()])?.keep();
        let mut files = trip.load()?;
        let (second, first) = (files.open(1)?, files.open(2)?);
        let flags = |fd: &OwnedFd| crate::sys::fd::fcntl(fd.as_fd(), libc::F_GETFL, 0).os(|| "fcntl");
        assert_eq!(flags(&first)? & libc::O_TMPFILE, libc::O_TMPFILE);
        assert_eq!(flags(&second)? & libc::O_TMPFILE, 0);
        let name = trip.path("name");
        linkat(
            nix::fcntl::AT_FDCWD,
            &link_of(second.as_fd()),
            nix::fcntl::AT_FDCWD,
            &name,
            AtFlags::AT_SYMLINK_FOLLOW,
        )
        .os(|| "linkat")?;
        assert_eq!(std::fs::read(&name).os(|| "read")?, b"text");
        Ok(())
    }

    #[test]
    fn a_large_ghost_needs_permission() -> Result<()> {
        let mut trip = RoundTrip::new()?;
        let make = |trip: &RoundTrip| -> Result<OwnedFd> {
            let file = File::from(unlinked(trip, "large", OFlag::O_RDWR | OFlag::O_CREAT)?);
            file.write_all_at(&[1; 100_000], 0).os(|| "write")?;
            Ok(file.into())
        };
        trip.dump.ghost_limit = 50_000;
        let e = trip.dump([make(&trip)?]).err();
        assert_eq!(e.as_ref().map(Error::code), Some("E-GHOST-TOO-LARGE"));
        assert_eq!(e.as_ref().and_then(|e| e.remedy()), Some("raise it: --ghost-limit 1048576"));
        trip.dump.embed_files = true;
        trip.one(make(&trip)?)?;
        Ok(())
    }

    #[test]
    fn damaged_images_are_errors_and_leave_nothing() -> Result<()> {
        let trip = RoundTrip::new()?;
        let file = File::from(unlinked(&trip, "ghost", OFlag::O_RDWR | OFlag::O_CREAT)?);
        file.write_all_at(&[1; 40_000], 0).os(|| "write")?;
        trip.dump([file.into()])?.keep();
        let path = trip.images.path().join("ghost-file-1.img");
        let whole = std::fs::read(&path).os(|| "read")?;
        let open = || -> Result<_> { FileRestore::load(&trip.image_dir()?, &trip.restore)?.open(1) };
        open()?;
        for len in [0, 4, 8, 20, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, whole.get(..len).unwrap_or_default()).os(|| "write")?;
            assert!(open().is_err(), "{len} of {} bytes", whole.len());
        }
        let images = trip.image_dir()?;
        let mut image = images.writer(Kind::GhostFile(1));
        image.push(&GhostFileEntry {
            mode: libc::S_IFREG,
            chunks: Some(true),
            size: Some(10),
            ..GhostFileEntry::default()
        })?;
        image.push_with_payload(&GhostChunkEntry { len: 4, off: u64::MAX - 2 }, &[0; 4])?;
        image.finish()?;
        assert_eq!(open().err().map(|e| e.code()), Some("E-IMAGE-BAD"));
        images.write_one(
            Kind::GhostFile(1),
            &GhostFileEntry { mode: libc::S_IFMT, ..GhostFileEntry::default() },
        )?;
        assert_eq!(trip.faults()?.first().map(Error::code), Some("E-IMAGE-BAD"));
        std::fs::remove_file(&path).os(|| "unlink")?;
        assert_eq!(trip.faults()?.first().map(Error::code), Some("E-IMAGE-BAD"));
        assert_eq!(trip.names(), Vec::<String>::new());
        Ok(())
    }
}
