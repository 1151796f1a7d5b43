//! Looks of byte strings: base64 in lines, text that may not be UTF-8, quoted-printable names of unix sockets.

use serde_json::{Value, json};

use super::Style;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Input bytes to a line of 76 characters, as MIME and Python's `encodebytes` have it.
const LINE: usize = 57;

/// base64 in lines of 76 characters, each with a newline: what crit writes.
pub fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(LINE) * 77);
    for line in bytes.chunks(LINE) {
        for group in line.chunks(3) {
            let word = group
                .iter()
                .enumerate()
                .fold(0u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
            for i in 0..4 {
                let sextet = (word >> (18 - 6 * i) & 0x3f) as usize;
                let letter = ALPHABET.get(sextet).copied().unwrap_or(b'=');
                out.push(if i <= group.len() { char::from(letter) } else { '=' });
            }
        }
        out.push('\n');
    }
    out
}

/// The reverse of [`base64_encode`]; white space is skipped, `None` for anything else outside the alphabet.
pub fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0u32, 0);
    for letter in text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b'=') {
        let sextet = ALPHABET.iter().position(|a| *a == letter)?;
        word = word << 6 | u32::try_from(sextet).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits & 0xff) as u8);
        }
    }
    Some(out)
}

macro_rules! optional {
    ($style:ty) => {
        impl Style<Option<Vec<u8>>> for $style {
            const EXPECTS: &'static str = <$style as Style<Vec<u8>>>::EXPECTS;
            fn show(value: &Option<Vec<u8>>, pretty: bool) -> Value {
                value.as_ref().map_or(Value::Null, |bytes| Self::show(bytes, pretty))
            }
            fn read(json: &Value) -> Option<Option<Vec<u8>>> {
                if json.is_null() { Some(None) } else { Self::read(json).map(Some) }
            }
        }
    };
}

/// Opaque bytes: base64.
#[derive(Debug)]
pub struct Base64;

impl Style<Vec<u8>> for Base64 {
    const EXPECTS: &'static str = "base64";
    fn show(value: &Vec<u8>, _pretty: bool) -> Value {
        Value::from(base64_encode(value))
    }
    fn read(json: &Value) -> Option<Vec<u8>> {
        base64_decode(json.as_str()?)
    }
}
optional!(Base64);

/// Text that should be UTF-8: a string, or `{"base64": ...}` when it is not.
#[derive(Debug)]
pub struct Text;

impl Style<Vec<u8>> for Text {
    const EXPECTS: &'static str = "a string or {\"base64\": ...}";
    fn show(value: &Vec<u8>, _pretty: bool) -> Value {
        match std::str::from_utf8(value) {
            Ok(text) => Value::from(text),
            Err(_) => json!({ "base64": base64_encode(value) }),
        }
    }
    fn read(json: &Value) -> Option<Vec<u8>> {
        match json {
            Value::String(text) => Some(text.clone().into_bytes()),
            _ => base64_decode(json.get("base64")?.as_str()?),
        }
    }
}
optional!(Text);

/// The name of a unix socket, which may start with a zero byte: quoted-printable (RFC 2045, section 6.7).
#[derive(Debug)]
pub struct UnixName;

impl Style<Vec<u8>> for UnixName {
    const EXPECTS: &'static str = "quoted-printable text";
    fn show(value: &Vec<u8>, _pretty: bool) -> Value {
        let mut out = String::new();
        for byte in value {
            match byte {
                b'=' | 0..=0x1f | 0x7f.. => out.push_str(&format!("={byte:02X}")),
                _ => out.push(char::from(*byte)),
            }
        }
        Value::from(out)
    }
    fn read(json: &Value) -> Option<Vec<u8>> {
        let mut bytes = json.as_str()?.bytes();
        let mut out = Vec::new();
        while let Some(byte) = bytes.next() {
            if byte != b'=' {
                out.push(byte);
                continue;
            }
            match bytes.next()? {
                b'\n' => {} // a soft line break
                high => {
                    let digits = [high, bytes.next()?];
                    out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                }
            }
        }
        Some(out)
    }
}
optional!(UnixName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_rfc_4648_and_breaks_lines() {
        for (plain, coded) in
            [("", ""), ("f", "Zg==\n"), ("fo", "Zm8=\n"), ("foo", "Zm9v\n"), ("foob", "Zm9vYg==\n")]
        {
            assert_eq!(base64_encode(plain.as_bytes()), coded);
            assert_eq!(base64_decode(coded).as_deref(), Some(plain.as_bytes()));
        }
        let long: Vec<u8> = (0..=255).collect();
        let coded = base64_encode(&long);
        assert_eq!(coded.lines().map(str::len).max(), Some(76));
        assert_eq!(base64_decode(&coded), Some(long));
        assert_eq!(base64_decode("Zm9v!"), None);
    }

    #[test]
    fn socket_names_keep_every_byte() {
        let name: Vec<u8> = (0..=255).collect();
        assert_eq!(UnixName::read(&<UnixName as Style<Vec<u8>>>::show(&name, false)), Some(name));
        assert_eq!(<UnixName as Style<Vec<u8>>>::show(&b"\0a=b".to_vec(), false), json!("=00a=3Db"));
    }

    #[test]
    fn text_that_is_not_utf8_survives() {
        let path = b"/tmp/\xff".to_vec();
        assert_eq!(Text::read(&<Text as Style<Vec<u8>>>::show(&path, false)), Some(path));
    }
}
