//! File systems that are mounted nowhere: fsopen(2), fsconfig(2) and fsmount(2), since Linux 5.2.

#![allow(unsafe_code, reason = "system calls that nix lacks")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use super::process::check;

/// FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC of linux/mount.h.
const CLOEXEC: libc::c_long = 1;
const FSCONFIG_SET_FLAG: libc::c_long = 0;
const FSCONFIG_SET_STRING: libc::c_long = 1;
const FSCONFIG_CMD_CREATE: libc::c_long = 6;

/// The root directory of a new mount that no path leads to; it is gone with its last descriptor. `options` are those of
/// mount(8): `memory`, `name=systemd`.
pub fn detached(fstype: &CStr, options: &[Vec<u8>]) -> io::Result<OwnedFd> {
    // SAFETY: the name ends in NUL; a returned descriptor is ours.
    let context = unsafe {
        let fd = check(libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), CLOEXEC))?;
        OwnedFd::from_raw_fd(fd as i32)
    };
    for option in options {
        let mut parts = option.splitn(2, |byte| *byte == b'=').map(CString::new);
        let name = parts.next().transpose()?;
        let value = parts.next().transpose()?;
        let command = if value.is_some() { FSCONFIG_SET_STRING } else { FSCONFIG_SET_FLAG };
        configure(&context, command, name.as_deref(), value.as_deref())?;
    }
    configure(&context, FSCONFIG_CMD_CREATE, None, None)?;
    // SAFETY: no memory is passed; a returned descriptor is ours.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

fn configure(
    context: &OwnedFd,
    command: libc::c_long,
    name: Option<&CStr>,
    value: Option<&CStr>,
) -> io::Result<()> {
    let [name, value] = [name, value].map(|text| text.map_or(ptr::null(), CStr::as_ptr));
    // SAFETY: the texts end in NUL and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, name, value, 0) })
        .map(drop)
}
