//! The options that the engine acts on: names, short forms and defaults of CRIU 4.2, and the few of our own.
//!
//! As in CRIU there is one set of options for all commands, and a configuration file may hold any of them; what a
//! command takes of it is in [`Arguments::dump_options`] and its kin. Options that nothing here acts on are in `foreign`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{ArgAction, ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser};

use super::config::Sources;
use super::getopt::{Takes, takes};
use super::{foreign, usage_error};
use crate::error::Result;
use crate::log;
use crate::options::{
    CgroupMode, CgroupOptions, CheckOptions, CleanOptions, DumpOptions, FileValidation, FinalState,
    InheritFd, Places, RestoreOptions,
};

/// Checkpoint and restore of process trees.
#[derive(Debug, Parser)]
#[command(
    name = "crio",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    override_usage = "crio dump -t PID [OPTIONS]\n       crio restore [OPTIONS] [--exec-cmd -- PROGRAM ARG...]\n       \
        crio check [--feature NAME]\n       crio clean [--dry-run] [--give-up]\n       crio image show|decode|encode|diff|verify ...",
    after_help = "A switch without a value has the form --no-NAME to turn it off again.\n\
        Configuration files, later ones winning: /etc/criu/default.conf, $HOME/.criu/default.conf,\n\
        $CRIU_CONFIG_FILE, --config FILE, then the command line."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    general: General,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    cgroups: Cgroups,
    #[command(flatten)]
    restore: Restore,
    #[command(flatten)]
    check: Check,
    #[command(flatten)]
    clean: Clean,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "General")]
struct General {
    /// Directory of the image files
    #[arg(short = 'D', long, value_name = "DIR", default_value = ".")]
    images_dir: PathBuf,
    /// Directory of logs, pidfiles and statistics [default: the images']
    #[arg(short = 'W', long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Log to FILE, relative to the work directory; - is stdout
    #[arg(short = 'o', long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// 0 silent, 1 errors, 2 warnings (default), 3 information, 4 debug; -v, -vv and so on count up
    #[arg(short = 'v', long, value_name = "N", num_args = 0..=1, require_equals = true,
          default_missing_value = "", action = ArgAction::Append)]
    verbosity: Vec<String>,
    /// Print the statistics at the end
    #[arg(long)]
    display_stats: Option<bool>,
    /// Print reports as JSON (ours)
    #[arg(long)]
    json: Option<bool>,
    /// Run FILE at the action points
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    action_script: Vec<PathBuf>,
    /// Read this configuration file instead of the default ones
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read no default configuration file
    #[arg(long)]
    no_default_config: bool,
    /// Close the descriptor FD first
    #[arg(long, value_name = "FD", action = ArgAction::Append, value_parser = clap::value_parser!(i32).range(0..))]
    close: Vec<i32>,
    /// Removed from CRIU
    #[arg(long, hide = true)]
    ms: bool,
    /// This text
    #[arg(short = 'h', long)]
    help: bool,
    /// The version
    #[arg(short = 'V', long)]
    version: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The tree")]
