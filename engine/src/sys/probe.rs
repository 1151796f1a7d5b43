//! System calls that only ask whether the kernel has something (`check`), each made so that it changes nothing.
//!
//! `Ok(())` means that the feature answered as it should. An errno is the kernel's, so that the caller can tell a
//! missing feature (ENOSYS, EINVAL) from a refused one (EPERM). Where an answer needs a task of its own or could end
//! the caller, a child gives it ([`child`]).

#![allow(unsafe_code, reason = "probes call what no library wraps")]

pub mod child;
pub mod processor;

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_long, c_uint, c_ulong};

use super::memory::Room;

/// One page of private memory, for probes that need an address of their own.
struct Page {
    start: *mut libc::c_void,
    len: usize,
}

impl Page {
    /// A touched page, so that the kernel has something to show.
    fn new() -> io::Result<Self> {
        // SAFETY: sysconf takes no memory.
        let len = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(io::Error::other)?;
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at a place of the kernel's choice touches none of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let page = Page { start, len };
        page.touch();
        Ok(page)
    }

    fn touch(&self) {
        // SAFETY: the page is mapped writable and nobody else knows it.
        unsafe { self.start.cast::<u8>().write_volatile(1) };
    }

    fn address(&self) -> usize {
        self.start.addr()
    }

    fn advise(&self, advice: c_int) -> io::Result<()> {
        // SAFETY: the advice concerns our own page, which is not read again.
        check(unsafe { libc::madvise(self.start, self.len, advice) }.into()).map(drop)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it exists.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

fn check(ret: c_long) -> io::Result<c_long> {
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

fn expect(holds: bool, what: &str) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(what.to_owned())) }
}

fn own_pid() -> c_int {
    // SAFETY: getpid takes no memory and cannot fail.
    unsafe { libc::getpid() }
}

/// kcmp(2) tells that two descriptors are one open file.
pub fn kcmp() -> io::Result<()> {
    const KCMP_FILE: c_int = 0;
    let one = File::open("/dev/null")?;
    let two = one.try_clone()?;
    let (pid, a, b) = (own_pid(), one.as_raw_fd(), two.as_raw_fd());
    // SAFETY: only integers are passed.
    let order = check(unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILE, a, b) })?;
    expect(order == 0, "kcmp(2) does not see that two descriptors are one file")
}

/// prctl(2) PR_SET_MM_MAP_SIZE: the kernel knows PR_SET_MM_MAP and the size of its argument.
pub fn prctl_mm_map() -> io::Result<()> {
    let mut size: libc::c_uint = 0;
    let (request, out) =
        (libc::PR_SET_MM_MAP_SIZE as c_ulong, (&raw mut size).expose_provenance() as c_ulong);
    prctl(libc::PR_SET_MM, [request, out, 0, 0])?;
    expect(size != 0, "PR_SET_MM_MAP_SIZE is zero")
}

/// prctl(2) PR_GET_TID_ADDRESS.
pub fn tid_address() -> io::Result<()> {
    let mut address: u64 = 0;
    prctl(libc::PR_GET_TID_ADDRESS, [(&raw mut address).expose_provenance() as c_ulong, 0, 0, 0])
}

/// prctl(2) PR_TIMER_CREATE_RESTORE_IDS: its state can be asked for.
pub fn timer_restore_ids() -> io::Result<()> {
    const PR_TIMER_CREATE_RESTORE_IDS: c_int = 77;
    const GET: c_ulong = 2;
    prctl(PR_TIMER_CREATE_RESTORE_IDS, [GET, 0, 0, 0])
}

/// prctl(2) PR_SET_VMA_ANON_NAME names a page of ours.
pub fn anon_vma_name() -> io::Result<()> {
    let page = Page::new()?;
    let name = c"crio".as_ptr().expose_provenance() as c_ulong;
    let kind = libc::PR_SET_VMA_ANON_NAME as c_ulong;
    prctl(libc::PR_SET_VMA, [kind, page.address() as c_ulong, page.len as c_ulong, name])
}

/// The callers above pass integers or addresses of live variables of the size that the request writes.
fn prctl(request: c_int, a: [c_ulong; 4]) -> io::Result<()> {
    let [a2, a3, a4, a5] = a;
    // SAFETY: see above.
    check(unsafe { libc::prctl(request, a2, a3, a4, a5) }.into()).map(drop)
}

