//! Tasks that were stopped (job control), or are to be stopped by `--leave-stopped`, are so before they are let go.
//!
//! Not kept: whether their parents have heard of it; they hear of it (once more).

use nix::sys::signal::Signal;

use super::construction::Construction;
use crate::error::Result;
use crate::image::message::{TaskCoreEntry, state};
use crate::resource::task::signals;
use crate::tracee;

impl Construction {
    /// Stops them; `all` tasks, if asked for.
    pub(super) fn stop(&mut self, all: bool) -> Result<()> {
        for index in self.built.keys().copied().collect::<Vec<_>>() {
            self.named(index, |this| {
                let pid = this.task(index)?.proc.pid();
                let stopped_by = this.plan.tasks.get(index).and_then(|task| stop_signal(&task.process()));
                match stopped_by.or(all.then_some(Signal::SIGSTOP)) {
                    Some(signal) if !tracee::stop(pid, signal)? => {
                        tracee::stop(pid, Signal::SIGSTOP).map(drop)
                    }
                    _ => Ok(()),
                }
            })?;
        }
        Ok(())
    }
}

/// By what a task is stopped. SIGSTOP serves where its program has found another use for the signal since.
fn stop_signal(process: &TaskCoreEntry) -> Option<Signal> {
    if process.task_state != state::STOPPED {
        return None;
    }
    let wanted = process.stop_signo.and_then(|signal| Signal::try_from(signal as i32).ok());
    let stops = |signal: &Signal| matches!(signal, Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU);
    let by_default = |signal: &Signal| {
        let mut actions = signals::with_action().zip(&process.sigactions);
        actions.any(|(number, action)| number == *signal as i32 && action.sigaction == 0)
    };
    Some(wanted.filter(stops).filter(by_default).unwrap_or(Signal::SIGSTOP))
}
