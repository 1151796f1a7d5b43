//! Pipes: pipe(2), pipe(7), fs/pipe.c. What is written about their bytes serves FIFOs ([`super::fifo`]) too.
//!
//! A pipe has no name; its descriptions share an inode of pipefs, whose number is the `pipe_id` of the image. Its bytes
//! are copied without taking them out by tee(2), which also copies where packets of O_DIRECT end. The image has one
//! entry of bytes for each pipe that can be read in the tree:
//! - the first entry of a pipe has its size and the bytes of a stream, as in CRIU's images;
//! - every further entry, without size, is one packet. CRIU refuses pipes with packets.
//!
//! Not kept: which page of the ring a byte is in; owner and mode of the inode, for which the format has no field. A
//! pipe that was open at both ends and has lost one that is not of the tree is named by [`PipeDump::finish`].

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, tee};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::reopen::{SETTABLE, reopen, set_flags};
use super::{Description, owner};
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry, PipeDataEntry, PipeEntry};
use crate::image::{EntryReader, EntryWriter, ImageDir, Kind};
use crate::log;
use crate::sys::fd::{fcntl, readable};

const O_DIRECT: u32 = libc::O_DIRECT as u32;

/// More than a packet or a page has.
const CHUNK: usize = 1 << 16;

/// The pipes of a tree being dumped.
#[derive(Debug)]
pub struct PipeDump {
    bytes: BytesDump,
}

impl PipeDump {
    /// No pipe yet; `pipes-data.img` appears in `images` with the first one.
    pub fn new(images: &ImageDir) -> Self {
        PipeDump { bytes: BytesDump::new(images, Kind::PipesData) }
    }

    /// Dumps one end. The first end that can be read also writes the bytes.
    pub fn add(&mut self, id: u32, end: &Description<'_>) -> Result<FileEntry> {
        self.dump(id, end).map_err(|e| end.blame(e))
    }

    fn dump(&mut self, id: u32, end: &Description<'_>) -> Result<FileEntry> {
        let flags = end.info.flags & !(libc::O_CLOEXEC as u32);
        let fown = owner::of(end.fd.as_fd(), flags)?;
        let pipe_id = end.stat.st_ino as u32;
        self.bytes.add(pipe_id, end)?;
        let pipe = Some(PipeEntry { id, pipe_id, flags, fown });
        Ok(FileEntry { r#type: FdType::Pipe.into(), id, pipe, ..FileEntry::default() })
    }

    /// Writes out what is left; names the pipes whose other end is open outside of the tree only, and will be closed
    /// after the restore unless it is inherited.
    pub fn finish(self) -> Result<Vec<OneEnded>> {
        self.bytes.finish()
    }
}

/// A pipe of which the tree has one side, while somebody else has the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneEnded {
    /// A task with the tree's end.
    pub pid: i32,
    /// Its name.
    pub comm: String,
    /// The end: `fd 1 (pipe:[17])`.
    pub name: String,
    /// Whether the tree can write to it; then the reader is outside.
    pub writes: bool,
}

/// Bytes of pipes or FIFOs on their way to an image.
#[derive(Debug)]
pub(super) struct BytesDump {
    image: EntryWriter,
    seen: HashMap<u32, Seen>,
}

#[derive(Debug)]
struct Seen {
    reads: bool,
    writes: bool,
    size: u32,
    /// Somebody has the side that the tree does not have.
    outside: Option<OneEnded>,
}

impl BytesDump {
    pub(super) fn new(images: &ImageDir, kind: Kind) -> Self {
        BytesDump { image: images.writer(kind), seen: HashMap::new() }
    }

    /// Notes an end of pipe `pipe_id`, and writes its bytes if it is the first that can be read.
    pub(super) fn add(&mut self, pipe_id: u32, end: &Description<'_>) -> Result<()> {
        let access = end.info.flags as i32 & libc::O_ACCMODE;
        let (reads, writes) = (access != libc::O_WRONLY, access != libc::O_RDONLY);
        let seen = match self.seen.entry(pipe_id) {
            Vacant(new) => {
                let size = size(end.fd.as_fd())?;
                let outside = outside(end, writes)?;
                new.insert(Seen { reads: false, writes: false, size, outside })
            }
            Occupied(old) => old.into_mut(),
        };
        let first = reads && !seen.reads;
        seen.reads |= reads;
        seen.writes |= writes;
        if !first {
            return Ok(());
        }
        let content = Content::copy(end.fd.as_fd(), seen.size)?;
        self.image.push_with_payload(&entry(pipe_id, &content.stream, Some(seen.size)), &content.stream)?;
        for packet in &content.packets {
            self.image.push_with_payload(&entry(pipe_id, packet, None), packet)?;
        }
        Ok(())
    }

