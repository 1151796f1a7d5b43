//! File descriptors, open files and what is needed to open them again (`fdinfo-N.img`, `files.img`, ghosts, locks).
//!
//! A descriptor ([`FdinfoEntry`]) refers by id to an open file description ([`FileEntry`]), which carries exactly one of
//! its sub-messages, as `type` says. Field numbers are those of CRIU 4.2's `images/{fdinfo,regfile,fs,...}.proto`.

use serde::{Deserialize, Serialize};

use super::bpf::BpfmapFileEntry;
use super::event::{
    EventfdFileEntry, EventpollFileEntry, FanotifyFileEntry, InotifyFileEntry, PidfdEntry, SignalfdEntry,
    TimerfdEntry, UserfaultfdEntry,
};
use super::memory::MemfdFileEntry;
use super::network::TunfileEntry;
use super::signal::Timeval;
use super::socket::{InetSkEntry, NetlinkSkEntry, PacketSockEntry, UnixSkEntry};
use super::tty::TtyFileEntry;
use crate::image::style::{As, Base64, Hex, Named, NewDev, OldDev, OpenFlags, Text};

/// What an open file is; the value selects the sub-message of [`FileEntry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum FdType {
    #[serde(rename = "UND")]
    Und = 0,
    #[serde(rename = "REG")]
    Reg = 1,
    #[serde(rename = "PIPE")]
    Pipe = 2,
    #[serde(rename = "FIFO")]
    Fifo = 3,
    #[serde(rename = "INETSK")]
    Inetsk = 4,
    #[serde(rename = "UNIXSK")]
    Unixsk = 5,
    #[serde(rename = "EVENTFD")]
    Eventfd = 6,
    #[serde(rename = "EVENTPOLL")]
    Eventpoll = 7,
    #[serde(rename = "INOTIFY")]
    Inotify = 8,
    #[serde(rename = "SIGNALFD")]
    Signalfd = 9,
    #[serde(rename = "PACKETSK")]
    Packetsk = 10,
    #[serde(rename = "TTY")]
    Tty = 11,
    #[serde(rename = "FANOTIFY")]
    Fanotify = 12,
    #[serde(rename = "NETLINKSK")]
    Netlinksk = 13,
    #[serde(rename = "NS")]
    Ns = 14,
    #[serde(rename = "TUNF")]
    Tunf = 15,
    #[serde(rename = "EXT")]
    Ext = 16,
    #[serde(rename = "TIMERFD")]
    Timerfd = 17,
    #[serde(rename = "MEMFD")]
    Memfd = 18,
    #[serde(rename = "BPFMAP")]
    Bpfmap = 19,
    #[serde(rename = "PIDFD")]
    Pidfd = 20,
    /// Ours.
    #[serde(rename = "MQUEUE")]
    Mqueue = 10000,
    /// Ours.
    #[serde(rename = "USERFAULTFD")]
    Userfaultfd = 10001,
    #[serde(rename = "CTL_TTY")]
    CtlTty = 65534,
    #[serde(rename = "AUTOFS_PIPE")]
    AutofsPipe = 65535,
}

/// One descriptor of a descriptor table (`fdinfo-N.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FdinfoEntry {
    /// Id of a [`FileEntry`].
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    /// FD_CLOEXEC.
    #[prost(uint32, required, tag = "2")]
    pub flags: u32,
    #[prost(enumeration = "FdType", required, tag = "3")]
    #[serde(with = "As::<Named<FdType>>")]
    pub r#type: i32,
    #[prost(uint32, required, tag = "4")]
    pub fd: u32,
    #[prost(string, optional, tag = "5")]
    pub xattr_security_selinux: Option<String>,
}

/// One open file description (`files.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileEntry {
    #[prost(enumeration = "FdType", required, tag = "1")]
    #[serde(with = "As::<Named<FdType>>")]
    pub r#type: i32,
    #[prost(uint32, required, tag = "2")]
    pub id: u32,
    #[prost(message, optional, tag = "3")]
    pub reg: Option<RegFileEntry>,
    #[prost(message, optional, tag = "4")]
    pub isk: Option<InetSkEntry>,
    #[prost(message, optional, tag = "5")]
    pub nsf: Option<NsFileEntry>,
    #[prost(message, optional, tag = "6")]
    pub psk: Option<PacketSockEntry>,
    #[prost(message, optional, tag = "7")]
    pub nlsk: Option<NetlinkSkEntry>,
    #[prost(message, optional, tag = "8")]
    pub efd: Option<EventfdFileEntry>,
    #[prost(message, optional, tag = "9")]
    pub epfd: Option<EventpollFileEntry>,
    #[prost(message, optional, tag = "10")]
    pub sgfd: Option<SignalfdEntry>,
    #[prost(message, optional, tag = "11")]
    pub tunf: Option<TunfileEntry>,
    #[prost(message, optional, tag = "12")]
    pub tfd: Option<TimerfdEntry>,
    #[prost(message, optional, tag = "13")]
    pub ify: Option<InotifyFileEntry>,
    #[prost(message, optional, tag = "14")]
    pub ffy: Option<FanotifyFileEntry>,
    #[prost(message, optional, tag = "15")]
    pub ext: Option<ExtFileEntry>,
    #[prost(message, optional, tag = "16")]
    pub usk: Option<UnixSkEntry>,
    #[prost(message, optional, tag = "17")]
    pub fifo: Option<FifoEntry>,
    #[prost(message, optional, tag = "18")]
    pub pipe: Option<PipeEntry>,
    #[prost(message, optional, tag = "19")]
    pub tty: Option<TtyFileEntry>,
    #[prost(message, optional, tag = "20")]
    pub memfd: Option<MemfdFileEntry>,
    #[prost(message, optional, tag = "21")]
    pub bpf: Option<BpfmapFileEntry>,
    #[prost(message, optional, tag = "22")]
    pub pidfd: Option<PidfdEntry>,
    /// Ours.
    #[prost(message, optional, tag = "10000")]
    pub mq: Option<MqueueFileEntry>,
    /// Ours.
    #[prost(message, optional, tag = "10001")]
    pub uffd: Option<UserfaultfdEntry>,
}

