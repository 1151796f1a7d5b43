//! A kernel with the modules that guests need, out of its package.
//!
//! Versions come and go on a mirror, so a suite and a flavour are resolved when they are fetched: the package
//! `linux-image-FLAVOUR` depends on the newest kernel in exactly one version. What was resolved is kept in a folder
//! named after package, version and checksum, and used from then on without asking the mirror.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::apt::{self, Apt, Package};
use crate::matrix::{Kernel, Machine};
use crate::modules::Lists;

/// A kernel on this machine's disk.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// What QEMU starts.
    pub image: PathBuf,
    /// Module files, unpacked, in the order of loading.
    pub modules: Vec<PathBuf>,
    /// Package and version.
    pub package: String,
    /// The text that it was configured with, if its package has it.
    pub config: Option<PathBuf>,
}

/// Gets the kernel into `cache`, unless it is there, with these modules and what they need.
///
/// # Errors
/// When the suite has no such kernel, or the kernel no such module.
pub fn fetch(cache: &Path, machine: &Machine, kernel: &Kernel, modules: &[String]) -> Result<Unpacked> {
    let about = format!("kernel {} for {}", kernel.name, machine.name);
    let record = cache.join(format!("{}-{}-{}", kernel.suite, kernel.flavour, machine.debian));
    let resolved = fs::read_to_string(&record).ok().map(|name| cache.join(name.trim()));
    let folder = match resolved.filter(|folder| folder.is_dir()) {
        Some(folder) => folder,
        None => download(cache, machine, kernel, &record).with_context(|| format!("cannot get {about}"))?,
    };
    unpacked(&folder, modules).with_context(|| format!("cannot unpack {about}"))
}

