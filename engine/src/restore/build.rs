//! One task under construction: the steps that `construction` takes with each, in their order.

use std::collections::HashSet;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::OFlag;

use super::birth;
use super::cgroup;
use super::construction::Built;
use super::plan::{Body, Plan, TaskPlan};
use super::transport::{Parcel, Transport};
use super::userfaultfd;
use crate::check::{self, Feature};
use crate::error::{Error, OsContext, Result};
use crate::fault;
use crate::image::message::{CoreEntry, CredsEntry, FdinfoEntry, FileLockEntry, FsEntry, TaskCoreEntry};
use crate::kernel::{ProcDir, attr, status};
use crate::report::{NotKept, RestoreStats};
use crate::resource::cgroup::CgroupRestore;
use crate::resource::file::{FileRestore, fs, lock};
use crate::resource::memory::aio;
use crate::resource::memory::restore::{self as memory_restore, Blueprint, Supplies};
use crate::resource::memory::shared::SharedRestore;
use crate::resource::memory::vdso::{Fit, Runtime, VdsoFit};
use crate::resource::task::seccomp::{self, Seccomp, SeccompRestore};
use crate::resource::task::{attributes, credentials, registers, scheduling, signals, timers};
use crate::sys::process;
use crate::sys::ptrace;
use crate::sys::tty;
use crate::tracee::{Batch, Loan, await_end};

const THREAD_FLAGS: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;
/// Threads that one batch bears; a batch holds a few thousand calls.
const THREADS_AT_ONCE: usize = 500;
const RSEQ_FLAG_UNREGISTER: u64 = 1;
const ROBUST_LIST_HEAD_LEN: u64 = 3 * size_of::<usize>() as u64;

/// Runs the calls that `fill` adds; all must succeed.
pub(super) fn run(loan: &mut Loan, fill: impl FnOnce(&mut Batch)) -> Result<()> {
    let mut batch = loan.batch();
    fill(&mut batch);
    loan.run(&mut batch)?;
    batch.expect_all()
}

/// Takes from a fresh child what it has of us: registrations with the kernel, signal actions, descriptors.
pub(super) fn settle(loan: &mut Loan, transport: &Transport) -> Result<()> {
    let rseq = loan.rseq()?;
    run(loan, |batch| {
        if rseq.address != 0 {
            let args = [rseq.address, rseq.size.into(), RSEQ_FLAG_UNREGISTER, rseq.signature.into()];
            batch.call("rseq unregister", libc::SYS_rseq, &args);
        }
        batch.call("set_robust_list", libc::SYS_set_robust_list, &[0, ROBUST_LIST_HEAD_LEN]);
        batch.call("set_tid_address", libc::SYS_set_tid_address, &[0]);
        batch.call("prctl PR_SET_PDEATHSIG", libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG as u64, 0]);
        let defaults = vec![Default::default(); signals::with_action().count()];
        signals::restore_actions(batch, &defaults);
        // Descriptors may need the numbers up to the hard limit until the limits are set.
        let hard = crate::sys::attr::prlimit(0, libc::RLIMIT_NOFILE, None).map_or(1024, |(_, hard)| hard);
        let limit = batch.put(&[hard, hard].map(u64::to_ne_bytes).concat());
        batch.call("prlimit NOFILE", libc::SYS_prlimit64, &[0, libc::RLIMIT_NOFILE.into(), limit, 0]);
        transport.settle(batch);
    })
}

/// What the address spaces of all tasks are built with.
pub(super) struct Workshop<'a> {
    pub(super) transport: &'a Transport,
    pub(super) runtime: &'a Runtime,
    pub(super) keep: &'a [Range<u64>],
    pub(super) stats: &'a mut RestoreStats,
    /// Processors on which we may run.
    pub(super) home: &'a [u32],
}

