//! Interval timers (setitimer(2)) and POSIX timers (timer_create(2)) of a process.
//!
//! /proc/PID/timers names the POSIX timers with clock and notification; intervals, remaining times and overruns are only
//! known to the process. Timers stand still from dump to restore: what remained then remains now.
//!
//! A timer's id is a name that the program keeps. Since Linux 6.15 prctl(PR_TIMER_CREATE_RESTORE_IDS) lets timer_create
//! take the wanted id; before, ids count up from 0 in each process, so that creating and deleting reaches it.
//!
//! Not kept: timers on the CPU time of a process that is not in the tree or of a thread that has ended, and which thread
//! made a timer of CLOCK_THREAD_CPUTIME_ID, whose time it counts: nothing shows it.

use arch::syscall;

use crate::error::{Blame, Error, Result};
use crate::image::message::{ItimerEntry, PosixTimerEntry, TaskTimersEntry};
use crate::kernel::Pid;
use crate::kernel::timers::{Notify, Timer};
use crate::report::NotKept;
use crate::tracee::{Batch, CallId, FrozenTask, Loan};

const PR_TIMER_CREATE_RESTORE_IDS: u64 = 77;
/// Beyond this, counting up would take minutes.
const MOST_IDS_TO_COUNT: u32 = 100_000;
/// An area in a victim has room for some more.
const TIMERS_AT_ONCE: usize = 500;
const KINDS: [(u64, &str); 3] = [(0, "ITIMER_REAL"), (1, "ITIMER_VIRTUAL"), (2, "ITIMER_PROF")];
const WORD: u64 = size_of::<usize>() as u64;

/// The bits of a CPU clock's id below the pid, which is inverted: include/linux/posix-timers_types.h.
const CLOCK_BITS: u32 = 3;
const CLOCK_OF_THREAD: i32 = 4;
const CLOCK_KIND: i32 = 3;
/// Not the time of a task, but a clock that a descriptor leads to.
const KIND_DESCRIPTOR: i32 = 3;

/// The timers of a task of `tree` that can be made again, as they are to be; the others are told.
pub fn restorable(
    timers: Vec<Timer>,
    task: &FrozenTask,
    tree: &[Pid],
    told: &mut Vec<NotKept>,
) -> Vec<Timer> {
    let (kept, lost): (Vec<_>, Vec<_>) =
        timers.into_iter().partition(|timer| has_clock(timer.clock, &task.threads, tree));
    let report = |timer: Timer| self::lost((task.pid, &task.comm), timer.id as u32, timer.clock);
    told.extend(lost.into_iter().map(report));
    kept.into_iter().map(|timer| silenced(timer, &task.threads)).collect()
}

/// Whether a task with these threads can make a timer on this clock in the restored tree.
fn has_clock(clock: i32, threads: &[Pid], tree: &[Pid]) -> bool {
    let owner = !(clock >> CLOCK_BITS);
    let of_task = clock < 0 && clock & CLOCK_KIND != KIND_DESCRIPTOR;
    match clock & CLOCK_OF_THREAD {
        // The caller's.
        _ if !of_task || owner == 0 => true,
        0 => tree.contains(&owner),
        _ => threads.contains(&owner),
    }
}

/// A timer whose thread has ended goes on, but tells nobody (posixtimer_send_sigqueue() in kernel/signal.c). A new one for
/// that thread would be refused; SIGEV_NONE does the same.
fn silenced(timer: Timer, threads: &[Pid]) -> Timer {
    match timer.thread && !threads.contains(&timer.target) {
        true => Timer { notify: Notify::None, thread: false, ..timer },
        false => timer,
    }
}

/// Gives timers of an image, of which older dumps have written more than can be made, to a task with these threads: one
/// whose thread had ended tells nobody, and what counts a time that nobody has is taken out and returned.
pub fn adopt(timers: &mut Vec<PosixTimerEntry>, threads: &[Pid], tree: &[Pid]) -> Vec<PosixTimerEntry> {
    for timer in timers.iter_mut() {
        let of_thread = timer.it_sigev_notify & libc::SIGEV_THREAD_ID as u32 != 0;
        if of_thread && timer.notify_thread_id.is_some_and(|tid| !threads.contains(&tid)) {
            (timer.it_sigev_notify, timer.notify_thread_id) = (libc::SIGEV_NONE as u32, None);
        }
    }
    let all = std::mem::take(timers);
    let (kept, lost) = all.into_iter().partition(|timer| has_clock(timer.clock_id as i32, threads, tree));
    *timers = kept;
    lost
}

