//! The two halves of a test that is dumped here and restored there: on another kernel, or by a later engine.
//!
//! Paths are part of images, so a moved test lives in [`FOLDER`] wherever it is, with its program, its files and its
//! images. That folder travels whole, as a tar archive. Process ids are part of images, too: the second half
//! runs as the first process of a pid namespace, in which only the lowest few are taken. There it is also alone with its
//! mounts, so that nothing of it is left when it ends.
//!
//! Not here: a comparison of what /proc shows. Another kernel shows other things; the test itself knows what matters.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

use crate::Options;
use crate::catalogue::Test;
use crate::cycle::{Case, Plan};
use crate::protocol::{NEEDS, Outcome, Report};

/// Where moved tests are while they run, a folder for each, called as its program.
pub const FOLDER: &str = "/tmp/zdtm-moved";

/// In the folder of a test, the folder of its images.
pub const IMAGES: &str = "images";

/// In the folder of a test, what `tests.yaml` said of it when it was dumped.
const ABOUT: &str = "test.json";

/// Ends with the dump; an error is the report of its failure.
pub(crate) fn depart(plan: &Plan, test: &Test, binary: &Path) -> Result<()> {
    let engine = plan.engine.as_ref().context("nothing is dumped without an engine")?;
    let folder = Path::new(FOLDER).join(&test.program);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::set_permissions(&folder, Permissions::from_mode(0o777))?;
    let program = folder.join(&test.program);
    fs::copy(binary, &program).with_context(|| format!("cannot copy {}", binary.display()))?;
    let images = folder.join(IMAGES);
    let case = Case { plan, test, binary: &program, folder };
    let outcome = case.to_its_end(|case| {
        let root = case.start().context("step start")?;
        case.checkpoint(engine, root, &images).map(drop)
    });
    if outcome.is_err() {
        // Nothing of it shall travel.
        fs::remove_dir_all(&case.folder)
            .with_context(|| format!("cannot remove {}", case.folder.display()))?;
        return outcome;
    }
    // Logs are several times as large as images.
    fs::remove_file(images.join("dump.log")).context("the dump has left no log")?;
    let source = PathBuf::from(test.source.file_name().unwrap_or_default());
    let about = serde_json::to_vec(&Test { source, ..test.clone() })?;
    fs::write(case.folder.join(ABOUT), about).with_context(|| format!("cannot write {ABOUT}"))
}

/// Whether this process was started to restore a moved test.
pub fn is_asked_for() -> bool {
    std::env::args_os().any(|word| word == "--arrive")
}

/// The command that restores the test called `program` from `archive`. `runner` is a program that takes the options of
/// this crate, with what it needs before them.
pub fn command(runner: &[OsString], archive: &Path, program: &str, engine: &Path) -> Vec<OsString> {
    let namespaces = ["unshare", "--mount", "--pid", "--fork", "--mount-proc"].map(OsString::from);
    let mut words = [&namespaces, runner].concat();
    words.extend(["--arrive".into(), archive.into(), "--engine".into(), engine.into(), program.into()]);
    words
}

/// What a [`command`] says: how the test ended, and why it was skipped.
///
/// # Errors
/// Why it failed.
pub fn outcome(output: &str) -> Result<(Outcome, String)> {
    let last = output.lines().last().unwrap_or_default();
    match serde_json::from_str(last) {
        Ok(Report::Verdict { outcome: Outcome::Failed, message }) => bail!(message),
        Ok(Report::Verdict { outcome, message }) => Ok((outcome, message)),
        _ => bail!("the runner gave no verdict:\n{output}"),
    }
}

/// The tests in an unpacked archive, in the order of their names.
///
/// # Errors
/// When it is none.
pub fn tests(folder: &Path) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        tests.push(about(&entry?.path())?);
    }
    tests.sort_by_key(|test: &Test| test.program.clone());
    Ok(tests)
}

fn about(folder: &Path) -> Result<Test> {
    let file = folder.join(ABOUT);
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} does not describe a test", file.display()))
}

