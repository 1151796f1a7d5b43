//! The small attributes of processes and threads: what prctl(2), personality(2), membarrier(2) and files of /proc set.
//!
//! Of a process: personality, login uid, OOM adjustment, subreaper, dumpable, core dump filter, THP, MDWE, MCL_FUTURE, membarrier registrations, limits,
//! break. Of a thread: name, parent-death signal, robust list, rseq, the address cleared at exit.
//!
//! Not kept: PR_SET_MCE_KILL, PR_SET_TSC, PR_SET_IO_FLUSHER, speculation controls, PR_SET_MEMORY_MERGE.

use crate::error::{OsContext, Result};
use crate::image::message::{
    MmEntry, RlimitEntry, RseqEntry, TaskCoreEntry, TaskRlimitsEntry, ThreadCoreEntry,
};
use crate::kernel::smaps::{self, VmFlags};
use crate::kernel::status::{self, Status};
use crate::kernel::{Pid, ProcDir, attr, limits};
use crate::sys::attr::robust_list;
use crate::sys::ptrace::Rseq;
use crate::tracee::{Area, Batch, CallId};

const MEMBARRIER_GET_REGISTRATIONS: u64 = 1 << 9;

const PR_SET_MDWE: i32 = 65;
const PR_GET_MDWE: i32 = 66;

/// A batch's calls for the attributes that only the process can tell.
#[derive(Debug)]
pub struct ProcessQuestion {
    subreaper: u64,
    dumpable: CallId,
    thp_disabled: CallId,
    brk: CallId,
    membarrier: CallId,
    mdwe: CallId,
}

/// The answers that belong to the address space.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryAttributes {
    /// The break, brk(2).
    pub brk: u64,
    /// PR_GET_DUMPABLE.
    pub dumpable: i32,
    /// PR_GET_THP_DISABLE.
    pub thp_disabled: bool,
    /// MCL_FUTURE and MCL_ONFAULT of mlockall(2).
    pub lock_future: u32,
    /// core(5); `None` without CONFIG_ELF_CORE.
    pub coredump_filter: Option<u32>,
    /// PR_GET_MDWE.
    pub mdwe: u32,
}

fn prctl(batch: &mut Batch, name: &'static str, option: i32, arg: u64) -> CallId {
    batch.call(name, libc::SYS_prctl, &[option as u64, arg])
}

impl ProcessQuestion {
    /// Adds the calls.
    pub fn ask(batch: &mut Batch) -> Self {
        let subreaper = batch.reserve(4);
        prctl(batch, "prctl PR_GET_CHILD_SUBREAPER", libc::PR_GET_CHILD_SUBREAPER, subreaper);
        ProcessQuestion {
            subreaper,
            dumpable: prctl(batch, "prctl PR_GET_DUMPABLE", libc::PR_GET_DUMPABLE, 0),
            thp_disabled: prctl(batch, "prctl PR_GET_THP_DISABLE", libc::PR_GET_THP_DISABLE, 0),
            brk: batch.call("brk", libc::SYS_brk, &[0]),
            mdwe: prctl(batch, "prctl PR_GET_MDWE", PR_GET_MDWE, 0),
            membarrier: batch.call("membarrier", libc::SYS_membarrier, &[MEMBARRIER_GET_REGISTRATIONS]),
        }
    }

    /// Reads the results into the core entry; returns those of the address space.
    pub fn answer(&self, batch: &Batch, core: &mut TaskCoreEntry) -> Result<MemoryAttributes> {
        core.child_subreaper = Some(batch.u32_at(self.subreaper) != 0);
        // Absent before Linux 6.3, and where membarrier(2) is.
        core.membarrier_registration_mask =
            batch.ret(self.membarrier).ok().map(|mask| mask as u32).filter(|m| *m != 0);
        Ok(MemoryAttributes {
            brk: batch.expect(self.brk)?,
            dumpable: batch.expect(self.dumpable)? as i32,
            thp_disabled: batch.expect(self.thp_disabled)? != 0,
            // Absent before Linux 6.3.
            mdwe: batch.ret(self.mdwe).unwrap_or(0) as u32,
            ..MemoryAttributes::default()
        })
    }
}

/// Fills in what /proc shows of the process.
pub fn dump(proc: &ProcDir, core: &mut TaskCoreEntry) -> Result<()> {
    core.personality = attr::personality(proc)?;
    core.loginuid = attr::loginuid(proc)?;
    core.oom_score_adj = Some(attr::oom_score_adj(proc)?.into());
    // /proc/PID/limits, because prlimit(2) of another user's process wants CAP_SYS_RESOURCE.
    let rlimits = limits::read(proc)?.iter().map(|l| RlimitEntry { cur: l.soft, max: l.hard }).collect();
    core.rlimits = Some(TaskRlimitsEntry { rlimits });
    Ok(())
}

