//! All files of a tree while it is restored: what `files.img` lists, each opened once, in our own process.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::OFlag;

use super::event::EventRestore;
use super::fifo::FifoRestore;
use super::made::{Anchor, Made};
use super::memfd::MemfdRestore;
use super::mqueue::MqueueRestore;
use super::pipe::PipeRestore;
use super::remap::{is_about_descriptor, path_of, pid_in_proc, unless_of_cgroup};
use super::reopen::SETTABLE;
use super::tty::{Opened, TtyRestore};
use super::{embed, ghost, namespace, owner, regular, validate};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{
    FdType, FifoEntry, FileEntry, FownEntry, InventoryEntry, RegFileEntry, RemapFilePathEntry, RemapType,
    TaskKobjIdsEntry,
};
use crate::image::{ImageDir, Kind};
use crate::kernel::Pid;
use crate::options::{FileValidation, RestoreOptions};
use crate::resource::socket::{SocketRestore, Tasks};
use crate::sys::stat::fstat;

/// CRIU before 1.6 marked ghosts by this bit of `remap_id`.
const OLD_GHOST: u32 = 1 << 31;

/// What stands in for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum StandIn {
    /// `ghost-file-ID.img`
    Ghost(u32),
    /// The entry with the link's path.
    Linked(u32),
    /// A process with this pid has to exist.
    DeadProcess(Pid),
}

/// Where a file is, once it was found.
enum Found {
    /// At its path.
    Named(Rc<Anchor>),
    /// Only by its anchor.
    Nameless(Rc<Anchor>),
}

/// The files of an image. If it is dropped without [`commit`](FileRestore::commit), no file that it has made is left.
#[derive(Debug)]
pub struct FileRestore {
    options: RestoreOptions,
    images: ImageDir,
    entries: BTreeMap<u32, FileEntry>,
    stand_ins: HashMap<u32, StandIn>,
    /// All paths that each ghost had.
    ghost_paths: HashMap<u32, Vec<PathBuf>>,
    /// Embedded images whose file was open for writing.
    written: HashSet<String>,
    opened: HashMap<u32, Rc<OwnedFd>>,
    nameless: HashMap<(StandIn, PathBuf), Rc<Anchor>>,
    /// Descriptions that were opened by O_TMPFILE, and made their file.
    unnamed: HashMap<u32, OwnedFd>,
    /// Embedded copies in use; `None` where the file at the path is the same.
    copies: HashMap<String, Option<Rc<Anchor>>>,
    made: Made,
    /// Both ends of every pipe and FIFO, which have to be closed before signals go to the owners.
    pipes: Option<(PipeRestore, FifoRestore)>,
    ttys: TtyRestore,
    memfds: MemfdRestore,
    queues: MqueueRestore,
    sockets: SocketRestore,
    events: EventRestore,
    /// The numbers of the namespaces that the tree is in.
    namespaces: TaskKobjIdsEntry,
}

impl FileRestore {
    /// Reads `files.img` and `remap-fpath.img`.
    pub fn load(images: &ImageDir, options: &RestoreOptions) -> Result<Self> {
        let listed = images.read_all::<FileEntry>(Kind::Files)?;
        let ttys = TtyRestore::load(images, &listed, options.shell_job)?;
        let inventory: Option<InventoryEntry> = images.read_one(Kind::Inventory)?;
        let mut entries = BTreeMap::new();
        for entry in listed {
            let id = entry.id;
            check_entry(&entry)?;
            if entries.insert(id, entry).is_some() {
                return Err(bad(format!("file {id:#x} is there twice")));
            }
        }
        let mut files = FileRestore {
            options: options.clone(),
            images: images.clone(),
            written: written_embedded(entries.values()),
            sockets: SocketRestore::load(images, entries.values(), options)?,
            events: EventRestore::load(entries.values()),
            entries,
            stand_ins: HashMap::new(),
            ghost_paths: HashMap::new(),
            opened: HashMap::new(),
            nameless: HashMap::new(),
            unnamed: HashMap::new(),
            copies: HashMap::new(),
            made: Made::default(),
            pipes: Some((PipeRestore::load(images)?, FifoRestore::load(images)?)),
            ttys,
            memfds: MemfdRestore::load(images)?,
            queues: MqueueRestore::default(),
            namespaces: inventory.and_then(|inventory| inventory.root_ids).unwrap_or_default(),
        };
        files.take_inherited()?;
        for remap in images.read_all::<RemapFilePathEntry>(Kind::RemapFpath)? {
            files.load_remap(&remap)?;
        }
        Ok(files)
    }

