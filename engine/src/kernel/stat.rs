//! `/proc/PID/stat` and `/proc/PID/task/TID/stat`: proc_pid_stat(5), do_task_stat in fs/proc/array.c.
//!
//! All 52 fields by the kernel's names. Those that the kernel prints as zero to hide them (addresses, without
//! PTRACE_MODE_READ) or because they are obsolete (`itrealvalue`, `nswap`) are zero here too.

use nix::errno::Errno;

use super::{Pid, ProcDir, text};
use crate::error::{OsContext, Result};

/// The letter of the third field: what the scheduler does with the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// `R`
    Running,
    /// `S`
    Sleeping,
    /// `D`: uninterruptible.
    DiskSleep,
    /// `T`: by a stop signal.
    Stopped,
    /// `t`: by its tracer.
    Tracing,
    /// `Z`
    Zombie,
    /// `X`: about to vanish.
    Dead,
    /// `P`: a kernel thread.
    Parked,
    /// `I`: a kernel thread.
    Idle,
}

impl State {
    /// The state for the letter that `stat` and `status` print.
    pub fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'R' => State::Running,
            b'S' => State::Sleeping,
            b'D' => State::DiskSleep,
            b'T' => State::Stopped,
            b't' => State::Tracing,
            b'Z' => State::Zombie,
            b'X' | b'x' => State::Dead,
            b'P' => State::Parked,
            b'I' => State::Idle,
            _ => return None,
        })
    }
}

/// The fields of `stat`. Times are in clock ticks (`sysconf(_SC_CLK_TCK)`), addresses and sizes in bytes unless said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "proc_pid_stat(5) explains each field under the same name")]
pub struct Stat {
    pub pid: Pid,
    /// The thread's name as it is: any bytes, at most 15 for a user's task.
    pub comm: Vec<u8>,
    pub state: State,
    pub ppid: Pid,
    pub pgid: Pid,
    pub sid: Pid,
    /// Controlling terminal as new_encode_dev prints it; 0 is none.
    pub tty_nr: i32,
    /// Foreground process group of that terminal, -1 without one.
    pub tpgid: Pid,
    /// `PF_*` of include/linux/sched.h.
    pub flags: u32,
    pub minflt: u64,
    pub cminflt: u64,
    pub majflt: u64,
    pub cmajflt: u64,
    pub utime: u64,
    pub stime: u64,
    pub cutime: i64,
    pub cstime: i64,
    pub priority: i64,
    pub nice: i64,
    pub num_threads: i64,
    pub itrealvalue: i64,
    /// Ticks after boot, in the time namespace of the reader.
    pub start_time: u64,
    pub vsize: u64,
    /// In pages.
    pub rss: i64,
    pub rsslim: u64,
    pub start_code: u64,
    pub end_code: u64,
    pub start_stack: u64,
    pub kstkesp: u64,
    pub kstkeip: u64,
    /// The low 31 signals only, like the three sets below: `status` has all.
    pub signal: u64,
    pub blocked: u64,
    pub sigignore: u64,
    pub sigcatch: u64,
    pub wchan: u64,
    pub nswap: u64,
    pub cnswap: u64,
    /// Sent to the parent at death; -1 for a thread that does not lead its group.
    pub exit_signal: i32,
    pub processor: i32,
    pub rt_priority: u32,
    /// `SCHED_*`.
    pub policy: u32,
    pub delayacct_blkio_ticks: u64,
    pub guest_time: u64,
    pub cguest_time: i64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_brk: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    pub env_start: u64,
    pub env_end: u64,
    /// As wait(2) reports it.
    pub exit_code: i32,
}

/// Reads `stat` of a process ([`ProcDir::open`]) or thread ([`ProcDir::thread`]).
pub fn read(proc: &ProcDir) -> Result<Stat> {
    proc.parse("stat", parse).and_then(unreaped)
}

/// A task that was reaped while its line was written has no session: do_task_stat in fs/proc/array.c prints -1 then.
fn unreaped(stat: Stat) -> Result<Stat> {
    if stat.sid == -1 { Err(Errno::ESRCH).os(|| format!("read stat of {}", stat.pid)) } else { Ok(stat) }
}

/// Takes the numbers after the name one by one.
struct Numbers<'a, I: Iterator<Item = &'a [u8]>>(I);

