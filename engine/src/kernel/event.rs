//! What `/proc/PID/fdinfo/N` adds for event files: proc_pid_fdinfo(5).
//!
//! Each kind prints lines of its own, which [`fdinfo`](super::fdinfo) hands on: eventfd_show_fdinfo in fs/eventfd.c,
//! signalfd_show_fdinfo in fs/signalfd.c, timerfd_show in fs/timerfd.c, ep_show_fdinfo in fs/eventpoll.c,
//! fs/notify/fdinfo.c, pidfd_show_fdinfo in kernel/fork.c and later fs/pidfs.c, userfaultfd_show_fdinfo in fs/userfaultfd.c.

use super::fdinfo::FdInfo;
use super::{Pid, text};
use crate::error::Result;
use crate::kernel::status::signal_set;

/// An eventfd(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eventfd {
    /// Its counter.
    pub count: u64,
    /// EFD_SEMAPHORE; `None` before Linux 6.5, which does not show it.
    pub semaphore: Option<bool>,
}

/// A timerfd_create(2) file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timerfd {
    /// `CLOCK_*`
    pub clock: u32,
    /// Expirations that were not read yet.
    pub ticks: u64,
    /// `TFD_TIMER_*` of the last timerfd_settime(2).
    pub flags: u32,
    /// Seconds and nanoseconds until it expires; 0 if it is not armed.
    pub value: (u64, u64),
    /// Its interval; 0 if it expires once.
    pub interval: (u64, u64),
}

/// A target of an epoll(7) instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpollTarget {
    /// The descriptor by which it was added.
    pub number: u32,
    /// `EPOLL*`
    pub events: u32,
    /// What epoll_wait(2) gives for it.
    pub data: u64,
    /// Position, inode and device of the file; not before Linux 4.13. The device is in the kernel's own encoding.
    pub file: Option<(i64, u64, u32)>,
}

/// An inode that inotify(7) or fanotify(7) watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedInode {
    /// Its number.
    pub ino: u64,
    /// Its file system, in the kernel's own encoding: 12 bits of major, 20 of minor number.
    pub dev: u32,
    /// Type and bytes of its file handle; `None` if its file system has none.
    pub handle: Option<(u32, Vec<u8>)>,
}

impl WatchedInode {
    /// Major and minor number of its file system.
    pub fn device(&self) -> (u32, u32) {
        device(self.dev)
    }
}

/// Major and minor number of a device in the kernel's own encoding, linux/kdev_t.h.
pub fn device(dev: u32) -> (u32, u32) {
    (dev >> 20, dev & 0xf_ffff)
}

/// A watch of an inotify(7) instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Its number.
    pub wd: u32,
    /// `IN_*`
    pub mask: u32,
    /// Always 0.
    pub ignored_mask: u32,
    /// What it watches.
    pub inode: WatchedInode,
}

/// What a fanotify(7) mark is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// A file or directory.
    Inode(WatchedInode),
    /// A mount, by its id in mountinfo.
    Mount(u32),
    /// A file system, as in [`WatchedInode::dev`].
    FileSystem(u32),
    /// Something that later kernels know.
    Other(Vec<u8>),
}

/// A mark of a fanotify(7) group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What it is on.
    pub on: Marked,
    /// `FAN_MARK_*` that it was made with.
    pub flags: u32,
    /// `FAN_*`
    pub mask: u32,
    /// `FAN_*` that are not reported.
    pub ignored_mask: u32,
}

/// A fanotify(7) group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fanotify {
    /// `FAN_*` of fanotify_init(2).
    pub flags: u32,
    /// `O_*` of the descriptors that it gives out.
    pub event_flags: u32,
    /// Its marks, in the kernel's order.
    pub marks: Vec<Mark>,
}

/// The lines whose key is `key`, with what follows the colon.
fn lines<'i>(info: &'i FdInfo, key: &'static [u8]) -> impl Iterator<Item = &'i [u8]> {
    info.rest.iter().filter_map(move |line| {
        let (found, value) = text::split_once(line, b':')?;
        (found == key).then(|| value.trim_ascii())
    })
}

