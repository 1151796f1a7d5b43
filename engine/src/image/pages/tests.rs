#![allow(clippy::unwrap_used)]

use std::os::unix::fs::FileExt;

use super::*;
use crate::image::message::{PagemapEntry, PagemapHead, VmaEntry, status};
use crate::image::{ImageDir, Kind};

const PAGE: u64 = 4096;

fn store(dir: &ImageDir, runs: &[(u64, u64, u32, u8)]) {
    let mut writer = PageWriter::create(dir, Kind::Pagemap(7), 1, PAGE).unwrap();
    for (vaddr, nr_pages, flags, fill) in runs {
        if let Some(offset) = writer.add(*vaddr, *nr_pages, *flags).unwrap() {
            writer.file().write_all_at(&vec![*fill; (nr_pages * PAGE) as usize], offset).unwrap();
        }
    }
    writer.finish().unwrap();
}

fn open(dir: &ImageDir) -> crate::Result<PageReader> {
    PageReader::open(dir, Kind::Pagemap(7), PAGE).map(Option::unwrap)
}

#[test]
fn adjacent_runs_become_one_and_content_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(folder.path()).unwrap();
    store(
        &dir,
        &[(0x1000, 1, pe::PRESENT, b'a'), (0x2000, 2, pe::PRESENT, b'b'), (0x8000, 1, pe::PRESENT, b'c')],
    );
    let reader = open(&dir).unwrap();
    assert_eq!(
        reader.runs().iter().map(|r| (r.vaddr, r.nr_pages, r.offset)).collect::<Vec<_>>(),
        [(0x1000, 3, Some(0)), (0x8000, 1, Some(3 * PAGE)),]
    );
    let mut pages = vec![0; 2 * PAGE as usize];
    reader.read(0x1000, &mut pages).unwrap();
    assert_eq!((pages[0], pages[PAGE as usize]), (b'a', b'b'));
    assert!(reader.read(0x3000, &mut pages).unwrap_err().to_string().contains("0x4000"));
}

#[test]
fn pages_of_the_parent_are_found_there() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["1", "2"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let (old, new) = (folder.path().join("1"), folder.path().join("2"));
    store(&ImageDir::open(&old).unwrap(), &[(0x1000, 4, pe::PRESENT, b'o')]);
    let new = ImageDir::open(new).unwrap();
    store(&new, &[(0x1000, 1, pe::PRESENT, b'n'), (0x2000, 2, pe::PARENT, 0), (0x9000, 1, pe::LAZY, 0)]);
    assert!(open(&new).unwrap_err().to_string().contains("there is none"));

    std::os::unix::fs::symlink("../1", folder.path().join("2/parent")).unwrap();
    let reader = open(&new).unwrap();
    let mut pages = vec![0; 3 * PAGE as usize];
    reader.read(0x1000, &mut pages).unwrap();
    assert_eq!((pages[0], pages[PAGE as usize], pages[2 * PAGE as usize]), (b'n', b'o', b'o'));
    let segments = reader.segments().unwrap();
    assert!(matches!(segments.last().map(|s| (&s.source, s.len)), Some((Source::Lazy, PAGE))));
}

#[test]
fn impossible_pagemaps_are_refused() {
    let run = |vaddr, nr_pages, flags| PagemapEntry { vaddr, nr_pages, flags, ..Default::default() };
    let present = Some(pe::PRESENT);
    let cases: &[(&str, &[PagemapEntry])] = &[
        ("aligned", &[run(0x1001, Some(1), present)]),
        ("empty", &[run(0x1000, Some(0), present)]),
        ("longer", &[run(0x1000, Some(u64::MAX), present)]),
        ("longer", &[run(!0xfff, Some(1), present)]),
        ("order", &[run(0x2000, Some(2), present), run(0x3000, Some(1), present)]),
        ("nowhere", &[run(0x1000, Some(1), Some(0))]),
        ("needs", &[run(0x1000, Some(1 << 30), present)]),
        ("does not end", &[run(0x1000, Some(1), Some(pe::PARENT))]),
    ];
    for (word, entries) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(".", folder.path().join("parent")).unwrap();
        let dir = ImageDir::open(folder.path()).unwrap();
        dir.create_file("pages-1.img").unwrap();
        let mut writer = dir.writer(Kind::Pagemap(7));
        writer.push(&PagemapHead { pages_id: 1 }).unwrap();
        entries.iter().for_each(|entry| writer.push(entry).unwrap());
        writer.finish().unwrap();
        let error = open(&dir).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn no_more_is_allocated_than_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(folder.path()).unwrap();
    store(&dir, &[(PAGE, 2, pe::PRESENT, 7), (4 * PAGE, 1, pe::LAZY, 0)]);
    let pages = open(&dir).unwrap();
    assert_eq!(pages.bytes(PAGE, 2 * PAGE).unwrap(), vec![7; 2 * PAGE as usize]);
    for (from, len) in [(PAGE, 1 << 46), (PAGE, u64::MAX), (4 * PAGE, PAGE), (0, 1)] {
        assert_eq!(pages.bytes(from, len).map_err(|e| e.code()), Err("E-IMAGE-BAD"), "{from} {len}");
    }
}

#[test]
fn pages_that_no_mapping_has_are_strays() {
    let folder = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(folder.path()).unwrap();
    store(&dir, &[(PAGE, 3, pe::PRESENT, 1), (8 * PAGE, 2, pe::PRESENT, 2)]);
    let pages = open(&dir).unwrap();
    let vma = |from: u64, to: u64, status| VmaEntry {
        start: from * PAGE,
        end: to * PAGE,
        status,
        ..VmaEntry::default()
    };
    let strays = |vmas: &[VmaEntry]| pages.strays(vmas).collect::<Vec<_>>();
    let (low, next, high) = (vma(0, 2, 1), vma(2, 5, 1), vma(8, 10, 1));
    let guard = vma(0, 10, status::GUARD);
    assert_eq!(strays(&[low.clone(), next.clone(), high.clone(), guard.clone()]), Vec::<u64>::new());
    assert_eq!(strays(&[low.clone(), high.clone()]), [2 * PAGE]);
    assert_eq!(strays(&[next, vma(8, 9, 1)]), [PAGE, 9 * PAGE]);
    assert_eq!(strays(&[]), [PAGE, 8 * PAGE]);
    assert_eq!(strays(&[low, high, guard]), [2 * PAGE], "a guard page is no place for content");
}
