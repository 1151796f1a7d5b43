//! The process under test, and what can be seen of it from outside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, SIGKILL, Signal};
use nix::unistd::Pid;

/// Longer than anything takes that is not broken.
const PATIENCE: Duration = Duration::from_secs(15);

/// A program of `tests/programs`, compiled once.
fn program(name: &'static str) -> PathBuf {
    static COMPILED: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    let compile = || {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root");
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name).with_extension("c");
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{}", std::process::id()));
        let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let status =
            Command::new(cc).args(["-O1", "-pthread", "-o"]).arg(&binary).arg(source).status().unwrap();
        assert!(status.success(), "{name} does not compile");
        binary
    };
    COMPILED.lock().unwrap().entry(name).or_insert_with(compile).clone()
}

/// A running victim in a directory of its own; dropped, its whole session is killed.
pub(crate) struct Victim {
    child: Child,
    pub(crate) place: tempfile::TempDir,
    answers: usize,
}

/// What must be the same before and after.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) struct Seen {
    /// By pid.
    processes: BTreeMap<i32, Process>,
}

#[derive(Debug, PartialEq, Eq, Clone)]
struct Process {
    maps: String,
    descriptors: BTreeMap<String, PathBuf>,
    /// By tid: TracerPid, signal masks and dispositions, seccomp and credentials.
    threads: BTreeMap<String, String>,
}

impl Victim {
    /// Starts it with these arguments, and waits until it is ready.
    pub(crate) fn start(arguments: &str) -> Self {
        Self::of("victim", arguments)
    }

    /// The same with another program, which says "good" when it is ready.
    pub(crate) fn of(name: &'static str, arguments: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let output = fs::File::create(place.path().join("output")).unwrap();
        let mut command = Command::new(program(name));
        command.args(arguments.split_whitespace()).current_dir(&place);
        let child = command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null()).spawn().unwrap();
        let mut victim = Victim { child, place, answers: 0 };
        victim.await_answer("at its start");
        victim
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The pids of the tree.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        std::iter::once(self.pid()).chain(children).collect()
    }

    /// Has it check itself.
    pub(crate) fn check(&mut self, context: &str) {
        send(self.pid(), signal::SIGUSR1);
        self.await_answer(context);
    }

    fn await_answer(&mut self, context: &str) {
        let (wanted, deadline) = (self.answers + 1, Instant::now() + PATIENCE);
        loop {
            let output = fs::read_to_string(self.place.path().join("output")).unwrap();
            if output.ends_with('\n') && output.lines().count() >= wanted {
                assert!(output.lines().all(|line| line == "good"), "{context}: {output}");
                break;
            }
            assert!(
                Instant::now() < deadline,
                "{context}: the victim is silent in state {:?}",
                state(self.pid())
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        self.answers = wanted;
    }

    /// What /proc shows now.
    pub(crate) fn look(&self) -> Seen {
        Seen { processes: self.pids().into_iter().map(|pid| (pid, process(pid))).collect() }
    }

    /// Waits until /proc shows the same as before, which takes a moment if the victim has to clean up by itself.
    pub(crate) fn looks_like(&self, before: &Seen, context: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.look();
            if now == *before {
                return;
            }
            assert!(Instant::now() < deadline, "{context}:\n{before:#?}\n{now:#?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// After a dump that ends it.
    pub(crate) fn reap(&mut self) {
        self.child.wait().unwrap();
    }

    /// Files in its directory, and in that of its images.
    pub(crate) fn files(&self) -> Vec<String> {
        names(self.place.path())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = signal::killpg(Pid::from_raw(self.pid()), SIGKILL);
        let _ = self.child.wait();
    }
}

fn process(pid: i32) -> Process {
    let mut descriptors = BTreeMap::new();
    for name in names(Path::new(&format!("/proc/{pid}/fd"))) {
        let target = fs::read_link(format!("/proc/{pid}/fd/{name}")).unwrap_or_default();
        descriptors.insert(name, target);
    }
    let threads = names(Path::new(&format!("/proc/{pid}/task"))).into_iter().map(|tid| {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
        let kept = ["TracerPid", "SigBlk", "SigIgn", "SigCgt", "Seccomp:", "CapEff", "Uid"];
        let lines = status.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
        (tid, lines.collect::<Vec<_>>().join("\n"))
    });
    Process {
        threads: threads.collect(),
        maps: fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default(),
        descriptors,
    }
}

/// Sorted names in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The state letter of /proc/PID/stat, `None` if there is no such process.
pub(crate) fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Waits until none of the processes is there any more, but as a zombie that nobody has fetched yet.
pub(crate) fn await_gone(pids: &[i32], context: &str) {
    let deadline = Instant::now() + PATIENCE;
    for pid in pids {
        while !matches!(state(*pid), None | Some('Z' | 'X')) {
            let cmdline = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{context}: {pid} is left, {:?} {cmdline:?}", state(*pid));
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Waits for a state of a process.
pub(crate) fn await_state(pid: i32, wanted: char, context: &str) {
    let deadline = Instant::now() + PATIENCE;
    while state(pid) != Some(wanted) {
        assert!(Instant::now() < deadline, "{context}: {pid} is in state {:?}, not {wanted}", state(pid));
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn send(pid: i32, what: Signal) {
    signal::kill(Pid::from_raw(pid), what).unwrap();
}
