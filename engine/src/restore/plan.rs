//! The plan: all images, read and checked, before any process exists.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::check::{self, Feature};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{
    CoreEntry, FdinfoEntry, FileLockEntry, FsEntry, MmEntry, PstreeEntry, TaskCoreEntry, TaskKobjIdsEntry,
    ThreadCoreEntry, state,
};
use crate::image::{ImageDir, Kind, PageReader};
use crate::kernel::kcmp::Kind as Shared;
use crate::kernel::pagemap::page_size;
use crate::kernel::stat::{self, State};
use crate::kernel::{Pid, ProcDir, status};
use crate::options::RestoreOptions;
use crate::report::NotKept;
use crate::resource::cgroup::CgroupRestore;
use crate::resource::file::tty::TtyClaim;
use crate::resource::file::{FileRestore, lock};
use crate::resource::ipc::IpcRestore;
use crate::resource::ipc::undo::Retake;
use crate::resource::memory::huge::HugeDemand;
use crate::resource::memory::shared::SharedRestore;
use crate::resource::memory::vma;
use crate::resource::task::lineage::{Kin, Lineage};
use crate::resource::task::seccomp::{self, SeccompRestore};
use crate::resource::task::{attributes, credentials, registers, signals, timers};
use crate::survey::sharing;
use crate::sys::attr::prlimit;

/// Most tasks a tree can have: PID_MAX_LIMIT of linux/threads.h.
const MOST_TASKS: usize = 4 << 20;

/// How long to wait for ids of tasks that have ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// One process to be built.
#[derive(Debug)]
pub(super) struct TaskPlan {
    pub(super) pid: Pid,
    /// Index of the parent in the plan; `None` for the root.
    pub(super) parent: Option<usize>,
    pub(super) pgid: Pid,
    pub(super) sid: Pid,
    /// Leader first; each with its core.
    pub(super) threads: Vec<(Pid, CoreEntry)>,
    /// `None` for a zombie.
    pub(super) body: Option<Body>,
}

/// What a living task has and a zombie has not.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) ids: TaskKobjIdsEntry,
    pub(super) mm: MmEntry,
    pub(super) pages: Option<PageReader>,
    pub(super) fs: FsEntry,
}

/// Everything that the images say.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tasks: Vec<TaskPlan>,
    /// How they are born.
    pub(super) lineage: Lineage,
    /// Descriptor tables by their id.
    pub(super) tables: HashMap<u32, Vec<FdinfoEntry>>,
    pub(super) files: FileRestore,
    pub(super) locks: Vec<FileLockEntry>,
    pub(super) shared: SharedRestore,
    pub(super) ipc: IpcRestore,
    pub(super) seccomp: SeccompRestore,
    pub(super) cgroups: CgroupRestore,
    huge: HugeDemand,
}

impl TaskPlan {
    /// The core of the leader, `None` in an image that lacks it.
    pub(super) fn core(&self) -> Option<&CoreEntry> {
        self.threads.first().map(|(_, core)| core)
    }

    /// What belongs to the process; nothing in an image that lacks it.
    pub(super) fn process(&self) -> Cow<'_, TaskCoreEntry> {
        self.core().and_then(|core| core.tc.as_ref()).map(Cow::Borrowed).unwrap_or_default()
    }

    /// What belongs to a thread.
    pub(super) fn thread(core: &CoreEntry) -> ThreadCoreEntry {
        core.thread_core.clone().unwrap_or_default()
    }

    /// The number of the cgroups that each thread is in; none of a zombie.
    pub(super) fn cgroup_sets(&self) -> impl Iterator<Item = Option<u32>> {
        // Before CRIU 4.0 the process had it.
        let of_process = self.process().cg_set;
        let of_thread = move |core: &CoreEntry| core.thread_core.as_ref().and_then(|thread| thread.cg_set);
        let threads = self.threads.iter().filter(|_| self.body.is_some());
        threads.map(move |(_, core)| of_thread(core).or(of_process))
    }

    /// Its name, for messages.
    pub(super) fn comm(&self) -> String {
        self.core()
            .and_then(|core| core.tc.as_ref())
            .map_or_else(String::new, |tc| String::from_utf8_lossy(&tc.comm).escape_debug().to_string())
    }
}

