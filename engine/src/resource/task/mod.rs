//! What belongs to a process or thread by itself: `core-PID.img`, one for each thread.

pub mod attributes;
pub mod credentials;
pub mod death;
pub mod lineage;
mod lost;
pub mod registers;
pub mod scheduling;
pub mod seccomp;
pub mod signals;
pub mod timers;

use self::attributes::MemoryAttributes;
use self::seccomp::SeccompDump;
use crate::error::{Blame, Error, Result};
use crate::image::message::{CoreEntry, TaskCoreEntry, ThreadCoreEntry, state};
use crate::kernel::stat::Stat;
use crate::kernel::status::Status;
use crate::kernel::{Pid, timers as proc_timers};
use crate::report::NotKept;
use crate::sys::ptrace::{self, Rseq};
use crate::tracee::{FrozenTask, Loan, Look};

/// What was collected of one process.
#[derive(Debug)]
pub struct TaskDump {
    /// One entry for each thread, the leader first.
    pub cores: Vec<(Pid, CoreEntry)>,
    /// What goes into the image of its memory.
    pub memory: MemoryAttributes,
    /// What the threads have and no image carries.
    pub not_kept: Vec<NotKept>,
}

/// Collects everything of this family from a frozen task of `tree` whose leader is on loan; the loan ends at its last
/// thread.
pub fn dump(
    (task, look): (&FrozenTask, &Look),
    tree: &[Pid],
    loan: &mut Loan,
    seccomp: &mut SeccompDump,
) -> Result<TaskDump> {
    let (mut cores, mut not_kept) = (Vec::new(), Vec::new());
    let (mut process, memory) = dump_process((task, &look.stat), tree, loan, &mut not_kept)?;
    for (index, (tid, status)) in task.threads.iter().zip(&look.threads).enumerate() {
        if index > 0 {
            loan.switch(*tid)?;
        }
        let mut core = dump_thread(task, (*tid, status), loan, &mut not_kept)?;
        seccomp.add(*tid, status.seccomp, core.thread_core.get_or_insert_default())?;
        if index == 0 {
            (process.blk_sigset, process.blk_sigset_extended) = signals::halves(loan.mask());
            core.tc = Some(std::mem::take(&mut process));
        }
        cores.push((*tid, core));
    }
    // As late as possible: it may have been stopped or continued since the freeze.
    if let Some(process) = cores.first_mut().and_then(|(_, core)| core.tc.as_mut()) {
        let stopped_by = loan.stopped_by()?;
        process.task_state = if stopped_by.is_some() { state::STOPPED } else { state::ALIVE };
        process.stop_signo = stopped_by.map(|signal| signal as u32);
    }
    Ok(TaskDump { cores, memory, not_kept })
}

fn dump_process(
    (task, stat): (&FrozenTask, &Stat),
    tree: &[Pid],
    loan: &mut Loan,
    not_kept: &mut Vec<NotKept>,
) -> Result<(TaskCoreEntry, MemoryAttributes)> {
    let posix = timers::restorable(proc_timers::read(&task.proc)?, task, tree, not_kept);
    let mut batch = loan.batch();
    let actions = signals::ActionsQuestion::ask(&mut batch);
    let timers = timers::TimersQuestion::ask(&mut batch, posix);
    let attributes = attributes::ProcessQuestion::ask(&mut batch);
    loan.run(&mut batch)?;
    let (sigactions, more_sigactions) = actions.answer(&batch);
    let mut core = TaskCoreEntry {
        exit_signal: (stat.exit_signal != libc::SIGCHLD).then_some(stat.exit_signal as u32),
        exit_code: 0,
        flags: stat.flags,
        comm: stat.comm.clone(),
        sigactions,
        more_sigactions,
        timers: Some(timers.answer(&batch, loan)?),
        signals_s: Some(signals::dump_queue(task.pid, true)?),
        ..TaskCoreEntry::default()
    };
    let mut memory = attributes.answer(&batch, &mut core)?;
    attributes::dump_memory(&task.proc, loan.area(), &mut memory)?;
    attributes::dump(&task.proc, &mut core)?;
    Ok((core, memory))
}

fn dump_thread(
    task: &FrozenTask,
    (tid, status): (Pid, &Status),
    loan: &mut Loan,
    not_kept: &mut Vec<NotKept>,
) -> Result<CoreEntry> {
    let rseq = loan.rseq()?;
    let mut batch = loan.batch();
    let stack = signals::StackQuestion::ask(&mut batch);
    let attributes = attributes::ThreadQuestion::ask(&mut batch);
    let securebits = credentials::ask_securebits(&mut batch);
    let lost = lost::LostQuestion::ask(&mut batch);
    // The thread works on another CPU meanwhile.
    let outside = loan.run_beside(&mut batch, |_| dump_outside((tid, status), rseq))?;
    not_kept.extend(lost.answer(&batch, task, tid));
    let (blocked, extended) = signals::halves(loan.mask());
    let mut thread = ThreadCoreEntry {
        blk_sigset: Some(blocked),
        blk_sigset_extended: extended,
        sas: Some(stack.answer(&batch)),
        signals_p: Some(signals::dump_queue(tid, false)?),
        creds: Some(credentials::dump(status, batch.expect(securebits)? as u32)),
        ..outside
    };
    let clear_tid_addr = attributes.answer(&batch, &mut thread);
    let mut core = CoreEntry { thread_core: Some(thread), ..CoreEntry::default() };
    registers::dump(loan, clear_tid_addr, &mut core)?;
    Ok(core)
}

/// What is known about a thread whether it stands still or not.
fn dump_outside((tid, status): (Pid, &Status), rseq: Rseq) -> Result<ThreadCoreEntry> {
    let mut core = ThreadCoreEntry::default();
    attributes::dump_thread(status, rseq, tid, &mut core)?;
    scheduling::dump(tid, &mut core)?;
    Ok(core)
}

/// A thread whose system calls are dispatched to itself cannot make any for us; before it is borrowed.
pub fn refuse_dispatch(task: &FrozenTask) -> Result<()> {
    // Absent before Linux 6.4, and where a machine has no such thing.
    let dispatched = task.threads.iter().find(|tid| ptrace::has_syscall_dispatch(**tid).unwrap_or(false));
    dispatched.map_or(Ok(()), |tid| {
        let reason = "dispatches its system calls to itself (PR_SET_SYSCALL_USER_DISPATCH)";
        Err(Error::new("E-SYSCALL-DISPATCH", Blame::Program, reason).on(format!("thread {tid}")))
    })
}

/// The core entry of a zombie: its exit code and ids are all there is.
pub fn dump_zombie(stat: &Stat) -> CoreEntry {
    let tc = TaskCoreEntry {
        task_state: state::DEAD,
        exit_code: stat.exit_code as u32,
        flags: stat.flags,
        comm: stat.comm.clone(),
        ..TaskCoreEntry::default()
    };
    CoreEntry { mtype: registers::machine() as i32, tc: Some(tc), ..CoreEntry::default() }
}