/// Builds the address space, on top of that of the task which this one was born of.
pub(super) fn memory(
    plan: &mut Plan,
    index: usize,
    built: &mut Built,
    origin_fit: &Fit,
    with: Workshop<'_>,
) -> Result<()> {
    let Workshop { transport, runtime, keep, stats, home } = with;
    let Plan { tasks, lineage, files, shared, ipc, .. } = plan;
    let body = |index: usize| tasks.get(index).and_then(|task| task.body.as_ref());
    let origin = lineage.origin(index).and_then(body);
    let Some(body) = body(index) else { return Ok(()) };
    built.fit = runtime.fit(&body.mm, body.pages.as_ref())?;
    let origin = origin.map(|o| Blueprint { mm: &o.mm, pages: o.pages.as_ref(), fit: origin_fit });
    let new = Blueprint { mm: &body.mm, pages: body.pages.as_ref(), fit: &built.fit };
    let lend = |batch: &mut Batch, fds: &[RawFd]| transport.lend(batch, fds);
    let mut with = Supplies { files, shared, segments: &ipc.segments, lend: &lend, keep, stats, home };
    memory_restore::build(&mut built.loan, &new, origin.as_ref(), &mut with)
}

/// Ends a task as the zombie that it was.
pub(super) fn name_and_exit(loan: &mut Loan, process: &TaskCoreEntry) -> Result<()> {
    let (mut batch, status) = (loan.batch(), process.exit_code);
    let mut name = process.comm.clone();
    name.truncate(15);
    name.push(0);
    let name = batch.put(&name);
    batch.call("prctl PR_SET_NAME", libc::SYS_prctl, &[libc::PR_SET_NAME as u64, name]);
    // Without a limit of 0 a signal that dumps core would leave a file behind.
    let none = batch.put(&[0; 16]);
    batch.call("prlimit CORE", libc::SYS_prlimit64, &[0, libc::RLIMIT_CORE.into(), none, 0]);
    loan.run(&mut batch)?;
    batch.expect_all()?;
    let (signal, tid) = ((status & 0x7f) as i32, loan.tid());
    // Delivery of the signal is ours to allow, once the thread reports it.
    ptrace::set_sigmask(tid, 0).os(|| format!("PTRACE_SETSIGMASK {tid}"))?;
    if signal == 0 {
        loan.start_one(libc::SYS_exit_group as u64, [(status >> 8).into(), 0, 0, 0, 0, 0])?;
    } else {
        loan.start_one(libc::SYS_tgkill as u64, [tid as u64, tid as u64, signal as u64, 0, 0, 0])?;
    }
    await_end(tid, signal)
}

/// Sets the audit login uid, which only the task itself can write (proc_loginuid_write in fs/proc/base.c). One that is
/// set can be changed by CAP_AUDIT_CONTROL alone, and not at all if the kernel was told so: then it is told.
pub(super) fn log_in(
    task: &TaskPlan,
    built: &mut Built,
    transport: &Transport,
    told: &mut Vec<NotKept>,
) -> Result<()> {
    let (Some(wanted), Some(now)) = (task.process().loginuid, attr::loginuid(&built.proc)?) else {
        return Ok(());
    };
    if wanted == now {
        return Ok(());
    }
    let file = built.proc.open_file("loginuid", OFlag::O_WRONLY)?;
    let loan = &mut built.loan;
    let mut batch = loan.batch();
    let number = transport.lend(&mut batch, &[file.as_raw_fd()])?.first().copied().unwrap_or(-1) as u64;
    let text = wanted.to_string();
    let bytes = batch.put(text.as_bytes());
    let write = batch.attempt("write of the login uid", libc::SYS_write, &[number, bytes, text.len() as u64]);
    batch.call("close", libc::SYS_close, &[number]);
    loan.run(&mut batch)?;
    batch.expect_all()?;
    if let Err(e) = batch.ret(write) {
        told.push(NotKept {
            pid: task.pid,
            comm: task.comm(),
            what: format!("audit login uid {wanted}: {e}"),
            consequence: format!("the audit log says {now}"),
        });
    }
    Ok(())
}

/// Sets working directory, root and umask.
pub(super) fn place_in_file_system(
    built: &mut Built,
    fs: &FsEntry,
    plan: &mut Plan,
    transport: &Transport,
) -> Result<()> {
    let view = fs::open(&mut plan.files, fs)?;
    let loan = &mut built.loan;
    let mut batch = loan.batch();
    let wanted: Vec<RawFd> = std::iter::once(&view.cwd).chain(&view.root).map(|fd| fd.as_raw_fd()).collect();
    let numbers = transport.lend(&mut batch, &wanted)?;
    let dot = batch.put(b".\0");
    if let Some(root) = numbers.get(1) {
        batch.call("fchdir to the root", libc::SYS_fchdir, &[*root as u64]);
        batch.call("chroot", libc::SYS_chroot, &[dot]);
    }
    batch.call("fchdir", libc::SYS_fchdir, &[numbers.first().copied().unwrap_or(-1) as u64]);
    for number in numbers {
        batch.call("close", libc::SYS_close, &[number as u64]);
    }
    batch.call("umask", libc::SYS_umask, &[view.umask.unwrap_or(0o22).into()]);
    loan.run(&mut batch)?;
    batch.expect_all()
}