struct Tree {
    /// The root task's pid
    #[arg(short = 't', long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    tree: Option<i32>,
    /// Only survey: list all that cannot be dumped and all that would not be kept; of clean, only tell (ours)
    #[arg(long)]
    dry_run: Option<bool>,
    /// Leave the tree stopped afterwards
    #[arg(short = 's', long, overrides_with = "leave_running")]
    leave_stopped: bool,
    /// Leave the tree running after the dump
    #[arg(short = 'R', long, overrides_with = "leave_stopped")]
    leave_running: bool,
    /// The root's session and group may be outside of the tree
    #[arg(short = 'j', long)]
    shell_job: Option<bool>,
    /// How long collecting the tasks may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u32,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Files")]
struct Files {
    /// Largest deleted file to carry, with K, M or G
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size)]
    ghost_limit: u64,
    /// Find holes of deleted files by FIEMAP and not by SEEK_HOLE
    #[arg(long)]
    ghost_fiemap: Option<bool>,
    /// Dump locks and leases of files, and take them again
    #[arg(short = 'l', long)]
    file_locks: Option<bool>,
    /// Directory to search for watched files that have no handle
    #[arg(long, value_name = "DIR")]
    irmap_scan_path: Vec<PathBuf>,
    /// Allow temporary names for files whose path is gone
    #[arg(long)]
    link_remap: Option<bool>,
    /// Use any path to a device if its own is out of reach
    #[arg(long)]
    evasive_devices: Option<bool>,
    /// How to see that a file is the same: filesize or buildid
    #[arg(long, value_name = "METHOD", default_value = "buildid", value_parser = file_validation())]
    file_validation: FileValidation,
    /// Do not compare permission bits of files on restore
    #[arg(long)]
    skip_file_rwx_check: Option<bool>,
    /// Carry mapped and open files in the image (ours)
    #[arg(long)]
    embed_files: Option<bool>,
    /// Treat an object as the caller's: KIND[KEY] or KIND[KEY]:NAME
    #[arg(long, value_name = "RES", action = ArgAction::Append, value_parser = external)]
    external: Vec<String>,
    /// Allow datagram sockets connected to named ones outside, or these unix sockets: INODE,...
    #[arg(short = 'x', long, value_name = "INODES", action = ArgAction::Append, num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "")]
    ext_unix_sk: Vec<String>,
    /// Dump and restore connections of TCP
    #[arg(long)]
    tcp_established: Option<bool>,
    /// Hold packets of connections back while they are only in an image: nftables (also for iptables) or skip (none)
    #[arg(long, value_name = "METHOD", value_parser = ["iptables", "nftables", "skip", "none"])]
    network_lock: Option<String>,
    /// Drop connections of TCP; their sockets are closed by the restore
    #[arg(long)]
    tcp_close: Option<bool>,
    /// Drop connections of TCP that wait to be accepted
    #[arg(long)]
    skip_in_flight: Option<bool>,
    /// Use our descriptor for a file of the image, fd[N]:KEY
    #[arg(long, value_name = "FD", action = ArgAction::Append, value_parser = inherit_fd)]
    inherit_fd: Vec<InheritFd>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Control groups")]
struct Cgroups {
    /// none and props want them there, strict does not, soft and full make what is missing; props, full and strict set
    /// properties, soft of what it makes; ignore leaves tasks where they are restored
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_value = "soft",
          default_missing_value = "soft", value_parser = cgroup_mode())]
    manage_cgroups: CgroupMode,
    /// Dump from PATH on; put PATH in place of the first directory: [CONTROLLER:]/PATH
    #[arg(long, value_name = "PATH", action = ArgAction::Append, value_parser = cgroup_root)]
    cgroup_root: Vec<(Option<String>, PathBuf)>,
    /// Properties of controllers, in simple YAML
    #[arg(long, value_name = "YAML")]
    cgroup_props: Option<String>,
    /// The same in a file
    #[arg(long, value_name = "FILE")]
    cgroup_props_file: Option<PathBuf>,
    /// Dump only this hierarchy, as /proc/PID/cgroup names it
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    cgroup_dump_controller: Vec<String>,
    /// Use the hierarchies that are mounted in this directory
    #[arg(long, value_name = "DIR")]
    cgroup_yard: Option<PathBuf>,
    /// Freeze the tree by this cgroup's directory
    #[arg(long, value_name = "DIR")]
    freeze_cgroup: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Restore")]
struct Restore {
    /// Return once the tree runs
    #[arg(short = 'd', long, visible_alias = "daemon")]
    restore_detached: Option<bool>,
    /// Make the root a child of our parent; needs -d
    #[arg(short = 'S', long)]
    restore_sibling: Option<bool>,
    /// Write the root's pid to FILE
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// One log for each task, LOG.PID
    #[arg(long)]
    log_pid: Option<bool>,
    /// Become the program after -- once the tree runs
    #[arg(long)]
    exec_cmd: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Check")]
struct Check {
    /// Also what only some programs need
    #[arg(long)]
    extra: Option<bool>,
    /// Also what is not settled
    #[arg(long)]
    experimental: Option<bool>,
    /// Both
    #[arg(long)]
    all: bool,
    /// Only this feature; list prints the names
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    feature: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Clean")]
struct Clean {
    /// Remove a complete image, too, with its network lock and its links (ours)
    #[arg(long)]
    give_up: Option<bool>,
}

/// The whole command line for clap, foreign options included.
pub(super) fn command() -> Command {
    Arguments::command().args(foreign::arguments())
}

/// The help text. Switches are stored with a value, which nobody types: here they are shown without.
pub(super) fn help() -> String {
    let mut command = command();
    command.build();
    let switches: Vec<clap::Id> = command
        .get_arguments()
        .filter(|a| takes(a) == Takes::NothingOrNo)
        .map(|a| a.get_id().clone())
        .collect();
    let mut command =
        switches.into_iter().fold(self::command(), |c, id| c.mut_arg(id, |a| a.action(ArgAction::SetTrue)));
    command.render_help().to_string()
}

impl Arguments {
    /// Reads `options`, each `--name` or `--name=value`, in their order.
    ///
    /// # Errors
    /// `E-USAGE`: a value that is not good.
    pub(super) fn parse(options: Vec<OsString>) -> Result<(Self, ArgMatches)> {
        let line = std::iter::once(OsString::from("crio")).chain(options);
        let matches = command().try_get_matches_from(line).map_err(|e| clap_error(&e))?;
        let arguments = Arguments::from_arg_matches(&matches).map_err(|e| clap_error(&e))?;
        Ok((arguments, matches))
    }

