//! userfaultfd(2) serves the memory of the task that has called it, so that task does, while it has nothing else open.

use std::os::fd::OwnedFd;

use super::build;
use super::construction::{Built, Construction};
use crate::error::{Error, Result};
use crate::image::message::MmEntry;
use crate::resource::file::FileRestore;

impl Construction {
    /// Makes all of them, before any other file that might lead to one.
    pub(super) fn make_userfaultfds(&mut self) -> Result<()> {
        for (id, pid) in self.plan.files.userfaultfds() {
            let index = self.plan.tasks.iter().position(|task| task.pid == pid && task.body.is_some());
            let index = index.ok_or_else(|| {
                Error::image("files.img", format!("userfaultfd {id:#x} serves {pid}, which is no task"))
            })?;
            self.named(index, |this| {
                let fd = make(this.task(index)?)?;
                this.plan.files.provide_userfaultfd(id, fd)
            })?;
        }
        Ok(())
    }
}

fn make(built: &mut Built) -> Result<OwnedFd> {
    let made = built.loan.run_one(libc::SYS_userfaultfd as u64, [libc::O_CLOEXEC as u64, 0, 0, 0, 0, 0])?;
    if made < 0 {
        let error = Error::os("userfaultfd", std::io::Error::from_raw_os_error(-made as i32));
        return Err(error.help("use a kernel with CONFIG_USERFAULTFD"));
    }
    build::take_descriptor(built, made as u64, "a userfaultfd")
}

/// Registers what was registered in a task, in which huge pages were forbidden until now.
pub(super) fn register(built: &mut Built, mm: &MmEntry, files: &FileRestore) -> Result<()> {
    if mm.vmas.iter().all(|vma| vma.userfaultfd.is_none()) {
        return Ok(());
    }
    files.register(built.proc.pid())?;
    build::run(&mut built.loan, |batch| {
        let forbidden = mm.thp_disabled == Some(true);
        let args = [libc::PR_SET_THP_DISABLE as u64, forbidden.into(), 0, 0, 0];
        batch.call("prctl PR_SET_THP_DISABLE", libc::SYS_prctl, &args);
    })
}
