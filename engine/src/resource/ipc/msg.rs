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

use super::{Creator, Noun, There, desc_of, readable, unfinished};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{IpcMsg, IpcMsgEntry};
use crate::image::{ImageDir, Kind};
use crate::kernel::{Pid, sysvipc};
use crate::sys::ipc::msg::{self, Message, Queue};

const QUEUE: Noun = Noun {
    name: "message queue",
    next_id: "msg_next_id",
    option: "-q",
    perm: |id| msg::queue(id).map(|queue| queue.perm),
    find: |key| msg::msgget(key, 0),
    set_owner: msg::set_owner,
    remove: msg::remove,
};

/// For a message that is longer than what the kernel takes today (kernel.msgmax): it may have taken more before.
const LONG_MESSAGE: &str = "raise the limit for a single message: sysctl kernel.msgmax";
const MISSING: &str = "one that is made anew may lack some";
/// How often others may use a queue while it is read.
const ATTEMPTS: usize = 5;

/// Writes the queues of the tasks `tree`, which stand still. One that goes meanwhile is none.
pub fn dump(
    images: &ImageDir,
    ns: u32,
    tree: &BTreeSet<Pid>,
    mut tell: impl FnMut(Pid, String, &str),
) -> Result<()> {
    let mut image = images.writer(Kind::IpcMsgQueues(ns));
    for id in sysvipc::message_queues()? {
        let object = || QUEUE.object(id as u32);
        let Some(queue) = readable(msg::queue(id), object)? else { continue };
        let users = [queue.last_sender, queue.last_receiver];
        let Some(user) = users.into_iter().find(|pid| tree.contains(pid)) else { continue };
        let Some((queue, messages, is_one)) = messages(id).map_err(|e| e.on(object()))? else { continue };
        if !is_one {
            tell(user, format!("messages of queue {id}, which others use all the time"), MISSING);
        }
        let used = |pid: Pid| u32::try_from(pid).ok().filter(|pid| *pid != 0);
        image.push(&IpcMsgEntry {
            desc: desc_of(id as u32, &queue.perm),
            qbytes: queue.most_bytes,
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

/// A queue, its messages in their order, and whether they are those of one moment: processes outside of the tree may use
/// it meanwhile. None if it is gone.
fn messages(id: i32) -> Result<Option<(Queue, Vec<Message>, bool)>> {
    let look = || readable(msg::queue(id), || QUEUE.object(id as u32));
    let Some(mut before) = look()? else { return Ok(None) };
    for attempt in 1.. {
        let messages = read(id);
        let Some(after) = look()? else { break };
        let messages = messages?;
        let is_one = before == after && after.messages == messages.len() as u64;
        if is_one || attempt == ATTEMPTS {
            return Ok(Some((after, messages, is_one)));
        }
        before = after;
    }
    Ok(None)
}

/// The messages that are in a queue one after the other.
fn read(id: i32) -> Result<Vec<Message>> {
    let mut found = Vec::new();
    // What the longest message needs is not told.
    let mut longest = 8 << 10;
    loop {
        match msg::peek(id, found.len() as u64, longest) {
            Ok(message) => found.push(message),
            Err(e) if e.raw_os_error() == Some(libc::ENOMSG) => return Ok(found),
            Err(e) if e.raw_os_error() == Some(libc::E2BIG) => longest *= 2,
            Err(e) => {
                let too_long = e.raw_os_error() == Some(libc::EINVAL) && msg::queue(id).is_ok();
                let error = Error::os(format!("msgrcv MSG_COPY of message {}", found.len()), e);
                return Err(if too_long { error.help(LONG_MESSAGE) } else { error });
            }
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
        self.queues.values().filter_map(|planned| planned.look().err()).collect()
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
            planned.limit(planned.entry.qbytes)?;
            QUEUE.complete(&planned.entry.desc)?;
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
    fn look(&self) -> Result<There> {
        let desc = &self.entry.desc;
        QUEUE.look(desc, |there| QUEUE.difference(desc, there))
    }

    fn limit(&self, bytes: u32) -> Result<()> {
        let set = msg::set_most_bytes(self.id(), bytes);
        set.os(|| format!("msgctl IPC_SET {} with {bytes} bytes", self.id())).map_err(|e| match e.errno() {
            Some(libc::EPERM) => {
                e.help("raise the limit for a queue (sysctl kernel.msgmnb), or add CAP_SYS_RESOURCE")
            }
            _ => e,
        })
    }

    fn make(&mut self, tell: &mut dyn FnMut(String, &'static str)) -> Result<()> {
        let (id, desc) = (self.id(), &self.entry.desc);
        match self.look()? {
            There::Same => return Ok(()),
            There::LeftBehind => QUEUE.clear(desc)?,
            There::Nothing => {}
        }
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | unfinished(desc) as i32;
        QUEUE.create(desc, Creator::Process(None), || msg::msgget(desc.key, flags))?;
        self.made = true;
        self.limit(self.room())?;
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
        let fill = || self.messages.iter().try_for_each(|message| msg::send(id, message));
        done_by(sender, "msgsnd to", &fill).map_err(|e| match e.errno() {
            Some(libc::EINVAL) => e.help(LONG_MESSAGE),
            _ => e,
        })
    }

    /// The limit under which all messages can be sent, of their bytes and of their number: it may have been lowered when
    /// they were in the queue.
    fn room(&self) -> u32 {
        let bytes: usize = self.messages.iter().map(|message| message.text.len()).sum();
        let all = bytes.max(self.messages.len()).max(1);
        self.entry.qbytes.max(all.try_into().unwrap_or(u32::MAX))
    }
}