impl Stat {
    /// Whether the task is in do_exit() of kernel/exit.c or behind it: this is set before anything of it is taken down.
    pub fn is_exiting(&self) -> bool {
        /// include/linux/sched.h.
        const PF_EXITING: u32 = 4;
        self.flags & PF_EXITING != 0
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> Numbers<'a, I> {
    fn next<T: TryFrom<i128>>(&mut self, name: &str) -> Result<T> {
        let bytes = self.0.next().ok_or_else(|| text::missing(name))?;
        text::field(name, bytes, text::dec)
    }
}

/// The name stands in the outermost parentheses: it may hold `)`, blanks and newlines itself.
fn split_comm(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let open = line.iter().position(|&b| b == b'(')?;
    let close = line.iter().rposition(|&b| b == b')')?;
    Some((line.get(..open)?.strip_suffix(b" ")?, line.get(open + 1..close)?, line.get(close + 1..)?))
}

/// Parses the one line of `stat`; fields that a later kernel appends are ignored.
pub fn parse(bytes: &[u8]) -> Result<Stat> {
    let (pid, comm, rest) = split_comm(bytes).ok_or_else(|| text::malformed("stat", bytes))?;
    let mut fields = text::fields(text::chomp(rest));
    let state = fields.next().ok_or_else(|| text::missing("state"))?;
    let state =
        text::field("state", state, |s| if let [letter] = s { State::from_letter(*letter) } else { None })?;
    let mut n = Numbers(fields);
    Ok(Stat {
        pid: text::field("pid", pid, text::dec)?,
        comm: comm.to_vec(),
        state,
        ppid: n.next("ppid")?,
        pgid: n.next("pgrp")?,
        sid: n.next("session")?,
        tty_nr: n.next("tty_nr")?,
        tpgid: n.next("tpgid")?,
        flags: n.next("flags")?,
        minflt: n.next("minflt")?,
        cminflt: n.next("cminflt")?,
        majflt: n.next("majflt")?,
        cmajflt: n.next("cmajflt")?,
        utime: n.next("utime")?,
        stime: n.next("stime")?,
        cutime: n.next("cutime")?,
        cstime: n.next("cstime")?,
        priority: n.next("priority")?,
        nice: n.next("nice")?,
        num_threads: n.next("num_threads")?,
        itrealvalue: n.next("itrealvalue")?,
        start_time: n.next("starttime")?,
        vsize: n.next("vsize")?,
        rss: n.next("rss")?,
        rsslim: n.next("rsslim")?,
        start_code: n.next("startcode")?,
        end_code: n.next("endcode")?,
        start_stack: n.next("startstack")?,
        kstkesp: n.next("kstkesp")?,
        kstkeip: n.next("kstkeip")?,
        signal: n.next("signal")?,
        blocked: n.next("blocked")?,
        sigignore: n.next("sigignore")?,
        sigcatch: n.next("sigcatch")?,
        wchan: n.next("wchan")?,
        nswap: n.next("nswap")?,
        cnswap: n.next("cnswap")?,
        exit_signal: n.next("exit_signal")?,
        processor: n.next("processor")?,
        rt_priority: n.next("rt_priority")?,
        policy: n.next("policy")?,
        delayacct_blkio_ticks: n.next("delayacct_blkio_ticks")?,
        guest_time: n.next("guest_time")?,
        cguest_time: n.next("cguest_time")?,
        start_data: n.next("start_data")?,
        end_data: n.next("end_data")?,
        start_brk: n.next("start_brk")?,
        arg_start: n.next("arg_start")?,
        arg_end: n.next("arg_end")?,
        env_start: n.next("env_start")?,
        env_end: n.next("env_end")?,
        exit_code: n.next("exit_code")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAT: &[u8] =
        b"5384 (cat) R 5378 5377 3533 0 -1 4194304 118 0 0 0 0 0 0 0 20 0 1 0 107131 3796992 362 \
        18446744073709551615 94129814552576 94129814572457 140728734432544 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 \
        94129814588464 94129814590080 94130551758848 140728734436049 140728734436072 140728734436072 \
        140728734437355 9\n";

    #[test]
    fn reads_a_captured_line() -> Result<()> {
        let stat = parse(CAT)?;
        assert_eq!((stat.pid, stat.comm.as_slice(), stat.state), (5384, b"cat".as_slice(), State::Running));
        assert_eq!((stat.ppid, stat.pgid, stat.sid, stat.tpgid), (5378, 5377, 3533, -1));
        assert_eq!((stat.start_time, stat.rsslim, stat.exit_signal), (107131, u64::MAX, 17));
        assert_eq!((stat.env_end, stat.exit_code), (140728734437355, 9));
        Ok(())
    }

    #[test]
    fn a_task_without_session_is_gone() -> Result<()> {
        let reaped = Stat { sid: -1, pgid: -1, ..parse(CAT)? };
        assert_eq!(unreaped(reaped).map_err(|e| e.code()), Err("E-TASK-GONE"));
        assert_eq!(unreaped(parse(CAT)?)?, parse(CAT)?);
        Ok(())
    }

    #[test]
    fn the_name_may_hold_anything() -> Result<()> {
        let line =
            [b"7 (a) R (\n) 1".as_slice(), CAT.strip_prefix(b"5384 (cat").unwrap_or_default()].concat();
        assert_eq!(parse(&line)?.comm, b"a) R (\n) 1");
        Ok(())
    }

    #[test]
    fn malformed_lines_are_errors() {
        for cut in 0..CAT.len() - 2 {
            assert!(parse(CAT.get(..cut).unwrap_or_default()).is_err(), "{cut}");
        }
        for bad in [b"".as_slice(), b")(", b"1 (a) Q 1", b"x (a) R 1", b"1(a) R 1"] {
            assert!(parse(bad).is_err());
        }
    }

    #[test]
    fn agrees_with_the_system_calls() -> Result<()> {
        let stat = read(&ProcDir::current()?)?;
        assert_eq!(stat.pid, nix::unistd::getpid().as_raw());
        assert_eq!(stat.ppid, nix::unistd::getppid().as_raw());
        assert_eq!(Ok(stat.pgid), nix::unistd::getpgid(None).map(|p| p.as_raw()));
        assert_eq!(Ok(stat.sid), nix::unistd::getsid(None).map(|p| p.as_raw()));
        assert!(stat.start_code < stat.end_code && stat.arg_start < stat.arg_end && stat.start_brk != 0);
        Ok(())
    }
}
