//! The processes under a verb that starts many: none is left behind, whatever happens.
//!
//! Everything that such a verb starts is a descendant of this process: servers, clients and engines are its children,
//! and a restored tree, whose parent has ended, becomes its child too (it is a subreaper, prctl(2)). So [`end_all`]
//! ends and reaps whatever descendants there are, after each run, after a failure, and after Ctrl-C, which is taken as
//! a wish that the waiting loops look at rather than as the end of this process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getsid};

/// No single step takes longer on a machine where the outcome would mean something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The signal that asked us to stop; 0 while none did.
static INTERRUPTED: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Makes orphans our children and signals wishes; to be called once, before the first thread is started.
pub(crate) fn adopt() -> Result<()> {
    prctl::set_child_subreaper(true).context("cannot become the parent of orphans")?;
    take_signals()
}

/// Calls `look` until it returns something, this process is asked to stop, or [`PATIENCE`] is over.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        check_interrupted()?;
        if Instant::now() > end {
            bail!("{what}: nothing happened for {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// An error once a signal asked us to stop.
pub(crate) fn check_interrupted() -> Result<()> {
    match i32::try_from(INTERRUPTED.load(Ordering::Relaxed)).map(Signal::try_from) {
        Ok(Ok(signal)) => bail!("stopped by {signal}"),
        _ => Ok(()),
    }
}

/// Reaps the children of other sessions than ours until there are none: a server and its orphans, which a dump ended.
/// Clients stay in our session, and are waited for by who started them.
pub(crate) fn reap_other_sessions() -> Result<()> {
    let ours = getsid(None).context("getsid")?;
    wait_for("the end of what was dumped", || {
        let mut left = false;
        for child in children() {
            // ESRCH: a client that was reaped in between.
            if getsid(Some(child)).is_ok_and(|session| session != ours) {
                left |= matches!(waitpid(child, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive));
            }
        }
        // Those who lost their parent a moment ago are in the list of the next look.
        Ok((!left && !children().iter().any(|child| getsid(Some(*child)).is_ok_and(|it| it != ours)))
            .then_some(()))
    })
}

/// Ends and reaps every descendant. Killing a parent hands its children to us, hence the rounds.
pub(crate) fn end_all() {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        for child in children() {
            let _ = kill(child, Signal::SIGKILL);
        }
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
    eprintln!("children {:?} cannot be ended", children());
}

/// Turns the signals that end a command into a note for [`check_interrupted`]. They are caught and not blocked: children
/// would inherit a mask (execve(2)), and could not be ended by these signals themselves.
fn take_signals() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let value = usize::try_from(signal as i32)?;
        signal_hook::flag::register_usize(signal as i32, Arc::clone(&INTERRUPTED), value)
            .with_context(|| format!("cannot catch {signal}"))?;
    }
    Ok(())
}

/// Our children, zombies too: proc(5), /proc/pid/task/tid/children, whichever of our threads they belong to.
fn children() -> Vec<Pid> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .map(Pid::from_raw)
        .collect()
}
