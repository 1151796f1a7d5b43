//! Hierarchies of control groups as file systems: cgroups(7), kernel/cgroup/cgroup.c and cgroup-v1.c.
//!
//! A hierarchy is used where it is mounted. Mounting it once more would show the same, but a second mount of cgroup v2
//! sets the options of all (apply_cgroup_root_flags() in kernel/cgroup/cgroup.c). One that is mounted nowhere gets a
//! mount that no path leads to, which is gone with its descriptor. A v1 hierarchy that nobody has made yet is made so,
//! and lasts as long as it has cgroups.
//!
//! Paths are those of `/proc/PID/cgroup`, below the root of our own cgroup namespace.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use super::mountinfo::Mount;
use super::{ProcDir, cgroup};
use crate::error::{Error, OsContext, Result};
use crate::sys::mount;
use crate::sys::stat::{FileStat, fstat, fstatat};

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// The option of a v1 hierarchy that has only a name.
const NO_CONTROLLERS: &[u8] = b"none";
/// How long the kernel may take for removed cgroups.
const DESTRUCTION: Duration = Duration::from_secs(10);
/// Between two looks at it.
const PACE: Duration = Duration::from_millis(20);

/// An open hierarchy.
#[derive(Debug)]
pub struct Hierarchy {
    root: OwnedFd,
    /// `cpu,cpuacct`, `name=systemd`; nothing for v2.
    name: String,
}

/// An open cgroup: a directory of a hierarchy.
#[derive(Debug)]
pub struct Group {
    fd: OwnedFd,
    /// For messages: `memory:/a/b`.
    name: String,
}

/// What is in the directory of a cgroup.
#[derive(Debug, Default)]
pub struct Listing {
    /// Names of control files.
    pub files: Vec<String>,
    /// Names of the cgroups below.
    pub children: Vec<Vec<u8>>,
}

impl Hierarchy {
    /// The hierarchy with these controllers (`cpu`, `name=systemd`; none for v2), at one of `mounts` or nowhere.
    pub fn open(controllers: &[Vec<u8>], mounts: &[Mount]) -> Result<Self> {
        let name = shown_name(controllers);
        let fstype = if controllers.is_empty() { c"cgroup2" } else { c"cgroup" };
        let is_it = |mount: &&Mount| {
            mount.root == b"/" && mount.fstype == fstype.to_bytes() && has_options(mount, controllers)
        };
        let mounted = mounts.iter().filter(is_it).find_map(open_mounted);
        let root = match mounted {
            Some(root) => root,
            None => mount_detached(fstype, controllers)
                .os(|| format!("mount the cgroup hierarchy {}", shown(&name)))?,
        };
        Ok(Hierarchy { root, name })
    }

    /// The same in a directory with one directory for each hierarchy.
    pub fn open_in(yard: &Path, controllers: &[Vec<u8>]) -> Result<Self> {
        let name = shown_name(controllers);
        let folder = match name.as_str() {
            "" => "unified",
            name => name.strip_prefix("name=").unwrap_or(name),
        };
        let path = yard.join(folder);
        let root =
            nix::fcntl::open(&path, DIRECTORY, Mode::empty()).os(|| format!("open {}", path.display()))?;
        Ok(Hierarchy { root, name })
    }

    /// Whether it is that of cgroup v2.
    pub fn is_v2(&self) -> bool {
        self.name.is_empty()
    }

    /// The cgroup at an absolute path; `None` if there is none.
    pub fn group(&self, path: &[u8]) -> Result<Option<Group>> {
        let name = self.shown(path);
        match openat(&self.root, &*below(path), DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Some(Group { fd, name })),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::os(format!("open cgroup {name}"), errno)),
        }
    }

    /// Makes a cgroup in an existing one.
    pub fn make(&self, path: &[u8]) -> Result<()> {
        mkdirat(&self.root, &*below(path), Mode::from_bits_truncate(0o755))
            .os(|| format!("make cgroup {}", self.shown(path)))
    }

    /// Removes a cgroup without tasks and children.
    pub fn remove(&self, path: &[u8]) -> nix::Result<()> {
        unlinkat(&self.root, &*below(path), UnlinkatFlags::RemoveDir)
    }

    /// Gives up a v1 hierarchy that has only a name and no cgroups; whether it is gone. It goes with its last mount, unless
    /// the kernel is still busy with cgroups that have been removed: then with another one.
    pub fn destroy(self) -> Result<bool> {
        let (name, since) = (self.name.clone().into_bytes(), Instant::now());
        drop(self);
        while since.elapsed() < DESTRUCTION {
            // A mount that comes too soon makes it anew.
            sleep(PACE);
            let all = cgroup::read(&ProcDir::current()?)?;
            if all.iter().all(|membership| membership.name() != name) {
                return Ok(true);
            }
            drop(mount::detached(c"cgroup", &[name.clone(), NO_CONTROLLERS.to_vec()]));
        }
        Ok(false)
    }

    /// A path with its hierarchy, for messages: `memory:/a/b`, `/a/b` in v2.
    pub fn shown(&self, path: &[u8]) -> String {
        let separator = if self.is_v2() { "" } else { ":" };
        format!("{}{separator}{}", self.name, String::from_utf8_lossy(path))
    }
}

