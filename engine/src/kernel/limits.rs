//! `/proc/PID/limits`: proc_pid_limits(5), getrlimit(2), proc_pid_limits in fs/proc/base.c.

use super::{ProcDir, text};
use crate::error::Result;

/// How many limits there are on every machine: RLIM_NLIMITS.
pub const COUNT: usize = 16;

/// The width of the first column, `"%-25s "`.
const NAME: usize = 26;

/// One limit; `u64::MAX` is RLIM_INFINITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// How far an unprivileged process may raise it.
    pub hard: u64,
}

/// Reads `limits`, in the order of this machine's `RLIMIT_*` numbers (MIPS has an order of its own).
pub fn read(proc: &ProcDir) -> Result<[Limit; COUNT]> {
    proc.parse("limits", parse)
}

/// Parses the table. The kernel prints it by ascending RLIMIT number, so the names need not be known.
pub fn parse(bytes: &[u8]) -> Result<[Limit; COUNT]> {
    let mut limits = [Limit::default(); COUNT];
    // The first line is the heading.
    let mut lines = text::lines(bytes).skip(1);
    for (number, limit) in limits.iter_mut().enumerate() {
        let line = lines.next().ok_or_else(|| text::missing(&format!("limit {number}")))?;
        *limit = text::field("limit", line, row)?;
    }
    match lines.next() {
        Some(line) => Err(text::malformed("line after the last limit", line)),
        None => Ok(limits),
    }
}

fn row(line: &[u8]) -> Option<Limit> {
    let mut fields = text::fields(line.get(NAME..)?);
    let mut next = || match fields.next()? {
        b"unlimited" => Some(u64::MAX),
        number => text::dec(number),
    };
    Some(Limit { soft: next()?, hard: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::resource::{Resource, getrlimit};

    fn table() -> String {
        let mut table =
            format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
        for (name, unit) in [("Max cpu time", "seconds"), ("Max realtime priority", "")] {
            for _ in 0..8 {
                table += &format!("{name:<25} {:<20} {:<20} {unit:<10}\n", 8192, "unlimited");
            }
        }
        table
    }

    #[test]
    fn reads_all_rows() -> Result<()> {
        assert_eq!(parse(table().as_bytes())?, [Limit { soft: 8192, hard: u64::MAX }; COUNT]);
        Ok(())
    }

    #[test]
    fn malformed_tables_are_errors() {
        let table = table();
        let more = format!("{table}Max new thing              1                    2                    \n");
        let short = table.lines().take(16).collect::<Vec<_>>().join("\n");
        for bad in [
            "",
            short.as_str(),
            more.as_str(),
            &table.replace("unlimited", "endless"),
            &table.replace("8192", ""),
        ] {
            assert!(parse(bad.as_bytes()).is_err());
        }
    }

    #[test]
    fn agrees_with_getrlimit() -> Result<()> {
        let limits = read(&ProcDir::current()?)?;
        for resource in
            [Resource::RLIMIT_NOFILE, Resource::RLIMIT_STACK, Resource::RLIMIT_CORE, Resource::RLIMIT_RTPRIO]
        {
            let found = limits.get(resource as usize).map(|l| (l.soft, l.hard));
            assert_eq!(found, getrlimit(resource).ok(), "{resource:?}");
        }
        Ok(())
    }
}
