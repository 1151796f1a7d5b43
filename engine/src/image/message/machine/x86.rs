//! x86-64 and ia32 registers of one thread.
//!
//! The FPU part is FXSAVE and XSAVE components taken apart (Intel SDM volume 1, chapter 13); components that CRIU's message
//! has no field for are in our raw `ThreadCoreEntry::xstate`. Numbers: CRIU 4.2's `images/core-x86.proto`.

use serde::{Deserialize, Serialize};

use crate::image::style::{As, Hex, Named};

/// Which entry path the thread last used: its `struct pt_regs` is 64-bit or ia32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum UserX86RegsMode {
    #[serde(rename = "NATIVE")]
    Native = 1,
    #[serde(rename = "COMPAT")]
    Compat = 2,
}

/// `struct user_regs_struct`, of 64-bit and ia32 threads alike.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserX86RegsEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub r15: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub r14: u64,
    #[prost(uint64, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub r13: u64,
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub r12: u64,
    #[prost(uint64, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub bp: u64,
    #[prost(uint64, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub bx: u64,
    #[prost(uint64, required, tag = "7")]
    #[serde(with = "As::<Hex>")]
    pub r11: u64,
    #[prost(uint64, required, tag = "8")]
    #[serde(with = "As::<Hex>")]
    pub r10: u64,
    #[prost(uint64, required, tag = "9")]
    #[serde(with = "As::<Hex>")]
    pub r9: u64,
    #[prost(uint64, required, tag = "10")]
    #[serde(with = "As::<Hex>")]
    pub r8: u64,
    #[prost(uint64, required, tag = "11")]
    #[serde(with = "As::<Hex>")]
    pub ax: u64,
    #[prost(uint64, required, tag = "12")]
    #[serde(with = "As::<Hex>")]
    pub cx: u64,
    #[prost(uint64, required, tag = "13")]
    #[serde(with = "As::<Hex>")]
    pub dx: u64,
    #[prost(uint64, required, tag = "14")]
    #[serde(with = "As::<Hex>")]
    pub si: u64,
    #[prost(uint64, required, tag = "15")]
    #[serde(with = "As::<Hex>")]
    pub di: u64,
    #[prost(uint64, required, tag = "16")]
    #[serde(with = "As::<Hex>")]
    pub orig_ax: u64,
    #[prost(uint64, required, tag = "17")]
    #[serde(with = "As::<Hex>")]
    pub ip: u64,
    #[prost(uint64, required, tag = "18")]
    #[serde(with = "As::<Hex>")]
    pub cs: u64,
    #[prost(uint64, required, tag = "19")]
    #[serde(with = "As::<Hex>")]
    pub flags: u64,
    #[prost(uint64, required, tag = "20")]
    #[serde(with = "As::<Hex>")]
    pub sp: u64,
    #[prost(uint64, required, tag = "21")]
    #[serde(with = "As::<Hex>")]
    pub ss: u64,
    #[prost(uint64, required, tag = "22")]
    #[serde(with = "As::<Hex>")]
    pub fs_base: u64,
    #[prost(uint64, required, tag = "23")]
    #[serde(with = "As::<Hex>")]
    pub gs_base: u64,
    #[prost(uint64, required, tag = "24")]
    #[serde(with = "As::<Hex>")]
    pub ds: u64,
    #[prost(uint64, required, tag = "25")]
    #[serde(with = "As::<Hex>")]
    pub es: u64,
    #[prost(uint64, required, tag = "26")]
    #[serde(with = "As::<Hex>")]
    pub fs: u64,
    #[prost(uint64, required, tag = "27")]
    #[serde(with = "As::<Hex>")]
    pub gs: u64,
    #[prost(enumeration = "UserX86RegsMode", optional, tag = "28", default = "Native")]
    #[serde(with = "As::<Named<UserX86RegsMode>>")]
    pub mode: Option<i32>,
}

/// Shadow stack: the two words of the CET user state component.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserX86CetEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub cet: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub ssp: u64,
}

/// XSAVE components behind the legacy area, in 32- or 64-bit words.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserX86XsaveEntry {
    #[prost(uint64, required, tag = "1")]
    pub xstate_bv: u64,
    #[prost(uint32, repeated, tag = "2", packed = "false")]
    pub ymmh_space: Vec<u32>,
    #[prost(uint64, repeated, tag = "3", packed = "false")]
    pub bndreg_state: Vec<u64>,
    #[prost(uint64, repeated, tag = "4", packed = "false")]
    pub bndcsr_state: Vec<u64>,
    #[prost(uint64, repeated, tag = "5", packed = "false")]
    pub opmask_reg: Vec<u64>,
    #[prost(uint64, repeated, tag = "6", packed = "false")]
    pub zmm_upper: Vec<u64>,
    #[prost(uint64, repeated, tag = "7", packed = "false")]
    pub hi16_zmm: Vec<u64>,
    #[prost(uint32, repeated, tag = "8", packed = "false")]
    pub pkru: Vec<u32>,
    #[prost(message, optional, tag = "9")]
    pub cet: Option<UserX86CetEntry>,
}

/// The FXSAVE area, 512 bytes, and what XSAVE adds to it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserX86FpregsEntry {
    #[prost(uint32, required, tag = "1")]
    pub cwd: u32,
    #[prost(uint32, required, tag = "2")]
    pub swd: u32,
    #[prost(uint32, required, tag = "3")]
    pub twd: u32,
    #[prost(uint32, required, tag = "4")]
    pub fop: u32,
    #[prost(uint64, required, tag = "5")]
    pub rip: u64,
    #[prost(uint64, required, tag = "6")]
    pub rdp: u64,
    #[prost(uint32, required, tag = "7")]
    pub mxcsr: u32,
    #[prost(uint32, required, tag = "8")]
    pub mxcsr_mask: u32,
    #[prost(uint32, repeated, tag = "9", packed = "false")]
    pub st_space: Vec<u32>,
    #[prost(uint32, repeated, tag = "10", packed = "false")]
    pub xmm_space: Vec<u32>,
    #[prost(uint32, repeated, tag = "11", packed = "false")]
    pub padding: Vec<u32>,
    #[prost(message, optional, tag = "13")]
    pub xsave: Option<UserX86XsaveEntry>,
}

/// One of the three TLS descriptors of a thread (`struct user_desc`, set_thread_area(2)).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserDescX86 {
    #[prost(uint32, required, tag = "1")]
    pub entry_number: u32,
    #[prost(uint32, required, tag = "2")]
    pub base_addr: u32,
    #[prost(uint32, required, tag = "3")]
    pub limit: u32,
    #[prost(bool, required, tag = "4")]
    pub seg_32bit: bool,
    #[prost(bool, required, tag = "5")]
    pub contents_h: bool,
    #[prost(bool, required, tag = "6")]
    pub contents_l: bool,
    #[prost(bool, required, tag = "7", default = "true")]
    pub read_exec_only: bool,
    #[prost(bool, required, tag = "8")]
    pub limit_in_pages: bool,
    #[prost(bool, required, tag = "9", default = "true")]
    pub seg_not_present: bool,
    #[prost(bool, required, tag = "10")]
    pub usable: bool,
}

/// Registers of an x86 thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadInfoX86 {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub clear_tid_addr: u64,
    #[prost(message, required, tag = "2")]
    pub gpregs: UserX86RegsEntry,
    #[prost(message, required, tag = "3")]
    pub fpregs: UserX86FpregsEntry,
    #[prost(message, repeated, tag = "4")]
    pub tls: Vec<UserDescX86>,
}
