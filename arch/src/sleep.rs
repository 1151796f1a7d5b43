//! Which call an interrupted sleep began with, after restart_syscall(2) has taken the place of its number.
//!
//! The kernel goes on with a sleep by a call of its own, which knows what is left only in the process where it was
//! interrupted. Arguments stay as they were, and a program mostly loads the number right before the call.

/// The numbers of the calls that the kernel goes on with: all users of `set_restart_fn`.
pub(crate) struct Sleeps {
    pub(crate) nanosleep: u64,
    pub(crate) clock_nanosleep: u64,
    pub(crate) futex: u64,
    pub(crate) poll: u64,
}

/// No object is below.
const LOWEST_POINTER: u64 = 0x1000;
/// No int is above.
const LOWEST_LONG: u64 = 1 << 31;
/// FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
const FUTEX_FLAGS: u64 = 128 | 256;
const FUTEX_WAIT: u64 = 0;
const FUTEX_WAIT_BITSET: u64 = 9;

impl Sleeps {
    /// The call with these arguments, where the program may have loaded one of these numbers, the last one first.
    pub(crate) fn begun(&self, mut loaded: impl Iterator<Item = u64>, args: [u64; 4]) -> u64 {
        let known = [self.nanosleep, self.clock_nanosleep, self.futex, self.poll];
        loaded.find(|number| known.contains(number)).unwrap_or_else(|| self.guessed(args))
    }

    /// nanosleep(time, rest), clock_nanosleep(clock, flags, time, rest), futex(word, operation, value, timeout),
    /// poll(descriptors, number, timeout).
    fn guessed(&self, [first, second, third, fourth]: [u64; 4]) -> u64 {
        let is_clock = first < LOWEST_POINTER || (first as i32) < 0 && matches!(first >> 32, 0 | 0xffff_ffff);
        let waits = matches!(second & !FUTEX_FLAGS, FUTEX_WAIT | FUTEX_WAIT_BITSET);
        if is_clock && first == 0 && third < LOWEST_LONG {
            self.poll
        } else if is_clock {
            self.clock_nanosleep
        } else if second >= LOWEST_POINTER {
            self.nanosleep
        } else if waits && fourth >= LOWEST_POINTER {
            self.futex
        } else if second == 0 {
            self.nanosleep
        } else {
            self.poll
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLEEPS: Sleeps = Sleeps { nanosleep: 1, clock_nanosleep: 2, futex: 3, poll: 4 };

    #[test]
    fn what_the_program_has_loaded_last_counts() {
        assert_eq!(SLEEPS.begun([17, 4, 2].into_iter(), [0; 4]), 4);
    }

    #[test]
    fn the_arguments_tell_where_the_program_does_not() {
        let at = 0x7fff_0000_0000;
        let guessed = |args| SLEEPS.begun([17].into_iter(), args);
        assert_eq!([[at, 0, 0, 0], [at, at, 0, at]].map(guessed), [1; 2]);
        assert_eq!([[0, 0, at, 0], [1, 0, at, at], [-6i64 as u64, 0, at, 0]].map(guessed), [2; 3]);
        assert_eq!([[at, 0, 5, at], [at, 0x189, 5, at], [at, 128, 0, at]].map(guessed), [3; 3]);
        assert_eq!([[0, 0, 1000, at], [at, 1, 0xffff_ffff, at], [at, 9, 5, 0]].map(guessed), [4; 3]);
    }
}
