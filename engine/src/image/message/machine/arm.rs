//! 32-bit ARM registers of one thread.
//!
//! Numbers: CRIU 4.2's `images/core-arm.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Hex};

/// `struct pt_regs` of 32-bit ARM.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserArmRegsEntry {
    #[prost(uint32, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub r0: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub r1: u32,
    #[prost(uint32, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub r2: u32,
    #[prost(uint32, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub r3: u32,
    #[prost(uint32, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub r4: u32,
    #[prost(uint32, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub r5: u32,
    #[prost(uint32, required, tag = "7")]
    #[serde(with = "As::<Hex>")]
    pub r6: u32,
    #[prost(uint32, required, tag = "8")]
    #[serde(with = "As::<Hex>")]
    pub r7: u32,
    #[prost(uint32, required, tag = "9")]
    #[serde(with = "As::<Hex>")]
    pub r8: u32,
    #[prost(uint32, required, tag = "10")]
    #[serde(with = "As::<Hex>")]
    pub r9: u32,
    #[prost(uint32, required, tag = "11")]
    #[serde(with = "As::<Hex>")]
    pub r10: u32,
    #[prost(uint32, required, tag = "12")]
    #[serde(with = "As::<Hex>")]
    pub fp: u32,
    #[prost(uint32, required, tag = "13")]
    #[serde(with = "As::<Hex>")]
    pub ip: u32,
    #[prost(uint32, required, tag = "14")]
    #[serde(with = "As::<Hex>")]
    pub sp: u32,
    #[prost(uint32, required, tag = "15")]
    #[serde(with = "As::<Hex>")]
    pub lr: u32,
    #[prost(uint32, required, tag = "16")]
    #[serde(with = "As::<Hex>")]
    pub pc: u32,
    #[prost(uint32, required, tag = "17")]
    #[serde(with = "As::<Hex>")]
    pub cpsr: u32,
    #[prost(uint32, required, tag = "18")]
    #[serde(with = "As::<Hex>")]
    pub orig_r0: u32,
}

/// `struct user_vfp` and its exception registers.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserArmVfpstateEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    pub vfp_regs: Vec<u64>,
    #[prost(uint32, required, tag = "2")]
    pub fpscr: u32,
    #[prost(uint32, required, tag = "3")]
    pub fpexc: u32,
    #[prost(uint32, required, tag = "4")]
    pub fpinst: u32,
    #[prost(uint32, required, tag = "5")]
    pub fpinst2: u32,
}

/// Registers of a 32-bit ARM thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadInfoArm {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub clear_tid_addr: u64,
    #[prost(uint32, required, tag = "2")]
    pub tls: u32,
    #[prost(message, required, tag = "3")]
    pub gpregs: UserArmRegsEntry,
    #[prost(message, required, tag = "4")]
    pub fpstate: UserArmVfpstateEntry,
}
