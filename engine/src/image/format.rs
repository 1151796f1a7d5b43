//! The one table of image kinds: file name, magic, header and contents of each.
//!
//! Version 1.1 of the format (`img_version` 2): an image starts with two little-endian words, IMG_COMMON or IMG_SERVICE
//! and then the magic of its kind; the inventory has its own magic only; raw images have no header. Version 1 had the
//! kind's magic only, everywhere. Entries follow: a word with the size of the message, the message, and for some kinds
//! a [`Payload`](super::payload::Payload). Reading, writing, `show`, `decode`, `encode` and `verify` go by this table.

use super::codec::Codec;
use super::message::{
    ApparmorEntry, AutofsEntry, BinfmtMiscEntry, BpfmapDataEntry, CgroupEntry, CoreEntry, CpuinfoEntry,
    FdinfoEntry, FileEntry, FileLockEntry, FsEntry, GhostChunkEntry, GhostFileEntry, InventoryEntry, IpcMsg,
    IpcMsgEntry, IpcSemEntry, IpcShmEntry, IpcVarEntry, IrmapCacheEntry, MemfdInodeEntry, MmEntry, MntEntry,
    NetDeviceEntry, NetnsEntry, PagemapEntry, PagemapHead, PidnsEntry, PipeDataEntry, PstreeEntry,
    RemapFilePathEntry, SeccompEntry, SkPacketEntry, StatsEntry, TaskKobjIdsEntry, TcpStreamEntry,
    TimensEntry, TtyDataEntry, TtyInfoEntry, UsernsEntry, UtsnsEntry,
};

/// First word of most images.
pub const IMG_COMMON: u32 = 0x5456_4319;
/// First word of statistics and caches.
pub const IMG_SERVICE: u32 = 0x5510_5940;
/// What `InventoryEntry::img_version` says of images with [`IMG_COMMON`].
pub const VERSION: u32 = 2;

/// What one kind of image looks like.
#[derive(Debug)]
pub struct Format {
    /// File name with `%u` or `%x` in the place of the id.
    pub template: &'static str,
    /// Name of the magic, as in crit's JSON.
    pub magic_name: &'static str,
    /// The magic; 0 for raw images.
    pub magic: u32,
    /// What comes before the magic.
    pub header: Header,
    /// What comes after it.
    pub layout: Layout,
}

/// The first word of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The kind's magic itself.
    Bare,
    /// [`IMG_COMMON`].
    Common,
    /// [`IMG_SERVICE`].
    Service,
    /// There is none.
    Raw,
}

/// What an image holds after its header.
#[derive(Debug)]
pub enum Layout {
    /// Bytes that some other tool or the kernel understands.
    Raw,
    /// One message type.
    Each(Codec),
    /// One message of the first type, then any number of the second.
    HeadThen(Codec, Codec),
    /// Each message of the first type is followed by messages of the second, as many as its payload says.
    Groups(Codec, Codec),
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $(($id:ident: $int:ty))?, $name:literal, $magic:ident $value:literal $header:ident,
       $layout:ident $(($($message:ty),+))?;)*) => {
        /// A kind of image, with the number in its file name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $kind $(($int))?,)*
        }

        impl Kind {
            /// Every kind, with the lowest id where it has one.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind $((<$int>::MIN))?),*];

            /// What images of this kind look like.
            pub fn format(self) -> &'static Format {
                match self {
                    $(Kind::$kind { .. } => const {
                        &Format {
                            template: $name,
                            magic_name: stringify!($magic),
                            magic: $value,
                            header: Header::$header,
                            layout: Layout::$layout $(($(Codec::of::<$message>()),+))?,
                        }
                    },)*
                }
            }

            /// The number in the file name.
            pub fn id(self) -> Option<u64> {
                match self {
                    $(Kind::$kind $(($id))? => None::<u64> $(.or(Some(u64::from($id))))?,)*
                }
            }

            /// The same kind with another id; `None` if `id` is out of range. Kinds without id stay as they are.
            pub fn with_id(self, id: u64) -> Option<Kind> {
                match self {
                    $(Kind::$kind { .. } => Some(Kind::$kind $(({
                        let $id = <$int>::try_from(id).ok()?;
                        $id
                    }))?),)*
                }
            }
        }
    };
}

