//! A program whose page faults are handled by a thread of its own: what fails or is killed leaves it as it was, too.

use std::os::unix::process::ExitStatusExt;

use engine::fault::{DUMP, PAGE_REGISTERED, RESTORE};
use nix::sys::signal::SIGKILL;

use crate::command::{crio, dump, run, with_fault};
use crate::victim::{Victim, await_gone};

#[test]
fn a_dump_that_fails_or_is_killed_leaves_its_memory_served() {
    let mut victim = Victim::of("served", "");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    for point in DUMP.into_iter().chain([PAGE_REGISTERED]) {
        let at = |effect: &str| {
            run(with_fault(dump(victim.pid(), "", images.path()), &format!("{point}{effect}")))
        };
        at("").refused("E-FAULT", point);
        assert_eq!(victim.look(), before, "{point}");
        let outcome = at(":kill");
        assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{point}: {outcome:?}");
        victim.looks_like(&before, point);
        victim.check(point);
    }
}

#[test]
fn a_restore_that_fails_leaves_nothing_and_can_be_repeated() {
    let mut victim = Victim::of("served", "");
    let images = tempfile::tempdir().unwrap();
    let pids = victim.pids();
    run(dump(victim.pid(), "", images.path())).succeeded("dump");
    victim.reap();
    await_gone(&pids, "after the dump");
    let restore = || crio("restore -d", images.path());
    // It has one process and no objects of IPC.
    for point in RESTORE.into_iter().filter(|point| !matches!(*point, "ipc-made" | "child-born")) {
        run(with_fault(restore(), point)).refused("E-FAULT", point);
        await_gone(&pids, point);
    }
    run(restore()).succeeded("the restore after all the failures");
    victim.check("restored");
}
