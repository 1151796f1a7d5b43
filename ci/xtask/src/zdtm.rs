//! `cargo xtask zdtm`: the C tests through dump and restore. The runner is the crate `zdtm`.

pub(crate) use ::zdtm::{Options, run};
