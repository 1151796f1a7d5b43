//! The dump: from a running tree to a directory of images. The phases stand in [`dump`], in their order.
//!
//! Nothing is touched before the survey has found that all of it can be kept. From the freeze on, the tree is an owned
//! value: whatever fails, dropping it lets every task go on as it was. The inventory is written last; a directory
//! without it is not an image. All that is done by a `worker`, which a SIGKILL of crio does not end in the moments when
//! that would harm: while programs under seccomp work for us, and at the [`end`].

mod end;
mod relay;

use std::time::Instant;

use self::relay::{Borrower, Member, Outside};
use crate::clean;
use crate::error::{Error, Result};
use crate::fault;
use crate::hooks::{Hooks, Point};
use crate::image::journal::{Identity, Journal, Note};
use crate::image::message::{InventoryEntry, LsmType, PstreeEntry, TaskKobjIdsEntry};
use crate::image::{ImageDir, Kind};
use crate::kernel::kcmp::{KcmpSet, Kind as Shared, Place};
use crate::kernel::stat::Stat;
use crate::kernel::{Pid, smaps};
use crate::options::{DumpOptions, FinalState};
use crate::parallel;
use crate::report::{Counts, DumpReport, DumpStats, NotKept, micros};
use crate::resource::cgroup::{CgroupDump, OWN_SET};
use crate::resource::file::pipe::OneEnded;
use crate::resource::file::table::Tables;
use crate::resource::file::tty::TaskTerminal;
use crate::resource::file::{DumpedFiles, FileDump, fs};
use crate::resource::ipc::IpcDump;
use crate::resource::memory::{MemoryDump, pages};
use crate::resource::namespace;
use crate::resource::socket::network_lock::LOCKED_BY_NFTABLES;
use crate::resource::task::death::{self, Death};
use crate::resource::task::seccomp::{self, SeccompDump};
use crate::resource::task::{self, TaskDump, lineage};
use crate::survey::judge::{self, Namespaces};
use crate::survey::{self, Survey, sharing};
use crate::sys::attr::DescriptorLimit;
use crate::tracee::{Fate, Freezer, Frozen, FrozenTask, Look};
use crate::worker::{self, Hold, Worker};
use crate::{log_debug, log_info, log_warn};

/// Dumps the tree of `options.tree`. A report with blockers means that the tree was left alone.
pub fn dump(options: &DumpOptions) -> Result<DumpReport> {
    let descriptors = DescriptorLimit::raise();
    let survey = survey::survey(options)?;
    if options.dry_run || !survey.blockers.is_empty() {
        return Ok(report_of(survey, options));
    }
    worker::run("dumps", |worker| carry_out(survey, options, &descriptors, &worker))
}

fn carry_out(
    survey: Survey,
    options: &DumpOptions,
    descriptors: &DescriptorLimit,
    worker: &Worker,
) -> Result<DumpReport> {
    let images = open_images(options)?;
    let hooks = Hooks::new(&options.action_scripts, &options.places.images_dir, descriptors)?;
    hooks.run(Point::PreDump, Some(options.tree))?;
    fault::point("surveyed")?;
    let held = (!survey.seccomp_modes.is_empty()).then(|| worker.hold()).transpose()?;
    let mut report = report_of(survey, options);
    let Still { frozen, since: frozen_since, mut collected } =
        hold_still(&images, options, held.is_some(), &mut report)?;
    fault::point("collected")?;
    // All threads are home.
    held.map_or(Ok(()), Hold::release)?;
    collected.write_pages(&mut report).map_err(|e| frozen.explain(e))?;
    frozen.confirm()?;
    fault::point("pages-copied")?;
    report.counts = collected.counts;
    report.not_kept.extend_from_slice(&collected.not_kept);
    let files = std::mem::take(&mut collected.files);
    report.not_kept.extend(files.one_ended.iter().map(one_ended));
    report.not_kept.extend_from_slice(&files.not_kept);
    end::end((frozen, &collected.deaths), &images, files, options, (&hooks, worker))?;
    images.finish_journal();
    report.stats.frozen_time = micros(frozen_since);
    // The work is done, and cannot be undone, by now.
    report.image_bytes = image_bytes(&images).unwrap_or_else(|error| {
        log_warn!("the size of the images is not known: {error}");
        0
    });
    if let Err(error) = report.stats.write(options.places.work_dir()) {
        log_warn!("the statistics were not written: {error}");
    }
    Ok(report)
}

