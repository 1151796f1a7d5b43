//! Shared memory segments that tasks of the tree have attached: shmget(2), shmat(2), shmctl(2), ipc/shm.c.
//!
//! A mapping of a segment shows its id as inode ([`Mapped::SysvSegment`](crate::kernel::smaps::Mapped)), and leads to its
//! content by /proc/PID/map_files, like any shared memory. Owner, size and creator are told by IPC_STAT. The image is
//! CRIU's of an IPC namespace, `ipcns-shm-NS.img`, with the pages in `pagemap-shmem-ID.img`; how the tasks attach it is
//! in their mappings ([`attach`](crate::resource::memory)).
//!
//! A restored segment is made by a process with the pid and the users of its creator, if the pid is free. While it is
//! built only we can use it, and a failure removes it. One that is marked to be removed is so again before it is filled:
//! it goes with the last task that has it.
//!
//! Not kept: times and the pid of the last user; the key in the name that /proc shows of a removed segment; whether
//! memory was promised (SHM_NORESERVE), which nothing shows. Segments that no task has attached are none of the tree's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use super::{Creator, Noun, PATIENCE, There, desc_of, difference, is_absence, unfinished};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{IpcDescEntry, IpcShmEntry, VmaEntry, status};
use crate::image::{ImageDir, Kind, PageReader};
use crate::kernel::pagemap::page_size;
use crate::kernel::smaps::{self, VmFlags, Vma};
use crate::kernel::{ProcDir, huge_pool};
use crate::resource::file::memfd;
use crate::sys::ipc::Perm;
use crate::sys::ipc::shm::{self as ipc, Attachment, Segment};

const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;
const SHM_HUGETLB: u32 = 0o4000;

/// With the size of the pages: SHM_HUGE_MASK at SHM_HUGE_SHIFT.
const HUGETLB_FLAGS: u32 = SHM_HUGETLB | 0x3f << 26;

const SMALLEST_HUGE_PAGE: u64 = 64 << 10;

const SEGMENT: Noun = Noun {
    name: "shared memory segment",
    next_id: "shm_next_id",
    option: "-m",
    perm: |id| ipc::segment(id).map(|segment| segment.perm),
    find: |key| ipc::shmget(key, 0, 0),
    set_owner: ipc::set_segment_owner,
    remove: ipc::remove_segment,
};

/// Refuses a mapping of a segment that we cannot tell anything about.
pub fn judge(proc: &ProcDir, vma: &Vma) -> Result<()> {
    segment_of(proc, vma).map(drop).map_err(|e| e.on(crate::resource::memory::vma::name(vma)))
}

/// The segment behind a mapping. A task may have it from a namespace that it was in before, where its number is another
/// one's in ours; size and key then tell.
fn segment_of(proc: &ProcDir, vma: &Vma) -> Result<(u32, Segment)> {
    let foreign = || {
        let reason = "is a System V segment of another IPC namespace, which is not kept yet";
        Error::new("E-VMA-SYSVIPC", Blame::Program, reason)
    };
    let id = i32::try_from(vma.ino).map_err(|_| foreign())?;
    let bytes = proc.stat(&vma.map_file())?.st_size as u64;
    let named =
        |key: u32| vma.path().is_some_and(|path| path.starts_with(format!("/SYSV{key:08x}").as_bytes()));
    match ipc::segment(id) {
        Err(e) if is_absence(&e) => Err(foreign()),
        Ok(seen) if !fits(seen.size, bytes) => Err(foreign()),
        Ok(seen) if seen.perm.mode & SHM_DEST == 0 && !named(seen.perm.key) => Err(foreign()),
        seen => Ok((id as u32, seen.os(|| format!("shmctl IPC_STAT {id}"))?)),
    }
}

/// Whether a segment of `size` bytes may be a file of so many: huge pages are whole.
fn fits(size: u64, bytes: u64) -> bool {
    size == bytes || size < bytes && bytes.is_multiple_of(SMALLEST_HUGE_PAGE)
}

/// The segments that were met.
#[derive(Debug, Default)]
pub struct ShmDump {
    found: BTreeMap<u32, (IpcShmEntry, File)>,
}

impl ShmDump {
    /// The number of the segment behind a mapping.
    pub fn add(&mut self, proc: &ProcDir, vma: &Vma) -> Result<u64> {
        if let Some(known) = u32::try_from(vma.ino).ok().filter(|id| self.found.contains_key(id)) {
            return Ok(known.into());
        }
        let (id, seen) = segment_of(proc, vma)?;
        let usage = vma.usage.unwrap_or_default();
        let huge = usage.flags.contains(VmFlags::HUGETLB);
        let entry = IpcShmEntry {
            desc: desc_of(id, &seen.perm),
            size: seen.size,
            in_pagemaps: Some(true),
            hugetlb_flag: huge.then(|| SHM_HUGETLB | huge_pool::size_to_flags(usage.page_size)),
            cpid: u32::try_from(seen.cpid).ok().filter(|pid| *pid != 0),
        };
        let file = File::from(proc.open_file(&vma.map_file(), OFlag::O_RDONLY)?);
        self.found.insert(id, (entry, file));
        Ok(id.into())
    }

