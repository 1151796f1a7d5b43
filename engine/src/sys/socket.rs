//! Sockets: calls that take an address as raw bytes, options of any size, messages with ancillary data.
//!
//! Addresses and options stay bytes here: their meaning is with the families in `resource::socket`.

#![allow(unsafe_code, reason = "raw socket calls, control messages")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::process::check;

/// net/unix/af_unix.c: opens the file of a bound socket with O_PATH.
const SIOCUNIXFILE: libc::c_ulong = 0x89e0;
/// include/uapi/linux/sockios.h, Linux 4.10.
const SIOCGSKNS: libc::c_ulong = 0x894c;
/// include/linux/socket.h
const SCM_PIDFD: i32 = 4;
/// Room for what one message can have: 253 descriptors, credentials, a pidfd, a label.
const CONTROL_ROOM: usize = 4096;
/// Larger than every address, `struct sockaddr_storage`.
const ADDRESS_ROOM: usize = 128;

/// Who sent a message: `struct ucred`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Credentials {
    /// Process, 0 if none was noted.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// A message as recvmsg(2) gives it.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes that were copied.
    pub len: usize,
    /// `MSG_*`
    pub flags: i32,
    /// The sender's address; empty if it has none.
    pub name: Vec<u8>,
    /// SCM_RIGHTS, now also ours.
    pub rights: Vec<OwnedFd>,
    /// SCM_CREDENTIALS
    pub credentials: Option<Credentials>,
    /// All other control messages: level, type, content.
    pub other: Vec<(i32, i32, Vec<u8>)>,
}

fn own(ret: i32) -> io::Result<OwnedFd> {
    // SAFETY: the kernel has just made this descriptor for us.
    check(ret.into()).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// socket(2), close-on-exec.
pub fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    own(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })
}

/// socketpair(2) of AF_UNIX, close-on-exec.
pub fn pair(kind: i32) -> io::Result<[OwnedFd; 2]> {
    let mut fds = [-1; 2];
    // SAFETY: the call fills `fds`, which are ours then.
    unsafe {
        check(libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()).into())?;
        Ok(fds.map(|fd| OwnedFd::from_raw_fd(fd)))
    }
}

/// bind(2)
pub fn bind(fd: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let len = address.len() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes.
    check(unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr().cast(), len) }.into()).map(drop)
}

/// connect(2)
pub fn connect(fd: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let len = address.len() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes.
    check(unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr().cast(), len) }.into()).map(drop)
}

/// listen(2)
pub fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) }.into()).map(drop)
}

/// accept4(2), close-on-exec.
pub fn accept(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let none = std::ptr::null_mut();
    // SAFETY: no address is asked for.
    own(unsafe { libc::accept4(fd.as_raw_fd(), none, std::ptr::null_mut(), libc::SOCK_CLOEXEC) })
}

/// shutdown(2)
pub fn shutdown(fd: BorrowedFd<'_>, how: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) }.into()).map(drop)
}

/// getpeername(2): family and address, as long as the kernel says.
pub fn peer(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut address = vec![0u8; ADDRESS_ROOM];
    let mut len = ADDRESS_ROOM as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes.
    check(unsafe { libc::getpeername(fd.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut len) }.into())?;
    address.truncate(len as usize);
    Ok(address)
}

/// SO_PEERNAME: the same, also of a connection of TCP that is not there yet or no more (inet_getname in net/ipv4/af_inet.c).
pub fn any_peer(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    // It may not ask for more than there is, which is as long as its own name.
    option(fd, libc::SOL_SOCKET, libc::SO_PEERNAME, name(fd)?.len())
}

/// getsockname(2): family and address, as long as the kernel says.
pub fn name(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut address = vec![0u8; ADDRESS_ROOM];
    let mut len = ADDRESS_ROOM as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut len) }.into())?;
    address.truncate(len as usize);
    Ok(address)
}

/// getsockopt(2): the value, as long as the kernel says, at most `room` bytes.
pub fn option(fd: BorrowedFd<'_>, level: i32, name: i32, room: usize) -> io::Result<Vec<u8>> {
    let mut value = vec![0u8; room];
    ask_option(fd, level, name, &mut value)?;
    Ok(value)
}

