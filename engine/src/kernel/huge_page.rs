//! Transparent huge pages: Documentation/admin-guide/mm/transhuge.rst.

use std::fs;

const FOLDER: &str = "/sys/kernel/mm/transparent_hugepage";

/// Whether memory gets huge pages without asking for them.
pub fn by_default() -> bool {
    fs::read_to_string(format!("{FOLDER}/enabled")).is_ok_and(|enabled| enabled.contains("[always]"))
}

/// Bytes of a huge page; `None` where the kernel has none or was told never to use them.
pub fn size() -> Option<u64> {
    let enabled = fs::read_to_string(format!("{FOLDER}/enabled")).ok()?;
    if enabled.contains("[never]") {
        return None;
    }
    let size: u64 = fs::read_to_string(format!("{FOLDER}/hpage_pmd_size")).ok()?.trim().parse().ok()?;
    size.is_power_of_two().then_some(size)
}
