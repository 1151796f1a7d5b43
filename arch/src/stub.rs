//! What is the same of all machines' stubs: where their parts are, and what a tracer leaves in memory for them, the system
//! calls to make and what the thread had before.
//!
//! A machine's `inject` has the code, with these labels, and the frame from which its rescue loads the registers.

#![allow(unsafe_code, reason = "the addresses of assembly labels are only reachable as extern statics")]

use crate::{FRAME_LEN, RegSet, Regs, frame, from_frame};

unsafe extern "C" {
    static crio_stub: u8;
    static crio_stub_one: u8;
    static crio_stub_told: u8;
    static crio_stub_saved: u8;
}

/// The stub's code; [`Saved`] follows it.
pub fn stub() -> &'static [u8] {
    // SAFETY: the first and the last label delimit one read-only section.
    unsafe { core::slice::from_raw_parts(&raw const crio_stub, offset(&raw const crio_stub_saved) as usize) }
}

/// Offset of the instruction that makes a single call, whose number and arguments are in registers.
pub(crate) fn one() -> u64 {
    offset(&raw const crio_stub_one)
}

/// Offset of the instruction before which a thread stops when the stub has told the tracer.
pub fn told() -> u64 {
    offset(&raw const crio_stub_told)
}

/// Bytes of the stub with its [`Saved`] behind it.
pub fn stub_len() -> usize {
    stub().len() + SAVED_LEN
}

fn offset(label: *const u8) -> u64 {
    label.addr() as u64 - (&raw const crio_stub).addr() as u64
}

/// One system call of a batch, as the stub reads and answers it. All words have 64 bits, so that one type serves every
/// machine; a 32-bit stub reads the low halves and extends the sign of the result.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub nr: u64,
    /// Its arguments, in the order in which the kernel takes them.
    pub args: [u64; 6],
    /// What it returned: a value, or `-errno`.
    pub ret: i64,
}

const _: () = assert!(size_of::<Call>() == 64);

/// Where the stub finds what, from the end of its code on: the frame is first, each of the others in its natural size.
pub(crate) mod at {
    use crate::FRAME_LEN;

    /// 16 bytes, because MIPS has 128 signals.
    pub(crate) const MASK: usize = FRAME_LEN;
    pub(crate) const AREA: usize = MASK + 16;
    pub(crate) const AREA_LEN: usize = AREA + 8;
    pub(crate) const TGID: usize = AREA_LEN + 8;
    pub(crate) const TID: usize = TGID + 4;
    pub(crate) const WAKE: usize = TID + 4;
    /// Of everything, a multiple of eight.
    pub(crate) const LEN: usize = WAKE + 8;
}

/// What the stub needs to give a thread back by itself; stands right behind the stub's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// The registers to continue with.
    pub regs: Regs,
    /// The thread's signal mask, bit n-1 for signal n.
    pub mask: u128,
    /// Borrowed mapping: address and length in bytes, 0 when there is none.
    pub area: u64,
    /// See `area`.
    pub area_len: u64,
    /// Receiver of the wake signal.
    pub tgid: u32,
    /// See `tgid`.
    pub tid: u32,
    /// The wake signal; 0 for none, when the tracer watches system calls instead.
    pub wake: u32,
}

/// Bytes of [`Saved`] in memory.
pub const SAVED_LEN: usize = at::LEN;

impl Saved {
    /// The bytes to write behind the stub, in the machine's order. `aside` are the register sets that were set aside
    /// ([`CALL_CLOBBERS`](crate::CALL_CLOBBERS)).
    pub fn to_bytes(&self, aside: &[RegSet]) -> Vec<u8> {
        let mut bytes = frame(&self.regs, self.mask, aside);
        bytes.resize(FRAME_LEN, 0);
        let halves = [self.mask as u64, (self.mask >> 64) as u64];
        bytes.extend(halves.into_iter().chain([self.area, self.area_len]).flat_map(u64::to_ne_bytes));
        bytes.extend([self.tgid, self.tid, self.wake, 0].into_iter().flat_map(u32::to_ne_bytes));
        bytes
    }

    /// What [`to_bytes`](Saved::to_bytes) has written; `None` of fewer bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let regs = from_frame(bytes.get(..FRAME_LEN)?)?;
        let word = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Saved {
            regs,
            mask: u128::from(word(at::MASK)?) | u128::from(word(at::MASK + 8)?) << 64,
            area: word(at::AREA)?,
            area_len: word(at::AREA_LEN)?,
            tgid: half(at::TGID)?,
            tid: half(at::TID)?,
            wake: half(at::WAKE)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_found_again() {
        let regs: Vec<u8> = (0..crate::REGS_LEN).map(|i| i as u8).collect();
        let regs = Regs::from_bytes(&regs).unwrap();
        let saved = Saved { regs, mask: 1 << 127 | 40, area: 41, area_len: 42, tgid: 43, tid: 44, wake: 45 };
        let bytes = saved.to_bytes(&[]);
        assert_eq!(bytes.len(), SAVED_LEN);
        assert_eq!(Saved::from_bytes(&bytes), Some(saved));
        assert_eq!(Saved::from_bytes(&bytes[..bytes.len() - 8]), None);
    }
}
