//! What stat(2) tells and the times that utimensat(2) sets, in 64 bits on all machines: where a word has 32, the C
//! library's own types do not hold every inode, size and time.

#![allow(unsafe_code, reason = "statx(2) and utimensat(2), whose types nix takes from the C library")]

use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::AtFlags;

/// The fields of `struct stat`, stat(3type).
#[expect(missing_docs, reason = "explained there")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_mode: u32,
    pub st_nlink: u64,
    pub st_uid: u32,
    pub st_gid: u32,
    pub st_rdev: u64,
    pub st_size: i64,
    pub st_blksize: i64,
    pub st_blocks: i64,
    pub st_atime: i64,
    pub st_atime_nsec: i64,
    pub st_mtime: i64,
    pub st_mtime_nsec: i64,
}

/// fstat(2), also of a descriptor of O_PATH.
pub fn fstat(fd: impl AsFd) -> nix::Result<FileStat> {
    statx(fd.as_fd().as_raw_fd(), c"", libc::AT_EMPTY_PATH)
}

/// fstatat(2).
pub fn fstatat(dir: impl AsFd, path: &(impl NixPath + ?Sized), flags: AtFlags) -> nix::Result<FileStat> {
    path.with_nix_path(|path| statx(dir.as_fd().as_raw_fd(), path, flags.bits()))?
}

/// stat(2).
pub fn stat(path: &(impl NixPath + ?Sized)) -> nix::Result<FileStat> {
    path.with_nix_path(|path| statx(libc::AT_FDCWD, path, 0))?
}

/// Which of `STATX_ATTR_*` a file has.
pub fn attributes(fd: impl AsFd) -> nix::Result<u64> {
    ask(fd.as_fd().as_raw_fd(), c"", libc::AT_EMPTY_PATH).map(|found| found.stx_attributes)
}

fn ask(dir: RawFd, path: &std::ffi::CStr, flags: i32) -> nix::Result<libc::statx> {
    // SAFETY: all zeroes is a valid structure of integers.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in NUL; the kernel fills the structure.
    Errno::result(unsafe { libc::statx(dir, path.as_ptr(), flags, libc::STATX_BASIC_STATS, &raw mut found) })
        .map(|_| found)
}

fn statx(dir: RawFd, path: &std::ffi::CStr, flags: i32) -> nix::Result<FileStat> {
    let found = ask(dir, path, flags)?;
    Ok(FileStat {
        st_dev: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
        st_ino: found.stx_ino,
        st_mode: found.stx_mode.into(),
        st_nlink: found.stx_nlink.into(),
        st_uid: found.stx_uid,
        st_gid: found.stx_gid,
        st_rdev: libc::makedev(found.stx_rdev_major, found.stx_rdev_minor),
        st_size: found.stx_size as i64,
        st_blksize: found.stx_blksize.into(),
        st_blocks: found.stx_blocks as i64,
        st_atime: found.stx_atime.tv_sec,
        st_atime_nsec: found.stx_atime.tv_nsec.into(),
        st_mtime: found.stx_mtime.tv_sec,
        st_mtime_nsec: found.stx_mtime.tv_nsec.into(),
    })
}

/// Seconds and nanoseconds.
pub type Time = (i64, i64);

/// utimensat(2): access and modification time; `flags` say whether a symbolic link is followed.
pub fn set_times(
    path: &(impl NixPath + ?Sized),
    atime: Time,
    mtime: Time,
    flags: AtFlags,
) -> nix::Result<()> {
    let times = [atime.0, atime.1, mtime.0, mtime.1];
    // SAFETY: the path ends in NUL; the times are two structures of two words of 64 bits each.
    path.with_nix_path(|path| unsafe {
        libc::syscall(arch::syscall::UTIMENSAT, libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), flags.bits())
    })
    .and_then(Errno::result)
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_c_library_and_times_come_back() -> nix::Result<()> {
        let theirs = nix::sys::stat::stat("/dev/null")?;
        let ours = stat("/dev/null")?;
        assert_eq!(
            (ours.st_dev, ours.st_rdev, ours.st_mode, theirs.st_ino.to_string()),
            (theirs.st_dev, theirs.st_rdev, theirs.st_mode, ours.st_ino.to_string())
        );
        let file = tempfile::NamedTempFile::new().map_err(|_| Errno::EIO)?;
        set_times(file.path(), (5, 7), (1 << 32, 9), AtFlags::empty())?;
        let back = fstat(&file)?;
        assert_eq!((back.st_atime, back.st_atime_nsec), (5, 7));
        assert_eq!((back.st_mtime, back.st_mtime_nsec, back.st_size), (1 << 32, 9, 0));
        Ok(())
    }
}