/// A tree that stands still, and was read.
struct Still {
    frozen: Frozen,
    since: Instant,
    collected: Collection,
}

/// Freezes the tree and reads it. One that the freeze has met in a state that [passes](Error::passes) runs on until a
/// survey finds it in another one: frozen, it would stay in that state.
fn hold_still(
    images: &ImageDir,
    options: &DumpOptions,
    survives: bool,
    report: &mut DumpReport,
) -> Result<Still> {
    let begun = Instant::now();
    loop {
        let own = Namespaces::own()?;
        let started = Instant::now();
        let freezer = options.freeze_cgroup.as_deref().map(Freezer::open).transpose()?;
        let frozen = Frozen::seize(options.tree, options.timeout, freezer)?;
        report.stats.freezing_time = micros(started);
        let since = Instant::now();
        let looks = frozen.look().map_err(|e| frozen.explain(e))?;
        seccomp::suspend(&frozen, &looks, survives)?;
        fault::point("frozen")?;
        images.note(&Note::Writing)?;
        // That of an earlier dump: with our images beside it, it would be a lie.
        images.remove(&Kind::Inventory.file_name())?;
        let error = match Collection::of((&frozen, &looks), own, images, options) {
            Ok(collected) => return Ok(Still { frozen, since, collected }),
            Err(error) => frozen.explain(error),
        };
        drop(frozen);
        if !error.passes() || begun.elapsed() > survey::PATIENCE {
            return Err(error);
        }
        log_info!("Letting the tree run on: {}", error.headline());
        if let Some(blocker) = survey::survey(options)?.blockers.into_iter().next() {
            return Err(blocker);
        }
        clean::remove_images(images)?;
    }
}

/// The directory, with a journal, and without what a killed dump has left there.
fn open_images(options: &DumpOptions) -> Result<ImageDir> {
    let images = ImageDir::open(&options.places.images_dir)?;
    images.check_writable()?;
    let Some((journal, notes)) = Journal::open(&images)? else { return Ok(images) };
    if let Err(error) = clean::recover(&images, &notes) {
        journal.leave();
        return Err(error);
    }
    journal.restart()?;
    journal.note(&Note::Dump { root: Identity::of(options.tree)?, ends: fate(options) == Fate::Kill })?;
    Ok(images.with_journal(journal))
}

fn fate(options: &DumpOptions) -> Fate {
    match options.final_state {
        FinalState::Default => Fate::Kill,
        FinalState::Stopped => Fate::Stop,
        FinalState::Running => Fate::Resume,
    }
}

/// What was read from the frozen tree; its pages are still to be copied.
struct Collection {
    transfers: Vec<pages::Transfer>,
    counts: Counts,
    /// Pages, and the time that their search took.
    stats: DumpStats,
    files: DumpedFiles,
    not_kept: Vec<NotKept>,
    deaths: Vec<Death>,
}

impl Collection {
    fn of(
        (frozen, looks): (&Frozen, &[Look]),
        own: Namespaces,
        images: &ImageDir,
        options: &DumpOptions,
    ) -> Result<Self> {
        let terminals: Vec<TaskTerminal> = looks.iter().map(|look| TaskTerminal::from(&look.stat)).collect();
        let mut collector = Collector::new(images, options, &terminals, (frozen, own))?;
        let tree: Vec<Pid> = frozen.tasks().iter().map(|task| task.pid).collect();
        let members: Vec<Member<'_>> =
            frozen.tasks().iter().zip(looks).map(|(task, look)| Member { task, look }).collect();
        let mut borrower = Borrower { ipc: IpcDump::new()?, seccomp: SeccompDump::default(), tree: &tree };
        relay::run(&members, &mut collector, &mut borrower)?;
        let entries: Vec<PstreeEntry> =
            members.iter().map(|member| pstree_entry(*member, options.tree)).collect();
        collector.objects.judge(frozen, &entries)?;
        let mut pstree = images.writer(Kind::Pstree);
        entries.iter().try_for_each(|entry| pstree.push(entry))?;
        pstree.finish()?;
        collector.finish(frozen, borrower)
    }