    /// `-h`.
    pub(super) fn wants_help(&self) -> bool {
        self.general.help
    }

    /// `-V`.
    pub(super) fn wants_version(&self) -> bool {
        self.general.version
    }

    /// `--json`.
    pub(super) fn json(&self) -> bool {
        self.general.json == Some(true)
    }

    /// `--close`.
    pub(super) fn close(&self) -> &[i32] {
        &self.general.close
    }

    /// What is wrong whatever the command: a level, an option that CRIU removed.
    pub(super) fn validate(&self) -> Result<()> {
        if self.general.ms {
            return Err(usage_error("--ms was removed from CRIU").help("use the options of check"));
        }
        verbosity(&self.general.verbosity)?;
        let sibling = self.restore.restore_sibling == Some(true);
        if sibling && self.restore.restore_detached != Some(true) {
            return Err(
                usage_error("--restore-sibling only makes sense with --restore-detached").help("add -d")
            );
        }
        Ok(())
    }

    /// Directories and log.
    pub(super) fn places(&self) -> Result<Places> {
        Ok(Places {
            images_dir: self.general.images_dir.clone(),
            work_dir: self.general.work_dir.clone(),
            log_file: self.general.log_file.clone(),
            verbosity: verbosity(&self.general.verbosity)?,
        })
    }

    fn final_state(&self) -> FinalState {
        match (self.tree.leave_stopped, self.tree.leave_running) {
            (true, _) => FinalState::Stopped,
            (_, true) => FinalState::Running,
            _ => FinalState::Default,
        }
    }

    /// # Errors
    /// `E-USAGE`: no tree, or an option that only restore has.
    pub(super) fn dump_options(&self) -> Result<DumpOptions> {
        if !self.files.inherit_fd.is_empty() {
            return Err(usage_error("--inherit-fd is for restore only"));
        }
        if self.restore.exec_cmd {
            return Err(usage_error("--exec-cmd is for restore only"));
        }
        let tree = self.tree.tree.ok_or_else(|| usage_error("pid not specified").help("add -t PID"))?;
        let on = |switch: Option<bool>| switch == Some(true);
        Ok(DumpOptions {
            tree,
            places: self.places()?,
            final_state: self.final_state(),
            dry_run: on(self.tree.dry_run),
            json: self.json(),
            display_stats: on(self.general.display_stats),
            shell_job: on(self.tree.shell_job),
            timeout: patience(self.tree.timeout),
            ghost_limit: self.files.ghost_limit,
            ghost_fiemap: self.files.ghost_fiemap == Some(true),
            link_remap: on(self.files.link_remap),
            file_locks: on(self.files.file_locks),
            irmap_scan_paths: self.files.irmap_scan_path.clone(),
            evasive_devices: on(self.files.evasive_devices),
            file_validation: self.files.file_validation,
            embed_files: on(self.files.embed_files),
            external: self.external(),
            ext_unix_sk: !self.files.ext_unix_sk.is_empty(),
            tcp_established: on(self.files.tcp_established),
            tcp_close: on(self.files.tcp_close),
            skip_network_lock: matches!(self.files.network_lock.as_deref(), Some("skip" | "none")),
            skip_in_flight: on(self.files.skip_in_flight),
            cgroups: self.cgroup_options()?,
            freeze_cgroup: self
                .cgroups
                .freeze_cgroup
                .as_ref()
                .map(|dir| self.in_work_dir(dir))
                .transpose()?,
            action_scripts: self.general.action_script.clone(),
        })
    }

