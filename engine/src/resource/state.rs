//! What becomes of every piece of kernel state that a program has: kept, refused, or not kept and said so.
//!
//! "Nothing is lost in silence" is this table. The README shows it, `cargo xtask check` sees to it that both agree, that
//! every kept entry names the file which keeps it and the C test which proves that, and that every refusal's code exists.
//! A new resource adds its lines here. What a dump can see of the last class, the report of that dump names task by
//! task; what no interface shows is marked so.
//!
//! Not here: what belongs to the machine and not to the program (sysctls, mounts, devices).

use std::fmt::Write as _;

/// One piece of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The kernel's noun for it.
    pub what: &'static str,
    /// What becomes of it.
    pub class: Class,
}

/// What becomes of a piece of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The restored program has it again.
    Kept {
        /// The file that keeps it, below `engine/src/resource`.
        by: &'static str,
        /// The test in `zdtm/` that proves it.
        test: &'static str,
    },
    /// A program that has it is not dumped.
    Refused {
        /// The code of the error.
        code: &'static str,
    },
    /// The program goes on without it.
    NotKept {
        /// What it notices.
        notice: &'static str,
    },
}

/// State that belongs together.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Whose state it is.
    pub name: &'static str,
    /// All of it.
    pub states: &'static [State],
}

const fn kept(what: &'static str, by: &'static str, test: &'static str) -> State {
    State { what, class: Class::Kept { by, test } }
}

const fn refused(what: &'static str, code: &'static str) -> State {
    State { what, class: Class::Refused { code } }
}

const fn not_kept(what: &'static str, notice: &'static str) -> State {
    State { what, class: Class::NotKept { notice } }
}

/// The whole table.
pub const FAMILIES: [Family; 8] = [
    Family { name: "processes", states: PROCESSES },
    Family { name: "threads", states: THREADS },
    Family { name: "signals and timers", states: SIGNALS },
    Family { name: "memory", states: MEMORY },
    Family { name: "files", states: FILES },
    Family { name: "sockets", states: SOCKETS },
    Family { name: "System V and POSIX IPC", states: IPC },
    Family { name: "surroundings", states: SURROUNDINGS },
];

const IPC: &[State] = &[
    kept("attached System V segments that are still there, as they are then", "ipc/shm.rs", "shm_named"),
    kept("attached System V segments that are gone", "ipc/shm.rs", "shm_removed"),
    kept("owners, creators and modes of segments", "ipc/shm.rs", "shm_owner"),
    kept("locked segments (SHM_LOCK)", "ipc/shm.rs", "shm_locked"),
    kept("segments of huge pages", "ipc/shm.rs", "shm_hugetlb"),
    kept("where and how segments are attached, whole or in part", "memory/attach.rs", "shm_unmapped_parts"),
    kept("segments attached for reading alone", "memory/attach.rs", "shm_read_only"),
    kept("used semaphore sets, as they are then or made anew", "ipc/sem.rs", "sem_values"),
    kept("what an exit undoes (SEM_UNDO)", "ipc/undo.rs", "sem_undo"),
    kept("what an exit undoes of all threads", "ipc/undo.rs", "sem_undo_threads"),
    kept("used message queues, as they are then or made anew", "ipc/msg.rs", "msg_queue"),
    kept(
        "POSIX message queues with a name, with the messages that they have then",
        "file/mqueue.rs",
        "mq_named",
    ),
    kept("named POSIX semaphores", "file/remap.rs", "sem_posix_named"),
    kept("empty POSIX message queues without a name", "file/mqueue.rs", "mq_unlinked"),
    refused("messages of POSIX queues without a name (nothing shows them)", "E-MQUEUE-MESSAGES"),
    refused("notifications of POSIX queues (mq_notify)", "E-MQUEUE-NOTIFY"),
    refused("a POSIX queue that had messages and is gone, at the restore", "E-MQUEUE-GONE"),
    refused(
        "a POSIX queue of another size, or made anew without the messages, at the restore",
        "E-MQUEUE-CHANGED",
    ),
    refused("segments of another IPC namespace", "E-VMA-SYSVIPC"),
    refused("a semaphore that somebody else has taken since, at the restore", "E-IPC-HELD"),
    refused("a System V number or key that another object has, at the restore", "E-IPC-TAKEN"),
    not_kept("times of System V objects, last user of segments", "they are those of the restore"),
    not_kept(
        "sets and queues that no process of the tree was the last to use",
        "on another machine they are not there",
    ),
    not_kept("undoing of a semaphore that others change all the time", "an exit does not undo"),
    not_kept("undoing of a set that the process may not use any more", "an exit does not undo"),
    not_kept(
        "a semaphore that an exit could not undo in full, and that others have used since",
        "its value may be too much or too little by the rest",
    ),
    not_kept("messages of a queue that others use all the time", "one that is made anew may lack some"),
    not_kept(
        "undo lists of single threads, or of several processes (CLONE_SYSVSEM)",
        "an exit does not undo",
    ),
    not_kept(
        "processes outside of the tree that have a POSIX queue without a name open",
        "they have another one",
    ),
    not_kept("SHM_NORESERVE (cannot be seen)", "the memory of a segment that was made anew is promised"),
];