    /// Writes all of them with their contents as those of the IPC namespace `ns`; returns the number of pages.
    pub fn write(self, images: &ImageDir, ns: u32, next_pages_id: &mut u32) -> Result<u64> {
        let mut image = images.writer(Kind::IpcShm(ns));
        let mut pages = 0;
        for (id, (entry, file)) in self.found {
            image.push(&entry)?;
            let size = file.metadata().os(|| "fstat of a segment")?.len();
            pages +=
                memfd::store(images, file, size, id, *next_pages_id).map_err(|e| e.on(SEGMENT.object(id)))?;
            *next_pages_id += 1;
        }
        image.finish()?;
        Ok(pages)
    }
}

/// The segments of an image. Dropped, it removes those that it has made, unless they were kept.
#[derive(Debug, Default)]
pub struct ShmRestore {
    segments: BTreeMap<u32, Planned>,
}

#[derive(Debug)]
struct Planned {
    entry: IpcShmEntry,
    pages: Option<PageReader>,
    /// Keeps it alive until the tasks have it.
    held: Option<Attachment>,
    /// Bytes of its mapping.
    len: u64,
    made: bool,
}

impl ShmRestore {
    /// Reads the segments of the IPC namespace `ns` that these mappings are of.
    pub fn load<'a>(images: &ImageDir, ns: u32, vmas: impl Iterator<Item = &'a VmaEntry>) -> Result<Self> {
        let wanted: BTreeSet<u64> =
            vmas.filter(|vma| vma.status & status::SYSVIPC != 0).map(|vma| vma.shmid).collect();
        if wanted.is_empty() {
            return Ok(ShmRestore::default());
        }
        let kind = Kind::IpcShm(ns);
        let mut segments = BTreeMap::new();
        for entry in images.read_all::<IpcShmEntry>(kind)? {
            let id = entry.desc.id;
            if wanted.contains(&id.into()) {
                if entry.in_pagemaps != Some(true) {
                    let reason = "has a segment without a page map, as CRIU wrote them before 3.0";
                    return Err(Error::image(kind.file_name(), reason));
                }
                if entry.hugetlb_flag.is_some_and(|flags| flags & !HUGETLB_FLAGS != 0) {
                    let reason = format!("has a segment {id} with flags that are none of huge pages");
                    return Err(Error::image(kind.file_name(), reason));
                }
                let pages = PageReader::open(images, Kind::PagemapShmem(id.into()), page_size()?)?;
                segments.insert(id, Planned { entry, pages, held: None, len: 0, made: false });
            }
        }
        match wanted.iter().find(|id| !u32::try_from(**id).is_ok_and(|id| segments.contains_key(&id))) {
            Some(id) => Err(Error::image(kind.file_name(), format!("lacks the mapped segment {id}"))),
            None => Ok(ShmRestore { segments }),
        }
    }

    /// What stands in the way of them.
    pub fn check(&self) -> Vec<Error> {
        self.segments.values().filter_map(|planned| planned.look().err()).collect()
    }

    /// Makes those that are gone, and takes hold of all. `tell` gets what could not be kept of one, and what follows.
    pub fn make(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        for (id, planned) in &mut self.segments {
            planned.make(tell).map_err(|e| e.on(SEGMENT.object(*id)))?;
        }
        Ok(())
    }

    /// Bytes that a segment takes when it is attached.
    pub fn len(&self, id: u64) -> Result<u64> {
        let planned = u32::try_from(id).ok().and_then(|id| self.segments.get(&id));
        planned.map(|planned| planned.len).ok_or_else(|| Error::bug(format!("segment {id} is unknown")))
    }

    /// Gives those that were made to their owners. The tasks have them, and do not run yet.
    pub fn complete(&self) -> Result<()> {
        for planned in self.segments.values().filter(|planned| planned.made) {
            let (id, desc) = (planned.id(), &planned.entry.desc);
            if desc.mode & SHM_LOCKED != 0 {
                ipc::lock_segment(id).os(|| format!("shmctl SHM_LOCK {id}"))?;
            }
            SEGMENT.complete(desc)?;
        }
        Ok(())
    }

    /// Nothing is taken back any more.
    pub fn keep(&mut self) {
        for planned in self.segments.values_mut() {
            (planned.made, planned.held) = (false, None);
        }
    }
}

