//! Sockets: their names, connections, options and unread messages, socket(7).
//!
//! Unlike most files a socket has no meaning alone. What the tree has of them is collected when its files are met, and
//! judged when all were met: [`Sockets`] for the survey, [`SocketDump`] for the dump. The restore makes all of them
//! before it opens anything else.
//!
//! | module | what it is |
//! |---|---|
//! | [`unix`] | sockets of AF_UNIX |
//! | [`inet`] | sockets of AF_INET and AF_INET6 |
//! | [`netlink`] | sockets of AF_NETLINK |
//! | [`packet`] | sockets of AF_PACKET |
//! | `options` | what setsockopt(2) sets, for every family |
//! | `queue` | messages that wait in a socket |
//! | `place` | the names of unix sockets and their files |
//! | [`survey`] | all sockets of a running tree, and which cannot be kept |

pub mod inet;
pub mod netlink;
pub mod network_lock;
mod options;
pub mod packet;
pub mod place;
mod queue;
pub mod survey;
pub mod unix;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{FdType, FileEntry};
use crate::image::{ImageDir, Kind};
use crate::kernel::Pid;
use crate::options::{DumpOptions, RestoreOptions};
use crate::report::NotKept;
use crate::resource::file::Description;
use crate::sys::socket::int_option;

pub use survey::Sockets;
pub use unix::dump::InFlight;
pub use unix::{Call, Tasks};

use inet::connections::Connections;
use inet::dump::InetDump;
use inet::restore::InetRestore;
use netlink::{NetlinkDump, NetlinkRestore};
use packet::dump::PacketDump;
use packet::restore::PacketRestore;
use unix::dump::UnixDump;
use unix::restore::UnixRestore;

fn elsewhere() -> Error {
    Error::new("E-NAMESPACE", Blame::Program, "is a socket of another network namespace")
        .help("run crio inside of that namespace (nsenter)")
}

fn unsupported(what: &str) -> Error {
    let reason = format!("is a socket {what}, which is not supported yet");
    Error::new("E-FILE-UNSUPPORTED", Blame::Program, reason).help("close it before the dump")
}

/// The sockets of a tree being dumped.
#[derive(Debug, Default)]
pub struct SocketDump {
    unix: UnixDump,
    inet: InetDump,
    netlink: NetlinkDump,
    packet: PacketDump,
}

impl SocketDump {
    /// Reads a socket, and gives the type for its descriptors.
    ///
    /// # Errors
    /// `E-FILE-UNSUPPORTED` for a family that is not kept.
    pub fn add(&mut self, id: u32, d: &Description<'_>) -> Result<FdType> {
        let family = int_option(d.fd.as_fd(), libc::SOL_SOCKET, libc::SO_DOMAIN);
        match family.os(|| "getsockopt SO_DOMAIN")? {
            libc::AF_UNIX => self.unix.add(id, d).map(|()| FdType::Unixsk),
            family @ (libc::AF_INET | libc::AF_INET6) => {
                self.inet.add(id, family, d).map(|()| FdType::Inetsk)
            }
            libc::AF_NETLINK => {
                self.inet.check_namespace(d.fd.as_fd())?;
                self.netlink.add(id, d).map(|()| FdType::Netlinksk)
            }
            libc::AF_PACKET => {
                self.inet.check_namespace(d.fd.as_fd())?;
                self.packet.add(id, d).map(|()| FdType::Packetsk)
            }
            family => Err(unsupported(&format!("of family {family}"))),
        }
    }

    /// See [`PacketDump::of_mapping`].
    pub fn of_mapping(&self, inode: u64, offset: u64, len: u64) -> Result<u32> {
        self.packet.of_mapping(inode, offset, len)
    }

    /// See [`UnixDump::next_in_flight`].
    pub fn next_in_flight(&mut self) -> Option<InFlight> {
        self.unix.next_in_flight()
    }

    /// See [`UnixDump::landed`].
    pub fn landed(&mut self, flight: InFlight, ids: Vec<u32>) {
        self.unix.landed(flight, ids);
    }

    /// What cannot be kept, when all sockets were met.
    pub fn blockers(&self, options: &DumpOptions) -> Vec<Error> {
        let others = self.inet.blockers(options).into_iter().chain(self.netlink.blockers());
        self.unix.blockers(options).into_iter().chain(others).collect()
    }

    /// What is lost; `tree` are the processes that will be there after a restore.
    pub fn not_kept(&self, tree: &[Pid]) -> Vec<NotKept> {
        let others = self.inet.not_kept().into_iter().chain(self.packet.not_kept());
        self.unix.not_kept(tree).into_iter().chain(others).collect()
    }