const SOCKETS: &[State] = &[
    kept("pairs of unix sockets and their unread bytes", "socket/unix/restore.rs", "unix_pair_stream"),
    kept("connections between processes", "socket/unix/restore.rs", "unix_between_processes"),
    kept("records and datagrams", "socket/queue.rs", "unix_seqpacket_records"),
    kept("addresses of the senders of datagrams", "socket/unix/restore.rs", "unix_dgram_senders"),
    kept("datagram sockets connected one way", "socket/unix/restore.rs", "unix_dgram_one_way"),
    kept("names of listening and of accepted sockets", "socket/unix/restore.rs", "unix_accepted_name"),
    kept("relative names, and those of deleted files", "socket/place.rs", "unix_relative_name"),
    kept("names that fill sun_path", "socket/place.rs", "unix_path_full"),
    kept("other names of their files (link(2))", "socket/place.rs", "unix_path_linked"),
    kept("connections that wait to be accepted", "socket/unix/restore.rs", "unix_pending_connections"),
    kept("files in flight (SCM_RIGHTS)", "socket/queue.rs", "unix_rights_in_flight"),
    kept("sockets in flight to themselves", "socket/unix/restore.rs", "unix_socket_in_itself"),
    kept("senders of messages (SCM_CREDENTIALS)", "socket/queue.rs", "unix_credentials_in_flight"),
    kept("who is at the other end (SO_PEERCRED)", "socket/unix/restore.rs", "unix_peercred"),
    kept("senders and peers that are dead", "socket/unix/restore.rs", "unix_credentials_of_dead"),
    kept("connections shut down", "socket/unix/restore.rs", "unix_shutdown"),
    kept("closed peers, and resets", "socket/unix/restore.rs", "unix_peer_closed"),
    kept("options of sockets", "socket/options.rs", "unix_options"),
    kept("signals of sockets", "socket/unix/dump.rs", "unix_async_signal"),
    kept("names and peers of UDP sockets", "socket/inet/restore.rs", "udp_names"),
    kept("UDP-Lite sockets", "socket/inet/restore.rs", "udplite_names"),
    kept("unread UDP packets with their senders", "socket/inet/datagram.rs", "udp_unread_packets"),
    kept("shared ports (SO_REUSEPORT)", "socket/inet/restore.rs", "udp_reuseport"),
    kept("listening TCP sockets", "socket/inet/restore.rs", "tcp_listening"),
    kept("sockets of MPTCP without a connection", "socket/inet/judge.rs", "mptcp_listening"),
    kept("unconnected TCP sockets and their options", "socket/inet/levels.rs", "tcp_unconnected"),
    kept("TCP connections with their queues", "socket/inet/tcp.rs", "tcp_connected"),
    kept("TCP connections that one end has closed", "socket/inet/closing.rs", "tcp_half_closed"),
    kept("TCP connections to other programs", "socket/network_lock.rs", "tcp_peer_outside"),
    kept("TCP connections that are being made", "socket/inet/tcp.rs", "tcp_connecting"),
    kept("unread bytes of TCP connections that are over", "socket/inet/closing.rs", "tcp_over_unread"),
    kept("TCP connections, closed by `--tcp-close`", "socket/inet/restore.rs", "tcp_closed"),
    kept("netlink sockets: ports, groups, peers", "socket/netlink.rs", "netlink_groups"),
    kept("an unread message between netlink sockets", "socket/netlink.rs", "netlink_unread"),
    kept("raw and ICMP sockets", "socket/inet/levels.rs", "raw_icmp"),
    kept("options of ip(7), ipv6(7) and udp(7)", "socket/inet/levels.rs", "inet_options"),
    kept("packet sockets, with filter and memberships", "socket/packet/restore.rs", "packet_socket"),
    kept("packet sockets of type SOCK_PACKET", "socket/packet/restore.rs", "packet_by_name"),
    kept("fanout groups of packet sockets", "socket/packet/restore.rs", "packet_fanout"),
    kept(
        "rings of received packets, and what is unread (TPACKET_V1, V2)",
        "socket/packet/fill.rs",
        "packet_ring",
    ),
    kept("rings of blocks (TPACKET_V3)", "socket/packet/ring.rs", "packet_ring_blocks"),
    kept("rings of packets to be sent", "socket/packet/fill.rs", "packet_ring_send"),
    kept("memberships of multicast groups", "socket/inet/multicast.rs", "multicast_groups"),
    refused("TCP connections, without `--tcp-established`", "E-SOCKET-CONNECTED"),
    refused("TCP connections to be accepted, without `--skip-in-flight`", "E-SOCKET-PENDING"),
    refused("an address that this machine does not have, at the restore", "E-SOCKET-ADDRESS"),
    not_kept("errors of inet sockets (SO_ERROR, MSG_ERRQUEUE)", "the next call does not fail with them"),
    not_kept("a shutdown of writing of UDP sockets (seen with CONFIG_INET_UDP_DIAG)", "they can send again"),
    not_kept(
        "which error waits behind unread bytes of a TCP connection (SO_ERROR, cannot be seen)",
        "it finds ECONNRESET",
    ),
    not_kept(
        "TCP_WINDOW_CLAMP of a connection (the kernel has such a limit of its own)",
        "its window may grow beyond that",
    ),
    not_kept("unread packets of raw, ICMP and packet sockets", "they are lost, as on a network"),
    not_kept("PACKET_STATISTICS, PACKET_ROLLOVER_STATS", "they count from the restore"),
    not_kept("numbers of the blocks of a ring (TPACKET_V3)", "they count from the restore"),
    not_kept(
        "how many members a fanout group may have (cannot be seen)",
        "256, or as many as the others say",
    ),
    not_kept(
        "TCP_MD5SIG, IPV6_JOIN_ANYCAST, IPsec policies of sockets",
        "they are not shown by the kernel, and gone",
    ),
    refused("unix sockets connected to outside of the tree", "E-SOCKET-PEER"),
    refused("deleted files of sockets in use (O_PATH)", "E-FILE-UNSUPPORTED"),
    refused("unix sockets whose file has only names in other folders", "E-FILE-UNLINKED"),
    refused("connections to be accepted with data or from outside", "E-SOCKET-PENDING"),
    refused("urgent data of unix sockets", "E-SOCKET-URGENT"),
    refused("eBPF filters of sockets, fanout groups by program", "E-SOCKET-FILTER"),
    refused("packet sockets of an interface that is gone", "E-SOCKET-ADDRESS"),
    kept("rings of packet sockets that are mapped privately", "memory/vma.rs", "packet_ring_private"),
    refused("rings of packet sockets that are mapped in part, or whose socket is closed", "E-VMA-SOCKET"),
    refused(
        "rings for sending that have gone round and are idle: nothing shows their place",
        "E-SOCKET-RING",
    ),
    refused("a name that a living socket has, at the restore", "E-SOCKET-NAME-TAKEN"),
    refused(
        "messages of the kernel or to a group that a netlink socket has not read, or several",
        "E-SOCKET-QUEUE",
    ),
    refused("sockets of other families", "E-FILE-UNSUPPORTED"),
    not_kept(
        "what the kernel tells netlink groups between dump and restore",
        "it does not learn of these changes",
    ),
    not_kept(
        "where in a stream files in flight come",
        "they come with the first byte of what can be read with them",
    ),
    not_kept("a living process outside of the tree as sender or peer", "it may be another process"),
    not_kept("a zombie, or the dead leader of a group or session, as peer (SO_PEERCRED)", "it is crio"),
    not_kept("groups and label of a peer (SO_PEERGROUPS, SO_PEERSEC)", "they are crio's"),
    not_kept("times at which messages came", "SO_TIMESTAMP shows the restore"),
    not_kept("an error that waits (SO_ERROR, cannot be seen)", "the next call succeeds"),
    not_kept("SO_ATTACH_REUSEPORT_CBPF (cannot be seen)", "packets go to any socket of the port"),
];

