//! The command lines of the engine under test: criu's, so that a peer can be driven as well as `crio`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::task;

/// An engine, and what it said about the features of this kernel.
#[derive(Debug)]
pub(crate) struct Engine {
    program: PathBuf,
    features: Mutex<HashMap<String, bool>>,
}

impl Engine {
    /// The engine at `program`, which must exist.
    pub(crate) fn find(program: &Path) -> Result<Self> {
        let program = program.canonicalize().with_context(|| {
            format!(
                "no engine at {}; build it (cargo build -p engine) or name one with --engine",
                program.display()
            )
        })?;
        Ok(Engine { program, features: Mutex::default() })
    }

    /// `check --feature NAME`, asked once per run. A name that the engine does not know is a feature it lacks.
    pub(crate) fn has_feature(&self, name: &str) -> Result<bool> {
        let Ok(mut features) = self.features.lock() else {
            bail!("a test that asked for a feature has panicked");
        };
        if let Some(answer) = features.get(name) {
            return Ok(*answer);
        }
        let done = Command::new(&self.program)
            .args(["check", "--no-default-config", "--feature", name])
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        features.insert(name.to_owned(), done.status.success());
        Ok(done.status.success())
    }

    /// Dumps the tree of `root` into `images`.
    pub(crate) fn dump(&self, images: &Path, root: i32, leave_running: bool, options: &[String]) -> Command {
        let mut command = self.action("dump", images);
        command.arg("-t").arg(root.to_string());
        // It gives up a tree that does not stand still within 10 seconds.
        let timeout = (10.0 * task::time_scale()).ceil();
        if timeout > 10.0 {
            command.args(["--timeout", &timeout.to_string()]);
        }
        if leave_running {
            command.arg("--leave-running");
        }
        command.args(options);
        command
    }

    /// Restores the tree of `images` and leaves it to itself.
    pub(crate) fn restore(&self, images: &Path, options: &[String]) -> Command {
        let mut command = self.action("restore", images);
        command.arg("-d").arg("--pidfile").arg(images.join("restore.pid")).args(options);
        command
    }

    /// Verifies the images themselves; `crio` only.
    pub(crate) fn verify(&self, images: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["image", "verify"]).arg(images);
        command
    }

    fn action(&self, verb: &str, images: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args([verb, "--no-default-config", "-v4", "-D"]).arg(images);
        command.arg("-o").arg(format!("{verb}.log"));
        command
    }
}

/// The lines of a log that say what went wrong, at most the last `count`; the last lines of any kind if none does.
pub(crate) fn last_errors(log: &Path, count: usize) -> String {
    let Ok(bytes) = fs::read(log) else {
        return format!("(no {})", log.display());
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let mut chosen: Vec<&str> =
        lines.iter().copied().filter(|line| line.contains("Error") || line.contains("error[")).collect();
    if chosen.is_empty() {
        chosen = lines;
    }
    chosen.split_off(chosen.len().saturating_sub(count)).join("\n")
}
