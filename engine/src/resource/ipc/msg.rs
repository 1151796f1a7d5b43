//! Message queues that processes of the tree use: msgget(2), msgsnd(2), msgrcv(2), ipc/msg.c.
//!
//! Nothing ties a queue to a process. The tree's are those that one of its processes was the last to send to or to receive
//! from. The messages are read by MSG_COPY, which leaves them where they are. The image is CRIU's of an IPC namespace,
//! `ipcns-msg-NS.img`, with the last processes in fields of ours.
//!
//! In a queue that is made anew, processes with the pids of the last receiver and sender, where they are free, receive a
//! message that nobody misses, and send those of the image.
//!
//! Not kept: times; queues that were made, but never used by a process of the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Creator, Noun, PERMISSIONS, UNFINISHED, desc_of, is_absence, is_unfinished};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{IpcMsg, IpcMsgEntry};
use crate::image::{ImageDir, Kind};
use crate::kernel::{Pid, sysvipc};
use crate::sys::ipc::msg::{self, Message, Queue};

const QUEUE: Noun = Noun { name: "message queue", next_id: "msg_next_id", option: "-q" };

/// Writes the queues of the tasks `tree`, which stand still. One that goes meanwhile is none.
pub fn dump(images: &ImageDir, ns: u32, tree: &BTreeSet<Pid>) -> Result<()> {
    let mut image = images.writer(Kind::IpcMsgQueues(ns));
    for id in sysvipc::message_queues()? {
        let Ok(queue) = msg::queue(id) else { continue };
        if !tree.contains(&queue.last_sender) && !tree.contains(&queue.last_receiver) {
            continue;
        }
        let messages = messages(id, &queue).os(|| format!("msgrcv MSG_COPY of queue {id}"))?;
        let used = |pid: Pid| u32::try_from(pid).ok().filter(|pid| *pid != 0);
        image.push(&IpcMsgEntry {
            desc: desc_of(id as u32, &queue.perm),
            qbytes: queue.most_bytes.try_into().unwrap_or(u32::MAX),
            qnum: messages.len() as u32,
            lspid: used(queue.last_sender),
            lrpid: used(queue.last_receiver),
        })?;
        for Message { kind, text } in messages {
            image.push_with_payload(&IpcMsg { mtype: kind as u64, msize: text.len() as u32 }, &text)?;
        }
    }
    image.finish()
}

/// The messages of a queue in their order.
fn messages(id: i32, queue: &Queue) -> io::Result<Vec<Message>> {
    let mut found = Vec::new();
    loop {
        // None is longer than all together may be.
        match msg::peek(id, found.len() as u64, queue.most_bytes as usize) {
            Ok(message) => found.push(message),
            Err(e) if e.raw_os_error() == Some(libc::ENOMSG) => return Ok(found),
            Err(e) => return Err(e),
        }
    }
}

/// The queues of an image. Dropped, it removes those that it has made, unless they were kept.
#[derive(Debug, Default)]
pub struct MsgRestore {
    queues: BTreeMap<u32, Planned>,
}

#[derive(Debug)]
struct Planned {
    entry: IpcMsgEntry,
    messages: Vec<Message>,
    made: bool,
}

impl MsgRestore {
    /// Reads the queues of the IPC namespace `ns`.
    pub fn load(images: &ImageDir, ns: u32) -> Result<Self> {
        let Some(mut reader) = images.reader(Kind::IpcMsgQueues(ns))? else {
            return Ok(MsgRestore::default());
        };
        let mut queues = BTreeMap::new();
        while let Some(entry) = reader.next::<IpcMsgEntry>()? {
            let mut messages = Vec::new();
            for _ in 0..entry.qnum {
                let head = reader.next::<IpcMsg>()?.ok_or_else(|| reader.bad("lacks messages"))?;
                let text = reader.payload()?.into_iter().take(head.msize as usize).collect();
                messages.push(Message { kind: head.mtype as i64, text });
            }
            queues.insert(entry.desc.id, Planned { entry, messages, made: false });
        }
        Ok(MsgRestore { queues })
    }

