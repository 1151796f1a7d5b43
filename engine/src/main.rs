//! The `crio` program: arguments to calls, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    engine::cli::main(std::env::args_os())
}
