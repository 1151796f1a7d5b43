//! How a tracer reaches the state of a thread: the words of the contract that every backend fills in.

/// The ptrace requests for the general registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegsAccess {
    /// `PTRACE_GETREGSET` and `PTRACE_SETREGSET` with this note type.
    Set(u32),
    /// A request to read and one to write, with the address of the registers.
    Requests {
        /// `PTRACE_GETREGS`
        get: u32,
        /// `PTRACE_SETREGS`
        set: u32,
    },
}

/// How a tracer changes the number of the system call that a thread is entering; -1 skips the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallNumber {
    /// It is one of the general registers.
    InRegs,
    /// A register set of one `int`.
    Set(u32),
    /// A ptrace request with the number as data.
    Request(u32),
}

/// The base of thread-local storage, where it is not in a register set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadArea {
    /// The ptrace request that stores it at the address in `data`.
    pub get: u32,
    /// The system call by which a thread sets its own.
    pub set: u64,
}

/// Some registers of a thread, as `PTRACE_GETREGSET` shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegSet {
    /// Its note type, `NT_*` of linux/elf.h.
    pub kind: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl RegSet {
    /// The bytes of the set of this type, if it is there.
    pub fn find(sets: &[RegSet], kind: u32) -> Option<&[u8]> {
        sets.iter().find(|set| set.kind == kind).map(|set| set.bytes.as_slice())
    }
}
