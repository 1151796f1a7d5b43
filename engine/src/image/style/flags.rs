//! Looks of bit masks and of small sets of values: `PROT_READ | PROT_EXEC`, `INET6`.
//!
//! A few names stand for other numbers on other machines, in [`machine`]. The rest are the same everywhere.

mod machine;

use super::{IntStyle, parse_number};

pub use machine::{MapFlags, OpenFlags, SockType};

/// `A | B | 0x100`: names of the bits, then the rest.
fn bits_to_text(mut value: u64, names: &[(&str, u64)]) -> String {
    let mut words = Vec::new();
    let all = value;
    for (name, bit) in names {
        if all & bit != 0 {
            words.push((*name).to_owned());
            value &= !bit;
        }
    }
    if value != 0 {
        words.push(format!("{value:#x}"));
    }
    words.join(" | ")
}

/// The reverse of [`bits_to_text`].
fn text_to_bits(text: &str, names: &[(&str, u64)]) -> Option<u64> {
    let words = text.split('|').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| one_of(word, names)).try_fold(0, |bits, bit| Some(bits | bit?))
}

fn one_of(word: &str, names: &[(&str, u64)]) -> Option<u64> {
    names.iter().find(|(name, _)| *name == word).map(|(_, bit)| *bit).or_else(|| parse_number(word))
}

macro_rules! masks {
    ($($(#[$doc:meta])* $style:ident { $($name:literal = $bit:expr),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $style;

        impl $style {
            /// Names and bits, in the order in which they are shown.
            pub const NAMES: &'static [(&'static str, u64)] = &[$(($name, $bit)),*];
        }

        impl IntStyle for $style {
            const TAKES: &'static str = "a number or names joined by |";
            fn text(value: u64) -> Option<String> {
                Some(bits_to_text(value, Self::NAMES))
            }
            fn parse(text: &str) -> Option<u64> {
                text_to_bits(text, Self::NAMES)
            }
        }
    )*};
}

masks! {
    /// PROT_* of mmap(2).
    Prot { "PROT_READ" = 1, "PROT_WRITE" = 2, "PROT_EXEC" = 4 }
    /// Kinds of a mapping, [`status`](crate::image::message::status).
    VmaStatus {
        "VMA_AREA_REGULAR" = 1, "VMA_AREA_STACK" = 1 << 1, "VMA_AREA_VSYSCALL" = 1 << 2, "VMA_AREA_VDSO" = 1 << 3,
        "VMA_AREA_HEAP" = 1 << 5, "VMA_FILE_PRIVATE" = 1 << 6, "VMA_FILE_SHARED" = 1 << 7,
        "VMA_ANON_SHARED" = 1 << 8, "VMA_ANON_PRIVATE" = 1 << 9, "VMA_AREA_SYSVIPC" = 1 << 10,
        "VMA_AREA_SOCKET" = 1 << 11, "VMA_AREA_VVAR" = 1 << 12, "VMA_AREA_AIORING" = 1 << 13,
        "VMA_AREA_MEMFD" = 1 << 14, "VMA_AREA_SHSTK" = 1 << 15, "VMA_AREA_UPROBES" = 1 << 17, "VMA_UNSUPP" = 1 << 31,
    }
    /// F_SEAL_* of fcntl(2).
    Seals {
        "F_SEAL_SEAL" = 1, "F_SEAL_SHRINK" = 2, "F_SEAL_GROW" = 4, "F_SEAL_WRITE" = 8, "F_SEAL_FUTURE_WRITE" = 16,
    }
    /// PE_* of a run of pages.
    PageFlags { "PE_PARENT" = 1, "PE_LAZY" = 2, "PE_PRESENT" = 4 }
}

macro_rules! choices {
    ($($(#[$doc:meta])* $style:ident { $($name:literal = $value:expr),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $style;

        impl $style {
            /// Names and values.
            pub const NAMES: &'static [(&'static str, u64)] = &[$(($name, $value)),*];
        }

        impl IntStyle for $style {
            const TAKES: &'static str = "a number or a name of this set";
            fn text(value: u64) -> Option<String> {
                Self::NAMES.iter().find(|(_, v)| *v == value).map(|(name, _)| (*name).to_owned())
            }
            fn parse(text: &str) -> Option<u64> {
                one_of(text, Self::NAMES)
            }
        }
    )*};
}

choices! {
    /// Address family of a socket.
    SockFamily { "UNIX" = 1, "INET" = 2, "INET6" = 10, "NETLINK" = 16, "PACKET" = 17 }
    /// State of a socket, TCP_* of `<netinet/tcp.h>`.
    SockState {
        "ESTABLISHED" = 1, "SYN_SENT" = 2, "SYN_RECV" = 3, "FIN_WAIT1" = 4, "FIN_WAIT2" = 5, "TIME_WAIT" = 6,
        "CLOSE" = 7, "CLOSE_WAIT" = 8, "LAST_ACK" = 9, "LISTEN" = 10,
    }
    /// Protocol of an IP socket.
    SockProto { "IP" = 0, "TCP" = 6, "UDP" = 17, "UDPLITE" = 136 }
}

/// State of a task. crit calls 3 "Zombie" and 6 "Stopped", the wrong way round, so only 1 is shown by name; its names
/// are read as crit means them.
#[derive(Debug)]
pub struct TaskState;

impl IntStyle for TaskState {
    const TAKES: &'static str = "a number or Alive";
    fn text(value: u64) -> Option<String> {
        (value == 1).then(|| "Alive".to_owned())
    }
    fn parse(text: &str) -> Option<u64> {
        one_of(text, &[("Alive", 1), ("Zombie", 3), ("Stopped", 6)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_show_names_and_the_rest() {
        assert_eq!(Prot::text(0x15).as_deref(), Some("PROT_READ | PROT_EXEC | 0x10"));
        assert_eq!(Prot::parse("PROT_READ | PROT_EXEC | 0x10"), Some(0x15));
        assert_eq!((Prot::text(0).as_deref(), Prot::parse("")), (Some(""), Some(0)));
        assert_eq!(Prot::parse("PROT_REED"), None);
    }

    #[test]
    fn choices_leave_unknown_values_as_numbers() {
        assert_eq!(SockFamily::text(10).as_deref(), Some("INET6"));
        assert_eq!(SockFamily::text(77), None);
        assert_eq!(SockFamily::parse("77"), Some(77));
    }
}
