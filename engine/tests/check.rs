//! `crio check` as people run it: by anybody, on this kernel, about a process.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

const NOBODY: u32 = 65534;

fn crio(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crio"));
    command.args(words).arg("--no-default-config").env_remove("CRIU_CONFIG_FILE");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it as a user without any privilege.
fn as_nobody(words: &[&str]) -> Output {
    as_nobody_with("", words)
}

/// Runs it as a user with these capabilities alone, from a place where that user may read it.
fn as_nobody_with(capabilities: &str, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = folder.path().join("crio");
    // By a program of its own: what a test that starts a program meanwhile has open for writing cannot be executed.
    let install = Command::new("install").arg(env!("CARGO_BIN_EXE_crio")).arg(&copy).status();
    assert!(install.unwrap().success());
    let mut command = Command::new("setpriv");
    let user = NOBODY.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    let kept = format!("-all{capabilities}");
    command.args(["--inh-caps", &kept, "--ambient-caps", &kept]).arg(copy).args(words);
    command.arg("--no-default-config").current_dir("/").output().unwrap()
}

fn features(output: &Output) -> Vec<Value> {
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    json["features"].as_array().unwrap().clone()
}

fn status(features: &[Value], name: &str) -> String {
    let found = features.iter().find(|f| f["feature"] == name);
    found.map_or_else(|| format!("{name} is not there"), |f| f["status"].as_str().unwrap().to_owned())
}

#[test]
fn somebody_without_privileges_learns_what_could_not_be_probed() {
    let output = as_nobody(&["check", "--all", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let found = features(&output);
    for anybodys in ["kcmp", "mnt_id", "openat2", "ptrace_seize", "fdinfo_lock", "timens"] {
        assert_eq!(status(&found, anybodys), "present", "{anybodys}");
    }
    for privileged in ["ns_last_pid", "tcp_repair", "newifindex", "move_mount_set_group", "external_net_ns"] {
        assert_eq!(status(&found, privileged), "denied", "{privileged}");
    }
    for denied in found.iter().filter(|f| f["status"] == "denied") {
        let remedy = denied["remedy"].as_str().unwrap();
        assert!(remedy.contains("CAP_"), "{denied}");
    }
    let plain = text(&as_nobody(&["check", "--all"]).stdout);
    assert!(plain.contains(" could not be probed by this user\n"), "{plain}");
}

/// What a remedy names is enough, and no more than that has to be given.
#[test]
fn the_capability_of_a_remedy_is_the_one_that_serves() {
    let found = features(&as_nobody(&["check", "--all", "--json"]));
    let denied: Vec<&Value> = found.iter().filter(|f| f["status"] == "denied").collect();
    assert!(denied.len() > 10, "{denied:?}");
    for feature in denied {
        let words = feature["remedy"].as_str().unwrap().split([' ', ',']);
        let named: String =
            words.filter_map(|w| w.strip_prefix("CAP_")).map(|w| format!(",+{}", w.to_lowercase())).collect();
        let name = feature["feature"].as_str().unwrap();
        let with = as_nobody_with(&named, &["check", "--json", "--feature", name]);
        let answer: Value = serde_json::from_slice(&with.stdout).unwrap();
        assert_ne!(answer["status"], "denied", "with {named}: {answer}");
    }
}

#[test]
fn several_features_are_asked_for_at_once_and_a_wrong_name_answers_nothing() {
    let of = |words: &[&str]| crio(&[&["check"], words].concat()).output().unwrap();
    let both = of(&["--feature", "kcmp", "--feature", "mnt_id"]);
    assert_eq!(
        (both.status.code(), text(&both.stdout).as_str()),
        (Some(0), "kcmp is supported\nmnt_id is supported\n")
    );
    // There is no machine that has both.
    let one = of(&["--feature", "sve", "--feature", "thread_area", "--feature", "kcmp"]);
    assert_eq!(one.status.code(), Some(1));
    assert!(text(&one.stdout).contains(" is not supported\n"), "{}", text(&one.stdout));
    assert!(text(&one.stdout).ends_with("kcmp is supported\n"), "{}", text(&one.stdout));
    let wrong = of(&["--feature", "kcmp", "--feature", "nonsense"]);
    assert_eq!((wrong.status.code(), text(&wrong.stdout).as_str()), (Some(1), ""));
    assert!(text(&wrong.stderr).contains("Unknown feature nonsense"), "{}", text(&wrong.stderr));
    let names: Vec<String> = serde_json::from_slice(&of(&["--feature", "list", "--json"]).stdout).unwrap();
    assert!(names.contains(&"pagemap_scan_guard_pages".to_owned()));
}

/// What is configured out cannot be there. `since` names what has to be configured.
#[test]
fn what_is_configured_out_is_missing() {
    let config = configuration();
    let output = crio(&["check", "--all", "--json"]).output().unwrap();
    let mut compared = 0;
    for feature in features(&output) {
        let since = feature["since"].as_str().unwrap();
        for option in since.split([' ', ',']).filter(|word| word.starts_with("CONFIG_")) {
            compared += 1;
            // CONFIG_CHECKPOINT_RESTORE was once needed for map_files, and the like.
            let always = !since.contains(" before ") && !since.contains("until");
            let is_out = config.contains(&format!("# {option} is not set\n"));
            assert!(!(always && is_out && feature["status"] == "present"), "{option} is out: {feature}");
        }
    }
    assert!(compared > 20, "only {compared} features name what has to be configured");
}

/// What is configured in has to be found. Experimental and optional features take more than that.
#[test]
fn what_is_configured_in_is_there() {
    let (config, mut missed) = (configuration(), Vec::new());
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let output = crio(&["check", "--extra", "--json"]).output().unwrap();
    for feature in features(&output) {
        let since = feature["since"].as_str().unwrap();
        let options: Vec<&str> = since.split([' ', ',']).filter(|word| word.starts_with("CONFIG_")).collect();
        let is_in =
            |option: &&str| ["y", "m"].iter().any(|yes| config.contains(&format!("\n{option}={yes}\n")));
        let is_old_enough = version(since) <= version(&release);
        if is_old_enough && !options.is_empty() && options.iter().all(is_in) && feature["status"] == "missing"
        {
            missed.push(feature);
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// Major and minor number at the start of a text.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Empty if this kernel shows its configuration nowhere.
fn configuration() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    std::fs::read_to_string(format!("/boot/config-{}", release.trim())).unwrap_or_else(|_| {
        let output = Command::new("gzip").args(["-dc", "/proc/config.gz"]).output();
        output.map(|o| text(&o.stdout)).unwrap_or_default()
    })
}

/// The promise is 50 ms for a release build; this one is not optimised, and other tests run beside it.
#[test]
fn a_whole_check_is_quick() {
    let once = |_| {
        let start = Instant::now();
        crio(&["check", "--all"]).output().unwrap();
        start.elapsed()
    };
    let best = (0..10).map(once).min().unwrap();
    assert!(best < Duration::from_millis(250), "{best:?}");
}

/// As in a chroot of which nobody has thought.
#[test]
fn what_takes_a_mount_says_so() {
    let line = "mount -t tmpfs none /dev && exec \"$0\" check --no-default-config --json --feature pty_lock";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", line, env!("CARGO_BIN_EXE_crio")]);
    let answer: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(answer["status"], "missing", "{answer}");
    assert!(answer["seen"].as_str().unwrap().starts_with("open /dev/ptmx: "), "{answer}");
    assert!(answer["remedy"].as_str().unwrap().starts_with("mount devpts "), "{answer}");
}

#[test]
fn a_check_leaves_nothing_behind() {
    let seen = || {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let leftover = std::fs::read_dir("/tmp").unwrap().flatten().map(|e| e.file_name());
        (mounts, leftover.filter(|n| n.to_string_lossy().contains("crio")).collect::<Vec<_>>())
    };
    let before = seen();
    crio(&["check", "--all"]).output().unwrap();
    assert_eq!(seen(), before);
}

/// Runs a command and prints what changes meanwhile in the packet filters of its network namespace: NETLINK_NETFILTER,
/// group NFNLGRP_NFTABLES.
const FILTERS_WATCHED: &str = "
import socket, subprocess, sys
watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
watch.bind((0, 1 << 6))
ended = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
try:
    watch.recv(4096, socket.MSG_DONTWAIT)
    print(ended, 'something')
except BlockingIOError:
    print(ended, 'nothing')
";

#[test]
fn the_packet_filters_of_others_are_left_alone() {
    let lock = ["check", "--feature", "network_lock_nftables", "--no-default-config"];
    let mut command = Command::new("unshare");
    command.args(["--net", "python3", "-c", FILTERS_WATCHED, env!("CARGO_BIN_EXE_crio")]).args(lock);
    assert_eq!(text(&command.output().unwrap().stdout), "0 nothing\n");
}

#[test]
fn a_process_is_surveyed() {
    let mut sleeper = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
    let pid = sleeper.id().to_string();
    let output = crio(&["check", "-t", &pid, "--shell-job"]).output().unwrap();
    assert!(text(&output.stdout).contains("can be dumped: "), "{}", text(&output.stdout));
    assert!(output.status.success());
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let gone = crio(&["check", "-t", &pid]).output().unwrap();
    assert_eq!(gone.status.code(), Some(1));
    let said = text(&gone.stderr);
    assert!(said.contains("error[E-TASK-GONE]") && !said.contains("FAILED"), "{said}");
}
