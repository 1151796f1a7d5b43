//! System V IPC objects and the tunables of one IPC namespace.
//!
//! Message contents and semaphore values are payloads. Field numbers are those of CRIU 4.2's `images/ipc-*.proto`.

use serde::{Deserialize, Serialize};

/// `struct ipc64_perm` of a System V object.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpcDescEntry {
    #[prost(uint32, required, tag = "1")]
    pub key: u32,
    #[prost(uint32, required, tag = "2")]
    pub uid: u32,
    #[prost(uint32, required, tag = "3")]
    pub gid: u32,
    #[prost(uint32, required, tag = "4")]
    pub cuid: u32,
    #[prost(uint32, required, tag = "5")]
    pub cgid: u32,
    #[prost(uint32, required, tag = "6")]
    pub mode: u32,
    #[prost(uint32, required, tag = "7")]
    pub id: u32,
}

/// One shared memory segment.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpcShmEntry {
    #[prost(message, required, tag = "1")]
    pub desc: IpcDescEntry,
    #[prost(uint64, required, tag = "2")]
    pub size: u64,
    /// Contents are in `pagemap-shmem-ID.img`; else they follow, padded to 4 bytes.
    #[prost(bool, optional, tag = "3")]
    pub in_pagemaps: Option<bool>,
    /// SHM_HUGETLB and the size of its pages, as in shmget(2).
    #[prost(uint32, optional, tag = "4")]
    pub hugetlb_flag: Option<u32>,
    /// Ours: the process that has created it.
    #[prost(uint32, optional, tag = "10000")]
    pub cpid: Option<u32>,
}

/// One message of a queue; `msize` bytes padded to 8 follow.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpcMsg {
    #[prost(uint64, required, tag = "1")]
    pub mtype: u64,
    #[prost(uint32, required, tag = "2")]
    pub msize: u32,
}

/// One message queue; `qnum` messages follow.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpcMsgEntry {
    #[prost(message, required, tag = "1")]
    pub desc: IpcDescEntry,
    #[prost(uint32, required, tag = "2")]
    pub qbytes: u32,
    #[prost(uint32, required, tag = "3")]
    pub qnum: u32,
    /// Ours: the process of the last msgsnd(2).
    #[prost(uint32, optional, tag = "10000")]
    pub lspid: Option<u32>,
    /// Ours: the process of the last msgrcv(2).
    #[prost(uint32, optional, tag = "10001")]
    pub lrpid: Option<u32>,
}

/// Ours: what the exit of a process adds to a semaphore (SEM_UNDO).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpcSemUndoEntry {
    #[prost(uint32, required, tag = "1")]
    pub pid: u32,
    /// Of the semaphore in its set.
    #[prost(uint32, required, tag = "2")]
    pub number: u32,
    #[prost(sint32, required, tag = "3")]
    pub value: i32,
}

/// One semaphore set; `nsems` 16-bit values padded to 8 bytes follow.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpcSemEntry {
    #[prost(message, required, tag = "1")]
    pub desc: IpcDescEntry,
    #[prost(uint32, required, tag = "2")]
    pub nsems: u32,
    /// Ours: the process of the last operation on each semaphore, 0 if there was none.
    #[prost(uint32, repeated, tag = "10000", packed = "false")]
    pub pids: Vec<u32>,
    /// Ours: what exits undo.
    #[prost(message, repeated, tag = "10001")]
    pub undo: Vec<IpcSemUndoEntry>,
}

/// Tunables of an IPC namespace (`/proc/sys/kernel`, `/proc/sys/fs/mqueue`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IpcVarEntry {
    #[prost(uint32, repeated, tag = "1", packed = "false")]
    pub sem_ctls: Vec<u32>,
    #[prost(uint32, required, tag = "2")]
    pub msg_ctlmax: u32,
    #[prost(uint32, required, tag = "3")]
    pub msg_ctlmnb: u32,
    #[prost(uint32, required, tag = "4")]
    pub msg_ctlmni: u32,
    #[prost(uint32, required, tag = "5")]
    pub auto_msgmni: u32,
    #[prost(uint64, required, tag = "6")]
    pub shm_ctlmax: u64,
    #[prost(uint64, required, tag = "7")]
    pub shm_ctlall: u64,
    #[prost(uint32, required, tag = "8")]
    pub shm_ctlmni: u32,
    #[prost(uint32, required, tag = "9")]
    pub shm_rmid_forced: u32,
    #[prost(uint32, required, tag = "10")]
    pub mq_queues_max: u32,
    #[prost(uint32, required, tag = "11")]
    pub mq_msg_max: u32,
    #[prost(uint32, required, tag = "12")]
    pub mq_msgsize_max: u32,
    #[prost(uint32, optional, tag = "13")]
    pub mq_msg_default: Option<u32>,
    #[prost(uint32, optional, tag = "14")]
    pub mq_msgsize_default: Option<u32>,
    #[prost(uint32, optional, tag = "15")]
    pub msg_next_id: Option<u32>,
    #[prost(uint32, optional, tag = "16")]
    pub sem_next_id: Option<u32>,
    #[prost(uint32, optional, tag = "17")]
    pub shm_next_id: Option<u32>,
}
