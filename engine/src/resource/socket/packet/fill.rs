//! The content of rings: read at the dump, put back at the restore into rings that go on where the old ones did.
//!
//! A new ring starts at its beginning, and no call moves the kernel to another place. So it is given as many packets as
//! bring it there: over the loopback device, of a protocol that nobody speaks, before the socket hears anything else. Who
//! watches that device sees them. Then the content of the image takes their places.
//!
//! Of each frame or block the header is read first and put over what is read of it later: a packet that comes meanwhile
//! changes the header last, and is one that the program has not seen.
//!
//! Not kept: the numbers of blocks (TPACKET_V3), which go on from 1; what comes into a ring after it was read.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::super::inet::interface;
use super::restore::address;
use super::ring::{Layout, SEND_REQUEST, USER};
use super::{SOL_PACKET, STATISTICS, VNET_HDR_SZ};
use crate::error::{Blame, Error, OsContext, Result};
use crate::sys::mapping::SharedMapping;
use crate::sys::socket::{self, Along, option};

/// Protocols that nobody speaks, but perhaps another restore: they end in the number of the process. Nothing is sent by the
/// second.
const PACKETS: u16 = 0xf000;
const SILENCE: u16 = 0xe000;
const NUMBER: u32 = 0xfff;
/// Bytes of a packet that fills blocks; the loopback device takes more.
const LARGE: usize = 1024;
/// How long to wait for what takes microseconds, but for the time of a block.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_micros(200);
const ETHERNET_HEADER: usize = 14;
const ETHERNET_PROTOCOL: usize = 12;

/// The rings of one socket, in the order in which they are mapped.
#[derive(Debug)]
pub(super) struct Rings {
    pub(super) layouts: Vec<Layout>,
}

impl Rings {
    pub(super) fn len(&self) -> usize {
        self.layouts.iter().map(Layout::len).sum()
    }

    /// Each with where it starts.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, &Layout)> {
        self.layouts.iter().scan(0, |start, layout| {
            let at = *start;
            *start += layout.len();
            Some((at, layout))
        })
    }

    /// All content, as of one moment for each frame or block.
    pub(super) fn read(&self, fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
        let map = SharedMapping::new(fd, self.len()).os(|| "mmap of the ring")?;
        let mut headers = Vec::new();
        for (start, layout) in self.each() {
            for unit in 0..layout.units() {
                let (at, mut header) = (start + layout.start(unit), vec![0; layout.header_len()]);
                map.read(at, &mut header).os(|| "read the ring")?;
                headers.push((at, header));
            }
        }
        let mut bytes = vec![0; self.len()];
        map.read(0, &mut bytes).os(|| "read the ring")?;
        for (at, header) in headers {
            bytes.iter_mut().skip(at).zip(header).for_each(|(to, from)| *to = from);
        }
        Ok(bytes)
    }

    /// Puts the content of an image into new rings. The socket must not hear anything yet.
    pub(super) fn fill(&self, fd: BorrowedFd<'_>, mut content: Vec<u8>) -> Result<()> {
        content.resize(self.len(), 0);
        let map = SharedMapping::new(fd, self.len()).os(|| "mmap of the ring")?;
        let mut rest = content.as_mut_slice();
        for (start, layout) in self.each() {
            let Some((bytes, after)) = rest.split_at_mut_checked(layout.len()) else { break };
            rest = after;
            layout.settle(bytes);
            let ring = Ring { fd, map: &map, start, layout };
            if layout.sends { ring.refill_to_send(bytes) } else { ring.refill_received(bytes) }?;
        }
        Ok(())
    }
}

/// A ring that was just made.
pub(super) struct Ring<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) map: &'a SharedMapping,
    pub(super) start: usize,
    pub(super) layout: &'a Layout,
}