    fn load_remap(&mut self, remap: &RemapFilePathEntry) -> Result<()> {
        let path = path_of(&self.regular(remap.orig_id)?.name).to_owned();
        let stand_in = match remap.remap_type.map(RemapType::try_from) {
            None if remap.remap_id & OLD_GHOST != 0 => StandIn::Ghost(remap.remap_id & !OLD_GHOST),
            None | Some(Ok(RemapType::Linked)) => StandIn::Linked(remap.remap_id),
            Some(Ok(RemapType::Ghost)) => StandIn::Ghost(remap.remap_id),
            Some(Ok(RemapType::Procfs)) => StandIn::DeadProcess(remap.remap_id as Pid),
            Some(Err(_)) => return Err(bad(format!("file {:#x} has an unknown remap", remap.orig_id))),
        };
        if let StandIn::Linked(link) = stand_in {
            self.regular(link)?;
        }
        if let StandIn::Ghost(ghost) = stand_in {
            let paths = self.ghost_paths.entry(ghost).or_default();
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        self.stand_ins.insert(remap.orig_id, stand_in);
        Ok(())
    }

    /// Everything that cannot be opened, before any process exists: files that are missing or changed, images that
    /// are missing. What can be known only later (see [`is_late`](FileRestore::is_late)) is left out.
    pub fn check(&self) -> Vec<Error> {
        let mut seen = HashSet::new();
        // The path of a terminal is made by its pair.
        let of_ttys: HashSet<u32> =
            self.entries.values().filter_map(|entry| entry.tty.as_ref()?.regf_id).collect();
        let regular = self.entries.values().filter_map(|entry| entry.reg.as_ref());
        let regular = regular.filter(|reg| !of_ttys.contains(&reg.id));
        let fresh = regular.filter(|reg| {
            seen.insert((&reg.name, reg.size, reg.mode, &reg.build_id, self.stand_ins.get(&reg.id)))
        });
        let queues = self.entries.values().filter_map(|entry| MqueueRestore::check(entry.mq.as_ref()?).err());
        let files = fresh.filter_map(|reg| self.check_one(reg).err());
        let namespaces = self.entries.values().filter_map(|entry| entry.nsf.as_ref());
        let namespaces = namespaces.filter_map(|nsf| namespace::check(nsf, &self.namespaces).err());
        let sockets = self.sockets.check().err();
        files.chain(queues).chain(namespaces).chain(self.check_watches()).chain(sockets).collect()
    }

    fn check_one(&self, reg: &RegFileEntry) -> Result<()> {
        match self.stand_ins.get(&reg.id) {
            _ if self.inherited_number(reg).is_some() || self.is_late(reg.id) => Ok(()),
            _ if reg.ext == Some(true) => {
                let reason = "was left to the caller of the restore, who does not give it";
                let help =
                    format!("open it and restore with --inherit-fd 'fd[N]:{}'", path_of(&reg.name).display());
                Err(Error::new("E-FILE-EXTERNAL", Blame::Usage, reason).on(lossy(reg)).help(help))
            }
            Some(StandIn::Ghost(ghost)) => ghost::load(&self.images, *ghost).map(drop),
            Some(StandIn::Linked(link)) => self.find_link(reg, *link).map(drop),
            Some(StandIn::DeadProcess(_)) => Ok(()),
            None => match (self.find_at_path(reg), &reg.embedded) {
                (Ok(_), _) => Ok(()),
                (Err(e), None) => unless_of_cgroup(&reg.name, e),
                (Err(e), Some(name)) => self.check_embedded(name, e),
            },
        }
    }

    fn check_embedded(&self, name: &str, why: Error) -> Result<()> {
        if self.written.contains(name) && why.errno() != Some(libc::ENOENT) {
            return Err(
                why.help("it was open for writing: move it away, and the embedded copy takes its place")
            );
        }
        embed::open(&self.images, name).map(drop)
    }

    /// The entry with this id.
    pub fn entry(&self, id: u32) -> Option<&FileEntry> {
        self.entries.get(&id)
    }

    /// All entries, by ascending id.
    pub fn entries(&self) -> impl Iterator<Item = &FileEntry> {
        self.entries.values()
    }

    /// The path of a file that is opened by path.
    pub fn path(&self, id: u32) -> Result<&[u8]> {
        self.regular(id).map(|reg| reg.name.as_slice())
    }

    /// Whether it can be opened only when the restored tasks exist: it is in the /proc directory of one.
    pub fn is_late(&self, id: u32) -> bool {
        self.regular(id).is_ok_and(|reg| pid_in_proc(&reg.name).is_some())
    }

    /// Whether it can be opened only when tables have been filled: it is about a descriptor of a restored task.
    pub fn needs_tables(&self, id: u32) -> bool {
        self.regular(id).is_ok_and(|reg| is_about_descriptor(&reg.name))
    }

    /// Pids that are in use by nobody, and that some process has to have while late files are opened.
    pub fn dead_processes(&self) -> BTreeSet<Pid> {
        let dead = |stand_in: &StandIn| match stand_in {
            StandIn::DeadProcess(pid) => Some(*pid),
            _ => None,
        };
        self.stand_ins.values().filter_map(dead).collect()
    }

    /// The description with this id. It is opened at the first call; every later one gives the same.
    pub fn open(&mut self, id: u32) -> Result<Rc<OwnedFd>> {
        if let Some(fd) = self.opened.get(&id) {
            return Ok(Rc::clone(fd));
        }
        let entry = self.entries.get(&id).ok_or_else(|| bad(format!("there is no file {id:#x}")))?.clone();
        let fd = Rc::new(self.open_any(&entry)?);
        self.opened.insert(id, Rc::clone(&fd));
        Ok(fd)
    }

    fn open_any(&mut self, entry: &FileEntry) -> Result<OwnedFd> {
        let id = entry.id;
        let kind = FdType::try_from(entry.r#type).ok();
        match (kind, &entry.pipe, &entry.fifo, &entry.tty, &entry.memfd) {
            (Some(FdType::Reg), ..) => self.open_regular(id),
            (Some(FdType::Pipe), Some(pipe), ..) => match &mut self.pipes {
                Some((pipes, _)) => pipes.open(pipe),
                None => Err(too_late(id)),
            },
            (Some(FdType::Fifo), _, Some(fifo), ..) => self.open_fifo(id, fifo),
            (Some(FdType::Tty), _, _, Some(tty), _) => match self.ttys.open(tty)? {
                Opened::Here(fd) => Ok(fd),
                Opened::InSession { sid, .. } => {
                    Err(Error::bug(format!("/dev/tty must be opened by a task of session {sid}")))
                }
            },
            (Some(FdType::Memfd), _, _, _, Some(memfd)) => self.memfds.open(memfd),
            (Some(FdType::Ns), ..) => match &entry.nsf {
                Some(nsf) => namespace::reopen(nsf, &self.namespaces),
                None => Err(bad(format!("namespace {id:#x} has no entry"))),
            },
            (Some(FdType::Mqueue), ..) => match &entry.mq {
                Some(queue) => self.queues.open(queue),
                None => Err(bad(format!("message queue {id:#x} has no entry"))),
            },
            _ => self.events.open(entry)?.ok_or_else(|| {
                bad(format!("file {id:#x} has type {}, which is not supported yet", entry.r#type))
            }),
        }
    }

    fn open_fifo(&mut self, id: u32, fifo: &FifoEntry) -> Result<OwnedFd> {
        let path = fifo.regf_id.ok_or_else(|| bad(format!("FIFO {id:#x} has no path")))?;
        let flags = self.regular(path)?.flags;
        let (pipes, mut fifos) = self.pipes.take().ok_or_else(|| too_late(id))?;
        let opened = fifos.open(fifo, flags, |flags| self.open_with(path, regular::open_flags(flags)));
        self.pipes = Some((pipes, fifos));
        opened
    }

    /// The processes that sockets name as peers or senders; they may be dead.
    pub fn named_by_sockets(&self) -> BTreeSet<Pid> {
        self.sockets.named()
    }

    /// Makes the sockets that mappings are of.
    pub fn open_mapped_sockets(&mut self) -> Result<()> {
        self.opened.extend(self.sockets.make_mapped()?);
        Ok(())
    }

    /// The socket whose rings are mapped.
    pub fn rings(&mut self, shmid: u64) -> Result<Rc<OwnedFd>> {
        let id = u32::try_from(shmid).ok().filter(|id| self.entries.get(id).is_some_and(|e| e.psk.is_some()));
        let id = id.ok_or_else(|| bad(format!("there is no packet socket {shmid:#x}, which is mapped")))?;
        self.open(id)
    }

    /// Makes every socket, with what waits in it; before anything else is opened.
    pub fn open_sockets(&mut self, tasks: &mut dyn Tasks) -> Result<()> {
        self.sockets.make(tasks)?;
        self.opened.extend(self.sockets.opened());
        let mut sockets = std::mem::take(&mut self.sockets);
        let filled = sockets.fill(|id| self.open(id));
        self.sockets = sockets;
        filled.and_then(|()| self.sockets.finish())
    }

    /// Seals memory files and finishes message queues, when all mappings and descriptions exist.
    pub fn seal(&mut self) -> Result<()> {
        self.queues.finish()?;
        self.memfds.seal()
    }

    /// Memory without a name, by the number that mappings have for it, if it is open as well.
    pub fn shared_memory(&mut self, shmid: u64) -> Result<Option<OwnedFd>> {
        let object = self.memfds.shared_memory(shmid)?;
        object.map(|fd| fd.try_clone_to_owned().os(|| "duplicate shared memory")).transpose()
    }

    /// A directory of a task, for fchdir(2).
    pub fn open_directory(&mut self, id: u32) -> Result<Rc<OwnedFd>> {
        self.open_with(id, OFlag::O_PATH | OFlag::O_DIRECTORY).map(Rc::new)
    }

    /// A new description of the file of an entry that has a path, with flags of the caller's: for mappings (O_RDWR if
    /// shared and writable, else O_RDONLY), programs, and FIFOs.
    pub fn open_with(&mut self, id: u32, flags: OFlag) -> Result<OwnedFd> {
        if let Some(inode) =
            self.entries.get(&id).and_then(|entry| entry.memfd.as_ref()).map(|memfd| memfd.inode_id)
        {
            let object =
                Anchor::new(self.memfds.object(inode)?.try_clone_to_owned().os(|| "duplicate a memfd")?);
            return object.open(flags).os(|| format!("open memfd {inode}"));
        }
        let reg = self.regular(id)?.clone();
        if let Some(fd) = self.inherit(&reg)? {
            return Ok(fd);
        }
        match self.find(&reg)? {
            Found::Named(anchor) => regular::open_named(&anchor, &reg, flags | OFlag::O_CLOEXEC),
            Found::Nameless(anchor) => regular::open_anchored(&anchor, &reg, flags),
        }
    }

    fn open_regular(&mut self, id: u32) -> Result<OwnedFd> {
        let reg = self.regular(id)?;
        let (flags, inherited) = (regular::open_flags(reg.flags), self.inherited_number(reg).is_some());
        let opened = self.open_with(id, flags)?;
        // The description that has made the file is the one with O_TMPFILE.
        let fd = self.unnamed.remove(&id).unwrap_or(opened);
        if !inherited {
            regular::seek(&fd, self.regular(id)?)?;
        }
        Ok(fd)
    }

    /// Gives every opened description the owner of its signals. The owners are tasks, which have to exist.
    pub fn set_owners(&mut self) -> Result<()> {
        // Closing our own ends would be signalled.
        self.pipes = None;
        for (id, fd) in &self.opened {
            let Some(fown) = self.entries.get(id).and_then(|entry| self.owner_of(entry)) else { continue };
            if fown.pid != 0 || fown.signum != 0 {
                owner::apply(fd.as_fd(), fown).map_err(|e| e.on(format!("file {id:#x}")))?;
            }
        }
        Ok(())
    }

    /// If O_ASYNC is on for this description: the flags for fcntl(F_SETFL), which a task that has it open must call.
    pub fn asynchronous(&self, id: u32) -> Option<i32> {
        let entry = self.entries.get(&id)?;
        let flags = entry.flags().or_else(|| self.path_of_fifo(entry)?.flags())?;
        let on = flags as i32 & libc::O_ASYNC != 0 && flags as i32 & libc::O_PATH == 0;
        on.then_some(flags as i32 & SETTABLE)
    }

    fn owner_of<'e>(&'e self, entry: &'e FileEntry) -> Option<&'e FownEntry> {
        entry.fown().or_else(|| self.path_of_fifo(entry)?.fown())
    }

    fn path_of_fifo(&self, entry: &FileEntry) -> Option<&FileEntry> {
        self.entries.get(&entry.fifo.as_ref()?.regf_id?)
    }

    /// The restore has succeeded: what was made stays, and links of the dump go.
    pub fn commit(mut self) {
        self.made.commit();
        self.queues.keep();
        self.sockets.commit();
    }

    fn regular(&self, id: u32) -> Result<&RegFileEntry> {
        let reg = self.entries.get(&id).and_then(|entry| entry.reg.as_ref());
        reg.ok_or_else(|| bad(format!("there is no file {id:#x} with a path")))
    }

    fn find(&mut self, reg: &RegFileEntry) -> Result<Found> {
        let stand_in = match self.stand_ins.get(&reg.id) {
            Some(StandIn::DeadProcess(_)) | None => return self.find_named(reg),
            Some(stand_in) => *stand_in,
        };
        let path = path_of(&reg.name).to_owned();
        let key = (stand_in, path);
        if let Some(anchor) = self.nameless.get(&key) {
            return Ok(Found::Nameless(Rc::clone(anchor)));
        }
        let anchor = match stand_in {
            StandIn::Ghost(ghost) => self.make_ghost(ghost, &key.1)?,
            StandIn::Linked(link) => Rc::new(self.adopt_link(reg, link)?),
            StandIn::DeadProcess(pid) => {
                return Err(Error::bug(format!("process {pid} stands in for a file")));
            }
        };
        self.nameless.insert(key, Rc::clone(&anchor));
        Ok(Found::Nameless(anchor))
    }

    /// Makes a ghost under all its names; a name that could not be linked shares the inode of another.
    fn make_ghost(&mut self, ghost: u32, path: &Path) -> Result<Rc<Anchor>> {
        if let Some(anchor) = self.make_unnamed(ghost)? {
            self.nameless.insert((StandIn::Ghost(ghost), path.to_owned()), Rc::clone(&anchor));
            return Ok(anchor);
        }
        let key = |path: PathBuf| (StandIn::Ghost(ghost), path);
        let paths = self.ghost_paths.get(&ghost).cloned().unwrap_or_default();
        let first = paths.first().cloned().unwrap_or_default();
        if !self.nameless.contains_key(&key(first.clone())) {
            let made = ghost::recreate(&self.images, ghost, &paths)?;
            self.nameless.extend(made.into_iter().map(|(path, anchor)| (key(path), Rc::new(anchor))));
        }
        let anchor = self.nameless.get(&key(path.to_owned())).or_else(|| self.nameless.get(&key(first)));
        anchor.cloned().ok_or_else(|| Error::bug(format!("ghost {ghost:#x} was not made")))
    }

    /// Makes a ghost that a description has by O_TMPFILE, and keeps that description.
    fn make_unnamed(&mut self, ghost: u32) -> Result<Option<Rc<Anchor>>> {
        let by_ghost = self.entries.values().filter_map(|entry| entry.reg.as_ref());
        let by_ghost = by_ghost.filter(|reg| self.stand_ins.get(&reg.id) == Some(&StandIn::Ghost(ghost)));
        let Some(reg) = by_ghost.clone().find(|reg| reg.flags as i32 & libc::O_TMPFILE == libc::O_TMPFILE)
        else {
            return Ok(None);
        };
        let (id, path) = (reg.id, path_of(&reg.name).to_owned());
        if let Some(known) = self.nameless.get(&(StandIn::Ghost(ghost), path.clone())) {
            return Ok(Some(Rc::clone(known)));
        }
        let made = ghost::recreate_unnamed(&self.images, ghost, &path, regular::open_flags(reg.flags))?;
        let Some((anchor, fd)) = made else { return Ok(None) };
        let anchor = Rc::new(anchor);
        self.unnamed.insert(id, fd);
        self.nameless.insert((StandIn::Ghost(ghost), path), Rc::clone(&anchor));
        Ok(Some(anchor))
    }

    /// Gives the file behind a hard link of the dump its old name for a moment.
    fn adopt_link(&mut self, reg: &RegFileEntry, link: u32) -> Result<Anchor> {
        let (path, anchor) = self.find_link(reg, link)?;
        self.made.remove_on_success(path);
        ghost::link_nameless(&anchor, path_of(&reg.name))
    }

    fn find_link(&self, reg: &RegFileEntry, link: u32) -> Result<(PathBuf, Anchor)> {
        let path = path_of(&self.regular(link)?.name).to_owned();
        let anchor = Anchor::at(&path).os(|| format!("open {}", path.display())).map_err(|e| {
            e.on(lossy(reg))
                .help("the dump has made this link: it must stay until the restore, and serves one")
        })?;
        self.validate(&anchor, reg)?;
        Ok((path, anchor))
    }

    fn find_at_path(&self, reg: &RegFileEntry) -> Result<Anchor> {
        let path = path_of(&reg.name);
        if !path.is_absolute() {
            return Err(bad(format!("{} is no absolute path", path.display())));
        }
        // Elsewhere the same library may be a link to it; a link that was open itself must not be followed.
        let itself = reg.flags & libc::O_NOFOLLOW as u32 != 0
            || reg.mode.is_some_and(|mode| mode & libc::S_IFMT == libc::S_IFLNK);
        let anchor = if itself { Anchor::at(path) } else { Anchor::follow(path) };
        let anchor = anchor.os(|| format!("open {}", path.display())).map_err(|e| {
            let missing = e.errno() == Some(libc::ENOENT);
            let help = "put it back from the machine of the dump, or dump with --embed-files";
            if missing { e.help(help) } else { e }
        })?;
        self.validate(&anchor, reg)?;
        Ok(anchor)
    }

    fn validate(&self, anchor: &Anchor, reg: &RegFileEntry) -> Result<()> {
        let stat = fstat(anchor).os(|| format!("fstat {}", lossy(reg)))?;
        validate::compare(anchor, &stat, reg, &self.options)
    }

    fn find_named(&mut self, reg: &RegFileEntry) -> Result<Found> {
        let found = self.find_at_path(reg);
        if let Some(gone) = &reg.gone {
            return Ok(Found::Nameless(Rc::new(ghost::link_nameless(&found?, path_of(gone))?)));
        }
        let Some(name) = reg.embedded.as_deref() else {
            return found.map(|anchor| Found::Named(Rc::new(anchor)));
        };
        if self.written.contains(name) {
            let missing = found.as_ref().is_err_and(|e| e.errno() == Some(libc::ENOENT));
            let anchor = if missing { self.install(reg, name)? } else { found? };
            return Ok(Found::Named(Rc::new(anchor)));
        }
        if let Some(Some(copy)) = self.copies.get(name) {
            return Ok(Found::Nameless(Rc::clone(copy)));
        }
        let image = embed::open(&self.images, name)?;
        if let Ok(anchor) = found
            && (self.copies.contains_key(name) || self.is_proven(reg) || embed::is_same(&anchor, &image)?)
        {
            self.copies.insert(name.to_owned(), None);
            return Ok(Found::Named(Rc::new(anchor)));
        }
        let copy = Rc::new(embed::copy(&image, path_of(&reg.name), reg)?);
        self.copies.insert(name.to_owned(), Some(Rc::clone(&copy)));
        Ok(Found::Nameless(copy))
    }

    /// Whether a file that validates needs no comparison of content.
    fn is_proven(&self, reg: &RegFileEntry) -> bool {
        !reg.build_id.is_empty() || self.options.file_validation == FileValidation::FileSize
    }

    fn install(&mut self, reg: &RegFileEntry, name: &str) -> Result<Anchor> {
        let image = embed::open(&self.images, name)?;
        embed::install(&image, path_of(&reg.name), reg, &mut self.made)
    }
}

fn too_late(id: u32) -> Error {
    Error::bug(format!("file {id:#x} is opened after the owners were set"))
}

fn bad(reason: String) -> Error {
    Error::image(Kind::Files.file_name(), reason)
}

fn lossy(reg: &RegFileEntry) -> String {
    String::from_utf8_lossy(&reg.name).into_owned()
}

/// A file with a path has an entry of its type and id, and a path that the kernel would take.
fn check_entry(entry: &FileEntry) -> Result<()> {
    let is_regular = entry.r#type == i32::from(FdType::Reg);
    let Some(reg) = &entry.reg else {
        let missing = || bad(format!("file {:#x} has no path", entry.id));
        return if is_regular { Err(missing()) } else { Ok(()) };
    };
    if reg.id != entry.id || reg.name.contains(&0) {
        return Err(bad(format!("file {:#x} has a bad id or path", entry.id)));
    }
    Ok(())
}

fn written_embedded<'e>(entries: impl Iterator<Item = &'e FileEntry>) -> HashSet<String> {
    let regular = entries.filter_map(|entry| entry.reg.as_ref());
    let written = regular.filter(|reg| {
        let path_only = reg.flags & libc::O_PATH as u32 != 0;
        !path_only && reg.flags & libc::O_ACCMODE as u32 != libc::O_RDONLY as u32
    });
    written.filter_map(|reg| reg.embedded.clone()).collect()
}

mod inherit;
mod start;
mod terminal;
#[cfg(test)]
mod tests;
mod userfaultfd;
