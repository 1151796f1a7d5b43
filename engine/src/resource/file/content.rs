//! Bytes of files: where they are, moving them, and comparing them. Holes stay holes.
//!
//! Holes are found by lseek64(2) with SEEK_DATA, which all local file systems answer exactly. FIEMAP, which CRIU asks by
//! default, has to bring to disk first what is not there yet; it is faster for files of many pieces, and asked on demand.
//!
//! Files of hugetlbfs have no holes that anything shows, and cannot be written to, only mapped (fs/hugetlbfs/inode.c). There
//! a page of zeros counts as a hole: reading one takes no page from the pool.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::copy_file_range;
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};
use nix::unistd::{Whence, lseek64};

use crate::sys::extent;
use crate::sys::memory::{make_room, read_into_pages};

/// Bytes moved or compared at a time.
const BLOCK: usize = 1 << 20;

/// The parts of the first `size` bytes of a file that hold data, as offset and length. Moves the file's position.
pub(super) fn data_ranges(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    if let Some(page) = huge_page(file)? {
        return used_pages(file, size, page);
    }
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, at, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => break,
            // A file system without the request: all of it is data.
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => {
                ranges.push((at, size - at));
                break;
            }
            Err(e) => return Err(e.into()),
        };
        if start >= size {
            break;
        }
        let end = seek(file, start, Whence::SeekHole)?.min(size);
        if end <= start {
            return Err(io::Error::other("the file has changed while it was read"));
        }
        ranges.push((start, end - start));
        at = end;
    }
    Ok(ranges)
}

/// The same by FIEMAP, if the file system has it.
pub(super) fn written_ranges(file: &File, size: u64) -> io::Result<Vec<(u64, u64)>> {
    match extent::written(file.as_fd(), size) {
        Ok(extents) => {
            Ok(extents.into_iter().map(|extent| (extent.start, extent.end - extent.start)).collect())
        }
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOTTY | libc::EINVAL)) => {
            data_ranges(file, size)
        }
        Err(e) => Err(e),
    }
}

fn seek(file: &File, at: u64, whence: Whence) -> nix::Result<u64> {
    let at = i64::try_from(at).map_err(|_| Errno::EOVERFLOW)?;
    lseek64(file, at, whence).map(|found| found as u64)
}

/// The size of the pages of a file of hugetlbfs, `None` for any other.
pub(super) fn huge_page(file: impl AsFd) -> io::Result<Option<u64>> {
    let fs = fstatfs(file)?;
    Ok((fs.filesystem_type() == HUGETLBFS_MAGIC).then_some(fs.block_size() as u64))
}

/// The pages with anything but zeros.
fn used_pages(file: &File, size: u64, page: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut buffer = vec![0; block(page)];
    for start in (0..size).step_by(usize::try_from(page).map_err(io::Error::other)?) {
        let mut is_used = false;
        for at in (start..start + page).step_by(buffer.len()) {
            file.read_exact_at(&mut buffer, at)?;
            is_used = buffer.iter().any(|byte| *byte != 0);
            if is_used {
                break;
            }
        }
        match ranges.last_mut() {
            Some(last) if is_used && last.0 + last.1 == start => last.1 += page,
            _ if is_used => ranges.push((start, page)),
            _ => {}
        }
    }
    Ok(ranges)
}

/// Copies `len` bytes from one file to another, in the kernel if both file systems can. Positions stay.
pub(super) fn copy(from: &File, from_offset: u64, to: &File, to_offset: u64, len: u64) -> io::Result<()> {
    if let Some(page) = huge_page(to)? {
        return copy_to_huge_pages((from, from_offset), (to, to_offset), len, page);
    }
    let (mut read_at, mut write_at, mut left) = (signed(from_offset)?, signed(to_offset)?, len);
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(1 << 30);
        match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), step) {
            // Also what some pseudo file systems say instead of refusing: reading decides.
            Ok(0) | Err(Errno::EXDEV | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM) => {
                return copy_through_us(from, read_at as u64, to, write_at as u64, left);
            }
            Ok(copied) => left = left.saturating_sub(copied as u64),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Page by page: space is made first, because a mapping says nothing of a pool that is empty.
fn copy_to_huge_pages(
    (from, from_offset): (&File, u64),
    (to, to_offset): (&File, u64),
    len: u64,
    page: u64,
) -> io::Result<()> {
    let mut done = 0;
    while done < len {
        let (start, skip) = ((to_offset + done) / page * page, (to_offset + done) % page);
        let part = (len - done).min(page - skip);
        make_room(to.as_fd(), start, page)?;
        let (skip, part_len) = (skip as usize, part as usize);
        read_into_pages(
            (from.as_fd(), from_offset + done),
            (to.as_fd(), start..start + page),
            skip,
            part_len,
        )?;
        done += part;
    }
    Ok(())
}

fn signed(offset: u64) -> io::Result<i64> {
    i64::try_from(offset).map_err(|_| Errno::EOVERFLOW.into())
}

fn copy_through_us(
    from: &File,
    mut read_at: u64,
    to: &File,
    mut write_at: u64,
    mut left: u64,
) -> io::Result<()> {
    let mut buffer = vec![0; block(left)];
    while left > 0 {
        let part = buffer.get_mut(..block(left)).unwrap_or_default();
        from.read_exact_at(part, read_at)?;
        to.write_all_at(part, write_at)?;
        let done = part.len() as u64;
        (read_at, write_at, left) = (read_at + done, write_at + done, left - done);
    }
    Ok(())
}

fn block(left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK)
}