fn optional<T>(info: &FdInfo, key: &'static str, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>> {
    lines(info, key.as_bytes()).next().map(|value| text::field(key, value, read)).transpose()
}

fn required<T>(info: &FdInfo, key: &'static str, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T> {
    optional(info, key, read)?.ok_or_else(|| text::missing(key))
}

/// Reads the lines of an eventfd.
pub fn eventfd(info: &FdInfo) -> Result<Eventfd> {
    let semaphore = optional(info, "eventfd-semaphore", text::dec::<u32>)?.map(|on| on != 0);
    Ok(Eventfd { count: required(info, "eventfd-count", text::hex)?, semaphore })
}

/// The signals that a signalfd(2) accepts, from 1 in the lowest bit.
pub fn signalfd(info: &FdInfo) -> Result<u128> {
    required(info, "sigmask", signal_set)
}

/// The features (`UFFD_FEATURE_*`) that were asked for when a userfaultfd(2) was set up.
pub fn userfaultfd(info: &FdInfo) -> Result<u64> {
    /// UFFD_FEATURE_INITIALIZED of fs/userfaultfd.c: it was set up at all. Older kernels do not show that.
    const INITIALIZED: u64 = 1 << 31;
    let features = |value: &[u8]| value.split(|byte| *byte == b':').nth(1).and_then(text::hex);
    Ok(required(info, "API", features)? & !INITIALIZED)
}

/// Reads the lines of a timerfd.
pub fn timerfd(info: &FdInfo) -> Result<Timerfd> {
    Ok(Timerfd {
        clock: required(info, "clockid", text::dec)?,
        ticks: required(info, "ticks", text::dec)?,
        flags: required(info, "settime flags", |value| u32::try_from(text::oct(value)?).ok())?,
        value: required(info, "it_value", pair)?,
        interval: required(info, "it_interval", pair)?,
    })
}

/// `(1, 500000000)`
fn pair(value: &[u8]) -> Option<(u64, u64)> {
    let inner = value.strip_prefix(b"(")?.strip_suffix(b")")?;
    let (seconds, nanoseconds) = text::split_once(inner, b',')?;
    Some((text::dec(seconds)?, text::dec(nanoseconds.trim_ascii())?))
}

/// The targets of an epoll instance, in the kernel's order.
pub fn epoll(info: &FdInfo) -> Result<Vec<EpollTarget>> {
    lines(info, b"tfd").map(|value| text::field("tfd", value, target)).collect()
}

/// `5 events:       1d data: ffffffffffffffff  pos:0 ino:51 sdev:a`
fn target(value: &[u8]) -> Option<EpollTarget> {
    let mut fields = text::fields(value);
    let number = text::dec(fields.next()?)?;
    let mut labelled = |label: &[u8]| (fields.next()? == label).then(|| fields.next()).flatten();
    let events = u32::try_from(text::hex(labelled(b"events:")?)?).ok()?;
    let data = text::hex(labelled(b"data:")?)?;
    let Some(pos) = fields.next() else { return Some(EpollTarget { number, events, data, file: None }) };
    let pos = text::dec(pos.strip_prefix(b"pos:")?)?;
    let inode = text::hex(fields.next()?.strip_prefix(b"ino:")?)?;
    let device = u32::try_from(text::hex(fields.next()?.strip_prefix(b"sdev:")?)?).ok()?;
    Some(EpollTarget { number, events, data, file: Some((pos, inode, device)) })
}

/// The words `key:value` of a line.
struct Words<'l>(Vec<(&'l [u8], &'l [u8])>);

impl<'l> Words<'l> {
    fn of(line: &'l [u8]) -> Self {
        Words(text::fields(line).filter_map(|word| text::split_once(word, b':')).collect())
    }

