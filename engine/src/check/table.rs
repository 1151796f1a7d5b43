//! The table of features: what each is for, since when, and what follows when it is missing.
//!
//! In the order of their categories. Those that a dump or restore does not use yet are here for those who ask whether a
//! kernel is ready: their answer is CRIU's.

use super::feature::{Category, Entry, Goal};

/// Makes the enum, the list of all and the lookup from the one table.
macro_rules! features {
    ($($(#[$doc:meta])* $feature:ident = $name:literal, $category:ident, $goal:ident, $since:literal {
        $($field:ident: $text:literal,)+
    })+) => {
        /// Something that a kernel has or has not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Feature {
            $($(#[$doc])* $feature,)+
        }

        impl Feature {
            /// All of them, the required ones first.
            pub const ALL: [Feature; [$($name),+].len()] = [$(Feature::$feature),+];

            pub(super) const fn entry(self) -> Entry {
                match self {
                    $(Feature::$feature => Entry {
                        name: $name,
                        category: Category::$category,
                        goal: Goal::$goal,
                        since: $since,
                        $($field: $text,)+
                        ..Entry::EMPTY
                    },)+
                }
            }
        }
    };
}

features! {
    /// /proc/PID/map_files.
    MapFiles = "map_files", Required, Everything, "3.3, CONFIG_CHECKPOINT_RESTORE before 4.3" {
        purpose: "opens the files that a program has mapped, deleted ones too",
        capability: "CAP_CHECKPOINT_RESTORE",
        consequence: "no program with file mappings can be dumped",
    }
    /// The sysctl kernel.ns_last_pid.
    NsLastPid = "ns_last_pid", Required, Everything, "3.3, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "gives restored tasks their pids where clone3(2) cannot",
        capability: "CAP_CHECKPOINT_RESTORE",
        fallback: "clone3_set_tid",
        consequence: "pids cannot be restored",
    }
    /// kcmp(2).
    Kcmp = "kcmp", Required, Everything, "3.5, CONFIG_KCMP" {
        purpose: "tells which tasks share files, memory and tables",
        consequence: "sharing between tasks cannot be seen",
    }
    /// PR_SET_MM_MAP.
    PrctlMmMap = "prctl_mm_map", Required, Everything, "3.18, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "restores the areas of code, heap, stack, arguments and environment",
        consequence: "no program can be restored",
    }
    /// PR_GET_TID_ADDRESS.
    TidAddress = "tid_address", Required, Everything, "3.5, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "reads where a thread's id is cleared when it ends",
        consequence: "joining a restored thread would hang",
    }
    /// F_GETOWNER_UIDS.
    FdOwnerUids = "fd_owner_uids", Required, Programs, "3.6, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "reads on whose behalf a descriptor sends its signals",
        consequence: "owners of descriptors' signals cannot be dumped",
    }
    /// rt_sigqueueinfo(2) with any code.
    SigQueueInfo = "sigqueueinfo", Required, Programs, "3.9" {
        purpose: "puts pending signals back as they were",
        consequence: "pending signals cannot be restored",
    }
    /// PTRACE_SEIZE and PTRACE_O_EXITKILL.
    PtraceSeize = "ptrace_seize", Required, Everything, "3.8" {
        purpose: "stops tasks unseen, and ends half restored ones if the restore dies",
        consequence: "no task can be stopped",
    }
    /// PTRACE_PEEKSIGINFO and PTRACE_GETSIGMASK.
    PtracePeekSigInfo = "ptrace_peeksiginfo", Required, Programs, "3.11" {
        purpose: "reads pending and blocked signals",
        consequence: "pending signals cannot be dumped",
    }
    /// process_vm_readv(2).
    ProcessVm = "process_vm", Required, Everything, "3.2, CONFIG_CROSS_MEMORY_ATTACH" {
        purpose: "copies memory from and to tasks",
        consequence: "memory cannot be dumped",
    }
    /// mremap(2) of the vdso and its data.
    SpecialMappingMremap = "special_mapping_mremap", Required, Everything, "4.8 on x86, up to 4.14 elsewhere" {
        purpose: "moves the vdso of a restored task to where it was",
        consequence: "no program can be restored",
    }
    /// TIOCSPTLCK and TIOCGPTLCK.
    PtyLock = "pty_lock", Required, Programs, "3.8" {
        purpose: "dumps and restores the lock of pseudo terminals",
        consequence: "terminals cannot be dumped",
        remedy: "mount devpts on /dev/pts, with /dev/ptmx; it takes Linux 3.8",
    }
    /// clone3(2) with set_tid.
    Clone3SetTid = "clone3_set_tid", Extra, Speed, "5.5" {
        purpose: "creates a task with its pid in one call, without a race",
        capability: "CAP_CHECKPOINT_RESTORE",
        fallback: "ns_last_pid",
        consequence: "pids are restored by a race that has to be won",
    }
    /// PTRACE_GET_RSEQ_CONFIGURATION.
    GetRseqConf = "get_rseq_conf", Extra, Programs, "5.13, CONFIG_RSEQ" {
        purpose: "reads a thread's restartable sequences",
        consequence: "programs of glibc 2.35 and later cannot be dumped",
    }
    /// PTRACE_O_SUSPEND_SECCOMP.
    SeccompSuspend = "seccomp_suspend", Extra, Containers, "4.3, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "makes calls in a task whose seccomp filter forbids them",
        capability: "CAP_SYS_ADMIN",
        consequence: "programs with seccomp cannot be dumped",
    }
    /// PTRACE_SECCOMP_GET_FILTER.
    SeccompFilters = "seccomp_filters", Extra, Containers, "4.4, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "reads seccomp filters",
        capability: "CAP_SYS_ADMIN",
        consequence: "programs with seccomp filters cannot be dumped",
    }
    /// pidfd_open(2) and pidfd_getfd(2).
    PidfdStore = "pidfd_store", Extra, Everything, "5.6" {
        purpose: "holds a task against reuse of its pid, and takes its descriptors",
        consequence: "descriptors cannot be taken from tasks, nor reused pids be told",
    }
    /// The field NSpid of /proc/PID/status.
    NsPid = "ns_pid", Extra, Containers, "4.1" {
        purpose: "tells a task's pid inside of its pid namespace",
        consequence: "tasks in pid namespaces cannot be dumped",
    }
    /// Writing /proc/PID/loginuid.
    LoginUid = "loginuid", Extra, Programs, "3.13, CONFIG_AUDITSYSCALL" {
        purpose: "restores the user that a task logged in as",
        capability: "CAP_AUDIT_CONTROL",
        consequence: "restored tasks have the restorer's login user",
    }
    /// PTRACE_GET_THREAD_AREA of x86.
    ThreadArea = "thread_area", Extra, Programs, "2.6, x86 with CONFIG_IA32_EMULATION" {
        purpose: "keeps descriptors of thread-local storage that 32-bit code of a thread uses",
        consequence: "nothing: without it no thread can set them",
    }
    /// The field mnt_id of fdinfo.
    MntId = "mnt_id", Extra, Programs, "3.15" {
        purpose: "tells on which mount a file was opened",
        fallback: "the path is looked up",
        consequence: "files under other mounts are not found",
    }
    /// The field lock of fdinfo.
    FdInfoLock = "fdinfo_lock", Extra, Programs, "4.1" {
        purpose: "tells which descriptor holds a lock",
        option: "--file-locks",
        consequence: "programs with file locks cannot be dumped",
    }
    /// openat2(2).
    OpenAt2 = "openat2", Extra, Speed, "5.6" {
        purpose: "opens a file without following links out of its mount",
        fallback: "openat(2) and a comparison of inodes",
        consequence: "a changed path is noticed only afterwards",
    }
    /// /proc/PID/timers.
    ProcTimers = "posix_timers", Extra, Programs, "3.10, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "lists the POSIX timers of a task",
        consequence: "programs with POSIX timers cannot be dumped",
    }
    /// PR_TIMER_CREATE_RESTORE_IDS.
    TimerRestoreIds = "timer_cr_ids", Extra, Speed, "6.15" {
        purpose: "creates a POSIX timer with its id",
        fallback: "timers are created and deleted until the id comes up",
        consequence: "restoring timers is slow",
    }
    /// Soft-dirty marks in pagemap.
    SoftDirty = "mem_dirty_track", Extra, Incremental, "3.11, CONFIG_MEM_SOFT_DIRTY" {
        purpose: "tells which pages were written since the last dump",
        option: "--track-mem",
        consequence: "no dumps that build on an earlier one",
    }
    /// PAGEMAP_SCAN.
    PagemapScan = "pagemap_scan", Extra, Speed, "6.7" {
        purpose: "finds the pages to dump in one call",
        fallback: "/proc/PID/pagemap",
        consequence: "finding pages is slow",
    }
    /// MADV_GUARD_INSTALL.
    MadvGuard = "madv_guard", Extra, Programs, "6.13" {
        purpose: "restores guard pages inside of mappings",
        consequence: "programs with guard pages cannot be restored",
    }
    /// PAGEMAP_SCAN with PAGE_IS_GUARD.
    PagemapScanGuard = "pagemap_scan_guard_pages", Extra, Programs, "6.15" {
        purpose: "finds guard pages inside of mappings",
        consequence: "programs with guard pages cannot be dumped where the kernel has such pages",
    }
    /// PR_SET_VMA_ANON_NAME.
    AnonVmaName = "anon_vma_name", Extra, Programs, "5.17, CONFIG_ANON_VMA_NAME" {
        purpose: "restores names of anonymous memory",
        consequence: "there are no such names on this kernel, and those of an image are dropped",
    }
    /// memfd_create(2) with MFD_HUGETLB.
    MemfdHugetlb = "memfd_hugetlb", Extra, Programs, "4.14, CONFIG_HUGETLBFS" {
        purpose: "restores memory and files of hugetlbfs",
        consequence: "there are no such pages on this kernel, and programs with them cannot be restored",
    }
    /// MEMBARRIER_CMD_GET_REGISTRATIONS.
    MembarrierRegistrations = "membarrier_registrations", Extra, Programs, "6.3, CONFIG_MEMBARRIER" {
        purpose: "reads which membarrier(2) commands a program registered for",
        consequence: "a restored program's membarrier(2) may fail",
    }
    /// PR_SET_MDWE.
    Mdwe = "mdwe", Extra, Programs, "6.3" {
        purpose: "forbids a restored program what it has forbidden itself: writable memory that becomes executable",
        consequence: "no program of this kernel has it, and those of an image that do are not restored",
    }
    /// kcmp(2) with KCMP_EPOLL_TFD.
    KcmpEpoll = "kcmp_epoll", Extra, Programs, "4.13, CONFIG_KCMP" {
        purpose: "tells which file an epoll instance watches",
        consequence: "programs with epoll instances cannot be dumped",
    }
    /// The field clockid of fdinfo, and TFD_IOC_SET_TICKS.
    TimerFd = "timerfd", Extra, Programs, "3.17, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "keeps timers that are files, and what they have counted",
        consequence: "programs with such timers cannot be dumped, or lose what they have counted",
    }
    /// mremap(2) of the ring of an AIO context.
    AioRemap = "aio_remap", Extra, Programs, "3.19, CONFIG_AIO" {
        purpose: "moves the ring of a restored AIO context to where it was",
        consequence: "programs with AIO contexts cannot be restored",
    }
    /// The option SO_BUF_LOCK of sockets.
    SockoptBufLock = "sockopt_buf_lock", Extra, Network, "5.14" {
        purpose: "keeps whether a socket's buffers were set by the program",
        consequence: "buffers of a restored socket may be of another size than they would be",
    }
    /// SIOCGSKNS, the network namespace of a socket.
    SkNs = "sk_ns", Extra, Network, "4.10, CONFIG_NET_NS" {
        purpose: "tells sockets of other network namespaces apart",
        capability: "CAP_NET_ADMIN",
        consequence: "programs with sockets of ip(7) or ipv6(7) cannot be dumped",
    }
    /// A table of nftables that drops packets of a connection.
    NetworkLockNftables = "network_lock_nftables", Extra, Migration, "5.2, CONFIG_NF_TABLES_INET" {
        purpose: "holds back the packets of TCP connections while they are in an image only",
        option: "--tcp-established",
        capability: "CAP_NET_ADMIN",
        consequence: "connections cannot be kept, unless --network-lock skip says that somebody else does that",
    }
    /// Sockets of UDP-Lite.
    UdpLite = "udplite", Extra, Network, "2.6.20, until 7.0" {
        purpose: "restores sockets of UDP-Lite",
        consequence: "there are no such sockets on this kernel, and those of an image are not restored",
    }
    /// userfaultfd(2).
    Userfaultfd = "uffd", Extra, Migration, "4.3, CONFIG_USERFAULTFD" {
        purpose: "serves pages after the restore",
        option: "--lazy-pages",
        capability: "CAP_SYS_PTRACE",
        consequence: "no lazy restore",
    }
    /// userfaultfd(2) that protects pages (Linux 5.7), with [`PagemapScan`](Feature::PagemapScan), which shows them.
    UserfaultfdProtect = "uffd_wp", Extra, Programs, "6.7, CONFIG_HAVE_ARCH_USERFAULTFD_WP" {
        purpose: "keeps which pages of a program's memory have writes reported",
        capability: "CAP_SYS_PTRACE",
        consequence: "programs that have writes to their memory reported cannot be dumped",
    }
    /// userfaultfd(2) that tells of pages which shared memory has.
    UserfaultfdMinor = "uffd_minor_shmem", Extra, Programs, "5.14, CONFIG_HAVE_ARCH_USERFAULTFD_MINOR" {
        purpose: "keeps which pages of shared memory have minor faults reported",
        capability: "CAP_SYS_PTRACE",
        consequence: "programs that have them reported cannot be dumped or restored",
    }
    /// userfaultfd(2) that tells of fork, remap, remove and unmap.
    UserfaultfdNoncoop = "uffd-noncoop", Extra, Migration, "4.11, CONFIG_USERFAULTFD" {
        purpose: "serves pages of programs that fork and remap",
        option: "--lazy-pages",
        capability: "CAP_SYS_PTRACE",
        consequence: "no lazy restore",
    }
    /// CAP_CHECKPOINT_RESTORE.
    CapCheckpointRestore = "cap_checkpoint_restore", Extra, Unprivileged, "5.9" {
        purpose: "lets somebody dump and restore who is not root",
        consequence: "only root, or who has CAP_SYS_ADMIN, can dump and restore",
    }
    /// sock_diag(7) of unix and inet sockets.
    SockDiag = "sock_diag", Extra, Network, "3.3, CONFIG_UNIX_DIAG and CONFIG_INET_DIAG" {
        purpose: "tells what sockets are connected to, and what they hold",
        consequence: "programs with sockets cannot be dumped",
    }
    /// SO_PEEK_OFF.
    PeekOff = "so_peek_off", Extra, Network, "3.4" {
        purpose: "reads what waits in a socket and leaves it there",
        consequence: "programs with sockets cannot be dumped",
    }
    /// TCP_REPAIR.
    TcpRepair = "tcp_repair", Extra, Migration, "3.5" {
        purpose: "takes TCP connections out of the kernel and puts them back",
        option: "--tcp-established",
        capability: "CAP_NET_ADMIN",
        consequence: "connections cannot be kept",
    }
    /// TCP_REPAIR_WINDOW.
    TcpRepairWindow = "tcp_repair_window", Extra, Migration, "4.8" {
        purpose: "keeps the windows of TCP connections",
        option: "--tcp-established",
        capability: "CAP_NET_ADMIN",
        consequence: "connections cannot be kept",
    }
    /// TCP_REPAIR of a connection that was shut down.
    TcpHalfClosed = "tcp_half_closed", Extra, Migration, "4.10" {
        purpose: "takes over connections of which one direction has ended",
        option: "--tcp-established",
        capability: "CAP_NET_ADMIN",
        consequence: "such connections cannot be kept",
    }
    /// SIOCUNIXFILE.
    SkUnixFile = "sk_unix_file", Extra, Network, "4.12" {
        purpose: "finds the file of a unix socket, whatever its path has become",
        capability: "CAP_NET_ADMIN",
        consequence: "programs with named unix sockets cannot be dumped",
    }
    /// sock_diag(7) of raw sockets.
    NetDiagRaw = "net_diag_raw", Extra, Network, "4.10, CONFIG_INET_RAW_DIAG" {
        purpose: "lists raw sockets",
        consequence: "none: crio asks the sockets themselves",
    }
    /// sock_diag(7) of packet sockets.
    PacketDiag = "packet_diag", Extra, Network, "3.7, CONFIG_PACKET_DIAG" {
        purpose: "tells what packet sockets listen to",
        consequence: "programs with packet sockets cannot be dumped",
    }
    /// Listening sockets of MPTCP, which tell their state.
    Mptcp = "mptcp", Extra, Network, "5.16, CONFIG_MPTCP" {
        purpose: "keeps listening sockets of MPTCP",
        consequence: "programs that listen by MPTCP cannot be dumped or restored",
    }
    /// IPV6_FREEBIND.
    Ipv6Freebind = "ipv6_freebind", Extra, Network, "4.15, CONFIG_IPV6" {
        purpose: "keeps sockets of addresses that are not there yet",
        consequence: "IPv6 sockets with IPV6_FREEBIND cannot be restored",
    }
    /// User namespaces.
    UserNs = "userns", Extra, Containers, "3.8, CONFIG_USER_NS" {
        purpose: "restores programs in user namespaces",
        consequence: "containers with users of their own cannot run here",
    }
    /// Control group namespaces.
    CgroupNs = "cgroupns", Extra, Containers, "4.6, CONFIG_CGROUPS" {
        purpose: "restores the view that a container has of its control groups",
        consequence: "containers see the whole hierarchy",
    }
    /// Time namespaces.
    TimeNs = "timens", Extra, Containers, "5.6, CONFIG_TIME_NS" {
        purpose: "lets monotonic clocks go on from where they were",
        consequence: "after a move clocks jump",
    }
    /// IFLA_NEW_IFINDEX.
    NewIfIndex = "newifindex", Extra, Containers, "5.13" {
        purpose: "moves a network device into a namespace with its index",
        capability: "CAP_NET_ADMIN",
        consequence: "devices of a container get other indices",
    }
    /// TUNSETIFINDEX.
    Tun = "tun", Extra, Containers, "3.12, CONFIG_TUN" {
        purpose: "restores tun and tap devices with their indices",
        capability: "CAP_NET_ADMIN and CAP_DAC_OVERRIDE",
        consequence: "programs with such devices cannot be restored",
    }
    /// MOVE_MOUNT_SET_GROUP.
    MoveMountSetGroup = "move_mount_set_group", Extra, Containers, "5.15" {
        purpose: "restores which mounts share what is mounted below them",
        capability: "CAP_SYS_ADMIN",
        consequence: "sharing between mounts is restored in fewer cases",
    }
    /// /proc/PID/maps names files of overlayfs as stat(2) does.
    OverlayfsMaps = "overlayfs_maps", Extra, Containers, "6.8, CONFIG_OVERLAY_FS" {
        purpose: "recognises mapped files of overlayfs",
        capability: "CAP_SYS_ADMIN and CAP_DAC_OVERRIDE",
        fallback: "/proc/PID/map_files",
        consequence: "the map_files of a task have to be opened",
    }
    /// The option pipe_ino of autofs.
    Autofs = "autofs", Experimental, Containers, "4.13, CONFIG_AUTOFS_FS" {
        purpose: "finds the pipe of an automounter",
        capability: "CAP_SYS_ADMIN",
        consequence: "mounts of autofs cannot be dumped",
    }
    /// Memory of 32-bit programs from a 64-bit one.
    CompatCr = "compat_cr", Experimental, Processor, "4.12 on x86, CONFIG_IA32_EMULATION" {
        purpose: "restores 32-bit programs",
        consequence: "32-bit programs cannot be restored, and crio refuses them in any case",
    }
    /// SIOCGSKNS of tun devices.
    TunNs = "tun_ns", Optional, Containers, "5.2, CONFIG_TUN" {
        purpose: "tells in which network namespace a tun device is",
        capability: "CAP_NET_ADMIN and CAP_DAC_OVERRIDE",
        consequence: "such devices are looked for in one namespace only",
    }
    /// RTM_GETNSID.
    NsId = "nsid", Optional, Containers, "4.0, CONFIG_NET_NS" {
        purpose: "tells network namespaces apart by their ids",
        consequence: "links between network namespaces cannot be restored",
    }
    /// IFLA_LINK_NETNSID.
    LinkNsId = "link_nsid", Optional, Containers, "4.0, CONFIG_VETH" {
        purpose: "tells where the other end of a pair of network devices is",
        capability: "CAP_SYS_ADMIN and CAP_NET_ADMIN",
        consequence: "links between network namespaces cannot be restored",
    }
    /// setns(2) by a descriptor of a network namespace.
    ExternalNetNs = "external_net_ns", Optional, Containers, "3.0, CONFIG_NET_NS" {
        purpose: "restores a container in a network that somebody else has made",
        capability: "CAP_SYS_ADMIN",
        consequence: "the network of a container cannot be given from outside",
    }
    /// Tables of nftables can be listed.
    Nftables = "nftables", Optional, Containers, "3.13, CONFIG_NF_TABLES" {
        purpose: "keeps the packet filter of a network namespace",
        capability: "CAP_NET_ADMIN",
        consequence: "filters of containers cannot be kept",
    }
    /// iptables(8) of before nftables.
    IptLegacy = "has_ipt_legacy", Optional, Containers, "" {
        purpose: "keeps packet filters that were made with it",
        consequence: "such filters cannot be kept",
        remedy: "install a package that has iptables-legacy-save",
    }
    /// The stacking of AppArmor.
    ApparmorStacking = "apparmor_stacking", Optional, Containers, "4.12, CONFIG_SECURITY_APPARMOR" {
        purpose: "keeps security labels of containers",
        consequence: "labels of AppArmor are not kept",
    }
    /// ARCH_MAP_VDSO.
    CanMapVdso = "can_map_vdso", Optional, Processor, "4.9 on x86" {
        purpose: "maps the vdso instead of moving it",
        fallback: "special_mapping_mremap",
        consequence: "none: crio moves the vdso",
    }
    /// Hardware breakpoints.
    Breakpoints = "breakpoints", Optional, Processor, "2.6 on x86, unless the hypervisor forbids it" {
        purpose: "stops a task at an address",
        consequence: "none: crio stops tasks otherwise",
    }
    /// The register set NT_ARM_SVE.
    Sve = "sve", Optional, Processor, "4.15 on aarch64, CONFIG_ARM64_SVE" {
        purpose: "keeps vector registers of scalable length",
        consequence: "there are none on this machine",
    }
    /// The register sets NT_ARM_PACA_KEYS and NT_ARM_PACG_KEYS.
    PacKeys = "pac_keys", Optional, Processor, "5.1 on aarch64, CONFIG_ARM64_PTR_AUTH and CONFIG_CHECKPOINT_RESTORE" {
        purpose: "keeps the keys that programs sign pointers with",
        consequence: "pointers are not signed on this machine",
    }
    /// The register set NT_ARM_SSVE, of SME: with it comes the second register of NT_ARM_TLS.
    Tpidr2 = "tpidr2", Optional, Processor, "6.3 on aarch64, CONFIG_ARM64_SME" {
        purpose: "keeps the second thread pointer",
        consequence: "there is none on this machine",
    }
}
