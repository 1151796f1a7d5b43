//! What /proc and the scheduler show of a task that its image will not carry: the last class of
//! [`state`](crate::resource::state), as far as it can be seen from outside.

use crate::error::Result;
use crate::kernel::cgroup::{self, Membership};
use crate::kernel::stat::Stat;
use crate::kernel::{Pid, ProcDir, status};
use crate::options::CgroupMode;
use crate::sys::attr;

/// A piece of state and what the program notices.
pub(super) type Lost = (String, &'static str);

/// SCHED_CAPACITY_SCALE: no clamp from above.
const WHOLE_CPU: u32 = 1024;

/// What a process gets from the one that restores it: ours, to compare with.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) cgroups: Vec<Membership>,
    label: Vec<u8>,
    speculation: Vec<Vec<u8>>,
}

impl Surroundings {
    pub(super) fn of(proc: &ProcDir) -> Result<Self> {
        Ok(Surroundings {
            cgroups: cgroup::read(proc)?,
            // EINVAL where no security module has labels.
            label: proc.read("attr/current").unwrap_or_default(),
            speculation: speculation(proc)?,
        })
    }
}

/// What is lost of a process in surroundings like `theirs` that is restored in such as `ours`, and where cgroups are left alone.
pub(super) fn of_process(
    proc: &ProcDir,
    theirs: &Surroundings,
    ours: &Surroundings,
    mode: CgroupMode,
) -> Result<Vec<Lost>> {
    let mut lost = Vec::new();
    for (theirs, ours) in theirs.cgroups.iter().zip(&ours.cgroups) {
        if mode == CgroupMode::Ignore && theirs.path != ours.path {
            let path = String::from_utf8_lossy(&theirs.path).into_owned();
            lost.push((format!("cgroup {path}"), "it is in crio's cgroup"));
        }
    }
    if theirs.label != ours.label {
        let name = String::from_utf8_lossy(&theirs.label).trim_end_matches(['\0', '\n']).to_owned();
        lost.push((format!("security label {name}"), "it has crio's label"));
    }
    for (theirs, ours) in theirs.speculation.iter().zip(&ours.speculation) {
        if theirs != ours {
            lost.push((
                String::from_utf8_lossy(theirs).replace('\t', " "),
                "it runs with the machine's default",
            ));
        }
    }
    let group = proc.read_optional("autogroup")?.unwrap_or_default();
    let group = group.trim_ascii();
    if !group.is_empty() && !group.ends_with(b" nice 0") {
        let group = String::from_utf8_lossy(group);
        lost.push((format!("autogroup nice: {group}"), "the session competes as any other"));
    }
    let ksm = proc.read_optional("ksm_stat")?.unwrap_or_default();
    if lines(&ksm).any(|line| line == b"ksm_merge_any: yes") {
        lost.push(("merging of equal pages".to_owned(), "pages are not merged unless madvise(2) says so"));
    }
    Ok(lost)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// What is lost of a dead process, at which wait(2) will look.
pub(super) fn of_zombie(proc: &ProcDir, stat: &Stat) -> Result<Vec<Lost>> {
    let mut lost = Vec::new();
    if stat.exit_signal != libc::SIGCHLD {
        let what = format!("exit signal {} of a dead process", stat.exit_signal);
        lost.push((what, "wait(2) finds it without __WALL, too"));
    }
    if libc::WCOREDUMP(stat.exit_code) {
        lost.push((
            "core dump of a dead process".to_owned(),
            "WCOREDUMP of wait(2) says that there was none",
        ));
    }
    let user = status::read(proc)?.uid.real;
    if user != nix::unistd::getuid().as_raw() {
        lost.push((format!("user {user} of a dead process"), "si_uid of waitid(2) is crio's"));
    }
    Ok(lost)
}

/// The lines of status about speculation.
fn speculation(proc: &ProcDir) -> Result<Vec<Vec<u8>>> {
    let status = proc.read("status")?;
    let about = lines(&status).filter(|line| line.starts_with(b"Spec"));
    Ok(about.map(|line| line.to_ascii_lowercase()).collect())
}

/// What is lost of a thread. A kernel without these attributes has none to lose.
pub(super) fn of_thread(tid: Pid) -> Vec<Lost> {
    let mut lost = Vec::new();
    // Without CONFIG_UCLAMP_TASK both are 0.
    if let Ok(clamps) = attr::sched_getattr(tid)
        && (clamps.util_min != 0 || !matches!(clamps.util_max, 0 | WHOLE_CPU))
    {
        let what = format!("thread {tid}: utilisation clamps {} to {}", clamps.util_min, clamps.util_max);
        lost.push((what, "the CPU frequency follows its load alone"));
    }
    if attr::core_cookie(tid).is_ok_and(|cookie| cookie != 0) {
        lost.push((format!("thread {tid}: core scheduling cookie"), "it may share a core with others"));
    }
    lost
}