    /// Writes the sizes of pipes that nobody in the tree can read, and closes the image.
    pub(super) fn finish(mut self) -> Result<Vec<OneEnded>> {
        let mut unread: Vec<_> = self.seen.iter().filter(|(_, seen)| !seen.reads).collect();
        unread.sort_unstable_by_key(|(pipe_id, _)| **pipe_id);
        for (pipe_id, seen) in unread {
            self.image.push_with_payload(&entry(*pipe_id, &[], Some(seen.size)), &[])?;
        }
        self.image.finish()?;
        let lone = |seen: Seen| if seen.reads && seen.writes { None } else { seen.outside };
        Ok(self.seen.into_values().filter_map(lone).collect())
    }
}

fn entry(pipe_id: u32, bytes: &[u8], size: Option<u32>) -> PipeDataEntry {
    PipeDataEntry { pipe_id, bytes: bytes.len() as u32, size }
}

/// F_GETPIPE_SZ, bytes.
fn size(fd: BorrowedFd<'_>) -> Result<u32> {
    fcntl(fd, libc::F_GETPIPE_SZ, 0).map(|size| size as u32).os(|| "fcntl F_GETPIPE_SZ")
}

/// Whether somebody has the other side: a writer sees POLLERR without reader, a reader POLLHUP without writer.
fn outside(end: &Description<'_>, writes: bool) -> Result<Option<OneEnded>> {
    let mut fds = [PollFd::new(end.fd.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).os(|| "poll")?;
    let alone =
        fds.iter().filter_map(PollFd::revents).any(|r| r.intersects(PollFlags::POLLERR | PollFlags::POLLHUP));
    Ok((!alone).then(|| OneEnded { pid: end.pid, comm: end.comm.to_owned(), name: end.name(), writes }))
}

/// What a pipe holds: a stream, or packets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    stream: Vec<u8>,
    packets: Vec<Vec<u8>>,
}

impl Content {
    /// Copies the content of a pipe and leaves it there.
    fn copy(fd: BorrowedFd<'_>, size: u32) -> Result<Content> {
        let total = readable(fd).os(|| "ioctl FIONREAD")?;
        if total == 0 {
            return Ok(Content::default());
        }
        let mut copy = Copy::of(fd, size, total)?;
        let mut stream = vec![0; total];
        let got = copy.read(&mut stream)?;
        let direct = fcntl(fd, libc::F_GETFL, 0).os(|| "fcntl F_GETFL")? & libc::O_DIRECT != 0;
        // Within a stream a read gets all that there is; it stops behind a packet. One packet and nothing else looks
        // like a stream, so a second look is needed in any case.
        if got == total && !direct && !Copy::of(fd, size, total)?.starts_with_packet()? {
            return Ok(Content { stream, packets: Vec::new() });
        }
        Content::packets(fd, size, total)
    }