impl Plan {
    /// Reads all images of the directory.
    pub(super) fn load(options: &RestoreOptions) -> Result<Self> {
        let images = ImageDir::open(&options.places.images_dir)?;
        let inventory = images.inventory()?;
        let by_criu = inventory.crio_version.is_none();
        let entries = images.read_all::<PstreeEntry>(Kind::Pstree)?;
        if entries.is_empty() || entries.len() > MOST_TASKS {
            return Err(Error::image("pstree.img", format!("lists {} tasks", entries.len())));
        }
        let mut index = HashMap::new();
        let mut tasks = Vec::new();
        for entry in &entries {
            let mut task = load_task(&images, entry, &index)?;
            if by_criu && let Some(process) = task.threads.first_mut().and_then(|(_, core)| core.tc.as_mut())
            {
                process.personality = attributes::personality_of_criu(process.personality);
            }
            if index.insert(entry.pid, tasks.len()).is_some() {
                return Err(Error::image("pstree.img", format!("lists task {} twice", entry.pid)));
            }
            tasks.push(task);
        }
        let tables = load_tables(&images, &tasks)?;
        let files = FileRestore::load(&images, options)?;
        let bodies = || tasks.iter().filter_map(|task| task.body.as_ref());
        let shared = SharedRestore::load(&images, bodies().flat_map(|body| &body.mm.vmas))?;
        let ipc_ns = bodies().find_map(|body| body.ids.ipc_ns_id);
        let ipc = IpcRestore::load(&images, ipc_ns, bodies().flat_map(|body| &body.mm.vmas))?;
        join_callers_job(&mut tasks, options)?;
        let lineage = find_births(&tasks)?;
        let locks = lock::load(&images)?;
        let huge = huge_pages(&images, &tasks, &files)?;
        let seccomp = SeccompRestore::load(&images)?;
        let cgroups = CgroupRestore::load(&images, &options.cgroups, inventory.root_cg_set)?;
        Ok(Plan { tasks, lineage, tables, files, locks, shared, ipc, seccomp, cgroups, huge })
    }

    /// Finds everything that stands in the way; one error that names them all.
    pub(super) fn check(&mut self) -> Result<()> {
        let mut problems = self.files.check();
        problems.extend(self.huge.check());
        problems.extend(self.ipc.check());
        problems.extend(self.check_numbers().err());
        problems.extend(self.check_seccomp());
        problems.extend(self.check_features());
        let sets = self.tasks.iter().flat_map(TaskPlan::cgroup_sets).flatten().collect();
        problems.extend(self.cgroups.check(&sets));
        let own: BTreeSet<Pid> =
            self.tasks.iter().flat_map(|task| &task.threads).map(|(tid, _)| *tid).collect();
        let dead = self.files.dead_processes();
        let (leaders, since) = (self.dead_leaders(), Instant::now());
        let wanted = own.iter().chain(&dead).chain(&leaders);
        problems.extend(wanted.filter_map(|tid| in_use(*tid, since)));
        problems.extend(dead.intersection(&own).map(|pid| reused(*pid)));
        all_of(problems)
    }

    /// What threads are to have of seccomp must be there, and possible; of each mode one is named.
    fn check_seccomp(&self) -> Vec<Error> {
        let (mut modes, mut problems) = (HashSet::from([0]), Vec::new());
        for task in self.tasks.iter().filter(|task| task.body.is_some()) {
            let process = task.process();
            for (tid, core) in &task.threads {
                let mode = seccomp::mode(core, &process);
                let judged = if modes.insert(mode) { seccomp::judge(*tid, mode) } else { Ok(()) };
                let judged = judged.and_then(|()| self.seccomp.of(core, &process).map(drop));
                problems.extend(judged.err().map(|e| e.task(task.pid, &task.comm())));
            }
        }
        problems
    }

