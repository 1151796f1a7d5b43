//! What this kernel can do: one [`Feature`], one probe each, one report.
//!
//! A probe does the thing itself, on something of ours, and looks at the answer; a kernel version is never compared,
//! because distributions carry features back and configurations leave them out. The names that CRIU's
//! `check --feature` knows are kept, since scripts and test lists use them; [`find`] knows all 45, also those whose
//! probe comes with the resource that needs it.
//!
//! The categories are CRIU's. Required: without it no program can be dumped or restored. Extra: some programs need
//! it, and where there is another way, `fallback` says which. Processor is ours: registers that only some machines have,
//! whose absence is no fault of the kernel; tests name them.
//!
//! Not here: system calls (`sys::probe`), and what the command prints at its end (`cli::check`).

mod feature;
mod probes;
mod report;

pub use self::feature::{Category, Feature};
pub use self::report::{CheckReport, Finding};

use std::io;

use crate::error::{Blame, Error, Result};
use crate::options::CheckOptions;

/// What a name on the command line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A feature with a probe.
    Probed(Feature),
    /// A feature of CRIU's list without a probe so far; what it belongs to.
    Later(&'static str),
}

/// CRIU's features that have no probe yet, and what brings it.
const LATER: [(&str, &str); 22] = [
    ("tun", "it belongs to network devices"),
    ("tun_ns", "it belongs to network devices"),
    ("userns", "it belongs to namespaces"),
    ("cgroupns", "it belongs to namespaces"),
    ("timens", "it belongs to namespaces"),
    ("nsid", "it belongs to network namespaces"),
    ("link_nsid", "it belongs to network namespaces"),
    ("external_net_ns", "it belongs to network namespaces"),
    ("newifindex", "it belongs to network namespaces"),
    ("autofs", "it belongs to mounts"),
    ("move_mount_set_group", "it belongs to mounts"),
    ("overlayfs_maps", "it belongs to mounts"),
    ("tcp_half_closed", "it belongs to sockets"),
    ("sk_unix_file", "it belongs to sockets"),
    ("net_diag_raw", "it belongs to sockets"),
    ("ipv6_freebind", "it belongs to sockets"),
    ("nftables", "it belongs to sockets"),
    ("has_ipt_legacy", "it belongs to sockets"),
    ("apparmor_stacking", "it belongs to security labels"),
    ("compat_cr", "it belongs to 32-bit programs"),
    ("can_map_vdso", "the engine moves the vdso and never maps another"),
    ("breakpoints", "nothing here uses hardware breakpoints"),
];

/// Resolves a name.
///
/// # Errors
/// `E-USAGE`: no such feature.
pub fn find(name: &str) -> Result<Named> {
    if let Some(feature) = Feature::ALL.into_iter().find(|f| f.name() == name) {
        return Ok(Named::Probed(feature));
    }
    match LATER.iter().find(|(later, _)| *later == name) {
        Some((_, why)) => Ok(Named::Later(why)),
        None => Err(Error::new("E-USAGE", Blame::Usage, format!("Unknown feature {name}"))
            .help("crio check --feature list prints the names")),
    }
}

/// All names that [`find`] knows.
pub fn names() -> Vec<&'static str> {
    Feature::ALL.iter().map(|f| f.name()).chain(LATER.iter().map(|(name, _)| *name)).collect()
}

/// Asks the kernel for one feature.
pub fn probe(feature: Feature) -> Finding {
    Finding { feature, answer: Answer::from(probes::run(feature)) }
}

/// Asks for all features of the categories that the options name.
pub fn check(options: &CheckOptions) -> CheckReport {
    let wanted = |f: &Feature| match f.category() {
        Category::Required => true,
        Category::Extra => options.extra,
        Category::Experimental => options.experimental,
        Category::Processor => false,
    };
    CheckReport { findings: Feature::ALL.into_iter().filter(wanted).map(probe).collect() }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It works.
    Present,
    /// The kernel does not have it; what was seen.
    Missing(String),
    /// The kernel may have it but refuses it to us; what was seen.
    Denied(String),
}

