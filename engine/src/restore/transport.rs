//! Descriptors on their way into tasks under construction.
//!
//! One socket pair serves all of them: every task inherits its far end under one number, which no task uses itself.
//! A task receives by recvmsg(2), which hands out the lowest free numbers; what is sent in ascending order of its final
//! number therefore arrives at or below it, and can be moved up from the last to the first without ever meeting another.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::error::{OsContext, Result};
use crate::sys::fd::{MAX_FDS_PER_MESSAGE, control_len, send_fds};
use crate::tracee::{Batch, Loan};

const WORD: usize = size_of::<usize>();

/// The socket pair, and the number of its far end in the tasks.
#[derive(Debug)]
pub(super) struct Transport {
    near: OwnedFd,
    far: OwnedFd,
    number: i32,
}

/// A descriptor to be installed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parcel {
    /// Ours.
    pub(super) fd: RawFd,
    /// Its number in the task.
    pub(super) number: i32,
    /// FD_CLOEXEC
    pub(super) close_on_exec: bool,
}

impl Transport {
    /// A new pair; `number` is free in every task.
    pub(super) fn new(number: i32) -> Result<Self> {
        let (near, far) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .os(|| "socketpair")?;
        Ok(Transport { near, far, number })
    }

    /// Adds the calls by which a child of ours keeps nothing open but the far end, under its number.
    pub(super) fn settle(&self, batch: &mut Batch) {
        let number = self.number as u64;
        if self.far.as_raw_fd() != self.number {
            batch.call("dup3", libc::SYS_dup3, &[self.far.as_raw_fd() as u64, number, 0]);
        }
        self.close_all_else(batch);
    }

    /// Adds the calls that close everything but the far end.
    pub(super) fn close_all_else(&self, batch: &mut Batch) {
        let number = self.number as u64;
        if number > 0 {
            batch.call("close_range", libc::SYS_close_range, &[0, number - 1, 0]);
        }
        batch.call("close_range", libc::SYS_close_range, &[number + 1, u32::MAX.into(), 0]);
    }

    /// A low number that is neither taken nor ours.
    pub(super) fn unused(&self, taken: &HashSet<u32>) -> u32 {
        (0..).find(|number| !taken.contains(number) && *number != self.number as u32).unwrap_or(0)
    }

    /// Adds the call that closes the far end.
    pub(super) fn leave(&self, batch: &mut Batch) {
        batch.call("close", libc::SYS_close, &[self.number as u64]);
    }

    /// Gives a task, which has nothing else open, descriptors for a while. They get the returned numbers.
    pub(super) fn lend(&self, batch: &mut Batch, fds: &[RawFd]) -> Result<Vec<i32>> {
        self.receive(batch, fds)?;
        Ok(self.lowest(&BTreeSet::new(), fds.len()))
    }

    /// Installs parcels, in ascending order of their numbers, in a task that has nothing open but the far end and the
    /// numbers `taken`.
    pub(super) fn install(
        &self,
        loan: &mut Loan,
        mut taken: BTreeSet<i32>,
        parcels: &[Parcel],
    ) -> Result<()> {
        for chunk in parcels.chunks(MAX_FDS_PER_MESSAGE) {
            let mut batch = loan.batch();
            let fds: Vec<RawFd> = chunk.iter().map(|parcel| parcel.fd).collect();
            self.receive(&mut batch, &fds)?;
            for (parcel, from) in chunk.iter().zip(self.lowest(&taken, fds.len())).rev() {
                place(&mut batch, *parcel, from);
            }
            loan.run(&mut batch)?;
            batch.expect_all()?;
            taken.extend(chunk.iter().map(|parcel| parcel.number));
        }
        Ok(())
    }

    /// Sends the descriptors and adds the call that receives them, all with FD_CLOEXEC.
    fn receive(&self, batch: &mut Batch, fds: &[RawFd]) -> Result<()> {
        if fds.is_empty() {
            return Ok(());
        }
        send_fds(self.near.as_fd(), fds).os(|| "sendmsg to a task")?;
        let byte = batch.reserve(1);
        let iov = batch.put(&[byte as usize, 1].map(usize::to_ne_bytes).concat());
        let control_len = control_len(fds.len());
        let control = batch.reserve(control_len);
        // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags; a word each.
        let header =
            [0, 0, iov as usize, 1, control as usize, control_len, 0].map(usize::to_ne_bytes).concat();
        debug_assert_eq!(header.len(), 7 * WORD);
        let header = batch.put(&header);
        let args = [self.number as u64, header, libc::MSG_CMSG_CLOEXEC as u64];
        batch.call("recvmsg", libc::SYS_recvmsg, &args);
        Ok(())
    }

    /// What a task with nothing open gets for its next two descriptors.
    pub(super) fn lowest_two(&self) -> [i32; 2] {
        let mut free = (0..).filter(|n| *n != self.number);
        [free.next().unwrap_or(0), free.next().unwrap_or(1)]
    }

    /// The `count` lowest numbers that are free when `taken` and ours are not.
    fn lowest(&self, taken: &BTreeSet<i32>, count: usize) -> Vec<i32> {
        (0..).filter(|n| *n != self.number && !taken.contains(n)).take(count).collect()
    }
}

fn place(batch: &mut Batch, parcel: Parcel, from: i32) {
    let (from, to) = (from as u64, parcel.number as u64);
    if from == to {
        if !parcel.close_on_exec {
            batch.call(format!("fcntl {to} F_SETFD"), libc::SYS_fcntl, &[to, libc::F_SETFD as u64, 0]);
        }
        return;
    }
    let flags = if parcel.close_on_exec { libc::O_CLOEXEC } else { 0 };
    batch.call(format!("dup3 to {to}"), libc::SYS_dup3, &[from, to, flags as u64]);
    batch.call("close", libc::SYS_close, &[from]);
}
