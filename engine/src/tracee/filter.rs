//! The seccomp filters of a stopped thread, seccomp(2): classic BPF programs, and what they say of a system call.
//!
//! A thread has a chain of them, each asked at every call; the strictest answer counts (seccomp_run_filters in
//! kernel/seccomp.c). crio has a call judged by them only where the kernel makes one that the program did not: the
//! restart_syscall(2) of a sleep that was interrupted by the freeze. Everywhere else seccomp is suspended.
//!
//! Not here: what a dump and a restore do with filters (`resource::task::seccomp`).

use crate::error::{OsContext, Result};
use crate::sys::ptrace::{self, FILTER_STEP};

const ACTION: u32 = 0xffff_0000;
const LOG: i32 = 0x7ffc_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;

/// Bytes of `struct seccomp_data`: nr, arch, instruction_pointer, args.
const DATA_LEN: usize = 64;

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Its instructions, `struct sock_filter` each.
    pub program: Vec<u8>,
    /// SECCOMP_FILTER_FLAG_LOG, or none.
    pub flags: u32,
}

/// The filters of a stopped thread, the oldest first.
pub fn filters(tid: i32) -> Result<Vec<Filter>> {
    let mut all = Vec::new();
    while let Some(program) =
        ptrace::seccomp_filter(tid, all.len() as u64).os(|| format!("PTRACE_SECCOMP_GET_FILTER {tid}"))?
    {
        // Linux 4.14 has the flag, and 4.16 tells of it.
        let flags = ptrace::seccomp_filter_flags(tid, all.len() as u64).unwrap_or(0);
        all.push(Filter { program, flags });
    }
    Ok(all)
}

/// Whether all filters let the call pass. Its arguments are taken for 0.
pub(super) fn allow(filters: &[Filter], nr: u32) -> bool {
    let mut data = [0; DATA_LEN];
    for (byte, value) in
        data.iter_mut().zip([nr, arch::syscall::AUDIT_ARCH].into_iter().flat_map(u32::to_ne_bytes))
    {
        *byte = value;
    }
    // As numbers with a sign, actions are the stricter the lower.
    filters
        .iter()
        .all(|filter| run(&filter.program, &data).is_some_and(|answer| (answer & ACTION) as i32 >= LOG))
}

impl Filter {
    /// Whether it may hand calls to a listener (SECCOMP_RET_USER_NOTIF), as far as its constants tell.
    pub fn may_notify(&self) -> bool {
        let steps = || self.program.as_chunks::<FILTER_STEP>().0.iter().map(Step::from_bytes);
        let computes = steps().any(|step| step.class() == RET && step.returns_accumulator());
        steps().any(|step| (step.class() == RET || computes) && step.k & ACTION == USER_NOTIF)
    }
}

const LD: u16 = 0;
const LDX: u16 = 1;
const ST: u16 = 2;
const STX: u16 = 3;
const ALU: u16 = 4;
const JMP: u16 = 5;
const RET: u16 = 6;
/// The second operand is X, and not the constant.
const X: u16 = 0x08;
const RET_A: u16 = 0x10;
const TXA: u16 = 0x80;

/// `struct sock_filter` of linux/filter.h.
struct Step {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

impl Step {
    fn from_bytes(&[c0, c1, jt, jf, k0, k1, k2, k3]: &[u8; FILTER_STEP]) -> Self {
        Step { code: u16::from_ne_bytes([c0, c1]), jt, jf, k: u32::from_ne_bytes([k0, k1, k2, k3]) }
    }

    fn class(&self) -> u16 {
        self.code & 0x07
    }

    fn returns_accumulator(&self) -> bool {
        self.code & 0x18 == RET_A
    }

    /// What a load loads.
    fn loaded(&self, data: &[u8; DATA_LEN], memory: &[u32; 16]) -> Option<u32> {
        match self.code & 0xe0 {
            0x00 => Some(self.k),
            0x20 => Some(u32::from_ne_bytes(*data.get(self.k as usize..)?.first_chunk()?)),
            0x60 => memory.get(self.k as usize).copied(),
            0x80 => Some(DATA_LEN as u32),
            _ => None,
        }
    }

    /// The new accumulator; `None` for a division by zero, which ends the program.
    fn computed(&self, a: u32, operand: u32) -> Option<u32> {
        match self.code & 0xf0 {
            0x00 => Some(a.wrapping_add(operand)),
            0x10 => Some(a.wrapping_sub(operand)),
            0x20 => Some(a.wrapping_mul(operand)),
            0x30 => a.checked_div(operand),
            0x40 => Some(a | operand),
            0x50 => Some(a & operand),
            0x60 => Some(a.wrapping_shl(operand)),
            0x70 => Some(a.wrapping_shr(operand)),
            0x80 => Some(a.wrapping_neg()),
            _ => Some(a ^ operand),
        }
    }

