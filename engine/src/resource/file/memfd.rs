//! Files of memfd_create(2): memory with descriptors instead of a path, mm/memfd.c, mm/shmem.c.
//!
//! An object ([`MemfdInodeEntry`] of `memfd.img`) may have many descriptions ([`MemfdFileEntry`] of `files.img`) and
//! mappings. Its content is in `pagemap-shmem-SHMID.img`, pages only where it has data; the `shmid` is a number
//! of the image's own.
//!
//! Seals come last ([`MemfdRestore::seal`]): F_SEAL_WRITE does not go with a writable mapping, and
//! F_SEAL_FUTURE_WRITE would forbid one that the image has.
//!
//! Memory of huge pages (MFD_HUGETLB) is the same with pages of another file system, hugetlbfs. So is shared memory without a
//! name, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, which has the name that the kernel shows for it: CRIU's images have it
//! here, too. Shared memory without a name of ordinary pages (`memory/shared.rs`) is here if the program has it open, or
//! mapped for itself alone, which only /proc/PID/map_files makes possible; its content is where all such memory has it.
//!
//! Not kept: times; memory that was reserved by fallocate(2) but never written; huge pages of nothing but zeros.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, Whence, fchown, lseek64};

use super::reopen::{SETTABLE, reopen, set_flags};
use super::{Description, content, owner};
use crate::error::{Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry, FownEntry, MemfdFileEntry, MemfdInodeEntry, pe};
use crate::image::pages::{PageReader, PageWriter, Source};
use crate::image::{EntryWriter, ImageDir, Kind};
use crate::kernel::huge_pool;
use crate::kernel::pagemap::page_size;
use crate::resource::memory::shared::{FIRST_SHMID, SharedDump};
use crate::sys::fd::fcntl;
use crate::sys::memory::shared_memory;
use crate::sys::stat::{FileStat, fstat};

/// linux/memfd.h, since 6.3: whether the file may ever be executable.
const MFD_NOEXEC_SEAL: u32 = 8;
const MFD_EXEC: u32 = 0x10;
/// linux/fcntl.h, since 6.3: the executable bits are fixed.
const F_SEAL_EXEC: u32 = 0x20;

/// How its links in /proc start.
const PREFIX: &[u8] = b"/memfd:";
/// What follows a name that is none.
const DELETED: &[u8] = b" (deleted)";
/// The name that the kernel gives to huge pages without one (mm/hugetlb.c: hugetlb_file_setup).
const HUGE_MEMORY: &[u8] = b"/anon_hugepage";

/// That of shared memory of ordinary pages (mm/shmem.c: shmem_zero_setup).
const SHARED_MEMORY: &[u8] = b"/dev/zero";

/// Bytes that are copied at once.
const CHUNK: u64 = 1 << 20;

/// The memory files of a tree being dumped.
#[derive(Debug)]
pub struct MemfdDump {
    images: ImageDir,
    inodes: EntryWriter,
    ids: HashMap<(u64, u64), u32>,
    pages: u64,
}

impl MemfdDump {
    /// None yet; `memfd.img` appears in `images` with the first one.
    pub fn new(images: &ImageDir) -> Self {
        MemfdDump {
            images: images.clone(),
            inodes: images.writer(Kind::Memfd),
            ids: HashMap::new(),
            pages: 0,
        }
    }

    /// Whether the target of a link in /proc is a memory file's.
    pub fn is_memfd(target: &[u8]) -> bool {
        let is = |name: &[u8]| name.starts_with(PREFIX) || name == HUGE_MEMORY || name == SHARED_MEMORY;
        target.strip_suffix(DELETED).is_some_and(is)
    }

    /// Dumps one description, and the object with its content the first time. `pages_id` gives the number of an
    /// unused `pages-N.img`; `shared` writes the content of memory without a name.
    pub fn add(
        &mut self,
        id: u32,
        file: &Description<'_>,
        shared: &mut SharedDump,
        pages_id: impl FnOnce() -> u32,
    ) -> Result<FileEntry> {
        self.dump(id, file, shared, pages_id).map_err(|e| file.blame(e))
    }

