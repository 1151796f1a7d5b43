//! What the kernel writes into a thread's memory when it dies (mm_release() in kernel/fork.c), though the thread is to be
//! restored: that nobody has a robust mutex that it holds (set_robust_list(2)), and the word of set_tid_address(2).
//!
//! In memory of a file, or of a System V segment, that would be found by the others who have it, and by the restored
//! tree. So threads of tasks with such memory forget both, after the dump and just before they are killed.
//!
//! Not covered: that a mutex with priority inheritance, for which somebody outside of the tree waits, passes to that one.

use std::ops::Range;

use crate::error::{OsContext, Result};
use crate::image::message::CoreEntry;
use crate::kernel::Pid;
use crate::log_warn;
use crate::resource::task::registers;
use crate::sys::process::read_memory;
use crate::tracee::{Frozen, FrozenTask, Loan, Site};

const WORD: usize = size_of::<usize>();
/// `struct robust_list_head`: the list, an offset, the mutex that is being locked or unlocked.
const HEAD_LEN: usize = 3 * WORD;

/// A thread whose death would show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    tid: Pid,
    holds_mutexes: bool,
    clears_word: bool,
}

/// The threads of a frozen task whose death would show in `outlasting`, its memory that others may have.
pub fn foresee(task: &FrozenTask, cores: &[(Pid, CoreEntry)], outlasting: &[Range<u64>]) -> Vec<Death> {
    if outlasting.is_empty() {
        return Vec::new();
    }
    let death = |(tid, core): &(Pid, CoreEntry)| {
        let head = core.thread_core.as_ref().map_or(0, |thread| thread.futex_rla);
        let word = registers::clear_tid_addr(core);
        let death = Death {
            tid: *tid,
            holds_mutexes: holds_mutexes(task.pid, head),
            // Not by the last thread that has the memory.
            clears_word: cores.len() > 1 && outlasting.iter().any(|range| range.contains(&word)),
        };
        (death.holds_mutexes || death.clears_word).then_some(death)
    };
    cores.iter().filter_map(death).collect()
}

fn holds_mutexes(pid: Pid, head: u64) -> bool {
    if head == 0 {
        return false;
    }
    let mut bytes = [0; HEAD_LEN];
    // Where it cannot be read, the kernel finds nothing either.
    let read = read_memory(pid, head, &mut bytes).unwrap_or(0);
    let word =
        |index: usize| bytes.as_chunks::<WORD>().0.get(index).map_or(0, |word| usize::from_ne_bytes(*word));
    read == HEAD_LEN && (word(0) as u64 != head || word(2) != 0)
}

/// Has the threads forget what would be written. A failure of ours does not stop the end that was decided on.
pub fn forestall(frozen: &Frozen, deaths: &[Death]) {
    for task in frozen.tasks() {
        let of_task: Vec<&Death> = deaths.iter().filter(|death| task.threads.contains(&death.tid)).collect();
        if let Err(error) = forestall_task(task, &of_task) {
            log_warn!(
                "in shared memory of task {} ({}) its threads may seem dead: {error}",
                task.pid,
                task.comm
            );
        }
    }
}

fn forestall_task(task: &FrozenTask, deaths: &[&Death]) -> Result<()> {
    let Some(first) = deaths.first() else { return Ok(()) };
    let mut loan = Loan::take(Site::find(&task.proc)?, first.tid)?;
    for death in deaths {
        if loan.tid() != death.tid {
            loan.switch(death.tid)?;
        }
        if death.holds_mutexes {
            run(&mut loan, "set_robust_list", libc::SYS_set_robust_list, [0, HEAD_LEN as u64, 0, 0, 0, 0])?;
        }
        if death.clears_word {
            run(&mut loan, "set_tid_address", libc::SYS_set_tid_address, [0; 6])?;
        }
    }
    loan.end()
}

fn run(loan: &mut Loan, name: &str, nr: libc::c_long, args: [u64; 6]) -> Result<()> {
    match loan.run_one(nr as u64, args)? {
        errno @ ..0 => {
            Err(std::io::Error::from_raw_os_error(-errno as i32)).os(|| format!("{name} in {}", loan.tid()))
        }
        _ => Ok(()),
    }
}
