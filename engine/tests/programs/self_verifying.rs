//! Programs that know what must not have changed about them: they say PASS or what is wrong.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::running::{PATIENCE, Running, compiled, crio_succeeds, source, wait_until};

struct Program {
    directory: TempDir,
    child: Child,
    root: Running,
}

impl Program {
    /// Starts `words` with the name of the file for its result, and waits for its READY.
    fn start(words: &[&str], rest: &[&str]) -> Program {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new("setsid");
        command.args(words).arg(directory.path().join("result")).args(rest);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let root = Running(child.id() as i32);
        let program = Program { directory, child, root };
        wait_until(&format!("READY from {words:?} within {PATIENCE:?}"), || {
            program.result().starts_with("READY")
        });
        program
    }

    fn result(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("result")).unwrap_or_default()
    }

    fn images(&self) -> PathBuf {
        let images = self.directory.path().join("images");
        std::fs::create_dir_all(&images).unwrap();
        images
    }

    fn move_through_image(&mut self) {
        let images = self.images();
        crio_succeeds(&format!("dump -D {} -o dump.log -t {}", images.display(), self.root.0));
        self.child.wait().unwrap();
        crio_succeeds(&format!("restore -D {} -o restore.log -d", images.display()));
    }

    /// Has it check itself and end.
    fn verify(&self) {
        self.root.signal(Signal::SIGTERM);
        wait_until("the verdict", || self.result().lines().nth(1).is_some());
        wait_until("the end", || matches!(self.root.state(), '-' | 'Z'));
        assert_eq!(self.result(), format!("READY {}\nPASS\n", self.root.0));
    }
}

#[test]
fn a_python_program_with_a_bit_of_everything() {
    let script = source("workload.py");
    let mut program = Program::start(&["python3", script.to_str().unwrap()], &["200"]);
    program.move_through_image();
    program.verify();
}

#[test]
fn a_tree_of_200_processes() {
    let mut program = Program::start(&[compiled("tree").to_str().unwrap()], &["200", "100"]);
    program.move_through_image();
    program.verify();
}

/// What was restored is as good as what was started.
#[test]
fn a_tree_that_was_restored_before() {
    let mut program = Program::start(&[compiled("tree").to_str().unwrap()], &["40", "10"]);
    program.move_through_image();
    let images = program.directory.path().join("again");
    std::fs::create_dir(&images).unwrap();
    crio_succeeds(&format!("dump -D {} -t {}", images.display(), program.root.0));
    crio_succeeds(&format!("restore -D {} -d", images.display()));
    program.verify();
}
