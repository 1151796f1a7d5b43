use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use super::fill::{Ring, Rings, Sender};
use super::restore::PacketRestore;
use super::{SOCK_PACKET, rings_of};
use crate::error::{Error, OsContext, Result};
use crate::image::ImageDir;
use crate::image::message::{FdType, FileEntry, PacketMclist, PacketRing, PacketSockEntry, SkOptsEntry};
use crate::kernel::packet_diag::{Membership, PacketSocket, packet_sockets};
use crate::kernel::pagemap::page_size;
use crate::sys::mapping::SharedMapping;
use crate::sys::socket;
use crate::sys::stat::fstat;

/// A socket as an image has it, that hears already if `finish` says so.
fn made(entry: PacketSockEntry, finish: bool) -> Result<Rc<OwnedFd>> {
    let psk = Some(entry);
    let file = FileEntry { r#type: FdType::Packetsk.into(), id: 7, psk, ..FileEntry::default() };
    let empty = tempfile::tempdir().os(|| "make a directory")?;
    let mut restore = PacketRestore::load(&ImageDir::open(empty.path())?, [&file].into_iter())?;
    restore.make()?;
    if finish {
        restore.finish()?;
    }
    restore.opened().next().map(|(_, fd)| fd).ok_or_else(|| Error::bug("nothing was made"))
}

fn listed(fd: &OwnedFd) -> Result<PacketSocket> {
    let inode = fstat(fd).os(|| "fstat")?.st_ino as u32;
    packet_sockets()?.remove(&inode).ok_or_else(|| Error::bug("it is not listed"))
}

fn restored(entry: PacketSockEntry) -> Result<PacketSocket> {
    let socket = made(entry, true)?;
    listed(&socket)
}

/// What CRIU writes: no inode, no names of interfaces; a fanout group or the number that says there is none.
#[test]
fn a_socket_of_criu_is_made_as_it_says() -> Result<()> {
    let opts = SkOptsEntry { so_sndbuf: 212_992, so_rcvbuf: 212_992, ..SkOptsEntry::default() };
    let member = PacketMclist { index: 1, r#type: 1, ..PacketMclist::default() };
    let entry = PacketSockEntry {
        id: 7,
        r#type: libc::SOCK_DGRAM as u32,
        protocol: u16::to_be(0x88b5).into(),
        ifindex: 1,
        version: 1,
        reserve: 16,
        aux_data: true,
        loss: true,
        copy_thresh: 100,
        mclist: vec![member.clone(), member],
        fanout: Some(u32::MAX),
        opts,
        ..PacketSockEntry::default()
    };
    let mut expected = PacketSocket {
        kind: libc::SOCK_DGRAM,
        protocol: 0x88b5,
        interface: 1,
        version: 1,
        reserve: 16,
        aux_data: true,
        loss: true,
        copy_thresh: 100,
        memberships: vec![Membership { interface: 1, count: 2, kind: 1, address: Vec::new() }],
        ..PacketSocket::default()
    };
    assert_eq!(restored(entry.clone())?, expected);
    let fanout = 0x1_7777;
    expected.fanout = Some(fanout);
    assert_eq!(restored(PacketSockEntry { fanout: Some(fanout), ..entry.clone() })?, expected);
    let nowhere = PacketSockEntry { ifname: Some(b"no-such".to_vec()), ..entry };
    assert_eq!(restored(nowhere).map_err(|e| e.code()), Err("E-SOCKET-ADDRESS"));
    Ok(())
}

/// One that is not bound would hear every interface.
#[test]
fn an_old_socket_is_bound_or_not_made() -> Result<()> {
    let opts = SkOptsEntry { so_sndbuf: 212_992, so_rcvbuf: 212_992, ..SkOptsEntry::default() };
    let (r#type, protocol) = (SOCK_PACKET as u32, u16::to_be(0x88b5).into());
    let entry = PacketSockEntry { id: 7, r#type, protocol, ifindex: 1, opts, ..PacketSockEntry::default() };
    assert_eq!(restored(entry.clone())?.interface, 1);
    let nowhere = PacketSockEntry { ifindex: i32::MAX as u32, ..entry };
    assert_eq!(restored(nowhere).map_err(|e| e.code()), Err("E-SOCKET-ADDRESS"));
    Ok(())
}

const UNITS: usize = 4;

fn with_ring(version: u32) -> Result<(PacketSockEntry, Rings)> {
    let page = page_size()? as u32;
    let (per_block, retire_tmo) = if version == 2 { (1, 5) } else { (2, 0) };
    let block_nr = UNITS as u32 / per_block;
    let ring = PacketRing {
        block_size: page,
        block_nr,
        frame_size: page / per_block,
        frame_nr: UNITS as u32,
        retire_tmo,
        ..PacketRing::default()
    };
    let r#type = libc::SOCK_DGRAM as u32;
    let entry = PacketSockEntry { id: 7, r#type, version, rx_ring: Some(ring), ..PacketSockEntry::default() };
    let rings = rings_of(version, &entry.rx_ring, &None).ok_or_else(|| Error::bug("no such ring"))?;
    Ok((entry, rings))
}

/// After `given` packets, of which the last `kept` are unread, both rings get the next one at the same place.
fn goes_on(version: u32, given: usize, kept: usize) -> Result<()> {
    let (entry, rings) = with_ring(version)?;
    let (source, target) = (made(entry.clone(), false)?, made(entry, false)?);
    let layout = rings.layouts.first().ok_or_else(|| Error::bug("no ring"))?;
    let sender = Sender::new()?;
    let map = |fd: &OwnedFd| SharedMapping::new(fd.as_fd(), rings.len()).os(|| "mmap");
    let (old, new) = (map(&source)?, map(&target)?);
    let give_back = |map: &SharedMapping, unit: usize| {
        map.write(layout.start(unit % UNITS) + layout.status(), &[0; 4]).os(|| "give back")
    };
    let ring = Ring { fd: source.as_fd(), map: &old, start: 0, layout };
    socket::bind(source.as_fd(), &sender.to).os(|| "bind")?;
    let is_full = kept == UNITS;
    for number in 0..given {
        if is_full && number >= kept {
            give_back(&old, number - kept)?;
        }
        ring.deliver(&sender, 1)?;
        ring.await_status(number % UNITS, true)?;
        if !is_full && number >= kept {
            give_back(&old, number - kept)?;
        }
    }
    let content = rings.read(source.as_fd())?;
    rings.fill(target.as_fd(), content.clone())?;
    let ring = Ring { fd: target.as_fd(), map: &new, start: 0, layout };
    for unit in (given - kept..given).map(|unit| unit % UNITS) {
        ring.await_status(unit, true)?;
        let range = layout.start(unit)..layout.start(unit) + layout.header_len();
        let mut found = vec![0; range.len()];
        new.read(range.start, &mut found).os(|| "read")?;
        assert_eq!(Some(&found[..]), content.get(range), "unit {unit} of version {version}");
    }
    socket::bind(target.as_fd(), &sender.to).os(|| "bind")?;
    if is_full {
        give_back(&new, given)?;
    }
    ring.deliver(&sender, 1)?;
    ring.await_status(given % UNITS, true)
}

/// One after the other: all have the same protocol.
#[test]
fn a_ring_goes_on_where_it_was() -> Result<()> {
    for version in 0..3 {
        for (given, kept) in [(0, 0), (3, 0), (3, 2), (4, 4), (6, 1), (6, 4), (7, 4), (8, 0)] {
            goes_on(version, given, kept)
                .map_err(|e| e.detail(format!("version {version}: {given} {kept}")))?;
        }
    }
    an_open_block_is_closed()
}

/// What had come into a block that was open is the program's afterwards.
fn an_open_block_is_closed() -> Result<()> {
    let (mut entry, _) = with_ring(2)?;
    entry.rx_ring.iter_mut().for_each(|ring| ring.retire_tmo = 200);
    let rings = rings_of(2, &entry.rx_ring, &None).ok_or_else(|| Error::bug("no such ring"))?;
    let layout = rings.layouts.first().ok_or_else(|| Error::bug("no ring"))?;
    let (source, target, sender) = (made(entry.clone(), false)?, made(entry, false)?, Sender::new()?);
    let old = SharedMapping::new(source.as_fd(), rings.len()).os(|| "mmap")?;
    socket::bind(source.as_fd(), &sender.to).os(|| "bind")?;
    let ring = Ring { fd: source.as_fd(), map: &old, start: 0, layout };
    ring.deliver(&sender, 1)?;
    ring.deliver(&sender, 1)?;
    let open = rings.read(source.as_fd())?;
    // As the kernel itself closes it: status, packets, offset, length.
    ring.await_status(0, true)?;
    let expected = rings.read(source.as_fd())?;
    rings.fill(target.as_fd(), open)?;
    let closed = rings.read(target.as_fd())?;
    assert_eq!(closed.get(8..24), expected.get(8..24));
    assert_eq!(layout.place(&closed).next, 1);
    Ok(())
}
