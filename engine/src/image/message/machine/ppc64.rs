//! ppc64 registers of one thread: only for showing images, the engine has no backend for it.
//!
//! Numbers: CRIU 4.2's `images/core-ppc64.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Hex};

/// General registers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserPpc64RegsEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub gpr: Vec<u64>,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub nip: u64,
    #[prost(uint64, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub msr: u64,
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub orig_gpr3: u64,
    #[prost(uint64, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub ctr: u64,
    #[prost(uint64, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub link: u64,
    #[prost(uint64, required, tag = "7")]
    #[serde(with = "As::<Hex>")]
    pub xer: u64,
    #[prost(uint64, required, tag = "8")]
    #[serde(with = "As::<Hex>")]
    pub ccr: u64,
    #[prost(uint64, required, tag = "9")]
    #[serde(with = "As::<Hex>")]
    pub trap: u64,
    #[prost(uint64, optional, tag = "10")]
    #[serde(with = "As::<Hex>")]
    pub texasr: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    #[serde(with = "As::<Hex>")]
    pub tfhar: Option<u64>,
    #[prost(uint64, optional, tag = "12")]
    #[serde(with = "As::<Hex>")]
    pub tfiar: Option<u64>,
}

/// Floating point registers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserPpc64FpstateEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    pub fpregs: Vec<u64>,
}

/// Altivec registers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserPpc64VrstateEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    pub vrregs: Vec<u64>,
    #[prost(uint32, required, tag = "2")]
    pub vrsave: u32,
}

/// VSX registers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserPpc64VsxstateEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    pub vsxregs: Vec<u64>,
}

/// Checkpointed registers of a transaction.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserPpc64TmRegsEntry {
    #[prost(message, required, tag = "1")]
    pub gpregs: UserPpc64RegsEntry,
    #[prost(message, optional, tag = "2")]
    pub fpstate: Option<UserPpc64FpstateEntry>,
    #[prost(message, optional, tag = "3")]
    pub vrstate: Option<UserPpc64VrstateEntry>,
    #[prost(message, optional, tag = "4")]
    pub vsxstate: Option<UserPpc64VsxstateEntry>,
}

/// Registers of a ppc64 thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadInfoPpc64 {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub clear_tid_addr: u64,
    #[prost(message, required, tag = "2")]
    pub gpregs: UserPpc64RegsEntry,
    #[prost(message, optional, tag = "3")]
    pub fpstate: Option<UserPpc64FpstateEntry>,
    #[prost(message, optional, tag = "4")]
    pub vrstate: Option<UserPpc64VrstateEntry>,
    #[prost(message, optional, tag = "5")]
    pub vsxstate: Option<UserPpc64VsxstateEntry>,
    #[prost(message, optional, tag = "6")]
    pub tmstate: Option<UserPpc64TmRegsEntry>,
}