kinds! {
    /// What the directory is; written last.
    Inventory, "inventory.img", INVENTORY 0x58313116 Bare, Each(InventoryEntry);
    /// The process tree.
    Pstree, "pstree.img", PSTREE 0x50273030 Common, Each(PstreeEntry);
    /// One task or thread, by its id in the tree.
    Core(pid: u32), "core-%u.img", CORE 0x55053847 Common, Each(CoreEntry);
    /// Identities of the kernel objects of a task.
    Ids(pid: u32), "ids-%u.img", IDS 0x54432030 Common, Each(TaskKobjIdsEntry);
    /// Address space of a task.
    Mm(pid: u32), "mm-%u.img", MM 0x57492820 Common, Each(MmEntry);
    /// Working directory, root, umask of a task.
    Fs(pid: u32), "fs-%u.img", FS 0x51403912 Common, Each(FsEntry);
    /// Descriptor table, by `files_id`.
    Fdinfo(files_id: u32), "fdinfo-%u.img", FDINFO 0x56213732 Common, Each(FdinfoEntry);
    /// Open files.
    Files, "files.img", FILES 0x56303138 Common, Each(FileEntry);
    /// Where the pages of a task are.
    Pagemap(pid: u32), "pagemap-%u.img", PAGEMAP 0x56084025 Common, HeadThen(PagemapHead, PagemapEntry);
    /// Where the pages of a shared segment are.
    PagemapShmem(shmid: u64), "pagemap-shmem-%u.img", PAGEMAP 0x56084025 Common, HeadThen(PagemapHead, PagemapEntry);
    /// Pages, by `pages_id`.
    Pages(pages_id: u32), "pages-%u.img", PAGES 0 Raw, Raw;
    /// Bytes in pipes.
    PipesData, "pipes-data.img", PIPES_DATA 0x56453709 Common, Each(PipeDataEntry);
    /// Bytes in FIFOs.
    FifoData, "fifo-data.img", FIFO_DATA 0x59333054 Common, Each(PipeDataEntry);
    /// Packets in socket queues.
    SkQueues, "sk-queues.img", SK_QUEUES 0x56264026 Common, Each(SkPacketEntry);
    /// A TCP connection, by socket inode.
    TcpStream(ino: u32), "tcp-stream-%x.img", TCP_STREAM 0x51465506 Common, Each(TcpStreamEntry);
    /// Terminals.
    TtyInfo, "tty-info.img", TTY_INFO 0x59453036 Common, Each(TtyInfoEntry);
    /// Data that terminals buffer.
    TtyData, "tty-data.img", TTY_DATA 0x59413026 Common, Each(TtyDataEntry);
    /// Open files whose path is gone.
    RemapFpath, "remap-fpath.img", REMAP_FPATH 0x59133954 Common, Each(RemapFilePathEntry);
    /// An unlinked file, by ghost id.
    GhostFile(id: u32), "ghost-file-%x.img", GHOST_FILE 0x52583605 Common, HeadThen(GhostFileEntry, GhostChunkEntry);
    /// Memory files.
    Memfd, "memfd.img", MEMFD_INODE 0x48453499 Common, Each(MemfdInodeEntry);
    /// Keys and values of BPF maps.
    BpfmapData, "bpfmap-data.img", BPFMAP_DATA 0x64324033 Common, Each(BpfmapDataEntry);
    /// File locks.
    FileLocks, "filelocks.img", FILE_LOCKS 0x54323616 Common, Each(FileLockEntry);
    /// Control groups.
    Cgroup, "cgroup.img", CGROUP 0x59383330 Common, Each(CgroupEntry);
    /// Seccomp filters.
    Seccomp, "seccomp.img", SECCOMP 0x64413049 Common, Each(SeccompEntry);
    /// AppArmor policy.
    Apparmor, "apparmor.img", APPARMOR 0x59423047 Common, Each(ApparmorEntry);
    /// Mounts of a mount namespace.
    Mountpoints(ns: u32), "mountpoints-%u.img", MNTS 0x55563928 Common, Each(MntEntry);
    /// A UTS namespace.
    Utsns(ns: u32), "utsns-%u.img", UTSNS 0x54473203 Common, Each(UtsnsEntry);
    /// A time namespace.
    Timens(ns: u32), "timens-%u.img", TIMENS 0x43114433 Common, Each(TimensEntry);
    /// An external PID namespace.
    Pidns(ns: u32), "pidns-%u.img", PIDNS 0x61157326 Common, Each(PidnsEntry);
    /// A user namespace.
    Userns(ns: u32), "userns-%u.img", USERNS 0x55474906 Common, Each(UsernsEntry);
    /// Tunables of an IPC namespace.
    IpcVar(ns: u32), "ipcns-var-%u.img", IPC_VAR 0x53115007 Common, Each(IpcVarEntry);
    /// Shared memory of an IPC namespace.
    IpcShm(ns: u32), "ipcns-shm-%u.img", IPCNS_SHM 0x46283044 Common, Each(IpcShmEntry);
    /// Message queues of an IPC namespace.
    IpcMsgQueues(ns: u32), "ipcns-msg-%u.img", IPCNS_MSG 0x55453737 Common, Groups(IpcMsgEntry, IpcMsg);
    /// Semaphores of an IPC namespace.
    IpcSem(ns: u32), "ipcns-sem-%u.img", IPCNS_SEM 0x59573019 Common, Each(IpcSemEntry);
    /// Devices of a network namespace.
    Netdev(ns: u32), "netdev-%u.img", NETDEV 0x57373951 Common, Each(NetDeviceEntry);
    /// Sysctls of a network namespace.
    Netns(ns: u32), "netns-%u.img", NETNS 0x55933752 Common, Each(NetnsEntry);
    /// `ip addr save`.
    Ifaddr(ns: u32), "ifaddr-%u.img", IFADDR 0 Raw, Raw;
    /// `ip route save`.
    Route(ns: u32), "route-%u.img", ROUTE 0 Raw, Raw;
    /// `ip -6 route save`.
    Route6(ns: u32), "route6-%u.img", ROUTE6 0 Raw, Raw;
    /// `ip rule save`.
    Rule(ns: u32), "rule-%u.img", RULE 0 Raw, Raw;
    /// `iptables-save`.
    Iptables(ns: u32), "iptables-%u.img", IPTABLES 0 Raw, Raw;
    /// `ip6tables-save`.
    Ip6tables(ns: u32), "ip6tables-%u.img", IP6TABLES 0 Raw, Raw;
    /// `nft list ruleset`.
    Nftables(ns: u32), "nftables-%u.img", NFTABLES 0 Raw, Raw;
    /// Connections that netfilter tracks, as netlink messages.
    NetnsCt(ns: u32), "netns-ct-%u.img", NETNF_CT 0 Raw, Raw;
    /// Connections that netfilter expects, as netlink messages.
    NetnsExp(ns: u32), "netns-exp-%u.img", NETNF_EXP 0 Raw, Raw;
    /// Contents of a tmpfs, by device number.
    TmpfsDev(dev: u32), "tmpfs-dev-%u.tar.gz.img", TMPFS_DEV 0 Raw, Raw;
    /// An autofs mount, by mount id.
    Autofs(mnt_id: u32), "autofs-%u.img", AUTOFS 0x49353943 Common, Each(AutofsEntry);
    /// Binary formats.
    BinfmtMisc, "binfmt-misc.img", BINFMT_MISC 0x67343323 Common, Each(BinfmtMiscEntry);
    /// The CPU of the dump.
    Cpuinfo, "cpuinfo.img", CPUINFO 0x61404013 Common, Each(CpuinfoEntry);
    /// Statistics of the dump.
    StatsDump, "stats-dump", STATS 0x57093306 Service, Each(StatsEntry);
    /// Statistics of the restore.
    StatsRestore, "stats-restore", STATS 0x57093306 Service, Each(StatsEntry);
    /// Paths found for inodes in a pre-dump.
    IrmapCache, "irmap-cache", IRMAP_CACHE 0x57004059 Service, Each(IrmapCacheEntry);
}

