//! Shared memory without a name: MAP_SHARED | MAP_ANONYMOUS, an unlinked file on the kernel's own tmpfs (mm/shmem.c).
//!
//! The object is reached through /proc/PID/map_files, so that nothing has to happen in the task: its content is read
//! and, on restore, written as a file's. Holes stay holes. A program may open it in this way, too, and map it as it likes:
//! then it is among the memory files (`memfd.img`) by the same number.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::error::{Error, OsContext, Result};
use crate::image::message::{VmaEntry, status};
use crate::image::{ImageDir, Kind, PageReader};
use crate::kernel::pagemap::page_size;
use crate::resource::file::{FileRestore, memfd};
use crate::sys::memory::shared_memory;

/// All kinds of shared memory have their pages in images of one kind, by number. Below are the ids of System V segments;
/// from here on memory without a name has the even numbers, and memory files have the odd ones.
pub const FIRST_SHMID: u32 = 1 << 31;

/// The shared objects that were met.
#[derive(Debug, Default)]
pub struct SharedDump {
    /// By inode, with their numbers.
    objects: BTreeMap<u64, (u32, File)>,
}

impl SharedDump {
    /// The number of an object. `open` gives a description of ours, the first time.
    pub fn add(&mut self, inode: u64, open: impl FnOnce() -> Result<OwnedFd>) -> Result<u32> {
        let next = FIRST_SHMID + 2 * self.objects.len() as u32;
        let object = match self.objects.entry(inode) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert((next, File::from(open()?))),
        };
        Ok(object.0)
    }

    /// Writes the content of each object; returns the number of pages. `pages_id` gives the number of an unused
    /// `pages-N.img`.
    pub fn write(self, images: &ImageDir, mut pages_id: impl FnMut() -> u32) -> Result<u64> {
        let mut write = |(shmid, file): (u32, File)| {
            let size = file.metadata().os(|| "stat of shared memory")?.len();
            memfd::store(images, file, size, shmid, pages_id())
        };
        self.objects.into_values().map(&mut write).sum()
    }
}

/// The shared objects of an image.
#[derive(Debug, Default)]
pub struct SharedRestore {
    objects: BTreeMap<u64, SharedObject>,
}

#[derive(Debug)]
struct SharedObject {
    len: u64,
    pages: Option<PageReader>,
    file: Option<File>,
}

impl SharedRestore {
    /// Finds the objects in mappings and their pages in the images.
    pub fn load<'a>(images: &ImageDir, vmas: impl Iterator<Item = &'a VmaEntry>) -> Result<Self> {
        let mut objects: BTreeMap<u64, SharedObject> = BTreeMap::new();
        let unnamed =
            |vma: &&VmaEntry| vma.status & (status::ANON_SHARED | status::SYSVIPC) == status::ANON_SHARED;
        for vma in vmas.filter(unnamed) {
            let len = vma.pgoff.checked_add(vma.end - vma.start).ok_or_else(|| {
                Error::image("mm", format!("the shared mapping at {:x} has no end", vma.start))
            })?;
            match objects.entry(vma.shmid) {
                Entry::Occupied(mut known) => known.get_mut().len = known.get().len.max(len),
                Entry::Vacant(new) => {
                    let pages = PageReader::open(images, Kind::PagemapShmem(vma.shmid), page_size()?)?;
                    new.insert(SharedObject { len, pages, file: None });
                }
            }
        }
        Ok(SharedRestore { objects })
    }

    /// Where the object has data, offsets in bytes.
    pub fn data(&self, shmid: u64) -> Result<Vec<Range<u64>>> {
        let pages = self.objects.get(&shmid).and_then(|object| object.pages.as_ref());
        let segments = pages.map_or_else(|| Ok(Vec::new()), PageReader::segments)?;
        Ok(segments.iter().map(|segment| segment.vaddr..segment.vaddr + segment.len).collect())
    }

    /// A descriptor of ours for the object, which is made and filled when it is first asked for. If the tree has it open,
    /// `files` make it.
    pub fn descriptor(&mut self, shmid: u64, files: &mut FileRestore) -> Result<RawFd> {
        let object = self
            .objects
            .get_mut(&shmid)
            .ok_or_else(|| Error::bug(format!("shared memory {shmid} is unknown")))?;
        if object.file.is_none() {
            object.file = Some(match files.shared_memory(shmid)? {
                Some(opened) => File::from(opened),
                None => object.make()?,
            });
        }
        Ok(object.file.as_ref().map_or(-1, AsRawFd::as_raw_fd))
    }
}

impl SharedObject {
    fn make(&self) -> Result<File> {
        let memory = shared_memory(self.len, page_size()?, 0);
        let file = File::from(memory.os(|| format!("map {} bytes of shared memory", self.len))?);
        // It may be larger than what is mapped of it.
        self.pages.as_ref().map_or(Ok(()), |pages| memfd::fill(pages, &file, u64::MAX))?;
        Ok(file)
    }
}