    /// What memory takes of the kernel in some programs only; for each feature one task is named.
    fn check_features(&self) -> impl Iterator<Item = Error> {
        let require = |feature, reason, has: fn(&MmEntry) -> bool| {
            let mut tasks = self.tasks.iter();
            let task = tasks.find(|task| task.body.as_ref().is_some_and(|body| has(&body.mm)))?;
            check::require(feature, reason).err().map(|e| e.task(task.pid, &task.comm()))
        };
        let guarded =
            |mm: &MmEntry| mm.vmas.iter().any(|vma| vma.status & crate::image::message::status::GUARD != 0);
        let guards = require(Feature::MadvGuard, "has guard pages, which this kernel does not know", guarded);
        let mdwe = require(
            Feature::Mdwe,
            "has forbidden itself to write code, which this kernel does not know",
            |mm| mm.mdwe.is_some(),
        );
        guards.into_iter().chain(mdwe)
    }

    /// Whether any thread is to have a seccomp mode.
    pub(super) fn has_seccomp(&self) -> bool {
        let has = |task: &TaskPlan| {
            let process = task.process();
            task.threads.iter().any(|(_, core)| seccomp::mode(core, &process) != 0)
        };
        self.tasks.iter().any(has)
    }

    /// Ids of sessions and groups whose leaders ended before the dump: for a moment some process has to have them.
    pub(super) fn dead_leaders(&self) -> BTreeSet<Pid> {
        let pids: HashSet<Pid> = self.tasks.iter().map(|task| task.pid).collect();
        let (own_sid, own_pgid) = callers_job();
        let sessions = self.tasks.iter().map(|task| task.sid).filter(|sid| *sid != own_sid);
        let groups = self.tasks.iter().map(|task| task.pgid).filter(|pgid| *pgid != own_pgid);
        sessions.chain(groups).filter(|id| *id != 0 && !pids.contains(id)).collect()
    }

    /// Takes out the timers that cannot be made, of images of other programs.
    pub(super) fn adopt_timers(&mut self, told: &mut Vec<NotKept>) {
        let tree: Vec<Pid> = self.tasks.iter().map(|task| task.pid).collect();
        for task in &mut self.tasks {
            let (threads, comm) = (task.threads.iter().map(|(tid, _)| *tid).collect::<Vec<_>>(), task.comm());
            let process = task.threads.first_mut().and_then(|(_, core)| core.tc.as_mut());
            let Some(timers) = process.and_then(|process| process.timers.as_mut()) else { continue };
            let lost = timers::adopt(&mut timers.posix, &threads, &tree).into_iter();
            told.extend(
                lost.map(|timer| timers::lost((task.pid, &comm), timer.it_id, timer.clock_id as i32)),
            );
        }
    }

    /// Makes the System V objects that are gone, and takes hold of segments that are still there.
    pub(super) fn make_ipc(&mut self, told: &mut Vec<NotKept>) -> Result<()> {
        let mut tell = self.tell(told);
        self.ipc.make(&mut tell)
    }

    /// Makes the cgroups that are missing.
    pub(super) fn make_cgroups(&mut self, told: &mut Vec<NotKept>) -> Result<()> {
        let mut tell = self.tell(told);
        self.cgroups.make(&mut tell)
    }

    /// Sets what v2 cgroups must have before they have tasks.
    pub(super) fn prepare_cgroups(&mut self, told: &mut Vec<NotKept>) -> Result<()> {
        let mut tell = self.tell(told);
        self.cgroups.prepare(&mut tell)
    }

    /// Sets the limits of cgroups.
    pub(super) fn complete_cgroups(&mut self, told: &mut Vec<NotKept>) -> Result<()> {
        let mut tell = self.tell(told);
        self.cgroups.complete(&mut tell)
    }

