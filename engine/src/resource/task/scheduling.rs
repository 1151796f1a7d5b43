//! How a thread is scheduled: policy, nice, priority, CPU affinity, I/O priority, timer slack.
//!
//! All of it is read and set from outside (sched_setattr(2), sched_setaffinity(2), ioprio_set(2)), but for the timer
//! slack, which the thread itself is asked with the other prctl(2) attributes. CRIU keeps policy and nice only; the
//! rest is in fields of ours.
//!
//! Not kept: utilisation clamps, NUMA memory policy, core scheduling cookies.

use crate::error::{OsContext, Result};
use crate::image::message::ThreadCoreEntry;
use crate::kernel::Pid;
use crate::sys::attr as sched;
use crate::sys::attr::SchedAttr;

/// SCHED_OTHER and SCHED_BATCH, for which sched_setattr(2) sets the nice value (__setscheduler_params in kernel/sched).
const FAIR: [u32; 2] = [0, 3];
const SCHED_DEADLINE: u32 = 6;
/// SCHED_FLAG_RESET_ON_FORK, RECLAIM and DL_OVERRUN: those that sched_setattr(2) takes back as they are.
const KEPT_FLAGS: u64 = 0b111;
/// sched_setscheduler(2) has the first of these flags as a bit of the policy, and so has CRIU's image.
const FLAG_RESET_ON_FORK: u64 = 1;
const POLICY_RESET_ON_FORK: u32 = libc::SCHED_RESET_ON_FORK as u32;

/// Fills in the thread's scheduling.
pub fn dump(tid: Pid, core: &mut ThreadCoreEntry) -> Result<()> {
    let attr = sched::sched_getattr(tid).os(|| format!("sched_getattr {tid}"))?;
    core.sched_policy = Some(policy_to_image(attr.policy, attr.flags));
    // sched_getattr(2) tells it for some policies only, and sched_setattr(2) takes it for even fewer.
    core.sched_nice = Some(match FAIR.contains(&attr.policy) {
        true => attr.nice,
        false => sched::nice(tid).os(|| format!("getpriority {tid}"))?,
    });
    core.sched_prio = Some(attr.priority);
    core.sched_flags = (attr.flags & KEPT_FLAGS != 0).then_some(attr.flags & KEPT_FLAGS);
    if attr.policy == SCHED_DEADLINE {
        core.sched_runtime = Some(attr.runtime);
        core.sched_deadline = Some(attr.deadline);
        core.sched_period = Some(attr.period);
    }
    core.cpu_affinity = sched::affinity(tid).os(|| format!("sched_getaffinity {tid}"))?;
    core.ioprio = Some(sched::ioprio(tid).os(|| format!("ioprio_get {tid}"))?);
    Ok(())
}

fn policy_to_image(policy: u32, flags: u64) -> u32 {
    policy | if flags & FLAG_RESET_ON_FORK != 0 { POLICY_RESET_ON_FORK } else { 0 }
}

/// Policy and flags as sched_setattr(2) takes them.
fn policy_from_image(policy: u32, flags: Option<u64>) -> (u32, u64) {
    let reset = if policy & POLICY_RESET_ON_FORK != 0 { FLAG_RESET_ON_FORK } else { 0 };
    (policy & !POLICY_RESET_ON_FORK, flags.unwrap_or(0) | reset)
}

/// Gives the thread its scheduling. A CPU set that this machine cannot give at all is left out and told.
/// `home` are the CPUs that a thread gets when the image does not say which.
///
/// The CPUs come first: SCHED_DEADLINE is for those only who may run on all of their root domain, and lets nobody leave
/// it (sched_setattr(2), dl_task_check_affinity in kernel/sched/deadline.c), but the thread is still where it was made.
pub fn restore(tid: Pid, core: &ThreadCoreEntry, home: &[u32], told: &mut Vec<String>) -> Result<()> {
    if let Some(nice) = core.sched_nice
        && sched::nice(tid).os(|| format!("getpriority {tid}"))? != nice
    {
        sched::set_nice(tid, nice).os(|| format!("setpriority {tid} {nice}"))?;
    }
    let wanted = if core.cpu_affinity.is_empty() { home } else { &core.cpu_affinity };
    let now = sched::affinity(tid).os(|| format!("sched_getaffinity {tid}"))?;
    if now != wanted && sched::set_affinity(tid, wanted).is_err() {
        told.push(format!("thread {tid}: none of the CPUs it was bound to is here, it may run on all"));
        sched::set_affinity(tid, home).os(|| format!("sched_setaffinity {tid}"))?;
    }
    if let Some(policy) = core.sched_policy {
        restore_policy(tid, policy, core)?;
    }
    if let Some(prio) = core.ioprio.map(settable) {
        let now = settable(sched::ioprio(tid).os(|| format!("ioprio_get {tid}"))?);
        if now != prio {
            sched::set_ioprio(tid, prio).os(|| format!("ioprio_set {tid}"))?;
        }
    }
    Ok(())
}