    fn dump(
        &mut self,
        id: u32,
        file: &Description<'_>,
        shared: &mut SharedDump,
        pages_id: impl FnOnce() -> u32,
    ) -> Result<FileEntry> {
        let key = (file.stat.st_dev, file.stat.st_ino);
        let inode_id = match self.ids.get(&key) {
            Some(inode_id) => *inode_id,
            None => {
                let inode_id = self.ids.len() as u32 + 1;
                self.dump_inode(inode_id, file, shared, pages_id)?;
                self.ids.insert(key, inode_id);
                inode_id
            }
        };
        let flags = file.info.flags & !(libc::O_CLOEXEC as u32);
        // What is only mapped is here by an O_PATH descriptor of ours.
        let fown = if file.number < 0 { FownEntry::default() } else { owner::of(file.fd.as_fd(), flags)? };
        let memfd = Some(MemfdFileEntry { id, flags, pos: file.info.pos as u64, fown, inode_id });
        Ok(FileEntry { r#type: FdType::Memfd.into(), id, memfd, ..FileEntry::default() })
    }

    fn dump_inode(
        &mut self,
        inode_id: u32,
        file: &Description<'_>,
        shared: &mut SharedDump,
        pages_id: impl FnOnce() -> u32,
    ) -> Result<()> {
        // A description of our own: looking for holes moves the position.
        let open = || reopen(&file.fd, libc::O_RDONLY as u32);
        let own = File::from(open()?);
        let huge_page = content::huge_page(&own).os(|| "fstatfs")?;
        let seals = match fcntl(own.as_fd(), libc::F_GET_SEALS, 0) {
            // Before 4.16 huge pages had no seals.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) && huge_page.is_some() => libc::F_SEAL_SEAL,
            seals => seals.os(|| "fcntl F_GET_SEALS")?,
        } as u32;
        let size = file.stat.st_size as u64;
        let anonymous = file.target.strip_suffix(DELETED) == Some(SHARED_MEMORY);
        let shmid = match anonymous {
            true => shared.add(file.stat.st_ino, open)?,
            false => FIRST_SHMID + 2 * inode_id + 1,
        };
        if !anonymous {
            self.pages += store(&self.images, own, size, shmid, pages_id())?;
        }
        let name = file.target.strip_prefix(PREFIX).unwrap_or(&file.target);
        let name = name.strip_suffix(DELETED).unwrap_or(name).to_vec();
        self.inodes.push(&MemfdInodeEntry {
            name,
            uid: file.stat.st_uid,
            gid: file.stat.st_gid,
            size,
            shmid,
            seals,
            inode_id: inode_id.into(),
            hugetlb_flag: huge_page.map(|size| libc::MFD_HUGETLB | huge_pool::size_to_flags(size)),
            mode: Some(file.stat.st_mode),
            anonymous: anonymous.then_some(true),
        })
    }

    /// Closes the image; returns the number of pages that were written.
    pub fn finish(self) -> Result<u64> {
        self.inodes.finish()?;
        Ok(self.pages)
    }
}

/// Whether a file is on the hidden mount of mm/shmem.c, which memory files, shared memory and System V segments are on.
pub(super) fn is_shmem(stat: &FileStat) -> bool {
    static DEVICE: OnceLock<Option<u64>> = OnceLock::new();
    let probe = || Some(fstat(&memfd_create("probe", MFdFlags::MFD_CLOEXEC).ok()?).ok()?.st_dev);
    Some(stat.st_dev) == *DEVICE.get_or_init(probe)
}

/// Writes the pages of a shared memory file that have data; returns their number.
pub(in crate::resource) fn store(
    images: &ImageDir,
    file: File,
    size: u64,
    shmid: u32,
    pages_id: u32,
) -> Result<u64> {
    let page_size = page_size()?;
    let mut pages = PageWriter::create(images, Kind::PagemapShmem(shmid.into()), pages_id, page_size)?;
    let image = pages.file();
    let mut buffer = vec![0; CHUNK as usize];
    let mut count = 0;
    for (start, len) in content::data_ranges(&file, size).os(|| "find the data of the memory file")? {
        let (mut at, end) = (start - start % page_size, start + len);
        while at < end {
            let len = CHUNK.min(end - at);
            // The last page is stored whole; behind the end of the file it is zero.
            let (chunk, _) = buffer.split_at_mut(len.next_multiple_of(page_size) as usize);
            let (bytes, rest) = chunk.split_at_mut(len as usize);
            file.read_exact_at(bytes, at).os(|| "read the memory file")?;
            rest.fill(0);
            let nr_pages = chunk.len() as u64 / page_size;
            count += nr_pages;
            if let Some(offset) = pages.add(at, nr_pages, pe::PRESENT)? {
                image
                    .write_all_at(chunk, offset)
                    .os(|| format!("write {}", Kind::Pages(pages_id).file_name()))?;
            }
            at += len;
        }
    }
    pages.finish()?;
    Ok(count)
}

/// The memory files of a tree being restored.
#[derive(Debug)]
pub struct MemfdRestore {
    images: ImageDir,
    inodes: HashMap<u64, MemfdInodeEntry>,
    made: HashMap<u64, Made>,
}

#[derive(Debug)]
struct Made {
    fd: OwnedFd,
    /// The description of memfd_create(2) is one of the image's.
    given: bool,
}

impl MemfdRestore {
    /// Reads which objects there are.
    pub fn load(images: &ImageDir) -> Result<Self> {
        let inodes = images.read_all::<MemfdInodeEntry>(Kind::Memfd)?;
        let inodes = inodes.into_iter().map(|inode| (inode.inode_id, inode)).collect();
        Ok(MemfdRestore { images: images.clone(), inodes, made: HashMap::new() })
    }

    /// Opens one description.
    pub fn open(&mut self, entry: &MemfdFileEntry) -> Result<OwnedFd> {
        let made = self.make(entry.inode_id)?;
        let has = fcntl(made.fd.as_fd(), libc::F_GETFL, 0).os(|| "fcntl F_GETFL")?;
        let fd = if made.given || (has ^ entry.flags as i32) & !SETTABLE != 0 {
            reopen(&made.fd, entry.flags)?
        } else {
            made.given = true;
            set_flags(&made.fd, entry.flags)?;
            made.fd.try_clone().os(|| "dup")?
        };
        if entry.flags & libc::O_PATH as u32 == 0 {
            let pos = i64::try_from(entry.pos).unwrap_or(-1);
            lseek64(&fd, pos, Whence::SeekSet).os(|| format!("lseek {pos}"))?;
        }
        Ok(fd)
    }

    /// The object itself, readable and writable, for mappings.
    pub fn object(&mut self, inode_id: u32) -> Result<BorrowedFd<'_>> {
        self.make(inode_id).map(|made| made.fd.as_fd())
    }

    /// Memory without a name that has this number in mappings; `None` if it is not open, and nothing but mappings have it.
    pub fn shared_memory(&mut self, shmid: u64) -> Result<Option<BorrowedFd<'_>>> {
        let is_it =
            |inode: &&MemfdInodeEntry| inode.anonymous == Some(true) && u64::from(inode.shmid) == shmid;
        match self.inodes.values().find(is_it).map(|inode| inode.inode_id) {
            Some(inode_id) => self.object(inode_id as u32).map(Some),
            None => Ok(None),
        }
    }

