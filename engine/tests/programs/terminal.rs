//! An interactive bash on a pseudo terminal, for jobs that are started, stopped and restored by typing.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::fcntl::OFlag;
use nix::pty::{posix_openpt, ptsname_r, unlockpt};

use crate::running::{CRIO, Running, wait_until};

pub(crate) const INTERRUPT: &str = "\x03";
pub(crate) const SUSPEND: &str = "\x1a";

/// The terminal with its shell. Dropped, it hangs up.
pub(crate) struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    shell: Child,
}

impl Terminal {
    /// A new one, with the directory that its shell starts in.
    pub(crate) fn open(directory: &std::path::Path) -> Self {
        // openpty(3) would leave the master open in every program that is started: it would be part of the dump.
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname_r(&master).unwrap();
        let slave = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        // Who starts a test in the background has it ignore SIGINT, and a shell leaves that so.
        let mut command = Command::new("env");
        command
            .args(["--default-signal", "setsid", "--ctty", "bash", "--norc", "--noprofile", "-i"])
            .current_dir(directory);
        command.env("PS1", "").env("TERM", "dumb").env("CRIO", CRIO).env("HOME", "/nonexistent");
        command.env_remove("CRIU_CONFIG_FILE").stdin(end()).stdout(end()).stderr(end());
        let shell = command.spawn().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let terminal = Terminal { keyboard: File::from(OwnedFd::from(master)), screen, shell };
        terminal.watch(terminal.keyboard.try_clone().unwrap().into());
        // Without it ^Z and ^C throw away what is still to be shown (termios(3)), which would be a gap.
        terminal.run("stty noflsh");
        terminal.wait_for_prompt("ready");
        terminal
    }

    fn watch(&self, master: OwnedFd) {
        let (mut master, screen) = (File::from(master), Arc::clone(&self.screen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO: nobody has the other end open any more.
            while let Ok(n @ 1..) = master.read(&mut buffer) {
                screen.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        });
    }

    /// Presses these keys.
    pub(crate) fn press(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line.
    pub(crate) fn run(&self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Everything that was shown so far.
    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    /// Waits until a line of its own reads like this.
    pub(crate) fn wait_for(&self, line: &str) {
        wait_until(&format!("{line:?} on the screen"), || {
            self.screen().lines().any(|shown| shown.trim() == line)
        });
    }

    /// The lines that are a number.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        // The last line may still grow.
        let screen = self.screen();
        let whole = screen.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .filter_map(|line| line.trim().trim_start_matches("^C").trim_start_matches("^Z").parse().ok())
            .collect()
    }

    /// Waits until the program has counted on by `more`, and fails if it left out or repeated a number.
    pub(crate) fn wait_for_numbers(&self, more: usize) {
        let goal = self.numbers().len() + more;
        wait_until(&format!("{goal} numbers"), || self.numbers().len() >= goal);
        let numbers = self.numbers();
        let expected: Vec<u64> = (0..numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "{}", self.screen());
    }

    /// The job that the shell has in the foreground, or the newest in the background.
    pub(crate) fn job(&self, name: &str) -> Running {
        let mut found = None;
        let comm = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        wait_until(name, || {
            found = self.shell().children().into_iter().rev().find(|pid| comm(pid).trim() == name);
            found.is_some()
        });
        Running(found.unwrap())
    }

    /// The shell, which leads the session.
    pub(crate) fn session(&self) -> i32 {
        self.shell.id() as i32
    }

    fn shell(&self) -> std::mem::ManuallyDrop<Running> {
        std::mem::ManuallyDrop::new(Running(self.session()))
    }

    /// Waits until the shell has the terminal back and has answered.
    pub(crate) fn wait_for_prompt(&self, mark: &str) {
        self.run(&format!("echo \"{mark}\"=$?"));
        wait_until(&format!("the prompt ({mark})"), || {
            self.screen().lines().any(|line| line.trim().starts_with(&format!("{mark}=")))
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("The screen:\n{}", self.screen());
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
