//! The targets of epoll instances. A task adds them while it has nothing else open: each file is for a moment under the
//! number by which it was added once, whatever has that number later.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use super::build;
use super::construction::Built;
use super::plan::{Plan, TaskPlan};
use super::transport::{Parcel, Transport};
use crate::error::{Error, Result};
use crate::image::message::{EventpollFileEntry, FdinfoEntry};
use crate::report::NotKept;
use crate::resource::file::event::epoll::{Target, targets};
use crate::tracee::{Batch, Loan};

/// Files that a task gets at once.
const AT_ONCE: usize = 1000;

/// The instances that have targets, each with the index of the first task that knows them all.
pub(super) fn instances(plan: &Plan) -> Result<Vec<(usize, EventpollFileEntry, Vec<Target>)>> {
    let entries = plan.files.entries().filter_map(|entry| entry.epfd.as_ref());
    entries
        .filter(|entry| !entry.tfd.is_empty())
        .map(|entry| {
            let of_task = |(index, table): &(usize, &Vec<FdinfoEntry>)| {
                targets(entry, table).map(|targets| (*index, entry.clone(), targets))
            };
            let has = |table: &[FdinfoEntry]| table.iter().any(|descriptor| descriptor.id == entry.id);
            let (holders, others): (Vec<_>, Vec<_>) = tables(plan).partition(|(_, table)| has(table));
            // What is in flight nobody has: its targets have files, or CRIU means numbers of some task.
            let candidates = if holders.is_empty() { others } else { holders };
            candidates.iter().find_map(of_task).ok_or_else(|| {
                Error::image(
                    "files.img",
                    format!("epoll instance {:#x} watches files that are not there", entry.id),
                )
            })
        })
        .collect()
}

/// The descriptors of each task, by its index.
fn tables(plan: &Plan) -> impl Iterator<Item = (usize, &Vec<FdinfoEntry>)> {
    let table = |task: &TaskPlan| plan.tables.get(&task.body.as_ref()?.ids.files_id);
    plan.tasks.iter().enumerate().filter_map(move |(index, task)| Some((index, table(task)?)))
}

/// Adds the targets of one instance. The task has nothing open but the far end of the transport.
pub(super) fn watch(
    built: &mut Built,
    plan: &mut Plan,
    transport: &Transport,
    (entry, mut targets): (EventpollFileEntry, Vec<Target>),
    told: &mut dyn FnMut(String),
) -> Result<()> {
    let epoll = plan.files.open(entry.id)?;
    // While nothing else can be reported.
    targets.sort_by_key(|target| !target.is_disarmed());
    while !targets.is_empty() {
        let mut numbers = HashSet::new();
        let (now, later): (Vec<Target>, Vec<Target>) =
            targets.into_iter().partition(|target| numbers.len() < AT_ONCE && numbers.insert(target.number));
        targets = later;
        let held: Vec<Rc<OwnedFd>> =
            now.iter().map(|target| plan.files.open(target.file)).collect::<Result<_>>()?;
        let number = transport.unused(&numbers);
        let mut parcels: Vec<Parcel> =
            now.iter().zip(&held).map(|(target, fd)| parcel(fd, target.number)).collect();
        parcels.push(parcel(&epoll, number));
        parcels.sort_by_key(|parcel| parcel.number);
        transport.install(&mut built.loan, BTreeSet::new(), &parcels)?;
        for target in add(&mut built.loan, number, &now)? {
            told(format!("epoll: what was descriptor {} is disarmed (EPOLLONESHOT)", target.number));
        }
        build::run(&mut built.loan, |batch| transport.close_all_else(batch))?;
    }
    Ok(())
}

/// Some told lines name what is not kept.
pub(super) fn not_kept(pid: i32, comm: String, what: String) -> NotKept {
    let consequence = "an error or hang-up of that file is reported all the same".to_owned();
    NotKept { pid, comm, what, consequence }
}

fn parcel(fd: &OwnedFd, number: u32) -> Parcel {
    Parcel { fd: fd.as_raw_fd(), number: number as i32, close_on_exec: true }
}

/// Adds targets to the instance that is descriptor `epoll`; returns those that could not be disarmed. Only what is
/// reported gets disarmed, and a file that is ready for nothing is not reported.
fn add(loan: &mut Loan, epoll: u32, targets: &[Target]) -> Result<Vec<Target>> {
    let mut batch = loan.batch();
    let room = batch.reserve(size_of::<libc::epoll_event>());
    let mut reported = Vec::new();
    for target in targets {
        control(&mut batch, epoll, libc::EPOLL_CTL_ADD, target, target.any_events());
        if target.is_disarmed() {
            let args = [epoll.into(), room, 1, 0, 0, arch::SIGMASK_LEN as u64];
            reported.push((*target, batch.call("epoll_pwait", libc::SYS_epoll_pwait, &args)));
        }
    }
    loan.run(&mut batch)?;
    batch.expect_all()?;
    let armed: Vec<Target> = reported
        .into_iter()
        .filter(|(_, call)| batch.ret(*call).is_ok_and(|events| events == 0))
        .map(|(target, _)| target)
        .collect();
    build::run(loan, |batch| {
        armed.iter().for_each(|target| control(batch, epoll, libc::EPOLL_CTL_MOD, target, target.events));
    })?;
    Ok(armed)
}

fn control(batch: &mut Batch, epoll: u32, operation: i32, target: &Target, events: u32) {
    let mut bytes = [0; size_of::<libc::epoll_event>()];
    // The machines place the data differently.
    let at = std::mem::offset_of!(libc::epoll_event, u64);
    let pieces = [(0, &events.to_ne_bytes()[..]), (at, &target.data.to_ne_bytes()[..])];
    for (at, piece) in pieces {
        bytes.iter_mut().skip(at).zip(piece).for_each(|(to, from)| *to = *from);
    }
    let event = batch.put(&bytes);
    let args = [epoll.into(), operation as u64, target.number.into(), event];
    batch.call(format!("epoll_ctl of what was descriptor {}", target.number), libc::SYS_epoll_ctl, &args);
}