impl From<io::Result<()>> for Answer {
    fn from(result: io::Result<()>) -> Self {
        match result {
            Ok(()) => Answer::Present,
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Answer::Denied(e.to_string()),
            Err(e) => Answer::Missing(e.to_string()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// `criu check --feature list` of 4.2, criu/cr-check.c.
    const OF_CRIU: &str = "mnt_id mem_dirty_track aio_remap timerfd tun tun_ns userns fdinfo_lock seccomp_suspend \
        seccomp_filters loginuid cgroupns autofs tcp_half_closed compat_cr uffd uffd-noncoop can_map_vdso sk_ns \
        sk_unix_file net_diag_raw nsid link_nsid kcmp_epoll timens external_net_ns clone3_set_tid newifindex nftables \
        has_ipt_legacy pidfd_store ns_pid apparmor_stacking network_lock_nftables sockopt_buf_lock memfd_hugetlb \
        move_mount_set_group openat2 get_rseq_conf ipv6_freebind pagemap_scan timer_cr_ids overlayfs_maps breakpoints \
        pagemap_scan_guard_pages";

    #[test]
    fn every_feature_of_criu_is_known() {
        let unknown: Vec<&str> = OF_CRIU.split_whitespace().filter(|n| find(n).is_err()).collect();
        assert_eq!((unknown, OF_CRIU.split_whitespace().count()), (vec![], 45));
        assert!(find("nonsense").is_err());
    }

    #[test]
    fn names_are_unique_and_each_later_one_is_crius() {
        let mut names = names();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(LATER.iter().all(|(name, _)| OF_CRIU.split_whitespace().any(|n| n == *name)));
    }

    /// Compares probes with the configuration of the kernel that runs the test.
    #[test]
    fn probes_agree_with_the_kernels_configuration() {
        let config = configuration();
        for (feature, option) in [
            (Feature::SoftDirty, "CONFIG_MEM_SOFT_DIRTY"),
            (Feature::AnonVmaName, "CONFIG_ANON_VMA_NAME"),
            (Feature::Userfaultfd, "CONFIG_USERFAULTFD"),
            (Feature::Kcmp, "CONFIG_KCMP"),
            (Feature::GetRseqConf, "CONFIG_RSEQ"),
            (Feature::PrctlMmMap, "CONFIG_CHECKPOINT_RESTORE"),
        ] {
            let finding = probe(feature);
            // An option that is not mentioned is one that this kernel does not have yet.
            let on = config.lines().any(|l| l == format!("{option}=y"));
            if !config.is_empty() && !matches!(finding.answer, Answer::Denied(_)) {
                assert_eq!(finding.is_present(), on, "{option}: {}", finding.explanation());
            }
        }
    }

    /// Empty if the kernel shows its configuration nowhere.
    fn configuration() -> String {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        std::fs::read_to_string(format!("/boot/config-{}", release.trim())).unwrap_or_else(|_| {
            let output = std::process::Command::new("gzip").args(["-dc", "/proc/config.gz"]).output();
            output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
        })
    }

    #[test]
    fn what_stands_on_a_feature_is_not_there_without_it() {
        let present = |f| probe(f).is_present();
        for (whole, part) in [
            (Feature::PagemapScanGuard, Feature::PagemapScan),
            (Feature::PagemapScanGuard, Feature::MadvGuard),
            (Feature::UserfaultfdNoncoop, Feature::Userfaultfd),
            (Feature::SeccompFilters, Feature::PtraceSeize),
        ] {
            assert!(!present(whole) || present(part), "{} without {}", whole.name(), part.name());
        }
    }

    #[test]
    fn a_refused_probe_is_not_a_missing_feature() {
        let of = |errno| Answer::from(Err(io::Error::from_raw_os_error(errno)));
        assert!(matches!(of(libc::EPERM), Answer::Denied(_)));
        assert!(matches!(of(libc::ENOSYS), Answer::Missing(_)));
    }
}
