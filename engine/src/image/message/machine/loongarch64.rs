//! loongarch64 registers of one thread: only for showing images, the engine has no backend for it.
//!
//! Numbers: CRIU 4.2's `images/core-loongarch64.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Hex};

/// General registers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserLoongarch64GpregsEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub regs: Vec<u64>,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub pc: u64,
}

/// Floating point registers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserLoongarch64FpregsEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub regs: Vec<u64>,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub fcc: u64,
    #[prost(uint32, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub fcsr: u32,
}

/// Registers of a loongarch64 thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadInfoLoongarch64 {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub clear_tid_addr: u64,
    #[prost(uint64, required, tag = "2")]
    pub tls: u64,
    #[prost(message, required, tag = "3")]
    pub gpregs: UserLoongarch64GpregsEntry,
    #[prost(message, required, tag = "4")]
    pub fpregs: UserLoongarch64FpregsEntry,
}
