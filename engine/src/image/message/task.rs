//! What belongs to one task or thread apart from memory, files and machine registers (`core-N.img`, `ids-N.img`).
//!
//! Field numbers are those of CRIU 4.2's `images/{core,creds,rlimit,rseq}.proto`; fields from 10000 on are ours and
//! CRIU skips them. Registers live in [`machine`](super::machine).

use serde::{Deserialize, Serialize};

use super::machine::aarch64::ThreadInfoAarch64;
use super::machine::arm::ThreadInfoArm;
use super::machine::loongarch64::ThreadInfoLoongarch64;
use super::machine::mips::ThreadInfoMips;
use super::machine::ppc64::ThreadInfoPpc64;
use super::machine::riscv64::ThreadInfoRiscv64;
use super::machine::s390::ThreadInfoS390;
use super::machine::x86::ThreadInfoX86;
use super::signal::{SaEntry, SignalQueueEntry, TaskTimersEntry};
use crate::image::style::{As, Base64, Hex, Named, TaskState, Text};

/// SECCOMP_MODE_* of `<linux/seccomp.h>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum SeccompMode {
    #[serde(rename = "disabled")]
    Disabled = 0,
    #[serde(rename = "strict")]
    Strict = 1,
    #[serde(rename = "filter")]
    Filter = 2,
}

/// State shared by all threads of a task; only in the core of the leader.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskCoreEntry {
    /// 1 alive, 2 dead, 3 stopped, 6 zombie.
    #[prost(uint32, required, tag = "1")]
    #[serde(with = "As::<TaskState>")]
    pub task_state: u32,
    /// The status that wait(2) will give, of a dead task.
    #[prost(uint32, required, tag = "2")]
    pub exit_code: u32,
    #[prost(uint32, required, tag = "3")]
    pub personality: u32,
    /// PF_* flags of `/proc/PID/stat`.
    #[prost(uint32, required, tag = "4")]
    pub flags: u32,
    #[prost(uint64, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub blk_sigset: u64,
    #[prost(bytes = "vec", required, tag = "6")]
    #[serde(with = "As::<Text>")]
    pub comm: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    pub timers: Option<TaskTimersEntry>,
    #[prost(message, optional, tag = "8")]
    pub rlimits: Option<TaskRlimitsEntry>,
    /// Before 4.0; now per thread.
    #[prost(uint32, optional, tag = "9")]
    pub cg_set: Option<u32>,
    #[prost(message, optional, tag = "10")]
    pub signals_s: Option<SignalQueueEntry>,
    /// Before 3.x; now per thread.
    #[prost(enumeration = "SeccompMode", optional, tag = "11")]
    #[serde(with = "As::<Named<SeccompMode>>")]
    pub old_seccomp_mode: Option<i32>,
    /// Before 3.x; now per thread.
    #[prost(uint32, optional, tag = "12")]
    pub old_seccomp_filter: Option<u32>,
    #[prost(uint32, optional, tag = "13")]
    pub loginuid: Option<u32>,
    #[prost(int32, optional, tag = "14")]
    pub oom_score_adj: Option<i32>,
    /// Actions of signals 1 to 64 without SIGKILL and SIGSTOP.
    #[prost(message, repeated, tag = "15")]
    pub sigactions: Vec<SaEntry>,
    #[prost(bool, optional, tag = "18")]
    pub child_subreaper: Option<bool>,
    #[prost(uint64, optional, tag = "20")]
    #[serde(with = "As::<Hex>")]
    pub blk_sigset_extended: Option<u64>,
    #[prost(uint32, optional, tag = "21")]
    pub stop_signo: Option<u32>,
    #[prost(uint32, optional, tag = "22")]
    #[serde(with = "As::<Hex>")]
    pub membarrier_registration_mask: Option<u32>,
    /// Ours: the parent has been told of the stop by wait(2).
    #[prost(bool, optional, tag = "10000")]
    pub stop_reported: Option<bool>,
    /// Ours: actions of signals 65 to 128 (MIPS).
    #[prost(message, repeated, tag = "10001")]
    pub more_sigactions: Vec<SaEntry>,
    /// Ours: what the parent gets when the task ends, if not SIGCHLD (clone(2)); 0 is nothing.
    #[prost(uint32, optional, tag = "10002")]
    pub exit_signal: Option<u32>,
}

/// Identities of the kernel objects that tasks share: equal id, same object.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskKobjIdsEntry {
    #[prost(uint32, required, tag = "1")]
    pub vm_id: u32,
    /// Number in the name of `fdinfo-N.img`.
    #[prost(uint32, required, tag = "2")]
    pub files_id: u32,
    #[prost(uint32, required, tag = "3")]
    pub fs_id: u32,
    #[prost(uint32, required, tag = "4")]
    pub sighand_id: u32,
    #[prost(uint32, optional, tag = "5")]
    pub pid_ns_id: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub net_ns_id: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub ipc_ns_id: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub uts_ns_id: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub mnt_ns_id: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub user_ns_id: Option<u32>,
    #[prost(uint32, optional, tag = "11")]
    pub cgroup_ns_id: Option<u32>,
    #[prost(uint32, optional, tag = "12")]
    pub time_ns_id: Option<u32>,
}

