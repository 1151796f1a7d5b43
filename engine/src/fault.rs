//! Fault points: named places where a test makes `crio` fail, die or stand still, to prove that nobody is harmed.
//!
//! The environment variable `CRIO_FAULT` arms one point, once: `NAME` fails there with `E-FAULT`, `NAME:kill` is our own
//! SIGKILL, `NAME:wait` our own SIGSTOP, after which the test does something to the victim and sends SIGCONT. Without
//! the variable a point is one load of a pointer. Who can set our environment can kill us anyway.
//!
//! [`DUMP`] and [`RESTORE`] list the points of either direction in the order in which they are passed; the tests in
//! `tests/safety` visit every one, and a name that is in no list cannot be armed.

use std::env;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, raise};

use crate::error::{Blame, Error, OsContext, Result};

/// The variable.
pub const VARIABLE: &str = "CRIO_FAULT";

/// Points of a dump. Those of a loan are passed for every task.
pub const DUMP: [&str; 17] = [
    "surveyed",
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
];

/// Points of a restore.
pub const RESTORE: [&str; 13] = [
    "plan-loaded",
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
        let known = DUMP.iter().chain(&RESTORE).any(|point| *point == name);
        known.then(|| Fault { name: name.to_owned(), effect, armed: AtomicBool::new(true) })
    }

    fn strike(&self) -> Result<()> {
        match self.effect {
            Effect::Fail => {
                Err(Error::new("E-FAULT", Blame::Usage, format!("{VARIABLE} asks for a failure here"))
                    .on(&self.name)
                    .help(format!("unset {VARIABLE}")))
            }
            Effect::Kill => raise(Signal::SIGKILL).os(|| "raise SIGKILL"),
            Effect::Wait => raise(Signal::SIGSTOP).os(|| "raise SIGSTOP"),
        }
    }
}

/// Passes the point `name`: nothing, unless `CRIO_FAULT` names it for the first time.
pub fn point(name: &'static str) -> Result<()> {
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    let fault = FAULT.get_or_init(|| env::var(VARIABLE).ok().as_deref().and_then(Fault::parse));
    match fault {
        Some(fault) if fault.name == name && fault.armed.swap(false, Ordering::Relaxed) => fault.strike(),
        _ => Ok(()),
    }
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
