//! Pairs that the test makes itself, through an image and back.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{read, write};

use super::*;
use crate::image::ImageDir;
use crate::image::message::{FileEntry, TtyFileEntry, TtyInfoEntry};
use crate::resource::file::reopen::set_flags;
use crate::resource::file::testing::{Mine, flags};

fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let how = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = open("/dev/ptmx", how, Mode::empty()).os(|| "open /dev/ptmx")?;
    tty::set_locked(master.as_fd(), false).os(|| "unlock")?;
    let slave = tty::open_slave(master.as_fd(), how.bits()).os(|| "open slave")?;
    Ok((master, slave))
}

struct Round {
    images: ImageDir,
    files: Vec<FileEntry>,
    _dir: tempfile::TempDir,
}

/// Dumps descriptions and closes them.
fn dumped(ends: Vec<OwnedFd>) -> Result<Round> {
    let dir = tempfile::tempdir().os(|| "tempdir")?;
    let images = ImageDir::open(dir.path())?;
    let (mut dump, mine) = (TtyDump::new(&[], &[]), Mine::new()?);
    let ends = ends.into_iter().map(|end| mine.description(end)).collect::<Result<Vec<_>>>()?;
    let files = ends.iter().map(|end| dump.add(1, None, end)).collect::<Result<Vec<_>>>()?;
    assert_eq!(dump.blockers(false).len(), 0);
    dump.finish(&images)?;
    Ok(Round { images, files, _dir: dir })
}

fn restored(round: &Round) -> Result<Vec<OwnedFd>> {
    let mut restore = TtyRestore::load(&round.images, &round.files, false)?;
    let open = |tty: &TtyFileEntry| match restore.open(tty)? {
        Opened::Here(fd) => Ok(fd),
        Opened::InSession { .. } => Err(Error::bug("a pair is opened here")),
    };
    let ends = round.files.iter().filter_map(|f| f.tty.as_ref()).map(open).collect::<Result<Vec<_>>>()?;
    restore.finish()?;
    Ok(ends)
}

