//! The table of features: what each is for, since when, and what follows when it is missing.

/// Who needs a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// Every dump or restore.
    Required,
    /// Some programs, or a faster way.
    Extra,
    /// Not settled in the kernel or here.
    Experimental,
    /// Programs of some machines, on some processors: asked for by name only.
    Processor,
}

/// One row of the table.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) category: Category,
    /// What the engine does with it.
    pub(super) purpose: &'static str,
    /// The first kernel release, and what has to be configured.
    pub(super) since: &'static str,
    /// What is done instead; empty if nothing is.
    pub(super) fallback: &'static str,
    /// What does not work without it and without a fallback.
    pub(super) consequence: &'static str,
}

/// Makes the enum, the list of all and the lookup from the one table.
macro_rules! features {
    ($($(#[$doc:meta])* $feature:ident = $name:literal, $category:ident, $since:literal {
        purpose: $purpose:literal, fallback: $fallback:literal, consequence: $consequence:literal,
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
                        purpose: $purpose,
                        since: $since,
                        fallback: $fallback,
                        consequence: $consequence,
                    },)+
                }
            }
        }
    };
}

features! {
    /// /proc/PID/map_files.
    MapFiles = "map_files", Required, "3.3, CONFIG_CHECKPOINT_RESTORE before 4.3" {
        purpose: "opens the files that a program has mapped, deleted ones too",
        fallback: "", consequence: "no program with file mappings can be dumped",
    }
    /// The sysctl kernel.ns_last_pid.
    NsLastPid = "ns_last_pid", Required, "3.3, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "gives restored tasks their pids where clone3(2) cannot",
        fallback: "clone3_set_tid", consequence: "pids cannot be restored",
    }
    /// kcmp(2).
    Kcmp = "kcmp", Required, "3.5, CONFIG_KCMP" {
        purpose: "tells which tasks share files, memory and tables",
        fallback: "", consequence: "sharing between tasks cannot be seen",
    }
    /// PR_SET_MM_MAP.
    PrctlMmMap = "prctl_mm_map", Required, "3.18, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "restores the areas of code, heap, stack, arguments and environment",
        fallback: "", consequence: "no program can be restored",
    }
    /// PR_GET_TID_ADDRESS.
    TidAddress = "tid_address", Required, "3.5, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "reads where a thread's id is cleared when it ends",
        fallback: "", consequence: "joining a restored thread would hang",
    }
    /// F_GETOWNER_UIDS.
    FdOwnerUids = "fd_owner_uids", Required, "3.6, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "reads on whose behalf a descriptor sends its signals",
        fallback: "", consequence: "owners of descriptors' signals cannot be dumped",
    }
    /// rt_sigqueueinfo(2) with any code.
    SigQueueInfo = "sigqueueinfo", Required, "3.9" {
        purpose: "puts pending signals back as they were",
        fallback: "", consequence: "pending signals cannot be restored",
    }
    /// PTRACE_SEIZE and PTRACE_O_EXITKILL.
    PtraceSeize = "ptrace_seize", Required, "3.8" {
        purpose: "stops tasks unseen, and ends half restored ones if the restore dies",
        fallback: "", consequence: "no task can be stopped",
    }
    /// PTRACE_PEEKSIGINFO and PTRACE_GETSIGMASK.
    PtracePeekSigInfo = "ptrace_peeksiginfo", Required, "3.11" {
        purpose: "reads pending and blocked signals",
        fallback: "", consequence: "pending signals cannot be dumped",
    }
    /// process_vm_readv(2).
    ProcessVm = "process_vm", Required, "3.2, CONFIG_CROSS_MEMORY_ATTACH" {
        purpose: "copies memory from and to tasks",
        fallback: "", consequence: "memory cannot be dumped",
    }
    /// mremap(2) of the vdso and its data.
    SpecialMappingMremap = "special_mapping_mremap", Required, "4.8 on x86, up to 4.14 elsewhere" {
        purpose: "moves the vdso of a restored task to where it was",
        fallback: "", consequence: "no program can be restored",
    }
    /// TIOCSPTLCK and TIOCGPTLCK.
    PtyLock = "pty_lock", Required, "3.8" {
        purpose: "dumps and restores the lock of pseudo terminals",
        fallback: "", consequence: "terminals cannot be dumped",
    }
    /// clone3(2) with set_tid.
    Clone3SetTid = "clone3_set_tid", Extra, "5.5" {
        purpose: "creates a task with its pid in one call, without a race",
        fallback: "ns_last_pid", consequence: "pids are restored by a race that has to be won",
    }
    /// PTRACE_GET_RSEQ_CONFIGURATION.
    GetRseqConf = "get_rseq_conf", Extra, "5.13, CONFIG_RSEQ" {
        purpose: "reads a thread's restartable sequences",
        fallback: "", consequence: "programs of glibc 2.35 and later cannot be dumped",
    }
    /// PTRACE_O_SUSPEND_SECCOMP.
    SeccompSuspend = "seccomp_suspend", Extra, "4.3, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "makes calls in a task whose seccomp filter forbids them",
        fallback: "", consequence: "programs with seccomp cannot be dumped",
    }
    /// PTRACE_SECCOMP_GET_FILTER.
    SeccompFilters = "seccomp_filters", Extra, "4.4, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "reads seccomp filters",
        fallback: "", consequence: "programs with seccomp filters cannot be dumped",
    }
    /// pidfd_open(2) and pidfd_getfd(2).
    PidfdStore = "pidfd_store", Extra, "5.6" {
        purpose: "holds a task against reuse of its pid, and takes its descriptors",
        fallback: "", consequence: "descriptors cannot be taken from tasks, nor reused pids be told",
    }
    /// The field NSpid of /proc/PID/status.
    NsPid = "ns_pid", Extra, "4.1" {
        purpose: "tells a task's pid inside of its pid namespace",
        fallback: "", consequence: "tasks in pid namespaces cannot be dumped",
    }
    /// Writing /proc/PID/loginuid.
    LoginUid = "loginuid", Extra, "3.13, CONFIG_AUDITSYSCALL" {
        purpose: "restores the user that a task logged in as",
        fallback: "", consequence: "restored tasks have the restorer's login user",
    }
    /// PTRACE_GET_THREAD_AREA of x86.
    ThreadArea = "thread_area", Extra, "2.6, x86 with CONFIG_IA32_EMULATION" {
        purpose: "keeps descriptors of thread-local storage that 32-bit code of a thread uses",
        fallback: "", consequence: "nothing: without it no thread can set them",
    }
    /// The field mnt_id of fdinfo.
    MntId = "mnt_id", Extra, "3.15" {
        purpose: "tells on which mount a file was opened",
        fallback: "the path is looked up", consequence: "files under other mounts are not found",
    }
    /// The field lock of fdinfo.
    FdInfoLock = "fdinfo_lock", Extra, "4.1" {
        purpose: "tells which descriptor holds a lock",
        fallback: "", consequence: "programs with file locks cannot be dumped",
    }
    /// openat2(2).
    OpenAt2 = "openat2", Extra, "5.6" {
        purpose: "opens a file without following links out of its mount",
        fallback: "openat(2) and a comparison of inodes", consequence: "a changed path is noticed only afterwards",
    }
    /// /proc/PID/timers.
    ProcTimers = "posix_timers", Extra, "3.10, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "lists the POSIX timers of a task",
        fallback: "", consequence: "programs with POSIX timers cannot be dumped",
    }
    /// PR_TIMER_CREATE_RESTORE_IDS.
    TimerRestoreIds = "timer_cr_ids", Extra, "6.15" {
        purpose: "creates a POSIX timer with its id",
        fallback: "timers are created and deleted until the id comes up", consequence: "restoring timers is slow",
    }
    /// Soft-dirty marks in pagemap.
    SoftDirty = "mem_dirty_track", Extra, "3.11, CONFIG_MEM_SOFT_DIRTY" {
        purpose: "tells which pages were written since the last dump",
        fallback: "", consequence: "no dumps that build on an earlier one",
    }
    /// PAGEMAP_SCAN.
    PagemapScan = "pagemap_scan", Extra, "6.7" {
        purpose: "finds the pages to dump in one call",
        fallback: "/proc/PID/pagemap", consequence: "finding pages is slow",
    }
    /// MADV_GUARD_INSTALL.
    MadvGuard = "madv_guard", Extra, "6.13" {
        purpose: "restores guard pages inside of mappings",
        fallback: "", consequence: "programs with guard pages cannot be restored",
    }
    /// PAGEMAP_SCAN with PAGE_IS_GUARD.
    PagemapScanGuard = "pagemap_scan_guard_pages", Extra, "6.15" {
        purpose: "finds guard pages inside of mappings",
        fallback: "", consequence: "programs with guard pages cannot be dumped where the kernel has such pages",
    }
    /// PR_SET_VMA_ANON_NAME.
    AnonVmaName = "anon_vma_name", Extra, "5.17, CONFIG_ANON_VMA_NAME" {
        purpose: "restores names of anonymous memory",
        fallback: "", consequence: "there are no such names on this kernel, and those of an image are dropped",
    }
    /// memfd_create(2) with MFD_HUGETLB.
    MemfdHugetlb = "memfd_hugetlb", Extra, "4.14, CONFIG_HUGETLBFS" {
        purpose: "restores memory and files of hugetlbfs",
        fallback: "", consequence: "there are no such pages on this kernel, and programs with them cannot be restored",
    }
    /// MEMBARRIER_CMD_GET_REGISTRATIONS.
    MembarrierRegistrations = "membarrier_registrations", Extra, "6.3, CONFIG_MEMBARRIER" {
        purpose: "reads which membarrier(2) commands a program registered for",
        fallback: "", consequence: "a restored program's membarrier(2) may fail",
    }
    /// PR_SET_MDWE.
    Mdwe = "mdwe", Extra, "6.3" {
        purpose: "forbids a restored program what it has forbidden itself: writable memory that becomes executable",
        fallback: "", consequence: "no program of this kernel has it, and those of an image that do are not restored",
    }
    /// kcmp(2) with KCMP_EPOLL_TFD.
    KcmpEpoll = "kcmp_epoll", Extra, "4.13, CONFIG_KCMP" {
        purpose: "tells which file an epoll instance watches",
        fallback: "", consequence: "programs with epoll instances cannot be dumped",
    }
    /// The field clockid of fdinfo, and TFD_IOC_SET_TICKS.
    TimerFd = "timerfd", Extra, "3.17, CONFIG_CHECKPOINT_RESTORE" {
        purpose: "keeps timers that are files, and what they have counted",
        fallback: "", consequence: "programs with such timers cannot be dumped, or lose what they have counted",
    }
    /// mremap(2) of the ring of an AIO context.
    AioRemap = "aio_remap", Extra, "3.19, CONFIG_AIO" {
        purpose: "moves the ring of a restored AIO context to where it was",
        fallback: "", consequence: "programs with AIO contexts cannot be restored",
    }
    /// The option SO_BUF_LOCK of sockets.
    SockoptBufLock = "sockopt_buf_lock", Extra, "5.14" {
        purpose: "keeps whether a socket's buffers were set by the program",
        fallback: "", consequence: "buffers of a restored socket may be of another size than they would be",
    }
    /// SIOCGSKNS, the network namespace of a socket.
    SkNs = "sk_ns", Extra, "4.10, CONFIG_NET_NS" {
        purpose: "tells sockets of other network namespaces apart",
        fallback: "", consequence: "programs with sockets of ip(7) or ipv6(7) cannot be dumped",
    }
    /// A table of nftables that drops packets of a connection.
    NetworkLockNftables = "network_lock_nftables", Extra, "5.2, CONFIG_NF_TABLES_INET" {
        purpose: "holds back the packets of TCP connections while they are in an image only",
        fallback: "", consequence: "connections cannot be kept, unless --network-lock skip says that somebody else does that",
    }
    /// Sockets of UDP-Lite.
    UdpLite = "udplite", Extra, "2.6.20, until 7.0" {
        purpose: "restores sockets of UDP-Lite",
        fallback: "", consequence: "there are no such sockets on this kernel, and those of an image are not restored",
    }
    /// userfaultfd(2).
    Userfaultfd = "uffd", Extra, "4.3, CONFIG_USERFAULTFD" {
        purpose: "serves pages after the restore",
        fallback: "", consequence: "no lazy restore",
    }
    /// userfaultfd(2) that tells of fork, remap, remove and unmap.
    UserfaultfdNoncoop = "uffd-noncoop", Extra, "4.11, CONFIG_USERFAULTFD" {
        purpose: "serves pages of programs that fork and remap",
        fallback: "", consequence: "no lazy restore",
    }
    /// The register set NT_ARM_SVE.
    Sve = "sve", Processor, "4.15 on aarch64, CONFIG_ARM64_SVE" {
        purpose: "keeps vector registers of scalable length",
        fallback: "", consequence: "there are none on this machine",
    }
    /// The register sets NT_ARM_PACA_KEYS and NT_ARM_PACG_KEYS.
    PacKeys = "pac_keys", Processor, "5.1 on aarch64, CONFIG_ARM64_PTR_AUTH and CONFIG_CHECKPOINT_RESTORE" {
        purpose: "keeps the keys that programs sign pointers with",
        fallback: "", consequence: "pointers are not signed on this machine",
    }
    /// The register set NT_ARM_SSVE, of SME: with it comes the second register of NT_ARM_TLS.
    Tpidr2 = "tpidr2", Processor, "6.3 on aarch64, CONFIG_ARM64_SME" {
        purpose: "keeps the second thread pointer",
        fallback: "", consequence: "there is none on this machine",
    }
}

impl Feature {
    /// CRIU's name where it has one.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// Who needs it.
    pub const fn category(self) -> Category {
        self.entry().category
    }
}