const PROCESSES: &[State] = &[
    kept("pids and parents", "task/mod.rs", "process_tree"),
    kept("sessions", "task/lineage.rs", "sessions_reparented"),
    kept("groups and sessions whose leader is gone", "task/mod.rs", "group_leader_exited"),
    kept("zombies and their exit codes", "task/mod.rs", "zombie_exit_codes"),
    kept("job control stops", "task/mod.rs", "stopped_child"),
    kept("exit signal (clone(2))", "task/mod.rs", "exit_signal"),
    kept("child subreaper", "task/attributes.rs", "child_subreaper"),
    kept("personality", "task/attributes.rs", "personality"),
    kept("resource limits", "task/attributes.rs", "rlimits"),
    kept("OOM score adjustment", "task/attributes.rs", "oom_score_adj"),
    kept("audit login uid", "task/attributes.rs", "loginuid"),
    kept("dumpable", "task/attributes.rs", "dumpable"),
    kept("core dump filter", "task/attributes.rs", "coredump_filter"),
    kept("membarrier registrations", "task/attributes.rs", "membarrier_registered"),
    refused("tasks that a debugger traces", "E-TASK-TRACED"),
    refused("a leader that has exited before its threads", "E-ZOMBIE-THREAD"),
    refused("a root that has ended", "E-TASK-GONE"),
    refused("processes that share memory (CLONE_VM), a pending vfork", "E-SHARED-MEMORY"),
    refused("tables shared by others than parent and child", "E-SHARED-TABLE"),
    refused("32-bit programs", "E-TASK-MODE"),
    not_kept("times, faults and I/O counted so far", "getrusage(2) and times(2) count from 0"),
    not_kept("start time", "ps shows the time of the restore"),
    not_kept("exit signal of a dead process", "wait(2) finds it without __WALL, too"),
    not_kept("core dump of a dead process", "WCOREDUMP of wait(2) says that there was none"),
    not_kept("user of a dead process", "si_uid of waitid(2) is crio's"),
    not_kept("audit session id", "the audit log shows another session"),
    not_kept("core scheduling cookie", "it may share a core with others"),
    not_kept("autogroup nice", "the session competes as any other"),
    not_kept("personality of single threads", "they have that of their process"),
    not_kept("private futex hash (PR_FUTEX_HASH, cannot be seen)", "it has the default size"),
    not_kept("CPUID faulting (ARCH_SET_CPUID, cannot be seen)", "the instruction works"),
    not_kept(
        "parent-death signal of a root restored with `--restore-detached`",
        "it gets none, as its parent, crio, ends at once",
    ),
];

