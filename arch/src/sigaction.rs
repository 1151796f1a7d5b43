//! Signal actions as rt_sigaction(2) takes and gives them, `struct sigaction` of the kernel: the same four parts on all
//! machines, at places that each backend names.

use core::ops::Range;

use crate::machine::syscall::SIGACTION;

/// A signal action in neutral words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SigAction {
    /// Handler, or SIG_DFL 0, SIG_IGN 1.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to; 0 on a machine on which that is always the vdso.
    pub restorer: u64,
    /// Signals blocked meanwhile: bit n-1 for signal n.
    pub mask: u128,
}

/// The bytes of each part.
pub(crate) struct Layout {
    pub(crate) handler: Range<usize>,
    pub(crate) flags: Range<usize>,
    /// Empty where there is none.
    pub(crate) restorer: Range<usize>,
    /// The last one.
    pub(crate) mask: Range<usize>,
}

/// Bytes of [`SigAction`] in this machine's layout.
pub const SIGACTION_LEN: usize = SIGACTION.mask.end;

impl SigAction {
    /// From this machine's layout.
    pub fn from_bytes(bytes: &[u8; SIGACTION_LEN]) -> Self {
        // All machines here are little endian.
        let number = |part: Range<usize>| {
            let part = bytes.get(part).unwrap_or_default();
            part.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
        };
        SigAction {
            handler: number(SIGACTION.handler) as u64,
            flags: number(SIGACTION.flags) as u64,
            restorer: number(SIGACTION.restorer) as u64,
            mask: number(SIGACTION.mask),
        }
    }

    /// In this machine's layout.
    pub fn to_bytes(&self) -> [u8; SIGACTION_LEN] {
        let mut bytes = [0; SIGACTION_LEN];
        let parts = [
            (SIGACTION.handler, self.handler.into()),
            (SIGACTION.flags, self.flags.into()),
            (SIGACTION.restorer, self.restorer.into()),
            (SIGACTION.mask, self.mask),
        ];
        for (part, number) in parts {
            let slots = bytes.get_mut(part).unwrap_or_default();
            slots.iter_mut().zip(number.to_le_bytes()).for_each(|(slot, byte)| *slot = byte);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_survives_with_its_last_signal() {
        let last = 1 << (crate::syscall::SIGNALS - 1);
        let restorer = if SIGACTION.restorer.is_empty() { 0 } else { 3 };
        let action = SigAction { handler: 0x7fff_0000, flags: 0x1000_0008, restorer, mask: last | 2 };
        let bytes = action.to_bytes();
        assert_eq!(SigAction::from_bytes(&bytes), action);
        assert_eq!((bytes[SIGACTION.mask.start], bytes[SIGACTION_LEN - 1]), (2, 0x80));
    }
}