/// The name of a hierarchy with these controllers.
pub fn shown_name(controllers: &[Vec<u8>]) -> String {
    String::from_utf8_lossy(&cgroup::name_of(controllers)).into_owned()
}

/// The name of a hierarchy for messages.
pub fn shown(name: &str) -> &str {
    if name.is_empty() { "of cgroup v2" } else { name }
}

/// A path relative to the root of its hierarchy.
fn below(path: &[u8]) -> PathBuf {
    let relative = path.iter().position(|byte| *byte != b'/').map_or(&b"."[..], |start| &path[start..]);
    PathBuf::from(OsStr::from_bytes(relative))
}

/// Whether the file system has exactly these controllers among its options; v2 has none.
fn has_options(mount: &Mount, controllers: &[Vec<u8>]) -> bool {
    let options: Vec<&[u8]> = mount.super_options.split(|byte| *byte == b',').collect();
    controllers.iter().all(|controller| options.contains(&controller.as_slice()))
}

/// One with a name alone is busy for a moment while it is being destroyed (cgroup1_get_tree() in cgroup-v1.c).
fn mount_detached(fstype: &CStr, controllers: &[Vec<u8>]) -> std::io::Result<OwnedFd> {
    if !matches!(controllers, [only] if only.starts_with(b"name=")) {
        return mount::detached(fstype, controllers);
    }
    let (options, since) = ([controllers, &[NO_CONTROLLERS.to_vec()]].concat(), Instant::now());
    loop {
        match mount::detached(fstype, &options) {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) && since.elapsed() < DESTRUCTION => {
                sleep(DESTRUCTION / 200);
            }
            mounted => return mounted,
        }
    }
}

/// A mount that another one hides is none.
fn open_mounted(mount: &Mount) -> Option<OwnedFd> {
    let fd = nix::fcntl::open(OsStr::from_bytes(&mount.mountpoint), DIRECTORY, Mode::empty()).ok()?;
    let dev = fstat(&fd).ok()?.st_dev;
    ((libc::major(dev), libc::minor(dev)) == mount.dev).then_some(fd)
}

impl Group {
    /// The directory of a cgroup at a path of the file system.
    pub fn open(path: &Path) -> Result<Self> {
        let fd =
            nix::fcntl::open(path, DIRECTORY, Mode::empty()).os(|| format!("open {}", path.display()))?;
        Ok(Group { fd, name: path.display().to_string() })
    }

    /// A cgroup in this one.
    pub fn child(&self, name: &[u8]) -> Result<Self> {
        let path = format!("{}/{}", self.name, String::from_utf8_lossy(name));
        let fd = openat(&self.fd, OsStr::from_bytes(name), DIRECTORY, Mode::empty())
            .os(|| format!("open cgroup {path}"))?;
        Ok(Group { fd, name: path })
    }

    /// Its name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path that leads to it as long as it is open.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }

