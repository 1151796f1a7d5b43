//! Contexts of asynchronous I/O: io_setup(2), fs/aio.c.
//!
//! A context is a ring of completed requests that the kernel shares with the program; its address is its name. The ring is
//! stored as pages of the task. A new context gets it by mremap(2), which moves the name along. Where the kernel puts
//! the next completion no call can set: requests that do nothing, writes to /dev/null, bring it there.
//!
//! Not kept: requests in flight, which no interface shows. The pages of the ring are copied last, so that what completes
//! while the task is frozen is in them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::restore::Lend;
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::PageReader;
use crate::image::message::{AioRingEntry, MmEntry, VmaEntry};
use crate::tracee::Loan;

/// struct aio_ring: id, nr, head, tail, magic, compat, incompat, header_length; then events.
const HEADER: u64 = 32;
const NR: u64 = 4;
const HEAD: u64 = 8;
const TAIL: u64 = 12;
/// struct io_event: data, obj, res, res2.
const EVENT: u64 = 32;

const IOCB_CMD_PWRITE: u16 = 1;
/// Requests of one io_submit(2).
const AT_ONCE: u32 = 1000;

/// The entry of a ring. The kernel doubles the number of requests that it is asked for, adds 2 and fills the page: this
/// is the number that leads to the same pages.
pub(super) fn entry(vma: &VmaEntry) -> AioRingEntry {
    let len = vma.end - vma.start;
    let nr_req = ((len - HEADER) / EVENT).saturating_sub(2) / 2;
    AioRingEntry { id: vma.start, nr_req: nr_req as u32, ring_len: len as u32 }
}

/// Makes the contexts of an address space whose other mappings exist. The task has nothing else open.
pub fn restore(loan: &mut Loan, mm: &MmEntry, pages: Option<&PageReader>, lend: Lend<'_>) -> Result<()> {
    if mm.aios.is_empty() {
        return Ok(());
    }
    let null = File::options().write(true).open("/dev/null").os(|| "open /dev/null")?;
    for ring in &mm.aios {
        let pages = pages.ok_or_else(|| bad(ring, "has no pages"))?;
        let content = pages.bytes(ring.id, ring.ring_len.into())?;
        restore_one(loan, ring, &content, lend, &null)
            .map_err(|e| e.on(format!("AIO context {:x}", ring.id)))?;
    }
    Ok(())
}

fn bad(ring: &AioRingEntry, why: &str) -> Error {
    Error::image("mm", format!("the AIO context at {:x} {why}", ring.id))
}

fn word(bytes: &[u8], at: u64) -> u32 {
    let bytes = bytes.get(at as usize..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn restore_one(
    loan: &mut Loan,
    ring: &AioRingEntry,
    content: &[u8],
    lend: Lend<'_>,
    null: &File,
) -> Result<()> {
    let (nr, head, tail) = (word(content, NR), word(content, HEAD), word(content, TAIL));
    if nr == 0 || head >= nr || tail >= nr || HEADER + u64::from(nr) * EVENT > ring.ring_len.into() {
        return Err(bad(ring, "is impossible"));
    }
    let mut batch = loan.batch();
    let number = lend(&mut batch, &[null.as_raw_fd()])?.first().copied().unwrap_or(-1) as u64;
    let context = batch.reserve(size_of::<u64>());
    batch.call("io_setup", libc::SYS_io_setup, &[ring.nr_req.into(), context]);
    loan.run(&mut batch)?;
    batch.expect_all()?;
    let context = if size_of::<usize>() == 8 { batch.u64_at(context) } else { batch.u32_at(context).into() };
    let made = read_word(loan, context + NR)?;
    if made != nr {
        let reason = format!("a new context has {made} slots here, and it had {nr}");
        return Err(Error::new("E-AIO-SIZE", Blame::Environment, reason)
            .help("the number depends on the processors that the machine may have"));
    }
    // What was read already and written again counts, too: the kernel's own counters follow the ring around.
    let passed = if tail < head { nr + tail } else { tail };
    advance(loan, context, (nr, head, passed), number)?;
    let events = content.get(HEADER as usize..).unwrap_or_default();
    loan.memory().write_all_at(events, context + HEADER).os(|| "write the ring")?;
    write_word(loan, context + HEAD, head)?;
    if read_word(loan, context + TAIL)? != tail {
        return Err(Error::bug("the ring of an AIO context did not follow"));
    }
    let mut batch = loan.batch();
    let len = u64::from(ring.ring_len);
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    batch.call("mremap of the ring", libc::SYS_mremap, &[context, len, len, flags as u64, ring.id]);
    batch.call("close", libc::SYS_close, &[number]);
    loan.run(&mut batch)?;
    batch.expect_all()
}

/// Lets `passed` requests complete in a new ring, and has them read up to `head`, so that there is room.
fn advance(loan: &mut Loan, context: u64, (nr, head, passed): (u32, u32, u32), null: u64) -> Result<()> {
    let mut done = 0;
    while done < passed {
        let count = (passed - done).min(nr - 1).min(AT_ONCE);
        let mut batch = loan.batch();
        let byte = batch.put(&[0]);
        let request = batch.put(&request(null as u32, byte));
        let list: Vec<u8> = (0..count).flat_map(|_| (request as usize).to_ne_bytes()).collect();
        let list = batch.put(&list);
        let call = batch.call("io_submit", libc::SYS_io_submit, &[context, count.into(), list]);
        loan.run(&mut batch)?;
        done += batch.expect(call)? as u32;
        write_word(loan, context + HEAD, done.min(head))?;
    }
    Ok(())
}

/// struct iocb: data, key and flags, operation, priority, descriptor, buffer, bytes, offset, and three more words.
fn request(fd: u32, buffer: u64) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let pieces: [(usize, &[u8]); 4] = [
        (16, &IOCB_CMD_PWRITE.to_ne_bytes()),
        (20, &fd.to_ne_bytes()),
        (24, &buffer.to_ne_bytes()),
        (32, &1u64.to_ne_bytes()),
    ];
    for (at, piece) in pieces {
        bytes.iter_mut().skip(at).zip(piece).for_each(|(to, from)| *to = *from);
    }
    bytes
}

fn read_word(loan: &Loan, at: u64) -> Result<u32> {
    let mut bytes = [0; 4];
    loan.memory().read_exact_at(&mut bytes, at).os(|| "read the ring")?;
    Ok(u32::from_ne_bytes(bytes))
}

fn write_word(loan: &Loan, at: u64, value: u32) -> Result<()> {
    loan.memory().write_all_at(&value.to_ne_bytes(), at).os(|| "write the ring")
}