    /// Applies the seals, when all descriptions are open and all mappings exist.
    pub fn seal(&self) -> Result<()> {
        for (inode_id, made) in &self.made {
            let Some(inode) = self.inodes.get(inode_id) else { continue };
            let has = fcntl(made.fd.as_fd(), libc::F_GET_SEALS, 0).os(|| "fcntl F_GET_SEALS")? as u32;
            let missing = inode.seals & !has;
            if missing != 0 {
                fcntl(made.fd.as_fd(), libc::F_ADD_SEALS, missing as i32)
                    .os(|| format!("fcntl F_ADD_SEALS {missing:#x}"))
                    .map_err(|e| e.on(name_of(inode)))?;
            }
        }
        Ok(())
    }

    fn make(&mut self, inode_id: u32) -> Result<&mut Made> {
        let key = u64::from(inode_id);
        if !self.made.contains_key(&key) {
            let inode = self.inodes.get(&key).ok_or_else(|| {
                Error::image(Kind::Memfd.file_name(), format!("there is no memory file {inode_id}"))
            })?;
            let fd = create(&self.images, inode).map_err(|e| e.on(name_of(inode)))?;
            self.made.insert(key, Made { fd, given: false });
        }
        self.made.get_mut(&key).ok_or_else(|| Error::bug("a memory file was not made"))
    }
}

fn name_of(inode: &MemfdInodeEntry) -> String {
    format!("/memfd:{}", String::from_utf8_lossy(&inode.name))
}

/// Makes the object with its content, owner and mode.
fn create(images: &ImageDir, inode: &MemfdInodeEntry) -> Result<OwnedFd> {
    let fd = create_empty(inode)?;
    let file = File::from(fd.try_clone().os(|| "dup")?);
    file.set_len(inode.size).os(|| format!("ftruncate {}", inode.size))?;
    if let Some(pages) = PageReader::open(images, Kind::PagemapShmem(inode.shmid.into()), page_size()?)? {
        fill(&pages, &file, inode.size)?;
    }
    let owner = (Some(Uid::from_raw(inode.uid)), Some(Gid::from_raw(inode.gid)));
    fchown(&fd, owner.0, owner.1).os(|| format!("fchown {} {}", inode.uid, inode.gid))?;
    if let Some(mode) = inode.mode {
        // After the owner: fchown(2) takes set-id bits away.
        fchmod(&fd, Mode::from_bits_truncate(mode & 0o7777)).os(|| format!("fchmod {mode:#o}"))?;
    }
    Ok(fd)
}

