//! `cargo xtask guest`: a guest by hand. It boots, runs one line of shell as root, shows what that prints and ends.
//!
//! It has `crio`, busybox, perl, and the selected C tests in /zdtm.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use ::zdtm::protocol::{Order, Report};
use anyhow::{Result, bail};
use clap::Args;

use crate::workspace;
use crate::zdtm::{Hardware, Options as Tests, Stock};

#[derive(Args)]
#[group(id = "by-hand")]
pub(crate) struct Options {
    /// What the shell runs
    #[arg(long, short = 'c', value_name = "LINE", default_value = "uname -a; crio check")]
    command: String,
    #[command(flatten)]
    tests: Tests,
}

/// What the line may take, times the slowness of the guest.
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let matrix = workspace::matrix()?;
    let Some(arch) = &options.tests.arch else { bail!("say which machine: --arch NAME") };
    let mut code = ExitCode::SUCCESS;
    let tests =
        if options.tests.tests.filters.is_empty() { Vec::new() } else { options.tests.tests.tests()? };
    for machine in matrix.select(arch)? {
        let stock = Stock::new(&options.tests, &matrix, machine, &tests)?;
        let kernel = machine.kernel(options.tests.kernel.as_deref())?;
        let pool = stock.pool(&matrix, kernel, &options.tests, Hardware::default())?;
        let mut guest = pool.take()?;
        println!(
            "vm: {} {}, {:.0} times slower",
            guest.about.machine, guest.about.kernel, guest.about.slowness
        );
        let words = ["/bin/sh", "-c", &options.command].map(str::to_owned).into();
        guest.order(&Order::Execute { words })?;
        loop {
            match guest.next(LIMIT)? {
                Report::Output { text } => {
                    print!("{text}");
                    std::io::stdout().flush()?;
                }
                Report::Ended { success: true, .. } => break,
                Report::Ended { status, .. } => {
                    println!("vm: it ended with {status}");
                    code = ExitCode::FAILURE;
                    break;
                }
                other => bail!("the guest's agent answers with {other:?}"),
            }
        }
        drop(guest);
        stock.end(options.tests.keep)?;
    }
    Ok(code)
}