    /// What tasks have to take again of semaphores.
    pub(super) fn retakes(&self, told: &mut Vec<NotKept>) -> Result<Vec<Retake>> {
        self.ipc.retakes(&mut self.tell(told))
    }

    /// Tells of what belongs to no task as if it were the root's.
    fn tell<'a>(&self, told: &'a mut Vec<NotKept>) -> impl FnMut(String, &'static str) + use<'a> {
        let (pid, comm) = self.tasks.first().map_or((0, String::new()), |root| (root.pid, root.comm()));
        move |what, consequence| {
            told.push(NotKept { pid, comm: comm.clone(), what, consequence: consequence.to_owned() });
        }
    }

    /// All addresses that mappings of any task take.
    pub(super) fn taken(&self) -> Vec<Range<u64>> {
        let bodies = self.tasks.iter().filter_map(|task| task.body.as_ref());
        bodies.flat_map(|body| &body.mm.vmas).map(|vma| vma.start..vma.end).collect()
    }

    /// Whether a task could have all its descriptors: the limit that it starts with is ours.
    fn check_numbers(&self) -> Result<()> {
        let (_, most) = prlimit(0, libc::RLIMIT_NOFILE, None).os(|| "prlimit RLIMIT_NOFILE")?;
        match self.tables.values().flatten().map(|entry| entry.fd).max() {
            Some(highest) if u64::from(highest) >= most => {
                let reason = format!("is beyond the {most} descriptors that crio may give to a task");
                Err(Error::new("E-DESCRIPTOR-LIMIT", Blame::Environment, reason)
                    .on(format!("fd {highest}"))
                    .help("raise the hard limit of crio (ulimit -Hn), or give it CAP_SYS_RESOURCE"))
            }
            _ => Ok(()),
        }
    }

    /// The root's parent is this program, which ends as soon as the tree runs: a signal of its death would come at once, and
    /// a stopped group that has become an orphan gets SIGHUP: setpgid(2).
    pub(super) fn prepare_orphan(&mut self, is_job: bool, told: &mut Vec<NotKept>) {
        let Some(root) = self.tasks.first_mut() else { return };
        let (pid, comm) = (root.pid, root.comm());
        let mut tell = |what: &str, consequence: &str| {
            let (what, consequence) = (what.to_owned(), consequence.to_owned());
            told.push(NotKept { pid, comm: comm.clone(), what, consequence });
        };
        if is_job && root.process().task_state == state::STOPPED {
            tell("the stop of a job that is detached", "it gets SIGHUP when crio ends");
        }
        let cores = root.threads.iter_mut().filter_map(|(_, core)| core.thread_core.as_mut());
        let signals: Vec<u32> = cores.filter_map(|core| core.pdeath_sig.take()).filter(|s| *s != 0).collect();
        if let Some(signal) = signals.first() {
            let what = format!("signal {signal} for the death of its parent");
            tell(&what, "it gets none: its parent is crio, which ends now");
        }
    }

    /// The signals that are queued for any task, bit n-1 for signal n.
    pub(super) fn queued_signals(&self) -> u128 {
        let threads = self.tasks.iter().flat_map(|task| &task.threads);
        let queues = threads.flat_map(|(_, core)| {
            let process = core.tc.as_ref().and_then(|process| process.signals_s.as_ref());
            [process, core.thread_core.as_ref().and_then(|thread| thread.signals_p.as_ref())]
        });
        queues.flatten().fold(0, |all, queue| all | signals::numbers(queue))
    }

    /// The lowest descriptor that no task has open, and under which no epoll instance knows a file.
    pub(super) fn free_descriptor(&self) -> i32 {
        let watched =
            self.files.entries().filter_map(|entry| entry.epfd.as_ref()).flat_map(|epoll| &epoll.tfd);
        let watched = watched.map(|target| target.added_as.unwrap_or(target.tfd));
        let open = self.tables.values().flatten().map(|entry| entry.fd);
        let used: BTreeSet<u32> = open.chain(watched).collect();
        (0..).find(|number| !used.contains(number)).unwrap_or(0) as i32
    }

    /// Opens all terminals, with their settings and unread input; returns those that are to control a session.
    pub(super) fn open_terminals(&mut self) -> Result<Vec<TtyClaim>> {
        self.files.open_terminals()?;
        self.files.finish_terminals()?;
        let leaders: Vec<Pid> =
            self.tasks.iter().filter(|task| task.sid == task.pid).map(|task| task.pid).collect();
        self.files.claims(&leaders)
    }
}

