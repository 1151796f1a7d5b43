//! The command line: arguments to calls, results to text and an exit status.
//!
//! The order of things is CRIU's: a line is read as getopt does (`getopt`), after the configuration files (`config`);
//! its values are typed and checked (`args`); options that the engine does not act on are accepted or refused by name
//! (`foreign`); then one command runs (`dump`, `restore`, `check`, `clean`).
//!
//! Exit status: 0 is success, 1 any failure, of usage too; but for `image diff`, which has those of diff(1). What tools look for is kept: `Dumping finished
//! successfully`, `Dumping FAILED.`, `Restore finished successfully. Tasks resumed.`, `Restoring FAILED.`,
//! `Looks good.`, and the word `Error` in the log of whatever failed.
//!
//! Not here: anything that touches a process or an image.

mod args;
mod check;
mod clean;
mod config;
mod dump;
mod foreign;
mod getopt;
mod image;
mod job;
mod restore;

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clap::{ArgMatches, Parser};

use self::args::Arguments;
use crate::error::{Blame, Error, Result};
use crate::log;
use crate::options::{DumpOptions, Places};
use crate::report;
use crate::sys::process;

/// CRIU's version whose options, images and requests these are.
const CRIU_VERSION: &str = "4.2";

/// Runs `crio` with `arguments`, the first of which is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    process::await_children();
    let arguments: Vec<OsString> = arguments.into_iter().skip(1).collect();
    run(&arguments).unwrap_or_else(|error| {
        print_error(&error);
        ExitCode::FAILURE
    })
}

/// `crio image` is ours alone and has a grammar of its own; clap prints its help and its usage errors.
fn look_at_images(arguments: &[OsString]) -> Result<ExitCode> {
    match image::ImageArgs::try_parse_from(arguments) {
        Ok(args) => image::run(args),
        Err(usage) => {
            let _ = usage.print();
            let trouble = arguments.get(1).is_some_and(|verb| verb == "diff").then_some(image::TROUBLE);
            let failure = trouble.map_or(ExitCode::FAILURE, ExitCode::from);
            Ok(if usage.use_stderr() { failure } else { ExitCode::SUCCESS })
        }
    }
}

fn run(arguments: &[OsString]) -> Result<ExitCode> {
    if arguments.first().is_some_and(|a| a == "image") {
        return look_at_images(arguments);
    }
    if getopt::mentions(arguments, &["--help", "-h"]) {
        return Ok(print(&args::help()));
    }
    let mut command = args::command();
    command.build();
    let known = getopt::Options::of(&command);
    let getopt::Split { mut options, operands } = known.split(arguments.iter().cloned())?;
    let (alone, _) = Arguments::parse(options.clone())?;
    if alone.wants_help() {
        return Ok(print(&args::help()));
    }
    if alone.wants_version() {
        return Ok(print(&version()));
    }
    // The files come first, so that the line wins; which files there are is on the line.
    let mut all = alone.sources().read(&known)?;
    all.append(&mut options);
    let (arguments, matches) = Arguments::parse(all)?;
    arguments.validate()?;
    for fd in arguments.close() {
        // A descriptor that is not open is closed, which is what was asked for.
        let _ = nix::unistd::close(*fd);
    }
    let Some((command, rest)) = operands.split_first() else {
        return Err(
            usage_error("command is required").help("dump, restore, check, clean or image; crio --help")
        );
    };
    Line { arguments, matches }.dispatch(command, rest)
}

/// The configuration files and the command line, read.
struct Line {
    arguments: Arguments,
    matches: ArgMatches,
}

