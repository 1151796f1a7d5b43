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
//! the restore fails, its end undoes once more. A value never becomes less than 0 or too much by that: what is missing or
//! left over is not undone (exit_sem), and must not come twice when it is taken again ([`plan`]).
//!
//! Not kept: what a process has to undo of a set that it may not use any more, so that it cannot be asked; that two
//! processes share one list (CLONE_SYSVSEM without CLONE_THREAD), and a list of a thread of its own.

use std::cmp::Ordering;

use super::is_absence;
use crate::error::{Blame, Error, OsContext, Result};
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

/// The answer; `None` if the process may not use the set. One that is gone needs nothing to be undone.
fn answer(batch: &Batch, call: crate::tracee::CallId) -> Result<Option<bool>> {
    match batch.ret(call) {
        Err(e) if e.raw_os_error() == Some(libc::EAGAIN) || is_absence(&e) => Ok(Some(false)),
        Err(e) if e.raw_os_error() == Some(libc::ERANGE) => Ok(Some(true)),
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => Ok(None),
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
            let Some(found) = read_set(loan, *set, &mut unknown)? else {
                unknown.clear();
                // Nobody has anything to undo of a set that was never used.
                if set.used {
                    let what = format!("undoing of set {}, which it may not use (any more)", set.id);
                    not_kept.push(lost(task, what));
                }
                break;
            };
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
/// `None` if the process may not use the set.
fn read_set(loan: &mut Loan, set: Set, unknown: &mut Vec<u16>) -> Result<Option<Vec<(u32, i32)>>> {
    let value = |values: &[u16], number: u16| values.get(usize::from(number)).copied();
    // A set that is gone needs nothing to be undone.
    let Ok(before) = sem::values(set.id, set.count) else {
        unknown.clear();
        return Ok(Some(Vec::new()));
    };
    let asked: Vec<(u16, u16)> =
        unknown.iter().filter_map(|number| Some((*number, value(&before, *number)?))).collect();
    let Some(mut found) = read_once(loan, set.id, &asked)? else { return Ok(None) };
    let after = sem::values(set.id, set.count).unwrap_or_default();
    unknown.retain(|number| {
        let doubtful = found.iter().any(|(which, adjustment)| which == number && adjustment.is_none());
        doubtful || value(&before, *number) != value(&after, *number)
    });
    found.retain(|(number, _)| !unknown.contains(number));
    let certain = found.into_iter().filter_map(|(number, adjustment)| Some((number.into(), adjustment?)));
    Ok(Some(certain.collect()))
}

/// Semaphores, each with an adjustment, or `None` if the answers contradict each other.
type Found = Vec<(u16, Option<i32>)>;

/// Asks about semaphores with these values; `None` if the process may not use the set.
fn read_once(loan: &mut Loan, id: i32, asked: &[Semaphore]) -> Result<Option<Found>> {
    let mut found = Vec::new();
    for some in asked.chunks(ROUND) {
        let questions = some.iter().flat_map(|semaphore| {
            [Question::Above(0), Question::Below(0)].map(|question| (*semaphore, question))
        });
        let questions: Vec<_> = questions.collect();
        let Some(answers) = answers(loan, id, &questions)? else { return Ok(None) };
        for (((number, value), sign), yes) in questions.iter().zip(answers) {
            if yes {
                found.push((*number, measure(loan, id, (*number, *value), *sign)?));
            }
        }
    }
    Ok(Some(found))
}

/// Semaphore with its value.
type Semaphore = (u16, u16);

/// The answers to some questions; `None` if the process may not use the set.
fn answers(loan: &mut Loan, id: i32, questions: &[(Semaphore, Question)]) -> Result<Option<Vec<bool>>> {
    let mut batch = loan.batch();
    let calls: Vec<_> = questions
        .iter()
        .map(|((number, value), question)| ask(&mut batch, id, &question.operations(*number, *value)))
        .collect();
    loan.run(&mut batch)?;
    let answers = calls.into_iter().map(|call| answer(&batch, call)).collect::<Result<Vec<_>>>()?;
    Ok(answers.into_iter().collect())
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
        if yes.as_deref() == Some(&[true]) { low = middle } else { high = middle }
    }
    let sure = answers(loan, id, &[(semaphore, question(low)), (semaphore, question(high.min(MOST)))])?;
    // The last question has no answer but no where the number is the largest.
    let is_sure = sure.as_deref() == Some(&[true, high > MOST]);
    Ok(is_sure.then_some(if matches!(sign, Question::Above(_)) { high } else { -high }))
}

/// Whether a process can have such an adjustment.
pub fn is_possible(value: i32) -> bool {
    value != 0 && (-MOST - 1..=MOST).contains(&value)
}

/// A value after the exit of a process with an adjustment: exit_sem in ipc/sem.c.
pub fn undone(value: i32, adjustment: i32) -> i32 {
    (value + adjustment).clamp(0, MOST)
}

/// What a task does again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retake {
    /// Whose and what.
    pub adjustment: Adjustment,
    /// What is added to the value besides, and not undone by the exit: else what one did not undo would come twice.
    correction: i32,
}