    /// `program` is what stands after the command.
    ///
    /// # Errors
    /// `E-USAGE`: options that exclude each other, or `--exec-cmd` without a program.
    pub(super) fn restore_options(&self, program: &[OsString]) -> Result<RestoreOptions> {
        let on = |switch: Option<bool>| switch == Some(true);
        match (self.restore.exec_cmd, program) {
            (true, []) => {
                return Err(usage_error("--exec-cmd requires a command").help("add -- PROGRAM ARG..."));
            }
            (true, _) if on(self.restore.restore_detached) => {
                return Err(usage_error("--restore-detached and --exec-cmd cannot be used together"));
            }
            (false, [extra, ..]) => return Err(excess("restore", extra)),
            _ => {}
        }
        Ok(RestoreOptions {
            places: self.places()?,
            final_state: self.final_state(),
            json: self.json(),
            display_stats: on(self.general.display_stats),
            shell_job: on(self.tree.shell_job),
            detached: on(self.restore.restore_detached),
            sibling: on(self.restore.restore_sibling),
            pidfile: self.restore.pidfile.clone(),
            log_pid: on(self.restore.log_pid),
            exec_cmd: program.to_vec(),
            file_validation: self.files.file_validation,
            skip_file_rwx_check: on(self.files.skip_file_rwx_check),
            evasive_devices: on(self.files.evasive_devices),
            inherit_fds: self.files.inherit_fd.clone(),
            external: self.files.external.clone(),
            tcp_established: on(self.files.tcp_established),
            tcp_close: on(self.files.tcp_close),
            cgroups: self.cgroup_options()?,
            action_scripts: self.general.action_script.clone(),
        })
    }

    fn cgroup_options(&self) -> Result<CgroupOptions> {
        let of = &self.cgroups;
        Ok(CgroupOptions {
            mode: of.manage_cgroups,
            roots: of.cgroup_root.clone(),
            properties: of.cgroup_props.clone(),
            properties_file: of.cgroup_props_file.as_ref().map(|file| self.in_work_dir(file)).transpose()?,
            controllers: of.cgroup_dump_controller.clone(),
            yard: of.cgroup_yard.as_ref().map(|dir| self.in_work_dir(dir)).transpose()?,
        })
    }

    /// CRIU goes to the work directory first.
    fn in_work_dir(&self, path: &Path) -> Result<PathBuf> {
        Ok(self.places()?.work_dir().join(path))
    }

    /// `--external`, with the sockets of `--ext-unix-sk`.
    fn external(&self) -> Vec<String> {
        let inodes = self.files.ext_unix_sk.iter().flat_map(|list| list.split(',')).filter(|i| !i.is_empty());
        self.files.external.iter().cloned().chain(inodes.map(|inode| format!("unix[{inode}]"))).collect()
    }

    /// Whether `-t` was given, which restore does not need.
    pub(super) fn names_a_tree(&self) -> bool {
        self.tree.tree.is_some()
    }

    /// The options of `crio clean`.
    pub(super) fn clean_options(&self) -> Result<CleanOptions> {
        Ok(CleanOptions {
            places: self.places()?,
            dry_run: self.tree.dry_run == Some(true),
            give_up: self.clean.give_up == Some(true),
            json: self.json(),
        })
    }

    /// The options of `crio check`.
    pub(super) fn check_options(&self) -> Result<CheckOptions> {
        let on = |switch: Option<bool>| self.check.all || switch == Some(true);
        Ok(CheckOptions {
            extra: on(self.check.extra),
            experimental: on(self.check.experimental),
            features: self.check.feature.clone(),
            json: self.json(),
            verbosity: verbosity(&self.general.verbosity)?,
        })
    }