    /// The content of a control file without the newline at its end; `None` if there is no such file.
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        let what = || format!("read {file} of cgroup {}", self.name);
        let fd = match openat(&self.fd, file, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(Error::os(what(), errno)),
        };
        let mut content = Vec::new();
        File::from(fd).read_to_end(&mut content).os(what)?;
        content.truncate(content.trim_ascii_end().len());
        Ok(Some(content))
    }

    /// Whether a control file holds this.
    pub fn holds(&self, file: &str, value: &[u8]) -> Result<bool> {
        Ok(self.read(file)?.is_some_and(|content| content == value))
    }

    /// Writes to a control file, all in one call.
    pub fn write(&self, file: &str, value: &[u8]) -> Result<()> {
        let what = || format!("write {} to {file} of cgroup {}", value.escape_ascii(), self.name);
        let fd = openat(&self.fd, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).os(what)?;
        File::from(fd).write_all(value).os(what)
    }

    /// stat(2) of a control file, or of the directory itself as `.`; `None` if there is no such file.
    pub fn stat(&self, file: &str) -> Result<Option<FileStat>> {
        match fstatat(&self.fd, file, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(Error::os(format!("stat {file} of cgroup {}", self.name), errno)),
        }
    }

    /// Device and inode of its directory; `None` if that is gone.
    pub fn identity(&self) -> Result<Option<(u64, u64)>> {
        Ok(self.stat(".")?.map(|stat| (stat.st_dev, stat.st_ino)))
    }

    /// Whether it is frozen by itself, and not only by one above.
    pub fn is_frozen(&self) -> Result<bool> {
        Ok(self.holds("freezer.self_freezing", b"1")? || self.holds("cgroup.freeze", b"1")?)
    }

    /// Sets owner and permissions of a control file, or of the directory itself as `.`.
    pub fn set_owner(&self, file: &str, uid: u32, gid: u32, mode: u32) -> Result<()> {
        let what = || format!("set owner and mode of {file} of cgroup {}", self.name);
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        fchownat(&self.fd, file, uid, gid, AtFlags::empty()).os(what)?;
        fchmodat(&self.fd, file, Mode::from_bits_truncate(mode as libc::mode_t), FchmodatFlags::FollowSymlink)
            .os(what)
    }

    /// What is in its directory, sorted.
    pub fn list(&self) -> Result<Listing> {
        let what = || format!("read the directory of cgroup {}", self.name);
        let mut dir = Dir::openat(&self.fd, ".", DIRECTORY, Mode::empty()).os(what)?;
        let mut listing = Listing::default();
        for entry in dir.iter() {
            let entry = entry.os(what)?;
            let name = entry.file_name().to_bytes();
            match entry.file_type() {
                Some(Type::Directory) if !matches!(name, b"." | b"..") => {
                    listing.children.push(name.to_vec());
                }
                Some(Type::File) => listing.files.push(String::from_utf8_lossy(name).into_owned()),
                _ => {}
            }
        }
        listing.files.sort();
        listing.children.sort();
        Ok(listing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::mountinfo;

    /// The hierarchies of this machine, each with our own cgroup in it.
    #[test]
    fn every_hierarchy_that_we_are_in_can_be_opened() -> Result<()> {
        let own = ProcDir::current()?;
        let mounts = mountinfo::read(&own)?;
        for membership in cgroup::read(&own)? {
            let hierarchy = Hierarchy::open(&membership.controllers, &mounts)?;
            let group = hierarchy.group(&membership.path)?.ok_or_else(|| Error::bug("our cgroup is gone"))?;
            let pids = group.read("cgroup.procs")?.unwrap_or_default();
            let own = own.pid().to_string();
            assert!(pids.split(|b| *b == b'\n').any(|pid| pid == own.as_bytes()), "{}", group.name());
        }
        Ok(())
    }

    /// No path leads to it, and nothing of it is left.
    #[test]
    fn a_hierarchy_that_is_mounted_nowhere_is_mounted_for_us_alone() -> Result<()> {
        let name = format!("name=crio-test-{}", std::process::id()).into_bytes();
        let hierarchy = Hierarchy::open(std::slice::from_ref(&name), &[])?;
        assert!(hierarchy.group(b"/")?.is_some() && hierarchy.group(b"/a/b")?.is_none());
        let shows = || {
            let own = ProcDir::current()?;
            let member = cgroup::read(&own)?.iter().any(|membership| membership.name() == name);
            let text = String::from_utf8_lossy(&name).into_owned();
            let mounts = mountinfo::read(&own)?;
            let mounted = mounts.iter().any(|m| String::from_utf8_lossy(&m.super_options).contains(&text));
            Ok::<_, Error>((member, mounted))
        };
        assert_eq!(shows()?, (true, false));
        hierarchy.make(b"/a")?;
        hierarchy.remove(b"/a").os(|| "rmdir")?;
        assert!(hierarchy.destroy()?);
        assert_eq!(shows()?, (false, false));
        Ok(())
    }
}
