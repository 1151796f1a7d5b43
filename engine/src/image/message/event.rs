//! Descriptors that exist only for their events: eventfd, epoll, signalfd, timerfd, pidfd, inotify, fanotify, userfaultfd.
//!
//! All are embedded in `files.img`. Field numbers are those of CRIU 4.2's `images/{eventfd,eventpoll,...}.proto`.

use serde::{Deserialize, Serialize};

use super::file::FownEntry;
use crate::image::style::{As, Hex, Named, NewDev, OldDev, Text};

/// An eventfd(2).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventfdFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub flags: u32,
    #[prost(message, required, tag = "3")]
    pub fown: FownEntry,
    #[prost(uint64, required, tag = "4")]
    pub counter: u64,
    /// Ours: EFD_SEMAPHORE.
    #[prost(bool, optional, tag = "10000")]
    pub semaphore: Option<bool>,
}

/// One watched descriptor of an epoll instance (a `tfd:` line of its fdinfo).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventpollTfdEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub tfd: u32,
    #[prost(uint32, required, tag = "3")]
    pub events: u32,
    #[prost(uint64, required, tag = "4")]
    pub data: u64,
    #[prost(uint32, optional, tag = "5")]
    pub dev: Option<u32>,
    #[prost(uint64, optional, tag = "6")]
    pub inode: Option<u64>,
    #[prost(uint64, optional, tag = "7")]
    pub pos: Option<u64>,
    /// Ours: the number under which it was added, if the file is not there any more; `tfd` is then where it is now.
    #[prost(uint32, optional, tag = "10000")]
    pub added_as: Option<u32>,
    /// Ours: the id of the file, if only other tasks have it open.
    #[prost(uint32, optional, tag = "10001")]
    pub file: Option<u32>,
}

/// An epoll(7) instance with its watches.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventpollFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub flags: u32,
    #[prost(message, required, tag = "3")]
    pub fown: FownEntry,
    #[prost(message, repeated, tag = "4")]
    pub tfd: Vec<EventpollTfdEntry>,
    /// Ours: how long to poll network devices, in microseconds, and the other fields of EPIOCSPARAMS.
    #[prost(uint32, optional, tag = "10000")]
    pub busy_poll_usecs: Option<u32>,
    #[prost(uint32, optional, tag = "10001")]
    pub busy_poll_budget: Option<u32>,
    #[prost(bool, optional, tag = "10002")]
    pub prefer_busy_poll: Option<bool>,
}

/// A signalfd(2).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignalfdEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(message, required, tag = "3")]
    pub fown: FownEntry,
    /// Signals 1 to 64.
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub sigmask: u64,
    /// Ours: signals 65 to 128 (MIPS).
    #[prost(uint64, optional, tag = "10000")]
    pub sigmask_extended: Option<u64>,
}

/// A timerfd_create(2) file.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimerfdEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(message, required, tag = "3")]
    pub fown: FownEntry,
    #[prost(uint32, required, tag = "4")]
    pub clockid: u32,
    #[prost(uint64, required, tag = "5")]
    pub ticks: u64,
    #[prost(uint32, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub settime_flags: u32,
    #[prost(uint64, required, tag = "7")]
    pub vsec: u64,
    #[prost(uint64, required, tag = "8")]
    pub vnsec: u64,
    #[prost(uint64, required, tag = "9")]
    pub isec: u64,
    #[prost(uint64, required, tag = "10")]
    pub insec: u64,
}

/// A pidfd_open(2) file.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PidfdEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    pub ino: u32,
    #[prost(uint32, required, tag = "3")]
    pub flags: u32,
    #[prost(int32, required, tag = "4")]
    pub nspid: i32,
    #[prost(message, required, tag = "5")]
    pub fown: FownEntry,
    /// Ours: the wait(2) status of a process that has ended, as PIDFD_GET_INFO tells it.
    #[prost(int32, optional, tag = "10000")]
    pub exit_code: Option<i32>,
}

/// One inotify watch.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InotifyWdEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint64, required, tag = "2")]
    pub i_ino: u64,
    #[prost(uint32, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub mask: u32,
    #[prost(uint32, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub ignored_mask: u32,
    #[prost(uint32, required, tag = "5")]
    #[serde(with = "As::<NewDev>")]
    pub s_dev: u32,
    #[prost(uint32, required, tag = "6")]
    pub wd: u32,
    #[prost(message, required, tag = "7")]
    pub f_handle: FhEntry,
}

