//! Runs C programs that must not notice that they were frozen, written to disk and brought back.
//!
//! One test is one program of `zdtm/<family>/`, described by one entry of `tests.yaml`. Its life is [`cycle`]: build,
//! start, look at /proc, dump, restore, look again, end, read the verdict.
//!
//! | module | what it is |
//! |---|---|
//! | [`catalogue`] | `tests.yaml` and the sources that it describes |
//! | [`compile`] | C sources to one binary per test |
//! | [`engine`] | the command lines of the engine under test |
//! | [`task`] | processes: start, wait with a limit, leave none behind |
//! | [`visible`] | what /proc shows of a tree, and how two such pictures differ |
//! | [`cycle`] | the steps of one test, and the report of a failed one |
//! | [`moved`] | the two halves of a test that is dumped here and restored there |
//! | [`agent`] | the runner as a guest's init |
//! | [`protocol`] | what a host and the agent say to each other |
//! | [`speed`] | how fast this machine is |
//!
//! Not here: kernels and guests (crate `vm` starts this program inside them), and any knowledge of image files.

pub mod agent;
mod catalogue;
mod compile;
mod cycle;
mod engine;
pub mod moved;
pub mod protocol;
pub mod speed;
mod task;
mod visible;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use clap::Parser;
use libtest_mimic::{Arguments, ColorSetting, Completion, FormatSetting, Trial};

pub use catalogue::{Entry, Flavor, Test};
pub use compile::{Compiler, Linking};
use cycle::Plan;
use protocol::{Engines, NEEDS, Outcome, Terms};

/// What to run and how; the words of the command line, shared by `zdtm` and `cargo xtask zdtm`.
#[derive(Parser, Debug, Clone)]
#[command(about = "Runs C programs that must not notice that they were dumped and restored")]
pub struct Options {
    /// Run the tests whose family/name contains one of these words (default: all)
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,
    /// A filter must be the whole name
    #[arg(long)]
    pub exact: bool,
    /// Leave out the tests whose family/name contains WORD
    #[arg(long, value_name = "WORD")]
    pub skip: Vec<String>,
    /// Only list the tests
    #[arg(long)]
    pub list: bool,
    /// Checkpoint and restore each test N times in a row
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub iters: u32,
    /// Keep the folder of each test: images, logs, the test's own files
    #[arg(long)]
    pub keep_images: bool,
    /// The engine under test: crio, or any program with criu's command line
    #[arg(long, value_name = "PATH", default_value = "target/debug/crio")]
    pub engine: PathBuf,
    /// Restore with this engine instead: either side of the image format is proved against the other
    #[arg(long, value_name = "PATH", conflicts_with_all = ["no_cr", "leave_running"])]
    pub restore_engine: Option<PathBuf>,
    /// Only start, end and verify the programs
    #[arg(long, conflicts_with_all = ["leave_running", "iters"])]
    pub no_cr: bool,
    /// Dump with --leave-running: no restore, the program must not notice the dump
    #[arg(long)]
    pub leave_running: bool,
    /// End with the dump: each test stays in /tmp/zdtm-moved with its images, to be restored elsewhere
    #[arg(long, conflicts_with_all = ["no_cr", "leave_running", "iters", "restore_engine"])]
    pub depart: bool,
    /// Restore the one test of that name (not family) from this archive of what --depart has left; takes namespaces of
    /// its own (unshare --mount --pid --fork --mount-proc), and prints the verdict as JSON
    #[arg(long, value_name = "FILE", conflicts_with = "depart")]
    pub arrive: Option<PathBuf>,
    /// With --arrive: this kernel has to refuse the restore, by an error of this code
    #[arg(long, value_name = "CODE", requires = "arrive")]
    pub refused: Option<String>,
    /// Before each dump, let one fail at this point, or kill the engine there (NAME:kill): the values of CRIO_FAULT
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with = "no_cr")]
    pub fault: Vec<String>,
    /// Ask the engine to verify each image directory (`crio image verify`)
    #[arg(long)]
    pub verify_images: bool,
    /// A program, then its arguments (one --inspect each); it gets each image directory as its last argument and the
    /// test fails when it fails
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub inspect: Vec<PathBuf>,
    /// Do not compare what /proc shows before and after
    #[arg(long)]
    pub no_compare: bool,
    /// Folder with tests.yaml and the sources (default: the one in this repository)
    #[arg(long, value_name = "DIR")]
    pub suite: Option<PathBuf>,
    /// Run binaries that were built before, DIR/NAME, instead of compiling
    #[arg(long, value_name = "DIR")]
    pub prebuilt: Option<PathBuf>,
    /// A program, then its arguments (one --emulator each), that run the tests' programs
    #[arg(long, value_name = "WORD", allow_hyphen_values = true, requires = "no_cr")]
    pub emulator: Vec<PathBuf>,
    /// Tests to run at once (default: one per processor)
    #[arg(long, value_name = "N")]
    pub test_threads: Option<usize>,
    /// Output format
    #[arg(long, value_enum)]
    pub format: Option<FormatSetting>,
    /// One character per test, as --format terse
    #[arg(short, long, conflicts_with = "format")]
    pub quiet: bool,
    /// Colours in the output
    #[arg(long, value_enum)]
    pub color: Option<ColorSetting>,
    /// Write the output to FILE instead of stdout
    #[arg(long, value_name = "FILE")]
    pub logfile: Option<String>,
}

