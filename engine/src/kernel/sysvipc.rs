//! `/proc/sysvipc/sem` and `/proc/sysvipc/msg`: the System V objects of our IPC namespace, one a line below a headline,
//! proc(5), ipc/util.c.

use std::fs;
use std::io;

use super::text;
use crate::error::{OsContext, Result};

/// A semaphore set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// Its id.
    pub id: i32,
    /// Its semaphores.
    pub count: u32,
    /// Whether anybody has ever done an operation on it, but set it.
    pub used: bool,
}

/// All semaphore sets; none without CONFIG_SYSVIPC.
pub fn semaphore_sets() -> Result<Vec<Set>> {
    rows("/proc/sysvipc/sem", set)
}

fn set(row: &[u8]) -> Result<Set> {
    let used = column::<i64>(row, "otime", 8)? != 0;
    Ok(Set { id: column(row, "semid", 1)?, count: column(row, "nsems", 3)?, used })
}

/// The ids of all message queues; none without CONFIG_SYSVIPC.
pub fn message_queues() -> Result<Vec<i32>> {
    rows("/proc/sysvipc/msg", |row| column(row, "msqid", 1))
}

fn rows<T>(path: &str, read: impl Fn(&[u8]) -> Result<T>) -> Result<Vec<T>> {
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        bytes => parse(&bytes.os(|| format!("read {path}"))?, read).map_err(|e| e.on(path)),
    }
}

fn parse<T>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<T>) -> Result<Vec<T>> {
    text::lines(bytes).skip(1).map(read).collect()
}

fn column<T: TryFrom<i128>>(row: &[u8], name: &str, place: usize) -> Result<T> {
    let value = text::fields(row).nth(place).ok_or_else(|| text::missing(name))?;
    text::field(name, value, text::dec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_below_a_headline() -> Result<()> {
        let table = b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n\
            \x20        0          3   600          2     0     0     0     0          0 1700000000\n\
            -559038737      32769   640         17  1000   100     0     0          5 1700000001\n";
        let of = |id, count, used| Set { id, count, used };
        assert_eq!(parse(table, set)?, [of(3, 2, false), of(32769, 17, true)]);
        assert!(parse(b"key\n1\n", set).is_err());
        Ok(())
    }
}
