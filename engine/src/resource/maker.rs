//! Who is making an object that outlives processes, while it makes it: a System V object or a POSIX message queue.
//!
//! Nothing takes such an object away when the restore that makes it is killed. So that the next restore may, and takes
//! nothing else away, the owner and group, which are set in the end, name the maker until then: the user is the inode of
//! its pid namespace and the group its pid with some bits above. Nobody has these numbers (inodes of namespaces are the
//! last of the 32-bit ones, PROC_DYNAMIC_FIRST in fs/proc/generic.c), and such an object lets nobody in.
//!
//! Where a user namespace does not know these numbers there is no mark, and between its birth and its mark an object has
//! none: what is left behind then is named, and for a person to remove.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd;

use crate::kernel::stat::{self, State};
use crate::kernel::{Pid, ProcDir};

/// How long a maker may be ending.
const PATIENCE: Duration = Duration::from_secs(2);
const PID_BITS: u32 = 22;
/// What stands above the pid in the group.
const TAG: u32 = 0x2d6 << PID_BITS;

/// The mark of an object that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// For its owner.
    pub uid: u32,
    /// For its group.
    pub gid: u32,
}

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// It is none, or that of another pid namespace.
    Unknown,
    /// The process that makes the object.
    Working(Pid),
    /// Nobody will finish the object.
    Gone,
}

impl Mark {
    /// That of this process; none if its pid namespace has no number that fits.
    pub fn own() -> Option<Self> {
        let pid = std::process::id();
        let uid = namespace().filter(|_| pid >> PID_BITS == 0)?;
        Some(Mark { uid, gid: TAG | pid })
    }

    /// Who makes the object that has this mark; one that is about to end is waited for.
    pub fn maker(self) -> Maker {
        let pid = (self.gid ^ TAG) as Pid;
        if pid >> PID_BITS != 0 || pid == 0 || namespace() != Some(self.uid) {
            return Maker::Unknown;
        }
        let since = Instant::now();
        while lives(pid) {
            if since.elapsed() > PATIENCE {
                return Maker::Working(pid);
            }
            sleep(Duration::from_millis(1));
        }
        Maker::Gone
    }
}

fn namespace() -> Option<u32> {
    fs::metadata("/proc/self/ns/pid").ok()?.ino().try_into().ok()
}

/// Whether there is such a process, other than a zombie.
fn lives(pid: Pid) -> bool {
    let state = ProcDir::open(pid).and_then(|proc| stat::read(&proc)).map(|stat| stat.state);
    // Others' /proc may be hidden from us.
    kill(unistd::Pid::from_raw(pid), None) != Err(Errno::ESRCH)
        && !matches!(state, Ok(State::Zombie | State::Dead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_mark_tells_who_has_made_it() -> std::io::Result<()> {
        let Some(own) = Mark::own() else { panic!("no pid namespace") };
        assert_eq!(own.maker(), Maker::Working(std::process::id() as Pid));
        let mut child = Command::new("true").spawn()?;
        let gone = Mark { gid: TAG | child.id(), ..own };
        // A zombie finishes nothing.
        assert_eq!(gone.maker(), Maker::Gone);
        child.wait()?;
        assert_eq!(gone.maker(), Maker::Gone);
        Ok(())
    }

    #[test]
    fn users_are_no_marks() {
        let Some(own) = Mark::own() else { panic!("no pid namespace") };
        for (uid, gid) in
            [(0, 0), (1000, own.gid), (own.uid, 0), (own.uid, 1000), (own.uid, TAG), (own.uid, u32::MAX)]
        {
            assert_eq!(Mark { uid, gid }.maker(), Maker::Unknown, "{uid} {gid}");
        }
    }
}
