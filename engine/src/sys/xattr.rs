//! Extended attributes: xattr(7). POSIX ACLs are those named `system.posix_acl_*`, acl(5).
//!
//! Paths are followed: a file that is open is reached through /proc/self/fd, a symbolic link itself too.

#![allow(unsafe_code, reason = "listxattr(2) and its kin, which nix lacks")]

use std::ffi::{CStr, CString};
use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;

/// The longest list and the longest value: XATTR_LIST_MAX and XATTR_SIZE_MAX of linux/limits.h.
const MOST: usize = 64 << 10;

/// The names of the attributes of a file; none where its file system knows no attributes.
pub fn names(path: &Path) -> nix::Result<Vec<CString>> {
    let mut list = vec![0_u8; MOST];
    // SAFETY: the path ends in NUL; the kernel writes no more than the given length.
    let got = path.with_nix_path(|path| unsafe {
        Errno::result(libc::listxattr(path.as_ptr(), list.as_mut_ptr().cast(), list.len()))
    })?;
    let len = match got {
        Err(Errno::EOPNOTSUPP) => 0,
        got => got?,
    };
    list.truncate(len as usize);
    let names = list.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| CString::new(name).ok()).collect())
}

/// The value of an attribute.
pub fn get(path: &Path, name: &CStr) -> nix::Result<Vec<u8>> {
    let mut value = vec![0_u8; MOST];
    // SAFETY: path and name end in NUL; the kernel writes no more than the given length.
    let got = path.with_nix_path(|path| unsafe {
        Errno::result(libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()))
    })??;
    value.truncate(got as usize);
    Ok(value)
}

/// Sets an attribute, which may be there already.
pub fn set(path: &Path, name: &CStr, value: &[u8]) -> nix::Result<()> {
    // SAFETY: path and name end in NUL; the kernel reads the given length.
    path.with_nix_path(|path| unsafe {
        Errno::result(libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0))
    })?
    .map(drop)
}

/// Removes an attribute.
pub fn remove(path: &Path, name: &CStr) -> nix::Result<()> {
    // SAFETY: path and name end in NUL.
    path.with_nix_path(|path| unsafe { Errno::result(libc::removexattr(path.as_ptr(), name.as_ptr())) })?
        .map(drop)
}
