//! Giving birth: tasks and threads with the ids that they had.
//!
//! clone3(2) takes the wanted id (`set_tid`, Linux 5.5). An older kernel gives out the one after kernel.ns_last_pid, if
//! nobody else on the machine is faster: a newborn with another id ends, and the next is tried. One that the tracer has
//! not let go yet has done nothing that anybody sees.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{self, Signal};
use nix::unistd;

use super::construction::Built;
use crate::check::{self, Feature};
use crate::error::{Blame, Error, OsContext, Result};
use crate::fault;
use crate::kernel::stat::{self, Stat};
use crate::kernel::{Pid, ProcDir, tasks};
use crate::resource::memory::vdso::Fit;
use crate::sys::process::{self, CloneArgs};
use crate::sys::ptrace;
use crate::tracee::{Loan, await_newborn, reap};
use crate::{log_debug, log_info};

const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// How long somebody else may have the id: as others get the ids near it meanwhile, one that ends soon is likely.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether clone3(2) was found to have no set_tid.
static BY_LAST_PID: AtomicBool = AtomicBool::new(false);

/// Whether ids are given by kernel.ns_last_pid. A child may then have to be born more than once, so that it must be one
/// whose parent can reap it.
pub(super) fn by_last_pid() -> bool {
    BY_LAST_PID.load(Ordering::Relaxed)
}

/// Makes the first child, and finds out how ids are given.
pub(super) fn fork_root(pid: Pid, flags: u64) -> Result<()> {
    // Else each child is asked for its own, when it is adopted.
    if !check::probe(Feature::GetRseqConf).is_present() && process::unregister_rseq() {
        log_debug!("Gave up our own rseq area");
    }
    let lacks_set_tid = match fault::point(fault::SET_TID) {
        Err(_) => true,
        Ok(()) => match process::fork_idle(pid, flags) {
            // 5.3 and 5.4 have the call with fewer arguments.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::E2BIG)) => true,
            // The next attempt waits for it.
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) => false,
            made => return made.os(|| format!("clone3 with pid {pid}")),
        },
    };
    BY_LAST_PID.store(lacks_set_tid, Ordering::Relaxed);
    fork_idle(pid, flags)
}

/// Makes a child, or with CLONE_PARENT a sibling, of ours that waits for its tracer.
pub(super) fn fork_idle(pid: Pid, flags: u64) -> Result<()> {
    if !by_last_pid() {
        return while_id_is_leaving(|| {
            process::fork_idle(pid, flags).os(|| format!("clone3 with pid {pid}"))
        })
        .map_err(|e| name_owner(e, pid));
    }
    with_next_id(pid, || match process::fork_idle_next(flags).os(|| "clone")? {
        born if born == pid => Ok(true),
        born => {
            let stray = unistd::Pid::from_raw(born);
            signal::kill(stray, Signal::SIGKILL).os(|| format!("kill {born}"))?;
            // A sibling is its parent's to reap.
            let _ = nix::sys::wait::waitpid(stray, None);
            Ok(false)
        }
    })
}

/// Traces the root; it dies with us. What is set here, all that are born of it inherit.
pub(super) fn adopt_root(pid: Pid, suspend_seccomp: bool) -> Result<()> {
    let suspend = if suspend_seccomp { ptrace::O_SUSPEND_SECCOMP } else { 0 };
    let options = ptrace::O_EXITKILL | ptrace::O_TRACESYSGOOD | ptrace::O_TRACE_BIRTHS | suspend;
    ptrace::seize(pid, options).os(|| format!("PTRACE_SEIZE {pid}"))?;
    ptrace::interrupt(pid).os(|| format!("PTRACE_INTERRUPT {pid}"))?;
    await_newborn(pid)
}

/// Ends a process that we trace, and waits until it is gone.
pub(super) fn kill(pid: Pid) {
    let threads = ProcDir::open(pid).and_then(|proc| tasks::read(&proc)).unwrap_or_default();
    let _ = signal::kill(unistd::Pid::from_raw(pid), Signal::SIGKILL);
    // The leader can be reaped only after the others.
    threads.into_iter().filter(|tid| *tid != pid).chain([pid]).for_each(|tid| _ = reap(tid));
}