/// Makes `to`, an empty file, the same as the first `size` bytes of `from`, holes included. Moves the position of `from`.
pub(super) fn copy_sparse(from: &File, to: &File, size: u64) -> io::Result<()> {
    to.set_len(size)?;
    for (offset, len) in data_ranges(from, size)? {
        copy(from, offset, to, offset, len)?;
    }
    Ok(())
}

/// Whether two files have the same bytes.
pub(super) fn equal(a: &File, b: &File) -> io::Result<bool> {
    let size = a.metadata()?.len();
    if b.metadata()?.len() != size {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; block(size)], vec![0; block(size)]);
    let mut at = 0;
    while at < size {
        let n = block(size - at);
        let (left, right) = (left.get_mut(..n).unwrap_or_default(), right.get_mut(..n).unwrap_or_default());
        a.read_exact_at(left, at)?;
        b.read_exact_at(right, at)?;
        if left != right {
            return Ok(false);
        }
        at += n as u64;
    }
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use nix::fcntl::{FallocateFlags, fallocate};

    use super::*;

    /// Data, a hole of a megabyte, data, and a hole at the end.
    fn sparse() -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 5000], 0).unwrap();
        file.write_all_at(&[8; 100], 1 << 20).unwrap();
        file.set_len(3 << 20).unwrap();
        file
    }

    #[test]
    fn holes_are_found_and_stay() {
        let (file, copy) = (sparse(), tempfile::tempfile().unwrap());
        let size = file.metadata().unwrap().len();
        let ranges = data_ranges(&file, size).unwrap();
        assert_eq!(ranges.iter().map(|r| r.0).collect::<Vec<_>>(), [0, 1 << 20]);
        assert!(ranges.iter().map(|r| r.1).sum::<u64>() < 1 << 16, "{ranges:?}");
        copy_sparse(&file, &copy, size).unwrap();
        assert!(equal(&file, &copy).unwrap());
        assert_eq!(data_ranges(&copy, size).unwrap(), ranges);
    }

    #[test]
    fn fiemap_finds_the_same_but_for_what_was_only_reserved() {
        // Where files are on a disk: /tmp may be memory.
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        file.write_all_at(&[7; 5000], 0).unwrap();
        file.write_all_at(&[8; 100], 1 << 20).unwrap();
        fallocate(&file, FallocateFlags::empty(), 2 << 20, 1 << 16).unwrap();
        let ranges = written_ranges(&file, 3 << 20).unwrap();
        assert_eq!(ranges.iter().map(|r| r.0).collect::<Vec<_>>(), [0, 1 << 20], "{ranges:?}");
        assert!(ranges.iter().all(|r| r.1 < 1 << 16), "{ranges:?}");
        assert_eq!(extent::written(File::open("/proc/self/maps").unwrap().as_fd(), 1).ok(), None);
        assert_eq!(written_ranges(&sparse(), 100).unwrap(), [(0, 100)]);
    }

    #[test]
    fn differences_are_seen() {
        let (file, copy) = (sparse(), tempfile::tempfile().unwrap());
        copy_sparse(&file, &copy, 3 << 20).unwrap();
        copy.write_all_at(&[1], 2 << 20).unwrap();
        assert!(!equal(&file, &copy).unwrap());
        copy.set_len(1).unwrap();
        assert!(!equal(&file, &copy).unwrap());
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error() {
        let (file, copy_) = (sparse(), tempfile::tempfile().unwrap());
        assert!(copy(&file, 0, &copy_, 0, 4 << 20).is_err());
        assert!(copy(&file, u64::MAX, &copy_, 0, 1).is_err());
    }

    #[test]
    fn kernel_files_are_copied_through_us() {
        let (from, to) = (File::open("/proc/self/cmdline").unwrap(), tempfile::tempfile().unwrap());
        copy(&from, 0, &to, 5, 4).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 9);
    }
}
