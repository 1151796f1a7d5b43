//! `/proc/PID/status` and `/proc/PID/task/TID/status`: proc_pid_status(5), proc_pid_status in fs/proc/array.c.
//!
//! Lines that some kernels or tasks lack are `Option` or zero. Memory counters are read for reports only; CPU and
//! memory node masks are not read: sched_getaffinity(2) and get_mempolicy(2) say more.

use super::stat::State;
use super::{Pid, ProcDir, text};
use crate::error::Result;

/// Real, effective, saved and file system id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names of credentials(7)")]
pub struct Ids {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
    pub fs: u32,
}

/// The capability sets of capabilities(7), bit N for capability N.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names of capabilities(7)")]
pub struct Capabilities {
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
    pub bounding: u64,
    pub ambient: u64,
}

/// Signal sets: bit N-1 for signal N. `pending` is the thread's, `shared_pending` the process's. On MIPS there are
/// 128 signals, hence the width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "explained above")]
pub struct SignalSets {
    pub pending: u128,
    pub shared_pending: u128,
    pub blocked: u128,
    pub ignored: u128,
    pub caught: u128,
}

/// Pids in every nested pid namespace, ours first, the task's own last; empty without CONFIG_PID_NS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names of proc_pid_status(5)")]
pub struct NestedPids {
    pub tgid: Vec<Pid>,
    pub pid: Vec<Pid>,
    pub pgid: Vec<Pid>,
    pub sid: Vec<Pid>,
}

/// Memory counters in bytes; all zero for a task without memory (zombie, kernel thread).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names of proc_pid_status(5)")]
pub struct Memory {
    pub size: u64,
    pub locked: u64,
    pub pinned: u64,
    pub rss: u64,
    pub rss_anon: u64,
    pub rss_file: u64,
    pub rss_shmem: u64,
    pub page_tables: u64,
    pub swap: u64,
}

/// What `status` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The name with the kernel's escapes (`\n`, `\\`) undone.
    pub name: Vec<u8>,
    /// `None` for a task without file system context: a zombie.
    pub umask: Option<u32>,
    /// The scheduler's state.
    pub state: State,
    /// The process.
    pub tgid: Pid,
    /// NUMA group, 0 is none.
    pub ngid: Pid,
    /// The thread.
    pub pid: Pid,
    /// The parent process.
    pub ppid: Pid,
    /// Who traces it, 0 is nobody.
    pub tracer_pid: Pid,
    /// User ids as the reader's user namespace sees them.
    pub uid: Ids,
    /// Group ids.
    pub gid: Ids,
    /// Room in the descriptor table.
    pub fd_size: u32,
    /// Supplementary groups, in the kernel's ascending order.
    pub groups: Vec<u32>,
    /// Pids in nested namespaces.
    pub nested: NestedPids,
    /// Memory counters.
    pub memory: Memory,
    /// Threads of the process.
    pub threads: u32,
    /// Queued signals of the user, and their limit.
    pub sigq: (u64, u64),
    /// Signal sets.
    pub signals: SignalSets,
    /// Capability sets.
    pub caps: Capabilities,
    /// prctl(PR_SET_NO_NEW_PRIVS).
    pub no_new_privs: bool,
    /// `SECCOMP_MODE_*`: 0 off, 1 strict, 2 filter.
    pub seccomp: u8,
    /// Installed filters; `None` before Linux 5.9.
    pub seccomp_filters: Option<u32>,
    /// False after prctl(PR_SET_THP_DISABLE); `None` for a task without memory.
    pub thp_enabled: Option<bool>,
    /// A thread of the kernel; `None` before Linux 6.11.
    pub kthread: Option<bool>,
    /// Words of `x86_Thread_features` (`shstk`, `wrss`), Linux 6.6 and later.
    pub thread_features: Vec<Vec<u8>>,
}

/// Reads `status` of a process or thread.
pub fn read(proc: &ProcDir) -> Result<Status> {
    proc.parse("status", parse)
}

