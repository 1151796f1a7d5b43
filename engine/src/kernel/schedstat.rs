//! `/proc/PID/schedstat`: what the scheduler has counted, Documentation/scheduler/sched-stats.rst.

use std::time::Duration;

use super::{ProcDir, text};
use crate::error::Result;

/// Time that the task has been ready to run without having a CPU; `None` without CONFIG_SCHED_INFO.
pub fn queued(proc: &ProcDir) -> Result<Option<Duration>> {
    let Some(bytes) = proc.read_optional("schedstat")? else { return Ok(None) };
    parse(&bytes).map(Some).map_err(|e| e.on(proc.path_of("schedstat")))
}

/// Nanoseconds on a CPU, nanoseconds in the run queue, turns.
fn parse(bytes: &[u8]) -> Result<Duration> {
    let queued = text::fields(text::chomp(bytes)).nth(1).ok_or_else(|| text::missing("run_delay"))?;
    text::field("run_delay", queued, text::dec).map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_the_time_in_the_queue() -> Result<()> {
        assert_eq!(parse(b"2118854 4805325 2\n")?, Duration::from_nanos(4_805_325));
        assert!(parse(b"2118854\n").is_err());
        assert!(parse(b"1 x 2\n").is_err());
        Ok(())
    }
}
