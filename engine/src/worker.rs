//! The process that does the work of a command, a child of the one that was called: what must not end halfway, does not
//! end with a SIGKILL of that one.
//!
//! It is a process that nobody knows. It dies with its parent (PR_SET_PDEATHSIG), and the kernel lets go or ends what it
//! traces, but for the moments in which that would do harm:
//!
//! - A restore lets the tasks go one by one (ptrace(2) knows no other way), and a tracer that is killed meanwhile would
//!   leave some of them running and the others killed (PTRACE_O_EXITKILL). Until the tree is complete all die with the
//!   worker; then one system call makes it independent ([`Worker::outlive`]). The root is born as its sibling: the child of
//!   the process that the caller has started.
//! - A dump makes threads do system calls. Their seccomp filters are suspended by their tracer, and so only as long as
//!   there is one: what the stub calls to give a thread back by itself, a filter may answer with SIGKILL. The worker
//!   survives its parent until such threads are home ([`Worker::hold`]), and gives up then.
//! - A complete image must not stay beside a tree that runs on, nor may half of a tree be killed. From the inventory on the
//!   worker survives its parent; it gives the dump up if it learns of that before the decision ([`Hold::decide`]), and
//!   finishes it otherwise.
//!
//! Not covered: a SIGKILL that is meant for the worker itself, in such a moment.

use nix::sys::signal::{SigSet, SigmaskHow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Blame, Error, OsContext, Result};
use crate::fault;
use crate::log_warn;
use crate::sys::process;

/// Says that this process is the worker.
#[derive(Debug)]
pub(crate) struct Worker {
    parent: i32,
}

impl Worker {
    /// From here on the work is finished, whatever happens.
    pub(crate) fn outlive(self) -> Result<()> {
        process::outlive_parent().os(|| "prctl PR_SET_PDEATHSIG")
    }

    /// Until the answer is released or dropped, neither the parent's death nor a signal ends this process.
    pub(crate) fn hold(&self) -> Result<Hold> {
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).os(|| "sigprocmask")?;
        let hold = Hold { parent: self.parent, mask, for_good: false };
        process::die_with_parent(false).os(|| "prctl PR_SET_PDEATHSIG").map(|()| hold)
    }
}

/// See [`Worker::hold`].
#[derive(Debug)]
pub(crate) struct Hold {
    parent: i32,
    mask: SigSet,
    for_good: bool,
}

impl Hold {
    /// Ends the moment; an error if the parent has died in it.
    pub(crate) fn release(self) -> Result<()> {
        let ended = self.end();
        std::mem::forget(self);
        ended
    }

    /// Has the moment last until this process ends; an error if the parent has died in it by now.
    pub(crate) fn decide(&mut self) -> Result<()> {
        self.check_parent()?;
        process::outlive_parent().os(|| "setsid")?;
        self.for_good = true;
        Ok(())
    }

    fn end(&self) -> Result<()> {
        if self.for_good {
            return Ok(());
        }
        process::die_with_parent(true).os(|| "prctl PR_SET_PDEATHSIG")?;
        self.mask.thread_set_mask().os(|| "sigprocmask")?;
        // It may have died before it was watched again.
        self.check_parent()
    }

    fn check_parent(&self) -> Result<()> {
        if nix::unistd::getppid().as_raw() == self.parent {
            return Ok(());
        }
        Err(Error::new("E-CALLER-GONE", Blame::Environment, "the process that was called has been killed"))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log_warn!("{error}");
        }
    }
}

/// Runs `work` in a worker; `doing` names it in messages.
pub(crate) fn run<R>(doing: &str, work: impl FnOnce(Worker) -> Result<R>) -> Result<R>
where
    R: Serialize + DeserializeOwned,
{
    let parent = std::process::id() as i32;
    let answer = process::in_companion(|| {
        fault::strike_at(parent);
        Answer::of(work(Worker { parent })).to_bytes()
    });
    let bytes = answer.os(|| "fork")?.ok_or_else(|| died(doing))?;
    Answer::from_bytes(&bytes)
        .ok_or_else(|| Error::bug(format!("the process that {doing} gave no answer")))
        .and_then(Answer::result)
}

fn died(doing: &str) -> Error {
    let reason = format!("the process that {doing} has died before it was done");
    Error::new("E-WORKER-DIED", Blame::Environment, reason).help(
        "see in the kernel's log who has killed it (no memory left?); crio clean -D DIR tells what is left over",
    )
}

/// What the worker tells its parent.
#[derive(Serialize, Deserialize)]
enum Answer<R> {
    Done(R),
    Failed(serde_json::Value),
}

impl<R: Serialize + DeserializeOwned> Answer<R> {
    fn of(result: Result<R>) -> Self {
        result.map_or_else(|error| Answer::Failed(error.to_json()), Answer::Done)
    }

    fn result(self) -> Result<R> {
        match self {
            Answer::Done(done) => Ok(done),
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
    use crate::report::{Counts, DumpReport, RestoreReport};

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
        let report = DumpReport { root: 7, counts, image_bytes: 8, ..DumpReport::default() };
        let arrived = Answer::<DumpReport>::from_bytes(&Answer::of(Ok(report)).to_bytes()).unwrap();
        assert_eq!(arrived.result().map(|r| (r.root, r.counts, r.image_bytes)).unwrap(), (7, counts, 8));
    }

    #[test]
    fn a_worker_that_dies_is_an_error() {
        let dies = |_| nix::sys::signal::raise(nix::sys::signal::SIGKILL).os(|| "raise");
        assert_eq!(run("dumps", dies).map_err(|e| e.code()), Err("E-WORKER-DIED"));
    }

    #[test]
    fn a_worker_that_is_held_outlives_its_parent_and_learns_of_that() {
        let (mut from, to) = std::io::pipe().unwrap();
        let parent = process::in_companion(|| {
            let parent = std::process::id() as i32;
            process::in_companion(|| {
                let hold = Worker { parent }.hold().unwrap();
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(parent), nix::sys::signal::SIGKILL)
                    .unwrap();
                while nix::unistd::getppid().as_raw() == parent {
                    std::thread::yield_now();
                }
                let code = hold.release().map_err(|e| e.code());
                std::io::Write::write_all(&mut &to, code.unwrap_err().as_bytes()).unwrap();
                Vec::new()
            })
            .unwrap()
            .unwrap()
        });
        assert_eq!(parent.unwrap(), None);
        drop(to);
        assert_eq!(std::io::read_to_string(&mut from).unwrap(), "E-CALLER-GONE");
    }
}
