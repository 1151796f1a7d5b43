//! The programs that a guest has besides the tests: a shell and its friends, out of the machine's own packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::apt::{self, Apt};
use crate::matrix::{Machine, Userland};

/// Names under which a disk has busybox; those that tests and people at a guest use.
pub const APPLETS: [&str; 39] = [
    "awk", "cat", "chmod", "cp", "cut", "date", "dd", "dmesg", "echo", "env", "expr", "false", "find",
    "grep", "head", "id", "ip", "kill", "ln", "ls", "mkdir", "mount", "mv", "nc", "ps", "rm", "sed", "seq",
    "setsid", "sh", "sleep", "sort", "sync", "tail", "tar", "tr", "true", "unshare", "wc",
];

/// The folder below which the packages are unpacked, in `cache`; they are fetched when they are not there.
///
/// # Errors
/// When the suite does not have one of them for this machine.
pub fn fetch(cache: &Path, machine: &Machine, userland: &Userland) -> Result<PathBuf> {
    let folder = cache.join(format!("{}-{}", userland.suite, machine.debian));
    let marker = folder.join("packages.wanted");
    if fs::read_to_string(&marker).ok() != Some(userland.packages.join(" ")) {
        download(&folder, machine, userland)
            .with_context(|| format!("cannot get the programs of guests for {}", machine.name))?;
        fs::write(&marker, userland.packages.join(" "))?;
    }
    Ok(folder.join("root"))
}

fn download(folder: &Path, machine: &Machine, userland: &Userland) -> Result<()> {
    println!("vm: fetching {} for {}", userland.packages.join(", "), machine.name);
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let apt = Apt::new(&folder.join("apt"), &userland.suite, Some(&machine.debian))?;
    apt.update()?;
    let names: Vec<&str> = userland.packages.iter().map(String::as_str).collect();
    apt.download(&names, &folder.join("packages"))?;
    apt::unpack(&apt::package_files(&folder.join("packages"))?, &folder.join("root"))?;
    Ok(fs::remove_dir_all(apt.folder())?)
}
