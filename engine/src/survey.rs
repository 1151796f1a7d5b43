//! The survey: reads /proc of a running tree and finds everything that cannot be dumped, and all that would not be kept.
//!
//! Nothing is frozen and nothing runs in the tasks, so that a survey is free of risk at any time. What it judges with are
//! the same functions as the dump's: [`judge`] for processes and threads, `Kind::of` for files, `Mapping::of` for mappings.
//! A tree that changes meanwhile is no error: what was missed here is found by the dump, which then gives everything back.

pub(crate) mod judge;
mod lost;
pub(crate) mod sharing;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use crate::error::{Blame, Error, Result};
use crate::kernel::cgroup::Membership;
use crate::kernel::smaps::Backing;
use crate::kernel::stat::{Stat, State};
use crate::kernel::status::Status;
use crate::kernel::{Pid, ProcDir, children, fdinfo, smaps, stat, status, tasks};
use crate::options::{CgroupMode, DumpOptions};
use crate::parallel;
use crate::report::{Counts, NotKept};
use crate::resource::cgroup::check_options;
use crate::resource::cgroup::freezer::FreezerSurvey;
use crate::resource::file::event::EventKind;
use crate::resource::file::tty::TaskTerminal;
use crate::resource::file::{FileSurvey, Kind, Seen, event, lock};
use crate::resource::ipc::shm;
use crate::resource::memory::registered;
use crate::resource::memory::vma::{self, Content, Mapping};
use crate::resource::socket::Sockets;
use crate::resource::task::lineage::{Kin, Lineage, Unborn};
use crate::resource::task::seccomp;
use crate::tracee::{self, Site, zombie};

use self::judge::{Judge, Namespaces};

const ELFCLASS32: u8 = 1;
const ELFCLASS64: u8 = 2;

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// What cannot be dumped.
    pub blockers: Vec<Error>,
    /// What the image would not carry.
    pub not_kept: Vec<NotKept>,
    /// The size of the tree.
    pub counts: Counts,
    /// The seccomp modes that threads have.
    pub seccomp_modes: BTreeSet<u8>,
}

/// How long a program that is busy, or is not given a processor, may stay in a state that passes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at the tree of `options.tree`, again and again for a while if all that cannot be dumped [passes](Error::passes).
/// Fails only if its root is not there or /proc cannot be read.
pub fn survey(options: &DumpOptions) -> Result<Survey> {
    check_options(&options.cgroups)?;
    let since = Instant::now();
    loop {
        let survey = look(options)?;
        let waits = !survey.blockers.is_empty() && survey.blockers.iter().all(Error::passes);
        if !waits || since.elapsed() > PATIENCE {
            return Ok(survey);
        }
        sleep(PATIENCE / 1000);
    }
}

fn look(options: &DumpOptions) -> Result<Survey> {
    let root = ProcDir::open(options.tree)?;
    let own = ProcDir::current()?;
    let mut survey = Survey::default();
    let mut members = Vec::new();
    let mut queue = vec![root];
    let mut met = HashSet::from([options.tree]);
    while let Some(proc) = queue.pop() {
        let Some(stat) = present(stat::read(&proc))? else { continue };
        if proc.pid() == own.pid() {
            survey.blockers.push(own_tree(&stat));
        }
        if stat.state != State::Zombie {
            for pid in present(children::read(&proc))?.unwrap_or_default() {
                if met.insert(pid) {
                    queue.extend(present(ProcDir::open(pid))?);
                }
            }
        }
        members.push((proc, stat));
    }
    let tree = Tree::of(options.tree, &members);
    let ours = Own::read(&own, members.first().map_or(&own, |(root, _)| root), options)?;
    let mut sharing = sharing::Sharing::default();
    let mut sockets = Sockets::default();
    let terminals: Vec<TaskTerminal> = members.iter().map(|(_, stat)| TaskTerminal::from(stat)).collect();
    let mut files = FileSurvey::new(options, &terminals);
    let mut freezers = FreezerSurvey::new(options)?;
    let mut faults = Faults::default();
    let sights = parallel::map(&members, |(proc, stat)| match stat.state {
        State::Zombie => Ok(None),
        _ => present(Sight::of(proc, &ours, options.cgroups.mode)),
    })?;
    for ((proc, stat), sight) in members.iter().zip(sights) {
        survey.counts.tasks += 1;
        let (survey, sockets, files) = (&mut survey, &mut sockets, &mut files);
        let (freezers, faults) = (&mut freezers, &mut faults);
        let mut task =
            TaskSurvey { proc, comm: comm(stat), options, sockets, survey, files, freezers, faults };
        task.place(stat, options, &tree);
        if stat.state == State::Zombie {
            sharing.skip();
            present(task.ended(stat))?;
        } else {
            sharing.add(stat)?.into_iter().for_each(|error| task.block(error));
            present(sight.map_or(Ok(()), |sight| task.look(sight)))?;
        }
    }
    let relations = tree.lineage(&members).into_iter().chain(sharing.strays(&members, &tree.lineage));
    survey.blockers.extend(relations.map(|(stat, error)| error.task(stat.pid, &comm(stat))));
    survey.blockers.extend(sockets.blockers(options)?);
    survey.blockers.extend(files.blockers());
    survey.blockers.extend(faults.blockers());
    Ok(survey)
}

