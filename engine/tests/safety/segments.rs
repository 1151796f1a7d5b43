//! System V objects outlive the tree: a restore takes those that are there, makes those that are gone, and a failure
//! leaves neither more nor fewer than there were.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::SIGKILL;

use crate::command::{LIMIT, Outcome, crio, dump, run, with_fault};
use crate::victim::{await_gone, send};

/// Answers every SIGUSR1 with what it sees in two segments: one with a key, and one that goes with its last mapping.
const PROGRAM: &str = "
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
key = 0x5b000000 | os.getpid()
ids = [libc.shmget(key, 70000, 0o1600), libc.shmget(0, 5000, 0o1640)]
areas = [libc.shmat(id, None, 0) for id in ids]
ctypes.memmove(areas[0] + 69990, b'named', 5)
ctypes.memmove(areas[1], b'removed', 7)
assert libc.shmctl(ids[1], 0, None) == 0
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print(*ids, flush=True)
while signal.sigwait([signal.SIGUSR1]):
    print(ctypes.string_at(areas[0] + 69990, 5), ctypes.string_at(areas[1], 7), flush=True)
";

struct Program {
    child: Child,
    output: tempfile::NamedTempFile,
    named: u32,
    removed: u32,
}

impl Program {
    fn start() -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("setsid");
        command.args(["python3", "-c", PROGRAM]).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.stdout(output.reopen().unwrap()).spawn().unwrap();
        let mut program = Program { child, output, named: 0, removed: 0 };
        let ids: Vec<u32> = program.line(0).split(' ').map(|id| id.parse().unwrap()).collect();
        (program.named, program.removed) = (ids[0], ids[1]);
        program
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// A line of its output, when it is there.
    fn line(&self, number: usize) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let output = fs::read_to_string(self.output.path()).unwrap();
            let mut lines = output.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            if let Some(line) = lines.nth(number) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "the program is silent: {output}");
            std::thread::yield_now();
        }
    }

    /// What it sees, asked for the n-th time.
    fn check(&self, time: usize) {
        send(self.pid(), nix::sys::signal::SIGUSR1);
        assert_eq!(self.line(time), "b'named' b'removed'");
    }

    /// Dumps it, which ends it.
    fn dump(&mut self, images: &Path) {
        run(dump(self.pid(), "", images)).succeeded("dump");
        self.child.wait().unwrap();
    }

    fn remove_named(&self) {
        let id = self.named.to_string();
        assert!(Command::new("ipcrm").args(["-m", &id]).status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), SIGKILL);
        let _ = Command::new("ipcrm").args(["-m", &self.named.to_string()]).stderr(Stdio::null()).status();
    }
}

/// The line of a segment in /proc/sysvipc/shm without what changes with its use: key, id, mode, size, creator and users.
fn segment(id: u32) -> Option<Vec<String>> {
    let all = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let mut rows = all.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let row = rows.find(|row| row[1] == id.to_string())?;
    Some([0, 1, 2, 3, 4, 7, 8, 9, 10].map(|column| row[column].clone()).to_vec())
}

fn restore(dir: &Path) -> Outcome {
    run(crio("restore -d", dir))
}

#[test]
fn segments_that_are_gone_are_made_anew_with_number_and_key() {
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    let before = [program.named, program.removed].map(segment);
    program.dump(images.path());
    assert_eq!(segment(program.removed), None, "the last mapping is gone");
    assert_eq!(segment(program.named), before[0], "a dump leaves it alone");
    restore(images.path()).succeeded("with the named segment there");
    program.check(1);
    send(program.pid(), SIGKILL);
    await_gone(&[program.pid()], "the restored program");
    program.remove_named();
    // As it was at the dump.
    let first = program.line(0).len() as u64 + 1;
    program.output.as_file().set_len(first).unwrap();
    restore(images.path()).succeeded("without the named segment");
    assert_eq!([program.named, program.removed].map(segment), before);
    program.check(1);
}

#[test]
fn a_restore_that_fails_leaves_no_segment_and_can_be_repeated() {
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    let before = [program.named, program.removed].map(segment);
    program.dump(images.path());
    program.remove_named();
    let points = ["segments-made", "memory-built", "files-opened", "before-letting-go"];
    for point in points {
        run(with_fault(crio("restore -d", images.path()), point)).refused("E-FAULT", point);
        assert_eq!([program.named, program.removed].map(segment), [None, None], "{point}");
        await_gone(&[program.pid()], point);
    }
    for point in points {
        let outcome = run(with_fault(crio("restore -d", images.path()), &format!("{point}:kill")));
        assert_eq!(outcome.status.signal(), Some(SIGKILL as i32), "{point}: {outcome:?}");
        await_gone(&[program.pid()], point);
        let deadline = Instant::now() + LIMIT;
        while segment(program.removed).is_some() {
            assert!(Instant::now() < deadline, "{point}: a segment without a user is left");
        }
    }
    restore(images.path()).succeeded("after all the failures");
    assert_eq!([program.named, program.removed].map(segment), before);
    program.check(1);
}

/// Makes a segment with this key, or any, and this id, or any.
fn occupy(key: u32, id: Option<u32>) -> u32 {
    if let Some(id) = id {
        fs::write("/proc/sys/kernel/shm_next_id", id.to_string()).unwrap();
    }
    let script = format!("import ctypes; print(ctypes.CDLL(None).shmget({key}, 100, 0o1600))");
    let output = Command::new("python3").args(["-c", &script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn a_number_or_key_that_another_segment_has_is_named() {
    let images = tempfile::tempdir().unwrap();
    let mut program = Program::start();
    program.dump(images.path());
    program.remove_named();
    let remove =
        |id: u32| assert!(Command::new("ipcrm").args(["-m", &id.to_string()]).status().unwrap().success());
    let key = 0x5b00_0000 | program.pid() as u32;
    for (what, key, id) in [("key", key, None), ("number", 0, Some(program.named))] {
        let other = occupy(key, id);
        assert!(id.is_none_or(|id| id == other));
        let there = segment(other);
        let outcome = restore(images.path());
        outcome.refused("E-IPC-TAKEN", what);
        assert!(outcome.stderr.contains(&other.to_string()), "{what}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("ipcrm -m"), "{what}: {}", outcome.stderr);
        assert_eq!((segment(other), segment(program.removed)), (there, None), "{what}");
        remove(other);
    }
    restore(images.path()).succeeded("with nothing in the way");
    program.check(1);
}
