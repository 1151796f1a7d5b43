//! Mappings: what kind each one is, and its entry in `mm-PID.img`. mmap(2), madvise(2), proc_pid_smaps(5).
//!
//! Memory of hugetlbfs is private, or a file of memfd_create(2), as which CRIU takes shared memory without a name too. Its
//! page size is in the flags; holes and content are counted in the machine's pages all the same.
//!
//! Refused by name: device memory, shadow stacks, tagged memory, sealed mappings, uprobes, and what
//! this table does not know.

use super::registered;
use crate::error::{Blame, Error, Result};
use crate::image::message::{MmEntry, VmaEntry, status};
use crate::kernel::huge_pool;
use crate::kernel::pagemap::Filter;
use crate::kernel::smaps::{self, Backing, Mapped, Usage, VmFlags, Vma};

const MAP_DROPPABLE: i32 = 8;
/// aarch64: indirect branches may lead to marked instructions only.
const PROT_BTI: i32 = 0x10;

/// madvise(2) advice that the kernel remembers in a flag of the mapping.
const ADVICE: [(VmFlags, i32); 8] = [
    (VmFlags::RANDOM_READ, libc::MADV_RANDOM),
    (VmFlags::SEQUENTIAL_READ, libc::MADV_SEQUENTIAL),
    (VmFlags::DONT_COPY, libc::MADV_DONTFORK),
    (VmFlags::MERGEABLE, libc::MADV_MERGEABLE),
    (VmFlags::HUGE_PAGE, libc::MADV_HUGEPAGE),
    (VmFlags::NO_HUGE_PAGE, libc::MADV_NOHUGEPAGE),
    (VmFlags::DONT_DUMP, libc::MADV_DONTDUMP),
    (VmFlags::WIPE_ON_FORK, libc::MADV_WIPEONFORK),
];

/// Where the content of a mapping is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// In pages of its own, to be stored with the task.
    Private,
    /// In an object that its sharers have in common: memory without a name.
    SharedMemory,
    /// In a System V segment.
    Segment,
    /// In a file, or in private pages where they were written to.
    PrivateFile,
    /// In a file.
    SharedFile,
    /// In the ring of an AIO context, to be stored with the task.
    AioRing,
    /// In the rings of a packet socket, to be stored with the socket, or in private pages where those were written to.
    SocketRings,
    /// Nowhere: the kernel provides it.
    Kernel,
}

/// A mapping as the image says it. `shmid` is not yet filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// Its entry.
    pub entry: VmaEntry,
    /// What it is backed by.
    pub content: Content,
    /// Others have some of its pages mapped as well.
    pub shared: bool,
}

