//! An engine under measurement: a program with CRIU's command line, and what a dump and a restore by it cost.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;

use super::arena::Arena;
use crate::descendants;

/// A program with CRIU's command line.
pub(crate) struct Engine {
    /// The program and the arguments that come before the engine's own.
    command: Vec<PathBuf>,
    version: String,
}

/// What one start of the engine cost.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Cost {
    /// From before its fork until it was reaped.
    pub(crate) microseconds: u64,
    /// The most memory that the engine itself had resident.
    pub(crate) peak_kib: u64,
}

/// One victim through one engine.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Measured {
    pub(crate) dump: Cost,
    /// Microseconds during which the victim could not run, by the engine's own count.
    pub(crate) frozen: u64,
    pub(crate) restore: Cost,
}

impl Engine {
    /// The engine at `path`, which is made absolute.
    pub(crate) fn at(path: &Path) -> Result<Self> {
        let path = path.canonicalize().with_context(|| format!("no engine at {}", path.display()))?;
        Self::new(vec![path])
    }

    /// The engine that `command` starts: a program, and the arguments that come before the engine's own.
    pub(crate) fn new(command: Vec<PathBuf>) -> Result<Self> {
        let [program, arguments @ ..] = command.as_slice() else { bail!("an engine without a program") };
        let output = Command::new(program).args(arguments).arg("--version").stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot start {}", program.display()))?;
        let version =
            String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("no version").to_owned();
        Ok(Engine { command, version })
    }

    /// The path of the engine.
    pub(crate) fn name(&self) -> String {
        self.command.last().map_or_else(String::new, |path| path.display().to_string())
    }

    /// What it calls itself.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn dump(&self, arena: &Arena, pid: Pid, images: &Path) -> Result<Cost> {
        let arguments = ["dump".into(), "-t".into(), pid.to_string().into(), "-D".into(), images.into()];
        self.measure(arena, images, "dump.log", &arguments).context("dump")
    }

    pub(crate) fn restore(&self, arena: &Arena, images: &Path) -> Result<Cost> {
        self.measure(
            arena,
            images,
            "restore.log",
            &["restore".into(), "-d".into(), "-D".into(), images.into()],
        )
    }

    /// Runs the engine under `stopwatch.c`; an error carries the end of its log.
    fn measure(&self, arena: &Arena, images: &Path, log: &str, arguments: &[OsString]) -> Result<Cost> {
        let result = arena.path("result");
        let output = arena.path("output");
        let file = fs::File::create(&output).with_context(|| output.display().to_string())?;
        let mut stopwatch = Command::new(arena.path("stopwatch"));
        stopwatch.arg(&result).args(&self.command).args(arguments).arg("-o").arg(log);
        stopwatch.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut child = stopwatch.spawn().context("cannot start the stopwatch")?;
        let ended = descendants::wait_for("waiting for the engine", || Ok(child.try_wait()?))?;
        let figures = fs::read_to_string(&result).unwrap_or_default();
        let _ = fs::remove_file(&result);
        match parse(&figures) {
            Some((cost, 0)) if ended.success() => Ok(cost),
            Some((_, status)) => {
                bail!("{}{}", ExitStatus::from_raw(status), tail(&[output, images.join(log)]));
            }
            None => bail!("the stopwatch ended with {ended}{}", tail(&[output])),
        }
    }
}

/// The stopwatch's line: microseconds, KiB, wait status.
fn parse(figures: &str) -> Option<(Cost, i32)> {
    let mut words = figures.split_whitespace();
    let cost = Cost { microseconds: words.next()?.parse().ok()?, peak_kib: words.next()?.parse().ok()? };
    Some((cost, words.next()?.parse().ok()?))
}

/// The last lines of what the engine wrote, each on a line of its own.
fn tail(files: &[PathBuf]) -> String {
    let mut lines = String::new();
    for file in files {
        let text = fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        for line in all.iter().skip(all.len().saturating_sub(6)) {
            lines.push_str("\n    ");
            lines.push_str(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stopwatch_line_is_three_numbers() {
        assert!(matches!(parse("1500 2048 256\n"), Some((Cost { microseconds: 1500, peak_kib: 2048 }, 256))));
        assert!(parse("").is_none());
        assert!(parse("1500 2048").is_none());
    }
}
