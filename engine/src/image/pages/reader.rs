//! Reading a pagemap: every run is checked before anybody copies a page.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Run, flags, nr_pages};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{PagemapEntry, PagemapHead, VmaEntry, pe, status};
use crate::image::{EntryReader, ImageDir, Kind};

/// Longest chain of parent directories that is followed.
const MAX_PARENTS: usize = 128;

/// A checked pagemap: runs are aligned, ascending and apart from each other, and the pages image holds them all.
#[derive(Debug)]
pub struct PageReader {
    runs: Vec<Run>,
    pages: Arc<File>,
    page_size: u64,
    pages_id: u32,
    parent: Option<Box<PageReader>>,
    name: String,
}

/// A part of memory and where its content is, with parents resolved.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Address of the first page.
    pub vaddr: u64,
    /// Bytes.
    pub len: u64,
    /// Where its content is.
    pub source: Source,
}

/// Where the content of a segment is.
#[derive(Debug, Clone)]
pub enum Source {
    /// In this file from this offset on.
    File(Arc<File>, u64),
    /// With the lazy pages daemon.
    Lazy,
}

impl PageReader {
    /// Opens and checks a pagemap ([`Kind::Pagemap`] or [`Kind::PagemapShmem`]) and those of its parents that it needs;
    /// `None` if there is none. `page_size` is that of the machine of the dump, bytes.
    pub fn open(dir: &ImageDir, kind: Kind, page_size: u64) -> Result<Option<PageReader>> {
        PageReader::open_at(dir, kind, page_size, 0)
    }

    fn open_at(dir: &ImageDir, kind: Kind, page_size: u64, depth: usize) -> Result<Option<PageReader>> {
        let Some(mut image) = dir.reader(kind)? else { return Ok(None) };
        let Some(head) = image.next::<PagemapHead>()? else { return Err(image.bad("there is no head")) };
        let (runs, size) = read_runs(&mut image, page_size)?;
        let pages_name = Kind::Pages(head.pages_id).file_name();
        let pages = dir.open_file(&pages_name)?.ok_or_else(|| {
            Error::image(&pages_name, format!("there is no such image in {}", dir.path().display()))
                .detail(format!("{} needs it", kind.file_name()))
        })?;
        let got = pages.metadata().os(|| format!("stat {pages_name}"))?.len();
        if got < size {
            return Err(Error::image(
                &pages_name,
                format!("it has {got} bytes, {} needs {size}", kind.file_name()),
            )
            .help("the image was cut short: copy it again, or dump again"));
        }
        let parent = if runs.iter().any(|run| run.flags & pe::PARENT != 0) {
            Some(Box::new(open_parent(dir, kind, page_size, depth)?))
        } else {
            None
        };
        let pages = Arc::new(pages);
        Ok(Some(PageReader {
            runs,
            pages,
            page_size,
            pages_id: head.pages_id,
            parent,
            name: kind.file_name(),
        }))
    }

    /// The runs as they are in this pagemap, ascending.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The number of its pages image.
    pub fn pages_id(&self) -> u32 {
        self.pages_id
    }