impl Mapping {
    /// Judges a mapping of `smaps`. The error names the mapping, not the task.
    pub fn of(vma: &Vma) -> Result<Self> {
        let usage = vma.usage.unwrap_or_default();
        let (kind, content) = classify(vma, &usage).map_err(|e| e.on(name(vma)))?;
        let mut flags = if vma.shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
        let has = |flag| usage.flags.contains(flag);
        if has(VmFlags::DROPPABLE) {
            flags = MAP_DROPPABLE;
        }
        if !matches!(content, Content::PrivateFile | Content::SharedFile | Content::SocketRings) {
            flags |= libc::MAP_ANONYMOUS;
        }
        let extra = [
            (VmFlags::GROWS_DOWN, libc::MAP_GROWSDOWN),
            (VmFlags::LOCKED, libc::MAP_LOCKED),
            (VmFlags::NO_RESERVE, libc::MAP_NORESERVE),
        ];
        flags |= extra.iter().filter(|(flag, _)| has(*flag)).fold(0, |all, (_, bit)| all | bit);
        if has(VmFlags::HUGETLB) {
            flags |= libc::MAP_HUGETLB | huge_pool::size_to_flags(usage.page_size) as i32;
        }
        let madv =
            ADVICE.iter().filter(|(flag, _)| has(*flag)).fold(0, |all, (_, advice)| all | 1u64 << advice);
        let protection = [
            (vma.read, libc::PROT_READ),
            (vma.write, libc::PROT_WRITE),
            (vma.exec, libc::PROT_EXEC),
            (has(VmFlags::ARM64_BTI), PROT_BTI),
        ];
        let prot = protection.iter().filter(|(on, _)| *on).fold(0, |all, (_, bit)| all | bit);
        let entry = VmaEntry {
            start: vma.start,
            end: vma.end,
            pgoff: if matches!(content, Content::Private | Content::AioRing | Content::Kernel) {
                0
            } else {
                vma.offset
            },
            shmid: 0,
            prot: prot as u32,
            flags: flags as u32,
            status: kind,
            fd: -1,
            madv: (madv != 0).then_some(madv),
            fdflags: None,
            anon_name: anon_name(vma),
            lock_on_fault: has(VmFlags::LOCK_ON_FAULT).then_some(true),
            sigpage: (vma.backing == Backing::Sigpage).then_some(true),
            userfaultfd: registered::modes(vma),
        };
        // What shows as shared does not count huge pages. Those that are must not be copied for a reader who pins them: if the
        // pool is empty, the kernel takes them away from the child (mm/hugetlb.c, unmap_ref_private).
        let shared = usage.shared != 0 || has(VmFlags::HUGETLB);
        Ok(Mapping { entry, content, shared })
    }

    /// Whether private pages of this mapping are to be stored.
    pub fn has_private_pages(&self) -> bool {
        let flags = self.entry.flags as i32;
        match self.content {
            Content::Private | Content::PrivateFile | Content::AioRing => flags & MAP_DROPPABLE == 0,
            Content::SocketRings => flags & libc::MAP_SHARED == 0,
            _ => false,
        }
    }

    /// Whether the page map tells which those are; the vdso and its kin, and the rings of AIO contexts are stored as a whole.
    pub fn is_searched(&self) -> bool {
        self.has_private_pages() && !self.is_made_by_kernel()
    }

    /// The pages to be stored where it is searched.
    pub fn content_filter(&self) -> Filter {
        let filter = if self.entry.userfaultfd.is_some() { Filter::PRIVATE_OR_ZERO } else { Filter::PRIVATE };
        if self.entry.is_huge() { filter.of_huge_pages() } else { filter }
    }

    /// Whether there may be guard pages (MADV_GUARD_INSTALL): since Linux 6.15 also where memory is shared.
    pub fn may_have_guards(&self) -> bool {
        self.content != Content::Kernel && !self.is_made_by_kernel()
    }

    fn is_made_by_kernel(&self) -> bool {
        self.entry.status & (status::VDSO | status::AIORING) != 0 || self.entry.sigpage == Some(true)
    }

    /// Its length in pages of `page` bytes.
    pub fn pages(&self, page: u64) -> u64 {
        (self.entry.end - self.entry.start) / page
    }
}

/// How messages name a mapping.
pub fn name(vma: &Vma) -> String {
    let what = match &vma.backing {
        Backing::File(path) | Backing::Special(path) => format!(" ({})", String::from_utf8_lossy(path)),
        _ => String::new(),
    };
    format!("vma {:x}-{:x}{what}", vma.start, vma.end)
}

fn anon_name(vma: &Vma) -> Option<String> {
    match &vma.backing {
        Backing::AnonymousNamed(name) | Backing::SharedNamed(name) => {
            Some(String::from_utf8_lossy(name).into())
        }
        _ => None,
    }
}

fn refuse(code: &'static str, reason: &str) -> Error {
    Error::new(code, Blame::Program, reason)
}