    fn write_pages(&self, report: &mut DumpReport) -> Result<()> {
        let started = Instant::now();
        pages::copy_all(&self.transfers)?;
        let DumpStats { freezing_time, frozen_time, .. } = report.stats;
        report.stats = DumpStats { memwrite_time: micros(started), freezing_time, frozen_time, ..self.stats };
        Ok(())
    }
}

/// State over the tasks of a tree, but for what they tell while they are on loan.
struct Collector<'a> {
    images: &'a ImageDir,
    namespaces: Namespaces,
    objects: Objects,
    files: FileDump<'a>,
    tables: Tables,
    memory: MemoryDump<'a>,
    cgroups: CgroupDump<'a>,
    not_kept: Vec<NotKept>,
    deaths: Vec<Death>,
}

impl<'a> Collector<'a> {
    fn new(
        images: &'a ImageDir,
        options: &'a DumpOptions,
        terminals: &'a [TaskTerminal],
        (frozen, own): (&Frozen, Namespaces),
    ) -> Result<Self> {
        let root = frozen.tasks().first().ok_or_else(|| Error::bug("a frozen tree without tasks"))?;
        let namespaces = own.for_tree_of(&root.proc, options.cgroups.mode)?;
        Ok(Collector {
            images,
            namespaces,
            objects: Objects::default(),
            files: FileDump::new(options, images, terminals),
            tables: Tables::default(),
            memory: MemoryDump::new(images),
            cgroups: CgroupDump::new(options, frozen)?,
            not_kept: Vec::new(),
            deaths: Vec::new(),
        })
    }

    /// Looks at a task from outside, before anything of ours runs in it, and refuses what cannot be dumped. Nothing more is
    /// to be known about a zombie.
    fn look(&mut self, member: Member<'_>) -> Result<Option<Outside>> {
        let Member { task, look } = member;
        log_info!("Collecting task {} ({})", task.pid, task.comm);
        if task.zombie {
            self.objects.tables.push([None; 2]);
            let core = task::dump_zombie(&look.stat);
            return self.images.write_one(Kind::Core(task.pid as u32), &core).map(|()| None);
        }
        self.look_at_living(member).map(Some).map_err(|e| e.task(task.pid, &task.comm))
    }

    fn look_at_living(&mut self, Member { task, look }: Member<'_>) -> Result<Outside> {
        judge::refuse(task, &self.namespaces)?;
        let mut ids = self.objects.ids(task, &look.stat)?;
        if self.cgroups.has_namespace() {
            ids.entry.cgroup_ns_id = Some(namespace::TREES_CGROUP);
        }
        Ok(Outside { ids, sets: self.cgroups.add(task)?, vmas: smaps::read(&task.proc)? })
    }

    /// Writes down what a task has told about itself, and reads what only now may be read.
    fn keep(&mut self, member: Member<'_>, told: Option<(Outside, TaskDump)>) -> Result<()> {
        let Some((outside, told)) = told else { return Ok(()) };
        let task = member.task;
        self.keep_living(member, outside, told).map_err(|e| e.task(task.pid, &task.comm))
    }

