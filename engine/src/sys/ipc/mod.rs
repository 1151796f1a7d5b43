//! System V IPC: the calls that nix lacks, sysvipc(7).

pub mod msg;
pub mod sem;
pub mod shm;

use std::io;

/// Who owns an object: struct ipc_perm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Perm {
    /// What shmget(2) and its kin find it by; 0 (IPC_PRIVATE) if nothing.
    pub key: u32,
    /// Owner.
    pub uid: u32,
    /// Group of the owner.
    pub gid: u32,
    /// Creator.
    pub cuid: u32,
    /// Group of the creator.
    pub cgid: u32,
    /// Permissions, and for segments SHM_DEST and SHM_LOCKED.
    pub mode: u32,
}

impl Perm {
    fn of(perm: &libc::ipc_perm) -> Self {
        Perm {
            key: perm.__key as u32,
            uid: perm.uid,
            gid: perm.gid,
            cuid: perm.cuid,
            cgid: perm.cgid,
            #[allow(clippy::useless_conversion, reason = "a short on some machines")]
            mode: perm.mode.into(),
        }
    }
}

fn check(ret: libc::c_int) -> io::Result<i32> {
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}
