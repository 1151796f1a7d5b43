//! What a process is to undo of its semaphore operations when it exits (SEM_UNDO): semop(2), ipc/sem.c.
//!
//! Nothing shows these adjustments, but operations answer questions about them. One that would bring an adjustment out of
//! range fails with ERANGE (perform_atomic_semop_slow), and several operations of one call happen all or not at all. So the
//! process is made to try calls that can never succeed, because the last of their operations takes more than a semaphore
//! can have: with EAGAIN, or before that with ERANGE, which tells whether an adjustment is above or below a number. Nobody
//! sees anything of it. Only processes are asked that have an undo list at all, which kcmp(2) tells: without one it is equal
//! to that of ours, who have none.
//!
//! A tree that ends undoes. A restored process takes again what it had taken, or fails if somebody else has it by then; if
//! the restore fails, its end undoes once more.
//!
//! Not kept: that two processes share one list (CLONE_SYSVSEM without CLONE_THREAD), and a list of a thread of its own.

use std::cmp::Ordering;

use crate::error::{Blame, Error, Result};
use crate::kernel::kcmp::{Kind, Place, compare};
use crate::kernel::sysvipc::Set;
use crate::report::NotKept;
use crate::sys::ipc::sem;
use crate::tracee::{Batch, FrozenTask, Loan};

/// SEMVMX and SEMAEM: the largest value, and the largest adjustment; the smallest is one below the negative of it.
const MOST: i32 = 32767;
/// How often others may use a set while it is asked about.
const ATTEMPTS: usize = 5;

/// One adjustment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adjustment {
    /// Whose it is.
    pub pid: i32,
    /// The set.
    pub id: i32,
    /// The semaphore in it.
    pub number: u32,
    /// What the exit adds to the value. Not 0.
    pub value: i32,
}

/// What is asked about an adjustment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Is it more than this, which is not negative?
    Above(i32),
    /// Is it less than the negative of this, which is not negative?
    Below(i32),
}

/// An operation: struct sembuf.
type Operation = (u16, i32, i32);

impl Question {
    /// The operations on a semaphore with this value that ask it.
    fn operations(self, number: u16, value: u16) -> Vec<Operation> {
        let (value, undo) = (i32::from(value), libc::SEM_UNDO);
        let mut operations = match self {
            Question::Above(limit) => vec![(number, MOST - value, 0), (number, limit - MOST, undo)],
            Question::Below(0) => {
                vec![(number, -value, 0), (number, MOST, undo), (number, -MOST, 0), (number, 1, undo)]
            }
            Question::Below(limit) => vec![(number, -value, 0), (number, MOST + 1 - limit, undo)],
        };
        // An operation of 0 would wait for 0.
        operations.retain(|(_, change, _)| *change != 0);
        operations.extend([(number, -MOST, 0), (number, -1, 0)]);
        operations
    }
}

/// Adds a call that asks a question about a semaphore.
fn ask(batch: &mut Batch, id: i32, operations: &[Operation]) -> crate::tracee::CallId {
    let bytes: Vec<u8> = operations
        .iter()
        .flat_map(|(number, change, flags)| {
            [*number, *change as i16 as u16, (flags | libc::IPC_NOWAIT) as u16]
        })
        .flat_map(u16::to_ne_bytes)
        .collect();
    let address = batch.put(&bytes);
    batch.call(format!("semop {id}"), libc::SYS_semop, &[id as u64, address, operations.len() as u64])
}

/// The answer; `None` if the process may not use the set, which may also be gone.
fn answer(batch: &Batch, call: crate::tracee::CallId) -> Result<Option<bool>> {
    match batch.ret(call) {
        Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => Ok(Some(false)),
        Err(e) if e.raw_os_error() == Some(libc::ERANGE) => Ok(Some(true)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EACCES | libc::EINVAL | libc::EIDRM)) => Ok(None),
        _ => Err(batch.expect(call).err().unwrap_or_else(|| Error::bug("an impossible semop has succeeded"))),
    }
}

