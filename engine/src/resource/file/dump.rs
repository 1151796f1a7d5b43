//! All files of a tree while it is dumped: `files.img`, `remap-fpath.img`, and what they refer to.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::OFlag;

use super::embed::EmbedDump;
use super::event::EventDump;
use super::fifo::FifoDump;
use super::kind::{self, Kind};
use super::lock::LockDump;
use super::made::Anchor;
use super::memfd::MemfdDump;
use super::pipe::{OneEnded, PipeDump};
use super::remap::{self, Judged, LinkRemaps, Standing};
use super::table::Tables;
use super::tty::{TaskTerminal, TtyDump};
use super::{Description, ghost, lock, mqueue, namespace, regular};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry, RegFileEntry, RemapFilePathEntry, RemapType};
use crate::image::{self, ImageDir};
use crate::kernel::fdinfo::{FdInfo, Lock};
use crate::kernel::sock_diag::{UnixSocket, unix_sockets};
use crate::kernel::{Pid, ProcDir, fdinfo};
use crate::options::DumpOptions;
use crate::report::NotKept;
use crate::resource::memory::registered::Registered;
use crate::resource::memory::shared::SharedDump;
use crate::resource::socket::inet::connections::Connections;
use crate::resource::socket::{InFlight, SocketDump};
use crate::sys::stat::fstat;
use crate::tracee::Frozen;

/// Page images of memory files are numbered from here, out of reach of those that the address spaces have.
const FIRST_PAGES_ID: u32 = 1 << 24;

/// Device and inode.
type Inode = (u64, u64);

/// The files of a tree so far. Ghosts and embedded files are written as they are met, everything else by
/// [`FileDump::finish`]. Dropped before that, it removes the hard links that it has made.
#[derive(Debug)]
pub struct FileDump<'a> {
    options: &'a DumpOptions,
    images: &'a ImageDir,
    entries: Vec<FileEntry>,
    remaps: Vec<RemapFilePathEntry>,
    last_id: u32,
    /// Files known by a link of /proc, and where their entry is.
    by_link: HashMap<(Inode, Vec<u8>), usize>,
    ghosts: HashMap<Inode, u32>,
    linked: HashMap<Inode, u32>,
    links: LinkRemaps,
    dead_processes: HashSet<Pid>,
    embedded: EmbedDump,
    last_pages_id: u32,
    shared: SharedDump,
    kinds: Kinds<'a>,
}

/// The kinds with a module of their own.
#[derive(Debug)]
struct Kinds<'a> {
    pipes: PipeDump,
    fifos: FifoDump,
    ttys: TtyDump<'a>,
    memfds: MemfdDump,
    sockets: SocketDump,
    events: EventDump,
    locks: LockDump,
}

/// What a finished dump of files leaves to be told.
#[derive(Debug, Default)]
pub struct DumpedFiles {
    /// Must be [kept](LinkRemaps::keep) once the whole dump has succeeded.
    pub links: LinkRemaps,
    /// Pipes and FIFOs whose other end somebody outside of the tree has: a restore closes it.
    pub one_ended: Vec<OneEnded>,
    /// Other state that is lost.
    pub not_kept: Vec<NotKept>,
    /// Pages of memory files and shared memory that were written.
    pub pages: u64,
    /// Of TCP: locked as long as this lives, or for good if the tree [ends](Connections::prepare_end).
    pub connections: Connections,
}

impl<'a> FileDump<'a> {
    /// Nothing yet; images go to `images`. `terminals` are those of all tasks of the tree.
    pub fn new(options: &'a DumpOptions, images: &'a ImageDir, terminals: &'a [TaskTerminal]) -> Self {
        FileDump {
            options,
            images,
            entries: Vec::new(),
            remaps: Vec::new(),
            last_id: 0,
            by_link: HashMap::new(),
            ghosts: HashMap::new(),
            linked: HashMap::new(),
            links: LinkRemaps::default(),
            dead_processes: HashSet::new(),
            embedded: EmbedDump::default(),
            last_pages_id: FIRST_PAGES_ID,
            shared: SharedDump::default(),
            kinds: Kinds {
                pipes: PipeDump::new(images),
                fifos: FifoDump::new(images),
                ttys: TtyDump::new(terminals, &options.external),
                memfds: MemfdDump::new(images),
                sockets: SocketDump::default(),
                events: EventDump::new(&options.irmap_scan_paths),
                locks: LockDump::new(images),
            },
        }
    }

