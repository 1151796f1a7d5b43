//! A thread on loan: stopped, its registers set aside, running our batches instead of its program.
//!
//! Order is what makes this safe against our own death: the stub and the thread's state are in place before its
//! registers change, the registers before the mask; on the way back mask, registers, stub. At each point between, the
//! kernel's detach lets the thread either go on as it was or run the rescue code.
//!
//! A loan passes from one thread of a process to the next while the area stays mapped. Some thread must be in a stub all
//! that time, or nobody would unmap the area; so there are two stubs where the vdso has room, and the next thread goes
//! out before the last comes home. Where there is room for one only, the area is unmapped between.
//!
//! A process that is stopped (job control) when we are killed can run the rescue code only when it is continued. Until
//! then, the next loan finds the thread in the stub and gives it back first ([`Loan::take`]).

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arch::{RegSet, Regs, Saved};

use super::batch::{Area, Batch};
use super::departure::{Departure, pass_call, registers, set_registers};
use super::rseq;
use super::site::{Site, bit, no_room};
use super::wait::{await_end, gone, wait};
use crate::error::{Error, OsContext, Result};
use crate::fault;
use crate::log_info;
use crate::sys::process::{gather_memory, write_memory};
use crate::sys::ptrace::{self, Rseq, Stop};

const ALL_SIGNALS: u128 = !0;

/// Bytes of a stub with what it saves, from one to the next.
pub(super) fn slot_len() -> u64 {
    arch::stub_len().next_multiple_of(16) as u64
}

/// One thread on loan. Dropping it gives the thread back and removes area and stub.
#[derive(Debug)]
pub struct Loan {
    site: Site,
    /// Which of the stubs the thread is in.
    slot: u64,
    tid: i32,
    /// The signal that reports the end of a batch, 0 for none.
    wake: u32,
    departure: Departure,
    tail: Vec<u8>,
    born: Vec<i32>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The thread is as we found it.
    Home,
    /// The thread is in the stub.
    Out,
    /// The task died under our hands.
    Gone,
}

impl Loan {
    /// Borrows the stopped thread `tid` of the process and maps the area in it. All its threads must stand still.
    pub fn take(site: Site, tid: i32) -> Result<Self> {
        let mut tail = vec![0; (site.slots * slot_len()) as usize];
        site.mem.read_exact_at(&mut tail, site.stub).os(|| format!("read the vdso of {}", site.pid))?;
        let left = recover(&site, &mut tail)?;
        let departure = Departure::of(site.pid, tid)?;
        let mut loan =
            Loan { site, slot: 0, tid, wake: 0, departure, tail, born: Vec::new(), state: State::Home };
        for slot in 0..loan.site.slots {
            loan.write_vdso(arch::stub(), loan.site.stub + slot * slot_len())?;
        }
        fault::point("stub-written")?;
        loan.send_out(tid)?;
        for Area { start, len } in left {
            loan.run_one(libc::SYS_munmap as u64, [start, len, 0, 0, 0, 0])?;
        }
        loan.map_area()?;
        fault::point("area-mapped")?;
        Ok(loan)
    }

    /// Borrows a task that was born of one on loan, and so has area and stub already: the child that this loan's thread
    /// has just forked.
    pub fn adopt(&self, pid: i32, mem: Arc<File>) -> Result<Self> {
        let mut child = Loan {
            site: Site { pid, mem, ..self.site.clone() },
            slot: self.slot,
            tid: pid,
            wake: 0,
            departure: Departure::of_newborn(pid)?,
            tail: self.tail.clone(),
            born: Vec::new(),
            state: State::Home,
        };
        child.send_out(pid)?;
        Ok(child)
    }

