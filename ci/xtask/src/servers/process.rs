//! Where a server lives, and how its programs and those of its clients are started.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::workspace;

/// The distribution's programs alone, whatever else stands before them in the path of this process.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The folder of one server, and its port.
pub(super) struct Place {
    folder: TempDir,
    port: u16,
}

impl Place {
    pub(super) fn new(server: &str) -> Result<Self> {
        let folder = TempDir::with_prefix(format!("crio-{server}-")).context("cannot make a folder")?;
        // Servers become other users.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let free = TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
        let port = free.local_addr()?.port();
        Ok(Place { folder, port })
    }

    /// A port of the loopback address that nobody listens at.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and returns its path.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Leaves the folder where it is, and returns its path.
    pub(super) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// A program of the distribution, without our environment, in this place.
    pub(super) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env_clear().env("PATH", PATH).env("HOME", self.folder.path()).env("SHELL", "/bin/sh");
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm").current_dir(&self.folder);
        command.stdin(Stdio::null());
        command
    }

    /// The same for a server: the leader of a session of its own, its output in the server's log. setsid(1) becomes
    /// the program.
    pub(super) fn server(&self, name: &str) -> Result<Command> {
        let log = File::options().create(true).append(true).open(self.log()).context("the server's log")?;
        let mut command = self.program("setsid");
        command.arg(name).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.path("log")
    }

    /// The last lines of the server's log.
    pub(super) fn last_words(&self) -> String {
        tail(&self.log(), 10)
    }
}

/// Starts a server; it is reaped by [`crate::descendants`].
pub(super) fn spawn(command: &mut Command) -> Result<Pid> {
    let child = command.spawn().with_context(|| format!("cannot start {}", workspace::show(command)))?;
    Ok(Pid::from_raw(child.id().try_into()?))
}

/// Runs a short program to its end and returns what it printed; an error holds what it complained about.
pub(super) fn output(command: &mut Command) -> Result<String> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("cannot start {}", workspace::show(command)))?;
    let output = child.wait_with_output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}: {printed}{complaint}", workspace::show(command), output.status);
    }
    Ok(printed)
}

/// The last lines of a file, each on a line of its own.
fn tail(file: &Path, lines: usize) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let last = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
    last.iter().map(|line| format!("\n    {line}")).collect()
}