/// Fills in what /proc shows of the address space while `area`, which we have mapped in it, is there.
///
/// No interface tells of MCL_FUTURE, but every new mapping shows it, and the area is one. The flags of mappings are
/// expensive to read, and needed only if anything is locked.
pub fn dump_memory(proc: &ProcDir, area: Area, memory: &mut MemoryAttributes) -> Result<()> {
    memory.coredump_filter = attr::coredump_filter(proc)?;
    if status::read(proc)?.memory.locked == 0 {
        return Ok(());
    }
    let vmas = smaps::read(proc)?;
    let own = vmas.iter().find(|vma| vma.range().contains(&area.start)).and_then(|vma| vma.usage);
    let flags = own.unwrap_or_default().flags;
    let bits = [(VmFlags::LOCKED, libc::MCL_FUTURE), (VmFlags::LOCK_ON_FAULT, libc::MCL_ONFAULT)];
    memory.lock_future =
        bits.iter().filter(|(flag, _)| flags.contains(*flag)).fold(0, |all, (_, bit)| all | *bit as u32);
    Ok(())
}

/// What CRIU's image means by its personality: it takes the hexadecimal digits of /proc/PID/personality for a decimal
/// number, up to the first letter. Without letters, which few flags lead to, that can be undone.
pub fn personality_of_criu(stored: u32) -> u32 {
    u32::from_str_radix(&stored.to_string(), 16).unwrap_or(stored)
}

/// Adds the calls that need our privileges, to be made before the credentials change.
pub fn restore_privileged(batch: &mut Batch, core: &TaskCoreEntry) {
    batch.call("personality", libc::SYS_personality, &[core.personality.into()]);
    if core.child_subreaper == Some(true) {
        prctl(batch, "prctl PR_SET_CHILD_SUBREAPER", libc::PR_SET_CHILD_SUBREAPER, 1);
    }
    for bit in
        (0..31).map(|n| 1u32 << n).filter(|bit| core.membarrier_registration_mask.unwrap_or(0) & bit != 0)
    {
        batch.call(format!("membarrier {bit:#x}"), libc::SYS_membarrier, &[bit.into()]);
    }
}

/// Adds the calls for the limits: late, so that they do not limit the restore itself.
pub fn restore_limits(batch: &mut Batch, core: &TaskCoreEntry) {
    for (resource, limit) in core.rlimits.iter().flat_map(|l| &l.rlimits).enumerate() {
        let bytes: Vec<u8> = [limit.cur, limit.max].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let new = batch.put(&bytes);
        let what = format!("prlimit resource {resource} to {}:{}", limit.cur, limit.max);
        batch.call(what, libc::SYS_prlimit64, &[0, resource as u64, new, 0]);
    }
}

/// Writes what only /proc sets, and only where it differs: lowering an adjustment wants CAP_SYS_RESOURCE.
pub fn restore_by_proc(proc: &ProcDir, core: &TaskCoreEntry, coredump_filter: Option<u32>) -> Result<()> {
    if let Some(filter) = coredump_filter
        && attr::coredump_filter(proc)? != Some(filter)
    {
        let path = proc.path_of("coredump_filter");
        std::fs::write(&path, format!("{filter:#x}")).os(|| format!("write {filter:#x} to {path}"))?;
    }
    if let Some(adj) = core.oom_score_adj
        && i32::from(attr::oom_score_adj(proc)?) != adj
    {
        let path = proc.path_of("oom_score_adj");
        std::fs::write(&path, adj.to_string()).os(|| format!("write {adj} to {path}"))?;
    }
    Ok(())
}

/// Adds the calls for what the address space's owner decides; after the credentials, which reset it.
pub fn restore_memory(batch: &mut Batch, mm: &MmEntry) {
    // 2 (root only) cannot be asked for; it is what a change of credentials leaves (fs/exec.c, would_dump).
    if let Some(dumpable @ (0 | 1)) = mm.dumpable {
        prctl(batch, "prctl PR_SET_DUMPABLE", libc::PR_SET_DUMPABLE, dumpable as u64);
    }
    if mm.thp_disabled == Some(true) {
        prctl(batch, "prctl PR_SET_THP_DISABLE", libc::PR_SET_THP_DISABLE, 1);
    }
    if let Some(bits) = mm.mdwe {
        prctl(batch, "prctl PR_SET_MDWE", PR_SET_MDWE, bits.into());
    }
}

/// A batch's calls for the attributes that only the thread can tell.
#[derive(Debug)]
pub struct ThreadQuestion {
    tid_address: u64,
    pdeath: u64,
    timerslack: CallId,
}

impl ThreadQuestion {
    /// Adds the calls.
    pub fn ask(batch: &mut Batch) -> Self {
        let (tid_address, pdeath) = (batch.reserve(8), batch.reserve(4));
        prctl(batch, "prctl PR_GET_TID_ADDRESS", libc::PR_GET_TID_ADDRESS, tid_address);
        prctl(batch, "prctl PR_GET_PDEATHSIG", libc::PR_GET_PDEATHSIG, pdeath);
        let timerslack = prctl(batch, "prctl PR_GET_TIMERSLACK", libc::PR_GET_TIMERSLACK, 0);
        ThreadQuestion { tid_address, pdeath, timerslack }
    }