/// The report of a timer that is not made again.
pub fn lost((pid, comm): (Pid, &str), id: u32, clock: i32) -> NotKept {
    NotKept {
        pid,
        comm: comm.to_owned(),
        what: format!("POSIX timer {id} on the CPU time of {}", !(clock >> CLOCK_BITS)),
        consequence: "calls for this timer fail".to_owned(),
    }
}

/// A batch's calls for the timers of a process.
#[derive(Debug)]
pub struct TimersQuestion {
    interval: u64,
    posix: PosixQuestion,
    /// Those that are too many for one batch.
    more: Vec<Timer>,
}

/// A batch's calls for some POSIX timers.
#[derive(Debug)]
struct PosixQuestion(Vec<(Timer, u64, CallId)>);

fn word_at(batch: &Batch, at: u64) -> u64 {
    if WORD == 8 { batch.u64_at(at) } else { batch.u32_at(at).into() }
}

/// `struct itimerval`: words of the machine.
fn itimerval(words: [u64; 4]) -> Vec<u8> {
    words.iter().flat_map(|word| (*word as usize).to_ne_bytes()).collect()
}

/// `struct __kernel_itimerspec`: 64 bits each, on all machines.
fn itimerspec(words: [u64; 4]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

impl TimersQuestion {
    /// Adds the calls; `posix` is what /proc/PID/timers lists.
    pub fn ask(batch: &mut Batch, mut posix: Vec<Timer>) -> Self {
        let interval = batch.reserve(KINDS.len() * 4 * WORD as usize);
        for (kind, name) in KINDS {
            batch.call(format!("getitimer {name}"), libc::SYS_getitimer, &[kind, interval + kind * 4 * WORD]);
        }
        let more = posix.split_off(posix.len().min(TIMERS_AT_ONCE));
        TimersQuestion { interval, posix: PosixQuestion::ask(batch, &posix), more }
    }

    /// Reads the results, and asks for what was too much.
    pub fn answer(self, batch: &Batch, loan: &mut Loan) -> Result<TaskTimersEntry> {
        let itimer = |kind: u64| {
            let at = self.interval + kind * 4 * WORD;
            let [isec, iusec, vsec, vusec] = [0, 1, 2, 3].map(|i| word_at(batch, at + i * WORD));
            ItimerEntry { isec, iusec, vsec, vusec }
        };
        let mut posix = self.posix.answer(batch)?;
        for timers in self.more.chunks(TIMERS_AT_ONCE) {
            let mut batch = loan.batch();
            let question = PosixQuestion::ask(&mut batch, timers);
            loan.run(&mut batch)?;
            posix.extend(question.answer(&batch)?);
        }
        Ok(TaskTimersEntry { real: itimer(0), virt: itimer(1), prof: itimer(2), posix })
    }
}

impl PosixQuestion {
    fn ask(batch: &mut Batch, timers: &[Timer]) -> Self {
        let ask = |timer: &Timer| {
            let room = batch.reserve(4 * 8);
            let id = timer.id as u64;
            batch.call(format!("timer_gettime {id}"), syscall::TIMER_GETTIME, &[id, room]);
            let overrun = batch.call(format!("timer_getoverrun {id}"), libc::SYS_timer_getoverrun, &[id]);
            (*timer, room, overrun)
        };
        PosixQuestion(timers.iter().map(ask).collect())
    }

    fn answer(&self, batch: &Batch) -> Result<Vec<PosixTimerEntry>> {
        let answer = |(timer, at, overrun): &(Timer, u64, CallId)| {
            let [isec, insec, vsec, vnsec] = [0, 8, 16, 24].map(|offset| batch.u64_at(at + offset));
            Ok(PosixTimerEntry {
                it_id: timer.id as u32,
                clock_id: timer.clock as u32,
                si_signo: timer.signal as u32,
                it_sigev_notify: notify_bits(timer),
                sival_ptr: timer.value,
                overrun: batch.expect(*overrun)? as u32,
                isec,
                insec,
                vsec,
                vnsec,
                notify_thread_id: timer.thread.then_some(timer.target),
            })
        };
        self.0.iter().map(answer).collect()
    }
}

fn notify_bits(timer: &Timer) -> u32 {
    let how = match timer.notify {
        Notify::Signal => libc::SIGEV_SIGNAL,
        Notify::None => libc::SIGEV_NONE,
        Notify::Thread => libc::SIGEV_THREAD,
    };
    (how | if timer.thread { libc::SIGEV_THREAD_ID } else { 0 }) as u32
}

/// Creates the POSIX timers, disarmed. `restore_ids`: this kernel takes wanted ids.
pub fn create(loan: &mut Loan, timers: &[PosixTimerEntry], restore_ids: bool) -> Result<()> {
    if timers.is_empty() {
        return Ok(());
    }
    let mut timers: Vec<_> = timers.iter().collect();
    timers.sort_by_key(|timer| timer.it_id);
    let what = "prctl PR_TIMER_CREATE_RESTORE_IDS";
    let switch = |loan: &mut Loan, on: u64| match restore_ids {
        true => loan.run_each([on], |batch, on| {
            batch.call(what, libc::SYS_prctl, &[PR_TIMER_CREATE_RESTORE_IDS, on]);
            Ok(())
        }),
        false => Ok(()),
    };
    switch(loan, 1)?;
    let (mut next, mut steps) = (0, Vec::new());
    for timer in timers {
        let skipped = if restore_ids { timer.it_id..timer.it_id } else { next..timer.it_id };
        if skipped.len() > MOST_IDS_TO_COUNT as usize {
            let reason = format!("timer {} is out of reach by counting", timer.it_id);
            return Err(Error::new("E-TIMER-ID", Blame::Kernel, reason)
                .help("restore on Linux 6.15 or later, which gives a timer the id that is asked for"));
        }
        next = timer.it_id.saturating_add(1);
        steps.extend(skipped.map(|id| (timer, id)));
        steps.push((timer, timer.it_id));
    }
    loan.run_each(steps, |batch, (timer, id)| {
        create_one(batch, timer, id);
        if id != timer.it_id {
            batch.call("timer_delete", libc::SYS_timer_delete, &[id.into()]);
        }
        Ok(())
    })?;
    switch(loan, 0)
}

fn create_one(batch: &mut Batch, timer: &PosixTimerEntry, id: u32) {
    // struct sigevent: value, signo, notify, tid; 64 bytes.
    let mut event = (timer.sival_ptr as usize).to_ne_bytes().to_vec();
    event.extend(timer.si_signo.to_ne_bytes());
    event.extend(timer.it_sigev_notify.to_ne_bytes());
    event.extend(timer.notify_thread_id.unwrap_or(0).to_ne_bytes());
    event.resize(64, 0);
    let event = batch.put(&event);
    let at = batch.put(&id.to_ne_bytes());
    batch.call(format!("timer_create {id}"), libc::SYS_timer_create, &[timer.clock_id.into(), event, at]);
}

/// What setitimer(2) is to be given, if the timer runs. One with an interval but nothing left has expired, and its signal
/// was not taken yet: the kernel starts it again when that happens (kernel/signal.c, dequeue_signal), which a value
/// of 0 would prevent.
fn interval_timer(t: &ItimerEntry) -> Option<[u64; 4]> {
    match (t.isec, t.iusec, t.vsec, t.vusec) {
        (0, 0, 0, 0) => None,
        (isec, iusec, 0, 0) => Some([isec, iusec, isec, iusec]),
        (isec, iusec, vsec, vusec) => Some([isec, iusec, vsec, vusec]),
    }
}

/// Arms all timers with what remained: the last thing before the task runs.
pub fn arm(loan: &mut Loan, timers: &TaskTimersEntry) -> Result<()> {
    let interval = KINDS.into_iter().zip([&timers.real, &timers.virt, &timers.prof]);
    loan.run_each(interval, |batch, ((kind, name), t)| {
        if let Some(words) = interval_timer(t) {
            let value = batch.put(&itimerval(words));
            batch.call(format!("setitimer {name}"), libc::SYS_setitimer, &[kind, value, 0]);
        }
        Ok(())
    })?;
    let armed = timers.posix.iter().filter(|t| t.vsec != 0 || t.vnsec != 0);
    loan.run_each(armed, |batch, t| {
        let value = batch.put(&itimerspec([t.isec, t.insec, t.vsec, t.vnsec]));
        let args = [t.it_id.into(), 0, value, 0];
        batch.call(format!("timer_settime {}", t.it_id), syscall::TIMER_SETTIME, &args);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_needs_a_clock_that_is_there() {
        let cpu_time = |pid: i32, of_thread: i32| !pid << CLOCK_BITS | of_thread | 2;
        let has = |clock| has_clock(clock, &[7, 8], &[5, 7]);
        assert!([libc::CLOCK_MONOTONIC, libc::CLOCK_TAI].into_iter().all(has));
        assert!(has(cpu_time(0, 0)) && has(cpu_time(0, CLOCK_OF_THREAD)));
        assert!(has(cpu_time(5, 0)) && has(cpu_time(7, 0)) && has(cpu_time(8, CLOCK_OF_THREAD)));
        assert!(!has(cpu_time(8, 0)) && !has(cpu_time(9, 0)) && !has(cpu_time(5, CLOCK_OF_THREAD)));
    }

    #[test]
    fn a_timer_whose_thread_has_ended_tells_nobody() {
        let (notify, clock) = (Notify::Signal, libc::CLOCK_MONOTONIC);
        let timer = |thread, target| Timer { id: 1, signal: 10, value: 3, notify, thread, target, clock };
        let bits = |timer| notify_bits(&silenced(timer, &[7, 8]));
        assert_eq!(bits(timer(true, 8)), (libc::SIGEV_SIGNAL | libc::SIGEV_THREAD_ID) as u32);
        assert_eq!(bits(timer(false, 7)), libc::SIGEV_SIGNAL as u32);
        assert_eq!(bits(timer(true, 9)), libc::SIGEV_NONE as u32);
    }

    #[test]
    fn timers_of_older_images_are_those_that_can_be_made() {
        let of_thread = (libc::SIGEV_SIGNAL | libc::SIGEV_THREAD_ID) as u32;
        let timer = |it_id, tid, clock: i32| PosixTimerEntry {
            it_id,
            clock_id: clock as u32,
            it_sigev_notify: of_thread,
            notify_thread_id: Some(tid),
            ..PosixTimerEntry::default()
        };
        let (wall, gone) = (libc::CLOCK_MONOTONIC, !9 << CLOCK_BITS | CLOCK_OF_THREAD | 2);
        let mut timers = vec![timer(1, 8, wall), timer(2, 9, wall), timer(3, 8, gone)];
        let lost = adopt(&mut timers, &[7, 8], &[7]);
        assert_eq!(lost.iter().map(|timer| timer.it_id).collect::<Vec<_>>(), [3]);
        let kept = timers.iter().map(|timer| (timer.it_id, timer.it_sigev_notify, timer.notify_thread_id));
        assert_eq!(kept.collect::<Vec<_>>(), [(1, of_thread, Some(8)), (2, libc::SIGEV_NONE as u32, None)]);
        assert!(super::lost((7, "a"), 3, gone).what.ends_with("timer 3 on the CPU time of 9"));
    }

    #[test]
    fn a_timer_that_has_just_expired_goes_on() {
        let timer = |isec, iusec, vsec, vusec| interval_timer(&ItimerEntry { isec, iusec, vsec, vusec });
        assert_eq!(timer(0, 5000, 0, 0), Some([0, 5000, 0, 5000]));
        assert_eq!(timer(0, 5000, 0, 7), Some([0, 5000, 0, 7]));
        assert_eq!(timer(0, 0, 1, 0), Some([0, 0, 1, 0]));
        assert_eq!(timer(0, 0, 0, 0), None);
    }
}
