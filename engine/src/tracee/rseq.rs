//! Where a thread has its area for restartable sequences, on kernels that do not tell: PTRACE_GET_RSEQ_CONFIGURATION is
//! there since Linux 5.13, rseq(2) since 4.18. Without its area a restored thread would believe that it is told of its
//! CPU, and that its sequences are aborted.
//!
//! rseq(2) compares before it registers (kernel/rseq.c): a thread that has an area gets EBUSY for that one, EPERM for that
//! one with another signature, EINVAL for every other; a thread without one gets EFAULT for an address of the kernel. The
//! C library has the area near the thread's list of robust futexes, because both are part of what it knows of a thread. A
//! child of clone(2) has no list until it makes one, but the area of its parent, whose memory it has a copy of.

use arch::Regs;

use super::loan::Loan;
use crate::error::{Blame, Error, Result};
use crate::kernel::pagemap::PresentPages;
use crate::kernel::{ProcDir, stat};
use crate::sys::attr::robust_list;
use crate::sys::process::{RSEQ_LEN, read_memory, rseq_candidates};
use crate::sys::ptrace::Rseq;

/// Where struct rseq has its pointer to the sequence: behind `cpu_id_start` and `cpu_id`.
pub(super) const RSEQ_CS: u64 = 8;
/// Bytes of `struct rseq_cs`: version, flags, start_ip, post_commit_offset, abort_ip.
const SECTION_LEN: usize = 32;
/// Bytes to read at a time; pages are multiples of it.
const PIECE_LEN: u64 = 4096;
/// Of the kernel, and a multiple of what areas are.
const NOBODYS: u64 = 0_u64.wrapping_sub(RSEQ_LEN);

/// The sequence that an area points to.
struct Section {
    start: u64,
    len: u64,
    abort: u64,
}

impl Section {
    fn at(pid: i32, address: u64) -> Option<Self> {
        let mut bytes = [0; SECTION_LEN];
        read_memory(pid, address, &mut bytes).ok().filter(|got| *got == SECTION_LEN)?;
        let [_, start, len, abort] = bytes.as_chunks().0 else { return None };
        let [start, len, abort] = [start, len, abort].map(|word| u64::from_ne_bytes(*word));
        Some(Section { start, len, abort })
    }

    fn covers(&self, ip: u64) -> bool {
        ip.wrapping_sub(self.start) < self.len
    }

    /// Before each abort handler there is a signature, so that nobody can make one of other code.
    fn is_signed(&self, pid: i32) -> bool {
        let mut signature = [0; 4];
        let address = self.abort.wrapping_sub(signature.len() as u64);
        read_memory(pid, address, &mut signature).is_ok_and(|got| got == signature.len())
            && u32::from_ne_bytes(signature) == arch::syscall::RSEQ_SIGNATURE
    }
}

fn word(pid: i32, address: u64) -> Option<u64> {
    let mut word = [0; 8];
    let got = read_memory(pid, address, &mut word).ok()?;
    (got == word.len()).then(|| u64::from_ne_bytes(word))
}

/// Generations between a task and the one that has a list of robust futexes.
const GENERATIONS: usize = 16;

/// The list of a thread, or that of the next parent who has one; 0 if there is none.
fn list_near(tid: i32) -> u64 {
    let mut pid = tid;
    for _ in 0..GENERATIONS {
        match robust_list(pid) {
            Ok((0, _)) => {}
            found => return found.map_or(0, |(head, _)| head),
        }
        let parent = ProcDir::open(pid).and_then(|proc| stat::read(&proc)).map_or(0, |stat| stat.ppid);
        if parent <= 1 {
            break;
        }
        pid = parent;
    }
    0
}

/// Where the sequence goes on, of the area at `area`, that a thread has been interrupted in: at its abort handler.
pub(super) fn abort_of(pid: i32, area: u64, ip: u64) -> Option<u64> {
    let section = word(pid, area.wrapping_add(RSEQ_CS)).filter(|section| *section != 0)?;
    Section::at(pid, section).filter(|section| section.covers(ip)).map(|section| section.abort)
}

/// The same without knowing the area: before the thread runs for us, which would make the kernel forget about the abort.
/// The kernel itself has read the sequence when it interrupted the thread before, so that is in memory.
pub(super) fn abort_of_untold(pid: i32, tid: i32, regs: &Regs) -> Option<u64> {
    // To read another page can be noticed, where a userfaultfd(2) reports it.
    let present = PresentPages::of(&ProcDir::open(pid).ok()?).ok()?;
    let mut piece = (0, [0; PIECE_LEN as usize]);
    rseq_candidates(list_near(tid)).find_map(|area| {
        let start = area - area % PIECE_LEN;
        if piece.0 != start {
            piece = (start, [0; PIECE_LEN as usize]);
            if present.has(start) {
                read_memory(pid, start, &mut piece.1).ok()?;
            }
        }
        let pointer = (area - start + RSEQ_CS) as usize;
        let section = u64::from_ne_bytes(*piece.1.get(pointer..)?.first_chunk()?);
        if section == 0 || !section.is_multiple_of(SECTION_LEN as u64) || !present.has(section) {
            return None;
        }
        let section = Section::at(pid, section)?;
        (section.covers(regs.ip()) && section.is_signed(pid)).then_some(section.abort)
    })
}

/// Asks the kernel by what it answers to the thread on loan.
pub(super) fn find(loan: &mut Loan) -> Result<Rseq> {
    let signature = arch::syscall::RSEQ_SIGNATURE;
    let args = |address: u64| [address, RSEQ_LEN, 0, signature.into(), 0, 0];
    let answer = loan.run_one(libc::SYS_rseq as u64, args(NOBODYS))?;
    if answer != i64::from(-libc::EINVAL) {
        return Ok(Rseq::default());
    }
    let tid = loan.tid();
    let mut batch = loan.batch();
    let asked: Vec<_> = rseq_candidates(list_near(tid))
        .map(|address| (address, batch.attempt("rseq", libc::SYS_rseq, &args(address))))
        .collect();
    loan.run(&mut batch)?;
    let is_busy = |error: std::io::Error| error.raw_os_error() == Some(libc::EBUSY);
    let found = asked.into_iter().find(|(_, call)| batch.ret(*call).is_err_and(is_busy));
    let (address, _) = found.ok_or_else(|| untold(tid))?;
    Ok(Rseq { address, size: RSEQ_LEN as u32, signature, ..Rseq::default() })
}

fn untold(tid: i32) -> Error {
    let reason = "has an area for restartable sequences (rseq) that is not the C library's, and this kernel does not tell \
                  where it is";
    Error::new("E-RSEQ", Blame::Kernel, reason)
        .on(format!("thread {tid}"))
        .help("use Linux 5.13 or later, which tells, or let the program do without rseq")
}