    /// Moves the mapping that the stub is in, `len` bytes at `from`, to `to`. The thread comes out of the system call at
    /// an address that is gone, so it is stopped there and sent on at the new one.
    pub fn move_stub(&mut self, from: u64, len: u64, to: u64) -> Result<()> {
        let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
        let delta = to.wrapping_sub(from);
        set_registers(
            self.tid,
            &arch::enter_one(
                &self.departure.regs,
                self.stub(),
                libc::SYS_mremap as u64,
                [from, len, len, flags, to, 0],
            ),
        )?;
        for _ in ["entry", "exit"] {
            ptrace::cont_to_syscall(self.tid, 0).os(|| format!("PTRACE_SYSCALL {}", self.tid))?;
            match wait(self.tid)? {
                Stop::Syscall => {}
                Stop::Exited(_) => return Err(self.died()),
                stop => return Err(Error::bug(format!("{stop:?} of {} while its vdso was moved", self.tid))),
            }
        }
        let regs = registers(self.tid)?;
        let result = regs.syscall_result();
        if result != to as i64 {
            let errno = std::io::Error::from_raw_os_error(-result as i32);
            return Err(Error::os(format!("mremap the vdso of {} to {to:x}", self.site.pid), errno));
        }
        self.site.stub = self.site.stub.wrapping_add(delta);
        // Some kernels have moved it along (vdso_fix_landing in arch/x86/entry/vdso/vma.c).
        let ip =
            if (from..from + len).contains(&regs.ip()) { regs.ip().wrapping_add(delta) } else { regs.ip() };
        set_registers(self.tid, &regs.with_ip(ip))?;
        self.resume(0)?;
        self.wait_until_told().map(drop)
    }

    /// The mapping that batches of this loan use.
    pub fn area(&self) -> Area {
        self.site.area
    }

    /// The process's /proc/PID/mem, which reads and writes whatever its protection is.
    pub fn memory(&self) -> &File {
        &self.site.mem
    }

    /// An empty batch for [`Loan::run`].
    pub fn batch(&self) -> Batch {
        Batch::new(self.site.area)
    }

    /// The registers with which the thread was stopped; it continues with them.
    pub fn regs(&self) -> &Regs {
        &self.departure.regs
    }

    /// Those of its other registers that system calls change, as they were when it was stopped.
    pub fn aside(&self) -> &[RegSet] {
        &self.departure.aside
    }

    /// The signal mask with which it continues.
    pub fn mask(&self) -> u128 {
        self.departure.mask
    }

    /// The restartable sequence area that the thread has registered.
    ///
    /// # Errors
    /// `E-RSEQ`: it has one that the kernel does not tell, where none was found.
    pub fn rseq(&mut self) -> Result<Rseq> {
        match self.departure.rseq {
            Some(rseq) => Ok(rseq),
            None => rseq::find(self),
        }
    }

    /// The job control signal by which the process is stopped by now. SIGSTOP and SIGCONT act on a thread on loan, too.
    pub fn stopped_by(&self) -> Result<Option<i32>> {
        // Trapped before any instruction and any signal, it shows what do_jobctl_trap (kernel/signal.c) finds.
        ptrace::interrupt(self.tid).os(|| format!("PTRACE_INTERRUPT {}", self.tid))?;
        ptrace::cont(self.tid, 0).os(|| format!("PTRACE_CONT {}", self.tid))?;
        match wait(self.tid)? {
            Stop::Group(signal) => Ok(Some(signal)),
            Stop::Trap => Ok(None),
            Stop::Exited(_) => Err(gone(self.tid)),
            stop => Err(Error::bug(format!("{stop:?} of {} instead of a trap", self.tid))),
        }
    }

    /// Changes the registers, general and others, and the mask with which it continues.
    pub fn set_departure(&mut self, regs: Regs, others: Vec<RegSet>, mask: u128) {
        self.departure = Departure { regs, aside: others, mask, ..Departure::default_of(regs) };
    }

    /// Gives this thread back and borrows `tid` of the same process instead.
    pub fn switch(&mut self, tid: i32) -> Result<()> {
        if self.site.slots == 1 {
            self.unmap_area()?;
            self.call_home()?;
            self.departure = Departure::of(self.site.pid, tid)?;
            self.send_out(tid)?;
            self.map_area()?;
            return fault::point("thread-switched");
        }
        let last = self.tid;
        let next = Departure::of(self.site.pid, tid)?;
        self.slot ^= 1;
        let departure = std::mem::replace(&mut self.departure, next);
        let sent = self.send_out(tid);
        let passed = fault::point("thread-switched");
        let home = departure.bring_home(last, self.other_stub());
        sent.and(passed).and(home)
    }

    /// Runs the batch in the borrowed thread; results are then in the batch. A failed call does not stop the others.
    pub fn run(&mut self, batch: &mut Batch) -> Result<()> {
        self.run_beside(batch, |_| Ok(()))
    }

    /// The same, while `work` does what does not need the thread to stand still.
    pub fn run_beside<T>(&mut self, batch: &mut Batch, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        if batch.is_empty() {
            return work(self);
        }
        self.start(batch)?;
        // A failure waits for the end of the batch, because the thread must stand still to be given back.
        let done = fault::point("batch-started").and_then(|()| work(self));
        self.finish(batch)?;
        done
    }

