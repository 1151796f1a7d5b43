//! What the options of dump and restore do to a real program, each in the smallest way that shows it.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use engine::image::message::StatsEntry;
use engine::image::{ImageDir, Kind};
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::running::{CRIO, Running, command, crio, crio_succeeds, wait_until};

/// The calling thread.
const OURSELVES: Pid = Pid::from_raw(0);

/// A sleeping session leader and a directory for its image.
struct Sleeper {
    directory: TempDir,
    child: Child,
    running: Running,
}

impl Sleeper {
    fn start() -> Sleeper {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new("setsid");
        command.args(["sleep", "1000"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let running = Running(child.id() as i32);
        let comm = format!("/proc/{}/comm", running.0);
        wait_until("sleep", || std::fs::read_to_string(&comm).is_ok_and(|comm| comm == "sleep\n"));
        Sleeper { directory, child, running }
    }

    /// Another process in its place.
    fn replace(&mut self, child: Child) {
        self.running = Running(child.id() as i32);
        self.child.wait().unwrap();
        self.child = child;
    }

    /// `{dir}` is the directory, `{pid}` the process.
    fn line(&self, line: &str) -> String {
        let line = line.replace("{dir}", self.directory.path().to_str().unwrap());
        line.replace("{pid}", &self.running.0.to_string())
    }

    fn dump(&mut self, options: &str) -> String {
        let out = crio_succeeds(&self.line(&format!("dump -D {{dir}} -t {{pid}} {options}")));
        if !options.contains("-R") {
            self.child.wait().unwrap();
        }
        out
    }

    fn restore(&self, options: &str) -> String {
        let out = crio_succeeds(&self.line(&format!("restore -D {{dir}} {options}")));
        assert!(matches!(self.running.state(), 'S' | 'R' | 'T'), "state {}", self.running.state());
        out
    }

    fn file(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    fn script(&self, text: &str) -> String {
        let [source, path] = ["source", "script"].map(|name| self.directory.path().join(name));
        std::fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
        // Another test that starts a program meanwhile may have what we write, and that cannot be executed.
        assert!(Command::new("install").args([&source, &path]).status().unwrap().success());
        path.to_str().unwrap().to_owned()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn logs_have_the_level_that_was_asked_for() {
    let mut sleeper = Sleeper::start();
    for (level, name) in ["-v0", "-v1", "-v2", "-v3", "-v4"].iter().zip(["0", "1", "2", "3", "4"]) {
        sleeper.dump(&format!("-R {level} -o {name}.log"));
    }
    for level in 0..3 {
        assert!(!sleeper.file(&format!("{level}.log")).contains("Collecting task"), "level {level}");
    }
    assert!(sleeper.file("3.log").contains("Dumping finished successfully"));
    assert!(sleeper.file("4.log").len() > sleeper.file("3.log").len());
}

#[test]
fn statistics_are_in_the_work_directory_and_shown() {
    let mut sleeper = Sleeper::start();
    let work = TempDir::new().unwrap();
    let work_option = format!("-W {}", work.path().display());
    assert!(sleeper.dump(&format!("{work_option} --display-stats")).contains("Memory pages written: "));
    assert!(sleeper.restore(&format!("{work_option} -d --display-stats")).contains("Pages restored: "));
    let images = ImageDir::open(work.path()).unwrap();
    let dump = images.require::<StatsEntry>(Kind::StatsDump).unwrap().dump.unwrap();
    assert!(dump.pages_written > 0 && dump.frozen_time > 0 && dump.memdump_time > 0, "{dump:?}");
    let restore = images.require::<StatsEntry>(Kind::StatsRestore).unwrap().restore.unwrap();
    assert!(restore.restore_time > 0 && restore.pages_restored > Some(0), "{restore:?}");
}

#[test]
fn reports_are_json_if_asked_for() {
    let mut sleeper = Sleeper::start();
    let dump: serde_json::Value = serde_json::from_str(&sleeper.dump("--json")).unwrap();
    assert_eq!((dump["ok"].as_bool(), dump["counts"]["tasks"].as_u64()), (Some(true), Some(1)));
    let restore: serde_json::Value = serde_json::from_str(&sleeper.restore("--json -d")).unwrap();
    assert_eq!(restore["root"].as_i64(), Some(sleeper.running.0.into()));
    let again = crio(&sleeper.line("restore -D {dir} --json -d"));
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["error"]["code"], "E-PID-IN-USE");
}

#[test]
fn configuration_files_are_read_in_their_order() {
    let mut sleeper = Sleeper::start();
    let config = sleeper.directory.path().join("config");
    std::fs::write(&config, "# a comment\nleave-running\nlog-file from-config.log\nverbosity 4\n").unwrap();
    sleeper.dump(&format!("--config {} -o from-line.log -R", config.display()));
    assert!(sleeper.file("from-line.log").contains("page transfers planned"), "verbosity of the file");
    assert!(!sleeper.directory.path().join("from-config.log").exists(), "the line wins");
    let by_environment = |options: &str| {
        let line = sleeper.line(&format!("dump -D {{dir}} -t {{pid}} -R {options}"));
        let mut command = command(CRIO);
        command.env("CRIU_CONFIG_FILE", &config).args(line.split_whitespace());
        assert!(command.status().unwrap().success());
    };
    by_environment("");
    assert!(sleeper.file("from-config.log").contains("page transfers planned"));
}

#[test]
fn action_scripts_run_at_their_points() {
    let mut sleeper = Sleeper::start();
    let told = sleeper.directory.path().join("told").display().to_string();
    let script = sleeper.script(&format!(
        "echo $CRTOOLS_SCRIPT_ACTION ${{CRTOOLS_INIT_PID-none}} >> {told}\ntest -d $CRTOOLS_IMAGE_DIR"
    ));
    sleeper.dump(&format!("--action-script {script}"));
    sleeper.restore(&format!("-d --action-script {script}"));
    let pid = sleeper.running.0;
    let expected = format!(
        "pre-dump {pid}\npost-dump {pid}\npre-restore none\npost-restore {pid}\npre-resume {pid}\npost-resume {pid}\n"
    );
    assert_eq!(sleeper.file("told"), expected);
}

#[test]
fn a_tree_whose_post_dump_script_fails_runs_on() {
    let sleeper = Sleeper::start();
    let script = sleeper.script("test $CRTOOLS_SCRIPT_ACTION != post-dump");
    let output = crio(&sleeper.line(&format!("dump -D {{dir}} -t {{pid}} --action-script {script}")));
    assert!(!output.status.success() && stderr(&output).contains("E-ACTION-SCRIPT"), "{}", stderr(&output));
    wait_until("it to sleep again", || sleeper.running.state() == 'S');
    assert!(!sleeper.directory.path().join("inventory.img").exists(), "no image beside a tree that runs on");
}

#[test]
fn a_tree_whose_post_restore_script_fails_is_gone() {
    let mut sleeper = Sleeper::start();
    sleeper.dump("");
    let script = sleeper.script("test $CRTOOLS_SCRIPT_ACTION != post-restore");
    let output = crio(&sleeper.line(&format!("restore -D {{dir}} -d --action-script {script}")));
    assert!(!output.status.success() && stderr(&output).contains("E-ACTION-SCRIPT"), "{}", stderr(&output));
    assert_eq!(sleeper.running.state(), '-');
}

#[test]
fn the_engine_becomes_the_program_that_is_named() {
    let mut sleeper = Sleeper::start();
    sleeper.dump("");
    let out = sleeper.restore("--exec-cmd -- echo became another");
    assert_eq!(out, "became another\n");
}

#[test]
fn a_sibling_is_a_child_of_the_caller() {
    let mut sleeper = Sleeper::start();
    sleeper.dump("");
    sleeper.restore("-S -d");
    assert_eq!(sleeper.running.parent(), i64::from(std::process::id()));
    sleeper.running.signal(Signal::SIGKILL);
    nix::sys::wait::waitpid(Pid::from_raw(sleeper.running.0), None).unwrap();
}

#[test]
fn a_restore_that_is_not_detached_stays_until_the_end() {
    let mut sleeper = Sleeper::start();
    sleeper.dump("");
    let line = sleeper.line("restore -D {dir}");
    let mut restore = command(CRIO).args(line.split_whitespace()).spawn().unwrap();
    wait_until("the program", || sleeper.running.state() == 'S');
    assert_eq!(sleeper.running.parent(), i64::from(restore.id()));
    assert!(restore.try_wait().unwrap().is_none());
    sleeper.running.signal(Signal::SIGKILL);
    assert!(restore.wait().unwrap().success());
}

/// `file[..]` and a path: the file of the image is replaced by a descriptor of ours.
#[test]
fn an_inherited_descriptor_replaces_a_file() {
    let directory = TempDir::new().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let mut child = Command::new("setsid")
        .args(["sh", "-c", "while :; do echo line; sleep 0.02; done"])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&old).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child.id() as i32);
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    wait_until("output", || length(&old) > 0);
    let images = directory.path().display().to_string();
    crio_succeeds(&format!("dump -D {images} -t {}", running.0));
    child.wait().unwrap();
    let before = length(&old);
    let key = old.strip_prefix("/").unwrap().display().to_string();
    let restored = command(CRIO)
        .args(["restore", "-D", &images, "-d", "--inherit-fd", &format!("fd[1]:{key}")])
        .stdout(std::fs::File::create(&new).unwrap())
        .status()
        .unwrap();
    assert!(restored.success());
    wait_until("output elsewhere", || length(&new) > 0);
    assert_eq!(length(&old), before);
}

/// Two dumps of a program that has not done anything are the same; what it does between them shows. It stays on one CPU,
/// whose number rseq(2) writes into its memory.
#[test]
fn images_are_compared_as_diff_does() {
    let [first, second, third] = [(); 3].map(|()| TempDir::new().unwrap());
    let mut cat = Command::new("setsid");
    cat.arg("cat").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let home = sched_getaffinity(OURSELVES).unwrap();
    let mut only = CpuSet::new();
    only.set(sched_getcpu().unwrap()).unwrap();
    sched_setaffinity(OURSELVES, &only).unwrap();
    let mut cat = cat.spawn().unwrap();
    sched_setaffinity(OURSELVES, &home).unwrap();
    let running = Running(cat.id() as i32);
    let pid = running.0;
    let waits =
        || std::fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|w| w.contains("pipe_read"));
    wait_until("cat", waits);
    let dump = |images: &TempDir| crio_succeeds(&format!("dump -R -D {} -t {pid}", images.path().display()));
    let diff = |right: &Path, options: &str| {
        let output = crio(&format!("image diff {} {} {options}", first.path().display(), right.display()));
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    dump(&first);
    dump(&second);
    assert_eq!(diff(second.path(), ""), (Some(0), String::new()));
    let adjustment = format!("/proc/{pid}/oom_score_adj");
    let before: i64 = std::fs::read_to_string(&adjustment).unwrap().trim().parse().unwrap();
    std::fs::write(&adjustment, (before + 17).to_string()).unwrap();
    dump(&third);
    let expected = format!("core-{pid}.img: tc.oom_score_adj: {before} -> {}\n", before + 17);
    assert_eq!(diff(third.path(), ""), (Some(1), expected));
    let (status, text) = diff(third.path(), "--json");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, json["same"].as_bool()), (Some(1), Some(false)));
    let expected = serde_json::json!({
        "image": format!("core-{pid}.img"), "place": "tc.oom_score_adj", "change": "value",
        "left": before, "right": before + 17,
    });
    assert_eq!(json["differences"], serde_json::json!([expected]));
    for trouble in ["/nonexistent", "/proc", "--no-such-option"] {
        assert_eq!(diff(Path::new(trouble), "").0, Some(2), "{trouble}");
    }
    drop(running);
    cat.wait().unwrap();
}

