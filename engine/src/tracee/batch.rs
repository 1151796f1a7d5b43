//! A batch: system calls to be run by a tracee, with the memory they point to.
//!
//! Data grows from the start of the borrowed area, calls grow down from its end. Addresses are known when an item is
//! added, so that calls can refer to data and to results of the same batch.

use std::borrow::Cow;
use std::io;

use arch::Call;

use crate::error::{Error, Result};

/// A mapping borrowed in a tracee for the memory of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Its lowest address, page aligned.
    pub start: u64,
    /// Its bytes, whole pages.
    pub len: u64,
}

/// Names one call of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallId(usize);

/// Calls and data to be run at once. See the module text.
#[derive(Debug)]
pub struct Batch {
    area: Area,
    data: Vec<u8>,
    calls: Vec<Call>,
    names: Vec<Cow<'static, str>>,
    optional: Vec<usize>,
    answers: bool,
}

impl Batch {
    /// An empty batch for a tracee that lends `area`.
    pub fn new(area: Area) -> Self {
        Batch {
            area,
            data: Vec::new(),
            calls: Vec::new(),
            names: Vec::new(),
            optional: Vec::new(),
            answers: false,
        }
    }

    /// Adds bytes for calls to read; 16-byte aligned.
    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        self.data.resize(self.data.len().next_multiple_of(16), 0);
        let address = self.area.start + self.data.len() as u64;
        self.data.extend_from_slice(bytes);
        address
    }

    /// Adds room for calls to write into, zeroed; 16-byte aligned. [`Batch::bytes`] reads it after the run.
    pub fn reserve(&mut self, len: usize) -> u64 {
        self.answers = true;
        let address = self.put(&[]);
        self.data.resize(self.data.len() + len, 0);
        address
    }

    /// Adds a call; `what` names it and its object for error messages. Arguments that are missing are 0.
    pub fn call(&mut self, what: impl Into<Cow<'static, str>>, nr: libc::c_long, args: &[u64]) -> CallId {
        let mut call = Call { nr: nr as u64, ..Call::default() };
        for (slot, arg) in call.args.iter_mut().zip(args) {
            *slot = *arg;
        }
        self.calls.push(call);
        self.names.push(what.into());
        CallId(self.calls.len() - 1)
    }

    /// Adds a call whose failure [`Batch::expect_all`] passes over: an older kernel lacks it, and its absence harms little.
    pub fn attempt(&mut self, what: impl Into<Cow<'static, str>>, nr: libc::c_long, args: &[u64]) -> CallId {
        let id = self.call(what, nr, args);
        self.optional.push(id.0);
        id
    }

    /// Adds a call in the machine's own layout, as the constructors of `arch::syscall` return it.
    pub fn call_raw(&mut self, what: impl Into<Cow<'static, str>>, (nr, args): (u64, [u64; 6])) -> CallId {
        self.call(what, nr as libc::c_long, &args)
    }

    /// What a call returned.
    pub fn ret(&self, id: CallId) -> io::Result<u64> {
        match self.calls.get(id.0).map_or(-i64::from(libc::EINVAL), |call| call.ret) {
            ret @ -4095..=-1 => Err(io::Error::from_raw_os_error(-ret as i32)),
            ret => Ok(ret as u64),
        }
    }

    /// What a call returned; its failure as an error that names the call.
    pub fn expect(&self, id: CallId) -> Result<u64> {
        self.ret(id).map_err(|e| Error::os(self.names.get(id.0).map_or("call", |n| n.as_ref()), e))
    }

    /// Fails with the first call that failed.
    pub fn expect_all(&self) -> Result<()> {
        let required = (0..self.calls.len()).filter(|i| !self.optional.contains(i));
        required.map(CallId).try_for_each(|id| self.expect(id).map(drop))
    }

    /// The bytes at an address of this batch: after a run what the calls have written. Zeroes outside of it.
    pub fn bytes<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut out = [0; N];
        let start = address.saturating_sub(self.area.start) as usize;
        if let Some(found) = self.data.get(start..start + N) {
            out.copy_from_slice(found);
        }
        out
    }

    /// A word of this batch, see [`Batch::bytes`].
    pub fn u64_at(&self, address: u64) -> u64 {
        u64::from_ne_bytes(self.bytes(address))
    }

    /// A half word of this batch, see [`Batch::bytes`].
    pub fn u32_at(&self, address: u64) -> u32 {
        u32::from_ne_bytes(self.bytes(address))
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether the area has less than a page left: time to run this batch and start another.
    pub fn is_full(&self) -> bool {
        self.room() < 8192
    }

    fn room(&self) -> u64 {
        self.area
            .len
            .saturating_sub(self.data.len() as u64 + 16 + self.calls.len() as u64 * size_of::<Call>() as u64)
    }

    /// Address of the first call, and one past the last.
    pub(super) fn span(&self) -> Result<(u64, u64)> {
        if self.room() == 0 {
            return Err(Error::bug(format!("a batch of {} calls outgrows its area", self.calls.len())));
        }
        let end = self.area.start + self.area.len;
        Ok((end - (self.calls.len() * size_of::<Call>()) as u64, end))
    }

    pub(super) fn area(&self) -> Area {
        self.area
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    pub(super) fn answers(&mut self) -> Option<&mut [u8]> {
        self.answers.then_some(&mut self.data)
    }

    pub(super) fn calls_to_bytes(&self) -> Vec<u8> {
        let words = |call: &Call| {
            let [a, b, c, d, e, f] = call.args;
            [call.nr, a, b, c, d, e, f, call.ret as u64].map(u64::to_ne_bytes)
        };
        self.calls.iter().map(words).collect::<Vec<_>>().into_flattened().into_flattened()
    }

    pub(super) fn take_results(&mut self, bytes: &[u8]) {
        for (call, raw) in self.calls.iter_mut().zip(bytes.as_chunks::<{ size_of::<Call>() }>().0) {
            if let Some(ret) = raw.last_chunk::<8>() {
                call.ret = i64::from_ne_bytes(*ret);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_has_addresses_and_failures_have_names() {
        let mut batch = Batch::new(Area { start: 0x1000, len: 0x4000 });
        let text = batch.put(b"abc");
        let room = batch.reserve(8);
        assert_eq!((text, room), (0x1000, 0x1010));
        let id = batch.call("openat /x", libc::SYS_openat, &[1, text]);
        let mut bytes = batch.calls_to_bytes();
        bytes[56..].copy_from_slice(&(-2i64).to_ne_bytes());
        batch.take_results(&bytes);
        assert_eq!(batch.expect(id).err().map(|e| e.code()), Some("E-NOT-FOUND"));
        assert_eq!(batch.span().ok(), Some((0x4fc0, 0x5000)));
    }
}
