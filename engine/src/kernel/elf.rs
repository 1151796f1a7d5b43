//! ELF images that the kernel maps: the build-id of a program's file, and what is where in a vdso.
//!
//! Works on bytes already read, of either width and byte order. Damaged input is an error, never a panic. Loading and
//! relocation are not here.

use std::ops::Range;

use goblin::container::Ctx;
use goblin::elf::header::{ET_DYN, Header};
use goblin::elf::note::NT_GNU_BUILD_ID;
use goblin::elf::program_header::{PF_X, PT_DYNAMIC, PT_LOAD};
use goblin::elf::section_header::SHN_UNDEF;
use goblin::elf::{Elf, ProgramHeader};

use crate::error::{Blame, Error, Result};

fn damaged(reason: impl ToString) -> Error {
    Error::new("E-ELF-BAD", Blame::Environment, format!("not a valid ELF image: {}", reason.to_string()))
}

/// The ELF image without sections and symbols: only what the program headers say.
fn headers(bytes: &[u8]) -> Result<Elf<'_>> {
    let header: Header = Elf::parse_header(bytes).map_err(damaged)?;
    let ctx = Ctx::new(header.container().map_err(damaged)?, header.endianness().map_err(damaged)?);
    let offset = usize::try_from(header.e_phoff).map_err(damaged)?;
    let count = usize::from(header.e_phnum);
    let mut elf = Elf::lazy_parse(header).map_err(damaged)?;
    elf.program_headers = ProgramHeader::parse(bytes, offset, count, ctx).map_err(damaged)?;
    Ok(elf)
}

/// The GNU build-id of an ELF file; `None` if it has none. `bytes` may be the beginning of the file as long as it holds
/// the program headers and the notes, which linkers put into the first page.
pub fn build_id(bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    let elf = headers(bytes)?;
    let Some(notes) = elf.iter_note_headers(bytes) else { return Ok(None) };
    for note in notes {
        let note = note.map_err(damaged)?;
        if note.n_type == NT_GNU_BUILD_ID && note.name == "GNU" {
            return Ok(Some(note.desc.to_vec()));
        }
    }
    Ok(None)
}

/// Where the segments with code end that a file loads, in bytes from where its first byte is loaded. `bytes` may be the
/// beginning of the file as long as it holds the program headers.
pub fn code_ends(bytes: &[u8]) -> Result<Vec<u64>> {
    let elf = headers(bytes)?;
    let loads = || elf.program_headers.iter().filter(|header| header.p_type == PT_LOAD);
    let Some(first) = loads().find(|header| header.p_offset == 0) else { return Ok(Vec::new()) };
    let code = loads().filter(|header| header.p_flags & PF_X != 0);
    let ends = code.map(|header| {
        let end = header.p_vaddr.checked_add(header.p_memsz.max(header.p_filesz))?;
        end.checked_sub(first.p_vaddr)
    });
    ends.collect::<Option<_>>().ok_or_else(|| damaged("addresses overflow"))
}

/// What is where in a vdso image, as offsets from its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vdso {
    /// Defined dynamic symbols: `__vdso_clock_gettime`, `__kernel_rt_sigreturn`.
    pub symbols: Vec<(String, u64)>,
    /// The bytes between the end of the image and that of its mapping: not used by anyone, and executable.
    pub tail: Range<u64>,
    /// The same, with the names and headers of sections, which stand behind the segments and which only debuggers read.
    pub wide_tail: Range<u64>,
}

impl Vdso {
    /// The offset of a symbol.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.iter().find(|(known, _)| known == name).map(|(_, offset)| *offset)
    }
}

/// Reads a vdso: `image` is the whole content of its mapping.
pub fn vdso(image: &[u8]) -> Result<Vdso> {
    let header = Elf::parse_header(image).map_err(damaged)?;
    // The stub of a crio that was killed may stand in the section headers, see `Vdso::wide_tail`.
    let bare = without_sections(image);
    let elf = Elf::parse(&bare).map_err(damaged)?;
    if elf.header.e_type != ET_DYN {
        return Err(damaged("not a shared object"));
    }
    let load = elf.program_headers.iter().find(|header| header.p_type == PT_LOAD);
    let load = load.ok_or_else(|| damaged("nothing to load"))?;
    // The kernel links its vdso to address 0, or (old x86-64) to a high one: offsets are relative to the segment.
    let base = load.p_vaddr.wrapping_sub(load.p_offset);
    let mut symbols = Vec::new();
    for symbol in elf.dynsyms.iter().filter(|symbol| symbol.st_shndx != SHN_UNDEF as usize) {
        let offset = symbol.st_value.wrapping_sub(base);
        let name = elf.dynstrtab.get_at(symbol.st_name).ok_or_else(|| damaged("symbol without name"))?;
        // Absolute symbols (the version's name) have values that are no addresses.
        if !name.is_empty() && offset != 0 && offset < image.len() as u64 {
            symbols.push((name.to_owned(), offset));
        }
    }
    let len = image.len() as u64;
    let loaded = segments_end(&elf).ok_or_else(|| damaged("offsets overflow"))?;
    let table = u64::from(header.e_shnum) * u64::from(header.e_shentsize);
    let sections = header.e_shoff.checked_add(table).ok_or_else(|| damaged("offsets overflow"))?;
    Ok(Vdso { symbols, tail: loaded.max(sections).min(len)..len, wide_tail: loaded.min(len)..len })
}