/// A task that ended meanwhile is no longer part of the tree.
fn present<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.code() == "E-TASK-GONE" => Ok(None),
        Err(e) => Err(e),
    }
}

fn comm(stat: &Stat) -> String {
    String::from_utf8_lossy(&stat.comm).escape_debug().to_string()
}

fn own_tree(stat: &Stat) -> Error {
    Error::new("E-SELF", Blame::Usage, "crio itself is part of the tree")
        .task(stat.pid, &comm(stat))
        .help("start crio outside of the tree, for example with setsid from another shell")
}

/// How the tasks of a tree are related.
struct Tree {
    pids: HashSet<Pid>,
    root: Leaders,
    lineage: Lineage,
    unborn: Vec<Unborn>,
}

struct Leaders {
    sid: Pid,
    pgid: Pid,
}

impl Tree {
    fn of(root: Pid, members: &[(ProcDir, Stat)]) -> Self {
        let index: HashMap<Pid, usize> =
            members.iter().enumerate().map(|(i, (_, stat))| (stat.pid, i)).collect();
        let kin = members.iter().map(|(_, stat)| Kin {
            pid: stat.pid,
            // A parent that has ended since it was listed has left its children to somebody else.
            parent: (stat.pid != root).then(|| index.get(&stat.ppid).copied().unwrap_or(0)),
            sid: stat.sid,
        });
        let (lineage, unborn) = Lineage::of(&kin.collect::<Vec<_>>());
        let leaders = members.first().map_or((0, 0), |(_, stat)| (stat.sid, stat.pgid));
        let root = Leaders { sid: leaders.0, pgid: leaders.1 };
        Tree { pids: index.into_keys().collect(), root, lineage, unborn }
    }

    /// Whether a process outside of the tree leads this session or group.
    fn is_led_outside(&self, id: Pid) -> bool {
        !self.pids.contains(&id) && ProcDir::open(id).is_ok()
    }

    /// The tasks that cannot be born in their sessions again; those of a leader outside of the tree are named already.
    fn lineage<'m>(&self, members: &'m [(ProcDir, Stat)]) -> Vec<(&'m Stat, Error)> {
        let unborn = self.unborn.iter().filter(|unborn| !self.is_led_outside(unborn.sid));
        unborn.filter_map(|unborn| Some((&members.get(unborn.index)?.1, unborn.error()))).collect()
    }
}

/// What we have ourselves, to compare with.
struct Own {
    namespaces: Namespaces,
    surroundings: lost::Surroundings,
}

impl Own {
    fn read(proc: &ProcDir, root: &ProcDir, options: &DumpOptions) -> Result<Self> {
        let namespaces = Namespaces::own()?.for_tree_of(root, options.cgroups.mode)?;
        Ok(Own { namespaces, surroundings: lost::Surroundings::of(proc)? })
    }
}

/// Whether somebody in the tree is told of page faults that others wait for. Whose they are shows only when all is frozen.
#[derive(Default)]
struct Faults {
    has_userfaultfd: bool,
    registered: Vec<Error>,
}

impl Faults {
    fn blockers(self) -> Vec<Error> {
        if self.has_userfaultfd { Vec::new() } else { self.registered }
    }
}

/// What shows of a process and its threads by themselves, whatever others in the tree have.
struct Sight {
    mode: Option<Error>,
    cgroups: Vec<Membership>,
    lost: Vec<lost::Lost>,
    errors: Vec<Error>,
    threads: Vec<Thread>,
}

struct Thread {
    tid: Pid,
    status: Status,
    lost: Vec<lost::Lost>,
    errors: Vec<Error>,
}

