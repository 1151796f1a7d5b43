//! Everything that differs between machines, and nothing else.
