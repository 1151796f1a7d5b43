//! sys

pub mod kcmp;
pub mod pagemap;
