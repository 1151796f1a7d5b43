//! A whole image as JSON in crit's shape, and back: `{"magic": "CORE", "entries": [{...fields..., "extra": ...}]}`.
//!
//! `extra` is the payload of an entry: base64, or a list of numbers (semaphores), or alternately message and base64
//! (message queues), or `{"inq", "outq"}` (TCP). Raw images have no JSON: they are what they are.

use std::fs::File;
use std::io::Write;

use serde_json::{Value, json};

use super::codec::{Codec, Decoded, Fields};
use super::format::{Kind, Layout};
use super::payload::Payload;
use super::reader::EntryReader;
use super::style::{base64_decode, base64_encode};
use super::writer::{frame, header_to_bytes};
use crate::error::{Blame, Error, Result};

/// Key of the payload in the JSON of an entry.
const EXTRA: &str = "extra";

/// Reads an image to its end. Numbers look as [`style::pretty`](super::style::pretty) says.
pub fn decode(mut image: EntryReader) -> Result<Value> {
    let layout = &image.kind().format().layout;
    let mut entries = Vec::new();
    while let Some(entry) = next_entry(&mut image, layout, entries.is_empty())? {
        entries.push(Value::Object(entry));
    }
    Ok(json!({ "magic": image.kind().format().magic_name, "entries": entries }))
}

/// Like [`decode`], and tells whether [`encode`] gives back the very bytes of the image: not if it holds fields that
/// this version does not know, or padding that is not zero.
pub fn decode_checked(file: File, name: &str) -> Result<(Value, bool)> {
    let again = file.try_clone().map_err(|e| Error::os(format!("dup {name}"), e))?;
    let whole = EntryReader::detect(file, name)?.whole()?;
    // The clone shares its offset with the first descriptor, which is at the end now.
    let json = decode(EntryReader::detect(rewound(again, name)?, name)?)?;
    let mut bytes = Vec::new();
    let exact = encode(&json, name, &mut bytes).is_ok() && bytes == whole;
    Ok((json, exact))
}

fn rewound(mut file: File, name: &str) -> Result<File> {
    std::io::Seek::rewind(&mut file).map_err(|e| Error::os(format!("seek {name}"), e))?;
    Ok(file)
}

fn next_entry(image: &mut EntryReader, layout: &Layout, first: bool) -> Result<Option<Fields>> {
    let (codec, member) = match layout {
        Layout::Raw => return Err(image.bad("a raw image has no entries")),
        Layout::Each(codec) => (codec, None),
        Layout::HeadThen(head, then) => (if first { head } else { then }, None),
        Layout::Groups(head, member) => (head, Some(member)),
    };
    let Some(Decoded { mut fields, payload, .. }) = image.next_decoded(codec)? else { return Ok(None) };
    if let Some(extra) = decode_payload(image, payload, member)? {
        fields.insert(EXTRA.to_owned(), extra);
    }
    Ok(Some(fields))
}

fn decode_payload(
    image: &mut EntryReader,
    payload: Payload,
    member: Option<&Codec>,
) -> Result<Option<Value>> {
    let bytes = image.payload()?;
    Ok(Some(match payload {
        Payload::None => return Ok(None),
        Payload::Rest => Value::from(base64_encode(&bytes)),
        Payload::Bytes { len, .. } => Value::from(base64_encode(
            bytes.get(..usize::try_from(len).unwrap_or(usize::MAX)).unwrap_or(&bytes),
        )),
        Payload::TcpQueues { inq, .. } => {
            let (inq, outq) = bytes.split_at_checked(inq as usize).unwrap_or((&bytes, &[]));
            json!({ "inq": base64_encode(inq), "outq": base64_encode(outq) })
        }
        Payload::Semaphores(count) => {
            let values = bytes.chunks_exact(2).take(count as usize);
            values.filter_map(|pair| pair.try_into().ok()).map(u16::from_le_bytes).map(Value::from).collect()
        }
        Payload::Messages(count) => {
            let member = member.ok_or_else(|| Error::bug("messages without a codec"))?;
            let mut list = Vec::new();
            for _ in 0..count {
                let Some(Decoded { fields, payload, .. }) = image.next_decoded(member)? else {
                    return Err(image.bad("the queue has fewer messages than it says"));
                };
                list.push(Value::Object(fields));
                list.extend(decode_payload(image, payload, None)?);
            }
            Value::Array(list)
        }
    }))
}

