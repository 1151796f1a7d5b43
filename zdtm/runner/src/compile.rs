//! C sources to one binary per test, in `target/zdtm/<machine>/`.
//!
//! A binary is built again when its source or anything in `zdtm/lib` is newer. The compiler is `$CC`, else `cc`; the
//! machine is what it says with -dumpmachine, so that a cross compiler gets a folder of its own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::catalogue::Test;

const FLAGS: [&str; 6] = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"];

/// Whether a program brings its C library along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linking {
    /// The machine's shared one.
    Dynamic,
    /// In the program.
    Static,
}

/// Where binaries come from.
#[derive(Debug)]
pub enum Compiler {
    /// A folder of binaries, built elsewhere.
    Prebuilt(PathBuf),
    /// A C compiler.
    Cc {
        /// Its name or path.
        cc: OsString,
        /// How it links.
        linking: Linking,
        /// Sources and headers that every test shares.
        library: PathBuf,
        /// Where the binaries go.
        output: PathBuf,
    },
}

impl Compiler {
    /// Uses `folder/<program>` as it is.
    pub(crate) fn prebuilt(folder: &Path) -> Result<Self> {
        let folder = folder
            .canonicalize()
            .with_context(|| format!("no folder of binaries at {}", folder.display()))?;
        Ok(Compiler::Prebuilt(folder))
    }

    /// Asks the C compiler for its machine and creates the folder for it.
    pub(crate) fn native(suite: &Path) -> Result<Self> {
        let cc = env::var_os("CC").unwrap_or_else(|| "cc".into());
        let answer = Command::new(&cc).arg("-dumpmachine").output().with_context(|| {
            format!("cannot run the C compiler {}; install gcc, or name one in CC", cc.display())
        })?;
        let machine = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        if machine.is_empty() {
            bail!("{} -dumpmachine says nothing", cc.display());
        }
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| suite.join("../target"), PathBuf::from);
        let output = target.join("zdtm").join(machine);
        Self::new(suite, cc, Linking::Dynamic, &output)
    }

    /// The C compiler `cc` with a folder for its binaries, which is created.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn new(suite: &Path, cc: OsString, linking: Linking, output: &Path) -> Result<Self> {
        fs::create_dir_all(output).with_context(|| format!("cannot create {}", output.display()))?;
        let output = output.canonicalize()?;
        Ok(Compiler::Cc { cc, linking, library: suite.join("lib"), output })
    }

    /// The path of the test's binary, which is up to date.
    ///
    /// # Errors
    /// When it does not compile; the compiler's messages.
    pub fn build(&self, test: &Test) -> Result<PathBuf> {
        let (cc, linking, library, output) = match self {
            Compiler::Prebuilt(folder) => return Ok(folder.join(&test.program)),
            Compiler::Cc { cc, linking, library, output } => (cc, *linking, library, output),
        };
        let shared = files_in(library)?;
        let binary = output.join(&test.program);
        let newest = newest(shared.iter().chain([&test.source]))?;
        if modified(&binary).is_ok_and(|built| built >= newest) {
            return Ok(binary);
        }
        // Another runner may be executing the old binary; it keeps its inode.
        let fresh = output.join(format!("{}.{}", test.program, std::process::id()));
        let mut command = Command::new(cc);
        command.args(FLAGS);
        if linking == Linking::Static {
            command.arg("-static");
        }
        command.arg("-I").arg(library).arg(&test.source);
        command.args(shared.iter().filter(|file| file.extension().is_some_and(|extension| extension == "c")));
        command.arg("-o").arg(&fresh).arg("-lm");
        let done = command.output().with_context(|| format!("cannot run {}", cc.display()))?;
        if !done.status.success() {
            bail!("step build: {}\n{}", done.status, String::from_utf8_lossy(&done.stderr));
        }
        fs::rename(&fresh, &binary).with_context(|| format!("cannot create {}", binary.display()))?;
        Ok(binary)
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

fn modified(file: &Path) -> Result<SystemTime> {
    let metadata = fs::metadata(file).with_context(|| format!("cannot stat {}", file.display()))?;
    Ok(metadata.modified()?)
}

fn newest<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for file in files {
        newest = newest.max(modified(file)?);
    }
    Ok(newest)
}
