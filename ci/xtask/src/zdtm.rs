//! `cargo xtask zdtm`: the C tests through dump and restore. The runner is the crate `zdtm`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

pub(crate) use ::zdtm::Options;

use crate::build;
use crate::setup::{self, Need};

/// Runs the selected tests with the release build of `crio`, unless another engine was named.
pub(crate) fn run(mut options: Options) -> Result<ExitCode> {
    setup::ensure(&[Need::Compiler, Need::CLibrary])?;
    if options.engine == Path::new("target/debug/crio") {
        options.engine = build::crio()?;
    }
    ::zdtm::run(options)
}