/// Installs the descriptors of a table: those that need nothing else installed, or, `after` these, the others.
/// `asynchronous` are the descriptions for which a task has switched on O_ASYNC: the signals tell the number by which it
/// was done, so that no other way leads to it.
pub(super) fn install_table(
    built: &mut Built,
    files_id: u32,
    plan: &mut Plan,
    transport: &Transport,
    after: bool,
    asynchronous: &mut HashSet<u32>,
) -> Result<()> {
    let Plan { tables, files, .. } = plan;
    let all = tables.get(&files_id).into_iter().flatten();
    let (entries, others): (Vec<&FdinfoEntry>, Vec<_>) =
        all.partition(|entry| files.needs_tables(entry.id) == after);
    if entries.is_empty() {
        return Ok(());
    }
    let mut held = Vec::new();
    for entry in &entries {
        held.push(files.open(entry.id)?);
    }
    let parcels: Vec<Parcel> = entries
        .iter()
        .zip(&held)
        .map(|(entry, fd)| Parcel {
            fd: fd.as_raw_fd(),
            number: entry.fd as i32,
            close_on_exec: entry.flags & libc::FD_CLOEXEC as u32 != 0,
        })
        .collect();
    let taken = others.iter().filter(|_| after).map(|entry| entry.fd as i32).collect();
    transport.install(&mut built.loan, taken, &parcels)?;
    let mut batch = built.loan.batch();
    for entry in entries {
        if let Some(flags) = files.asynchronous(entry.id)
            && asynchronous.insert(entry.id)
        {
            let args = [entry.fd.into(), libc::F_SETFL as u64, flags as u64];
            batch.call(format!("fcntl {} F_SETFL {flags:#o}", entry.fd), libc::SYS_fcntl, &args);
        }
    }
    built.loan.run(&mut batch)?;
    batch.expect_all()
}

/// Makes the AIO contexts, while the task has nothing else open.
pub(super) fn asynchronous_contexts(built: &mut Built, body: &Body, transport: &Transport) -> Result<()> {
    let lend = |batch: &mut Batch, fds: &[RawFd]| transport.lend(batch, fds);
    aio::restore(&mut built.loan, &body.mm, body.pages.as_ref(), &lend)
}

/// Takes a lock or lease.
pub(super) fn lock(built: &mut Built, entry: &FileLockEntry) -> Result<()> {
    let mut batch = built.loan.batch();
    let call = lock::take(&mut batch, entry)?;
    built.loan.run(&mut batch)?;
    batch.expect(call).map(drop).map_err(|e| lock::explain(e, entry))
}

/// Makes a terminal the controlling one of the session that the task leads.
pub(super) fn claim_terminal(built: &mut Built, terminal: &OwnedFd, transport: &Transport) -> Result<()> {
    let mut batch = built.loan.batch();
    let number = transport.lend(&mut batch, &[terminal.as_raw_fd()])?.first().copied().unwrap_or(-1) as u64;
    batch.call("ioctl TIOCSCTTY", libc::SYS_ioctl, &[number, tty::number(libc::TIOCSCTTY), 1]);
    batch.call("close", libc::SYS_close, &[number]);
    built.loan.run(&mut batch)?;
    batch.expect_all()
}

/// Opens the controlling terminal of the task's session; `flags` are those of open(2). The path leads every opener to
/// its own terminal, so the task opens it, and we take the description from there.
pub(super) fn open_controlling(built: &mut Built, flags: u32) -> Result<OwnedFd> {
    let mut batch = built.loan.batch();
    let path = batch.put(b"/dev/tty\0");
    let flags = flags as i32 & !libc::O_ASYNC | libc::O_NOCTTY | libc::O_CLOEXEC;
    let args = [libc::AT_FDCWD as u64, path, flags as u64, 0];
    let opened = batch.call("open /dev/tty", libc::SYS_openat, &args);
    built.loan.run(&mut batch)?;
    let number = batch.expect(opened)?;
    take_descriptor(built, number, "/dev/tty")
}

