//! Open namespaces: files of nsfs, to which the links in `/proc/PID/ns` lead, namespaces(7), fs/nsfs.c.
//!
//! Such a file has no content and no position; which namespace it is, the kernel shows as its name. One that the tree lives
//! in is crio's own, and is opened again through a link of ours. Any other is refused: nobody would be in it.

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::open;
use nix::sys::stat::Mode;

use super::reopen::set_flags;
use super::{Description, Seen, owner, regular};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry, NsFileEntry, TaskKobjIdsEntry};
use crate::kernel::ProcDir;
use crate::kernel::ns::{self, Kind};
use crate::resource::namespace::{host, number};

/// Which kind of namespace a link's target names, `net:[4026531840]`.
pub(super) fn kind_of(target: &[u8]) -> Option<Kind> {
    Kind::of_name(target.split(|&byte| byte == b':').next()?)
}

/// Refuses a namespace that the tree does not live in.
///
/// # Errors
/// `E-NAMESPACE`; the caller adds descriptor and task.
pub fn refuse(seen: &Seen<'_>) -> Result<()> {
    judge(seen.target).map(drop)
}

fn judge(target: &[u8]) -> Result<Kind> {
    let kind = kind_of(target).ok_or_else(|| Error::bug("a namespace of an unknown kind"))?;
    if ns::read(&ProcDir::current()?, kind)? == Some(ns::parse(target)?) {
        return Ok(kind);
    }
    let reason = format!(
        "is a {} namespace that the tree does not live in, and namespaces are not restored yet",
        kind.link()
    );
    Err(Error::new("E-NAMESPACE", Blame::Program, reason).help("close it before the dump"))
}

/// The entry of an open namespace in `files.img`.
pub(super) fn dump(id: u32, d: &Description<'_>) -> Result<FileEntry> {
    let kind = judge(&d.target)?;
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    let nsf = NsFileEntry {
        id,
        ns_id: number(&host(), kind).unwrap_or(0),
        ns_cflag: kind.clone_flag(),
        flags,
        fown: Some(owner::of(d.fd.as_fd(), flags)?),
    };
    Ok(FileEntry { r#type: FdType::Ns.into(), id, nsf: Some(nsf), ..FileEntry::default() })
}

/// The kind of a namespace of the image; `host` are the numbers that it has for those of whoever has dumped it.
///
/// # Errors
/// `E-NAMESPACE` for one that the tree did not live in.
pub(super) fn check(entry: &NsFileEntry, host: &TaskKobjIdsEntry) -> Result<Kind> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.clone_flag() == entry.ns_cflag);
    let kind = kind.ok_or_else(|| {
        Error::image("files.img", format!("has a namespace of the unknown kind {:#x}", entry.ns_cflag))
    })?;
    if number(host, kind) == Some(entry.ns_id) {
        return Ok(kind);
    }
    let reason = "is a namespace of the image, and namespaces are not restored yet";
    Err(Error::new("E-NAMESPACE", Blame::Image, reason).on(format!(
        "{} namespace {}",
        kind.link(),
        entry.ns_id
    )))
}

/// Opens a namespace of ours in place of the one that was dumped.
pub(super) fn reopen(entry: &NsFileEntry, host: &TaskKobjIdsEntry) -> Result<OwnedFd> {
    let path = format!("/proc/self/ns/{}", check(entry, host)?.link());
    let fd =
        open(path.as_str(), regular::open_flags(entry.flags), Mode::empty()).os(|| format!("open {path}"))?;
    if entry.flags & libc::O_PATH as u32 == 0 {
        set_flags(&fd, entry.flags)?;
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::file::testing::{Mine, flags};
    use crate::sys::stat::fstat;

    #[test]
    fn our_own_is_opened_again_and_no_other() -> Result<()> {
        let mine = Mine::new()?;
        for (link, how) in [("net", libc::O_RDONLY), ("mnt", libc::O_PATH), ("pid", libc::O_NONBLOCK)] {
            let fd = ProcDir::current()?
                .open_file(&format!("ns/{link}"), nix::fcntl::OFlag::from_bits_retain(how))?;
            let (before, inode) = (flags(&fd)?, fstat(&fd).os(|| "fstat")?.st_ino);
            let entry = dump(7, &mine.description(fd)?)?.nsf.unwrap_or_default();
            let again = reopen(&entry, &host())?;
            assert_eq!((flags(&again)?, fstat(&again).os(|| "fstat")?.st_ino), (before, inode), "{link}");
            let foreign = NsFileEntry { ns_id: 99, ..entry };
            assert_eq!(reopen(&foreign, &host()).map_err(|e| e.code()).map(drop), Err("E-NAMESPACE"));
        }
        assert_eq!(judge(b"net:[1]").map_err(|e| e.code()), Err("E-NAMESPACE"));
        Ok(())
    }
}