impl Sight {
    fn of(proc: &ProcDir, own: &Own, cgroups: CgroupMode) -> Result<Self> {
        let mode = mode(proc);
        let theirs = lost::Surroundings::of(proc)?;
        let lost = lost::of_process(proc, &theirs, &own.surroundings, cgroups)?;
        let (judge, errors) = Judge::of(proc, &own.namespaces)?;
        let look = |tid: &Pid| {
            let thread = proc.thread(*tid);
            let Some(status) = present(status::read(&thread))? else { return Ok(None) };
            let errors = present(judge.thread(&thread))?.unwrap_or_default();
            Ok(Some(Thread { tid: *tid, status, lost: lost::of_thread(*tid), errors }))
        };
        let threads = parallel::map(&tasks::read(proc)?, look)?.into_iter().flatten().collect();
        Ok(Sight { mode, cgroups: theirs.cgroups, lost, errors, threads })
    }
}

/// A program of another word size than ours has registers and structures that we do not read.
fn mode(proc: &ProcDir) -> Option<Error> {
    // What is no ELF file was made by PR_SET_MM_EXE_FILE, and is judged at the freeze by its registers.
    let exe = proc.open_file("exe", OFlag::O_RDONLY).ok()?;
    let mut ident = [0; 5];
    let got = File::from(exe).read_at(&mut ident, 0).unwrap_or(0);
    let own = if size_of::<usize>() == 8 { ELFCLASS64 } else { ELFCLASS32 };
    (got == ident.len() && ident.starts_with(b"\x7fELF") && ident[4] != own).then(|| {
        let reason = format!("is a program of {} bits", if ident[4] == ELFCLASS32 { 32 } else { 64 });
        Error::new("E-TASK-MODE", Blame::Program, reason).help("dump it with a crio of that word size")
    })
}

struct TaskSurvey<'a, 'f> {
    proc: &'a ProcDir,
    comm: String,
    options: &'a DumpOptions,
    sockets: &'a mut Sockets,
    survey: &'a mut Survey,
    files: &'a mut FileSurvey<'f>,
    freezers: &'a mut FreezerSurvey<'f>,
    faults: &'a mut Faults,
}

impl TaskSurvey<'_, '_> {
    fn block(&mut self, error: Error) {
        self.survey.blockers.push(error.task(self.proc.pid(), &self.comm));
    }

    /// A judgement of the dump is a blocker, unless its object has gone meanwhile.
    fn block_by(&mut self, judged: Result<()>) {
        if let Err(error) = closed_is_none(judged) {
            self.block(error);
        }
    }

    /// Session and process group must have their leaders in the tree, unless it is a shell's job, or they are dead.
    fn place(&mut self, stat: &Stat, options: &DumpOptions, tree: &Tree) {
        let root = self.proc.pid() == options.tree;
        if root && !options.shell_job && stat.sid != stat.pid {
            let reason = format!("belongs to session {}, whose leader is not in the tree", stat.sid);
            self.block(Error::new("E-SHELL-JOB", Blame::Usage, reason).help(
                "add --shell-job to dump it as a job of a shell, or dump the tree from its session leader",
            ));
        } else if !root && stat.sid != tree.root.sid && tree.is_led_outside(stat.sid) {
            let reason = format!("belongs to session {}, whose leader is not in the tree", stat.sid);
            self.block(
                Error::new("E-SESSION", Blame::Program, reason).help("dump the tree from its session leader"),
            );
        } else if stat.pgid != tree.root.pgid && tree.is_led_outside(stat.pgid) {
            let reason = format!("belongs to process group {}, whose leader is not in the tree", stat.pgid);
            self.block(
                Error::new("E-GROUP", Blame::Program, reason).help("dump a tree that has the leader, too"),
            );
        }
    }

    fn look(&mut self, sight: Sight) -> Result<()> {
        sight.mode.into_iter().for_each(|error| self.block(error));
        // Single threads are judged when they stand still.
        let judged = self.freezers.judge(&sight.cgroups);
        self.block_by(judged);
        self.lose(sight.lost);
        sight.errors.into_iter().for_each(|error| self.block(error));
        sight.threads.into_iter().for_each(|thread| self.thread(thread));
        self.mappings()?;
        for link in ["exe", "cwd", "root"] {
            let judged = self.files.add_link(self.proc, &self.comm, link);
            self.block_by(judged);
        }
        self.files()
    }

    fn lose(&mut self, lost: Vec<lost::Lost>) {
        let (pid, comm) = (self.proc.pid(), &self.comm);
        self.survey.not_kept.extend(lost.into_iter().map(|(what, consequence)| NotKept {
            pid,
            comm: comm.clone(),
            what,
            consequence: consequence.to_owned(),
        }));
    }

