//! Extended attributes of deleted files, xattr(7): those of the program, file capabilities, and POSIX ACLs, which the kernel
//! shows as the attributes `system.posix_acl_*`.
//!
//! A file gets them last: chown(2) and write(2) take capabilities away, and a new file inherits the default ACL of its
//! directory, which is undone. Labels of security modules that this machine does not have are left out with a warning.

use std::ffi::{CStr, CString};
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Error, OsContext, Result};
use crate::image::message::XattrEntry;
use crate::log;
use crate::sys::xattr;

const ACL: &[u8] = b"system.posix_acl_";
const SECURITY: &[u8] = b"security.";
const CAPABILITY: &[u8] = b"security.capability";

/// Reads all attributes of the file that `path` leads to.
pub(super) fn read(path: &Path) -> Result<Vec<XattrEntry>> {
    let names = xattr::names(path).os(|| "list the extended attributes of a deleted file")?;
    let entry = |name: CString| {
        let value = xattr::get(path, &name).os(|| format!("read the extended attribute {}", shown(&name)))?;
        Ok(XattrEntry { name: name.into_bytes(), value })
    };
    names.into_iter().map(entry).collect()
}

/// Gives them to the file that `path` leads to.
pub(super) fn give(path: &Path, entries: &[XattrEntry]) -> Result<()> {
    for name in xattr::names(path).os(|| "list the extended attributes of a new file")? {
        let inherited = name.to_bytes().starts_with(ACL);
        if inherited && !entries.iter().any(|entry| entry.name == name.as_bytes()) {
            xattr::remove(path, &name).os(|| format!("remove the inherited {}", shown(&name)))?;
        }
    }
    entries.iter().try_for_each(|entry| give_one(path, entry))
}

fn give_one(path: &Path, entry: &XattrEntry) -> Result<()> {
    let name = CString::new(entry.name.as_slice())
        .map_err(|_| Error::image("ghost-file", "the name of an extended attribute holds a zero"))?;
    let is_label = entry.name.starts_with(SECURITY) && entry.name != CAPABILITY;
    match xattr::set(path, &name, &entry.value) {
        Err(e @ (Errno::EOPNOTSUPP | Errno::EPERM | Errno::EINVAL)) if is_label => {
            log::warn!("A deleted file loses its label {}: {e}", shown(&name));
            Ok(())
        }
        given => given.os(|| format!("set the extended attribute {}", shown(&name))),
    }
}

fn shown(name: &CStr) -> String {
    name.to_bytes().escape_ascii().to_string()
}
