//! Message queues: msgget(2), msgctl(2), msgsnd(2), msgrcv(2).

#![allow(unsafe_code, reason = "calls of the C library that pass memory")]

use std::io;

use super::{Perm, check};

const MSG_COPY: libc::c_int = 0o40000;
const WORD: usize = size_of::<libc::c_long>();

/// A queue: struct msqid_ds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queue {
    /// Whose it is.
    pub perm: Perm,
    /// Messages in it.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes in it. The kernel shows a long that it has made of an int (msgctl_down in ipc/msg.c): no more is lost.
    pub most_bytes: u32,
    /// When it was last sent to, and received from, in seconds.
    pub used: [libc::time_t; 2],
    /// Process of the last msgsnd(2).
    pub last_sender: i32,
    /// Process of the last msgrcv(2).
    pub last_receiver: i32,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Greater than 0.
    pub kind: i64,
    /// Its bytes.
    pub text: Vec<u8>,
}

fn status(id: i32) -> io::Result<libc::msqid_ds> {
    // SAFETY: a structure of numbers and pointers that the kernel does not follow; all zeros is a value of it.
    let mut status: libc::msqid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: `status` outlives the call.
    check(unsafe { libc::msgctl(id, libc::IPC_STAT, &raw mut status) })?;
    Ok(status)
}

/// IPC_STAT of a queue. EINVAL: there is none of this id.
pub fn queue(id: i32) -> io::Result<Queue> {
    let status = status(id)?;
    Ok(Queue {
        perm: Perm::of(&status.msg_perm),
        messages: status.msg_qnum as u64,
        bytes: status.__msg_cbytes as u64,
        most_bytes: status.msg_qbytes as u32,
        used: [status.msg_stime, status.msg_rtime],
        last_sender: status.msg_lspid,
        last_receiver: status.msg_lrpid,
    })
}

/// msgget(2): the id.
pub fn msgget(key: u32, flags: i32) -> io::Result<i32> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::msgget(key as libc::key_t, flags) })
}

/// Sets owner, group and the nine bits of permission.
pub fn set_owner(id: i32, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
    let mut status = status(id)?;
    (status.msg_perm.uid, status.msg_perm.gid, status.msg_perm.mode) = (uid, gid, mode as _);
    set(id, &mut status)
}

/// Sets the most bytes.
pub fn set_most_bytes(id: i32, most_bytes: u32) -> io::Result<()> {
    let mut status = status(id)?;
    status.msg_qbytes = most_bytes.into();
    set(id, &mut status)
}

fn set(id: i32, status: &mut libc::msqid_ds) -> io::Result<()> {
    // SAFETY: `status` outlives the call.
    check(unsafe { libc::msgctl(id, libc::IPC_SET, status) }).map(drop)
}

/// A copy of the n-th message, which stays where it is. ENOMSG: there are no more; ENOSYS: no CONFIG_CHECKPOINT_RESTORE.
pub fn peek(id: i32, number: u64, longest: usize) -> io::Result<Message> {
    receive(id, longest, number as libc::c_long, MSG_COPY | libc::IPC_NOWAIT)
}

/// Takes the first message of a queue.
pub fn take(id: i32, longest: usize) -> io::Result<Message> {
    receive(id, longest, 0, libc::IPC_NOWAIT)
}

fn receive(id: i32, longest: usize, which: libc::c_long, flags: libc::c_int) -> io::Result<Message> {
    // Words, for the alignment of the type that comes first.
    let mut buffer = vec![0 as libc::c_long; 1 + longest.div_ceil(WORD)];
    // SAFETY: the buffer outlives the call and has room for the type and `longest` bytes.
    let got = unsafe { libc::msgrcv(id, buffer.as_mut_ptr().cast(), longest, which, flags) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    let kind = buffer.first().copied().unwrap_or(0) as i64;
    let text = buffer.iter().skip(1).flat_map(|word| word.to_ne_bytes()).take(got).collect();
    Ok(Message { kind, text })
}

/// msgsnd(2), without waiting for room.
pub fn send(id: i32, message: &Message) -> io::Result<()> {
    let mut buffer = vec![message.kind as libc::c_long];
    buffer.extend(message.text.chunks(WORD).map(|part| {
        let mut word = [0; WORD];
        word.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
        libc::c_long::from_ne_bytes(word)
    }));
    // SAFETY: the buffer outlives the call, and holds the type and all bytes.
    check(unsafe { libc::msgsnd(id, buffer.as_ptr().cast(), message.text.len(), libc::IPC_NOWAIT) }).map(drop)
}

/// IPC_RMID
pub fn remove(id: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}
