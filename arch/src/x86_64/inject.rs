//! The stub: the only code of ours that ever runs inside another process.
//!
//! It is written into the unused tail of the vdso page, so that it needs no mapping of its own, and does three things:
//!
//! 1. `loop`: execute an array of [`Call`]s, storing each result (`rbx` = first, `r12` = one past the last);
//! 2. `tell`: send this very thread the wake signal. The tracer, if it lives, stops the thread here and takes over;
//! 3. `rescue`: reached only when no tracer is left. Put the signal mask back, unmap the borrowed area, load every
//!    general register from [`Saved`] (which stands right behind the code) and jump to where the thread was.
//!
//! The wake signal is one that the victim ignores; sent to a thread without a tracer it vanishes. The stub uses no
//! stack and no vector register, so the thread's own ones need no saving, and a signal handler may run at any of its
//! instructions. Flags are put back by `sahf` and friends because `popf` would need a stack.

#![allow(unsafe_code, reason = "the addresses of assembly labels are only reachable as extern statics")]

use super::regs::Regs;

core::arch::global_asm!(
    ".pushsection .rodata.crio_stub,\"a\",@progbits",
    ".balign 16",
    ".globl crio_stub, crio_stub_one, crio_stub_told, crio_stub_saved",
    "crio_stub:",
    "2:  cmp rbx, r12",
    "    jae 3f",
    "    mov rax, [rbx]",
    "    mov rdi, [rbx + 8]",
    "    mov rsi, [rbx + 16]",
    "    mov rdx, [rbx + 24]",
    "    mov r10, [rbx + 32]",
    "    mov r8, [rbx + 40]",
    "    mov r9, [rbx + 48]",
    "    syscall",
    "    mov [rbx + 56], rax",
    "    add rbx, 64",
    "    jmp 2b",
    "crio_stub_one:",
    "    syscall",
    "    mov r13, rax",
    "3:  mov eax, 234", // tgkill
    "    mov edi, [rip + 9f + {tgid}]",
    "    mov esi, [rip + 9f + {tid}]",
    "    mov edx, [rip + 9f + {wake}]",
    "    syscall",
    "crio_stub_told:",
    "    mov eax, 14", // rt_sigprocmask(SIG_SETMASK, &mask, NULL, 8)
    "    mov edi, 2",
    "    lea rsi, [rip + 9f + {mask}]",
    "    xor edx, edx",
    "    mov r10d, 8",
    "    syscall",
    "    mov eax, 11", // munmap
    "    mov rdi, [rip + 9f + {area}]",
    "    mov rsi, [rip + 9f + {area_len}]",
    "    syscall",
    "    cld",
    "    mov eax, [rip + 9f + {eflags}]",
    "    test eax, 0x400",
    "    jz 4f",
    "    std",
    "4:  mov ecx, eax",
    "    shr ecx, 11",
    "    and ecx, 1",
    "    mov ah, al", // sahf loads SF ZF AF PF CF from ah
    "    mov al, cl",
    "    add al, 0x7f", // overflows into OF exactly when it was set
    "    sahf",
    "    mov r15, [rip + 9f + 0]",
    "    mov r14, [rip + 9f + 8]",
    "    mov r13, [rip + 9f + 16]",
    "    mov r12, [rip + 9f + 24]",
    "    mov rbp, [rip + 9f + 32]",
    "    mov rbx, [rip + 9f + 40]",
    "    mov r11, [rip + 9f + 48]",
    "    mov r10, [rip + 9f + 56]",
    "    mov r9, [rip + 9f + 64]",
    "    mov r8, [rip + 9f + 72]",
    "    mov rax, [rip + 9f + 80]",
    "    mov rcx, [rip + 9f + 88]",
    "    mov rdx, [rip + 9f + 96]",
    "    mov rsi, [rip + 9f + 104]",
    "    mov rdi, [rip + 9f + 112]",
    "    mov rsp, [rip + 9f + {sp}]",
    "    jmp [rip + 9f + {ip}]",
    ".balign 8",
    "crio_stub_saved:",
    "9:",
    ".popsection",
    tgid = const core::mem::offset_of!(Saved, tgid),
    tid = const core::mem::offset_of!(Saved, tid),
    wake = const core::mem::offset_of!(Saved, wake),
    mask = const core::mem::offset_of!(Saved, mask),
    area = const core::mem::offset_of!(Saved, area),
    area_len = const core::mem::offset_of!(Saved, area_len),
    eflags = const core::mem::offset_of!(Saved, regs) + Regs::FLAGS * 8,
    sp = const core::mem::offset_of!(Saved, regs) + Regs::SP * 8,
    ip = const core::mem::offset_of!(Saved, regs) + Regs::IP * 8,
);

unsafe extern "C" {
    static crio_stub: u8;
    static crio_stub_one: u8;
    static crio_stub_told: u8;
    static crio_stub_saved: u8;
}