const THREADS: &[State] = &[
    kept("thread ids", "task/mod.rs", "threads_many"),
    kept("general registers", "task/registers/x86.rs", "registers_gpr"),
    kept("vector registers (XSAVE, with AVX-512)", "task/registers/x86.rs", "registers_vector"),
    kept("scalable vectors (SVE)", "task/registers/aarch64.rs", "registers_sve"),
    kept("keys of pointer authentication", "task/registers/aarch64.rs", "pointer_signed"),
    kept("floating point modes", "task/registers/x86.rs", "float_control"),
    kept("thread-local storage", "task/registers/x86.rs", "tls"),
    kept("descriptors of set_thread_area(2)", "task/registers/x86.rs", "tls_descriptors"),
    kept("interrupted system calls", "task/registers/mod.rs", "nanosleep_restarted"),
    kept("names", "task/attributes.rs", "thread_names"),
    kept("parent-death signal", "task/attributes.rs", "pdeathsig"),
    kept("address cleared at exit", "task/attributes.rs", "clear_child_tid"),
    kept("what is cleared at exit, in shared files", "task/death.rs", "clear_child_tid_file"),
    kept("robust futex list", "task/attributes.rs", "robust_list"),
    kept("locked robust mutexes in shared files", "task/death.rs", "robust_list_file"),
    kept("restartable sequences", "task/attributes.rs", "rseq_registered"),
    kept("an interrupted restartable sequence", "task/attributes.rs", "rseq_aborted"),
    refused("restartable sequences of others than the C library (before Linux 5.13)", "E-RSEQ"),
    kept("users, groups and capabilities", "task/credentials.rs", "credentials_per_thread"),
    kept("securebits", "task/credentials.rs", "securebits"),
    kept("no_new_privs", "task/credentials.rs", "no_new_privs"),
    kept("scheduling policy and nice", "task/scheduling.rs", "nice_and_policy"),
    kept("real-time priority", "task/scheduling.rs", "real_time_policy"),
    kept("runtime and deadline of SCHED_DEADLINE", "task/scheduling.rs", "deadline_policy"),
    kept("CPU affinity", "task/scheduling.rs", "affinity"),
    kept("I/O priority", "task/scheduling.rs", "ioprio"),
    kept("timer slack", "task/scheduling.rs", "timerslack"),
    kept("strict mode of seccomp", "task/seccomp.rs", "seccomp_strict"),
    kept("seccomp filters and their order", "task/seccomp.rs", "seccomp_filter_chain"),
    kept("seccomp filters that all threads share", "task/seccomp.rs", "seccomp_filter_shared"),
    refused("seccomp filters with a listener", "E-SECCOMP-LISTENER"),
    not_kept(
        "that some threads share a seccomp filter which others lack (cannot be seen)",
        "setting one for all of them (SECCOMP_FILTER_FLAG_TSYNC) fails",
    ),
    refused("syscall user dispatch", "E-SYSCALL-DISPATCH"),
    refused("shadow stacks", "E-VMA-SHADOW-STACK"),
    refused("matrix registers: AMX", "E-CPU-AMX"),
    refused("matrix registers: SME", "E-CPU-SME"),
    refused("guarded control stacks", "E-CPU-GCS"),
    not_kept("utilisation clamps", "the CPU frequency follows its load alone"),
    not_kept("NUMA memory policy", "new memory comes from any node"),
    not_kept("speculation controls", "it runs with the machine's default"),
    not_kept("timestamp counter faults (PR_SET_TSC)", "rdtsc works"),
    not_kept("machine check policy (PR_MCE_KILL)", "it gets the machine's default"),
    not_kept("memory reclaim mark (PR_SET_IO_FLUSHER, cannot be seen)", "it may wait for its own I/O"),
    not_kept("local descriptor table, I/O ports (cannot be seen)", "its next use of them fails"),
];

