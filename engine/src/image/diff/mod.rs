//! What two directories of images have not in common: messages field by field, memory by ranges of addresses.
//!
//! Entries that have a number of their own (`id`, `pid`, `fd`) are compared with their namesakes, so that one more or
//! less does not shift all others. Where in the pages image a page stands makes no difference. Not compared: statistics
//! and logs, which are no images.

mod fields;
mod memory;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};

use serde::Serialize;
use serde_json::Value;

use super::format::{Header, Kind};
use super::message::MmEntry;
use super::pages::{PageReader, Segment};
use super::{ImageDir, json};
use crate::error::{Error, OsContext, Result};

/// Longest value that is shown whole.
const LONGEST: usize = 60;

/// One thing that is not the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The image's file name.
    pub image: String,
    /// Where in it: `id 5: reg.pos`, `7f0000000000-7f0000002000`; empty for the image as a whole.
    pub place: String,
    /// What differs.
    #[serde(flatten)]
    pub change: Change,
}

/// How something differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum Change {
    /// Only the first directory has it.
    Removed {
        /// A field's value.
        #[serde(skip_serializing_if = "Option::is_none")]
        left: Option<Value>,
    },
    /// Only the second directory has it.
    Added {
        /// A field's value.
        #[serde(skip_serializing_if = "Option::is_none")]
        right: Option<Value>,
    },
    /// A field has two values.
    Value {
        /// In the first directory.
        left: Value,
        /// In the second.
        right: Value,
    },
    /// Bytes are not the same.
    Content,
}

impl Difference {
    /// One line.
    pub fn text(&self) -> String {
        let what = match &self.change {
            Change::Removed { left: None } => "only in the first".to_owned(),
            Change::Removed { left: Some(left) } => format!("only in the first: {}", short(left)),
            Change::Added { right: None } => "only in the second".to_owned(),
            Change::Added { right: Some(right) } => format!("only in the second: {}", short(right)),
            Change::Value { left, right } => format!("{} -> {}", short(left), short(right)),
            Change::Content => "other content".to_owned(),
        };
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        format!("{}: {place}{what}", self.image)
    }
}

fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned).replace('\n', " ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// All differences, image by image. Fails if an image of either directory cannot be read.
pub fn directories(left: &ImageDir, right: &ImageDir) -> Result<Vec<Difference>> {
    let kinds: BTreeSet<Kind> = left.kinds()?.into_iter().chain(right.kinds()?).collect();
    let page_sizes = [page_size(left)?, page_size(right)?];
    let mut found = Vec::new();
    for kind in kinds.into_iter().filter(|kind| is_compared(*kind)) {
        let name = kind.file_name();
        let mut report = |place: String, change: Change| {
            found.push(Difference { image: name.clone(), place, change });
        };
        match (left.open_file(&name)?, right.open_file(&name)?) {
            (Some(_), None) => report(String::new(), Change::Removed { left: None }),
            (None, Some(_)) => report(String::new(), Change::Added { right: None }),
            (None, None) => {}
            (Some(_), Some(_)) if matches!(kind, Kind::Pagemap(_) | Kind::PagemapShmem(_)) => {
                let [ours, theirs] =
                    [segments(left, kind, page_sizes[0])?, segments(right, kind, page_sizes[1])?];
                memory::compare(&ours, &theirs, page_sizes, &mut report)?;
            }
            (Some(ours), Some(theirs)) if kind.format().header == Header::Raw => {
                if !is_same(ours, theirs).os(|| format!("read {name}"))? {
                    report(String::new(), Change::Content);
                }
            }
            (Some(_), Some(_)) => fields::compare(&decoded(left, kind)?, &decoded(right, kind)?, &mut report),
        }
    }
    Ok(found)
}

/// The pages of a pages image are compared as the memory that a pagemap makes of them.
fn is_compared(kind: Kind) -> bool {
    !matches!(kind, Kind::Pages(_)) && kind.format().header != Header::Service
}

fn decoded(dir: &ImageDir, kind: Kind) -> Result<Value> {
    let reader = dir.reader(kind)?;
    json::decode(reader.ok_or_else(|| Error::image(kind.file_name(), "has gone meanwhile"))?)
}

fn segments(dir: &ImageDir, kind: Kind, page_size: u64) -> Result<Vec<Segment>> {
    PageReader::open(dir, kind, page_size)?.map_or(Ok(Vec::new()), |pages| pages.segments())
}

/// Bytes in a page of the machine of the dump.
fn page_size(dir: &ImageDir) -> Result<u64> {
    let mm = dir.kinds()?.into_iter().find(|kind| matches!(kind, Kind::Mm(_)));
    let mm: Option<MmEntry> = mm.map_or(Ok(None), |kind| dir.read_one(kind))?;
    Ok(mm.unwrap_or_default().page_size())
}

fn is_same(left: File, right: File) -> std::io::Result<bool> {
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (BufReader::new(left), BufReader::new(right));
    loop {
        let (ours, theirs) = (left.fill_buf()?, right.fill_buf()?);
        let len = ours.len().min(theirs.len());
        if len == 0 {
            return Ok(ours.len() == theirs.len());
        }
        if ours.get(..len) != theirs.get(..len) {
            return Ok(false);
        }
        left.consume(len);
        right.consume(len);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn fixture() -> Result<(tempfile::TempDir, ImageDir)> {
        let folder = tempfile::tempdir().os(|| "make a folder")?;
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image/fixtures/kinds");
        for entry in fs::read_dir(from).os(|| "read the fixtures")?.flatten() {
            // Their pages images are not among the fixtures.
            if !entry.file_name().to_string_lossy().starts_with("pagemap") {
                fs::copy(entry.path(), folder.path().join(entry.file_name())).os(|| "copy")?;
            }
        }
        let dir = ImageDir::open(folder.path())?;
        Ok((folder, dir))
    }

    #[test]
    fn a_copy_is_the_same_but_for_its_statistics() -> Result<()> {
        let ((ours, left), (_theirs, right)) = (fixture()?, fixture()?);
        fs::write(ours.path().join("stats-dump"), "").os(|| "write")?;
        fs::write(ours.path().join("dump.log"), "").os(|| "write")?;
        assert_eq!(directories(&left, &right)?, []);
        Ok(())
    }

    #[test]
    fn images_that_one_directory_lacks_and_raw_ones_are_named() -> Result<()> {
        let ((ours, left), (theirs, right)) = (fixture()?, fixture()?);
        fs::remove_file(theirs.path().join("memfd.img")).os(|| "unlink")?;
        fs::rename(theirs.path().join("files.img"), theirs.path().join("ids-7.img")).os(|| "rename")?;
        fs::remove_file(ours.path().join("files.img")).os(|| "unlink")?;
        for (folder, text) in [(&ours, "rules"), (&theirs, "rulez")] {
            fs::write(folder.path().join("iptables-9.img"), text).os(|| "write")?;
        }
        let mut found: Vec<String> = directories(&left, &right)?.iter().map(Difference::text).collect();
        found.sort();
        let expected = [
            "ids-7.img: only in the second",
            "iptables-9.img: other content",
            "memfd.img: only in the first",
        ];
        assert_eq!(found, expected);
        Ok(())
    }

    #[test]
    fn a_bad_image_is_an_error() -> Result<()> {
        let ((_ours, left), (theirs, right)) = (fixture()?, fixture()?);
        fs::write(theirs.path().join("memfd.img"), "no image").os(|| "write")?;
        assert_eq!(directories(&left, &right).err().map(|e| e.code()), Some("E-IMAGE-BAD"));
        Ok(())
    }

    #[test]
    fn long_values_are_cut() {
        let change = Change::Value { left: "x".repeat(100).into(), right: 5.into() };
        let text = Difference { image: "a.img".to_owned(), place: "id 1: extra".to_owned(), change }.text();
        assert_eq!(text, format!("a.img: id 1: extra: {}... -> 5", "x".repeat(LONGEST)));
    }
}