/// One error that names all problems.
fn all_of(problems: Vec<Error>) -> Result<()> {
    let mut problems = problems.into_iter();
    let Some(first) = problems.next() else { return Ok(()) };
    Err(problems.fold(first, |all, next| all.detail(format!("also: {}", next.headline()))))
}

type IdOf = fn(&Body) -> u32;

/// Decides how the tasks are born, and whether that gives them the tables which they share.
fn find_births(tasks: &[TaskPlan]) -> Result<Lineage> {
    let kin = tasks.iter().map(|task| Kin { pid: task.pid, parent: task.parent, sid: task.sid });
    let (lineage, unborn) = Lineage::of(&kin.collect::<Vec<_>>());
    let named = |index: usize, error: Error| match tasks.get(index) {
        Some(task) => error.task(task.pid, &task.comm()),
        None => error,
    };
    let mut problems: Vec<Error> = unborn.iter().map(|unborn| named(unborn.index, unborn.error())).collect();
    let kinds: [(Shared, IdOf); 2] =
        [(Shared::Files, |body| body.ids.files_id), (Shared::Fs, |body| body.ids.fs_id)];
    for (kind, id) in kinds {
        let ids: Vec<Option<u32>> = tasks.iter().map(|task| task.body.as_ref().map(id)).collect();
        let strays = lineage.strays(&ids).into_iter();
        problems.extend(strays.map(|(other, stray)| {
            named(stray, sharing::refuse_table(kind, tasks.get(other).map_or(0, |task| task.pid)))
        }));
    }
    all_of(problems).map(|()| lineage)
}

/// `--shell-job`: session and group that were the shell's become ours.
fn join_callers_job(tasks: &mut [TaskPlan], options: &RestoreOptions) -> Result<()> {
    let Some(root) = tasks.first() else { return Ok(()) };
    let pids: HashSet<Pid> = tasks.iter().map(|task| task.pid).collect();
    let (sid, pgid) = (root.sid, root.pgid);
    if pids.contains(&sid) {
        return Ok(());
    }
    if !options.shell_job {
        return Err(Error::new(
            "E-SHELL-JOB",
            Blame::Usage,
            format!("belongs to session {sid}, which the image does not have"),
        )
        .task(root.pid, &root.comm())
        .help("add --shell-job to restore it as a job of this shell"));
    }
    let (own_sid, own_pgid) = callers_job();
    for task in tasks {
        if task.sid == sid {
            task.sid = own_sid;
            if task.pgid == pgid && !pids.contains(&pgid) {
                task.pgid = own_pgid;
            }
        }
    }
    Ok(())
}

/// Our own session and group.
pub(super) fn callers_job() -> (Pid, Pid) {
    (nix::unistd::getsid(None).map_or(0, nix::unistd::Pid::as_raw), nix::unistd::getpgrp().as_raw())
}

/// A file in /proc of a process that is gone can only be opened while nobody of the tree has its pid.
fn reused(pid: Pid) -> Error {
    let reason = "is the pid of a task of the tree, and of a dead process whose file in /proc was open";
    Error::new("E-PID-REUSED", Blame::Program, reason).on(format!("pid {pid}"))
}

