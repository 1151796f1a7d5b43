//! Fault points: named places where a test makes `crio` fail, die or stand still, to prove that nobody is harmed.
//!
//! The environment variable `CRIO_FAULT` arms one point, once: `NAME` fails there with `E-FAULT`, `NAME:kill` is our own
//! SIGKILL, `NAME:wait` our own SIGSTOP, after which the test does something to the victim and sends SIGCONT. Who is
//! killed is the process that was started, also by the one that works for it ([`strike_at`]); who stops is the one that
//! passes the point. Without the variable a point is one load of a pointer. Who can set our environment can kill us anyway.
//!
//! [`DUMP`], [`DECIDED`] and [`RESTORE`] list the points in the order in which they are passed; the tests in
//! `tests/safety` visit every one. A name that is in no list is an error at the first point that is passed: a test that
//! misspells its fault must not pass.

use std::env;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;

use crate::error::{Blame, Error, OsContext, Result};
use crate::kernel::ProcDir;
use crate::kernel::stat::{self, State};

/// The variable.
pub const VARIABLE: &str = "CRIO_FAULT";

/// Points of a dump at which it can be given up. Those of a loan are passed for every task.
pub const DUMP: [&str; 19] = [
    "surveyed",
    "threads-seized",
    "frozen",
    "stub-written",
    "registers-changed",
    "mask-changed",
    "area-mapped",
    "batch-started",
    "thread-switched",
    "area-unmapped",
    "mask-restored",
    "registers-restored",
    "loan-ended",
    "collected",
    "pages-half-copied",
    "pages-copied",
    "before-inventory",
    "inventory-written",
    "before-end",
];

/// Points of a dump that a SIGKILL does not end any more. A failure is undone, but for the last one, which is too late.
pub const DECIDED: [&str; 3] = ["end-decided", "network-locked", "tree-released"];

/// Points of a restore.
pub const RESTORE: [&str; 15] = [
    "plan-loaded",
    "ipc-made",
    "cgroups-made",
    "root-forked",
    "root-adopted",
    "root-settled",
    "child-born",
    "memory-built",
    "tree-populated",
    "files-opened",
    "threads-born",
    "credentials-changed",
    "task-completed",
    "pidfile-written",
    "before-letting-go",
];

/// A point of a restore at which one half of the tasks runs, and nothing can be taken back.
pub const HALF_LET_GO: &str = "half-let-go";

/// A point of a dump at which a part of a task's threads runs again.
pub const HALF_RELEASED: &str = "half-released";

/// Failing, it makes a restore do without the set_tid of clone3(2), as on a kernel before 5.5.
pub const SET_TID: &str = "set-tid";

/// A point of a dump that is passed by the process that reads terminals, with their input in its hands.
pub const TERMINAL_TAKEN: &str = "terminal-taken";

/// A point of a dump at which a page of the area of a task is registered with its userfaultfd.
pub const PAGE_REGISTERED: &str = "page-registered";

const LOOK_AGAIN: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Fail,
    Kill,
    Wait,
}

#[derive(Debug)]
struct Fault {
    name: String,
    effect: Effect,
    armed: AtomicBool,
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let (name, effect) = text.split_once(':').unwrap_or((text, "fail"));
        let effect = match effect {
            "fail" => Effect::Fail,
            "kill" => Effect::Kill,
            "wait" => Effect::Wait,
            _ => return None,
        };
        let known = DUMP
            .iter()
            .chain(&DECIDED)
            .chain(&RESTORE)
            .chain([&TERMINAL_TAKEN, &PAGE_REGISTERED, &HALF_LET_GO, &HALF_RELEASED, &SET_TID])
            .any(|point| *point == name);
        known.then(|| Fault { name: name.to_owned(), effect, armed: AtomicBool::new(true) })
    }

    fn strike(&self) -> Result<()> {
        match self.effect {
            Effect::Fail => {
                Err(Error::new("E-FAULT", Blame::Usage, format!("{VARIABLE} asks for a failure here"))
                    .on(&self.name)
                    .help(format!("unset {VARIABLE}")))
            }
            Effect::Kill => kill_target(),
            Effect::Wait => raise(Signal::SIGSTOP).os(|| "raise SIGSTOP"),
        }
    }
}

/// Who is killed, 0 for ourselves.
static TARGET: AtomicI32 = AtomicI32::new(0);

/// Faults of this process kill `pid`, which waits for its work.
pub fn strike_at(pid: i32) {
    TARGET.store(pid, Ordering::Relaxed);
}

/// Kills the process that was started, and waits for its end.
fn kill_target() -> Result<()> {
    let target = TARGET.load(Ordering::Relaxed);
    if target == 0 {
        return raise(Signal::SIGKILL).os(|| "raise SIGKILL");
    }
    kill(Pid::from_raw(target), Signal::SIGKILL).os(|| format!("kill {target}"))?;
    let state = || ProcDir::open(target).and_then(|proc| stat::read(&proc)).map(|stat| stat.state);
    // A process that dies with it has got its own signal when it is a zombie (exit_notify in kernel/exit.c).
    while state().is_ok_and(|now| now != State::Zombie) {
        sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// Passes a point at which nothing can fail any more.
pub fn late_point(name: &'static str) {
    if let Err(error) = point(name) {
        crate::log_warn!("{error}");
    }
}

/// Passes the point `name`: nothing, unless `CRIO_FAULT` names it for the first time.
pub fn point(name: &'static str) -> Result<()> {
    static FAULT: OnceLock<Option<std::result::Result<Fault, String>>> = OnceLock::new();
    let parse = |text: String| Fault::parse(&text).ok_or(text);
    match FAULT.get_or_init(|| env::var(VARIABLE).ok().map(parse)) {
        Some(Ok(fault)) if fault.name == name && fault.armed.swap(false, Ordering::Relaxed) => fault.strike(),
        Some(Err(text)) => Err(unknown(text)),
        _ => Ok(()),
    }
}

fn unknown(text: &str) -> Error {
    Error::new("E-FAULT-UNKNOWN", Blame::Usage, format!("{VARIABLE} names no fault point and effect"))
        .on(format!("{text:?}"))
        .help(format!(
            "the points of a dump are {} {}; those of a restore {}",
            DUMP.join(" "),
            DECIDED.join(" "),
            RESTORE.join(" ")
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_known_point_and_an_effect() {
        let effect = |text| Fault::parse(text).map(|fault| fault.effect);
        assert_eq!(effect("frozen"), Some(Effect::Fail));
        assert_eq!(effect("files-opened:kill"), Some(Effect::Kill));
        assert_eq!(effect("collected:wait"), Some(Effect::Wait));
        assert_eq!((effect("nowhere"), effect("frozen:burn")), (None, None));
    }

    #[test]
    fn a_point_that_is_not_armed_is_passed() {
        assert!(point("frozen").is_ok());
    }
}
