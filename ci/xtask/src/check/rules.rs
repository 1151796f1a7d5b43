//! The rules of the tree that no lint knows: names at the top, machines, lengths, leftovers, hosts, C tests.
//!
//! A rule is a function from the project's text files to findings, one line each, `path:line: what is wrong`.
//! The words that a rule looks for are spelled in two pieces here, so that this file does not break them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::state;
use crate::workspace;

/// The only visible names at the top of the workspace. A new one changes the architecture, and the README's map.
const TOP: [&str; 9] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "arch", "ci", "containers", "engine", "zdtm"];

/// The only file that may ask which machine it is compiled for; everything else asks the crate `arch`.
const MACHINES: &str = "arch/src/lib.rs";

/// Past this many lines a Rust file becomes a folder.
const LONGEST: usize = 600;

/// What was put off, or switched off.
const LEFTOVERS: [&str; 5] = [
    concat!("#[ig", "nore"),
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
];

/// Hosts of package registries: which one a machine uses is its own configuration.
const HOSTS: [&str; 10] = [
    concat!("crates", ".io"),
    concat!("deb.de", "bian.org"),
    concat!("security.de", "bian.org"),
    concat!("archive.ub", "untu.com"),
    concat!("ports.ub", "untu.com"),
    concat!("py", "pi.org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js.org"),
    concat!("ruby", "gems.org"),
    concat!("proxy.go", "lang.org"),
];

/// A text file of the project: its path from the top, with `/`, and its text.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    fn is(&self, extensions: &[&str]) -> bool {
        let extension = Path::new(&self.path).extension().unwrap_or_default();
        extensions.iter().any(|one| extension == *one)
    }

    /// One finding per line that holds one of `words`.
    fn lines_with(&self, words: &[&str], complaint: &str) -> Vec<String> {
        let numbered = self.text.lines().enumerate();
        let found = numbered.filter_map(|(at, line)| {
            let word = words.iter().find(|word| line.contains(**word))?;
            Some(format!("{}:{}: `{word}` {complaint}", self.path, at + 1))
        });
        found.collect()
    }
}

/// Prints what breaks a rule, and returns it.
pub(crate) fn broken() -> Result<Vec<String>> {
    let files = project_files(workspace::root())?;
    let findings = [findings(&files)?, state::findings(&files)].concat();
    for finding in &findings {
        println!("{finding}");
    }
    Ok(findings)
}

fn findings(files: &[File]) -> Result<Vec<String>> {
    Ok([top(files), machines(files), lengths(files), leftovers(files), hosts(files), c_tests(files)?]
        .concat())
}

/// The text files that git tracks or would track, so that build products and ignored files are out of the way.
fn project_files(top: &Path) -> Result<Vec<File>> {
    let mut git = Command::new("git");
    // A clone made by another user is as good as ours for listing its names.
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.current_dir(top).stdin(Stdio::null()).output().context("cannot start git")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut files = Vec::new();
    for path in names.split_terminator('\0') {
        // A file deleted but not yet committed is still listed; a binary file has no lines to judge.
        if let Ok(text) = fs::read_to_string(top.join(path)) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn top(files: &[File]) -> Vec<String> {
    let visible: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.split('/').next())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let expected = BTreeSet::from(TOP);
    let extra = visible.difference(&expected).map(|name| format!("{name}: not one of the names at the top"));
    let missing = expected.difference(&visible).map(|name| format!("{name}: missing at the top"));
    extra.chain(missing).collect()
}

fn machines(files: &[File]) -> Vec<String> {
    let judged = files.iter().filter(|file| file.is(&["rs", "toml"]) && file.path != MACHINES);
    judged
        .flat_map(|file| file.lines_with(&[concat!("target", "_arch")], "belongs in arch/src/lib.rs alone"))
        .collect()
}

fn lengths(files: &[File]) -> Vec<String> {
    let long = files.iter().filter(|file| file.is(&["rs"])).filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LONGEST)
            .then(|| format!("{}: {lines} lines, more than {LONGEST}: make it a folder", file.path))
    });
    long.collect()
}

fn leftovers(files: &[File]) -> Vec<String> {
    let judged = files.iter().filter(|file| file.is(&["rs", "c", "h", "S", "yaml", "yml", "sh", "py"]));
    judged.flat_map(|file| file.lines_with(&LEFTOVERS, "was left behind")).collect()
}

fn hosts(files: &[File]) -> Vec<String> {
    // Cargo writes the source of each package into its lock file, in a form of its own.
    let judged = files.iter().filter(|file| file.path != "Cargo.lock");
    judged.flat_map(|file| file.lines_with(&HOSTS, "names a package registry's host")).collect()
}