impl Drop for ShmRestore {
    fn drop(&mut self) {
        for planned in self.segments.values_mut().filter(|planned| planned.made) {
            planned.held = None;
            // The failure that brought us here is the one to report; some are removed already.
            let _ = ipc::remove_segment(planned.id());
        }
    }
}

impl Planned {
    fn id(&self) -> i32 {
        self.entry.desc.id as i32
    }

    fn is_removed(&self) -> bool {
        self.entry.desc.mode & SHM_DEST != 0
    }

    /// What such a segment would be found by.
    fn key(&self) -> u32 {
        if self.is_removed() { libc::IPC_PRIVATE as u32 } else { self.entry.desc.key }
    }

    /// Whether it is still there; an error if something else is in its place, or in use.
    fn look(&self) -> Result<There> {
        let desc = IpcDescEntry { key: self.key(), ..self.entry.desc };
        let differs = |_: &Perm| self.difference(&ipc::segment(self.id()).ok()?);
        match SEGMENT.look(&desc, differs)? {
            There::LeftBehind if !self.comes_free() => {
                let reason = "was made by a restore that is gone, and is attached all the same";
                Err(SEGMENT.taken(desc.id, reason.to_owned()))
            }
            there => Ok(there),
        }
    }

    /// Whether nobody has it attached, for which the tasks of a killed restore need a moment.
    fn comes_free(&self) -> bool {
        let since = Instant::now();
        while ipc::segment(self.id()).is_ok_and(|there| there.attaches != 0) {
            if since.elapsed() > PATIENCE {
                return false;
            }
            sleep(Duration::from_millis(1));
        }
        true
    }

    /// In what a segment of the same number differs. Removing it takes the key away; owner and mode may change.
    fn difference(&self, there: &Segment) -> Option<String> {
        let desc = &self.entry.desc;
        let key = if there.perm.mode & SHM_DEST != 0 { there.perm.key } else { desc.key };
        let cpid = self.entry.cpid.map_or(there.cpid, |pid| pid as i32);
        let facts =
            [("bytes", self.entry.size, there.size), ("creating process", cpid as u64, there.cpid as u64)];
        let own = IpcDescEntry { key, ..*desc };
        SEGMENT.difference(&own, &there.perm).or_else(|| difference(&facts))
    }

    fn make(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        let desc = &self.entry.desc;
        let there = self.look()?;
        if there == There::LeftBehind {
            SEGMENT.clear(desc)?;
        }
        if there != There::Same {
            let kept_creator = self.create()?;
            self.made = true;
            if !kept_creator && self.entry.cpid.is_some() {
                tell(format!("creator of shared memory segment {}", desc.id), "shmctl(2) shows crio's pid");
            }
        }
        let page = self.entry.hugetlb_flag.and_then(huge_pool::size_of_flags).unwrap_or(0);
        let held = Attachment::new(self.id(), page).os(|| format!("shmat {}", desc.id))?;
        if self.made && self.is_removed() {
            ipc::remove_segment(self.id()).os(|| format!("shmctl IPC_RMID {}", desc.id))?;
        }
        let own = ProcDir::current()?;
        let mapping = smaps::read_maps(&own)?.into_iter().find(|vma| vma.start == held.address());
        let mapping = mapping.ok_or_else(|| Error::bug("an attached segment is nowhere"))?;
        (self.len, self.held) = (mapping.len(), Some(held));
        match self.pages.as_ref().filter(|_| self.made) {
            Some(pages) => {
                let file = File::from(own.open_file(&mapping.map_file(), OFlag::O_RDWR)?);
                let size = file.metadata().os(|| "fstat of a segment")?.len();
                memfd::fill(pages, &file, size)
            }
            None => Ok(()),
        }
    }

    /// Makes it, for us alone. Whether its creator has the pid of the old one.
    fn create(&self) -> Result<bool> {
        let desc = &self.entry.desc;
        let flags = (unfinished(desc) | self.entry.hugetlb_flag.unwrap_or(0)) as i32;
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | flags;
        // Where segments end with their creators, ours must not end now.
        let forced = fs::read("/proc/sys/kernel/shm_rmid_forced").is_ok_and(|text| text.starts_with(b"1"));
        let creator = Creator::Process(self.entry.cpid.map(|pid| pid as i32));
        let creator = if forced { Creator::Ourselves } else { creator };
        let create = || ipc::shmget(self.key(), self.entry.size, flags);
        SEGMENT.create(desc, creator, create).map_err(|e| self.explain(e))
    }

    fn explain(&self, e: Error) -> Error {
        match self.entry.hugetlb_flag {
            Some(_) if e.errno() == Some(libc::ENOMEM) => e.help("make the pool of huge pages larger"),
            _ => e,
        }
    }
}
