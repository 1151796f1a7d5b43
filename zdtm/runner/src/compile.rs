//! C sources to one binary per test, in `target/zdtm/<machine>/`.
//!
//! A binary is built again when its source or anything in `zdtm/lib` is newer; what is in there is compiled once. The compiler is `$CC`, else `cc`; the
//! machine is what it says with -dumpmachine, so that a cross compiler gets a folder of its own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};

use crate::catalogue::Test;

/// Offsets have 64 bits on every machine, as in any program of today.
const FLAGS: [&str; 7] = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-D_FILE_OFFSET_BITS=64"];

/// A program that is kept: small, and without a word about the machine that has compiled it.
const COMPACT: [&str; 4] = ["-Os", "-ffunction-sections", "-Wl,--gc-sections", "-s"];

/// Whether a program brings its C library along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linking {
    /// The machine's shared one.
    Dynamic,
    /// In the program.
    Static,
    /// In the program, which is as small as can be.
    Compact,
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
        /// What `library` compiles to, made once per run; or the compiler's messages.
        objects: OnceLock<std::result::Result<Vec<PathBuf>, String>>,
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
        Ok(Compiler::Cc { cc, linking, library: suite.join("lib"), output, objects: OnceLock::new() })
    }

    /// The path of the test's binary, which is up to date.
    ///
    /// # Errors
    /// When it does not compile; the compiler's messages.
    pub fn build(&self, test: &Test) -> Result<PathBuf> {
        let (cc, linking, library, output, objects) = match self {
            Compiler::Prebuilt(folder) => return Ok(folder.join(&test.program)),
            Compiler::Cc { cc, linking, library, output, objects } => {
                (cc, *linking, library, output, objects)
            }
        };
        let shared = files_in(library)?;
        let binary = output.join(&test.program);
        let common = newest(shared.iter())?;
        let newest = common.max(modified(&test.source)?);
        if modified(&binary).is_ok_and(|built| built >= newest) {
            return Ok(binary);
        }
        let sources = shared.iter().filter(|file| file.extension().is_some_and(|extension| extension == "c"));
        let flags = flags(linking, library);
        let objects = objects.get_or_init(|| {
            let made = sources.map(|source| object(cc, &flags, source, output, common));
            made.collect::<Result<_>>().map_err(|error| format!("{error:#}"))
        });
        let objects = objects.as_ref().map_err(|message| anyhow!("{message}"))?;
        let mut command = Command::new(cc);
        if linking != Linking::Dynamic {
            command.arg("-static");
        }
        command.args(&flags).arg(&test.source).args(objects).arg("-lm");
        make(&mut command, &binary)?;
        Ok(binary)
    }
}

/// What is given to the compiler for every file.
fn flags(linking: Linking, library: &Path) -> Vec<OsString> {
    let mut flags: Vec<OsString> = FLAGS.map(OsString::from).into();
    flags.extend(["-I".into(), library.into()]);
    if linking == Linking::Compact {
        let mut mapped = OsString::from("-ffile-prefix-map=");
        mapped.push(library.parent().unwrap_or(library));
        mapped.push("=zdtm");
        flags.extend(COMPACT.map(OsString::from));
        flags.push(mapped);
    }
    flags
}

/// The object file of a source that all tests share.
fn object(
    cc: &OsString,
    flags: &[OsString],
    source: &Path,
    output: &Path,
    newest: SystemTime,
) -> Result<PathBuf> {
    let folder = output.join("lib");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let object = folder.join(source.file_name().unwrap_or_default()).with_extension("o");
    if !modified(&object).is_ok_and(|built| built >= newest) {
        make(Command::new(cc).args(flags).arg("-c").arg(source), &object)?;
    }
    Ok(object)
}

/// Runs the compiler. Another runner may be executing the file that there was; that one keeps its inode.
fn make(command: &mut Command, file: &Path) -> Result<()> {
    let fresh = file.with_extension(std::process::id().to_string());
    let done = command.arg("-o").arg(&fresh).output();
    let done = done.with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !done.status.success() {
        bail!("step build: {}\n{}", done.status, String::from_utf8_lossy(&done.stderr));
    }
    fs::rename(&fresh, file).with_context(|| format!("cannot create {}", file.display()))
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
