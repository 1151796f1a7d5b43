//! A restore that fails or is killed leaves no process and no file, and can be repeated.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use engine::image::message::{CoreEntry, Machine, MmEntry};
use engine::image::{ImageDir, Kind};
use engine::resource::task::registers::machine;
use nix::sys::signal::SIGKILL;

use crate::command::{LIMIT, crio, dump, run, run_when_free, script, with_fault};
use crate::victim::{Victim, await_gone, names, state};

fn restore(dir: &Path) -> Command {
    crio("restore -d --pidfile pid", dir)
}

/// A victim that was dumped and is gone, with its pids.
fn dumped(images: &Path) -> (Victim, Vec<i32>) {
    // A stranger may take the number of a pair of terminals meanwhile.
    let mut victim = Victim::start("no-terminal");
    let pids = victim.pids();
    run(dump(victim.pid(), "", images)).succeeded("dump");
    victim.reap();
    await_gone(&pids, "after the dump");
    (victim, pids)
}

#[test]
fn a_restore_that_fails_at_any_point_leaves_nothing_and_can_be_repeated() {
    let images = tempfile::tempdir().unwrap();
    let (mut victim, pids) = dumped(images.path());
    let (files, before) = (victim.files(), names(images.path()));
    for point in engine::fault::RESTORE {
        let outcome = run_when_free(|| with_fault(restore(images.path()), point));
        outcome.refused("E-FAULT", point);
        assert!(outcome.stderr.contains(point), "{}", outcome.stderr);
        await_gone(&pids, point);
        assert_eq!((victim.files(), names(images.path())), (files.clone(), before.clone()), "{point}");
    }
    run_when_free(|| restore(images.path())).succeeded("the restore after all the failures");
    assert_eq!(fs::read_to_string(images.path().join("pid")).unwrap(), victim.pid().to_string());
    victim.check("restored");
}

#[test]
fn a_restore_killed_at_any_point_leaves_no_process_and_can_be_repeated() {
    let images = tempfile::tempdir().unwrap();
    let (mut victim, pids) = dumped(images.path());
    let files = victim.files();
    for point in engine::fault::RESTORE {
        let outcome = run_when_free(|| with_fault(restore(images.path()), &format!("{point}:kill")));
        assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{point}: {outcome:?}");
        await_gone(&pids, point);
        assert_eq!(victim.files(), files, "{point}");
    }
    run_when_free(|| restore(images.path())).succeeded("the restore after all the kills");
    victim.check("restored");
}

/// The tasks are let go one by one, but by a process that a SIGKILL of `crio` does not reach.
#[test]
fn a_restore_killed_while_it_lets_go_is_complete() {
    let images = tempfile::tempdir().unwrap();
    let (mut victim, _) = dumped(images.path());
    let fault = format!("{}:kill", engine::fault::HALF_LET_GO);
    let outcome = run_when_free(|| with_fault(restore(images.path()), &fault));
    assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{outcome:?}");
    victim.check("restored");
}

/// Between its completion and its start a task can be killed as any other: the others must not run without it.
#[test]
fn a_restore_of_which_a_task_is_killed_at_the_last_moment_fails_whole() {
    let images = tempfile::tempdir().unwrap();
    let (mut victim, pids) = dumped(images.path());
    let last = pids.last().unwrap();
    let text = format!("if [ $CRTOOLS_SCRIPT_ACTION = pre-resume ]; then kill -9 {last}; fi");
    let script = script(images.path(), &text);
    let words = format!("restore -d --action-script {}", script.display());
    run_when_free(|| crio(&words, images.path())).refused("E-TASK-GONE", "killed by the last script");
    await_gone(&pids, "killed by the last script");
    run_when_free(|| restore(images.path())).succeeded("the restore after the kills");
    victim.check("restored");
}

/// A sibling has another parent, whose death is not ours.
#[test]
fn a_killed_restore_leaves_no_sibling() {
    let images = tempfile::tempdir().unwrap();
    let (_victim, pids) = dumped(images.path());
    for point in ["root-forked", "tree-populated", "before-letting-go"] {
        let command =
            || with_fault(crio("restore -d --restore-sibling", images.path()), &format!("{point}:kill"));
        let outcome = run_when_free(command);
        assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{point}: {outcome:?}");
        await_gone(&pids, point);
        // It is a child of ours now, and nobody else can fetch it.
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pids[0]), None);
    }
}

#[test]
fn a_pid_in_use_is_named_with_its_owner_before_anything_is_made() {
    let mut victim = Victim::start("");
    let images = tempfile::tempdir().unwrap();
    run(dump(victim.pid(), "--leave-running", images.path())).succeeded("dump");
    let (before, files) = (victim.look(), names(images.path()));
    let comm = fs::read_to_string(format!("/proc/{}/comm", victim.pid())).unwrap();
    let outcome = run(restore(images.path()));
    outcome.refused("E-PID-IN-USE", "all pids");
    for pid in victim.pids() {
        assert!(outcome.stderr.contains(&format!("pid {pid}")), "{}", outcome.stderr);
    }
    assert!(outcome.stderr.contains(comm.trim()), "{}", outcome.stderr);
    assert_eq!((victim.look(), names(images.path())), (before, files));
    victim.check("after the refusal");
}