/// getsockopt(2) of an option that is asked with a value: that becomes the answer, as long as the kernel says.
pub fn ask_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &mut Vec<u8>) -> io::Result<()> {
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads and writes at most `len` bytes.
    let ret =
        unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len) };
    check(ret.into())?;
    value.truncate(len as usize);
    Ok(())
}

/// [`option`] of an integer.
pub fn int_option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let value = option(fd, level, name, size_of::<i32>())?;
    Ok(match value.first_chunk() {
        Some(bytes) => i32::from_ne_bytes(*bytes),
        None => value.first().copied().unwrap_or(0).into(),
    })
}

/// setsockopt(2)
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let len = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) }.into())
        .map(drop)
}

/// The classic filter of a socket, empty if it has none. The kernel counts instructions and not bytes.
pub fn filter(fd: BorrowedFd<'_>) -> io::Result<Vec<libc::sock_filter>> {
    let mut len: libc::socklen_t = 0;
    let (raw, level, name) = (fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_GET_FILTER);
    // SAFETY: with length 0 nothing is written but the length.
    check(unsafe { libc::getsockopt(raw, level, name, std::ptr::null_mut(), &raw mut len) }.into())?;
    let none = libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
    let mut filter = vec![none; len as usize];
    if len > 0 {
        // SAFETY: `filter` has room for `len` instructions.
        let ret = unsafe { libc::getsockopt(raw, level, name, filter.as_mut_ptr().cast(), &raw mut len) };
        check(ret.into())?;
    }
    Ok(filter)
}

/// SO_ATTACH_FILTER
pub fn attach_filter(fd: BorrowedFd<'_>, filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let len = size_of::<libc::sock_fprog>() as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: the kernel reads `program` and the instructions that it points to.
    let ret = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const program).cast(), len) };
    check(ret.into()).map(drop)
}

/// The network namespace of a socket.
pub fn namespace(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument and returns a descriptor of ours.
    own(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCGSKNS as libc::Ioctl) })
}

/// The file of a unix socket that is bound to a path, by O_PATH, also after its deletion.
pub fn unix_file(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the request takes no argument and returns a descriptor of ours.
    own(unsafe { libc::ioctl(fd.as_raw_fd(), SIOCUNIXFILE as libc::Ioctl) })
}

/// recvmsg(2), never waiting. Descriptors that come along are ours, close-on-exec.
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: i32) -> io::Result<Received> {
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // Words: the headers want the alignment of size_t.
    let mut control = vec![0u64; CONTROL_ROOM / 8];
    let mut name = vec![0u8; ADDRESS_ROOM];
    // SAFETY: all zeroes is a valid msghdr.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_name = name.as_mut_ptr().cast();
    msg.msg_namelen = ADDRESS_ROOM as libc::socklen_t;
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.as_mut_ptr().cast();
    msg.msg_controllen = CONTROL_ROOM as _;
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: every buffer of `msg` outlives the call.
    let len = check(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut msg, flags) } as libc::c_long)?;
    name.truncate(msg.msg_namelen as usize);
    let mut got = Received { len: len as usize, flags: msg.msg_flags, name, ..Received::default() };
    // SAFETY: the kernel has filled `control` with well-formed messages.
    unsafe { take_control(&msg, &mut got) };
    Ok(got)
}

/// Sorts the control messages of `msg`.
///
/// # Safety
/// `msg` was filled by recvmsg(2), and its buffers are alive.
unsafe fn take_control(msg: &libc::msghdr, got: &mut Received) {
    // SAFETY: as the caller promises; the content of a message lies behind its header.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(std::ptr::from_ref(msg));
        while !header.is_null() {
            let len = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
            let content = std::slice::from_raw_parts(libc::CMSG_DATA(header), len);
            let words = content.as_chunks::<4>().0.iter().map(|word| i32::from_ne_bytes(*word));
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    got.rights.extend(words.map(|fd| OwnedFd::from_raw_fd(fd)));
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                    let ucred: Vec<i32> = words.collect();
                    if let [pid, uid, gid] = ucred[..] {
                        got.credentials = Some(Credentials { pid, uid: uid as u32, gid: gid as u32 });
                    }
                }
                // Made for us by the receiving; nobody sent it.
                (libc::SOL_SOCKET, SCM_PIDFD) => words.for_each(|fd| drop(OwnedFd::from_raw_fd(fd))),
                (level, kind) => got.other.push((level, kind, content.to_vec())),
            }
            header = libc::CMSG_NXTHDR(std::ptr::from_ref(msg), header);
        }
    }
}

