//! State of a thread that only itself can tell and that no image carries: its report names it.
//!
//! Asked by get_mempolicy(2), prctl(2) and keyctl(2); none of these calls changes anything. The session keyring is left
//! out, because asking for it makes one (lookup_user_key in security/keys/process_keys.c).

use crate::kernel::Pid;
use crate::report::NotKept;
use crate::tracee::{Batch, CallId, FrozenTask};

const MPOL_DEFAULT: u32 = 0;
const PR_GET_TSC: i32 = 25;
const PR_TSC_SIGSEGV: u32 = 2;
const PR_MCE_KILL_GET: i32 = 34;
const PR_MCE_KILL_DEFAULT: u64 = 2;
const KEYCTL_GET_KEYRING_ID: u64 = 0;
const KEYRINGS: [(i64, &str); 2] = [(-1, "thread keyring"), (-2, "process keyring")];

/// A batch's calls.
#[derive(Debug)]
pub(super) struct LostQuestion {
    policy: u64,
    tsc: u64,
    machine_checks: CallId,
    keyrings: Vec<(&'static str, CallId)>,
}

impl LostQuestion {
    /// Adds the calls; what a kernel or machine lacks, it answers with an error.
    pub(super) fn ask(batch: &mut Batch) -> Self {
        let (policy, tsc) = (batch.reserve(4), batch.reserve(4));
        batch.attempt("get_mempolicy", libc::SYS_get_mempolicy, &[policy, 0, 0, 0, 0]);
        batch.attempt("prctl PR_GET_TSC", libc::SYS_prctl, &[PR_GET_TSC as u64, tsc]);
        let machine_checks = [PR_MCE_KILL_GET as u64, 0, 0, 0, 0];
        let machine_checks = batch.attempt("prctl PR_MCE_KILL_GET", libc::SYS_prctl, &machine_checks);
        let ask = |(id, name): (i64, &'static str)| {
            (name, batch.attempt(name, libc::SYS_keyctl, &[KEYCTL_GET_KEYRING_ID, id as u64, 0]))
        };
        LostQuestion { policy, tsc, machine_checks, keyrings: KEYRINGS.into_iter().map(ask).collect() }
    }

    /// What the thread has.
    pub(super) fn answer(&self, batch: &Batch, task: &FrozenTask, tid: Pid) -> Vec<NotKept> {
        let mut lost: Vec<(&str, &str)> = Vec::new();
        if batch.u32_at(self.policy) != MPOL_DEFAULT {
            lost.push(("NUMA memory policy", "new memory comes from any node"));
        }
        if batch.u32_at(self.tsc) == PR_TSC_SIGSEGV {
            lost.push(("faults at the timestamp counter (PR_SET_TSC)", "rdtsc works"));
        }
        if batch.ret(self.machine_checks).is_ok_and(|policy| policy != PR_MCE_KILL_DEFAULT) {
            lost.push(("machine check policy (PR_MCE_KILL)", "it gets the machine's default"));
        }
        let present = self.keyrings.iter().filter(|(_, call)| batch.ret(*call).is_ok());
        lost.extend(present.map(|(name, _)| (*name, "its keys are gone")));
        let told = |(what, consequence): (&str, &str)| NotKept {
            pid: task.pid,
            comm: task.comm.clone(),
            what: format!("thread {tid}: {what}"),
            consequence: consequence.to_owned(),
        };
        lost.into_iter().map(told).collect()
    }
}