    fn get(&self, key: &[u8]) -> Option<&'l [u8]> {
        self.0.iter().find(|(found, _)| *found == key).map(|(_, value)| *value)
    }

    fn hex(&self, key: &[u8]) -> Option<u32> {
        u32::try_from(text::hex(self.get(key)?)?).ok()
    }

    fn inode(&self) -> Option<WatchedInode> {
        let handle = match (self.hex(b"fhandle-type"), self.get(b"f_handle")) {
            (Some(kind), Some(digits)) => {
                let byte = |pair: &[u8]| u8::try_from(text::hex(pair)?).ok();
                Some((kind, digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>()?))
            }
            _ => None,
        };
        Some(WatchedInode { ino: text::hex(self.get(b"ino")?)?, dev: self.hex(b"sdev")?, handle })
    }
}

/// The watches of an inotify instance.
pub fn inotify(info: &FdInfo) -> Result<Vec<Watch>> {
    let lines = info.rest.iter().filter(|line| line.starts_with(b"inotify "));
    lines.map(|line| text::field("inotify", line, watch)).collect()
}

/// `inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:7e9e0000640d1b6d`
fn watch(line: &[u8]) -> Option<Watch> {
    let words = Words::of(line);
    let (wd, mask, ignored_mask) = (words.hex(b"wd")?, words.hex(b"mask")?, words.hex(b"ignored_mask")?);
    Some(Watch { wd, mask, ignored_mask, inode: words.inode()? })
}

/// Reads the lines of a fanotify group.
pub fn fanotify(info: &FdInfo) -> Result<Fanotify> {
    let lines = info.rest.iter().filter_map(|line| line.strip_prefix(b"fanotify "));
    let (mut own, mut marks) = (None, Vec::new());
    for line in lines {
        let words = Words::of(line);
        match (words.hex(b"flags"), words.hex(b"event-flags")) {
            (Some(flags), Some(event_flags)) => own = Some((flags, event_flags)),
            _ => marks.push(text::field("fanotify", line, mark)?),
        }
    }
    let (flags, event_flags) = own.ok_or_else(|| text::missing("fanotify flags"))?;
    Ok(Fanotify { flags, event_flags, marks })
}

/// `ino:9e7e sdev:800013 mflags:0 mask:8 ignored_mask:40000000 fhandle-...`; `mnt_id:12 mflags:...`; `sdev:1b mflags:...`
fn mark(line: &[u8]) -> Option<Mark> {
    let words = Words::of(line);
    let on = match (words.get(b"ino"), words.get(b"mnt_id"), words.get(b"sdev")) {
        (Some(_), ..) => Marked::Inode(words.inode()?),
        (_, Some(_), _) => Marked::Mount(words.hex(b"mnt_id")?),
        (.., Some(_)) => Marked::FileSystem(words.hex(b"sdev")?),
        _ => Marked::Other(line.to_vec()),
    };
    let (mask, ignored_mask) = (words.hex(b"mask")?, words.hex(b"ignored_mask")?);
    Some(Mark { on, flags: words.hex(b"mflags")?, mask, ignored_mask })
}

