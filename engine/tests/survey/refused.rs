//! Each thing that cannot be dumped is found by the survey, while the program runs, and refuses its dump.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// What `refused.c` prepares, and the code of the refusal.
const REFUSED: [(&str, &str); 13] = [
    ("shared memory", "E-SHARED-MEMORY"),
    ("pending vfork", "E-SHARED-MEMORY"),
    ("siblings' table", "E-SHARED-TABLE"),
    ("thread's table", "E-SHARED-TABLE"),
    ("leader ended", "E-ZOMBIE-THREAD"),
    ("seccomp", "E-SECCOMP"),
    ("traced", "E-TASK-TRACED"),
    ("large ghost", "E-GHOST-TOO-LARGE"),
    ("mapped large ghost", "E-GHOST-TOO-LARGE"),
    ("unlinked", "E-FILE-UNLINKED"),
    ("lease", "E-FILE-LOCKED"),
    ("tcp connection", "E-SOCKET-CONNECTED"),
    ("tcp pending", "E-SOCKET-PENDING"),
];

/// Ends its whole process group with it.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id() as i32), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

fn compile(dir: &Path, flags: &[&str], source: &Path) -> std::path::PathBuf {
    let program = dir.join("refused");
    let mut command = Command::new("cc");
    let done = command.args(flags).arg("-o").arg(&program).arg(source).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    program
}

/// Starts a command and waits for its first line, which is returned.
fn start(mut command: Command) -> (Group, String) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut group = Group(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(group.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (group, line.trim().to_owned())
}

/// The codes that a dump's errors have, without and with `--dry-run`; neither may write or hurt.
fn refusals(pid: &str, options: &[&str]) -> [Vec<String>; 2] {
    [&["--dry-run"][..], &[]].map(|dry_run| {
        let images = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_crio"));
        command.args(["dump", "--no-default-config", "--json", "-t", pid, "-D"]).arg(images.path());
        let output = command.args(dry_run).args(options).output().unwrap();
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(std::fs::read_dir(images.path()).unwrap().count(), 0, "something was written");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let code = |blocker: &serde_json::Value| blocker["code"].as_str().unwrap().to_owned();
        report["blockers"].as_array().unwrap().iter().map(code).collect()
    })
}

#[test]
fn what_cannot_be_dumped_is_found_without_freezing() {
    let dir = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/survey/refused.c");
    let program = compile(dir.path(), &["-pthread"], &source);
    for (what, code) in REFUSED {
        let mut command = Command::new(&program);
        command.arg(what).arg(dir.path().join(what.replace(' ', "-")));
        let (group, line) = start(command);
        assert_eq!(line, "ready", "{what}");
        let [survey, dump] = refusals(&group.0.id().to_string(), &[]);
        assert!(survey.iter().any(|found| found == code), "{what}: {survey:?}");
        assert_eq!(survey, dump, "{what}");
    }
}

#[test]
fn a_program_of_another_word_size_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("small.c");
    // pause(2) of the other word size.
    std::fs::write(&source, "void _start(void) { for (;;) asm volatile(\"int $0x80\" : : \"a\"(29)); }\n")
        .unwrap();
    let program = compile(dir.path(), &["-m32", "-static", "-nostdlib", "-ffreestanding"], &source);
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
    let _ = nix::sys::signal::kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL);
}
