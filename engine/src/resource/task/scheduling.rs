//! How a thread is scheduled: policy, nice, priority, CPU affinity, I/O priority, timer slack.
//!
//! All of it is read and set from outside: sched_setattr(2), sched_setaffinity(2), ioprio_set(2), and
//! /proc/TID/timerslack_ns. CRIU keeps policy and nice only; the rest is in fields of ours.
//!
//! Not kept: utilisation clamps, NUMA memory policy, core scheduling cookies.

use crate::error::{OsContext, Result};
use crate::image::message::ThreadCoreEntry;
use crate::kernel::{Pid, ProcDir, attr};
use crate::sys::attr as sched;
use crate::sys::attr::SchedAttr;

/// SCHED_OTHER and SCHED_BATCH, for which sched_setattr(2) sets the nice value (__setscheduler_params in kernel/sched).
const FAIR: [u32; 2] = [0, 3];
const SCHED_DEADLINE: u32 = 6;
/// SCHED_FLAG_RESET_ON_FORK, RECLAIM and DL_OVERRUN: those that sched_setattr(2) takes back as they are.
const KEPT_FLAGS: u64 = 0b111;

/// Fills in the thread's scheduling.
pub fn dump(tid: Pid, core: &mut ThreadCoreEntry) -> Result<()> {
    let attr = sched::sched_getattr(tid).os(|| format!("sched_getattr {tid}"))?;
    core.sched_policy = Some(attr.policy);
    // sched_getattr(2) tells it for some policies only, and sched_setattr(2) takes it for even fewer.
    core.sched_nice = Some(sched::nice(tid).os(|| format!("getpriority {tid}"))?);
    core.sched_prio = Some(attr.priority);
    core.sched_flags = (attr.flags & KEPT_FLAGS != 0).then_some(attr.flags & KEPT_FLAGS);
    if attr.policy == SCHED_DEADLINE {
        core.sched_runtime = Some(attr.runtime);
        core.sched_deadline = Some(attr.deadline);
        core.sched_period = Some(attr.period);
    }
    core.cpu_affinity = sched::affinity(tid).os(|| format!("sched_getaffinity {tid}"))?;
    core.ioprio = Some(sched::ioprio(tid).os(|| format!("ioprio_get {tid}"))?);
    core.timerslack_ns = Some(attr::timerslack_ns(&ProcDir::open(tid)?)?);
    Ok(())
}

/// Gives the thread its scheduling. A CPU set that this machine cannot give at all is left out and told.
pub fn restore(tid: Pid, core: &ThreadCoreEntry, told: &mut Vec<String>) -> Result<()> {
    if let Some(nice) = core.sched_nice
        && sched::nice(tid).os(|| format!("getpriority {tid}"))? != nice
    {
        sched::set_nice(tid, nice).os(|| format!("setpriority {tid} {nice}"))?;
    }
    if let Some(policy) = core.sched_policy {
        let nice = |policy: u32, nice: i32| if FAIR.contains(&policy) { nice } else { 0 };
        let wanted = SchedAttr {
            policy,
            flags: core.sched_flags.unwrap_or(0),
            nice: nice(policy, core.sched_nice.unwrap_or(0)),
            priority: core.sched_prio.unwrap_or(0),
            runtime: core.sched_runtime.unwrap_or(0),
            deadline: core.sched_deadline.unwrap_or(0),
            period: core.sched_period.unwrap_or(0),
            ..SchedAttr::default()
        };
        let now = sched::sched_getattr(tid).os(|| format!("sched_getattr {tid}"))?;
        let now = SchedAttr { size: 0, util_min: 0, util_max: 0, nice: nice(now.policy, now.nice), ..now };
        if now != wanted {
            sched::sched_setattr(tid, &wanted).os(|| format!("sched_setattr {tid} policy {policy}"))?;
        }
    }
    if !core.cpu_affinity.is_empty() {
        let now = sched::affinity(tid).os(|| format!("sched_getaffinity {tid}"))?;
        if now != core.cpu_affinity && sched::set_affinity(tid, &core.cpu_affinity).is_err() {
            told.push(format!("thread {tid}: none of the CPUs it was bound to is here, it may run on all"));
        }
    }
    if let Some(prio) = core.ioprio {
        let now = sched::ioprio(tid).os(|| format!("ioprio_get {tid}"))?;
        if now != prio {
            sched::set_ioprio(tid, prio).os(|| format!("ioprio_set {tid}"))?;
        }
    }
    core.timerslack_ns.map_or(Ok(()), |ns| restore_timerslack(tid, ns))
}

/// Sets the timer slack. /proc/TID has the file, /proc/PID/task/TID has not (fs/proc/base.c, tgid_base_stuff).
fn restore_timerslack(tid: Pid, ns: u64) -> Result<()> {
    let path = format!("/proc/{tid}/timerslack_ns");
    let now = std::fs::read_to_string(&path).os(|| format!("read {path}"))?;
    if now.trim() == ns.to_string() {
        return Ok(());
    }
    std::fs::write(&path, ns.to_string()).os(|| format!("write {path}"))
}
