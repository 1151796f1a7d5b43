//! A program that holds many things that cannot be dumped: the survey names all of them at once, and leaves it alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lost;
mod refused;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const VICTIM: &str = r"
import fcntl, os, socket, sys, time
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
accepted = server.accept()
held = [client, open('/dev/fuse', 'rb'), os.pidfd_open(1), open(sys.argv[1], 'w')]
fcntl.flock(held[3], fcntl.LOCK_EX)
print('ready', flush=True)
time.sleep(600)
";

struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(file: &std::path::Path) -> Victim {
    let mut command = Command::new("setsid");
    command.args(["python3", "-c", VICTIM]).arg(file).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut victim = Victim(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(victim.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    victim
}

#[test]
fn every_blocker_is_named_at_once_as_text_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let victim = start(&dir.path().join("locked"));
    let pid = victim.0.id().to_string();
    let survey = |json: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crio"));
        command.args(["dump", "--no-default-config", "--dry-run", "-t", &pid, "-D"]).arg(dir.path());
        let output = command.args(json.then_some("--json")).output().unwrap();
        assert!(!output.status.success());
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (out, err) = survey(false);
    let text = out + &err;
    let named = ["E-SOCKET-CONNECTED", "FUSE", "E-PIDFD-OUTSIDE", "E-FILE-LOCKED"];
    for what in named {
        assert!(text.contains(what), "{what} is missing: {text}");
    }
    assert!(text.contains("cannot be dumped; the tree was left alone"), "{text}");
    let report: serde_json::Value = serde_json::from_str(&survey(true).0).unwrap();
    let blockers = report["blockers"].as_array().unwrap();
    assert_eq!(report["ok"], false);
    assert!(blockers.len() >= named.len(), "{report}");
    assert!(blockers.iter().any(|blocker| blocker["code"] == "E-FILE-LOCKED"), "{report}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a survey writes nothing");
}