    fn packets(fd: BorrowedFd<'_>, size: u32, total: usize) -> Result<Content> {
        let (mut copy, mut probe) = (Copy::of(fd, size, total)?, Copy::of(fd, size, total)?);
        let mut packets = Vec::new();
        while copy.left()? > 0 {
            let mut packet = vec![0; CHUNK];
            let len = copy.read(&mut packet)?;
            packet.truncate(len);
            // A byte read takes its whole packet away, but only itself from a stream.
            if len == 0 || probe.skip_packet()? != len {
                return Err(Error::new("E-PIPE-MIXED", Blame::Program, "holds packets and a stream at once")
                    .detail("somebody switched O_DIRECT on or off while the pipe had unread bytes")
                    .help("dump when the pipe has been read"));
            }
            packets.push(packet);
        }
        Ok(Content { stream: Vec::new(), packets })
    }
}

/// A pipe of ours with the content of another.
struct Copy {
    pipe: File,
    /// Keeps a read of the empty copy from being an end of file.
    _write: OwnedFd,
}

impl Copy {
    fn of(fd: BorrowedFd<'_>, size: u32, total: usize) -> Result<Copy> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).os(|| "pipe2")?;
        // Refused above pipe-max-size; the content may fit all the same.
        let grown = fcntl(write.as_fd(), libc::F_SETPIPE_SZ, size as i32);
        match tee(fd, write.as_fd(), total, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(e) => return Err(Error::os("tee", e)),
        }
        let copy = Copy { pipe: File::from(read), _write: write };
        let got = copy.left()?;
        match grown {
            _ if got == total => Ok(copy),
            Err(e) => Err(Error::os(format!("fcntl F_SETPIPE_SZ {size}"), e)
                .detail(format!("{total} bytes are in the pipe, {got} fit into ours"))
                .help("raise /proc/sys/fs/pipe-max-size, or run with CAP_SYS_RESOURCE")),
            Ok(_) => Err(Error::new(
                "E-PIPE-BUSY",
                Blame::Environment,
                format!("had {total} bytes, and {got} a moment later"),
            )
            .detail("somebody outside of the tree reads it or writes to it")
            .help("dump that program together with this one, or stop it")),
        }
    }

    fn left(&self) -> Result<usize> {
        readable(self.pipe.as_fd()).os(|| "ioctl FIONREAD")
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.pipe.read(buffer).os(|| "read the copy of the pipe")
    }

    /// Reads a byte; returns how many are gone.
    fn skip_packet(&mut self) -> Result<usize> {
        let before = self.left()?;
        self.read(&mut [0])?;
        Ok(before - self.left()?)
    }

    /// Not for certain if there is but one byte, which makes no difference: a packet of one byte reads like it.
    fn starts_with_packet(mut self) -> Result<bool> {
        Ok(self.skip_packet()? > 1)
    }
}

/// The pipes of a tree being restored. It has both ends of each open: drop it before [`owner::apply`], or the
/// closing of ends will be signalled to owners.
#[derive(Debug)]
pub struct PipeRestore {
    bytes: BytesRestore,
    pipes: HashMap<u32, Pipe>,
}

#[derive(Debug)]
enum Pipe {
    /// The two descriptions that pipe2(2) made; each is one of the image at most.
    Made { read: OwnedFd, write: OwnedFd, given: [bool; 2] },
    /// Somebody else's, from the command line.
    Inherited(OwnedFd),
}

impl PipeRestore {
    /// Reads where the bytes are.
    pub fn load(images: &ImageDir) -> Result<Self> {
        Ok(PipeRestore { bytes: BytesRestore::load(images, Kind::PipesData)?, pipes: HashMap::new() })
    }

    /// `--inherit-fd fd[N]:pipe:[INO]`: ends of this pipe are opened on `fd`, and its bytes are not restored. Whether
    /// the key is that of a pipe.
    pub fn inherit(&mut self, key: &str, fd: OwnedFd) -> bool {
        let inode = key.strip_prefix("pipe:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok());
        inode.map(|pipe_id| self.pipes.insert(pipe_id, Pipe::Inherited(fd))).is_some()
    }

    /// Opens one end.
    pub fn open(&mut self, entry: &PipeEntry) -> Result<OwnedFd> {
        self.open_end(entry).map_err(|e| e.on(format!("pipe:[{}]", entry.pipe_id)))
    }

    fn open_end(&mut self, entry: &PipeEntry) -> Result<OwnedFd> {
        if !self.pipes.contains_key(&entry.pipe_id) {
            let (read, write) = pipe2(OFlag::O_CLOEXEC).os(|| "pipe2")?;
            self.bytes.fill(entry.pipe_id, &write)?;
            self.pipes.insert(entry.pipe_id, Pipe::Made { read, write, given: [false; 2] });
        }
        match self.pipes.get_mut(&entry.pipe_id) {
            Some(Pipe::Made { read, write, given: [read_given, write_given] }) => {
                let writes = entry.flags as i32 & libc::O_ACCMODE == libc::O_WRONLY;
                let (end, given) = if writes { (write, write_given) } else { (read, read_given) };
                // An end that was opened by a path of /proc has O_LARGEFILE, or another access.
                let has = fcntl(end.as_fd(), libc::F_GETFL, 0).os(|| "fcntl F_GETFL")?;
                if *given || (has ^ entry.flags as i32) & !SETTABLE != 0 {
                    return reopen(end, entry.flags);
                }
                *given = true;
                set_flags(&*end, entry.flags)?;
                end.try_clone().os(|| "dup")
            }
            Some(Pipe::Inherited(fd)) => reopen(fd, entry.flags),
            None => Err(Error::bug("a pipe was not made")),
        }
    }
}

/// Where an image of pipes or FIFOs has their bytes.
#[derive(Debug)]
pub(super) struct BytesRestore {
    image: Option<EntryReader>,
    parts: HashMap<u32, Vec<Part>>,
    filled: HashSet<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    offset: u64,
    len: u64,
    size: Option<u32>,
}

impl BytesRestore {
    pub(super) fn load(images: &ImageDir, kind: Kind) -> Result<Self> {
        let mut image = images.reader(kind)?;
        let mut parts: HashMap<u32, Vec<Part>> = HashMap::new();
        if let Some(image) = &mut image {
            while let Some(PipeDataEntry { pipe_id, size, .. }) = image.next()? {
                let (offset, len) = image.payload_range()?;
                parts.entry(pipe_id).or_default().push(Part { offset, len, size });
            }
        }
        Ok(BytesRestore { image, parts, filled: HashSet::new() })
    }

