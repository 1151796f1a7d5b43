//! The probe of each feature. What needs no unsafe call is here, the rest in `sys::probe`.

mod mount;
mod namespace;
mod network;

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::Feature;
use crate::sys::event;
use crate::sys::kcmp::{self, EpollSlot};
use crate::sys::probe::child::{self, Mapping, Tracee};
use crate::sys::probe::{self, processor};

/// Register sets of aarch64, include/uapi/linux/elf.h. Other machines have other sets under other numbers.
const NT_ARM_SVE: u32 = 0x405;
const NT_ARM_PACA_KEYS: u32 = 0x407;
/// Of SME, with which the second thread pointer comes; NT_ARM_TLS shows that also where there is none.
const NT_ARM_SSVE: u32 = 0x40b;

/// include/uapi/linux/capability.h
const CAP_CHECKPOINT_RESTORE: u32 = 40;

/// Asks the kernel; `Ok` is yes.
pub(super) fn run(feature: Feature) -> io::Result<()> {
    match feature {
        Feature::MapFiles => map_files(),
        Feature::NsLastPid => ns_last_pid(),
        Feature::Kcmp => probe::kcmp(),
        Feature::PrctlMmMap => probe::prctl_mm_map(),
        Feature::TidAddress => probe::tid_address(),
        Feature::FdOwnerUids => probe::fd_owner_uids(File::open("/proc/self/comm")?.as_fd()),
        Feature::SigQueueInfo => child::queue_signal(),
        Feature::PtraceSeize => Tracee::new().map(drop),
        Feature::PtracePeekSigInfo => Tracee::new()?.peek_signals(),
        Feature::ProcessVm => probe::process_vm(),
        Feature::SpecialMappingMremap => child::move_special_mappings(&special_mappings()?),
        Feature::PtyLock => probe::pty_lock(),
        Feature::Clone3SetTid => probe::clone3_set_tid(),
        Feature::GetRseqConf => Tracee::new()?.rseq_configuration(),
        Feature::SeccompSuspend => Tracee::new()?.suspend_seccomp(),
        Feature::SeccompFilters => Tracee::with_filter()?.seccomp_filter(),
        Feature::PidfdStore => probe::pidfd_getfd(),
        Feature::NsPid => has_field("/proc/self/status", "NSpid:"),
        Feature::LoginUid => child::set_loginuid(),
        Feature::ThreadArea => Tracee::new()?.thread_area(),
        Feature::MntId => fdinfo(&File::open("/proc/self/comm")?, "mnt_id:"),
        Feature::FdInfoLock => fdinfo_lock(),
        Feature::OpenAt2 => probe::openat2(),
        Feature::ProcTimers => File::open("/proc/self/timers").map(drop),
        Feature::TimerRestoreIds => probe::timer_restore_ids(),
        Feature::SoftDirty => probe::soft_dirty(),
        Feature::PagemapScan => probe::pagemap_scan(),
        Feature::MadvGuard => probe::madv_guard(),
        Feature::PagemapScanGuard => probe::pagemap_scan_guard_pages(),
        Feature::AnonVmaName => probe::anon_vma_name(),
        Feature::MemfdHugetlb => probe::memfd_hugetlb(),
        Feature::MembarrierRegistrations => probe::membarrier_registrations(),
        Feature::Mdwe => child::refuse_execution_gain(),
        Feature::KcmpEpoll => kcmp_epoll(),
        Feature::TimerFd => timerfd(),
        Feature::AioRemap => probe::aio_remap(),
        Feature::SockoptBufLock => network::buffer_lock(),
        Feature::SkNs => network::namespace_of_socket(),
        Feature::NetworkLockNftables => network::network_lock(),
        Feature::UdpLite => network::udplite(),
        Feature::Userfaultfd => probe::userfaultfd().map(drop),
        Feature::UserfaultfdNoncoop => userfaultfd_has((1 << 1) | (1 << 2) | (1 << 3) | (1 << 6)),
        // Before, some machines' kernels say that they have it.
        Feature::UserfaultfdProtect => userfaultfd_has(1 << 0).and_then(|()| probe::pagemap_scan()),
        Feature::UserfaultfdMinor => userfaultfd_has(1 << 10),
        Feature::Sve => Tracee::new()?.register_set(NT_ARM_SVE, 16),
        Feature::PacKeys => Tracee::new()?.register_set(NT_ARM_PACA_KEYS, 64),
        Feature::Tpidr2 => Tracee::new()?.register_set(NT_ARM_SSVE, 16),
        Feature::CapCheckpointRestore => probe::capability(CAP_CHECKPOINT_RESTORE),
        Feature::UserNs => namespace::exists("user").and_then(|()| probe::prctl_mm_map()),
        Feature::CgroupNs => namespace::exists("cgroup"),
        Feature::TimeNs => namespace::exists("time_for_children"),
        Feature::ExternalNetNs => namespace::enter_network(),
        Feature::MoveMountSetGroup => mount::set_group(),
        Feature::OverlayfsMaps => mount::overlay_in_maps(),
        Feature::Autofs => mount::autofs(),
        Feature::ApparmorStacking => apparmor_stacking(),
        Feature::CompatCr => processor::memory_of_32_bits(),
        Feature::CanMapVdso => processor::map_vdso(),
        Feature::Breakpoints => processor::breakpoint(),
        network => of_network(network),
    }
}