    /// Runs the calls that `add` makes of each item, in as many batches as that takes. All must succeed.
    pub fn run_each<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut add: impl FnMut(&mut Batch, T) -> Result<()>,
    ) -> Result<()> {
        let mut batch = self.batch();
        for item in items {
            if batch.is_full() {
                self.run(&mut batch)?;
                batch.expect_all()?;
                batch = self.batch();
            }
            add(&mut batch, item)?;
        }
        self.run(&mut batch)?;
        batch.expect_all()
    }

    /// The first half of [`Loan::run`]: sets the thread going and returns while it works.
    pub fn start(&mut self, batch: &Batch) -> Result<()> {
        let (first, end) = batch.span()?;
        self.write([(batch.area().start, batch.data()), (first, &batch.calls_to_bytes())])?;
        let regs = arch::enter(&self.departure.regs, self.stub(), first, end);
        self.go(&regs)
    }

    /// The second half of [`Loan::run`]: waits for the end and collects the results.
    pub fn finish(&mut self, batch: &mut Batch) -> Result<()> {
        self.wait_until_told()?;
        let (first, end) = batch.span()?;
        let (start, len) = (batch.area().start, batch.answers().map_or(0, |data| data.len()));
        let mut bytes = vec![0; len + (end - first) as usize];
        self.read([(start, len), (first, (end - first) as usize)], &mut bytes)?;
        let (data, results) = bytes.split_at(len);
        batch.take_results(results);
        if let Some(answers) = batch.answers() {
            answers.copy_from_slice(data);
        }
        Ok(())
    }

    /// Tasks born in the last runs, each stopped before its first instruction.
    pub fn take_born(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.born)
    }

    /// Ends a thread that this one has just borne, or the process whose only one it is.
    pub fn end_newborn(&mut self, tid: i32) -> Result<()> {
        let regs = arch::enter_one(&registers(tid)?, self.stub(), libc::SYS_exit as u64, [0; 6]);
        set_registers(tid, &regs)?;
        ptrace::cont(tid, 0).os(|| format!("PTRACE_CONT {tid}"))?;
        await_end(tid, 0)
    }

    /// Runs one call that needs no memory; `-errno` on failure.
    pub fn run_one(&mut self, nr: u64, args: [u64; 6]) -> Result<i64> {
        self.start_one(nr, args)?;
        Ok(arch::result_of_one(&self.wait_until_told()?))
    }

    /// The thread that is on loan.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Sets the thread going with one call from which it will not come back.
    pub fn start_one(&mut self, nr: u64, args: [u64; 6]) -> Result<()> {
        let regs = arch::enter_one(&self.departure.regs, self.stub(), nr, args);
        self.go(&regs)
    }

    /// Gives the thread back, but keeps it stopped and the loan as the owner of its process.
    pub fn depart(&mut self) -> Result<()> {
        self.give_back()
    }

    /// The same, and unmaps `code`, which the stub is in. Where a thread needs the stub on its way home, `code` stays.
    pub fn depart_without(&mut self, code: Range<u64>) -> Result<()> {
        if self.departure.regs.feigned_exit().is_some() {
            return self.give_back();
        }
        self.unmap_area()?;
        let args = [code.start, code.end - code.start, 0, 0, 0, 0];
        set_registers(
            self.tid,
            &arch::enter_one(&self.departure.regs, self.stub(), libc::SYS_munmap as u64, args),
        )?;
        self.state = State::Gone;
        pass_call(self.tid)?;
        let result = registers(self.tid)?.syscall_result();
        if result != 0 {
            let errno = std::io::Error::from_raw_os_error(-result as i32);
            return Err(Error::os(format!("munmap the vdso of {}", self.site.pid), errno));
        }
        // From a system call to the signal path, where registers are set; no instruction is executed between.
        ptrace::interrupt(self.tid).os(|| format!("PTRACE_INTERRUPT {}", self.tid))?;
        ptrace::cont(self.tid, 0).os(|| format!("PTRACE_CONT {}", self.tid))?;
        wait(self.tid)?;
        self.departure.bring_home(self.tid, self.stub())
    }

    /// Ends the loan and says what went wrong, which dropping would not.
    pub fn end(mut self) -> Result<()> {
        self.give_back()
    }

    /// Ends the loan without touching the thread again: its area and stub are to stay, or the task is gone.
    pub fn forget(mut self) {
        self.state = State::Gone;
    }

    /// Two pieces of memory, one after the other.
    fn read(&self, pieces: [(u64, usize); 2], buffer: &mut [u8]) -> Result<()> {
        if gather_memory(self.site.pid, &pieces, buffer).ok() == Some(buffer.len()) {
            return Ok(());
        }
        let mut rest = buffer;
        pieces.iter().try_for_each(|(address, len)| {
            let (piece, after) = std::mem::take(&mut rest).split_at_mut(*len);
            rest = after;
            self.site.mem.read_exact_at(piece, *address).os(|| format!("read memory of {}", self.site.pid))
        })
    }

    fn write(&self, pieces: [(u64, &[u8]); 2]) -> Result<()> {
        let all = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        if write_memory(self.site.pid, pieces).ok() == Some(all) {
            return Ok(());
        }
        pieces.iter().try_for_each(|(address, bytes)| {
            self.site.mem.write_all_at(bytes, *address).os(|| format!("write memory of {}", self.site.pid))
        })
    }

    fn send_out(&mut self, tid: i32) -> Result<()> {
        self.tid = tid;
        self.wake = self.site.wake_signal(self.departure.mask);
        let saved = Saved {
            regs: self.departure.regs.restarted(),
            mask: self.departure.mask,
            area: self.site.area.start,
            area_len: self.site.area.len,
            tgid: self.site.pid as u32,
            tid: tid as u32,
            wake: self.wake,
        };
        self.write_vdso(&saved.to_bytes(&self.departure.aside), self.stub() + arch::stub().len() as u64)?;
        self.state = State::Out;
        // The stub with nothing to do: the rescue works from here on.
        set_registers(tid, &arch::enter(&self.departure.regs, self.stub(), 0, 0))?;
        fault::point("registers-changed")?;
        self.block_signals()?;
        fault::point("mask-changed")
    }

    fn block_signals(&self) -> Result<()> {
        let mask = match self.wake {
            0 => ALL_SIGNALS,
            wake => ALL_SIGNALS & !bit(wake),
        };
        ptrace::set_sigmask(self.tid, mask).os(|| format!("PTRACE_SETSIGMASK {}", self.tid))
    }

    fn call_home(&mut self) -> Result<()> {
        if self.state == State::Out {
            self.state = State::Home;
            self.departure.bring_home(self.tid, self.stub())?;
        }
        Ok(())
    }

    fn map_area(&mut self) -> Result<()> {
        let Area { start, len } = self.site.area;
        let (prot, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
        );
        let (nr, args) = arch::syscall::mmap(start, len, prot as u64, flags as u64, -1, 0);
        let mapped = self.run_one(nr, args)?;
        if mapped != start as i64 {
            return Err(no_room(self.site.pid, len, std::io::Error::from_raw_os_error(-mapped as i32)));
        }
        Ok(())
    }

    fn unmap_area(&mut self) -> Result<()> {
        let Area { start, len } = self.site.area;
        let unmapped = self.run_one(libc::SYS_munmap as u64, [start, len, 0, 0, 0, 0])?;
        if unmapped != 0 {
            let errno = std::io::Error::from_raw_os_error(-unmapped as i32);
            return Err(Error::os(
                format!("munmap {len} bytes at {start:x} in task {}", self.site.pid),
                errno,
            ));
        }
        fault::point("area-unmapped")
    }

    fn give_back(&mut self) -> Result<()> {
        if self.state == State::Gone {
            return Ok(());
        }
        // What is left to do is done in any case.
        let unmapped = match self.state {
            // They are not blocked, if that is what has failed.
            State::Out => self.block_signals().and_then(|()| self.unmap_area()),
            _ => Ok(()),
        };
        let home = self.call_home();
        self.state = State::Gone;
        unmapped.and(home).and(self.write_vdso(&self.tail, self.site.stub))
    }

    fn stub(&self) -> u64 {
        self.site.stub + self.slot * slot_len()
    }

    fn other_stub(&self) -> u64 {
        self.site.stub + (self.slot ^ 1) * slot_len()
    }

    fn write_vdso(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.site.mem.write_all_at(bytes, at).os(|| format!("write the vdso of {}", self.site.pid))
    }

    fn go(&mut self, regs: &Regs) -> Result<()> {
        set_registers(self.tid, regs)?;
        self.resume(0)
    }

    fn resume(&self, signal: i32) -> Result<()> {
        if self.wake == 0 && signal == 0 {
            ptrace::cont_to_syscall(self.tid, 0).os(|| format!("PTRACE_SYSCALL {}", self.tid))
        } else {
            ptrace::cont(self.tid, signal).os(|| format!("PTRACE_CONT {}", self.tid))
        }
    }

    /// The registers with which the thread tells that it is done.
    fn wait_until_told(&mut self) -> Result<Regs> {
        let told = self.stub() + arch::told();
        let mut leaving = false;
        loop {
            match wait(self.tid)? {
                Stop::Signal(signal) if signal == self.wake as i32 => {
                    // Sent by somebody else it has no effect on this thread, so that nothing is lost here.
                    let regs = registers(self.tid)?;
                    if regs.ip() == told {
                        return Ok(regs);
                    }
                }
                Stop::Syscall if self.wake == 0 && registers(self.tid)?.ip() == told => {
                    if leaving {
                        // Registers set at the exit of a system call are not treated as an interrupted call's.
                        // See arch_do_signal_or_restart: only a stop on the signal path is.
                        ptrace::interrupt(self.tid).os(|| format!("PTRACE_INTERRUPT {}", self.tid))?;
                    }
                    leaving = true;
                }
                Stop::Trap | Stop::Group(_) if leaving => return registers(self.tid),
                Stop::Trap | Stop::Group(_) | Stop::Syscall => {}
                Stop::Birth => {
                    let child =
                        ptrace::event_message(self.tid).os(|| format!("PTRACE_GETEVENTMSG {}", self.tid))?;
                    self.born.push(child as i32);
                }
                Stop::Signal(libc::SIGSTOP) => {
                    self.resume(libc::SIGSTOP)?;
                    continue;
                }
                Stop::Signal(signal) => return Err(self.crashed(signal)),
                Stop::Exited(_) => return Err(self.died()),
            }
            self.resume(0)?;
        }
    }

    fn crashed(&self, signal: i32) -> Error {
        let at = registers(self.tid).map_or(0, |regs| regs.ip());
        Error::bug(format!("thread {} got signal {signal} at {at:x} while it worked for us", self.tid))
    }

    fn died(&mut self) -> Error {
        self.state = State::Gone;
        gone(self.tid)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Called on the way out of a failure, which is the one to report. A thread that cannot be given back has died.
        let _ = self.give_back();
    }
}

