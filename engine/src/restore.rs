//! The restore: from a directory of images to a running tree. The phases stand in [`restore`], in their order.
//!
//! Until the plan is made and checked, no process exists. The tasks are then built from outside: each is an empty child
//! that we trace, in which system calls are run for us (`tracee`). All of our code stays in our own process, so that
//! every failure is an ordinary error: the [`Construction`] is dropped, and with it goes everything that was made. The
//! tasks die with us too (PTRACE_O_EXITKILL), until the moment when they are let go; so that even then a SIGKILL leaves
//! either all or none of them, another process does the work (`worker`).

mod birth;
mod build;
mod cgroup;
mod construction;
mod epoll;
mod helper;
mod lock;
mod plan;
mod socket;
mod stop;
mod transport;
mod userfaultfd;

use std::path::PathBuf;
use std::time::Instant;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use self::construction::Construction;
use self::plan::Plan;
use crate::error::{OsContext, Result};
use crate::fault;
use crate::hooks::{Hooks, Point};
use crate::log_warn;
use crate::options::{FinalState, RestoreOptions};
use crate::report::{RestoreReport, micros};
use crate::resource::cgroup::Hierarchies;
use crate::resource::task::scheduling::OneProcessor;
use crate::sys::attr::DescriptorLimit;
use crate::worker::{self, Worker};

/// Restores the tree in `options.places.images_dir`. Returns when it runs.
pub fn restore(options: &RestoreOptions) -> Result<RestoreReport> {
    let descriptors = DescriptorLimit::raise();
    let hierarchies = Hierarchies::now()?;
    let build = |worker| build(options, worker, &descriptors);
    // A sibling's parent is not ours to give another child, which it would have to wait for.
    let built = match options.sibling {
        true => build(None),
        false => worker::run("restores", |worker| build(Some(worker))).inspect_err(|_| reap_root()),
    };
    // Not before the tasks have been reaped, which are in their cgroups until then.
    built.inspect_err(|_| only_log(hierarchies.destroy_others()))
}

/// The root that the worker has killed is our child, and has its pid until we have taken notice.
fn reap_root() {
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

fn build(
    options: &RestoreOptions,
    worker: Option<Worker>,
    descriptors: &DescriptorLimit,
) -> Result<RestoreReport> {
    let started = Instant::now();
    let hooks = Hooks::new(&options.action_scripts, &options.places.images_dir, descriptors)?;
    hooks.run(Point::PreRestore, None)?;
    let mut plan = Plan::load(options)?;
    plan.check()?;
    fault::point("plan-loaded")?;
    let processor = OneProcessor::stay()?;
    // What would be the worker's child is ours.
    let sibling = worker.is_some() || options.sibling;
    let mut tree = Construction::begin(plan, options, sibling, processor.home())?;
    tree.begin_cgroups()?;
    tree.populate()?;
    fault::point("tree-populated")?;
    let forking_time = micros(started);
    tree.group()?;
    tree.open_files()?;
    fault::point("files-opened")?;
    tree.complete()?;
    drop(processor);
    let root = tree.root();
    let pidfile = Pidfile::write(options, root)?;
    fault::point("pidfile-written")?;
    hooks.run(Point::PostRestore, Some(root))?;
    only_log(hooks.run(Point::PreResume, Some(root)));
    let mut report = tree.let_go(worker, options.final_state == FinalState::Stopped)?;
    pidfile.keep();
    report.stats.forking_time = forking_time;
    report.stats.restore_time = micros(started);
    only_log(report.stats.write(options.places.work_dir()));
    only_log(hooks.run(Point::PostResume, Some(root)));
    Ok(report)
}

/// For what comes too late to take anything back.
fn only_log(done: Result<()>) {
    if let Err(error) = done {
        log_warn!("{error}");
    }
}

/// The file of `--pidfile`; dropped, it is removed.
struct Pidfile(Option<PathBuf>);

impl Pidfile {
    fn write(options: &RestoreOptions, root: i32) -> Result<Self> {
        let Some(name) = &options.pidfile else { return Ok(Pidfile(None)) };
        let path = options.places.work_dir().join(name);
        let written = std::fs::write(&path, root.to_string()).os(|| format!("write {}", path.display()));
        let pidfile = Pidfile(Some(path));
        written.map(|()| pidfile)
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // The failure that brought us here is the one to report.
            let _ = std::fs::remove_file(path);
        }
    }
}