/// Takes a descriptor that a task has just opened, `what`, away from it.
pub(super) fn take_descriptor(built: &mut Built, number: u64, what: &str) -> Result<OwnedFd> {
    let pid = built.proc.pid();
    let pidfd = process::pidfd_open(pid).os(|| format!("pidfd_open {pid}"))?;
    let fd = process::pidfd_getfd(pidfd.as_fd(), number as i32).os(|| format!("pidfd_getfd of {what}"))?;
    run(&mut built.loan, |batch| {
        batch.call("close", libc::SYS_close, &[number]);
    })?;
    Ok(fd)
}

/// Sets the foreground group of the controlling terminal. A group that nobody is in any more cannot be set; the terminal
/// has none then, as before.
pub(super) fn set_foreground(
    built: &mut Built,
    terminal: &OwnedFd,
    pgrp: i32,
    transport: &Transport,
) -> Result<()> {
    let mut batch = built.loan.batch();
    let number = transport.lend(&mut batch, &[terminal.as_raw_fd()])?.first().copied().unwrap_or(-1) as u64;
    let pgrp = batch.put(&pgrp.to_ne_bytes());
    batch.attempt("ioctl TIOCSPGRP", libc::SYS_ioctl, &[number, tty::number(libc::TIOCSPGRP), pgrp]);
    batch.call("close", libc::SYS_close, &[number]);
    built.loan.run(&mut batch)?;
    batch.expect_all()
}

/// What all tasks are completed with.
pub(super) struct Finish<'a> {
    pub(super) shared: &'a SharedRestore,
    pub(super) seccomp: &'a SeccompRestore,
    pub(super) identity: &'a Identity,
    /// The transport, if the task is the first of those with its table, and has to leave it.
    pub(super) leave: Option<&'a Transport>,
    /// The CPUs of a thread whose image does not say.
    pub(super) home: &'a [u32],
}

/// The credentials that every task starts with, which are ours; most need no others.
pub(super) struct Identity {
    own: CredsEntry,
    last_cap: u32,
}

impl Identity {
    /// That of this process, and the highest capability of this kernel.
    pub(super) fn current() -> Result<Self> {
        let securebits = crate::sys::attr::securebits().os(|| "prctl PR_GET_SECUREBITS")?;
        let own = credentials::dump(&status::read(&ProcDir::current()?)?, securebits);
        Ok(Identity { own, last_cap: last_capability()? })
    }
}

/// Bears the threads besides the leader. They are born in its cgroups.
pub(super) fn threads(task: &TaskPlan, built: &mut Built, cgroups: &CgroupRestore) -> Result<()> {
    let tids: Vec<i32> = task.threads.iter().skip(1).map(|(tid, _)| *tid).collect();
    for tids in tids.chunks(THREADS_AT_ONCE) {
        birth::bear_threads(&mut built.loan, tids, THREAD_FLAGS as u64)?;
    }
    cgroup::join_threads(task, built, cgroups)?;
    built.threads = tids;
    Ok(())
}

/// Everything that is set last, but for what [`depart`] does.
pub(super) fn complete(
    task: &TaskPlan,
    body: &Body,
    built: &mut Built,
    with: &Finish<'_>,
    told: &mut Vec<NotKept>,
) -> Result<()> {
    let Finish { shared, home, leave, .. } = with;
    let (process, leave) = (task.process(), *leave);
    memory_restore::finish(&mut built.loan, &body.mm, &built.fit, shared)?;
    attributes::restore_by_proc(&built.proc, &process, body.mm.coredump_filter)?;
    complete_process(&process, task.pid, &mut built.loan, leave)?;
    let loan = &mut built.loan;
    // The leader comes last: what it changes for all, no other thread may still need.
    let in_order = || task.threads.iter().skip(1).chain(task.threads.first());
    let filters = with.seccomp.of_threads(in_order().map(|(_, core)| core), &process)?;
    for ((tid, core), filters) in in_order().zip(&filters) {
        if loan.tid() != *tid {
            loan.switch(*tid)?;
        }
        complete_thread((task.pid, *tid), core, (&process, filters), with.identity, loan)?;
        complete_outside(task, *tid, core, home, told)?;
        let (regs, others) = registers::load(core, "core")?;
        loan.set_departure(regs, others, signals::blocked(&TaskPlan::thread(core), &process));
    }
    run(loan, |batch| attributes::restore_memory(batch, &body.mm))
}

