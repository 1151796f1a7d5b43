//! Signal actions, queued signals, interval timers and POSIX timers, all embedded in `core-N.img`.
//!
//! Field numbers are those of CRIU 4.2's `images/{sa,siginfo,timer,time}.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Base64, Hex};

/// One signal action (`struct sigaction`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub sigaction: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub flags: u64,
    #[prost(uint64, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub restorer: u64,
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub mask: u64,
    /// The action was set by an ia32 system call.
    #[prost(bool, optional, tag = "5")]
    pub compat_sigaction: Option<bool>,
    #[prost(uint64, optional, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub mask_extended: Option<u64>,
}

/// One queued signal: the raw `siginfo_t`, 128 bytes.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiginfoEntry {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "As::<Base64>")]
    pub siginfo: Vec<u8>,
}

/// Queued signals, oldest first.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignalQueueEntry {
    #[prost(message, repeated, tag = "1")]
    pub signals: Vec<SiginfoEntry>,
}

/// One setitimer(2) timer: interval and remaining time.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItimerEntry {
    #[prost(uint64, required, tag = "1")]
    pub isec: u64,
    #[prost(uint64, required, tag = "2")]
    pub iusec: u64,
    #[prost(uint64, required, tag = "3")]
    pub vsec: u64,
    #[prost(uint64, required, tag = "4")]
    pub vusec: u64,
}

/// One timer_create(2) timer: interval and remaining time.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PosixTimerEntry {
    #[prost(uint32, required, tag = "1")]
    pub it_id: u32,
    #[prost(uint32, required, tag = "2")]
    pub clock_id: u32,
    #[prost(uint32, required, tag = "3")]
    pub si_signo: u32,
    #[prost(uint32, required, tag = "4")]
    pub it_sigev_notify: u32,
    #[prost(uint64, required, tag = "5")]
    pub sival_ptr: u64,
    #[prost(uint32, required, tag = "6")]
    pub overrun: u32,
    #[prost(uint64, required, tag = "7")]
    pub isec: u64,
    #[prost(uint64, required, tag = "8")]
    pub insec: u64,
    #[prost(uint64, required, tag = "9")]
    pub vsec: u64,
    #[prost(uint64, required, tag = "10")]
    pub vnsec: u64,
    #[prost(int32, optional, tag = "11")]
    pub notify_thread_id: Option<i32>,
}

/// Timers of a task.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskTimersEntry {
    #[prost(message, required, tag = "1")]
    pub real: ItimerEntry,
    #[prost(message, required, tag = "2")]
    pub virt: ItimerEntry,
    #[prost(message, required, tag = "3")]
    pub prof: ItimerEntry,
    #[prost(message, repeated, tag = "4")]
    pub posix: Vec<PosixTimerEntry>,
}

/// Seconds and microseconds.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeval {
    #[prost(uint64, required, tag = "1")]
    pub tv_sec: u64,
    #[prost(uint64, required, tag = "2")]
    pub tv_usec: u64,
}
