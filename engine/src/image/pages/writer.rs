//! Writing a pagemap and giving out places in its pages image.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, OsContext, Result};
use crate::image::message::{PagemapEntry, PagemapHead, pe};
use crate::image::{EntryWriter, ImageDir, Kind};

/// A pagemap being written. The caller puts the pages where [`add`](PageWriter::add) says, in any order and from any
/// thread, through [`file`](PageWriter::file).
#[derive(Debug)]
#[must_use = "finish() reports whether the pagemap was written"]
pub struct PageWriter {
    pagemap: EntryWriter,
    pages: Arc<File>,
    page_size: u64,
    /// The run that may still grow.
    last: Option<PagemapEntry>,
    /// Where the next present page goes, bytes.
    end: u64,
    name: String,
}

impl PageWriter {
    /// Creates `pages-PAGES_ID.img` and the pagemap `kind` ([`Kind::Pagemap`] or [`Kind::PagemapShmem`]) that names it.
    /// `page_size` is the kernel's, bytes.
    pub fn create(dir: &ImageDir, kind: Kind, pages_id: u32, page_size: u64) -> Result<PageWriter> {
        let mut pagemap = dir.writer(kind);
        pagemap.push(&PagemapHead { pages_id })?;
        let pages = Arc::new(dir.create_file(&Kind::Pages(pages_id).file_name())?);
        Ok(PageWriter { pagemap, pages, page_size, last: None, end: 0, name: kind.file_name() })
    }

    /// Appends a run; runs come in ascending order. Returns the offset in the pages image where its pages belong, if
    /// `flags` has PE_PRESENT. A run that continues the last one becomes part of it.
    pub fn add(&mut self, vaddr: u64, nr_pages: u64, flags: u32) -> Result<Option<u64>> {
        let len =
            nr_pages.checked_mul(self.page_size).filter(|len| vaddr.checked_add(*len).is_some() && *len != 0);
        let floor = self
            .last
            .as_ref()
            .map_or(0, |last| last.vaddr + self.page_size * last.nr_pages.unwrap_or_default());
        let Some(len) = len.filter(|_| vaddr >= floor && vaddr.is_multiple_of(self.page_size)) else {
            let run = format!("{nr_pages} pages at {vaddr:#x} after {floor:#x}");
            return Err(Error::bug(format!("impossible run of pages: {run}")).on(&self.name));
        };
        match &mut self.last {
            Some(last) if vaddr == floor && last.flags == Some(flags) => {
                last.nr_pages = last.nr_pages.map(|before| before + nr_pages);
            }
            _ => {
                self.flush()?;
                let nr_pages = Some(nr_pages);
                let flags = Some(flags);
                self.last =
                    Some(PagemapEntry { vaddr, compat_nr_pages: 0, in_parent: None, flags, nr_pages });
            }
        }
        if flags & pe::PRESENT == 0 {
            return Ok(None);
        }
        let offset = self.end;
        self.end += len;
        Ok(Some(offset))
    }

    /// The pages image, for pwrite(2), splice(2) or copy_file_range(2) at the offsets that [`add`](PageWriter::add) gave.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.pages)
    }

    /// Bytes of pages given out so far.
    pub fn len(&self) -> u64 {
        self.end
    }

    /// Whether no pages have been given out.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Writes the rest of the pagemap, and checks that the pages image has as many bytes as were given out.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.pagemap.finish()?;
        let got = self.pages.metadata().os(|| format!("stat the pages of {}", self.name))?.len();
        if got != self.end {
            return Err(
                Error::bug(format!("its pages image has {got} bytes instead of {}", self.end)).on(&self.name)
            );
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        match self.last.take() {
            Some(entry) => self.pagemap.push(&entry),
            None => Ok(()),
        }
    }
}
