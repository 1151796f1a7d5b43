//! Open files: /proc/PID/fd and /proc/PID/fdinfo.

use std::collections::HashMap;
use std::{fs, io};

use super::{if_there, numbers_in};

/// Numbers for kernel objects that have an inode but no name; a restored object has another inode, but the same
/// number when it is shared by the same descriptors.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<String, usize>,
}

impl Names {
    /// `pipe:[81234]` to `pipe#1`; other names stay.
    fn name(&mut self, target: String) -> String {
        let Some((kind, _)) = target.split_once(":[").filter(|(kind, _)| !kind.contains('/')) else {
            return target;
        };
        let kind = kind.to_owned();
        let next = self.numbers.len() + 1;
        format!("{kind}#{}", self.numbers.entry(target).or_insert(next))
    }
}

/// Lines of fdinfo that name the incarnation of an object rather than its state.
const INCARNATION: [&str; 3] = ["ino", "eventfd-id", "it_value"];

/// ("fd 3", target, then fdinfo) of every open file.
pub(super) fn all(pid: i32, names: &mut Names) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for fd in if_there(numbers_in(&format!("/proc/{pid}/fd")))?.unwrap_or_default() {
        let target = if_there(fs::read_link(format!("/proc/{pid}/fd/{fd}")))?;
        let info = if_there(fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")))?;
        let (Some(target), Some(info)) = (target, info) else {
            continue; // closed meanwhile
        };
        let name = names.name(target.to_string_lossy().into_owned());
        found.push((format!("fd {fd}"), format!("{name} {}", state(&info))));
    }
    Ok(found)
}

fn state(info: &str) -> String {
    let kept = info.lines().filter(|line| {
        let key = line.split(':').next().unwrap_or_default();
        !INCARNATION.contains(&key)
    });
    let mut lines: Vec<String> =
        kept.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    // Targets of epoll and marks of fanotify come in the order of addresses in the kernel.
    lines.iter_mut().filter(|line| line.starts_with("tfd:")).for_each(without_inode);
    let listed = |line: &String| line.starts_with("tfd:") || line.starts_with("fanotify ");
    let first = lines.iter().position(listed).unwrap_or(lines.len());
    lines[first..].sort();
    lines.join(", ")
}

/// `tfd: 5 events: 1d data: 5 pos:0 ino:61 sdev:f` to `tfd: 5 events: 1d data: 5`; where it leads to, the line of
/// descriptor 5 shows.
fn without_inode(line: &mut String) {
    if let Some(end) = line.find(" pos:") {
        line.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_inode_has_the_same_number() {
        let mut names = Names::default();
        assert_eq!(names.name("pipe:[10]".into()), "pipe#1");
        assert_eq!(names.name("socket:[11]".into()), "socket#2");
        assert_eq!(names.name("pipe:[10]".into()), "pipe#1");
        assert_eq!(names.name("/tmp/a:[b".into()), "/tmp/a:[b");
        assert_eq!(names.name("/dev/null".into()), "/dev/null");
    }

    #[test]
    fn targets_of_epoll_have_no_order() {
        let before = "pos:\t0\nflags:\t02\ntfd:  5 events: 1d data: 5  pos:0 ino:61 sdev:f\ntfd: 4 events: 19 data: 4\n";
        let after = "pos:\t0\nflags:\t02\ntfd:  4 events: 19 data: 4\ntfd:  5 events: 1d data: 5  pos:0 ino:77 sdev:f\n";
        assert_eq!(state(before), state(after));
    }

    #[test]
    fn the_incarnation_is_left_out() {
        assert_eq!(
            state("pos:\t12\nflags:\t0100002\nmnt_id:\t15\nino:\t99\n"),
            "pos: 12, flags: 0100002, mnt_id: 15"
        );
    }
}
