//! The frozen time in a `stats-dump` image.
//!
//! The file is two magic words (service image, statistics), the length of the message, and the message: protobuf, in
//! which `stats_entry.dump` is field 1 and `dump_stats_entry.frozen_time`, in microseconds, is field 2. Read by hand:
//! the benchmark must not trust the reader of one of the engines that it compares.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

const SERVICE_MAGIC: u32 = 0x5510_5940;
const STATS_MAGIC: u32 = 0x5709_3306;

const DUMP_FIELD: u64 = 1;
const FROZEN_TIME_FIELD: u64 = 2;

/// How long the tree was frozen, by the engine's own count, in microseconds.
pub(crate) fn frozen_microseconds(image: &Path) -> Result<u64> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    frozen(&bytes).with_context(|| image.display().to_string())
}

fn frozen(bytes: &[u8]) -> Result<u64> {
    let mut rest = bytes;
    if [word(&mut rest), word(&mut rest)] != [Some(SERVICE_MAGIC), Some(STATS_MAGIC)] {
        bail!("not a statistics image");
    }
    let length = word(&mut rest).context("the image ends before its message")?;
    let message = rest.get(..length as usize).context("the image ends within its message")?;
    match field(message, DUMP_FIELD)? {
        Some(Field::Bytes(dump)) => match field(dump, FROZEN_TIME_FIELD)? {
            Some(Field::Number(microseconds)) => Ok(microseconds),
            _ => bail!("no frozen time"),
        },
        _ => bail!("no statistics of a dump"),
    }
}

fn word(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*head))
}

/// The value of a field, of the two kinds that these messages have.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The first field numbered `wanted` in a protobuf message.
fn field(mut message: &[u8], wanted: u64) -> Result<Option<Field<'_>>> {
    const CUT: &str = "the message is cut off";
    while !message.is_empty() {
        let key = varint(&mut message).context(CUT)?;
        let value = varint(&mut message).context(CUT)?;
        let value = match key & 7 {
            0 => Field::Number(value),
            2 => {
                let (bytes, rest) = message.split_at_checked(value.try_into()?).context(CUT)?;
                message = rest;
                Field::Bytes(bytes)
            }
            other => bail!("field {} has wire type {other}", key >> 3),
        };
        if key >> 3 == wanted {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Seven bits per byte, the lowest first; the high bit says that another byte follows.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `freezing_time` 5, `frozen_time` 300, `memdump_time` 1, as CRIU frames them.
    const IMAGE: [u8; 21] =
        [0x40, 0x59, 0x10, 0x55, 0x06, 0x33, 0x09, 0x57, 9, 0, 0, 0, 0x0a, 7, 8, 5, 16, 0xac, 2, 24, 1];

    #[test]
    fn frozen_time_is_found() {
        assert_eq!(frozen(&IMAGE).unwrap(), 300);
    }

    #[test]
    fn a_cut_or_foreign_image_is_an_error() {
        for length in 0..IMAGE.len() {
            assert!(frozen(&IMAGE[..length]).is_err(), "{length} bytes");
        }
        let mut foreign = IMAGE;
        foreign[4] ^= 1;
        assert!(frozen(&foreign).is_err());
    }
}
