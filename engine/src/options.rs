//! What the engine is told to do: plain data, filled by the command line or by a request, read by the phases.
//!
//! `Default` is CRIU 4.2's default for each option, so that a caller states only what differs. An option of CRIU that
//! the engine does not act on has no field: the front end that reads it decides whether it may be passed over (it only
//! widens what is allowed, and the survey refuses the object itself) or must be refused by name
//! (`cli::foreign`).
//!
//! Not here: parsing (`cli`), and any global. A phase takes the options it needs by reference.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// CRIU's name for the state a tree is left in: killed, stopped or running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FinalState {
    /// A dumped tree is killed; on restore it means the normal thing, running tasks.
    #[default]
    Default,
    /// `-s`: every task is left stopped, as by SIGSTOP.
    Stopped,
    /// `-R`: the tree goes on running after the dump.
    Running,
}

/// How a restore proves that a file is the one that was dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileValidation {
    /// The size has to be the same.
    FileSize,
    /// The size, and of an ELF file the build-id note within its first MiB.
    #[default]
    BuildId,
}

/// `--manage-cgroups`: what becomes of the cgroups that tasks are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupMode {
    /// Nothing: tasks stay in the cgroups of the restore.
    Ignore,
    /// They must be there, and stay as they are.
    None,
    /// They must be there, and get their properties.
    Props,
    /// Missing ones are made with their properties; others get owner and mode.
    #[default]
    Soft,
    /// Missing ones are made; all get their properties.
    Full,
    /// None of them may be there.
    Strict,
}

/// How cgroups are dumped and restored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CgroupOptions {
    /// `--manage-cgroups`.
    pub mode: CgroupMode,
    /// `--cgroup-root [CONTROLLER:]PATH`: from where a dump looks at directories; what a restore puts in place of the
    /// first directory. Without a controller it is that of all others.
    pub roots: Vec<(Option<String>, PathBuf)>,
    /// `--cgroup-props`: which properties controllers have, in CRIU's simple YAML.
    pub properties: Option<String>,
    /// `--cgroup-props-file`: the same in a file.
    pub properties_file: Option<PathBuf>,
    /// `--cgroup-dump-controller`: dump only these hierarchies; empty is all.
    pub controllers: Vec<String>,
    /// `--cgroup-yard`: a directory in which the hierarchies are mounted.
    pub yard: Option<PathBuf>,
}

/// Where a command reads, writes and logs; the same for dump and restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `-D`: the directory with the image files.
    pub images_dir: PathBuf,
    /// `-W`: the directory of logs, pidfiles and statistics; the images' directory where absent.
    pub work_dir: Option<PathBuf>,
    /// `-o`: the log, relative to [`Places::work_dir`]; `-` is stdout; absent is stderr.
    pub log_file: Option<PathBuf>,
    /// `-v`: 0 silent, 1 errors, 2 warnings, 3 information, 4 debug.
    pub verbosity: u8,
}

impl Default for Places {
    fn default() -> Self {
        Places { images_dir: PathBuf::from("."), work_dir: None, log_file: None, verbosity: 2 }
    }
}

impl Places {
    /// The directory of logs, pidfiles and statistics.
    pub fn work_dir(&self) -> &Path {
        self.work_dir.as_deref().unwrap_or(&self.images_dir)
    }

    /// The log as a path that can be opened from here; `-` is stdout, `None` stderr.
    pub fn log_path(&self) -> Option<PathBuf> {
        let file = self.log_file.as_deref()?;
        Some(if file == Path::new("-") { file.to_owned() } else { self.work_dir().join(file) })
    }
}

/// `crio dump`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpOptions {
    /// `-t`: the pid of the tree's root, as seen by us.
    pub tree: i32,
    /// Directories and log.
    pub places: Places,
    /// `-s`, `-R`: what becomes of the tree afterwards.
    pub final_state: FinalState,
    /// `--dry-run`: survey only; nothing is frozen and nothing written.
    pub dry_run: bool,
    /// `--json`: the report is JSON on stdout.
    pub json: bool,
    /// `--display-stats`: print the statistics at the end.
    pub display_stats: bool,
    /// `-j`: the root's session and process group may lie outside of the tree.
    pub shell_job: bool,
    /// `--timeout`: how long collecting and freezing may take.
    pub timeout: Duration,
    /// `--ghost-limit`: the largest deleted file to carry, in bytes, compared with its allocated blocks.
    pub ghost_limit: u64,
    /// `--ghost-fiemap`: find the holes of a deleted file by FIEMAP and not by SEEK_HOLE.
    pub ghost_fiemap: bool,
    /// `--link-remap`: a file whose path is gone but that has other links may be given a temporary name.
    pub link_remap: bool,
    /// `--evasive-devices`: any other path to a device serves if its own is out of reach.
    pub evasive_devices: bool,
    /// `--file-validation`: what to record about files for the restore's checks.
    pub file_validation: FileValidation,
    /// `--embed-files`: mapped and open files travel in the image.
    pub embed_files: bool,
    /// `--file-locks`: locks and leases are dumped, and the restore takes them again.
    pub file_locks: bool,
    /// `--irmap-scan-path`: directories in which to look for watched files that have no handle.
    pub irmap_scan_paths: Vec<PathBuf>,
    /// `--external`: objects that the restorer's caller provides, `KIND[KEY]` or `KIND[KEY]:NAME`.
    pub external: Vec<String>,
    /// `--ext-unix-sk`: datagram sockets may be connected to named ones outside of the tree.
    pub ext_unix_sk: bool,
    /// `--tcp-established`: connections of TCP are dumped, and locked until they are restored.
    pub tcp_established: bool,
    /// `--tcp-close`: connections of TCP are closed by the restore.
    pub tcp_close: bool,
    /// `--network-lock skip`: packets of connections are not held back; somebody else sees to that.
    pub skip_network_lock: bool,
    /// `--skip-in-flight`: connections that nobody has accepted are dropped.
    pub skip_in_flight: bool,
    /// How cgroups are dumped.
    pub cgroups: CgroupOptions,
    /// `--freeze-cgroup`: the directory of a cgroup that has the tree in it, to freeze it by.
    pub freeze_cgroup: Option<PathBuf>,
    /// `--action-script`: programs to run at the named points, in this order.
    pub action_scripts: Vec<PathBuf>,
}