    /// Which configuration files are to be read.
    pub(super) fn sources(&self) -> Sources {
        Sources { file: self.general.config.clone(), no_default: self.general.no_default_config }
    }
}

/// A word after a command that takes none.
pub(super) fn excess(command: &str, word: &OsString) -> crate::Error {
    usage_error(format!("{command} takes no further word, but there is {}", word.to_string_lossy()))
}

/// Of `--timeout`; zero is no limit.
fn patience(seconds: u32) -> Duration {
    Duration::from_secs(if seconds == 0 { u32::MAX } else { seconds }.into())
}

/// The occurrences of `-v` in their order: nothing adds one, `v`s add one and their number, a number sets. CRIU's test
/// runner writes `-verbosity=0`, which getopt reads as `-v` with the value `erbosity=0` and atoi(3) as 0.
fn verbosity(given: &[String]) -> Result<u8> {
    let mut level = log::DEFAULT_LEVEL;
    for value in given {
        let number = value.strip_prefix("erbosity=").unwrap_or(value);
        level = match number {
            "" => level.saturating_add(1),
            vs if vs.bytes().all(|b| b == b'v') => {
                level.saturating_add(1).saturating_add(u8::try_from(vs.len()).unwrap_or(u8::MAX))
            }
            number => {
                let bad = |_| usage_error(format!("-v{value} is no level")).help("levels are 0 to 4");
                u8::try_from(number.parse::<u32>().map_err(bad)?).unwrap_or(u8::MAX)
            }
        };
    }
    Ok(level)
}

/// `512`, `64K`, `1M`, `2G`: bytes in powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['K', 'k']).map(|d| (d, 10)) {
        Some(found) => found,
        None => match text.strip_suffix(['M', 'm']).map(|d| (d, 20)) {
            Some(found) => found,
            None => text.strip_suffix(['G', 'g']).map_or((text, 0), |d| (d, 30)),
        },
    };
    let number: u64 = digits.parse().map_err(|_| "a number with K, M or G is needed".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is more than 64 bits hold".to_owned())
}

fn file_validation() -> impl TypedValueParser<Value = FileValidation> {
    clap::builder::PossibleValuesParser::new(["filesize", "buildid"])
        .map(|v| if v == "filesize" { FileValidation::FileSize } else { FileValidation::BuildId })
}

fn cgroup_mode() -> impl TypedValueParser<Value = CgroupMode> {
    let names = ["soft", "full", "strict", "props", "none", "ignore"];
    clap::builder::PossibleValuesParser::new(names).map(|name| match name.as_str() {
        "full" => CgroupMode::Full,
        "strict" => CgroupMode::Strict,
        "props" => CgroupMode::Props,
        "none" => CgroupMode::None,
        "ignore" => CgroupMode::Ignore,
        _ => CgroupMode::Soft,
    })
}

/// `/path`, or `CONTROLLER:/path`.
fn cgroup_root(text: &str) -> Result<(Option<String>, PathBuf), String> {
    let (controller, path) = match text.split_once(':') {
        Some((controller, path)) if !text.starts_with('/') => (Some(controller.to_owned()), path),
        _ => (None, text),
    };
    if !path.starts_with('/') {
        return Err("[CONTROLLER:]/PATH is needed".to_owned());
    }
    Ok((controller, PathBuf::from(path)))
}

/// Kinds of objects that CRIU 4.2 knows as external; a misspelt one would otherwise be passed over.
const EXTERNAL_KINDS: [&str; 9] = ["mnt", "dev", "file", "tty", "unix", "net", "pid", "veth", "macvlan"];

fn external(text: &str) -> Result<String, String> {
    let kind = text.split('[').next().unwrap_or_default();
    let known = EXTERNAL_KINDS.contains(&kind) || kind == "netdev";
    if known && text.contains(']') {
        Ok(text.to_owned())
    } else {
        Err(format!("KIND[KEY] is needed, with a kind of {}", EXTERNAL_KINDS.join(", ")))
    }
}

/// `fd[N]:KEY`. CRIU's `debug[N]:text`, which writes to the descriptor while parsing, is for its own developers.
fn inherit_fd(text: &str) -> Result<InheritFd, String> {
    let parts = text.strip_prefix("fd[").and_then(|rest| rest.split_once("]:"));
    let (number, key) = parts.filter(|(_, key)| !key.is_empty()).ok_or("fd[N]:KEY is needed")?;
    let fd: u16 = number.parse().map_err(|_| format!("{number} is no descriptor"))?;
    if std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_err() {
        return Err(format!("descriptor {fd} is not open"));
    }
    Ok(InheritFd { fd: fd.into(), key: key.to_owned() })
}

/// clap's first line, without its prefix, says what is wrong; its list of values is the remedy.
fn clap_error(error: &clap::Error) -> crate::Error {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim);
    let line = lines.next().unwrap_or_default();
    let values = lines.find_map(|l| l.strip_prefix("[possible values: ")?.strip_suffix(']'));
    let error = usage_error(line.trim_start_matches("error: "));
    match values {
        Some(values) => error.help(format!("it is one of: {values}")),
        None => error,
    }
}

#[cfg(test)]
mod tests;