/// Downloads the packages of a kernel into a folder, and writes the folder's name into `record`.
fn download(cache: &Path, machine: &Machine, kernel: &Kernel, record: &Path) -> Result<PathBuf> {
    let lists = cache.join("apt").join(format!("{}-{}", kernel.suite, machine.debian));
    let apt = Apt::new(&lists, &kernel.suite, Some(&machine.debian))?;
    apt.update()?;
    let packages = resolve(&apt, &format!("linux-image-{}", kernel.flavour))?;
    let Some(image) = packages.iter().find(|package| package.name.starts_with("linux-image-")) else {
        bail!("linux-image-{} of {} depends on no kernel", kernel.flavour, kernel.suite);
    };
    let sum = image.sha256.get(..16).unwrap_or(&image.sha256);
    let name = format!("{}_{}_{}_{sum}", image.name, image.version.replace([':', '~'], "-"), machine.debian);
    println!("vm: {} {} is {}", machine.name, kernel.name, name);
    let names: Vec<String> = packages.iter().map(|one| format!("{}={}", one.name, one.version)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let folder = cache.join(&name);
    apt.download(&names, &folder)?;
    fs::write(record, name)?;
    // The lists are several times larger than the kernel.
    fs::remove_dir_all(&lists)?;
    Ok(folder)
}

/// The packages `linux-*` below `name` that are tied to it by their version, without `name` itself.
fn resolve(apt: &Apt, name: &str) -> Result<Vec<Package>> {
    let mut names = apt.show(name)?.exact;
    let mut found: Vec<Package> = Vec::new();
    while let Some(name) = names.pop() {
        if name.starts_with("linux-") && !found.iter().any(|package| package.name == name) {
            let package = apt.show(&name)?;
            names.extend(package.exact.iter().cloned());
            found.push(package);
        }
    }
    Ok(found)
}

/// The kernel and the modules of the packages in `folder`. Thousands of other modules are not kept; asking for more
/// modules unpacks the packages again.
fn unpacked(folder: &Path, modules: &[String]) -> Result<Unpacked> {
    let kept = folder.join("kept");
    let (marker, wanted) =
        (kept.join("modules.wanted"), format!("{} and its configuration", modules.join(" ")));
    if fs::read_to_string(&marker).ok().as_ref() != Some(&wanted) {
        let everything = tempfile::Builder::new().prefix("unpacked").tempdir_in(folder)?;
        apt::unpack(&apt::package_files(folder)?, everything.path())?;
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        fs::create_dir_all(kept.join("modules"))?;
        keep(everything.path(), &kept, modules)?;
        fs::write(&marker, wanted)?;
    }
    let package = folder.file_name().unwrap_or_default().to_string_lossy();
    let package = package.rsplitn(3, '_').last().unwrap_or_default().to_owned();
    let config = Some(kept.join("config")).filter(|file| file.is_file());
    Ok(Unpacked { image: kept.join("vmlinuz"), modules: files_in(&kept.join("modules"))?, package, config })
}

/// Copies the kernel and the wanted modules from the unpacked packages in `root`.
fn keep(root: &Path, kept: &Path, wanted: &[String]) -> Result<()> {
    // Newer suites have /lib as a link to /usr/lib, which is not part of any package.
    if !root.join("lib/modules").is_dir() {
        fs::create_dir_all(root.join("lib"))?;
        std::os::unix::fs::symlink("../usr/lib/modules", root.join("lib/modules"))?;
    }
    let versions = files_in(&root.join("lib/modules"))?;
    let Some(version) = versions.first() else { bail!("the package has no modules") };
    fs::copy(image_in(&[&root.join("boot"), version])?, kept.join("vmlinuz"))?;
    if let Some(config) = beginning_with("config", &[&root.join("boot"), version])? {
        fs::copy(config, kept.join("config"))?;
    }
    let mut depmod = Command::new("/sbin/depmod");
    depmod.arg("-b").arg(root).arg(version.file_name().unwrap_or_default());
    depmod.stdin(Stdio::null()).stderr(Stdio::null());
    if !depmod.status().context("cannot start depmod")?.success() {
        bail!("depmod finds no order of the modules");
    }
    let read =
        |file: &str| fs::read_to_string(version.join(file)).with_context(|| format!("cannot read {file}"));
    let lists = Lists {
        dep: read("modules.dep")?,
        builtin: read("modules.builtin")?,
        softdep: read("modules.softdep")?,
        alias: read("modules.alias")?,
    };
    let files = lists.in_order(wanted)?;
    for (at, file) in files.iter().enumerate() {
        let module = file.rsplit('/').next().unwrap_or(file);
        let plain = module.split_inclusive(".ko").next().unwrap_or(module);
        let bytes = decompressed(&version.join(file))?;
        fs::write(kept.join("modules").join(format!("{at:03}-{plain}")), bytes)?;
    }
    Ok(())
}

/// What QEMU starts. Packages had it in /boot, until Linux 7.2 of Debian moved it to its modules.
fn image_in(folders: &[&Path]) -> Result<PathBuf> {
    if let Some(image) = beginning_with("vmlinu", folders)? {
        return Ok(image);
    }
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    bail!("the package has no kernel in {}", folders.join(" or "))
}

/// The first file of that kind in the folders that there are.
fn beginning_with(start: &str, folders: &[&Path]) -> Result<Option<PathBuf>> {
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        let fits =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
        if let Some(file) = files_in(folder)?.into_iter().find(fits) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// The module itself: guests of kernels without MODULE_DECOMPRESS cannot unpack it.
fn decompressed(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(file).with_context(|| format!("cannot read {}", file.display())),
    };
    let output = Command::new(program).arg("-dc").arg(file).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} -dc {}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_found_in_boot_and_beside_its_modules() -> Result<()> {
        let root = tempfile::tempdir()?;
        let (boot, modules) = (root.path().join("boot"), root.path().join("lib/modules/7.2"));
        fs::create_dir_all(&modules)?;
        assert!(image_in(&[&boot, &modules]).is_err());
        fs::write(modules.join("vmlinuz"), "")?;
        assert_eq!(image_in(&[&boot, &modules])?, modules.join("vmlinuz"));
        fs::create_dir(&boot)?;
        fs::write(boot.join("System.map-6.1"), "")?;
        fs::write(boot.join("vmlinux-6.1"), "")?;
        assert_eq!(image_in(&[&boot, &modules])?, boot.join("vmlinux-6.1"));
        Ok(())
    }
}