    /// How many steps a jump passes over.
    fn distance(&self, a: u32, operand: u32) -> usize {
        let taken = match self.code & 0xf0 {
            0x00 => return self.k as usize,
            0x10 => a == operand,
            0x20 => a > operand,
            0x30 => a >= operand,
            _ => a & operand != 0,
        };
        usize::from(if taken { self.jt } else { self.jf })
    }
}

/// Runs a program that the kernel has verified: it jumps forward only, and has none but these instructions
/// (seccomp_check_filter in kernel/seccomp.c). `None` of one that it would not have let in.
fn run(program: &[u8], data: &[u8; DATA_LEN]) -> Option<u32> {
    let steps = program.as_chunks::<FILTER_STEP>().0;
    let (mut a, mut x, mut memory, mut at) = (0, 0, [0; 16], 0);
    loop {
        let step = Step::from_bytes(steps.get(at)?);
        let operand = if step.code & X != 0 { x } else { step.k };
        at += 1;
        match step.class() {
            LD => a = step.loaded(data, &memory)?,
            LDX => x = step.loaded(data, &memory)?,
            ST => *memory.get_mut(step.k as usize)? = a,
            STX => *memory.get_mut(step.k as usize)? = x,
            ALU => match step.computed(a, operand) {
                Some(value) => a = value,
                None => return Some(0),
            },
            JMP => at += step.distance(a, operand),
            RET => return Some(if step.returns_accumulator() { a } else { step.k }),
            _ if step.code & 0xf8 == TXA => a = x,
            _ => x = a,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    const KILL: u32 = 0x8000_0000;

    fn filter(steps: &[(u16, u8, u8, u32)]) -> Filter {
        let bytes = |&(code, jt, jf, k): &(u16, u8, u8, u32)| {
            let ([c0, c1], [k0, k1, k2, k3]) = (code.to_ne_bytes(), k.to_ne_bytes());
            [c0, c1, jt, jf, k0, k1, k2, k3]
        };
        Filter { program: steps.iter().flat_map(bytes).collect(), flags: 0 }
    }

    /// The number of the call is compared, and `unlike` is the answer of any other.
    fn only(nr: u32, like: u32, unlike: u32) -> Filter {
        filter(&[(0x20, 0, 0, 0), (0x15, 0, 1, nr), (0x06, 0, 0, like), (0x06, 0, 0, unlike)])
    }

    #[test]
    fn the_strictest_of_a_chain_counts() {
        let (open, closed) = (only(7, ALLOW, KILL), only(7, ERRNO, ALLOW));
        assert!(
            allow(&[], 7) && allow(std::slice::from_ref(&open), 7) && !allow(std::slice::from_ref(&open), 8)
        );
        assert!(!allow(&[open.clone(), closed.clone()], 7) && !allow(&[closed, open], 7));
        assert!(allow(&[only(7, LOG as u32, KILL)], 7));
    }

    #[test]
    fn another_machines_calls_are_told_apart() {
        let by_arch =
            |arch| filter(&[(0x20, 0, 0, 4), (0x15, 1, 0, arch), (0x06, 0, 0, KILL), (0x06, 0, 0, ALLOW)]);
        assert!(allow(&[by_arch(arch::syscall::AUDIT_ARCH)], 1) && !allow(&[by_arch(1)], 1));
    }

    #[test]
    fn every_kind_of_instruction_computes() {
        // X = 7 << 2 | 1, kept in memory; A = (X * 3 - 2) / 5 ^ X; jump over a return if A > X or A & 4.
        let program = filter(&[
            (0x00, 0, 0, 7),
            (0x64, 0, 0, 2),
            (0x44, 0, 0, 1),
            (0x02, 0, 0, 3),
            (0x61, 0, 0, 3),
            (0x24, 0, 0, 3),
            (0x14, 0, 0, 2),
            (0x34, 0, 0, 5),
            (0xac, 0, 0, 0),
            (0x2d, 2, 0, 0),
            (0x45, 1, 0, 4),
            (0x06, 0, 0, 1),
            (0x87, 0, 0, 0),
            (0x16, 0, 0, 0),
        ]);
        assert_eq!(run(&program.program, &[0; DATA_LEN]), Some(29));
        let division = filter(&[(0x01, 0, 0, 0), (0x3c, 0, 0, 0), (0x06, 0, 0, ALLOW)]);
        assert_eq!(run(&division.program, &[0; DATA_LEN]), Some(0));
        assert_eq!(run(&[], &[0; DATA_LEN]), None);
    }

    #[test]
    fn listeners_are_seen_in_constants() {
        assert!(only(7, USER_NOTIF, ALLOW).may_notify() && !only(USER_NOTIF, ALLOW, KILL).may_notify());
        assert!(filter(&[(0x00, 0, 0, USER_NOTIF), (0x16, 0, 0, 0)]).may_notify());
    }
}
