//! aarch64 registers of one thread, with pointer authentication keys.
//!
//! Numbers: CRIU 4.2's `images/core-aarch64.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Hex};

/// `struct user_pt_regs` (NT_PRSTATUS).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserAarch64RegsEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub regs: Vec<u64>,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub sp: u64,
    #[prost(uint64, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub pc: u64,
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub pstate: u64,
}

/// `struct user_fpsimd_state`; a 128-bit register is two words, the low one first.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserAarch64FpsimdContextEntry {
    #[prost(uint64, repeated, tag = "1", packed = "false")]
    pub vregs: Vec<u64>,
    #[prost(uint32, required, tag = "2")]
    pub fpsr: u32,
    #[prost(uint32, required, tag = "3")]
    pub fpcr: u32,
}

/// `struct user_pac_address_keys` (NT_ARM_PACA_KEYS).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacAddressKeys {
    #[prost(uint64, required, tag = "1")]
    pub apiakey_lo: u64,
    #[prost(uint64, required, tag = "2")]
    pub apiakey_hi: u64,
    #[prost(uint64, required, tag = "3")]
    pub apibkey_lo: u64,
    #[prost(uint64, required, tag = "4")]
    pub apibkey_hi: u64,
    #[prost(uint64, required, tag = "5")]
    pub apdakey_lo: u64,
    #[prost(uint64, required, tag = "6")]
    pub apdakey_hi: u64,
    #[prost(uint64, required, tag = "7")]
    pub apdbkey_lo: u64,
    #[prost(uint64, required, tag = "8")]
    pub apdbkey_hi: u64,
    #[prost(uint64, required, tag = "9")]
    pub pac_enabled_key: u64,
}

/// `struct user_pac_generic_keys` (NT_ARM_PACG_KEYS).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacGenericKeys {
    #[prost(uint64, required, tag = "1")]
    pub apgakey_lo: u64,
    #[prost(uint64, required, tag = "2")]
    pub apgakey_hi: u64,
}

/// Pointer authentication keys of a thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacKeys {
    #[prost(message, optional, tag = "6")]
    pub pac_address_keys: Option<PacAddressKeys>,
    #[prost(message, optional, tag = "7")]
    pub pac_generic_keys: Option<PacGenericKeys>,
}

/// Registers of an aarch64 thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadInfoAarch64 {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub clear_tid_addr: u64,
    #[prost(uint64, required, tag = "2")]
    pub tls: u64,
    #[prost(message, required, tag = "3")]
    pub gpregs: UserAarch64RegsEntry,
    #[prost(message, required, tag = "4")]
    pub fpsimd: UserAarch64FpsimdContextEntry,
    #[prost(message, optional, tag = "5")]
    pub pac_keys: Option<PacKeys>,
}