    /// Reads the results; returns the address that the kernel clears at exit.
    pub fn answer(&self, batch: &Batch, core: &mut ThreadCoreEntry) -> u64 {
        core.pdeath_sig = Some(batch.u32_at(self.pdeath)).filter(|signal| *signal != 0);
        core.timerslack_ns = batch.ret(self.timerslack).ok();
        batch.u64_at(self.tid_address)
    }
}

/// Fills in what is known from outside of the thread.
pub fn dump_thread(status: &Status, rseq: Rseq, tid: Pid, core: &mut ThreadCoreEntry) -> Result<()> {
    let (head, len) = robust_list(tid).os(|| format!("get_robust_list {tid}"))?;
    core.futex_rla = head;
    core.futex_rla_len = len as u32;
    core.comm = Some(status.name.clone());
    core.rseq_entry = (rseq.address != 0).then_some(RseqEntry {
        rseq_abi_pointer: rseq.address,
        rseq_abi_size: rseq.size,
        signature: rseq.signature,
        rseq_cs_pointer: None,
    });
    Ok(())
}

/// Adds the calls by which the thread sets its own attributes, but for those that credentials reset.
pub fn restore_thread(batch: &mut Batch, core: &ThreadCoreEntry, clear_tid_addr: u64) {
    if let Some(comm) = &core.comm {
        let mut name = comm.clone();
        name.truncate(15);
        name.push(0);
        let name = batch.put(&name);
        prctl(batch, "prctl PR_SET_NAME", libc::PR_SET_NAME, name);
    }
    // 0 would mean the default; a real-time thread has none.
    if let Some(ns) = core.timerslack_ns.filter(|ns| *ns != 0) {
        prctl(batch, "prctl PR_SET_TIMERSLACK", libc::PR_SET_TIMERSLACK, ns);
    }
    batch.call("set_tid_address", libc::SYS_set_tid_address, &[clear_tid_addr]);
    if core.futex_rla != 0 {
        let args = [core.futex_rla, core.futex_rla_len.into()];
        batch.call("set_robust_list", libc::SYS_set_robust_list, &args);
    }
    if let Some(args) = core.rseq_entry.as_ref().and_then(rseq_registration) {
        batch.call("rseq", libc::SYS_rseq, &args);
    }
}

/// The arguments of rseq(2). CRIU writes an entry of zeros for a thread that has not registered.
fn rseq_registration(rseq: &RseqEntry) -> Option<[u64; 4]> {
    let args = [rseq.rseq_abi_pointer, rseq.rseq_abi_size.into(), 0, rseq.signature.into()];
    (rseq.rseq_abi_pointer != 0).then_some(args)
}

/// Where the thread's restartable sequence goes: the address of `rseq_cs` in `struct rseq`, and its value. CRIU records
/// it of a thread that it has stopped in a sequence which signals do not abort (RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL). The
/// kernel clears the word whenever the thread is found elsewhere, so that it is set when the thread is home.
pub fn rseq_section(core: &ThreadCoreEntry) -> Option<(u64, u64)> {
    const RSEQ_CS: u64 = 8;
    let rseq = core.rseq_entry.as_ref().filter(|rseq| rseq.rseq_abi_pointer != 0)?;
    let section = rseq.rseq_cs_pointer.filter(|section| *section != 0)?;
    Some((rseq.rseq_abi_pointer.wrapping_add(RSEQ_CS), section))
}

/// Adds the call for the parent-death signal, which a change of credentials resets.
pub fn restore_pdeath(batch: &mut Batch, core: &ThreadCoreEntry) {
    if let Some(signal) = core.pdeath_sig {
        prctl(batch, "prctl PR_SET_PDEATHSIG", libc::PR_SET_PDEATHSIG, signal.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of CRIU 4.2.1 for tasks that were started with these flags.
    #[test]
    fn digits_that_criu_read_as_decimal() {
        let stored_for = [(40000, libc::ADDR_NO_RANDOMIZE), (4_060_000, 0x0406_0000), (0, 0)];
        for (stored, flags) in stored_for {
            assert_eq!(personality_of_criu(stored), flags as u32, "{stored}");
        }
        assert_eq!(personality_of_criu(u32::MAX), u32::MAX, "no eight digits");
    }

    #[test]
    fn a_thread_without_rseq_registers_none() {
        let entry = |rseq_abi_pointer| RseqEntry {
            rseq_abi_pointer,
            rseq_abi_size: 32,
            signature: 7,
            rseq_cs_pointer: None,
        };
        assert_eq!(rseq_registration(&entry(0)), None);
        assert_eq!(rseq_registration(&entry(0x1000)), Some([0x1000, 32, 0, 7]));
        let core = |address, section| ThreadCoreEntry {
            rseq_entry: Some(RseqEntry { rseq_cs_pointer: section, ..entry(address) }),
            ..ThreadCoreEntry::default()
        };
        assert_eq!(rseq_section(&core(0x1000, Some(0x2000))), Some((0x1008, 0x2000)));
        assert_eq!(rseq_section(&core(0, Some(0x2000))).or(rseq_section(&core(0x1000, None))), None);
    }
}
