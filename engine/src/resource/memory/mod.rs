//! The address space of a task: its mappings (`mm-PID.img`) and pages (`pagemap-PID.img`, `pages-N.img`).

pub mod aio;
mod attach;
mod fill;
pub mod huge;
pub mod pages;
pub mod registered;
pub mod restore;
pub mod shared;
pub mod vdso;
pub mod vma;

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};

use self::pages::{Planner, Transfer};
use self::registered::Registered;
use self::vma::{Content, Mapping};
use super::file::FileDump;
use super::ipc::shm::ShmDump;
use super::task::attributes::MemoryAttributes;
use crate::error::{OsContext, Result};
use crate::image::message::{MmEntry, VmaEntry, pe, status};
use crate::image::{ImageDir, Kind, PageWriter};
use crate::kernel::pagemap::{Filter, PagemapScanner, page_size};
use crate::kernel::smaps::{Backing, Vma};
use crate::kernel::stat::Stat;
use crate::kernel::{auxv, smaps};
use crate::report::NotKept;
use crate::tracee::FrozenTask;

/// Device, inode, raw path, and whether it is shared and writable.
type MappedKey = ((u32, u32), u64, Backing, bool);

/// What a dump of memory needs besides the task.
#[derive(Debug)]
pub struct MemoryDump<'a> {
    images: &'a ImageDir,
    next_pages_id: u32,
    segments: ShmDump,
    /// Ids of mapped files by what `smaps` shows of them, so that most mappings need no look at the file.
    mapped: HashMap<MappedKey, u32>,
    /// Copies to be made, of all tasks.
    pub transfers: Vec<Transfer>,
    /// Pages looked at and pages to be stored.
    pub scanned: u64,
    /// See `scanned`.
    pub written: u64,
    /// How long the search for them took.
    pub search_time: Duration,
    /// Mappings of all tasks.
    pub vmas: usize,
    /// What mappings have and the image has not.
    pub not_kept: Vec<NotKept>,
    /// Memory of the task that was added last that outlives it: of files and segments, and writable.
    pub outlasting: Vec<Range<u64>>,
    /// Mappings of all tasks that are registered with some userfaultfd.
    pub registered: Vec<Registered>,
}

impl<'a> MemoryDump<'a> {
    /// A dump into `images`.
    pub fn new(images: &'a ImageDir) -> Self {
        MemoryDump {
            images,
            next_pages_id: 1,
            segments: ShmDump::default(),
            mapped: HashMap::new(),
            transfers: Vec::new(),
            scanned: 0,
            written: 0,
            search_time: Duration::ZERO,
            vmas: 0,
            not_kept: Vec::new(),
            outlasting: Vec::new(),
            registered: Vec::new(),
        }
    }

    /// A number for a new pages image.
    pub fn next_pages_id(&mut self) -> u32 {
        self.next_pages_id += 1;
        self.next_pages_id - 1
    }

    /// Writes the mm image of a frozen task with these mappings and plans the copies of its pages.
    pub fn add(
        &mut self,
        (task, stat): (&FrozenTask, &Stat),
        vmas: &[Vma],
        attributes: MemoryAttributes,
        files: &mut FileDump<'_>,
    ) -> Result<()> {
        self.not_kept.extend(vma::lost(vmas).into_iter().map(|(what, consequence)| NotKept {
            pid: task.pid,
            comm: task.comm.clone(),
            what,
            consequence: consequence.to_owned(),
        }));
        let mut mm = mm_entry(task, stat, attributes)?;
        mm.exe_file_id = files.add_link(&task.proc, &task.comm, "exe", false)?;
        let mut mappings = Vec::new();
        self.outlasting.clear();
        for vma in vmas {
            let mut mapping = Mapping::of(vma)?;
            if matches!(mapping.content, Content::SharedFile | Content::Segment) && may_write(vma) {
                self.outlasting.push(vma.range());
            }
            match mapping.content {
                Content::PrivateFile | Content::SharedFile => {
                    let writable = mapping.content == Content::SharedFile && may_write(vma);
                    mapping.entry.shmid = self.mapped_file(task, vma, writable, files)?.into();
                    mapping.entry.fdflags = Some(access(writable));
                }
                Content::Segment => {
                    mapping.entry.shmid = self.segments.add(&task.proc, vma)?;
                    mapping.entry.fdflags = Some(access(may_write(vma)));
                }
                Content::SocketRings => {
                    let rings = files.rings(vma.ino, vma.offset, vma.end - vma.start);
                    mapping.entry.shmid = rings.map_err(|e| e.on(vma::name(vma)))?.into();
                }
                Content::SharedMemory => {
                    let open = || task.proc.open_file(&vma.map_file(), OFlag::O_RDONLY);
                    mapping.entry.shmid = files.shared_memory(vma.ino, open)?.into();
                }
                Content::AioRing => mm.aios.push(aio::entry(&mapping.entry)),
                Content::Private | Content::Kernel => {}
            }
            mappings.push(mapping);
        }
        self.vmas += mappings.len();
        let started = Instant::now();
        let guards = self.plan_pages(task, &mappings)?;
        self.search_time += started.elapsed();
        mm.vmas = merge_vvar(mappings.into_iter().filter(|m| m.entry.status & status::VSYSCALL == 0));
        mm.vmas.extend(guards);
        self.images.write_one(Kind::Mm(task.pid as u32), &mm)
    }