/// The flags decide about seals that cannot be added or taken away later.
fn create_empty(inode: &MemfdInodeEntry) -> Result<OwnedFd> {
    let huge = inode.hugetlb_flag.unwrap_or(0);
    if inode.anonymous == Some(true) {
        return shared_memory(inode.size, page_size()?, 0).os(|| "mmap MAP_SHARED");
    }
    if let Some(page) = huge_pool::size_of_flags(huge).filter(|_| inode.name == HUGE_MEMORY) {
        let flags = libc::MAP_HUGETLB as u32 | huge_pool::size_to_flags(page);
        return shared_memory(inode.size, page, flags as i32).os(|| "mmap MAP_HUGETLB");
    }
    let sealing = if inode.seals == libc::F_SEAL_SEAL as u32 { 0 } else { libc::MFD_ALLOW_SEALING };
    let executable = inode.mode.is_none_or(|mode| mode & 0o111 != 0);
    let exec = if inode.seals & F_SEAL_EXEC != 0 && !executable { MFD_NOEXEC_SEAL } else { MFD_EXEC };
    let create = |flags| {
        let flags = MFdFlags::from_bits_retain(flags | huge | libc::MFD_CLOEXEC);
        memfd_create(inode.name.as_slice(), flags)
    };
    match create(sealing | exec) {
        // Before 6.3 neither flag is known, and no file has the seal.
        Err(Errno::EINVAL) if inode.seals & F_SEAL_EXEC == 0 => create(sealing),
        made => made,
    }
    .os(|| "memfd_create")
}