/// fcntl(2) F_GETOWNER_UIDS.
pub fn fd_owner_uids(fd: BorrowedFd<'_>) -> io::Result<()> {
    const F_GETOWNER_UIDS: c_int = 17;
    let mut uids = [0_u32; 2];
    // SAFETY: the kernel writes two 32-bit ids (fs/fcntl.c, f_getowner_uids).
    check(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETOWNER_UIDS, uids.as_mut_ptr()) }.into()).map(drop)
}

/// clone3(2) with `set_tid`: our own pid is taken, and to say so (EEXIST) the kernel must have understood the request and
/// allowed it. No task comes into being.
pub fn clone3_set_tid() -> io::Result<()> {
    // struct clone_args up to set_tid_size, include/uapi/linux/sched.h: ten 64-bit words.
    const EXIT_SIGNAL: usize = 4;
    const SET_TID: usize = 8;
    const SET_TID_SIZE: usize = 9;
    let wanted = own_pid();
    let mut args = [0_u64; 10];
    args[EXIT_SIGNAL] = libc::SIGCHLD as u64;
    args[SET_TID] = (&raw const wanted).expose_provenance() as u64;
    args[SET_TID_SIZE] = 1;
    // SAFETY: a child, which there cannot be, would leave at once, as a fork that shares nothing.
    unsafe {
        match libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) {
            0 => libc::_exit(0),
            -1 => {}
            _ => return Err(io::Error::other("clone3(2) ignores set_tid")),
        }
    }
    match io::Error::last_os_error() {
        e if e.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        e => Err(e),
    }
}

/// pidfd_open(2) and pidfd_getfd(2) on ourselves.
pub fn pidfd_getfd() -> io::Result<()> {
    let file = File::open("/dev/null")?;
    // SAFETY: only integers are passed, and descriptors that are returned are ours.
    unsafe {
        let pidfd = check(libc::syscall(libc::SYS_pidfd_open, own_pid(), 0))?;
        let pidfd = OwnedFd::from_raw_fd(pidfd as c_int);
        let got = check(libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), file.as_raw_fd(), 0))?;
        drop(OwnedFd::from_raw_fd(got as c_int));
    }
    Ok(())
}

/// openat2(2) opens the root directory.
pub fn openat2() -> io::Result<()> {
    // struct open_how, include/uapi/linux/openat2.h: flags, mode, resolve.
    let how = [(libc::O_PATH | libc::O_CLOEXEC) as u64, 0, libc::RESOLVE_NO_SYMLINKS];
    let size = size_of_val(&how);
    // SAFETY: the path is a C string and `how` lives across the call; the descriptor that is returned is ours.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, c"/".as_ptr(), how.as_ptr(), size))?;
        drop(OwnedFd::from_raw_fd(fd as c_int));
    }
    Ok(())
}

/// memfd_create(2) with MFD_HUGETLB; no huge page is taken.
pub fn memfd_hugetlb() -> io::Result<()> {
    // SAFETY: the name is a C string; the descriptor that is returned is ours.
    unsafe {
        let fd = check(libc::memfd_create(c"crio".as_ptr(), libc::MFD_HUGETLB | libc::MFD_CLOEXEC).into())?;
        drop(OwnedFd::from_raw_fd(fd as c_int));
    }
    Ok(())
}

/// membarrier(2) MEMBARRIER_CMD_GET_REGISTRATIONS.
pub fn membarrier_registrations() -> io::Result<()> {
    const GET_REGISTRATIONS: c_int = 1 << 9;
    // SAFETY: only integers are passed.
    check(unsafe { libc::syscall(libc::SYS_membarrier, GET_REGISTRATIONS, 0, 0) }).map(drop)
}

/// process_vm_readv(2) on ourselves.
pub fn process_vm() -> io::Result<()> {
    let (from, mut to) = (*b"crio", [0_u8; 4]);
    let local = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
    let remote = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    // SAFETY: both ranges are live variables of that length, and only the local one is written.
    let n = check(unsafe { libc::process_vm_readv(own_pid(), &local, 1, &remote, 1, 0) } as c_long)?;
    expect(n == 4 && to == from, "process_vm_readv(2) read something else")
}

