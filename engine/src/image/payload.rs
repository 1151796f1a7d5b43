//! What follows a message in its image: the one place that knows which entries carry bytes outside of their message.

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::{
    ApparmorEntry, AutofsEntry, BinfmtMiscEntry, BpfmapDataEntry, CgroupEntry, CoreEntry, CpuinfoEntry,
    FdinfoEntry, FileEntry, FileLockEntry, FsEntry, GhostChunkEntry, GhostFileEntry, InventoryEntry, IpcMsg,
    IpcMsgEntry, IpcSemEntry, IpcShmEntry, IpcVarEntry, IrmapCacheEntry, MemfdInodeEntry, MmEntry, MntEntry,
    NetDeviceEntry, NetnsEntry, PagemapEntry, PagemapHead, PidnsEntry, PipeDataEntry, PstreeEntry,
    RemapFilePathEntry, SeccompEntry, SkPacketEntry, StatsEntry, TaskKobjIdsEntry, TcpStreamEntry,
    TimensEntry, TtyDataEntry, TtyInfoEntry, UsernsEntry, UtsnsEntry,
};

/// A message that is an entry of an image.
pub trait Entry: Message + Default + Serialize + DeserializeOwned {
    /// What follows it.
    fn payload(&self) -> Payload {
        Payload::None
    }
}

/// Bytes that follow an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The next entry follows at once.
    None,
    /// `len` bytes, then zeroes up to a multiple of `align`.
    Bytes {
        /// Without padding.
        len: u64,
        /// At least 1.
        align: u64,
    },
    /// The two queues of a TCP connection.
    TcpQueues {
        /// Bytes received and not yet read.
        inq: u32,
        /// Bytes written and not yet acknowledged.
        outq: u32,
    },
    /// That many 16-bit values, padded to 8 bytes.
    Semaphores(u32),
    /// That many [`IpcMsg`] entries, each with its payload: to a reader they are ordinary entries.
    Messages(u32),
    /// Everything up to the end of the image.
    Rest,
}

impl Payload {
    /// Bytes in the image with padding, given how many are left in it. `None` if that overflows.
    pub fn size(self, left: u64) -> Option<u64> {
        match self {
            Payload::None | Payload::Messages(_) => Some(0),
            Payload::Bytes { len, align } => len.checked_next_multiple_of(align),
            Payload::TcpQueues { inq, outq } => Some(u64::from(inq) + u64::from(outq)),
            Payload::Semaphores(count) => Some((u64::from(count) * 2).next_multiple_of(8)),
            Payload::Rest => Some(left),
        }
    }
}

macro_rules! plain {
    ($($message:ty),* $(,)?) => { $(impl Entry for $message {})* };
}

plain!(
    ApparmorEntry,
    AutofsEntry,
    BinfmtMiscEntry,
    CgroupEntry,
    CoreEntry,
    CpuinfoEntry,
    FdinfoEntry,
    FileEntry,
    FileLockEntry,
    FsEntry,
    InventoryEntry,
    IpcVarEntry,
    IrmapCacheEntry,
    MemfdInodeEntry,
    MmEntry,
    MntEntry,
    NetDeviceEntry,
    NetnsEntry,
    PagemapEntry,
    PagemapHead,
    PidnsEntry,
    PstreeEntry,
    RemapFilePathEntry,
    SeccompEntry,
    StatsEntry,
    TaskKobjIdsEntry,
    TimensEntry,
    TtyDataEntry,
    TtyInfoEntry,
    UsernsEntry,
    UtsnsEntry,
);

fn bytes(len: u64) -> Payload {
    Payload::Bytes { len, align: 1 }
}

impl Entry for PipeDataEntry {
    fn payload(&self) -> Payload {
        bytes(self.bytes.into())
    }
}

impl Entry for SkPacketEntry {
    fn payload(&self) -> Payload {
        bytes(self.length.into())
    }
}

impl Entry for TcpStreamEntry {
    fn payload(&self) -> Payload {
        Payload::TcpQueues { inq: self.inq_len, outq: self.outq_len }
    }
}

impl Entry for BpfmapDataEntry {
    fn payload(&self) -> Payload {
        bytes(u64::from(self.keys_bytes) + u64::from(self.values_bytes))
    }
}

impl Entry for GhostFileEntry {
    fn payload(&self) -> Payload {
        if self.chunks == Some(true) { Payload::None } else { Payload::Rest }
    }
}

impl Entry for GhostChunkEntry {
    fn payload(&self) -> Payload {
        bytes(self.len)
    }
}

impl Entry for IpcShmEntry {
    fn payload(&self) -> Payload {
        if self.in_pagemaps == Some(true) {
            Payload::None
        } else {
            Payload::Bytes { len: self.size, align: 4 }
        }
    }
}

impl Entry for IpcSemEntry {
    fn payload(&self) -> Payload {
        Payload::Semaphores(self.nsems)
    }
}

impl Entry for IpcMsgEntry {
    fn payload(&self) -> Payload {
        Payload::Messages(self.qnum)
    }
}

impl Entry for IpcMsg {
    fn payload(&self) -> Payload {
        Payload::Bytes { len: self.msize.into(), align: 8 }
    }
}
