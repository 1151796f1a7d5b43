//! The `crio` program: arguments to calls, nothing else.

fn main() {}