/// The owner of an id that a task is to have. One that has ended is waited for: until its parent has taken notice, which
/// is often the shell that has just called a dump, its id is not free.
fn in_use(tid: Pid, since: Instant) -> Option<Error> {
    let mut owner = ProcDir::open(tid).ok()?;
    let mut seen = stat::read(&owner);
    // What cannot be read has just gone; the next look finds it away, or somebody else in its place.
    while seen.as_ref().map_or(true, |stat| has_ended(&owner, stat)) && since.elapsed() < PATIENCE {
        std::thread::sleep(PATIENCE / 1000);
        owner = ProcDir::open(tid).ok()?;
        seen = stat::read(&owner);
    }
    let reason = match seen {
        Ok(stat) if has_ended(&owner, &stat) => format!(
            "belongs to a task that has ended ({}), but whose parent {} has not waited for it",
            stat.comm.escape_ascii(),
            stat.ppid
        ),
        Ok(stat) => format!("belongs to a running task ({})", stat.comm.escape_ascii()),
        Err(e) => format!("belongs to a task that cannot be read: {e}"),
    };
    Some(
        Error::new("E-PID-IN-USE", Blame::Environment, reason).on(format!("pid {tid}")).help(
            "end that task, or restore where the pid is free, such as a new pid namespace (unshare -p)",
        ),
    )
}

/// Whether the task is a zombie, is on its way to become one, or has been sent SIGKILL.
fn has_ended(owner: &ProcDir, stat: &stat::Stat) -> bool {
    let killed = 1 << (libc::SIGKILL - 1);
    matches!(stat.state, State::Zombie | State::Dead)
        // It has taken its SIGKILL off the queue.
        || stat.is_exiting()
        || status::read(owner)
            .is_ok_and(|status| (status.signals.pending | status.signals.shared_pending) & killed != 0)
}

fn load_task(images: &ImageDir, entry: &PstreeEntry, index: &HashMap<u32, usize>) -> Result<TaskPlan> {
    let bad = |reason: String| Error::image("pstree.img", reason);
    let parent = index.get(&entry.ppid).copied();
    if parent.is_none() != index.is_empty() {
        return Err(bad(format!(
            "task {} has the parent {}, which does not come before it",
            entry.pid, entry.ppid
        )));
    }
    let leader = images.require::<CoreEntry>(Kind::Core(entry.pid))?;
    let tids = entry.threads_of(&leader).to_vec();
    if tids.first() != Some(&entry.pid) || entry.pid == 0 || tids.len() > MOST_TASKS {
        return Err(bad(format!("task {} does not lead its threads", entry.pid)));
    }
    let (mut threads, mut leader) = (Vec::new(), Some(leader));
    for tid in tids {
        let name = Kind::Core(tid).file_name();
        let core = leader.take().map_or_else(|| images.require::<CoreEntry>(Kind::Core(tid)), Ok)?;
        if core.tc.as_ref().is_none_or(|tc| !tc.is_dead()) {
            registers::load(&core, &name)?;
            let creds = core.thread_core.as_ref().and_then(|thread| thread.creds.as_ref());
            creds.map_or(Ok(()), |creds| credentials::check(creds, &name))?;
        }
        threads.push((id(tid)?, core));
    }
    let state = threads.first().and_then(|(_, core)| core.tc.as_ref()).map(|tc| tc.task_state);
    let body = match state {
        Some(state::ALIVE | state::STOPPED) => Some(load_body(images, entry.pid)?),
        Some(state::ZOMBIE | state::DEAD) if parent.is_some() => None,
        other => {
            return Err(Error::image(Kind::Core(entry.pid).file_name(), format!("task state {other:?}")));
        }
    };
    let [pid, pgid, sid] = [id(entry.pid)?, id(entry.pgid)?, id(entry.sid)?];
    Ok(TaskPlan { pid, parent, pgid, sid, threads, body })
}

/// An id that a kernel can give, or 0.
fn id(number: u32) -> Result<Pid> {
    let id = Pid::try_from(number).ok().filter(|id| *id as usize <= MOST_TASKS);
    id.ok_or_else(|| Error::image("pstree.img", format!("{number} is no id of a task, group or session")))
}

