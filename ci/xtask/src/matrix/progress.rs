//! A line that says how far a run is: the column, done of total, failures, time left.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Without a terminal a line is worth its place only from time to time.
const PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Progress {
    started: Instant,
    /// Of all columns.
    total: usize,
    state: Mutex<State>,
}

struct State {
    column: String,
    done_before: usize,
    done: usize,
    of: usize,
    failed: usize,
    said: Instant,
}

impl Progress {
    /// `total`: cells of all columns.
    pub(super) fn new(total: usize) -> Self {
        let (started, column) = (Instant::now(), String::new());
        let state = State { column, done_before: 0, done: 0, of: 0, failed: 0, said: started };
        Progress { started, total, state: Mutex::new(state) }
    }

    /// A column of so many cells begins.
    pub(super) fn begin(&self, column: &str, of: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done_before += state.done;
        (state.column, state.done, state.of, state.failed) = (column.to_owned(), 0, of, 0);
    }

    /// Some more cells are filled, some of them by failures.
    pub(super) fn advance(&self, done: usize, failed: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += done;
        state.failed += failed;
        let is_terminal = std::io::stderr().is_terminal();
        if !is_terminal && state.said.elapsed() < PAUSE && state.done < state.of {
            return;
        }
        state.said = Instant::now();
        let line = line(&state, self.total, self.started.elapsed());
        let end = if is_terminal && state.done < state.of { "\x1b[K\r" } else { "\n" };
        let _ = write!(std::io::stderr(), "{line}{end}");
    }
}

fn line(state: &State, total: usize, elapsed: Duration) -> String {
    let done = state.done_before + state.done;
    let left = elapsed.mul_f64(total.saturating_sub(done) as f64 / done.max(1) as f64);
    let failed = if state.failed > 0 { format!(", {} failed", state.failed) } else { String::new() };
    let minutes = left.as_secs().div_ceil(60);
    format!(
        "matrix: {}: {} of {}{failed}; {done} of {total} in all, about {minutes} min left",
        state.column, state.done, state.of
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_column_count_and_time_left() {
        let state = State {
            column: "armv7 6.1".to_owned(),
            done_before: 50,
            done: 50,
            of: 60,
            failed: 2,
            said: Instant::now(),
        };
        assert_eq!(
            line(&state, 300, Duration::from_secs(60)),
            "matrix: armv7 6.1: 50 of 60, 2 failed; 100 of 300 in all, about 2 min left"
        );
    }
}
