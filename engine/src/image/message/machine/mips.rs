//! MIPS64 registers of one thread.
//!
//! Numbers: CRIU 4.2's `images/core-mips.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Hex};

/// General registers and the CP0 registers of `struct pt_regs`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserMipsRegsEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub r0: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub r1: u64,
    #[prost(uint64, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub r2: u64,
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub r3: u64,
    #[prost(uint64, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub r4: u64,
    #[prost(uint64, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub r5: u64,
    #[prost(uint64, required, tag = "7")]
    #[serde(with = "As::<Hex>")]
    pub r6: u64,
    #[prost(uint64, required, tag = "8")]
    #[serde(with = "As::<Hex>")]
    pub r7: u64,
    #[prost(uint64, required, tag = "9")]
    #[serde(with = "As::<Hex>")]
    pub r8: u64,
    #[prost(uint64, required, tag = "10")]
    #[serde(with = "As::<Hex>")]
    pub r9: u64,
    #[prost(uint64, required, tag = "11")]
    #[serde(with = "As::<Hex>")]
    pub r10: u64,
    #[prost(uint64, required, tag = "12")]
    #[serde(with = "As::<Hex>")]
    pub r11: u64,
    #[prost(uint64, required, tag = "13")]
    #[serde(with = "As::<Hex>")]
    pub r12: u64,
    #[prost(uint64, required, tag = "14")]
    #[serde(with = "As::<Hex>")]
    pub r13: u64,
    #[prost(uint64, required, tag = "15")]
    #[serde(with = "As::<Hex>")]
    pub r14: u64,
    #[prost(uint64, required, tag = "16")]
    #[serde(with = "As::<Hex>")]
    pub r15: u64,
    #[prost(uint64, required, tag = "17")]
    #[serde(with = "As::<Hex>")]
    pub r16: u64,
    #[prost(uint64, required, tag = "18")]
    #[serde(with = "As::<Hex>")]
    pub r17: u64,
    #[prost(uint64, required, tag = "19")]
    #[serde(with = "As::<Hex>")]
    pub r18: u64,
    #[prost(uint64, required, tag = "20")]
    #[serde(with = "As::<Hex>")]
    pub r19: u64,
    #[prost(uint64, required, tag = "21")]
    #[serde(with = "As::<Hex>")]
    pub r20: u64,
    #[prost(uint64, required, tag = "22")]
    #[serde(with = "As::<Hex>")]
    pub r21: u64,
    #[prost(uint64, required, tag = "23")]
    #[serde(with = "As::<Hex>")]
    pub r22: u64,
    #[prost(uint64, required, tag = "24")]
    #[serde(with = "As::<Hex>")]
    pub r23: u64,
    #[prost(uint64, required, tag = "25")]
    #[serde(with = "As::<Hex>")]
    pub r24: u64,
    #[prost(uint64, required, tag = "26")]
    #[serde(with = "As::<Hex>")]
    pub r25: u64,
    #[prost(uint64, required, tag = "27")]
    #[serde(with = "As::<Hex>")]
    pub r26: u64,
    #[prost(uint64, required, tag = "28")]
    #[serde(with = "As::<Hex>")]
    pub r27: u64,
    #[prost(uint64, required, tag = "29")]
    #[serde(with = "As::<Hex>")]
    pub r28: u64,
    #[prost(uint64, required, tag = "30")]
    #[serde(with = "As::<Hex>")]
    pub r29: u64,
    #[prost(uint64, required, tag = "31")]
    #[serde(with = "As::<Hex>")]
    pub r30: u64,
    #[prost(uint64, required, tag = "32")]
    #[serde(with = "As::<Hex>")]
    pub r31: u64,
    #[prost(uint64, required, tag = "33")]
    #[serde(with = "As::<Hex>")]
    pub lo: u64,
    #[prost(uint64, required, tag = "34")]
    #[serde(with = "As::<Hex>")]
    pub hi: u64,
    #[prost(uint64, required, tag = "35")]
    #[serde(with = "As::<Hex>")]
    pub cp0_epc: u64,
    #[prost(uint64, required, tag = "36")]
    #[serde(with = "As::<Hex>")]
    pub cp0_badvaddr: u64,
    #[prost(uint64, required, tag = "37")]
    #[serde(with = "As::<Hex>")]
    pub cp0_status: u64,
    #[prost(uint64, required, tag = "38")]
    #[serde(with = "As::<Hex>")]
    pub cp0_cause: u64,
}

