//! The log, in CRIU's line format, for people and for the tools that grep it.
//!
//! ```text
//! (00.001234) Dumping task 17 (cat)
//! (00.001260) Warn  (dump.rs:120): Can't keep the keyring of task 17
//! (00.003456) Error (dump.rs:131): Dumping FAILED.
//! ```
//!
//! Errors and warnings carry their place in the source; the time since the start stands before every line once
//! information is asked for (level 3), as in CRIU. A level that is off costs one relaxed load: nothing is formatted and
//! nothing allocated. A line is one write(2), so that lines of several threads and of forked helpers do not mix.
//!
//! Names of files and tasks are the victim's to choose, so every control character is shown as `\x1b` and cannot
//! steer a terminal or forge a line. The first error is kept for the answer of the service (`cr_errmsg`).
//!
//! Own code and not a logging crate: the format is fixed by others, and the whole of it is this file.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::{OsContext, Result};

/// How important a line is. `-vN` shows the levels up to N; 0 shows none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The command fails.
    Error = 1,
    /// Something is not as it should be, and the command goes on.
    Warn = 2,
    /// The phases and what they found.
    Info = 3,
    /// Every object and call.
    Debug = 4,
}

/// The level of CRIU when no `-v` is given.
pub const DEFAULT_LEVEL: u8 = Level::Warn as u8;

/// CRIU answers clients with at most this many bytes of the first error.
const FIRST_ERROR_MAX: usize = 1024;

static LEVEL: AtomicU8 = AtomicU8::new(DEFAULT_LEVEL);
static LOG: Mutex<Log> =
    Mutex::new(Log { output: Output::Stderr, shown: DEFAULT_LEVEL, start: None, first_error: None });

struct Log {
    output: Output,
    /// The same as [`LEVEL`], which is there to be asked without the lock.
    shown: u8,
    start: Option<Instant>,
    first_error: Option<String>,
}

enum Output {
    Stderr,
    File(File),
}

/// Starts the clock and directs the log to `output`: `None` is stderr, `-` is stdout, anything else is a file that is
/// emptied first. `level` is the number after `-v`.
///
/// # Errors
/// `E-SYSCALL` and its kin if the file cannot be created.
pub fn init(output: Option<&Path>, level: u8) -> Result<()> {
    let output = match output {
        None => Output::Stderr,
        Some(path) if path == Path::new("-") => {
            Output::File(std::io::stdout().as_fd().try_clone_to_owned().os(|| "duplicate stdout")?.into())
        }
        Some(path) => Output::File(create(path)?),
    };
    let shown = level.min(Level::Debug as u8);
    *lock() = Log { output, shown, start: Some(Instant::now()), first_error: None };
    LEVEL.store(shown, Ordering::Relaxed);
    Ok(())
}

/// Appending, so that helpers which inherit the descriptor do not overwrite each other; readable by the owner only,
/// because a log at level 4 names what the program has open.
fn create(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.append(true).create(true).mode(0o600);
    let file = options.open(path).os(|| format!("create the log {}", path.display()))?;
    file.set_len(0).os(|| format!("empty the log {}", path.display()))?;
    Ok(file)
}

/// Whether lines of this level are shown. The macros ask before they format.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Whether the log goes to stderr, where a report for people would stand beside it.
pub fn on_stderr() -> bool {
    matches!(lock().output, Output::Stderr)
}

/// The first error that was logged, with its place, without the time: what a client of the service is told.
pub fn first_error() -> Option<String> {
    lock().first_error.clone()
}

/// Keeps `text` for [`first_error`] without showing it: an error that is shown to people in another form.
pub fn remember(text: &str) {
    lock().note(text);
}

/// Writes one line. Use the macros [`crate::log::error`] and so on, which pass the place by themselves.
pub fn write(level: Level, file: &str, line: u32, message: fmt::Arguments<'_>) {
    let text = render(level, file, line, message);
    lock().record(level, &text);
}

/// The line without its time and its end.
fn render(level: Level, file: &str, line: u32, message: fmt::Arguments<'_>) -> String {
    let mut text = String::with_capacity(128);
    let file = file.rsplit("src/").next().unwrap_or(file);
    let _ = match level {
        Level::Error => write!(text, "Error ({file}:{line}): "),
        Level::Warn => write!(text, "Warn  ({file}:{line}): "),
        Level::Info | Level::Debug => Ok(()),
    };
    let _ = Escaped(&mut text).write_fmt(message);
    text
}

impl Log {
    fn record(&mut self, level: Level, text: &str) {
        if level == Level::Error {
            self.note(text);
        }
        if level as u8 <= self.shown {
            self.write_line(text);
        }
    }

    fn note(&mut self, text: &str) {
        self.first_error.get_or_insert_with(|| clip(text, FIRST_ERROR_MAX).to_owned());
    }

