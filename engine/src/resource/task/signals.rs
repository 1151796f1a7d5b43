//! Signals: the actions of a process, the queues of process and threads, alternate stacks.
//!
//! Actions and alternate stacks are only known to the task itself (rt_sigaction(2), sigaltstack(2)); the queues are read
//! by PTRACE_PEEKSIGINFO and refilled by rt_sigqueueinfo(2), which lets a task send any siginfo to itself
//! (kernel/signal.c, do_rt_sigqueueinfo). Masks travel with the registers.
//!
//! Not kept: the accounting of queued signals against RLIMIT_SIGPENDING of the user who sent them.

use std::mem::offset_of;

use arch::{SIGACTION_LEN, SigAction};

use crate::error::{Error, OsContext, Result};
use crate::image::message::{
    SaEntry, SiginfoEntry, SignalQueueEntry, TaskCoreEntry, ThreadCoreEntry, ThreadSasEntry,
};
use crate::sys::ptrace::{self, SIGINFO_LEN};
use crate::tracee::{Batch, Loan};

/// Signals whose actions the image has in CRIU's field; CRIU wants exactly those. The others of a machine that has more
/// (MIPS: 128) are in a field of ours.
const IN_FIRST_FIELD: i32 = 64;

/// A signal mask as the image has it: the first 64 signals, and the others where the machine has them.
pub fn halves(mask: u128) -> (u64, Option<u64>) {
    (mask as u64, (arch::syscall::SIGNALS > 64).then_some((mask >> 64) as u64))
}

/// A signal mask of the image's two parts.
pub fn whole(low: u64, high: Option<u64>) -> u128 {
    u128::from(low) | u128::from(high.unwrap_or(0)) << 64
}

/// The signal mask of a thread; CRIU's old images have that of the process only.
pub fn blocked(thread: &ThreadCoreEntry, process: &TaskCoreEntry) -> u128 {
    match thread.blk_sigset {
        Some(low) => whole(low, thread.blk_sigset_extended),
        None => whole(process.blk_sigset, process.blk_sigset_extended),
    }
}

/// The signals that have an action, in the order of the image.
pub fn with_action() -> impl Iterator<Item = i32> {
    (1..=arch::syscall::SIGNALS).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
}

/// A batch's calls for all actions.
#[derive(Debug)]
pub struct ActionsQuestion {
    first: u64,
}

impl ActionsQuestion {
    /// Adds the calls.
    pub fn ask(batch: &mut Batch) -> Self {
        let first = batch.reserve(with_action().count() * SIGACTION_LEN);
        for (address, signal) in (first..).step_by(SIGACTION_LEN).zip(with_action()) {
            let args = [signal as u64, 0, address, arch::SIGMASK_LEN as u64];
            batch.call("rt_sigaction", libc::SYS_rt_sigaction, &args);
        }
        ActionsQuestion { first }
    }

    /// Reads the results, for the two fields of the image.
    pub fn answer(&self, batch: &Batch) -> (Vec<SaEntry>, Vec<SaEntry>) {
        let addresses = (self.first..).step_by(SIGACTION_LEN);
        let entries = addresses
            .zip(with_action())
            .map(|(address, signal)| (signal, to_entry(&SigAction::from_bytes(&batch.bytes(address)))));
        let (first, more): (Vec<_>, Vec<_>) = entries.partition(|(signal, _)| *signal <= IN_FIRST_FIELD);
        let entries = |signals: Vec<(i32, SaEntry)>| signals.into_iter().map(|(_, entry)| entry).collect();
        (entries(first), entries(more))
    }
}

fn to_entry(action: &SigAction) -> SaEntry {
    let (mask, mask_extended) = halves(action.mask);
    SaEntry {
        sigaction: action.handler,
        flags: action.flags,
        restorer: action.restorer,
        mask,
        mask_extended,
        ..SaEntry::default()
    }
}

/// Adds the calls that set all actions.
pub fn restore_actions<'a>(batch: &mut Batch, entries: impl IntoIterator<Item = &'a SaEntry>) {
    for (signal, entry) in with_action().zip(entries) {
        let action = SigAction {
            handler: entry.sigaction,
            flags: entry.flags,
            restorer: entry.restorer,
            mask: whole(entry.mask, entry.mask_extended),
        };
        let address = batch.put(&action.to_bytes());
        let args = [signal as u64, address, 0, arch::SIGMASK_LEN as u64];
        batch.call(format!("rt_sigaction {signal}"), libc::SYS_rt_sigaction, &args);
    }
}

