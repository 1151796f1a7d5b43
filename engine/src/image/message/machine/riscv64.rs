//! riscv64 registers of one thread: only for showing images, the engine has no backend for it.
//!
//! Numbers: CRIU 4.2's `images/core-riscv64.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Hex};

/// General registers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserRiscv64RegsEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub pc: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub ra: u64,
    #[prost(uint64, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub sp: u64,
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub gp: u64,
    #[prost(uint64, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub tp: u64,
    #[prost(uint64, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub t0: u64,
    #[prost(uint64, required, tag = "7")]
    #[serde(with = "As::<Hex>")]
    pub t1: u64,
    #[prost(uint64, required, tag = "8")]
    #[serde(with = "As::<Hex>")]
    pub t2: u64,
    #[prost(uint64, required, tag = "9")]
    #[serde(with = "As::<Hex>")]
    pub s0: u64,
    #[prost(uint64, required, tag = "10")]
    #[serde(with = "As::<Hex>")]
    pub s1: u64,
    #[prost(uint64, required, tag = "11")]
    #[serde(with = "As::<Hex>")]
    pub a0: u64,
    #[prost(uint64, required, tag = "12")]
    #[serde(with = "As::<Hex>")]
    pub a1: u64,
    #[prost(uint64, required, tag = "13")]
    #[serde(with = "As::<Hex>")]
    pub a2: u64,
    #[prost(uint64, required, tag = "14")]
    #[serde(with = "As::<Hex>")]
    pub a3: u64,
    #[prost(uint64, required, tag = "15")]
    #[serde(with = "As::<Hex>")]
    pub a4: u64,
    #[prost(uint64, required, tag = "16")]
    #[serde(with = "As::<Hex>")]
    pub a5: u64,
    #[prost(uint64, required, tag = "17")]
    #[serde(with = "As::<Hex>")]
    pub a6: u64,
    #[prost(uint64, required, tag = "18")]
    #[serde(with = "As::<Hex>")]
    pub a7: u64,
    #[prost(uint64, required, tag = "19")]
    #[serde(with = "As::<Hex>")]
    pub s2: u64,
    #[prost(uint64, required, tag = "20")]
    #[serde(with = "As::<Hex>")]
    pub s3: u64,
    #[prost(uint64, required, tag = "21")]
    #[serde(with = "As::<Hex>")]
    pub s4: u64,
    #[prost(uint64, required, tag = "22")]
    #[serde(with = "As::<Hex>")]
    pub s5: u64,
    #[prost(uint64, required, tag = "23")]
    #[serde(with = "As::<Hex>")]
    pub s6: u64,
    #[prost(uint64, required, tag = "24")]
    #[serde(with = "As::<Hex>")]
    pub s7: u64,
    #[prost(uint64, required, tag = "25")]
    #[serde(with = "As::<Hex>")]
    pub s8: u64,
    #[prost(uint64, required, tag = "26")]
    #[serde(with = "As::<Hex>")]
    pub s9: u64,
    #[prost(uint64, required, tag = "27")]
    #[serde(with = "As::<Hex>")]
    pub s10: u64,
    #[prost(uint64, required, tag = "28")]
    #[serde(with = "As::<Hex>")]
    pub s11: u64,
    #[prost(uint64, required, tag = "29")]
    #[serde(with = "As::<Hex>")]
    pub t3: u64,
    #[prost(uint64, required, tag = "30")]
    #[serde(with = "As::<Hex>")]
    pub t4: u64,
    #[prost(uint64, required, tag = "31")]
    #[serde(with = "As::<Hex>")]
    pub t5: u64,
    #[prost(uint64, required, tag = "32")]
    #[serde(with = "As::<Hex>")]
    pub t6: u64,
}

/// Registers of the D extension.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserRiscv64DExtEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    pub f: Vec<u64>,
    #[prost(uint32, required, tag = "2")]
    pub fcsr: u32,
}

/// Registers of a riscv64 thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadInfoRiscv64 {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub clear_tid_addr: u64,
    #[prost(uint64, required, tag = "2")]
    pub tls: u64,
    #[prost(message, required, tag = "3")]
    pub gpregs: UserRiscv64RegsEntry,
    #[prost(message, required, tag = "4")]
    pub fpsimd: UserRiscv64DExtEntry,
}