const SIGNALS: &[State] = &[
    kept("handlers", "task/signals.rs", "sigaction_all"),
    kept("masks", "task/signals.rs", "thread_signal_masks"),
    kept("pending signals of processes", "task/signals.rs", "sigpending_shared"),
    kept("pending signals of threads", "task/signals.rs", "sigpending_private"),
    kept("pending signals of stopped processes", "task/signals.rs", "stopped_pending"),
    kept("alternate stacks", "task/signals.rs", "sigaltstack"),
    kept("handlers that are running", "task/signals.rs", "signal_handler_frames"),
    kept("interval timers", "task/timers.rs", "itimers_armed"),
    kept("POSIX timers and their ids", "task/timers.rs", "posix_timer_ids"),
    kept("POSIX timers whose thread has ended", "task/timers.rs", "posix_timer_thread_ended"),
    not_kept(
        "POSIX timers on the CPU time of a process that is not in the tree, or of a thread that has ended",
        "calls for this timer fail",
    ),
    not_kept(
        "which thread made a POSIX timer of CLOCK_THREAD_CPUTIME_ID (cannot be seen)",
        "it counts the time of the leader",
    ),
    not_kept(
        "overruns of POSIX timers (cannot be seen while pending)",
        "timer_getoverrun(2) counts from the restore",
    ),
    not_kept(
        "EINTR of a signal that comes before a restored task runs (other machines than x86-64)",
        "after the handler the call starts over, as with SA_RESTART",
    ),
    not_kept("system time", "timers of absolute time wait for as long as they had to at the dump"),
    not_kept(
        "how long a sleep or a wait with a limit has lasted (cannot be seen)",
        "after the restore it begins again, with all of its time",
    ),
    not_kept(
        "calls that any stop interrupts (epoll_wait, sigtimedwait, semtimedop, io_getevents, accept and recv with a timeout: signal(7))",
        "they return EINTR, and transfers that have begun return how much they have moved",
    ),
    not_kept(
        "reports of stops and continues for waitpid(2)",
        "a stop is reported once more, a continue not at all",
    ),
    not_kept(
        "a job that is stopped, restored with `--shell-job` and `--restore-detached`",
        "it gets SIGHUP when crio ends",
    ),
];

