//! Page contents: from the victim into `pages-N.img`, one copy through a buffer of ours.
//!
//! What is to be copied is planned first ([`Transfer`]), for all tasks of the tree, then done by as many threads as there
//! are CPUs. Each transfer gathers scattered pages by process_vm_readv(2), which refuses memory that the task itself may
//! not read; /proc/PID/mem reads that as well (FOLL_FORCE, fs/proc/base.c). Where the kernel lets only the tracer do so
//! (CONFIG_PROC_MEM_FORCE_PTRACE), which is one thread of ours, that thread does last what the others could not.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{OsContext, Result};
use crate::fault;
use crate::parallel::{self, Queue};
use crate::sys::process::gather_memory;

/// Bytes of one transfer: large enough to keep system calls rare, small enough that what was read is still in the second
/// level cache when it is written. On a machine with 512 KiB of it, 512 KiB take half as long again.
pub const CHUNK: u64 = 128 << 10;
/// So many transfers are worth another thread, which takes as long to start as two of them.
const FEW: usize = 4;
/// Ranges that process_vm_readv takes at once: UIO_MAXIOV.
const MOST_RANGES: usize = 1024;

/// Pages to be copied to consecutive places of a file.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Whose memory.
    pub pid: i32,
    /// Its /proc/PID/mem.
    pub mem: Arc<File>,
    /// Some pages are shared copy-on-write, and are to stay so.
    pub shared: bool,
    /// Address and bytes of each range.
    pub ranges: Vec<(u64, usize)>,
    /// Where to.
    pub file: Arc<File>,
    /// From this offset on.
    pub offset: u64,
}

/// Cuts runs of pages, which are consecutive in the file, into transfers of at most [`CHUNK`] bytes.
#[derive(Debug)]
pub struct Planner {
    pid: i32,
    mem: Arc<File>,
    file: Arc<File>,
    open: Option<Transfer>,
    done: Vec<Transfer>,
}

impl Planner {
    /// Plans the transfers of one task into one file.
    pub fn new(pid: i32, mem: Arc<File>, file: Arc<File>) -> Self {
        Planner { pid, mem, file, open: None, done: Vec::new() }
    }

    /// Adds a run: `len` bytes at `address` go to `offset`; `shared` as in [`Transfer`].
    pub fn add(&mut self, mut address: u64, len: u64, mut offset: u64, shared: bool) {
        if self.open.as_ref().is_some_and(|open| open.shared != shared) {
            self.done.extend(self.open.take());
        }
        let mut left = len;
        while left > 0 {
            let used = self.open.as_ref().map_or(0, |t| t.ranges.iter().map(|(_, len)| *len as u64).sum());
            let full = used >= CHUNK || self.open.as_ref().is_some_and(|t| t.ranges.len() >= MOST_RANGES);
            if full {
                self.done.extend(self.open.take());
                continue;
            }
            let take = left.min(CHUNK - used);
            let open = self.open.get_or_insert_with(|| Transfer {
                pid: self.pid,
                mem: Arc::clone(&self.mem),
                shared,
                ranges: Vec::new(),
                file: Arc::clone(&self.file),
                offset,
            });
            open.ranges.push((address, take as usize));
            (address, offset, left) = (address + take, offset + take, left - take);
        }
    }

    /// The transfers.
    pub fn finish(mut self) -> Vec<Transfer> {
        self.done.extend(self.open.take());
        self.done
    }
}

/// Does all transfers. The first failure stops the others. The caller is the thread that has stopped the tasks.
pub fn copy_all(transfers: &[Transfer]) -> Result<()> {
    // To ask how many CPUs there are takes a dozen system calls, for the limits of our cgroup.
    let workers = match transfers.len() {
        ..FEW => 1,
        many => std::thread::available_parallelism().map_or(1, usize::from).min(many),
    };
    let (queue, refused) = (Queue::new(transfers), Mutex::new(Vec::new()));
    let work = || {
        let mut buffer = Vec::new();
        queue.work(|index, transfer| {
            if index == transfers.len() / 2 {
                fault::point("pages-half-copied")?;
            }
            match copy(transfer, &mut buffer) {
                Err(error) if error.errno() == Some(libc::EIO) => {
                    refused.lock().unwrap_or_else(PoisonError::into_inner).push(transfer);
                    Ok(())
                }
                done => done,
            }
        })
    };
    parallel::by_threads(workers, &work)?;
    let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = Vec::new();
    refused.into_iter().try_for_each(|transfer| copy(transfer, &mut buffer))
}

fn copy(transfer: &Transfer, buffer: &mut Vec<u8>) -> Result<()> {
    let len = transfer.ranges.iter().map(|(_, len)| *len).sum();
    buffer.resize(len, 0);
    if transfer.shared || gather_memory(transfer.pid, &transfer.ranges, buffer).ok() != Some(len) {
        let mut rest = buffer.as_mut_slice();
        for (address, len) in &transfer.ranges {
            let Some((part, after)) = rest.split_at_mut_checked(*len) else { break };
            transfer
                .mem
                .read_exact_at(part, *address)
                .os(|| format!("read memory of {} at {address:x}", transfer.pid))?;
            rest = after;
        }
    }
    transfer.file.write_all_at(buffer, transfer.offset).os(|| "write the pages image")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_cut_at_chunks_and_land_where_planned() -> Result<()> {
        let content: Vec<u8> = (0..CHUNK as usize + 8192).map(|i| (i % 253) as u8).collect();
        let target = Arc::new(tempfile::tempfile().os(|| "tempfile")?);
        let mem = Arc::new(File::open("/proc/self/mem").os(|| "open /proc/self/mem")?);
        let mut planner = Planner::new(std::process::id() as i32, mem, Arc::clone(&target));
        let base = content.as_ptr().addr() as u64;
        planner.add(base, 4096, 0, false);
        planner.add(base + 4096, CHUNK + 4096, 4096, false);
        let transfers = planner.finish();
        assert_eq!(transfers.iter().map(|t| t.offset).collect::<Vec<_>>(), [0, CHUNK]);
        copy_all(&transfers)?;
        let mut back = vec![0; content.len()];
        target.read_exact_at(&mut back, 0).os(|| "read")?;
        assert!(back == content);
        Ok(())
    }
}