    fn mapped_file(
        &mut self,
        task: &FrozenTask,
        vma: &Vma,
        writable: bool,
        files: &mut FileDump<'_>,
    ) -> Result<u32> {
        let key = (vma.dev, vma.ino, vma.backing.clone(), writable);
        if let Some(id) = self.mapped.get(&key) {
            return Ok(*id);
        }
        let id = files.add_link(&task.proc, &task.comm, &vma.map_file(), writable)?;
        self.mapped.insert(key, id);
        Ok(id)
    }

    /// Writes the pagemap of a task and plans its transfers. Returns entries for its guard pages.
    fn plan_pages(&mut self, task: &FrozenTask, mappings: &[Mapping]) -> Result<Vec<VmaEntry>> {
        let page = page_size()?;
        let pages_id = self.next_pages_id();
        let mut writer = PageWriter::create(self.images, Kind::Pagemap(task.pid as u32), pages_id, page)?;
        let mem = Arc::new(File::from(task.proc.open_file("mem", OFlag::O_RDONLY)?));
        let mut planner = Planner::new(task.pid, mem, writer.file());
        let mut scanner = PagemapScanner::open(&task.proc)?;
        let mut guards = Vec::new();
        // Neighbours that are searched for the same are searched together.
        let alike = |one: &Mapping, next: &Mapping| {
            one.is_searched() && next.is_searched() && one.content_filter() == next.content_filter()
        };
        for group in mappings.chunk_by(alike) {
            let found = search(&mut scanner, group)?;
            for (mapping, runs) in group.iter().zip(found.content) {
                self.scanned += if mapping.has_private_pages() { mapping.pages(page) } else { 0 };
                for run in runs {
                    let nr_pages = (run.end - run.start) / page;
                    if let Some(offset) = writer.add(run.start, nr_pages, pe::PRESENT)? {
                        planner.add(run.start, run.end - run.start, offset, mapping.shared);
                        self.written += nr_pages;
                    }
                }
            }
            guards.extend(found.guards);
            for mapping in group {
                self.registered.extend(Registered::of(task, mapping, &mut scanner)?);
            }
        }
        self.transfers.extend(planner.finish());
        reserve(&writer.file(), writer.len()).os(|| format!("size {}", Kind::Pages(pages_id).file_name()))?;
        writer.finish()?;
        Ok(guards)
    }

    /// Writes the System V segments, after all tasks were added; returns the number of pages. `ipc_ns` is the number of
    /// the tasks' IPC namespace.
    pub fn finish(&mut self, ipc_ns: u32) -> Result<u64> {
        std::mem::take(&mut self.segments).write(self.images, ipc_ns, &mut self.next_pages_id)
    }
}

/// What the page map shows of some mappings.
struct Found {
    /// The runs of pages to be stored, mapping by mapping.
    content: Vec<Vec<Range<u64>>>,
    guards: Vec<VmaEntry>,
}

/// Looks at a mapping that is not searched for content, or at neighbours that are.
fn search(scanner: &mut PagemapScanner, group: &[Mapping]) -> Result<Found> {
    let ranges: Vec<_> = group.iter().map(|mapping| mapping.entry.start..mapping.entry.end).collect();
    Ok(match group {
        [one] if !one.is_searched() => Found {
            guards: match one.may_have_guards() && scanner.knows_guards() {
                true => guards(scanner, group, &ranges)?,
                false => Vec::new(),
            },
            content: vec![if one.has_private_pages() { ranges } else { Vec::new() }],
        },
        _ => {
            if group.iter().any(|mapping| mapping.entry.is_huge()) {
                settle(scanner, &ranges)?;
            }
            let filter = group.first().map_or(Filter::PRIVATE, Mapping::content_filter);
            Found { content: scanner.find_in(&ranges, filter)?, guards: guards(scanner, group, &ranges)? }
        }
    })
}

