//! `crio` killed at random moments of a dump.

use std::time::{Duration, Instant};

use nix::sys::signal::{SIGCONT, SIGSTOP};

use crate::command::{dump, run, start};
use crate::victim::{Victim, await_state, send};

/// Numbers that look random and are the same in every run: xorshift64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

/// Kills `rounds` dumps at moments up to twice the time that one takes, which is the shortest so far: others use the
/// processors, too.
fn kill_often(arguments: &str, seed: u64, rounds: usize, stopped: bool) {
    let mut victim = Victim::start(arguments);
    let images = tempfile::tempdir().unwrap();
    let before = victim.look();
    let pids = victim.pids();
    let started = Instant::now();
    run(dump(victim.pid(), "--leave-running", images.path())).succeeded("an undisturbed dump");
    let mut whole = started.elapsed();
    let mut random = Random::new(seed);
    let mut cut = 0;
    for round in 0..rounds {
        let context = format!("seed {seed}, round {round}");
        if stopped {
            pids.iter().for_each(|pid| send(*pid, SIGSTOP));
            pids.iter().for_each(|pid| await_state(*pid, 'T', &context));
        }
        let started = Instant::now();
        let mut crio = start(dump(victim.pid(), "--leave-running", images.path()));
        let moment = Duration::from_micros(random.below(2 * whole.as_micros() as u64));
        while started.elapsed() < moment && crio.child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(50).min(moment.saturating_sub(started.elapsed())));
        }
        whole = if started.elapsed() < moment { started.elapsed() } else { whole };
        let _ = crio.child.kill();
        cut += usize::from(!crio.finish().status.success());
        if stopped {
            pids.iter().for_each(|pid| await_state(*pid, 'T', &context));
            pids.iter().for_each(|pid| send(*pid, SIGCONT));
        }
        victim.looks_like(&before, &context);
        if round % 5 == 4 {
            victim.check(&context);
        }
    }
    victim.check("at the end");
    assert!(cut > rounds / 10, "only {cut} of {rounds} dumps were killed in time");
}

#[test]
fn a_dump_killed_at_random_moments_changes_nothing() {
    kill_often("", 17, 100, false);
}

#[test]
fn a_dump_of_a_victim_of_all_signals_killed_at_random_moments_changes_nothing() {
    kill_often("catch-all", 18, 40, false);
}

#[test]
fn a_dump_of_a_stopped_victim_killed_at_random_moments_changes_nothing() {
    kill_often("alone", 19, 30, true);
}