    /// Gives a new pipe its size and bytes; does nothing the second time. `write` is left with other flags.
    pub(super) fn fill(&mut self, pipe_id: u32, write: &OwnedFd) -> Result<()> {
        let (Some(image), Some(parts)) = (&self.image, self.parts.get(&pipe_id)) else { return Ok(()) };
        if !self.filled.insert(pipe_id) {
            return Ok(());
        }
        let total: u64 = parts.iter().map(|part| part.len).sum();
        if let Some(size) = parts.first().and_then(|part| part.size) {
            resize(write, size, total)?;
        }
        for (index, part) in parts.iter().enumerate() {
            let packet = index > 0 && part.size.is_none();
            set_flags(write, libc::O_NONBLOCK as u32 | if packet { O_DIRECT } else { 0 })?;
            write_part(image, part, write)?;
        }
        set_flags(write, 0)
    }
}

/// Sets the size; a size that is refused is only a loss as long as the bytes fit.
fn resize(pipe: &OwnedFd, wanted: u32, total: u64) -> Result<()> {
    if size(pipe.as_fd())? == wanted {
        return Ok(());
    }
    let asked = i32::try_from(wanted).unwrap_or(i32::MAX);
    let Err(refused) = fcntl(pipe.as_fd(), libc::F_SETPIPE_SZ, asked) else { return Ok(()) };
    let has = size(pipe.as_fd())?;
    if total > u64::from(has) {
        return Err(Error::os(format!("fcntl F_SETPIPE_SZ {wanted}"), refused)
            .detail(format!("{total} bytes are to go into a pipe of {has}"))
            .help("raise /proc/sys/fs/pipe-max-size, or run with CAP_SYS_RESOURCE"));
    }
    log::warn!("a pipe of {wanted} bytes is restored with {has}: F_SETPIPE_SZ: {refused}");
    Ok(())
}

fn write_part(image: &EntryReader, part: &Part, pipe: &OwnedFd) -> Result<()> {
    let (mut offset, end) = (part.offset, part.offset + part.len);
    let mut buffer = vec![0; CHUNK];
    while offset < end {
        let len = CHUNK.min((end - offset) as usize);
        let (chunk, _) = buffer.split_at_mut(len);
        image.file().read_exact_at(chunk, offset).os(|| "read the bytes of a pipe")?;
        match write_all(pipe, chunk) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                return Err(image.bad(format!("{} bytes do not fit into the pipe", part.len)));
            }
            result => result.os(|| "write to the pipe")?,
        }
        offset += len as u64;
    }
    Ok(())
}

