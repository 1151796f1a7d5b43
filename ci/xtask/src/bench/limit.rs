//! What the machine allows: the time in which one thread does nothing but write as much memory to a file as a victim has,
//! or read it into fresh memory. Where most of a dump or a restore is that, more than a ratio between engines says how far
//! it is from its end.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use nix::fcntl::{FallocateFlags, fallocate};

use super::Store;
use super::engine::{Cost, Measured};

/// Bytes of a system call.
const PIECE: usize = 1 << 20;

/// What a dump and a restore of so many MiB could take with one thread that does nothing else. A disk is asked for all blocks
/// at once, which is several times as fast; tmpfs would make all pages then, and zero them.
pub(super) fn of(folder: &Path, store: Store, mib: usize) -> Result<Measured> {
    let path = folder.join("limit");
    // Every page is written to: what is all zero has no page.
    let memory: Vec<u8> = (0..mib * PIECE).map(|at| (at >> 12) as u8 | 1).collect();
    let open = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let mut file = open.with_context(|| format!("cannot create {}", path.display()))?;
    let started = Instant::now();
    if store == Store::Disk {
        fallocate(&file, FallocateFlags::empty(), 0, (mib * PIECE).try_into()?)?;
    }
    memory
        .chunks(PIECE)
        .try_for_each(|piece| file.write_all(piece))
        .context("the pages cannot be written")?;
    let dump = cost(started);
    drop(memory);
    let restore = read(&mut file, mib * PIECE)?;
    std::fs::remove_file(&path)?;
    Ok(Measured { dump, frozen: dump.microseconds, restore })
}

fn read(file: &mut File, len: usize) -> Result<Cost> {
    file.rewind()?;
    let started = Instant::now();
    let mut fresh = Vec::with_capacity(len);
    let got = file.take(len as u64).read_to_end(&mut fresh).context("the pages cannot be read")?;
    anyhow::ensure!(got == len, "only {got} of {len} bytes were read");
    Ok(cost(started))
}

fn cost(since: Instant) -> Cost {
    Cost { microseconds: since.elapsed().as_micros() as u64, peak_kib: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_both_times_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let limit = of(folder.path(), Store::Disk, 8).unwrap();
        assert!(limit.dump.microseconds > 0 && limit.restore.microseconds > 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
