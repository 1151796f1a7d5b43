//! Guests for tests: as many at a time as there are askers, each used again as long as it lives.
//!
//! A guest that has died is not given back, so the next asker boots a fresh one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use zdtm::Test;
use zdtm::protocol::{About, Order, Outcome, Report, Terms};

use crate::guest::{BOOT, Guest};
use crate::qemu::{Emulated, Launcher};

/// What one test may take on the reference machine; the agent's own limits for its steps are smaller.
const LIMIT: Duration = Duration::from_secs(120);

/// Of so many guests of a kind one must have come up, or no more are tried.
const ATTEMPTS: usize = 6;

/// A crash by the sysrq key (Documentation/admin-guide/sysrq.rst), when the test has begun.
const PANIC: &str = "(sleep 0.5; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &";

/// Guests of one machine and kernel.
#[derive(Debug)]
pub struct Pool {
    launcher: Launcher,
    machine: Emulated,
    terms: Terms,
    folder: PathBuf,
    idle: Mutex<Vec<Guest>>,
    booted: AtomicUsize,
    came_up: AtomicBool,
    panic: Option<String>,
}

impl Pool {
    /// Guests of this kind, which run tests on these terms and log their consoles into `folder`.
    pub fn new(machine: Emulated, terms: Terms, folder: &Path) -> Self {
        Pool {
            launcher: Launcher::new(),
            machine,
            terms,
            folder: folder.to_owned(),
            idle: Mutex::default(),
            booted: AtomicUsize::new(0),
            came_up: AtomicBool::new(false),
            panic: None,
        }
    }

    /// The same pool, whose guest panics in the middle of that test: the proof of what happens then.
    pub fn with_panic(mut self, test: Option<String>) -> Self {
        self.panic = test;
        self
    }

    /// Runs one test in an idle guest, or in a new one.
    ///
    /// # Errors
    /// When the guest does not survive it; with the last lines of its console.
    pub fn run(&self, test: &Test) -> Result<(Outcome, String)> {
        let mut guest = self.take()?;
        if self.panic.as_ref() == Some(&test.name()) {
            let words = ["/bin/sh", "-c", PANIC].map(str::to_owned).into();
            guest.order(&Order::Execute { words })?;
            guest.next(LIMIT)?;
        }
        let crowding = crowding();
        guest.order(&Order::Test { test: Box::new(test.clone()), crowding })?;
        let iterations = self.terms.iterations.max(1);
        match guest.next((LIMIT * iterations).mul_f64(crowding))? {
            Report::Verdict { outcome, message } => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(guest);
                Ok((outcome, message))
            }
            other => bail!("the guest's agent answers with {other:?}"),
        }
    }

    /// Runs a program in an idle guest, or in a new one: whether it succeeded, what it wrote, and what the guest is.
    ///
    /// # Errors
    /// When the guest does not survive it; with the last lines of its console.
    pub fn execute(&self, words: &[&str]) -> Result<(bool, String, About)> {
        let mut guest = self.take()?;
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        guest.order(&Order::Execute { words })?;
        let mut output = String::new();
        loop {
            match guest.next(LIMIT.mul_f64(crowding()))? {
                Report::Output { text } => output.push_str(&text),
                Report::Ended { success, status } => {
                    // A program that was killed has often said nothing.
                    if !success && output.is_empty() {
                        output = status;
                    }
                    let about = guest.about.clone();
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(guest);
                    return Ok((success, output, about));
                }
                other => bail!("the guest's agent answers with {other:?}"),
            }
        }
    }

    /// Ends the guests that nobody uses.
    pub fn end_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// An idle guest, or a fresh one.
    ///
    /// # Errors
    /// When it does not boot.
    pub fn take(&self) -> Result<Guest> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(guest) = idle {
            return Ok(guest);
        }
        if self.booted.load(Ordering::Relaxed) >= ATTEMPTS && !self.came_up.load(Ordering::Relaxed) {
            bail!("no guest of this kind boots, as the tests before have told");
        }
        let mut guest = self.boot().or_else(|error| {
            eprintln!("vm: a guest did not boot, another one is tried: {error:#}");
            self.boot()
        })?;
        self.came_up.store(true, Ordering::Relaxed);
        guest.order(&Order::Terms(self.terms.clone())).context("the guest does not take orders")?;
        Ok(guest)
    }

    fn boot(&self) -> Result<Guest> {
        let number = self.booted.fetch_add(1, Ordering::Relaxed) + 1;
        let limit = BOOT.mul_f64(crowding());
        Guest::boot(&self.launcher, &self.machine, limit, &self.folder, &format!("guest-{number}"))
    }
}

/// How many tasks want each processor of this host, on average over the last minute (proc(5)); at least 1.
fn crowding() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().and_then(|number| number.parse().ok());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (load.unwrap_or(0.0) / processors as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use zdtm::protocol::Engines;

    use super::*;
    use crate::image::Image;
    use crate::qemu::Accelerator;

    #[test]
    fn a_guest_that_does_not_boot_is_tried_again_but_not_for_ever() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let qemu =
            "{program: 'false', package: none, machine: none, cpu: none, memory: 1M, cpus: 1, console: none}";
        let nothing = folder.path().to_owned();
        let image = Image { kernel: nothing.clone(), first_root: nothing.clone(), disk: nothing };
        let machine = Emulated {
            qemu: serde_yaml::from_str(qemu)?,
            image,
            disks: Vec::new(),
            accelerator: Accelerator::Tcg,
        };
        let terms = Terms {
            engines: Engines::default(),
            faults: Vec::new(),
            iterations: 1,
            undisturbed: false,
            leave_running: false,
            depart: false,
            verify_images: false,
            compare: true,
        };
        let pool = Pool::new(machine, terms, folder.path());
        assert!(pool.take().is_err());
        assert_eq!(pool.booted.load(Ordering::Relaxed), 2);
        assert!(folder.path().join("guest-2.console").exists());
        for _ in 0..ATTEMPTS {
            assert!(pool.take().is_err());
        }
        assert_eq!(pool.booted.load(Ordering::Relaxed), ATTEMPTS);
        Ok(())
    }
}