fn classify(vma: &Vma, usage: &Usage) -> Result<(u32, Content)> {
    let has = |flag| usage.flags.contains(flag);
    let anonymous = status::REGULAR | status::ANON_PRIVATE;
    match &vma.backing {
        Backing::Vdso => return Ok((anonymous | status::VDSO, Content::Private)),
        Backing::Sigpage => return Ok((anonymous, Content::Private)),
        Backing::Vvar | Backing::VvarVclock => return Ok((anonymous | status::VVAR, Content::Kernel)),
        Backing::Vsyscall => return Ok((status::VSYSCALL, Content::Kernel)),
        Backing::Uprobes => {
            return Err(refuse("E-VMA-UPROBES", "holds probes that the kernel has set")
                .help("remove the uprobes from the program"));
        }
        Backing::File(path) => refuse_object(path)?,
        _ => {}
    }
    let refused = [
        (VmFlags::SHADOW_STACK, "E-VMA-SHADOW-STACK", "is a shadow stack, which is not kept yet"),
        (VmFlags::MTE, "E-VMA-MTE", "is tagged memory (PROT_MTE), whose tags are not kept yet"),
        (VmFlags::PFN_MAP, "E-VMA-DEVICE", "maps the memory of a device"),
        (VmFlags::IO, "E-VMA-DEVICE", "maps the memory of a device"),
    ];
    if let Some((_, code, reason)) = refused.into_iter().find(|(flag, ..)| has(*flag)) {
        return Err(refuse(code, reason));
    }
    match &vma.backing {
        Backing::Anonymous | Backing::AnonymousNamed(_) => Ok((anonymous, Content::Private)),
        Backing::Heap => Ok((anonymous | status::HEAP, Content::Private)),
        Backing::Stack => Ok((anonymous | status::STACK, Content::Private)),
        Backing::SharedNamed(_) => classify_file(vma, smaps::SHARED_MEMORY),
        Backing::File(path) => classify_file(vma, path),
        _ => Err(refuse("E-VMA-UNKNOWN", "is of a kind that this version does not know")),
    }
}

/// Whether only the flags, which `maps` does not show, can tell that a mapping is refused, and there is reason to ask.
pub fn wants_flags(vma: &Vma) -> bool {
    matches!(&vma.backing, Backing::File(path) if Mapped::of(path) == Mapped::Device)
}

/// Refuses memory of a kernel object by its name, which tells more than the flags.
fn refuse_object(path: &[u8]) -> Result<()> {
    let (code, reason) = match Mapped::of(path) {
        Mapped::AnonInode => ("E-VMA-ANON-INODE", "is memory of a kernel object that is not kept"),
        _ => return Ok(()),
    };
    Err(refuse(code, reason))
}

fn classify_file(vma: &Vma, path: &[u8]) -> Result<(u32, Content)> {
    let mapped = Mapped::of(path);
    let memfd = match mapped {
        Mapped::Memfd | Mapped::HugeMemory | Mapped::SharedMemory => status::MEMFD,
        _ => 0,
    };
    Ok(match (vma.shared, mapped) {
        (_, Mapped::AioRing) => (status::AIORING, Content::AioRing),
        (_, Mapped::PacketRing) => (status::REGULAR | status::SOCKET, Content::SocketRings),
        (false, Mapped::HugeMemory) => (status::REGULAR | status::ANON_PRIVATE, Content::Private),
        (true, Mapped::SharedMemory) => (status::REGULAR | status::ANON_SHARED, Content::SharedMemory),
        (true, Mapped::SysvSegment) => {
            (status::REGULAR | status::ANON_SHARED | status::SYSVIPC, Content::Segment)
        }
        // Only /proc/PID/map_files leads to such a mapping. Restored as a file it would not follow the segment any more.
        (false, Mapped::SysvSegment) => {
            return Err(refuse(
                "E-VMA-SHARED-COPY",
                "is a private mapping of a System V segment, which shmat(2) cannot make",
            ));
        }
        (true, _) => (status::REGULAR | status::FILE_SHARED | memfd, Content::SharedFile),
        (false, _) => (status::REGULAR | status::FILE_PRIVATE | memfd, Content::PrivateFile),
    })
}