/// `Key:\tvalue` lines. Searched from where the last search ended, so that asking in the kernel's order is one pass.
struct Lines<'a> {
    lines: Vec<(&'a [u8], &'a [u8])>,
    next: usize,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let split = |line| text::split_once(line, b':').ok_or_else(|| text::malformed("status line", line));
        Ok(Lines { lines: text::lines(bytes).map(split).collect::<Result<_>>()?, next: 0 })
    }

    fn find(&mut self, key: &str) -> Option<&'a [u8]> {
        let count = self.lines.len();
        let at = (self.next..count)
            .chain(0..self.next)
            .find(|&at| self.lines.get(at).is_some_and(|(name, _)| *name == key.as_bytes()))?;
        self.next = at + 1;
        self.lines.get(at).map(|(_, value)| *value)
    }

    /// The value of a line that no kernel and no task lacks.
    fn must<T>(&mut self, key: &str, read: impl Fn(&[u8]) -> Option<T>) -> Result<T> {
        self.may(key, read)?.ok_or_else(|| text::missing(key))
    }

    fn may<T>(&mut self, key: &str, read: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>> {
        self.find(key).map(|value| text::field(key, value.trim_ascii(), read)).transpose()
    }

    fn numbers<T: TryFrom<i128>>(&mut self, key: &str) -> Result<Vec<T>> {
        Ok(self.may(key, |value| text::fields(value).map(text::dec).collect())?.unwrap_or_default())
    }

    /// A memory counter, printed as `N kB`, in bytes; absent is 0.
    fn bytes(&mut self, key: &str) -> Result<u64> {
        let kilobytes = |value: &[u8]| text::dec::<u64>(value.strip_suffix(b" kB")?)?.checked_mul(1024);
        Ok(self.may(key, kilobytes)?.unwrap_or(0))
    }
}

/// Parses all lines; unknown ones are skipped.
pub fn parse(bytes: &[u8]) -> Result<Status> {
    let mut l = Lines::new(bytes)?;
    let name = l.find("Name").ok_or_else(|| text::missing("Name"))?;
    Ok(Status {
        name: unescape_name(name.strip_prefix(b"\t").unwrap_or(name)),
        umask: l.may("Umask", |v| u32::try_from(text::oct(v)?).ok())?,
        state: l.must("State", |v| State::from_letter(*v.first()?))?,
        tgid: l.must("Tgid", text::dec)?,
        ngid: l.may("Ngid", text::dec)?.unwrap_or(0),
        pid: l.must("Pid", text::dec)?,
        ppid: l.must("PPid", text::dec)?,
        tracer_pid: l.must("TracerPid", text::dec)?,
        uid: l.must("Uid", ids)?,
        gid: l.must("Gid", ids)?,
        fd_size: l.must("FDSize", text::dec)?,
        groups: l.numbers("Groups")?,
        nested: NestedPids {
            tgid: l.numbers("NStgid")?,
            pid: l.numbers("NSpid")?,
            pgid: l.numbers("NSpgid")?,
            sid: l.numbers("NSsid")?,
        },
        kthread: l.may("Kthread", flag)?,
        memory: memory(&mut l)?,
        thp_enabled: l.may("THP_enabled", flag)?,
        threads: l.must("Threads", text::dec)?,
        sigq: l.must("SigQ", |v| {
            let (queued, limit) = text::split_once(v, b'/')?;
            Some((text::dec(queued)?, text::dec(limit)?))
        })?,
        signals: SignalSets {
            pending: l.must("SigPnd", signal_set)?,
            shared_pending: l.must("ShdPnd", signal_set)?,
            blocked: l.must("SigBlk", signal_set)?,
            ignored: l.must("SigIgn", signal_set)?,
            caught: l.must("SigCgt", signal_set)?,
        },
        caps: Capabilities {
            inheritable: l.must("CapInh", text::hex)?,
            permitted: l.must("CapPrm", text::hex)?,
            effective: l.must("CapEff", text::hex)?,
            bounding: l.must("CapBnd", text::hex)?,
            ambient: l.must("CapAmb", text::hex)?,
        },
        no_new_privs: l.must("NoNewPrivs", flag)?,
        // Absent without CONFIG_SECCOMP, where only 0 is possible.
        seccomp: l.may("Seccomp", text::dec)?.unwrap_or(0),
        seccomp_filters: l.may("Seccomp_filters", text::dec)?,
        thread_features: l
            .may("x86_Thread_features", |v| Some(text::fields(v).map(<[u8]>::to_vec).collect()))?
            .unwrap_or_default(),
    })
}