    /// What stands in the way of them.
    pub fn check(&self) -> Vec<Error> {
        self.queues.values().filter_map(|planned| planned.lives().err()).collect()
    }

    /// Makes those that are gone.
    pub fn make(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        for (id, planned) in &mut self.queues {
            planned.make(tell).map_err(|e| e.on(QUEUE.object(*id)))?;
        }
        Ok(())
    }

    /// Gives those that were made to their owners.
    pub fn complete(&self) -> Result<()> {
        for planned in self.queues.values().filter(|planned| planned.made) {
            let (id, desc) = (planned.id(), &planned.entry.desc);
            msg::set(id, desc.uid, desc.gid, desc.mode & PERMISSIONS, planned.entry.qbytes.into())
                .os(|| format!("msgctl IPC_SET {id}"))?;
        }
        Ok(())
    }

    /// Nothing is taken back any more.
    pub fn keep(&mut self) {
        self.queues.values_mut().for_each(|planned| planned.made = false);
    }
}

impl Drop for MsgRestore {
    fn drop(&mut self) {
        for planned in self.queues.values().filter(|planned| planned.made) {
            // The failure that brought us here is the one to report.
            let _ = msg::remove(planned.id());
        }
    }
}

impl Planned {
    fn id(&self) -> i32 {
        self.entry.desc.id as i32
    }

    /// Whether it is still there; an error if something else is in its place.
    fn lives(&self) -> Result<bool> {
        let desc = &self.entry.desc;
        match msg::queue(self.id()) {
            Ok(there) if is_unfinished(&there.perm) => Ok(false),
            Ok(there) => match QUEUE.difference(desc, &there.perm) {
                None => Ok(true),
                Some(what) => Err(QUEUE.taken(desc.id, format!("is another one by now, with {what}"))),
            },
            Err(e) if is_absence(&e) => {
                QUEUE.key_is_free(desc.id, desc.key, |key| msg::msgget(key, 0)).map(|()| false)
            }
            Err(e) => Err(Error::os(format!("msgctl IPC_STAT {}", desc.id), e)),
        }
    }

    fn make(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        if self.lives()? {
            return Ok(());
        }
        let (id, desc) = (self.id(), &self.entry.desc);
        // What a killed restore has left behind.
        if msg::queue(id).is_ok() {
            msg::remove(id).os(|| format!("msgctl IPC_RMID {id}"))?;
        }
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | UNFINISHED as i32;
        let create = || msg::msgget(desc.key, flags);
        QUEUE.create(desc, Creator::Process(None), create, msg::remove)?;
        self.made = true;
        msg::set(id, desc.uid, desc.gid, UNFINISHED, self.entry.qbytes.into())
            .os(|| format!("msgctl IPC_SET {id} with {} bytes", self.entry.qbytes))?;
        let mut done_by = |pid: Option<u32>, what: &str, work: &dyn Fn() -> io::Result<()>| {
            let creator = pid.map_or(Creator::Ourselves, |pid| Creator::Process(Some(pid as Pid)));
            let done = creator.run(super::our_users(), || work().map(|()| id));
            let (_, kept) = done.os(|| format!("{what} queue {id}"))?;
            if let Some(pid) = pid.filter(|_| !kept) {
                tell(format!("process {pid} as last user of message queue {id}"), "msgctl(2) shows another");
            }
            Ok::<_, Error>(())
        };
        let (sender, receiver) = (self.entry.lspid, self.entry.lrpid);
        if receiver.is_some() {
            let nothing = Message { kind: 1, text: Vec::new() };
            done_by(sender, "msgsnd to", &|| msg::send(id, &nothing))?;
            done_by(receiver, "msgrcv from", &|| msg::take(id, 0).map(drop))?;
        }
        if self.messages.is_empty() {
            return Ok(());
        }
        done_by(sender, "msgsnd to", &|| self.messages.iter().try_for_each(|message| msg::send(id, message)))
    }
}
