//! What every image directory has to pass: `crio image verify`, and CRIU's own decoder for each kind of image in it.
//!
//! Debian's stable `crit` does, whose CRIU is older: fields that it does not know it leaves out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Images without messages: pages, and files that were embedded.
const NO_MESSAGES: [&str; 2] = ["pages-", "embedded-"];

/// Inspects one directory; the error names the image.
pub(crate) fn inspect(engine: &Path, folder: &Path) -> Result<()> {
    succeed(Command::new(engine).args(["image", "verify"]).arg(folder))?;
    for image in one_of_each_kind(folder)? {
        succeed(Command::new("crit").args(["decode", "-i"]).arg(image))?;
    }
    Ok(())
}

/// An image of each kind: a tree of 200 tasks has as many of the same, and the decoder is slow.
fn one_of_each_kind(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut images = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    images.sort();
    let mut seen = BTreeSet::new();
    images.retain(|path| kind(path).is_some_and(|kind| seen.insert(kind)));
    Ok(images)
}

/// The name without the id: `core` of `core-17.img`; `None` for what is not made of messages.
fn kind(image: &Path) -> Option<String> {
    let stem = image.file_name()?.to_str()?.strip_suffix(".img")?;
    let kind = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    NO_MESSAGES.iter().all(|raw| !stem.starts_with(raw)).then(|| kind.trim_end_matches('-').to_owned())
}

fn succeed(command: &mut Command) -> Result<()> {
    let name = crate::workspace::show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("{name} ended with {}\n{}{}", output.status, said.trim(), complained.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_differ_in_kind_not_in_id() {
        let kind = |name: &str| kind(Path::new(name));
        assert_eq!(kind("core-17.img"), kind("core-18.img"));
        assert_eq!(kind("pagemap-shmem-4.img").as_deref(), Some("pagemap-shmem"));
        assert_eq!(kind("files.img").as_deref(), Some("files"));
        assert_eq!((kind("pages-1.img"), kind("dump.log"), kind("stats-dump")), (None, None, None));
    }
}
