//! Tasks in a frozen cgroup: they do not stop for a tracer (v1), or do not work for it (v2). So they are found before
//! anything is done with them. `--freeze-cgroup` names the cgroup that a dump may thaw for itself.

use std::collections::BTreeMap;

use super::Opener;
use super::root::parts;
use crate::error::{Blame, Error, Result};
use crate::kernel::cgroup::Membership;
use crate::kernel::cgroupfs::{Group, Hierarchy};
use crate::options::{CgroupOptions, DumpOptions};

/// Looks whether tasks are frozen.
#[derive(Debug)]
pub struct FreezerSurvey<'a> {
    options: &'a CgroupOptions,
    opener: Option<Opener<'a>>,
    /// Device and inode of the cgroup of `--freeze-cgroup`.
    own: Option<(u64, u64)>,
    /// By hierarchy and path: the frozen cgroup.
    known: BTreeMap<(u32, Vec<u8>), Option<String>>,
}

impl<'a> FreezerSurvey<'a> {
    /// With what a dump may thaw.
    pub fn new(options: &'a DumpOptions) -> Result<Self> {
        let own = options.freeze_cgroup.as_deref().map(|path| Group::open(path)?.identity());
        let own = own.transpose()?.flatten();
        Ok(FreezerSurvey { options: &options.cgroups, opener: None, own, known: BTreeMap::new() })
    }

    /// Refuses a task in a frozen cgroup.
    pub fn judge(&mut self, set: &[Membership]) -> Result<()> {
        for membership in set {
            let is_freezer =
                membership.hierarchy == 0 || membership.controllers.iter().any(|c| c == b"freezer");
            if !is_freezer || membership.path == b"/" {
                continue;
            }
            if let Some(frozen) = self.frozen(membership)? {
                return Err(Error::new(
                    "E-CGROUP-FROZEN",
                    Blame::Program,
                    "is frozen, and a task of the tree in it",
                )
                .on(format!("cgroup {frozen}"))
                .help("thaw it, or let the dump do that: --freeze-cgroup with its directory"));
            }
        }
        Ok(())
    }

    fn frozen(&mut self, membership: &Membership) -> Result<Option<String>> {
        let key = (membership.hierarchy, membership.path.clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let opener = match &self.opener {
            Some(opener) => opener,
            None => self.opener.insert(Opener::new(self.options)?),
        };
        // Where the hierarchy cannot be looked at, a frozen task shows when it does not stop in time.
        let hierarchy = opener.open(&membership.controllers).ok();
        let found = hierarchy.and_then(|hierarchy| self.frozen_at_or_above(&hierarchy, &membership.path));
        self.known.insert(key, found.clone());
        Ok(found)
    }

    fn frozen_at_or_above(&self, hierarchy: &Hierarchy, path: &[u8]) -> Option<String> {
        parts(path).filter_map(|path| hierarchy.group(path).ok()?).find_map(|group| {
            let is_own = || self.own.is_some() && self.own == group.identity().ok().flatten();
            let frozen = group.is_frozen().unwrap_or(false) && !is_own();
            frozen.then(|| group.name().to_owned())
        })
    }
}
