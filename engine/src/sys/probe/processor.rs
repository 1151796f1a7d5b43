//! Probes of what only some machines have: the crate `arch` knows where and how.

#![allow(unsafe_code, reason = "fork and ptrace")]

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};

use libc::{c_int, c_long};

use super::child::{Child, Tracee, ask, errno};
use super::expect;

/// The kernel maps the code that it gives to 32-bit programs, or says that it has mapped one already (EEXIST).
pub fn map_vdso() -> io::Result<()> {
    let call = arch::syscall::MAP_VDSO.ok_or_else(|| absent("a call that maps the vdso"))?;
    let body = || {
        // SAFETY: the kernel chooses the place; the child makes no use of it.
        let done = unsafe { libc::syscall(call.0, call.1, 0) };
        if done == -1 && errno() != libc::EEXIST { errno() } else { 0 }
    };
    // SAFETY: one system call, which is async-signal-safe.
    unsafe { ask(body) }
}

/// Two mappings of 32-bit programs, the first of which is gone when the second is made, are at one place: a kernel that cuts
/// off the upper half of an address lets the first be where it was.
pub fn memory_of_32_bits() -> io::Result<()> {
    map_vdso()?;
    const LEN: u32 = 4096;
    let map = || arch::mmap_of_32_bits(LEN).unwrap_or(-libc::ENOSYS);
    let is_error = |result: i32| (-4095..0).contains(&result);
    let body = || {
        let first = map();
        if is_error(first) {
            return -first;
        }
        // SAFETY: the mapping was made just now, and nobody else knows of it.
        let gone = unsafe { libc::munmap(first as u32 as usize as *mut libc::c_void, LEN as usize) };
        if gone == -1 {
            return errno();
        }
        match map() {
            second if is_error(second) => -second,
            second if second == first => 0,
            _ => libc::EOVERFLOW,
        }
    };
    // SAFETY: system calls alone, which are async-signal-safe.
    unsafe { ask(body) }
}

/// A task stops at an address that was put into a debug register.
pub fn breakpoint() -> io::Result<()> {
    const ENABLE: usize = 7;
    const FIRST_ENABLED: usize = 1;
    let registers = arch::DEBUG_REGISTERS.ok_or_else(|| absent("a known register for breakpoints"))?;
    let place: extern "C" fn() = here;
    let (wait, tell) = io::pipe()?;
    let (wait, mut tell) = (OwnedFd::from(wait), File::from(OwnedFd::from(tell)));
    let fd = wait.as_raw_fd();
    let body = || {
        let mut byte = 0_u8;
        // SAFETY: one byte is read into a live variable.
        unsafe { libc::read(fd, (&raw mut byte).cast(), 1) };
        std::hint::black_box(place)();
        1
    };
    // SAFETY: read(2) and a function without content.
    let tracee = Tracee::seize(unsafe { Child::fork(body) }?)?;
    tracee.request(libc::PTRACE_POKEUSER as _, registers, place as *const () as usize)?;
    tracee.request(libc::PTRACE_POKEUSER as _, registers + ENABLE * size_of::<c_long>(), FIRST_ENABLED)?;
    tell.write_all(&[0])?;
    tracee.request(libc::PTRACE_CONT as _, 0, 0)?;
    let status = tracee.wait()?;
    expect(is_trap(status), "a task goes on across a breakpoint")
}

fn is_trap(status: c_int) -> bool {
    libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP
}

#[inline(never)]
extern "C" fn here() {
    std::hint::black_box(());
}

fn absent(what: &str) -> io::Error {
    io::Error::other(format!("this machine has not {what}"))
}
