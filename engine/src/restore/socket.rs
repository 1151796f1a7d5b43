//! Sockets that the kernel notes the maker of: a task makes them, and we take them from there.
//!
//! A maker that is dead is there again for that long, if nobody else has its pid by now: the kernel holds on to what it has
//! noted (`sk_peer_pid` of a socket, the credentials of a message), and names a process also when it is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::build;
use super::construction::{Built, Construction};
use super::helper::Helper;
use super::plan::{Plan, TaskPlan};
use super::transport::Transport;
use crate::error::{OsContext, Result};
use crate::image::message::FdinfoEntry;
use crate::kernel::{Pid, ProcDir};
use crate::report::NotKept;
use crate::resource::socket::{Call, Tasks};
use crate::sys::process::{pidfd_getfd, pidfd_open};
use crate::sys::socket::Credentials;
use crate::tracee::Batch;

/// Leaves an id as it is, setresuid(2).
const KEEP: u64 = u32::MAX as u64;

/// The tasks, while they have nothing open.
struct Makers<'a> {
    tasks: &'a [TaskPlan],
    tables: &'a HashMap<u32, Vec<FdinfoEntry>>,
    built: &'a mut BTreeMap<usize, Built>,
    /// By the pids that they have for now.
    dead: &'a mut BTreeMap<Pid, Helper>,
    transport: &'a Transport,
    /// Processes that could not make a call.
    absent: BTreeSet<Pid>,
}

impl Construction {
    /// Makes all sockets, while every task has our root directory and nothing open.
    pub(super) fn open_sockets(&mut self) -> Result<()> {
        let mut dead = BTreeMap::new();
        for pid in self.dead_makers() {
            dead.insert(pid, self.helper(0, pid, 0)?);
        }
        let Construction { plan: Plan { tasks, tables, files, .. }, built, transport, .. } = self;
        let absent = BTreeSet::new();
        let mut makers = Makers { tasks, tables, built, dead: &mut dead, transport, absent };
        files.open_sockets(&mut makers)?;
        let absent = makers.absent;
        self.tell_absent(absent);
        dead.into_values().try_for_each(|helper| self.dismiss(helper))
    }

    /// The pids of processes that sockets name and that nobody has, nor any thread of the tree will have.
    fn dead_makers(&self) -> Vec<Pid> {
        let tids = self.plan.tasks.iter().flat_map(|task| &task.threads).map(|(tid, _)| *tid);
        let tids: BTreeSet<Pid> = tids.collect();
        // That of a leader is in use as long as its group or session is.
        let is_free = |pid: &Pid| {
            *pid > 0
                && !tids.contains(pid)
                && !self.dead_leaders.contains(pid)
                && ProcDir::open(*pid).is_err()
        };
        self.plan.files.named_by_sockets().into_iter().filter(is_free).collect()
    }

    fn tell_absent(&mut self, absent: BTreeSet<Pid>) {
        let Some(root) = self.plan.tasks.first() else { return };
        self.told.extend(absent.into_iter().map(|pid| NotKept {
            pid: root.pid,
            comm: root.comm(),
            what: format!("process {pid} as the peer of a socket (SO_PEERCRED)"),
            consequence: "another one is named: it is no task of the tree, and its pid is in use".to_owned(),
        }));
    }
}

impl Makers<'_> {
    fn task(&mut self, who: Credentials) -> Option<&mut Built> {
        if let Some(helper) = self.dead.get_mut(&who.pid) {
            return Some(&mut helper.child);
        }
        let found = self.tasks.iter().position(|task| task.pid == who.pid);
        match found.and_then(|index| self.built.get_mut(&index)) {
            Some(built) => Some(built),
            None => {
                self.absent.insert(who.pid);
                None
            }
        }
    }
}

