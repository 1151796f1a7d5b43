//! How fast this machine is, so that time limits fit an emulated one.
//!
//! The work is a bit of what tests and engine spend their time with: processes, files of /proc, arithmetic.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// What [`measure`] takes on the machine for which the limits were chosen (a desktop's core of 2020).
const REFERENCE: Duration = Duration::from_millis(30);

/// How many times slower than the reference; at least 1.
pub fn slowness() -> f64 {
    (measure().as_secs_f64() / REFERENCE.as_secs_f64()).max(1.0)
}

fn measure() -> Duration {
    let start = Instant::now();
    for _ in 0..20 {
        // Only the time counts. Where the file is not there, starting a program is not measured.
        let _ = Command::new("/proc/self/exe").arg("--version").output();
    }
    for _ in 0..200 {
        std::hint::black_box(fs::read("/proc/self/maps").unwrap_or_default());
    }
    let mut sum = 0_u64;
    for step in 0..5_000_000_u64 {
        sum = std::hint::black_box(sum.rotate_left(5) ^ step);
    }
    std::hint::black_box(sum);
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_faster_than_the_limits_allow() {
        let slowness = slowness();
        assert!((1.0..10_000.0).contains(&slowness), "{slowness}");
    }
}
