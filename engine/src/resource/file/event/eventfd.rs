//! Counters of eventfd(2), fs/eventfd.c.
//!
//! fdinfo shows the counter, and since Linux 6.5 whether it is a semaphore (EFD_SEMAPHORE), for which CRIU's format has
//! no field. Before that only a read tells: of a semaphore it takes 1, of any other all.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{EventfdFileEntry, FdType, FileEntry};
use crate::kernel::event;
use crate::resource::file::reopen::set_flags;
use crate::resource::file::{Description, owner};
use crate::sys;
use crate::sys::process::in_survivor;

/// The entry of an eventfd.
pub(super) fn dump(id: u32, d: &Description<'_>) -> Result<FileEntry> {
    let shown = event::eventfd(&d.info)?;
    let semaphore = shown.semaphore.map_or_else(|| is_semaphore(&d.fd, shown.count), Ok)?;
    let flags = d.info.flags & !(libc::O_CLOEXEC as u32);
    let efd = EventfdFileEntry {
        id,
        flags,
        fown: owner::of(d.fd.as_fd(), flags)?,
        counter: shown.count,
        semaphore: semaphore.then_some(true),
    };
    Ok(FileEntry { r#type: FdType::Eventfd.into(), id, efd: Some(efd), ..FileEntry::default() })
}

/// Finds out by a read, and puts back what it took. A process that does not die with us does it, because the counter is
/// not to be lost; whoever waits for the file may be woken for nothing, which poll(2) allows.
fn is_semaphore(fd: &OwnedFd, count: u64) -> Result<bool> {
    let answer =
        in_survivor(|| take_and_give_back(fd, count).map_or_else(|_| Vec::new(), |is| vec![is.into()]))
            .os(|| "fork")?;
    match answer.as_deref() {
        Some([is]) => Ok(*is != 0),
        _ => Err(Error::new(
            "E-FILE-BUSY",
            Blame::Environment,
            "is an eventfd that somebody outside of the tree uses at this moment",
        )
        .help("dump again")),
    }
}

fn take_and_give_back(fd: &OwnedFd, count: u64) -> std::io::Result<bool> {
    let mut file = std::fs::File::from(fd.try_clone()?);
    // Of 0 and 1 a read takes the same in either mode.
    let extra = if count < 2 { 2 } else { 0 };
    if extra > 0 {
        file.write_all(&u64::to_ne_bytes(extra))?;
    }
    let mut taken = [0; 8];
    file.read_exact(&mut taken)?;
    let semaphore = u64::from_ne_bytes(taken) == 1;
    match (semaphore, extra) {
        (true, 0) => file.write_all(&1u64.to_ne_bytes())?,
        (true, _) => file.read_exact(&mut taken)?,
        (false, _) if count > 0 => file.write_all(&count.to_ne_bytes())?,
        (false, _) => {}
    }
    Ok(semaphore)
}

/// A new eventfd with the counter and mode of the entry.
pub(super) fn open(entry: &EventfdFileEntry) -> Result<OwnedFd> {
    let mode = if entry.semaphore == Some(true) { libc::EFD_SEMAPHORE } else { 0 };
    let fd = sys::event::eventfd(mode).os(|| "eventfd")?;
    if entry.counter > 0 {
        nix::unistd::write(&fd, &entry.counter.to_ne_bytes())
            .os(|| format!("write {} to an eventfd", entry.counter))?;
    }
    set_flags(&fd, entry.flags)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{ProcDir, fdinfo};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_read_tells_a_semaphore_and_leaves_it_as_it_was() -> Result<()> {
        for (mode, semaphore) in [(0, false), (libc::EFD_SEMAPHORE, true)] {
            for counter in [0u64, 1, 2, 1 << 40] {
                let entry = EventfdFileEntry {
                    counter,
                    flags: libc::O_RDWR as u32,
                    semaphore: Some(mode != 0),
                    ..EventfdFileEntry::default()
                };
                let fd = open(&entry)?;
                assert_eq!(is_semaphore(&fd, counter)?, semaphore);
                let shown = event::eventfd(&fdinfo::read(&ProcDir::current()?, fd.as_raw_fd())?)?;
                assert_eq!(shown.count, counter, "{mode}");
                assert!(shown.semaphore.is_none_or(|shown| shown == semaphore));
            }
        }
        Ok(())
    }
}
