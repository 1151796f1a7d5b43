//! `/proc/PID/maps` and `/proc/PID/smaps`: proc_pid_maps(5), proc_pid_smaps(5), fs/proc/task_mmu.c.
//!
//! `maps` is cheap. `smaps` walks the page tables of every mapping to count what is resident, and is the only source
//! of the flags that madvise(2), mlock(2) and the like have set ([`VmFlags`]): a dump needs it once per process.
//! Sharing (which mappings are one object) is not decided here.

use std::ops::{BitOr, Range};

use super::{ProcDir, text};
use crate::error::Result;

/// What a mapping shows besides its address: the last column of `maps`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Backing {
    /// Nothing is printed: private anonymous memory.
    Anonymous,
    /// `[anon:NAME]`: named by prctl(PR_SET_VMA).
    AnonymousNamed(Vec<u8>),
    /// `[anon_shmem:NAME]`: the same for shared anonymous memory, which is an unnamed tmpfs file.
    SharedNamed(Vec<u8>),
    /// `[heap]`: brk(2).
    Heap,
    /// `[stack]`: the main thread's.
    Stack,
    /// `[vdso]`
    Vdso,
    /// `[vvar]`: data of the vdso.
    Vvar,
    /// `[vvar_vclock]`: more data of the vdso, Linux 6.13 and later.
    VvarVclock,
    /// `[sigpage]`: the code by which signal handlers of 32-bit ARM return.
    Sigpage,
    /// `[vsyscall]` of x86-64, `[vectors]` of 32-bit ARM: at a fixed kernel address, not part of the task's memory.
    Vsyscall,
    /// `[uprobes]`: slots of the kernel's user space probes.
    Uprobes,
    /// Another name in brackets that the kernel gives.
    Special(Vec<u8>),
    /// A file, as printed: see [`Vma::path`].
    File(Vec<u8>),
}

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vma {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// PROT_READ
    pub read: bool,
    /// PROT_WRITE
    pub write: bool,
    /// PROT_EXEC
    pub exec: bool,
    /// MAP_SHARED, also when the file was opened read only (VM_MAYSHARE).
    pub shared: bool,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Device (major, minor) of the file system, as it is mounted; (0, 0) without a file.
    pub dev: (u32, u32),
    /// Inode, 0 without a file.
    pub ino: u64,
    /// What it shows.
    pub backing: Backing,
    /// What only `smaps` tells: `None` from `maps`.
    pub usage: Option<Usage>,
}

/// The lines of `smaps` below a mapping; sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Page size of the mapping: larger than the machine's for hugetlbfs.
    pub page_size: u64,
    /// Resident.
    pub rss: u64,
    /// Resident and no longer (or never) the file's.
    pub anonymous: u64,
    /// Resident in pages that others have mapped as well.
    pub shared: u64,
    /// Swapped out.
    pub swap: u64,
    /// Locked in memory, proportional to its sharers.
    pub locked: u64,
    /// The memory protection key; `None` on machines without.
    pub protection_key: Option<u32>,
    /// What madvise(2), mlock(2), mmap(2) asked for.
    pub flags: VmFlags,
}

impl Vma {
    /// Bytes from start to end.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Never, for what the kernel prints.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its addresses.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    /// The file's path with the escape of newlines (`\012`) undone, still with ` (deleted)` if the kernel added that.
    ///
    /// The kernel escapes newlines only, so a name that holds a backslash may read as one that holds a newline, and a
    /// file may really be called `x (deleted)`: [`map_file`] tells.
    pub fn path(&self) -> Option<Vec<u8>> {
        match &self.backing {
            Backing::File(raw) => Some(text::unescape(raw)),
            _ => None,
        }
    }

    /// The printed path without ` (deleted)`, if it ends so: a hint that st_nlink of the mapped file is 0.
    pub fn deleted_path(&self) -> Option<&[u8]> {
        match &self.backing {
            Backing::File(raw) => raw.strip_suffix(b" (deleted)"),
            _ => None,
        }
    }

    /// Its name in `map_files/`: open or stat that to reach the mapped file whatever its path says now.
    pub fn map_file(&self) -> String {
        format!("map_files/{:x}-{:x}", self.start, self.end)
    }
}

