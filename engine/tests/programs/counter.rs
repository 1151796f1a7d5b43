//! A C program that prints numbers on a terminal, as a job of an interactive shell.

use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::running::{Running, compiled, crio, crio_succeeds, wait_until};
use crate::terminal::{INTERRUPT, SUSPEND, Terminal};

/// A counter in the foreground of a terminal, and a directory for its image.
struct Job {
    counter: Running,
    terminal: Terminal,
    images: TempDir,
}

impl Job {
    fn start() -> Job {
        let images = TempDir::new().unwrap();
        let terminal = Terminal::open(images.path());
        terminal.run(&format!("{} 20", compiled("counter").display()));
        terminal.wait_for_numbers(3);
        Job { counter: terminal.job("counter"), terminal, images }
    }

    fn dump(&self, options: &str) {
        let images = self.images.path().display();
        crio_succeeds(&format!("dump -D {images} -o dump.log -j -t {} {options}", self.counter.0));
    }

    fn restore(&self, options: &str) {
        self.terminal.run(&format!("\"$CRIO\" restore -D . -j {options}"));
    }

    fn is_in_foreground(&self) -> bool {
        // A plus sign in ps(1): the foreground group of its terminal, field tpgid of proc_pid_stat(5), is its own.
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.counter.0)).unwrap_or_default();
        let fields: Vec<&str> = text.split_whitespace().collect();
        fields.len() > 7 && fields[4] == fields[7]
    }
}

#[test]
fn goes_on_with_the_next_number_on_the_same_terminal() {
    let job = Job::start();
    let before = job.counter.place();
    job.dump("");
    wait_until("the end of the counter", || {
        !std::path::Path::new(&format!("/proc/{}", job.counter.0)).exists()
    });
    job.restore("");
    job.terminal.wait_for_numbers(5);
    assert_eq!(job.counter.place(), before, "process group, session, terminal");
    assert!(job.is_in_foreground());
    job.terminal.press(INTERRUPT);
    // The restore ends with its program, and with CRIU's status: 0.
    job.terminal.wait_for_prompt("status");
    job.terminal.wait_for("status=0");
    assert_eq!(job.counter.state(), '-');
}

#[test]
fn can_be_dumped_again_and_again() {
    let job = Job::start();
    for _ in 0..3 {
        job.dump("");
        job.restore("");
        job.terminal.wait_for_numbers(3);
    }
}

#[test]
fn obeys_the_shells_job_control_after_the_restore() {
    let job = Job::start();
    job.dump("");
    job.restore("");
    job.terminal.wait_for_numbers(3);
    job.terminal.press(SUSPEND);
    job.terminal.wait_for_prompt("suspended");
    assert_eq!(job.counter.state(), 'T');
    job.terminal.run("bg");
    job.terminal.wait_for_numbers(3);
    job.terminal.run("fg");
    wait_until("the foreground", || job.is_in_foreground());
    job.terminal.wait_for_numbers(3);
    job.terminal.press(INTERRUPT);
    job.terminal.wait_for_prompt("ended");
    assert_eq!(job.counter.state(), '-');
}

#[test]
fn goes_on_after_a_dump_that_leaves_it_running() {
    let job = Job::start();
    let started = job.counter.start_time();
    job.dump("--leave-running");
    job.terminal.wait_for_numbers(5);
    assert_eq!(job.counter.start_time(), started);
    // Its image cannot be restored beside it, and says why.
    let again = crio(&format!("restore -D {} -j -d", job.images.path().display()));
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && error.contains("E-PID-IN-USE") && error.contains("counter"),
        "{error}"
    );
    job.terminal.wait_for_numbers(2);
}

#[test]
fn stands_after_a_dump_that_leaves_it_stopped() {
    let job = Job::start();
    job.dump("-s");
    wait_until("the stop", || job.counter.state() == 'T');
    let seen = job.terminal.numbers();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(job.terminal.numbers(), seen);
    job.counter.signal(Signal::SIGCONT);
    job.terminal.wait_for_numbers(3);
}

#[test]
fn stands_after_a_restore_that_leaves_it_stopped() {
    let job = Job::start();
    job.dump("");
    job.restore("-s");
    wait_until("the stop", || job.counter.state() == 'T');
    job.counter.signal(Signal::SIGCONT);
    job.terminal.wait_for_numbers(3);
}

#[test]
fn writes_on_after_a_detached_restore() {
    let job = Job::start();
    let before = job.counter.place();
    job.dump("");
    std::fs::create_dir(job.images.path().join("work")).unwrap();
    job.restore("--restore-detached --pidfile root.pid -W work -o restore.log");
    job.terminal.wait_for_prompt("status");
    job.terminal.wait_for("status=0");
    job.terminal.wait_for_numbers(3);
    assert_eq!(job.counter.place(), before);
    assert_ne!(job.counter.parent(), i64::from(job.terminal.session()));
    let work = job.images.path().join("work");
    assert_eq!(std::fs::read_to_string(work.join("root.pid")).unwrap(), job.counter.0.to_string());
    assert!(work.join("restore.log").exists() && work.join("stats-restore").exists());
}

/// A background job has another process group in the foreground while it is dumped: the shell's.
#[test]
fn comes_back_from_the_background_to_the_foreground() {
    let images = TempDir::new().unwrap();
    let terminal = Terminal::open(images.path());
    terminal.run(&format!("{} 20 &", compiled("counter").display()));
    let counter = terminal.job("counter");
    let job = Job { counter, terminal, images };
    job.terminal.wait_for_numbers(3);
    job.terminal.run(&format!("\"$CRIO\" dump -D . -j -t {}", job.counter.0));
    wait_until("the dump", || job.counter.state() == '-');
    job.restore("");
    job.terminal.wait_for_numbers(3);
    assert!(job.is_in_foreground());
}