/// An I/O priority as ioprio_set(2) takes it. Linux before 5.18 shows level 4 of a thread that has set none, but takes only
/// level 0 of that class (block/ioprio.c).
fn settable(prio: u32) -> u32 {
    const CLASS_SHIFT: u32 = 13;
    if prio >> CLASS_SHIFT == 0 { 0 } else { prio }
}

fn restore_policy(tid: Pid, policy: u32, core: &ThreadCoreEntry) -> Result<()> {
    let (policy, flags) = policy_from_image(policy, core.sched_flags);
    let nice = |policy: u32, nice: i32| if FAIR.contains(&policy) { nice } else { 0 };
    let wanted = SchedAttr {
        policy,
        flags,
        nice: nice(policy, core.sched_nice.unwrap_or(0)),
        priority: core.sched_prio.unwrap_or(0),
        runtime: core.sched_runtime.unwrap_or(0),
        deadline: core.sched_deadline.unwrap_or(0),
        period: core.sched_period.unwrap_or(0),
        ..SchedAttr::default()
    };
    let now = sched::sched_getattr(tid).os(|| format!("sched_getattr {tid}"))?;
    // Since Linux 6.12 the runtime of other policies is the length of their slice.
    let runtime = if now.policy == SCHED_DEADLINE { now.runtime } else { 0 };
    let nice = nice(now.policy, now.nice);
    let now = SchedAttr { size: 0, util_min: 0, util_max: 0, nice, runtime, ..now };
    if now != wanted {
        sched::sched_setattr(tid, &wanted).os(|| format!("sched_setattr {tid} policy {policy}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_on_fork_is_a_bit_of_the_policy_in_the_image() {
        let batch = libc::SCHED_BATCH as u32;
        // As sched_getscheduler(2) returns it, which is what CRIU stores.
        assert_eq!(policy_to_image(batch, FLAG_RESET_ON_FORK), 0x4000_0003);
        assert_eq!(policy_from_image(0x4000_0003, None), (batch, FLAG_RESET_ON_FORK));
        assert_eq!(policy_from_image(batch, Some(2)), (batch, 2));
    }

    #[test]
    fn a_thread_without_an_io_priority_is_the_same_on_every_kernel() {
        assert_eq!([0, 4, 2 << 13 | 6, 3 << 13].map(settable), [0, 0, 2 << 13 | 6, 3 << 13]);
    }
}

/// Keeps the calling thread, and the children that it makes meanwhile, on the processor where it is.
///
/// Tracer and tracee run in turns, never at once: on two processors each turn is an interrupt from one to the other,
/// and a wake-up from idle. Dropped, it lets the thread go where it could before.
#[derive(Debug)]
pub struct OneProcessor {
    home: Vec<u32>,
}

impl OneProcessor {
    /// Stays here. It is a matter of speed only, so a refusal changes nothing.
    pub fn stay() -> Result<Self> {
        let home = sched::affinity(0).os(|| "sched_getaffinity")?;
        if let Ok(cpu) = nix::sched::sched_getcpu() {
            let mut only = vec![0; home.len()];
            if let Some(word) = only.get_mut(cpu / 32) {
                *word = 1 << (cpu % 32);
            }
            let _ = sched::set_affinity(0, &only);
        }
        Ok(OneProcessor { home })
    }

    /// Where the thread could go before, as in [`ThreadCoreEntry::cpu_affinity`].
    pub fn home(&self) -> &[u32] {
        &self.home
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        let _ = sched::set_affinity(0, &self.home);
    }
}