/// What mappings of `smaps` have and no image carries, counted, and what the program notices.
pub fn lost(vmas: &[Vma]) -> Vec<(String, &'static str)> {
    let own = |vma: &&Vma| {
        !matches!(vma.backing, Backing::Vdso | Backing::Vvar | Backing::VvarVclock | Backing::Vsyscall)
    };
    let count = |has: &dyn Fn(&Vma) -> bool| vmas.iter().filter(own).filter(|vma| has(vma)).count();
    let sealed = count(&|vma| vma.usage.is_some_and(|usage| usage.flags.contains(VmFlags::SEALED)));
    let keyed = count(&|vma| vma.usage.and_then(|usage| usage.protection_key).unwrap_or(0) != 0);
    let mut lost = Vec::new();
    if sealed > 0 {
        lost.push((format!("seals of {sealed} mappings"), "sealed memory can be changed again"));
    }
    if keyed > 0 {
        lost.push((format!("protection keys of {keyed} mappings"), "all memory has key 0"));
    }
    lost
}

/// Refuses mappings that no address space has. They ascend; guard pages lie in them, and have entries behind all others.
pub fn judge_image(mm: &MmEntry, page: u64, file: &str) -> Result<()> {
    let mut floor = 0;
    for vma in &mm.vmas {
        let is_guard = vma.status & status::GUARD != 0;
        let is_whole = [vma.start, vma.end].iter().all(|address| address.is_multiple_of(page));
        if vma.end <= vma.start || !is_whole || (vma.start < floor && !is_guard) {
            return Err(Error::image(file, format!("impossible vma {:x}-{:x}", vma.start, vma.end)));
        }
        floor = if is_guard { floor } else { vma.end };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::smaps;

    fn judge(text: &str) -> Result<Mapping> {
        smaps::parse(text.as_bytes()).and_then(|vmas| {
            vmas.first().ok_or_else(|| Error::bug("no mapping in the fixture")).and_then(Mapping::of)
        })
    }

    #[test]
    fn impossible_mappings_are_refused() {
        let of = |ranges: &[(u64, u64, u32)]| {
            let vma = |&(start, end, status)| VmaEntry { start, end, status, ..VmaEntry::default() };
            let mm = MmEntry { vmas: ranges.iter().map(vma).collect(), ..MmEntry::default() };
            judge_image(&mm, 0x1000, "mm").map_err(|e| e.code())
        };
        assert_eq!(of(&[(0x1000, 0x3000, 1), (0x3000, 0x4000, 1), (0x1000, 0x2000, status::GUARD)]), Ok(()));
        for wrong in
            [(0x2000, 0x4000, 1), (0x5000, 0x4000, status::GUARD), (0x4000, 0x4800, 1), (0x4800, 0x5000, 1)]
        {
            assert_eq!(of(&[(0x1000, 0x3000, 1), wrong]), Err("E-IMAGE-BAD"), "{wrong:x?}");
        }
    }

    #[test]
    fn kinds_flags_and_advice() -> Result<()> {
        for (shared, private) in [("s", false), ("p", true)] {
            let rings = judge(&format!(
                "1000-2000 rw-{shared} 00000000 00:08 9    socket:[9]\nVmFlags: rd wr mr mw me\n"
            ))?;
            assert_eq!((rings.content, rings.has_private_pages()), (Content::SocketRings, private));
        }
        let stack =
            judge("7ffe0000-7fff0000 rw-p 00000000 00:00 0    [stack]\nVmFlags: rd wr mr mw me gd ac\n")?;
        assert_eq!(stack.entry.status, status::REGULAR | status::STACK | status::ANON_PRIVATE);
        assert_ne!(stack.entry.flags as i32 & libc::MAP_GROWSDOWN, 0);
        let advised = judge("1000-2000 ---p 00000000 00:00 0 \nVmFlags: mr mw me dc hg\n")?;
        assert_eq!(advised.entry.madv, Some(1 << 10 | 1 << 14));
        assert_eq!((advised.entry.prot, advised.content), (0, Content::Private));
        let guarded = judge("1000-2000 r-xp 00000000 00:00 0 \nVmFlags: rd ex mr mw me bt\n")?;
        assert_eq!(guarded.entry.prot as i32, libc::PROT_READ | libc::PROT_EXEC | PROT_BTI);
        let shared =
            judge("1000-2000 rw-s 00003000 00:01 5    /dev/zero (deleted)\nVmFlags: rd wr sh mr mw me ms\n")?;
        assert_eq!((shared.content, shared.entry.pgoff), (Content::SharedMemory, 0x3000));
        for name in ["/dev/zero (deleted)", "[anon_shmem:name]"] {
            let private =
                judge(&format!("1000-2000 rw-p 00003000 00:01 5    {name}\nVmFlags: rd wr mr mw me\n"))?;
            assert_eq!(private.entry.status, status::REGULAR | status::FILE_PRIVATE | status::MEMFD);
            assert_eq!((private.content, private.entry.pgoff), (Content::PrivateFile, 0x3000));
        }
        let segment =
            judge("1000-2000 r--s 00002000 00:01 7    /SYSV00000000 (deleted)\nVmFlags: rd mr me ms\n")?;
        assert_eq!((segment.content, segment.entry.pgoff), (Content::Segment, 0x2000));
        assert_eq!(segment.entry.status, status::REGULAR | status::ANON_SHARED | status::SYSVIPC);
        Ok(())
    }

    #[test]
    fn huge_pages_keep_their_size() -> Result<()> {
        let huge = |perms: &str, path: &str| {
            judge(&format!(
                "40000000-40400000 {perms} 00000000 00:0f 9    {path} (deleted)\nKernelPageSize:     2048 kB\n\
                 VmFlags: rd wr mr mw me de ht\n"
            ))
        };
        let private = huge("rw-p", "/anon_hugepage")?;
        assert_eq!(private.entry.status, status::REGULAR | status::ANON_PRIVATE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
        assert_eq!((private.entry.flags as i32, private.content), (flags, Content::Private));
        let shared = huge("rw-s", "/anon_hugepage")?;
        assert_eq!(shared.entry.status, status::REGULAR | status::FILE_SHARED | status::MEMFD);
        let flags = libc::MAP_SHARED | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
        assert_eq!((shared.entry.flags as i32, shared.content), (flags, Content::SharedFile));
        assert_eq!(huge("rw-p", "/memfd:x")?.content, Content::PrivateFile);
        Ok(())
    }

    #[test]
    fn what_cannot_be_kept_is_named() {
        let device =
            judge("1000-2000 rw-s 00000000 00:05 9    /dev/dri/card0\nVmFlags: rd wr sh mr mw me ms pf io\n");
        assert_eq!(
            device.err().map(|e| (e.code(), e.headline())),
            Some(("E-VMA-DEVICE", "vma 1000-2000 (/dev/dri/card0): maps the memory of a device".into()))
        );
        // What is mapped of a perf event has no pages either.
        let perf =
            judge("1000-2000 r--s 00000000 00:10 9    anon_inode:[perf_event]\nVmFlags: rd sh mr ms pf\n");
        assert_eq!(perf.err().map(|e| e.code()), Some("E-VMA-ANON-INODE"));
        let flags = [("mt", "E-VMA-MTE"), ("ss", "E-VMA-SHADOW-STACK")];
        for (flag, code) in flags {
            let refused =
                judge(&format!("1000-2000 rw-p 00000000 00:00 0 \nVmFlags: rd wr mr mw me {flag}\n"));
            assert_eq!(refused.err().map(|e| e.code()), Some(code), "{flag}");
        }
        let copy =
            judge("1000-2000 rw-p 00001000 00:01 5    /SYSV00000000 (deleted)\nVmFlags: rd wr mr mw me\n");
        assert_eq!(copy.err().map(|e| e.code()), Some("E-VMA-SHARED-COPY"));
    }
}
