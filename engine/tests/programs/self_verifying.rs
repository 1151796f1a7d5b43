//! Programs that know what must not have changed about them: they say PASS or what is wrong.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::running::{PATIENCE, Running, compiled, crio_succeeds, source, wait_until};

/// A program of the first argument RESULT, a file to which it writes "READY PID", then its verdict.
pub(crate) struct Program {
    directory: TempDir,
    pub(crate) root: Running,
}

impl Program {
    /// Starts `words` with the name of the file for its result, and waits for its READY.
    pub(crate) fn start(words: &[&str], rest: &[&str]) -> Program {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new("setsid");
        command.args(words).arg(directory.path().join("result")).args(rest);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let root = Running(command.spawn().unwrap().id() as i32);
        let program = Program { directory, root };
        wait_until(&format!("READY from {words:?} within {PATIENCE:?}"), || {
            program.result().starts_with("READY")
        });
        program
    }

    fn result(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("result")).unwrap_or_default()
    }

    /// Dumps it, which ends it; the root is our child before and after.
    pub(crate) fn dump(&self, options: &str) -> TempDir {
        let images = TempDir::new_in(&self.directory).unwrap();
        crio_succeeds(&format!(
            "dump -D {} -o dump.log -t {} {options}",
            images.path().display(),
            self.root.0
        ));
        waitpid(Pid::from_raw(self.root.0), None).unwrap();
        images
    }

    pub(crate) fn restore(&self, images: &TempDir, options: &str) {
        crio_succeeds(&format!("restore -D {} -d -S {options}", images.path().display()));
    }

    fn move_through_image(&self) {
        let images = self.dump("");
        self.restore(&images, "");
    }

    /// Has it check itself and end.
    pub(crate) fn verify(&self) {
        self.ends_with("PASS");
    }

    /// Has it check itself and end with this verdict.
    pub(crate) fn ends_with(&self, verdict: &str) {
        self.root.signal(Signal::SIGTERM);
        wait_until("the verdict", || self.result().lines().nth(1).is_some());
        assert_eq!(
            waitpid(Pid::from_raw(self.root.0), None),
            Ok(WaitStatus::Exited(Pid::from_raw(self.root.0), 0))
        );
        assert_eq!(self.result(), format!("READY {}\n{verdict}\n", self.root.0));
    }
}

#[test]
fn a_python_program_with_a_bit_of_everything() {
    let script = source("workload.py");
    let program = Program::start(&["python3", script.to_str().unwrap()], &["200"]);
    program.move_through_image();
    program.verify();
}

#[test]
fn a_tree_of_200_processes() {
    let program = Program::start(&[compiled("tree").to_str().unwrap()], &["200", "100"]);
    program.move_through_image();
    program.verify();
}

/// What was restored is as good as what was started.
#[test]
fn a_tree_that_was_restored_before() {
    let program = Program::start(&[compiled("tree").to_str().unwrap()], &["40", "10"]);
    program.move_through_image();
    program.move_through_image();
    program.verify();
}

/// A signal that came while the program stood still: where registers say how a call was interrupted, its handler makes the
/// call fail as it does without us; elsewhere the call starts over, which the table of what is not kept says.
#[test]
fn calls_that_a_pending_signal_interrupts() {
    let program = Program::start(&[compiled("interrupted").to_str().unwrap()], &[]);
    program.move_through_image();
    program.ends_with(match arch::MACHINE {
        arch::Machine::X86_64 => "read EINTR, read-restart again, poll-restart EINTR, sleep EINTR",
        _ => "read again, read-restart again, poll-restart again, sleep again",
    });
}
