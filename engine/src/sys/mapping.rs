//! Memory that a kernel object shares with programs, mapped by us: the rings of packet sockets.

#![allow(unsafe_code, reason = "mmap, and access to what is mapped")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{Ordering, fence};

/// A shared mapping, unmapped when it is dropped.
#[derive(Debug)]
pub struct SharedMapping {
    address: *mut u8,
    len: usize,
}

impl SharedMapping {
    /// Maps the first `len` bytes of a descriptor.
    pub fn new(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd.as_raw_fd(), 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(SharedMapping { address: address.cast(), len })
    }

    /// Where `len` bytes from `at` on are.
    fn place(&self, at: usize, len: usize) -> io::Result<*mut u8> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: it is inside of the mapping.
        Ok(unsafe { self.address.add(at) })
    }

    /// Copies what is there from `at` on. The kernel may change it meanwhile: what is read by one call is no older than
    /// what was read by the one before.
    pub fn read(&self, at: usize, buffer: &mut [u8]) -> io::Result<()> {
        let from = self.place(at, buffer.len())?;
        fence(Ordering::SeqCst);
        // SAFETY: the bytes are mapped; nobody has a reference to them, and any value is one of a byte.
        unsafe { std::ptr::copy_nonoverlapping(from, buffer.as_mut_ptr(), buffer.len()) };
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Copies bytes to `at`.
    pub fn write(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let to = self.place(at, bytes.len())?;
        fence(Ordering::SeqCst);
        // SAFETY: as for reading.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        fence(Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`, to which no pointer is left.
        unsafe { libc::munmap(self.address.cast(), self.len) };
    }
}