/// Alternate signal stack (sigaltstack(2)).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadSasEntry {
    #[prost(uint64, required, tag = "1")]
    pub ss_sp: u64,
    #[prost(uint64, required, tag = "2")]
    pub ss_size: u64,
    #[prost(uint32, required, tag = "3")]
    pub ss_flags: u32,
}

/// State of one thread.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadCoreEntry {
    /// Address of the robust futex list head.
    #[prost(uint64, required, tag = "1")]
    pub futex_rla: u64,
    /// Length of the robust list head, bytes.
    #[prost(uint32, required, tag = "2")]
    pub futex_rla_len: u32,
    #[prost(sint32, optional, tag = "3")]
    pub sched_nice: Option<i32>,
    #[prost(uint32, optional, tag = "4")]
    pub sched_policy: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    pub sched_prio: Option<u32>,
    /// Blocked signals 1 to 64.
    #[prost(uint64, optional, tag = "6")]
    pub blk_sigset: Option<u64>,
    #[prost(message, optional, tag = "7")]
    pub sas: Option<ThreadSasEntry>,
    #[prost(uint32, optional, tag = "8")]
    pub pdeath_sig: Option<u32>,
    #[prost(message, optional, tag = "9")]
    pub signals_p: Option<SignalQueueEntry>,
    #[prost(message, optional, tag = "10")]
    pub creds: Option<CredsEntry>,
    #[prost(enumeration = "SeccompMode", optional, tag = "11")]
    #[serde(with = "As::<Named<SeccompMode>>")]
    pub seccomp_mode: Option<i32>,
    /// Index of the last installed filter in [`SeccompEntry`](super::security::SeccompEntry).
    #[prost(uint32, optional, tag = "12")]
    pub seccomp_filter: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "13")]
    #[serde(with = "As::<Text>")]
    pub comm: Option<Vec<u8>>,
    /// Blocked signals 65 to 128 (MIPS).
    #[prost(uint64, optional, tag = "14")]
    pub blk_sigset_extended: Option<u64>,
    #[prost(message, optional, tag = "15")]
    pub rseq_entry: Option<RseqEntry>,
    /// Id of a [`CgSetEntry`](super::cgroup::CgSetEntry).
    #[prost(uint32, optional, tag = "16")]
    pub cg_set: Option<u32>,
    /// Ours: sched_getaffinity(2) as 32-bit words, CPU 0 in the lowest bit of the first word.
    #[prost(uint32, repeated, tag = "10000", packed = "false")]
    #[serde(with = "As::<Hex>")]
    pub cpu_affinity: Vec<u32>,
    /// Ours: ioprio_get(2).
    #[prost(uint32, optional, tag = "10001")]
    pub ioprio: Option<u32>,
    /// Ours: PR_GET_TIMERSLACK, nanoseconds.
    #[prost(uint64, optional, tag = "10002")]
    pub timerslack_ns: Option<u64>,
    /// Ours: the whole NT_X86_XSTATE register set in the standard format.
    #[prost(bytes = "vec", optional, tag = "10003")]
    #[serde(with = "As::<Base64>")]
    pub xstate: Option<Vec<u8>>,
    /// Ours: `sched_attr.sched_flags` of sched_getattr(2).
    #[prost(uint64, optional, tag = "10004")]
    pub sched_flags: Option<u64>,
    /// Ours: SCHED_DEADLINE runtime, nanoseconds.
    #[prost(uint64, optional, tag = "10005")]
    pub sched_runtime: Option<u64>,
    /// Ours: SCHED_DEADLINE relative deadline, nanoseconds.
    #[prost(uint64, optional, tag = "10006")]
    pub sched_deadline: Option<u64>,
    /// Ours: SCHED_DEADLINE period, nanoseconds.
    #[prost(uint64, optional, tag = "10007")]
    pub sched_period: Option<u64>,
    /// Ours: `ERESTARTSYS` or `ERESTARTNOHAND` (linux/errno.h), if the registers start a call over that was interrupted so.
    #[prost(uint32, optional, tag = "10008")]
    pub interruption: Option<u32>,
    /// Ours: register sets that the machine's message has no fields for.
    #[prost(message, repeated, tag = "10020")]
    pub register_sets: Vec<RegisterSetEntry>,
}

/// Ours: a register set of a thread as `PTRACE_GETREGSET` shows it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegisterSetEntry {
    /// Its note type, `NT_*` of linux/elf.h.
    #[prost(uint32, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub kind: u32,
    /// Its bytes.
    #[prost(bytes = "vec", required, tag = "2")]
    #[serde(with = "As::<Base64>")]
    pub bytes: Vec<u8>,
}

/// Resource limits in the order of RLIMIT_*; values of RLIM_INFINITY are all ones.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskRlimitsEntry {
    #[prost(message, repeated, tag = "1")]
    pub rlimits: Vec<RlimitEntry>,
}

