//! All sockets of packet(7) of a tree while it is restored: made first, and made to hear when everything else is done.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use super::super::inet::{interface, interface_name, no_interface};
use super::super::options;
use super::{
    ADD_MEMBERSHIP, AUXDATA, BEFORE_RINGS, COPY_THRESH, FANOUT, LOSS, ORIGDEV, RESERVE, RX_RING, SOCK_PACKET,
    SOL_PACKET, TIMESTAMP, TX_RING, V3, VERSION, VNET_HDR, content_id, rings_of,
};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{FileEntry, PacketMclist, PacketRing, PacketSockEntry, SkOptionEntry};
use crate::image::pages::Source;
use crate::image::{ImageDir, Kind, PageReader};
use crate::kernel::pagemap::page_size;
use crate::resource::file::reopen::set_flags;
use crate::sys::socket::{self, attach_filter, set_option};

/// `fanout` of an image of CRIU whose socket is in no group.
const NO_FANOUT: u32 = u32::MAX;
/// MAX_ADDR_LEN of the kernel.
const LONGEST_ADDRESS: usize = 32;

/// The sockets of an image.
#[derive(Debug, Default)]
pub struct PacketRestore {
    /// By id.
    entries: BTreeMap<u32, PacketSockEntry>,
    /// What their rings hold, until they are made.
    contents: HashMap<u32, PageReader>,
    made: HashMap<u32, Rc<OwnedFd>>,
    /// Those of the caller's, which are ready.
    inherited: Vec<u32>,
}

