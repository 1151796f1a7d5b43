//! FIFOs: fifo(7), named pipes. The open file has two entries in the image: a REG entry with path and flags, which
//! brings back the name, and a FIFO entry that adds the `pipe_id` of the bytes in `fifo-data.img`.
//!
//! The bytes are those of the inode, for as long as somebody has it open: [`super::pipe`] copies and refills them. A
//! FIFO that was deleted comes back through its REG entry like every deleted file.
//!
//! Not kept: what [`super::pipe`] does not keep.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use super::Description;
use super::pipe::{BytesDump, BytesRestore, OneEnded};
use super::reopen::set_flags;
use crate::error::Result;
use crate::image::message::{FdType, FifoEntry, FileEntry};
use crate::image::{ImageDir, Kind};

/// The FIFOs of a tree being dumped.
#[derive(Debug)]
pub struct FifoDump {
    bytes: BytesDump,
    /// The id of each inode: its number, as CRIU does, unless FIFOs of two file systems have the same.
    ids: HashMap<(u64, u64), u32>,
}

impl FifoDump {
    /// No FIFO yet; `fifo-data.img` appears in `images` with the first one.
    pub fn new(images: &ImageDir) -> Self {
        FifoDump { bytes: BytesDump::new(images, Kind::FifoData), ids: HashMap::new() }
    }