/// The image with a header that names no sections.
fn without_sections(image: &[u8]) -> Vec<u8> {
    const CLASS: usize = 4;
    const CLASS64: u8 = 2;
    let wide = image.get(CLASS) == Some(&CLASS64);
    let offset = if wide { 40..48 } else { 32..36 }; // e_shoff
    let counts = if wide { 60..64 } else { 48..52 }; // e_shnum, e_shstrndx
    let mut bare = image.to_vec();
    for field in [offset, counts] {
        if let Some(field) = bare.get_mut(field) {
            field.fill(0);
        }
    }
    bare
}

/// The end of the last segment.
fn segments_end(elf: &Elf<'_>) -> Option<u64> {
    let segments = elf.program_headers.iter().filter(|header| matches!(header.p_type, PT_LOAD | PT_DYNAMIC));
    let mut ends = segments.map(|header| header.p_offset.checked_add(header.p_filesz));
    ends.try_fold(0, |last: u64, end| Some(last.max(end?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;
    use crate::kernel::pagemap::page_size;
    use crate::kernel::{ProcDir, smaps};
    use std::os::unix::fs::FileExt;

    fn own_vdso() -> Result<(u64, Vec<u8>)> {
        let maps = smaps::read_maps(&ProcDir::current()?)?;
        let vma =
            maps.iter().find(|v| v.backing == smaps::Backing::Vdso).ok_or_else(|| damaged("no vdso"))?;
        let mut image = vec![0; vma.len() as usize];
        let memory = std::fs::File::open("/proc/self/mem").os(|| "open mem")?;
        memory.read_exact_at(&mut image, vma.start).os(|| "read mem")?;
        Ok((vma.start, image))
    }

    /// A 64-bit little-endian ELF file with one note segment.
    fn with_note(name: &[u8; 4], kind: u32, id: &[u8]) -> Vec<u8> {
        let size = 12 + 4 + id.len();
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        let halves =
            |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
        let words =
            |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
        let longs =
            |file: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
        halves(&mut file, &[3, 62]);
        words(&mut file, &[1]);
        longs(&mut file, &[0, 64, 0]);
        words(&mut file, &[0]);
        halves(&mut file, &[64, 56, 1, 64, 0, 0]);
        words(&mut file, &[4, 4]);
        longs(&mut file, &[120, 120, 120, size as u64, size as u64, 4]);
        words(&mut file, &[4, id.len() as u32, kind]);
        file.extend(name);
        file.extend(id);
        file
    }

    #[test]
    fn finds_a_build_id() -> Result<()> {
        let id = b"\x01\x02\x03\x04\x05\x06\x07\x08";
        assert_eq!(build_id(&with_note(b"GNU\0", 3, id))?.as_deref(), Some(id.as_slice()));
        assert_eq!(build_id(&with_note(b"GNU\0", 1, id))?, None);
        assert_eq!(build_id(&with_note(b"XYZ\0", 3, id))?, None);
        Ok(())
    }

    #[test]
    fn agrees_with_the_kernel_on_our_vdso() -> Result<()> {
        let (start, image) = own_vdso()?;
        let vdso = vdso(&image)?;
        let names = ["__vdso_clock_gettime", "__kernel_clock_gettime"];
        let offset =
            names.iter().find_map(|name| vdso.symbol(name)).ok_or_else(|| damaged("no clock_gettime"))?;
        assert!(offset < vdso.tail.start && vdso.tail.end == image.len() as u64);
        let tail = image.get(vdso.tail.start as usize..).unwrap_or_default();
        assert!(tail.len() >= 150 && tail.iter().all(|&b| b == 0), "tail of {} at {start:x}", tail.len());
        assert!(build_id(&image)?.is_some());
        Ok(())
    }

    #[test]
    fn damaged_images_are_errors_and_never_panics() -> Result<()> {
        let (_, image) = own_vdso()?;
        for bad in [b"".as_slice(), b"\x7fELF", &[0; 4096], image.get(..64).unwrap_or_default()] {
            assert!(vdso(bad).is_err());
            assert!(build_id(bad).is_err());
        }
        // Every byte of the headers, of the vdso and of a file with a note, set to values that break it somehow.
        for (good, range) in [(image.clone(), 0..1024), (with_note(b"GNU\0", 3, b"12345678"), 0..144)] {
            for at in range {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut bad = good.clone();
                    if let Some(byte) = bad.get_mut(at) {
                        *byte = value;
                    }
                    let _ = (vdso(&bad), build_id(&bad));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn code_ends_in_the_last_page_of_its_mapping() -> Result<()> {
        let maps = smaps::read_maps(&ProcDir::current()?)?;
        let here = code_ends_in_the_last_page_of_its_mapping as *const () as u64;
        let code = maps.iter().find(|vma| vma.range().contains(&here)).ok_or_else(|| damaged("no code"))?;
        let first = maps.iter().find(|vma| vma.ino == code.ino && vma.offset == 0);
        let first = first.ok_or_else(|| damaged("no headers"))?;
        let mut headers = vec![0; page_size()? as usize];
        let memory = std::fs::File::open("/proc/self/mem").os(|| "open mem")?;
        memory.read_exact_at(&mut headers, first.start).os(|| "read mem")?;
        let ends: Vec<u64> = code_ends(&headers)?.iter().map(|end| first.start + end).collect();
        let inside: Vec<&u64> = ends.iter().filter(|end| (here..=code.end).contains(end)).collect();
        assert_eq!(inside.len(), 1, "{ends:x?}");
        assert!(inside.iter().all(|end| code.end - **end < page_size().unwrap_or(0)));
        assert!(code_ends(headers.get(..60).unwrap_or_default()).is_err());
        Ok(())
    }
}