/// A new pty is locked (TIOCSPTLCK), says so (TIOCGPTLCK), and cannot be opened.
pub fn pty_lock() -> io::Result<()> {
    let master = File::options().read(true).write(true).open("/dev/ptmx");
    let master = master.map_err(|e| io::Error::new(e.kind(), format!("open /dev/ptmx: {e}")))?;
    let (lock, mut locked, mut number): (c_int, c_int, c_int) = (1, 0, 0);
    // SAFETY: each of these requests reads or writes one int (ioctl_tty(2)).
    unsafe {
        check(libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const lock).into())?;
        check(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTLCK, &raw mut locked).into())?;
        check(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number).into())?;
    }
    expect(locked == 1, "TIOCGPTLCK does not tell a locked pty")?;
    use std::os::unix::fs::OpenOptionsExt as _;
    let slave = File::options().read(true).custom_flags(libc::O_NOCTTY).open(format!("/dev/pts/{number}"));
    expect(slave.is_err(), "a locked pty can be opened")
}

/// madvise(2) MADV_GUARD_INSTALL on a page of ours.
pub fn madv_guard() -> io::Result<()> {
    Page::new()?.advise(MADV_GUARD_INSTALL)
}

const MADV_GUARD_INSTALL: c_int = 102;

/// struct pm_scan_arg, include/uapi/linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// ioctl(2) PAGEMAP_SCAN finds a touched page of ours.
pub fn pagemap_scan() -> io::Result<()> {
    const PAGE_IS_PRESENT: u64 = 1 << 3;
    let page = Page::new()?;
    expect(scan(&page, PAGE_IS_PRESENT)? == 1, "PAGEMAP_SCAN does not see a page that is there")
}

/// ioctl(2) PAGEMAP_SCAN finds a guard page of ours.
pub fn pagemap_scan_guard_pages() -> io::Result<()> {
    const PAGE_IS_GUARD: u64 = 1 << 8;
    let page = Page::new()?;
    page.advise(MADV_GUARD_INSTALL)?;
    expect(scan(&page, PAGE_IS_GUARD)? == 1, "PAGEMAP_SCAN does not see a guard page")
}

/// How many regions of `page` have `category`.
fn scan(page: &Page, category: u64) -> io::Result<c_long> {
    let pagemap = File::open("/proc/self/pagemap")?;
    let mut region = [0_u64; 3];
    let mut arg = ScanArg {
        size: size_of::<ScanArg>() as u64,
        start: page.address() as u64,
        end: (page.address() + page.len) as u64,
        vec: region.as_mut_ptr().expose_provenance() as u64,
        vec_len: 1,
        category_mask: category,
        return_mask: category,
        ..ScanArg::default()
    };
    let request = nix::request_code_readwrite!(b'f', 16, size_of::<ScanArg>());
    // SAFETY: the argument and the one region that it points to outlive the call and have the kernel's layout.
    check(unsafe { libc::ioctl(pagemap.as_raw_fd(), request as _, &raw mut arg) }.into())
}

/// After a reset by /proc/self/clear_refs, pagemap shows that a page of ours was written. Only our own marks are reset.
pub fn soft_dirty() -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    const SOFT_DIRTY: u64 = 1 << 55;
    let page = Page::new()?;
    std::fs::write("/proc/self/clear_refs", "4")?;
    page.touch();
    let mut entry = [0; 8];
    let offset = (page.address() / page.len * size_of_val(&entry)) as u64;
    File::open("/proc/self/pagemap")?.read_exact_at(&mut entry, offset)?;
    let marked = u64::from_ne_bytes(entry) & SOFT_DIRTY != 0;
    expect(marked, "pagemap does not show a written page as soft-dirty")
}

/// userfaultfd(2) and the features (`UFFD_FEATURE_*`) that UFFDIO_API offers.
pub fn userfaultfd() -> io::Result<u64> {
    const UFFD_API: u64 = 0xaa;
    let mut api = [UFFD_API, 0, 0];
    let request = nix::request_code_readwrite!(0xaa, 0x3f, size_of_val(&api));
    // SAFETY: the descriptor that is returned is ours; struct uffdio_api is three 64-bit words, alive across the call.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC))?;
        let fd = OwnedFd::from_raw_fd(fd as c_int);
        check(libc::ioctl(fd.as_raw_fd(), request as _, api.as_mut_ptr()).into())?;
    }
    Ok(api[1])
}

