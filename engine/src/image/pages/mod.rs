//! The page store: which pages of an address space (or shared segment) are where.
//!
//! `pagemap-N.img` names `pages-M.img` in its head and then lists runs of pages in ascending order. The pages of runs
//! with PE_PRESENT stand in the pages image one after the other, without header; those with PE_PARENT are in the
//! parent directory's image of the same name; those with PE_LAZY alone are brought by the lazy pages daemon.
//! Data moves by file descriptor and offset, so that several threads can copy at once: nothing here buffers pages.

mod reader;
mod writer;

pub use reader::{PageReader, Segment, Source};
pub use writer::PageWriter;

use super::message::{PagemapEntry, pe};

/// A run of pages as one pagemap entry says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Address of the first page; in a shared segment the offset.
    pub vaddr: u64,
    /// Never 0.
    pub nr_pages: u64,
    /// PE_* bits, [`pe`].
    pub flags: u32,
    /// Offset of the first page in the pages image, bytes, of a run with PE_PRESENT.
    pub offset: Option<u64>,
}

impl Run {
    /// Bytes of the run.
    pub fn len(&self, page_size: u64) -> u64 {
        self.nr_pages * page_size
    }
}

/// Flags of an entry, in the old form as well.
fn flags(entry: &PagemapEntry) -> u32 {
    match entry.flags {
        Some(flags) => flags,
        None if entry.in_parent == Some(true) => pe::PARENT,
        None => pe::PRESENT,
    }
}

/// Number of pages of an entry, in the old form as well.
fn nr_pages(entry: &PagemapEntry) -> u64 {
    entry.nr_pages.unwrap_or(entry.compat_nr_pages.into())
}

#[cfg(test)]
mod tests;