/// Every `zdtm/<family>/<name>.c` has an entry `<name>` in tests.yaml, and every entry its program.
fn c_tests(files: &[File]) -> Result<Vec<String>> {
    let programs: BTreeMap<&str, &File> =
        files.iter().filter_map(|file| Some((c_test_name(&file.path)?, file))).collect();
    let mut entries = BTreeSet::new();
    if let Some(metadata) = files.iter().find(|file| file.path == "zdtm/tests.yaml") {
        let tests: serde_yaml::Mapping = serde_yaml::from_str(&metadata.text).context("zdtm/tests.yaml")?;
        entries.extend(tests.keys().filter_map(|key| key.as_str().map(str::to_owned)));
    }
    let unlisted = programs.iter().filter(|(name, _)| !entries.contains(**name));
    let unlisted =
        unlisted.map(|(name, file)| format!("{}: no entry `{name}` in zdtm/tests.yaml", file.path));
    let orphans = entries.iter().filter(|name| !programs.contains_key(name.as_str()));
    Ok(unlisted.chain(orphans.map(|name| format!("zdtm/tests.yaml: `{name}` has no program"))).collect())
}

/// `session` for `zdtm/task/session.c`; none for the library, the runner and other files.
pub(super) fn c_test_name(path: &str) -> Option<&str> {
    let (family, name) = path.strip_prefix("zdtm/")?.strip_suffix(".c")?.split_once('/')?;
    (!["lib", "runner"].contains(&family)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    fn sound() -> Vec<File> {
        let mut files: Vec<File> =
            TOP.iter().filter(|name| name.contains(char::is_uppercase)).map(|name| file(name, "")).collect();
        files.push(file("arch/src/lib.rs", concat!("#[cfg(target", "_arch = \"x86_64\")]\n")));
        files.push(file("ci/xtask/src/main.rs", "fn main() {}\n"));
        files.push(file("engine/src/lib.rs", "//! The engine.\n"));
        files.push(file("containers/images/crio.Containerfile", "FROM scratch\n"));
        files.push(file("zdtm/task/session.c", "int main(void) { return 0; }\n"));
        files.push(file("zdtm/lib/zdtm.c", "void ready(void) {}\n"));
        files.push(file("zdtm/tests.yaml", "session:\n  survives: the session\n"));
        files
    }

    /// The findings about a sound tree with one more file, or with a file of that name replaced.
    fn with(path: &str, text: &str) -> Vec<String> {
        let mut files = sound();
        files.retain(|file| file.path != path);
        files.push(file(path, text));
        findings(&files).unwrap()
    }

    #[test]
    fn a_sound_tree_breaks_nothing() {
        assert_eq!(findings(&sound()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_new_or_missing_name_at_the_top_is_found() {
        assert_eq!(with("docs/design.md", ""), ["docs: not one of the names at the top"]);
        let files: Vec<File> = sound().into_iter().filter(|file| file.path != "LICENSE").collect();
        assert_eq!(findings(&files).unwrap(), ["LICENSE: missing at the top"]);
    }

    #[test]
    fn a_machine_outside_arch_is_found() {
        let found = with("engine/src/dump.rs", concat!("\n#[cfg(target", "_arch = \"arm\")]\n"));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("engine/src/dump.rs:2: "), "{found:?}");
    }

    #[test]
    fn the_line_past_the_limit_is_found() {
        assert!(with("engine/src/dump.rs", &"\n".repeat(LONGEST)).is_empty());
        assert_eq!(with("engine/src/dump.rs", &"\n".repeat(LONGEST + 1)).len(), 1);
    }

    #[test]
    fn leftovers_and_hosts_are_found() {
        for word in LEFTOVERS {
            assert_eq!(with("engine/src/dump.rs", &format!("// {word}")).len(), 1, "{word}");
        }
        for host in HOSTS {
            assert_eq!(with("README.md", &format!("see https://{host}/x")).len(), 1, "{host}");
            assert!(with("Cargo.lock", host).is_empty());
        }
    }

    #[test]
    fn programs_and_entries_that_do_not_match_are_found() {
        assert_eq!(with("zdtm/file/pipe.c", ""), ["zdtm/file/pipe.c: no entry `pipe` in zdtm/tests.yaml"]);
        assert_eq!(
            with("zdtm/tests.yaml", "session: {}\nheap: {}\n"),
            ["zdtm/tests.yaml: `heap` has no program"]
        );
    }
}
