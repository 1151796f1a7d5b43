//! The peer: Debian sid's criu, unpacked into a folder of its own with the libraries that it was built for.
//!
//! apt resolves and downloads it in a private root: own sources, own lists, and a package database that holds nothing,
//! so that every library comes with it, down to the C library. The machine's packages are neither read nor changed.
//! Only the mirror is the machine's: whatever its own sources name (sources.list(5)).
//!
//! It starts through its own dynamic loader (ld.so(8), `--library-path`), as the machine's C library may be older.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup::{self, Need};
use crate::workspace;

/// The suite whose criu is the measure.
const SUITE: &str = "sid";

/// Where Debian keeps the keys that sign its suites.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
        let apt = PrivateApt::new(&self.folder.join("apt"))?;
        apt.run(&["update"])?;
        apt.run(&["install", "--download-only", "--no-install-recommends", "criu"])?;
        for package in apt.packages()? {
            workspace::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(self.folder.join("root")))?;
        }
        self.write_wrapper()?;
        Ok(fs::remove_dir_all(&apt.folder)?)
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

/// An apt root in a folder: `Dir::*` as in apt.conf(5).
struct PrivateApt {
    folder: PathBuf,
}

impl PrivateApt {
    fn new(folder: &Path) -> Result<Self> {
        for name in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(name)).with_context(|| folder.display().to_string())?;
        }
        let keys = if Path::new(KEYS).exists() { format!("Signed-By: {KEYS}\n") } else { String::new() };
        let mirror = mirror(Path::new("/etc/apt"))?;
        let sources = format!("Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\n{keys}");
        fs::write(folder.join("debian.sources"), sources)?;
        fs::write(folder.join("status"), "")?;
        Ok(PrivateApt { folder: folder.to_owned() })
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let mut apt = Command::new("apt-get");
        apt.args(["-q", "-y"]);
        for (option, name) in [
            ("Dir::Etc::sourcelist", "debian.sources"),
            ("Dir::Etc::sourceparts", "no-more-sources"),
            ("Dir::State", "."),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            apt.arg("-o").arg(format!("{option}={}", self.folder.join(name).display()));
        }
        // Suites age, descriptions and translations serve nobody here, and the folder may be closed to apt's own user.
        for option in
            ["Acquire::Check-Valid-Until=false", "Acquire::Languages=none", "APT::Sandbox::User=root"]
        {
            apt.args(["-o", option]);
        }
        let output = apt.args(arguments).stdin(Stdio::null()).output().context("cannot start apt-get")?;
        if !output.status.success() {
            bail!("{}\n{}", workspace::show(&apt), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn packages(&self) -> Result<Vec<PathBuf>> {
        let archives = self.folder.join("cache/archives");
        let entries = fs::read_dir(&archives).with_context(|| archives.display().to_string())?;
        let mut packages: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        packages.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
        Ok(packages)
    }
}

/// The Debian mirror that the machine's own sources name.
fn mirror(etc: &Path) -> Result<String> {
    let parts =
        fs::read_dir(etc.join("sources.list.d")).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in std::iter::once(etc.join("sources.list")).chain(parts) {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if let Some(found) = text.lines().filter_map(debian_uri).next() {
            return Ok(found);
        }
    }
    bail!(
        "{} names no Debian mirror, so this machine cannot fetch the peer; give --against PATH",
        etc.display()
    )
}

/// The URI of a one-line (`deb [options] URI suite components`) or deb822 (`URIs: URI`) source that ends in `/debian`;
/// others are security suites, other distributions or third parties.
fn debian_uri(line: &str) -> Option<String> {
    let line = line.trim();
    let words = line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb "))?;
    let uri = words.split_whitespace().find(|word| word.contains("://"))?;
    let uri = uri.trim_end_matches('/');
    uri.ends_with("/debian").then(|| uri.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_source_formats_name_the_mirror() {
        assert_eq!(
            debian_uri("URIs: http://mirror.test/debian"),
            Some("http://mirror.test/debian".to_owned())
        );
        let line = "deb [arch=amd64 signed-by=/k.gpg] https://mirror.test/debian/ sid main";
        assert_eq!(debian_uri(line), Some("https://mirror.test/debian".to_owned()));
    }

    #[test]
    fn other_sources_do_not() {
        for line in [
            "# deb http://mirror.test/debian sid main",
            "deb-src http://mirror.test/debian sid main",
            "URIs: http://mirror.test/debian-security",
            "deb http://mirror.test/ubuntu noble main",
            "Suites: sid",
        ] {
            assert_eq!(debian_uri(line), None, "{line}");
        }
    }
}