/// Whether a process has an undo list; those of its threads that are not the same are told.
pub fn has_list(task: &FrozenTask, not_kept: &mut Vec<NotKept>) -> Result<bool> {
    let place = |pid| Place { pid, fd: 0 };
    let leader = place(task.pid);
    for tid in task.threads.iter().filter(|tid| **tid != task.pid) {
        if compare(Kind::Sysvsem, leader, place(*tid))? != Ordering::Equal {
            not_kept.push(lost(task, format!("semaphore undo list of thread {tid}")));
        }
    }
    Ok(compare(Kind::Sysvsem, leader, place(std::process::id() as i32))? != Ordering::Equal)
}

/// Tells of a list that is another one's, or a thread's.
pub fn lost(task: &FrozenTask, what: String) -> NotKept {
    let consequence = "its exit does not undo".to_owned();
    NotKept { pid: task.pid, comm: task.comm.clone(), what, consequence }
}

/// The adjustments of the process on loan, and the semaphores of which they could not be found out.
pub fn read(
    task: &FrozenTask,
    loan: &mut Loan,
    sets: &[Set],
    not_kept: &mut Vec<NotKept>,
) -> Result<Vec<Adjustment>> {
    let mut adjustments = Vec::new();
    for set in sets {
        let mut unknown: Vec<u16> = (0..set.count as u16).collect();
        for _ in 0..ATTEMPTS {
            let found = read_set(loan, *set, &mut unknown)?;
            let of = |(number, value)| Adjustment { pid: task.pid, id: set.id, number, value };
            adjustments.extend(found.into_iter().map(of));
        }
        if !unknown.is_empty() {
            let what =
                format!("undoing of set {}, semaphores {unknown:?}, which others use all the time", set.id);
            not_kept.push(lost(task, what));
        }
    }
    Ok(adjustments)
}

/// Finds the adjustments of some semaphores that are not 0, and leaves those whose values somebody else changes meanwhile.
fn read_set(loan: &mut Loan, set: Set, unknown: &mut Vec<u16>) -> Result<Vec<(u32, i32)>> {
    let value = |values: &[u16], number: u16| values.get(usize::from(number)).copied();
    // A set that is gone needs nothing to be undone.
    let Ok(before) = sem::values(set.id, set.count) else {
        unknown.clear();
        return Ok(Vec::new());
    };
    let asked: Vec<(u16, u16)> =
        unknown.iter().filter_map(|number| Some((*number, value(&before, *number)?))).collect();
    let mut found = read_once(loan, set.id, &asked)?;
    let after = sem::values(set.id, set.count).unwrap_or_default();
    unknown.retain(|number| {
        let doubtful = found.iter().any(|(which, adjustment)| which == number && adjustment.is_none());
        doubtful || value(&before, *number) != value(&after, *number)
    });
    found.retain(|(number, _)| !unknown.contains(number));
    Ok(found.into_iter().filter_map(|(number, adjustment)| Some((number.into(), adjustment?))).collect())
}

/// Asks about semaphores with these values. `None` for one whose answers contradict each other.
fn read_once(loan: &mut Loan, id: i32, asked: &[(u16, u16)]) -> Result<Vec<(u16, Option<i32>)>> {
    let mut found = Vec::new();
    for some in asked.chunks(ROUND) {
        let questions = some.iter().flat_map(|semaphore| {
            [Question::Above(0), Question::Below(0)].map(|question| (*semaphore, question))
        });
        let questions: Vec<_> = questions.collect();
        for (((number, value), sign), yes) in questions.iter().zip(answers(loan, id, &questions)?) {
            if yes {
                found.push((*number, measure(loan, id, (*number, *value), *sign)?));
            }
        }
    }
    Ok(found)
}

/// Semaphore with its value.
type Semaphore = (u16, u16);

/// The answers to some questions; a process that may not use a set has nothing to undo there.
fn answers(loan: &mut Loan, id: i32, questions: &[(Semaphore, Question)]) -> Result<Vec<bool>> {
    let mut batch = loan.batch();
    let calls: Vec<_> = questions
        .iter()
        .map(|((number, value), question)| ask(&mut batch, id, &question.operations(*number, *value)))
        .collect();
    loan.run(&mut batch)?;
    calls.into_iter().map(|call| Ok(answer(&batch, call)? == Some(true))).collect()
}

