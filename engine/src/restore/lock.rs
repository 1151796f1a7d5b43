//! Locks and leases: each is taken by the task that had it. None may close a descriptor of such a file afterwards.
//!
//! A lease that somebody was breaking is taken whole and broken again, when all are taken: nobody gets a lease of a file of
//! which one is being broken. The signal for that the program has had before, so this one goes to us.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use super::build;
use super::construction::Construction;
use super::plan::TaskPlan;
use crate::error::{Error, Result};
use crate::image::message::FileLockEntry;
use crate::report::NotKept;
use crate::resource::file::lock;

impl Construction {
    /// Has tasks take their locks and leases.
    pub(super) fn lock(&mut self) -> Result<()> {
        let mut broken = Vec::new();
        for entry in std::mem::take(&mut self.plan.locks) {
            let holder = |task: &TaskPlan| task.pid == entry.pid && task.body.is_some();
            let index = self.plan.tasks.iter().position(holder).ok_or_else(|| {
                Error::image("filelocks.img", format!("task {} of a lock is not there", entry.pid))
            })?;
            if !lock::is_broken(&entry) {
                self.named(index, |this| build::lock(this.task(index)?, &entry))?;
            } else if let Some(fd) = self.named(index, |this| this.take_whole(index, &entry))? {
                broken.push((index, fd, entry));
            }
        }
        for (index, fd, entry) in broken {
            self.named(index, |_| lock::break_again(fd.as_fd(), &entry))?;
        }
        Ok(())
    }

    /// Takes a lease as it was before somebody broke it. Whoever that was may have the file by now: then it is over.
    fn take_whole(&mut self, index: usize, entry: &FileLockEntry) -> Result<Option<Rc<OwnedFd>>> {
        let fd = self.description(index, entry.fd as u32)?;
        let whole = lock::whole(fd.as_fd(), entry)?;
        lock::hush(fd.as_fd())?;
        match build::lock(self.task(index)?, &whole) {
            Ok(()) => return Ok(Some(fd)),
            Err(e) if e.code() == "E-LOCK-TAKEN" => {}
            Err(e) => return Err(e),
        }
        lock::let_speak(fd.as_fd())?;
        if let Some(task) = self.plan.tasks.get(index) {
            self.told.push(NotKept {
                pid: task.pid,
                comm: task.comm(),
                what: format!("fd {}: a lease that was being broken", entry.fd),
                consequence: "it is over, as after lease-break-time: others have the file open".to_owned(),
            });
        }
        Ok(None)
    }

    /// What a task has open under a number.
    fn description(&mut self, index: usize, number: u32) -> Result<Rc<OwnedFd>> {
        let body = self.plan.tasks.get(index).and_then(|task| task.body.as_ref());
        let table = body.and_then(|body| self.plan.tables.get(&body.ids.files_id));
        let open = table.into_iter().flatten().find(|entry| entry.fd == number);
        let id = open.map(|entry| entry.id).ok_or_else(|| {
            Error::image("filelocks.img", format!("descriptor {number} of a lease is not open"))
        })?;
        self.plan.files.open(id)
    }
}