/// Arms the timers, has faults reported, and leaves the task's memory; it stands ready to be detached afterwards.
pub(super) fn depart(
    task: &TaskPlan,
    built: &mut Built,
    runtime: &Runtime,
    files: &FileRestore,
) -> Result<()> {
    if let Some(body) = &task.body {
        userfaultfd::register(built, &body.mm, files)?;
    }
    let loan = &mut built.loan;
    if let Some(timers) = &task.process().timers {
        timers::arm(loan, timers)?;
    }
    runtime.place(loan, &built.fit)?;
    match built.fit.vdso {
        VdsoFit::Same(_) | VdsoFit::Proxy(_) => loan.depart()?,
        VdsoFit::Absent => loan.depart_without(runtime.range())?,
    }
    for (address, section) in
        task.threads.iter().filter_map(|(_, core)| attributes::rseq_section(core.thread_core.as_ref()?))
    {
        let word = section.to_ne_bytes();
        built.loan.memory().write_all_at(&word, address).os(|| format!("write rseq_cs at {address:x}"))?;
    }
    files.protect(task.pid)
}

/// What belongs to the process as a whole and needs our privileges.
fn complete_process(
    process: &TaskCoreEntry,
    pid: i32,
    loan: &mut Loan,
    leave: Option<&Transport>,
) -> Result<()> {
    run(loan, |batch| {
        leave.iter().for_each(|transport| transport.leave(batch));
        signals::forget_children(batch);
        signals::restore_actions(batch, process.sigactions.iter().chain(&process.more_sigactions));
        attributes::restore_privileged(batch, process);
    })?;
    let posix = process.timers.as_ref().map_or(&[][..], |timers| &timers.posix);
    if !posix.is_empty() {
        timers::create(loan, posix, check::probe(Feature::TimerRestoreIds).is_present())?;
    }
    process.signals_s.iter().try_for_each(|queue| signals::restore_queue(loan, pid, true, queue))
}

fn complete_thread(
    (pid, tid): (i32, i32),
    core: &CoreEntry,
    (process, filters): (&TaskCoreEntry, &Seccomp<'_>),
    identity: &Identity,
    loan: &mut Loan,
) -> Result<()> {
    let thread = TaskPlan::thread(core);
    thread.signals_p.iter().try_for_each(|queue| signals::restore_queue(loan, pid, false, queue))?;
    let mut batch = loan.batch();
    attributes::restore_thread(&mut batch, &thread, registers::clear_tid_addr(core));
    registers::restore_thread_area(&mut batch, core);
    if let Some(stack) = &thread.sas {
        signals::restore_stack(&mut batch, stack);
    }
    // Signals and timers of all threads count against them, and raising one takes a privilege of ours. The leader comes
    // last.
    if tid == pid {
        attributes::restore_limits(&mut batch, process);
    }
    // While it may: a thread with fewer capabilities would have to promise no_new_privs, which it may not have. What it
    // calls from here on, its tracer has exempted.
    seccomp::restore(&mut batch, filters);
    if let Some(creds) = thread.creds.as_ref().filter(|creds| **creds != identity.own) {
        credentials::check_powers(creds, &identity.own, identity.last_cap)?;
        credentials::restore(&mut batch, creds, identity.last_cap);
    }
    attributes::restore_pdeath(&mut batch, &thread);
    loan.run(&mut batch)?;
    batch.expect_all()?;
    fault::point("credentials-changed")
}

/// What we set from outside, which no privilege of the thread limits.
fn complete_outside(
    task: &TaskPlan,
    tid: i32,
    core: &CoreEntry,
    home: &[u32],
    told: &mut Vec<NotKept>,
) -> Result<()> {
    let mut lines = Vec::new();
    scheduling::restore(tid, &TaskPlan::thread(core), home, &mut lines)?;
    told.extend(lines.into_iter().map(|what| NotKept {
        pid: task.pid,
        comm: task.comm(),
        what,
        consequence: "it may run elsewhere than it wanted".to_owned(),
    }));
    Ok(())
}

/// The highest capability of this kernel.
fn last_capability() -> Result<u32> {
    let path = "/proc/sys/kernel/cap_last_cap";
    let text = std::fs::read_to_string(path).os(|| format!("read {path}"))?;
    text.trim().parse().map_err(|_| Error::bug(format!("{path} says {text:?}")))
}
