//! Registers of a thread, general and floating point, between ptrace and the image.
//!
//! The image has one message per machine; a file here translates it from and to the words and bytes of the kernel's
//! register sets. These translations are plain functions that work on any machine, so that all of them are tested on
//! each. The registers recorded are those that restart an interrupted system call (`Regs::elsewhere`), for whoever restores
//! them; how it was interrupted stands beside them, so that a handler which runs first can make it fail with `EINTR`.

mod aarch64;
mod arm;
mod mips;
mod x86;

use std::os::unix::fs::FileExt;

use arch::{RegSet, Regs};

use crate::error::{Blame, Error, OsContext, Result};
use crate::image::message::{CoreEntry, Machine};
use crate::sys::ptrace;
use crate::tracee::{Batch, Loan, other_registers, refuse};

/// The registers of a thread in the kernel's layouts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registers {
    /// The general registers, each in a word, in the kernel's order.
    pub words: Vec<u64>,
    /// The other sets.
    pub sets: Vec<RegSet>,
    /// The base of thread-local storage, where [`arch::THREAD_AREA`] says how to get it; else 0.
    pub thread_area: u64,
}

/// The machine word of this build in a core image.
pub const fn machine() -> Machine {
    match arch::MACHINE {
        arch::Machine::X86_64 => Machine::X86_64,
        arch::Machine::Aarch64 => Machine::Aarch64,
        arch::Machine::Armv7 => Machine::Arm,
        arch::Machine::Mips64 => Machine::Mips,
    }
}

/// Puts the registers of the thread on loan into its core entry.
pub fn dump(loan: &Loan, clear_tid_addr: u64, core: &mut CoreEntry) -> Result<()> {
    let tid = loan.tid();
    let (aside, present): (Vec<u32>, Vec<u32>) =
        arch::FPU_REGSETS.iter().partition(|kind| arch::CALL_CLOBBERS.contains(kind));
    // What system calls change is no longer what it was.
    let mut sets: Vec<RegSet> =
        loan.aside().iter().filter(|set| aside.contains(&set.kind)).cloned().collect();
    sets.extend(other_registers(tid, &present)?);
    refuse(tid, &sets)?;
    let thread_area = arch::THREAD_AREA
        .map_or(Ok(0), |area| ptrace::thread_area(tid, area.get))
        .os(|| format!("PTRACE_GET_THREAD_AREA {tid}"))?;
    let code = |address: u64, buffer: &mut [u8]| {
        // Where nothing can be read, no call stands.
        let _ = loan.memory().read_exact_at(buffer, address);
    };
    let registers = Registers { words: loan.regs().elsewhere(code).words(), sets, thread_area };
    if let Some(thread) = &mut core.thread_core {
        thread.interruption = loan.regs().interruption();
    }
    core.mtype = machine() as i32;
    match machine() {
        Machine::X86_64 => x86::to_image(&registers, clear_tid_addr, core),
        Machine::Aarch64 => aarch64::to_image(&registers, clear_tid_addr, core),
        Machine::Arm => arm::to_image(&registers, clear_tid_addr, core),
        Machine::Mips => mips::to_image(&registers, clear_tid_addr, core),
        other => return Err(Error::bug(format!("no image of registers of {other:?}"))),
    }
    Ok(())
}

/// What a core entry says of the registers.
fn from_image(core: &CoreEntry) -> Option<Registers> {
    match machine() {
        Machine::X86_64 => x86::from_image(core),
        Machine::Aarch64 => aarch64::from_image(core),
        Machine::Arm => arm::from_image(core),
        Machine::Mips => mips::from_image(core),
        _ => None,
    }
}

/// The registers of a core entry: the general ones, and the other sets.
pub fn load(core: &CoreEntry, file: &str) -> Result<(Regs, Vec<RegSet>)> {
    if core.mtype != machine() as i32 {
        let other =
            Machine::try_from(core.mtype).map_or_else(|_| "an unknown machine".into(), |m| format!("{m:?}"));
        let reason = format!("was dumped on {other}, this machine is {:?}", machine());
        return Err(Error::new("E-OTHER-MACHINE", Blame::Environment, reason)
            .on(file)
            .help("restore on a machine of the same kind; `crio image` reads it here as well"));
    }
    let registers = from_image(core).ok_or_else(|| Error::image(file, "has no registers"))?;
    let regs = Regs::from_words(&registers.words)
        .ok_or_else(|| Error::image(file, "has registers of another mode"))?;
    let interruption = core.thread_core.as_ref().and_then(|thread| thread.interruption);
    let regs = interruption.and_then(|code| regs.interrupted(code)).unwrap_or(regs);
    Ok((regs, registers.sets))
}

/// The address that the kernel clears and wakes when the thread exits.
pub fn clear_tid_addr(core: &CoreEntry) -> u64 {
    let addresses = [
        core.thread_info.as_ref().map(|info| info.clear_tid_addr),
        core.ti_aarch64.as_ref().map(|info| info.clear_tid_addr),
        core.ti_arm.as_ref().map(|info| info.clear_tid_addr),
        core.ti_mips.as_ref().map(|info| info.clear_tid_addr),
    ];
    addresses.into_iter().flatten().next().unwrap_or(0)
}

/// Adds the call by which a thread sets the base of its thread-local storage, where no register set has it.
pub fn restore_thread_area(batch: &mut Batch, core: &CoreEntry) {
    if let (Some(area), Some(registers)) = (arch::THREAD_AREA, from_image(core)) {
        batch.call("set_tls", area.set as libc::c_long, &[registers.thread_area]);
    }
}