/// How often a look at huge pages is taken until what is being moved has arrived.
const LOOKS: usize = 5;

/// Waits for huge pages that the kernel moves in memory: they are not mapped until that is done. There is no telling
/// them from other unsettled ones, which stay so.
fn settle(scanner: &mut PagemapScanner, ranges: &[Range<u64>]) -> Result<()> {
    for _ in 0..LOOKS {
        if scanner.find_in(ranges, Filter::UNSETTLED)?.iter().all(Vec::is_empty) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Entries for the guard pages in some mappings.
fn guards(scanner: &mut PagemapScanner, group: &[Mapping], ranges: &[Range<u64>]) -> Result<Vec<VmaEntry>> {
    let guards = scanner.find_in(ranges, Filter::GUARD)?;
    let entries = group.iter().zip(guards).flat_map(|(mapping, runs)| {
        runs.into_iter().map(|run| guard_entry(&mapping.entry, run.start, run.end))
    });
    Ok(entries.collect())
}

/// Makes room for pages that several threads will write in any order. A disk that has to find blocks for each piece takes
/// twice as long; tmpfs would fetch all its memory here, by one thread.
fn reserve(file: &File, len: u64) -> std::io::Result<()> {
    let memory = fstatfs(file).is_ok_and(|of| of.filesystem_type() == TMPFS_MAGIC);
    if len == 0 || memory {
        return file.set_len(len);
    }
    match fallocate(file, FallocateFlags::empty(), 0, len as libc::off_t) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => file.set_len(len),
        other => Ok(other?),
    }
}

/// How to open what is mapped.
fn access(writable: bool) -> u32 {
    (if writable { libc::O_RDWR } else { libc::O_RDONLY }) as u32
}

fn may_write(vma: &Vma) -> bool {
    // VM_SHARED, unlike VM_MAYSHARE, is only set for a file that was opened for writing (mm/mmap.c).
    vma.usage.is_some_and(|usage| usage.flags.contains(smaps::VmFlags::SHARED))
}

fn guard_entry(vma: &VmaEntry, start: u64, end: u64) -> VmaEntry {
    VmaEntry { start, end, prot: 0, flags: vma.flags, status: status::GUARD, fd: -1, ..VmaEntry::default() }
}

/// The kernel shows the parts of the vvar as mappings of their own since Linux 6.13; CRIU's images have one.
fn merge_vvar(mappings: impl Iterator<Item = Mapping>) -> Vec<VmaEntry> {
    let mut entries: Vec<VmaEntry> = Vec::new();
    for mapping in mappings {
        let entry = mapping.entry;
        match entries.last_mut() {
            Some(last) if last.end == entry.start && last.status & entry.status & status::VVAR != 0 => {
                last.end = entry.end;
            }
            _ => entries.push(entry),
        }
    }
    entries
}

fn mm_entry(task: &FrozenTask, stat: &Stat, attributes: MemoryAttributes) -> Result<MmEntry> {
    Ok(MmEntry {
        mm_start_code: stat.start_code,
        mm_end_code: stat.end_code,
        mm_start_data: stat.start_data,
        mm_end_data: stat.end_data,
        mm_start_stack: stat.start_stack,
        mm_start_brk: stat.start_brk,
        mm_brk: attributes.brk,
        mm_arg_start: stat.arg_start,
        mm_arg_end: stat.arg_end,
        mm_env_start: stat.env_start,
        mm_env_end: stat.env_end,
        mm_saved_auxv: auxv::read(&task.proc)?.into_iter().flat_map(|(key, value)| [key, value]).collect(),
        dumpable: Some(attributes.dumpable),
        thp_disabled: attributes.thp_disabled.then_some(true),
        lock_future: Some(attributes.lock_future).filter(|flags| *flags != 0),
        coredump_filter: attributes.coredump_filter,
        mdwe: Some(attributes.mdwe).filter(|bits| *bits != 0),
        ..MmEntry::default()
    })
}
