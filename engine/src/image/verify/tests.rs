#![allow(clippy::unwrap_used)]

use std::fs;

use super::super::message::{
    FdType, FdinfoEntry, FileEntry, InetSkEntry, InventoryEntry, MmEntry, PstreeEntry, RemapFilePathEntry,
    RemapType, SkPacketEntry, VmaEntry, status,
};
use super::super::tests::{PID, fixtures, pages_of_the_task};
use super::super::{ImageDir, Kind};
use super::*;

/// A whole directory, to be broken by `change`; the problems as text.
fn problems(change: impl FnOnce(&ImageDir)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(folder.path()).unwrap();
    for name in ImageDir::open(fixtures("task")).unwrap().names().unwrap() {
        fs::copy(fixtures("task").join(&name), folder.path().join(&name)).unwrap();
    }
    pages_of_the_task(folder.path());
    change(&dir);
    directory(&dir).unwrap().iter().map(Problem::to_string).collect()
}

fn one(change: impl FnOnce(&ImageDir), word: &str) {
    let found = problems(change);
    assert!(found.len() == 1 && found.iter().all(|line| line.contains(word)), "{word}: {found:?}");
}

fn rewrite<M: crate::image::Entry>(dir: &ImageDir, kind: Kind, change: impl FnOnce(&mut Vec<M>)) {
    let mut entries = dir.read_all(kind).unwrap();
    change(&mut entries);
    let mut writer = dir.writer(kind);
    entries.iter().for_each(|entry| writer.push(entry).unwrap());
    writer.finish().unwrap();
}

#[test]
fn a_whole_directory_has_no_problems() {
    assert_eq!(problems(|_| ()), Vec::<String>::new());
}

#[test]
fn every_missing_image_is_named() {
    for name in [
        "inventory.img",
        "core-30091.img",
        "fs-30091.img",
        "mm-30091.img",
        "pagemap-30091.img",
        "fdinfo-2.img",
    ] {
        let found = problems(|dir| dir.remove(name).unwrap());
        assert!(found.iter().any(|line| line.starts_with(name)), "{name}: {found:?}");
    }
    let found = problems(|dir| dir.remove("files.img").unwrap());
    assert!(found.len() > 10 && found.iter().all(|line| line.contains("not in files.img")), "{found:?}");
    one(|dir| dir.remove("pages-1.img").unwrap(), "pages-1.img: there is no such image");
}

#[test]
fn short_and_stray_pages_are_found() {
    one(|dir| dir.create_file("pages-1.img").unwrap().set_len(4096).unwrap(), "it has 4096 bytes");
    one(|dir| drop(dir.create_file("pages-9.img").unwrap()), "no pagemap names it");
    one(|dir| drop(dir.create_file("vmas-1.img").unwrap()), "before 2.0");
}

#[test]
fn dangling_references_are_found() {
    one(
        |dir| rewrite::<FdinfoEntry>(dir, Kind::Fdinfo(2), |fds| fds[0].id = 999),
        "descriptor 0 is file 999",
    );
    one(|dir| rewrite::<FdinfoEntry>(dir, Kind::Fdinfo(2), |fds| fds[0].fd = 1), "two descriptors 1");
    one(|dir| rewrite::<FileEntry>(dir, Kind::Files, |files| files[0].reg = None), "lacks its message");
    one(|dir| rewrite::<PstreeEntry>(dir, Kind::Pstree, |tasks| tasks[0].ppid = 5), "does not come before");
    one(|dir| rewrite::<PstreeEntry>(dir, Kind::Pstree, |tasks| tasks[0].threads.push(77)), "core-77.img");
    one(
        |dir| rewrite::<MmEntry>(dir, Kind::Mm(PID), |mm| mm[0].exe_file_id = 999),
        "the executable is file 999",
    );
    one(|dir| rewrite::<MmEntry>(dir, Kind::Mm(PID), |mm| mm[0].vmas[1].start -= 4096), "overlaps");
    let guard = |status| {
        move |dir: &ImageDir| {
            rewrite::<MmEntry>(dir, Kind::Mm(PID), |mm| {
                let inside = VmaEntry { status, ..mm[0].vmas[0].clone() };
                mm[0].vmas.push(inside);
            })
        }
    };
    assert_eq!(problems(guard(status::GUARD)), Vec::<String>::new());
    one(guard(status::REGULAR | status::ANON_PRIVATE), "overlaps");
    let embed = |files: &mut Vec<FileEntry>| {
        files.iter_mut().find_map(|file| file.reg.as_mut()).unwrap().embedded =
            Some("crio-file-1.img".to_owned());
    };
    one(|dir| rewrite(dir, Kind::Files, embed), "crio-file-1.img: there is none");
    let ghost = RemapFilePathEntry { orig_id: 1, remap_id: 4, remap_type: Some(RemapType::Ghost.into()) };
    one(|dir| dir.write_one(Kind::RemapFpath, &ghost).unwrap(), "ghost-file-4.img");
    let packet = SkPacketEntry { id_for: 999, ..SkPacketEntry::default() };
    one(|dir| dir.write_one(Kind::SkQueues, &packet).unwrap(), "the receiver of a packet is file 999");
}

#[test]
fn pages_outside_of_every_mapping_are_found() {
    let found =
        problems(|dir| rewrite::<MmEntry>(dir, Kind::Mm(PID), |mm| mm[0].vmas.retain(|vma| vma.prot != 3)));
    assert!(!found.is_empty() && found.iter().all(|line| line.contains("is in no mapping")), "{found:?}");
}

#[test]
fn a_connection_needs_its_stream_unless_it_is_to_be_closed() {
    let connect = |dir: &ImageDir| {
        let (proto, state) = (libc::IPPROTO_TCP as u32, 1);
        let isk = Some(InetSkEntry { id: 999, ino: 7, proto, state, ..InetSkEntry::default() });
        let file = FileEntry { r#type: FdType::Inetsk.into(), id: 999, isk, ..FileEntry::default() };
        rewrite::<FileEntry>(dir, Kind::Files, |files| files.push(file));
    };
    one(connect, "tcp-stream-7.img: there is none");
    let found = problems(|dir| {
        connect(dir);
        rewrite::<InventoryEntry>(dir, Kind::Inventory, |inventory| inventory[0].tcp_close = Some(true));
    });
    assert_eq!(found, Vec::<String>::new());
}
