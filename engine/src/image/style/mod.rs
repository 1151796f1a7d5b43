//! How a field of a message looks in JSON: addresses in hexadecimal, flags by name, bytes as base64.
//!
//! A field names its style in `#[serde(with = "As::<Hex>")]`. The looks are crit's, so that either tool encodes what
//! the other decoded. crit has two levels: plain (numbers stay numbers) and pretty; [`pretty`] chooses for the
//! calling thread, because a serde serializer has no place to carry such a choice. Reading accepts both levels.
//!
//! crit names the flags of an image of any machine as if it were x86's. So do we, in JSON; what is only shown, [`of`] the
//! machine of the dump, has the names of that machine.

use std::cell::Cell;
use std::marker::PhantomData;
use std::thread::LocalKey;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::message::Machine;

mod bytes;
mod flags;

pub use bytes::{Base64, Text, UnixName, base64_decode, base64_encode};
pub use flags::{
    MapFlags, OpenFlags, PageFlags, Prot, Seals, SockFamily, SockProto, SockState, SockType, TaskState,
    VmaStatus,
};

thread_local! {
    static PRETTY: Cell<bool> = const { Cell::new(false) };
    static MACHINE: Cell<Machine> = const { Cell::new(Machine::X86_64) };
}

/// Runs `body` with pretty (or plain) looks for everything that this thread serializes in it.
pub fn pretty<T>(on: bool, body: impl FnOnce() -> T) -> T {
    with(&PRETTY, on, body)
}

/// Runs `body` with the names that flags have on `machine`, in everything that this thread shows in it. What was shown so
/// cannot be read back on another machine: it is for people.
pub fn of<T>(machine: Machine, body: impl FnOnce() -> T) -> T {
    with(&MACHINE, machine, body)
}

/// Runs `body` with another value of a choice, which is as before at its end.
fn with<C: Copy, T>(choice: &'static LocalKey<Cell<C>>, value: C, body: impl FnOnce() -> T) -> T {
    struct Restore<C: Copy + 'static>(&'static LocalKey<Cell<C>>, C);
    impl<C: Copy> Drop for Restore<C> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(choice, choice.replace(value));
    body()
}

/// The bridge from a style to serde's `with`.
#[derive(Debug)]
pub struct As<S>(PhantomData<S>);

impl<S> As<S> {
    /// For `#[serde(with)]`.
    pub fn serialize<V, Z: Serializer>(value: &V, serializer: Z) -> Result<Z::Ok, Z::Error>
    where
        S: Style<V>,
    {
        S::show(value, PRETTY.get()).serialize(serializer)
    }

    /// For `#[serde(with)]`.
    pub fn deserialize<'de, V, D: Deserializer<'de>>(deserializer: D) -> Result<V, D::Error>
    where
        S: Style<V>,
    {
        let value = Value::deserialize(deserializer)?;
        S::read(&value).ok_or_else(|| D::Error::custom(format!("{value} is not {}", S::EXPECTS)))
    }
}

/// The look of a `V` in JSON.
pub trait Style<V> {
    /// What reading expects, for the error: "a number or 0x..."
    const EXPECTS: &'static str;
    /// `value` as JSON; crit's pretty look if `pretty`.
    fn show(value: &V, pretty: bool) -> Value;
    /// The reverse of both looks.
    fn read(json: &Value) -> Option<V>;
}

/// The look of an integer of any width; [`Style`] of scalars, options and lists follows from it.
pub trait IntStyle {
    /// See [`Style::EXPECTS`].
    const TAKES: &'static str;
    /// The pretty look, or `None` for the bare number.
    fn text(value: u64) -> Option<String>;
    /// The reverse of `text`, and of other spellings of a number.
    fn parse(text: &str) -> Option<u64>;
    /// Whether the plain level uses `text`, too.
    const ALWAYS: bool = false;
}

/// `0x1f`, `31`.
pub fn parse_number(text: &str) -> Option<u64> {
    match text.trim().strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.trim().parse().ok(),
    }
}

