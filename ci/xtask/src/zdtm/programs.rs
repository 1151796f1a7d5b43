//! The programs of the tests, compiled for a machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ::zdtm::{Compiler, Linking, Test};
use anyhow::Result;
use vm::matrix::Machine;

use crate::setup;
use crate::workspace;

/// Each test's program, or the messages of the compiler.
pub(super) type Programs = BTreeMap<String, std::result::Result<PathBuf, String>>;

/// Compiles what is not up to date, on all processors.
pub(super) fn compile(
    options: &::zdtm::Options,
    machine: &Machine,
    linking: Linking,
    tests: &[Test],
) -> Result<Programs> {
    setup::ensure(&setup::cross_compiler(machine))?;
    let folder = match linking {
        Linking::Dynamic => format!("{}-dynamic", machine.gnu),
        Linking::Static => format!("{}-static", machine.gnu),
        Linking::Compact => format!("{}-compact", machine.gnu),
    };
    let output = workspace::target()?.join("zdtm").join(folder);
    let cc = format!("{}-gcc", machine.gnu).into();
    let compiler = Compiler::new(&options.suite(), cc, linking, &output)?;
    let (programs, waiting) = (Mutex::new(Programs::new()), Mutex::new(tests.iter()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(test) = next(&waiting) {
                    let program = compiler.build(test).map_err(|error| format!("{error:#}"));
                    programs.lock().unwrap_or_else(PoisonError::into_inner).insert(test.name(), program);
                }
            });
        }
    });
    Ok(programs.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn next<'a>(waiting: &Mutex<std::slice::Iter<'a, Test>>) -> Option<&'a Test> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).next()
}
