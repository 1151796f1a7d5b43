//! A shell script with a child now and then, moved to another directory between dump and restore.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::running::{Running, crio_succeeds, source, wait_until};
use crate::terminal::Terminal;

fn start(directory: &Path, pause: &str) -> (Terminal, Running) {
    let terminal = Terminal::open(directory);
    terminal.run(&format!("bash {} {pause}", source("test.sh").display()));
    terminal.wait_for_numbers(2);
    let script = terminal.job("bash");
    (terminal, script)
}

/// Carries a directory to another one, as a tar archive.
fn carry(from: &Path, to: &Path) {
    let archive = to.join("images.tar");
    let tar = |words: &[&str], directory: &Path| {
        let status =
            Command::new("tar").args(words).arg(&archive).arg("-C").arg(directory).arg(".").status().unwrap();
        assert!(status.success(), "tar {words:?}");
    };
    tar(&["-cf"], from);
    let status = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(to).status().unwrap();
    assert!(status.success(), "tar -x");
}

fn dump_and_carry(script: &Running, to: &Path) {
    let from = TempDir::new().unwrap();
    crio_succeeds(&format!("dump -t {} --images-dir {} --shell-job", script.0, from.path().display()));
    carry(from.path(), to);
}

#[test]
fn goes_on_with_its_child() {
    let directory = TempDir::new().unwrap();
    let (terminal, script) = start(directory.path(), "0.3");
    wait_until("a child", || !script.children().is_empty());
    dump_and_carry(&script, directory.path());
    terminal.run("\"$CRIO\" restore --images-dir . --shell-job");
    terminal.wait_for_numbers(4);
}

#[test]
fn goes_on_without_a_child() {
    let directory = TempDir::new().unwrap();
    let (terminal, script) = start(directory.path(), "0.01");
    wait_until("a moment without a child", || {
        script.signal(Signal::SIGSTOP);
        wait_until("the stop", || script.state() == 'T');
        let alone = script.children().is_empty();
        if !alone {
            script.signal(Signal::SIGCONT);
        }
        alone
    });
    dump_and_carry(&script, directory.path());
    terminal.run(&format!("\"$CRIO\" restore -t {} --images-dir . --shell-job", script.0));
    wait_until("the restored stop", || script.state() == 'T');
    script.signal(Signal::SIGCONT);
    terminal.wait_for_numbers(4);
    assert!(terminal.screen().contains("-t with criu restore is obsoleted"), "{}", terminal.screen());
}
