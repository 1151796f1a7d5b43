//! `struct termios2` and `struct termios` to and from their message.
//!
//! CRIU writes the speeds as 0, and so they are also in what is locked: then the speed is the one that `c_cflag` names.

use std::os::fd::BorrowedFd;

use libc::{termios, termios2};

use crate::error::{OsContext, Result};
use crate::image::message::{TermiosEntry, WinsizeEntry};
use crate::sys::tty;

/// `CBAUD` value for speeds that have no name, asm-generic/termbits.h.
const BOTHER: u32 = 0o010000;

/// CRIU's TERMIOS_NCC: an entry with fewer words of control characters is refused.
const WORDS: usize = 19;

/// Control characters as CRIU has them: the bytes of the array, four to a word, and words without meaning up to
/// [`WORDS`].
fn pack(cc: &[u8]) -> Vec<u32> {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    let mut words: Vec<u32> = cc.chunks(4).map(word).collect();
    words.resize(WORDS, 0);
    words
}

fn unpack(words: &[u32], cc: &mut [u8]) {
    for (to, from) in cc.iter_mut().zip(words.iter().flat_map(|word| word.to_le_bytes())) {
        *to = from;
    }
}

pub(super) fn to_entry(t: &termios2) -> TermiosEntry {
    TermiosEntry {
        c_iflag: t.c_iflag,
        c_oflag: t.c_oflag,
        c_cflag: t.c_cflag,
        c_lflag: t.c_lflag,
        c_line: t.c_line.into(),
        c_ispeed: t.c_ispeed,
        c_ospeed: t.c_ospeed,
        c_cc: pack(&t.c_cc),
    }
}

pub(super) fn locked_to_entry(t: &termios) -> TermiosEntry {
    TermiosEntry {
        c_iflag: t.c_iflag,
        c_oflag: t.c_oflag,
        c_cflag: t.c_cflag,
        c_lflag: t.c_lflag,
        c_line: t.c_line.into(),
        c_ispeed: 0,
        c_ospeed: 0,
        // The C library's array is longer than the kernel's.
        c_cc: pack(t.c_cc.get(..tty::no_settings().c_cc.len()).unwrap_or(&t.c_cc)),
    }
}

fn from_entry(entry: &TermiosEntry) -> termios2 {
    let mut t = tty::no_settings();
    (t.c_iflag, t.c_oflag, t.c_lflag) = (entry.c_iflag, entry.c_oflag, entry.c_lflag);
    t.c_cflag = entry.c_cflag;
    t.c_line = entry.c_line as u8;
    (t.c_ispeed, t.c_ospeed) = (entry.c_ispeed, entry.c_ospeed);
    if entry.c_cflag & BOTHER != 0 && entry.c_ospeed == 0 {
        // Without the number BOTHER would mean hang up (B0).
        t.c_cflag = t.c_cflag & !libc::CBAUD | libc::B38400;
    }
    unpack(&entry.c_cc, &mut t.c_cc);
    t
}

fn locked_from_entry(entry: &TermiosEntry) -> termios {
    let mut t = tty::no_locked_settings();
    (t.c_iflag, t.c_oflag, t.c_lflag) = (entry.c_iflag, entry.c_oflag, entry.c_lflag);
    t.c_cflag = entry.c_cflag;
    t.c_line = entry.c_line as u8;
    unpack(&entry.c_cc, &mut t.c_cc);
    t
}

/// Sets what the image has.
pub(super) fn apply(fd: BorrowedFd<'_>, entry: &TermiosEntry) -> Result<()> {
    tty::set_settings(fd, &from_entry(entry)).os(|| "ioctl TCSETS2")
}

/// Locks what the image has locked; asks for nothing if it is so already, because that needs CAP_SYS_ADMIN.
pub(super) fn lock(fd: BorrowedFd<'_>, entry: &TermiosEntry) -> Result<()> {
    let has = locked_to_entry(&tty::locked_settings(fd).os(|| "ioctl TIOCGLCKTRMIOS")?);
    let same = TermiosEntry { c_ispeed: 0, c_ospeed: 0, ..entry.clone() } == has;
    if same {
        Ok(())
    } else {
        tty::set_locked_settings(fd, &locked_from_entry(entry)).os(|| "ioctl TIOCSLCKTRMIOS")
    }
}

pub(super) fn window_to_entry([ws_row, ws_col, ws_xpixel, ws_ypixel]: [u16; 4]) -> WinsizeEntry {
    WinsizeEntry {
        ws_row: ws_row.into(),
        ws_col: ws_col.into(),
        ws_xpixel: ws_xpixel.into(),
        ws_ypixel: ws_ypixel.into(),
    }
}

pub(super) fn window_from_entry(entry: &WinsizeEntry) -> [u16; 4] {
    [entry.ws_row, entry.ws_col, entry.ws_xpixel, entry.ws_ypixel].map(|n| n as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_packed_as_criu_does() {
        // From an image of criu 4.2.1; what follows the fifth word is not initialised there.
        let words = [360651779, 65540, 1708817, 370609938, 0, 0, 0, 0, 2187268592, 21845, 2187268592, 21845];
        let entry = TermiosEntry { c_cc: words.to_vec(), ..TermiosEntry::default() };
        let t = from_entry(&entry);
        let keys = [libc::VINTR, libc::VEOF, libc::VMIN, libc::VSTART, libc::VSUSP, libc::VLNEXT];
        assert_eq!(keys.map(|key| t.c_cc[key]), [3, 4, 1, 0x11, 0x1a, 0x16]);
        let again = to_entry(&t).c_cc;
        assert_eq!((again.len(), again.get(..5)), (WORDS, words.get(..5)));
    }

    #[test]
    fn a_speed_without_number_is_not_a_hang_up() {
        let t = from_entry(&TermiosEntry { c_cflag: BOTHER, ..TermiosEntry::default() });
        assert_eq!(t.c_cflag & libc::CBAUD, libc::B38400);
    }
}