    /// A log that cannot be written (disk full, closed pipe) must not end a command that holds a frozen tree.
    fn write_line(&mut self, text: &str) {
        let mut line = String::with_capacity(text.len() + 16);
        if self.shown >= Level::Info as u8 {
            let elapsed = self.start.get_or_insert_with(Instant::now).elapsed();
            let _ = write!(line, "({:02}.{:06}) ", elapsed.as_secs(), elapsed.subsec_micros());
        }
        line.push_str(text);
        line.push('\n');
        let _ = match &mut self.output {
            Output::Stderr => std::io::stderr().write_all(line.as_bytes()),
            Output::File(file) => file.write_all(line.as_bytes()),
        };
    }
}

/// The longest start of `text` that has at most `max` bytes and splits no character.
fn clip(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// Poisoning means that a thread panicked between two lines; the log itself is whole.
fn lock() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows control characters (C0, DEL, C1) as `\xNN`.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() {
                write!(self.0, "\\x{:02x}", u32::from(c))?;
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

/// `text` with its control characters shown as `\xNN`: for reports, which print names as the log does.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let _ = Escaped(&mut escaped).write_str(text);
    escaped
}

/// Logs at the given level if it is shown, and an error always, for [`first_error`].
#[macro_export]
#[doc(hidden)]
macro_rules! log_line {
    ($level:expr, $($message:tt)+) => {
        if $crate::log::enabled($level) || $level == $crate::log::Level::Error {
            $crate::log::write($level, file!(), line!(), format_args!($($message)+));
        }
    };
}

/// The command fails: `Error (file:line): ...`.
#[macro_export]
#[doc(hidden)]
macro_rules! log_error { ($($m:tt)+) => { $crate::log_line!($crate::log::Level::Error, $($m)+) } }

/// Something is not as it should be: `Warn  (file:line): ...`.
#[macro_export]
#[doc(hidden)]
macro_rules! log_warn { ($($m:tt)+) => { $crate::log_line!($crate::log::Level::Warn, $($m)+) } }

/// The phases and what they found.
#[macro_export]
#[doc(hidden)]
macro_rules! log_info { ($($m:tt)+) => { $crate::log_line!($crate::log::Level::Info, $($m)+) } }

/// Every object and call.
#[macro_export]
#[doc(hidden)]
macro_rules! log_debug { ($($m:tt)+) => { $crate::log_line!($crate::log::Level::Debug, $($m)+) } }

pub use crate::{log_debug as debug, log_error as error, log_info as info, log_warn as warn};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The process has one log, which other tests use as well, so these have their own.
    fn logged(shown: u8, lines: &[(Level, &str)]) -> (String, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.log");
        std::fs::write(&path, "what an earlier run left").unwrap();
        let output = Output::File(create(&path).unwrap());
        let mut log = Log { output, shown, start: Some(Instant::now()), first_error: None };
        for (level, text) in lines {
            log.record(*level, &render(*level, "engine/src/dump.rs", 12, format_args!("{text}")));
        }
        (std::fs::read_to_string(&path).unwrap(), log.first_error)
    }

    #[test]
    fn lines_are_crius_and_the_first_error_is_kept() {
        let (text, first) = logged(
            3,
            &[
                (Level::Info, "task 17 (ca\x1b[2Jt)"),
                (Level::Warn, "two\nlines"),
                (Level::Error, "open /tmp/a"),
                (Level::Error, "Dumping FAILED."),
                (Level::Debug, "not at this level"),
            ],
        );
        let (stamps, lines): (Vec<_>, Vec<_>) = text.lines().map(|l| l.split_once(") ").unwrap()).unzip();
        assert_eq!(
            lines,
            [
                r"task 17 (ca\x1b[2Jt)",
                r"Warn  (dump.rs:12): two\x0alines",
                "Error (dump.rs:12): open /tmp/a",
                "Error (dump.rs:12): Dumping FAILED."
            ]
        );
        assert!(stamps.iter().all(|s| s.starts_with("(00.") && s.len() == "(00.000000".len()), "{stamps:?}");
        assert_eq!(first.as_deref(), Some("Error (dump.rs:12): open /tmp/a"));
    }

    #[test]
    fn the_default_level_has_no_times() {
        let (text, first) = logged(DEFAULT_LEVEL, &[(Level::Warn, "a"), (Level::Info, "b")]);
        assert_eq!((text.as_str(), first), ("Warn  (dump.rs:12): a\n", None));
    }

    #[test]
    fn a_silent_log_still_keeps_the_first_error() {
        let (text, first) = logged(0, &[(Level::Error, "a")]);
        assert_eq!((text.as_str(), first.as_deref()), ("", Some("Error (dump.rs:12): a")));
    }

    #[test]
    fn clipping_splits_no_character() {
        assert_eq!(clip("aäb", 2), "a");
        assert_eq!(clip("aäb", 9), "aäb");
    }
}
