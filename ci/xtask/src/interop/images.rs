//! What every image directory has to pass: `crio image verify`, and CRIU's own decoder for each image in it.
//!
//! Debian's stable `crit` does, whose CRIU is older: fields that it does not know it leaves out. Its library is called,
//! as the program takes one image at a time and a tenth of a second for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Images without messages: pages, and files that were embedded.
const NO_MESSAGES: [&str; 2] = ["pages-", "embedded-"];

/// The interpreter of Debian's `crit`, and what it does with each image.
const PYTHON: &str = "/usr/bin/python3";
const DECODE: &str = "\
import sys, pycriu
for name in sys.argv[1:]:
    try:
        with open(name, 'rb') as image:
            pycriu.images.load(image, True)
    except Exception as error:
        sys.exit(f'{name}: {error!r}')
";

/// Inspects one directory; the error names the image.
pub(crate) fn inspect(engine: &Path, folder: &Path) -> Result<()> {
    succeed(Command::new(engine).args(["image", "verify"]).arg(folder))?;
    succeed(Command::new(PYTHON).args(["-c", DECODE]).args(images_of(folder)?))
}

fn images_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut images = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    images.retain(|path| holds_messages(path));
    images.sort();
    Ok(images)
}

fn holds_messages(image: &Path) -> bool {
    let name = image.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".img") && !NO_MESSAGES.iter().any(|raw| name.starts_with(raw))
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
    fn pages_and_logs_are_not_decoded() {
        let decoded = |name: &str| holds_messages(Path::new(name));
        assert!(decoded("core-17.img") && decoded("pagemap-shmem-4.img") && decoded("/images/files.img"));
        assert!(!decoded("pages-1.img") && !decoded("embedded-a.img") && !decoded("dump.log"));
    }
}