    /// A new id of `files.img`, from 1.
    pub fn allocate(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Dumps a description under an id of [`allocate`](FileDump::allocate), and gives the type for its descriptors.
    pub fn add(&mut self, id: u32, d: &Description<'_>) -> Result<FdType> {
        self.add_any(id, d).map_err(|e| d.blame(e))
    }

    fn add_any(&mut self, id: u32, d: &Description<'_>) -> Result<FdType> {
        lock::refuse(&d.info, self.options.file_locks)?;
        match Kind::of(&d.seen())? {
            Kind::Regular if mqueue::is(d)? => {
                let root = self.options.tree;
                self.add_entry(FdType::Mqueue, |_| mqueue::dump(id, d, root))
            }
            Kind::Regular | Kind::Directory | Kind::Path | Kind::MemoryDevice => {
                self.add_path(id, d)?;
                Ok(FdType::Reg)
            }
            Kind::Pipe => self.add_entry(FdType::Pipe, |kinds| kinds.pipes.add(id, d)),
            Kind::Fifo => {
                let path = self.add_path_of(d)?;
                self.add_entry(FdType::Fifo, |kinds| kinds.fifos.add(id, path, d))
            }
            Kind::Tty => {
                let path = if self.kinds.ttys.needs_path(d) { Some(self.add_path_of(d)?) } else { None };
                self.add_entry(FdType::Tty, |kinds| kinds.ttys.add(id, path, d))
            }
            Kind::Memfd => {
                self.add_memfd(id, d)?;
                Ok(FdType::Memfd)
            }
            Kind::Socket => self.kinds.sockets.add(id, d),
            Kind::Namespace => self.add_entry(FdType::Ns, |_| namespace::dump(id, d)),
            Kind::Event(kind) => {
                let (fd_type, entry) = self.kinds.events.add(id, kind, d, self.options.tree)?;
                self.push(entry);
                Ok(fd_type)
            }
        }
    }

    /// Dumps the locks that are shown at a descriptor of task and number; it is one of a table, and of a description.
    pub fn add_locks(&mut self, place: (Pid, i32), of: (u32, u32), locks: &[Lock]) -> Result<()> {
        self.kinds.locks.add(place, of, locks)
    }

    fn add_memfd(&mut self, id: u32, d: &Description<'_>) -> Result<()> {
        let pages_id = &mut self.last_pages_id;
        let entry = self.kinds.memfds.add(id, d, &mut self.shared, || {
            *pages_id += 1;
            *pages_id
        })?;
        self.push(entry);
        Ok(())
    }

    fn add_entry(
        &mut self,
        kind: FdType,
        add: impl FnOnce(&mut Kinds<'a>) -> Result<FileEntry>,
    ) -> Result<FdType> {
        let entry = add(&mut self.kinds)?;
        self.push(entry);
        Ok(kind)
    }

    /// The entry of the path of a file that has an entry of its own kind, too.
    fn add_path_of(&mut self, d: &Description<'_>) -> Result<u32> {
        let id = self.allocate();
        self.add_path(id, d).map(|()| id)
    }

    /// Dumps the path of a description, whatever is there: also for the kinds that refer to a path by such an entry.
    pub fn add_path(&mut self, id: u32, d: &Description<'_>) -> Result<()> {
        let reg = self.path_entry(id, d)?;
        self.push(FileEntry { r#type: FdType::Reg.into(), id, reg: Some(reg), ..FileEntry::default() });
        Ok(())
    }

    /// A file that is known by a link of a task's /proc directory: `exe`, `cwd`, `root`, `map_files/A-B`. The same file
    /// gets the same id. `written` says that it is mapped shared and writable.
    pub fn add_link(&mut self, proc: &ProcDir, comm: &str, link: &str, written: bool) -> Result<u32> {
        let target = proc.readlink(link)?;
        let stat = proc.stat(link)?;
        let key = ((stat.st_dev, stat.st_ino), target);
        if let Some(entry) = self.by_link.get(&key).and_then(|&at| self.entries.get_mut(at)) {
            entry.reg.iter_mut().for_each(|reg| note_written(reg, written));
            return Ok(entry.id);
        }
        let d = describe_link(proc, comm, link, self.options)?;
        let id = self.allocate();
        if kind::is_memfd(&d.seen()) {
            return self.add_mapped_memfd(id, &d, written, key);
        }
        let at = self.entries.len();
        let mut reg = self.path_entry(id, &d).map_err(|e| d.blame(e))?;
        note_written(&mut reg, written);
        // A link remap has put its own entry before this one.
        let at = at.max(self.entries.len());
        self.push(FileEntry { r#type: FdType::Reg.into(), id, reg: Some(reg), ..FileEntry::default() });
        self.by_link.insert(key, at);
        Ok(id)
    }

    /// A memory file, which has no path to be opened by: an entry of its kind, as a descriptor has.
    fn add_mapped_memfd(
        &mut self,
        id: u32,
        d: &Description<'_>,
        written: bool,
        key: (Inode, Vec<u8>),
    ) -> Result<u32> {
        let flags = if written { libc::O_RDWR } else { libc::O_RDONLY } as u32;
        let pages_id = &mut self.last_pages_id;
        let next = || {
            *pages_id += 1;
            *pages_id
        };
        let mut entry = self.kinds.memfds.add(id, d, &mut self.shared, next)?;
        entry.memfd.iter_mut().for_each(|memfd| memfd.flags = flags);
        self.by_link.insert(key, self.entries.len());
        self.push(entry);
        Ok(id)
    }

    /// The number of shared memory without a name, by its inode; `open` gives a description of ours, the first time.
    pub fn shared_memory(&mut self, inode: u64, open: impl FnOnce() -> Result<OwnedFd>) -> Result<u32> {
        self.shared.add(inode, open)
    }

    /// Appends the entry of a file of another kind.
    pub fn push(&mut self, entry: FileEntry) {
        self.entries.push(entry);
    }

    /// Where the images go.
    pub fn images(&self) -> &'a ImageDir {
        self.images
    }

    /// What was asked for.
    pub fn options(&self) -> &'a DumpOptions {
        self.options
    }

    /// Entries so far.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is known only when all descriptions were added: terminals that nobody in the tree provides.
    pub fn blockers(&self) -> Vec<Error> {
        let mut blockers = self.kinds.ttys.blockers(self.options.shell_job);
        blockers.extend(self.kinds.sockets.blockers(self.options));
        blockers
    }

    /// The id of the packet socket whose rings are mapped; it must have been added.
    pub fn rings(&self, inode: u64, offset: u64, len: u64) -> Result<u32> {
        self.kinds.sockets.of_mapping(inode, offset, len)
    }

    /// The next descriptors that are in flight through a socket: they are files of the tree, too.
    pub fn next_in_flight(&mut self) -> Option<InFlight> {
        self.kinds.sockets.next_in_flight()
    }

    /// Says which files those of [`next_in_flight`](FileDump::next_in_flight) are.
    pub fn landed(&mut self, flight: InFlight, ids: Vec<u32>) {
        self.kinds.sockets.landed(flight, ids);
    }

    /// What sockets will have lost, if `tree` are the processes that will be there.
    pub fn not_kept(&self, tree: &[Pid]) -> Vec<NotKept> {
        self.kinds.sockets.not_kept(tree)
    }

    /// Finds the files that epoll instances watch and the memory that userfaultfds serve, when all descriptors and
    /// mappings were added; `registered` are all that are registered with some.
    pub fn resolve(&mut self, tables: &Tables, frozen: &Frozen, registered: Vec<Registered>) -> Result<()> {
        self.kinds.events.epolls.resolve(&mut self.entries, tables)?;
        self.kinds.events.userfaultfds.resolve(&mut self.entries, frozen.tasks(), registered)
    }

    /// Writes the images. Terminals are read last, as close to the end of the dump as can be.
    ///
    /// # Errors
    /// The first of [`blockers`](FileDump::blockers), too.
    pub fn finish(mut self) -> Result<DumpedFiles> {
        if let Some(blocker) = self.blockers().into_iter().next() {
            return Err(blocker);
        }
        let last_id = &mut self.last_id;
        let sockets = std::mem::take(&mut self.kinds.sockets);
        let (sockets, connections) = sockets.finish(self.images, self.options, || {
            *last_id += 1;
            *last_id
        })?;
        self.entries.extend(sockets);
        if !self.kinds.events.epolls.is_resolved() {
            return Err(Error::bug("the targets of epoll instances were not looked for"));
        }
        let mut files = self.images.writer(image::Kind::Files);
        self.entries.iter().try_for_each(|entry| files.push(entry))?;
        files.finish()?;
        let mut remaps = self.images.writer(image::Kind::RemapFpath);
        self.remaps.iter().try_for_each(|remap| remaps.push(remap))?;
        remaps.finish()?;
        let Kinds { pipes, fifos, ttys, memfds, events, locks, sockets: _ } = self.kinds;
        locks.finish()?;
        let not_kept = events.finish(|inode| self.ghosts.contains_key(&inode))?;
        let mut one_ended = pipes.finish()?;
        one_ended.extend(fifos.finish()?);
        let last_pages_id = &mut self.last_pages_id;
        let shared = self.shared.write(self.images, || {
            *last_pages_id += 1;
            *last_pages_id
        })?;
        let pages = shared + memfds.finish()?;
        ttys.finish(self.images)?;
        Ok(DumpedFiles { links: self.links, one_ended, not_kept, pages, connections })
    }

    fn path_entry(&mut self, id: u32, d: &Description<'_>) -> Result<RegFileEntry> {
        if let Some(name) = external_name(d, self.options) {
            let judged = Judged { path: name.into_bytes(), standing: Standing::Named, pseudo: true };
            let entry = regular::entry(d, id, &judged, self.options.file_validation)?;
            return Ok(RegFileEntry { ext: Some(true), size: None, ..entry });
        }
        let judged = remap::judge(d, self.options)?;
        let mut entry = regular::entry(d, id, &judged, self.options.file_validation)?;
        match judged.standing {
            Standing::Named => self.embed(d, &judged, &mut entry)?,
            Standing::Ghost => self.add_ghost(id, d)?,
            Standing::Linked => self.add_linked(id, d, &judged.path)?,
            Standing::Renamed(name) => {
                let name = name.into_os_string().into_encoded_bytes();
                entry.gone = Some(std::mem::replace(&mut entry.name, name));
            }
            Standing::DeadProcess(pid) => {
                if self.dead_processes.insert(pid) {
                    self.remap(id, pid as u32, RemapType::Procfs);
                }
            }
        }
        Ok(entry)
    }

    fn embed(&mut self, d: &Description<'_>, judged: &Judged, entry: &mut RegFileEntry) -> Result<()> {
        let is_file = d.stat.st_mode & libc::S_IFMT == libc::S_IFREG;
        if self.options.embed_files && is_file && !judged.pseudo {
            let anchor = Anchor::new(d.fd.try_clone().os(|| "duplicate a descriptor")?);
            entry.embedded = Some(self.embedded.store(self.images, &anchor, &d.stat)?);
        }
        Ok(())
    }

    fn add_ghost(&mut self, id: u32, d: &Description<'_>) -> Result<()> {
        let inode = (d.stat.st_dev, d.stat.st_ino);
        let ghost = match self.ghosts.get(&inode) {
            Some(&ghost) => ghost,
            None => {
                check_ghost(d, self.options)?;
                let ghost = self.ghosts.len() as u32 + 1;
                ghost::dump(self.images, ghost, d.fd.as_fd(), &d.stat, self.options.ghost_fiemap)?;
                self.ghosts.insert(inode, ghost);
                ghost
            }
        };
        self.remap(id, ghost, RemapType::Ghost);
        Ok(())
    }

    fn add_linked(&mut self, id: u32, d: &Description<'_>, path: &[u8]) -> Result<()> {
        let inode = (d.stat.st_dev, d.stat.st_ino);
        let link = match self.linked.get(&inode) {
            Some(&link) => link,
            None if !self.options.link_remap => return Err(remap::refuse_link(&d.stat)),
            None => match self.make_link(d, path) {
                // On overlayfs a file of a lower layer counts links, but the kernel knows that it has none left.
                Err(e) if e.errno() == Some(libc::ENOENT) => return self.add_ghost(id, d),
                made => made?,
            },
        };
        self.linked.insert(inode, link);
        self.remap(id, link, RemapType::Linked);
        Ok(())
    }

    fn make_link(&mut self, d: &Description<'_>, path: &[u8]) -> Result<u32> {
        loop {
            let id = self.allocate();
            // Taken by what an earlier dump has left.
            let Some(link) = self.links.make(self.images, d, path, id)? else { continue };
            let name = link.into_os_string().into_encoded_bytes();
            let reg = RegFileEntry { id, name, ..RegFileEntry::default() };
            self.push(FileEntry { r#type: FdType::Reg.into(), id, reg: Some(reg), ..FileEntry::default() });
            return Ok(id);
        }
    }

    fn remap(&mut self, orig_id: u32, remap_id: u32, kind: RemapType) {
        self.remaps.push(RemapFilePathEntry { orig_id, remap_id, remap_type: Some(kind.into()) });
    }
}

/// What a link of a task's /proc directory leads to.
pub(super) fn describe_link<'a>(
    proc: &'a ProcDir,
    comm: &'a str,
    link: &str,
    options: &DumpOptions,
) -> Result<Description<'a>> {
    let fd = proc.open_file(link, OFlag::O_PATH)?;
    let stat = fstat(&fd).os(|| format!("fstat {}", proc.path_of(link)))?;
    // The format has no flags for these: what opens them again says how.
    let info = FdInfo {
        pos: 0,
        flags: 0,
        mnt_id: mount_of(&fd, options)?,
        ino: Some(stat.st_ino),
        locks: Vec::new(),
        rest: Vec::new(),
    };
    let target = proc.readlink(link)?;
    Ok(Description { pid: proc.pid(), comm, proc, number: -1, fd, target, info, stat })
}

/// The mount of a descriptor of ours, which only the names of external files need.
fn mount_of(fd: &impl AsRawFd, options: &DumpOptions) -> Result<i32> {
    if options.external.iter().any(|name| name.starts_with("file[")) {
        Ok(fdinfo::read(&ProcDir::current()?, fd.as_raw_fd())?.mnt_id)
    } else {
        Ok(-1)
    }
}

/// `file[MOUNT:INODE]`, both hexadecimal, if `--external` names this file.
pub(super) fn external_name(d: &Description<'_>, options: &DumpOptions) -> Option<String> {
    let name = format!("file[{:x}:{:x}]", d.info.mnt_id, d.stat.st_ino);
    options.external.contains(&name).then_some(name)
}

/// Whether a deleted file can travel. `--embed-files` asks for content to do so, however much it is.
pub(super) fn check_ghost(d: &Description<'_>, options: &DumpOptions) -> Result<()> {
    let kind = d.stat.st_mode & libc::S_IFMT;
    let is_file = kind == libc::S_IFREG;
    // Inodes of 32 bits, and no devices: a refusal too many is better than a socket that nobody can reach.
    let is_it = |socket: &UnixSocket| socket.file == Some(d.stat.st_ino as u32);
    if kind == libc::S_IFSOCK && unix_sockets()?.values().any(is_it) {
        let reason = "is the deleted file of a socket in use, and would lead to a restored one no more";
        let error = Error::new("E-FILE-UNSUPPORTED", Blame::Program, reason);
        return Err(error.help("close it before the dump"));
    }
    let (size, limit) = (d.stat.st_blocks as u64 * 512, options.ghost_limit);
    if !is_file || size <= limit || options.embed_files {
        return Ok(());
    }
    let reason = format!("is deleted and takes {size} bytes on disk, more than the limit of {limit}");
    let help = format!("raise it: --ghost-limit {}", size.div_ceil(1 << 20) << 20);
    Err(Error::new("E-GHOST-TOO-LARGE", Blame::Usage, reason).help(help))
}

/// A restore may install a missing embedded file only if it knows that it is written to.
fn note_written(reg: &mut RegFileEntry, written: bool) {
    if written && reg.embedded.is_some() {
        reg.flags |= libc::O_RDWR as u32;
    }
}