/// Semaphores of one batch, which has to fit into the area that a victim lends.
const ROUND: usize = 20;

/// Finds an adjustment that is not 0 by halving, and asks once more to be sure.
fn measure(loan: &mut Loan, id: i32, semaphore: Semaphore, sign: Question) -> Result<Option<i32>> {
    let question = |limit| match sign {
        Question::Above(_) => Question::Above(limit),
        Question::Below(_) => Question::Below(limit),
    };
    // More than the first, and not more than the second.
    let (mut low, mut high) = (0, MOST + 1);
    while high - low > 1 {
        let middle = (low + high) / 2;
        let yes = answers(loan, id, &[(semaphore, question(middle))])?;
        if yes == [true] { low = middle } else { high = middle }
    }
    let sure = answers(loan, id, &[(semaphore, question(low)), (semaphore, question(high.min(MOST)))])?;
    // The last question has no answer but no where the number is the largest.
    let is_sure = sure == [true, high > MOST];
    Ok(is_sure.then_some(if matches!(sign, Question::Above(_)) { high } else { -high }))
}

/// Has the task on loan take again what it had taken of a semaphore, or give what it had given.
pub fn retake(loan: &mut Loan, adjustment: &Adjustment) -> Result<()> {
    let Adjustment { id, number, value, .. } = *adjustment;
    let mut batch = loan.batch();
    // One number is its own negative's neighbour: two steps.
    let steps = [-value / 2, -value - -value / 2];
    let operations =
        steps.iter().filter(|step| **step != 0).map(|step| (number as u16, *step, libc::SEM_UNDO));
    let call = ask(&mut batch, id, &operations.collect::<Vec<_>>());
    loan.run(&mut batch)?;
    let done = batch.expect(call).map(drop);
    done.map_err(|e| match e.errno() {
        Some(libc::EAGAIN | libc::ERANGE) => held(adjustment),
        _ => e,
    })
}

fn held(adjustment: &Adjustment) -> Error {
    let Adjustment { id, number, value, .. } = adjustment;
    let reason =
        format!("cannot be changed by {} again, as the task had done: others have used it since", -value);
    Error::new("E-IPC-HELD", Blame::Environment, reason)
        .on(format!("semaphore {number} of set {id}"))
        .help("restore when nobody else has it, or remove the set (ipcrm -s ID) to have it made anew")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel does with operations of one call (perform_atomic_semop_slow): the error, as none may succeed.
    fn kernel(operations: &[Operation], mut value: i32, mut adjustment: i32) -> i32 {
        for (_, change, flags) in operations {
            value += change;
            if value < 0 {
                return libc::EAGAIN;
            }
            if value > MOST {
                return libc::ERANGE;
            }
            if *flags == libc::SEM_UNDO {
                adjustment -= change;
                if !(-MOST - 1..=MOST).contains(&adjustment) {
                    return libc::ERANGE;
                }
            }
        }
        0
    }

    #[test]
    fn questions_are_answered_right_and_change_nothing() {
        let numbers = [0, 1, 2, 5, 100, 16384, MOST - 1, MOST];
        let adjustments = numbers.iter().flat_map(|n| [*n, -*n]).chain([-MOST - 1]);
        for adjustment in adjustments {
            for (value, limit) in numbers.iter().flat_map(|value| numbers.map(|limit| (*value, limit))) {
                for question in [Question::Above(limit), Question::Below(limit)] {
                    let yes = match question {
                        Question::Above(limit) => adjustment > limit,
                        Question::Below(limit) => adjustment < -limit,
                    };
                    let told = kernel(&question.operations(0, value as u16), value, adjustment);
                    let right = if yes { libc::ERANGE } else { libc::EAGAIN };
                    assert_eq!(told, right, "{question:?} of {adjustment} at {value}");
                }
            }
        }
    }
}
