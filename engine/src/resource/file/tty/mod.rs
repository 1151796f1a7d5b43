//! Terminals: tty(4), pty(7), pts(4), drivers/tty/.
//!
//! A terminal ([`TtyInfoEntry`] of `tty-info.img`) has settings, a window size, a session that it controls and unread
//! input; any number of descriptions ([`TtyFileEntry`] of `files.img`) are open on it. The two ends of a pseudo
//! terminal are two terminals with one set of settings and one number, N of /dev/pts/N. What there may be:
//! - both ends in the tree: a new pair with the same number;
//! - a slave whose master is outside: the terminal of a shell job. It needs `--shell-job`, and becomes the terminal of
//!   whoever restores;
//! - a slave whose master is gone: hung up, and so it comes back;
//! - a terminal of the command line (`--external tty[RDEV:DEV]`), inherited on restore;
//! - /dev/console and virtual terminals: opened by path.
//!
//! Not kept: output stopped by ^S; a status of packet mode that the master has not read; input beyond what
//! [`queue`] says. Refused: serial lines and other devices.
//!
//! | module | what it is |
//! |---|---|
//! | [`dump`] | [`TtyDump`]: descriptions to entries, and what stands in the way |
//! | [`restore`] | [`TtyRestore`]: entries to descriptions |
//! | [`foreground`] | [`Foreground`]: our own terminal, lent to a shell job |
//! | [`queue`] | unread input: copying it, and putting it back |
//! | [`settings`] | `struct termios2` and its message |
//!
//! [`TtyInfoEntry`]: crate::image::message::TtyInfoEntry
//! [`TtyFileEntry`]: crate::image::message::TtyFileEntry

mod dump;
mod foreground;
mod queue;
mod restore;
mod settings;
#[cfg(test)]
mod tests;

pub use dump::{TaskTerminal, TtyDump};
pub use foreground::Foreground;
pub use restore::{Opened, TtyClaim, TtyRestore};

use std::os::fd::AsFd;

use nix::sys::stat::{major, minor};

use super::Description;
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::TtyType;
use crate::sys::tty;

/// Majors of include/uapi/linux/major.h.
const TTY_MAJOR: u64 = 4;
const TTYAUX_MAJOR: u64 = 5;
const PTY_SLAVE_MAJOR: u64 = 136;

/// Numbers by which CRIU tells terminals apart that are no pseudo terminals.
const CONSOLE_NUMBER: u32 = 1002;
const VT_NUMBER: u32 = 1004;
const CTTY_NUMBER: u32 = 1006;
const EXTERNAL_NUMBER: u32 = 1013;

/// Above all numbers of pairs, NR_UNIX98_PTY_MAX of linux/tty.h.
const BEYOND_PAIRS: u32 = 1 << 20;

/// Which terminal a description is open on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terminal {
    kind: TtyType,
    /// Number of the pair, or CRIU's number for this kind.
    number: u32,
    master: bool,
}

impl Terminal {
    /// `external` are the arguments of `--external`.
    fn of(file: &Description<'_>, external: &[String]) -> Result<Terminal> {
        let (rdev, dev) = (file.stat.st_rdev, file.stat.st_dev);
        let key = key(rdev as u32, dev as u32);
        let other = |kind, number| Ok(Terminal { kind, number, master: false });
        if external
            .iter()
            .any(|given| given.split("]:").next().map(|k| k.trim_end_matches(']')) == key.strip_suffix(']'))
        {
            return other(TtyType::ExtTty, EXTERNAL_NUMBER);
        }
        match (major(rdev), minor(rdev)) {
            (TTYAUX_MAJOR, 0) => other(TtyType::Ctty, CTTY_NUMBER),
            (TTYAUX_MAJOR, 1) => other(TtyType::Console, CONSOLE_NUMBER),
            (TTYAUX_MAJOR, 2) => {
                let number = tty::pair_number(file.fd.as_fd()).os(|| "ioctl TIOCGPTN")?;
                Ok(Terminal { kind: TtyType::Pty, number, master: true })
            }
            (TTY_MAJOR, 1..=63) => other(TtyType::Vt, VT_NUMBER),
            (PTY_SLAVE_MAJOR, number) => other(TtyType::Pty, number as u32),
            (major, minor) => {
                Err(Error::new("E-TTY-KIND", Blame::Program, "is a terminal of an unsupported kind")
                    .detail(format!(
                        "device {major}:{minor}: a serial line, or a driver without a way to open it again"
                    ))
                    .help(format!(
                        "declare it with --external '{key}' and give it back with --inherit-fd 'fd[N]:{key}'"
                    )))
            }
        }
    }

    /// The id of its entry: CRIU finds the ends of a pair by it. Numbers above 1000, which CRIU refuses, make way for
    /// those of the other kinds.
    fn id(self) -> u32 {
        let number = match self.kind {
            TtyType::Pty if self.number > 1000 => self.number.saturating_add(100),
            _ => self.number,
        };
        number << 1 | u32::from(self.master)
    }

    fn other_end(self) -> Terminal {
        Terminal { master: !self.master, ..self }
    }
}

/// The name of a terminal for `--external` and `--inherit-fd`.
fn key(rdev: u32, dev: u32) -> String {
    format!("tty[{rdev:x}:{dev:x}]")
}
