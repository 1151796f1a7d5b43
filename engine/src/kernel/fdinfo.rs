//! `/proc/PID/fd` and `/proc/PID/fdinfo/N`: proc_pid_fdinfo(5), seq_show in fs/proc/fd.c.
//!
//! Four common lines, the locks held through the descriptor (show_fd_locks in fs/locks.c), and then whatever the
//! file's own type adds: eventfd, epoll, inotify, ... . Those lines are handed on as they are: their parsers are
//! with their resources.

use super::{Pid, ProcDir, text};
use crate::error::Result;

/// A descriptor of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdInfo {
    /// File offset; meaningless for files that cannot seek.
    pub pos: i64,
    /// `O_*` as fcntl(F_GETFL) gives them, plus O_CLOEXEC if the descriptor has FD_CLOEXEC.
    pub flags: u32,
    /// The mount, as in `mountinfo`; unlisted for pipes, sockets and the like.
    pub mnt_id: i32,
    /// Inode number; `None` before Linux 5.14.
    pub ino: Option<u64>,
    /// Locks and leases taken through this open file by the owner of the descriptor table.
    pub locks: Vec<Lock>,
    /// All other lines.
    pub rest: Vec<Vec<u8>>,
}

/// What took a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// fcntl(F_SETLK)
    Posix,
    /// fcntl(F_OFD_SETLK)
    OpenFile,
    /// flock(2)
    Flock,
    /// fcntl(F_SETLEASE)
    Lease,
    /// A delegation of the NFS server.
    Delegation,
}

/// What it allows its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// F_RDLCK, LOCK_SH
    Read,
    /// F_WRLCK, LOCK_EX
    Write,
    /// F_UNLCK: a lease that is to be given up altogether.
    Unlock,
}

/// One `lock:` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What took it.
    pub kind: LockKind,
    /// For a lease that is being broken, what will be left of it.
    pub mode: LockMode,
    /// The second column: `ADVISORY`, `MANDATORY`, or for leases `ACTIVE`, `BREAKING`, `BREAKER`.
    pub status: Vec<u8>,
    /// Who took it; -1 for locks of an open file.
    pub pid: Pid,
    /// Device of the file system.
    pub dev: (u32, u32),
    /// Inode in it.
    pub ino: u64,
    /// First byte.
    pub start: u64,
    /// Last byte; `None` is the end of file, however it grows.
    pub end: Option<u64>,
}

/// The open descriptors, ascending.
pub fn list(proc: &ProcDir) -> Result<Vec<i32>> {
    proc.list_numbers("fd")
}

/// What descriptor `fd` leads to, raw: a path, `pipe:[N]`, `socket:[N]`, `anon_inode:...`, perhaps ` (deleted)`.
pub fn target(proc: &ProcDir, fd: i32) -> Result<Vec<u8>> {
    proc.readlink(&format!("fd/{fd}"))
}

/// Reads `fdinfo/FD`.
pub fn read(proc: &ProcDir, fd: i32) -> Result<FdInfo> {
    proc.parse(&format!("fdinfo/{fd}"), parse)
}

/// Parses one fdinfo file.
pub fn parse(bytes: &[u8]) -> Result<FdInfo> {
    let (mut pos, mut flags, mut mnt_id, mut ino) = (None, None, None, None);
    let (mut locks, mut rest) = (Vec::new(), Vec::new());
    for line in text::lines(bytes) {
        let (key, value) = text::split_once(line, b':').unwrap_or((line, b""));
        let value = value.trim_ascii();
        // The common lines come first: the same words further down belong to the file's type.
        match key {
            b"pos" if pos.is_none() => pos = Some(text::field("pos", value, text::dec)?),
            b"flags" if flags.is_none() => flags = Some(text::field("flags", value, octal)?),
            b"mnt_id" if mnt_id.is_none() => mnt_id = Some(text::field("mnt_id", value, text::dec)?),
            b"ino" if ino.is_none() && rest.is_empty() => ino = Some(text::field("ino", value, text::dec)?),
            b"lock" if rest.is_empty() => locks.push(text::field("lock", value, lock)?),
            _ => rest.push(line.to_vec()),
        }
    }
    Ok(FdInfo {
        pos: pos.ok_or_else(|| text::missing("pos"))?,
        flags: flags.ok_or_else(|| text::missing("flags"))?,
        mnt_id: mnt_id.ok_or_else(|| text::missing("mnt_id"))?,
        ino,
        locks,
        rest,
    })
}

fn octal(value: &[u8]) -> Option<u32> {
    u32::try_from(text::oct(value)?).ok()
}

