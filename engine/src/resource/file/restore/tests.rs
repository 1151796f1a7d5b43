//! What is told before anything is opened, and files that come from elsewhere.

use std::os::fd::AsRawFd;

use super::super::round_trip::{RoundTrip, shown};
use super::super::{FileDump, testing::flags};
use super::*;
use crate::kernel::ProcDir;
use crate::options::InheritFd;

#[test]
fn all_faults_are_told_at_once() -> Result<()> {
    let trip = RoundTrip::new()?;
    for name in ["gone", "grown", "mode", "good"] {
        std::fs::write(trip.path(name), name).os(|| "write")?;
    }
    let names = ["gone", "gone", "grown", "mode", "good"];
    let fds: Result<Vec<_>> = names.iter().map(|name| trip.open(name, OFlag::O_RDONLY)).collect();
    trip.dump(fds?)?.keep();
    assert!(trip.faults()?.is_empty());
    std::fs::remove_file(trip.path("gone")).os(|| "unlink")?;
    std::fs::write(trip.path("grown"), "grown up").os(|| "write")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(trip.path("mode"), mode).os(|| "chmod")?;
    let codes: Vec<_> = trip.faults()?.iter().map(Error::code).collect();
    assert_eq!(codes, ["E-NOT-FOUND", "E-FILE-CHANGED", "E-FILE-CHANGED"]);
    assert!(trip.faults()?.iter().all(|e| e.remedy().is_some()));
    Ok(())
}

#[test]
fn a_link_to_the_same_file_serves() -> Result<()> {
    let trip = RoundTrip::new()?;
    std::fs::write(trip.path("lib.so.1"), "library").os(|| "write")?;
    trip.dump([
        trip.open("lib.so.1", OFlag::O_RDONLY)?,
        trip.open("lib.so.1", OFlag::O_RDONLY | OFlag::O_NOFOLLOW)?,
    ])?
    .keep();
    std::fs::rename(trip.path("lib.so.1"), trip.path("lib.so.1.2")).os(|| "rename")?;
    std::os::unix::fs::symlink("lib.so.1.2", trip.path("lib.so.1")).os(|| "symlink")?;
    let mut files = FileRestore::load(&trip.image_dir()?, &trip.restore)?;
    assert_eq!(shown(files.open(1)?)?, trip.path("lib.so.1.2"));
    assert_eq!(files.open(2).err().map(|e| e.code()), Some("E-FILE-CHANGED"));
    Ok(())
}

#[test]
fn files_known_by_their_link_have_one_entry_each() -> Result<()> {
    let (trip, proc) = (RoundTrip::new()?, ProcDir::current()?);
    let images = trip.image_dir()?;
    let mut files = FileDump::new(&trip.dump, &images, &[]);
    let exe = files.add_link(&proc, "test", "exe", false)?;
    let maps = proc.list("map_files")?;
    let own = std::env::current_exe().os(|| "exe")?;
    let mut mapped = 0;
    for map in maps {
        let link = format!("map_files/{}", String::from_utf8_lossy(&map));
        if path_of(&proc.readlink(&link)?) == own {
            assert_eq!(files.add_link(&proc, "test", &link, false)?, exe);
            mapped += 1;
        }
    }
    assert!(mapped > 1 && files.len() == 1);
    files.finish()?.links.keep();
    let mut files = trip.load()?;
    let entry = files.entry(exe).and_then(|e| e.reg.clone()).unwrap_or_default();
    assert_eq!((entry.flags, entry.pos, entry.build_id.len(), entry.mnt_id), (0, 0, 5, None));
    let fd = files.open_with(exe, OFlag::O_RDONLY)?;
    assert_eq!(shown(&fd)?, own);
    Ok(())
}

#[test]
fn the_caller_may_give_a_file() -> Result<()> {
    let mut trip = RoundTrip::new()?;
    let fd = trip.open("file", OFlag::O_RDWR | OFlag::O_CREAT)?;
    let inode = fstat(&fd).os(|| "fstat")?.st_ino;
    let mount = crate::kernel::fdinfo::read(&ProcDir::current()?, fd.as_raw_fd())?.mnt_id;
    let key = format!("file[{mount:x}:{inode:x}]");
    trip.dump.external = vec![key.clone()];
    trip.dump([fd])?.keep();
    std::fs::remove_file(trip.path("file")).os(|| "unlink")?;
    let faults = trip.faults()?;
    assert_eq!(faults.first().map(Error::code), Some("E-FILE-EXTERNAL"));
    let given = trip.open("other", OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND)?;
    trip.restore.inherit_fds = vec![InheritFd { fd: given.as_raw_fd(), key }];
    let fd = trip.load()?.open(1)?;
    assert_eq!((shown(&fd)?, flags(&fd)?), (trip.path("other"), flags(&given)?));
    Ok(())
}