/// Images that CRIU wrote before 2.x and still reads; refused by name, never by accident: template, magic.
pub const LEGACY: &[(&str, u32)] = &[
    ("reg-files.img", 0x5036_3636),
    ("ext-files.img", 0x5925_5641),
    ("ns-files.img", 0x6139_4011),
    ("eventfd.img", 0x4452_3722),
    ("eventpoll.img", 0x4502_3858),
    ("eventpoll-tfd.img", 0x4443_3746),
    ("signalfd.img", 0x5732_3820),
    ("inotify.img", 0x4842_4431),
    ("inotify-wd.img", 0x5456_2009),
    ("fanotify.img", 0x5509_6122),
    ("fanotify-mark.img", 0x5650_6035),
    ("timerfd.img", 0x5049_3712),
    ("pipes.img", 0x5651_3555),
    ("fifo.img", 0x5836_4939),
    ("unixsk.img", 0x5437_3943),
    ("inetsk.img", 0x5644_3851),
    ("packetsk.img", 0x6045_4618),
    ("netlinksk.img", 0x5800_5614),
    ("tty.img", 0x5943_3025),
    ("tunfile.img", 0x5714_3751),
    ("bpfmap-file.img", 0x5750_6142),
    ("pidfd.img", 0x5443_5556),
    ("vmas-%u.img", 0x5412_3737),
    ("sigacts-%u.img", 0x5534_4201),
    ("itimers-%u.img", 0x5746_4056),
    ("posix-timers-%u.img", 0x5260_3957),
    ("creds-%u.img", 0x5402_3547),
    ("rlimit-%u.img", 0x5711_3925),
    ("signal-s-%u.img", 0x5925_5647),
    ("signal-p-%u.img", 0x5925_5647),
    ("pages-shmem-%u.img", 0),
    ("tmpfs-%u.tar.gz.img", 0),
    ("binfmt-misc-%u.img", 0x6734_3323),
];

