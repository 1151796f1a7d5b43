//! The table of state in the engine against the rest of the tree: the README shows it, tests and files exist.

use std::path::Path;

use anyhow::{Context, Result};
use engine::resource::state::{Class, FAMILIES, markdown};

use super::rules::{File, c_test_name};

const BEGIN: &str = "<!-- state:begin -->\n";
const END: &str = "<!-- state:end -->";

/// What does not agree, one line each.
pub(super) fn findings(files: &[File]) -> Vec<String> {
    let readme = files.iter().find(|file| file.path == "README.md").map_or("", |file| file.text.as_str());
    let mut found = Vec::new();
    match updated(readme) {
        Some(text) if text == readme => {}
        Some(_) => found.push("README.md: shows another table of state: cargo xtask check --fix".to_owned()),
        None => found.push(format!("README.md: lacks {} or {END}", BEGIN.trim_end())),
    }
    let has = |path: &str| files.iter().any(|file| file.path == path);
    let states = FAMILIES.iter().flat_map(|family| family.states);
    for state in states {
        let what = state.what;
        match state.class {
            Class::Kept { by, test } => {
                if !has(&format!("engine/src/resource/{by}")) {
                    found.push(format!("state.rs: `{what}` names {by}, which does not exist"));
                }
                if !files.iter().any(|file| c_test_name(&file.path) == Some(test)) {
                    found.push(format!("state.rs: `{what}` names the test {test}, which does not exist"));
                }
            }
            Class::Refused { code } => {
                let quoted = format!("\"{code}\"");
                let source = |file: &&File| {
                    let engine = file.path.starts_with("engine/src/") || file.path.starts_with("arch/src/");
                    engine && !file.path.ends_with("resource/state.rs")
                };
                if !files.iter().filter(source).any(|file| file.text.contains(&quoted)) {
                    found.push(format!("state.rs: `{what}` names {code}, which nothing refuses with"));
                }
                if !files.iter().any(|file| test_code(file).contains(&quoted)) {
                    found.push(format!("state.rs: `{what}` names {code}, which no test expects"));
                }
            }
            Class::NotKept { .. } => {}
        }
    }
    found
}

/// The part of a Rust file that is tests: all of it in a folder of these or by its name, else what comes last.
fn test_code(file: &File) -> &str {
    if !file.path.ends_with(".rs") || file.path.starts_with("ci/") {
        return "";
    }
    let is_tests = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let start = if is_tests { Some(0) } else { file.text.find("#[cfg(test)]") };
    start.and_then(|start| file.text.get(start..)).unwrap_or_default()
}

/// Writes the table into the README of the workspace.
pub(super) fn fix(root: &Path) -> Result<()> {
    let path = root.join("README.md");
    let readme = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = updated(&readme).with_context(|| format!("{} has no place for the table", path.display()))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The README with the table between its marks; none if it lacks them.
fn updated(readme: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{}{END}{after}", markdown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_table_is_found_and_mended() {
        let old = format!("# x\n{BEGIN}| old |\n{END}\nrest\n");
        let files = [File { path: "README.md".to_owned(), text: old.clone() }];
        assert!(findings(&files).iter().any(|line| line.contains("check --fix")));
        let mended = updated(&old).unwrap();
        assert!(mended.ends_with("rest\n") && mended.contains("| processes |"));
        assert_eq!(updated(&mended), Some(mended));
        assert_eq!(updated("no marks"), None);
    }

    #[test]
    fn a_claim_without_test_file_or_refusal_is_found() {
        let lines = findings(&[]).join("\n");
        for complaint in [
            "names the test affinity",
            "names task/signals.rs",
            "E-CPU-AMX, which nothing refuses",
            "E-CPU-AMX, which no test",
        ] {
            assert!(lines.contains(complaint), "{complaint}");
        }
    }
}