/// Floating point registers (NT_PRFPREG).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserMipsFpregsEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub r0: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub r1: u64,
    #[prost(uint64, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub r2: u64,
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub r3: u64,
    #[prost(uint64, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub r4: u64,
    #[prost(uint64, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub r5: u64,
    #[prost(uint64, required, tag = "7")]
    #[serde(with = "As::<Hex>")]
    pub r6: u64,
    #[prost(uint64, required, tag = "8")]
    #[serde(with = "As::<Hex>")]
    pub r7: u64,
    #[prost(uint64, required, tag = "9")]
    #[serde(with = "As::<Hex>")]
    pub r8: u64,
    #[prost(uint64, required, tag = "10")]
    #[serde(with = "As::<Hex>")]
    pub r9: u64,
    #[prost(uint64, required, tag = "11")]
    #[serde(with = "As::<Hex>")]
    pub r10: u64,
    #[prost(uint64, required, tag = "12")]
    #[serde(with = "As::<Hex>")]
    pub r11: u64,
    #[prost(uint64, required, tag = "13")]
    #[serde(with = "As::<Hex>")]
    pub r12: u64,
    #[prost(uint64, required, tag = "14")]
    #[serde(with = "As::<Hex>")]
    pub r13: u64,
    #[prost(uint64, required, tag = "15")]
    #[serde(with = "As::<Hex>")]
    pub r14: u64,
    #[prost(uint64, required, tag = "16")]
    #[serde(with = "As::<Hex>")]
    pub r15: u64,
    #[prost(uint64, required, tag = "17")]
    #[serde(with = "As::<Hex>")]
    pub r16: u64,
    #[prost(uint64, required, tag = "18")]
    #[serde(with = "As::<Hex>")]
    pub r17: u64,
    #[prost(uint64, required, tag = "19")]
    #[serde(with = "As::<Hex>")]
    pub r18: u64,
    #[prost(uint64, required, tag = "20")]
    #[serde(with = "As::<Hex>")]
    pub r19: u64,
    #[prost(uint64, required, tag = "21")]
    #[serde(with = "As::<Hex>")]
    pub r20: u64,
    #[prost(uint64, required, tag = "22")]
    #[serde(with = "As::<Hex>")]
    pub r21: u64,
    #[prost(uint64, required, tag = "23")]
    #[serde(with = "As::<Hex>")]
    pub r22: u64,
    #[prost(uint64, required, tag = "24")]
    #[serde(with = "As::<Hex>")]
    pub r23: u64,
    #[prost(uint64, required, tag = "25")]
    #[serde(with = "As::<Hex>")]
    pub r24: u64,
    #[prost(uint64, required, tag = "26")]
    #[serde(with = "As::<Hex>")]
    pub r25: u64,
    #[prost(uint64, required, tag = "27")]
    #[serde(with = "As::<Hex>")]
    pub r26: u64,
    #[prost(uint64, required, tag = "28")]
    #[serde(with = "As::<Hex>")]
    pub r27: u64,
    #[prost(uint64, required, tag = "29")]
    #[serde(with = "As::<Hex>")]
    pub r28: u64,
    #[prost(uint64, required, tag = "30")]
    #[serde(with = "As::<Hex>")]
    pub r29: u64,
    #[prost(uint64, required, tag = "31")]
    #[serde(with = "As::<Hex>")]
    pub r30: u64,
    #[prost(uint64, required, tag = "32")]
    #[serde(with = "As::<Hex>")]
    pub r31: u64,
    #[prost(uint64, required, tag = "33")]
    #[serde(with = "As::<Hex>")]
    pub lo: u64,
    #[prost(uint64, required, tag = "34")]
    #[serde(with = "As::<Hex>")]
    pub hi: u64,
    #[prost(uint32, required, tag = "35")]
    #[serde(with = "As::<Hex>")]
    pub fpu_fcr31: u32,
    #[prost(uint32, required, tag = "36")]
    #[serde(with = "As::<Hex>")]
    pub fpu_id: u32,
}

/// Registers of a MIPS64 thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadInfoMips {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub clear_tid_addr: u64,
    #[prost(uint64, required, tag = "2")]
    pub tls: u64,
    #[prost(message, required, tag = "3")]
    pub gpregs: UserMipsRegsEntry,
    #[prost(message, required, tag = "4")]
    pub fpregs: UserMipsFpregsEntry,
}