/// Adds the call that forgets queued SIGCHLD: setting an action that ignores a signal flushes it from all queues
/// (kernel/signal.c, do_sigaction). The children made for the restore have sent some.
pub fn forget_children(batch: &mut Batch) {
    let address = batch.put(&SigAction::default().to_bytes());
    let args = [libc::SIGCHLD as u64, address, 0, arch::SIGMASK_LEN as u64];
    batch.call("rt_sigaction SIGCHLD", libc::SYS_rt_sigaction, &args);
}

/// The signals queued for a stopped thread, or for its process.
pub fn dump_queue(tid: i32, shared: bool) -> Result<SignalQueueEntry> {
    let signals = ptrace::peek_signals(tid, shared).os(|| format!("PTRACE_PEEKSIGINFO {tid}"))?;
    let entry = |siginfo: [u8; SIGINFO_LEN]| SiginfoEntry { siginfo: siginfo.to_vec() };
    Ok(SignalQueueEntry { signals: signals.into_iter().map(entry).collect() })
}

/// The signals in a queue, bit n-1 for signal n.
pub fn numbers(queue: &SignalQueueEntry) -> u128 {
    let number = |entry: &SiginfoEntry| entry.siginfo.first_chunk().map_or(0, |s| i32::from_ne_bytes(*s));
    let bit = |signal: i32| 1u128.checked_shl(signal.wrapping_sub(1) as u32).unwrap_or(0);
    queue.signals.iter().fold(0, |all, entry| all | bit(number(entry)))
}

/// Has the thread on loan queue the signals again: for itself, or for its whole process.
pub fn restore_queue(loan: &mut Loan, pid: i32, shared: bool, queue: &SignalQueueEntry) -> Result<()> {
    let tid = loan.tid();
    loan.run_each(&queue.signals, |batch, entry| {
        let siginfo: &[u8; SIGINFO_LEN] = entry.siginfo.as_slice().try_into().map_err(|_| {
            Error::image("core", format!("a queued signal of {} bytes instead of 128", entry.siginfo.len()))
        })?;
        let signal = siginfo.first_chunk::<4>().map_or(0, |s| i32::from_ne_bytes(*s)) as u64;
        let info = batch.put(siginfo);
        if shared {
            let args = [pid as u64, signal, info];
            batch.call(format!("rt_sigqueueinfo {signal}"), libc::SYS_rt_sigqueueinfo, &args);
        } else {
            let args = [pid as u64, tid as u64, signal, info];
            batch.call(format!("rt_tgsigqueueinfo {signal}"), libc::SYS_rt_tgsigqueueinfo, &args);
        }
        Ok(())
    })
}

const STACK_LEN: usize = size_of::<libc::stack_t>();
/// The order of size and flags is not the same on all machines.
const STACK_SIZE: usize = offset_of!(libc::stack_t, ss_size);
const STACK_FLAGS: usize = offset_of!(libc::stack_t, ss_flags);

/// A batch's call for the alternate stack of the calling thread.
#[derive(Debug)]
pub struct StackQuestion(u64);

impl StackQuestion {
    /// Adds the call.
    pub fn ask(batch: &mut Batch) -> Self {
        let room = batch.reserve(STACK_LEN);
        batch.call("sigaltstack", libc::SYS_sigaltstack, &[0, room]);
        StackQuestion(room)
    }

    /// Reads the result.
    pub fn answer(&self, batch: &Batch) -> ThreadSasEntry {
        let bytes: [u8; STACK_LEN] = batch.bytes(self.0);
        let word = |at: usize| {
            let word = bytes.get(at..).and_then(|from| from.first_chunk());
            word.map_or(0, |word| usize::from_ne_bytes(*word) as u64)
        };
        // The kernel reports SS_ONSTACK while a handler runs there; set again, it must be SS_DISABLE or flags only.
        let flags = batch.u32_at(self.0 + STACK_FLAGS as u64) & !(libc::SS_ONSTACK as u32);
        ThreadSasEntry { ss_sp: word(0), ss_size: word(STACK_SIZE), ss_flags: flags }
    }
}

/// Adds the call that sets the alternate stack. The thread must not stand on it.
pub fn restore_stack(batch: &mut Batch, entry: &ThreadSasEntry) {
    let mut bytes = [0; STACK_LEN];
    let mut put = |at: usize, part: &[u8]| {
        bytes.iter_mut().skip(at).zip(part).for_each(|(slot, byte)| *slot = *byte);
    };
    put(0, &(entry.ss_sp as usize).to_ne_bytes());
    put(STACK_FLAGS, &entry.ss_flags.to_ne_bytes());
    put(STACK_SIZE, &(entry.ss_size as usize).to_ne_bytes());
    let address = batch.put(&bytes);
    batch.call("sigaltstack", libc::SYS_sigaltstack, &[address, 0]);
}
