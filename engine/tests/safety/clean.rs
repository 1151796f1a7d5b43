//! What a killed dump leaves, `crio clean` finds and removes; what somebody needs, it does not.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use engine::resource::socket::network_lock;
use nix::sys::signal::SIGKILL;
use serde_json::Value;

use crate::command::{LIMIT, crio, dump, run, run_when_free, start, with_fault};
use crate::victim::{await_gone, names, send, state};

/// Has a connection to itself, and a file whose known name is gone while another one is there; says of the connection, at
/// every SIGUSR1, whether it is good.
const PROGRAM: &str = "
import os, signal, socket, threading
listener = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(listener.getsockname())
server = listener.accept()[0]
listener.close()
file = open('known', 'w+')
os.link('known', 'other')
os.unlink('known')
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
threading.Thread(target=signal.pause, daemon=True).start()
print('good', flush=True)
while signal.sigwait([signal.SIGUSR1]):
    client.send(b'x')
    print('good' if server.recv(1) == b'x' else 'bad', flush=True)
";

/// What the dump of it needs.
const WORDS: &str = "--tcp-established --link-remap";

/// The program in a directory of its own; dropped, it is killed.
struct Connected {
    child: Child,
    place: tempfile::TempDir,
    answers: usize,
}

impl Connected {
    fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let output = fs::File::create(place.path().join("output")).unwrap();
        let mut command = Command::new("setsid");
        command.args(["python3", "-c", PROGRAM]).current_dir(&place).stdin(Stdio::null()).stdout(output);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut program = Connected { child, place, answers: 0 };
        program.await_answer("at its start");
        program
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn check(&mut self, context: &str) {
        send(self.pid(), nix::sys::signal::SIGUSR1);
        self.await_answer(context);
    }

