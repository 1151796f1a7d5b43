//! The vdso on restore: the kernel's own code in every process, and the data it reads (`[vvar]`). vdso(7).
//!
//! A program keeps addresses of vdso functions, so that they must work where they were. Every process already has the
//! vdso of the running kernel; it can be moved by mremap(2) but not copied. Where the image's vdso has the same layout,
//! the kernel's is moved to its address. Where it has not (another kernel), the kernel's stays out of the way and the
//! image's becomes ordinary memory in which each function jumps to its namesake.
//!
//! On 32-bit ARM the code by which signal handlers return has a page of its own, `[sigpage]`, which goes where the
//! image's was: next to the vdso, unless the program has moved one of them.
//!
//! Until then it is parked where no task of the tree has a mapping, because our stub lives in its tail.

use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::error::{Error, OsContext, Result};
use crate::image::PageReader;
use crate::image::message::{MmEntry, VmaEntry, status};
use crate::kernel::elf;
use crate::kernel::smaps::{Backing, Vma};
use crate::tracee::Loan;

/// More than any kernel's vdso has, with pages of 64 KiB too.
const MOST_BYTES: u64 = 1 << 20;

/// The kernel's own mappings in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `[vdso]`
    Vdso,
    /// `[vvar]` and the like: the data that it reads.
    Data,
    /// `[sigpage]`: the code by which signal handlers return, on machines that do not have it in the vdso.
    Sigpage,
}

/// The kernel's vdso with what belongs to it, as mapped in the tasks under construction.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Ascending and adjacent; the vdso is one of them.
    parts: Vec<(Part, Range<u64>)>,
    vdso: Range<u64>,
    image: Vec<u8>,
    layout: elf::Vdso,
    /// The content of `[sigpage]`; empty without one.
    sigpage: Vec<u8>,
}

/// What becomes of what an image has of the kernel's own mappings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fit {
    /// The vdso and its data.
    pub vdso: VdsoFit,
    /// Where `[sigpage]` goes and what it is to hold, if the image has one.
    sigpage: Option<(u64, Vec<u8>)>,
}

/// What becomes of an image's vdso.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum VdsoFit {
    /// The kernel's has the same layout and goes to this address.
    Same(u64),
    /// It becomes ordinary memory with this content.
    Proxy(Vec<u8>),
    /// There is none.
    #[default]
    Absent,
}

fn part(vma: &Vma) -> Option<(Part, Range<u64>)> {
    let part = match vma.backing {
        Backing::Vdso => Part::Vdso,
        Backing::Vvar | Backing::VvarVclock => Part::Data,
        Backing::Sigpage => Part::Sigpage,
        _ => return None,
    };
    Some((part, vma.range()))
}

fn part_of_image(vma: &VmaEntry) -> Option<(Part, Range<u64>)> {
    let part = match (vma.status & status::VDSO, vma.status & status::VVAR, vma.sigpage) {
        (0, 0, Some(true)) => Part::Sigpage,
        (0, 0, _) => return None,
        (0, ..) => Part::Data,
        _ => Part::Vdso,
    };
    Some((part, vma.start..vma.end))
}

/// Where each part but `[sigpage]` stands as seen from the vdso, and how long it is; data in one piece, as images have it.
fn outline(parts: &[(Part, Range<u64>)], vdso: u64) -> Vec<(Part, u64, u64)> {
    let mut outline: Vec<(Part, u64, u64)> = Vec::new();
    for (part, range) in parts.iter().filter(|(part, _)| *part != Part::Sigpage) {
        let (from, len) = (range.start.wrapping_sub(vdso), range.end - range.start);
        match outline.last_mut() {
            Some((Part::Data, start, so_far))
                if *part == Part::Data && start.wrapping_add(*so_far) == from =>
            {
                *so_far += len;
            }
            _ => outline.push((*part, from, len)),
        }
    }
    outline
}

