//! How a task has System V segments attached: shmat(2), ipc/shm.c.
//!
//! An attach maps a segment whole; munmap(2), mprotect(2) and mremap(2) leave parts of it. shmdt(2) undoes what is left of
//! one attach: all that has the open file of the first part, and lies where the segment would be. So the parts are built
//! from one attach again. If nothing else is in its range it is made in place, and loses the other parts; else it is made
//! in a free range, from which they are moved: Linux moves huge pages since 5.16 only (vma_to_resize in mm/mremap.c).
//! Moved, too, are those whose address shmat(2) does not take, although the kernel has chosen it: where it knows that
//! caches are no matter, any page will do (arch_get_unmapped_area in arch/arm/mm/mmap.c, against `__ARCH_FORCE_SHMLBA` in
//! ipc/shm.c). What a child has in common with its parent it has by birth, if that is all of an attach.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::huge::page_of;
use super::restore::{Supplies, alike, is_among, is_mapped};
use super::vdso::Fit;
use crate::error::{Error, Result};
use crate::image::message::{MmEntry, VmaEntry, status};
use crate::sys::memory::task_size;
use crate::tracee::{Batch, Loan, hole};

/// Below it programs may map nothing (vm.mmap_min_addr).
const LOWEST: u64 = 64 << 10;
/// What an attach of small pages in a free range begins at a multiple of: SHMLBA or more, of whole pages.
const ALIGN: u64 = 0x40000;

/// What parts of one attach have in common: the segment, the address of its first byte, whether it is for reading alone.
pub(super) type Key = (u64, u64, bool);

fn key_of(vma: &VmaEntry) -> Option<Key> {
    let read_only = vma.fdflags.is_some_and(|flags| flags as i32 & libc::O_ACCMODE == libc::O_RDONLY);
    (vma.status & status::SYSVIPC != 0).then(|| (vma.shmid, vma.start.wrapping_sub(vma.pgoff), read_only))
}

/// The attaches of an address space with their parts, in ascending order.
fn attaches<'a>(mm: &'a MmEntry, fit: &Fit) -> BTreeMap<Key, Vec<&'a VmaEntry>> {
    let mut found: BTreeMap<Key, Vec<&VmaEntry>> = BTreeMap::new();
    for vma in mm.vmas.iter().filter(|vma| is_mapped(vma, fit)) {
        if let Some(key) = key_of(vma) {
            found.entry(key).or_default().push(vma);
        }
    }
    found
}

/// Which attaches a child has exactly as its parent has them.
pub(super) fn inherited((new, new_fit): (&MmEntry, &Fit), (parent, fit): (&MmEntry, &Fit)) -> HashSet<Key> {
    let theirs = attaches(parent, fit);
    let ours = attaches(new, new_fit).into_iter();
    let same = |(key, parts): (Key, Vec<&VmaEntry>)| {
        let their = theirs.get(&key)?;
        let alike = their.len() == parts.len() && their.iter().zip(&parts).all(|(a, b)| alike(a, b));
        alike.then_some(key)
    };
    ours.filter_map(same).collect()
}

/// Whether a mapping that parent and child have alike may stay.
pub(super) fn may_stay(vma: &VmaEntry, inherited: &HashSet<Key>) -> bool {
    key_of(vma).is_none_or(|key| inherited.contains(&key))
}

/// Attaches what is not in `kept`.
pub(super) fn build(
    loan: &mut Loan,
    (mm, fit): (&MmEntry, &Fit),
    kept: &[Range<u64>],
    with: &Supplies<'_>,
) -> Result<()> {
    for (key, parts) in attaches(mm, fit) {
        if parts.iter().all(|vma| is_among(vma, kept)) {
            continue;
        }
        let len = with.segments.len(key.0)?;
        check_bounds(key, &parts, len)?;
        let others = mm.vmas.iter().filter(|vma| key_of(vma) != Some(key)).map(|vma| vma.start..vma.end);
        let others: Vec<Range<u64>> = others.chain(with.keep.iter().cloned()).collect();
        let mut batch = loan.batch();
        if let Some(end) = free_end(key.1, len, &others) {
            in_place(&mut batch, key, &parts, end);
        } else {
            let taken: Vec<Range<u64>> =
                others.into_iter().chain(parts.iter().map(|vma| vma.start..vma.end)).collect();
            let align = parts.iter().filter_map(|vma| page_of(vma)).fold(ALIGN, u64::max);
            let free = hole(&taken, len + align)?.start.next_multiple_of(align);
            in_parts(&mut batch, key, &parts, free, len);
        }
        protect(&mut batch, key, &parts);
        loan.run(&mut batch)?;
        batch.expect_all()?;
    }
    Ok(())
}

/// Where a segment ends that can be attached at `base`: nothing else is there, and the program has not moved its part to
/// where the rest would have no room.
fn free_end(base: u64, len: u64, others: &[Range<u64>]) -> Option<u64> {
    let end = base.checked_add(len).filter(|end| *end <= task_size())?;
    let is_free = others.iter().all(|other| other.end <= base || end <= other.start);
    (is_free && base >= LOWEST && base.is_multiple_of(arch::syscall::SHMLBA)).then_some(end)
}

fn check_bounds((id, ..): Key, parts: &[&VmaEntry], len: u64) -> Result<()> {
    let is_beyond = |vma: &&&VmaEntry| vma.pgoff.checked_add(vma.end - vma.start).is_none_or(|end| end > len);
    match parts.iter().find(is_beyond) {
        Some(vma) => {
            let reason = format!("the mapping at {:x} goes beyond its segment {id}", vma.start);
            Err(Error::image("mm", reason))
        }
        None => Ok(()),
    }
}

fn attach(batch: &mut Batch, (id, _, read_only): Key, at: u64) {
    let flags = if read_only { libc::SHM_RDONLY as u64 } else { 0 };
    batch.call(format!("shmat {id} at {at:x}"), libc::SYS_shmat, &[id, at, flags]);
}

/// Attaches the segment, which ends at `end`, and unmaps what is between the parts.
fn in_place(batch: &mut Batch, key: Key, parts: &[&VmaEntry], end: u64) {
    attach(batch, key, key.1);
    let starts = std::iter::once(key.1).chain(parts.iter().map(|vma| vma.end));
    let ends = parts.iter().map(|vma| vma.start).chain(std::iter::once(end));
    for (start, end) in starts.zip(ends).filter(|(start, end)| start < end) {
        batch.call(format!("munmap {start:x}"), libc::SYS_munmap, &[start, end - start]);
    }
}

fn in_parts(batch: &mut Batch, key: Key, parts: &[&VmaEntry], free: u64, len: u64) {
    attach(batch, key, free);
    for vma in parts {
        let size = vma.end - vma.start;
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        let args = [free + vma.pgoff, size, size, flags as u64, vma.start];
        batch.call(format!("mremap to {:x}", vma.start), libc::SYS_mremap, &args);
    }
    batch.call("munmap", libc::SYS_munmap, &[free, len]);
}

fn protect(batch: &mut Batch, (_, _, read_only): Key, parts: &[&VmaEntry]) {
    let given = if read_only { libc::PROT_READ } else { libc::PROT_READ | libc::PROT_WRITE } as u32;
    for vma in parts.iter().filter(|vma| vma.prot != given) {
        let args = [vma.start, vma.end - vma.start, vma.prot.into()];
        batch.call(format!("mprotect {:x}", vma.start), libc::SYS_mprotect, &args);
    }
}