    /// Writes queues and connections, which are locked until their guard is gone; gives the entries for `files.img`.
    pub fn finish(
        mut self,
        images: &ImageDir,
        options: &DumpOptions,
        allocate: impl FnMut() -> u32,
    ) -> Result<(Vec<FileEntry>, Connections)> {
        let connections = self.inet.write_connections(images, options)?;
        let (mut files, mut packets) = self.unix.finish(allocate);
        let (inet, more) = self.inet.finish();
        files.extend(inet);
        let (netlink, unread) = self.netlink.finish();
        files.extend(netlink);
        files.extend(self.packet.finish(images)?);
        packets.extend(more.into_iter().chain(unread));
        let mut image = images.writer(Kind::SkQueues);
        packets.iter().try_for_each(|(entry, bytes)| image.push_with_payload(entry, bytes))?;
        image.finish()?;
        Ok((files, connections))
    }
}

/// The sockets of an image being restored.
#[derive(Debug, Default)]
pub struct SocketRestore {
    unix: Option<UnixRestore>,
    inet: Option<InetRestore>,
    netlink: NetlinkRestore,
    packet: PacketRestore,
}

impl SocketRestore {
    /// Whether this kernel has such sockets.
    pub fn check(&self) -> Result<()> {
        self.inet.as_ref().map_or(Ok(()), InetRestore::check)
    }

    /// Takes the sockets among the entries of `files.img`.
    pub fn load<'e>(
        images: &ImageDir,
        entries: impl Iterator<Item = &'e FileEntry> + Clone,
        options: &RestoreOptions,
    ) -> Result<Self> {
        let unix = UnixRestore::load(images, entries.clone())?;
        let inet = InetRestore::load(images, entries.clone(), options)?;
        let netlink = NetlinkRestore::load(images, entries.clone())?;
        let packet = PacketRestore::load(images, entries)?;
        Ok(SocketRestore { unix: Some(unix), inet: Some(inet), netlink, packet })
    }

    /// `--inherit-fd fd[N]:socket:[INO]`: this descriptor is the socket.
    pub fn inherit(&mut self, key: &str, fd: OwnedFd) {
        let inode = key.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok());
        let (Some(inode), fd) = (inode, Rc::new(fd)) else { return };
        self.unix.iter_mut().for_each(|unix| unix.inherit(inode, &fd));
        self.inet.iter_mut().for_each(|inet| inet.inherit(inode, &fd));
        self.netlink.inherit(inode, &fd);
        self.packet.inherit(inode, &fd);
    }

    /// The processes that sockets name as peers or senders.
    pub fn named(&self) -> BTreeSet<Pid> {
        self.unix.iter().flat_map(UnixRestore::named).collect()
    }

    /// Makes the sockets that may be mapped, and gives them by the ids of their files.
    pub fn make_mapped(&mut self) -> Result<impl Iterator<Item = (u32, Rc<OwnedFd>)>> {
        self.packet.make()?;
        Ok(self.packet.opened())
    }

    /// Makes every socket, with name and connection.
    pub fn make(&mut self, tasks: &mut dyn Tasks) -> Result<()> {
        self.unix.as_mut().map_or(Ok(()), |unix| unix.make(tasks))?;
        self.inet.as_mut().map_or(Ok(()), InetRestore::make)?;
        self.netlink.make()?;
        self.packet.make()
    }

    /// The sockets by the ids of their files.
    pub fn opened(&self) -> impl Iterator<Item = (u32, Rc<OwnedFd>)> {
        let unix = self.unix.iter().flat_map(UnixRestore::opened);
        let others = self.netlink.opened().chain(self.packet.opened());
        unix.chain(self.inet.iter().flat_map(InetRestore::opened)).chain(others)
    }

    /// Sends the messages that waited. `open` opens a file that is in flight.
    pub fn fill(&mut self, open: impl FnMut(u32) -> Result<Rc<OwnedFd>>) -> Result<()> {
        self.unix.as_mut().map_or(Ok(()), |unix| unix.fill(open))?;
        self.inet.as_mut().map_or(Ok(()), InetRestore::fill)?;
        self.netlink.fill()
    }

    /// Connects what had to wait, and gives all sockets their options.
    pub fn finish(&mut self) -> Result<()> {
        self.unix.as_mut().map_or(Ok(()), UnixRestore::finish)?;
        self.inet.as_mut().map_or(Ok(()), InetRestore::finish)?;
        self.netlink.finish()?;
        self.packet.finish()
    }

    /// The restore has succeeded: the files of sockets stay.
    pub fn commit(&mut self) {
        self.unix.iter_mut().for_each(UnixRestore::commit);
        self.inet.iter_mut().for_each(InetRestore::commit);
    }
}
