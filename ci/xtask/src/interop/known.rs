//! What CRIU 4.2.1 itself refuses or loses: the one table. A test stands here only if CRIU's own dump and CRIU's own
//! restore of it fail as well, or CRIU's dump has not what the test needs.

use super::Direction::{self, FromCriu, ToCriu};

/// Test, direction, reason.
const KNOWN: &[(&str, Direction, &str)] = &[];

/// Why the test cannot pass in this direction, if that is known.
pub(crate) fn reason(name: &str, direction: Direction) -> Option<&'static str> {
    KNOWN.iter().find(|(test, way, _)| *test == name && *way == direction).map(|(.., reason)| *reason)
}