/// The rest: sockets, devices and packet filters.
fn of_network(feature: Feature) -> io::Result<()> {
    match feature {
        Feature::SockDiag => network::sock_diag(),
        Feature::PeekOff => network::peek_offset(),
        Feature::TcpRepair => network::tcp_repair(),
        Feature::TcpRepairWindow => network::tcp_repair_window(),
        Feature::TcpHalfClosed => network::tcp_half_closed(),
        Feature::SkUnixFile => network::file_of_socket(),
        Feature::NetDiagRaw => network::raw_diag(),
        Feature::PacketDiag => network::packet_diag(),
        Feature::Mptcp => network::mptcp(),
        Feature::Ipv6Freebind => network::ipv6_freebind(),
        Feature::NewIfIndex => network::new_index(),
        Feature::Tun => network::tun(),
        Feature::TunNs => network::namespace_of_tun(),
        Feature::NsId => network::namespace_id(),
        Feature::LinkNsId => network::namespace_of_link(),
        Feature::Nftables => network::nftables(),
        Feature::IptLegacy => network::legacy_filters(),
        other => Err(missing(format!("{} has no probe", other.name()))),
    }
}

fn missing(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

/// Writes what is there already: anybody may open the file, the privilege is asked for by the write. A pid that was
/// given out in between is in use, which the kernel passes over when it looks for the next.
fn ns_last_pid() -> io::Result<()> {
    const PATH: &str = "/proc/sys/kernel/ns_last_pid";
    fs::write(PATH, fs::read(PATH)?)
}

/// Opens a mapped file of ours through its entry, as a dump does.
fn map_files() -> io::Result<()> {
    let entry = fs::read_dir("/proc/self/map_files")?.next();
    let entry = entry.ok_or_else(|| missing("/proc/self/map_files is empty"))??;
    File::open(entry.path()).map(drop)
}

fn has_field(path: &str, field: &str) -> io::Result<()> {
    if fs::read_to_string(path)?.lines().any(|line| line.starts_with(field)) {
        Ok(())
    } else {
        Err(missing(format!("{path} has no field {field}")))
    }
}

fn fdinfo(file: &File, field: &str) -> io::Result<()> {
    has_field(&format!("/proc/self/fdinfo/{}", file.as_raw_fd()), field)
}

/// A shared lock on a file of ours that nobody else locks.
fn fdinfo_lock() -> io::Result<()> {
    let file = tempfile::tempfile()?;
    probe::flock_shared(&file)?;
    fdinfo(&file, "lock:")
}

/// An epoll instance of ours watches a file of ours.
fn kcmp_epoll() -> io::Result<()> {
    let (epoll, file) = (Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, event::eventfd(0)?);
    epoll.add(&file, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    let number = file.as_raw_fd() as u32;
    let slot = EpollSlot { efd: epoll.0.as_raw_fd() as u32, tfd: number, toff: 0 };
    let own = std::process::id() as i32;
    match kcmp::kcmp_epoll((own, number), (own, slot))? {
        Ordering::Equal => Ok(()),
        order => Err(missing(format!("kcmp(2) says that it is another file: {order:?}"))),
    }
}

fn timerfd() -> io::Result<()> {
    let timer = File::from(event::timerfd(libc::CLOCK_MONOTONIC as u32)?);
    fdinfo(&timer, "clockid:")?;
    event::timerfd_set_ticks(timer.as_fd(), 1)
}

/// AppArmor can put one profile on top of another one, in the version that shows both.
fn apparmor_stacking() -> io::Result<()> {
    const DOMAIN: &str = "/sys/kernel/security/apparmor/features/domain";
    let stacks = fs::read_to_string(format!("{DOMAIN}/stack"))?;
    let version = fs::read_to_string(format!("{DOMAIN}/version"))?;
    let number = |at| version.trim().split('.').nth(at).and_then(|n: &str| n.parse().ok()).unwrap_or(0);
    match (stacks.trim(), number(0), number(1)) {
        ("yes", 1.., 2..) => Ok(()),
        (stacks, ..) => Err(missing(format!("stacking: {stacks}, version {}", version.trim()))),
    }
}

/// Some `UFFD_FEATURE_*`: the events of a program that was not written for userfaultfd (fork, remap, remove and unmap),
/// PAGEFAULT_FLAG_WP, MINOR_SHMEM.
fn userfaultfd_has(wanted: u64) -> io::Result<()> {
    let features = probe::userfaultfd()?;
    if features & wanted == wanted { Ok(()) } else { Err(missing(format!("it only has {features:#x}"))) }
}

/// The vdso, its data and the signal page of this process, in their order.
fn special_mappings() -> io::Result<Vec<Mapping>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let special =
        |line: &&str| ["[vvar]", "[vvar_vclock]", "[vdso]", "[sigpage]"].iter().any(|n| line.ends_with(n));
    let range = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        Some((start, usize::from_str_radix(end, 16).ok()?.checked_sub(start)?))
    };
    maps.lines().filter(special).map(|l| range(l).ok_or_else(|| missing(format!("odd line: {l}")))).collect()
}