    /// Dumps one open FIFO; `regf_id` is the REG entry of its path, with the flags of this description.
    pub fn add(&mut self, id: u32, regf_id: u32, fifo: &Description<'_>) -> Result<FileEntry> {
        let pipe_id = self.pipe_id(fifo.stat.st_dev, fifo.stat.st_ino);
        self.bytes.add(pipe_id, fifo).map_err(|e| fifo.blame(e))?;
        let fifo = Some(FifoEntry { id, pipe_id, regf_id: Some(regf_id) });
        Ok(FileEntry { r#type: FdType::Fifo.into(), id, fifo, ..FileEntry::default() })
    }

    fn pipe_id(&mut self, dev: u64, ino: u64) -> u32 {
        if let Some(id) = self.ids.get(&(dev, ino)) {
            return *id;
        }
        let mut id = ino as u32;
        while self.ids.values().any(|taken| *taken == id) {
            id = id.wrapping_add(1);
        }
        self.ids.insert((dev, ino), id);
        id
    }

    /// Writes out what is left; names the FIFOs whose other side is open outside of the tree only.
    pub fn finish(self) -> Result<Vec<OneEnded>> {
        self.bytes.finish()
    }
}

/// The FIFOs of a tree being restored. It has both sides of each open, lest the bytes go away and an open wait: drop
/// it before [`super::owner::apply`].
#[derive(Debug)]
pub struct FifoRestore {
    bytes: BytesRestore,
    held: HashMap<u32, OwnedFd>,
}

impl FifoRestore {
    /// Reads where the bytes are.
    pub fn load(images: &ImageDir) -> Result<Self> {
        Ok(FifoRestore { bytes: BytesRestore::load(images, Kind::FifoData)?, held: HashMap::new() })
    }

    /// Opens one FIFO. `flags` are those of its REG entry; `open` opens that entry's path anew with the flags it gets.
    pub fn open(
        &mut self,
        entry: &FifoEntry,
        flags: u32,
        mut open: impl FnMut(u32) -> Result<OwnedFd>,
    ) -> Result<OwnedFd> {
        // An open for reading and writing never waits (fifo_open in fs/pipe.c), and lets no other open wait.
        let both = open((libc::O_RDWR | libc::O_CLOEXEC) as u32)?;
        self.bytes.fill(entry.pipe_id, &both)?;
        let fd = open(flags & !(libc::O_ASYNC | libc::O_DIRECT) as u32)?;
        set_flags(fd.as_fd(), flags)?;
        self.held.entry(entry.pipe_id).or_insert(both);
        Ok(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, OsContext};
    use crate::resource::file::testing::{Mine, flags as has};
    use nix::errno::Errno;
    use nix::fcntl::{OFlag, open};
    use nix::sys::stat::Mode;
    use nix::unistd::{mkfifo, read, write};
    use std::path::Path;

    fn at(path: &Path, flags: u32) -> Result<OwnedFd> {
        open(path, OFlag::from_bits_retain(flags as i32) | OFlag::O_CLOEXEC, Mode::empty()).os(|| "open")
    }

    /// Waits until nobody has it open: a process that another test is starting has what we had, until it executes.
    fn wait_unopened(path: &Path) -> Result<()> {
        let has_writer = || {
            Ok::<_, Error>(
                read(&at(path, (libc::O_RDONLY | libc::O_NONBLOCK) as u32)?, &mut [0; 64]) != Ok(0),
            )
        };
        let has_reader = || at(path, (libc::O_WRONLY | libc::O_NONBLOCK) as u32).is_ok();
        while has_writer()? || has_reader() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(())
    }

    /// Opens, writes, dumps, closes, restores; the descriptions of `wanted` flags.
    fn round(path: &Path, bytes: &[u8], wanted: &[i32]) -> Result<Vec<OwnedFd>> {
        let both = at(path, libc::O_RDWR as u32)?;
        let ends = wanted.iter().map(|f| at(path, *f as u32)).collect::<Result<Vec<_>>>()?;
        write(&both, bytes).os(|| "write")?;
        drop(both);
        let dir = tempfile::tempdir().os(|| "tempdir")?;
        let images = ImageDir::open(dir.path())?;
        let (mut dump, mine) = (FifoDump::new(&images), Mine::new()?);
        let mut entries = Vec::new();
        for end in ends {
            let end = mine.description(end)?;
            entries.push((dump.add(1, 2, &end)?.fifo.unwrap_or_default(), end.info.flags));
        }
        assert_eq!(dump.finish()?, []);
        wait_unopened(path)?;
        let mut restore = FifoRestore::load(&images)?;
        entries.iter().map(|(entry, flags)| restore.open(entry, *flags, |flags| at(path, flags))).collect()
    }

    #[test]
    fn bytes_and_each_descriptions_flags_return_without_waiting() -> Result<()> {
        let dir = tempfile::tempdir().os(|| "tempdir")?;
        let path = dir.path().join("fifo");
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).os(|| "mkfifo")?;
        let wanted = [libc::O_RDONLY | libc::O_NONBLOCK, libc::O_WRONLY, libc::O_RDONLY | libc::O_ASYNC];
        let ends = round(&path, b"unread", &wanted)?;
        let [first, writer, second] = ends.as_slice() else { return Err(Error::bug("three ends")) };
        for (end, wanted) in ends.iter().zip(wanted) {
            // O_ASYNC is left to the task itself.
            let kept = libc::O_ACCMODE | libc::O_NONBLOCK;
            assert_eq!(has(end)? & (kept | libc::O_ASYNC), wanted & kept);
        }
        let mut buffer = [0; 3];
        assert_eq!((read(first, &mut buffer), buffer), (Ok(3), *b"unr"));
        assert_eq!((read(second, &mut buffer), buffer), (Ok(3), *b"ead"));
        assert_eq!(read(first, &mut buffer), Err(Errno::EAGAIN));
        write(writer, b"new").os(|| "write")?;
        assert_eq!((read(first, &mut buffer), buffer), (Ok(3), *b"new"));
        Ok(())
    }

    #[test]
    fn a_reader_alone_reads_the_rest_and_then_the_end() -> Result<()> {
        let dir = tempfile::tempdir().os(|| "tempdir")?;
        let path = dir.path().join("fifo");
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).os(|| "mkfifo")?;
        let ends = round(&path, b"rest", &[libc::O_RDONLY | libc::O_NONBLOCK])?;
        let mut buffer = [0; 8];
        assert_eq!((read(&ends[0], &mut buffer), &buffer[..4]), (Ok(4), &b"rest"[..]));
        assert_eq!(read(&ends[0], &mut buffer), Ok(0));
        Ok(())
    }

    #[test]
    fn equal_inode_numbers_of_two_file_systems_are_two_fifos() -> Result<()> {
        let dir = tempfile::tempdir().os(|| "tempdir")?;
        let mut dump = FifoDump::new(&ImageDir::open(dir.path())?);
        assert_eq!(
            [dump.pipe_id(1, 7), dump.pipe_id(2, 7), dump.pipe_id(1, 8), dump.pipe_id(2, 7)],
            [7, 8, 9, 8]
        );
        Ok(())
    }
}