/// The exit signal of fork(2).
pub(super) const OF_FORK: u32 = libc::SIGCHLD as u32;
/// `CSIGNAL` of linux/sched.h: the bits of clone(2)'s flags that are the exit signal.
const EXIT_SIGNAL: u64 = 0xff;

/// Makes a child of the task on loan; a sibling with CLONE_PARENT, which takes the exit signal of the caller.
pub(super) fn fork(parent: &mut Loan, pid: Pid, flags: u64, exit_signal: u32) -> Result<Built> {
    let is_sibling = flags & libc::CLONE_PARENT as u64 != 0;
    let exit_signal = if is_sibling { 0 } else { u64::from(exit_signal) & EXIT_SIGNAL };
    if by_last_pid() {
        with_next_id(pid, || bear_next(parent, pid, flags | exit_signal))?;
    } else {
        bear_at_once(parent, &[pid], flags, exit_signal)?;
    }
    // Until the construction knows it, a failure must not leave it behind.
    adopt(parent, pid).inspect_err(|_| kill(pid))
}

/// Makes a child of the task on loan with whatever pid.
pub(super) fn fork_any(parent: &mut Loan, flags: u64) -> Result<Built> {
    let pid = clone(parent, flags | libc::SIGCHLD as u64)?;
    adopt(parent, pid).inspect_err(|_| kill(pid))
}

/// Makes threads of the task on loan; returns when all of them stand still.
pub(super) fn bear_threads(parent: &mut Loan, ids: &[Pid], flags: u64) -> Result<()> {
    if !by_last_pid() {
        return bear_at_once(parent, ids, flags, 0);
    }
    ids.iter().try_for_each(|id| with_next_id(*id, || bear_next(parent, *id, flags)))
}

/// Borrows the child that the task on loan has just forked.
fn adopt(parent: &Loan, pid: Pid) -> Result<Built> {
    fault::point("child-born")?;
    let proc = ProcDir::open(pid)?;
    let mem = Arc::new(File::from(proc.open_file("mem", OFlag::O_RDWR)?));
    let loan = parent.adopt(pid, mem)?;
    Ok(Built { loan, proc, fit: Fit::default(), threads: Vec::new() })
}

/// Has the task on loan call clone3 for each of the wanted ids.
fn bear_at_once(parent: &mut Loan, ids: &[Pid], flags: u64, exit_signal: u64) -> Result<()> {
    let mut missing = ids.to_vec();
    while_id_is_leaving(|| {
        let mut batch = parent.batch();
        let mut calls = Vec::with_capacity(missing.len());
        for id in &missing {
            let wanted = batch.put(&id.to_ne_bytes());
            let args =
                CloneArgs { flags, exit_signal, set_tid: wanted, set_tid_size: 1, ..CloneArgs::default() };
            let (args, len) = (batch.put(&args.to_bytes()), size_of::<CloneArgs>() as u64);
            calls.push((*id, batch.call(format!("clone3 with id {id}"), libc::SYS_clone3, &[args, len])));
        }
        parent.run(&mut batch)?;
        for tid in parent.take_born() {
            await_newborn(tid)?;
        }
        missing = calls.into_iter().filter(|(_, call)| batch.ret(*call).is_err()).map(|(id, _)| id).collect();
        batch.expect_all()
    })
    .map_err(|e| name_owner(e, missing.first().copied().unwrap_or(0)))
}

/// Tries again while the id is taken: the plan has seen that no task has it, but the kernel takes a task out of /proc
/// before it gives the id back (release_task() in kernel/exit.c, free_pids() at its end).
fn while_id_is_leaving(attempt: impl FnMut() -> Result<()>) -> Result<()> {
    process::until_free(PATIENCE, |e: &Error| e.errno() == Some(libc::EEXIST), attempt)
}

