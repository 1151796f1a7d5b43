//! The one error type: a stable code, whose fault it is, the object, the reason and the remedy.
//!
//! An error is built where the fault is seen ([`Error::new`], [`Error::os`]) and gains context on its way up
//! ([`Error::task`], [`Error::on`], [`Error::detail`], [`Error::help`]). It is rendered once, by the command line or
//! by the service; nothing in between formats it.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// What every fallible function of the engine returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault a failure is: tells the reader where to look for the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The program uses something that cannot be checkpointed.
    Program,
    /// This kernel lacks a feature, or this user a capability.
    Kernel,
    /// The image is damaged, incomplete or of another machine.
    Image,
    /// The surroundings differ from what is needed: files, pids, disk space, permissions.
    Environment,
    /// The command line or the request is wrong.
    Usage,
    /// A bug of ours.
    Bug,
}

/// A failure with everything that its reader needs. Boxed inside, so that `Result<T>` stays small.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: &'static str,
    blame: Blame,
    task: Option<(i32, String)>,
    object: Option<String>,
    reason: String,
    details: Vec<String>,
    help: Option<String>,
    source: Option<io::Error>,
    passes: bool,
}

impl Error {
    /// `code` is stable and upper case (`E-FILE-CHANGED`); `reason` is one clause without a full stop.
    pub fn new(code: &'static str, blame: Blame, reason: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            code,
            blame,
            task: None,
            object: None,
            reason: reason.into(),
            details: Vec::new(),
            help: None,
            source: None,
            passes: false,
        }))
    }

    /// A refused system call: `what` says which, on what (`"openat /proc/17/maps"`). Disk full, quota and
    /// permission errors are the environment's fault and get their remedy here, once for all callers.
    pub fn os(what: impl Into<String>, errno: impl Into<io::Error>) -> Self {
        let source = errno.into();
        let (code, blame, help) = match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => {
                ("E-DISK-FULL", Blame::Environment, Some("free space there, or choose another directory"))
            }
            Some(libc::EROFS) => {
                ("E-READ-ONLY", Blame::Environment, Some("mount it for writing, or choose another directory"))
            }
            Some(libc::EACCES | libc::EPERM) => {
                ("E-PERMISSION", Blame::Environment, Some("run as root, or with CAP_CHECKPOINT_RESTORE"))
            }
            Some(libc::ENOMEM) => (
                "E-NO-MEMORY",
                Blame::Environment,
                Some("free memory; for a task with very many mappings, raise vm.max_map_count"),
            ),
            Some(libc::ENOENT) => ("E-NOT-FOUND", Blame::Environment, None),
            Some(libc::ESRCH) => ("E-TASK-GONE", Blame::Environment, None),
            Some(libc::ENOSYS) => ("E-KERNEL-FEATURE", Blame::Kernel, None),
            _ => ("E-SYSCALL", Blame::Environment, None),
        };
        let mut e = Error::new(code, blame, what);
        e.0.help = help.map(str::to_owned);
        e.0.source = Some(source);
        e
    }

    /// The image says something impossible.
    pub fn image(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::new("E-IMAGE-BAD", Blame::Image, reason).on(file)
    }

    /// A state that the code excludes: never the victim's fault.
    pub fn bug(reason: impl Into<String>) -> Self {
        Error::new("E-BUG", Blame::Bug, reason).help("please report this with the log of -v4")
    }

    /// Names the task the error is about; the innermost name wins.
    #[must_use]
    pub fn task(mut self, pid: i32, comm: &str) -> Self {
        self.0.task.get_or_insert_with(|| (pid, comm.to_owned()));
        self
    }

    /// Names the object (a path, `fd 5`, `vma 7f00-7f10`); the innermost name wins.
    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.0.object.get_or_insert_with(|| object.into());
        self
    }

    /// Adds a line of facts below the first line.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.0.details.push(line.into());
        self
    }

    /// Says what the reader can do; replaces a general remedy by a special one.
    #[must_use]
    pub fn help(mut self, line: impl Into<String>) -> Self {
        self.0.help = Some(line.into());
        self
    }

    /// Says that it is about something that most programs end by themselves in the next moment in which they run.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.0.passes = true;
        self
    }

    /// Whether another attempt is worth it: [`passing`](Error::passing).
    pub fn passes(&self) -> bool {
        self.0.passes
    }

    /// The stable code, `E-FILE-CHANGED`.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        self.0.blame
    }

    /// The errno of the refused system call, if that is what happened.
    pub fn errno(&self) -> Option<i32> {
        self.0.source.as_ref().and_then(io::Error::raw_os_error)
    }

    /// The first line without `error[CODE]: `: task, object, reason, cause.
    pub fn headline(&self) -> String {
        let mut line = String::new();
        if let Some((pid, comm)) = &self.0.task {
            line.push_str(&format!("task {pid} ({comm}): "));
        }
        if let Some(object) = &self.0.object {
            line.push_str(&format!("{object}: "));
        }
        line.push_str(&self.0.reason);
        if let Some(source) = &self.0.source {
            line.push_str(&format!(": {source}"));
        }
        line
    }

    /// The lines below the first: facts.
    pub fn details(&self) -> &[String] {
        &self.0.details
    }

    /// What the reader can do about it.
    pub fn remedy(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The same as JSON: `{code, blame, pid, comm, object, reason, errno, details, help}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "code": self.0.code,
            "blame": self.0.blame,
            "pid": self.0.task.as_ref().map(|t| t.0),
            "comm": self.0.task.as_ref().map(|t| &t.1),
            "object": self.0.object,
            "reason": self.0.reason,
            "errno": self.errno(),
            "details": self.0.details,
            "help": self.0.help,
        })
    }
}

impl Error {
    /// What [`Error::to_json`] has written in another process of this program.
    pub fn from_json(json: &serde_json::Value) -> Self {
        let text = |key: &str| json[key].as_str().map(str::to_owned);
        let number = |key: &str| json[key].as_i64().map(|number| number as i32);
        let code = text("code").unwrap_or_default();
        let blame = Blame::deserialize(&json["blame"]).unwrap_or(Blame::Bug);
        // Once in the life of a command: its failure.
        let mut error = Error::new(String::leak(code), blame, text("reason").unwrap_or_default());
        error.0.task = number("pid").zip(text("comm"));
        error.0.object = text("object");
        error.0.details = Vec::deserialize(&json["details"]).unwrap_or_default();
        error.0.help = text("help");
        error.0.source = number("errno").map(io::Error::from_raw_os_error);
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.0.code, self.headline())?;
        for line in &self.0.details {
            write!(f, "\n  {line}")?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}

/// Turns the failure of a system call into an [`Error`] that names the call and its object.
pub trait OsContext<T> {
    /// `what` is evaluated only on failure.
    fn os<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<io::Error>> OsContext<T> for std::result::Result<T, E> {
    fn os<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| Error::os(what(), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_object_reason_and_remedy() {
        let e = Error::new("E-FILE-CHANGED", Blame::Environment, "has 3 bytes, the image expects 4")
            .on("/tmp/a")
            .task(17, "cat")
            .detail("mapped at 7f00")
            .help("copy it");
        assert_eq!(
            e.to_string(),
            "error[E-FILE-CHANGED]: task 17 (cat): /tmp/a: has 3 bytes, the image expects 4\n  mapped at 7f00\n  help: copy it"
        );
    }

    #[test]
    fn full_disk_is_the_environments_fault() {
        let e = Error::os("write pages-1.img", io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!((e.code(), e.blame(), e.errno()), ("E-DISK-FULL", Blame::Environment, Some(libc::ENOSPC)));
    }
}
