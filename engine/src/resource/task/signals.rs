//! Signals: the actions of a process, the queues of process and threads, alternate stacks.
//!
//! Actions and alternate stacks are only known to the task itself (rt_sigaction(2), sigaltstack(2)); the queues are read
//! by PTRACE_PEEKSIGINFO and refilled by rt_sigqueueinfo(2), which lets a task send any siginfo to itself
//! (kernel/signal.c, do_rt_sigqueueinfo). Masks travel with the registers.
//!
//! Not kept: the accounting of queued signals against RLIMIT_SIGPENDING of the user who sent them.

use arch::syscall::{SIGACTION_LEN, SigAction};

use crate::error::{Error, OsContext, Result};
use crate::image::message::{SaEntry, SiginfoEntry, SignalQueueEntry, ThreadSasEntry};
use crate::sys::ptrace::{self, SIGINFO_LEN};
use crate::tracee::Batch;

/// The signals that have an action, in the order of the image.
pub fn with_action() -> impl Iterator<Item = i32> {
    (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
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

    /// Reads the results.
    pub fn answer(&self, batch: &Batch) -> Vec<SaEntry> {
        let addresses = (self.first..).step_by(SIGACTION_LEN).take(with_action().count());
        addresses.map(|address| to_entry(&SigAction::from_bytes(&batch.bytes(address)))).collect()
    }
}

fn to_entry(action: &SigAction) -> SaEntry {
    SaEntry {
        sigaction: action.handler,
        flags: action.flags,
        restorer: action.restorer,
        mask: action.mask,
        ..SaEntry::default()
    }
}

/// Adds the calls that set all actions.
pub fn restore_actions(batch: &mut Batch, entries: &[SaEntry]) {
    for (signal, entry) in with_action().zip(entries) {
        let action = SigAction {
            handler: entry.sigaction,
            flags: entry.flags,
            restorer: entry.restorer,
            mask: entry.mask,
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

/// Adds the calls by which the thread queues the signals again; to its process when `thread` is `None`.
pub fn restore_queue(
    batch: &mut Batch,
    pid: i32,
    thread: Option<i32>,
    queue: &SignalQueueEntry,
) -> Result<()> {
    for entry in &queue.signals {
        let siginfo: &[u8; SIGINFO_LEN] = entry.siginfo.as_slice().try_into().map_err(|_| {
            Error::image("core", format!("a queued signal of {} bytes instead of 128", entry.siginfo.len()))
        })?;
        let signal = siginfo.first_chunk::<4>().map_or(0, |s| i32::from_ne_bytes(*s)) as u64;
        let info = batch.put(siginfo);
        match thread {
            None => {
                let args = [pid as u64, signal, info];
                batch.call(format!("rt_sigqueueinfo {signal}"), libc::SYS_rt_sigqueueinfo, &args)
            }
            Some(tid) => {
                let args = [pid as u64, tid as u64, signal, info];
                batch.call(format!("rt_tgsigqueueinfo {signal}"), libc::SYS_rt_tgsigqueueinfo, &args)
            }
        };
    }
    Ok(())
}

const STACK_LEN: usize = size_of::<libc::stack_t>();

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

    /// Reads the result: `stack_t` is sp, flags, size, each in a word.
    pub fn answer(&self, batch: &Batch) -> ThreadSasEntry {
        let word = size_of::<usize>() as u64;
        let read = |at: u64| match word {
            8 => batch.u64_at(at),
            _ => batch.u32_at(at).into(),
        };
        // The kernel reports SS_ONSTACK while a handler runs there; set again, it must be SS_DISABLE or flags only.
        let flags = batch.u32_at(self.0 + word) & !(libc::SS_ONSTACK as u32);
        ThreadSasEntry { ss_sp: read(self.0), ss_size: read(self.0 + 2 * word), ss_flags: flags }
    }
}

/// Adds the call that sets the alternate stack. The thread must not stand on it.
pub fn restore_stack(batch: &mut Batch, entry: &ThreadSasEntry) {
    let words = [entry.ss_sp, u64::from(entry.ss_flags), entry.ss_size];
    let bytes: Vec<u8> = words.iter().flat_map(|word| (*word as usize).to_ne_bytes()).collect();
    let address = batch.put(&bytes);
    batch.call("sigaltstack", libc::SYS_sigaltstack, &[address, 0]);
}