const MEMORY: &[State] = &[
    kept("anonymous memory", "memory/pages.rs", "private_anonymous"),
    kept("stacks", "memory/vma.rs", "stack_grows_down"),
    kept("heap and break", "memory/mod.rs", "brk_exact"),
    kept("private file mappings", "memory/pages.rs", "private_file_cow"),
    kept("shared file mappings", "memory/mod.rs", "shared_file"),
    kept("mapped deleted files", "memory/mod.rs", "deleted_file_mapped"),
    kept("shared anonymous memory", "memory/shared.rs", "shared_anonymous"),
    kept("mapped memfds", "file/memfd.rs", "memfd_mapped"),
    kept("copy-on-write sharing", "memory/restore.rs", "cow_stays_shared"),
    kept("holes and zero pages", "memory/pages.rs", "zero_pages"),
    kept("protections, also PROT_BTI", "memory/vma.rs", "mprotect_areas"),
    kept("guard pages", "memory/mod.rs", "guard_pages"),
    kept("guard pages of shared memory and files", "memory/mod.rs", "guard_pages_shared"),
    kept("guard pages in locked memory", "memory/restore.rs", "guard_pages_locked"),
    kept("mlock, also MLOCK_ONFAULT", "memory/restore.rs", "mlock"),
    kept("mlockall of the future", "task/attributes.rs", "mlockall_future"),
    kept("advice", "memory/vma.rs", "madvise_flags"),
    kept("no huge pages (PR_SET_THP_DISABLE)", "task/attributes.rs", "thp_disabled"),
    kept("write-or-execute (PR_SET_MDWE)", "task/attributes.rs", "mdwe"),
    kept("names of areas", "memory/vma.rs", "anonymous_names"),
    kept("vdso", "memory/vdso.rs", "vdso_works"),
    kept("a vdso that was moved", "memory/vdso.rs", "vdso_moved"),
    kept("arguments and environment", "memory/mod.rs", "cmdline_moved"),
    kept("auxiliary vector", "memory/mod.rs", "auxv"),
    kept("huge pages of hugetlbfs, private and shared", "memory/vma.rs", "hugetlb_private"),
    refused(
        "no room below a limit of its own (RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, mappings)",
        "E-ADDRESS-SPACE",
    ),
    refused("secret memory (memfd_secret)", "E-FILE-UNSUPPORTED"),
    refused("memory of devices", "E-VMA-DEVICE"),
    refused("private mappings of System V segments", "E-VMA-SHARED-COPY"),
    refused("tagged memory (PROT_MTE)", "E-VMA-MTE"),
    kept("absent pages that a userfaultfd reports", "memory/registered.rs", "userfaultfd_missing"),
    kept("pages whose writes a userfaultfd reports", "memory/registered.rs", "userfaultfd_protected"),
    kept(
        "pages whose writes a userfaultfd records (WP_ASYNC)",
        "memory/registered.rs",
        "userfaultfd_records",
    ),
    kept("minor faults that a userfaultfd reports", "memory/registered.rs", "userfaultfd_minor"),
    refused("memory whose userfaultfd only others have open", "E-VMA-USERFAULTFD"),
    refused(
        "instructions and restartable sequences in pages that a userfaultfd reports",
        "E-VMA-USERFAULTFD",
    ),
    refused(
        "protected pages that are absent or in swap space, where absent ones are reported",
        "E-VMA-USERFAULTFD",
    ),
    refused("uprobes", "E-VMA-UPROBES"),
    kept("AIO contexts and completed requests", "memory/aio.rs", "aio_events"),
    refused("memory of anonymous inodes (io_uring, perf)", "E-VMA-ANON-INODE"),
    not_kept("AIO requests in flight (cannot be seen)", "they never complete"),
    not_kept("seals (mseal, seen since Linux 6.17)", "sealed memory can be changed again"),
    not_kept(
        "the end of shared memory without a name, where it is mapped beyond it",
        "what lies beyond can be touched",
    ),
    not_kept("merging (PR_SET_MEMORY_MERGE)", "equal pages are not merged unless madvise(2) says so"),
    not_kept("protection keys (cannot be seen)", "all memory has key 0"),
    not_kept("swap, huge and soft-dirty pages", "/proc shows other counts"),
];

