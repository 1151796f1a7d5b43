//! Packages of one suite and architecture, by an apt root in a folder of its own: own sources, own lists, and a
//! package database that holds nothing. The machine's packages are neither read nor changed; only the mirror is the
//! machine's, whatever its own sources name (sources.list(5)).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Where Debian keeps the keys that sign its suites.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt root in a folder: `Dir::*` as in apt.conf(5).
pub struct Apt {
    folder: PathBuf,
    architecture: Option<String>,
}

/// One version of a package, as the lists describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Of its file, in hexadecimal digits.
    pub sha256: String,
    /// Packages that it depends on in exactly one version.
    pub exact: Vec<String>,
}

impl Apt {
    /// A root for `suite` in `folder`, for the packages of `architecture` or of this machine; without lists yet.
    ///
    /// # Errors
    /// When the folder cannot be written, or this machine has no mirror.
    pub fn new(folder: &Path, suite: &str, architecture: Option<&str>) -> Result<Self> {
        for name in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(name)).with_context(|| folder.display().to_string())?;
        }
        let keys = if Path::new(KEYS).exists() { format!("Signed-By: {KEYS}\n") } else { String::new() };
        let mirror = mirror(Path::new("/etc/apt"))?;
        let sources = format!("Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n{keys}");
        fs::write(folder.join("debian.sources"), sources)?;
        fs::write(folder.join("status"), "")?;
        Ok(Apt { folder: folder.to_owned(), architecture: architecture.map(str::to_owned) })
    }

    /// Gets the suite's lists.
    ///
    /// # Errors
    /// When the mirror does not give them.
    pub fn update(&self) -> Result<()> {
        self.run("apt-get", &["-q", "-y", "update"]).map(drop)
    }

    /// Downloads a package and all that it depends on, into [`Apt::packages`].
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn download_with_dependencies(&self, packages: &[&str]) -> Result<()> {
        let install = ["-q", "-y", "install", "--download-only", "--no-install-recommends"];
        self.run("apt-get", &[&install, packages].concat()).map(drop)
    }

    /// Downloads these packages alone, into `folder`.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn download(&self, packages: &[&str], folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut apt = self.command("apt-get");
        apt.args(["-q", "download"]).args(packages).current_dir(folder);
        finish(&mut apt).map(drop)
    }

    /// What the lists say of the newest version of a package.
    ///
    /// # Errors
    /// When the suite does not have it.
    pub fn show(&self, name: &str) -> Result<Package> {
        let output = self.run("apt-cache", &["show", "--no-all-versions", name])?;
        described(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("the lists of apt do not describe {name}"))
    }

    /// The files that [`Apt::download_with_dependencies`] brought.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn packages(&self) -> Result<Vec<PathBuf>> {
        package_files(&self.folder.join("cache/archives"))
    }

    /// The root's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn command(&self, program: &str) -> Command {
        let mut apt = Command::new(program);
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
        if let Some(architecture) = &self.architecture {
            apt.arg("-o").arg(format!("APT::Architecture={architecture}"));
            apt.arg("-o").arg(format!("APT::Architectures={architecture}"));
        }
        // Suites age, descriptions and translations serve nobody here, and the folder may be closed to apt's own user.
        for option in
            ["Acquire::Check-Valid-Until=false", "Acquire::Languages=none", "APT::Sandbox::User=root"]
        {
            apt.args(["-o", option]);
        }
        apt
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        finish(self.command(program).args(arguments))
    }
}

fn finish(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        bail!("{name} {}\n{}", words.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}

/// Unpacks package files below `root`.
///
/// # Errors
/// When one is not a package, or there is no room.
pub fn unpack(packages: &[PathBuf], root: &Path) -> Result<()> {
    for package in packages {
        finish(Command::new("dpkg-deb").arg("-x").arg(package).arg(root))?;
    }
    Ok(())
}

/// The package files in a folder, in the order of their names.
///
/// # Errors
/// When it cannot be read.
pub fn package_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut packages: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    packages.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    packages.sort();
    Ok(packages)
}

/// One stanza of a list (deb822(5)).
fn described(stanza: &str) -> Option<Package> {
    let field = |name: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    let version = field("Version")?;
    let wanted = format!("(= {version})");
    let depends = field("Depends").unwrap_or_default();
    let exact = depends.split(',').map(str::trim).filter_map(|word| word.strip_suffix(&wanted));
    let exact = exact.map(|name| name.trim().to_owned()).collect();
    Some(Package { name: field("Package")?, version, sha256: field("SHA256")?, exact })
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
    bail!("{} names no Debian mirror, so this machine cannot fetch packages from one", etc.display())
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

    #[test]
    fn a_stanza_names_the_packages_of_the_same_version() {
        let stanza = "Package: linux-image-arm64\nVersion: 7.2.13-1\nDepends: linux-base (>= 4), \
                      linux-base-arm64 (= 7.2.13-1), linux-image-7.2.13+deb14-arm64 (= 7.2.13-1)\nSHA256: 00ff\n";
        let package = described(stanza).unwrap();
        assert_eq!(package.exact, ["linux-base-arm64", "linux-image-7.2.13+deb14-arm64"]);
        assert_eq!((package.version.as_str(), package.sha256.as_str()), ("7.2.13-1", "00ff"));
        assert_eq!(described("Package: a\n"), None);
    }
}