    fn keep_living(&mut self, member: Member<'_>, outside: Outside, mut told: TaskDump) -> Result<()> {
        let (Member { task, look }, Outside { vmas, ids, sets }) = (member, outside);
        for ((_, core), set) in told.cores.iter_mut().zip(sets) {
            core.thread_core.get_or_insert_default().cg_set = set;
        }
        self.not_kept.extend(told.not_kept);
        let images = self.images;
        parallel::map(&told.cores, |(tid, core)| images.write_one(Kind::Core(*tid as u32), core))?;
        self.images.write_one(Kind::Ids(task.pid as u32), &ids.entry)?;
        if ids.new_files {
            self.tables.add(task, ids.entry.files_id, self.images, &mut self.files)?;
        }
        let umask = look.threads.first().and_then(|leader| leader.umask);
        let fs = fs::dump(&mut self.files, &task.proc, &task.comm, umask)?;
        self.images.write_one(Kind::Fs(task.pid as u32), &fs)?;
        self.memory.add((task, &look.stat), &vmas, told.memory, &mut self.files)?;
        self.deaths.extend(death::foresee(task, &told.cores, &self.memory.outlasting));
        Ok(())
    }

    fn finish(mut self, frozen: &Frozen, borrower: Borrower<'_>) -> Result<Collection> {
        let Borrower { mut ipc, seccomp, tree } = borrower;
        let segments = self.memory.finish(namespace::HOST_IPC)?;
        self.collect_in_flight()?;
        ipc.write(self.images, namespace::HOST_IPC, tree)?;
        seccomp.write(self.images)?;
        self.not_kept.extend(self.cgroups.write(self.images)?.into_iter().map(|lost| of_root(frozen, lost)));
        self.not_kept.append(&mut ipc.not_kept);
        self.not_kept.extend(self.files.not_kept(tree));
        self.files.resolve(&self.tables, frozen, std::mem::take(&mut self.memory.registered))?;
        let files = self.files.finish()?;
        let counts = Counts {
            tasks: frozen.tasks().len(),
            threads: frozen.tasks().iter().map(|task| task.threads.len()).sum(),
            files: self.tables.descriptions(),
            vmas: self.memory.vmas,
        };
        self.not_kept.append(&mut self.memory.not_kept);
        log_debug!("{} page transfers planned", self.memory.transfers.len());
        let stats = DumpStats {
            memdump_time: self.memory.search_time.as_micros().try_into().unwrap_or(u32::MAX),
            pages_scanned: self.memory.scanned,
            pages_written: self.memory.written,
            shpages_written: segments + files.pages,
            ..DumpStats::default()
        };
        Ok(Collection {
            transfers: self.memory.transfers,
            counts,
            stats,
            files,
            not_kept: self.not_kept,
            deaths: self.deaths,
        })
    }
}

impl Collector<'_> {
    /// Dumps the files that are in flight through sockets; they may be sockets with files in flight.
    fn collect_in_flight(&mut self) -> Result<()> {
        while let Some(mut flight) = self.files.next_in_flight() {
            let rights = std::mem::take(&mut flight.rights).into_iter();
            let ids = rights.map(|fd| self.tables.add_own(fd, &mut self.files)).collect::<Result<_>>()?;
            self.files.landed(flight, ids);
        }
        Ok(())
    }
}

/// The kernel objects that tasks may share.
struct Objects {
    vm: KcmpSet<u64>,
    files: KcmpSet<()>,
    fs: KcmpSet<()>,
    sighand: KcmpSet<()>,
    /// Descriptor table and file system view of the tasks so far; none of zombies.
    tables: Vec<[Option<u32>; 2]>,
}

impl Default for Objects {
    fn default() -> Self {
        // Id 1 is the caller's own in CRIU's images.
        Objects {
            vm: KcmpSet::new(Shared::Vm, 2),
            files: KcmpSet::new(Shared::Files, 2),
            fs: KcmpSet::new(Shared::Fs, 2),
            sighand: KcmpSet::new(Shared::Sighand, 2),
            tables: Vec::new(),
        }
    }
}

struct Ids {
    entry: TaskKobjIdsEntry,
    new_files: bool,
}