/// What is mapped, by what stands where a file has its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapped {
    /// A file.
    File,
    /// A device: its flags tell whether it has pages as files have.
    Device,
    /// Shared anonymous memory: an unlinked file of this name on the kernel's own tmpfs (mm/shmem.c).
    SharedMemory,
    /// A memfd.
    Memfd,
    /// Memory of MAP_ANONYMOUS | MAP_HUGETLB (hugetlb_file_setup in fs/hugetlbfs/inode.c).
    HugeMemory,
    /// The ring of an AIO context.
    AioRing,
    /// A System V shared memory segment.
    SysvSegment,
    /// The ring of a packet socket.
    PacketRing,
    /// An object of the kernel that has no file system.
    AnonInode,
}

/// The name of shared anonymous memory.
pub const SHARED_MEMORY: &[u8] = b"/dev/zero (deleted)";

impl Mapped {
    /// By the path as `maps` prints it.
    pub fn of(path: &[u8]) -> Self {
        const PREFIXES: [(&[u8], Mapped); 6] = [
            (b"/memfd:", Mapped::Memfd),
            (b"/[aio]", Mapped::AioRing),
            (b"socket:", Mapped::PacketRing),
            (b"anon_inode:", Mapped::AnonInode),
            // Files of a tmpfs: shm_open(3).
            (b"/dev/shm/", Mapped::File),
            (b"/dev/", Mapped::Device),
        ];
        match path {
            SHARED_MEMORY => Mapped::SharedMemory,
            // Private memory.
            b"/dev/zero" => Mapped::File,
            b"/anon_hugepage (deleted)" => Mapped::HugeMemory,
            // SYSV and the key (newseg in ipc/shm.c).
            [b'/', b'S', b'Y', b'S', b'V', key @ ..]
                if key.len() == b"00000000 (deleted)".len() && key.ends_with(b" (deleted)") =>
            {
                Mapped::SysvSegment
            }
            _ => PREFIXES
                .iter()
                .find(|(prefix, _)| path.starts_with(prefix))
                .map_or(Mapped::File, |(_, what)| *what),
        }
    }

    /// Whether a path may lead to it; the others have only the look of one.
    pub fn has_path(self) -> bool {
        matches!(self, Mapped::File | Mapped::Device)
    }
}

/// The exact path of the mapped file: the link in `map_files/`, which escapes nothing. Needs CAP_CHECKPOINT_RESTORE.
pub fn map_file(proc: &ProcDir, vma: &Vma) -> Result<Vec<u8>> {
    proc.readlink(&vma.map_file())
}

/// The two-letter words of `VmFlags:`, as bits of our own (the kernel's numbers are not an interface).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VmFlags(u64);

impl VmFlags {
    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: VmFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: VmFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits: stable only within one run.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// A word that this table lacks: the kernel is newer.
    pub const UNKNOWN: VmFlags = VmFlags(1 << 63);
}

impl BitOr for VmFlags {
    type Output = VmFlags;

    fn bitor(self, other: VmFlags) -> VmFlags {
        VmFlags(self.0 | other.0)
    }
}