/// How adjustments of one semaphore are taken again, which was `was` at the dump and is `now`. What others have done since
/// stays, but where the exits could not undo everything, nothing tells it from what these have left over: then the value
/// becomes what it was if it is `now` as the exits have left it, and else it may be wrong, as the second says.
pub fn plan(mut adjustments: Vec<Adjustment>, was: u16, now: u16) -> (Vec<Retake>, bool) {
    // First what is given, so that there is something to take.
    adjustments.sort_by_key(|adjustment| adjustment.value);
    let (was, mut value) = (i32::from(was), i32::from(now));
    let exit = |value, adjustment: &Adjustment| undone(value, adjustment.value);
    // Nobody knows in which order the tasks have exited; these are the two that leave the most and the least.
    let (most, least) = (adjustments.iter().fold(was, exit), adjustments.iter().rev().fold(was, exit));
    let all = adjustments.iter().map(|adjustment| i64::from(adjustment.value)).sum::<i64>() + i64::from(was);
    let is_undone = i64::from(most) == all && i64::from(least) == all;
    let is_left = (least..=most).contains(&value);
    let count = adjustments.len();
    let retakes = adjustments.into_iter().zip(1..).map(|(adjustment, number)| {
        let changed = value - adjustment.value;
        let goal = match number {
            _ if is_undone || !is_left => changed,
            last if last == count => was,
            _ => changed.clamp(0, MOST),
        };
        value = goal;
        Retake { adjustment, correction: goal - changed }
    });
    (retakes.collect(), is_undone || is_left)
}

/// Has the task on loan take again what it had taken of a semaphore, or give what it had given.
pub fn retake(loan: &mut Loan, Retake { adjustment, correction }: &Retake) -> Result<()> {
    let Adjustment { id, number, value, .. } = *adjustment;
    for _ in 0..ATTEMPTS {
        let now = sem::value(id, number).os(|| format!("semctl GETVAL of {number} in {id}"))?;
        let Some(steps) = steps(now.into(), -value, *correction) else { break };
        let operations: Vec<Operation> =
            steps.into_iter().map(|(step, flags)| (number as u16, step, flags)).collect();
        let mut batch = loan.batch();
        let call = ask(&mut batch, id, &operations);
        loan.run(&mut batch)?;
        match batch.expect(call).map(drop) {
            // Somebody has used it in between.
            Err(e) if matches!(e.errno(), Some(libc::EAGAIN | libc::ERANGE)) => {}
            done => return done,
        }
    }
    Err(held(adjustment))
}

/// Operations of one call that change a value by two amounts, of which the exit undoes the first, and on the way never
/// make it impossible. `None` if it would be in the end.
fn steps(mut value: i32, mut undo: i32, mut keep: i32) -> Option<Vec<(i32, i32)>> {
    let possible = 0..=MOST;
    if !possible.contains(&(value + undo + keep)) {
        return None;
    }
    let mut steps = Vec::new();
    while (undo, keep) != (0, 0) {
        for (left, flags) in [(&mut undo, libc::SEM_UNDO), (&mut keep, 0)] {
            let step = (value + *left).clamp(0, MOST) - value;
            (value, *left) = (value + step, *left - step);
            // An operation of 0 would wait for 0.
            steps.extend((step != 0).then_some((step, flags)));
        }
    }
    Some(steps)
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
#[allow(clippy::unwrap_used)]
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

    /// Takes again by the plan, and returns the values after it and the sum of what the exits then undo.
    fn taken_again(values: &[i32], was: u16, now: u16) -> (i32, i32, bool) {
        let of = |value: &i32| Adjustment { pid: 1, id: 0, number: 0, value: *value };
        let (retakes, is_sure) = plan(values.iter().map(of).collect(), was, now);
        let (mut value, mut undo) = (i32::from(now), 0);
        for Retake { adjustment, correction } in retakes {
            let mut own = 0;
            for (step, flags) in steps(value, -adjustment.value, correction).unwrap() {
                value += step;
                own -= if flags == libc::SEM_UNDO { step } else { 0 };
                assert!(step.abs() <= MOST && (0..=MOST).contains(&value), "{values:?}: {value} by {step}");
            }
            assert_eq!(own, adjustment.value);
            undo += own;
        }
        (value, undo, is_sure)
    }

    #[test]
    fn a_value_is_what_it_was_after_any_end_of_the_tree() {
        let cases: [&[i32]; 8] = [
            &[2],
            &[-1],
            &[-3, 2],
            &[5],
            &[-MOST - 1],
            &[-20000, -20000],
            &[20000, 20000],
            &[-MOST, 3, MOST],
        ];
        for adjustments in cases {
            for was in [0, 1, 2, 5, 17, 16384, MOST as u16 - 2, MOST as u16] {
                let orders = [adjustments.to_vec(), adjustments.iter().rev().copied().collect()];
                for order in orders {
                    let left = order.iter().fold(i32::from(was), |value, by| undone(value, *by));
                    let again = taken_again(adjustments, was, left as u16);
                    let wanted = (was.into(), adjustments.iter().sum(), true);
                    assert_eq!(again, wanted, "{order:?} of {was}");
                }
            }
        }
    }

    #[test]
    fn what_others_have_done_since_stays() {
        // Of 3, of which 2 were taken, 5 were left; one was added.
        assert_eq!(taken_again(&[2], 3, 6), (4, 2, true));
        // 1 was given and used up, which could not be undone; then 3 came.
        assert_eq!(taken_again(&[-1], 0, 3), (4, -1, false));
        // Somebody else has them.
        assert_eq!(steps(1, -2, 0), None);
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