impl Kind {
    /// The file name, `core-17.img`.
    pub fn file_name(self) -> String {
        let id = self.id().unwrap_or_default();
        self.format().template.replace("%u", &id.to_string()).replace("%x", &format!("{id:x}"))
    }

    /// The reverse of [`file_name`](Kind::file_name).
    pub fn from_file_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().find_map(|kind| kind.with_id(match_template(kind.format().template, name)?))
    }

    /// The kind of an image whose second (or only) word is `magic`; its id is in the file name only.
    pub fn from_magic(magic: u32) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| magic != 0 && kind.format().magic == magic)
    }

    /// The kind that crit's JSON calls `name`.
    pub fn from_magic_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.format().magic_name == name)
    }
}

/// Whether a file of this name is an image of a form that only old versions wrote.
pub fn is_legacy(name: &str) -> bool {
    LEGACY.iter().any(|(template, _)| match_template(template, name).is_some())
}

/// The number that stands in `name` where `template` has `%u` or `%x`; 0 where it has neither.
fn match_template(template: &str, name: &str) -> Option<u64> {
    let Some((before, after)) = template.split_once('%') else {
        return (template == name).then_some(0);
    };
    let (radix, after) =
        if let Some(rest) = after.strip_prefix('x') { (16, rest) } else { (10, after.get(1..)?) };
    let digits = name.strip_prefix(before)?.strip_suffix(after)?;
    let canonical = digits == "0" || !digits.starts_with(['0', '+']);
    if canonical { u64::from_str_radix(digits, radix).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_are_one_to_one() {
        for kind in Kind::ALL {
            let kind = kind.with_id(4095).unwrap_or(*kind);
            assert_eq!(Kind::from_file_name(&kind.file_name()), Some(kind), "{}", kind.file_name());
            assert!(!is_legacy(&kind.file_name()), "{}", kind.file_name());
        }
        assert_eq!(Kind::GhostFile(0x2a).file_name(), "ghost-file-2a.img");
        for name in
            ["core-.img", "core-+1.img", "core-01.img", "core-4294967296.img", "core-1.img.gz", "core", ""]
        {
            assert_eq!(Kind::from_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn magics_differ_unless_the_contents_are_the_same() {
        for (n, kind) in Kind::ALL.iter().enumerate() {
            let format = kind.format();
            assert_eq!(format.magic == 0, matches!(format.layout, Layout::Raw));
            assert!(
                LEGACY
                    .iter()
                    .all(|(name, magic)| *magic != format.magic || *magic == 0 || name.contains("binfmt"))
            );
            for other in Kind::ALL.iter().skip(n + 1).map(|k| k.format()) {
                let same = format.magic != 0 && format.magic == other.magic;
                assert_eq!(same, format.magic_name == other.magic_name && format.magic != 0);
            }
        }
    }
}