/// Defines the constants and the table of words, in the order of show_smap_vma_flags in fs/proc/task_mmu.c.
macro_rules! vm_flags {
    ($($word:literal $name:ident $bit:literal $doc:literal;)*) => {
        impl VmFlags {
            $(#[doc = concat!("`", $word, "`: ", $doc)] pub const $name: VmFlags = VmFlags(1 << $bit);)*

            /// The flag of a word, [`VmFlags::UNKNOWN`] if there is none.
            fn from_word(word: &str) -> VmFlags {
                match word {
                    $($word => VmFlags::$name,)*
                    _ => VmFlags::UNKNOWN,
                }
            }
        }
    };
}

vm_flags! {
    "rd" READ 0 "VM_READ";
    "wr" WRITE 1 "VM_WRITE";
    "ex" EXEC 2 "VM_EXEC";
    "sh" SHARED 3 "VM_SHARED: shared and writable through this open file";
    "mr" MAY_READ 4 "VM_MAYREAD";
    "mw" MAY_WRITE 5 "VM_MAYWRITE";
    "me" MAY_EXEC 6 "VM_MAYEXEC";
    "ms" MAY_SHARE 7 "VM_MAYSHARE: MAP_SHARED was asked for";
    "gd" GROWS_DOWN 8 "VM_GROWSDOWN: MAP_GROWSDOWN";
    "pf" PFN_MAP 9 "VM_PFNMAP: device memory without pages";
    "dw" DENY_WRITE 10 "VM_DENYWRITE, until 5.14";
    "lo" LOCKED 11 "VM_LOCKED: mlock(2)";
    "io" IO 12 "VM_IO: device registers";
    "sr" SEQUENTIAL_READ 13 "VM_SEQ_READ: MADV_SEQUENTIAL";
    "rr" RANDOM_READ 14 "VM_RAND_READ: MADV_RANDOM";
    "dc" DONT_COPY 15 "VM_DONTCOPY: MADV_DONTFORK";
    "de" DONT_EXPAND 16 "VM_DONTEXPAND: no mremap(2) to a larger size";
    "lf" LOCK_ON_FAULT 17 "VM_LOCKONFAULT: MLOCK_ONFAULT";
    "ac" ACCOUNT 18 "VM_ACCOUNT: counts against the commit limit";
    "nr" NO_RESERVE 19 "VM_NORESERVE: MAP_NORESERVE";
    "ht" HUGETLB 20 "VM_HUGETLB: MAP_HUGETLB";
    "sf" SYNC 21 "VM_SYNC: MAP_SYNC";
    "nl" NONLINEAR 22 "VM_NONLINEAR, until 4.0";
    "ar" ARCH_1 23 "VM_ARCH_1";
    "wf" WIPE_ON_FORK 24 "VM_WIPEONFORK: MADV_WIPEONFORK";
    "dd" DONT_DUMP 25 "VM_DONTDUMP: MADV_DONTDUMP";
    "dp" DROPPABLE 26 "VM_DROPPABLE: MAP_DROPPABLE";
    "bt" ARM64_BTI 27 "VM_ARM64_BTI: PROT_BTI";
    "mt" MTE 28 "VM_MTE: PROT_MTE";
    "sd" SOFT_DIRTY 29 "VM_SOFTDIRTY: new since clear_refs";
    "mm" MIXED_MAP 30 "VM_MIXEDMAP: pages and device memory";
    "hg" HUGE_PAGE 31 "VM_HUGEPAGE: MADV_HUGEPAGE";
    "nh" NO_HUGE_PAGE 32 "VM_NOHUGEPAGE: MADV_NOHUGEPAGE";
    "mg" MERGEABLE 33 "VM_MERGEABLE: MADV_MERGEABLE";
    "um" UFFD_MISSING 34 "VM_UFFD_MISSING: userfaultfd(2)";
    "uw" UFFD_WP 35 "VM_UFFD_WP: userfaultfd(2)";
    "ui" UFFD_MINOR 36 "VM_UFFD_MINOR: userfaultfd(2)";
    "ss" SHADOW_STACK 37 "VM_SHADOW_STACK: map_shadow_stack(2)";
    "sl" SEALED 38 "VM_SEALED: mseal(2)";
    "gu" GUARD 39 "VM_MAYBE_GUARD: MADV_GUARD_INSTALL was used here";
    "mp" MPX 40 "VM_MPX, until 5.6";
}

/// Reads `maps`: no [`Usage`].
pub fn read_maps(proc: &ProcDir) -> Result<Vec<Vma>> {
    proc.parse("maps", parse)
}

/// Reads `smaps`: every [`Vma`] has its [`Usage`].
pub fn read(proc: &ProcDir) -> Result<Vec<Vma>> {
    proc.parse("smaps", parse)
}

/// Parses both formats: a line that starts with a hexadecimal digit opens a mapping, others belong to the last one.
pub fn parse(bytes: &[u8]) -> Result<Vec<Vma>> {
    let mut vmas: Vec<Vma> = Vec::new();
    for line in text::lines(bytes) {
        if line.first().is_some_and(|b| b.is_ascii_digit() || b.is_ascii_lowercase()) {
            vmas.push(text::field("mapping", line, header)?);
        } else {
            let vma = vmas.last_mut().ok_or_else(|| text::malformed("smaps line before a mapping", line))?;
            text::field("smaps line", line, |line| detail(vma.usage.get_or_insert_default(), line))?;
        }
    }
    Ok(vmas)
}

/// `559ed1a34000-559ed1a3a000 r-xp 00002000 fe:00 247282                     /usr/bin/head`
fn header(line: &[u8]) -> Option<Vma> {
    // Six fields at most: the name begins after the blanks and may hold blanks itself.
    let mut words = line.splitn(6, |&b| b == b' ');
    let (start, end) = text::split_once(words.next()?, b'-')?;
    let &[read, write, exec, shared] = words.next()? else { return None };
    let offset = text::hex(words.next()?)?;
    let (major, minor) = text::split_once(words.next()?, b':')?;
    let number = |digits| u32::try_from(text::hex(digits)?).ok();
    let dev = (number(major)?, number(minor)?);
    let ino = text::dec(words.next()?)?;
    let name = words.next().unwrap_or_default();
    let name = name.get(name.iter().take_while(|&&b| b == b' ').count()..).unwrap_or_default();
    let set = |letter: u8, on: u8, off: u8| match letter {
        l if l == on => Some(true),
        l if l == off => Some(false),
        _ => None,
    };
    let (start, end) = (text::hex(start)?, text::hex(end)?);
    (start < end).then_some(())?;
    Some(Vma {
        start,
        end,
        read: set(read, b'r', b'-')?,
        write: set(write, b'w', b'-')?,
        exec: set(exec, b'x', b'-')?,
        shared: set(shared, b's', b'p')?,
        offset,
        dev,
        ino,
        backing: backing(name),
        usage: None,
    })
}

/// Files print an absolute path, or `anon_inode:...`: a name in brackets is the kernel's own.
fn backing(name: &[u8]) -> Backing {
    let inside = |prefix: &[u8]| Some(name.strip_prefix(prefix)?.strip_suffix(b"]")?.to_vec());
    match name {
        b"" => Backing::Anonymous,
        b"[heap]" => Backing::Heap,
        b"[stack]" => Backing::Stack,
        b"[vdso]" => Backing::Vdso,
        b"[vvar]" => Backing::Vvar,
        b"[vvar_vclock]" => Backing::VvarVclock,
        b"[sigpage]" => Backing::Sigpage,
        b"[vsyscall]" | b"[vectors]" => Backing::Vsyscall,
        b"[uprobes]" => Backing::Uprobes,
        [b'[', ..] => {
            let named = inside(b"[anon:").map(Backing::AnonymousNamed);
            named
                .or_else(|| inside(b"[anon_shmem:").map(Backing::SharedNamed))
                .unwrap_or_else(|| Backing::Special(name.to_vec()))
        }
        _ => Backing::File(name.to_vec()),
    }
}

/// One `Key:   value` line. Called some twenty times a mapping: what is not kept is told apart by its key alone.
fn detail(usage: &mut Usage, line: &[u8]) -> Option<()> {
    let (key, value) = text::split_once(line, b':')?;
    let slot = match key {
        b"KernelPageSize" => &mut usage.page_size,
        b"Rss" => &mut usage.rss,
        b"Anonymous" => &mut usage.anonymous,
        b"Shared_Clean" | b"Shared_Dirty" => {
            usage.shared += kilobytes(value)?;
            return Some(());
        }
        b"Swap" => &mut usage.swap,
        b"Locked" => &mut usage.locked,
        b"ProtectionKey" => {
            usage.protection_key = Some(text::dec(value.trim_ascii())?);
            return Some(());
        }
        b"VmFlags" => {
            usage.flags = flags(value);
            return Some(());
        }
        _ => return Some(()),
    };
    *slot = kilobytes(value)?;
    Some(())
}

fn kilobytes(value: &[u8]) -> Option<u64> {
    text::dec::<u64>(value.trim_ascii().strip_suffix(b" kB")?)?.checked_mul(1024)
}

fn flags(value: &[u8]) -> VmFlags {
    let flag = |word| std::str::from_utf8(word).map_or(VmFlags::UNKNOWN, VmFlags::from_word);
    let found = text::fields(value).map(flag).fold(VmFlags::default(), BitOr::bitor);
    // Older kernels show a flag for which they have no word (show_smap_vma_flags in fs/proc/task_mmu.c). Of those that
    // programs can set, VM_LOCKONFAULT is the one, and it comes with VM_LOCKED.
    let has_untold = text::fields(value).any(|word| word == b"??");
    if has_untold && found.contains(VmFlags::LOCKED) { found | VmFlags::LOCK_ON_FAULT } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;
    use crate::sys::pagemap::Scratch;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;

    /// Captured on 6.18 but for the fourth (5.10) and the names of the last three.
    const MAPS: &[u8] = b"\
55ed99731000-55ed99733000 r--p 00000000 fe:00 247030                     /usr/bin/cat
55eda03bb000-55eda03dc000 rw-p 00000000 00:00 0                          [heap]
7fe270f83000-7fe270fa5000 rw-p 00000000 00:00 0 
7fe271200000-7fe271201000 rw-s 00003000 00:05 1038                       /dev/zero (deleted)
7fe2711f5000-7fe2711f9000 r--p 00000000 00:00 0                          [vvar]
7fe2711f9000-7fe2711fb000 r--p 00000000 00:00 0                          [vvar_vclock]
7fe2711fb000-7fe2711fd000 r-xp 00000000 00:00 0                          [vdso]
7ffd0aaee000-7ffd0ab0f000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
7fe271300000-7fe271301000 rw-p 00000000 00:00 0                          [anon:a b]
7fe271400000-7fe271401000 rw-s 00000000 00:01 77                         [anon_shmem:x]
7fe271500000-7fe271501000 r--p 00000000 103:0a 12                        /tmp/ two\\012 lines (deleted) (deleted)
ffff0000-ffff1000 r-xp 00000000 00:00 0                                  [vectors]
";

    #[test]
    fn kernels_without_a_word_for_lock_on_fault_show_it_with_the_lock() {
        let on_fault = |line: &[u8]| flags(line).contains(VmFlags::LOCK_ON_FAULT);
        assert!(on_fault(b"rd wr sh mr mw me ms lo ?? sd"), "Linux 5.10 and 6.1");
        assert!(on_fault(b"rd wr sh mr mw me ms lo lf sd"));
        assert!(!on_fault(b"rd wr sh mr mw me ms lo sd") && !on_fault(b"rd wr sh mr mw me ms ?? sd"));
    }

    #[test]
    fn reads_maps() -> Result<()> {
        let vmas = parse(MAPS)?;
        let backings: Vec<_> = vmas.iter().map(|v| v.backing.clone()).collect();
        let file = |path: &[u8]| Backing::File(path.to_vec());
        let expected = [
            file(b"/usr/bin/cat"),
            Backing::Heap,
            Backing::Anonymous,
            file(b"/dev/zero (deleted)"),
            Backing::Vvar,
            Backing::VvarVclock,
            Backing::Vdso,
            Backing::Stack,
            Backing::Vsyscall,
            Backing::AnonymousNamed(b"a b".to_vec()),
            Backing::SharedNamed(b"x".to_vec()),
            file(b"/tmp/ two\\012 lines (deleted) (deleted)"),
            Backing::Vsyscall,
        ];
        assert_eq!(backings, expected);
        assert!(vmas.iter().all(|v| v.usage.is_none() && !v.is_empty()));
        Ok(())
    }

    #[test]
    fn keeps_protection_device_and_escapes() -> Result<()> {
        let vmas = parse(MAPS)?;
        let zero = vmas.iter().find(|v| v.ino == 1038).ok_or_else(|| text::missing("zero"))?;
        assert_eq!((zero.read, zero.write, zero.exec, zero.shared), (true, true, false, true));
        assert_eq!((zero.offset, zero.dev, zero.len()), (0x3000, (0, 5), 0x1000));
        let odd = vmas.iter().find(|v| v.ino == 12).ok_or_else(|| text::missing("odd"))?;
        assert_eq!(odd.dev, (0x103, 0x0a));
        assert_eq!(odd.path().as_deref(), Some(b"/tmp/ two\n lines (deleted) (deleted)".as_slice()));
        assert_eq!(odd.deleted_path(), Some(b"/tmp/ two\\012 lines (deleted)".as_slice()));
        assert_eq!(odd.map_file(), "map_files/7fe271500000-7fe271501000");
        Ok(())
    }

    #[test]
    fn reads_smaps() -> Result<()> {
        let vmas = parse(
            b"559ed1a32000-559ed1a34000 r--p 00000000 fe:00 247282                     /usr/bin/head\n\
              Size:                  8 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n\
              Rss:                   8 kB\nPss:                   8 kB\nAnonymous:             4 kB\n\
              Swap:                  12 kB\nSwapPss:               0 kB\nLocked:                0 kB\n\
              THPeligible:           0\nProtectionKey:         3\nVmFlags: rd mr mw me lo sd \n\
              559ed1a34000-559ed1a3a000 r-xp 00002000 fe:00 247282                     /usr/bin/head\n\
              Rss:                  24 kB\nVmFlags: rd ex zz \n",
        )?;
        let usages: Vec<_> = vmas.iter().filter_map(|v| v.usage).collect();
        let [first, second] = usages.as_slice() else { return Err(text::missing("usage")) };
        let (read, may) =
            (VmFlags::READ | VmFlags::LOCKED, VmFlags::MAY_READ | VmFlags::MAY_WRITE | VmFlags::MAY_EXEC);
        let flags = read | may | VmFlags::SOFT_DIRTY;
        let sizes = Usage { page_size: 4096, rss: 8192, anonymous: 4096, swap: 12288, ..Usage::default() };
        assert_eq!(*first, Usage { protection_key: Some(3), flags, ..sizes });
        assert_eq!(second.flags, VmFlags::READ | VmFlags::EXEC | VmFlags::UNKNOWN);
        assert!(
            !flags.contains(VmFlags::READ | VmFlags::WRITE)
                && flags.intersects(VmFlags::READ | VmFlags::WRITE)
        );
        Ok(())
    }

    #[test]
    fn names_that_the_kernel_gives_are_no_paths() {
        let named: [(&[u8], Mapped); 8] = [
            (b"/dev/zero (deleted)", Mapped::SharedMemory),
            (b"/dev/zero", Mapped::File),
            (b"/dev/shm/area", Mapped::File),
            (b"/dev/kvm", Mapped::Device),
            (b"/memfd:name (deleted)", Mapped::Memfd),
            (b"/anon_hugepage (deleted)", Mapped::HugeMemory),
            (b"anon_inode:[io_uring]", Mapped::AnonInode),
            (b"/usr/bin/head", Mapped::File),
        ];
        for (path, what) in named {
            assert_eq!(Mapped::of(path), what, "{}", path.escape_ascii());
            assert_eq!(
                what.has_path(),
                path.starts_with(b"/dev") && !path.ends_with(b")") || path.ends_with(b"head")
            );
        }
    }

    #[test]
    fn malformed_lines_are_errors() {
        let bad = [
            "Rss: 4 kB\n",
            "1000-2000 r--p 00000000 00:00\n",
            "2000-1000 r--p 00000000 00:00 0 \n",
            "1000-2000 r--q 00000000 00:00 0 \n",
            "1000-2000 r-- 00000000 00:00 0 \n",
            "1000-2000 r--p 0000000g 00:00 0 \n",
            "1000-2000 r--p 00000000 0000 0 \n",
            "1000-2000 r--p 00000000 00:00 0 \nRss: 4\n",
            "1000-2000 r--p 00000000 00:00 0 \nRss\n",
            "1000-2000 r--p 00000000 00:00 0 \nVmFlags\n",
            "xyz\n",
        ];
        for bad in bad {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn map_files_tells_the_name_that_maps_cannot() -> Result<()> {
        let directory = tempfile::tempdir().os(|| "mkdir")?;
        let path = directory.path().join("a\nb\\012 (deleted)");
        std::fs::write(&path, [0]).os(|| "write")?;
        let file = std::fs::File::open(&path).os(|| "open")?;
        let memory = Scratch::of_file(file.as_fd(), 1).os(|| "mmap")?;
        let proc = ProcDir::current()?;
        let found = read_maps(&proc)?.into_iter().find(|v| v.start == memory.address());
        let vma = found.ok_or_else(|| text::missing("our mapping"))?;
        assert_eq!(map_file(&proc, &vma)?, path.as_os_str().as_bytes());
        assert!(vma.path().is_some_and(|shown| shown.ends_with(b"/a\nb\n (deleted)")));
        assert!(vma.deleted_path().is_some_and(|shown| shown.ends_with(b"/a\\012b\\012")));
        std::fs::remove_file(&path).os(|| "unlink")?;
        assert!(map_file(&proc, &vma)?.ends_with(b" (deleted) (deleted)"));
        Ok(())
    }

    #[test]
    fn both_files_show_our_layout() -> Result<()> {
        let proc = ProcDir::current()?;
        let here = reads_maps as fn() -> Result<()> as usize as u64;
        let code = |vmas: Vec<Vma>| vmas.into_iter().find(|v| v.range().contains(&here));
        let exe = proc.readlink("exe")?;
        for vmas in [read_maps(&proc)?, read(&proc)?] {
            let vma = code(vmas).ok_or_else(|| text::missing("our code"))?;
            assert!(
                vma.exec && !vma.write && vma.path().as_ref() == Some(&exe) && vma.deleted_path().is_none()
            );
            assert_eq!(map_file(&proc, &vma)?, exe);
            let flags = vma.usage.map(|u| u.flags);
            assert!(flags.is_none_or(|f| f.contains(VmFlags::EXEC) && !f.intersects(VmFlags::UNKNOWN)));
        }
        assert!(read(&proc)?.iter().all(|v| v.usage.is_some()));
        Ok(())
    }
}
