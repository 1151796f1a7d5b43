//! Numbers, fields and escapes of the text that /proc prints.
//!
//! Works on bytes: names in /proc need not be UTF-8. Numbers are strict: an empty field, a sign where none is due, or
//! an overflow is `None`, which the parsers turn into a [`malformed`] error.

use crate::error::{Blame, Error, Result};

/// How much of the offending bytes an error quotes.
const QUOTE: usize = 80;

/// The error of all parsers here: `what` names the field, `bytes` is what stood there.
pub(super) fn malformed(what: &str, bytes: &[u8]) -> Error {
    let quote = bytes.get(..QUOTE).unwrap_or(bytes).escape_ascii();
    Error::new("E-PROC-FORMAT", Blame::Kernel, format!("{what} is malformed: \"{quote}\""))
        .help("this kernel prints a format that crio does not know: please report it with `uname -r`")
}

/// The error for a line or field that is not there.
pub(super) fn missing(what: &str) -> Error {
    Error::new("E-PROC-FORMAT", Blame::Kernel, format!("{what} is missing"))
        .help("this kernel prints a format that crio does not know: please report it with `uname -r`")
}

/// An unsigned number of `radix` without sign or prefix.
fn radix(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        value.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))
    })
}

/// Reads `bytes` as a decimal number of any integer type, negative if the type is signed.
pub(super) fn dec<T: TryFrom<i128>>(bytes: &[u8]) -> Option<T> {
    let value = match bytes.strip_prefix(b"-") {
        Some(digits) => -i128::from(radix(digits, 10)?),
        None => i128::from(radix(bytes, 10)?),
    };
    T::try_from(value).ok()
}

/// Reads hexadecimal digits without `0x`.
pub(super) fn hex(bytes: &[u8]) -> Option<u64> {
    radix(bytes, 16)
}

/// Reads octal digits.
pub(super) fn oct(bytes: &[u8]) -> Option<u64> {
    radix(bytes, 8)
}

/// The fields of a line, separated by any number of blanks and tabs.
pub(super) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| matches!(b, b' ' | b'\t')).filter(|field| !field.is_empty())
}

/// The lines of a file; the newline that ends the last line does not start another.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|&b| b == b'\n').filter(move |_| !text.is_empty())
}

/// Splits at the first `separator`, which is dropped.
pub(super) fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// Undoes `mangle_path` of fs/seq_file.c: `\ooo`, three octal digits, is one byte. Any other backslash is itself.
pub(super) fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let code = if first == b'\\' {
            tail.get(..3).and_then(oct).and_then(|c| u8::try_from(c).ok())
        } else {
            None
        };
        out.push(code.unwrap_or(first));
        rest = if code.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    out
}

/// A file that holds a single value: the bytes without the final newline.
pub(super) fn chomp(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

/// Like `Option::ok_or_else` with [`malformed`]; keeps the parsers to one line a field.
pub(super) fn field<T>(what: &str, bytes: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T> {
    read(bytes).ok_or_else(|| malformed(what, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_strict() {
        assert_eq!(dec::<u64>(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(dec::<u64>(b"18446744073709551616"), None);
        assert_eq!(dec::<i32>(b"-2147483648"), Some(i32::MIN));
        assert_eq!(
            (dec::<u32>(b"-1"), dec::<u32>(b"+1"), dec::<u32>(b""), dec::<u32>(b"-")),
            (None, None, None, None)
        );
        assert_eq!(
            (hex(b"7ffd0"), hex(b"0x1"), oct(b"0100000"), oct(b"8")),
            (Some(0x7ffd0), None, Some(0o100000), None)
        );
    }

    #[test]
    fn unescapes_octal_only() {
        assert_eq!(unescape(br"/a\040b\012\134c"), b"/a b\n\\c");
        assert_eq!(unescape(br"\0\04\x\999"), br"\0\04\x\999");
        assert_eq!(unescape(br"\777"), br"\777");
    }

    #[test]
    fn splits_lines_and_fields() {
        assert_eq!(lines(b"a\n\nb\n").collect::<Vec<_>>(), [b"a".as_slice(), b"", b"b"]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(fields(b" a\t b  ").collect::<Vec<_>>(), [b"a", b"b"]);
    }
}