/// A process has more descriptors than crio may have: its own soft limit is no reason to fail, nor the hooks' business.
#[test]
fn the_soft_limit_on_descriptors_does_not_limit_us() {
    let mut sleeper = Sleeper::start();
    let many =
        "for i in $(seq 10 300); do eval \"exec $i</dev/null\"; done; echo >>{dir}/ready; exec sleep 1000";
    let mut bash = Command::new("setsid");
    bash.args(["bash", "-c", &sleeper.line(many)]).stdin(Stdio::null()).stdout(Stdio::null());
    sleeper.replace(bash.stderr(Stdio::null()).spawn().unwrap());
    let ready = sleeper.directory.path().join("ready");
    wait_until("300 descriptors", || ready.exists());
    let script = sleeper.script(&sleeper.line("ulimit -n >>{dir}/limits"));
    for line in ["dump -D {dir} -t {pid}", "restore -d -D {dir}"] {
        let words = sleeper.line(&format!("{line} --action-script {script}"));
        let limited = format!("ulimit -S -n 64 && exec {CRIO} {words}");
        let output = command("bash").args(["-c", &limited]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        if line.starts_with("dump") {
            sleeper.child.wait().unwrap();
        }
    }
    assert_eq!(std::fs::read_dir(format!("/proc/{}/fd", sleeper.running.0)).unwrap().count(), 294);
    assert!(sleeper.file("limits").lines().all(|limit| limit == "64"), "{}", sleeper.file("limits"));
}

/// However long they take: timers stand still until the program runs.
#[test]
fn timers_do_not_run_while_hooks_do() {
    let mut sleeper = Sleeper::start();
    let timer = "import signal, time
signal.setitimer(signal.ITIMER_REAL, 1000)
while True:
    print(signal.getitimer(signal.ITIMER_REAL)[0], flush=True)
    time.sleep(0.01)";
    let told = sleeper.directory.path().join("told");
    let mut python = Command::new("setsid");
    python.args(["python3", "-c", timer]).stdin(Stdio::null()).stdout(std::fs::File::create(&told).unwrap());
    sleeper.replace(python.stderr(Stdio::null()).spawn().unwrap());
    let left = || -> Vec<f64> {
        let text = std::fs::read_to_string(&told).unwrap();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    wait_until("a timer", || left().len() > 2);
    sleeper.dump("");
    let before = left();
    let script = sleeper.script("case $CRTOOLS_SCRIPT_ACTION in post-restore|pre-resume) sleep 2;; esac");
    sleeper.restore(&format!("-d --action-script {script}"));
    wait_until("the timer goes on", || left().len() > before.len());
    let (last, first) = (before.last().unwrap(), left()[before.len()]);
    assert!(last - first < 2.0, "{last} s were left, and then {first} s");
}

/// The parent of a restored root is crio, which does not stay: that must not count as a parent's death.
#[test]
fn a_detached_root_does_not_die_with_crio() {
    let mut sleeper = Sleeper::start();
    let mut bound = Command::new("setsid");
    bound.args(["setpriv", "--pdeathsig", "KILL", "sleep", "1000"]).stdin(Stdio::null());
    sleeper.replace(bound.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let comm = format!("/proc/{}/comm", sleeper.running.0);
    wait_until("sleep", || std::fs::read_to_string(&comm).is_ok_and(|comm| comm == "sleep\n"));
    sleeper.dump("");
    let output = crio(&sleeper.line("restore -d -D {dir}"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("signal 9 for the death of its parent"), "{}", stderr(&output));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(matches!(sleeper.running.state(), 'S' | 'R'), "state {}", sleeper.running.state());
}
