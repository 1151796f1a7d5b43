//! The peer: Debian sid's criu, unpacked into a folder of its own with the libraries that it was built for.
//!
//! apt resolves and downloads it in a root of its own (crate `vm`), whose package database holds nothing, so that
//! every library comes with it, down to the C library.
//!
//! It starts through its own dynamic loader (ld.so(8), `--library-path`), as the machine's C library may be older. Guests
//! get it in the same way ([`Peer::for_guests`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use vm::apt::{self, Apt};
use vm::image::Content;
use vm::matrix::Machine;

use crate::setup::{self, Need};
use crate::workspace;

/// The suite whose criu is the measure.
const SUITE: &str = "sid";

/// Where a guest has the unpacked packages, and the program that starts the peer.
const ROOT_OF_GUESTS: &str = "/peer";
pub(crate) const PEER_OF_GUESTS: &str = "/usr/sbin/criu";

/// An unpacked criu.
pub(crate) struct Peer {
    folder: PathBuf,
}

impl Peer {
    /// The peer in `<target>/peer`, fetched when it is not there yet (some ten seconds).
    pub(crate) fn fetch() -> Result<Self> {
        let peer = Peer { folder: workspace::target()?.join("peer") };
        if peer.version().is_err() {
            peer.download(None).context("cannot get Debian sid's criu")?;
            peer.write_wrapper(&peer.folder.join("root"))?;
            println!("peer: {}", peer.version()?);
        }
        Ok(peer)
    }

    /// What a guest of this machine takes to have the peer at [`PEER_OF_GUESTS`].
    pub(crate) fn for_guests(machine: &Machine) -> Result<[Content; 2]> {
        let peer = Peer { folder: workspace::target()?.join("vm/peer").join(&machine.debian) };
        if !peer.wrapper().exists() {
            let what = || format!("Debian sid has no criu for {} ({})", machine.name, machine.debian);
            peer.download(Some(&machine.debian)).with_context(what)?;
            peer.write_wrapper(Path::new(ROOT_OF_GUESTS))?;
        }
        let content = |from: PathBuf, to: &str| Content { from, to: PathBuf::from(to) };
        Ok([content(peer.root(), ROOT_OF_GUESTS), content(peer.wrapper(), PEER_OF_GUESTS)])
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
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
        let Some(criu) = find(&self.root().join("usr/sbin"), &|name| name == "criu") else {
            bail!("no criu in {}", self.root().display());
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
        let libc = find(&self.root(), &|name| name == "libc.so.6");
        libc.and_then(|libc| Some(libc.parent()?.to_owned())).context("the packages brought no C library")
    }

    /// For another architecture than this machine's, if one is named.
    fn download(&self, architecture: Option<&str>) -> Result<()> {
        setup::ensure(&[Need::Dpkg])?;
        println!("peer: fetching Debian sid's criu into {}", self.folder.display());
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                bail!("{}: {error}", self.folder.display())
            }
            _ => {}
        }
        let apt = Apt::new(&self.folder.join("apt"), SUITE, architecture)?;
        apt.update()?;
        apt.download_with_dependencies(&["criu"])?;
        apt::unpack(&apt.packages()?, &self.root())?;
        Ok(fs::remove_dir_all(apt.folder())?)
    }

    /// Written last: a peer without it was not completed. `root` is where the packages are for whoever runs it.
    fn write_wrapper(&self, root: &Path) -> Result<()> {
        let moved =
            |word: PathBuf| word.strip_prefix(self.root()).map_or(word.clone(), |below| root.join(below));
        let words = self.command()?.into_iter().map(moved);
        let words: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
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