impl Objects {
    fn ids(&mut self, task: &FrozenTask, stat: &Stat) -> Result<Ids> {
        let place = Place { pid: task.pid, fd: 0 };
        // Tasks with one address space have one stack start; others seldom do.
        let (vm_id, new_memory) = self.vm.insert(stat.start_stack, place)?;
        let (files_id, new_files) = self.files.insert((), place)?;
        let (fs_id, _) = self.fs.insert((), place)?;
        self.tables.push([Some(files_id), Some(fs_id)]);
        // The survey has refused it by the other's name; the tree has changed since.
        if !new_memory {
            return Err(sharing::refuse_memory(stat.ppid));
        }
        let (sighand_id, _) = self.sighand.insert((), place)?;
        let entry = TaskKobjIdsEntry { vm_id, files_id, fs_id, sighand_id, ..namespace::host() };
        Ok(Ids { entry, new_files })
    }

    /// Whether the tasks can be born again as they are related; the survey has seen to that, but they may have changed.
    fn judge(&self, frozen: &Frozen, entries: &[PstreeEntry]) -> Result<()> {
        let (lineage, unborn) = lineage::of_images(entries);
        let unborn = unborn.first().map(|unborn| (unborn.index, unborn.error()));
        let stray = || {
            [Shared::Files, Shared::Fs].into_iter().enumerate().find_map(|(place, kind)| {
                let ids: Vec<Option<u32>> = self.tables.iter().map(|tables| tables[place]).collect();
                let (other, stray) = lineage.strays(&ids).into_iter().next()?;
                Some((stray, sharing::refuse_table(kind, entries.get(other)?.pid as Pid)))
            })
        };
        match unborn.or_else(stray) {
            Some((index, error)) => Err(match frozen.tasks().get(index) {
                Some(task) => error.task(task.pid, &task.comm),
                None => error,
            }),
            None => Ok(()),
        }
    }
}

fn pstree_entry(Member { task, look }: Member<'_>, root: i32) -> PstreeEntry {
    let stat = &look.stat;
    let threads = if task.zombie { vec![task.pid] } else { task.threads.clone() };
    PstreeEntry {
        pid: task.pid as u32,
        ppid: if task.pid == root { 0 } else { stat.ppid as u32 },
        pgid: stat.pgid as u32,
        sid: stat.sid as u32,
        threads: threads.into_iter().map(|tid| tid as u32).collect(),
    }
}

/// `run` is the name of the network lock.
fn write_inventory(images: &ImageDir, run: Option<&str>, options: &DumpOptions) -> Result<()> {
    let root_ids = TaskKobjIdsEntry { vm_id: 1, files_id: 1, fs_id: 1, sighand_id: 1, ..namespace::host() };
    let inventory = InventoryEntry {
        img_version: 2,
        fdinfo_per_id: Some(true),
        ns_per_id: Some(true),
        root_ids: Some(root_ids),
        root_cg_set: Some(OWN_SET),
        lsmtype: Some(LsmType::NoLsm as i32),
        tcp_close: options.tcp_close.then_some(true),
        network_lock_method: Some(run.map_or(0, |_| LOCKED_BY_NFTABLES)),
        dump_criu_run_id: run.map(str::to_owned),
        crio_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..InventoryEntry::default()
    };
    images.write_atomically(Kind::Inventory, &inventory, false)
}

fn image_bytes(images: &ImageDir) -> Result<u64> {
    images.names()?.iter().try_fold(0, |sum, name| Ok(sum + images.size(name)?))
}

/// What belongs to no task is told as if it were the root's.
fn of_root(frozen: &Frozen, (what, consequence): (String, &str)) -> NotKept {
    let (pid, comm) = frozen.tasks().first().map_or((0, String::new()), |root| (root.pid, root.comm.clone()));
    NotKept { pid, comm, what, consequence: consequence.to_owned() }
}

fn one_ended(end: &OneEnded) -> NotKept {
    let other = if end.writes { "reading" } else { "writing" };
    NotKept {
        pid: end.pid,
        comm: end.comm.clone(),
        what: format!("{}: its {other} end is outside of the tree", end.name),
        consequence: "after the restore that end is closed".to_owned(),
    }
}

fn report_of(survey: Survey, options: &DumpOptions) -> DumpReport {
    DumpReport {
        root: options.tree,
        blockers: survey.blockers,
        not_kept: survey.not_kept,
        counts: survey.counts,
        ..DumpReport::default()
    }
}
