//! The process that builds the tree, a child of the one that was called: all tasks run in the end, or none is left.
//!
//! The tasks have to be let go one by one (ptrace(2) knows no other way), and a tracer that is killed meanwhile would
//! leave some of them running and the others killed (PTRACE_O_EXITKILL). So the tracer is a process that nobody knows.
//! It dies with its parent (PR_SET_PDEATHSIG), and the tasks with it, until the tree is complete. Then one system call
//! makes it independent, and it lets the tasks go whatever becomes of its parent. The root is born as its sibling: the
//! child of the process that the caller has started.
//!
//! Not covered: a SIGKILL that is meant for the worker itself, in that last moment.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde::{Deserialize, Serialize};

use crate::error::{Error, OsContext, Result};
use crate::fault;
use crate::report::{Counts, NotKept, RestoreReport, RestoreStats};
use crate::sys::process;

/// Says that this process is the worker.
#[derive(Debug)]
pub(super) struct Worker;

impl Worker {
    /// From here on the restore is finished, whatever happens.
    pub(super) fn outlive(self) -> Result<()> {
        process::outlive_parent().os(|| "prctl PR_SET_PDEATHSIG")
    }
}

/// Runs `work` in a worker.
pub(super) fn run(work: impl FnOnce(Worker) -> Result<RestoreReport>) -> Result<RestoreReport> {
    let caller = std::process::id() as i32;
    let answer = process::in_companion(|| {
        fault::strike_at(caller);
        Answer::of(work(Worker)).to_bytes()
    });
    let bytes = answer.os(|| "fork")?.ok_or_else(|| Error::bug("the process that restores has died"))?;
    let result = Answer::from_bytes(&bytes)
        .ok_or_else(|| Error::bug("the process that restores gave no answer"))
        .and_then(Answer::result);
    result.inspect_err(|_| reap_root())
}

/// The root that the worker has killed is our child, and has its pid until we have taken notice.
fn reap_root() {
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

/// What the worker tells its parent.
#[derive(Serialize, Deserialize)]
enum Answer {
    Done { root: i32, not_kept: Vec<NotKept>, counts: Counts, stats: RestoreStats },
    Failed(serde_json::Value),
}

impl Answer {
    fn of(result: Result<RestoreReport>) -> Self {
        match result {
            Ok(RestoreReport { root, not_kept, counts, stats }) => {
                Answer::Done { root, not_kept, counts, stats }
            }
            Err(error) => Answer::Failed(error.to_json()),
        }
    }

    fn result(self) -> Result<RestoreReport> {
        match self {
            Answer::Done { root, not_kept, counts, stats } => {
                Ok(RestoreReport { root, not_kept, counts, stats })
            }
            Answer::Failed(error) => Err(Error::from_json(&error)),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Blame;

    fn told(result: Result<RestoreReport>) -> Result<RestoreReport> {
        Answer::from_bytes(&Answer::of(result).to_bytes()).unwrap().result()
    }

    #[test]
    fn errors_and_reports_arrive_as_they_were() {
        let error = || {
            Error::os("openat /x", std::io::Error::from_raw_os_error(libc::ENOENT)).task(7, "a").detail("b")
        };
        let arrived = told(Err(error())).unwrap_err();
        assert_eq!((arrived.to_string(), arrived.errno()), (error().to_string(), Some(libc::ENOENT)));
        let error = || Error::new("E-FAULT", Blame::Usage, "is asked for").on("x").help("do not ask");
        let arrived = told(Err(error())).unwrap_err();
        assert_eq!((arrived.to_string(), arrived.blame()), (error().to_string(), Blame::Usage));
        let counts = Counts { tasks: 1, threads: 2, files: 3, vmas: 4 };
        let report = told(Ok(RestoreReport { root: 7, counts, ..RestoreReport::default() })).unwrap();
        assert_eq!((report.root, report.counts), (7, counts));
    }
}