/// Begins with the restore, and prints the verdict.
pub(crate) fn arrive(options: &Options, archive: &Path) -> Result<ExitCode> {
    let [program] = options.filters.as_slice() else { bail!("--arrive takes the name of one test") };
    if std::process::id() != 1 {
        bail!("--arrive wants to be alone: unshare --mount --pid --fork --mount-proc ...");
    }
    // Whoever made the namespace would leave us behind: an interrupt does not reach its first process.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("cannot ask for the parent's death signal")?;
    let (outcome, message) =
        restored(options, archive, program).unwrap_or_else(|error| (Outcome::Failed, format!("{error:#}")));
    println!("{}", serde_json::to_string(&Report::Verdict { outcome, message })?);
    Ok(if outcome == Outcome::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Restores and verifies the test, or sees that it is refused; skips one that needs a feature that this kernel lacks.
fn restored(options: &Options, archive: &Path, program: &str) -> Result<(Outcome, String)> {
    let plan = Plan::of(options)?;
    unpack(archive, program)?;
    let folder = Path::new(FOLDER).join(program);
    let test = about(&folder)?;
    if options.refused.is_none()
        && let Some(feature) = plan.missing_feature(&test.entry.needs)?
    {
        return Ok((Outcome::Skipped, format!("{NEEDS}{feature}")));
    }
    let engine = plan.engine.as_ref().context("nothing is restored without an engine")?;
    let case = Case { plan: &plan, test: &test, binary: &folder.join(program), folder: folder.clone() };
    let ended = case.to_its_end(|case| {
        case.restore(engine, &folder.join(IMAGES))?;
        case.end(case.root()?).context("step end")
    });
    let message = match &options.refused {
        Some(code) => refusal(code, ended)?,
        None => ended.map(|()| String::new())?,
    };
    Ok((Outcome::Passed, message))
}

/// The line of the error of this code, by which a restore has ended as it had to.
fn refusal(code: &str, ended: Result<()>) -> Result<String> {
    let Err(error) = ended else {
        bail!("restored, although this kernel has to refuse it with {code}");
    };
    let said = format!("{error:#}");
    let start = format!("error[{code}]");
    let line = said.lines().find_map(|line| line.find(&start).and_then(|at| line.get(at..)));
    line.map(str::to_owned).ok_or_else(|| error.context(format!("not refused with {code}")))
}

/// Unpacks the folder of one test into a file system of our own.
fn unpack(archive: &Path, program: &str) -> Result<()> {
    fs::create_dir_all(FOLDER).with_context(|| format!("cannot create {FOLDER}"))?;
    let mode = Some("mode=0755");
    mount(Some("tmpfs"), FOLDER, Some("tmpfs"), MsFlags::empty(), mode)
        .with_context(|| format!("cannot mount a file system on {FOLDER}"))?;
    let log = Path::new(FOLDER).join("tar.output");
    let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(archive).args(["-C", FOLDER, program]);
    let status = tar.stdin(Stdio::null()).stderr(output).status().context("cannot run tar")?;
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("tar cannot unpack {program} of {}: {}", archive.display(), said.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_error_of_the_code_and_nothing_else() {
        let ended =
            || Err(anyhow::anyhow!("step restore:\n  (0.1) Error: error[E-KERNEL-FEATURE]: no guards\n"));
        assert_eq!(
            refusal("E-KERNEL-FEATURE", ended()).ok().as_deref(),
            Some("error[E-KERNEL-FEATURE]: no guards")
        );
        assert!(
            refusal("E-OTHER", ended()).is_err_and(|error| error.to_string() == "not refused with E-OTHER")
        );
        assert!(refusal("E-OTHER", Ok(())).is_err_and(|error| error.to_string().starts_with("restored")));
    }

    #[test]
    fn a_verdict_is_the_last_line() {
        assert_eq!(
            outcome("{\"verdict\":{\"outcome\":\"skipped\",\"message\":\"needs sve\"}}\n").ok(),
            Some((Outcome::Skipped, "needs sve".to_owned()))
        );
        let failed = "chatter\n{\"verdict\":{\"outcome\":\"failed\",\"message\":\"step restore\"}}\n";
        assert_eq!(outcome(failed).err().map(|error| error.to_string()), Some("step restore".to_owned()));
        assert!(outcome("Segmentation fault\n").is_err_and(|error| error.to_string().contains("no verdict")));
    }
}