/// Runs the calls that `add` adds with these effective ids.
fn run_as(built: &mut Built, who: Credentials, add: impl FnOnce(&mut Batch) -> Result<()>) -> Result<()> {
    let mut batch = built.loan.batch();
    let ours = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let other = ours != (who.uid, who.gid);
    if other {
        // The group first, and back last: without our user the task may not change it.
        batch.call("setresgid", arch::syscall::SETRESGID, &[KEEP, who.gid.into(), KEEP]);
        batch.call("setresuid", arch::syscall::SETRESUID, &[KEEP, who.uid.into(), KEEP]);
        // Files stay open to us, whoever owns them: setfsuid(2) gives the capabilities for that back.
        batch.call("setfsuid", libc::SYS_setfsuid, &[ours.0.into()]);
    }
    add(&mut batch)?;
    if other {
        batch.call("setresuid", arch::syscall::SETRESUID, &[KEEP, ours.0.into(), KEEP]);
        batch.call("setresgid", arch::syscall::SETRESGID, &[KEEP, ours.1.into(), KEEP]);
    }
    built.loan.run(&mut batch)?;
    batch.expect_all()
}

impl Tasks for Makers<'_> {
    fn pair(&mut self, who: Credentials, kind: i32) -> Result<Option<[OwnedFd; 2]>> {
        // The two lowest numbers that are free, as for all that a task is lent.
        let numbers = self.transport.lowest_two();
        let Some(built) = self.task(who) else { return Ok(None) };
        let pid = built.proc.pid();
        run_as(built, who, |batch| {
            let room = batch.reserve(2 * size_of::<i32>());
            let args = [libc::AF_UNIX as u64, (kind | libc::SOCK_CLOEXEC) as u64, 0, room];
            batch.call("socketpair", libc::SYS_socketpair, &args);
            Ok(())
        })?;
        let pidfd = pidfd_open(pid).os(|| format!("pidfd_open {pid}"))?;
        let take =
            |number: i32| pidfd_getfd(pidfd.as_fd(), number).os(|| format!("pidfd_getfd {number} of {pid}"));
        let pair = [take(numbers[0])?, take(numbers[1])?];
        build::run(&mut built.loan, |batch| {
            for number in numbers {
                batch.call("close", libc::SYS_close, &[number as u64]);
            }
        })?;
        Ok(Some(pair))
    }

    fn call(&mut self, who: Credentials, fd: BorrowedFd<'_>, call: Call<'_>) -> Result<bool> {
        let transport = self.transport;
        let Some(built) = self.task(who) else { return Ok(false) };
        run_as(built, who, |batch| {
            let file = match call {
                Call::Connect(way) => way.file(),
                Call::Listen(_) => None,
            };
            let fds: Vec<i32> = std::iter::once(fd).chain(file).map(|fd| fd.as_raw_fd()).collect();
            let lent = transport.lend(batch, &fds)?;
            let number = lent.first().copied().unwrap_or(-1) as u64;
            match call {
                Call::Listen(backlog) => {
                    batch.call("listen", libc::SYS_listen, &[number, backlog.into()]);
                }
                Call::Connect(way) => {
                    let address = way.address(lent.get(1).copied().unwrap_or(-1));
                    let (address, len) = (batch.put(&address), address.len() as u64);
                    batch.call("connect", libc::SYS_connect, &[number, address, len]);
                }
            }
            for number in lent {
                batch.call("close", libc::SYS_close, &[number as u64]);
            }
            Ok(())
        })?;
        Ok(true)
    }

    fn owner(&self, id: u32) -> Option<Credentials> {
        let has = |task: &&TaskPlan| {
            let table = task.body.as_ref().and_then(|body| self.tables.get(&body.ids.files_id));
            table.is_some_and(|table| table.iter().any(|entry| entry.id == id))
        };
        let task = self.tasks.iter().find(has)?;
        let creds = task.core().and_then(|core| core.thread_core.as_ref()?.creds.as_ref());
        let (uid, gid) = creds.map_or((0, 0), |creds| (creds.euid, creds.egid));
        Some(Credentials { pid: task.pid, uid, gid })
    }
}
