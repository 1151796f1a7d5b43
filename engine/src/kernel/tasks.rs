//! `/proc/PID/task`: the threads of a process, proc_pid_task(5).
//!
//! A running process may create and lose threads while the directory is read: only a frozen one has a stable answer.

use super::{Pid, ProcDir};
use crate::error::Result;

/// The thread ids, ascending; a dead leader whose threads live on is among them.
pub fn read(proc: &ProcDir) -> Result<Vec<Pid>> {
    proc.list_numbers("task")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_a_new_thread() -> Result<()> {
        let proc = ProcDir::current()?;
        let tid = nix::unistd::gettid().as_raw();
        let (found, other) = std::thread::scope(|scope| {
            let thread = scope.spawn(|| (read(&proc), nix::unistd::gettid().as_raw()));
            thread.join().unwrap_or_else(|_| (Ok(Vec::new()), 0))
        });
        let found = found?;
        assert!(found.contains(&tid) && found.contains(&other) && found.is_sorted() && tid != other);
        Ok(())
    }
}
