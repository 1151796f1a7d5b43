//! The life of one test: start, look, dump, restore, look again, end, read the verdict.
//!
//! A failure says in which step, what the engine's log and the test's own log say about it, and what /proc showed
//! before and after.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;

use crate::catalogue::{Entry, Test};
use crate::engine::{Engine, last_errors};
use crate::visible::Picture;
use crate::{Options, moved, task};

/// What is done with every test of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Does the work, and knows the features.
    pub(crate) engine: Option<Engine>,
    /// Restores in its place.
    pub(crate) restore_engine: Option<Engine>,
    /// The programs run without checkpoint and restore.
    pub(crate) undisturbed: bool,
    pub(crate) iterations: u32,
    pub(crate) leave_running: bool,
    /// Each test ends with its dump, see [`crate::moved`].
    pub(crate) depart: bool,
    /// Points at which a dump fails first.
    pub(crate) faults: Vec<String>,
    pub(crate) keep_images: bool,
    pub(crate) verify_images: bool,
    /// A program and its arguments that every image directory must please; empty for none.
    pub(crate) inspect: Vec<PathBuf>,
    pub(crate) compare: bool,
    /// A program and its arguments that run the test's program; empty where the kernel does.
    pub(crate) emulator: Vec<PathBuf>,
}

/// Whether a program has addresses of 32 bits: e_ident[EI_CLASS] of elf(5) is ELFCLASS32.
fn has_32_bits(program: &Path) -> Result<bool> {
    let mut ident = [0; 5];
    File::open(program)
        .and_then(|mut file| file.read_exact(&mut ident))
        .with_context(|| format!("cannot read {}", program.display()))?;
    Ok(ident == *b"\x7fELF\x01")
}

/// A need that no engine is asked about.
const SEVERAL_PROCESSORS: &str = "several_processors";

impl Plan {
    /// Why a test, with this program, cannot be part of a run of this kind.
    ///
    /// # Errors
    /// When the program cannot be read.
    pub(crate) fn reason_to_skip(&self, entry: &Entry, program: &Path) -> Result<Option<String>> {
        if entry.needs_restore && (self.undisturbed || self.leave_running) {
            return Ok(Some("it is about what a restore changes".to_owned()));
        }
        let lacking = match &entry.not_emulated_32 {
            _ if self.emulator.is_empty() => None,
            Some(lacking) if has_32_bits(program)? => Some(lacking),
            _ => entry.not_emulated.as_ref(),
        };
        Ok(lacking.map(|lacking| format!("the emulator lacks {lacking}")))
    }

    /// What the options ask for.
    pub(crate) fn of(options: &Options) -> Result<Self> {
        Ok(Plan {
            // Without checkpoint and restore an engine is only asked for features, if there is one.
            engine: if options.no_cr {
                Engine::find(&options.engine).ok()
            } else {
                Some(Engine::find(&options.engine)?)
            },
            restore_engine: options.restore_engine.as_deref().map(Engine::find).transpose()?,
            undisturbed: options.no_cr,
            iterations: options.iters,
            leave_running: options.leave_running,
            depart: options.depart,
            faults: options.fault.clone(),
            keep_images: options.keep_images,
            verify_images: options.verify_images,
            inspect: options.inspect.clone(),
            compare: !options.no_compare,
            emulator: options.emulator.clone(),
        })
    }

    /// The first of these features that no engine finds here: of two, one may not know the name.
    pub(crate) fn missing_feature<'a>(&self, needs: &'a [String]) -> Result<Option<&'a str>> {
        let engines = || self.engine.iter().chain(&self.restore_engine);
        for feature in needs {
            if feature == SEVERAL_PROCESSORS {
                if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
                    return Ok(Some(feature));
                }
                continue;
            }
            if engines().next().is_none() {
                continue;
            }
            let answers = engines().map(|engine| engine.has_feature(feature)).collect::<Result<Vec<_>>>()?;
            if !answers.contains(&true) {
                return Ok(Some(feature));
            }
        }
        Ok(None)
    }
}

/// Takes one test through its life; an error is the report of its failure.
pub(crate) fn run(plan: &Plan, test: &Test, binary: &Path) -> Result<()> {
    if plan.depart {
        return moved::depart(plan, test, binary);
    }
    let folder = tempfile::Builder::new()
        .prefix(&format!("zdtm-{}-", test.program))
        .tempdir()
        .context("cannot create a folder for the test")?;
    // A test that becomes another user must still be able to rename its log.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
    let case = Case { plan, test, binary, folder: folder.path().to_owned() };
    let mut outcome = case.to_its_end(Case::live);
    if plan.keep_images {
        let kept = folder.keep();
        outcome = outcome.map_err(|error| anyhow!("{error:#}\nfolder: {}", kept.display()));
    }
    outcome
}

/// One test in its folder.
pub(crate) struct Case<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) test: &'a Test,
    pub(crate) binary: &'a Path,
    pub(crate) folder: PathBuf,
}