fn memory(l: &mut Lines<'_>) -> Result<Memory> {
    Ok(Memory {
        size: l.bytes("VmSize")?,
        locked: l.bytes("VmLck")?,
        pinned: l.bytes("VmPin")?,
        rss: l.bytes("VmRSS")?,
        rss_anon: l.bytes("RssAnon")?,
        rss_file: l.bytes("RssFile")?,
        rss_shmem: l.bytes("RssShmem")?,
        page_tables: l.bytes("VmPTE")?,
        swap: l.bytes("VmSwap")?,
    })
}

fn ids(value: &[u8]) -> Option<Ids> {
    let mut ids = text::fields(value).map(text::dec);
    Some(Ids { real: ids.next()??, effective: ids.next()??, saved: ids.next()??, fs: ids.next()?? })
}

fn flag(value: &[u8]) -> Option<bool> {
    match value {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

/// 16 hexadecimal digits, 32 on MIPS.
pub(super) fn signal_set(value: &[u8]) -> Option<u128> {
    let (high, low) = value.split_at_checked(value.len().checked_sub(16)?)?;
    let high = if high.is_empty() { 0 } else { text::hex(high)? };
    Some(u128::from(high) << 64 | u128::from(text::hex(low)?))
}

/// Undoes string_escape_mem(ESCAPE_SPACE | ESCAPE_SPECIAL) with the set `\n\\` of proc_task_name in fs/proc/array.c.
fn unescape_name(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'\\', b'n', after @ ..] => (b'\n', after),
            [b'\\', b'\\', after @ ..] => (b'\\', after),
            _ => (first, tail),
        };
        out.push(byte);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, OsContext};

    /// Captured on 6.18, memory masks left out.
    const CAT: &[u8] = b"Name:\tcat\nUmask:\t0022\nState:\tR (running)\nTgid:\t5386\nNgid:\t0\nPid:\t5386\n\
        PPid:\t5378\nTracerPid:\t0\nUid:\t0\t1\t2\t3\nGid:\t0\t0\t0\t4294967295\nFDSize:\t256\nGroups:\t4 27 1000 \n\
        NStgid:\t5386\t12\nNSpid:\t5386\t12\nNSpgid:\t5378\t0\nNSsid:\t3533\t0\nKthread:\t0\nVmPeak:\t    3708 kB\n\
        VmSize:\t    3708 kB\nVmLck:\t       4 kB\nVmPin:\t       0 kB\nVmHWM:\t    1700 kB\nVmRSS:\t    1700 kB\n\
        RssAnon:\t     116 kB\nRssFile:\t    1584 kB\nRssShmem:\t       0 kB\nVmPTE:\t      40 kB\n\
        VmSwap:\t       8 kB\nHugetlbPages:\t       0 kB\nCoreDumping:\t0\nTHP_enabled:\t1\n\
        untag_mask:\t0xffffffffffffffff\nThreads:\t1\nSigQ:\t3/96365\nSigPnd:\t0000000000000000\n\
        ShdPnd:\t0000000000000200\nSigBlk:\t0000000000010000\nSigIgn:\t8000000000000000\nSigCgt:\t0000000000000001\n\
        CapInh:\t0000000000000000\nCapPrm:\t000001fffeffffff\nCapEff:\t000001fffeffffff\nCapBnd:\t000001fffeffffff\n\
        CapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t3\n\
        Speculation_Store_Bypass:\tvulnerable\nx86_Thread_features:\tshstk wrss \nCpus_allowed:\t3\n";

    /// A zombie of 5.10, hand-made from fs/proc/array.c of that release; its name is `a<newline>:\`.
    const ZOMBIE: &[u8] = b"Name:\ta\\n:\\\\\nState:\tZ (zombie)\nTgid:\t7\nNgid:\t0\nPid:\t7\nPPid:\t1\n\
        TracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t0\nGroups:\t \nThreads:\t1\nSigQ:\t0/9\n\
        SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\n\
        SigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\nCapInh:\t0000000000000000\nCapPrm:\t0000003fffffffff\n\
        CapEff:\t0000003fffffffff\nCapBnd:\t0000003fffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n\
        Speculation_Store_Bypass:\tthread vulnerable\n";

    #[test]
    fn reads_a_captured_file() -> Result<()> {
        let s = parse(CAT)?;
        assert_eq!((s.umask, s.state, s.tgid, s.ppid), (Some(0o022), State::Running, 5386, 5378));
        assert_eq!(s.uid, Ids { real: 0, effective: 1, saved: 2, fs: 3 });
        assert_eq!((s.gid.fs, s.groups.as_slice()), (u32::MAX, [4, 27, 1000].as_slice()));
        assert_eq!(
            (s.nested.pid.as_slice(), s.nested.sid.as_slice()),
            ([5386, 12].as_slice(), [3533, 0].as_slice())
        );
        assert_eq!((s.memory.size, s.memory.locked, s.memory.swap), (3708 << 10, 4 << 10, 8 << 10));
        assert_eq!((s.sigq, s.signals.shared_pending, s.signals.ignored), ((3, 96365), 0x200, 1 << 63));
        assert_eq!((s.caps.permitted, s.seccomp, s.seccomp_filters), (0x1fffeffffff, 2, Some(3)));
        assert_eq!((s.kthread, s.thp_enabled), (Some(false), Some(true)));
        assert_eq!(s.thread_features, [b"shstk".to_vec(), b"wrss".to_vec()]);
        Ok(())
    }

    #[test]
    fn reads_a_zombie_of_an_older_kernel() -> Result<()> {
        let s = parse(ZOMBIE)?;
        assert_eq!((s.name.as_slice(), s.state, s.umask), (b"a\n:\\".as_slice(), State::Zombie, None));
        assert_eq!((s.seccomp_filters, s.kthread, s.thp_enabled), (None, None, None));
        assert_eq!((s.memory, s.nested, s.no_new_privs), (Memory::default(), NestedPids::default(), true));
        Ok(())
    }

    #[test]
    fn a_name_may_hold_what_is_escaped() -> Result<()> {
        let own = ProcDir::current()?;
        let shown = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sys::prctl::set_name(c"a\\n (b)\\\n").os(|| "prctl")?;
                read(&own.thread(nix::unistd::gettid().as_raw()))
            });
            thread.join().unwrap_or_else(|_| Err(Error::bug("panicked")))
        })?;
        assert_eq!(shown.name, b"a\\n (b)\\\n");
        Ok(())
    }

    #[test]
    fn signal_sets_of_mips_have_128_bits() {
        assert_eq!(signal_set(b"80000000000000000000000000000001"), Some(1 << 127 | 1));
        assert_eq!((signal_set(b""), signal_set(b"12"), signal_set(b"000000000000000g")), (None, None, None));
    }

    #[test]
    fn malformed_files_are_errors() {
        for cut in 0..ZOMBIE.iter().rposition(|&b| b == b'N').unwrap_or(0) {
            assert!(parse(ZOMBIE.get(..cut).unwrap_or_default()).is_err(), "{cut}");
        }
        let swap = |from: &str, to: &str| String::from_utf8_lossy(CAT).replace(from, to).into_bytes();
        assert!(parse(&swap("Uid:\t0\t1\t2", "Uid:\t0\t1")).is_err());
        assert!(parse(&swap("State:\tR", "State:\tQ")).is_err());
        assert!(parse(&swap("3/96365", "3")).is_err());
        assert!(parse(&swap("VmLck:\t       4 kB", "VmLck:\t4")).is_err());
        assert!(parse(&swap("Groups:\t4", "Groups:\t-4")).is_err());
    }

    #[test]
    fn agrees_with_the_system_calls() -> Result<()> {
        let proc = ProcDir::current()?;
        let s = read(&proc.thread(nix::unistd::gettid().as_raw()))?;
        assert_eq!((s.tgid, s.pid), (nix::unistd::getpid().as_raw(), nix::unistd::gettid().as_raw()));
        assert_eq!(
            (s.uid.real, s.gid.effective),
            (nix::unistd::getuid().as_raw(), nix::unistd::getegid().as_raw())
        );
        let mut groups: Vec<u32> =
            nix::unistd::getgroups().unwrap_or_default().iter().map(|g| g.as_raw()).collect();
        groups.sort_unstable();
        assert_eq!(s.groups, groups);
        assert_eq!(s.no_new_privs, nix::sys::prctl::get_no_new_privs().unwrap_or_default());
        let blocked = nix::sys::signal::SigSet::thread_get_mask().unwrap_or(nix::sys::signal::SigSet::all());
        let bits = blocked.iter().fold(0u128, |bits, signal| bits | 1 << (signal as i32 - 1));
        assert_eq!(s.signals.blocked, bits);
        Ok(())
    }
}
