//! Names that stand for other numbers on other machines.
//!
//! x86 has the numbers of the kernel's asm-generic, as have s390, riscv and loongarch. arm moved some for its first
//! libraries, powerpc others, and MIPS took the ones of IRIX: arch/*/include/uapi/asm/fcntl.h and mman.h, and
//! arch/mips/include/asm/socket.h.

use super::{bits_to_text, one_of, text_to_bits};
use crate::image::message::Machine;
use crate::image::style::{IntStyle, MACHINE};

type Names = &'static [(&'static str, u64)];

/// O_* of open(2).
#[derive(Debug)]
pub struct OpenFlags;

impl OpenFlags {
    fn names() -> Names {
        match MACHINE.get() {
            Machine::Arm | Machine::Aarch64 => OPEN_ARM,
            Machine::Ppc64 => OPEN_POWERPC,
            Machine::Mips => OPEN_MIPS,
            _ => OPEN_GENERIC,
        }
    }
}

const OPEN_GENERIC: Names = &[
    ("O_WRONLY", 0o1),
    ("O_RDWR", 0o2),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_NOCTTY", 0o400),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_DSYNC", 0o10000),
    ("FASYNC", 0o20000),
    ("O_DIRECT", 0o40000),
    ("O_LARGEFILE", 0o100000),
    ("O_DIRECTORY", 0o200000),
    ("O_NOFOLLOW", 0o400000),
    ("O_NOATIME", 0o1000000),
    ("O_CLOEXEC", 0o2000000),
];

const OPEN_ARM: Names = &[
    ("O_WRONLY", 0o1),
    ("O_RDWR", 0o2),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_NOCTTY", 0o400),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_DSYNC", 0o10000),
    ("FASYNC", 0o20000),
    ("O_DIRECTORY", 0o40000),
    ("O_NOFOLLOW", 0o100000),
    ("O_DIRECT", 0o200000),
    ("O_LARGEFILE", 0o400000),
    ("O_NOATIME", 0o1000000),
    ("O_CLOEXEC", 0o2000000),
];

const OPEN_POWERPC: Names = &[
    ("O_WRONLY", 0o1),
    ("O_RDWR", 0o2),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_NOCTTY", 0o400),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_DSYNC", 0o10000),
    ("FASYNC", 0o20000),
    ("O_DIRECTORY", 0o40000),
    ("O_NOFOLLOW", 0o100000),
    ("O_LARGEFILE", 0o200000),
    ("O_DIRECT", 0o400000),
    ("O_NOATIME", 0o1000000),
    ("O_CLOEXEC", 0o2000000),
];

const OPEN_MIPS: Names = &[
    ("O_WRONLY", 0x1),
    ("O_RDWR", 0x2),
    ("O_APPEND", 0x8),
    ("O_DSYNC", 0x10),
    ("O_NONBLOCK", 0x80),
    ("O_CREAT", 0x100),
    ("O_TRUNC", 0x200),
    ("O_EXCL", 0x400),
    ("O_NOCTTY", 0x800),
    ("FASYNC", 0x1000),
    ("O_LARGEFILE", 0x2000),
    ("O_DIRECT", 0x8000),
    ("O_DIRECTORY", 0x10000),
    ("O_NOFOLLOW", 0x20000),
    ("O_NOATIME", 0x40000),
    ("O_CLOEXEC", 0x80000),
];

/// MAP_* of mmap(2).
#[derive(Debug)]
pub struct MapFlags;

impl MapFlags {
    fn names() -> Names {
        match MACHINE.get() {
            Machine::Mips => MAP_MIPS,
            _ => MAP_GENERIC,
        }
    }
}

const MAP_GENERIC: Names = &[
    ("MAP_SHARED", 1),
    ("MAP_PRIVATE", 2),
    ("MAP_DROPPABLE", 8),
    ("MAP_ANON", 0x20),
    ("MAP_GROWSDOWN", 0x100),
];
const MAP_MIPS: Names = &[
    ("MAP_SHARED", 1),
    ("MAP_PRIVATE", 2),
    ("MAP_DROPPABLE", 8),
    ("MAP_ANON", 0x800),
    ("MAP_GROWSDOWN", 0x1000),
];