/// Writes the image that `json` describes; `name` is for messages.
pub fn encode(json: &Value, name: &str, out: &mut impl Write) -> Result<()> {
    let bad = |reason: String| Error::new("E-JSON-BAD", Blame::Usage, reason).on(name);
    let magic =
        json.get("magic").and_then(Value::as_str).ok_or_else(|| bad("there is no \"magic\"".to_owned()))?;
    let kind = Kind::from_magic_name(magic).ok_or_else(|| bad(format!("magic {magic:?} is not known")))?;
    let entries = json
        .get("entries")
        .and_then(Value::as_array)
        .ok_or_else(|| bad("there are no \"entries\"".to_owned()))?;
    let mut bytes = header_to_bytes(kind);
    for (n, entry) in entries.iter().enumerate() {
        let encoded = encode_entry(&kind.format().layout, entry, n == 0);
        bytes.extend(encoded.map_err(|reason| bad(format!("entry {n} of {magic}: {reason}")))?);
    }
    out.write_all(&bytes).map_err(|e| Error::os(format!("write {name}"), e))
}

fn encode_entry(layout: &Layout, entry: &Value, first: bool) -> Result<Vec<u8>, String> {
    let (codec, member) = match layout {
        Layout::Raw => return Err("raw images have no JSON".to_owned()),
        Layout::Each(codec) => (codec, None),
        Layout::HeadThen(head, then) => (if first { head } else { then }, None),
        Layout::Groups(head, member) => (head, Some(member)),
    };
    let mut fields = entry.as_object().ok_or("it is not an object")?.clone();
    let extra = fields.remove(EXTRA);
    encode_message(codec, member, fields, extra.as_ref())
}

fn encode_message(
    codec: &Codec,
    member: Option<&Codec>,
    fields: Fields,
    extra: Option<&Value>,
) -> Result<Vec<u8>, String> {
    let encoded = codec.encode(fields)?;
    let mut bytes = frame(&encoded.message).ok_or("it has more than 2 GiB")?;
    bytes.extend(encode_payload(encoded.payload, member, extra)?);
    Ok(bytes)
}

fn encode_payload(
    payload: Payload,
    member: Option<&Codec>,
    extra: Option<&Value>,
) -> Result<Vec<u8>, String> {
    if payload == Payload::None {
        // crit gives an empty one to shared memory that is in pagemaps.
        let empty = extra.is_none_or(|extra| extra.as_str() == Some(""));
        return if empty {
            Ok(Vec::new())
        } else {
            Err("it has an \"extra\", but nothing may follow it".to_owned())
        };
    }
    let extra = extra.ok_or("it lacks \"extra\"")?;
    let mut bytes = match payload {
        Payload::TcpQueues { inq, outq } => {
            let (first, second) = (base64_field(extra.get("inq"))?, base64_field(extra.get("outq"))?);
            check_size("inq", first.len(), inq.into())?;
            check_size("outq", second.len(), outq.into())?;
            [first, second].concat()
        }
        Payload::Semaphores(count) => {
            let values: Vec<u16> = serde_json::from_value(extra.clone()).map_err(|e| e.to_string())?;
            check_size(EXTRA, values.len(), count.into())?;
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        Payload::Messages(count) => encode_queue(extra, member.ok_or("it has no messages")?, count)?,
        Payload::None | Payload::Rest | Payload::Bytes { .. } => base64_field(Some(extra))?,
    };
    if let Payload::Bytes { len, .. } = payload {
        check_size(EXTRA, bytes.len(), len)?;
    }
    if !matches!(payload, Payload::Messages(_)) {
        let size = payload.size(bytes.len() as u64).and_then(|size| usize::try_from(size).ok());
        bytes.resize(size.ok_or("its payload is too long")?, 0);
    }
    Ok(bytes)
}

fn encode_queue(extra: &Value, member: &Codec, count: u32) -> Result<Vec<u8>, String> {
    let list = extra.as_array().ok_or("\"extra\" is not a list")?;
    check_size("messages", list.len() / 2, count.into())?;
    let mut bytes = Vec::new();
    for pair in list.chunks(2) {
        let [Value::Object(message), data] = pair else { return Err("a message without data".to_owned()) };
        bytes.extend(encode_message(member, None, message.clone(), Some(data))?);
    }
    Ok(bytes)
}

fn base64_field(value: Option<&Value>) -> Result<Vec<u8>, String> {
    value.and_then(Value::as_str).and_then(base64_decode).ok_or_else(|| "\"extra\" is not base64".to_owned())
}

fn check_size(what: &str, got: usize, expected: u64) -> Result<(), String> {
    if got as u64 == expected {
        Ok(())
    } else {
        Err(format!("{what:?} has {got}, the message says {expected}"))
    }
}
