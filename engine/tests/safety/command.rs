//! Running `crio`, with a limit to its time and, if asked, to its memory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What no command may take, on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Fails the test unless the command has failed with this code in its error.
    pub(crate) fn refused(&self, code: &str, context: &str) {
        assert_eq!(self.status.code(), Some(1), "{context}: {self:?}");
        assert!(self.stderr.contains(&format!("error[{code}]")), "{context}: {}", self.stderr);
    }

    pub(crate) fn succeeded(&self, context: &str) {
        assert!(self.status.success(), "{context}: {self:?}");
    }
}

/// `crio` with these words and images in `dir`.
pub(crate) fn crio(words: &str, dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crio"));
    command.args(words.split_whitespace()).arg("-D").arg(dir).arg("--no-default-config");
    command.env_remove("CRIU_CONFIG_FILE").env_remove(engine::fault::VARIABLE);
    command
}

pub(crate) fn dump(pid: i32, words: &str, dir: &Path) -> Command {
    crio(&format!("dump -t {pid} {words}"), dir)
}

/// The same command with a fault armed.
pub(crate) fn with_fault(mut command: Command, fault: &str) -> Command {
    command.env(engine::fault::VARIABLE, fault);
    command
}

/// Starts it with its errors in a file, which never blocks it as a pipe would that a restored child keeps open.
pub(crate) fn start(mut command: Command) -> Running {
    let log = tempfile::NamedTempFile::new().unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.reopen().unwrap());
    Running { child: command.spawn().unwrap(), log, stopped: 0 }
}

pub(crate) fn run(command: Command) -> Outcome {
    start(command).finish()
}

/// Runs `command` again while a stranger has one of the pids, as happens on a busy machine.
pub(crate) fn run_when_free(command: impl Fn() -> Command) -> Outcome {
    let started = Instant::now();
    loop {
        let outcome = run(command());
        if !outcome.stderr.contains("E-PID-IN-USE") || started.elapsed() > LIMIT {
            return outcome;
        }
    }
}

/// A shell script for `--action-script`, in `dir`.
pub(crate) fn script(dir: &Path, text: &str) -> PathBuf {
    let [source, script] = ["source", "script"].map(|name| dir.join(name));
    std::fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
    // Another test that starts a program meanwhile may have what we write, and that cannot be executed.
    assert!(Command::new("install").args([&source, &script]).status().unwrap().success());
    script
}

pub(crate) struct Running {
    pub(crate) child: Child,
    log: tempfile::NamedTempFile,
    /// Who waits at a fault point.
    pub(crate) stopped: i32,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for its end; one that does not come is a failure.
    pub(crate) fn finish(mut self) -> Outcome {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Outcome { status, stderr: std::fs::read_to_string(self.log.path()).unwrap() };
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                let log = std::fs::read_to_string(self.log.path()).unwrap();
                assert!(log.is_empty() && !log.is_empty(), "crio hangs: {log}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until it, or a process that works for it, has stopped itself at a fault point `NAME:wait`.
    pub(crate) fn await_point(&mut self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let family = with_descendants(self.pid());
            if let Some(pid) = family.into_iter().find(|pid| crate::victim::state(*pid) == Some('T')) {
                self.stopped = pid;
                return;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "crio ended before its fault point");
            assert!(Instant::now() < deadline, "crio did not come to its fault point");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn go_on(&mut self) {
        crate::victim::send(std::mem::take(&mut self.stopped), nix::sys::signal::SIGCONT);
    }
}

/// A test that fails must not leave a victim frozen.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.stopped != 0 {
            let stopped = nix::unistd::Pid::from_raw(self.stopped);
            let _ = nix::sys::signal::kill(stopped, nix::sys::signal::SIGKILL);
        }
    }
}

/// A process, its children, and theirs.
fn with_descendants(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().flat_map(|pid| with_descendants(pid.parse().unwrap()));
    std::iter::once(pid).chain(children).collect()
}