fn write_all(pipe: &OwnedFd, bytes: &[u8]) -> std::io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = nix::unistd::write(pipe.as_fd(), rest).map_err(std::io::Error::from)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::file::testing::{Mine, flags};
    use nix::unistd::{read, write};

    fn put(fd: &OwnedFd, bytes: &[u8]) -> Result<()> {
        write_all(fd, bytes).os(|| "write")
    }

    /// Dumps the ends, closes them, and opens what the image says.
    fn round(ends: Vec<OwnedFd>) -> Result<Vec<OwnedFd>> {
        let dir = tempfile::tempdir().os(|| "tempdir")?;
        let images = ImageDir::open(dir.path())?;
        let mut dump = PipeDump::new(&images);
        let mine = Mine::new()?;
        let mut entries = Vec::new();
        for end in ends {
            entries.extend(dump.add(1, &mine.description(end)?)?.pipe);
        }
        dump.finish()?;
        let mut restore = PipeRestore::load(&images)?;
        entries.iter().map(|entry| restore.open(entry)).collect()
    }

    fn take(fd: &OwnedFd) -> Result<Vec<u8>> {
        set_flags(fd, libc::O_NONBLOCK as u32)?;
        let (mut all, mut buffer) = (Vec::new(), vec![0; CHUNK]);
        loop {
            match read(fd, &mut buffer) {
                Ok(0) | Err(Errno::EAGAIN) => return Ok(all),
                got => all.extend_from_slice(buffer.get(..got.os(|| "read")?).unwrap_or_default()),
            }
        }
    }

    #[test]
    fn a_full_pipe_keeps_bytes_size_and_flags() -> Result<()> {
        let (reader, writer) = pipe2(OFlag::O_NONBLOCK).os(|| "pipe")?;
        fcntl(writer.as_fd(), libc::F_SETPIPE_SZ, 1 << 18).os(|| "size")?;
        let bytes: Vec<u8> = (0..1u32 << 18).map(|i| (i % 251) as u8).collect();
        put(&writer, &bytes)?;
        set_flags(&reader, 0)?;
        let copies = [reader.try_clone().os(|| "dup")?, writer.try_clone().os(|| "dup")?];
        let ends = round(vec![reader, writer])?;
        let [reader, writer] = ends.as_slice() else { return Err(Error::bug("two ends")) };
        assert_eq!((flags(reader)?, flags(writer)?), (0, libc::O_WRONLY | libc::O_NONBLOCK));
        assert_eq!(fcntl(reader.as_fd(), libc::F_GETPIPE_SZ, 0).os(|| "size")?, 1 << 18);
        assert_eq!(write(writer, b"x"), Err(Errno::EAGAIN));
        assert_eq!(take(reader)?, bytes);
        assert_eq!(take(&copies[0])?, bytes, "the dump must leave the bytes where they are");
        Ok(())
    }

    #[test]
    fn a_reader_alone_sees_the_end_of_file() -> Result<()> {
        let (reader, writer) = pipe2(OFlag::empty()).os(|| "pipe")?;
        put(&writer, b"last words")?;
        drop(writer);
        let ends = round(vec![reader])?;
        let mut buffer = [0; 64];
        assert_eq!(read(&ends[0], &mut buffer), Ok(10));
        assert_eq!(read(&ends[0], &mut buffer), Ok(0));
        Ok(())
    }

    #[test]
    fn a_writer_alone_keeps_its_size_and_gets_epipe() -> Result<()> {
        let (reader, writer) = pipe2(OFlag::empty()).os(|| "pipe")?;
        fcntl(writer.as_fd(), libc::F_SETPIPE_SZ, 4096).os(|| "size")?;
        drop(reader);
        let ends = round(vec![writer])?;
        assert_eq!(fcntl(ends[0].as_fd(), libc::F_GETPIPE_SZ, 0).os(|| "size")?, 4096);
        assert_eq!(write(&ends[0], b"x"), Err(Errno::EPIPE));
        Ok(())
    }

    #[test]
    fn descriptions_of_one_end_stay_apart() -> Result<()> {
        let (reader, writer) = pipe2(OFlag::empty()).os(|| "pipe")?;
        let second = reopen(&reader, (libc::O_RDONLY | libc::O_NONBLOCK) as u32)?;
        let both = reopen(&reader, (libc::O_RDWR | libc::O_NONBLOCK) as u32)?;
        put(&writer, b"shared")?;
        let before: Vec<_> =
            [&second, &reader, &writer, &both].map(flags).into_iter().collect::<Result<_>>()?;
        let ends = round(vec![second, reader, writer, both])?;
        let after: Vec<_> = ends.iter().map(flags).collect::<Result<_>>()?;
        assert_eq!(after, before);
        let mut buffer = [0; 3];
        assert_eq!((read(&ends[0], &mut buffer), buffer), (Ok(3), *b"sha"));
        assert_eq!((read(&ends[1], &mut buffer), buffer), (Ok(3), *b"red"));
        assert_eq!(read(&ends[0], &mut buffer), Err(Errno::EAGAIN));
        Ok(())
    }

    #[test]
    fn packets_keep_their_borders() -> Result<()> {
        let (reader, writer) = pipe2(OFlag::O_DIRECT).os(|| "pipe")?;
        let packets: [&[u8]; 4] = [b"one", b"2", &[7; 4096], b"four"];
        for packet in packets {
            put(&writer, packet)?;
        }
        let ends = round(vec![reader, writer])?;
        assert_eq!(flags(&ends[1])?, libc::O_WRONLY | libc::O_DIRECT);
        for packet in packets {
            let mut buffer = [0; 8192];
            let got = read(&ends[0], &mut buffer).os(|| "read")?;
            assert_eq!(&buffer[..got], packet);
        }
        Ok(())
    }

    #[test]
    fn a_packet_in_a_pipe_without_writer_is_still_one() -> Result<()> {
        let (reader, writer) = pipe2(OFlag::O_DIRECT).os(|| "pipe")?;
        put(&writer, b"packet")?;
        drop(writer);
        let ends = round(vec![reader])?;
        let mut buffer = [0; 2];
        assert_eq!((read(&ends[0], &mut buffer), buffer), (Ok(2), *b"pa"));
        assert_eq!(read(&ends[0], &mut buffer), Ok(0), "the rest of a packet is dropped");
        Ok(())
    }

    #[test]
    fn a_stream_behind_packets_is_refused_by_name() -> Result<()> {
        let (reader, writer) = pipe2(OFlag::O_DIRECT).os(|| "pipe")?;
        put(&writer, b"packet")?;
        set_flags(&writer, 0)?;
        put(&writer, b"stream")?;
        assert_eq!(round(vec![reader]).map_err(|e| e.code()).map(drop), Err("E-PIPE-MIXED"));
        Ok(())
    }

    #[test]
    fn an_end_outside_is_named_and_can_be_inherited() -> Result<()> {
        let (reader, writer) = pipe2(OFlag::empty()).os(|| "pipe")?;
        let dir = tempfile::tempdir().os(|| "tempdir")?;
        let images = ImageDir::open(dir.path())?;
        let mut dump = PipeDump::new(&images);
        let mine = Mine::new()?;
        let entry = dump.add(1, &mine.description(writer)?)?.pipe.unwrap_or_default();
        let lone = dump.finish()?;
        assert_eq!(lone.iter().map(|end| end.writes).collect::<Vec<_>>(), [true]);
        let mut restore = PipeRestore::load(&images)?;
        let (far, near) = pipe2(OFlag::empty()).os(|| "pipe")?;
        assert!(restore.inherit(&format!("pipe:[{}]", entry.pipe_id), near));
        put(&restore.open(&entry)?, b"elsewhere")?;
        drop((restore, reader));
        assert_eq!(take(&far)?, b"elsewhere");
        Ok(())
    }

    #[test]
    fn more_bytes_than_fit_are_the_images_fault() -> Result<()> {
        let dir = tempfile::tempdir().os(|| "tempdir")?;
        let images = ImageDir::open(dir.path())?;
        let mut image = images.writer(Kind::PipesData);
        let bytes = vec![1; 8192];
        image.push_with_payload(&entry(9, &bytes, Some(1 << 30)), &bytes)?;
        image.push_with_payload(&entry(8, &vec![1; 1 << 17], Some(4096)), &vec![1; 1 << 17])?;
        image.finish()?;
        let mut restore = PipeRestore::load(&images)?;
        let end = |pipe_id| PipeEntry { pipe_id, ..PipeEntry::default() };
        assert_eq!(restore.open(&end(8)).map_err(|e| e.code()).map(drop), Err("E-IMAGE-BAD"));
        assert_eq!(
            take(&restore.open(&end(9))?)?,
            bytes,
            "a size that is refused costs nothing but the size"
        );
        Ok(())
    }
}
