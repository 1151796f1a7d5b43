//! Finding a place to work in a stopped process: the vdso's unused tail for the stub, a hole for the area. A process
//! that has unmapped its vdso has unused bytes at the end of its program.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};

use nix::fcntl::OFlag;

use super::batch::Area;
use super::loan::slot_len;
use crate::error::{Blame, Error, OsContext, Result};
use crate::kernel::pagemap::page_size;
use crate::kernel::smaps::{self, Backing, Vma};
use crate::kernel::status::Status;
use crate::kernel::{Pid, ProcDir, elf, status};
use crate::sys::attr::prlimit;

/// Bytes of the area in a victim: room for all signal actions and a few hundred timers.
const AREA_LEN: u64 = 256 << 10;
/// Distance to neighbours: stacks and heaps grow, and the kernel keeps 256 pages below a stack free.
const MARGIN: u64 = 32 << 20;
const LOWEST: u64 = 1 << 20;

/// Signals without effect where they are neither handled nor blocked, in order of preference.
const QUIET_SIGNALS: [i32; 3] = [libc::SIGURG, libc::SIGWINCH, libc::SIGCHLD];

/// Where and with what a process can be borrowed; found once per process while it is stopped.
#[derive(Debug, Clone)]
pub struct Site {
    /// The process.
    pub pid: i32,
    /// Its /proc/PID/mem, open for reading and writing.
    pub mem: Arc<File>,
    /// Where the stubs go: in the unused tail of the vdso, or of a program.
    pub stub: u64,
    /// How many there is room for: 1 or 2.
    pub slots: u64,
    /// Where the area goes: a hole of the address space.
    pub area: Area,
    /// Signals that have no effect on a thread that does not block them, in order of preference.
    pub quiet: Vec<u32>,
}

impl Site {
    /// Where to work in a process that stands still.
    pub fn find(proc: &ProcDir) -> Result<Self> {
        Self::among(proc, &smaps::read_maps(proc)?)
    }

    /// The same in one that has these mappings.
    pub fn among(proc: &ProcDir, vmas: &[Vma]) -> Result<Self> {
        let mem = Arc::new(File::from(proc.open_file("mem", OFlag::O_RDWR)?));
        // The vsyscall page lies beyond what a task can map.
        let own = vmas.iter().filter(|vma| vma.backing != Backing::Vsyscall);
        let taken: Vec<Range<u64>> = own.map(Vma::range).collect();
        let (stub, slots) = stub_place(proc.pid(), vmas, &mem)?;
        Ok(Site {
            pid: proc.pid(),
            stub,
            slots,
            mem,
            area: hole(&taken, AREA_LEN)?,
            quiet: quiet_of(&status::read(proc)?),
        })
    }

    /// The signals without effect in a process that handles and ignores these, but none that is queued. Masks have bit
    /// `n-1` for signal n.
    pub fn quiet_signals(caught: u128, ignored: u128, queued: u128) -> Vec<u32> {
        let free = |signal: &i32| (caught | queued) & bit(*signal as u32) == 0;
        let by_choice = (1..=arch::syscall::SIGNALS)
            .filter(|s| ignored & bit(*s as u32) != 0 && *s != libc::SIGCONT && !QUIET_SIGNALS.contains(s));
        QUIET_SIGNALS.into_iter().chain(by_choice).filter(free).map(|signal| signal as u32).collect()
    }

    /// The signal that tells the end of a batch in a thread with this mask, 0 if there is none: one that the thread
    /// blocks might be waited for by sigwait(3) or signalfd(2), and must not be taken from it.
    pub(super) fn wake_signal(&self, mask: u128) -> u32 {
        self.quiet.iter().copied().find(|signal| mask & bit(*signal) == 0).unwrap_or(0)
    }
}

/// That of a signal in a mask.
pub(super) fn bit(signal: u32) -> u128 {
    1 << (signal - 1)
}

fn quiet_of(status: &Status) -> Vec<u32> {
    let signals = &status.signals;
    Site::quiet_signals(signals.caught, signals.ignored, signals.pending | signals.shared_pending)
}