/// The ring of an AIO context still works when it was moved, mremap(2), fs/aio.c. The child's address space is its own: the
/// kernel unmaps the ring where it has been moved to, and other threads of ours would map something there.
pub fn aio_remap() -> io::Result<()> {
    let page = Page::new()?.len;
    let body = || move_ring(page).map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |()| 0);
    // SAFETY: mappings and system calls alone, which are async-signal-safe; no error among these allocates.
    unsafe { child::ask(body) }
}

fn move_ring(page: usize) -> io::Result<()> {
    // struct aio_ring and struct io_event of fs/aio.c and linux/aio_abi.h have this size each.
    const SLOT: usize = 32;
    let mut context: c_ulong = 0;
    // SAFETY: the context is a number of ours, alive across the call.
    check(unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut context) })?;
    // SAFETY: a context is the address of its ring, whose second 32 bits are how many events it holds.
    let events = unsafe { (context as *const u32).add(1).read_volatile() };
    let len = (SLOT + events as usize * SLOT).next_multiple_of(page);
    let room = Room::new(len, page)?;
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: the ring goes to where nothing of anybody is.
    let moved = unsafe { libc::mremap(context as *mut libc::c_void, len, len, flags, room.address()) };
    if moved == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: only the number of the context is passed.
    check(unsafe { libc::syscall(libc::SYS_io_destroy, moved.addr()) }).map(drop)
}

/// prctl(2) PR_CAPBSET_READ: the kernel knows this capability.
pub fn capability(number: u32) -> io::Result<()> {
    prctl(libc::PR_CAPBSET_READ, [number.into(), 0, 0, 0])
}

/// move_mount(2) with MOVE_MOUNT_SET_GROUP: the mount at `to` shares what the one at `from` does.
pub fn move_mount_set_group(from: &CStr, to: &CStr) -> io::Result<()> {
    const MOVE_MOUNT_SET_GROUP: c_uint = 0x100;
    let (here, from, to) = (libc::AT_FDCWD, from.as_ptr(), to.as_ptr());
    // SAFETY: both paths are C strings that outlive the call.
    check(unsafe { libc::syscall(libc::SYS_move_mount, here, from, here, to, MOVE_MOUNT_SET_GROUP) })
        .map(drop)
}

/// Device (major, minor) and inode of a mapping of `file`, as /proc/self/maps tells them.
pub fn mapped_file(file: &File) -> io::Result<((u64, u64), u64)> {
    let (prot, flags) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: a new mapping at a place of the kernel's choice touches none of ours.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), 1, prot, flags, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let page = Page { start, len: 1 };
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let line = maps.lines().find(|line| line.starts_with(&format!("{:08x}-", page.address())));
    let mut words = line.unwrap_or_default().split_ascii_whitespace().skip(3);
    let device = words.next().and_then(|device| device.split_once(':'));
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let device = device.and_then(|(major, minor)| Some((hex(major)?, hex(minor)?)));
    let inode = words.next().and_then(|inode| inode.parse().ok());
    device.zip(inode).ok_or_else(|| io::Error::other("/proc/self/maps does not show a mapping"))
}

/// flock(2) on `file`.
pub fn flock_shared(file: &File) -> io::Result<()> {
    // SAFETY: only integers are passed.
    check(unsafe { libc::flock(file.as_fd().as_raw_fd(), libc::LOCK_SH) }.into()).map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Probes run side by side: none may unmap what another thread has mapped meanwhile.
    #[test]
    fn moving_a_ring_leaves_the_memory_of_other_threads_alone() {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let others = || {
                while !done.load(Ordering::Relaxed) {
                    let page = Page::new().unwrap();
                    std::thread::yield_now();
                    // ENOMEM where nothing is mapped.
                    page.advise(libc::MADV_NORMAL).unwrap();
                }
            };
            let others: Vec<_> = (0..3).map(|_| scope.spawn(others)).collect();
            let results: Vec<_> = (0..50).map(|_| aio_remap()).collect();
            done.store(true, Ordering::Relaxed);
            others.into_iter().for_each(|other| other.join().unwrap());
            let words: Vec<_> = results.iter().map(|result| result.is_ok()).collect();
            assert!(words.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
        });
    }
}
