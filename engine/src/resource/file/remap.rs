//! What stands in for a path that is gone: a ghost, a hard link, a dead process (`remap-fpath.img`).
//!
//! The link in /proc says by which path a file was opened, following renames. Whether that path still leads to the
//! file is asked by stat(2), as nothing else is reliable: a name may end in ` (deleted)` by itself. If it does not,
//!
//! - an inode without links is a ghost;
//! - one that has other links gets a new one beside the old path, `link_remap.ID`, if `--link-remap` allows that. NFS
//!   keeps deleted files as `.nfsXXXX` until they are closed: these get one, too. Without the option a name is looked for
//!   in the directory of the old one, and the file is found by that: sem_open(3) maps a file by a name that it removes when
//!   the semaphore has its own;
//! - a file in `/proc/PID` of a process that is gone needs a process with that pid while it is opened.

use std::collections::HashSet;
use std::fs::read_dir;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statfs::{fstatfs, statfs};
use nix::unistd::linkat;

use super::kind::DELETED;
use super::made::{link_of, remove_all};
use super::{Description, validate};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::journal::Note;
use crate::image::message::{FileEntry, RemapFilePathEntry, RemapType};
use crate::image::{ImageDir, Kind};
use crate::kernel::{Pid, ProcDir, fdinfo, mountinfo};
use crate::log;
use crate::options::DumpOptions;
use crate::sys::stat::{FileStat, fstatat};

/// include/uapi/linux/magic.h
pub(super) mod magic {
    pub(super) const PROC: i64 = 0x9fa0;
    pub(super) const DEVPTS: i64 = 0x1cd1;
    pub(super) const NFS: i64 = 0x6969;
    pub(super) const SECRETMEM: i64 = 0x5345_434d;
    pub(in crate::resource::file) const MQUEUE: i64 = 0x1980_0202;
    /// sysfs, debugfs, tracefs, securityfs, configfs, pstore, efivarfs, selinuxfs, bpf, cgroup, cgroup2.
    pub(super) const KERNELS: [i64; 11] = [
        0x6265_6572,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0x6265_6570,
        0x6165_676c,
        0xde5e_81e4,
        0xf97c_ff8c,
        0xcafe_4a11,
        0x0027_e0eb,
        0x6367_7270,
    ];
}

/// How a file is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// By its path.
    Named,
    /// It has no name: its content travels.
    Ghost,
    /// It has names, but none that is known.
    Linked,
    /// By another name that it has.
    Renamed(PathBuf),
    /// By its path, while a process with this pid exists.
    DeadProcess(Pid),
}

/// A path that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// As the image has it, without ` (deleted)` if that was the kernel's.
    pub(super) path: Vec<u8>,
    pub(super) standing: Standing,
    /// Content that the kernel makes up when it is read: it is neither looked at nor embedded.
    pub(super) pseudo: bool,
}