/// Address of unused bytes of code, and how many stubs of [`slot_len`] there is room for, up to two.
fn stub_place(pid: i32, vmas: &[Vma], mem: &File) -> Result<(u64, u64)> {
    let none = |reason: &str| {
        Error::new("E-VDSO", Blame::Program, format!("{reason}, so that no code of ours can run in it"))
            .on(format!("task {pid}"))
            .help("report this with /proc/PID/maps")
    };
    let Some(vdso) = vmas.iter().find(|vma| vma.backing == Backing::Vdso) else {
        if vmas.iter().any(|vma| matches!(vma.backing, Backing::Vvar | Backing::VvarVclock)) {
            return Err(none("has unmapped its vdso, but not the data of that"));
        }
        return program_tail(vmas, mem)?
            .ok_or_else(|| none("has no vdso and no room at the end of its code"));
    };
    let mut image = vec![0; vdso.len() as usize];
    mem.read_exact_at(&mut image, vdso.start).os(|| format!("read the vdso of {pid}"))?;
    let layout = elf::vdso(&image)?;
    // What the loan overwrites, it puts back: room that only a debugger would look at is better than none.
    let places = [layout.tail, layout.wide_tail].map(|tail| {
        let start = (vdso.start + tail.start).next_multiple_of(16);
        (start, (vdso.start + tail.end).saturating_sub(start) / slot_len())
    });
    let found = places.into_iter().find(|(_, slots)| *slots > 0);
    let (start, slots) = found.ok_or_else(|| none("has a vdso without room at its end"))?;
    Ok((start, slots.min(2)))
}

/// The same in the last page of a file's code: what is there is zeros, or the beginning of its data, which it uses
/// elsewhere.
fn program_tail(vmas: &[Vma], mem: &File) -> Result<Option<(u64, u64)>> {
    let code = |vma: &&Vma| {
        vma.exec && vma.read && !vma.write && !vma.shared && matches!(vma.backing, Backing::File(_))
    };
    let page = page_size()?;
    let mut found = None;
    for vma in vmas.iter().filter(code) {
        let mut last = vec![0; page as usize];
        // Beyond the end of its file a mapping cannot be read.
        if mem.read_exact_at(&mut last, vma.end - page).is_err() {
            continue;
        }
        let slots = match code_end(vma, vmas, mem) {
            Some(end) => ((vma.end - end) / slot_len()).min(2),
            None => free_slots(&last),
        };
        if slots > 0 {
            found = found.max(Some((slots, vma.end - slots * slot_len())));
        }
    }
    Ok(found.map(|(slots, start)| (start, slots)))
}

/// The address in the last page of `code` behind which nothing of its file is loaded, as the file's own headers tell.
fn code_end(code: &Vma, vmas: &[Vma], mem: &File) -> Option<u64> {
    let is_start =
        |vma: &&Vma| vma.start <= code.start && (vma.dev, vma.ino, vma.offset) == (code.dev, code.ino, 0);
    let start = vmas.iter().rev().find(is_start)?.start;
    let mut headers = vec![0; page_size().ok()? as usize];
    mem.read_exact_at(&mut headers, start).ok()?;
    // A file that is mapped for its code alone need not be a program.
    let ends = elf::code_ends(&headers).ok()?;
    let last = code.end - headers.len() as u64..=code.end;
    ends.iter().filter_map(|end| start.checked_add(*end)).find(|end| last.contains(end))
}

/// How many stubs fit at the end of a page: where there are zeros, or stubs that a killed crio has left.
fn free_slots(page: &[u8]) -> u64 {
    let is_free = |slot: &&[u8]| slot.iter().all(|byte| *byte == 0) || slot.starts_with(arch::stub());
    page.rchunks_exact(slot_len() as usize).take(2).take_while(is_free).count() as u64
}

/// A free range of `len` bytes, far from all that is taken; the highest there is. What is taken may overlap: it may be that
/// of several tasks.
pub fn hole(taken: &[Range<u64>], len: u64) -> Result<Area> {
    let mut taken: Vec<&Range<u64>> = taken.iter().collect();
    taken.sort_by_key(|range| range.start);
    let gaps = taken.iter().scan(LOWEST, |low, range| {
        let gap = (*low, range.start);
        *low = range.end.max(*low);
        Some(gap)
    });
    let fits = |(low, high): &(u64, u64)| high.saturating_sub(*low) > len + 2 * MARGIN;
    let (_, high) = gaps.filter(fits).last().ok_or_else(|| {
        Error::new(
            "E-ADDRESS-SPACE",
            Blame::Program,
            format!("has no free range of {} MiB", (len + 2 * MARGIN) >> 20),
        )
    })?;
    Ok(Area { start: high - MARGIN - len, len })
}

