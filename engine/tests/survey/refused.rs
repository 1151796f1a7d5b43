//! Each thing that cannot be dumped is found by the survey, while the program runs, or else by the dump, and refuses it;
//! the program goes on as before.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;

/// Who finds a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The survey, from outside.
    Survey,
    /// The dump alone: only the process itself can tell, or somebody who takes hold of its files.
    Dump,
}
use By::{Dump, Survey};

/// What the programs in `refused` prepare, the code of the refusal, and who finds it.
const REFUSED: [(&str, &str, By); 66] = [
    ("shared memory", "E-SHARED-MEMORY", Survey),
    ("pending vfork", "E-SHARED-MEMORY", Survey),
    ("siblings' table", "E-SHARED-TABLE", Survey),
    ("thread's table", "E-SHARED-TABLE", Survey),
    ("leader ended", "E-ZOMBIE-THREAD", Survey),
    ("ended", "E-TASK-GONE", Survey),
    ("seccomp listener", "E-SECCOMP-LISTENER", Dump),
    ("traced", "E-TASK-TRACED", Survey),
    ("call dispatch", "E-SYSCALL-DISPATCH", Dump),
    ("namespace", "E-NAMESPACE", Survey),
    ("thread's namespace", "E-NAMESPACE", Survey),
    ("children's namespace", "E-NAMESPACE", Survey),
    ("session outside", "E-SESSION", Survey),
    ("group outside", "E-GROUP", Survey),
    ("segment of another namespace", "E-VMA-SYSVIPC", Survey),
    ("userfaultfd range", "E-VMA-USERFAULTFD", Survey),
    ("absent protected page", "E-VMA-USERFAULTFD", Dump),
    ("absent code", "E-VMA-USERFAULTFD", Dump),
    ("call at absent page", "E-FREEZE-TIMEOUT", Dump),
    ("ring without its socket", "E-VMA-SOCKET", Survey),
    ("part of a ring", "E-VMA-SOCKET", Survey),
    ("ring gone round", "E-SOCKET-RING", Dump),
    ("io_uring", "E-VMA-ANON-INODE", Survey),
    ("perf", "E-VMA-ANON-INODE", Survey),
    ("uprobe", "E-VMA-UPROBES", Survey),
    ("copy of a segment", "E-VMA-SHARED-COPY", Survey),
    ("opened segment", "E-FILE-UNSUPPORTED", Survey),
    ("limit of memory", "E-ADDRESS-SPACE", Dump),
    ("limit of data", "E-ADDRESS-SPACE", Dump),
    ("limit of locked memory", "E-ADDRESS-SPACE", Dump),
    ("limit of mappings", "E-ADDRESS-SPACE", Survey),
    ("vdso without code", "E-VDSO", Survey),
    ("secret memory", "E-FILE-UNSUPPORTED", Survey),
    ("namespace file", "E-NAMESPACE", Survey),
    ("other device", "E-FILE-UNSUPPORTED", Survey),
    ("block device", "E-FILE-UNSUPPORTED", Survey),
    ("userfaultfd", "E-USERFAULTFD-OUTSIDE", Dump),
    ("BPF map", "E-FILE-UNSUPPORTED", Survey),
    ("landlock ruleset", "E-FILE-UNSUPPORTED", Survey),
    ("message queue", "E-MQUEUE-MESSAGES", Survey),
    ("message queue that notifies", "E-MQUEUE-NOTIFY", Survey),
    ("pidfd outside", "E-PIDFD-OUTSIDE", Survey),
    ("epoll outside", "E-EPOLL-TARGET", Dump),
    ("fanotify permission", "E-FANOTIFY-PERMISSION", Survey),
    ("watch without path", "E-WATCH-PATH", Dump),
    ("deleted socket in use", "E-FILE-UNSUPPORTED", Survey),
    ("large ghost", "E-GHOST-TOO-LARGE", Survey),
    ("mapped large ghost", "E-GHOST-TOO-LARGE", Survey),
    ("unlinked", "E-FILE-UNLINKED", Survey),
    ("locked", "E-FILE-LOCKED", Survey),
    ("lease", "E-FILE-LOCKED", Survey),
    ("hidden by mount", "E-FILE-HIDDEN", Survey),
    ("unmounted directory", "E-FILE-UNMOUNTED", Survey),
    ("unmounted file", "E-FILE-UNMOUNTED", Survey),
    ("packet fanout by program", "E-SOCKET-FILTER", Survey),
    ("packet socket without interface", "E-SOCKET-ADDRESS", Survey),
    ("unread netlink answer", "E-SOCKET-QUEUE", Dump),
    ("unread netlink messages", "E-SOCKET-QUEUE", Dump),
    ("TCP connection", "E-SOCKET-CONNECTED", Survey),
    ("TCP connection that waits", "E-SOCKET-PENDING", Survey),
    ("half a datagram", "E-SOCKET-QUEUE", Dump),
    ("peer outside", "E-SOCKET-PEER", Survey),
    ("socket linked elsewhere", "E-FILE-UNLINKED", Dump),
    ("pending from outside", "E-SOCKET-PENDING", Survey),
    ("urgent data", "E-SOCKET-URGENT", Dump),
    ("BPF filter", "E-SOCKET-FILTER", Dump),
];