fn load_body(images: &ImageDir, pid: u32) -> Result<Body> {
    let mm = images.require::<MmEntry>(Kind::Mm(pid))?;
    let (page, file) = (page_size()?, Kind::Mm(pid).file_name());
    of_pages(&mm, page, &file)?;
    vma::judge_image(&mm, page, &file)?;
    let pages = PageReader::open(images, Kind::Pagemap(pid), page)?;
    if let Some(stray) = pages.as_ref().and_then(|pages| pages.strays(&mm.vmas).next()) {
        let reason = format!("the page at {stray:x} is in no mapping");
        return Err(Error::image(Kind::Pagemap(pid).file_name(), reason));
    }
    Ok(Body { ids: images.require(Kind::Ids(pid))?, pages, fs: images.require(Kind::Fs(pid))?, mm })
}

/// Addresses, offsets and lengths in the images are multiples of the page that the program knows.
fn of_pages(mm: &MmEntry, page: u64, file: &str) -> Result<()> {
    let theirs = mm.page_size();
    if theirs == page {
        return Ok(());
    }
    let reason = format!("was dumped with pages of {theirs} bytes, this kernel has pages of {page}");
    Err(Error::new("E-PAGE-SIZE", Blame::Environment, reason)
        .on(file)
        .help("restore on a kernel with pages of the same size; `getconf PAGESIZE` tells it"))
}

fn huge_pages(images: &ImageDir, tasks: &[TaskPlan], files: &FileRestore) -> Result<HugeDemand> {
    let mut demand = HugeDemand::default();
    for task in tasks {
        let parent = task.parent.and_then(|index| tasks.get(index)).and_then(|parent| parent.body.as_ref());
        if let Some(body) = &task.body {
            demand.add(&body.mm, parent.map(|parent| &parent.mm), body.pages.as_ref())?;
        }
    }
    let vmas = tasks.iter().filter_map(|task| task.body.as_ref()).flat_map(|body| &body.mm.vmas);
    demand.add_files(images, files.entries(), vmas)?;
    Ok(demand)
}

fn load_tables(images: &ImageDir, tasks: &[TaskPlan]) -> Result<HashMap<u32, Vec<FdinfoEntry>>> {
    let mut tables = HashMap::new();
    for body in tasks.iter().filter_map(|task| task.body.as_ref()) {
        let id = body.ids.files_id;
        if let Entry::Vacant(new) = tables.entry(id) {
            let mut entries = images.read_all::<FdinfoEntry>(Kind::Fdinfo(id))?;
            entries.sort_by_key(|entry| entry.fd);
            new.insert(entries);
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;

    #[test]
    fn ids_are_those_that_a_kernel_gives() {
        assert_eq!((id(0).ok(), id(4 << 20).ok()), (Some(0), Some(4 << 20)));
        assert!([u32::MAX, 1 << 31, (4 << 20) + 1].into_iter().all(|number| id(number).is_err()));
    }

    #[test]
    fn ids_of_the_living_are_in_use_and_those_of_the_dead_are_waited_for() -> Result<()> {
        let own = std::process::id() as Pid;
        assert_eq!(in_use(own, Instant::now()).map(|e| e.code()), Some("E-PID-IN-USE"));
        let mut child = std::process::Command::new("true").spawn().os(|| "spawn")?;
        let pid = child.id() as Pid;
        let reaper = std::thread::spawn(move || {
            std::thread::sleep(PATIENCE / 10);
            child.wait()
        });
        let ended = |owner: &ProcDir| stat::read(owner).is_ok_and(|stat| has_ended(owner, &stat));
        while !ended(&ProcDir::open(pid)?) {
            std::thread::yield_now();
        }
        assert!(in_use(pid, Instant::now()).is_none());
        assert!(reaper.join().is_ok_and(|reaped| reaped.is_ok()));
        Ok(())
    }
}