impl Case<'_> {
    /// Lives a part of the life, after which no process of the test is left.
    pub(crate) fn to_its_end(&self, part: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let outcome = part(self);
        task::kill_all_of(&self.folder);
        outcome.map_err(|error| anyhow!("{error:#}{}", self.last_words()))
    }

    fn live(&self) -> Result<()> {
        let root = self.start().context("step start")?;
        if let Some(engine) = self.plan.engine.as_ref().filter(|_| !self.plan.undisturbed) {
            for iteration in 1..=self.plan.iterations {
                self.checkpoint_and_restore(engine, root, iteration)
                    .with_context(|| format!("iteration {iteration}"))?;
            }
        }
        self.end(root).context("step end")
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", self.test.program))
    }

    fn program(&self) -> Command {
        let Some((emulator, arguments)) = self.plan.emulator.split_first() else {
            return Command::new(self.binary);
        };
        let mut command = Command::new(emulator);
        command.args(arguments).arg(self.binary);
        command
    }

    /// Starts the program; when it returns, the test is ready.
    pub(crate) fn start(&self) -> Result<i32> {
        let mut command = self.program();
        // The form that CRIU's test programs understand, too.
        command.arg(format!("--pidfile={}", self.file(".pid").display()));
        command.arg(format!("--outfile={}", self.file(".out").display()));
        command.args(&self.test.entry.arguments);
        if self.plan.depart {
            // Root has fewer capabilities in one place than in another, and nobody can restore what he does not have.
            command.arg("--powerless");
        }
        let status = self.execute(&mut command, "start")?;
        if !status.success() {
            bail!("the program ended with {status}\n{}", self.output_of("start"));
        }
        self.root()
    }

    /// The pid that the program has written when it was ready.
    pub(crate) fn root(&self) -> Result<i32> {
        let text = fs::read_to_string(self.file(".pid")).context("the program left no pidfile")?;
        text.trim().parse().with_context(|| format!("the pidfile holds {text:?}"))
    }

    fn checkpoint_and_restore(&self, engine: &Engine, root: i32, iteration: u32) -> Result<()> {
        let images = self.folder.join(format!("images-{iteration}"));
        let before = self.checkpoint(engine, root, &images)?;
        if !self.plan.leave_running {
            self.restore(self.plan.restore_engine.as_ref().unwrap_or(engine), &images)?;
        }
        if self.plan.compare { self.compare(root, &before) } else { Ok(()) }
    }

    /// Dumps the test into a new folder; what /proc showed of it before. Unless it is left running, it is gone.
    pub(crate) fn checkpoint(&self, engine: &Engine, root: i32, images: &Path) -> Result<Picture> {
        fs::create_dir(images).with_context(|| format!("cannot create {}", images.display()))?;
        let before = Picture::take(root).context("step look")?;
        for fault in &self.plan.faults {
            self.fail(engine, root, fault, images).with_context(|| format!("fault {fault}"))?;
            self.compare(root, &before)?;
        }
        let mut dump = engine.dump(images, root, self.plan.leave_running, &self.test.entry.options);
        self.drive(&mut dump, "dump", images)?;
        self.inspect(engine, images)?;
        if !self.plan.leave_running {
            let left = task::wait_gone(&before.pids());
            if !left.is_empty() {
                bail!("step dump: tasks {left:?} are still there");
            }
            task::wait_session_gone(root);
        }
        Ok(before)
    }

    /// Restores the test from a folder of images.
    pub(crate) fn restore(&self, engine: &Engine, images: &Path) -> Result<()> {
        self.drive(&mut engine.restore(images, &self.test.entry.options), "restore", images)
    }

    /// A dump that fails, or whose engine is killed, at a point of `CRIO_FAULT`; the program must not notice. One that does
    /// not pass the point does not fail, but leaves the program running.
    fn fail(&self, engine: &Engine, root: i32, fault: &str, images: &Path) -> Result<()> {
        let mut dump = engine.dump(images, root, true, &self.test.entry.options);
        let status = self.execute(dump.env("CRIO_FAULT", fault), "fault")?;
        let said = self.output_of("fault");
        if status.success() || status.signal() == Some(Signal::SIGKILL as i32) || said.contains("E-FAULT") {
            return Ok(());
        }
        bail!("step dump: the engine ended with {status}\n{said}")
    }

    /// Looks at /proc until it shows what it did before: a task that was in the middle of a system call needs a
    /// moment to get there again.
    fn compare(&self, root: i32, before: &Picture) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(1).mul_f64(task::time_scale());
        loop {
            let after = Picture::take(root).context("step look again")?;
            let differences = before.differences(&after, &self.test.entry.changes);
            if differences.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("step compare: /proc shows other state than before\n{differences}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs the engine once; its failure is reported with the errors in its log.
    fn drive(&self, command: &mut Command, step: &str, images: &Path) -> Result<()> {
        let outcome = self.execute(command, step);
        if outcome.as_ref().is_ok_and(|status| status.success()) {
            return Ok(());
        }
        let said = match outcome {
            Ok(status) => format!("the engine ended with {status}"),
            Err(error) => format!("{error:#}"),
        };
        let log = last_errors(&images.join(format!("{step}.log")), 12);
        bail!("step {step}: {said}\n{step}.log:\n{}{}", indented(&log), self.output_of(step))
    }

    /// Looks at the image directory: its size, and what the engine thinks of it.
    fn inspect(&self, engine: &Engine, images: &Path) -> Result<()> {
        if let Some(limit) = self.test.entry.image_at_most_kib {
            let size = folder_size(images)?.div_ceil(1024);
            if size > limit {
                bail!(
                    "step dump: the images take {size} KiB, more than the {limit} KiB that tests.yaml allows"
                );
            }
        }
        if self.plan.verify_images {
            let status = self.execute(&mut engine.verify(images), "verify").context("step verify")?;
            if !status.success() {
                bail!("step verify: the engine ended with {status}\n{}", self.output_of("verify"));
            }
        }
        let Some((program, arguments)) = self.plan.inspect.split_first() else {
            return Ok(());
        };
        let status = self
            .execute(Command::new(program).args(arguments).arg(images), "inspect")
            .context("step inspect")?;
        if !status.success() {
            bail!("step inspect: {} ended with {status}\n{}", program.display(), self.output_of("inspect"));
        }
        Ok(())
    }

    /// SIGTERM, the end of the root task, the last line of the log.
    pub(crate) fn end(&self, root: i32) -> Result<()> {
        task::terminate(root)?;
        let left = task::wait_gone(&[root]);
        if !left.is_empty() {
            bail!("task {root} does not end after SIGTERM");
        }
        let log =
            fs::read_to_string(self.file(".out")).context("the test died: it has not closed its log")?;
        if log.lines().last() != Some("PASS") {
            bail!("the test does not say PASS");
        }
        Ok(())
    }

    /// Runs a command in the test's folder, with its output in files of that folder.
    fn execute(&self, command: &mut Command, step: &str) -> Result<std::process::ExitStatus> {
        let path = self.folder.join(format!("{step}.output"));
        let output = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        command.current_dir(&self.folder).env(task::MARK, &self.folder).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        task::run(command)
    }

    fn output_of(&self, step: &str) -> String {
        let text = fs::read_to_string(self.folder.join(format!("{step}.output"))).unwrap_or_default();
        if text.trim().is_empty() { String::new() } else { format!("output of {step}:\n{}", indented(&text)) }
    }

    /// The test's own log, as far as it got.
    fn last_words(&self) -> String {
        let read = |suffix| fs::read_to_string(self.file(suffix)).ok().filter(|text| !text.is_empty());
        match read(".out").or_else(|| read(".out.inprogress")) {
            Some(text) => format!("\n{}.out:\n{}", self.test.program, indented(&text)),
            None => String::new(),
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        // Writing to a String cannot fail.
        let _ = writeln!(all, "    {line}");
        all
    })
}

fn folder_size(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let metadata = entry?.metadata()?;
        size += metadata.len().min(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512);
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(undisturbed: bool, emulator: &[&str]) -> Plan {
        Plan {
            engine: None,
            restore_engine: None,
            undisturbed,
            iterations: 1,
            leave_running: false,
            depart: false,
            faults: Vec::new(),
            keep_images: false,
            verify_images: false,
            inspect: Vec::new(),
            compare: true,
            emulator: emulator.iter().map(PathBuf::from).collect(),
        }
    }

    #[test]
    fn what_makes_no_sense_in_a_run_is_skipped_with_the_reason() -> Result<()> {
        let entry = |fields: &str| serde_yaml::from_str::<Entry>(&format!("{{survives: all, {fields}}}"));
        let folder = tempfile::tempdir()?;
        let program = |class: u8| {
            let path = folder.path().join(class.to_string());
            fs::write(&path, [b"\x7fELF".as_slice(), &[class; 4]].concat()).map(|()| path)
        };
        let (narrow, wide) = (program(1)?, program(2)?);
        let emulated = plan(true, &["qemu"]);
        let vdso = entry("not_emulated: a vdso")?;
        assert_eq!(emulated.reason_to_skip(&vdso, &wide)?.as_deref(), Some("the emulator lacks a vdso"));
        assert_eq!(plan(true, &[]).reason_to_skip(&vdso, &wide)?, None);
        let restored = entry("needs_restore: true")?;
        assert!(plan(true, &[]).reason_to_skip(&restored, &wide)?.is_some());
        assert_eq!(plan(false, &[]).reason_to_skip(&restored, &wide)?, None);
        assert_eq!(emulated.reason_to_skip(&entry("")?, &wide)?, None);
        let pages = entry("not_emulated_32: huge pages")?;
        assert_eq!(
            emulated.reason_to_skip(&pages, &narrow)?.as_deref(),
            Some("the emulator lacks huge pages")
        );
        assert_eq!(emulated.reason_to_skip(&pages, &wide)?, None);
        assert_eq!(plan(true, &[]).reason_to_skip(&pages, &narrow)?, None);
        Ok(())
    }
}