/// What a kernel or a machine may be without.
const OPTIONAL: [&str; 6] =
    ["secret memory", "other device", "virtual machine", "block device", "userfaultfd", "landlock ruleset"];

/// Without these the dump would be refused for another reason, or not at all.
const OPTIONS: [(&str, &str); 2] = [("group outside", "--shell-job"), ("call at absent page", "--timeout=1")];

/// Ends its whole process group with it.
pub(crate) struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// The root of a tree that may have left the group.
pub(crate) struct Root(pub(crate) i32);

impl Drop for Root {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0), Signal::SIGKILL);
    }
}

/// What has been mounted over a path.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).stderr(Stdio::null()).status();
    }
}

pub(crate) fn compile(dir: &Path, flags: &[&str], sources: &[PathBuf]) -> PathBuf {
    let program = dir.join("refused");
    let mut command = Command::new("cc");
    let done = command.args(flags).arg("-o").arg(&program).args(sources).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    program
}

/// Starts a command and waits for its first line, which is returned.
pub(crate) fn start(mut command: Command) -> (Group, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut group = Group(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(group.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (group, line.trim().to_owned())
}

/// The report of a dump, of a survey alone if `dry_run`.
fn report(pid: &str, options: &[&str], dry_run: bool) -> Value {
    let images = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crio"));
    command.args(["dump", "--no-default-config", "--json", "-t", pid, "-D"]).arg(images.path());
    let output = command.args(dry_run.then_some("--dry-run")).args(options).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.success(), report["ok"] == true, "{report}");
    assert!(!images.path().join("inventory.img").exists() || report["ok"] == true, "{report}");
    if dry_run || report["blockers"].is_array() && report["ok"] == false {
        assert_eq!(std::fs::read_dir(images.path()).unwrap().count(), 0, "something was written");
    }
    report
}

/// The codes of what the survey has found.
fn blockers(report: &Value) -> Vec<String> {
    let code = |blocker: &Value| blocker["code"].as_str().unwrap().to_owned();
    report["blockers"].as_array().map_or_else(Vec::new, |found| found.iter().map(code).collect())
}

/// The codes that a dump's errors have, without and with `--dry-run`; neither may write or hurt.
fn refusals(pid: &str, options: &[&str]) -> [Vec<String>; 2] {
    [true, false].map(|dry_run| {
        let report = report(pid, options, dry_run);
        assert_eq!(report["ok"], false, "{report}");
        blockers(&report)
    })
}

/// What a dump that fails may not have changed: memory, signals, and that nobody traces it.
fn look(pid: &str) -> Vec<String> {
    // The dead have no memory.
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let status = read("status");
    let kept = ["State", "TracerPid", "Threads", "SigPnd", "SigBlk", "SigIgn", "SigCgt", "FDSize"];
    let lines = status.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
    // On its way to sleep it may still be running.
    let asleep = |line: &str| line.replace("R (running)", "S (sleeping)");
    lines.chain(read("maps").lines()).map(asleep).collect()
}

#[test]
fn what_cannot_be_dumped_is_refused_by_name_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/survey/refused");
    let sources = ["main.c", "task.c", "memory.c", "file.c", "socket.c"].map(|name| folder.join(name));
    let program = compile(dir.path(), &["-O1", "-pthread"], &sources);
    for (what, code, by) in REFUSED {
        let place = dir.path().join(what.replace(' ', "-"));
        let _mounted = Mounted(place.clone());
        let mut command = Command::new(&program);
        command.arg(what).arg(&place);
        let (_group, line) = start(command);
        if line.starts_with("lacks ") && OPTIONAL.contains(&what) {
            eprintln!("{what}: this system {line}");
            continue;
        }
        let pid = line.strip_prefix("ready ").unwrap_or_else(|| panic!("{what}: {line}"));
        let _root = Root(pid.parse().unwrap());
        let options: Vec<&str> =
            OPTIONS.iter().filter(|(of, _)| *of == what).map(|(_, option)| *option).collect();
        let before = look(pid);
        let survey = report(pid, &options, true);
        let dump = report(pid, &options, false);
        let found = blockers(&survey).iter().any(|found| found == code);
        assert_eq!(found, by == Survey, "{what}: {survey}");
        assert_eq!(dump["ok"], false, "{what}: {dump}");
        let refused = blockers(&dump).iter().any(|found| found == code) || dump["error"]["code"] == code;
        assert!(refused, "{what}: {dump}");
        let deadline = Instant::now() + Duration::from_secs(10);
        while look(pid) != before {
            assert!(Instant::now() < deadline, "{what}:\n{before:#?}\n{:#?}", look(pid));
        }
    }
}