macro_rules! integers {
    ($($int:ty => $wide:ty),*) => {$(
        impl<S: IntStyle> Style<$int> for S {
            const EXPECTS: &'static str = S::TAKES;
            fn show(value: &$int, pretty: bool) -> Value {
                let text = if pretty || S::ALWAYS { S::text(*value as $wide as u64) } else { None };
                text.map_or_else(|| Value::from(*value), Value::from)
            }
            fn read(json: &Value) -> Option<$int> {
                match json {
                    Value::String(text) => <$wide>::try_from(S::parse(text)?).ok().map(|wide| wide as $int),
                    _ => serde_json::from_value(json.clone()).ok(),
                }
            }
        }
        impl<S: IntStyle> Style<Option<$int>> for S {
            const EXPECTS: &'static str = S::TAKES;
            fn show(value: &Option<$int>, pretty: bool) -> Value {
                value.map_or(Value::Null, |v| <S as Style<$int>>::show(&v, pretty))
            }
            fn read(json: &Value) -> Option<Option<$int>> {
                if json.is_null() { Some(None) } else { <S as Style<$int>>::read(json).map(Some) }
            }
        }
        impl<S: IntStyle> Style<Vec<$int>> for S {
            const EXPECTS: &'static str = S::TAKES;
            fn show(value: &Vec<$int>, pretty: bool) -> Value {
                value.iter().map(|v| <S as Style<$int>>::show(v, pretty)).collect()
            }
            fn read(json: &Value) -> Option<Vec<$int>> {
                json.as_array()?.iter().map(<S as Style<$int>>::read).collect()
            }
        }
    )*};
}
// An enumeration is an i32 on the wire and never negative; the cast keeps the bits of what a hostile image says.
integers!(u32 => u32, u64 => u64, i32 => u32);

/// Pretty: `0x7f00`.
#[derive(Debug)]
pub struct Hex;

impl IntStyle for Hex {
    const TAKES: &'static str = "a number or 0x and hexadecimal digits";
    fn text(value: u64) -> Option<String> {
        Some(format!("{value:#x}"))
    }
    fn parse(text: &str) -> Option<u64> {
        parse_number(text)
    }
}

/// Always the name of an enumeration's value; a value without name stays a number.
#[derive(Debug)]
pub struct Named<E>(PhantomData<E>);

impl<E: TryFrom<i32> + Into<i32> + Serialize + DeserializeOwned> IntStyle for Named<E> {
    const TAKES: &'static str = "a name or number of this enumeration";
    const ALWAYS: bool = true;
    fn text(value: u64) -> Option<String> {
        let variant = E::try_from(i32::try_from(value).ok()?).ok()?;
        serde_json::to_value(variant).ok()?.as_str().map(str::to_owned)
    }
    fn parse(text: &str) -> Option<u64> {
        let variant: E = serde_json::from_value(Value::from(text)).ok()?;
        u64::try_from(variant.into()).ok()
    }
}

/// Pretty: `8:1`, from the kernel's own 12:20 device number.
#[derive(Debug)]
pub struct NewDev;

impl IntStyle for NewDev {
    const TAKES: &'static str = "a number or MAJOR:MINOR";
    fn text(value: u64) -> Option<String> {
        Some(format!("{}:{}", value >> 20, value & 0xf_ffff))
    }
    fn parse(text: &str) -> Option<u64> {
        match text.split_once(':') {
            Some((major, minor)) => {
                Some(major.parse::<u64>().ok()? << 20 | minor.parse::<u64>().ok()? & 0xf_ffff)
            }
            None => parse_number(text),
        }
    }
}

/// Pretty: `8:1`, from the device number that stat(2) shows (glibc's gnu_dev_major).
#[derive(Debug)]
pub struct OldDev;

impl IntStyle for OldDev {
    const TAKES: &'static str = "a number or MAJOR:MINOR";
    fn text(value: u64) -> Option<String> {
        Some(format!("{}:{}", libc::major(value), libc::minor(value)))
    }
    fn parse(text: &str) -> Option<u64> {
        match text.split_once(':') {
            Some((major, minor)) => Some(libc::makedev(major.parse().ok()?, minor.parse().ok()?)),
            None => parse_number(text),
        }
    }
}

/// Pretty: one address from the words that a socket holds in network order; one word is IPv4, four are IPv6.
#[derive(Debug)]
pub struct Ip;

impl Style<Vec<u32>> for Ip {
    const EXPECTS: &'static str = "a list of one address or of numbers";
    fn show(value: &Vec<u32>, pretty: bool) -> Value {
        // The words are kept in memory order of a little-endian machine, so their bytes are the address.
        let octets: Vec<u8> = value.iter().flat_map(|word| word.to_le_bytes()).collect();
        let text = if let Ok(v4) = <[u8; 4]>::try_from(octets.as_slice()) {
            std::net::Ipv4Addr::from(v4).to_string()
        } else if let Ok(v6) = <[u8; 16]>::try_from(octets.as_slice()) {
            std::net::Ipv6Addr::from(v6).to_string()
        } else {
            return Value::from(value.clone());
        };
        if pretty { Value::from(vec![text]) } else { Value::from(value.clone()) }
    }
    fn read(json: &Value) -> Option<Vec<u32>> {
        let words = |octets: &[u8]| {
            octets.chunks_exact(4).filter_map(|word| word.try_into().ok()).map(u32::from_le_bytes).collect()
        };
        match json.as_array()?.as_slice() {
            [Value::String(text)] => Some(match text.parse().ok()? {
                std::net::IpAddr::V4(v4) => words(&v4.octets()),
                std::net::IpAddr::V6(v6) => words(&v6.octets()),
            }),
            _ => serde_json::from_value(json.clone()).ok(),
        }
    }
}
