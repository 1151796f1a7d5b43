//! `/proc/PID/auxv`: the vector that execve(2) handed to the program, getauxval(3).
//!
//! Words have our own width: a 32-bit program under a 64-bit kernel, whose vector has 32-bit words, is not told apart
//! here and must be refused before.

use super::{ProcDir, text};
use crate::error::Result;

const WORD: usize = size_of::<usize>();

/// Reads `auxv` up to and without the closing AT_NULL; empty for a task without memory. Needs PTRACE_MODE_READ.
pub fn read(proc: &ProcDir) -> Result<Vec<(u64, u64)>> {
    proc.parse("auxv", parse)
}

/// Parses pairs of native words: (`AT_*`, value).
pub fn parse(bytes: &[u8]) -> Result<Vec<(u64, u64)>> {
    let (pairs, rest) = bytes.as_chunks::<{ 2 * WORD }>();
    if !rest.is_empty() {
        return Err(text::malformed("auxv", bytes));
    }
    let mut entries = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let (kind, value) = pair.split_at(WORD);
        match (word(kind), word(value)) {
            (Some(0), _) => return Ok(entries),
            (Some(kind), Some(value)) => entries.push((kind, value)),
            _ => return Err(text::malformed("auxv", bytes)),
        }
    }
    if entries.is_empty() { Ok(entries) } else { Err(text::missing("AT_NULL")) }
}

fn word(bytes: &[u8]) -> Option<u64> {
    u64::try_from(usize::from_ne_bytes(bytes.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(words: &[usize]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_ne_bytes()).collect()
    }

    #[test]
    fn stops_at_the_null_entry() -> Result<()> {
        assert_eq!(parse(&vector(&[33, 0x7000, 6, 4096, 0, 0, 0, 0]))?, [(33, 0x7000), (6, 4096)]);
        assert_eq!(parse(b"")?, []);
        Ok(())
    }

    #[test]
    fn truncated_vectors_are_errors() {
        assert!(parse(&vector(&[6, 4096])).is_err());
        assert!(parse(&vector(&[6, 4096, 0])).is_err());
        assert!(parse(b"abc").is_err());
    }

    #[test]
    fn agrees_with_sysconf() -> Result<()> {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().map(|p| p as u64);
        let shown =
            read(&ProcDir::current()?)?.iter().find(|(kind, _)| *kind == libc::AT_PAGESZ).map(|e| e.1);
        assert_eq!(shown, page);
        Ok(())
    }
}