/// Says who has an id that is not free, although no task has it: the group or session of one whose leader has ended.
fn name_owner(error: Error, id: Pid) -> Error {
    if error.errno() != Some(libc::EEXIST) {
        return error;
    }
    let reason = match owner(id) {
        Some((what, stat)) => {
            format!("is still the {what} of process {} ({})", stat.pid, stat.comm.escape_ascii())
        }
        None => "is not free".to_owned(),
    };
    Error::new("E-PID-IN-USE", Blame::Environment, reason)
        .on(format!("pid {id}"))
        .help("end that process, or restore where the pid is free, such as a new pid namespace (unshare -p)")
}

fn owner(id: Pid) -> Option<(&'static str, Stat)> {
    let names =
        std::fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse().ok());
    pids.filter_map(|pid| stat::read(&ProcDir::open(pid).ok()?).ok()).find_map(|stat| match id {
        _ if stat.sid == id => Some(("session", stat)),
        _ if stat.pgid == id => Some(("process group", stat)),
        _ => None,
    })
}

/// Has the task on loan call clone(2), whose lowest byte of flags is the exit signal; returns the id.
fn clone(parent: &mut Loan, flags: u64) -> Result<Pid> {
    let mut batch = parent.batch();
    let child = batch.call("clone", libc::SYS_clone, &[flags]);
    parent.run(&mut batch)?;
    for tid in parent.take_born() {
        await_newborn(tid)?;
    }
    batch.expect(child).map(|pid| pid as Pid)
}

/// One attempt; a newborn with another id is gone when this returns.
fn bear_next(parent: &mut Loan, id: Pid, flags: u64) -> Result<bool> {
    let born = clone(parent, flags)?;
    if born == id {
        return Ok(true);
    }
    let is_thread = flags & libc::CLONE_THREAD as u64 != 0;
    parent.end_newborn(born)?;
    if !is_thread {
        let args = [born as u64, 0, libc::__WALL as u64, 0, 0, 0];
        let reaped = parent.run_one(libc::SYS_wait4 as u64, args)?;
        if reaped != i64::from(born) {
            return Err(Error::bug(format!("wait4 for the stray {born} returned {reaped}")));
        }
    }
    Ok(false)
}

/// Tries until the kernel gives out the wanted id.
fn with_next_id(id: Pid, mut attempt: impl FnMut() -> Result<bool>) -> Result<()> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        std::fs::write(LAST_PID, (id - 1).to_string()).os(|| format!("write {LAST_PID}"))?;
        if attempt()? {
            return Ok(());
        }
        log_info!("Somebody else has got the id {id}");
        sleep(PATIENCE / 5000);
    }
    Err(Error::os(format!("clone with id {id}"), io::Error::from_raw_os_error(libc::EEXIST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_has_an_id_is_named() -> Result<()> {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "sleep 1000 & exit"]).stdout(std::process::Stdio::null()).process_group(0);
        let mut leader = command.spawn().os(|| "spawn")?;
        let id = leader.id() as Pid;
        leader.wait().os(|| "wait")?;
        let refused = fork_idle(id, 0);
        signal::killpg(unistd::Pid::from_raw(id), Signal::SIGKILL).os(|| "kill")?;
        let refused = refused.map_err(|e| (e.code(), e.headline()));
        let Err(("E-PID-IN-USE", headline)) = refused else { panic!("{refused:?}") };
        assert!(headline.contains("process group of process") && headline.contains("(sleep)"), "{headline}");
        Ok(())
    }

    #[test]
    fn an_id_that_is_leaving_is_waited_for_and_nothing_else_is() {
        let failing = |errno| Err(Error::os("clone3", io::Error::from_raw_os_error(errno)));
        let mut left = 3;
        let waited = while_id_is_leaving(|| {
            left -= 1;
            if left > 0 { failing(libc::EEXIST) } else { Ok(()) }
        });
        assert!(waited.is_ok() && left == 0);
        let mut attempts = 0;
        let refused = while_id_is_leaving(|| {
            attempts += 1;
            failing(libc::EAGAIN)
        });
        assert_eq!((refused.map_err(|e| e.errno()), attempts), (Err(Some(libc::EAGAIN)), 1));
    }
}
