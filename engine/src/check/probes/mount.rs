//! Probes of mounts. Each is made in a mount namespace of its own, that of a thread, and goes with it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;

use super::missing;
use super::namespace::apart;
use crate::sys::{probe, stat};

/// What a probe covers with a tmpfs of its own.
const PLACE: &str = "/tmp";

/// Runs `probe` where [`PLACE`] is an empty file system that nobody else sees.
fn at_a_place(probe: impl FnOnce(&Path) -> io::Result<()> + Send) -> io::Result<()> {
    apart(CloneFlags::CLONE_NEWNS, || {
        // Mounts of a shared one would come up everywhere.
        propagate("/", MsFlags::MS_PRIVATE | MsFlags::MS_REC)?;
        mount(Some("crio"), PLACE, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        probe(Path::new(PLACE))
    })
}

fn propagate(place: impl AsRef<Path>, how: MsFlags) -> io::Result<()> {
    Ok(mount(None::<&str>, place.as_ref(), None::<&str>, how, None::<&str>)?)
}

/// move_mount(2) puts a mount into the group of another one.
pub(super) fn set_group() -> io::Result<()> {
    at_a_place(|place| {
        let other = place.join("other");
        propagate(place, MsFlags::MS_PRIVATE)?;
        fs::create_dir(&other)?;
        mount(Some(&other), &other, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        propagate(place, MsFlags::MS_SHARED)?;
        let path = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes()).map_err(io::Error::other);
        probe::move_mount_set_group(&path(place)?, &path(&other)?)
    })
}

/// /proc/PID/maps has device and inode of a mapped file of overlayfs as stat(2) does.
pub(super) fn overlay_in_maps() -> io::Result<()> {
    at_a_place(|place| {
        for folder in ["lower", "upper", "work", "both"] {
            fs::create_dir(place.join(folder))?;
        }
        let options = ["lowerdir=", "lower,upperdir=", "upper,workdir=", "work"].join(&format!("{PLACE}/"));
        let both = place.join("both");
        mount(Some("crio"), &both, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(both.join("file"))?;
        file.set_len(1)?;
        let told = stat::fstat(&file)?;
        let (device, inode) = probe::mapped_file(&file)?;
        let expected = (nix::sys::stat::major(told.st_dev), nix::sys::stat::minor(told.st_dev));
        if (device, inode) == (expected, told.st_ino) {
            return Ok(());
        }
        Err(missing(format!("maps has {device:?} {inode}, stat(2) {expected:?} {}", told.st_ino)))
    })
}

/// The options of autofs mounts tell which pipe the kernel writes to.
pub(super) fn autofs() -> io::Result<()> {
    match autofs_told()? {
        Some(true) => return Ok(()),
        Some(false) => return Err(missing("mountinfo does not tell the pipe of autofs")),
        None => {}
    }
    at_a_place(|place| {
        let (_reader, writer) = io::pipe()?;
        let writer = OwnedFd::from(writer);
        let group = nix::unistd::getpgrp();
        let options = format!("fd={},pgrp={group},minproto=5,maxproto=5,direct", writer.as_raw_fd());
        // Nobody goes there, or the kernel would ask for it to be mounted.
        mount(Some("crio"), place, Some("autofs"), MsFlags::empty(), Some(options.as_str()))?;
        match autofs_told()? {
            Some(true) => Ok(()),
            _ => Err(missing("mountinfo does not tell the pipe of autofs")),
        }
    })
}

/// Whether the first autofs that this thread sees tells its pipe; none if there is no autofs.
fn autofs_told() -> io::Result<Option<bool>> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let line = mounts.lines().find(|line| line.contains(" - autofs "));
    Ok(line.map(|line| line.contains("pipe_ino=")))
}
