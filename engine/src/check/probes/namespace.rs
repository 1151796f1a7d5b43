//! Probes of namespaces, and the way to be in new ones for a moment.

use std::fs::File;
use std::io;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sched::{CloneFlags, setns, unshare};

/// Runs `probe` in a thread with new namespaces: unshare(2) moves the calling thread alone, and the namespaces end with it.
pub(super) fn apart(which: CloneFlags, probe: impl FnOnce() -> io::Result<()> + Send) -> io::Result<()> {
    let body = || {
        unshare(which)?;
        probe()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, body)?;
        thread.join().unwrap_or_else(|reason| panic::resume_unwind(reason))
    })
}

/// The same where that is possible, and else in our own namespaces: without CAP_SYS_ADMIN, or without such namespaces.
pub(super) fn apart_if_possible(
    which: CloneFlags,
    probe: impl Fn() -> io::Result<()> + Sync,
) -> io::Result<()> {
    let is_apart = AtomicBool::new(false);
    let done = apart(which, || {
        is_apart.store(true, Ordering::Relaxed);
        probe()
    });
    if is_apart.into_inner() { done } else { probe() }
}

/// There are namespaces of this kind: `user`, `cgroup`, `time_for_children`.
pub(super) fn exists(kind: &str) -> io::Result<()> {
    File::open(format!("/proc/self/ns/{kind}")).map(drop)
}

/// setns(2) into the network namespace that we are in.
pub(super) fn enter_network() -> io::Result<()> {
    let own = File::open("/proc/self/ns/net")?;
    Ok(setns(own, CloneFlags::CLONE_NEWNET)?)
}
