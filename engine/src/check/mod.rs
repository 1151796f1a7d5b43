//! What this kernel can do: one [`Feature`], one probe each, one report.
//!
//! A probe does the thing itself, on something of ours, and looks at the answer; a kernel version is never compared,
//! because distributions carry features back and configurations leave them out. The names that CRIU's
//! `check --feature` knows are all here, and mean the same, since scripts and test lists use them.
//!
//! The categories are CRIU's. Required: without it no program can be dumped or restored. Extra: some programs need
//! it, and where there is another way, `fallback` says which. Optional is what CRIU answers by name only, and what only
//! some machines have: a whole check shows it and does not miss it.
//!
//! Nothing is remembered from one run to the next: a probe costs less than a file that may be out of date.
//!
//! Not here: system calls (`sys::probe`), and what the command prints at its end (`cli::check`).

mod feature;
mod probes;
mod report;
mod table;

pub use self::feature::{Category, Goal};
pub use self::report::{CheckReport, Finding};
pub use self::table::Feature;

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::error::{Blame, Error, Result};
use crate::options::CheckOptions;
use crate::parallel::{self, Queue};

/// Resolves a name.
///
/// # Errors
/// `E-USAGE`: no such feature.
pub fn find(name: &str) -> Result<Feature> {
    Feature::ALL.into_iter().find(|f| f.name() == name).ok_or_else(|| {
        Error::new("E-USAGE", Blame::Usage, format!("Unknown feature {name}"))
            .help("crio check --feature list prints the names")
    })
}

/// All names that [`find`] knows.
pub fn names() -> Vec<&'static str> {
    Feature::ALL.iter().map(|f| f.name()).collect()
}

/// Asks the kernel for one feature.
pub fn probe(feature: Feature) -> Finding {
    Finding { feature, answer: Answer::from(probes::run(feature)) }
}

/// Asks for what something in an image cannot be restored without; `reason` is that of the error.
///
/// # Errors
/// `E-KERNEL-FEATURE`: it is missing here, or denied.
pub fn require(feature: Feature, reason: &str) -> Result<()> {
    let finding = probe(feature);
    if finding.is_present() {
        return Ok(());
    }
    let error = Error::new("E-KERNEL-FEATURE", Blame::Kernel, reason);
    Err(error.detail(finding.explanation()).help(finding.remedy()))
}

/// Asks for all features of the categories that the options name; both together, which is `--all`, for all there are.
///
/// # Errors
/// `E-BUG`: a probe has panicked.
pub fn check(options: &CheckOptions) -> Result<CheckReport> {
    let wanted = |f: &Feature| match f.category() {
        Category::Required => true,
        Category::Extra => options.extra,
        Category::Experimental => options.experimental,
        Category::Optional => options.extra && options.experimental,
    };
    let features: Vec<Feature> = Feature::ALL.into_iter().filter(wanted).collect();
    Ok(CheckReport { findings: probe_all(&features)? })
}

/// Several at a time: some wait for the kernel to take namespaces and rings down, and none needs the processor for long.
fn probe_all(features: &[Feature]) -> Result<Vec<Finding>> {
    const AT_A_TIME: usize = 8;
    let (queue, findings) = (Queue::new(features), Mutex::new(Vec::new()));
    let work = || {
        queue.work(|index, feature| {
            let finding = probe(*feature);
            findings.lock().unwrap_or_else(PoisonError::into_inner).push((index, finding));
            Ok(())
        })
    };
    parallel::by_threads(AT_A_TIME.min(features.len()), &work)?;
    let mut findings = findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    findings.sort_by_key(|(index, _)| *index);
    Ok(findings.into_iter().map(|(_, finding)| finding).collect())
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
    fn every_row_of_the_table_is_whole() {
        let mut names = names();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        for feature in Feature::ALL {
            let entry = feature.entry();
            assert!(!entry.purpose.is_empty() && !entry.consequence.is_empty(), "{}", entry.name);
            assert!(Goal::ALL.contains(&feature.goal()), "{}", entry.name);
        }
        assert!(Feature::ALL.windows(2).all(|pair| pair[0].category() <= pair[1].category()));
    }

    #[test]
    fn a_whole_check_asks_for_everything_and_a_plain_one_for_what_is_required() {
        let of = |extra, experimental| CheckOptions { extra, experimental, ..CheckOptions::default() };
        assert_eq!(check(&of(true, true)).unwrap().findings.len(), Feature::ALL.len());
        let plain = check(&of(false, false)).unwrap();
        assert!(plain.findings.iter().all(|f| f.feature.category() == Category::Required));
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
            (Feature::UserNs, "CONFIG_USER_NS"),
            (Feature::TimeNs, "CONFIG_TIME_NS"),
            (Feature::CgroupNs, "CONFIG_CGROUPS"),
            (Feature::NsId, "CONFIG_NET_NS"),
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
            (Feature::UserfaultfdProtect, Feature::Userfaultfd),
            (Feature::UserfaultfdMinor, Feature::Userfaultfd),
            (Feature::SeccompFilters, Feature::PtraceSeize),
            (Feature::CompatCr, Feature::CanMapVdso),
            (Feature::TcpHalfClosed, Feature::TcpRepair),
        ] {
            assert!(!present(whole) || present(part), "{} without {}", whole.name(), part.name());
        }
    }

    #[test]
    fn what_is_required_and_missing_is_named_with_its_remedy() {
        for feature in Feature::ALL {
            let Err(error) = require(feature, "has something") else { continue };
            let text = error.to_string();
            assert!(!probe(feature).is_present() && error.code() == "E-KERNEL-FEATURE", "{text}");
            assert!(text.contains("has something") && text.contains(feature.name()), "{text}");
        }
        // No machine has both.
        assert!(require(Feature::Sve, "").is_err() || require(Feature::ThreadArea, "").is_err());
    }

    #[test]
    fn a_refused_probe_is_not_a_missing_feature() {
        let of = |errno| Answer::from(Err(io::Error::from_raw_os_error(errno)));
        assert!(matches!(of(libc::EPERM), Answer::Denied(_)));
        assert!(matches!(of(libc::ENOSYS), Answer::Missing(_)));
    }
}