/// The kernel puts the code by which handlers return at a place of the page that is random since boot, between equal words
/// (arch/arm/kernel/signal.c, get_signal_page). Handlers that were running return to the place of `then`, others will to
/// that of `now`: the page is to have both.
fn both_returns(now: &[u8], then: &[u8]) -> Vec<u8> {
    let filler = then.first_chunk::<4>();
    let words = now.as_chunks::<4>().0.iter().zip(then.as_chunks::<4>().0);
    words.flat_map(|(now, then)| if Some(then) == filler { *now } else { *then }).collect()
}

impl Runtime {
    /// Finds the parts in the mappings of a child of ours.
    pub fn find(vmas: &[Vma], mem: &std::fs::File) -> Result<Self> {
        let parts: Vec<(Part, Range<u64>)> = vmas.iter().filter_map(part).collect();
        let content = |wanted: Part| {
            let range =
                parts.iter().find(|(part, _)| *part == wanted).map_or(0..0, |(_, range)| range.clone());
            let mut content = vec![0; (range.end - range.start) as usize];
            mem.read_exact_at(&mut content, range.start).os(|| "read our vdso")?;
            Ok((range, content))
        };
        let (vdso, image) = content(Part::Vdso)?;
        if vdso.is_empty() {
            return Err(Error::bug("a child of ours has no vdso"));
        }
        let layout = elf::vdso(&image)?;
        let (_, sigpage) = content(Part::Sigpage)?;
        Ok(Runtime { parts, vdso, image, layout, sigpage })
    }

    /// From the first part to the last.
    pub fn range(&self) -> Range<u64> {
        let start = self.parts.first().map_or(0, |(_, part)| part.start);
        start..self.parts.last().map_or(start, |(_, part)| part.end)
    }

    /// Moves all parts, in the task on loan, so that the first begins at `to`.
    pub fn relocate(&mut self, loan: &mut Loan, to: u64) -> Result<()> {
        self.shift(loan, to.wrapping_sub(self.range().start))
    }

    fn shift(&mut self, loan: &mut Loan, delta: u64) -> Result<()> {
        if delta == 0 {
            return Ok(());
        }
        let mut batch = loan.batch();
        for (part, range) in &mut self.parts {
            let (from, len) = (range.start, range.end - range.start);
            let target = from.wrapping_add(delta);
            if *part == Part::Vdso {
                loan.move_stub(from, len, target)?;
            } else {
                let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
                let what = format!("mremap what belongs to the vdso to {target:x}");
                batch.call(what, libc::SYS_mremap, &[from, len, len, flags, target]);
            }
            *range = target..target + len;
        }
        loan.run(&mut batch)?;
        batch.expect_all()?;
        self.vdso = self.vdso.start.wrapping_add(delta)..self.vdso.end.wrapping_add(delta);
        Ok(())
    }

    /// Moves what an image has, too, to where it has it; the rest stays where it is parked.
    pub fn place(&self, loan: &mut Loan, fit: &Fit) -> Result<()> {
        let (pages, others): (Vec<_>, Vec<_>) =
            self.parts.iter().cloned().partition(|(part, _)| *part == Part::Sigpage);
        if let (Some((to, content)), Some((_, range))) = (&fit.sigpage, pages.first()) {
            let from = range.start;
            Runtime { parts: pages, ..self.clone() }.shift(loan, to.wrapping_sub(from))?;
            if *content != self.sigpage {
                loan.memory().write_all_at(content, *to).os(|| "write the page of signal returns")?;
            }
        }
        match fit.vdso {
            VdsoFit::Same(vdso) => {
                Runtime { parts: others, ..self.clone() }.shift(loan, vdso.wrapping_sub(self.vdso.start))
            }
            VdsoFit::Proxy(_) | VdsoFit::Absent => Ok(()),
        }
    }

