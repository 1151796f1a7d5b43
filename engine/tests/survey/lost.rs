//! What a program has and its image will not carry is told by the survey as far as it shows from outside, and all of it
//! by the dump.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::refused::{Group, Root, compile, start};

/// Seen while the program runs, and what the program will notice.
const IN_SIGHT: [(&str, &str); 4] = [
    ("cgroup /crio-lost-", "it is in crio's cgroup"),
    ("autogroup nice: ", "the session competes as any other"),
    ("merging of equal pages", "pages are not merged"),
    ("seals of 1 mappings", "sealed memory can be changed again"),
];

/// Seen by a dump only.
const INSIDE: [(&str, &str); 7] = [
    ("NUMA memory policy", "new memory comes from any node"),
    ("faults at the timestamp counter", "rdtsc works"),
    ("machine check policy", "it gets the machine's default"),
    ("process keyring", "its keys are gone"),
    ("its reading end is outside of the tree", "that end is closed"),
    ("bytes of events that were not read", "it does not learn of these changes"),
    ("outside of the tree", "that may be another process"),
];

/// A cgroup of its own for a process; dropped, it is removed.
struct Cgroup(PathBuf);

impl Cgroup {
    /// In the first hierarchy that takes the process.
    fn of(pid: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let hierarchies = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let place = fields.next()?;
            fields.next()?.starts_with("cgroup").then(|| Path::new(place).join(format!("crio-lost-{pid}")))
        });
        let taken = hierarchies.map(Cgroup).find(|group| {
            fs::create_dir(&group.0).is_ok() && fs::write(group.0.join("cgroup.procs"), pid).is_ok()
        });
        taken.expect("a cgroup hierarchy that can be written to")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        // A process that was killed is in it until it is gone.
        while fs::remove_dir(&self.0).is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY)) {
            if Instant::now() > deadline {
                break;
            }
        }
    }
}

fn told(pid: &str, words: &[&str]) -> Vec<(String, String)> {
    let images = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crio"));
    command.args(["dump", "--no-default-config", "--json", "-t", pid, "-D"]).arg(images.path());
    let output = command.args(words).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lost = report["not_kept"].as_array().unwrap().iter();
    lost.inspect(|lost| assert_eq!(lost["pid"].to_string(), pid, "{lost}"))
        .map(|lost| (text(&lost["what"]), text(&lost["consequence"])))
        .collect()
}

#[test]
fn what_is_not_kept_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/survey/lost.c");
    let mut command = Command::new("setsid");
    command.arg(compile(dir.path(), &["-O1"], &[source])).arg(dir.path());
    let (_group, pid): (Group, String) = start(command);
    let root = Root(pid.parse().unwrap());
    let cgroup = Cgroup::of(&pid);
    let comm = format!("/proc/{pid}/comm");
    while fs::read_to_string(&comm).unwrap() != "lost\n" {
        std::thread::yield_now();
    }
    let is_among = |told: &[(String, String)], (what, consequence): (&str, &str)| {
        told.iter().any(|(told, after)| told.contains(what) && after.contains(consequence))
    };
    let survey = told(&pid, &["--dry-run", "--manage-cgroups=ignore"]);
    let dump = told(&pid, &["--leave-running", "--manage-cgroups=ignore"]);
    for lost in IN_SIGHT {
        assert!(is_among(&survey, lost), "{lost:?} is not in {survey:#?}");
        assert!(is_among(&dump, lost), "{lost:?} is not in {dump:#?}");
    }
    for lost in INSIDE {
        assert!(is_among(&dump, lost), "{lost:?} is not in {dump:#?}");
    }
    drop(root);
    drop(cgroup);
}

/// Has taken a semaphore of a set that it may not use any more.
const LOCKED_OUT: &str = "
import ctypes, os, signal
libc = ctypes.CDLL(None)
set = libc.semget(0, 1, 0o1600)
assert libc.semctl(set, 0, 16, 1) == 0
assert libc.semop(set, (ctypes.c_short * 3)(0, -1, 0x1800), 1) == 0
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
print(os.getpid(), set, flush=True)
signal.pause()
";

#[test]
fn an_undo_list_that_the_program_cannot_be_asked_about_is_told() {
    let mut command = Command::new("setsid");
    command.args(["python3", "-c", LOCKED_OUT]).current_dir("/");
    let (_group, line) = start(command);
    let (pid, set) = line.split_once(' ').unwrap();
    let _root = Root(pid.parse().unwrap());
    let told = told(pid, &["--leave-running"]);
    let removed = Command::new("ipcrm").args(["-s", set]).status().unwrap();
    let what = format!("undoing of set {set}, which it may not use (any more)");
    assert!(told.contains(&(what, "its exit does not undo".to_owned())), "{told:?}");
    assert!(removed.success());
}