    fn thread(&mut self, Thread { tid, status, lost, errors }: Thread) {
        self.survey.counts.threads += 1;
        self.lose(lost);
        errors.into_iter().for_each(|error| self.block(error));
        if status.tracer_pid != 0 {
            let reason = format!("is traced by process {}", status.tracer_pid);
            self.block(
                Error::new("E-TASK-TRACED", Blame::Program, reason)
                    .on(format!("thread {tid}"))
                    .help("end the debugger or strace that is attached to it"),
            );
        }
        if status.seccomp != 0 && self.survey.seccomp_modes.insert(status.seccomp) {
            self.block_by(seccomp::judge(tid, status.seccomp));
        }
    }

    /// A leader that is a zombie has nothing any more, but its threads may.
    fn ended(&mut self, stat: &Stat) -> Result<()> {
        match zombie::await_end(self.proc) {
            Ok(()) if stat.pid == self.options.tree => self.block(zombie::refuse_root()),
            Ok(()) => self.lose(lost::of_zombie(self.proc, stat)?),
            Err(error) if error.code() == "E-TASK-GONE" => return Err(error),
            Err(error) => self.block(error),
        }
        Ok(())
    }

    fn mappings(&mut self) -> Result<()> {
        // The page tables of a large process take long to walk. A dump has to do that once, while all stands still; if
        // one follows, only what looks as if it could not be dumped is worth the time before.
        let mut vmas = smaps::read_maps(self.proc)?;
        // It has ended since it was listed, and given its memory up.
        if vmas.is_empty() && stat::read(self.proc)?.is_exiting() {
            return Ok(());
        }
        if self.options.dry_run || vmas.iter().any(vma::wants_flags) {
            vmas = smaps::read(self.proc)?;
        }
        self.survey.counts.vmas += vmas.len();
        self.block_by(tracee::refuse_crowded(vmas.len()));
        let unclaimed = registered::unclaimed(&vmas).map(|e| e.task(self.proc.pid(), &self.comm));
        self.faults.registered.extend(unclaimed);
        vmas.iter().filter_map(|vma| Mapping::of(vma).err()).for_each(|error| self.block(error));
        if self.options.dry_run {
            self.lose(vma::lost(&vmas));
        }
        for vma in &vmas {
            match Mapping::of(vma) {
                Ok(mapping) if mapping.content == Content::Segment => {
                    self.block_by(shm::judge(self.proc, vma))
                }
                Ok(mapping) if mapping.content == Content::SocketRings => {
                    self.sockets.add_rings(self.proc, &self.comm, vma::name(vma), vma);
                    continue;
                }
                Ok(_) => {}
                Err(_) => continue,
            }
            let judged = self.files.add_mapping(self.proc, &self.comm, vma);
            self.block_by(judged);
        }
        // The place in which the task will be made to tell about itself; who has a vdso has one, but for oddities.
        if self.options.dry_run || !vmas.iter().any(|vma| vma.backing == Backing::Vdso) {
            self.block_by(Site::find(self.proc).map(drop));
        }
        Ok(())
    }

    fn files(&mut self) -> Result<()> {
        for number in fdinfo::list(self.proc)? {
            let Some((stat, target)) = self.descriptor(number)? else { continue };
            let Some(info) = closed_is_none(fdinfo::read(self.proc, number))? else { continue };
            self.survey.counts.files += 1;
            let seen = Seen { number, flags: info.flags, stat: &stat, target: &target };
            let judged = Kind::of(&seen).and_then(|kind| match kind {
                Kind::Event(kind) => {
                    self.faults.has_userfaultfd |= kind == EventKind::Userfaultfd;
                    event::refuse(kind, &info, self.options.tree)
                }
                Kind::Socket => {
                    closed_is_none(self.sockets.add(self.proc, &self.comm, &seen, &info)).map(drop)
                }
                kind => self.files.add(self.proc, &self.comm, &seen, kind),
            });
            self.block_by(judged.map_err(|error| error.on(seen.name())));
            if let Err(error) = lock::refuse(&info, self.options.file_locks) {
                self.block(error.on(seen.name()));
            }
        }
        Ok(())
    }

    fn descriptor(&self, number: i32) -> Result<Option<(crate::sys::stat::FileStat, Vec<u8>)>> {
        let Some(stat) = closed_is_none(self.proc.stat(&format!("fd/{number}")))? else { return Ok(None) };
        Ok(closed_is_none(fdinfo::target(self.proc, number))?.map(|target| (stat, target)))
    }
}

/// A descriptor that was closed between listing and look is no longer there to judge.
fn closed_is_none<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(e) if e.errno() == Some(libc::ENOENT) => Ok(None),
        other => present(other),
    }
}