/// An inotify(7) instance with its watches.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InotifyFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(message, required, tag = "4")]
    pub fown: FownEntry,
    #[prost(message, repeated, tag = "5")]
    pub wd: Vec<InotifyWdEntry>,
}

/// What a fanotify mark is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum MarkType {
    #[serde(rename = "INODE")]
    Inode = 1,
    #[serde(rename = "MOUNT")]
    Mount = 2,
    /// Ours: the file system of the mount at the path of `me`. CRIU knows no such marks and refuses the entry.
    #[serde(rename = "FILESYSTEM")]
    FileSystem = 10000,
}

/// A fanotify mark on an inode.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FanotifyInodeMarkEntry {
    #[prost(uint64, required, tag = "1")]
    pub i_ino: u64,
    #[prost(message, required, tag = "2")]
    pub f_handle: FhEntry,
}

/// A fanotify mark on a mount.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FanotifyMountMarkEntry {
    #[prost(uint32, required, tag = "1")]
    pub mnt_id: u32,
    #[prost(bytes = "vec", optional, tag = "2")]
    #[serde(with = "As::<Text>")]
    pub path: Option<Vec<u8>>,
}

/// One fanotify mark.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FanotifyMarkEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(enumeration = "MarkType", required, tag = "2")]
    #[serde(with = "As::<Named<MarkType>>")]
    pub r#type: i32,
    #[prost(uint32, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub mflags: u32,
    #[prost(uint32, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub mask: u32,
    #[prost(uint32, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub ignored_mask: u32,
    #[prost(uint32, required, tag = "6")]
    #[serde(with = "As::<NewDev>")]
    pub s_dev: u32,
    #[prost(message, optional, tag = "7")]
    pub ie: Option<FanotifyInodeMarkEntry>,
    #[prost(message, optional, tag = "8")]
    pub me: Option<FanotifyMountMarkEntry>,
}

/// A fanotify(7) group with its marks.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FanotifyFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(message, required, tag = "3")]
    pub fown: FownEntry,
    #[prost(uint32, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub faflags: u32,
    #[prost(uint32, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub evflags: u32,
    #[prost(message, repeated, tag = "6")]
    pub mark: Vec<FanotifyMarkEntry>,
}

/// Ours: a userfaultfd(2).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserfaultfdEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub flags: u32,
    #[prost(message, required, tag = "3")]
    pub fown: FownEntry,
    /// UFFD_FEATURE_* that it was set up with.
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub features: u64,
    /// The process whose memory it serves.
    #[prost(uint32, required, tag = "5")]
    pub pid: u32,
    #[prost(message, repeated, tag = "6")]
    pub ranges: Vec<RegisteredEntry>,
}

/// Ours: a mapping that is registered with a userfaultfd.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegisteredEntry {
    #[prost(message, required, tag = "1")]
    pub range: AddressesEntry,
    /// UFFDIO_REGISTER_MODE_*.
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub modes: u32,
    /// Pages whose writes are reported.
    #[prost(message, repeated, tag = "3")]
    pub protected: Vec<AddressesEntry>,
    /// Pages whose minor faults were resolved.
    #[prost(message, repeated, tag = "4")]
    pub mapped: Vec<AddressesEntry>,
}

/// Ours: from an address up to another.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddressesEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub start: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub end: u64,
}

/// A file handle (name_to_handle_at(2)); `handle` holds `bytes` bytes in 64-bit words.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FhEntry {
    #[prost(uint32, required, tag = "1")]
    pub bytes: u32,
    #[prost(uint32, required, tag = "2")]
    pub r#type: u32,
    #[prost(uint64, repeated, tag = "3", packed = "false")]
    pub handle: Vec<u64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    #[serde(with = "As::<Text>")]
    pub path: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "5")]
    pub mnt_id: Option<u32>,
}

/// A path found for an inode during pre-dump (`irmap-cache`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IrmapCacheEntry {
    #[prost(uint32, required, tag = "1")]
    #[serde(with = "As::<OldDev>")]
    pub dev: u32,
    #[prost(uint64, required, tag = "2")]
    pub inode: u64,
    #[prost(bytes = "vec", required, tag = "3")]
    #[serde(with = "As::<Text>")]
    pub path: Vec<u8>,
}