/// Gives back the threads that a killed crio has left in a stub, and wipes it. Returns areas that are still mapped.
fn recover(site: &Site, tail: &mut [u8]) -> Result<Vec<Area>> {
    let mut areas = Vec::new();
    for (slot, bytes) in tail.chunks_exact_mut(slot_len() as usize).enumerate() {
        let (Some(code), Some(behind)) = (bytes.get(..arch::stub().len()), bytes.get(arch::stub().len()..))
        else {
            continue;
        };
        let Some(saved) = Saved::from_bytes(behind).filter(|_| code == arch::stub()) else { continue };
        bytes.fill(0);
        let start = site.stub + slot as u64 * slot_len();
        // Of a thread that has come home long ago there is no more to be said.
        let Ok(regs) = registers(saved.tid as i32) else { continue };
        if saved.tgid == site.pid as u32 && regs.ip().wrapping_sub(start) < slot_len() {
            log_info!("Giving back thread {}, which a killed crio has left on loan", saved.tid);
            let departure = Departure { mask: saved.mask, ..Departure::default_of(saved.regs) };
            departure.bring_home(saved.tid as i32, start)?;
            areas.push(Area { start: saved.area, len: saved.area_len });
        }
    }
    Ok(areas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_goes_home_although_its_area_stays() {
        let mut sleep = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = sleep.id() as i32;
        let proc = crate::kernel::ProcDir::open(pid).unwrap();
        let frozen = crate::tracee::Frozen::seize(pid, std::time::Duration::from_secs(5), None).unwrap();
        let before = registers(pid).unwrap();
        let mut loan = Loan::take(Site::find(&proc).unwrap(), pid).unwrap();
        loan.site.area.start += 1;
        assert_eq!(loan.end().unwrap_err().errno(), Some(libc::EINVAL));
        assert_eq!(registers(pid).unwrap(), before);
        drop(frozen);
        assert!(sleep.try_wait().unwrap().is_none());
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }
}
