//! What an init does before anything else can run: modules, mounts, the environment.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::{SysconfVar, chdir, chroot, setsid, sysconf};

/// The folder of the initramfs with modules; the order of their names is that of loading.
pub(super) const MODULES: &str = "/modules";

const DISK: &str = "/dev/vda";

/// How long a device may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

/// Mounted before the disk, and moved into it.
const FIRST: [Mount; 3] = [
    Mount { kind: "proc", on: "/proc", flags: MsFlags::empty(), data: None },
    Mount { kind: "sysfs", on: "/sys", flags: MsFlags::empty(), data: None },
    Mount { kind: "devtmpfs", on: "/dev", flags: MsFlags::empty(), data: Some("mode=0755") },
];

/// Mounted on the disk.
const THEN: [Mount; 5] = [
    Mount { kind: "devpts", on: "/dev/pts", flags: MsFlags::empty(), data: Some("mode=0620,ptmxmode=0666") },
    Mount { kind: "tmpfs", on: "/dev/shm", flags: MsFlags::empty(), data: Some("mode=1777") },
    Mount { kind: "tmpfs", on: "/run", flags: MsFlags::empty(), data: Some("mode=0755") },
    Mount { kind: "tmpfs", on: "/tmp", flags: MsFlags::empty(), data: Some("mode=1777") },
    Mount { kind: "cgroup2", on: "/sys/fs/cgroup", flags: MsFlags::empty(), data: None },
];

struct Mount {
    kind: &'static str,
    on: &'static str,
    flags: MsFlags,
    data: Option<&'static str>,
}

impl Mount {
    fn make(&self) -> Result<()> {
        fs::create_dir_all(self.on).with_context(|| format!("cannot create {}", self.on))?;
        mount(Some(self.kind), self.on, Some(self.kind), self.flags, self.data)
            .with_context(|| format!("cannot mount {} on {}", self.kind, self.on))
    }
}

/// In the initramfs: modules, then the disk becomes the root.
pub(super) fn early() -> Result<()> {
    FIRST.iter().try_for_each(Mount::make)?;
    load_modules(Path::new(MODULES))?;
    wait_for("the disk", || Path::new(DISK).exists().then_some(()))?;
    let root = Path::new("/root");
    fs::create_dir_all(root)?;
    mount(Some(DISK), root, Some("ext4"), MsFlags::MS_NOATIME, None::<&str>)
        .with_context(|| format!("cannot mount {DISK}"))?;
    for Mount { on, .. } in &FIRST {
        let target = root.join(on.trim_start_matches('/'));
        fs::create_dir_all(&target)?;
        mount(Some(*on), &target, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .with_context(|| format!("cannot move {on}"))?;
    }
    // The first root file system cannot be unmounted or pivoted away; it is covered, as switch_root(8) does.
    chdir(root)?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).context("cannot move the root")?;
    chroot(".")?;
    Ok(chdir("/")?)
}

/// On the disk; harmless when it has been done.
pub(super) fn late() -> Result<()> {
    if Path::new("/dev/pts/ptmx").exists() {
        return Ok(());
    }
    THEN.iter().try_for_each(Mount::make)?;
    // Where programs look for it.
    let _ = std::os::unix::fs::symlink("/proc/self/fd", "/dev/fd");
    // The kernel starts init without a session; its children would be seen as outside of this pid namespace.
    let _ = setsid();
    fs::write("/proc/sys/kernel/hostname", "guest").context("cannot set the name of the guest")?;
    // Programs that talk to themselves over the network need it up; a disk without busybox has no such programs.
    let _ = Command::new("/bin/busybox").args(["ip", "link", "set", "lo", "up"]).status();
    Ok(())
}

/// What a login would set.
pub(super) fn environment() -> [(&'static str, &'static str); 4] {
    [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root"), ("TERM", "linux"), ("LANG", "C")]
}

/// Loads every file of the folder; one that is there already is as good.
fn load_modules(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for path in files {
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            // ENODEV: one of several for the same thing, for a processor that can do more.
            Ok(()) | Err(Errno::EEXIST | Errno::ENODEV) => {}
            Err(error) => bail!("cannot load {}: {error}", path.display()),
        }
    }
    Ok(())
}

/// Asks until there is an answer.
pub(super) fn wait_for<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("{what} does not appear");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Takes leave of orphans that have ended.
pub(super) fn reap() {
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status.pid().is_some()) {}
}

/// The same, but for a child that somebody waits for.
pub(super) fn reap_others(than: u32) {
    let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    let next = || waitid(Id::All, ended | WaitPidFlag::WNOWAIT).ok()?.pid();
    while let Some(pid) = next().filter(|pid| pid.as_raw().cast_unsigned() != than) {
        if waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_err() {
            break;
        }
    }
}

/// Release and machine, as uname(2) has them.
pub(super) fn names() -> (String, String) {
    match nix::sys::utsname::uname() {
        Ok(names) => {
            (names.release().to_string_lossy().into_owned(), names.machine().to_string_lossy().into_owned())
        }
        Err(error) => (error.to_string(), String::new()),
    }
}

/// Bytes of a page; 0 if the kernel does not say.
pub(super) fn page_size() -> u64 {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| size.try_into().ok()).unwrap_or(0)
}
