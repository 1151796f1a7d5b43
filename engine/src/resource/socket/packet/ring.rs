//! The rings of packet sockets (Documentation/networking/packet_mmap.rst): how they are laid out, and where the kernel goes on.
//!
//! A ring consists of frames, or for receiving by the third version, of blocks with packets; each has a status that says
//! whose it is. Which one comes next is known to the kernel alone. Of a ring for receiving, what was written last tells it:
//! by the status where some are still unread, else by the time. Of a ring for sending, frames that wait to be sent tell it,
//! or else those that were never used; when it has gone round and is idle, nothing does.

use super::V3;
use crate::image::message::PacketRing;

/// TPACKET_V1 and TPACKET_V2.
const V1: u32 = 0;
const V2: u32 = 1;

/// Bits of a status: of one that receives, and of one that sends.
pub(super) const USER: u32 = 1;
const BLOCK_TIMED_OUT: u32 = 1 << 5;
pub(super) const SEND_REQUEST: u32 = 1;
const SENDING: u32 = 2;
const WRONG_FORMAT: u32 = 4;
const OF_SENDING: u32 = SEND_REQUEST | SENDING | WRONG_FORMAT;

/// `struct tpacket_hdr` starts with a word of the machine.
const WORD: usize = size_of::<usize>();
/// `struct tpacket_block_desc`: version, offset, then status, number of packets, offset of the first, length, number of the
/// block, when it was opened, time of the last packet.
const BLOCK_STATUS: usize = 8;
const BLOCK_PACKETS: usize = 12;
const BLOCK_FIRST: usize = 16;
const BLOCK_OPENED: usize = 32;
const BLOCK_LAST_TIME: usize = 40;
const BLOCK_HEADER: usize = 48;
/// A ring is at most as large as a number of 32 bits says, and consists of whole pages.
const LARGEST: u64 = u32::MAX as u64;

/// How a ring is laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    version: u32,
    pub(super) sends: bool,
    block_size: usize,
    blocks: usize,
    frame_size: usize,
    frames: usize,
}

/// Where the kernel of a ring for receiving goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Frame or block.
    pub(super) next: usize,
    /// Of the third version: it waits there until the program gives that block back.
    pub(super) frozen: bool,
}

impl Layout {
    /// The layout of a ring that the kernel has made, or would make.
    pub(super) fn of(version: u32, ring: &PacketRing, sends: bool) -> Option<Self> {
        let all = u64::from(ring.block_size) * u64::from(ring.block_nr);
        let [block_size, blocks, frame_size, frames] =
            [ring.block_size, ring.block_nr, ring.frame_size, ring.frame_nr].map(|word| word as usize);
        let layout = Layout { version, sends, block_size, blocks, frame_size, frames };
        let whole = frame_size >= layout.header_len() && frame_size <= block_size;
        let fits = whole && (block_size / frame_size).checked_mul(blocks) == Some(frames) && frames > 0;
        (version <= V3 && all <= LARGEST && fits).then_some(layout)
    }

    pub(super) fn len(&self) -> usize {
        self.block_size * self.blocks
    }

    /// Whether it is one of blocks.
    pub(super) fn has_blocks(&self) -> bool {
        self.version == V3 && !self.sends
    }

    /// Bytes of a frame.
    pub(super) fn frame_len(&self) -> usize {
        self.frame_size
    }

    /// How many frames or blocks there are.
    pub(super) fn units(&self) -> usize {
        if self.has_blocks() { self.blocks } else { self.frames }
    }

    /// Where a frame or block starts.
    pub(super) fn start(&self, unit: usize) -> usize {
        if self.has_blocks() {
            return unit * self.block_size;
        }
        let each = self.block_size / self.frame_size;
        unit / each * self.block_size + unit % each * self.frame_size
    }

    /// Bytes of a frame's or block's header that say all of its state.
    pub(super) fn header_len(&self) -> usize {
        if self.has_blocks() {
            return BLOCK_HEADER;
        }
        match self.version {
            V1 => (WORD + 20_usize).next_multiple_of(WORD),
            V2 => 32,
            _ => 48,
        }
    }

    /// Where in a header the status is; its low half on a machine of 64 bits.
    pub(super) fn status(&self) -> usize {
        match self.version {
            _ if self.has_blocks() => BLOCK_STATUS,
            V3 => 20,
            _ => 0,
        }
    }

    /// Where in the header of a block the number of its packets is.
    pub(super) fn packets(&self) -> usize {
        BLOCK_PACKETS
    }

    /// Where in the header of a frame its length, and the places of its link and network headers are.
    pub(super) fn length(&self) -> [usize; 3] {
        match self.version {
            V1 => [WORD, WORD + 8, WORD + 10],
            V2 => [4, 12, 14],
            _ => [16, 24, 26],
        }
    }