impl Ring<'_> {
    fn refill_received(&self, bytes: &[u8]) -> Result<()> {
        let place = self.layout.place(bytes);
        let is_open = |unit: usize| self.layout.has_blocks() && unit == place.next && !place.frozen;
        if place.next != 0 || place.frozen {
            let sender = Sender::new()?;
            socket::bind(self.fd, &sender.to).os(|| "bind to the loopback device")?;
            if self.layout.has_blocks() {
                self.pass_blocks(&sender, place.next, place.frozen)?;
            } else {
                (0..place.next).try_for_each(|_| self.deliver(&sender, 1))?;
                self.await_status(place.next - 1, true)?;
            }
            // The packets for the next ring are not for this one.
            socket::bind(self.fd, &address(protocol(SILENCE), sender.interface))
                .os(|| "bind to the loopback device")?;
            self.arrived()?;
        }
        // The kernel counts in the block that it is filling.
        for unit in (0..self.layout.units()).filter(|unit| !is_open(*unit)) {
            let from = self.layout.start(unit);
            let len = if self.layout.has_blocks() { self.layout.start(1) } else { self.layout.frame_len() };
            self.write(from, bytes.get(from..from + len).unwrap_or_default())?;
        }
        Ok(())
    }

    fn write(&self, at: usize, bytes: &[u8]) -> Result<()> {
        self.map.write(self.start + at, bytes).os(|| "write the ring")
    }

    fn word(&self, unit: usize, at: usize) -> Result<u32> {
        let mut word = [0; 4];
        self.map.read(self.start + self.layout.start(unit) + at, &mut word).os(|| "read the ring")?;
        Ok(u32::from_ne_bytes(word))
    }

    fn is_users(&self, unit: usize) -> Result<bool> {
        Ok(self.word(unit, self.layout.status())? & USER != 0)
    }

    /// Lets the kernel fill and close blocks until it has opened the one that is next, or waits for it. The last packet of a
    /// block that closes because it is full would be in the next one: so the last one closes by its time.
    fn pass_blocks(&self, sender: &Sender, next: usize, frozen: bool) -> Result<()> {
        let passed = if next == 0 { self.layout.units() } else { next };
        let last = passed - 1;
        if frozen && next != 0 {
            self.write(self.layout.start(next) + self.layout.status(), &USER.to_ne_bytes())?;
        }
        let since = Instant::now();
        while !self.is_users(last)? {
            if self.word(last, self.layout.packets())? == 0 {
                self.deliver(sender, if last == 0 { 1 } else { LARGE })?;
            } else {
                wait(since)?;
            }
        }
        Ok(())
    }

    /// Sends a packet and waits until the ring has got it.
    pub(super) fn deliver(&self, sender: &Sender, len: usize) -> Result<()> {
        sender.send(len)?;
        let since = Instant::now();
        while self.arrived()? == 0 {
            wait(since)?;
        }
        Ok(())
    }

    /// A packet is counted before its frame is the program's; one that is sent leaves its frame later.
    pub(super) fn await_status(&self, unit: usize, busy: bool) -> Result<()> {
        let since = Instant::now();
        while (self.word(unit, self.layout.status())? != 0) != busy {
            wait(since)?;
        }
        Ok(())
    }

    /// How many packets have come since the last call.
    fn arrived(&self) -> Result<u32> {
        let counts = option(self.fd, SOL_PACKET, STATISTICS, 12).os(|| "getsockopt PACKET_STATISTICS")?;
        Ok(counts.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word)))
    }

    /// Sends frames without anything in them until the kernel looks at the one that is next.
    fn refill_to_send(&self, bytes: &[u8]) -> Result<()> {
        let next = self.layout.next_to_send(bytes).unwrap_or(0);
        if next != 0 {
            let (sender, frame) = (Sender::new()?, self.empty_frame(self.vnet_header()?)?);
            (0..next).try_for_each(|unit| self.send_frame(unit, &frame, &sender.to))?;
        }
        self.write(0, bytes)
    }

    fn send_frame(&self, unit: usize, frame: &[u8], to: &[u8]) -> Result<()> {
        self.write(self.layout.start(unit), frame)?;
        socket::send(self.fd, &[], &Along { address: to, ..Along::default() }).map_err(down)?;
        self.await_status(unit, false)
    }

    /// Bytes of the header of virtio_net(7) in front of each frame.
    fn vnet_header(&self) -> Result<usize> {
        let asked = |name| socket::int_option(self.fd, SOL_PACKET, name);
        // Before Linux 6.4 there is one size.
        let size =
            asked(VNET_HDR_SZ).or_else(|_| asked(super::VNET_HDR).map(|on| if on == 0 { 0 } else { 10 }));
        size.map(|size| size as usize).os(|| "getsockopt PACKET_VNET_HDR")
    }

    /// A frame that asks to be sent.
    fn empty_frame(&self, vnet_header: usize) -> Result<Vec<u8>> {
        let content = self.layout.content();
        let mut frame = vec![0; content + vnet_header + ETHERNET_HEADER];
        if frame.len() > self.layout.frame_len() {
            return Err(Error::new("E-SOCKET-RING", Blame::Program, "has frames without room for a packet"));
        }
        let [length, link, network] = self.layout.length();
        let (len, at) = ((vnet_header + ETHERNET_HEADER) as u32, content as u16);
        let pieces: [(usize, &[u8]); 5] = [
            (self.layout.status(), &SEND_REQUEST.to_ne_bytes()),
            (length, &len.to_ne_bytes()),
            (link, &at.to_ne_bytes()),
            (network, &at.to_ne_bytes()),
            (content + vnet_header + ETHERNET_PROTOCOL, &protocol(PACKETS).to_ne_bytes()),
        ];
        for (at, piece) in pieces {
            frame.iter_mut().skip(at).zip(piece).for_each(|(to, from)| *to = *from);
        }
        Ok(frame)
    }
}

/// One of our own, in network order.
fn protocol(base: u16) -> u16 {
    (base | (std::process::id() & NUMBER) as u16).to_be()
}

/// Sends packets over the loopback device.
pub(super) struct Sender {
    fd: OwnedFd,
    interface: u32,
    pub(super) to: Vec<u8>,
}

impl Sender {
    pub(super) fn new() -> Result<Self> {
        let fd = socket::socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0).os(|| "make a packet socket")?;
        let interface = interface(b"lo").os(|| "find the loopback device")?;
        Ok(Sender { fd, interface, to: address(protocol(PACKETS), interface) })
    }

    fn send(&self, len: usize) -> Result<()> {
        let along = Along { address: &self.to, ..Along::default() };
        socket::send(self.fd.as_fd(), &vec![0; len], &along).map(drop).map_err(down)
    }
}

fn down(error: std::io::Error) -> Error {
    let reason = format!("the ring cannot be brought to its place over the loopback device: {error}");
    Error::new("E-SOCKET-RING", Blame::Environment, reason).help("ip link set lo up")
}

fn wait(since: Instant) -> Result<()> {
    if since.elapsed() > PATIENCE {
        let reason = "the ring does not get the packets that bring it to its place";
        return Err(Error::new("E-SOCKET-RING", Blame::Environment, reason)
            .help("let no filter drop packets of the loopback device (tc filter show dev lo ingress)"));
    }
    std::thread::sleep(PAUSE);
    Ok(())
}
