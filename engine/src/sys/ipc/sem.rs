//! Semaphore sets: semget(2), semctl(2).

#![allow(unsafe_code, reason = "calls of the C library that pass memory")]

use std::io;

use super::{Perm, check};

/// struct semid_ds begins with the owner; what follows differs between machines, and is nowhere longer.
#[repr(C)]
struct Status {
    perm: libc::ipc_perm,
    rest: [u64; 16],
}

fn status(id: i32) -> io::Result<Status> {
    // SAFETY: numbers, for which zero is a value.
    let mut status: Status = unsafe { std::mem::zeroed() };
    // SAFETY: `status` outlives the call and has room for struct semid_ds.
    check(unsafe { libc::semctl(id, 0, libc::IPC_STAT, &raw mut status) })?;
    Ok(status)
}

/// IPC_STAT of a set. EINVAL: there is none of this id.
pub fn perm(id: i32) -> io::Result<Perm> {
    status(id).map(|status| Perm::of(&status.perm))
}

/// semget(2): the id.
pub fn semget(key: u32, count: u32, flags: i32) -> io::Result<i32> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::semget(key as libc::key_t, count as i32, flags) })
}

/// Sets owner, group and the nine bits of permission.
pub fn set_owner(id: i32, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    let mut status = status(id)?;
    (status.perm.uid, status.perm.gid, status.perm.mode) = (uid, gid, mode as _);
    // SAFETY: `status` outlives the call.
    check(unsafe { libc::semctl(id, 0, libc::IPC_SET, &raw mut status) }).map(drop)
}

/// The values of a set of `count` semaphores.
pub fn values(id: i32, count: u32) -> io::Result<Vec<u16>> {
    // Another set may have its number by now; no kernel makes one larger than this.
    let mut values = vec![0u16; count.max(u16::MAX.into()) as usize];
    // SAFETY: the buffer outlives the call and has room for the values of any set (SEMMSL_MAX of the kernel).
    check(unsafe { libc::semctl(id, 0, libc::GETALL, values.as_mut_ptr()) })?;
    values.truncate(count as usize);
    Ok(values)
}

/// The value of a semaphore.
pub fn value(id: i32, number: u32) -> io::Result<u16> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::semctl(id, number as i32, libc::GETVAL) }).map(|value| value as u16)
}

/// Process of the last operation on a semaphore.
pub fn last_process(id: i32, number: u32) -> io::Result<i32> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::semctl(id, number as i32, libc::GETPID) })
}

/// Sets the value of a semaphore, as an operation of the calling process.
pub fn set_value(id: i32, number: u32, value: u16) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::semctl(id, number as i32, libc::SETVAL, libc::c_int::from(value)) }).map(drop)
}

/// IPC_RMID
pub fn remove(id: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::semctl(id, 0, libc::IPC_RMID) }).map(drop)
}