impl FileEntry {
    /// `O_*` of the description, in whichever sub-message they are; a FIFO has them in the entry of its path.
    pub fn flags(&self) -> Option<u32> {
        self.description().map(|(flags, _)| flags)
    }

    /// Who gets the signals of the description; a FIFO's is in the entry of its path.
    pub fn fown(&self) -> Option<&FownEntry> {
        self.description().map(|(_, fown)| fown)
    }

    fn description(&self) -> Option<(u32, &FownEntry)> {
        match self {
            FileEntry { reg: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { pipe: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { tty: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { memfd: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { efd: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { epfd: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { sgfd: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { tfd: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { ify: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { ffy: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { pidfd: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { mq: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { uffd: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { usk: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { isk: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { nlsk: Some(e), .. } => Some((e.flags, &e.fown)),
            FileEntry { nsf: Some(e), .. } => Some((e.flags, e.fown.as_ref()?)),
            _ => None,
        }
    }
}

/// Ours: a POSIX message queue.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqueueFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<OpenFlags>")]
    pub flags: u32,
    #[prost(message, required, tag = "3")]
    pub fown: FownEntry,
    /// Without the slash.
    #[prost(bytes = "vec", required, tag = "4")]
    #[serde(with = "As::<Text>")]
    pub name: Vec<u8>,
    /// Descriptions of one queue have the same.
    #[prost(uint64, required, tag = "5")]
    pub ino: u64,
    /// Permissions.
    #[prost(uint32, required, tag = "6")]
    pub mode: u32,
    #[prost(uint32, required, tag = "7")]
    pub uid: u32,
    #[prost(uint32, required, tag = "8")]
    pub gid: u32,
    /// Most messages.
    #[prost(uint64, required, tag = "9")]
    pub most: u64,
    /// Bytes of the longest message.
    #[prost(uint64, required, tag = "10")]
    pub longest: u64,
    /// Messages that were in it, which are not in the image.
    #[prost(uint64, required, tag = "11")]
    pub messages: u64,
    /// Its name was gone.
    #[prost(bool, required, tag = "12")]
    pub unlinked: bool,
}

/// A file opened by path.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<OpenFlags>")]
    pub flags: u32,
    /// File offset, bytes.
    #[prost(uint64, required, tag = "3")]
    pub pos: u64,
    #[prost(message, required, tag = "5")]
    pub fown: FownEntry,
    #[prost(bytes = "vec", required, tag = "6")]
    #[serde(with = "As::<Text>")]
    pub name: Vec<u8>,
    /// Mount in `mountpoints-N.img`, or -1.
    #[prost(sint32, optional, tag = "7", default = "-1")]
    pub mnt_id: Option<i32>,
    /// Size at dump; a file of another size is refused.
    #[prost(uint64, optional, tag = "8")]
    pub size: Option<u64>,
    #[prost(bool, optional, tag = "9")]
    pub ext: Option<bool>,
    #[prost(uint32, optional, tag = "10")]
    pub mode: Option<u32>,
    /// ELF build id, 4 bytes to a word.
    #[prost(uint32, repeated, tag = "11", packed = "false")]
    pub build_id: Vec<u32>,
    #[prost(uint32, optional, tag = "12")]
    pub checksum: Option<u32>,
    #[prost(uint32, optional, tag = "13")]
    pub checksum_config: Option<u32>,
    #[prost(uint32, optional, tag = "14")]
    pub checksum_parameter: Option<u32>,
    /// Ours: name of an image of ours with the content of the file.
    #[prost(string, optional, tag = "10000")]
    pub embedded: Option<String>,
    /// Ours: the name by which it was opened, which is gone; it is found by `name`.
    #[prost(bytes = "vec", optional, tag = "10001")]
    #[serde(with = "As::<Text>")]
    pub gone: Option<Vec<u8>>,
}

/// Working directory, root and umask of a task (`fs-N.img`), as ids of files.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FsEntry {
    #[prost(uint32, required, tag = "1")]
    pub cwd_id: u32,
    #[prost(uint32, required, tag = "2")]
    pub root_id: u32,
    #[prost(uint32, optional, tag = "3")]
    pub umask: Option<u32>,
}

/// Owner and signal of asynchronous I/O (F_SETOWN, F_SETSIG).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FownEntry {
    #[prost(uint32, required, tag = "1")]
    pub uid: u32,
    #[prost(uint32, required, tag = "2")]
    pub euid: u32,
    #[prost(uint32, required, tag = "3")]
    pub signum: u32,
    #[prost(uint32, required, tag = "4")]
    pub pid_type: u32,
    #[prost(uint32, required, tag = "5")]
    pub pid: u32,
}

/// An open `/proc/PID/ns/*` file.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NsFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub ns_id: u32,
    #[prost(uint32, required, tag = "3")]
    pub ns_cflag: u32,
    #[prost(uint32, required, tag = "4")]
    #[serde(with = "As::<OpenFlags>")]
    pub flags: u32,
    /// Ours: who gets its signals.
    #[prost(message, optional, tag = "10000")]
    pub fown: Option<FownEntry>,
}

/// A file that a plugin brings back.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(message, required, tag = "5")]
    pub fown: FownEntry,
}

/// How an unlinked path is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum RemapType {
    #[serde(rename = "LINKED")]
    Linked = 0,
    #[serde(rename = "GHOST")]
    Ghost = 1,
    #[serde(rename = "PROCFS")]
    Procfs = 2,
}

/// An open file whose path is gone, and what stands in for it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RemapFilePathEntry {
    #[prost(uint32, required, tag = "1")]
    pub orig_id: u32,
    #[prost(uint32, required, tag = "2")]
    pub remap_id: u32,
    #[prost(enumeration = "RemapType", optional, tag = "3")]
    #[serde(with = "As::<Named<RemapType>>")]
    pub remap_type: Option<i32>,
}

/// A file that was unlinked while open (`ghost-file-N.img`); content follows, see `chunks`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GhostFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub uid: u32,
    #[prost(uint32, required, tag = "2")]
    pub gid: u32,
    #[prost(uint32, required, tag = "3")]
    pub mode: u32,
    #[prost(uint32, optional, tag = "4")]
    #[serde(with = "As::<NewDev>")]
    pub dev: Option<u32>,
    #[prost(uint64, optional, tag = "5")]
    pub ino: Option<u64>,
    #[prost(uint32, optional, tag = "6")]
    #[serde(with = "As::<OldDev>")]
    pub rdev: Option<u32>,
    #[prost(message, optional, tag = "7")]
    pub atim: Option<Timeval>,
    #[prost(message, optional, tag = "8")]
    pub mtim: Option<Timeval>,
    /// The content is a sequence of [`GhostChunkEntry`], each with its bytes; else the rest of the image.
    #[prost(bool, optional, tag = "9")]
    pub chunks: Option<bool>,
    #[prost(uint64, optional, tag = "10")]
    pub size: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "11")]
    #[serde(with = "As::<Text>")]
    pub symlnk_target: Option<Vec<u8>>,
    /// Ours: its extended attributes, ACLs among them.
    #[prost(message, repeated, tag = "10000")]
    pub xattrs: Vec<XattrEntry>,
}

/// An extended attribute, xattr(7).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct XattrEntry {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "As::<Text>")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", required, tag = "2")]
    #[serde(with = "As::<Base64>")]
    pub value: Vec<u8>,
}

/// A piece of a sparse ghost file: `len` bytes at offset `off` follow.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GhostChunkEntry {
    #[prost(uint64, required, tag = "1")]
    pub len: u64,
    #[prost(uint64, required, tag = "2")]
    pub off: u64,
}

/// One lock (`/proc/locks`): flock, POSIX, open file description or lease.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileLockEntry {
    #[prost(uint32, required, tag = "1")]
    pub flag: u32,
    #[prost(uint32, required, tag = "2")]
    pub r#type: u32,
    #[prost(int32, required, tag = "3")]
    pub pid: i32,
    #[prost(int32, required, tag = "4")]
    pub fd: i32,
    #[prost(int64, required, tag = "5")]
    pub start: i64,
    #[prost(int64, required, tag = "6")]
    pub len: i64,
}

/// One end of a pipe; both ends have the same `pipe_id`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipeEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub pipe_id: u32,
    #[prost(uint32, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(message, required, tag = "4")]
    pub fown: FownEntry,
}

/// An open FIFO: the pipe id it shares and the flags it was opened with.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FifoEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub pipe_id: u32,
    #[prost(uint32, optional, tag = "3")]
    pub regf_id: Option<u32>,
}

/// Bytes still in a pipe; they follow as payload.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipeDataEntry {
    #[prost(uint32, required, tag = "1")]
    pub pipe_id: u32,
    #[prost(uint32, required, tag = "2")]
    pub bytes: u32,
    #[prost(uint32, optional, tag = "3")]
    pub size: Option<u32>,
}

impl FdType {
    /// The name that images in JSON use, `REG`.
    pub fn as_name(self) -> String {
        format!("{self:?}").to_uppercase()
    }
}