    fn await_answer(&mut self, context: &str) {
        self.answers += 1;
        let deadline = Instant::now() + LIMIT;
        let said = || fs::read_to_string(self.place.path().join("output")).unwrap();
        while said() != "good\n".repeat(self.answers) {
            assert!(Instant::now() < deadline, "{context}: it says {:?}", said());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until nothing is left of a dump that was killed.
    fn await_freedom(&self, context: &str) {
        let deadline = Instant::now() + LIMIT;
        let status = || fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        while !status().contains("TracerPid:\t0\n") {
            assert!(Instant::now() < deadline, "{context}: it is held");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn links(&self) -> Vec<String> {
        names(self.place.path()).into_iter().filter(|name| name.starts_with("link_remap.")).collect()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), SIGKILL);
        let _ = self.child.wait();
    }
}

/// The locks of dumps into this directory.
fn locks(dir: &Path) -> Vec<network_lock::Found> {
    let end = format!(" into {}", dir.display());
    let is_its = |lock: &network_lock::Found| lock.about.as_ref().is_some_and(|about| about.ends_with(&end));
    network_lock::list().unwrap().into_iter().filter(is_its).collect()
}

/// What `crio clean` tells of all but other directories: kind and state.
fn clean(words: &str, dir: &Path) -> Vec<(String, String)> {
    let output = crio(&format!("clean --json {words}"), dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["command"], &report["ok"]), (&"clean".into(), &true.into()));
    let ours = locks(dir).into_iter().map(|lock| network_lock::name(&lock.run)).collect::<Vec<_>>();
    let told = report["findings"].as_array().unwrap().iter().filter_map(|finding| {
        let [what, name, state] =
            ["what", "name", "state"].map(|key| finding[key].as_str().unwrap().to_owned());
        (what != "network lock" || state != "kept" || ours.contains(&name)).then_some((what, state))
    });
    told.collect()
}

fn pair(what: &str, state: &str) -> (String, String) {
    (what.to_owned(), state.to_owned())
}

fn await_unlocked(dir: &Path, context: &str) {
    let deadline = Instant::now() + LIMIT;
    while !locks(dir).is_empty() {
        assert!(Instant::now() < deadline, "{context}: {:?}", locks(dir));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_dump_is_cleaned_up_whatever_it_has_left() {
    let mut victim = Connected::start();
    let images = tempfile::tempdir().unwrap();
    for point in engine::fault::DUMP {
        let fault = format!("{point}:kill");
        let outcome = run(with_fault(dump(victim.pid(), WORDS, images.path()), &fault));
        assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{point}: {outcome:?}");
        victim.await_freedom(point);
        let before = (names(images.path()), victim.links());
        let told = clean("--dry-run", images.path());
        assert!(told.iter().all(|(_, state)| state == "removable"), "{point}: {told:?}");
        assert_eq!((names(images.path()), victim.links()), before, "{point}");
        let removed = clean("", images.path());
        assert!(removed.iter().all(|(_, state)| state == "removed"), "{point}: {removed:?}");
        assert_eq!(removed.len(), told.len(), "{point}");
        assert!(names(images.path()).is_empty(), "{point}: {:?}", names(images.path()));
        assert!(victim.links().is_empty(), "{point}: {:?}", victim.links());
        await_unlocked(images.path(), point);
        assert!(clean("", images.path()).is_empty(), "{point}");
        victim.check(point);
    }
}

/// It has taken back what it has made elsewhere, but for its images.
#[test]
fn images_of_a_failed_dump_are_removed() {
    let mut victim = Connected::start();
    let images = tempfile::tempdir().unwrap();
    run(with_fault(dump(victim.pid(), WORDS, images.path()), "before-end")).refused("E-FAULT", "a failure");
    assert!(victim.links().is_empty() && locks(images.path()).is_empty());
    assert_eq!(clean("", images.path()), [pair("images", "removed")]);
    assert!(names(images.path()).is_empty(), "{:?}", names(images.path()));
    victim.check("after the failure");
}

/// The next dump into the same directory does the same.
#[test]
fn a_dump_cleans_up_after_a_killed_one() {
    let mut victim = Connected::start();
    let images = tempfile::tempdir().unwrap();
    for point in ["collected", "pages-copied", "before-end"] {
        let fault = format!("{point}:kill");
        run(with_fault(dump(victim.pid(), WORDS, images.path()), &fault));
        victim.await_freedom(point);
        run(with_fault(dump(victim.pid(), WORDS, images.path()), "surveyed")).refused("E-FAULT", point);
        assert!(victim.links().is_empty(), "{point}: {:?}", victim.links());
        assert!(!names(images.path()).iter().any(|name| name.starts_with('.')), "{point}");
        victim.check(point);
    }
}

#[test]
fn a_complete_image_keeps_what_it_needs_until_it_is_given_up() {
    for point in engine::fault::DECIDED {
        let mut victim = Connected::start();
        let images = tempfile::tempdir().unwrap();
        let fault = format!("{point}:kill");
        let outcome = run(with_fault(dump(victim.pid(), WORDS, images.path()), &fault));
        assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{point}: {outcome:?}");
        await_gone(&[victim.pid()], point);
        victim.child.wait().unwrap();
        let kept = [pair("network lock", "kept"), pair("link", "kept")];
        assert_eq!(clean("", images.path()), kept, "{point}");
        assert_eq!((victim.links().len(), locks(images.path()).len()), (1, 1), "{point}");
        if point == "network-locked" {
            let given_up = ["network lock", "link", "images"];
            let removable = given_up.map(|what| pair(what, "removable"));
            assert_eq!(clean("--give-up --dry-run", images.path()), removable);
            let removed = given_up.map(|what| pair(what, "removed"));
            assert_eq!(clean("--give-up", images.path()), removed);
            assert_eq!((names(images.path()), victim.links()), (Vec::new(), Vec::new()));
        } else {
            run_when_free(|| crio("restore -d --tcp-established", images.path())).succeeded(point);
            victim.check(point);
            assert!(victim.links().is_empty(), "{point}");
            assert!(clean("", images.path()).is_empty(), "{point}");
        }
        await_unlocked(images.path(), point);
    }
}

/// The connections of an image that was deleted would be locked for ever.
#[test]
fn the_lock_of_a_deleted_image_can_be_given_up() {
    for whole in [false, true] {
        let mut victim = Connected::start();
        let images = tempfile::tempdir().unwrap().keep();
        run(dump(victim.pid(), WORDS, &images)).succeeded("dump");
        victim.child.wait().unwrap();
        fs::remove_dir_all(&images).unwrap();
        if !whole {
            fs::create_dir(&images).unwrap();
            assert_eq!(clean("", &images), [pair("network lock", "kept")]);
        }
        assert_eq!(clean("--give-up --dry-run", &images), [pair("network lock", "removable")]);
        assert_eq!(locks(&images).len(), 1);
        assert_eq!(clean("--give-up", &images), [pair("network lock", "removed")]);
        assert!(locks(&images).is_empty());
        let _ = fs::remove_dir(&images);
    }
}

/// Two dumps at work; `crio clean` in either directory, or in that of neither, changes nothing.
#[test]
fn a_dump_at_work_is_not_touched() {
    let (mut victim, mut other, idle) = (Connected::start(), Connected::start(), Connected::start());
    let [images, elsewhere, third] = [0; 3].map(|_| tempfile::tempdir().unwrap());
    let dumps = [(&victim, &images), (&other, &elsewhere)].map(|(victim, images)| {
        let mut crio = start(with_fault(dump(victim.pid(), WORDS, images.path()), "before-end:wait"));
        crio.await_point();
        crio
    });
    let seen = || {
        [(&victim, &images), (&other, &elsewhere)]
            .map(|(victim, images)| (names(images.path()), victim.links(), locks(images.path())))
    };
    let before = seen();
    assert!(before.iter().all(|(names, links, locks)| !names.is_empty() && links.len() + locks.len() == 2));
    for words in ["", "--dry-run", "--give-up"] {
        assert_eq!(clean(words, images.path()), [pair("images", "kept"), pair("network lock", "kept")]);
        assert!(clean(words, third.path()).is_empty());
    }
    assert_eq!(seen(), before);
    run(dump(idle.pid(), WORDS, images.path())).refused("E-IMAGES-BUSY", "a third dump");
    for mut crio in dumps {
        crio.go_on();
        crio.finish().succeeded("the end");
    }
    for (victim, images) in [(&mut victim, &images), (&mut other, &elsewhere)] {
        victim.child.wait().unwrap();
        run_when_free(|| crio("restore -d --tcp-established", images.path())).succeeded("restore");
        victim.check("restored");
    }
}

/// Somebody has killed the worker while it ended the tree: what is to become of that, only the user can tell.
#[test]
fn a_worker_killed_at_the_end_leaves_the_choice() {
    let mut victim = Connected::start();
    let images = tempfile::tempdir().unwrap();
    let mut crio = start(with_fault(dump(victim.pid(), WORDS, images.path()), "network-locked:wait"));
    crio.await_point();
    send(crio.stopped, SIGKILL);
    crio.finish().refused("E-WORKER-DIED", "killed at the end");
    assert!(matches!(state(victim.pid()), Some('S' | 'R')), "{:?}", state(victim.pid()));
    run(dump(victim.pid(), WORDS, images.path())).refused("E-DUMP-HALF-ENDED", "the next dump");
    assert!(clean("", images.path()).iter().all(|(_, state)| state == "kept"));
    assert_eq!((victim.links().len(), locks(images.path()).len()), (1, 1));
    let removed = clean("--give-up", images.path());
    assert!(removed.len() == 3 && removed.iter().all(|(_, state)| state == "removed"), "{removed:?}");
    assert_eq!((names(images.path()), victim.links()), (Vec::new(), Vec::new()));
    await_unlocked(images.path(), "given up");
    victim.check("given up");
}

/// Nothing tells whose they are.
#[test]
fn images_without_a_journal_are_told_and_kept() {
    let images = tempfile::tempdir().unwrap();
    let files: [PathBuf; 2] = ["pages-1.img", "mine"].map(|name| images.path().join(name));
    files.iter().for_each(|path| fs::write(path, "text").unwrap());
    assert_eq!(clean("--give-up", images.path()), [pair("images", "kept")]);
    assert!(files.iter().all(|path| path.exists()));
}