/// One system call of a batch, as the stub reads and answers it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub nr: u64,
    /// Its arguments, in the order of the C prototype.
    pub args: [u64; 6],
    /// What it returned: a value, or `-errno`.
    pub ret: i64,
}

const _: () = assert!(size_of::<Call>() == 64);

/// What the stub needs to give a thread back by itself; stands right behind the stub's code.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// The registers to continue with. First, because the stub loads them by their ptrace offsets.
    pub regs: Regs,
    /// The thread's signal mask.
    pub mask: u64,
    /// Borrowed mapping: address and length in bytes, 0 when there is none.
    pub area: u64,
    /// See `area`.
    pub area_len: u64,
    /// Receiver of the wake signal.
    pub tgid: u32,
    /// See `tgid`.
    pub tid: u32,
    /// The wake signal; 0 for none, when the tracer watches system calls instead.
    pub wake: u32,
    /// Keeps the size a multiple of eight.
    pub reserved: u32,
}

impl Saved {
    /// The bytes to write behind the stub, in the machine's order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let words = self.regs.0.iter().copied().chain([self.mask, self.area, self.area_len]);
        let mut bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        bytes.extend([self.tgid, self.tid, self.wake, self.reserved].into_iter().flat_map(u32::to_ne_bytes));
        bytes
    }
}

impl Saved {
    /// What [`to_bytes`](Saved::to_bytes) has written; `None` of fewer bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let regs = Regs::from_bytes(bytes.get(..super::regs::REGS_LEN)?)?;
        let rest = bytes.get(super::regs::REGS_LEN..size_of::<Self>())?;
        let (words, ids) = rest.split_at_checked(3 * 8)?;
        let [mask, area, area_len] = words.as_chunks::<8>().0 else { return None };
        let [tgid, tid, wake, reserved] = ids.as_chunks::<4>().0 else { return None };
        Some(Saved {
            regs,
            mask: u64::from_ne_bytes(*mask),
            area: u64::from_ne_bytes(*area),
            area_len: u64::from_ne_bytes(*area_len),
            tgid: u32::from_ne_bytes(*tgid),
            tid: u32::from_ne_bytes(*tid),
            wake: u32::from_ne_bytes(*wake),
            reserved: u32::from_ne_bytes(*reserved),
        })
    }
}

/// The stub's code; [`Saved`] follows it.
pub fn stub() -> &'static [u8] {
    // SAFETY: the first and the last label delimit one read-only section.
    unsafe { core::slice::from_raw_parts(&raw const crio_stub, offset(&raw const crio_stub_saved) as usize) }
}

/// Offset of the instruction before which a thread stops when the stub has told the tracer.
pub fn told() -> u64 {
    offset(&raw const crio_stub_told)
}

/// Bytes of the stub with its [`Saved`] behind it.
pub fn stub_len() -> usize {
    stub().len() + size_of::<Saved>()
}

fn offset(label: *const u8) -> u64 {
    label.addr() as u64 - (&raw const crio_stub).addr() as u64
}

/// The registers with which a thread, now at `victim`, executes the calls in `[first, end)` by the stub at `stub`.
pub fn enter(victim: &Regs, stub: u64, first: u64, end: u64) -> Regs {
    let mut regs = victim.detached(stub);
    regs.0[Regs::BX] = first;
    regs.0[Regs::R12] = end;
    regs
}

/// The registers with which a thread executes the single call `nr(args)`, which needs no memory.
pub fn enter_one(victim: &Regs, stub: u64, nr: u64, args: [u64; 6]) -> Regs {
    let mut regs = victim.detached(stub + offset(&raw const crio_stub_one));
    regs.0[Regs::AX] = nr;
    for (slot, value) in [Regs::DI, Regs::SI, Regs::DX, Regs::R10, Regs::R8, Regs::R9].into_iter().zip(args) {
        regs.0[slot] = value;
    }
    regs
}

/// What the call of [`enter_one`] returned, read off the registers after the stub has told the tracer.
pub fn result_of_one(regs: &Regs) -> i64 {
    regs.0[Regs::R13] as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_order_and_saved_is_aligned() {
        let (one, told) = (offset(&raw const crio_stub_one), offset(&raw const crio_stub_told));
        assert!(0 < one && one < told && told < stub().len() as u64);
        assert_eq!(stub().len() % 8, 0);
        assert!(stub_len() < 640, "must fit the vdso's tail: {}", stub_len());
    }

    #[test]
    fn what_was_saved_is_found_again() {
        let regs = Regs(core::array::from_fn(|i| i as u64 + 1));
        let saved =
            Saved { regs, mask: 40, area: 41, area_len: 42, tgid: 43, tid: 44, wake: 45, reserved: 0 };
        let bytes = saved.to_bytes();
        assert_eq!(Saved::from_bytes(&bytes), Some(saved));
        assert_eq!(Saved::from_bytes(&bytes[1..]), None);
    }
}
