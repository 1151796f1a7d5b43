//! Images for people: one image field by field, or a directory as its tasks, descriptors and mappings.
//!
//! It shows what is there and leaves out what is not; what ought to be there is the matter of [`verify`](super::verify).

use std::fmt::Write as _;

use serde_json::Value;

use super::message::{
    CoreEntry, FdinfoEntry, FileEntry, Machine, MmEntry, PstreeEntry, TaskKobjIdsEntry, VmaEntry, state,
    status,
};
use super::style::{self, IntStyle, OpenFlags, VmaStatus};
use super::{ImageDir, Kind, pages};
use crate::error::Result;

/// The entries of an image (as [`json::decode`](super::json::decode) gives it) as indented lines `name: value`.
pub fn image(name: &str, json: &Value) -> String {
    let none = Vec::new();
    let entries = json.get("entries").and_then(Value::as_array).unwrap_or(&none);
    let magic = json.get("magic").and_then(Value::as_str).unwrap_or("raw");
    let mut out = format!("{name}: {magic}, {} entries\n", entries.len());
    for (n, entry) in entries.iter().enumerate() {
        let _ = writeln!(out, "entry {n}"); // a String takes everything
        fields(&mut out, entry, 1);
    }
    out
}

fn fields(out: &mut String, value: &Value, depth: usize) {
    let Some(object) = value.as_object() else { return };
    for (name, value) in object {
        let indent = "  ".repeat(depth);
        match value {
            Value::Object(_) => {
                let _ = writeln!(out, "{indent}{name}");
                fields(out, value, depth + 1);
            }
            Value::Array(list) if list.iter().any(Value::is_object) => {
                for (n, element) in list.iter().enumerate() {
                    let _ =
                        writeln!(out, "{indent}{name} {n}{}", if element.is_object() { "" } else { ": " });
                    fields(out, element, depth + 1);
                }
            }
            Value::Array(list) => {
                let words: Vec<String> = list.iter().map(plain).collect();
                let _ = writeln!(out, "{indent}{name}: {}", words.join(" "));
            }
            other => {
                let _ = writeln!(out, "{indent}{name}: {}", plain(other));
            }
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| text.trim_end().replace('\n', ""))
}

/// The machine of the dump; x86-64 when there is no task that says.
pub fn machine(dir: &ImageDir) -> Result<Machine> {
    for kind in dir.kinds()?.into_iter().filter(|kind| matches!(kind, Kind::Core(_))) {
        if let Some(core) = dir.read_one::<CoreEntry>(kind)? {
            return Ok(core.mtype());
        }
    }
    Ok(Machine::X86_64)
}

/// A directory: its tasks, and for each its descriptors and mappings.
pub fn directory(dir: &ImageDir) -> Result<String> {
    style::of(machine(dir)?, || listing(dir))
}

fn listing(dir: &ImageDir) -> Result<String> {
    let inventory = dir.inventory()?;
    let names = dir.names()?;
    let writer = inventory.crio_version.map_or("CRIU".to_owned(), |version| format!("crio {version}"));
    let images = names.iter().filter(|name| Kind::from_file_name(name).is_some()).count();
    let mut out = format!(
        "{}: {images} images in format {} of {writer}\n",
        dir.path().display(),
        inventory.img_version
    );
    let files: Vec<FileEntry> = dir.read_all(Kind::Files)?;
    let tasks: Vec<PstreeEntry> = dir.read_all(Kind::Pstree)?;
    out.push_str("\n     PID    PPID    PGID     SID STATE    THREADS COMMAND\n");
    for task in &tasks {
        let core: Option<CoreEntry> = dir.read_one(Kind::Core(task.pid))?;
        out.push_str(&task_line(task, core.as_ref()));
    }
    for task in &tasks {
        descriptors(&mut out, dir, task.pid, &files)?;
        memory(&mut out, dir, task.pid, &files)?;
    }
    Ok(out)
}

fn task_line(task: &PstreeEntry, core: Option<&CoreEntry>) -> String {
    let common = core.and_then(|core| core.tc.as_ref());
    let state = match common.map(|tc| tc.task_state) {
        Some(state::ALIVE) => "alive",
        Some(state::DEAD) => "dead",
        Some(state::STOPPED) => "stopped",
        Some(state::ZOMBIE) => "zombie",
        _ => "?",
    };
    let comm = common.map_or_else(|| "?".into(), |tc| String::from_utf8_lossy(&tc.comm));
    let (pid, ppid, pgid, sid, threads) = (task.pid, task.ppid, task.pgid, task.sid, task.threads.len());
    format!("{pid:>8}{ppid:>8}{pgid:>8}{sid:>8} {state:<8} {threads:>7} {comm}\n")
}

fn descriptors(out: &mut String, dir: &ImageDir, pid: u32, files: &[FileEntry]) -> Result<()> {
    let Some(ids) = ids_of(dir, pid)? else { return Ok(()) };
    let fds: Vec<FdinfoEntry> = dir.read_all(Kind::Fdinfo(ids.files_id))?;
    let _ = writeln!(out, "\ndescriptors of {pid}");
    for fd in fds {
        let file = files.iter().find(|file| file.id == fd.id);
        let _ = writeln!(out, "{:>6} {}", fd.fd, file.map_or_else(|| format!("file {}?", fd.id), describe));
    }
    Ok(())
}

/// The ids of a task: in its core since CRIU 1.x, or in an image of their own.
pub(super) fn ids_of(dir: &ImageDir, pid: u32) -> Result<Option<TaskKobjIdsEntry>> {
    match dir.read_one(Kind::Ids(pid))? {
        Some(ids) => Ok(Some(ids)),
        None => Ok(dir.read_one::<CoreEntry>(Kind::Core(pid))?.and_then(|core| core.ids)),
    }
}

/// An open file in a few words: `REG /dev/null O_RDWR pos 0`.
pub fn describe(file: &FileEntry) -> String {
    let kind = file.r#type().as_name();
    let text = String::from_utf8_lossy;
    let detail = if let Some(reg) = &file.reg {
        let flags = OpenFlags::text(reg.flags.into()).unwrap_or_default();
        format!("{} {} pos {}", text(&reg.name), if flags.is_empty() { "O_RDONLY" } else { &flags }, reg.pos)
    } else if let Some(pipe) = &file.pipe {
        format!("pipe:{}", pipe.pipe_id)
    } else if let Some(sk) = &file.usk {
        let name = text(&sk.name).replace('\0', "@");
        format!("{name} ino {} peer {}", sk.ino, sk.peer)
    } else if let Some(sk) = &file.isk {
        format!("proto {} state {} ports {} -> {}", sk.proto, sk.state, sk.src_port, sk.dst_port)
    } else if let Some(epoll) = &file.epfd {
        format!("watches {}", epoll.tfd.len())
    } else {
        String::new()
    };
    format!("{kind} {detail}").trim_end().to_owned()
}

fn memory(out: &mut String, dir: &ImageDir, pid: u32, files: &[FileEntry]) -> Result<()> {
    let Some(mm) = dir.read_one::<MmEntry>(Kind::Mm(pid))? else { return Ok(()) };
    let page_size = mm.page_size();
    let stored = pages::stored(dir, Kind::Pagemap(pid))?;
    let total: u64 = mm.vmas.iter().map(|vma| vma.end.saturating_sub(vma.start)).fold(0, u64::saturating_add);
    let (count, total, stored) = (mm.vmas.len(), total >> 10, stored.saturating_mul(page_size) >> 10);
    let _ = writeln!(out, "\nmemory of {pid}: {count} mappings of {total} KiB, {stored} KiB in the images");
    for vma in &mm.vmas {
        let _ = writeln!(out, "{}", mapping(vma, files));
    }
    Ok(())
}

fn mapping(vma: &VmaEntry, files: &[FileEntry]) -> String {
    let bit = |bit, letter| if vma.prot & bit != 0 { letter } else { '-' };
    let prot: String = [bit(1, 'r'), bit(2, 'w'), bit(4, 'x')].into_iter().collect();
    let share = if vma.flags & 1 != 0 { 's' } else { 'p' };
    let is_file = vma.status & (status::FILE_PRIVATE | status::FILE_SHARED) != 0;
    let file = files
        .iter()
        .find(|file| is_file && u64::from(file.id) == vma.shmid)
        .and_then(|file| file.reg.as_ref());
    let what = match (file, &vma.anon_name) {
        (Some(reg), _) => format!("{} +{:#x}", String::from_utf8_lossy(&reg.name), vma.pgoff),
        (None, Some(name)) => format!("[anon:{name}]"),
        (None, None) => status_words(vma.status),
    };
    format!("  {:012x}-{:012x} {prot}{share} {what}", vma.start, vma.end)
}

/// What a mapping without file is: `[heap anon_private]`.
fn status_words(bits: u32) -> String {
    let names = VmaStatus::text((bits & !status::REGULAR).into()).unwrap_or_default();
    format!("[{}]", names.replace("VMA_AREA_", "").replace("VMA_", "").replace(" |", "").to_lowercase())
}