/// `1: POSIX  ADVISORY  WRITE 17 fe:00:247282 0 EOF`
fn lock(value: &[u8]) -> Option<Lock> {
    let mut fields = text::fields(value);
    text::dec::<u64>(fields.next()?.strip_suffix(b":")?)?;
    let kind = match fields.next()? {
        b"POSIX" => LockKind::Posix,
        b"OFDLCK" => LockKind::OpenFile,
        b"FLOCK" => LockKind::Flock,
        b"LEASE" => LockKind::Lease,
        b"DELEG" => LockKind::Delegation,
        _ => return None,
    };
    let status = fields.next()?.to_vec();
    let mode = match fields.next()? {
        b"READ" => LockMode::Read,
        b"WRITE" => LockMode::Write,
        b"UNLCK" => LockMode::Unlock,
        _ => return None,
    };
    let pid = text::dec(fields.next()?)?;
    let (major, inode) = text::split_once(fields.next()?, b':')?;
    let (minor, ino) = text::split_once(inode, b':')?;
    let number = |digits| u32::try_from(text::hex(digits)?).ok();
    let dev = (number(major)?, number(minor)?);
    let start = text::dec(fields.next()?)?;
    let end = match fields.next()? {
        b"EOF" => None,
        last => Some(text::dec(last)?),
    };
    Some(Lock { kind, mode, status, pid, dev, ino: text::dec(ino)?, start, end })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;
    use nix::fcntl::{Flock, FlockArg};
    use std::io::{Seek, SeekFrom, Write};
    use std::os::fd::AsRawFd;

    #[test]
    fn reads_common_lines_locks_and_the_rest() -> Result<()> {
        let info = parse(
            b"pos:\t10\nflags:\t02100002\nmnt_id:\t24\nino:\t3\nlock:\t1: POSIX  ADVISORY  WRITE 1234 fe:0a:247282 5 9\n\
              lock:\t2: OFDLCK ADVISORY  READ -1 00:1b:77 0 EOF\nlock:\t3: LEASE  BREAKING  UNLCK 9 08:01:5 0 EOF\n\
              tfd:        5 events:       1d data: ffffffffffffffff pos:0 ino:51 sdev:a\nino:7\n",
        )?;
        assert_eq!((info.pos, info.flags, info.mnt_id, info.ino), (10, 0o2100002, 24, Some(3)));
        let kinds: Vec<_> =
            info.locks.iter().map(|l| (l.kind, l.mode, l.pid, l.dev, l.ino, l.start, l.end)).collect();
        assert_eq!(
            kinds,
            [
                (LockKind::Posix, LockMode::Write, 1234, (0xfe, 0x0a), 247282, 5, Some(9)),
                (LockKind::OpenFile, LockMode::Read, -1, (0, 0x1b), 77, 0, None),
                (LockKind::Lease, LockMode::Unlock, 9, (8, 1), 5, 0, None),
            ]
        );
        assert_eq!(info.rest.len(), 2);
        assert_eq!(info.rest.last().map(Vec::as_slice), Some(b"ino:7".as_slice()));
        Ok(())
    }

    #[test]
    fn older_kernels_print_no_inode() -> Result<()> {
        let info = parse(b"pos:\t0\nflags:\t02\nmnt_id:\t-1\neventfd-count:                1\n")?;
        assert_eq!((info.ino, info.mnt_id, info.rest.len()), (None, -1, 1));
        Ok(())
    }

    #[test]
    fn malformed_files_are_errors() {
        let common = "pos:\t0\nflags:\t02\nmnt_id:\t24\n";
        for bad in ["", "pos:\t0\nflags:\t02\n", "pos:\tx\n", "pos:\t0\nflags:\t09\nmnt_id:\t1\n"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in
            ["", "1: POSIX", "1: WHAT ADVISORY READ 1 0:0:0 0 EOF", "1: POSIX ADVISORY READ 1 0:0 0 EOF"]
        {
            assert!(parse(format!("{common}lock:\t{bad}\n").as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn agrees_with_a_file_of_ours() -> Result<()> {
        let mut file = tempfile::tempfile().os(|| "create")?;
        file.write_all(b"hello").and_then(|()| file.seek(SeekFrom::Start(3))).os(|| "write")?;
        let proc = ProcDir::current()?;
        let fd = file.as_raw_fd();
        let held = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).os(|| "flock")?;
        let info = read(&proc, fd)?;
        let flags = nix::fcntl::fcntl(&*held, nix::fcntl::FcntlArg::F_GETFL).os(|| "fcntl")?;
        assert_eq!((info.pos, info.flags), (3, flags as u32 | libc::O_CLOEXEC as u32));
        let stat = proc.stat(&format!("fd/{fd}"))?;
        assert_eq!(info.ino.unwrap_or(stat.st_ino as u64), stat.st_ino as u64);
        let lock = info.locks.first().map(|l| (l.kind, l.mode, l.ino, l.end));
        assert_eq!(lock, Some((LockKind::Flock, LockMode::Write, stat.st_ino as u64, None)));
        assert!(target(&proc, fd)?.ends_with(b" (deleted)"));
        assert!(list(&proc)?.is_sorted() && list(&proc)?.contains(&fd));
        Ok(())
    }
}
