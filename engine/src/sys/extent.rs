//! Where the data of a file is on its disk: FS_IOC_FIEMAP, Documentation/filesystems/fiemap.rst.

#![allow(unsafe_code, reason = "an ioctl that nix lacks")]

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::process::check;

/// Extents of one call.
const EXTENTS: usize = 128;
/// What is not yet on disk is brought there first, else its place is unknown.
const FIEMAP_FLAG_SYNC: u32 = 1;
/// The last extent of the file.
const FIEMAP_EXTENT_LAST: u32 = 1;
/// Has a place on disk, and reads as zeros.
const FIEMAP_EXTENT_UNWRITTEN: u32 = 0x800;

/// struct fiemap_extent of linux/fiemap.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// struct fiemap, with room for extents.
#[repr(C)]
struct Map {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
    extents: [Extent; EXTENTS],
}

/// The parts of the first `size` bytes of a file that were written, in ascending order. EOPNOTSUPP: the file system does not
/// say.
pub fn written(file: BorrowedFd<'_>, size: u64) -> io::Result<Vec<Range<u64>>> {
    // The size in the request is that of the head alone.
    let request = nix::request_code_readwrite!(b'f', 11, std::mem::offset_of!(Map, extents));
    let (mut found, mut at) = (Vec::new(), 0);
    while at < size {
        let mut map = Map {
            start: at,
            length: size - at,
            flags: FIEMAP_FLAG_SYNC,
            mapped: 0,
            room: EXTENTS as u32,
            reserved: 0,
            extents: [Extent::default(); EXTENTS],
        };
        // SAFETY: the kernel writes the head and no more extents than there is room for, all alive across the call.
        check(unsafe { libc::ioctl(file.as_raw_fd(), request as _, &raw mut map) }.into())?;
        let extents = map.extents.get(..map.mapped as usize).unwrap_or_default();
        for extent in extents.iter().filter(|extent| extent.flags & FIEMAP_EXTENT_UNWRITTEN == 0) {
            let range = extent.logical.max(at)..extent.logical.saturating_add(extent.length).min(size);
            if range.start < range.end {
                found.push(range);
            }
        }
        match extents.last() {
            Some(last) if last.flags & FIEMAP_EXTENT_LAST == 0 && last.logical + last.length > at => {
                at = last.logical + last.length;
            }
            _ => break,
        }
    }
    Ok(found)
}
