//! Control groups: what a restore makes of them it takes back when it fails, and what stands in the way is named.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Instant;

use engine::image::message::{CgControllerEntry, CgMemberEntry, CgroupDirEntry, CgroupEntry};
use engine::image::{ImageDir, Kind};
use engine::kernel::cgroupfs::Hierarchy;

use crate::command::{LIMIT, Outcome, crio, dump, run, with_fault};
use crate::victim::{Victim, await_gone, names};

/// The mount point of cgroup v2.
fn unified() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut found = fields.filter(|fields| fields[2] == "cgroup2").map(|fields| PathBuf::from(fields[1]));
    found.next().unwrap()
}

/// A cgroup with a victim in the one below it; both are removed when this is dropped.
struct Groups {
    outer: PathBuf,
    inner: PathBuf,
    victim: Victim,
}

impl Groups {
    fn new(name: &str) -> Self {
        let victim = Victim::start("no-terminal");
        let outer = unified().join(format!("crio-{name}-{}", victim.pid()));
        let groups = Groups { inner: outer.join("inner"), outer, victim };
        fs::create_dir(&groups.outer).unwrap();
        groups.make_inner();
        for pid in groups.victim.pids() {
            fs::write(groups.inner.join("cgroup.procs"), pid.to_string()).unwrap();
        }
        groups
    }

    fn make_inner(&self) {
        fs::create_dir(&self.inner).unwrap();
        fs::write(self.inner.join("cgroup.max.depth"), "7").unwrap();
        fs::set_permissions(&self.inner, fs::Permissions::from_mode(0o751)).unwrap();
        chown(self.inner.join("cgroup.procs"), Some(1000), Some(1001)).unwrap();
    }

    /// Dumps and ends the victim; its pids.
    fn dump(&mut self, images: &Path) -> Vec<i32> {
        let pids = self.victim.pids();
        run(dump(self.victim.pid(), "", images)).succeeded("dump");
        self.victim.reap();
        await_gone(&pids, "after the dump");
        pids
    }

    fn has_victim(&self) -> bool {
        let membership = fs::read_to_string(format!("/proc/{}/cgroup", self.victim.pid())).unwrap();
        let inner = self.inner.strip_prefix(unified()).unwrap();
        membership.lines().any(|line| line == format!("0::/{}", inner.display()))
    }

    fn assert_made(&self) {
        assert!(self.has_victim());
        assert_eq!(fs::read_to_string(self.inner.join("cgroup.max.depth")).unwrap(), "7\n");
        assert_eq!(fs::metadata(&self.inner).unwrap().mode() & 0o7777, 0o751);
        let procs = fs::metadata(self.inner.join("cgroup.procs")).unwrap();
        assert_eq!((procs.uid(), procs.gid()), (1000, 1001));
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let _ = fs::write(self.outer.join("cgroup.kill"), "1");
        remove(&self.inner);
        remove(&self.outer);
    }
}

/// Those that were killed are in it until they are gone.
fn remove(group: &Path) {
    let started = Instant::now();
    while fs::remove_dir(group).is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY)) {
        if started.elapsed() > LIMIT {
            break;
        }
    }
}

fn restore(images: &Path, words: &str) -> Outcome {
    run(crio(&format!("restore -d {words}"), images))
}

fn restore_with(images: &Path, fault: &str) -> Outcome {
    run(with_fault(crio("restore -d", images), fault))
}

#[test]
fn a_restore_that_fails_leaves_no_cgroup() {
    let mut groups = Groups::new("fails");
    let images = tempfile::tempdir().unwrap();
    let pids = groups.dump(images.path());
    remove(&groups.inner);
    for point in ["cgroups-made", "root-adopted", "tree-populated", "threads-born", "before-letting-go"] {
        restore_with(images.path(), point).refused("E-FAULT", point);
        await_gone(&pids, point);
        assert!(!groups.inner.exists() && groups.outer.exists(), "{point}");
    }
    restore(images.path(), "").succeeded("the restore after all the failures");
    groups.assert_made();
    groups.victim.check("restored");
}