impl PacketRestore {
    /// Takes the sockets among the entries of `files.img`.
    pub fn load<'e>(images: &ImageDir, listed: impl Iterator<Item = &'e FileEntry>) -> Result<Self> {
        let (mut entries, mut contents) = (BTreeMap::new(), HashMap::new());
        for entry in listed.filter_map(|entry| entry.psk.as_ref()) {
            let has_kind = [libc::SOCK_RAW, libc::SOCK_DGRAM, SOCK_PACKET].contains(&(entry.r#type as i32));
            let fits = entry.mclist.iter().all(|of| of.addr.len() <= LONGEST_ADDRESS);
            let has_rings = rings_of(entry.version, &entry.rx_ring, &entry.tx_ring).is_some();
            if !has_kind || !fits || !has_rings || entries.insert(entry.id, entry.clone()).is_some() {
                return Err(bad(entry, "has a bad type, address, ring or id"));
            }
            let kind = Kind::PagemapShmem(content_id(entry.id));
            if let Some(content) = PageReader::open(images, kind, page_size()?)? {
                contents.insert(entry.id, content);
            }
        }
        Ok(PacketRestore { entries, contents, ..PacketRestore::default() })
    }

    /// If there is a socket of this inode, it is `fd`.
    pub fn inherit(&mut self, inode: u32, fd: &Rc<OwnedFd>) {
        if let Some(entry) = self.entries.values().find(|entry| entry.ino == Some(inode)) {
            self.made.insert(entry.id, Rc::clone(fd));
            self.inherited.push(entry.id);
        }
    }

    /// Makes every socket that is not there, with its rings; none hears anything yet.
    pub fn make(&mut self) -> Result<()> {
        for entry in self.entries.values() {
            if let Entry::Vacant(slot) = self.made.entry(entry.id) {
                let content = self.contents.remove(&entry.id);
                slot.insert(Rc::new(make(entry, content).map_err(|e| e.on(shown(entry)))?));
            }
        }
        Ok(())
    }

    /// The sockets by the ids of their files.
    pub fn opened(&self) -> impl Iterator<Item = (u32, Rc<OwnedFd>)> {
        self.made.iter().map(|(id, fd)| (*id, Rc::clone(fd)))
    }

    /// Gives all sockets their options, and what they hear.
    pub fn finish(&mut self) -> Result<()> {
        for entry in self.entries.values().filter(|entry| !self.inherited.contains(&entry.id)) {
            let Some(fd) = self.made.get(&entry.id) else { continue };
            finish(entry, fd.as_fd()).map_err(|e| e.on(shown(entry)))?;
        }
        Ok(())
    }
}

fn make(entry: &PacketSockEntry, content: Option<PageReader>) -> Result<OwnedFd> {
    if is_old(entry) {
        return make_old(entry);
    }
    let fd = socket::socket(libc::AF_PACKET, entry.r#type as i32, 0).os(|| "make the socket")?;
    // What cannot be changed any more when there is a ring.
    let numbers = [
        (VERSION, entry.version),
        (RESERVE, entry.reserve),
        (LOSS, entry.loss.into()),
        (VNET_HDR, entry.vnet_hdr.into()),
    ];
    numbers.into_iter().try_for_each(|(name, value)| set(fd.as_fd(), name, value))?;
    let early = entry.opts.others.iter().filter(|other| is_early(other));
    early.into_iter().try_for_each(|other| options::set_other(fd.as_fd(), other))?;
    for (name, ring) in [(RX_RING, &entry.rx_ring), (TX_RING, &entry.tx_ring)] {
        ring.as_ref().map_or(Ok(()), |ring| set_ring(fd.as_fd(), name, entry.version, ring))?;
    }
    if let Some(content) = content {
        let rings = rings_of(entry.version, &entry.rx_ring, &entry.tx_ring);
        let rings = rings.ok_or_else(|| bad(entry, "has a bad ring"))?;
        rings.fill(fd.as_fd(), read(&content, rings.len())?)?;
    }
    Ok(fd)
}

/// `struct tpacket_req`, or for the third version `struct tpacket_req3`.
fn set_ring(fd: BorrowedFd<'_>, name: i32, version: u32, ring: &PacketRing) -> Result<()> {
    let mut words = vec![ring.block_size, ring.block_nr, ring.frame_size, ring.frame_nr];
    if version == V3 {
        words.extend([ring.retire_tmo, ring.sizeof_priv, ring.features]);
    }
    let request: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    set_option(fd, SOL_PACKET, name, &request).os(|| format!("setsockopt SOL_PACKET {name} of a ring"))
}

/// All `len` bytes; what the image does not have is zero.
fn read(content: &PageReader, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    for segment in content.segments()? {
        let range = segment.vaddr as usize..(segment.vaddr + segment.len) as usize;
        let (Some(part), Source::File(file, offset)) = (bytes.get_mut(range), &segment.source) else {
            return Err(Error::image("pagemap-shmem", "the content of a ring is larger than the ring"));
        };
        file.read_exact_at(part, *offset).os(|| "read the pages of a ring")?;
    }
    Ok(bytes)
}

fn is_early(other: &SkOptionEntry) -> bool {
    other.level == SOL_PACKET && BEFORE_RINGS.contains(&other.name)
}

/// Of the type of Linux 2.0: it has none of the options of packet(7).
fn is_old(entry: &PacketSockEntry) -> bool {
    entry.r#type as i32 == SOCK_PACKET
}

/// It hears all interfaces at once, so the filter of [`finish_old`] comes first.
fn make_old(entry: &PacketSockEntry) -> Result<OwnedFd> {
    let fd = socket::socket(libc::AF_PACKET, SOCK_PACKET, entry.protocol as i32).os(|| "make the socket")?;
    let nothing = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 };
    attach_filter(fd.as_fd(), &[nothing]).os(|| "setsockopt SO_ATTACH_FILTER")?;
    Ok(fd)
}

/// Binds the socket, and throws away what it has heard before it had a filter.
fn finish_old(entry: &PacketSockEntry, fd: BorrowedFd<'_>) -> Result<()> {
    let interface = index(entry.ifname.as_ref(), entry.ifindex)?;
    if interface != 0 {
        // Unbound it would hear all of them.
        let gone = || no_interface(&format!("number {interface}"), Errno::ENODEV.into());
        let name = interface_name(interface).ok_or_else(gone)?;
        let shown = String::from_utf8_lossy(&name);
        let address = old_address(&name).ok_or_else(|| no_interface(&shown, Errno::ENAMETOOLONG.into()))?;
        socket::bind(fd, &address).map_err(|e| no_interface(&shown, e))?;
    }
    while recv(fd.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT).is_ok() {}
    if entry.opts.so_filter.is_empty() {
        options::set(fd, libc::SO_DETACH_FILTER, 0)?;
    }
    options::restore(fd, &entry.opts)?;
    set_flags(fd, entry.flags)
}

/// `struct sockaddr` with the name of an interface, as packet_bind_spkt() of net/packet/af_packet.c takes it: one byte
/// less than a name may have.
fn old_address(interface: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = (libc::AF_PACKET as libc::sa_family_t).to_ne_bytes().to_vec();
    bytes.extend(interface);
    let len = size_of::<libc::sockaddr>();
    (bytes.len() <= len).then(|| {
        bytes.resize(len, 0);
        bytes
    })
}

fn finish(entry: &PacketSockEntry, fd: BorrowedFd<'_>) -> Result<()> {
    if is_old(entry) {
        return finish_old(entry, fd);
    }
    let numbers = [
        (AUXDATA, entry.aux_data.into()),
        (ORIGDEV, entry.orig_dev.into()),
        (TIMESTAMP, entry.timestamp),
        (COPY_THRESH, entry.copy_thresh),
    ];
    numbers.into_iter().try_for_each(|(name, value)| set(fd, name, value))?;
    let mut opts = entry.opts.clone();
    opts.others.retain(|other| !is_early(other));
    options::restore(fd, &opts)?;
    entry.mclist.iter().try_for_each(|of| join(fd, of))?;
    bind(fd, entry)?;
    if let Some(fanout) = entry.fanout.filter(|fanout| *fanout != NO_FANOUT) {
        set(fd, FANOUT, fanout)?;
    }
    set_flags(fd, entry.flags)
}

/// An option of a number. What is 0 is so in a new socket.
fn set(fd: BorrowedFd<'_>, name: i32, value: u32) -> Result<()> {
    if value == 0 && name != FANOUT {
        return Ok(());
    }
    set_option(fd, SOL_PACKET, name, &value.to_ne_bytes())
        .os(|| format!("setsockopt SOL_PACKET {name} {value}"))
}

/// The number that an interface has here, by its name if the image tells it.
fn index(name: Option<&Vec<u8>>, index: u32) -> Result<u32> {
    let Some(name) = name else { return Ok(index) };
    interface(name).map_err(|e| no_interface(&String::from_utf8_lossy(name), e))
}

/// `struct packet_mreq_max`: interface, type, length of the address, room for the longest.
fn join(fd: BorrowedFd<'_>, of: &PacketMclist) -> Result<()> {
    let interface = index(of.ifname.as_ref(), of.index)?;
    let halves = [of.r#type as u16, of.addr.len() as u16].map(u16::to_ne_bytes).concat();
    let mut request = [&interface.to_ne_bytes()[..], &halves, &of.addr].concat();
    request.resize(8 + LONGEST_ADDRESS, 0);
    set_option(fd, SOL_PACKET, ADD_MEMBERSHIP, &request)
        .os(|| format!("setsockopt PACKET_ADD_MEMBERSHIP of interface {interface}"))
}

/// bind(2) gives a protocol, too; from then on the socket hears.
fn bind(fd: BorrowedFd<'_>, entry: &PacketSockEntry) -> Result<()> {
    if entry.protocol == 0 && entry.ifindex == 0 {
        return Ok(());
    }
    let interface = index(entry.ifname.as_ref(), entry.ifindex)?;
    match socket::bind(fd, &address(entry.protocol as u16, interface)) {
        Err(e) if e.raw_os_error() == Some(libc::ENODEV) => {
            Err(no_interface(&format!("number {interface}"), e))
        }
        bound => bound.os(|| format!("bind to interface {interface}")),
    }
}

/// `struct sockaddr_ll`; the protocol is in network order already.
pub(super) fn address(protocol: u16, interface: u32) -> Vec<u8> {
    let family = libc::AF_PACKET as libc::sa_family_t;
    let mut bytes = [family, protocol].map(u16::to_ne_bytes).concat();
    bytes.extend(interface.to_ne_bytes());
    bytes.resize(size_of::<libc::sockaddr_ll>(), 0);
    bytes
}

/// How messages name a socket.
fn shown(entry: &PacketSockEntry) -> String {
    let protocol = u16::from_be(entry.protocol as u16);
    match &entry.ifname {
        Some(name) => {
            format!("packet socket of protocol {protocol:#06x} on {}", String::from_utf8_lossy(name))
        }
        None => format!("packet socket of protocol {protocol:#06x}"),
    }
}

fn bad(entry: &PacketSockEntry, reason: &str) -> Error {
    Error::image(Kind::Files.file_name(), format!("{} {reason}", shown(entry)))
}
