//! `/proc/PID/task/TID/children`: proc_tid_children(5); needs CONFIG_PROC_CHILDREN, else every `stat` is searched.
//!
//! Each thread lists what it has itself forked (or was made the parent of), so the children of a process are those of
//! all its threads. The list is exact only while the tree is frozen.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use super::{Pid, ProcDir, stat, tasks, text};
use crate::error::{OsContext, Result};

/// The ascending pids of the children of a process, zombies included.
pub fn read(proc: &ProcDir) -> Result<Vec<Pid>> {
    let mut children = Vec::new();
    for tid in tasks::read(proc)? {
        let name = format!("task/{tid}/children");
        match proc.read_optional(&name)? {
            Some(bytes) => children.extend(parse(&bytes).map_err(|e| e.on(proc.path_of(&name)))?),
            // Either the kernel lacks the file or the thread has just died: a search finds the rest in both cases.
            None => return Ok(search()?.remove(&proc.pid()).unwrap_or_default()),
        }
    }
    children.sort_unstable();
    children.dedup();
    Ok(children)
}

/// Parses pids that are each followed by a blank.
pub fn parse(bytes: &[u8]) -> Result<Vec<Pid>> {
    text::fields(text::chomp(bytes)).map(|pid| text::field("child", pid, text::dec)).collect()
}

/// The children of every process by their parent, from the `stat` of all processes: one pass for a whole tree.
pub fn search() -> Result<BTreeMap<Pid, Vec<Pid>>> {
    let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for pid in all_processes()? {
        match ProcDir::open(pid).and_then(|proc| stat::read(&proc)) {
            Ok(stat) => children.entry(stat.ppid).or_default().push(pid),
            Err(e) if e.errno() == Some(libc::ESRCH) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(children)
}

/// The ascending pids of all processes that /proc shows.
fn all_processes() -> Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").os(|| "read directory /proc")? {
        let name = entry.os(|| "read directory /proc")?.file_name();
        pids.extend(text::dec::<Pid>(name.as_bytes()));
    }
    pids.sort_unstable();
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_the_kernel_prints() -> Result<()> {
        assert_eq!(parse(b"12 7 1234567 ")?, [12, 7, 1234567]);
        assert!(parse(b"")?.is_empty());
        for bad in [b"12,7".as_slice(), b"x ", b"99999999999 "] {
            assert!(parse(bad).is_err());
        }
        Ok(())
    }

    #[test]
    fn the_file_and_the_search_agree_on_our_child() -> Result<()> {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().os(|| "spawn sleep")?;
        let pid = Pid::try_from(child.id()).unwrap_or(-1);
        let proc = ProcDir::current()?;
        let (listed, searched) = (read(&proc), search());
        child.kill().os(|| "kill")?;
        child.wait().os(|| "wait")?;
        assert!(listed?.contains(&pid));
        assert!(searched?.get(&proc.pid()).is_some_and(|found| found.contains(&pid)));
        assert!(!read(&proc)?.contains(&pid));
        Ok(())
    }
}
