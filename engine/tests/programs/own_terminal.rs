//! A tree with a terminal of its own, both ends of the pair in it, which its session has opened as /dev/tty too.

use std::process::{Command, Stdio};

use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::running::{Running, crio_succeeds, wait_until};

/// The child counts on /dev/tty; the parent copies the master to a file.
const PROGRAM: &str = "
import os, pty, sys, time
# The kernel gives out the lowest free number: a high one stays free between dump and restore.
held = [fd for pair in range(64) for fd in os.openpty()]
pid, master = pty.fork()
for fd in held:
    os.close(fd)
if pid == 0:
    terminal = open('/dev/tty', 'w')
    number = 0
    while True:
        print(number, file=terminal, flush=True)
        number += 1
        time.sleep(0.02)
with open(sys.argv[1], 'ab', buffering=0) as file:
    while True:
        file.write(os.read(master, 4096))
";

#[test]
fn what_is_written_to_dev_tty_arrives_without_a_gap() {
    let directory = TempDir::new().unwrap();
    let shown = directory.path().join("shown");
    let mut command = Command::new("setsid");
    command.args(["python3", "-c", PROGRAM]).arg(&shown);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let program = Running(command.spawn().unwrap().id() as i32);
    let lines = || std::fs::read_to_string(&shown).unwrap_or_default().lines().count();
    wait_until("the first numbers", || lines() > 3);
    let images = directory.path().display();
    crio_succeeds(&format!("dump -D {images} -t {}", program.0));
    waitpid(Pid::from_raw(program.0), None).unwrap();
    let before = lines();
    crio_succeeds(&format!("restore -D {images} -d"));
    wait_until("more numbers", || lines() > before + 3);
    let text = std::fs::read_to_string(&shown).unwrap();
    let whole = text.rsplit_once('\n').unwrap().0;
    let numbers: Vec<usize> = whole.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
}