    /// Its pages image.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.pages)
    }

    /// Everything that the pagemap covers, ascending, each with the file that has its content.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        let mut out = Vec::new();
        for run in &self.runs {
            self.resolve(run.vaddr, run.vaddr + run.len(self.page_size), &mut out)?;
        }
        Ok(out)
    }

    /// Of each run that is not in these mappings, the first page that is in none. The mappings ascend, those of guard pages
    /// come after the others.
    pub fn strays(&self, vmas: &[VmaEntry]) -> impl Iterator<Item = u64> {
        self.runs.iter().filter_map(|run| {
            let (mut at, end) = (run.vaddr, run.vaddr + run.len(self.page_size));
            let first = vmas.partition_point(|vma| vma.status & status::GUARD == 0 && vma.end <= at);
            for vma in vmas.get(first..).unwrap_or_default() {
                if at >= end || vma.start > at {
                    break;
                }
                at = at.max(vma.end);
            }
            (at < end).then_some(at)
        })
    }

    /// Reads the pages from `vaddr` on into `buffer`, as many as it holds; all of them must be in files.
    pub fn read(&self, vaddr: u64, buffer: &mut [u8]) -> Result<()> {
        self.copy(self.sources(vaddr, buffer.len() as u64)?, buffer)
    }

    /// The `len` bytes from `vaddr` on. What no file has is not allocated either: the number may be an image's.
    pub fn bytes(&self, vaddr: u64, len: u64) -> Result<Vec<u8>> {
        let sources = self.sources(vaddr, len)?;
        if let Some(lazy) = sources.iter().find(|segment| matches!(segment.source, Source::Lazy)) {
            return Err(self.absent(lazy.vaddr));
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| self.absent(vaddr))?];
        self.copy(sources, &mut bytes)?;
        Ok(bytes)
    }

    fn sources(&self, vaddr: u64, len: u64) -> Result<Vec<Segment>> {
        let end = vaddr.checked_add(len).ok_or_else(|| self.absent(vaddr))?;
        let mut segments = Vec::new();
        self.resolve(vaddr, end, &mut segments)?;
        Ok(segments)
    }

    fn copy(&self, sources: Vec<Segment>, buffer: &mut [u8]) -> Result<()> {
        let mut rest = buffer;
        for segment in sources {
            let Source::File(file, offset) = segment.source else { return Err(self.absent(segment.vaddr)) };
            let Some((part, after)) = rest.split_at_mut_checked(segment.len as usize) else { break };
            file.read_exact_at(part, offset).os(|| format!("read pages of {}", self.name))?;
            rest = after;
        }
        Ok(())
    }

    /// Appends where `start..end` is; every byte of it must be covered.
    fn resolve(&self, start: u64, end: u64, out: &mut Vec<Segment>) -> Result<()> {
        let first = self.runs.partition_point(|run| run.vaddr + run.len(self.page_size) <= start);
        let mut at = start;
        for run in self.runs.get(first..).unwrap_or_default() {
            if at >= end || run.vaddr > at {
                break;
            }
            let stop = end.min(run.vaddr + run.len(self.page_size));
            match (run.offset, &self.parent) {
                (Some(offset), _) => {
                    let source = Source::File(self.file(), offset + (at - run.vaddr));
                    out.push(Segment { vaddr: at, len: stop - at, source });
                }
                (None, Some(parent)) if run.flags & pe::PARENT != 0 => parent.resolve(at, stop, out)?,
                _ => out.push(Segment { vaddr: at, len: stop - at, source: Source::Lazy }),
            }
            at = stop;
        }
        if at < end { Err(self.absent(at)) } else { Ok(()) }
    }

    fn absent(&self, vaddr: u64) -> Error {
        Error::image(&self.name, format!("the page at {vaddr:#x} is in no image"))
    }
}

/// All runs, checked, and the bytes that the pages image must have.
fn read_runs(image: &mut EntryReader, page_size: u64) -> Result<(Vec<Run>, u64)> {
    let (mut runs, mut size, mut floor) = (Vec::new(), 0u64, 0u64);
    while let Some(entry) = image.next::<PagemapEntry>()? {
        let (vaddr, nr_pages, flags) = (entry.vaddr, nr_pages(&entry), flags(&entry));
        let end = nr_pages.checked_mul(page_size).and_then(|len| vaddr.checked_add(len));
        let wrong = match end {
            None => Some("is longer than the address space"),
            Some(end) if end == vaddr => Some("is empty"),
            Some(_) if !vaddr.is_multiple_of(page_size) => Some("is not aligned to pages"),
            Some(_) if vaddr < floor => Some("is out of order"),
            Some(_) if flags & (pe::PRESENT | pe::PARENT | pe::LAZY) == 0 => Some("is nowhere"),
            Some(_) => None,
        };
        if let Some(wrong) = wrong {
            return Err(image.bad(format!("the run of {nr_pages} pages at {vaddr:#x} {wrong}")));
        }
        floor = end.unwrap_or(u64::MAX);
        let offset = (flags & pe::PRESENT != 0).then_some(size);
        if offset.is_some() {
            // Disjoint runs below 2^64 cannot add up to more than that.
            size += nr_pages * page_size;
        }
        runs.push(Run { vaddr, nr_pages, flags, offset });
    }
    Ok((runs, size))
}

fn open_parent(dir: &ImageDir, kind: Kind, page_size: u64, depth: usize) -> Result<PageReader> {
    let lacks = |what: &str| {
        Error::image(kind.file_name(), format!("some of its pages are in the parent directory, {what}"))
            .on(dir.path().join(super::super::directory::PARENT).display().to_string())
            .help("keep the directories of all pre-dumps together with the last one")
    };
    if depth >= MAX_PARENTS {
        return Err(lacks("and the chain of parents does not end"));
    }
    let parent = dir.parent()?.ok_or_else(|| lacks("but there is none"))?;
    PageReader::open_at(&parent, kind, page_size, depth + 1)?.ok_or_else(|| lacks("which has no such image"))
}
