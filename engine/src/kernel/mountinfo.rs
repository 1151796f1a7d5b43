//! `/proc/PID/mountinfo`: proc_pid_mountinfo(5), show_mountinfo in fs/proc_namespace.c.
//!
//! The mounts that are reachable from the task's root, in the kernel's order. Whether one hides another, and what the
//! options mean, is for the mount namespace's resource to find out.

use super::{ProcDir, text};
use crate::error::Result;

/// One mount. Paths and sources are raw bytes, with the kernel's escapes undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Unique among the mounts that exist now; reused later.
    pub id: i32,
    /// The mount it is mounted on; its own id or an unlisted one at the top.
    pub parent: i32,
    /// Device of the file system.
    pub dev: (u32, u32),
    /// The directory of the file system that is the root of this mount; `mnt:[N]` and the like for nsfs. Ends in
    /// `//deleted` if it was unlinked.
    pub root: Vec<u8>,
    /// Where it is, seen from the task's root.
    pub mountpoint: Vec<u8>,
    /// Options of this mount: `rw,nosuid,relatime`.
    pub options: Vec<u8>,
    /// How mount events travel.
    pub propagation: Propagation,
    /// Type, `fuse.sshfs` with the subtype.
    pub fstype: Vec<u8>,
    /// What was mounted; may be empty.
    pub source: Vec<u8>,
    /// Options of the file system, shared by its mounts; commas and escapes inside values stay as printed.
    pub super_options: Vec<u8>,
}

/// The optional fields of mount_namespaces(7): ids of peer groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Propagation {
    /// The group it shares events with.
    pub shared: Option<i32>,
    /// The group it receives events from.
    pub master: Option<i32>,
    /// The nearest group with a mount under the task's root, if that is not `master`.
    pub propagate_from: Option<i32>,
    /// Cannot be bind mounted.
    pub unbindable: bool,
}

/// Reads `mountinfo`.
pub fn read(proc: &ProcDir) -> Result<Vec<Mount>> {
    proc.parse("mountinfo", parse)
}

/// Parses all lines.
pub fn parse(bytes: &[u8]) -> Result<Vec<Mount>> {
    text::lines(bytes).map(|line| text::field("mount", line, mount)).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: single blanks, as the source may
/// be empty.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&b| b == b' ');
    let id = text::dec(words.next()?)?;
    let parent = text::dec(words.next()?)?;
    let (major, minor) = text::split_once(words.next()?, b':')?;
    let dev = (text::dec(major)?, text::dec(minor)?);
    let root = text::unescape(words.next()?);
    let mountpoint = text::unescape(words.next()?);
    let options = words.next()?.to_vec();
    let mut propagation = Propagation::default();
    loop {
        match words.next()? {
            b"-" => break,
            word => optional(&mut propagation, word)?,
        }
    }
    let fstype = text::unescape(words.next()?);
    let source = text::unescape(words.next()?);
    let super_options = words.next()?.to_vec();
    Some(Mount { id, parent, dev, root, mountpoint, options, propagation, fstype, source, super_options })
}

/// Unknown tags are to be ignored, says the manual.
fn optional(propagation: &mut Propagation, word: &[u8]) -> Option<()> {
    let (tag, group) = text::split_once(word, b':').unwrap_or((word, b""));
    match tag {
        b"shared" => propagation.shared = Some(text::dec(group)?),
        b"master" => propagation.master = Some(text::dec(group)?),
        b"propagate_from" => propagation.propagate_from = Some(text::dec(group)?),
        b"unbindable" => propagation.unbindable = true,
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_captured_and_hostile_lines() -> Result<()> {
        let mounts = parse(
            b"26 24 0:24 / /dev/pts rw,relatime - devpts devpts rw,mode=600,ptmxmode=000\n\
              40 26 254:16 /a\\040b/c//deleted /mnt/x\\012y\\134 ro shared:3 master:1 propagate_from:2 new:9 \
              - fuse.sshfs host:\\043d rw\n\
              41 40 0:4 mnt:[4026531841] /run/ns rw unbindable - nsfs  rw\n",
        )?;
        let [pts, odd, ns] = mounts.as_slice() else { return Err(text::missing("mounts")) };
        assert_eq!((pts.id, pts.parent, pts.dev, pts.propagation), (26, 24, (0, 24), Propagation::default()));
        assert_eq!(pts.super_options, b"rw,mode=600,ptmxmode=000");
        assert_eq!(
            (odd.root.as_slice(), odd.source.as_slice()),
            (b"/a b/c//deleted".as_slice(), b"host:#d".as_slice())
        );
        assert_eq!(
            (odd.mountpoint.as_slice(), odd.fstype.as_slice()),
            (b"/mnt/x\ny\\".as_slice(), b"fuse.sshfs".as_slice())
        );
        let peers =
            Propagation { shared: Some(3), master: Some(1), propagate_from: Some(2), unbindable: false };
        assert_eq!(odd.propagation, peers);
        assert_eq!((ns.source.as_slice(), ns.propagation.unbindable), (b"".as_slice(), true));
        Ok(())
    }

    #[test]
    fn malformed_lines_are_errors() {
        let line = b"26 24 0:24 / /dev/pts rw shared:1 - devpts devpts rw";
        for words in 1..11 {
            let cut = line.split(|&b| b == b' ').take(words).collect::<Vec<_>>().join(&b' ');
            assert_eq!(parse(&cut).is_ok(), words == 11, "{words}");
        }
        assert!(parse(line).is_ok());
        assert!(parse(b"26 24 024 / /dev/pts rw - devpts devpts rw\n").is_err());
        assert!(parse(b"26 24 0:24 / /dev/pts rw shared:x - devpts devpts rw\n").is_err());
    }

    #[test]
    fn agrees_with_stat_on_proc() -> Result<()> {
        let proc = ProcDir::current()?;
        let mounts = read(&proc)?;
        let dev = proc.stat(".")?.st_dev;
        let shown = mounts.iter().filter(|m| m.mountpoint == b"/proc" && m.fstype == b"proc");
        let wanted = (libc::major(dev), libc::minor(dev));
        assert!(shown.map(|m| m.dev).any(|found| found == wanted), "{wanted:?}");
        Ok(())
    }
}
