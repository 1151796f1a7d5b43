//! Memory areas: /proc/PID/maps.
//!
//! The kernel may merge or split neighbours that look the same, so areas are compared after merging everything that
//! could be one area. Inodes are left out: deleted and anonymous files get new ones.

use std::{fs, io};

use super::if_there;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Area {
    start: u64,
    end: u64,
    perms: String,
    /// Of the file; None without a file.
    offset: Option<u64>,
    name: String,
}

impl Area {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let perms = words.next()?.to_owned();
        let offset = u64::from_str_radix(words.next()?, 16).ok()?;
        let (_device, inode) = (words.next()?, words.next()?);
        Some(Area {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            perms,
            offset: (inode != "0").then_some(offset),
            name: name_of(&words.collect::<Vec<_>>().join(" ")),
        })
    }

    fn continues(&self, before: &Area) -> bool {
        let offset_follows = match (before.offset, self.offset) {
            (None, None) => true,
            (Some(before_offset), Some(offset)) => before_offset + (before.end - before.start) == offset,
            _ => false,
        };
        self.start == before.end && self.perms == before.perms && self.name == before.name && offset_follows
    }
}

/// Shared anonymous memory is a nameless file, which can only be made again under another name; engines differ in it. The
/// name of a socket is its inode.
fn name_of(name: &str) -> String {
    match name {
        "/dev/zero (deleted)" | "/memfd:/dev/zero (deleted)" | "/memfd: (deleted)" => "[shared]".to_owned(),
        name if name.starts_with("socket:[") => "[socket]".to_owned(),
        _ => name.to_owned(),
    }
}

/// (range, permissions, offset and name) of every area.
pub(super) fn all(pid: i32) -> io::Result<Vec<(String, String)>> {
    let text = if_there(fs::read_to_string(format!("/proc/{pid}/maps")))?.unwrap_or_default();
    Ok(merged(&text).into_iter().map(described).collect())
}

fn merged(text: &str) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for area in text.lines().filter_map(Area::parse) {
        match areas.last_mut() {
            Some(last) if area.continues(last) => last.end = area.end,
            _ => areas.push(area),
        }
    }
    areas
}

fn described(area: Area) -> (String, String) {
    let offset = area.offset.map_or(String::new(), |offset| format!(" +{offset:x}"));
    (format!("{:012x}-{:012x}", area.start, area.end), format!("{}{offset} {}", area.perms, area.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_could_be_one_are_one() {
        let text = "1000-2000 rw-p 00000000 00:00 0 \n2000-3000 rw-p 00000000 00:00 0 \n\
                    3000-4000 r--p 00000000 00:00 0 \n\
                    4000-5000 r--p 00002000 fe:00 12   /bin/a b\n5000-6000 r--p 00003000 fe:00 12   /bin/a b\n\
                    6000-7000 r--p 00003000 fe:00 12   /bin/a b\n";
        let lines: Vec<(String, String)> = merged(text).into_iter().map(described).collect();
        let expected = [
            ("000000001000-000000003000", "rw-p "),
            ("000000003000-000000004000", "r--p "),
            ("000000004000-000000006000", "r--p +2000 /bin/a b"),
            ("000000006000-000000007000", "r--p +3000 /bin/a b"),
        ];
        let expected: Vec<(String, String)> =
            expected.iter().map(|(range, rest)| ((*range).to_owned(), (*rest).to_owned())).collect();
        assert_eq!(lines, expected);
    }
}
