//! `tests.yaml` and the sources that it describes.
//!
//! A test is listed once, by its name alone; its family is the folder where its source is. A source without an entry
//! and an entry without a source are errors, so that neither can be forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::visible::Section;

/// The environment in which a test is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// In the namespaces of the runner.
    Host,
    /// In new namespaces of every kind but user.
    Ns,
    /// As `Ns`, and in a new user namespace.
    Uns,
}

/// What `tests.yaml` says of one test.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The behaviour that must survive, in one line.
    pub survives: String,
    /// Features as `crio check --feature` names them, or `several_processors`.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Where it is started.
    #[serde(default = "host_only")]
    pub flavors: Vec<Flavor>,
    /// Options for dump and restore.
    #[serde(default)]
    pub options: Vec<String>,
    /// More arguments for the program, after `--pidfile` and `--outfile`.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// What the program itself changes while it waits, so that a difference in /proc says nothing.
    #[serde(default)]
    pub changes: Vec<Section>,
    /// Tests with the same word run one at a time: they need something that the machine has once.
    pub alone: Option<String>,
    /// The image directory may not be larger, in KiB.
    pub image_at_most_kib: Option<u64>,
    /// It verifies what a restore changes on purpose, so that it means nothing without one.
    #[serde(default)]
    pub needs_restore: bool,
    /// What the program uses and QEMU's user emulation lacks.
    pub not_emulated: Option<String>,
    /// What it lacks for programs of 32 bits.
    pub not_emulated_32: Option<String>,
}

fn host_only() -> Vec<Flavor> {
    vec![Flavor::Host]
}

/// One test: entry and source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Test {
    /// Name of the binary and of the entry.
    pub program: String,
    /// Name of the folder: task, memory, file, ...
    pub family: String,
    /// Path of the C file.
    pub source: PathBuf,
    /// What `tests.yaml` says of it.
    pub entry: Entry,
}

impl Test {
    /// `family/program`, the name that filters match.
    pub fn name(&self) -> String {
        format!("{}/{}", self.family, self.program)
    }
}

/// All tests below `suite`, in the order of their names.
///
/// # Errors
/// When catalogue and sources do not agree.
pub(crate) fn load(suite: &Path) -> Result<Vec<Test>> {
    let file = suite.join("tests.yaml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut entries: BTreeMap<String, Entry> = serde_yaml::from_str(&text)
        .with_context(|| format!("{} is not a valid catalogue", file.display()))?;
    let mut tests = Vec::new();
    for (family, program, source) in sources(suite)? {
        let Some(entry) = entries.remove(&program) else {
            bail!("{} has no entry in {}", source.display(), file.display());
        };
        if entry.survives.trim().is_empty() {
            bail!("{program} in {} does not say what survives", file.display());
        }
        tests.push(Test { program, family, source, entry });
    }
    if let Some(name) = entries.keys().next() {
        bail!("{} describes {name}, which has no source (or one in two families)", file.display());
    }
    Ok(tests)
}

/// (family, program, path) of every test source; `lib` is what they share, `runner` is this crate.
fn sources(suite: &Path) -> Result<Vec<(String, String, PathBuf)>> {
    let mut found = Vec::new();
    for family in entries_of(suite)? {
        let name = stem(&family);
        if !family.is_dir() || name == "lib" || name == "runner" {
            continue;
        }
        for source in entries_of(&family)? {
            if source.extension().is_some_and(|extension| extension == "c") {
                found.push((name.clone(), stem(&source), source));
            }
        }
    }
    Ok(found)
}

fn entries_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(catalogue: &str, sources: &[&str]) -> Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("tests.yaml"), catalogue)?;
        for family in ["task", "lib"] {
            fs::create_dir(folder.path().join(family))?;
        }
        for source in sources {
            fs::write(folder.path().join(source), "")?;
        }
        Ok(folder)
    }

    #[test]
    fn this_repository_agrees_with_itself() -> Result<()> {
        let tests = load(&crate::default_suite())?;
        assert!(tests.iter().any(|test| test.name() == "task/counter_static"));
        Ok(())
    }

    #[test]
    fn an_entry_has_a_source_and_a_family() -> Result<()> {
        let folder = suite("one:\n  survives: all\n", &["task/one.c", "lib/zdtm.c"])?;
        let tests = load(folder.path())?;
        assert_eq!(tests.len(), 1);
        assert_eq!(tests.first().map(Test::name).as_deref(), Some("task/one"));
        assert_eq!(tests.first().map(|test| test.entry.flavors.clone()), Some(vec![Flavor::Host]));
        Ok(())
    }

    #[test]
    fn nothing_is_forgotten() -> Result<()> {
        for (catalogue, sources, complaint) in [
            ("one:\n  survives: all\n", &["task/one.c", "task/two.c"][..], "has no entry"),
            ("one:\n  survives: all\n", &[][..], "has no source"),
            ("one:\n  survives: ''\n", &["task/one.c"][..], "does not say what survives"),
            ("one:\n  survives: all\n  kernel: 6.1\n", &["task/one.c"][..], "not a valid catalogue"),
        ] {
            let folder = suite(catalogue, sources)?;
            let error = load(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(complaint), "{catalogue:?}: {error}");
        }
        Ok(())
    }
}
