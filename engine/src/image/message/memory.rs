//! Address spaces and where their pages are (`mm-N.img`, `pagemap-N.img`, `memfd.img`).
//!
//! Page contents are in `pages-N.img`, which has no header and no messages: see [`pages`](crate::image::pages). Field
//! numbers are those of CRIU 4.2's `images/{mm,vma,pagemap,memfd}.proto`.

use serde::{Deserialize, Serialize};

use super::file::FownEntry;
use crate::image::style::{As, Hex, MapFlags, OpenFlags, PageFlags, Prot, Seals, Text, VmaStatus};

/// One io_setup(2) context.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AioRingEntry {
    #[prost(uint64, required, tag = "1")]
    pub id: u64,
    #[prost(uint32, required, tag = "2")]
    pub nr_req: u32,
    #[prost(uint32, required, tag = "3")]
    pub ring_len: u32,
}

/// An address space (`mm-N.img`).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MmEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub mm_start_code: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub mm_end_code: u64,
    #[prost(uint64, required, tag = "3")]
    #[serde(with = "As::<Hex>")]
    pub mm_start_data: u64,
    #[prost(uint64, required, tag = "4")]
    #[serde(with = "As::<Hex>")]
    pub mm_end_data: u64,
    #[prost(uint64, required, tag = "5")]
    #[serde(with = "As::<Hex>")]
    pub mm_start_stack: u64,
    #[prost(uint64, required, tag = "6")]
    #[serde(with = "As::<Hex>")]
    pub mm_start_brk: u64,
    #[prost(uint64, required, tag = "7")]
    #[serde(with = "As::<Hex>")]
    pub mm_brk: u64,
    #[prost(uint64, required, tag = "8")]
    #[serde(with = "As::<Hex>")]
    pub mm_arg_start: u64,
    #[prost(uint64, required, tag = "9")]
    #[serde(with = "As::<Hex>")]
    pub mm_arg_end: u64,
    #[prost(uint64, required, tag = "10")]
    #[serde(with = "As::<Hex>")]
    pub mm_env_start: u64,
    #[prost(uint64, required, tag = "11")]
    #[serde(with = "As::<Hex>")]
    pub mm_env_end: u64,
    /// Id of the executable in `files.img`.
    #[prost(uint32, required, tag = "12")]
    pub exe_file_id: u32,
    #[prost(uint64, repeated, tag = "13", packed = "false")]
    pub mm_saved_auxv: Vec<u64>,
    #[prost(message, repeated, tag = "14")]
    pub vmas: Vec<VmaEntry>,
    /// PR_GET_DUMPABLE.
    #[prost(int32, optional, tag = "15")]
    pub dumpable: Option<i32>,
    #[prost(message, repeated, tag = "16")]
    pub aios: Vec<AioRingEntry>,
    #[prost(bool, optional, tag = "17")]
    pub thp_disabled: Option<bool>,
    /// Ours: MCL_FUTURE and MCL_ONFAULT of mlockall(2).
    #[prost(uint32, optional, tag = "10000")]
    pub lock_future: Option<u32>,
    /// Ours: /proc/PID/coredump_filter, core(5).
    #[prost(uint32, optional, tag = "10001")]
    pub coredump_filter: Option<u32>,
    /// Ours: PR_GET_MDWE, bits that refuse memory that is writable and executable.
    #[prost(uint32, optional, tag = "10002")]
    pub mdwe: Option<u32>,
}

impl MmEntry {
    /// The page size of the kernel of the dump, bytes: AT_PAGESZ of the auxiliary vector, else 4096.
    pub fn page_size(&self) -> u64 {
        const AT_PAGESZ: u64 = 6;
        let found = self.mm_saved_auxv.as_chunks::<2>().0.iter().find_map(|pair| match pair {
            [AT_PAGESZ, size] if size.is_power_of_two() => Some(*size),
            _ => None,
        });
        found.unwrap_or(4096)
    }
}

/// One mapping of an address space.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VmaEntry {
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub start: u64,
    #[prost(uint64, required, tag = "2")]
    #[serde(with = "As::<Hex>")]
    pub end: u64,
    /// Offset in the file, bytes.
    #[prost(uint64, required, tag = "3")]
    pub pgoff: u64,
    /// Of a file mapping: id of the file; of shared anonymous memory: its shmid.
    #[prost(uint64, required, tag = "4")]
    pub shmid: u64,
    /// PROT_* bits.
    #[prost(uint32, required, tag = "5")]
    #[serde(with = "As::<Prot>")]
    pub prot: u32,
    /// MAP_* flags.
    #[prost(uint32, required, tag = "6")]
    #[serde(with = "As::<MapFlags>")]
    pub flags: u32,
    /// VMA_AREA_* bits, see [`status`].
    #[prost(uint32, required, tag = "7")]
    #[serde(with = "As::<VmaStatus>")]
    pub status: u32,
    /// Unused, -1.
    #[prost(sint64, required, tag = "8")]
    pub fd: i64,
    /// Bit n is set when madvise(2) advice n is in effect.
    #[prost(uint64, optional, tag = "9")]
    #[serde(with = "As::<Hex>")]
    pub madv: Option<u64>,
    /// Open flags with which the file was mapped.
    #[prost(uint32, optional, tag = "10")]
    #[serde(with = "As::<Hex>")]
    pub fdflags: Option<u32>,
    /// Ours: PR_SET_VMA_ANON_NAME.
    #[prost(string, optional, tag = "10000")]
    pub anon_name: Option<String>,
    /// Ours: MLOCK_ONFAULT of mlock2(2); MAP_LOCKED is in `flags` too.
    #[prost(bool, optional, tag = "10001")]
    pub lock_on_fault: Option<bool>,
    /// Ours: `[sigpage]` of 32-bit ARM, which CRIU takes for ordinary memory.
    #[prost(bool, optional, tag = "10002")]
    pub sigpage: Option<bool>,
    /// Ours: UFFDIO_REGISTER_MODE_* of the userfaultfd that it is registered with, which has its range in `files.img`.
    #[prost(uint32, optional, tag = "10003")]
    #[serde(with = "As::<Hex>")]
    pub userfaultfd: Option<u32>,
}