impl Line {
    fn dispatch(&self, command: &OsStr, rest: &[OsString]) -> Result<ExitCode> {
        let alone = |name: &str| match rest.first() {
            Some(word) => Err(args::excess(name, word)),
            None => Ok(()),
        };
        match command.to_str() {
            Some("dump") => {
                alone("dump")?;
                if foreign::is_on(&self.matches, "mntns-compat-mode") {
                    return Err(usage_error("--mntns-compat-mode is only valid on restore"));
                }
                let options = self.arguments.dump_options()?;
                Ok(if self.start("dump", &options.places)? { dump::run(&options) } else { ExitCode::FAILURE })
            }
            Some("restore") => {
                let options = self.arguments.restore_options(rest)?;
                if !self.start("restore", &options.places)? {
                    return Ok(ExitCode::FAILURE);
                }
                restore::warn(&options, self.arguments.names_a_tree());
                if foreign::is_on(&self.matches, "network-lock") {
                    log::warn!("--network-lock will be ignored in restore command");
                }
                Ok(restore::run(&options))
            }
            Some("check") => {
                alone("check")?;
                if self.arguments.names_a_tree() {
                    // Can this very tree be dumped, here and now?
                    let survey = DumpOptions { dry_run: true, ..self.arguments.dump_options()? };
                    let starts = self.start("check", &survey.places)?;
                    return Ok(if starts { dump::run(&survey) } else { ExitCode::FAILURE });
                }
                let places = self.arguments.places()?;
                start_log(&places)?;
                check::run(&self.arguments.check_options()?)
            }
            Some("clean") => {
                alone("clean")?;
                let options = self.arguments.clean_options()?;
                start_log(&options.places)?;
                clean::run(&options)
            }
            Some(
                name @ ("pre-dump" | "lazy-pages" | "page-server" | "service" | "swrk" | "dedup" | "cpuinfo"),
            ) => Err(not_there(name)),
            Some("exec") => Err(usage_error("exec was removed from CRIU").help("use compel")),
            Some("show") => Err(usage_error("show was removed from CRIU").help("use crio image show")),
            _ => Err(usage_error(format!("unknown command: {}", command.to_string_lossy()))
                .help("dump, restore, check, clean or image; crio --help")),
        }
    }

    /// Opens the log, then refuses what would not be done: the caller who reads nothing but the log finds it there.
    fn start(&self, command: &str, places: &Places) -> Result<bool> {
        start_log(places)?;
        for (name, why) in foreign::accepted(&self.matches) {
            log::debug!("--{name} has no effect: {why}");
        }
        let refusal = foreign::refusal(&self.matches);
        if let Some(error) = &refusal {
            fail(command, self.arguments.json(), error);
        }
        Ok(refusal.is_none())
    }
}

fn start_log(places: &Places) -> Result<()> {
    log::init(places.log_path().as_deref(), places.verbosity)?;
    log::info!("Version: {CRIU_VERSION} (gitid {})", git_id());
    if let Ok(system) = nix::sys::utsname::uname() {
        let field = |f: &OsStr| f.to_string_lossy().into_owned();
        log::info!(
            "Running on {} {} {} {} {}",
            field(system.nodename()),
            field(system.sysname()),
            field(system.release()),
            field(system.version()),
            field(system.machine())
        );
    }
    Ok(())
}

/// LXC and scripts read the number after `Version: ` and compare it with the CRIU that they need, so it is the CRIU
/// whose behaviour this is. Our own version stands where CRIU's commit does, which nobody compares for a release.
fn version() -> String {
    format!("Version: {CRIU_VERSION}\nGitID: {}", git_id())
}

fn git_id() -> String {
    format!("crio-{}", env!("CARGO_PKG_VERSION"))
}

/// To stdout. That nobody reads it is no reason to fail, nor to panic, as `println!` would; that it cannot be stored is one.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe && e.raw_os_error() != Some(libc::EBADF) => {
            print_error(&Error::os("write to stdout", e));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// To stderr, in the same way.
fn print_error(error: &Error) {
    let _ = writeln!(std::io::stderr().lock(), "{}", report::error_text(error));
}

/// The end of a command that failed: the error to the log and to people, then the line that tools look for.
fn fail(command: &str, json: bool, error: &Error) {
    show_error(error);
    if json {
        print(&report::failure_json(command, error).to_string());
    }
}

/// An error to the log and to stderr, but only once if these are the same.
fn show_error(error: &Error) {
    let text = report::error_text(error);
    if log::on_stderr() {
        log::remember(text.lines().next().unwrap_or_default());
    } else {
        text.lines().for_each(|line| log::error!("{line}"));
    }
    if log::enabled(log::Level::Error) {
        print_error(error);
    }
}

fn usage_error(reason: impl Into<String>) -> Error {
    Error::new("E-USAGE", Blame::Usage, reason)
}

fn not_there(command: &str) -> Error {
    Error::new("E-OPTION-UNSUPPORTED", Blame::Usage, "this command is not supported yet").on(command)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        run(&words).unwrap_err().to_string()
    }

    #[test]
    fn usage_errors_name_what_is_wrong() {
        assert!(refused("").contains("command is required"));
        assert!(refused("fly").contains("unknown command: fly"));
        assert!(refused("dump 17").contains("17"));
        assert!(refused("dump").contains("pid not specified"));
        assert!(refused("dump -t 1 --mntns-compat-mode").contains("only valid on restore"));
        assert!(refused("swrk 3").contains("E-OPTION-UNSUPPORTED"));
    }

    #[test]
    fn the_version_is_what_clients_parse() {
        assert_eq!(version().lines().next(), Some("Version: 4.2"));
        assert!(version().lines().nth(1).unwrap().starts_with("GitID: crio-"));
    }
}
