//! What becomes impossible to dump between survey and freeze is refused all the same, and an image of before stays good;
//! but for what passes in a moment.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{SIGKILL, SIGUSR1, SIGUSR2};

use crate::command::{dump, run, start, with_fault};
use crate::victim::{Victim, await_state, send};

/// What `changes.c` does, and the code of the refusal.
const CHANGES: [(&str, &str); 5] = [
    ("namespace", "E-NAMESPACE"),
    ("namespace-of-children", "E-NAMESPACE"),
    ("namespace-of-thread", "E-NAMESPACE"),
    ("table-of-thread", "E-SHARED-TABLE"),
    ("end-of-leader", "E-ZOMBIE-THREAD"),
];

/// A running `changes.c`; dropped, it is killed.
struct Changing {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Changing {
    fn start(program: &Path, change: &str) -> Self {
        let mut child =
            Command::new(program).arg(change).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut changing = Changing { child, lines };
        changing.says("ready", change);
        changing
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn says(&mut self, word: &str, context: &str) {
        assert_eq!(self.lines.next().unwrap().unwrap(), word, "{context}");
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn compile(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/changes.c");
    let program = dir.join("changes");
    let mut command = Command::new("cc");
    let status = command.args(["-O1", "-pthread", "-o"]).arg(&program).arg(source).status().unwrap();
    assert!(status.success(), "changes.c does not compile");
    program
}

#[test]
fn what_changes_after_the_survey_is_refused_by_the_dump() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path());
    for (change, code) in CHANGES {
        let mut victim = Changing::start(&program, change);
        let images = tempfile::tempdir().unwrap();
        let mut crio = start(with_fault(dump(victim.pid(), "", images.path()), "surveyed:wait"));
        crio.await_point();
        send(victim.pid(), SIGUSR1);
        victim.says("changed", change);
        if change == "end-of-leader" {
            await_state(victim.pid(), 'Z', change);
        }
        crio.go_on();
        crio.finish().refused(code, change);
        assert!(!images.path().join("inventory.img").exists(), "{change}");
        send(victim.pid(), SIGUSR2);
        victim.says("good", change);
    }
}

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Whoever dumps again what has ended meanwhile, into the same directory, keeps the image that is there.
#[test]
fn a_root_that_has_ended_does_not_spoil_an_image() {
    let victim = Victim::start("alone no-terminal");
    let images = tempfile::tempdir().unwrap();
    run(dump(victim.pid(), "--leave-running", images.path())).succeeded("the first dump");
    let good = content(images.path());
    let mut crio = start(with_fault(dump(victim.pid(), "", images.path()), "surveyed:wait"));
    crio.await_point();
    send(victim.pid(), SIGKILL);
    await_state(victim.pid(), 'Z', "killed");
    crio.go_on();
    crio.finish().refused("E-TASK-GONE", "it ends before the freeze");
    assert!(content(images.path()) == good, "the freeze has touched the image");
    run(dump(victim.pid(), "", images.path())).refused("E-TASK-GONE", "it has ended before");
    assert!(content(images.path()) == good, "the survey has touched the image");
}

/// Nobody takes a connection that comes when the tree stands still. It would be reset.
#[test]
fn a_connection_that_waits_in_the_freeze_is_let_in_before_the_end() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let mut victim = Victim::of("accepts", &free.port().to_string());
    let images = tempfile::tempdir().unwrap();
    let mut crio = start(with_fault(dump(victim.pid(), "--tcp-close", images.path()), "frozen:wait"));
    crio.await_point();
    let mut client = TcpStream::connect(free).unwrap();
    // As of a task that ends before the second attempt.
    let stale = images.path().join("core-1.img");
    std::fs::write(&stale, "").unwrap();
    crio.go_on();
    crio.finish().succeeded("the dump");
    assert!(!stale.exists(), "what the first attempt has written");
    victim.reap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "the connection was closed");
}
