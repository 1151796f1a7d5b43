//! Memory, page by page, told in ranges of addresses.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::Change;
use crate::error::{OsContext, Result};
use crate::image::pages::{Segment, Source};

/// Bytes that are read at once; a multiple of every page size.
const CHUNK: u64 = 1 << 20;

/// How a range differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Left,
    Right,
    Content,
}

/// Compares two address spaces, or shared segments, of which `left` and `right` are all that the images have, ascending.
pub(super) fn compare(
    left: &[Segment],
    right: &[Segment],
    page_sizes: [u64; 2],
    report: &mut impl FnMut(String, Change),
) -> Result<()> {
    let page_size = page_sizes.into_iter().max().unwrap_or(CHUNK);
    let ends = |segment: &Segment| [segment.vaddr, segment.vaddr + segment.len];
    let cuts: BTreeSet<u64> = left.iter().chain(right).flat_map(ends).collect();
    let cuts: Vec<u64> = cuts.into_iter().collect();
    let mut found: Vec<(Range<u64>, Which)> = Vec::new();
    let mut add = |range: Range<u64>, which: Which| match found.last_mut() {
        Some((last, same)) if last.end == range.start && *same == which => last.end = range.end,
        _ => found.push((range, which)),
    };
    for range in cuts.windows(2).filter_map(|pair| Some(*pair.first()?..*pair.last()?)) {
        match (at(left, range.start), at(right, range.start)) {
            (Some(_), None) => add(range, Which::Left),
            (None, Some(_)) => add(range, Which::Right),
            (None, None) => {}
            (Some(ours), Some(theirs)) => {
                contents(range, page_size, ours, theirs, &mut |page| add(page, Which::Content))
                    .os(|| "read pages")?;
            }
        }
    }
    for (range, which) in found {
        let change = match which {
            Which::Left => Change::Removed { left: None },
            Which::Right => Change::Added { right: None },
            Which::Content => Change::Content,
        };
        report(format!("{:x}-{:x}", range.start, range.end), change);
    }
    Ok(())
}

/// The segment that an address is in.
fn at(segments: &[Segment], address: u64) -> Option<&Segment> {
    let next = segments.partition_point(|segment| segment.vaddr <= address);
    segments.get(next.checked_sub(1)?).filter(|segment| address - segment.vaddr < segment.len)
}

/// Finds the pages of a range, which lies in both segments, whose bytes differ.
fn contents(
    range: Range<u64>,
    page_size: u64,
    left: &Segment,
    right: &Segment,
    differs: &mut impl FnMut(Range<u64>),
) -> io::Result<()> {
    let (Source::File(ours, our_offset), Source::File(theirs, their_offset)) = (&left.source, &right.source)
    else {
        // What is to be fetched is the same if both are.
        if !matches!((&left.source, &right.source), (Source::Lazy, Source::Lazy)) {
            differs(range);
        }
        return Ok(());
    };
    let mut buffers = [Vec::new(), Vec::new()];
    let mut start = range.start;
    while start < range.end {
        let end = range.end.min(start + CHUNK);
        let sides =
            [(ours, our_offset + (start - left.vaddr)), (theirs, their_offset + (start - right.vaddr))];
        for (buffer, (file, offset)) in buffers.iter_mut().zip(sides) {
            buffer.resize((end - start) as usize, 0);
            file.read_exact_at(buffer, offset)?;
        }
        let [ours, theirs] = &buffers;
        let pages = ours.chunks(page_size as usize).zip(theirs.chunks(page_size as usize));
        for (page, _) in (start..).step_by(page_size as usize).zip(pages).filter(|(_, (a, b))| a != b) {
            differs(page..end.min(page + page_size));
        }
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const PAGE: u64 = 4096;

    /// Segments of pages, each of one letter.
    fn segments(spaces: &[(u64, &str)]) -> Result<Vec<Segment>> {
        let made = spaces.iter().map(|(vaddr, letters)| {
            let file = tempfile::tempfile().os(|| "make a file")?;
            let bytes: Vec<u8> = letters.bytes().flat_map(|letter| [letter; PAGE as usize]).collect();
            file.write_all_at(&bytes, 7).os(|| "write")?;
            let source = Source::File(Arc::new(file), 7);
            Ok(Segment { vaddr: vaddr * PAGE, len: bytes.len() as u64, source })
        });
        made.collect()
    }

    fn found(left: &[(u64, &str)], right: &[(u64, &str)]) -> Result<Vec<(String, Change)>> {
        let mut found = Vec::new();
        let mut report = |place, change| found.push((place, change));
        compare(&segments(left)?, &segments(right)?, [PAGE; 2], &mut report)?;
        Ok(found)
    }

    #[test]
    fn the_division_into_segments_makes_no_difference() -> Result<()> {
        assert_eq!(found(&[(1, "abc"), (9, "z")], &[(1, "a"), (2, "bc"), (9, "z")])?, []);
        Ok(())
    }

    #[test]
    fn pages_that_differ_are_told_as_ranges() -> Result<()> {
        let left = [(1, "abcdef"), (0x20, "x")];
        let right = [(1, "abXX"), (5, "ef"), (7, "g"), (0x20, "x")];
        let expected = [
            ("3000-5000".to_owned(), Change::Content),
            ("7000-8000".to_owned(), Change::Added { right: None }),
        ];
        assert_eq!(found(&left, &right)?, expected);
        let expected = [
            ("3000-5000".to_owned(), Change::Content),
            ("7000-8000".to_owned(), Change::Removed { left: None }),
        ];
        assert_eq!(found(&right, &left)?, expected);
        Ok(())
    }

    #[test]
    fn every_chunk_is_compared() -> Result<()> {
        let pages = 2 * (CHUNK / PAGE) as usize + 3;
        let letters = "a".repeat(pages);
        let other = format!("{}b", "a".repeat(pages - 1));
        let last = pages as u64 * PAGE;
        let place = format!("{:x}-{:x}", last, last + PAGE);
        assert_eq!(found(&[(1, &letters)], &[(1, &other)])?, [(place, Change::Content)]);
        Ok(())
    }
}
