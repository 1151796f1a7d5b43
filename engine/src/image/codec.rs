//! A message type as a value: what lets one table drive the JSON of every kind of image.

use std::fmt;

use prost::Message;
use serde_json::{Map, Value};

use super::payload::{Entry, Payload};

/// A message as JSON; what is not set is not there.
pub type Fields = Map<String, Value>;

/// The functions of one message type.
#[derive(Clone, Copy)]
pub struct Codec {
    decode: fn(&[u8]) -> Result<Decoded, String>,
    encode: fn(Fields) -> Result<Encoded, String>,
}

/// One message read from an image, for people.
#[derive(Debug)]
pub struct Decoded {
    /// Its fields; what is not set is not there.
    pub fields: Fields,
    /// What follows it in the image.
    pub payload: Payload,
    /// Whether it encodes to the bytes that it came from: false if they hold fields that this version does not know.
    pub exact: bool,
}

/// One message made from JSON.
#[derive(Debug)]
pub struct Encoded {
    /// Wire format, without its size.
    pub message: Vec<u8>,
    /// What has to follow it.
    pub payload: Payload,
}

impl Codec {
    /// The codec of `M`.
    pub const fn of<M: Entry>() -> Codec {
        Codec { decode: decode::<M>, encode: encode::<M> }
    }

    /// Wire format to JSON. The error is a reason without object.
    pub fn decode(&self, bytes: &[u8]) -> Result<Decoded, String> {
        (self.decode)(bytes)
    }

    /// JSON to wire format.
    pub fn encode(&self, fields: Fields) -> Result<Encoded, String> {
        (self.encode)(fields)
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}

/// Reads one message, and refuses it if a required field is missing: prost would take that for zero.
pub fn parse<M: Message + Default>(bytes: &[u8]) -> Result<M, String> {
    let message = M::decode(bytes).map_err(|e| e.to_string())?;
    // Required fields are always encoded, everything else only if it was there: what grew had one missing.
    if message.encoded_len() > bytes.len() {
        return Err("a required field is missing".to_owned());
    }
    Ok(message)
}

fn decode<M: Entry>(bytes: &[u8]) -> Result<Decoded, String> {
    let message: M = parse(bytes)?;
    let exact = message.encode_to_vec() == bytes;
    Ok(Decoded { fields: fields(&message)?, payload: message.payload(), exact })
}

fn encode<M: Entry>(given: Fields) -> Result<Encoded, String> {
    let message: M = serde_json::from_value(Value::Object(given.clone())).map_err(|e| e.to_string())?;
    // serde fills what is missing with defaults; only a required field is shown again without having been given.
    if let Some(path) = missing(&Value::Object(given), &Value::Object(fields(&message)?)) {
        return Err(format!("required field `{path}` is missing"));
    }
    Ok(Encoded { message: message.encode_to_vec(), payload: message.payload() })
}

fn fields<M: Entry>(message: &M) -> Result<Fields, String> {
    match serde_json::to_value(message).map(without_absent).map_err(|e| e.to_string())? {
        Value::Object(fields) => Ok(fields),
        other => Err(format!("{other} is not an object")),
    }
}

/// Drops what serde shows of absent options and empty lists.
fn without_absent(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_absent(value)))
            .filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
            .collect(),
        Value::Array(list) => list.into_iter().map(without_absent).collect(),
        other => other,
    }
}

/// The path of the first field of `shown` that `given` lacks.
fn missing(given: &Value, shown: &Value) -> Option<String> {
    match (given, shown) {
        (Value::Object(given), Value::Object(shown)) => {
            shown.iter().find_map(|(name, value)| match given.get(name) {
                None => Some(name.clone()),
                Some(inner) => missing(inner, value).map(|path| format!("{name}.{path}")),
            })
        }
        (Value::Array(given), Value::Array(shown)) => given
            .iter()
            .zip(shown)
            .enumerate()
            .find_map(|(n, (given, shown))| missing(given, shown).map(|path| format!("{n}.{path}"))),
        _ => None,
    }
}
