//! Files of /proc/PID that hold one value, and the links `exe`, `cwd` and `root`: proc_pid(5).

use super::{ProcDir, text};
use crate::error::Result;

/// `PER_*` and its flags, personality(2). Needs PTRACE_MODE_ATTACH.
pub fn personality(proc: &ProcDir) -> Result<u32> {
    value(proc, "personality", |digits| u32::try_from(text::hex(digits)?).ok())
}

/// The audit login uid, `u32::MAX` if unset; `None` without CONFIG_AUDIT.
pub fn loginuid(proc: &ProcDir) -> Result<Option<u32>> {
    let Some(bytes) = proc.read_optional("loginuid")? else { return Ok(None) };
    text::field("loginuid", text::chomp(&bytes), text::dec)
        .map(Some)
        .map_err(|e| e.on(proc.path_of("loginuid")))
}

/// Which mappings a core dump has, core(5); `None` without CONFIG_ELF_CORE.
pub fn coredump_filter(proc: &ProcDir) -> Result<Option<u32>> {
    let Some(bytes) = proc.read_optional("coredump_filter")? else { return Ok(None) };
    text::field("coredump_filter", text::chomp(&bytes), |digits| u32::try_from(text::hex(digits)?).ok())
        .map(Some)
        .map_err(|e| e.on(proc.path_of("coredump_filter")))
}

/// How gladly the out-of-memory killer takes it, -1000 to 1000.
pub fn oom_score_adj(proc: &ProcDir) -> Result<i16> {
    value(proc, "oom_score_adj", text::dec)
}

/// Nanoseconds a timer may be late, prctl(PR_GET_TIMERSLACK). Needs CAP_SYS_NICE for others than the caller.
pub fn timerslack_ns(proc: &ProcDir) -> Result<u64> {
    value(proc, "timerslack_ns", text::dec)
}

/// Arguments, each ended by a zero byte, as the process has them in memory now; empty for zombies.
pub fn cmdline(proc: &ProcDir) -> Result<Vec<u8>> {
    proc.read("cmdline")
}

/// Environment, like [`cmdline`]. Needs PTRACE_MODE_READ.
pub fn environ(proc: &ProcDir) -> Result<Vec<u8>> {
    proc.read("environ")
}

/// The program's file, raw, perhaps ` (deleted)`; `None` for a task without memory.
pub fn exe(proc: &ProcDir) -> Result<Option<Vec<u8>>> {
    proc.readlink_optional("exe")
}

/// The working directory, raw.
pub fn cwd(proc: &ProcDir) -> Result<Vec<u8>> {
    proc.readlink("cwd")
}

/// The root directory, raw.
pub fn root(proc: &ProcDir) -> Result<Vec<u8>> {
    proc.readlink("root")
}

fn value<T>(proc: &ProcDir, name: &str, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T> {
    proc.parse(name, |bytes| text::field(name, text::chomp(bytes), read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OsContext;
    use crate::kernel::cat::with_cat;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;

    #[test]
    fn agrees_with_the_system_calls() -> Result<()> {
        let proc = ProcDir::current()?;
        let slack = nix::sys::prctl::get_timerslack().os(|| "prctl")?;
        // The file speaks of the main thread; a test's thread was given the same slack.
        assert_eq!(timerslack_ns(&proc)?, slack as u64);
        let directory = std::env::current_dir().os(|| "getcwd")?;
        assert_eq!(cwd(&proc)?, directory.as_os_str().as_bytes());
        let program = std::env::current_exe().os(|| "current_exe")?;
        assert_eq!(exe(&proc)?.as_deref(), Some(program.as_os_str().as_bytes()));
        assert_eq!(root(&proc)?, b"/");
        assert!((-1000..=1000).contains(&oom_score_adj(&proc)?));
        Ok(())
    }

    #[test]
    fn shows_what_setarch_has_set() -> Result<()> {
        let shown = with_cat(Command::new("setarch").args(["-R", "cat"]), personality)?;
        assert_eq!(shown, personality(&ProcDir::current()?)? | libc::ADDR_NO_RANDOMIZE as u32);
        Ok(())
    }

    #[test]
    fn arguments_and_environment_are_raw() -> Result<()> {
        let mut command = Command::new("cat");
        let command = command.args(["-", ""]).env_clear().env("A", "b\nc");
        let (arguments, environment) = with_cat(command, |proc| Ok((cmdline(proc)?, environ(proc)?)))?;
        assert_eq!((arguments, environment), (b"cat\0-\0\0".to_vec(), b"A=b\nc\0".to_vec()));
        Ok(())
    }

    #[test]
    fn malformed_values_are_errors() {
        assert!(text::field("personality", text::chomp(b"0x1\n"), text::hex).is_err());
        assert!(text::field("oom_score_adj", text::chomp(b"99999\n"), text::dec::<i16>).is_err());
    }
}