/// Writes pages of an image into a file of `size` bytes.
pub(in crate::resource) fn fill(pages: &PageReader, file: &File, size: u64) -> Result<()> {
    for segment in pages.segments()? {
        let Source::File(source, offset) = segment.source else {
            return Err(Error::image("pagemap-shmem", "pages of a memory file cannot be lazy"));
        };
        let end = (segment.vaddr + segment.len).min(size);
        let len = end.saturating_sub(segment.vaddr);
        content::copy(&source, offset, file, segment.vaddr, len).os(|| "write the memory file")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::file::testing::{Mine, flags};
    use nix::unistd::{ftruncate, write};
    use std::os::unix::fs::MetadataExt;

    fn make(name: &str, flags: u32) -> Result<OwnedFd> {
        memfd_create(name, MFdFlags::from_bits_retain(flags)).os(|| "memfd_create")
    }

    fn seals(fd: &OwnedFd) -> Result<i32> {
        fcntl(fd.as_fd(), libc::F_GET_SEALS, 0).os(|| "seals")
    }

    fn round(files: Vec<OwnedFd>) -> Result<(Vec<OwnedFd>, tempfile::TempDir)> {
        let dir = tempfile::tempdir().os(|| "tempdir")?;
        let images = ImageDir::open(dir.path())?;
        let (mut dump, mine) = (MemfdDump::new(&images), Mine::new()?);
        let (mut entries, mut pages) = (Vec::new(), 0);
        for file in files {
            let file = mine.description(file)?;
            assert!(MemfdDump::is_memfd(&file.target));
            let pages_id = || {
                pages += 1;
                pages
            };
            entries.extend(dump.add(1, &file, &mut SharedDump::default(), pages_id)?.memfd);
        }
        let written = dump.finish()?;
        let stored = (1..=pages)
            .map(|id| images.open_file(&Kind::Pages(id).file_name()))
            .collect::<Result<Vec<_>>>()?;
        let sizes = stored.into_iter().flatten().map(|file| file.metadata().map_or(0, |data| data.len()));
        assert_eq!(written * page_size()?, sizes.sum::<u64>());
        let mut restore = MemfdRestore::load(&images)?;
        let opened = entries.iter().map(|entry| restore.open(entry)).collect::<Result<_>>()?;
        restore.seal()?;
        Ok((opened, dir))
    }

    #[test]
    fn content_holes_owner_and_seals_return() -> Result<()> {
        let fd = make("holes (deleted)", libc::MFD_ALLOW_SEALING | MFD_EXEC)?;
        let file = File::from(fd.try_clone().os(|| "dup")?);
        ftruncate(&fd, (64 << 20) + 5).os(|| "ftruncate")?;
        for at in [0, 3 << 20, 64 << 20] {
            file.write_all_at(b"data!", at).os(|| "write")?;
        }
        fchown(&fd, Some(Uid::from_raw(1000)), Some(Gid::from_raw(100))).os(|| "chown")?;
        fchmod(&fd, Mode::from_bits_truncate(0o640)).os(|| "chmod")?;
        let wanted = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        fcntl(fd.as_fd(), libc::F_ADD_SEALS, wanted).os(|| "seal")?;
        let before = file.metadata().os(|| "stat")?;
        let (files, dir) = round(vec![fd])?;
        assert_eq!(seals(&files[0])?, wanted);
        let file = File::from(files[0].try_clone().os(|| "dup")?);
        let after = file.metadata().os(|| "stat")?;
        let facts = |m: &std::fs::Metadata| (m.len(), m.blocks(), m.uid(), m.gid(), m.mode());
        assert_eq!(facts(&after), facts(&before));
        for at in [0, 3 << 20, 64 << 20] {
            let mut bytes = [0; 5];
            file.read_exact_at(&mut bytes, at).os(|| "read")?;
            assert_eq!(bytes, *b"data!");
        }
        let link =
            std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&files[0])));
        assert_eq!(link.os(|| "readlink")?.to_string_lossy(), "/memfd:holes (deleted) (deleted)");
        let stored = dir.path().join("pages-1.img").metadata().os(|| "stat")?.len();
        assert_eq!(stored, 3 * page_size()?);
        Ok(())
    }

    #[test]
    fn descriptions_share_the_object_and_have_their_own_position() -> Result<()> {
        let fd = make("shared", MFD_EXEC)?;
        write(&fd, b"0123456789").os(|| "write")?;
        let reader = reopen(&fd, libc::O_RDONLY as u32)?;
        let appender = reopen(&fd, (libc::O_RDWR | libc::O_APPEND) as u32)?;
        lseek64(&reader, 4, Whence::SeekSet).os(|| "lseek")?;
        let before = [flags(&fd)?, flags(&reader)?, flags(&appender)?];
        let (files, _dir) = round(vec![fd, reader, appender])?;
        assert_eq!([flags(&files[0])?, flags(&files[1])?, flags(&files[2])?], before);
        let position = |fd: &OwnedFd| lseek64(fd, 0, Whence::SeekCur).os(|| "lseek");
        assert_eq!([position(&files[0])?, position(&files[1])?, position(&files[2])?], [10, 4, 0]);
        write(&files[2], b"ab").os(|| "write")?;
        let mut rest = [0; 16];
        assert_eq!(nix::unistd::read(&files[1], &mut rest), Ok(8));
        assert_eq!(&rest[..8], b"456789ab");
        assert_eq!(seals(&files[0])?, libc::F_SEAL_SEAL);
        Ok(())
    }

    #[test]
    fn a_file_that_may_never_be_executed_stays_so() -> Result<()> {
        let fd = make("noexec", MFD_NOEXEC_SEAL)?;
        let before = seals(&fd)?;
        let (files, _dir) = round(vec![fd])?;
        assert_eq!(seals(&files[0])?, before);
        assert_ne!(before as u32 & F_SEAL_EXEC, 0);
        assert_eq!(fchmod(&files[0], Mode::from_bits_truncate(0o777)), Err(Errno::EPERM));
        Ok(())
    }

    #[test]
    fn an_executable_file_can_be_sealed_as_it_is() -> Result<()> {
        let fd = make("exec", MFD_EXEC | libc::MFD_ALLOW_SEALING)?;
        fcntl(fd.as_fd(), libc::F_ADD_SEALS, F_SEAL_EXEC as i32).os(|| "seal")?;
        let before = seals(&fd)?;
        let (files, _dir) = round(vec![fd])?;
        assert_eq!(seals(&files[0])?, before);
        Ok(())
    }

    #[test]
    fn an_object_that_is_missing_is_the_images_fault() -> Result<()> {
        let dir = tempfile::tempdir().os(|| "tempdir")?;
        let mut restore = MemfdRestore::load(&ImageDir::open(dir.path())?)?;
        let entry = MemfdFileEntry { inode_id: 7, ..MemfdFileEntry::default() };
        assert_eq!(restore.open(&entry).map_err(|e| e.code()).map(drop), Err("E-IMAGE-BAD"));
        Ok(())
    }
}
