//! sys

pub mod pagemap;