impl VmaEntry {
    /// Whether its pages are those of hugetlbfs.
    pub fn is_huge(&self) -> bool {
        self.flags as i32 & libc::MAP_HUGETLB != 0
    }
}

/// First entry of a pagemap image: which `pages-N.img` holds the pages.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PagemapHead {
    #[prost(uint32, required, tag = "1")]
    pub pages_id: u32,
}

/// A run of pages (flags PE_PARENT 1, PE_LAZY 2, PE_PRESENT 4).
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PagemapEntry {
    /// Address of the first page; in a shmem pagemap the offset in the segment.
    #[prost(uint64, required, tag = "1")]
    #[serde(with = "As::<Hex>")]
    pub vaddr: u64,
    /// Number of pages as 32 bits; the image is older than 4.1 when `nr_pages` is absent.
    #[prost(uint32, required, tag = "2")]
    pub compat_nr_pages: u32,
    /// Old form of PE_PARENT.
    #[prost(bool, optional, tag = "3")]
    pub in_parent: Option<bool>,
    #[prost(uint32, optional, tag = "4")]
    #[serde(with = "As::<PageFlags>")]
    pub flags: Option<u32>,
    #[prost(uint64, optional, tag = "5")]
    pub nr_pages: Option<u64>,
}

/// An open memfd_create(2) file.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemfdFileEntry {
    #[prost(uint32, required, tag = "1")]
    pub id: u32,
    #[prost(uint32, required, tag = "2")]
    #[serde(with = "As::<OpenFlags>")]
    pub flags: u32,
    #[prost(uint64, required, tag = "3")]
    pub pos: u64,
    #[prost(message, required, tag = "4")]
    pub fown: FownEntry,
    #[prost(uint32, required, tag = "5")]
    pub inode_id: u32,
}

/// The memory behind memfd files; its pages are in `pagemap-shmem-SHMID.img`.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemfdInodeEntry {
    #[prost(bytes = "vec", required, tag = "1")]
    #[serde(with = "As::<Text>")]
    pub name: Vec<u8>,
    #[prost(uint32, required, tag = "2")]
    pub uid: u32,
    #[prost(uint32, required, tag = "3")]
    pub gid: u32,
    #[prost(uint64, required, tag = "4")]
    pub size: u64,
    #[prost(uint32, required, tag = "5")]
    pub shmid: u32,
    #[prost(uint32, required, tag = "6")]
    #[serde(with = "As::<Seals>")]
    pub seals: u32,
    #[prost(uint64, required, tag = "7")]
    pub inode_id: u64,
    #[prost(uint32, optional, tag = "8")]
    pub hugetlb_flag: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub mode: Option<u32>,
    /// Ours: no memfd, but shared memory without a name.
    #[prost(bool, optional, tag = "10000")]
    pub anonymous: Option<bool>,
}

/// Bits of [`VmaEntry::status`]: what kind of mapping it is and who recreates it.
pub mod status {
    pub const REGULAR: u32 = 1;
    pub const STACK: u32 = 1 << 1;
    pub const VSYSCALL: u32 = 1 << 2;
    pub const VDSO: u32 = 1 << 3;
    pub const HEAP: u32 = 1 << 5;
    pub const FILE_PRIVATE: u32 = 1 << 6;
    pub const FILE_SHARED: u32 = 1 << 7;
    pub const ANON_SHARED: u32 = 1 << 8;
    pub const ANON_PRIVATE: u32 = 1 << 9;
    pub const SYSVIPC: u32 = 1 << 10;
    pub const SOCKET: u32 = 1 << 11;
    pub const VVAR: u32 = 1 << 12;
    pub const AIORING: u32 = 1 << 13;
    pub const MEMFD: u32 = 1 << 14;
    pub const SHSTK: u32 = 1 << 15;
    pub const GUARD: u32 = 1 << 16;
    pub const UPROBES: u32 = 1 << 17;
    pub const EXT_PLUGIN: u32 = 1 << 27;
    pub const UNSUPP: u32 = 1 << 31;
}

/// Bits of [`PagemapEntry::flags`].
pub mod pe {
    /// The pages are those of the parent directory's image.
    pub const PARENT: u32 = 1;
    /// The pages may be brought later, by the lazy pages daemon.
    pub const LAZY: u32 = 2;
    /// The pages are in the pages image.
    pub const PRESENT: u32 = 4;
}
