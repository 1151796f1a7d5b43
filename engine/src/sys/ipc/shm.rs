//! Shared memory: shmget(2), shmctl(2), shmat(2).

#![allow(unsafe_code, reason = "calls of the C library that pass memory")]

use std::io;

use super::super::memory::Room;
use super::{Perm, check};

/// A segment: struct shmid_ds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Segment {
    /// Whose it is.
    pub perm: Perm,
    /// Bytes that were asked for.
    pub size: u64,
    /// Process that has created it.
    pub cpid: i32,
    /// Mappings of it.
    pub attaches: u64,
}

fn segment_status(id: i32) -> io::Result<libc::shmid_ds> {
    // SAFETY: a structure of numbers and pointers that the kernel does not follow; all zeros is a value of it.
    let mut status: libc::shmid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `status` outlives the call.
    check(unsafe { libc::shmctl(id, libc::IPC_STAT, &raw mut status) })?;
    Ok(status)
}

/// IPC_STAT of a segment. EINVAL: there is none of this id.
pub fn segment(id: i32) -> io::Result<Segment> {
    let status = segment_status(id)?;
    Ok(Segment {
        perm: Perm::of(&status.shm_perm),
        size: status.shm_segsz as u64,
        cpid: status.shm_cpid,
        attaches: status.shm_nattch as u64,
    })
}

/// shmget(2): the id.
pub fn shmget(key: u32, size: u64, flags: i32) -> io::Result<i32> {
    let size = usize::try_from(size).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: no memory is passed.
    check(unsafe { libc::shmget(key as libc::key_t, size, flags) })
}

/// Sets owner, group and the nine bits of permission.
pub fn set_segment_owner(id: i32, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    let mut status = segment_status(id)?;
    status.shm_perm.uid = uid;
    status.shm_perm.gid = gid;
    status.shm_perm.mode = mode as _;
    // SAFETY: `status` outlives the call.
    check(unsafe { libc::shmctl(id, libc::IPC_SET, &raw mut status) }).map(drop)
}

/// SHM_LOCK: its pages stay in memory.
pub fn lock_segment(id: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::shmctl(id, libc::SHM_LOCK, std::ptr::null_mut()) }).map(drop)
}

/// IPC_RMID: it goes with its last mapping.
pub fn remove_segment(id: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// A segment attached to this process; dropped, it is detached.
#[derive(Debug)]
pub struct Attachment {
    address: usize,
}

impl Attachment {
    /// Attaches a segment for reading and writing, at a multiple of `page`, the size of its pages if they are huge.
    pub fn new(id: i32, page: u64) -> io::Result<Self> {
        let (Ok(size), Ok(page)) = (usize::try_from(segment(id)?.size), usize::try_from(page)) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        // Empty again, so that the kernel sees to it that nothing else is where the segment comes.
        let place = Room::new(size, page)?.address();
        // SAFETY: a new mapping, without SHM_REMAP where nothing is; nobody reads or writes through it.
        let address = unsafe { libc::shmat(id, place, 0) };
        if address.addr() == usize::MAX {
            return Err(io::Error::last_os_error());
        }
        Ok(Attachment { address: address.expose_provenance() })
    }

    /// Its first address.
    pub fn address(&self) -> u64 {
        self.address as u64
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // SAFETY: the mapping made above, of which no reference exists.
        unsafe { libc::shmdt(std::ptr::with_exposed_provenance(self.address)) };
    }
}
