//! `crio dump --dry-run`: all that stands in the way, at once.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::running::{Running, crio, wait_until};

const HOLDER: &str = "
import fcntl, os, select, socket, sys, time
kept = [socket.socket(), select.epoll(), open(sys.argv[1], 'w')]
kept.append(os.eventfd(0) if hasattr(os, 'eventfd') else select.epoll())
fcntl.flock(kept[2], fcntl.LOCK_EX)
os.mkdir(sys.argv[1] + '.ready')
time.sleep(1000)
";

fn holder(directory: &TempDir) -> (Child, Running) {
    let file = directory.path().join("locked");
    let mut command = Command::new("setsid");
    command.args(["python3", "-c", HOLDER]).arg(&file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let running = Running(child.id() as i32);
    wait_until("the program", || directory.path().join("locked.ready").exists());
    (child, running)
}

/// Which kinds are supported changes with time: what is told is compared with what a dump then does.
#[test]
fn every_blocker_is_listed_and_the_dump_agrees() {
    let directory = TempDir::new().unwrap();
    let (mut child, running) = holder(&directory);
    let survey = crio(&format!("dump --dry-run --json -t {}", running.0));
    let json: serde_json::Value = serde_json::from_slice(&survey.stdout).unwrap();
    let blockers = json["blockers"].as_array().unwrap();
    assert_eq!(json["ok"], blockers.is_empty());
    assert_eq!(survey.status.success(), blockers.is_empty());

    let text = crio(&format!("dump --dry-run -t {}", running.0));
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for blocker in blockers {
        assert!(text.contains(blocker["code"].as_str().unwrap()), "{blocker} is not in {text}");
    }
    assert_eq!(text.matches("error[").count(), blockers.len(), "{text}");

    let images = TempDir::new().unwrap();
    let dump = crio(&format!("dump -R -D {} -t {}", images.path().display(), running.0));
    assert_eq!(dump.status.success(), blockers.is_empty(), "{}", String::from_utf8_lossy(&dump.stderr));
    assert_eq!(String::from_utf8_lossy(&dump.stderr).matches("error[").count(), blockers.len());
    assert!(
        dump.status.success() || std::fs::read_dir(images.path()).unwrap().next().is_none(),
        "something was written"
    );
    drop(running);
    child.wait().unwrap();
}

#[test]
fn a_task_that_is_not_there_is_named() {
    let output = crio("dump --dry-run -t 4194304");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("4194304"));
}