    /// How the image's vdso and `[sigpage]` go together with the kernel's.
    pub fn fit(&self, mm: &MmEntry, pages: Option<&PageReader>) -> Result<Fit> {
        let Some(pages) = pages else { return Ok(Fit::default()) };
        let theirs: Vec<(Part, Range<u64>)> = mm.vmas.iter().filter_map(part_of_image).collect();
        let read = |wanted: Part| {
            let range = theirs.iter().find(|(part, _)| *part == wanted).map(|(_, range)| range);
            range.map(|range| {
                let mut content = vec![0; size(range)?];
                pages.read(range.start, &mut content).map(|()| (range.start, content))
            })
        };
        let sigpage = read(Part::Sigpage).transpose()?;
        let sigpage = sigpage.map(|(start, then)| (start, both_returns(&self.sigpage, &then)));
        let vdso = match read(Part::Vdso).transpose()? {
            Some((vdso, image)) => self.fit_vdso(&theirs, vdso, image)?,
            None => VdsoFit::Absent,
        };
        Ok(Fit { vdso, sigpage })
    }

    fn fit_vdso(&self, theirs: &[(Part, Range<u64>)], vdso: u64, mut image: Vec<u8>) -> Result<VdsoFit> {
        let used = self.layout.tail.start as usize;
        let identical = image.len() == self.image.len() && image.get(..used) == self.image.get(..used);
        let fits = outline(theirs, vdso) == outline(&self.parts, self.vdso.start);
        if identical && fits {
            return Ok(VdsoFit::Same(vdso));
        }
        let (old, new) = (elf::vdso(&image)?, &self.layout);
        if old.symbols == new.symbols && image.len() == self.image.len() && fits {
            return Ok(VdsoFit::Same(vdso));
        }
        for (name, offset) in &old.symbols {
            let target = new.symbol(name).map(|found| self.vdso.start + found);
            let jump = target.filter(|_| arch::VDSO_SYMBOLS.contains(&name.as_str())).map(arch::vdso_jump);
            let slot = image.get_mut(*offset as usize..*offset as usize + arch::VDSO_JUMP_LEN);
            if let (Some(jump), Some(slot)) = (jump, slot) {
                slot.copy_from_slice(&jump);
            }
        }
        Ok(VdsoFit::Proxy(image))
    }
}

/// The bytes of a vdso or signal page in an image.
fn size(range: &Range<u64>) -> Result<usize> {
    let len = range.end.saturating_sub(range.start);
    usize::try_from(len).ok().filter(|_| len <= MOST_BYTES).ok_or_else(|| {
        Error::image("mm", format!("the vdso at {:x} has {len} bytes, more than any kernel's", range.start))
    })
}

/// Whether a mapping of the image is not to be made, because the kernel's own takes its place.
pub fn is_kernels(vma: &VmaEntry, fit: &Fit) -> bool {
    match (part_of_image(vma), &fit.vdso) {
        (None, _) | (Some((Part::Vdso, _)), VdsoFit::Proxy(_)) => false,
        (Some(_), _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_does_not_depend_on_place_or_division() {
        let one = [(Part::Data, 0x1000..0x3000), (Part::Data, 0x3000..0x5000), (Part::Vdso, 0x5000..0x7000)];
        let other = [(Part::Data, 0x8000..0xc000), (Part::Vdso, 0xc000..0xe000)];
        assert_eq!(outline(&one, 0x5000), outline(&other, 0xc000));
        let with_page =
            [(Part::Sigpage, 0x7000..0x8000), (Part::Data, 0x8000..0xc000), (Part::Vdso, 0xc000..0xe000)];
        assert_eq!(outline(&with_page, 0xc000), outline(&other, 0xc000));
        let apart = [(Part::Data, 0x1000..0x5000), (Part::Vdso, 0x6000..0x8000)];
        assert_ne!(outline(&one, 0x5000), outline(&apart, 0x6000));
    }

    #[test]
    fn a_vdso_without_bounds_is_no_vdso() {
        assert_eq!(size(&(0x7000..0x9000)).ok(), Some(0x2000));
        assert_eq!(size(&(0x1000..1 << 46)).map_err(|e| e.code()), Err("E-IMAGE-BAD"));
    }

    #[test]
    fn returns_of_both_boots_are_there() {
        let now = [9, 9, 9, 9, 9, 9, 9, 9, 1, 1, 1, 1];
        let then = [9, 9, 9, 9, 2, 2, 2, 2, 9, 9, 9, 9];
        assert_eq!(both_returns(&now, &then), [9, 9, 9, 9, 2, 2, 2, 2, 1, 1, 1, 1]);
    }
}