#[test]
fn a_restore_that_fails_leaves_no_hierarchy() {
    // Without a child, whose remains would be in its cgroup until somebody else reaps it.
    let mut victim = Victim::start("alone no-terminal");
    let (images, pids) = (tempfile::tempdir().unwrap(), victim.pids());
    let name = format!("name=crio-{}", victim.pid());
    let open = || Hierarchy::open(&[name.clone().into_bytes()], &[]).unwrap();
    let exists = || fs::read_to_string("/proc/self/cgroup").unwrap().contains(&name);
    let hierarchy = open();
    hierarchy.make(b"/a").unwrap();
    let group = hierarchy.group(b"/a").unwrap().unwrap();
    pids.iter().for_each(|pid| group.write("cgroup.procs", pid.to_string().as_bytes()).unwrap());
    run(dump(victim.pid(), "", images.path())).succeeded("dump");
    victim.reap();
    await_gone(&pids, "after the dump");
    hierarchy.remove(b"/a").unwrap();
    drop(group);
    assert!(hierarchy.destroy().unwrap() && !exists());
    for point in ["cgroups-made", "before-letting-go"] {
        restore_with(images.path(), point).refused("E-FAULT", point);
        await_gone(&pids, point);
        assert!(!exists(), "{point}");
    }
    restore(images.path(), "").succeeded("restore");
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", victim.pid())).unwrap();
    assert!(membership.contains(&format!("{name}:/a\n")), "{membership}");
    victim.check("restored");
    drop(victim);
    await_gone(&pids, "at the end");
    let hierarchy = open();
    let started = Instant::now();
    while hierarchy.remove(b"/a").is_err() && started.elapsed() < LIMIT {}
    assert!(hierarchy.destroy().unwrap());
}

#[test]
fn a_restore_that_fails_gives_existing_cgroups_back() {
    let mut groups = Groups::new("back");
    let images = tempfile::tempdir().unwrap();
    let pids = groups.dump(images.path());
    fs::write(groups.inner.join("cgroup.max.depth"), "9").unwrap();
    fs::set_permissions(&groups.inner, fs::Permissions::from_mode(0o700)).unwrap();
    let failed =
        run(with_fault(crio("restore -d --manage-cgroups=full", images.path()), "before-letting-go"));
    failed.refused("E-FAULT", "full");
    await_gone(&pids, "after the failure");
    assert_eq!(fs::read_to_string(groups.inner.join("cgroup.max.depth")).unwrap(), "9\n");
    assert_eq!(fs::metadata(&groups.inner).unwrap().mode() & 0o7777, 0o700);
    restore(images.path(), "--manage-cgroups=full").succeeded("full");
    groups.assert_made();
    groups.victim.check("restored");
}

/// Directories that are left behind have a mark: the next restore makes them anew, with all that they had.
#[test]
fn a_restore_that_is_killed_can_be_repeated() {
    let mut groups = Groups::new("killed");
    let images = tempfile::tempdir().unwrap();
    let pids = groups.dump(images.path());
    remove(&groups.inner);
    for point in ["cgroups-made", "tree-populated", "before-letting-go"] {
        restore_with(images.path(), &format!("{point}:kill"));
        await_gone(&pids, point);
    }
    assert!(groups.inner.exists());
    restore(images.path(), "--manage-cgroups=strict").succeeded("the restore after all the kills");
    groups.assert_made();
    groups.victim.check("restored");
}

/// CRIU knows no limits of v2; here they are kept, and their controllers enabled above.
#[test]
fn limits_of_v2_are_made_with_their_controllers() {
    const LIMITS: [(&str, &str, &str); 4] = [
        ("pids", "pids.max", "99"),
        ("memory", "memory.max", "1073741824"),
        ("hugetlb", "hugetlb.2MB.max", "4194304"),
        ("hugetlb", "hugetlb.64KB.max", "4194304"),
    ];
    let root = unified();
    let offered = fs::read_to_string(root.join("cgroup.controllers")).unwrap();
    let is_offered = |limit: &&(&str, &str, &str)| offered.split_whitespace().any(|name| name == limit.0);
    let mut limits = LIMITS.iter().filter(is_offered);
    let (controller, file, value) = *limits.next().unwrap();
    let enabled = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap();
    let mut groups = Groups::new("limits");
    let control =
        |group: &Path, change: &str| fs::write(group.join("cgroup.subtree_control"), change).unwrap();
    control(&root, &format!("+{controller}"));
    control(&groups.outer, &format!("+{controller}"));
    fs::write(groups.inner.join(file), value).unwrap();
    let images = tempfile::tempdir().unwrap();
    let pids = groups.dump(images.path());
    remove(&groups.inner);
    control(&groups.outer, &format!("-{controller}"));
    restore_with(images.path(), "before-letting-go").refused("E-FAULT", "a failure");
    await_gone(&pids, "after the failure");
    assert_eq!(fs::read_to_string(groups.outer.join("cgroup.subtree_control")).unwrap().trim(), "");
    restore(images.path(), "").succeeded("restore");
    assert_eq!(fs::read_to_string(groups.inner.join(file)).unwrap().trim(), value);
    groups.assert_made();
    groups.victim.check("restored");
    drop(groups);
    if !enabled.split_whitespace().any(|name| name == controller) {
        control(&root, &format!("-{controller}"));
    }
}

