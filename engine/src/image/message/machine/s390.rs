//! s390x registers of one thread: only for showing images, the engine has no backend for it.
//!
//! Numbers: CRIU 4.2's `images/core-s390.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Hex};

/// General and access registers and the PSW.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserS390RegsEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub psw_mask: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub psw_addr: u64,
    #[prost(uint64, repeated, tag = "3", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub gprs: Vec<u64>,
    #[prost(uint32, repeated, tag = "4", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub acrs: Vec<u32>,
    #[prost(uint64, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub orig_gpr2: u64,
    #[prost(uint32, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub system_call: u32,
}

/// Low halves of vector registers 0 to 15.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserS390VxrsLowEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub regs: Vec<u64>,
}

/// Vector registers 16 to 31, two words each.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserS390VxrsHighEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub regs: Vec<u64>,
}

/// Floating point registers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserS390FpregsEntry {
    #[prost(uint32, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub fpc: u32,
    #[prost(uint64, repeated, tag = "2", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub fprs: Vec<u64>,
}

/// Guarded storage control block.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserS390GsCbEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub regs: Vec<u64>,
}

/// Runtime instrumentation control block.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserS390RiEntry {
    #[prost(uint32, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub ri_on: u32,
    #[prost(uint64, repeated, tag = "2", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub regs: Vec<u64>,
}

/// Registers of an s390x thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadInfoS390 {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub clear_tid_addr: u64,
    #[prost(message, required, tag = "2")]
    pub gpregs: UserS390RegsEntry,
    #[prost(message, required, tag = "3")]
    pub fpregs: UserS390FpregsEntry,
    #[prost(message, optional, tag = "4")]
    pub vxrs_low: Option<UserS390VxrsLowEntry>,
    #[prost(message, optional, tag = "5")]
    pub vxrs_high: Option<UserS390VxrsHighEntry>,
    #[prost(message, optional, tag = "6")]
    pub gs_cb: Option<UserS390GsCbEntry>,
    #[prost(message, optional, tag = "7")]
    pub gs_bc: Option<UserS390GsCbEntry>,
    #[prost(message, optional, tag = "8")]
    pub ri_cb: Option<UserS390RiEntry>,
}