const FILES: &[State] = &[
    kept("positions and flags", "file/regular.rs", "regular_flags"),
    kept("descriptions shared by dup and fork", "file/table.rs", "fork_shared_description"),
    kept("shared tables", "file/table.rs", "shared_fd_table"),
    kept("close-on-exec", "file/table.rs", "close_on_exec"),
    kept("O_PATH", "file/regular.rs", "o_path"),
    kept("directories", "file/regular.rs", "directory_offset"),
    kept("deleted files", "file/ghost.rs", "ghost_content"),
    kept("files of hugetlbfs", "file/content.rs", "hugetlbfs_files"),
    kept("extended attributes and ACLs of deleted files", "file/xattr.rs", "ghost_attributes"),
    kept("hard links of deleted files", "file/ghost.rs", "ghost_hardlinks"),
    kept("files of O_TMPFILE", "file/ghost.rs", "o_tmpfile_linkable"),
    kept("files whose name is gone (--link-remap)", "file/remap.rs", "deleted_but_linked"),
    kept("files that have another name in that folder", "file/remap.rs", "sem_posix_named"),
    kept("files of dead processes in /proc", "file/remap.rs", "proc_dead_task"),
    kept("memory devices", "file/regular.rs", "dev_null_zero_full"),
    kept("pipes with their bytes", "file/pipe.rs", "pipe_data"),
    kept("packets in pipes", "file/pipe.rs", "pipe_packets"),
    kept("FIFOs", "file/fifo.rs", "fifo_data"),
    kept(
        "shared memory without a name that is opened by its mapping",
        "file/memfd.rs",
        "shared_anonymous_opened",
    ),
    refused("System V segments that are opened by their mapping", "E-FILE-UNSUPPORTED"),
    kept("memfds and their seals", "file/memfd.rs", "memfd_seals"),
    kept("pseudo-terminals", "file/tty/mod.rs", "pty_pair"),
    kept("unread input", "file/tty/queue.rs", "pty_unread_input"),
    kept("controlling terminal and foreground group", "file/tty/restore.rs", "tty_session"),
    kept("signals of files (O_ASYNC, F_SETOWN, F_SETSIG)", "file/owner.rs", "fown_pipe_signal"),
    kept("eventfds, also semaphores", "file/event/eventfd.rs", "eventfd_semaphore"),
    kept("signalfds", "file/event/signalfd.rs", "signalfd_pending"),
    kept("timerfds and what they count", "file/event/timerfd.rs", "timerfd_ticks"),
    kept("epoll instances and what they watch", "file/event/epoll.rs", "epoll_targets"),
    kept("epoll targets whose number is closed or taken", "file/event/epoll.rs", "epoll_closed_number"),
    kept("pidfds of tasks of the tree", "file/event/pidfd.rs", "pidfd_live"),
    kept("pidfds of dead processes", "file/event/pidfd.rs", "pidfd_dead"),
    refused("pidfds of other processes", "E-PIDFD-OUTSIDE"),
    refused("epoll over files that only others have open", "E-EPOLL-TARGET"),
    kept("open namespaces that the tree lives in", "file/namespace.rs", "namespace_files"),
    refused("open namespaces that it does not live in", "E-NAMESPACE"),
    kept("userfaultfds, whoever has them", "file/event/userfaultfd.rs", "userfaultfd_monitor"),
    kept("several userfaultfds of a process", "file/event/userfaultfd.rs", "userfaultfd_several"),
    kept("userfaultfds in flight", "file/event/userfaultfd.rs", "userfaultfd_in_flight"),
    kept("faults that nobody has read or answered", "file/event/userfaultfd.rs", "userfaultfd_waiting"),
    refused("userfaultfds of other processes, and those not set up (UFFDIO_API)", "E-USERFAULTFD-OUTSIDE"),
    refused("io_uring (what is registered and in flight, no interface shows)", "E-FILE-UNSUPPORTED"),
    refused("perf, BPF, KVM, landlock rulesets", "E-FILE-UNSUPPORTED"),
    refused("other devices", "E-FILE-UNSUPPORTED"),
    kept("inotify watches and their numbers", "file/event/inotify.rs", "inotify_watches"),
    kept("watches on deleted files", "file/event/watched.rs", "inotify_deleted"),
    kept("fanotify marks on files, mounts and file systems", "file/event/fanotify.rs", "fanotify_marks"),
    refused("fanotify groups that are asked for permission", "E-FANOTIFY-PERMISSION"),
    refused("watched files to which no path leads", "E-WATCH-PATH"),
    kept("flock, POSIX and open file locks (--file-locks)", "file/lock.rs", "lock_posix"),
    kept("leases (--file-locks)", "file/lock.rs", "lock_lease"),
    kept("leases that are being broken (--file-locks)", "file/lock.rs", "lock_lease_broken"),
    refused("locks and leases without --file-locks", "E-FILE-LOCKED"),
    refused("delegations of files (F_SETDELEG)", "E-FILE-LOCKED"),
    refused("files hidden by a mount", "E-FILE-HIDDEN"),
    refused("files and directories of a mount that was unmounted", "E-FILE-UNMOUNTED"),
    refused("a changed file, at the restore", "E-FILE-CHANGED"),
    not_kept("how long a lease that is being broken lasts (cannot be seen)", "lease-break-time starts over"),
    not_kept("read-ahead and write hints", "reads may be slower at first"),
    not_kept("the end of a pipe that is outside of the tree", "that end is closed"),
    not_kept("unread events of inotify and fanotify", "it does not learn of these changes"),
    not_kept("that a fault was read from a userfaultfd", "one that was not answered is reported once more"),
    not_kept(
        "UFFD_USER_MODE_ONLY of a userfaultfd (cannot be seen)",
        "system calls, too, wait at absent and protected pages",
    ),
    not_kept("edges that epoll has reported (EPOLLET)", "what is ready is reported once more"),
    not_kept(
        "a cancelled timerfd that was not read (TFD_TIMER_CANCEL_ON_SET, cannot be seen)",
        "the read gives a number instead of ECANCELED",
    ),
    not_kept("F_NOTIFY (dnotify, cannot be seen)", "it gets no signal for changes of directories"),
    not_kept("output of a terminal that was stopped (TCOOFF, cannot be seen)", "it goes on"),
];

