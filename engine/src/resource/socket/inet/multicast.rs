//! Memberships of multicast groups, MCAST_JOIN_GROUP of ip(7) and ipv6(7).
//!
//! The kernel does not list those of a socket, but it tells the sources that a socket wants of a group on an interface
//! (MCAST_MSFILTER, ip_mc_gsfget in net/ipv4/igmp.c), and refuses where it is no member. So each group that an interface
//! listens to is asked for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use super::address;
use crate::error::{Blame, Error, OsContext, Result};
use crate::image::Kind;
use crate::image::message::InetGroupEntry;
use crate::kernel::igmp;
use crate::sys::socket::{ask_option, set_option};

const MCAST_JOIN_GROUP: i32 = 42;
const MCAST_MSFILTER: i32 = 48;
const MCAST_INCLUDE: u32 = 1;
/// `struct sockaddr_storage`, which has the alignment of a word.
const STORAGE: usize = 128;
const WORD: usize = size_of::<usize>();

/// All memberships of a socket.
pub(super) fn dump(fd: BorrowedFd<'_>, family: i32) -> Result<Vec<InetGroupEntry>> {
    let mut entries = Vec::new();
    for (interface, group) in igmp::groups().into_iter().filter(|(_, group)| may_join(family, *group)) {
        let Some((include, sources)) = filter(fd, interface, group)? else { continue };
        let Some(ifname) = address::interface_name(interface) else { continue };
        entries.push(InetGroupEntry { ifname, group: address::octets(group), include, sources });
    }
    Ok(entries)
}

/// Mode and sources, or `None` if the socket is no member.
fn filter(fd: BorrowedFd<'_>, interface: u32, group: IpAddr) -> Result<Option<(bool, Vec<u8>)>> {
    let mut count = 0;
    loop {
        let mut value = group_filter(interface, group, false, &vec![0; count * address::octets(group).len()]);
        if let Err(e) = ask_option(fd, level(group), MCAST_MSFILTER, &mut value) {
            let no_member = matches!(e.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENOPROTOOPT));
            return if no_member { Ok(None) } else { Err(Error::os("getsockopt MCAST_MSFILTER", e)) };
        }
        let word =
            |at: usize| value.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |w| u32::from_ne_bytes(*w));
        let (mode, found) = (word(WORD + STORAGE), word(WORD + STORAGE + 4) as usize);
        if found > count {
            count = found;
            continue;
        }
        let sources = value.get(WORD + STORAGE + 8..).unwrap_or_default().chunks_exact(STORAGE).take(found);
        let sources =
            sources.filter_map(address::parse).flat_map(|source| address::octets(source.ip())).collect();
        return Ok(Some((mode == MCAST_INCLUDE, sources)));
    }
}

/// Joins a group again.
pub(super) fn restore(fd: BorrowedFd<'_>, entry: &InetGroupEntry) -> Result<()> {
    let bad = || Error::image(Kind::Files.file_name(), "an address of a multicast group is malformed");
    let group = address::from_octets(&entry.group).filter(IpAddr::is_multicast).ok_or_else(bad)?;
    let name = String::from_utf8_lossy(&entry.ifname);
    let interface = address::interface(&entry.ifname).map_err(|e| no_interface(&name, e))?;
    let what = || format!("join {group} on {name}");
    let mut request = vec![0; WORD];
    put(&mut request, 0, &interface.to_ne_bytes());
    request.extend(storage(group));
    set_option(fd, level(group), MCAST_JOIN_GROUP, &request).os(what)?;
    if !entry.include && entry.sources.is_empty() {
        return Ok(());
    }
    let value = group_filter(interface, group, entry.include, &entry.sources);
    set_option(fd, level(group), MCAST_MSFILTER, &value).os(what)
}

/// The error for an interface that is not there.
pub(in crate::resource::socket) fn no_interface(name: &str, error: io::Error) -> Error {
    let reason = format!("there is no network interface {name}: {error}");
    Error::new("E-SOCKET-ADDRESS", Blame::Environment, reason)
        .help("make one of this name, or restore where there is one")
}

/// A socket of ipv6(7) may join groups of both versions.
fn may_join(family: i32, group: IpAddr) -> bool {
    family == libc::AF_INET6 || group.is_ipv4()
}

/// The level of the options of a group.
fn level(group: IpAddr) -> i32 {
    if group.is_ipv4() { libc::SOL_IP } else { libc::SOL_IPV6 }
}

/// `struct group_filter` of include/uapi/linux/in.h.
fn group_filter(interface: u32, group: IpAddr, include: bool, sources: &[u8]) -> Vec<u8> {
    let mut value = vec![0; WORD];
    put(&mut value, 0, &interface.to_ne_bytes());
    value.extend(storage(group));
    let mode = if include { MCAST_INCLUDE } else { 0 };
    let sources = sources.chunks_exact(address::octets(group).len());
    value.extend([mode, sources.len() as u32].into_iter().flat_map(u32::to_ne_bytes));
    for source in sources {
        value.extend(address::from_octets(source).map_or_else(|| vec![0; STORAGE], storage));
    }
    value
}

fn storage(ip: IpAddr) -> Vec<u8> {
    let mut bytes = address::raw(&SocketAddr::new(ip, 0));
    bytes.resize(STORAGE, 0);
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(room) = bytes.get_mut(at..at + value.len()) {
        room.copy_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket;
    use std::os::fd::AsFd;

    #[test]
    fn memberships_are_found_and_joined_again() -> Result<()> {
        let make = || socket::socket(libc::AF_INET, libc::SOCK_DGRAM, 0).os(|| "socket");
        let (first, second) = (make()?, make()?);
        assert_eq!(dump(first.as_fd(), libc::AF_INET)?, []);
        let group = |last, include, sources: &[[u8; 4]]| InetGroupEntry {
            ifname: b"lo".to_vec(),
            group: vec![239, 1, 2, last],
            include,
            sources: sources.concat(),
        };
        let sources = [[10, 0, 0, 1], [10, 0, 0, 2]];
        let wanted = [group(1, false, &[]), group(2, true, &sources), group(3, false, &sources[..1])];
        wanted.iter().try_for_each(|entry| restore(first.as_fd(), entry))?;
        let mut found = dump(first.as_fd(), libc::AF_INET)?;
        found.sort_by(|a, b| a.group.cmp(&b.group));
        assert_eq!(found, wanted);
        assert_eq!(dump(second.as_fd(), libc::AF_INET)?, []);
        let nowhere = InetGroupEntry { ifname: b"no-such".to_vec(), ..group(1, false, &[]) };
        assert_eq!(restore(second.as_fd(), &nowhere).map_err(|e| e.code()), Err("E-SOCKET-ADDRESS"));
        Ok(())
    }
}