fn get(fd: &OwnedFd) -> std::result::Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 1 << 16];
    let mut fds = [nix::poll::PollFd::new(fd.as_fd(), nix::poll::PollFlags::POLLIN)];
    nix::poll::poll(&mut fds, 2000u16)?;
    let len = read(fd, &mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

fn nonblocking(fd: &OwnedFd) -> Result<()> {
    set_flags(fd, libc::O_NONBLOCK as u32)
}

fn change(fd: &OwnedFd, with: impl FnOnce(&mut libc::termios2)) -> Result<()> {
    let mut now = tty::settings(fd.as_fd()).os(|| "settings")?;
    with(&mut now);
    tty::set_settings(fd.as_fd(), &now).os(|| "settings")
}

fn raw(t: &mut libc::termios2) {
    (t.c_iflag, t.c_oflag, t.c_lflag) = (0, 0, 0);
}

/// Settles what the kernel's worker has yet to move.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// Pairs take numbers: one test at a time makes and gives back.
static NUMBERS: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    NUMBERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn number_settings_window_and_flags_return() -> Result<()> {
    let _alone = alone();
    let (master, slave) = pair()?;
    let number = tty::pair_number(master.as_fd()).os(|| "number")?;
    change(&slave, |t| {
        raw(t);
        t.c_cc[libc::VTIME] = 7;
        t.c_cflag = t.c_cflag & !libc::CBAUD | 0o010000;
        (t.c_ispeed, t.c_ospeed) = (12345, 12345);
    })?;
    tty::set_window(slave.as_fd(), [33, 101, 7, 9]).os(|| "window")?;
    tty::set_exclusive(slave.as_fd()).os(|| "exclusive")?;
    tty::set_packet_mode(master.as_fd(), true).os(|| "packet")?;
    let mut locked = tty::no_locked_settings();
    locked.c_lflag = libc::ECHO;
    tty::set_locked_settings(slave.as_fd(), &locked).os(|| "lock settings")?;
    let reader = tty::open_slave(master.as_fd(), libc::O_RDONLY | libc::O_NOCTTY).os(|| "open")?;
    tty::set_locked(master.as_fd(), true).os(|| "lock")?;
    nonblocking(&slave)?;
    let facts = |master: &OwnedFd, slave: &OwnedFd, reader: &OwnedFd| -> Result<_> {
        let (m, s) = (master.as_fd(), slave.as_fd());
        let modes = [tty::exclusive(s), tty::exclusive(m), tty::packet_mode(m), tty::locked(m)];
        Ok((
            tty::pair_number(m).os(|| "number")?,
            settings::to_entry(&tty::settings(s).os(|| "settings")?),
            settings::locked_to_entry(&tty::locked_settings(s).os(|| "locked")?),
            tty::window(s).os(|| "window")?,
            modes.into_iter().collect::<std::io::Result<Vec<_>>>().os(|| "modes")?,
            [flags(master)?, flags(slave)?, flags(reader)?],
        ))
    };
    let before = facts(&master, &slave, &reader)?;
    let round = dumped(vec![slave, master, reader])?;
    let ends = restored(&round)?;
    assert_eq!(facts(&ends[1], &ends[0], &ends[2])?, before);
    let link = std::fs::read_link(format!("/proc/self/fd/{}", ends[0].as_raw_fd())).os(|| "readlink")?;
    assert_eq!(link.to_string_lossy(), format!("/dev/pts/{number}"));
    Ok(())
}

#[test]
fn lines_their_ends_and_an_unfinished_one_return() -> Result<()> {
    let _alone = alone();
    let (master, slave) = pair()?;
    change(&slave, |t| t.c_lflag &= !libc::ECHO)?;
    // ^V makes the next byte literal, ^D sends what there is.
    write(&master, b"one\nt\x16\x03wo\npart\x04\x04unfin\x16\x04ished").os(|| "write")?;
    settle();
    let copies = [slave.try_clone().os(|| "dup")?, master.try_clone().os(|| "dup")?];
    let round = dumped(vec![slave, master])?;
    let check = |slave: &OwnedFd, master: &OwnedFd| -> Result<()> {
        nonblocking(slave)?;
        let got: Vec<_> = (0..4).map(|_| get(slave)).collect();
        let line = |bytes: &[u8]| Ok(bytes.to_vec());
        assert_eq!(got, [line(b"one\n"), line(b"t\x03wo\n"), line(b"part"), line(b"")]);
        assert_eq!(get(slave), Err(Errno::EAGAIN));
        write(master, b"\x7f!\n").os(|| "write")?;
        assert_eq!(get(slave), line(b"unfin\x04ishe!\n"), "the last byte could still be erased");
        Ok(())
    };
    check(&copies[0], &copies[1])?;
    drop(copies);
    let ends = restored(&round)?;
    check(&ends[0], &ends[1])
}

#[test]
fn raw_input_both_ways_returns_untouched() -> Result<()> {
    let _alone = alone();
    let (master, slave) = pair()?;
    change(&slave, raw)?;
    let input: Vec<u8> = (0..=255).collect();
    let output: Vec<u8> = (0..6000u32).map(|i| (i % 253) as u8).collect();
    write(&master, &input).os(|| "write")?;
    write(&slave, &output).os(|| "write")?;
    settle();
    change(&slave, |t| (t.c_iflag, t.c_oflag) = (libc::ICRNL | libc::IXON, libc::OPOST | libc::ONLCR))?;
    settle();
    let copies = [slave.try_clone().os(|| "dup")?, master.try_clone().os(|| "dup")?];
    let round = dumped(vec![slave, master])?;
    let check = |slave: &OwnedFd, master: &OwnedFd| -> Result<()> {
        assert_eq!(get(slave).os(|| "read")?, input);
        let mut all = Vec::new();
        while all.len() < output.len() {
            all.extend(get(master).os(|| "read")?);
        }
        assert_eq!(all, output);
        Ok(())
    };
    check(&copies[0], &copies[1])?;
    drop(copies);
    let ends = restored(&round)?;
    check(&ends[0], &ends[1])
}

#[test]
fn stopped_output_stays_where_it_is() -> Result<()> {
    let _alone = alone();
    let (master, slave) = pair()?;
    let output = vec![b'o'; 6000];
    change(&slave, |t| (t.c_oflag, t.c_lflag) = (0, 0))?;
    write(&slave, &output).os(|| "write")?;
    write(&master, b"\x13typed").os(|| "write")?;
    settle();
    let copies = [slave.try_clone().os(|| "dup")?, master.try_clone().os(|| "dup")?];
    let _round = dumped(vec![slave, master])?;
    let [slave, master] = copies;
    nonblocking(&slave)?;
    assert_eq!(write(&slave, b"more"), Err(Errno::EAGAIN), "^S still holds");
    assert_eq!(get(&slave), Ok(b"typed".to_vec()));
    let mut all = Vec::new();
    while all.len() < output.len() {
        all.extend(get(&master).os(|| "read")?);
    }
    assert_eq!(all, output);
    write(&master, b"\x11").os(|| "write")?;
    settle();
    assert_eq!(write(&slave, b"more"), Ok(4));
    Ok(())
}

#[test]
fn a_master_whose_slave_is_closed_reads_the_rest_and_then_fails() -> Result<()> {
    let _alone = alone();
    let (master, slave) = pair()?;
    write(&slave, b"bye").os(|| "write")?;
    drop(slave);
    settle();
    let ends = restored(&dumped(vec![master])?)?;
    assert_eq!(get(&ends[0]), Ok(b"bye".to_vec()));
    assert_eq!(get(&ends[0]), Err(Errno::EIO));
    Ok(())
}

#[test]
fn a_master_whose_slave_was_never_open_waits() -> Result<()> {
    let _alone = alone();
    let master = open("/dev/ptmx", OFlag::O_RDWR | OFlag::O_NOCTTY, Mode::empty()).os(|| "open")?;
    let ends = restored(&dumped(vec![master])?)?;
    nonblocking(&ends[0])?;
    assert_eq!(get(&ends[0]), Err(Errno::EAGAIN));
    assert!(tty::locked(ends[0].as_fd()).os(|| "locked")?);
    Ok(())
}

#[test]
fn a_slave_whose_master_is_gone_is_hung_up() -> Result<()> {
    let _alone = alone();
    let (master, slave) = pair()?;
    drop(master);
    let ends = restored(&dumped(vec![slave])?)?;
    assert_eq!(get(&ends[0]), Ok(Vec::new()));
    assert_eq!(write(&ends[0], b"x"), Err(Errno::EIO));
    Ok(())
}

#[test]
fn a_number_in_use_is_an_error() -> Result<()> {
    let _alone = alone();
    let (master, slave) = pair()?;
    let copy = master.try_clone().os(|| "dup")?;
    let round = dumped(vec![slave, master])?;
    assert_eq!(restored(&round).map_err(|e| e.code()).map(drop), Err("E-PTY-INDEX"));
    drop(copy);
    restored(&round).map(drop)
}

#[test]
fn a_slave_alone_needs_shell_job() -> Result<()> {
    let _alone = alone();
    let (_master, slave) = pair()?;
    let number = tty::pair_number(_master.as_fd()).os(|| "number")?;
    let tasks = [TaskTerminal { pid: 8, sid: 7, device: 136 << 8 | number, foreground: 8 }];
    let (mut dump, mine) = (TtyDump::new(&tasks, &[]), Mine::new()?);
    let slave = mine.description(slave)?;
    dump.add(1, Some(2), &slave)?;
    assert_eq!(dump.blockers(false).iter().map(Error::code).collect::<Vec<_>>(), ["E-TTY-SHELL-JOB"]);
    assert!(dump.blockers(true).is_empty());
    let dir = tempfile::tempdir().os(|| "tempdir")?;
    let images = ImageDir::open(dir.path())?;
    dump.finish(&images)?;
    let infos = images.read_all::<TtyInfoEntry>(crate::image::Kind::TtyInfo)?;
    let told: Vec<_> = infos.iter().map(|info| (info.id, info.sid, info.pgrp)).collect();
    assert_eq!(told, [(number << 1, 7, 8)]);
    Ok(())
}

#[test]
fn a_session_gets_its_terminal_claimed_through_a_slave() -> Result<()> {
    let _alone = alone();
    let (master, slave) = pair()?;
    let number = tty::pair_number(master.as_fd()).os(|| "number")?;
    let tasks = [TaskTerminal { pid: 70, sid: 70, device: 136 << 8 | number, foreground: 71 }];
    let dir = tempfile::tempdir().os(|| "tempdir")?;
    let images = ImageDir::open(dir.path())?;
    let (mut dump, mine) = (TtyDump::new(&tasks, &[]), Mine::new()?);
    let ends = [mine.description(master)?, mine.description(slave)?];
    let files = ends.iter().map(|end| dump.add(1, None, end)).collect::<Result<Vec<_>>>()?;
    dump.finish(&images)?;
    drop(ends);
    let mut restore = TtyRestore::load(&images, &files, false)?;
    let kept = files
        .iter()
        .filter_map(|f| f.tty.as_ref())
        .map(|tty| restore.open(tty))
        .collect::<Result<Vec<_>>>()?;
    restore.finish()?;
    let claims = restore.claims(&[70])?;
    let told: Vec<_> = claims.iter().map(|claim| (claim.sid, claim.pgrp)).collect();
    assert_eq!((told.as_slice(), kept.len()), (&[(70, 71)][..], 2));
    assert!(claims.iter().all(|claim| tty::pair_number(claim.terminal.as_fd()).is_err()), "not the master");
    Ok(())
}

#[test]
fn an_external_terminal_is_inherited() -> Result<()> {
    let _alone = alone();
    let (master, slave) = pair()?;
    let mine = Mine::new()?;
    let slave = mine.description(slave)?;
    let key = key(slave.stat.st_rdev as u32, slave.stat.st_dev as u32);
    let external = [key.clone()];
    let mut dump = TtyDump::new(&[], &external);
    assert!(!dump.needs_path(&slave));
    let files = [dump.add(1, None, &slave)?];
    assert!(dump.blockers(false).is_empty());
    let dir = tempfile::tempdir().os(|| "tempdir")?;
    let images = ImageDir::open(dir.path())?;
    dump.finish(&images)?;
    drop((slave, master));
    let mut restore = TtyRestore::load(&images, &files, false)?;
    let entry = files[0].tty.clone().unwrap_or_default();
    assert_eq!(restore.open(&entry).map_err(|e| e.code()).map(drop), Err("E-TTY-EXTERNAL"));
    let (master, slave) = pair()?;
    assert!(restore.inherit(&key, slave) && !restore.inherit("pipe:[7]", pair()?.1));
    let Opened::Here(fd) = restore.open(&entry)? else {
        return Err(Error::bug("an external terminal is here"));
    };
    write(&fd, b"hello").os(|| "write")?;
    assert_eq!(get(&master), Ok(b"hello".to_vec()));
    Ok(())
}