impl Default for DumpOptions {
    fn default() -> Self {
        DumpOptions {
            tree: 0,
            places: Places::default(),
            final_state: FinalState::Default,
            dry_run: false,
            json: false,
            display_stats: false,
            shell_job: false,
            timeout: Duration::from_secs(10),
            ghost_limit: 1 << 20,
            ghost_fiemap: false,
            link_remap: false,
            evasive_devices: false,
            file_validation: FileValidation::default(),
            embed_files: false,
            file_locks: false,
            irmap_scan_paths: Vec::new(),
            external: Vec::new(),
            ext_unix_sk: false,
            tcp_established: false,
            tcp_close: false,
            skip_network_lock: false,
            skip_in_flight: false,
            cgroups: CgroupOptions::default(),
            freeze_cgroup: None,
            action_scripts: Vec::new(),
        }
    }
}

/// `--inherit-fd fd[N]:KEY`: a descriptor of ours that replaces the image's file named by the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InheritFd {
    /// The open descriptor in this process.
    pub fd: RawFd,
    /// `tty[rdev:dev]`, `pipe:[ino]`, `socket:[ino]`, `file[mnt_id:ino]`, `/memfd:name`, or a path without its
    /// leading slash.
    pub key: String,
}

/// `crio restore`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RestoreOptions {
    /// Directories and log.
    pub places: Places,
    /// `-s`: leave the restored tasks stopped. `Running` is not asked for on restore.
    pub final_state: FinalState,
    /// `--json`: the report is JSON on stdout.
    pub json: bool,
    /// `--display-stats`: print the statistics at the end.
    pub display_stats: bool,
    /// `-j`: the restored tree joins the caller's session, process group and terminal.
    pub shell_job: bool,
    /// `-d`: the tree is on its own once it runs; otherwise the caller of the engine waits for it.
    pub detached: bool,
    /// `-S`: the root becomes a child of our parent; needs [`RestoreOptions::detached`].
    pub sibling: bool,
    /// `--pidfile`: gets the root's pid in decimal, relative to the work directory.
    pub pidfile: Option<PathBuf>,
    /// `--log-pid`: one log for each restored task.
    pub log_pid: bool,
    /// `--exec-cmd -- PROGRAM ARG...`: what to become after the restore; empty is nothing.
    pub exec_cmd: Vec<OsString>,
    /// `--file-validation`: how to compare files with what the image recorded.
    pub file_validation: FileValidation,
    /// `--skip-file-rwx-check`: do not compare permission bits of files.
    pub skip_file_rwx_check: bool,
    /// `--evasive-devices`: any other path to a device serves if its own is out of reach.
    pub evasive_devices: bool,
    /// `--inherit-fd`: descriptors that stand in for files of the image.
    pub inherit_fds: Vec<InheritFd>,
    /// `--external`: where the objects are that the dump declared external.
    pub external: Vec<String>,
    /// `--tcp-established`: connections of TCP go on.
    pub tcp_established: bool,
    /// `--tcp-close`: connections of TCP become closed sockets.
    pub tcp_close: bool,
    /// How cgroups are restored.
    pub cgroups: CgroupOptions,
    /// `--action-script`: programs to run at the named points, in this order.
    pub action_scripts: Vec<PathBuf>,
}

/// `crio clean`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CleanOptions {
    /// Directories and log.
    pub places: Places,
    /// `--dry-run`: nothing is removed.
    pub dry_run: bool,
    /// `--give-up`: a complete image and what it needs are removed, too.
    pub give_up: bool,
    /// `--json`: the report is JSON on stdout.
    pub json: bool,
}

/// `crio check`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// `--extra`: also what only some programs need.
    pub extra: bool,
    /// `--experimental`: also what is not settled yet.
    pub experimental: bool,
    /// `--feature`: only these, by name; empty is the whole check.
    pub features: Vec<String>,
    /// `--json`: the report is JSON on stdout.
    pub json: bool,
    /// `-v`, as in [`Places::verbosity`].
    pub verbosity: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_go_to_the_images_unless_told_otherwise() {
        let mut places = Places { images_dir: "/img".into(), ..Places::default() };
        assert_eq!(places.work_dir(), Path::new("/img"));
        places.work_dir = Some("/work".into());
        assert_eq!(places.work_dir(), Path::new("/work"));
        assert_eq!(places.log_path(), None);
        places.log_file = Some("a.log".into());
        assert_eq!(places.log_path(), Some("/work/a.log".into()));
        places.log_file = Some("-".into());
        assert_eq!(places.log_path(), Some("-".into()));
    }
}