/// What goes along with a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Along<'a> {
    /// Where to; empty to the peer.
    pub address: &'a [u8],
    /// SCM_RIGHTS
    pub rights: &'a [RawFd],
    /// SCM_CREDENTIALS; others than one's own need CAP_SYS_ADMIN, CAP_SETUID and CAP_SETGID.
    pub credentials: Option<Credentials>,
}

/// Whether a socket of udp(7) has a datagram that is being put together (UDP_CORK, MSG_MORE). It must have a port: asked
/// without, it gets one. `nowhere` is an address of its family with port 0.
///
/// Nothing is sent or changed. A new datagram to port 0 is refused, while the rest of one needs no address (udp_sendmsg in
/// net/ipv4/udp.c and net/ipv6/udp.c); and to that MSG_PROBE adds nothing (ip_append_data in net/ipv4/ip_output.c).
pub fn is_corked(fd: BorrowedFd<'_>, nowhere: &[u8]) -> bool {
    // include/linux/socket.h
    const MSG_PROBE: i32 = 0x10;
    let flags = MSG_PROBE | libc::MSG_MORE | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (address, len) = (nowhere.as_ptr().cast(), nowhere.len() as libc::socklen_t);
    // SAFETY: no byte is read from the null pointer, and the address has `len` bytes.
    let asked = unsafe { libc::sendto(fd.as_raw_fd(), std::ptr::null(), 0, flags, address, len) };
    !check(asked as libc::c_long).is_err_and(|e| e.raw_os_error() == Some(libc::EINVAL))
}

/// sendmsg(2), never waiting, without SIGPIPE; returns the bytes that were sent.
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8], along: &Along<'_>) -> io::Result<usize> {
    let mut iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let rights: Vec<u8> = along.rights.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
    let ucred = along.credentials.map(|c| [c.pid, c.uid as i32, c.gid as i32]);
    let ucred: Vec<u8> = ucred.iter().flatten().flat_map(|word| word.to_ne_bytes()).collect();
    let parts = [(libc::SCM_RIGHTS, rights), (libc::SCM_CREDENTIALS, ucred)];
    let mut control = vec![0u64; CONTROL_ROOM / 8];
    // SAFETY: all zeroes is a valid msghdr.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_name = along.address.as_ptr().cast_mut().cast();
    msg.msg_namelen = along.address.len() as libc::socklen_t;
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = control.as_mut_ptr().cast();
    msg.msg_controllen = CONTROL_ROOM as _;
    // SAFETY: MAX_FDS_PER_MESSAGE descriptors and credentials fit into CONTROL_ROOM; the kernel refuses more.
    unsafe {
        let mut used = 0;
        let mut header = libc::CMSG_FIRSTHDR(&raw const msg);
        for (kind, content) in parts.iter().filter(|(_, content)| !content.is_empty()) {
            if header.is_null() || content.len() > CONTROL_ROOM / 2 {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            }
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = *kind;
            (*header).cmsg_len = libc::CMSG_LEN(content.len() as u32) as _;
            std::ptr::copy_nonoverlapping(content.as_ptr(), libc::CMSG_DATA(header), content.len());
            used += libc::CMSG_SPACE(content.len() as u32) as usize;
            header = libc::CMSG_NXTHDR(&raw const msg, header);
        }
        msg.msg_controllen = used as _;
        if used == 0 {
            msg.msg_control = std::ptr::null_mut();
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        check(libc::sendmsg(fd.as_raw_fd(), &raw const msg, flags) as libc::c_long).map(|n| n as usize)
    }
}