/// Nothing of it can run here, and the reason must not be whatever is found first.
#[test]
fn a_tree_of_another_machine_is_refused_as_such() {
    let images = tempfile::tempdir().unwrap();
    let (victim, pids) = dumped(images.path());
    let dir = ImageDir::open(images.path()).unwrap();
    let other = if machine() == Machine::Mips { Machine::X86_64 } else { Machine::Mips };
    for kind in dir.kinds().unwrap().into_iter().filter(|kind| matches!(kind, Kind::Core(_))) {
        let core: CoreEntry = dir.require(kind).unwrap();
        dir.write_one(kind, &CoreEntry { mtype: other as i32, ..core }).unwrap();
    }
    let before = (victim.files(), names(images.path()));
    let outcome = run_when_free(|| restore(images.path()));
    outcome.refused("E-OTHER-MACHINE", "another machine");
    assert!(outcome.stderr.contains(&format!("was dumped on {other:?}")), "{}", outcome.stderr);
    await_gone(&pids, "another machine");
    assert_eq!((victim.files(), names(images.path())), before);
}

/// The program has its own idea of a page, and all addresses in the images are multiples of it.
#[test]
fn a_tree_with_pages_of_another_size_is_refused_as_such() {
    let images = tempfile::tempdir().unwrap();
    let (victim, pids) = dumped(images.path());
    let dir = ImageDir::open(images.path()).unwrap();
    for kind in dir.kinds().unwrap().into_iter().filter(|kind| matches!(kind, Kind::Mm(_))) {
        let mut mm: MmEntry = dir.require(kind).unwrap();
        let page = mm.page_size();
        mm.mm_saved_auxv.iter_mut().filter(|word| **word == page).for_each(|word| *word *= 4);
        assert_eq!(mm.page_size(), 4 * page);
        dir.write_one(kind, &mm).unwrap();
    }
    let before = (victim.files(), names(images.path()));
    let outcome = run_when_free(|| restore(images.path()));
    outcome.refused("E-PAGE-SIZE", "another page size");
    await_gone(&pids, "another page size");
    assert_eq!((victim.files(), names(images.path())), before);
}

/// A link that the dump has made for a file with a hidden name is there until a restore succeeds.
#[test]
fn links_of_a_dump_stay_until_a_restore_succeeds() {
    let place = tempfile::tempdir().unwrap();
    let (file, other) = (place.path().join("file"), place.path().join("other"));
    fs::write(&file, "text").unwrap();
    fs::hard_link(&file, &other).unwrap();
    let mut child = Command::new("setsid");
    child.args(["sleep", "1000"]).stdin(fs::File::open(&file).unwrap());
    child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = child.spawn().unwrap();
    let pid = child.id() as i32;
    let deadline = Instant::now() + LIMIT;
    while fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() != "sleep\n" {
        assert!(Instant::now() < deadline, "setsid does not execute");
    }
    fs::remove_file(&file).unwrap();
    let images = tempfile::tempdir().unwrap();
    let failing = with_fault(dump(pid, "--link-remap", images.path()), "before-inventory");
    run(failing).refused("E-FAULT", "a failing dump");
    assert_eq!(names(place.path()), ["other"], "a failing dump removes its link");
    run(dump(pid, "--link-remap", images.path())).succeeded("dump");
    child.wait().unwrap();
    assert_eq!(names(place.path()).len(), 2);
    for point in ["files-opened", "before-letting-go"] {
        run_when_free(|| with_fault(restore(images.path()), point)).refused("E-FAULT", point);
        assert_eq!(names(place.path()).len(), 2, "{point}");
        await_gone(&[pid], point);
    }
    run_when_free(|| restore(images.path())).succeeded("restore");
    assert_eq!(names(place.path()), ["other"]);
    assert!(state(pid).is_some());
    crate::victim::send(pid, SIGKILL);
    await_gone(&[pid], "at the end");
}

/// Its image has no queue and no number of the connection.
#[test]
fn a_connection_that_was_dumped_closed_is_refused_as_such() {
    const PAIR: &str = r"
import socket, time
server = socket.create_server(('127.0.0.1', 0))
client, served = socket.create_connection(server.getsockname()), server.accept()
print('ready', flush=True)
time.sleep(600)
";
    let mut pair = Command::new("setsid");
    pair.args(["python3", "-c", PAIR]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut pair = pair.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(pair.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (pid, images) = (pair.id() as i32, tempfile::tempdir().unwrap());
    run(dump(pid, "--tcp-close", images.path())).succeeded("dump");
    pair.wait().unwrap();
    for words in ["restore -d", "restore -d --tcp-established"] {
        let outcome = run_when_free(|| crio(words, images.path()));
        outcome.refused("E-SOCKET-CONNECTED", words);
        assert!(outcome.stderr.contains("add --tcp-close"), "{}", outcome.stderr);
    }
    run_when_free(|| crio("restore -d --tcp-close", images.path())).succeeded("restore");
    crate::victim::send(pid, SIGKILL);
    await_gone(&[pid], "at the end");
}
