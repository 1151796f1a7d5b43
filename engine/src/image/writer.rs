//! Writing one image: header, entries, payloads.

use std::fs::File;
use std::io::{BufWriter, Write};

use super::directory::ImageDir;
use super::format::{Header, IMG_COMMON, IMG_SERVICE, Kind};
use super::payload::Entry;
use crate::error::{Error, OsContext, Result};

/// An image being written. Created by [`ImageDir::writer`]; nothing is on disk before the first entry, and errors of
/// buffered data are seen by [`finish`](EntryWriter::finish) only.
#[derive(Debug)]
#[must_use = "finish() reports whether the image was written"]
pub struct EntryWriter {
    dir: ImageDir,
    kind: Kind,
    name: String,
    file: Option<BufWriter<File>>,
}

impl EntryWriter {
    pub(super) fn new(dir: ImageDir, kind: Kind) -> EntryWriter {
        EntryWriter { dir, kind, name: kind.file_name(), file: None }
    }

    /// Appends a message.
    pub fn push<M: Entry>(&mut self, message: &M) -> Result<()> {
        let bytes = entry_to_bytes(message, &self.name)?;
        self.write(&bytes)
    }

    /// Appends a message and the bytes that follow it, padded as the format wants it. Their number must be what the
    /// message says; for a payload of several parts give them in one slice.
    pub fn push_with_payload<M: Entry>(&mut self, message: &M, payload: &[u8]) -> Result<()> {
        let given = payload.len() as u64;
        let size = message.payload().size(given).unwrap_or(u64::MAX);
        if size < given || size - given >= 8 {
            return Err(
                Error::bug(format!("a payload of {given} bytes, the message says {size}")).on(&self.name)
            );
        }
        self.push(message)?;
        self.write(payload)?;
        self.write(&[0; 8][..(size - given) as usize])
    }

    /// The file itself, positioned behind the last entry, for a payload that is spliced or copied by the kernel. Its
    /// offset must be behind that payload at the next push.
    pub fn file(&mut self) -> Result<&mut File> {
        let name = self.name.clone();
        let file = self.opened()?;
        file.flush().os(|| format!("write {name}"))?;
        Ok(file.get_mut())
    }

    /// Flushes what is buffered and closes the image.
    pub fn finish(mut self) -> Result<()> {
        match self.file.take() {
            Some(mut file) => {
                file.flush().os(|| format!("write {}", self.dir.path().join(&self.name).display()))
            }
            None => Ok(()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let path = self.dir.path().join(&self.name);
        self.opened()?.write_all(bytes).os(|| format!("write {}", path.display()))
    }

    fn opened(&mut self) -> Result<&mut BufWriter<File>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = BufWriter::new(self.dir.create_file(&self.name)?);
                file.write_all(&header_to_bytes(self.kind)).os(|| format!("write {}", self.name))?;
                file
            }
        };
        Ok(self.file.insert(file))
    }
}

/// The words that an image of this kind starts with.
pub fn header_to_bytes(kind: Kind) -> Vec<u8> {
    let format = kind.format();
    let words: &[u32] = match format.header {
        Header::Raw => &[],
        Header::Bare => &[format.magic],
        Header::Common => &[IMG_COMMON, format.magic],
        Header::Service => &[IMG_SERVICE, format.magic],
    };
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A message with its size before it.
pub fn entry_to_bytes<M: Entry>(message: &M, name: &str) -> Result<Vec<u8>> {
    frame(&message.encode_to_vec()).ok_or_else(|| Error::image(name, "an entry has more than 2 GiB"))
}

/// Encoded message bytes with their size before them; `None` past the 2 GiB that protobuf allows.
pub fn frame(message: &[u8]) -> Option<Vec<u8>> {
    let size = i32::try_from(message.len()).ok()?;
    Some([&size.to_le_bytes(), message].concat())
}