impl Options {
    /// Whether the filters let the test of that name run.
    pub fn selects(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(matches)) && !self.skip.iter().any(matches)
    }

    /// The selected tests.
    ///
    /// # Errors
    /// When catalogue and sources do not agree.
    pub fn tests(&self) -> Result<Vec<Test>> {
        let tests = catalogue::load(&self.suite())?;
        Ok(tests.into_iter().filter(|test| self.selects(&test.name())).collect())
    }

    /// The folder of tests.yaml and the sources.
    pub fn suite(&self) -> PathBuf {
        self.suite.clone().unwrap_or_else(default_suite)
    }

    /// How tests are run, for an agent.
    pub fn terms(&self) -> Terms {
        Terms {
            engines: Engines::default(),
            iterations: self.iters,
            undisturbed: self.no_cr,
            leave_running: self.leave_running,
            depart: self.depart,
            faults: self.fault.clone(),
            verify_images: self.verify_images,
            compare: !self.no_compare,
        }
    }

    /// What the test harness takes.
    pub fn arguments(&self) -> Arguments {
        Arguments {
            list: self.list,
            quiet: self.quiet,
            test_threads: self.test_threads,
            color: self.color,
            format: self.format,
            logfile: self.logfile.clone(),
            ..Arguments::default()
        }
    }
}

/// Runs the selected tests and prints the report; the exit code is that of `cargo test`: 0 if none failed, else 101.
///
/// # Errors
/// When no test can be run at all: no catalogue, sources and catalogue disagree, no compiler, no engine.
pub fn run(options: Options) -> Result<ExitCode> {
    run_with(options, Vec::new())
}

/// As [`run`], with more trials after those of the selected tests.
///
/// # Errors
/// As [`run`].
pub fn run_with(options: Options, more: Vec<Trial>) -> Result<ExitCode> {
    if let Some(archive) = &options.arrive {
        return moved::arrive(&options, archive);
    }
    let selected = options.tests()?;
    let mut trials =
        if options.list { listed(selected) } else { runnable(&options, &options.suite(), selected)? };
    trials.extend(more);
    Ok(libtest_mimic::run(&options.arguments(), trials).exit_code())
}

/// The sources this crate was built beside.
fn default_suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

fn listed(tests: Vec<Test>) -> Vec<Trial> {
    tests.into_iter().map(|test| Trial::test(test.name(), || Ok(()))).collect()
}

fn runnable(options: &Options, suite: &Path, tests: Vec<Test>) -> Result<Vec<Trial>> {
    if options.iters == 0 {
        bail!("--iters 0 would run nothing; --no-cr runs the programs without checkpoint and restore");
    }
    let native = Arc::new(Native::new(options, suite)?);
    Ok(tests.into_iter().map(|test| trial(test, &native)).collect())
}

/// One lock for each word of `alone`.
type Turns = BTreeMap<String, Arc<Mutex<()>>>;

/// Tests in the system that this program runs in.
pub struct Native {
    compiler: Compiler,
    plan: Plan,
    turns: Mutex<Turns>,
}

impl Native {
    /// Makes ready for tests with these options, whose sources are in `suite`.
    ///
    /// # Errors
    /// When no test can be run at all: no compiler, no engine.
    pub fn new(options: &Options, suite: &Path) -> Result<Self> {
        // Orphans of a test (its launcher ends early by design) come to us, so that their exit is ours to see.
        nix::sys::prctl::set_child_subreaper(true).context("cannot become a child subreaper")?;
        let compiler = match &options.prebuilt {
            Some(folder) => Compiler::prebuilt(folder)?,
            None => Compiler::native(suite)?,
        };
        Ok(Native { compiler, plan: Plan::of(options)?, turns: Mutex::default() })
    }

    /// Runs one test: how it ended, and why it was skipped.
    ///
    /// # Errors
    /// Why it failed.
    pub fn run(&self, test: &Test) -> Result<(Outcome, String)> {
        if !test.entry.flavors.contains(&Flavor::Host) {
            return Ok((Outcome::Skipped, "not in flavor host".to_owned()));
        }
        if let Some(feature) = self.plan.missing_feature(&test.entry.needs)? {
            return Ok((Outcome::Skipped, format!("{NEEDS}{feature}")));
        }
        let binary = self.compiler.build(test)?;
        if let Some(reason) = self.plan.reason_to_skip(&test.entry, &binary)? {
            return Ok((Outcome::Skipped, reason));
        }
        let turn = test.entry.alone.as_ref().map(|word| {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(word.clone()).or_default())
        });
        // A test that has panicked leaves nothing behind that the next one could stumble over.
        let _turn = turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        cycle::run(&self.plan, test, &binary)?;
        Ok((Outcome::Passed, String::new()))
    }
}

fn trial(test: Test, native: &Arc<Native>) -> Trial {
    let native = Arc::clone(native);
    Trial::ignorable_test(test.name(), move || match native.run(&test)? {
        (Outcome::Skipped, reason) => Ok(Completion::ignored_with(reason)),
        _ => Ok(Completion::Completed),
    })
}
