//! What a guest is started from: a kernel, a first root with the modules that the disk takes, and the disk.
//!
//! The disk is ext4, made by mke2fs(8) from a folder. Of its features those are left out that want a checksum module
//! which ext4 asks for only at run time.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cpio::Archive;
use crate::kernel::Unpacked;
use crate::userland::APPLETS;

/// Room on the disk for what a guest writes.
const FREE: u64 = 256 << 20;

/// The files of a guest.
#[derive(Debug, Clone)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs.
    pub first_root: PathBuf,
    /// The disk with the root.
    pub disk: PathBuf,
}

/// A file of the disk.
#[derive(Debug, Clone)]
pub struct Content {
    /// Where it is on this machine; a folder is taken with everything below it.
    pub from: PathBuf,
    /// Absolute, in the guest.
    pub to: PathBuf,
}

/// Makes the first root and returns the image of this kernel with that disk.
///
/// # Errors
/// When a file cannot be read or written.
pub fn image(kernel: &Unpacked, runner: &Path, disk: &Path, folder: &Path) -> Result<Image> {
    let mut archive = Archive::default();
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    archive.console();
    archive.folder("modules");
    for module in &kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.file(&format!("modules/{name}"), &read(module)?);
    }
    archive.file("init", &read(runner)?);
    let first_root = folder.join(format!("{}.cpio", kernel.package));
    fs::write(&first_root, archive.finish())
        .with_context(|| format!("cannot write {}", first_root.display()))?;
    Ok(Image { kernel: kernel.image.clone(), first_root, disk: disk.to_owned() })
}

/// Makes a disk with these files, later ones over earlier ones, and the folders that an init mounts on.
///
/// # Errors
/// When a file is not there, or mke2fs(8) fails.
pub fn disk(contents: &[Content], file: &Path) -> Result<()> {
    let parent = file.parent().unwrap_or(Path::new("."));
    let root = tempfile::Builder::new().prefix("root").tempdir_in(parent)?;
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
    for name in ["dev", "proc", "sys", "run", "tmp", "root", "etc", "var/tmp"] {
        fs::create_dir_all(root.path().join(name))?;
    }
    fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.path().join("etc/group"), "root:x:0:\n")?;
    for Content { from, to } in contents {
        let to = root.path().join(to.strip_prefix("/").unwrap_or(to));
        place(from, &to).with_context(|| format!("cannot take {} into the guest", from.display()))?;
    }
    if root.path().join("bin/busybox").exists() {
        for applet in APPLETS {
            let link = root.path().join("bin").join(applet);
            if fs::symlink_metadata(&link).is_err() {
                std::os::unix::fs::symlink("busybox", link)?;
            }
        }
    }
    make_file_system(root.path(), file)
}

/// Copies a file or a folder; a link to the same inode where the file system allows.
fn place(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let kind = fs::symlink_metadata(from)?.file_type();
    // What came earlier gives way; it may be a link to a file of the cache, which must not be written into.
    if !kind.is_dir() && fs::symlink_metadata(to).is_ok() {
        fs::remove_file(to)?;
    }
    if kind.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            place(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
    } else if fs::hard_link(from, to).is_err() {
        fs::copy(from, to)?;
    }
    Ok(())
}

fn make_file_system(root: &Path, file: &Path) -> Result<()> {
    let size = size_of(root)? * 5 / 4 + FREE;
    let fresh = file.with_extension("partial");
    File::create(&fresh)?.set_len(size)?;
    let mut mke2fs = Command::new("/sbin/mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^has_journal,^orphan_file"]);
    mke2fs.args(["-E", "root_owner=0:0", "-d"]).arg(root).arg(&fresh);
    let output = mke2fs.stdin(Stdio::null()).output().context("cannot start mke2fs")?;
    if !output.status.success() {
        bail!("mke2fs cannot make {}: {}", file.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(fs::rename(&fresh, file)?)
}

fn size_of(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len().next_multiple_of(4096));
    }
    let mut size = 4096;
    for entry in fs::read_dir(path)? {
        size += size_of(&entry?.path())?;
    }
    Ok(size)
}