#[test]
fn modes_decide_what_is_touched() {
    let mut groups = Groups::new("modes");
    let images = tempfile::tempdir().unwrap();
    groups.dump(images.path());
    restore(images.path(), "--manage-cgroups=strict").refused("E-CGROUP-EXISTS", "strict");
    remove(&groups.inner);
    for mode in ["none", "props"] {
        let outcome = restore(images.path(), &format!("--manage-cgroups={mode}"));
        outcome.refused("E-CGROUP-MISSING", mode);
        assert!(outcome.stderr.contains("help: make it"), "{}", outcome.stderr);
        assert!(!groups.inner.exists());
    }
    groups.make_inner();
    fs::write(groups.inner.join("cgroup.max.depth"), "9").unwrap();
    restore(images.path(), "--manage-cgroups=soft").succeeded("soft");
    assert!(groups.has_victim());
    assert_eq!(fs::read_to_string(groups.inner.join("cgroup.max.depth")).unwrap(), "9\n");
    groups.victim.check("restored");
}

#[test]
fn a_root_is_put_in_place_of_another() {
    let mut groups = Groups::new("root");
    let images = tempfile::tempdir().unwrap();
    groups.dump(images.path());
    remove(&groups.inner);
    // The first directory of the image is that of the tree itself.
    let other = groups.outer.strip_prefix(unified()).unwrap().join("other");
    let words = format!("--cgroup-root :/{}", other.display());
    restore(images.path(), &words).succeeded("another root");
    groups.inner = groups.outer.join("other");
    groups.assert_made();
    groups.victim.check("restored");
}

#[test]
fn cgroups_can_be_left_alone() {
    let mut groups = Groups::new("ignored");
    let images = tempfile::tempdir().unwrap();
    groups.dump(images.path());
    remove(&groups.inner);
    restore(images.path(), "--manage-cgroups=ignore").succeeded("ignore");
    assert!(!groups.inner.exists() && !groups.has_victim());
    groups.victim.check("restored");
}

/// Changes what the image says of cgroups.
fn edit(images: &Path, change: impl FnOnce(&mut CgroupEntry)) {
    let dir = ImageDir::open(images).unwrap();
    let mut entry: CgroupEntry = dir.require(Kind::Cgroup).unwrap();
    change(&mut entry);
    dir.write_one(Kind::Cgroup, &entry).unwrap();
}

#[test]
fn what_this_machine_lacks_or_refuses_is_named_and_nothing_is_left() {
    let mut groups = Groups::new("lacks");
    let images = tempfile::tempdir().unwrap();
    let pids = groups.dump(images.path());
    remove(&groups.inner);
    let good: CgroupEntry = ImageDir::open(images.path()).unwrap().require(Kind::Cgroup).unwrap();
    let refused = |code: &str, context: &str| {
        restore(images.path(), "").refused(code, context);
        await_gone(&pids, context);
        assert!(!groups.inner.exists() && groups.outer.exists(), "{context}");
    };
    edit(images.path(), |entry| {
        let name = "nosuch".to_owned();
        let member = CgMemberEntry { name: name.clone(), path: b"/a".to_vec(), cgns_prefix: None };
        entry.sets.iter_mut().for_each(|set| set.ctls.push(member.clone()));
        entry.controllers.push(CgControllerEntry { cnames: vec![name], ..CgControllerEntry::default() });
    });
    refused("E-CGROUP-CONTROLLER", "a controller");
    let of_v2 = |entry: &mut CgroupEntry, change: &dyn Fn(&mut CgroupDirEntry)| {
        *entry = good.clone();
        let v2 = entry.controllers.iter_mut().find(|controller| controller.cnames == [""]).unwrap();
        change(&mut v2.dirs[0]);
    };
    let depth = |dir: &mut CgroupDirEntry| {
        let mut properties = dir.properties.iter_mut();
        properties.find(|entry| entry.name == "cgroup.max.depth").unwrap().value = b"deep".to_vec();
    };
    edit(images.path(), |entry| of_v2(entry, &depth));
    refused("E-CGROUP-PROPERTY", "a value");
    edit(images.path(), |entry| of_v2(entry, &|dir| dir.dir_name = b"../a".to_vec()));
    refused("E-IMAGE-BAD", "a path that leads elsewhere");
    edit(images.path(), |entry| *entry = good.clone());
    // Beside a threaded cgroup there is no place for a whole process.
    let threaded = groups.outer.join("threaded");
    fs::create_dir(&threaded).unwrap();
    fs::write(threaded.join("cgroup.type"), "threaded").unwrap();
    refused("E-CGROUP-JOIN", "a cgroup that takes no process");
    fs::remove_dir(&threaded).unwrap();
    restore(images.path(), "").succeeded("the restore after all the refusals");
    groups.assert_made();
}