/// Decides how the file of a description is found again.
///
/// # Errors
/// `E-FILE-HIDDEN` if another file has its path, `E-FILE-UNMOUNTED` if no path leads to its mount, `E-FILE-UNSUPPORTED` for a message queue that is no descriptor (O_PATH).
pub(super) fn judge(d: &Description<'_>, options: &DumpOptions) -> Result<Judged> {
    if !d.target.starts_with(b"/") {
        return Err(
            Error::new("E-FILE-UNSUPPORTED", Blame::Program, "has no path").help("close it before the dump")
        );
    }
    // The type of f_type differs between machines and C libraries.
    #[allow(clippy::unnecessary_cast)]
    let fs = fstatfs(&d.fd).os(|| "fstatfs")?.filesystem_type().0 as i64;
    let judged = |path: &[u8], standing, pseudo| Ok(Judged { path: path.to_vec(), standing, pseudo });
    let stripped = d.target.strip_suffix(DELETED).unwrap_or(&d.target);
    match fs {
        magic::PROC => return judged(stripped, of_proc(d, stripped), true),
        magic::DEVPTS => return judged(stripped, Standing::Named, true),
        magic::MQUEUE if d.stat.st_mode & libc::S_IFMT == libc::S_IFREG => {
            let e = Error::new("E-FILE-UNSUPPORTED", Blame::Program, "is a POSIX message queue");
            return Err(e.help("close it before the dump"));
        }
        magic::SECRETMEM => {
            let reason = "is secret memory (memfd_secret), which nobody but the program can read";
            let e = Error::new("E-FILE-UNSUPPORTED", Blame::Program, reason);
            return Err(e.help("close and unmap it before the dump"));
        }
        _ => {}
    }
    if d.stat.st_nlink == 0 {
        return judged(stripped, Standing::Ghost, false);
    }
    if fs == magic::NFS && is_silly_name(&d.target) {
        return judged(&d.target, Standing::Linked, false);
    }
    match by_path(d, options.evasive_devices)? {
        Standing::Linked if is_unmounted(d)? => Err(unmounted()),
        // A directory has one name; some file systems do not count it down.
        Standing::Linked if d.stat.st_mode & libc::S_IFMT == libc::S_IFDIR => {
            judged(stripped, Standing::Ghost, false)
        }
        Standing::Linked => match (options.link_remap, name_beside(&d.stat, path_of(stripped))) {
            (false, Some(name)) => judged(stripped, Standing::Renamed(name), false),
            _ => judged(stripped, Standing::Linked, false),
        },
        other => judged(&d.target, other, magic::KERNELS.contains(&fs)),
    }
}

/// Asks whether the path leads to the file.
fn by_path(d: &Description<'_>, evasive_devices: bool) -> Result<Standing> {
    let path = path_of(&d.target);
    let there = match fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(there) => there,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Standing::Linked),
        Err(e) => return Err(Error::os(format!("stat {}", path.display()), e)),
    };
    if (there.st_dev, there.st_ino) == (d.stat.st_dev, d.stat.st_ino) {
        return Ok(Standing::Named);
    }
    let is_device = matches!(d.stat.st_mode & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK);
    if evasive_devices && is_device && is_same_device(&there, &d.stat) {
        return Ok(Standing::Named);
    }
    Err(hidden(&there, &d.stat))
}

/// A name of the file in the directory of one that is gone. Links of dumps are no names: a restore takes them away.
pub fn name_beside(file: &FileStat, gone: &Path) -> Option<PathBuf> {
    let names = read_dir(gone.parent()?).ok()?.flatten().filter(|entry| entry.ino() == file.st_ino);
    names.map(|entry| entry.path()).filter(|path| !is_link(path)).find(|path| {
        let there = fstatat(AT_FDCWD, path.as_path(), AtFlags::AT_SYMLINK_NOFOLLOW);
        there.is_ok_and(|there| (there.st_dev, there.st_ino) == (file.st_dev, file.st_ino))
    })
}

/// Whether a file has its name, but in a mount that nobody sees: umount(2) with MNT_DETACH.
fn is_unmounted(d: &Description<'_>) -> Result<bool> {
    if d.target.ends_with(DELETED) {
        return Ok(false);
    }
    let own = ProcDir::current()?;
    let id = fdinfo::read(&own, d.fd.as_raw_fd())?.mnt_id;
    let sees = |proc: &ProcDir| Ok(mountinfo::read(proc)?.iter().any(|mount| mount.id == id));
    Ok(!sees(&own)? && !sees(d.proc)?)
}

fn unmounted() -> Error {
    let reason =
        "lies in a mount that was unmounted while it was in use (umount -l), and cannot be found again";
    Error::new("E-FILE-UNMOUNTED", Blame::Program, reason)
        .help("let the program leave or close it before the dump")
}

fn is_same_device(a: &FileStat, b: &FileStat) -> bool {
    a.st_mode & libc::S_IFMT == b.st_mode & libc::S_IFMT && a.st_rdev == b.st_rdev
}