/// Why the kernel gives a process no area: limits of its own, or the machine's, count us in.
pub(super) fn no_room(pid: Pid, len: u64, errno: std::io::Error) -> Error {
    let soft = |resource| prlimit(pid, resource, None).map_or(u64::MAX, |(soft, _)| soft);
    let proc = ProcDir::open(pid);
    let size =
        proc.as_ref().ok().and_then(|proc| status::read(proc).ok()).map_or(0, |status| status.memory.size);
    let room = size + 2 * len;
    let (reason, help) = if errno.raw_os_error() == Some(libc::EAGAIN) {
        let more = soft(libc::RLIMIT_MEMLOCK).saturating_add(len);
        ("it locks all new memory, but may lock no more", format!("prlimit --pid {pid} --memlock={more}:"))
    } else if room > soft(libc::RLIMIT_AS) {
        ("its memory is near its limit (RLIMIT_AS)", format!("prlimit --pid {pid} --as={room}:"))
    } else if soft(libc::RLIMIT_DATA) != u64::MAX {
        ("its data are near their limit (RLIMIT_DATA)", format!("prlimit --pid {pid} --data={room}:"))
    } else {
        (
            "the machine gives it no memory",
            "free memory, or allow more of it: vm.overcommit_memory".to_owned(),
        )
    };
    let reason = format!("has no room for {} KiB that its dump needs for a moment: {reason}", len >> 10);
    Error::new("E-ADDRESS-SPACE", Blame::Program, reason)
        .on(format!("task {pid}"))
        .detail(errno.to_string())
        .help(help)
}

/// Mappings beside its own that a task has for a moment, in a dump or at its restore.
const SPARE_MAPPINGS: usize = 16;

/// Refuses a task with so many mappings that there could be none for a dump, or at its restore.
pub fn refuse_crowded(mappings: usize) -> Result<()> {
    /// vm.max_map_count
    static MOST: LazyLock<usize> = LazyLock::new(|| {
        let text = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(usize::MAX)
    });
    if mappings.saturating_add(SPARE_MAPPINGS) <= *MOST {
        return Ok(());
    }
    let reason = format!("has {mappings} mappings, and may have {}: dump and restore need some more", *MOST);
    Err(Error::new("E-ADDRESS-SPACE", Blame::Program, reason).help(format!(
        "sysctl vm.max_map_count={}, also where it is restored",
        mappings + 4 * SPARE_MAPPINGS
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_signal_is_one_without_effect() {
        let [urg, winch, chld] = QUIET_SIGNALS.map(|signal| signal as u32);
        assert_eq!(Site::quiet_signals(0, 0, 0), [urg, winch, chld]);
        assert_eq!(Site::quiet_signals(bit(urg), 0, bit(winch)), [chld]);
        assert_eq!(Site::quiet_signals(bit(urg) | bit(winch) | bit(chld), bit(40) | bit(urg), 0), [40]);
        assert!(Site::quiet_signals(!0, 0, 0).is_empty());
    }

    #[test]
    fn a_signal_that_a_thread_blocks_does_not_wake_it() {
        let mem = Arc::new(File::open("/dev/null").unwrap());
        let quiet = Site::quiet_signals(0, 0, 0);
        let site = Site { pid: 1, mem, stub: 0, slots: 1, area: Area { start: 0, len: 0 }, quiet };
        assert_eq!(site.wake_signal(0), libc::SIGURG as u32);
        assert_eq!(site.wake_signal(bit(libc::SIGURG as u32)), libc::SIGWINCH as u32);
        assert_eq!(site.wake_signal(!0), 0);
    }

    #[test]
    fn stubs_go_where_a_page_ends_in_zeros_or_stubs() {
        let slot = slot_len() as usize;
        let mut page = vec![0xcc; 4096];
        assert_eq!(free_slots(&page), 0);
        page[4096 - slot..].fill(0);
        assert_eq!(free_slots(&page), 1);
        page[4096 - 2 * slot..].fill(0);
        page[4096 - slot..][..arch::stub().len()].copy_from_slice(arch::stub());
        assert_eq!(free_slots(&page), 2);
    }

    #[test]
    fn the_highest_gap_that_fits_is_taken_with_margins() -> Result<()> {
        let taken = [
            0x1000_0000..0x1000_1000,
            0x7000_0000_0000..0x7000_0000_1000,
            0x7000_0010_0000..0x7000_0020_0000,
        ];
        let area = hole(&taken, 4096)?;
        assert_eq!(area.start, 0x7000_0000_0000 - MARGIN - 4096);
        // One task has a mapping where another one has a much larger one.
        let nested = [0x1000_0000..0x7000_0000, 0x2000_0000..0x2000_1000, 0x7100_0000..0x7200_0000];
        assert_eq!(hole(&nested, 4096)?.start, 0x1000_0000 - MARGIN - 4096);
        let everything = std::iter::once(0..u64::MAX).collect::<Vec<_>>();
        assert_eq!(hole(&everything, 4096).map_err(|e| e.code()), Err("E-ADDRESS-SPACE"));
        Ok(())
    }
}