/// A task in a frozen cgroup neither stops nor works: nothing must be begun with it.
#[test]
fn a_frozen_tree_is_refused_or_thawed_by_the_dump() {
    let mut groups = Groups::new("frozen");
    let images = tempfile::tempdir().unwrap();
    let freezer = groups.outer.join("cgroup.freeze");
    fs::write(&freezer, "1").unwrap();
    let refused = run(dump(groups.victim.pid(), "--leave-running", images.path()));
    refused.refused("E-CGROUP-FROZEN", "without the option");
    assert!(refused.stderr.contains("--freeze-cgroup"), "{}", refused.stderr);
    let words = format!("--leave-running --freeze-cgroup {}", groups.outer.display());
    run(dump(groups.victim.pid(), &words, images.path())).succeeded("with the option");
    let is_frozen = || fs::read_to_string(groups.outer.join("cgroup.events")).unwrap().contains("frozen 1");
    assert!(is_frozen());
    let failing = with_fault(dump(groups.victim.pid(), &words, images.path()), "collected");
    run(failing).refused("E-FAULT", "a failing dump");
    assert!(is_frozen());
    fs::write(&freezer, "0").unwrap();
    groups.victim.check("thawed");
    run(dump(groups.victim.pid(), &words, images.path())).succeeded("of a tree that runs");
    assert_eq!(fs::read_to_string(&freezer).unwrap(), "0\n");
    groups.victim.check("after the dumps");
}

#[test]
fn a_frozen_thread_is_refused_before_it_should_work() {
    let mut groups = Groups::new("thread");
    let images = tempfile::tempdir().unwrap();
    let threaded = groups.inner.join("threaded");
    fs::create_dir(&threaded).unwrap();
    fs::write(threaded.join("cgroup.type"), "threaded").unwrap();
    let threads = names(Path::new(&format!("/proc/{}/task", groups.victim.pid())));
    fs::write(threaded.join("cgroup.threads"), threads.last().unwrap()).unwrap();
    fs::write(threaded.join("cgroup.freeze"), "1").unwrap();
    run(dump(groups.victim.pid(), "", images.path())).refused("E-CGROUP-FROZEN", "a thread");
    fs::write(threaded.join("cgroup.freeze"), "0").unwrap();
    groups.victim.check("after the refusal");
    let pids = groups.dump(images.path());
    remove(&threaded);
    remove(&groups.inner);
    restore_with(images.path(), "threads-born").refused("E-FAULT", "after the threads are there");
    await_gone(&pids, "after the failure");
    assert!(!groups.inner.exists());
    restore(images.path(), "").succeeded("restore");
    assert_eq!(fs::read_to_string(threaded.join("cgroup.threads")).unwrap().lines().count(), 1);
    groups.victim.check("restored");
    run(dump(groups.victim.pid(), "", images.path())).succeeded("another dump");
    remove(&threaded);
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let mut victim = Victim::start("no-terminal");
    let images = tempfile::tempdir().unwrap();
    let cases = [
        ("--freeze-cgroup /proc", "E-CGROUP-FREEZER"),
        ("--freeze-cgroup /nowhere", "E-NOT-FOUND"),
        ("--cgroup-props cpu", "E-USAGE"),
        ("--cgroup-props-file /nowhere", "E-NOT-FOUND"),
    ];
    for (words, code) in cases {
        run(dump(victim.pid(), words, images.path())).refused(code, words);
    }
    victim.check("after the refusals");
}