fn hidden(there: &FileStat, open: &FileStat) -> Error {
    let id = |s: &FileStat| {
        let (major, minor) = (nix::sys::stat::major(s.st_dev), nix::sys::stat::minor(s.st_dev));
        format!("{} {} on {major}:{minor}", validate::type_name(s.st_mode), s.st_ino)
    };
    Error::new(
        "E-FILE-HIDDEN",
        Blame::Program,
        "another file has its path, so that it could not be opened again",
    )
    .detail(format!("open is {}, at the path is {}", id(open), id(there)))
    .help("unmount or rename what hides it, or run crio in the mount namespace of the program")
}

/// `/proc/17/maps`: whether 17 is still there. Everything else in /proc is named.
fn of_proc(d: &Description<'_>, path: &[u8]) -> Standing {
    let Some(pid) = pid_in_proc(path) else { return Standing::Named };
    let alive = Path::new(&format!("/proc/{pid}")).exists();
    if alive && !d.target.ends_with(DELETED) { Standing::Named } else { Standing::DeadProcess(pid) }
}

/// The process that a path in /proc is about.
pub(super) fn pid_in_proc(path: &[u8]) -> Option<Pid> {
    let rest = path.strip_prefix(b"/proc/")?;
    let digits = rest.split(|&b| b == b'/').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|&pid| pid > 0)
}

/// Whether a path is `/proc/17/fdinfo/3` or the like, which is there as long as the descriptor (fs/proc/fd.c).
pub(super) fn is_about_descriptor(path: &[u8]) -> bool {
    let mut parts = path.rsplit(|&b| b == b'/').skip(1);
    pid_in_proc(path).is_some() && parts.next().is_some_and(|folder| folder == b"fdinfo" || folder == b"fd")
}

