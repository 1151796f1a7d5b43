//! The vdso on restore: the kernel's own code in every process, and the data it reads (`[vvar]`). vdso(7).
//!
//! A program keeps addresses of vdso functions, so that they must work where they were. Every process already has the
//! vdso of the running kernel; it can be moved by mremap(2) but not copied. Where the image's vdso has the same layout,
//! the kernel's is moved to its address. Where it has not (another kernel), the kernel's stays out of the way and the
//! image's becomes ordinary memory in which each function jumps to its namesake.
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

/// The kernel's vdso with its data, as mapped in the tasks under construction.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// The parts, ascending and adjacent; the vdso is one of them.
    parts: Vec<Range<u64>>,
    vdso: Range<u64>,
    image: Vec<u8>,
    layout: elf::Vdso,
}

/// What becomes of an image's vdso.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// The kernel's has the same layout and goes there: the vdso's address.
    Same(u64),
    /// It becomes ordinary memory with this content.
    Proxy(Vec<u8>),
    /// There is none.
    Absent,
}

fn is_part(vma: &Vma) -> bool {
    matches!(vma.backing, Backing::Vdso | Backing::Vvar | Backing::VvarVclock)
}

impl Runtime {
    /// Finds the parts in the mappings of a child of ours.
    pub fn find(vmas: &[Vma], mem: &std::fs::File) -> Result<Self> {
        let parts: Vec<Range<u64>> = vmas.iter().filter(|vma| is_part(vma)).map(Vma::range).collect();
        let vdso = vmas.iter().find(|vma| vma.backing == Backing::Vdso).map(Vma::range);
        let vdso = vdso.ok_or_else(|| Error::bug("a child of ours has no vdso"))?;
        let mut image = vec![0; (vdso.end - vdso.start) as usize];
        mem.read_exact_at(&mut image, vdso.start).os(|| "read our vdso")?;
        let layout = elf::vdso(&image)?;
        Ok(Runtime { parts, vdso, image, layout })
    }

    /// From the first part to the last.
    pub fn range(&self) -> Range<u64> {
        let start = self.parts.first().map_or(0, |part| part.start);
        start..self.parts.last().map_or(start, |part| part.end)
    }

    /// Moves all parts, in the task on loan, so that the first begins at `to`.
    pub fn relocate(&mut self, loan: &mut Loan, to: u64) -> Result<()> {
        let delta = to.wrapping_sub(self.range().start);
        if delta == 0 {
            return Ok(());
        }
        for part in &mut self.parts {
            let target = part.start.wrapping_add(delta);
            let len = part.end - part.start;
            if *part == self.vdso {
                loan.move_stub(part.start, len, target)?;
            } else {
                let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
                let moved =
                    loan.run_one(libc::SYS_mremap as u64, [part.start, len, len, flags, target, 0])?;
                if moved != target as i64 {
                    let errno = std::io::Error::from_raw_os_error(-moved as i32);
                    return Err(Error::os(format!("mremap the vvar to {target:x}"), errno));
                }
            }
            *part = target..target + len;
        }
        self.vdso = self.vdso.start.wrapping_add(delta)..self.vdso.end.wrapping_add(delta);
        Ok(())
    }

    /// Moves the parts so that the vdso begins at `vdso`.
    pub fn place(&self, loan: &mut Loan, vdso: u64) -> Result<()> {
        let ahead = self.vdso.start - self.range().start;
        self.clone().relocate(loan, vdso - ahead)
    }

    /// How the image's vdso and the kernel's go together.
    pub fn fit(&self, mm: &MmEntry, pages: Option<&PageReader>) -> Result<Fit> {
        let find = |bit: u32| mm.vmas.iter().find(|vma| vma.status & bit != 0);
        let (Some(vdso), Some(pages)) = (find(status::VDSO), pages) else { return Ok(Fit::Absent) };
        let mut image = vec![0; (vdso.end - vdso.start) as usize];
        pages.read(vdso.start, &mut image)?;
        let used = self.layout.tail.start as usize;
        let identical = image.len() == self.image.len() && image.get(..used) == self.image.get(..used);
        let ahead = self.vdso.start - self.range().start;
        let behind = self.range().end - self.vdso.end;
        let data_fits = match find(status::VVAR) {
            Some(vvar) => {
                vvar.end - vvar.start == ahead + behind && (vvar.end == vdso.start || vvar.start == vdso.end)
            }
            None => false,
        };
        if identical && data_fits {
            return Ok(Fit::Same(vdso.start));
        }
        let (old, new) = (elf::vdso(&image)?, &self.layout);
        if old.symbols == new.symbols && image.len() == self.image.len() && data_fits {
            return Ok(Fit::Same(vdso.start));
        }
        for (name, offset) in &old.symbols {
            let target = new.symbol(name).map(|found| self.vdso.start + found);
            let jump = target.filter(|_| arch::VDSO_SYMBOLS.contains(&name.as_str())).map(arch::vdso_jump);
            let slot = image.get_mut(*offset as usize..*offset as usize + arch::VDSO_JUMP_LEN);
            if let (Some(jump), Some(slot)) = (jump, slot) {
                slot.copy_from_slice(&jump);
            }
        }
        Ok(Fit::Proxy(image))
    }
}

/// Whether a mapping of the image is not to be made, because the kernel's own takes its place.
pub fn is_kernels(vma: &VmaEntry, fit: &Fit) -> bool {
    match fit {
        Fit::Proxy(_) => vma.status & status::VVAR != 0,
        _ => vma.status & (status::VVAR | status::VDSO) != 0,
    }
}