/// The machine of the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration, Serialize, Deserialize)]
#[repr(i32)]
pub enum Machine {
    #[serde(rename = "UNKNOWN")]
    Unknown = 0,
    #[serde(rename = "X86_64")]
    X86_64 = 1,
    #[serde(rename = "ARM")]
    Arm = 2,
    #[serde(rename = "AARCH64")]
    Aarch64 = 3,
    #[serde(rename = "PPC64")]
    Ppc64 = 4,
    #[serde(rename = "S390")]
    S390 = 5,
    #[serde(rename = "MIPS")]
    Mips = 6,
    #[serde(rename = "LOONGARCH64")]
    Loongarch64 = 7,
    #[serde(rename = "RISCV64")]
    Riscv64 = 8,
}

/// One task or thread (`core-N.img`): exactly one register set, as `mtype` says.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoreEntry {
    #[prost(enumeration = "Machine", required, tag = "1")]
    #[serde(with = "As::<Named<Machine>>")]
    pub mtype: i32,
    #[prost(message, optional, tag = "2")]
    pub thread_info: Option<ThreadInfoX86>,
    #[prost(message, optional, tag = "3")]
    pub tc: Option<TaskCoreEntry>,
    #[prost(message, optional, tag = "4")]
    pub ids: Option<TaskKobjIdsEntry>,
    #[prost(message, optional, tag = "5")]
    pub thread_core: Option<ThreadCoreEntry>,
    #[prost(message, optional, tag = "6")]
    pub ti_arm: Option<ThreadInfoArm>,
    #[prost(message, optional, tag = "8")]
    pub ti_aarch64: Option<ThreadInfoAarch64>,
    #[prost(message, optional, tag = "9")]
    pub ti_ppc64: Option<ThreadInfoPpc64>,
    #[prost(message, optional, tag = "10")]
    pub ti_s390: Option<ThreadInfoS390>,
    #[prost(message, optional, tag = "11")]
    pub ti_mips: Option<ThreadInfoMips>,
    #[prost(message, optional, tag = "12")]
    pub ti_loongarch64: Option<ThreadInfoLoongarch64>,
    #[prost(message, optional, tag = "13")]
    pub ti_riscv64: Option<ThreadInfoRiscv64>,
}

/// One resource limit.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RlimitEntry {
    #[prost(uint64, required, tag = "1")]
    pub cur: u64,
    #[prost(uint64, required, tag = "2")]
    pub max: u64,
}

/// A registered restartable sequence area (rseq(2)).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RseqEntry {
    #[prost(uint64, required, tag = "1")]
    pub rseq_abi_pointer: u64,
    #[prost(uint32, required, tag = "2")]
    pub rseq_abi_size: u32,
    #[prost(uint32, required, tag = "3")]
    pub signature: u32,
    #[prost(uint64, optional, tag = "4")]
    pub rseq_cs_pointer: Option<u64>,
}

/// Credentials of a thread: ids, capabilities in 32-bit words (low word first), groups, LSM labels.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredsEntry {
    #[prost(uint32, required, tag = "1")]
    pub uid: u32,
    #[prost(uint32, required, tag = "2")]
    pub gid: u32,
    #[prost(uint32, required, tag = "3")]
    pub euid: u32,
    #[prost(uint32, required, tag = "4")]
    pub egid: u32,
    #[prost(uint32, required, tag = "5")]
    pub suid: u32,
    #[prost(uint32, required, tag = "6")]
    pub sgid: u32,
    #[prost(uint32, required, tag = "7")]
    pub fsuid: u32,
    #[prost(uint32, required, tag = "8")]
    pub fsgid: u32,
    #[prost(uint32, repeated, tag = "9", packed = "false")]
    pub cap_inh: Vec<u32>,
    #[prost(uint32, repeated, tag = "10", packed = "false")]
    pub cap_prm: Vec<u32>,
    #[prost(uint32, repeated, tag = "11", packed = "false")]
    pub cap_eff: Vec<u32>,
    #[prost(uint32, repeated, tag = "12", packed = "false")]
    pub cap_bnd: Vec<u32>,
    #[prost(uint32, required, tag = "13")]
    pub secbits: u32,
    #[prost(uint32, repeated, tag = "14", packed = "false")]
    pub groups: Vec<u32>,
    #[prost(string, optional, tag = "15")]
    pub lsm_profile: Option<String>,
    #[prost(string, optional, tag = "16")]
    pub lsm_sockcreate: Option<String>,
    #[prost(bytes = "vec", optional, tag = "17")]
    #[serde(with = "As::<Base64>")]
    pub apparmor_data: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "18")]
    pub no_new_privs: Option<u32>,
    #[prost(uint32, repeated, tag = "19", packed = "false")]
    pub cap_amb: Vec<u32>,
}

impl TaskCoreEntry {
    /// Whether the task is a zombie, which has an exit code and little else. CRIU writes [`state::DEAD`].
    pub fn is_dead(&self) -> bool {
        matches!(self.task_state, state::DEAD | state::ZOMBIE)
    }
}

/// Values of [`TaskCoreEntry::task_state`].
pub mod state {
    pub const ALIVE: u32 = 1;
    pub const DEAD: u32 = 2;
    pub const STOPPED: u32 = 3;
    pub const ZOMBIE: u32 = 6;
}