/// `.nfs` and 24 hexadecimal digits, fs/nfs/unlink.c.
fn is_silly_name(path: &[u8]) -> bool {
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    name.strip_prefix(b".nfs")
        .is_some_and(|digits| digits.len() >= 24 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Bytes as the path that they are.
pub(super) fn path_of(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// What is not there yet in a hierarchy of cgroups, the restore makes before it opens files.
pub(super) fn unless_of_cgroup(name: &[u8], error: Error) -> Result<()> {
    const CGROUP: [i64; 2] = [0x0027_e0eb, 0x6367_7270];
    let nearest = path_of(name).ancestors().skip(1).find_map(|above| statfs(above).ok());
    // As above.
    #[allow(clippy::unnecessary_cast)]
    let is_cgroup = nearest.is_some_and(|fs| CGROUP.contains(&(fs.filesystem_type().0 as i64)));
    if is_cgroup && error.errno() == Some(libc::ENOENT) { Ok(()) } else { Err(error) }
}

/// How the names of such links begin.
const LINK: &str = "link_remap.";

/// Hard links made by a dump. They go when this is dropped, unless the dump succeeds ([`LinkRemaps::keep`]).
#[derive(Debug, Default)]
#[must_use = "dropping it removes the links"]
pub struct LinkRemaps(Vec<PathBuf>);

impl LinkRemaps {
    /// The image refers to them now: the restore removes them.
    pub fn keep(mut self) {
        self.0.clear();
    }

    /// Their paths.
    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// Gives an inode the name `link_remap.ID` beside its old path, or, if directories are gone, in the nearest that
    /// is there. `None` if the name is taken.
    pub(super) fn make(
        &mut self,
        images: &ImageDir,
        d: &Description<'_>,
        path: &[u8],
        id: u32,
    ) -> Result<Option<PathBuf>> {
        let (fd, mut first) = (d.fd.as_fd(), Errno::ENOENT);
        for dir in path_of(path).ancestors().skip(1) {
            let link = dir.join(format!("{LINK}{id}"));
            // Only a name that is free may be noted as ours.
            if link.symlink_metadata().is_ok() {
                return Ok(None);
            }
            let (device, inode) = (d.stat.st_dev, d.stat.st_ino);
            images.note(&Note::Link { path: link.clone().into(), device, inode })?;
            match linkat(AT_FDCWD, &link_of(fd), AT_FDCWD, &link, AtFlags::AT_SYMLINK_FOLLOW) {
                Ok(()) => {
                    log::debug!("Linked {} to {}", path_of(path).display(), link.display());
                    self.0.push(link.clone());
                    return Ok(Some(link));
                }
                Err(Errno::EEXIST) => return Ok(None),
                Err(e @ (Errno::ENOENT | Errno::ENOTDIR)) if !dir.exists() => first = e,
                Err(e) => return Err(Error::os(format!("link {}", link.display()), e)),
            }
        }
        Err(Error::os(format!("link {}", path_of(path).display()), first))
    }
}

impl Drop for LinkRemaps {
    fn drop(&mut self) {
        remove_all(&mut self.0);
    }
}

/// The links that a complete image needs.
pub fn links_of(images: &ImageDir) -> Result<Vec<PathBuf>> {
    let remaps: Vec<RemapFilePathEntry> = images.read_all(Kind::RemapFpath)?;
    let linked = |remap: &&RemapFilePathEntry| remap.remap_type == Some(RemapType::Linked.into());
    let ids: HashSet<u32> = remaps.iter().filter(linked).map(|remap| remap.remap_id).collect();
    let files: Vec<FileEntry> = if ids.is_empty() { Vec::new() } else { images.read_all(Kind::Files)? };
    let paths = files.into_iter().filter(|file| ids.contains(&file.id)).filter_map(|file| file.reg);
    Ok(paths.map(|file| path_of(&file.name).to_owned()).filter(|path| is_link(path)).collect())
}

/// Whether a dump may have given a file this name.
pub fn is_link(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.as_bytes()).unwrap_or_default();
    let id = name.strip_prefix(LINK.as_bytes()).unwrap_or_default();
    !id.is_empty() && id.iter().all(u8::is_ascii_digit)
}

/// The refusal of a file that would need a link.
pub(super) fn refuse_link(stat: &FileStat) -> Error {
    let reason = format!("its path is gone, and none of the {} other links to it is known", stat.st_nlink);
    Error::new("E-FILE-UNLINKED", Blame::Program, reason)
        .help("dump with --link-remap: the file then has a name beside its old path until it is restored")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;

    use super::super::FileRestore;
    use super::super::round_trip::{RoundTrip, deleted, shown};
    use super::super::testing::Mine;
    use super::*;
    use crate::sys::stat::fstat;
    use nix::fcntl::OFlag;

    #[test]
    fn names_with_a_meaning() {
        assert_eq!(pid_in_proc(b"/proc/17/maps"), Some(17));
        assert_eq!(pid_in_proc(b"/proc/17"), Some(17));
        assert_eq!(
            [&b"/proc/17/fdinfo/3"[..], b"/proc/17/task/18/fd/3", b"/proc/17/fdinfo", b"/tmp/fdinfo/3"]
                .map(is_about_descriptor),
            [true, true, false, false]
        );
        assert_eq!(
            (pid_in_proc(b"/proc/kmsg"), pid_in_proc(b"/proc/"), pid_in_proc(b"/tmp/17")),
            (None, None, None)
        );
        assert!(is_silly_name(b"/mnt/.nfs000000000123456700000001"));
        assert!(!is_silly_name(b"/mnt/.nfs0000") && !is_silly_name(b"/mnt/.nfs00000000012345670000000x"));
    }

    /// A file whose known name is gone, while another link to it stays.
    fn half_unlinked(trip: &RoundTrip) -> Result<OwnedFd> {
        half_unlinked_from(trip, "other")
    }

    fn half_unlinked_from(trip: &RoundTrip, other: &str) -> Result<OwnedFd> {
        std::fs::write(trip.path("known"), "text").os(|| "write")?;
        let fd = trip.open("known", OFlag::O_RDWR)?;
        std::fs::hard_link(trip.path("known"), trip.path(other)).os(|| "link")?;
        std::fs::remove_file(trip.path("known")).os(|| "unlink")?;
        Ok(fd)
    }

    #[test]
    fn other_links_need_permission() -> Result<()> {
        let trip = RoundTrip::new()?;
        std::fs::create_dir(trip.path("elsewhere")).os(|| "mkdir")?;
        let e = trip.dump([half_unlinked_from(&trip, "elsewhere/other")?]).err();
        assert_eq!(e.as_ref().map(Error::code), Some("E-FILE-UNLINKED"));
        assert!(e.and_then(|e| e.remedy().map(|r| r.contains("--link-remap"))).unwrap_or(false));
        assert_eq!(trip.names(), ["elsewhere"]);
        Ok(())
    }

    #[test]
    fn another_name_beside_will_do() -> Result<()> {
        let trip = RoundTrip::new()?;
        let fd = half_unlinked_from(&trip, "link_remap.7")?;
        assert_eq!(
            trip.dump([fd.try_clone().os(|| "dup")?]).err().map(|e| e.code()),
            Some("E-FILE-UNLINKED")
        );
        std::fs::hard_link(trip.path("link_remap.7"), trip.path("other")).os(|| "link")?;
        let inode = fstat(&fd).os(|| "fstat")?.st_ino;
        let fd = trip.one(fd)?;
        assert_eq!(fstat(&*fd).os(|| "fstat")?.st_ino, inode);
        assert_eq!(shown(&fd)?, deleted(&trip.path("known")));
        assert_eq!(trip.names(), ["link_remap.7", "other"]);
        Ok(())
    }

    #[test]
    fn a_link_stands_in_until_the_restore() -> Result<()> {
        let mut trip = RoundTrip::new()?;
        trip.dump.link_remap = true;
        let fd = half_unlinked(&trip)?;
        let again = trip.open("other", OFlag::O_RDONLY)?;
        let inode = fstat(&fd).os(|| "fstat")?.st_ino;
        trip.dump([fd, again])?.keep();
        assert_eq!(trip.names(), ["link_remap.3", "other"]);
        let mut files = trip.load()?;
        files.open(1)?;
        drop(files);
        assert_eq!(trip.names(), ["link_remap.3", "other"], "a failed restore must not take the link");
        let mut files = trip.load()?;
        let (fd, other) = (files.open(1)?, files.open(2)?);
        files.commit();
        assert_eq!((shown(&fd)?, shown(&other)?), (deleted(&trip.path("known")), trip.path("other")));
        assert_eq!(fstat(&*fd).os(|| "fstat")?.st_ino, inode);
        assert_eq!(trip.names(), ["other"]);
        assert_eq!(trip.faults()?.first().map(Error::code), Some("E-NOT-FOUND"), "the link is used up");
        Ok(())
    }

    #[test]
    fn a_failed_dump_takes_its_links_away() -> Result<()> {
        let mut trip = RoundTrip::new()?;
        trip.dump.link_remap = true;
        let fuse = std::fs::File::open("/dev/fuse").os(|| "open")?;
        assert!(trip.dump([half_unlinked(&trip)?, fuse.into()]).is_err());
        assert_eq!(trip.names(), ["other"]);
        std::fs::write(trip.path("link_remap.2"), "of an earlier dump").os(|| "write")?;
        let links = trip.dump([half_unlinked_again(&trip)?])?;
        assert_eq!(links.paths(), [trip.path("link_remap.3")]);
        drop(links);
        assert_eq!(trip.names(), ["link_remap.2", "other"]);
        Ok(())
    }

    fn half_unlinked_again(trip: &RoundTrip) -> Result<OwnedFd> {
        std::fs::remove_file(trip.path("other")).os(|| "unlink")?;
        half_unlinked(trip)
    }

    #[test]
    fn renamed_is_found_and_replaced_is_refused() -> Result<()> {
        let trip = RoundTrip::new()?;
        let create = OFlag::O_RDWR | OFlag::O_CREAT;
        let fd = trip.open("old (deleted)", create)?;
        std::fs::rename(trip.path("old (deleted)"), trip.path("new (deleted)")).os(|| "rename")?;
        assert_eq!(shown(&trip.one(fd)?)?, trip.path("new (deleted)"));
        let fd = trip.open("file", create)?;
        let mine = Mine::new()?;
        let mut d = mine.description(fd)?;
        // What a mount over the directory would show.
        std::fs::write(trip.path("else"), "").os(|| "write")?;
        d.target = trip.path("else").into_os_string().into_encoded_bytes();
        let e = judge(&d, &DumpOptions::default()).err();
        assert_eq!(e.as_ref().map(Error::code), Some("E-FILE-HIDDEN"));
        assert_eq!(e.map(|e| e.details().len()), Some(1));
        Ok(())
    }

    #[test]
    fn evasive_devices_are_found_elsewhere() -> Result<()> {
        let mine = Mine::new()?;
        let fd = nix::fcntl::open("/dev/null", OFlag::O_RDWR, nix::sys::stat::Mode::empty()).os(|| "open")?;
        let mut d = mine.description(fd)?;
        let trip = RoundTrip::new()?;
        let mode = nix::sys::stat::Mode::S_IRUSR;
        nix::sys::stat::mknod(&trip.path("null"), nix::sys::stat::SFlag::S_IFCHR, mode, d.stat.st_rdev)
            .os(|| "mknod")?;
        d.target = trip.path("null").into_os_string().into_encoded_bytes();
        let mut options = DumpOptions::default();
        assert_eq!(judge(&d, &options).err().map(|e| e.code()), Some("E-FILE-HIDDEN"));
        options.evasive_devices = true;
        assert_eq!(judge(&d, &options)?.standing, Standing::Named);
        Ok(())
    }

    #[test]
    fn files_of_dead_processes_need_their_pid() -> Result<()> {
        let trip = RoundTrip::new()?;
        let mut child = std::process::Command::new("sleep").arg("60").spawn().os(|| "spawn")?;
        let pid = child.id() as Pid;
        let alive = File::open("/proc/self/status").os(|| "open")?;
        let dead = File::open(format!("/proc/{pid}/status")).os(|| "open")?;
        let dir = File::open(format!("/proc/{pid}")).os(|| "open")?;
        child.kill().and_then(|()| child.wait()).os(|| "kill")?;
        trip.dump([alive.into(), dead.into(), dir.into()])?.keep();
        let remaps: Vec<RemapFilePathEntry> = trip.image_dir()?.read_all(Kind::RemapFpath)?;
        let wanted = RemapFilePathEntry {
            orig_id: 2,
            remap_id: pid as u32,
            remap_type: Some(RemapType::Procfs.into()),
        };
        assert_eq!(remaps, [wanted]);
        let mut files = trip.load()?;
        assert_eq!(files.dead_processes().into_iter().collect::<Vec<_>>(), [pid]);
        assert_eq!(
            (files.path(3)?, files.is_late(1), files.is_late(2)),
            (format!("/proc/{pid}").as_bytes(), true, true)
        );
        assert_eq!(shown(&files.open(1)?)?, PathBuf::from(format!("/proc/{}/status", std::process::id())));
        Ok(())
    }

    #[test]
    fn ghosts_of_old_images_are_known() -> Result<()> {
        let trip = RoundTrip::new()?;
        let fd = trip.open("gone", OFlag::O_RDWR | OFlag::O_CREAT)?;
        std::fs::remove_file(trip.path("gone")).os(|| "unlink")?;
        trip.dump([fd])?.keep();
        let images = trip.image_dir()?;
        images.write_one(
            Kind::RemapFpath,
            &RemapFilePathEntry { orig_id: 1, remap_id: 1 | 1 << 31, remap_type: None },
        )?;
        trip.load()?.open(1)?;
        images.write_one(
            Kind::RemapFpath,
            &RemapFilePathEntry { orig_id: 7, remap_id: 1, remap_type: Some(1) },
        )?;
        assert_eq!(FileRestore::load(&images, &trip.restore).err().map(|e| e.code()), Some("E-IMAGE-BAD"));
        Ok(())
    }
}
