//! Processes under test, and `crio` beside them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// What takes longer has failed; a busy machine may need a good part of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// The program under test.
pub(crate) const CRIO: &str = env!("CARGO_BIN_EXE_crio");

/// A process that may be our child or not; it is gone when this is dropped.
pub(crate) struct Running(pub(crate) i32);

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0), signal).unwrap();
    }

    /// The fields of /proc/PID/stat behind the name, the state first; `None` if there is no process.
    fn stat(&self) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        Some(text.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned).collect())
    }

    fn field(&self, index: usize) -> i64 {
        self.stat().unwrap_or_else(|| panic!("{} is gone", self.0))[index].parse().unwrap()
    }

    pub(crate) fn state(&self) -> char {
        self.stat().map_or('-', |fields| fields[0].chars().next().unwrap())
    }

    pub(crate) fn parent(&self) -> i64 {
        self.field(1)
    }

    /// Process group, session, terminal.
    pub(crate) fn place(&self) -> (i64, i64, i64) {
        (self.field(2), self.field(3), self.field(4))
    }

    pub(crate) fn start_time(&self) -> i64 {
        self.field(19)
    }

    pub(crate) fn children(&self) -> Vec<i32> {
        let path = format!("/proc/{0}/task/{0}/children", self.0);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
    }
}

/// Waits until `done` is true.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command with the configuration of nobody.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_remove("CRIU_CONFIG_FILE").env("HOME", "/nonexistent");
    command
}

/// Runs `crio` with these words.
pub(crate) fn crio(line: &str) -> Output {
    command(CRIO).args(line.split_whitespace()).output().unwrap()
}

/// Runs `crio`, which must succeed; returns its stdout.
pub(crate) fn crio_succeeds(line: &str) -> String {
    let output = crio(line);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "crio {line}: {}\n{}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// A file beside this one.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// A compiled C program of this folder.
pub(crate) fn compiled(name: &str) -> PathBuf {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        for name in ["clock", "counter", "interrupted", "tree"] {
            let (from, to) = (source(&format!("{name}.c")), folder.path().join(name));
            let status =
                Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(to).arg(from).status().unwrap();
            assert!(status.success(), "cc {name}.c");
        }
        folder
    });
    folder.path().join(name)
}