/// The process or thread of a pidfd, in the pid namespace of our own /proc: -1 if it has ended and was waited for.
pub fn pidfd(info: &FdInfo) -> Result<Pid> {
    required(info, "Pid", text::dec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fdinfo;

    fn info(rest: &str) -> Result<FdInfo> {
        fdinfo::parse(format!("pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t40\n{rest}").as_bytes())
    }

    #[test]
    fn reads_counters_signals_and_processes() -> Result<()> {
        let shown = info("eventfd-count:               1f\neventfd-id: 7\neventfd-semaphore: 1\n")?;
        assert_eq!(eventfd(&shown)?, Eventfd { count: 31, semaphore: Some(true) });
        assert_eq!(eventfd(&info("eventfd-count: 0\n")?)?.semaphore, None);
        assert_eq!(signalfd(&info("sigmask:\t0000000000000a00\n")?)?, 0xa00);
        let on_mips = info("sigmask:\t80000000000000000000000000000001\n")?;
        assert_eq!(signalfd(&on_mips)?, 1 << 127 | 1);
        assert_eq!(pidfd(&info("Pid:\t-1\nNSpid:\t-1\n")?)?, -1);
        assert!(eventfd(&info("tfd: 1\n")?).is_err());
        Ok(())
    }

    #[test]
    fn reads_targets() -> Result<()> {
        let shown = info(
            "tfd:        5 events:       1d data: ffffffffffffffff  pos:0 ino:51 sdev:a\n\
             tfd:        7 events: 40000000 data:                0\n",
        )?;
        let first = EpollTarget { number: 5, events: 0x1d, data: u64::MAX, file: Some((0, 0x51, 10)) };
        let second = EpollTarget { number: 7, events: 1 << 30, data: 0, file: None };
        assert_eq!(epoll(&shown)?, [first, second]);
        assert_eq!(epoll(&info("")?)?, []);
        assert!(epoll(&info("tfd: 5 events: 1d\n")?).is_err());
        Ok(())
    }

    #[test]
    fn reads_watches() -> Result<()> {
        let shown = info(
            "inotify wd:1f ino:9a4021 sdev:fe00000 mask:84000002 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 \
             f_handle:21409a00357ca142\ninotify wd:2 ino:5 sdev:15 mask:fff ignored_mask:0\n",
        )?;
        let watches = inotify(&shown)?;
        let first = watches.first().map(|watch| (watch.wd, watch.mask, watch.inode.device()));
        assert_eq!(first, Some((31, 0x8400_0002, (254, 0))));
        let handle = watches.first().and_then(|watch| watch.inode.handle.clone());
        assert_eq!(handle, Some((1, vec![0x21, 0x40, 0x9a, 0, 0x35, 0x7c, 0xa1, 0x42])));
        assert_eq!(watches.get(1).map(|watch| watch.inode.handle.is_none()), Some(true));
        assert!(inotify(&info("inotify wd:1 ino:5\n")?).is_err());
        Ok(())
    }

    #[test]
    fn reads_marks() -> Result<()> {
        let shown = info(
            "fanotify flags:10 event-flags:8000\nfanotify sdev:fe00000 mflags:0 mask:10 ignored_mask:0\n\
             fanotify mnt_id:1e mflags:0 mask:10 ignored_mask:0\n\
             fanotify ino:7 sdev:15 mflags:40 mask:20 ignored_mask:2 fhandle-bytes:4 fhandle-type:1 f_handle:01020304\n",
        )?;
        let group = fanotify(&shown)?;
        assert_eq!((group.flags, group.event_flags), (0x10, 0x8000));
        let on: Vec<_> = group.marks.iter().map(|mark| (mark.flags, mark.mask, mark.ignored_mask)).collect();
        assert_eq!(on, [(0, 16, 0), (0, 16, 0), (0x40, 0x20, 2)]);
        assert_eq!(group.marks.get(1).map(|mark| mark.on.clone()), Some(Marked::Mount(30)));
        assert!(fanotify(&info("")?).is_err());
        Ok(())
    }

    #[test]
    fn reads_features() -> Result<()> {
        let shown = info("pending:\t0\ntotal:\t1\nAPI:\taa:80000011:800000000000001f\n")?;
        assert_eq!(userfaultfd(&shown)?, 0x11);
        assert!(userfaultfd(&info("API:\taa\n")?).is_err());
        Ok(())
    }

    #[test]
    fn reads_a_timer() -> Result<()> {
        let shown =
            info("clockid: 1\nticks: 3\nsettime flags: 01\nit_value: (0, 49406829)\nit_interval: (1, 0)\n")?;
        let expected = Timerfd { clock: 1, ticks: 3, flags: 1, value: (0, 49_406_829), interval: (1, 0) };
        assert_eq!(timerfd(&shown)?, expected);
        assert!(
            timerfd(&info("clockid: 1\nticks: 3\nsettime flags: 01\nit_value: 0\nit_interval: (1, 0)\n")?)
                .is_err()
        );
        Ok(())
    }
}