/// Type of a socket.
#[derive(Debug)]
pub struct SockType;

impl SockType {
    fn names() -> Names {
        match MACHINE.get() {
            Machine::Mips => SOCK_MIPS,
            _ => SOCK_GENERIC,
        }
    }
}

const SOCK_GENERIC: Names = &[("STREAM", 1), ("DGRAM", 2), ("RAW", 3), ("SEQPACKET", 5), ("PACKET", 10)];
const SOCK_MIPS: Names = &[("DGRAM", 1), ("STREAM", 2), ("RAW", 3), ("SEQPACKET", 5), ("PACKET", 10)];

macro_rules! masks {
    ($($style:ident),*) => {$(
        impl IntStyle for $style {
            const TAKES: &'static str = "a number or names joined by |";
            fn text(value: u64) -> Option<String> {
                Some(bits_to_text(value, Self::names()))
            }
            fn parse(text: &str) -> Option<u64> {
                text_to_bits(text, Self::names())
            }
        }
    )*};
}

masks!(OpenFlags, MapFlags);

impl IntStyle for SockType {
    const TAKES: &'static str = "a number or a name of this set";
    fn text(value: u64) -> Option<String> {
        Self::names().iter().find(|(_, v)| *v == value).map(|(name, _)| (*name).to_owned())
    }
    fn parse(text: &str) -> Option<u64> {
        one_of(text, Self::names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::style;

    #[test]
    fn a_number_has_the_name_of_its_machine() {
        let open = |machine, value| style::of(machine, || OpenFlags::text(value)).unwrap_or_default();
        assert_eq!(open(Machine::X86_64, 0o2002002), "O_RDWR | O_APPEND | O_CLOEXEC");
        assert_eq!(open(Machine::Mips, 0x8_000a), "O_RDWR | O_APPEND | O_CLOEXEC");
        assert_eq!(open(Machine::Aarch64, 0o40000), "O_DIRECTORY");
        assert_eq!(open(Machine::Ppc64, 0o200000), "O_LARGEFILE");
        let map = |machine| style::of(machine, || MapFlags::text(0x802)).unwrap_or_default();
        assert_eq!(
            (map(Machine::Mips), map(Machine::Arm)),
            ("MAP_PRIVATE | MAP_ANON".into(), "MAP_PRIVATE | 0x800".into())
        );
        assert_eq!(style::of(Machine::Mips, || SockType::text(1)).as_deref(), Some("DGRAM"));
    }

    #[test]
    fn this_machine_agrees() {
        let word = |name: &str, names: Names| one_of(name, names);
        let names = style::of(crate::resource::task::registers::machine(), || {
            (OpenFlags::names(), MapFlags::names(), SockType::names())
        });
        for (name, value) in [
            ("O_APPEND", libc::O_APPEND),
            ("O_NONBLOCK", libc::O_NONBLOCK),
            ("O_DIRECT", libc::O_DIRECT),
            ("O_DIRECTORY", libc::O_DIRECTORY),
            ("O_NOFOLLOW", libc::O_NOFOLLOW),
            ("O_DSYNC", libc::O_DSYNC),
            ("O_CREAT", libc::O_CREAT),
            ("O_EXCL", libc::O_EXCL),
            ("O_NOCTTY", libc::O_NOCTTY),
            ("FASYNC", libc::O_ASYNC),
        ] {
            assert_eq!(word(name, names.0), Some(value as u64), "{name}");
        }
        assert_eq!(word("MAP_ANON", names.1), Some(libc::MAP_ANONYMOUS as u64));
        assert_eq!(word("MAP_GROWSDOWN", names.1), Some(libc::MAP_GROWSDOWN as u64));
        assert_eq!(word("DGRAM", names.2), Some(libc::SOCK_DGRAM as u64));
    }
}
