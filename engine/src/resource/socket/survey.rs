//! All sockets of a running tree, and which of them cannot be kept.
//!
//! The kernel shows what protocol a descriptor has by an extended attribute of its link in /proc (sockfs_xattr_get in
//! net/socket.c), so that none has to be taken.

use std::collections::HashMap;

use super::unix::judge::{Judge, Member};
use super::unsupported;
use crate::error::{Error, Result};
use crate::kernel::ProcDir;
use crate::kernel::fdinfo::FdInfo;
use crate::kernel::sock_diag::unix_sockets;
use crate::options::DumpOptions;
use crate::resource::file::Seen;

const PROTOCOL: &str = "system.sockprotoname";

/// The sockets that a survey has met.
#[derive(Debug, Default)]
pub struct Sockets {
    members: HashMap<u32, Member>,
    /// Something is in flight: it may be the socket that another is connected to.
    in_flight: bool,
}

impl Sockets {
    /// Notes a socket of a task; an error if no socket of its kind can be kept.
    pub fn add(&mut self, proc: &ProcDir, comm: &str, seen: &Seen<'_>, info: &FdInfo) -> Result<()> {
        let protocol = proc.attribute(&format!("fd/{}", seen.number), PROTOCOL)?;
        let text = String::from_utf8_lossy(&protocol).trim_end_matches('\0').to_owned();
        // UNIX for datagrams, UNIX-STREAM for the others.
        if !text.starts_with("UNIX") {
            return Err(unsupported(&format!("of the protocol {text}")).on(seen.name()));
        }
        self.in_flight |= has_rights(info);
        let member = Member { pid: proc.pid(), comm: comm.to_owned(), name: seen.name() };
        self.members.entry(seen.stat.st_ino as u32).or_insert(member);
        Ok(())
    }

    /// What cannot be kept, now that all were met.
    pub fn blockers(&self, options: &DumpOptions) -> Result<Vec<Error>> {
        // What is in flight only the dump can see; it judges for itself, and then gives everything back.
        if self.members.is_empty() || self.in_flight {
            return Ok(Vec::new());
        }
        let sockets = unix_sockets()?;
        Ok(Judge::new(&sockets, &self.members, options).blockers())
    }
}

/// `scm_fds` of fdinfo: how many descriptors wait in the queue of a unix socket.
fn has_rights(info: &FdInfo) -> bool {
    let count = info.rest.iter().find_map(|line| line.strip_prefix(b"scm_fds:"));
    count.is_some_and(|count| count.trim_ascii() != b"0")
}