#[test]
fn a_program_of_another_word_size_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("small.c");
    // pause(2) of the other word size.
    std::fs::write(&source, "void _start(void) { for (;;) asm volatile(\"int $0x80\" : : \"a\"(29)); }\n")
        .unwrap();
    let program = compile(dir.path(), &["-m32", "-static", "-nostdlib", "-ffreestanding"], &[source]);
    let mut command = Command::new("setsid");
    command.arg(&program).stdin(Stdio::null());
    let group = Group(command.spawn().unwrap());
    let pid = group.0.id().to_string();
    while std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() != "refused\n" {
        std::thread::yield_now();
    }
    let [survey, dump] = refusals(&pid, &[]);
    assert!(survey.contains(&"E-TASK-MODE".to_owned()), "{survey:?}");
    assert_eq!(survey, dump);
}

/// A terminal whose other end is outside of the tree, and one more.
#[test]
fn terminals_of_others_are_found() {
    let script = "
import pty, subprocess, time
first, second = pty.openpty()[1], pty.openpty()[1]
child = subprocess.Popen(['setsid', 'sleep', '1000'], stdin=first, stdout=second, stderr=subprocess.DEVNULL)
while open(f'/proc/{child.pid}/comm').read() != 'sleep\\n':
    time.sleep(0.001)
print(child.pid, flush=True)
time.sleep(1000)
";
    let mut command = Command::new("python3");
    command.args(["-c", script]).process_group(0);
    let (_group, pid) = start(command);
    let [survey, dump] = refusals(&pid, &[]);
    assert_eq!(
        (survey, dump),
        (vec!["E-TTY-SHELL-JOB".to_owned(); 2], vec!["E-TTY-SHELL-JOB".to_owned(); 2])
    );
    let [survey, dump] = refusals(&pid, &["--shell-job"]);
    assert_eq!((survey, dump), (vec!["E-TTY-SECOND".to_owned()], vec!["E-TTY-SECOND".to_owned()]));
    // In a session of its own.
    let _ = kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL);
}