#[test]
fn the_owner_of_signals_returns() -> Result<()> {
    let trip = RoundTrip::new()?;
    let fd = trip.open("file", OFlag::O_RDWR | OFlag::O_CREAT)?;
    let me = nix::unistd::getpid().as_raw() as u32;
    let wanted = FownEntry { uid: 1000, euid: 1001, signum: 35, pid_type: 1, pid: me };
    owner::apply(fd.as_fd(), &wanted)?;
    trip.dump([fd])?.keep();
    let mut files = trip.load()?;
    let fd = files.open(1)?;
    assert_eq!(owner::of(fd.as_fd(), 0)?.pid, 0);
    files.set_owners()?;
    assert_eq!(owner::of(fd.as_fd(), 0)?, wanted);
    Ok(())
}

#[test]
fn impossible_images_are_errors() -> Result<()> {
    let trip = RoundTrip::new()?;
    let images = trip.image_dir()?;
    let reg = |id, name: &[u8]| {
        let reg = RegFileEntry { id, name: name.to_vec(), ..RegFileEntry::default() };
        FileEntry { r#type: FdType::Reg.into(), id, reg: Some(reg), ..FileEntry::default() }
    };
    let code = |entries: &[FileEntry]| -> Result<Option<&'static str>> {
        let mut files = images.writer(Kind::Files);
        entries.iter().try_for_each(|entry| files.push(entry))?;
        files.finish()?;
        let opened = FileRestore::load(&images, &trip.restore).and_then(|mut files| files.open(1));
        Ok(opened.err().map(|e| e.code()))
    };
    assert_eq!(code(&[reg(1, b"/")])?, None);
    let bad = Some("E-IMAGE-BAD");
    assert_eq!(code(&[reg(1, b"/"), reg(1, b"/")])?, bad);
    assert_eq!((code(&[reg(1, b"tmp")])?, code(&[reg(1, b"")])?, code(&[reg(1, b"/\0")])?), (bad, bad, bad));
    assert_eq!(code(&[FileEntry { r#type: FdType::Reg.into(), id: 1, ..FileEntry::default() }])?, bad);
    assert_eq!(code(&[FileEntry { r#type: 99, id: 1, ..FileEntry::default() }])?, bad);
    Ok(())
}

#[test]
fn every_kind_goes_through_one_pair_of_images() -> Result<()> {
    let trip = RoundTrip::new()?;
    nix::unistd::mkfifo(&trip.path("fifo"), nix::sys::stat::Mode::S_IRWXU).os(|| "mkfifo")?;
    let (read, write) = nix::unistd::pipe().os(|| "pipe")?;
    let fifo = trip.open("fifo", OFlag::O_RDWR | OFlag::O_NONBLOCK)?;
    let memfd =
        nix::sys::memfd::memfd_create(c"kept", nix::sys::memfd::MFdFlags::empty()).os(|| "memfd_create")?;
    for (fd, text) in [(&write, "piped"), (&fifo, "queued"), (&memfd, "memory")] {
        nix::unistd::write(fd, text.as_bytes()).os(|| "write")?;
    }
    std::fs::remove_file(trip.path("fifo")).os(|| "unlink")?;
    trip.dump([read, write, fifo, memfd])?.keep();
    let mut files = trip.load()?;
    let fds = (1..=4).map(|id| files.open(id)).collect::<Result<Vec<_>>>()?;
    let mapped = files.open_with(4, OFlag::O_RDONLY)?;
    files.finish_terminals()?;
    files.set_owners()?;
    files.seal()?;
    assert!(files.claims(&[])?.is_empty());
    let text = |fd: &OwnedFd| -> Result<String> {
        let mut bytes = [0; 64];
        let n = nix::unistd::read(fd, &mut bytes).os(|| "read")?;
        Ok(String::from_utf8_lossy(bytes.get(..n).unwrap_or_default()).into_owned())
    };
    let [read, write, fifo, memfd] = fds.as_slice() else { return Err(Error::bug("four files")) };
    assert_eq!(
        (text(read)?, text(fifo)?, text(&mapped)?),
        ("piped".into(), "queued".into(), "memory".into())
    );
    nix::unistd::write(&**write, b"more").os(|| "write")?;
    assert_eq!((text(read)?, text(memfd)?), ("more".into(), String::new()));
    assert_eq!((shown(fifo)?, trip.names()), (super::super::round_trip::deleted(&trip.path("fifo")), vec![]));
    Ok(())
}
