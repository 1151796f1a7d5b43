//! The cgroup by which a tree is frozen: `--freeze-cgroup`. cgroups(7); cgroup-v1/freezer-subsystem.rst and cgroup-v2.rst.
//!
//! While it is frozen nothing in it forks or runs. All its threads are seized and asked to stop; then it is thawed, and
//! they stop before they come back to their programs. One that was frozen before is frozen again before they are let go.

use std::path::Path;
use std::time::{Duration, Instant};

use super::wait::Pause;
use crate::error::{Blame, Error, Result};
use crate::kernel::Pid;
use crate::kernel::cgroupfs::Group;
use crate::log_warn;

/// How often a v1 cgroup that does not freeze is thawed for a moment: a task that waits for another one holds it up.
const KICK: Duration = Duration::from_millis(100);

/// See the module text. Dropped, it is as it was.
#[derive(Debug)]
pub struct Freezer {
    group: Group,
    is_v2: bool,
    was_frozen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Thawed,
    Freezing,
    Frozen,
}

impl Freezer {
    /// Takes the cgroup at this directory.
    pub fn open(path: &Path) -> Result<Self> {
        let group = Group::open(path)?;
        let is_v2 = match (group.stat("freezer.state")?, group.stat("cgroup.freeze")?) {
            (Some(_), _) => false,
            (None, Some(_)) => true,
            (None, None) => {
                let reason = "has neither freezer.state nor cgroup.freeze";
                return Err(Error::new("E-CGROUP-FREEZER", Blame::Usage, reason)
                    .on(group.name())
                    .help("name a cgroup below the freezer hierarchy of v1, or of cgroup v2"));
            }
        };
        let mut freezer = Freezer { group, is_v2, was_frozen: false };
        freezer.was_frozen = freezer.state()? != State::Thawed;
        Ok(freezer)
    }

    /// Device and inode of its directory, if it was frozen before.
    pub fn thawed(&self) -> Result<Option<(u64, u64)>> {
        if self.was_frozen { self.group.identity() } else { Ok(None) }
    }

    fn state(&self) -> Result<State> {
        let is = |file, value: &[u8]| self.group.holds(file, value);
        Ok(match self.is_v2 {
            true if is("cgroup.freeze", b"0")? => State::Thawed,
            true => {
                let events = self.group.read("cgroup.events")?.unwrap_or_default();
                let frozen = events.split(|byte| *byte == b'\n').any(|line| line == b"frozen 1");
                if frozen { State::Frozen } else { State::Freezing }
            }
            false if is("freezer.state", b"THAWED")? => State::Thawed,
            false if is("freezer.state", b"FROZEN")? => State::Frozen,
            false => State::Freezing,
        })
    }

    fn set(&self, frozen: bool) -> Result<()> {
        match (self.is_v2, frozen) {
            (true, true) => self.group.write("cgroup.freeze", b"1"),
            (true, false) => self.group.write("cgroup.freeze", b"0"),
            (false, true) => self.group.write("freezer.state", b"FROZEN"),
            (false, false) => self.group.write("freezer.state", b"THAWED"),
        }
    }

    /// Returns when nothing in it runs any more.
    pub(super) fn freeze(&self, deadline: Instant) -> Result<()> {
        let (mut pause, mut kick) = (Pause::default(), Instant::now() + KICK);
        self.set(true)?;
        while self.state()? != State::Frozen {
            let now = Instant::now();
            if now > deadline {
                return Err(Error::new("E-FREEZE-TIMEOUT", Blame::Program, "did not freeze in time")
                    .on(format!("cgroup {}", self.group.name()))
                    .help("give --timeout more seconds, or dump without --freeze-cgroup"));
            }
            if !self.is_v2 && now > kick {
                self.set(false)?;
                self.set(true)?;
                kick = now + KICK;
            }
            pause.sleep();
        }
        Ok(())
    }

    /// Lets those in it run that are not traced.
    pub(super) fn thaw(&self) -> Result<()> {
        self.set(false)
    }

    /// The processes in it and below.
    pub(super) fn processes(&self) -> Result<Vec<Pid>> {
        processes(&self.group)
    }

    /// As it was.
    pub(super) fn restore(&self) -> Result<()> {
        if self.was_frozen == (self.state()? != State::Thawed) { Ok(()) } else { self.set(self.was_frozen) }
    }
}

fn processes(group: &Group) -> Result<Vec<Pid>> {
    // Where threads are apart, only the cgroup above lists their processes.
    let listed = match group.read("cgroup.procs") {
        Err(e) if e.errno() == Some(libc::EOPNOTSUPP) => None,
        listed => listed?,
    };
    let listed = String::from_utf8_lossy(&listed.unwrap_or_default()).into_owned();
    let mut pids: Vec<Pid> = listed.lines().filter_map(|line| line.parse().ok()).collect();
    for child in group.list()?.children {
        pids.extend(processes(&group.child(&child)?)?);
    }
    Ok(pids)
}

impl Drop for Freezer {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            log_warn!("{error}");
        }
    }
}
