//! The runner as a guest's init: it runs what the host orders and reports each result as it comes.
//!
//! A kernel starts it twice. As `/init` of the initramfs it loads the modules, mounts the disk and becomes its
//! `/sbin/init`; there it mounts what a system has, measures how slow the guest is, and serves the channel.
//! It has process id 1, so orphans of tests come to it, and its end is the end of the guest.

mod channel;
mod system;

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cycle::{self, Plan};
use crate::engine::Engine;
use crate::protocol::{About, Engines, NEEDS, Order, Outcome, Report, Terms};
use crate::{Test, speed, task};

use self::channel::Channel;
pub use self::channel::PORT;

/// Where the programs of the tests are.
const PROGRAMS: &str = "/zdtm";

/// Whether this process is the first one of a system.
pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Serves until the host ends the guest. It returns only with an error, which is then on the console.
///
/// # Errors
/// When the guest cannot be set up, or the channel is lost.
pub fn run() -> Result<()> {
    if Path::new(system::MODULES).is_dir() {
        system::early().context("early init")?;
        // The time limits of the runner are scaled by the environment.
        let error = Command::new("/sbin/init").env_clear().envs(system::environment()).exec();
        return Err(error).context("cannot become /sbin/init of the disk");
    }
    system::late().context("init")?;
    if std::env::var_os("ZDTM_TIMEOUT_SCALE").is_none() {
        let scale = format!("{:.2}", speed::slowness());
        let error = Command::new("/sbin/init").env("ZDTM_TIMEOUT_SCALE", scale).exec();
        return Err(error).context("cannot start /sbin/init again");
    }
    serve(&Channel::open()?)
}

fn serve(channel: &Arc<Channel>) -> Result<()> {
    channel.send(&Report::Ready(about()))?;
    let beat = Arc::clone(channel);
    std::thread::spawn(move || {
        while beat.send(&Report::Alive).is_ok() {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let mut plan = None;
    loop {
        match channel.order()? {
            Order::Terms(terms) => plan = Some(agreed(&terms)),
            Order::Test { test, crowding } => {
                task::set_crowding(crowding);
                channel.send(&verdict(plan.as_ref(), &test))?;
            }
            Order::Execute { words } => execute(channel, &words)?,
        }
        system::reap();
    }
}

fn about() -> About {
    let (kernel, machine) = system::names();
    let scale = std::env::var("ZDTM_TIMEOUT_SCALE").ok().and_then(|text| text.parse().ok());
    About { kernel, machine, page_size: system::page_size(), slowness: scale.unwrap_or(1.0) }
}

fn agreed(terms: &Terms) -> Result<Plan> {
    let Engines { dump, restore } = &terms.engines;
    let engine = if terms.undisturbed { Engine::find(dump).ok() } else { Some(Engine::find(dump)?) };
    Ok(Plan {
        engine,
        restore_engine: (dump != restore).then(|| Engine::find(restore)).transpose()?,
        undisturbed: terms.undisturbed,
        iterations: terms.iterations,
        leave_running: terms.leave_running,
        depart: terms.depart,
        faults: terms.faults.clone(),
        keep_images: false,
        verify_images: terms.verify_images,
        inspect: Vec::new(),
        compare: terms.compare,
        emulator: Vec::new(),
    })
}

fn verdict(plan: Option<&Result<Plan>>, test: &Test) -> Report {
    let report = |outcome, message| Report::Verdict { outcome, message };
    let plan = match plan {
        Some(Ok(plan)) => plan,
        Some(Err(error)) => return report(Outcome::Failed, format!("{error:#}")),
        None => return report(Outcome::Failed, "the host gave no terms".to_owned()),
    };
    match plan.missing_feature(&test.entry.needs) {
        Ok(None) => {}
        Ok(Some(feature)) => return report(Outcome::Skipped, format!("{NEEDS}{feature}")),
        Err(error) => return report(Outcome::Failed, format!("{error:#}")),
    }
    match cycle::run(plan, test, &PathBuf::from(PROGRAMS).join(&test.program)) {
        Ok(()) => report(Outcome::Passed, String::new()),
        Err(error) => report(Outcome::Failed, format!("{error:#}")),
    }
}

/// Runs a program in a session of its own, with its output and errors passed on as they come.
fn execute(channel: &Channel, words: &[String]) -> Result<()> {
    let ended = |status: String, success| Report::Ended { status, success };
    match start(words) {
        Err(error) => channel.send(&ended(format!("did not start: {error:#}"), false)),
        Ok((mut child, output)) => {
            let (pid, done) = (child.id(), AtomicBool::new(false));
            // A process that is dumped and ends is an orphan as often as not, and has its pid until it is waited for.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        system::reap_others(pid);
                        std::thread::sleep(Duration::from_millis(10));
                    }
                });
                let passed = pass_on(channel, output);
                done.store(true, Ordering::Relaxed);
                passed
            })?;
            let status = child.wait()?;
            channel.send(&ended(status.to_string(), status.success()))
        }
    }
}

fn pass_on(channel: &Channel, mut output: std::io::PipeReader) -> Result<()> {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = output.read(&mut piece) {
        let text = String::from_utf8_lossy(piece.get(..length).unwrap_or_default()).into_owned();
        channel.send(&Report::Output { text })?;
    }
    Ok(())
}

fn start(words: &[String]) -> Result<(std::process::Child, std::io::PipeReader)> {
    let (program, arguments) = words.split_first().context("no program was named")?;
    let (output, end) = std::io::pipe()?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/tmp").stdin(Stdio::null());
    command.stdout(end.try_clone()?).stderr(end);
    let child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    Ok((child, output))
}
