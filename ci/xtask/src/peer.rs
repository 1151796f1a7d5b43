//! The peer: Debian sid's criu, unpacked into a folder of its own with the libraries that it was built for.
//!
//! apt resolves and downloads it in a root of its own (crate `vm`), whose package database holds nothing, so that
//! every library comes with it, down to the C library.
//!
//! It starts through its own dynamic loader (ld.so(8), `--library-path`), as the machine's C library may be older.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use vm::apt::{self, Apt};

use crate::setup::{self, Need};
use crate::workspace;

/// The suite whose criu is the measure.
const SUITE: &str = "sid";

/// An unpacked criu.
pub(crate) struct Peer {
    folder: PathBuf,
}

impl Peer {
    /// The peer in `<target>/peer`, fetched when it is not there yet (some ten seconds).
    pub(crate) fn fetch() -> Result<Self> {
        let peer = Peer { folder: workspace::target()?.join("peer") };
        if peer.version().is_err() {
            peer.download().context("cannot get Debian sid's criu")?;
            println!("peer: {}", peer.version()?);
        }
        Ok(peer)
    }

    /// A program that starts the peer and takes its arguments.
    pub(crate) fn wrapper(&self) -> PathBuf {
        self.folder.join("criu")
    }

    /// What it takes to start the peer without a shell in between: its loader, the loader's arguments, itself.
    pub(crate) fn command(&self) -> Result<Vec<PathBuf>> {
        let libraries = self.libraries()?;
        let Some(loader) = find(&libraries, &|name| name.starts_with("ld-linux") || name == "ld.so.1") else {
            bail!("no dynamic loader in {}", libraries.display());
        };
        let root = self.folder.join("root");
        let Some(criu) = find(&root.join("usr/sbin"), &|name| name == "criu") else {
            bail!("no criu in {}", root.display());
        };
        Ok(vec![loader, PathBuf::from("--library-path"), libraries, criu])
    }

    /// What the peer says that it is, on one line.
    fn version(&self) -> Result<String> {
        let output = Command::new(self.wrapper()).arg("--version").stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot start {}", self.wrapper().display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match text.lines().next() {
            Some(line) if output.status.success() => Ok(line.to_owned()),
            _ => bail!("{} --version ended with {}", self.wrapper().display(), output.status),
        }
    }

    /// The folder of the C library, which is that of all the others (`usr/lib/<machine>`).
    fn libraries(&self) -> Result<PathBuf> {
        let libc = find(&self.folder.join("root"), &|name| name == "libc.so.6");
        libc.and_then(|libc| Some(libc.parent()?.to_owned())).context("the packages brought no C library")
    }

    fn download(&self) -> Result<()> {
        setup::ensure(&[Need::Dpkg])?;
        println!("peer: fetching Debian sid's criu into {}", self.folder.display());
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                bail!("{}: {error}", self.folder.display())
            }
            _ => {}
        }
        let apt = Apt::new(&self.folder.join("apt"), SUITE, None)?;
        apt.update()?;
        apt.download_with_dependencies(&["criu"])?;
        apt::unpack(&apt.packages()?, &self.folder.join("root"))?;
        self.write_wrapper()?;
        Ok(fs::remove_dir_all(apt.folder())?)
    }

    /// Written last: a peer without it was not completed.
    fn write_wrapper(&self) -> Result<()> {
        let words: Vec<String> = self.command()?.iter().map(|word| format!("'{}'", word.display())).collect();
        let partial = self.folder.join("criu.partial");
        fs::write(&partial, format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")))?;
        fs::set_permissions(&partial, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(fs::rename(&partial, self.wrapper())?)
    }
}

/// The first file below `folder` whose name `wanted` accepts.
fn find(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).ok()?.flatten() {
            let kind = entry.file_type().ok()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_str().is_some_and(wanted) {
                return Some(entry.path());
            }
        }
    }
    None
}
