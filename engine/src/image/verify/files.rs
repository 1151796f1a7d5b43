//! What open files refer to: their own message, terminals, memory files, ghosts, TCP queues, locks.

use std::collections::BTreeSet;

use super::super::message::{
    FdType, FileEntry, FileLockEntry, MemfdInodeEntry, PipeDataEntry, RemapFilePathEntry, RemapType,
    SkPacketEntry, TtyInfoEntry,
};
use super::super::{Entry, Kind};
use super::Check;

/// `TCP_ESTABLISHED` of `<netinet/tcp.h>`.
const TCP_ESTABLISHED: u32 = 1;
/// `IPPROTO_TCP`.
const IPPROTO_TCP: u32 = 6;

impl Check<'_> {
    /// Reads `files.img` and checks what its entries refer to.
    pub(super) fn files(&mut self) {
        for file in self.read::<FileEntry>(Kind::Files) {
            if !has_message(&file) {
                self.report(
                    "files.img",
                    format!("file {} of type {} lacks its message", file.id, file.r#type),
                );
            }
            let id = file.id;
            if self.files.insert(id, file).is_some() {
                self.report("files.img", format!("there are two files {id}"));
            }
        }
        self.embedded();
        self.terminals();
        self.memory_files();
        self.sockets();
        self.pipe_data();
        self.remaps();
    }

    /// All entries of an image; its failure is noted.
    pub(super) fn read<M: Entry>(&mut self, kind: Kind) -> Vec<M> {
        let entries = self.dir.read_all(kind);
        self.take(kind, entries).unwrap_or_default()
    }

    /// Images of ours that carry the content of regular files.
    fn embedded(&mut self) {
        let wanted: Vec<(u32, String)> = self
            .files
            .values()
            .filter_map(|file| Some((file.id, file.reg.as_ref()?.embedded.clone()?)))
            .collect();
        for (file, name) in wanted {
            if !self.names.contains(&name) {
                self.report(name, format!("there is none, but it has the content of file {file}"));
            }
        }
    }

    fn terminals(&mut self) {
        let known: BTreeSet<u32> =
            self.read::<TtyInfoEntry>(Kind::TtyInfo).iter().map(|tty| tty.id).collect();
        let wanted: Vec<(u32, u32)> =
            self.files.values().filter_map(|file| Some((file.id, file.tty.as_ref()?.tty_info_id))).collect();
        for (file, tty) in wanted {
            if !known.contains(&tty) {
                self.report(
                    "tty-info.img",
                    format!("there is no terminal {tty}, which file {file} is open on"),
                );
            }
        }
    }

    fn memory_files(&mut self) {
        let inodes = self.read::<MemfdInodeEntry>(Kind::Memfd);
        let known: BTreeSet<u64> = inodes.iter().map(|inode| inode.inode_id).collect();
        let wanted: Vec<(u32, u32)> =
            self.files.values().filter_map(|file| Some((file.id, file.memfd.as_ref()?.inode_id))).collect();
        for (file, inode) in wanted {
            if !known.contains(&inode.into()) {
                self.report(
                    "memfd.img",
                    format!("there is no memory file {inode}, which file {file} is open on"),
                );
            }
        }
    }

    fn sockets(&mut self) {
        // Dumped by --tcp-close, they are restored closed.
        let closed = self.dir.inventory().is_ok_and(|inventory| inventory.tcp_close == Some(true));
        let connected: Vec<(u32, u32)> = self
            .files
            .values()
            .filter_map(|file| file.isk.as_ref())
            .filter(|sk| !closed && sk.proto == IPPROTO_TCP && sk.state == TCP_ESTABLISHED)
            .map(|sk| (sk.id, sk.ino))
            .collect();
        for (file, ino) in connected {
            self.require(Kind::TcpStream(ino), &format!("the connected socket of file {file}"));
        }
        // A queue belongs to a socket by the id of its file.
        for packet in self.read::<SkPacketEntry>(Kind::SkQueues) {
            let sockets = [FdType::Unixsk, FdType::Inetsk, FdType::Packetsk, FdType::Netlinksk];
            self.expect_file(Kind::SkQueues, "the receiver of a packet", packet.id_for, &sockets);
        }
    }

    fn pipe_data(&mut self) {
        let pipes: BTreeSet<u32> =
            self.files.values().filter_map(|file| Some(file.pipe.as_ref()?.pipe_id)).collect();
        let fifos: BTreeSet<u32> =
            self.files.values().filter_map(|file| Some(file.fifo.as_ref()?.pipe_id)).collect();
        for (kind, known) in [(Kind::PipesData, pipes), (Kind::FifoData, fifos)] {
            for data in self.read::<PipeDataEntry>(kind) {
                if !known.contains(&data.pipe_id) {
                    self.report(
                        kind.file_name(),
                        format!("there are bytes of pipe {}, which no file is", data.pipe_id),
                    );
                }
            }
        }
    }

    fn remaps(&mut self) {
        for remap in self.read::<RemapFilePathEntry>(Kind::RemapFpath) {
            let (orig, to) = (remap.orig_id, remap.remap_id);
            self.expect_file(Kind::RemapFpath, "what is remapped", orig, &[]);
            match remap.remap_type {
                // Absent in images of CRIU 1.x, where only the id tells.
                None => {}
                Some(kind) if kind == RemapType::Ghost as i32 => {
                    self.require(Kind::GhostFile(to), &format!("the unlinked file {orig}"));
                }
                Some(kind) if kind == RemapType::Linked as i32 => {
                    self.expect_file(Kind::RemapFpath, "what stands in", to, &[FdType::Reg]);
                }
                Some(_) => {}
            }
        }
    }

    /// Every lock belongs to a task of the tree.
    pub(super) fn locks(&mut self, pids: &BTreeSet<u32>) {
        for lock in self.read::<FileLockEntry>(Kind::FileLocks) {
            let known = u32::try_from(lock.pid).is_ok_and(|pid| pids.contains(&pid));
            if !known {
                self.report(
                    "filelocks.img",
                    format!("the owner of a lock, {}, is not in the tree", lock.pid),
                );
            }
        }
    }
}

/// Whether the entry has the message that its type promises.
fn has_message(file: &FileEntry) -> bool {
    let Ok(kind) = FdType::try_from(file.r#type) else { return false };
    match kind {
        FdType::Und | FdType::CtlTty | FdType::AutofsPipe => false,
        FdType::Reg => file.reg.is_some(),
        FdType::Pipe => file.pipe.is_some(),
        FdType::Fifo => file.fifo.is_some(),
        FdType::Inetsk => file.isk.is_some(),
        FdType::Unixsk => file.usk.is_some(),
        FdType::Eventfd => file.efd.is_some(),
        FdType::Eventpoll => file.epfd.is_some(),
        FdType::Inotify => file.ify.is_some(),
        FdType::Signalfd => file.sgfd.is_some(),
        FdType::Packetsk => file.psk.is_some(),
        FdType::Tty => file.tty.is_some(),
        FdType::Fanotify => file.ffy.is_some(),
        FdType::Netlinksk => file.nlsk.is_some(),
        FdType::Ns => file.nsf.is_some(),
        FdType::Tunf => file.tunf.is_some(),
        FdType::Ext => file.ext.is_some(),
        FdType::Timerfd => file.tfd.is_some(),
        FdType::Memfd => file.memfd.is_some(),
        FdType::Bpfmap => file.bpf.is_some(),
        FdType::Pidfd => file.pidfd.is_some(),
        FdType::Mqueue => file.mq.is_some(),
        FdType::Userfaultfd => file.uffd.is_some(),
    }
}
