//! A Debian package with the one program. It is statically linked, so that it depends on nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use vm::matrix::Machine;

use crate::workspace;

/// Makes the package in `folder`, and returns the name of its file.
pub(super) fn build(program: &Path, machine: &Machine, version: &str, folder: &Path) -> Result<String> {
    let root = tempfile::tempdir()?;
    let place = |path: &str| -> Result<_> {
        let file = root.path().join(path);
        fs::create_dir_all(file.parent().unwrap_or(root.path()))?;
        Ok(file)
    };
    // mkdtemp(3) keeps others out, and the packed folder is that of the system's root.
    fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755))?;
    let installed = place("usr/sbin/crio")?;
    fs::copy(program, &installed)?;
    fs::set_permissions(&installed, PermissionsExt::from_mode(0o755))?;
    fs::copy(workspace::root().join("LICENSE"), place("usr/share/doc/crio/copyright")?)?;
    let size = installed.metadata()?.len().div_ceil(1024);
    fs::write(place("DEBIAN/control")?, control(version, &machine.debian, size))?;
    let name = format!("crio_{version}_{}.deb", machine.debian);
    let mut pack = Command::new("dpkg-deb");
    pack.args(["--root-owner-group", "--build"]).arg(root.path()).arg(folder.join(&name));
    pack.stdin(Stdio::null()).stdout(Stdio::null());
    workspace::run(&mut pack).with_context(|| format!("cannot pack {name}"))?;
    Ok(name)
}

/// deb-control(5). The size is in KiB.
fn control(version: &str, architecture: &str, size: u64) -> String {
    format!(
        "Package: crio\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: the authors of crio <crio@localhost>\n\
         Installed-Size: {size}\nSection: admin\nPriority: optional\n\
         Description: checkpoint and restore for process trees\n \
         Freezes a running program with all its children and writes it to files, from which it is\n \
         restored later or elsewhere. Command line and files are those of criu.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file_has_fields_and_a_folded_description() {
        let text = control("1.2.3", "arm64", 2048);
        assert!(text.starts_with("Package: crio\nVersion: 1.2.3\nArchitecture: arm64\n"));
        let description = text.split_once("Description: ").unwrap().1;
        assert!(description.lines().skip(1).all(|line| line.starts_with(' ')), "{text}");
    }
}