    /// Where in a frame to be sent its bytes start: behind the header, aligned to 16 (TPACKET_ALIGN).
    pub(super) fn content(&self) -> usize {
        match self.version {
            V1 => (WORD + 20_usize).next_multiple_of(16),
            V2 => 32,
            _ => 48,
        }
    }

    fn status_of(&self, bytes: &[u8], unit: usize) -> u32 {
        word(bytes, self.start(unit) + self.status())
    }

    /// When a frame was filled or a block opened; 0 if it never was.
    fn age(&self, bytes: &[u8], unit: usize) -> u64 {
        let at = match self.version {
            _ if self.has_blocks() => BLOCK_OPENED,
            V1 => WORD + 12,
            _ => 16,
        };
        let at = self.start(unit) + at;
        u64::from(word(bytes, at)) << 32 | u64::from(word(bytes, at + 4))
    }

    fn newest(&self, bytes: &[u8], among: impl Iterator<Item = usize>) -> Option<usize> {
        among.filter(|unit| self.age(bytes, *unit) != 0).max_by_key(|unit| self.age(bytes, *unit))
    }

    /// Where a ring for receiving goes on.
    pub(super) fn place(&self, bytes: &[u8]) -> Place {
        let units = self.units();
        let after = |unit: usize| (unit + 1) % units;
        let is_users = |unit: usize| self.status_of(bytes, unit) & USER != 0;
        if self.has_blocks() {
            let Some(last) = self.newest(bytes, 0..units) else {
                return Place { next: 0, frozen: false };
            };
            let is_empty = word(bytes, self.start(last) + BLOCK_PACKETS) == 0;
            let next = if is_empty && !is_users(last) { last } else { after(last) };
            return Place { next, frozen: is_users(next) };
        }
        // Several if the program has given back out of order; none if it has read all, or nothing of a full ring.
        let edges = (0..units).filter(|unit| is_users(*unit) && !is_users(after(*unit)));
        let last = self.newest(bytes, edges).or_else(|| self.newest(bytes, 0..units));
        Place { next: last.map_or(0, after), frozen: false }
    }

    /// Which frame of a ring for sending the kernel looks at next; `None` if nothing tells.
    pub(super) fn next_to_send(&self, bytes: &[u8]) -> Option<usize> {
        let units = self.units();
        let has = |unit: usize, bit: u32| self.status_of(bytes, unit) & bit != 0;
        let before = |unit: usize| (unit + units - 1) % units;
        if let Some(stuck) = (0..units).find(|unit| has(*unit, WRONG_FORMAT)) {
            return Some(stuck);
        }
        let mut first =
            (0..units).filter(|unit| has(*unit, SEND_REQUEST) && !has(before(*unit), SEND_REQUEST));
        match (first.next(), first.next()) {
            (Some(first), None) => return Some(first),
            (None, _) if !has(0, SEND_REQUEST) => {}
            _ => return None,
        }
        let header =
            |unit: usize| bytes.get(self.start(unit)..).and_then(|rest| rest.get(..self.header_len()));
        let is_used = |unit: &usize| header(*unit).is_some_and(|header| header.iter().any(|byte| *byte != 0));
        let used = (0..units).rfind(is_used).map_or(0, |last| last + 1);
        (used < units).then_some(used)
    }

    /// Makes a ring one that nothing is going on in. What is on its way was sent; a block that is being filled is the
    /// program's, as if its time were over.
    pub(super) fn settle(&self, bytes: &mut [u8]) {
        if self.has_blocks() {
            return self.close_block(bytes);
        }
        for unit in (0..self.units()).filter(|_| self.sends) {
            if self.status_of(bytes, unit) & OF_SENDING == SENDING {
                put(bytes, self.start(unit) + self.status(), 0);
            }
        }
    }

    /// As prb_close_block in net/packet/af_packet.c. In a block that is open the last packet, too, says how long it is.
    fn close_block(&self, bytes: &mut [u8]) {
        let Some(newest) = self.newest(bytes, 0..self.units()) else { return };
        let at = self.start(newest);
        let packets = word(bytes, at + BLOCK_PACKETS);
        let mut last = at + word(bytes, at + BLOCK_FIRST) as usize;
        for _ in 1..packets {
            match word(bytes, last) as usize {
                0 => break,
                next => last = last.saturating_add(next),
            }
        }
        if self.status_of(bytes, newest) & USER != 0 || packets == 0 || word(bytes, last) == 0 {
            return;
        }
        put(bytes, last, 0);
        put(bytes, at + BLOCK_LAST_TIME, word(bytes, last + 4));
        put(bytes, at + BLOCK_LAST_TIME + 4, word(bytes, last + 8));
        put(bytes, at + BLOCK_STATUS, USER | BLOCK_TIMED_OUT);
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_ne_bytes(*word))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(room) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *room = value.to_ne_bytes();
    }
}
