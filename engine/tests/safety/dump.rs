//! A dump that fails or is killed at any of its points leaves the victim as it was.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{SIGCONT, SIGKILL, SIGSTOP, SIGURG, SIGUSR2};

use crate::command::{Outcome, dump, run, run_when_free, script, start, with_fault};
use crate::victim::{Victim, await_gone, await_state, names, send, state};

fn at(point: &str, effect: &str, pid: i32, dir: &Path) -> Outcome {
    run(with_fault(dump(pid, "", dir), &format!("{point}{effect}")))
}

fn killed_at(point: &str, victim: &Victim, dir: &Path) {
    let outcome = at(point, ":kill", victim.pid(), dir);
    assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{point}: {outcome:?}");
}

/// It takes a moment until nobody is left to take the inventory back.
fn await_no_image(dir: &Path, context: &str) {
    let deadline = Instant::now() + crate::command::LIMIT;
    while dir.join("inventory.img").exists() {
        assert!(Instant::now() < deadline, "{context} leaves an inventory");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_dump_that_fails_at_any_point_changes_nothing() {
    let mut victim = Victim::start("");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    for point in engine::fault::DUMP {
        let outcome = at(point, "", victim.pid(), images.path());
        outcome.refused("E-FAULT", point);
        assert!(outcome.stderr.contains(point), "{point}: {}", outcome.stderr);
        assert!(!images.path().join("inventory.img").exists(), "{point} leaves an inventory");
        assert_eq!(victim.look(), before, "{point}");
        victim.check(point);
    }
}

#[test]
fn a_misspelled_fault_is_an_error() {
    let mut victim = Victim::start("");
    let images = tempfile::tempdir().unwrap();
    at("nowhere", "", victim.pid(), images.path()).refused("E-FAULT-UNKNOWN", "no such point");
    at("frozen", ":burn", victim.pid(), images.path()).refused("E-FAULT-UNKNOWN", "no such effect");
    victim.check("a misspelled fault");
}

#[test]
fn a_dump_killed_at_any_point_changes_nothing() {
    let mut victim = Victim::start("");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    for point in engine::fault::DUMP {
        killed_at(point, &victim, images.path());
        victim.looks_like(&before, point);
        victim.check(point);
        await_no_image(images.path(), point);
    }
}

/// What was decided is undone, but for a failure that comes when the tree has ended.
#[test]
fn a_dump_that_fails_after_its_decision_changes_nothing() {
    let mut victim = Victim::start("");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    let [undone @ .., too_late] = engine::fault::DECIDED;
    for point in undone {
        at(point, "", victim.pid(), images.path()).refused("E-FAULT", point);
        assert!(!images.path().join("inventory.img").exists(), "{point} leaves an inventory");
        assert_eq!(victim.look(), before, "{point}");
        victim.check(point);
    }
    at(too_late, "", victim.pid(), images.path()).succeeded(too_late);
}

/// The tree ends as a whole, and what there is then can be restored.
#[test]
fn a_dump_killed_after_its_decision_is_complete() {
    for point in engine::fault::DECIDED {
        let mut victim = Victim::start("no-terminal");
        let images = tempfile::tempdir().unwrap();
        let pids = victim.pids();
        killed_at(point, &victim, images.path());
        await_gone(&pids, point);
        victim.reap();
        run_when_free(|| crate::command::crio("restore -d", images.path())).succeeded(point);
        victim.check(point);
    }
}

/// Somebody else's SIGKILL for the process that works: whoever has called is told, and nothing but an image is missing.
#[test]
fn a_dump_whose_worker_is_killed_is_an_error() {
    let mut victim = Victim::start("");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    for point in ["frozen", "collected", "before-inventory"] {
        let mut crio = start(with_fault(dump(victim.pid(), "", images.path()), &format!("{point}:wait")));
        crio.await_point();
        assert_ne!(crio.stopped, crio.pid(), "{point}");
        send(crio.stopped, SIGKILL);
        crio.finish().refused("E-WORKER-DIED", point);
        victim.looks_like(&before, point);
        victim.check(point);
    }
}

/// A script that holds up the end, and kills who has called for it.
#[test]
fn a_dump_whose_caller_dies_under_its_last_script_is_given_up() {
    let mut victim = Victim::start("");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    // The script's parent is the worker, and that one's parent crio.
    let text = "[ $CRTOOLS_SCRIPT_ACTION = post-dump ] || exit 0
        read -r _ _ _ crio _ </proc/$PPID/stat
        kill -9 $crio
        while kill -0 $crio 2>/dev/null; do sleep 0.01; done";
    let script = script(images.path(), text);
    let command = dump(victim.pid(), &format!("--action-script {}", script.display()), images.path());
    let outcome = run(command);
    assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{outcome:?}");
    victim.looks_like(&before, "after the script");
    await_no_image(images.path(), "the script");
    victim.check("after the script");
}

/// A victim that handles every signal leaves none to report the end of a batch.
#[test]
fn a_victim_of_all_signals_survives_too() {
    let mut victim = Victim::start("catch-all");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    for point in engine::fault::DUMP {
        at(point, "", victim.pid(), images.path()).refused("E-FAULT", point);
        assert_eq!(victim.look(), before, "{point}");
        killed_at(point, &victim, images.path());
        victim.looks_like(&before, point);
        victim.check(point);
    }
}

/// Its seccomp filters kill it at any call that it does not make itself: all those that we have it make, those by which
/// it frees itself of us, and the one by which an interrupted sleep goes on.
#[test]
fn a_victim_of_narrow_filters_survives_too() {
    let mut victim = Victim::start("confined");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    for point in engine::fault::DUMP {
        at(point, "", victim.pid(), images.path()).refused("E-FAULT", point);
        assert_eq!(victim.look(), before, "{point}");
        victim.check(point);
        killed_at(point, &victim, images.path());
        victim.looks_like(&before, point);
        victim.check(point);
    }
    run(dump(victim.pid(), "--leave-running", images.path())).succeeded("at the end");
    assert_eq!(victim.look(), before);
    victim.check("after its dump");
}

/// It cannot clean up before it is continued, but stays stopped until then, and can be dumped again meanwhile.
#[test]
fn a_stopped_victim_stays_stopped() {
    let mut victim = Victim::start("");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    let pids = victim.pids();
    for point in engine::fault::DUMP {
        pids.iter().for_each(|pid| send(*pid, SIGSTOP));
        pids.iter().for_each(|pid| await_state(*pid, 'T', point));
        at(point, "", victim.pid(), images.path()).refused("E-FAULT", point);
        pids.iter().for_each(|pid| await_state(*pid, 'T', point));
        assert_eq!(victim.look(), before, "{point}");
        killed_at(point, &victim, images.path());
        pids.iter().for_each(|pid| await_state(*pid, 'T', point));
        run(dump(victim.pid(), "--leave-running", images.path())).succeeded(point);
        pids.iter().for_each(|pid| await_state(*pid, 'T', point));
        assert_eq!(victim.look(), before, "{point}: a second dump sees what the first has left");
        pids.iter().for_each(|pid| send(*pid, SIGCONT));
        victim.looks_like(&before, point);
        victim.check(point);
    }
}

/// Points at which the victim stands still, and what is in it of ours; at one of them it works for us. It has threads, so
/// that its end shows only when these have been reaped.
const HELD: [&str; 7] = [
    "frozen",
    "registers-changed",
    "area-mapped",
    "batch-started",
    "thread-switched",
    "loan-ended",
    "collected",
];

#[test]
fn a_victim_that_is_killed_midway_is_an_error() {
    for (point, root) in HELD.into_iter().flat_map(|point| [(point, true), (point, false)]) {
        let mut victim = Victim::start("");
        let images = tempfile::tempdir().unwrap();
        let pids = victim.pids();
        let mut crio = start(with_fault(dump(victim.pid(), "", images.path()), &format!("{point}:wait")));
        crio.await_point();
        let killed = if root { pids.first() } else { pids.last() };
        send(*killed.unwrap(), SIGKILL);
        crio.go_on();
        let outcome = crio.finish();
        assert_eq!(outcome.status.code(), Some(1), "{point}, root {root}: {outcome:?}");
        assert!(outcome.stderr.contains("error[E-TASK-GONE]"), "{point}, root {root}: {}", outcome.stderr);
        assert!(!images.path().join("inventory.img").exists(), "{point}");
        if root {
            victim.reap();
        } else {
            assert!(
                matches!(state(victim.pid()), Some('S' | 'R' | 'D')),
                "{point}: {:?}",
                state(victim.pid())
            );
        }
    }
}

/// Between survey and freeze it may become anything; what is then dumped is what is then there.
#[test]
fn a_victim_that_executes_midway_is_dumped_as_what_it_is() {
    let victim = Victim::start("alone");
    let images = tempfile::tempdir().unwrap();
    let command = dump(victim.pid(), "--leave-running", images.path());
    let mut crio = start(with_fault(command, "surveyed:wait"));
    crio.await_point();
    send(victim.pid(), SIGUSR2);
    await_sleep(victim.pid());
    crio.go_on();
    crio.finish().succeeded("exec");
    assert!(is_of_sleep(victim.pid(), images.path()));
    assert_eq!(victim.look(), victim.look());
}

/// Waits until the process executes sleep(1).
fn await_sleep(pid: i32) {
    let comm = format!("/proc/{pid}/comm");
    let deadline = std::time::Instant::now() + crate::command::LIMIT;
    while std::fs::read_to_string(&comm).unwrap() != "sleep\n" {
        assert!(std::time::Instant::now() < deadline, "the victim does not execute");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn is_of_sleep(pid: i32, images: &Path) -> bool {
    let core = std::fs::read(images.join(format!("core-{pid}.img"))).unwrap();
    core.windows(5).any(|bytes| bytes == b"sleep")
}

/// A thread that executes a program waits until those that it ends are reaped, with a lock that PTRACE_SEIZE waits for;
/// then it has the id of one that was frozen.
#[test]
fn a_thread_that_executes_while_others_are_frozen_is_dumped_as_what_it_is() {
    let victim = Victim::of("executes", "");
    let images = tempfile::tempdir().unwrap();
    let command = dump(victim.pid(), "--leave-running", images.path());
    let mut crio = start(with_fault(command, "threads-seized:wait"));
    crio.await_point();
    send(victim.pid(), SIGUSR2);
    await_state(victim.pid(), 'Z', "executing");
    crio.go_on();
    crio.finish().succeeded("exec in the freeze");
    assert!(is_of_sleep(victim.pid(), images.path()));
    await_sleep(victim.pid());
}

/// The same when it is let go while others are not.
#[test]
fn a_thread_that_executes_before_others_are_let_go_goes_on() {
    let victim = Victim::of("executes", "");
    let images = tempfile::tempdir().unwrap();
    let command = dump(victim.pid(), "--leave-running", images.path());
    let mut crio = start(with_fault(command, &format!("{}:wait", engine::fault::HALF_RELEASED)));
    crio.await_point();
    send(victim.pid(), SIGUSR2);
    await_state(victim.pid(), 'Z', "executing");
    crio.go_on();
    crio.finish().succeeded("exec at the end");
    await_sleep(victim.pid());
    await_state(victim.pid(), 'S', "executed");
}

/// Executing all the time, at whatever moment of the dump: an answer, in time, and the program goes on.
#[test]
fn a_victim_that_keeps_executing_is_dumped_or_refused() {
    let place = tempfile::tempdir().unwrap();
    let script = place.path().join("again");
    std::fs::write(&script, "exec sh \"$0\"\n").unwrap();
    let mut shell = std::process::Command::new("setsid").arg("sh").arg(&script).spawn().unwrap();
    let pid = shell.id() as i32;
    for round in 0..15 {
        let images = tempfile::tempdir().unwrap();
        let outcome = run(dump(pid, "--leave-running", images.path()));
        let answered = outcome.status.success()
            || outcome.status.code() == Some(1) && outcome.stderr.contains("error[E-");
        assert!(answered && !outcome.stderr.contains("E-BUG"), "round {round}: {outcome:?}");
        assert_eq!(outcome.status.success(), images.path().join("inventory.img").exists());
        assert!(shell.try_wait().unwrap().is_none(), "round {round}: the victim has ended");
    }
    shell.kill().unwrap();
    shell.wait().unwrap();
    await_gone(&[pid], "at the end");
}

/// A terminal's input can only be read by taking it. Who does that outlives crio, and puts it back.
#[test]
fn unread_input_is_put_back_although_crio_is_killed() {
    let mut victim = Victim::start("");
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    let fault = format!("{}:wait", engine::fault::TERMINAL_TAKEN);
    let mut crio = start(with_fault(dump(victim.pid(), "", images.path()), &fault));
    crio.await_point();
    let survivor = std::mem::take(&mut crio.stopped);
    crio.child.kill().unwrap();
    assert_eq!(crio.finish().status.signal(), Some(SIGKILL as i32));
    send(survivor, SIGCONT);
    await_gone(&[survivor], "the survivor");
    victim.looks_like(&before, "after the survivor");
    victim.check("after the survivor");
}

/// The pending signals of each thread, and of the process, as /proc shows them.
fn pending(pid: i32) -> Vec<String> {
    let mut all = Vec::new();
    for tid in names(Path::new(&format!("/proc/{pid}/task"))) {
        let status = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap();
        all.extend(
            status.lines().filter(|l| l.starts_with("SigPnd") || l.starts_with("ShdPnd")).map(str::to_owned),
        );
    }
    all
}

/// Whoever blocks a signal may wait for it, also for one that has no effect otherwise.
#[test]
fn pending_signals_stay_whatever_tells_the_end_of_our_work() {
    let victim = Victim::of("pending", "");
    let (pid, images) = (victim.pid(), tempfile::tempdir().unwrap());
    let before = pending(pid);
    run(dump(pid, "--leave-running", images.path())).succeeded("dump");
    assert_eq!(pending(pid), before, "pending at the dump");
    let command = dump(pid, "--leave-running", images.path());
    let mut crio = start(with_fault(command, "batch-started:wait"));
    crio.await_point();
    send(pid, SIGURG);
    crio.go_on();
    crio.finish().succeeded("a signal at work");
    let urgent = format!("ShdPnd:\t{:016x}", 1 << (SIGURG as i32 - 1));
    assert!(pending(pid).contains(&urgent), "{:?}", pending(pid));
}

/// SIGSTOP and SIGCONT act at once; what is restored later is as the victim was when it was ended.
#[test]
fn a_victim_that_is_stopped_or_continued_in_the_freeze_is_restored_so() {
    for (stop_before, sent, restored) in [(false, SIGSTOP, 'T'), (true, SIGCONT, 'S')] {
        let mut victim = Victim::of("pending", "");
        let (pid, images) = (victim.pid(), tempfile::tempdir().unwrap());
        if stop_before {
            send(pid, SIGSTOP);
            await_state(pid, 'T', "before");
        }
        let mut crio = start(with_fault(dump(pid, "", images.path()), "frozen:wait"));
        crio.await_point();
        send(pid, sent);
        crio.go_on();
        crio.finish().succeeded("dump");
        victim.reap();
        run(crate::command::crio("restore -d", images.path())).succeeded("restore");
        await_state(pid, restored, "restored");
    }
}
