//! The program `crio` as scripts and other tools see it: exit status, stdout, stderr and the log.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn crio(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crio"));
    command.args(line.split_whitespace()).env_remove("CRIU_CONFIG_FILE").env("HOME", "/nonexistent");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn usage_errors_end_with_1_and_say_why() {
    for (line, why) in [
        ("", "command is required"),
        ("dump", "pid not specified"),
        ("dump -t 1 --no-such-option", "--no-such-option"),
        ("restore --restore-sibling", "--restore-detached"),
        ("lazy-pages", "E-OPTION-UNSUPPORTED"),
    ] {
        let output = crio(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(text(&output.stderr).contains(why), "{line}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{line}");
    }
}

#[test]
fn an_option_that_is_not_there_is_refused_in_the_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir_text = dir.path().to_str().unwrap();
    let output = crio(&format!("dump -t 1 -D {dir_text} -o dump.log --page-server --json"));
    assert_eq!(output.status.code(), Some(1));
    let log = std::fs::read_to_string(dir.path().join("dump.log")).unwrap();
    assert!(log.starts_with("Error (") && log.contains("--page-server"), "{log}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (json["ok"].as_bool(), json["error"]["object"].as_str()),
        (Some(false), Some("--page-server"))
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only the log may be written");
}

/// Who stores the report must not take an empty one for good.
#[test]
fn a_report_that_cannot_be_stored_is_an_error() {
    for line in ["check --no-default-config", "check --no-default-config --feature ns_pid"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crio"));
        command.args(line.split_whitespace()).stdout(std::fs::File::create("/dev/full").unwrap());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(text(&output.stderr).contains("write to stdout"), "{line}: {}", text(&output.stderr));
    }
}

/// CRIU's test runner asks like this, and looks at the exit status alone.
#[test]
fn features_are_asked_for_one_by_one() {
    let supported = crio("check --no-default-config -verbosity=0 --feature ns_pid");
    assert_eq!((supported.status.code(), text(&supported.stdout)), (Some(0), "ns_pid is supported\n".into()));
    // A kernel has either of them only on its own machine.
    let two = crio("check --no-default-config -verbosity=0 --feature sve --feature thread_area");
    assert_eq!((two.status.code(), text(&two.stderr)), (Some(1), String::new()));
    assert!(text(&two.stdout).contains("sve is") && text(&two.stdout).contains("thread_area is"));
    let unknown = crio("check --feature nonsense");
    assert!(text(&unknown.stderr).contains("Unknown feature nonsense"));
    assert_eq!(unknown.status.code(), Some(1));
}

#[test]
fn a_whole_check_ends_in_crius_words_and_fitting_status() {
    for line in ["check", "check --all", "check --extra --experimental"] {
        let output = crio(line);
        let (out, good) = (text(&output.stdout), output.status.success());
        let words = ["Looks good.\n", "Does not look good.\n", "dump or restore failure.\n"];
        let found = words.iter().position(|w| out.ends_with(w));
        assert!(found.is_some(), "{line}: {out}");
        assert_eq!(found == Some(0) && !out.contains("Does not"), good, "{line}: {out}");
    }
    let json: serde_json::Value = serde_json::from_slice(&crio("check --all --json").stdout).unwrap();
    assert!(json["features"].as_array().unwrap().iter().any(|f| f["feature"] == "kcmp"));
}

#[test]
fn help_and_version_work_whatever_else_is_wrong() {
    assert!(text(&crio("dump --no-such-option --help").stdout).contains("--images-dir"));
    assert!(text(&crio("-V").stdout).starts_with("Version: 4.2\nGitID: "));
    assert!(crio("--config /nonexistent/file -V").status.success());
}
