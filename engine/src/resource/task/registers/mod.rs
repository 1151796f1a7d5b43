//! Registers of a thread, general and floating point, between ptrace and the image.
//!
//! The image has one message per machine; a file here translates it from and to the words and bytes of the kernel's
//! register sets. These translations are plain functions that work on any machine, so that all of them are tested on
//! each. The registers recorded are those that restart an interrupted system call (`Regs::restarted`).

pub mod x86;

use arch::Regs;

use crate::error::{Error, OsContext, Result};
use crate::image::message::{CoreEntry, Machine};
use crate::sys::ptrace;

/// The machine word of this build in a core image.
pub const fn machine() -> Machine {
    match arch::MACHINE {
        arch::Machine::X86_64 => Machine::X86_64,
        arch::Machine::Aarch64 => Machine::Aarch64,
        arch::Machine::Armv7 => Machine::Arm,
        arch::Machine::Mips64 => Machine::Mips,
    }
}

/// Puts the registers of the stopped thread `tid` into its core entry.
pub fn dump(tid: i32, regs: &Regs, clear_tid_addr: u64, core: &mut CoreEntry) -> Result<()> {
    core.mtype = machine() as i32;
    let mut fpu = vec![0; arch::FPU_CAPACITY];
    let len =
        ptrace::get_regset(tid, arch::FPU_REGSET, &mut fpu).os(|| format!("PTRACE_GETREGSET {tid} fpu"))?;
    fpu.truncate(len);
    x86::to_image(regs.restarted().words(), fpu, clear_tid_addr, core);
    Ok(())
}

/// General and floating point registers of a core entry, as [`ptrace::set_regset`] takes them.
pub fn load(core: &CoreEntry, file: &str) -> Result<(Regs, Vec<u8>)> {
    if core.mtype != machine() as i32 {
        let other =
            Machine::try_from(core.mtype).map_or_else(|_| "an unknown machine".into(), |m| format!("{m:?}"));
        return Err(Error::image(file, format!("was dumped on {other}, this is {:?}", machine()))
            .help("restore on a machine of the same kind"));
    }
    let (words, fpu) = x86::from_image(core).ok_or_else(|| Error::image(file, "has no registers"))?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let regs = Regs::from_bytes(&bytes).ok_or_else(|| Error::image(file, "has registers of another mode"))?;
    Ok((regs, fpu))
}

/// The address that the kernel clears and wakes when the thread exits.
pub fn clear_tid_addr(core: &CoreEntry) -> u64 {
    core.thread_info.as_ref().map_or(0, |info| info.clear_tid_addr)
}

/// Sets the floating point registers of a stopped thread.
pub fn restore_fpu(tid: i32, fpu: &[u8]) -> Result<()> {
    ptrace::set_regset(tid, arch::FPU_REGSET, fpu).os(|| format!("PTRACE_SETREGSET {tid} fpu"))
}
