//! Reading one image: header, entries, payloads. Nothing that an image says is believed before it is checked.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use super::codec::{Codec, Decoded, parse};
use super::format::{Header, IMG_COMMON, IMG_SERVICE, Kind, LEGACY};
use super::payload::{Entry, Payload};
use crate::error::{Blame, Error, OsContext, Result};

/// Largest message that is read, bytes. A million mappings take a tenth of it.
pub const MAX_MESSAGE: u64 = 1 << 29;

/// An open image. [`next`](EntryReader::next) gives messages in turn and skips payloads that were not asked for.
#[derive(Debug)]
pub struct EntryReader {
    file: BufReader<File>,
    kind: Kind,
    name: String,
    offset: u64,
    len: u64,
    pending: Payload,
}

impl EntryReader {
    /// Takes a file that should be an image of this kind and checks its header; `name` is for messages.
    pub fn new(file: File, kind: Kind, name: &str) -> Result<EntryReader> {
        let mut reader = EntryReader::unchecked(file, kind, name)?;
        let found = reader.header()?;
        if found.is_some_and(|found| found.format().magic != kind.format().magic) {
            let is = found.map_or("", |k| k.format().magic_name);
            return Err(reader.bad(format!("it is a {is} image, not {}", kind.format().magic_name)));
        }
        Ok(reader)
    }

    /// Takes a file of any kind with a header and finds out which it is.
    pub fn detect(file: File, name: &str) -> Result<EntryReader> {
        let mut reader = EntryReader::unchecked(file, Kind::Inventory, name)?;
        let Some(kind) = reader.header()? else { return Err(reader.bad("it has no header")) };
        reader.kind = kind;
        Ok(reader)
    }

    fn unchecked(file: File, kind: Kind, name: &str) -> Result<EntryReader> {
        let metadata = file.metadata().os(|| format!("stat {name}"))?;
        if !metadata.is_file() {
            return Err(Error::image(name, "it is not a regular file"));
        }
        let file = BufReader::new(file);
        let pending = Payload::None;
        Ok(EntryReader { file, kind, name: name.to_owned(), offset: 0, len: metadata.len(), pending })
    }

    /// The kind by the header; `None` for a raw image, which has none.
    fn header(&mut self) -> Result<Option<Kind>> {
        if self.kind.format().header == Header::Raw {
            return Ok(None);
        }
        let first = self.word("its magic")?;
        let magic = if first == IMG_COMMON || first == IMG_SERVICE { self.word("its magic")? } else { first };
        if let Some((template, _)) =
            LEGACY.iter().find(|(_, m)| *m == magic && Kind::from_magic(magic).is_none())
        {
            return Err(Error::new(
                "E-IMAGE-LEGACY",
                Blame::Image,
                format!("{template} is a form of CRIU before 2.0"),
            )
            .on(&self.name)
            .help("dump again with a newer CRIU or with crio"));
        }
        let kind = Kind::from_magic(magic).ok_or_else(|| self.bad(format!("unknown magic {magic:#010x}")))?;
        if first == magic || (first == IMG_SERVICE) == (kind.format().header == Header::Service) {
            return Ok(Some(kind));
        }
        Err(self.bad(format!("first word {first:#010x} does not fit a {} image", kind.format().magic_name)))
    }

    /// The next message, or `None` at the end of the image.
    #[allow(clippy::should_implement_trait)] // it fails, and chooses its type
    pub fn next<M: Entry>(&mut self) -> Result<Option<M>> {
        let (start, bytes) = match self.next_bytes()? {
            Some(entry) => entry,
            None => return Ok(None),
        };
        let message: M = parse(&bytes).map_err(|reason| self.bad_at(start, reason))?;
        self.pending = message.payload();
        Ok(Some(message))
    }

    /// Like [`next`](EntryReader::next), for a message type chosen at run time.
    pub fn next_decoded(&mut self, codec: &Codec) -> Result<Option<Decoded>> {
        let (start, bytes) = match self.next_bytes()? {
            Some(entry) => entry,
            None => return Ok(None),
        };
        let decoded = codec.decode(&bytes).map_err(|reason| self.bad_at(start, reason))?;
        self.pending = decoded.payload;
        Ok(Some(decoded))
    }

    /// What follows the last message, with padding. At most the rest of the image is allocated.
    pub fn payload(&mut self) -> Result<Vec<u8>> {
        let size = self.pending_size()?;
        self.pending = Payload::None;
        self.bytes(size, "its payload")
    }

    /// Offset and size in the file of what follows the last message, for copying it without us; then passes over it.
    pub fn payload_range(&mut self) -> Result<(u64, u64)> {
        let (offset, size) = (self.offset, self.pending_size()?);
        self.skip_payload()?;
        Ok((offset, size))
    }

    /// Passes over what follows the last message.
    pub fn skip_payload(&mut self) -> Result<()> {
        let size = self.pending_size()?;
        self.pending = Payload::None;
        let distance = i64::try_from(size).map_err(|_| self.bad("a payload is too long"))?;
        self.file.seek_relative(distance).os(|| format!("seek {}", self.name))?;
        self.offset += size;
        Ok(())
    }

    /// The file, for reading at an offset of one's own.
    pub fn file(&self) -> &File {
        self.file.get_ref()
    }

    /// Which kind of image it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes in the image.
    #[allow(clippy::len_without_is_empty)] // no image is empty
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Everything, from the first byte: for comparing.
    pub fn whole(mut self) -> Result<Vec<u8>> {
        self.file.rewind().os(|| format!("seek {}", self.name))?;
        self.offset = 0;
        self.bytes(self.len, "its content")
    }

    /// An error about this image, with the place reached.
    pub fn bad(&self, reason: impl Into<String>) -> Error {
        self.bad_at(self.offset, reason)
    }

    fn bad_at(&self, offset: u64, reason: impl Into<String>) -> Error {
        Error::image(&self.name, format!("{} (at byte {offset} of {})", reason.into(), self.len))
    }

    fn next_bytes(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        self.skip_payload()?;
        if self.offset == self.len {
            return Ok(None);
        }
        let start = self.offset;
        let size = u64::from(self.word("the size of an entry")?);
        if size > MAX_MESSAGE {
            return Err(self.bad_at(start, format!("an entry of {size} bytes is too long")));
        }
        Ok(Some((start, self.bytes(size, "an entry")?)))
    }

    fn pending_size(&self) -> Result<u64> {
        let left = self.len.saturating_sub(self.offset);
        match self.pending.size(left) {
            Some(size) if size <= left => Ok(size),
            _ => Err(self.bad(format!("{} bytes are left, the entry says {:?}", left, self.pending))),
        }
    }

    fn word(&mut self, what: &str) -> Result<u32> {
        let bytes = self.bytes(4, what)?;
        Ok(bytes.try_into().map(u32::from_le_bytes).unwrap_or_default())
    }

    /// The next `size` bytes; what the file does not have is neither read nor allocated.
    fn bytes(&mut self, size: u64, what: &str) -> Result<Vec<u8>> {
        let left = self.len.saturating_sub(self.offset);
        if size > left {
            return Err(self.bad(format!("{what} needs {size} bytes, {left} are left")));
        }
        let mut bytes = Vec::new();
        let got =
            (&mut self.file).take(size).read_to_end(&mut bytes).os(|| format!("read {}", self.name))? as u64;
        if got != size {
            return Err(self.bad(format!("{what} needs {size} bytes, {got} are left: the file has shrunk")));
        }
        self.offset += size;
        Ok(bytes)
    }
}
