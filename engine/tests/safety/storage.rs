//! Directories that images cannot be written to.

use std::path::Path;
use std::process::Command;

use crate::command::{dump, run};
use crate::victim::Victim;

/// A small file system of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", options, "tmpfs"], dir.path());
        Disk(dir)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn mount(arguments: &[&str], dir: &Path) {
    assert!(Command::new("mount").args(arguments).arg(dir).status().unwrap().success());
}

/// Full before the first byte, within the small images, within the pages, and with no room for the last file.
#[test]
fn a_full_disk_is_an_error_that_says_so() {
    let mut victim = Victim::start("");
    let before = victim.look();
    for options in
        ["size=4k", "size=24k", "size=1m", "size=3m", "size=64m,nr_inodes=6", "size=64m,nr_inodes=18"]
    {
        let disk = Disk::new(options);
        let outcome = run(dump(victim.pid(), "", disk.0.path()));
        outcome.refused("E-DISK-FULL", options);
        assert!(!disk.0.path().join("inventory.img").exists(), "{options}");
        assert_eq!(victim.look(), before, "{options}");
        victim.check(options);
    }
}

#[test]
fn a_read_only_or_missing_directory_is_an_error_before_anything_is_frozen() {
    let mut victim = Victim::start("");
    let before = victim.look();
    let disk = Disk::new("size=64m");
    mount(&["-o", "remount,ro"], disk.0.path());
    let pid = victim.pid();
    let refused = |dir: &Path, code: &str| {
        let outcome = run(crate::command::with_fault(dump(pid, "", dir), "surveyed:kill"));
        outcome.refused(code, &dir.display().to_string());
        assert!(outcome.stderr.contains(&dir.display().to_string()), "{}", outcome.stderr);
    };
    refused(disk.0.path(), "E-READ-ONLY");
    refused(Path::new("/nonexistent/images"), "E-NOT-FOUND");
    let file = tempfile::NamedTempFile::new().unwrap();
    refused(file.path(), "E-SYSCALL");
    assert_eq!(victim.look(), before);
    victim.check("after all");
}

/// Images of an earlier dump must not be taken for the new one's.
#[test]
fn a_dump_that_fails_over_older_images_leaves_no_inventory() {
    let victim = Victim::start("alone");
    let images = tempfile::tempdir().unwrap();
    run(dump(victim.pid(), "--leave-running", images.path())).succeeded("the first dump");
    assert!(images.path().join("inventory.img").exists());
    let again = crate::command::with_fault(dump(victim.pid(), "", images.path()), "collected:kill");
    assert!(!run(again).status.success());
    assert!(!images.path().join("inventory.img").exists());
}
