//! What a guest's kernel says on its console, and which of that is its end.
//!
//! Not an end: warnings, stalls and soft lockups, which an emulated processor on a busy machine may well have. A
//! guest that hangs is known by its agent's silence.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

/// Lines that are kept for a report.
const KEPT: usize = 60;

/// Why no test can be trusted any more in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fatal {
    /// The kernel has given up.
    Panic,
    /// A bug of the kernel ended one of its tasks.
    Oops,
    /// The kernel has killed a process to get memory.
    OutOfMemory,
}

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fatal::Panic => "the guest's kernel has panicked",
            Fatal::Oops => "the guest's kernel has a bug",
            Fatal::OutOfMemory => "the guest is out of memory",
        })
    }
}

/// Phrases by which a kernel says that it is over: kernel/panic.c, mm/oom_kill.c, lib/bug.c, and each machine's
/// fault handler.
const PHRASES: [(&str, Fatal); 9] = [
    ("Kernel panic - not syncing", Fatal::Panic),
    ("Out of memory: Killed process", Fatal::OutOfMemory),
    ("Internal error: ", Fatal::Oops),
    ("kernel BUG at ", Fatal::Oops),
    ("BUG: unable to handle ", Fatal::Oops),
    ("BUG: kernel NULL pointer dereference", Fatal::Oops),
    ("Unable to handle kernel ", Fatal::Oops),
    ("Oops: ", Fatal::Oops),
    ("Kernel bug detected[#", Fatal::Oops),
];

/// What one line means.
pub fn recognise(line: &str) -> Option<Fatal> {
    PHRASES.iter().find(|(phrase, _)| line.contains(phrase)).map(|(_, fatal)| *fatal)
}

#[derive(Debug, Default)]
struct Heard {
    lines: VecDeque<String>,
    fatal: Option<Fatal>,
    ended: bool,
}

/// A console that a thread of its own listens to.
#[derive(Debug, Clone)]
pub struct Console {
    heard: Arc<Mutex<Heard>>,
}

impl Console {
    /// Listens until the end of `stream`, with a copy of everything in the file `log`.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn listen(stream: impl Read + Send + 'static, log: &Path) -> Result<Self> {
        let mut log = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let console = Console { heard: Arc::default() };
        let listener = console.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                // The log is for people; a full disk must not end a run.
                let _ = log.write_all(&[line.as_slice(), b"\n"].concat());
                listener.hear(&String::from_utf8_lossy(&line));
            }
            listener.lock().ended = true;
        });
        Ok(console)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, line: &str) {
        let line = line.trim_end_matches('\r');
        let mut heard = self.lock();
        // A panic that follows an oops says less than the oops.
        heard.fatal = heard.fatal.or_else(|| recognise(line));
        if heard.lines.len() == KEPT {
            heard.lines.pop_front();
        }
        heard.lines.push_back(line.to_owned());
    }

    /// The first line that was an end.
    pub fn fatal(&self) -> Option<Fatal> {
        self.lock().fatal
    }

    /// The emulator has closed the console.
    pub fn ended(&self) -> bool {
        self.lock().ended
    }

    /// The last lines, indented.
    pub fn last_lines(&self) -> String {
        let heard = self.lock();
        if heard.lines.is_empty() {
            return "    (the console is empty)".to_owned();
        }
        heard.lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_recognised_on_every_machine() {
        for (line, fatal) in [
            ("[    3.1] Kernel panic - not syncing: sysrq triggered crash", Fatal::Panic),
            ("[    9.4] Out of memory: Killed process 85 (zdtm) total-vm:3000kB", Fatal::OutOfMemory),
            ("[    1.0] BUG: kernel NULL pointer dereference, address: 0000000000000000", Fatal::Oops),
            ("[    1.0] Unable to handle kernel paging request at virtual address 00000000", Fatal::Oops),
            ("[    1.0] CPU 0 Unable to handle kernel paging request at virtual address 00", Fatal::Oops),
            ("[    1.0] Internal error: Oops: 5 [#1] SMP ARM", Fatal::Oops),
            ("[    1.0] kernel BUG at mm/mmap.c:123!", Fatal::Oops),
        ] {
            assert_eq!(recognise(line), Some(fatal), "{line}");
        }
    }

    #[test]
    fn other_lines_are_not() {
        for line in [
            "[    2.0] random: crng init done",
            "[   40.0] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [zdtm:1]",
            "[   40.0] rcu: INFO: rcu_sched self-detected stall on CPU",
            "[    5.0] Memory cgroup out of memory: Killed process 85 (zdtm)",
            "[    5.0] traps: mdwe[85] general protection fault ip:401000",
            "",
        ] {
            assert_eq!(recognise(line), None, "{line}");
        }
    }

    #[test]
    fn a_console_is_heard_to_its_end() -> Result<()> {
        let log = tempfile::NamedTempFile::new()?;
        let text = b"one\r\nOops: 0002 [#1] SMP\nKernel panic - not syncing: Fatal exception\n".as_slice();
        let console = Console::listen(text, log.path())?;
        while !console.ended() {
            std::thread::yield_now();
        }
        assert_eq!(console.fatal(), Some(Fatal::Oops));
        assert!(console.last_lines().starts_with("    one\n    Oops"), "{}", console.last_lines());
        assert_eq!(std::fs::read(log.path())?.len(), text.len());
        Ok(())
    }
}
