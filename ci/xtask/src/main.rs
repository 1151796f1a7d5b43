//! `cargo xtask`: every developer command, one file per verb.

fn main() {}
