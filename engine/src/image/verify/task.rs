//! What a task refers to: its images, its files, the pages of its mappings, its filters and cgroups.

use std::collections::BTreeSet;

use super::super::message::{
    CgroupEntry, CoreEntry, FdType, FdinfoEntry, FsEntry, Machine, MmEntry, PstreeEntry, SeccompEntry,
    TaskCoreEntry, state, status,
};
use super::super::show::ids_of;
use super::super::{Kind, PageReader};
use super::Check;

/// What the cores of all tasks may refer to.
struct Known {
    filters: usize,
    cgroup_sets: BTreeSet<u32>,
}

impl Check<'_> {
    /// Checks the tree and every task in it.
    pub(super) fn tasks(&mut self) {
        self.tasks = self.read::<PstreeEntry>(Kind::Pstree);
        if self.tasks.is_empty() && !self.broken.contains(&Kind::Pstree) {
            self.report("pstree.img", "there is no task");
        }
        let known = Known {
            filters: self
                .read::<SeccompEntry>(Kind::Seccomp)
                .iter()
                .map(|all| all.seccomp_filters.len())
                .sum(),
            // That of the dumper need not be there.
            cgroup_sets: self
                .read::<CgroupEntry>(Kind::Cgroup)
                .iter()
                .flat_map(|all| all.sets.iter().map(|set| set.id))
                .chain(self.dir.inventory().ok().and_then(|inventory| inventory.root_cg_set))
                .collect(),
        };
        let mut pids = BTreeSet::new();
        for task in self.tasks.clone() {
            if task.ppid != 0 && !pids.contains(&task.ppid) {
                self.report(
                    "pstree.img",
                    format!("the parent of {}, {}, does not come before it", task.pid, task.ppid),
                );
            }
            if !pids.insert(task.pid) {
                self.report("pstree.img", format!("there are two tasks {}", task.pid));
            }
            self.task(&task, &known);
        }
        self.locks(&pids);
    }

    fn task(&mut self, task: &PstreeEntry, known: &Known) {
        let pid = task.pid;
        let mut alive = false;
        let leader = self.dir.read_one::<CoreEntry>(Kind::Core(pid)).ok().flatten();
        let threads = leader.as_ref().map_or(&*task.threads, |leader| task.threads_of(leader));
        for tid in threads.iter().copied().chain((!threads.contains(&pid)).then_some(pid)) {
            let kind = Kind::Core(tid);
            if !self.require(kind, &format!("task {pid}")) {
                continue;
            }
            let core = self.dir.read_one::<CoreEntry>(kind);
            let Some(core) = self.take(kind, core).flatten() else { continue };
            self.core(kind, &core, known);
            if tid == pid {
                let state = core.tc.as_ref().map(|tc| tc.task_state);
                alive = state.is_some_and(|state| state == state::ALIVE || state == state::STOPPED);
                if state.is_none() {
                    self.report(kind.file_name(), "the leader lacks what its task has in common");
                }
            }
        }
        if alive {
            self.descriptors(pid);
            self.surroundings(pid);
            self.memory(pid);
        }
    }

    fn core(&mut self, kind: Kind, core: &CoreEntry, known: &Known) {
        let dead = core.tc.as_ref().is_some_and(TaskCoreEntry::is_dead);
        if !dead && !has_registers(core) {
            self.report(kind.file_name(), format!("there are no registers of machine {}", core.mtype));
        }
        let Some(thread) = &core.thread_core else { return };
        if let Some(filter) = thread.seccomp_filter
            && filter as usize >= known.filters
        {
            self.report(
                kind.file_name(),
                format!("seccomp filter {filter} is not among the {} there are", known.filters),
            );
        }
        if let Some(set) = thread.cg_set
            && self.kinds.contains(&Kind::Cgroup)
            && !known.cgroup_sets.contains(&set)
        {
            self.report(kind.file_name(), format!("cgroup set {set} is not in cgroup.img"));
        }
    }

    fn descriptors(&mut self, pid: u32) {
        let kind = Kind::Ids(pid);
        let ids = ids_of(self.dir, pid);
        let Some(ids) = self.take(kind, ids) else { return };
        let Some(ids) = ids else { return self.report(kind.file_name(), format!("task {pid} has no ids")) };
        let kind = Kind::Fdinfo(ids.files_id);
        if !self.require(kind, &format!("task {pid}")) {
            return;
        }
        let mut seen = BTreeSet::new();
        for fd in self.read::<FdinfoEntry>(kind) {
            self.expect_file(kind, &format!("descriptor {}", fd.fd), fd.id, &[fd.r#type()]);
            if !seen.insert(fd.fd) {
                self.report(kind.file_name(), format!("there are two descriptors {}", fd.fd));
            }
        }
    }

    fn surroundings(&mut self, pid: u32) {
        let kind = Kind::Fs(pid);
        if !self.require(kind, &format!("task {pid}")) {
            return;
        }
        let fs = self.dir.read_one::<FsEntry>(kind);
        if let Some(fs) = self.take(kind, fs).flatten() {
            self.expect_file(kind, "the working directory", fs.cwd_id, &[FdType::Reg]);
            self.expect_file(kind, "the root", fs.root_id, &[FdType::Reg]);
        }
    }

    fn memory(&mut self, pid: u32) {
        let kind = Kind::Mm(pid);
        if !self.require(kind, &format!("task {pid}")) {
            return;
        }
        let mm = self.dir.read_one::<MmEntry>(kind);
        let Some(mm) = self.take(kind, mm).flatten() else { return };
        self.expect_file(kind, "the executable", mm.exe_file_id, &[FdType::Reg]);
        self.mappings(kind, &mm);
        let pagemap = Kind::Pagemap(pid);
        if self.require(pagemap, &format!("task {pid}")) {
            self.page_size = mm.page_size();
            self.pagemap(pagemap, self.page_size);
            self.coverage(pagemap, &mm);
        }
    }

    fn mappings(&mut self, kind: Kind, mm: &MmEntry) {
        let mut floor = 0;
        for vma in &mm.vmas {
            let place = format!("{:x}-{:x}", vma.start, vma.end);
            // Guard pages (MADV_GUARD_INSTALL) have entries of their own, inside of mappings and after all of them.
            let is_guard = vma.status & status::GUARD != 0;
            if vma.start >= vma.end || (vma.start < floor && !is_guard) {
                self.report(
                    kind.file_name(),
                    format!("mapping {place} is empty or overlaps the one before it"),
                );
            }
            floor = if is_guard { floor } else { vma.end };
            let file = status::FILE_PRIVATE | status::FILE_SHARED;
            if vma.status & file != 0 && vma.status & (status::SOCKET | status::EXT_PLUGIN) == 0 {
                let types = [FdType::Reg, FdType::Memfd, FdType::Ext];
                match u32::try_from(vma.shmid) {
                    Ok(id) => self.expect_file(kind, &format!("the file of mapping {place}"), id, &types),
                    Err(_) => {
                        self.report(kind.file_name(), format!("mapping {place} is of file {}", vma.shmid))
                    }
                }
            }
        }
    }

    /// Opens a pagemap, which checks it against its pages.
    pub(super) fn pagemap(&mut self, kind: Kind, page_size: u64) {
        if self.broken.contains(&kind) {
            return;
        }
        let reader = PageReader::open(self.dir, kind, page_size);
        if let Some(reader) = self.take(kind, reader).flatten() {
            self.pages.insert(reader.pages_id());
        }
    }

    /// Every run of pages lies in mappings.
    fn coverage(&mut self, kind: Kind, mm: &MmEntry) {
        let Ok(Some(reader)) = PageReader::open(self.dir, kind, mm.page_size()) else { return };
        for at in reader.strays(&mm.vmas) {
            self.report(kind.file_name(), format!("the page at {at:#x} is in no mapping"));
        }
    }
}

fn has_registers(core: &CoreEntry) -> bool {
    match Machine::try_from(core.mtype) {
        Ok(Machine::X86_64) => core.thread_info.is_some(),
        Ok(Machine::Arm) => core.ti_arm.is_some(),
        Ok(Machine::Aarch64) => core.ti_aarch64.is_some(),
        Ok(Machine::Ppc64) => core.ti_ppc64.is_some(),
        Ok(Machine::S390) => core.ti_s390.is_some(),
        Ok(Machine::Mips) => core.ti_mips.is_some(),
        Ok(Machine::Loongarch64) => core.ti_loongarch64.is_some(),
        Ok(Machine::Riscv64) => core.ti_riscv64.is_some(),
        Ok(Machine::Unknown) | Err(_) => false,
    }
}