const SURROUNDINGS: &[State] = &[
    kept("working directory", "file/fs.rs", "cwd"),
    kept("root directory", "file/fs.rs", "root_chroot"),
    kept("umask", "file/fs.rs", "umask"),
    kept("a shared view of the file system", "file/fs.rs", "shared_fs"),
    refused("other namespaces than crio's", "E-NAMESPACE"),
    kept("cgroups other than crio's, of v1 and v2", "cgroup/restore.rs", "unified"),
    kept("cgroups of hierarchies that are mounted nowhere", "cgroup/restore.rs", "named_hierarchy"),
    kept("a cgroup namespace of the whole tree", "cgroup/namespace.rs", "namespace"),
    kept("cgroups of threads", "cgroup/restore.rs", "named_threads"),
    kept("threaded cgroups", "cgroup/place.rs", "threaded"),
    kept("limits and other properties of cgroups, their owners", "cgroup/properties.rs", "pids_limit"),
    refused("frozen cgroups, without `--freeze-cgroup`", "E-CGROUP-FROZEN"),
    refused("a hierarchy of cgroups that the machine lacks, at the restore", "E-CGROUP-CONTROLLER"),
    refused("cgroups that are there or not, against `--manage-cgroups`, at the restore", "E-CGROUP-EXISTS"),
    not_kept("what cgroups have counted and charged", "it counts from the restore"),
    not_kept("BPF programs of cgroups", "those of the cgroups there apply"),
    not_kept("cgroups, with `--manage-cgroups=ignore`", "it is in crio's cgroup"),
    not_kept("security label (SELinux, AppArmor)", "it has crio's label"),
    not_kept("keyrings", "it has crio's session keyring"),
    not_kept("landlock domain (cannot be seen)", "it is no longer restricted"),
];

/// The table as the README has it: up to three rows for each family.
pub fn markdown() -> String {
    let mut out = String::from("| of | is | what |\n|---|---|---|\n");
    for family in FAMILIES {
        let [mut kept, mut refused, mut lost] = [const { Vec::new() }; 3];
        for State { what, class } in family.states {
            match class {
                Class::Kept { .. } => kept.push((*what).to_owned()),
                Class::Refused { .. } => refused.push((*what).to_owned()),
                Class::NotKept { notice } => lost.push(format!("{what}: {notice}")),
            }
        }
        let rows =
            [("kept", kept.join("; ")), ("refused", refused.join("<br>")), ("not kept", lost.join("<br>"))];
        for (at, (is, what)) in rows.iter().filter(|(_, what)| !what.is_empty()).enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "| {} | {is} | {what} |", if at == 0 { family.name } else { "" });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_noun_stands_once_and_fits_a_table() {
        let states = FAMILIES.iter().flat_map(|family| family.states);
        let mut seen = HashSet::new();
        for state in states {
            assert!(seen.insert(state.what), "{} is there twice", state.what);
            assert!(!state.what.contains(['|', ';', '\n']), "{}", state.what);
        }
        let text = markdown();
        assert!(FAMILIES.iter().all(|family| text.contains(&format!("\n| {} | kept | ", family.name))));
        assert!(text.lines().all(|line| line.matches(" | ").count() == 2 || line.starts_with("|---")));
    }
}
