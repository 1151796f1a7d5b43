//! `--user`: is a test right on a machine? Its program runs alone, under the user emulation of QEMU on this machine's
//! kernel, which takes seconds. Nothing is dumped.

use std::path::PathBuf;
use std::process::ExitCode;

use ::zdtm::Linking;
use anyhow::{Result, bail};
use vm::matrix::Machine;

use super::{Options, programs};
use crate::setup::{self, Need};
use crate::workspace;

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for machine in workspace::matrix()?.select(options.arch.as_deref().unwrap_or("all"))? {
        println!("\n{} under {}", machine.name, machine.user);
        if one(options, machine)? != ExitCode::SUCCESS {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn one(options: &Options, machine: &Machine) -> Result<ExitCode> {
    let user = Need::Program { program: machine.user.clone(), package: "qemu-user".to_owned() };
    setup::ensure(&[user])?;
    let linking = if options.dynamic { Linking::Dynamic } else { Linking::Static };
    let programs = programs::compile(&options.tests, machine, linking, &options.tests.tests()?)?;
    let Some(folder) =
        programs.values().find_map(|program| Some(program.as_ref().ok()?.parent()?.to_owned()))
    else {
        let messages = programs.into_values().find_map(std::result::Result::err);
        bail!("no test compiles for {}: {}", machine.name, messages.unwrap_or_default());
    };
    let mut tests = options.tests.clone();
    tests.no_cr = true;
    tests.prebuilt = Some(folder);
    // The processor of the guests: another one may lack what tests use.
    tests.emulator = [&machine.user, "-cpu", &machine.qemu.cpu].map(PathBuf::from).into();
    if options.dynamic {
        tests.emulator.extend([PathBuf::from("-L"), PathBuf::from("/usr").join(&machine.gnu)]);
    }
    ::zdtm::run(tests)
}
