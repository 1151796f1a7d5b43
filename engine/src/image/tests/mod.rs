//! What CRIU 4.2.1 wrote (`fixtures/`) is read, shown, and written again byte for byte.
//!
//! `fixtures/task` is a whole directory but for its pages: `setsid sleep 1000` with everything on /dev/null.
//! `fixtures/kinds` has images of other kinds, out of dumps of programs that use them. `fixtures/schema` has one image
//! of each kind with every field of CRIU 4.2's schema set to its own number; crit 4.2's protobuf classes wrote them.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::message::*;
use super::*;

mod mutation;

pub(super) use mutation::pages_of_the_task;

/// The task of `fixtures/task`.
pub(super) const PID: u32 = 30091;

pub(super) fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image/fixtures").join(folder)
}

/// Path and content of every fixture.
fn all() -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["task", "kinds", "schema"] {
        for entry in std::fs::read_dir(fixtures(folder)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    assert!(found.len() > 60, "{} fixtures", found.len());
    found
}

fn decode(path: &Path, pretty: bool) -> (Value, bool) {
    let file = File::open(path).unwrap();
    style::pretty(pretty, || json::decode_checked(file, &path.display().to_string()).unwrap())
}

#[test]
fn json_gives_back_every_byte() {
    for (path, bytes) in all() {
        for pretty in [false, true] {
            let (json, exact) = decode(&path, pretty);
            assert!(exact, "{}: {json}", path.display());
            let text = serde_json::to_string_pretty(&json).unwrap();
            let mut again = Vec::new();
            json::encode(&serde_json::from_str(&text).unwrap(), "json", &mut again).unwrap();
            assert_eq!(again, bytes, "{}", path.display());
        }
    }
}

#[test]
fn a_task_of_criu_is_read() {
    let dir = ImageDir::open(fixtures("task")).unwrap();
    assert_eq!(dir.inventory().unwrap().img_version, format::VERSION);
    let tree: Vec<PstreeEntry> = dir.read_all(Kind::Pstree).unwrap();
    assert_eq!(tree.iter().map(|task| (task.pid, task.sid)).collect::<Vec<_>>(), [(PID, PID)]);
    let core: CoreEntry = dir.require(Kind::Core(PID)).unwrap();
    assert_eq!(core.mtype(), Machine::X86_64);
    assert_eq!(core.tc.unwrap().comm, b"sleep");
    let info = core.thread_info.unwrap();
    assert_eq!((info.gpregs.cs, info.tls.len(), info.fpregs.xmm_space.len()), (0x33, 3, 64));
    let files: Vec<FileEntry> = dir.read_all(Kind::Files).unwrap();
    assert!(files.iter().any(|file| file.reg.as_ref().is_some_and(|reg| reg.name == b"/dev/null")));
    let mm: MmEntry = dir.require(Kind::Mm(PID)).unwrap();
    assert_eq!(mm.page_size(), 4096);
    assert!(mm.vmas.iter().any(|vma| vma.status & status::VDSO != 0));
    assert!(dir.read_one::<MmEntry>(Kind::Mm(1)).unwrap().is_none());
}

#[test]
fn a_zombie_of_criu_leads_its_only_thread() {
    let entry = PstreeEntry { pid: 7, threads: vec![0x648e_0c10], ..PstreeEntry::default() };
    let core = |task_state| CoreEntry {
        tc: Some(TaskCoreEntry { task_state, ..TaskCoreEntry::default() }),
        ..CoreEntry::default()
    };
    assert_eq!(entry.threads_of(&core(state::DEAD)), [7]);
    assert_eq!(entry.threads_of(&core(state::ALIVE)), entry.threads);
}

#[test]
fn pretty_json_is_what_crit_shows() {
    let (json, _) = decode(&fixtures("task").join(format!("mm-{PID}.img")), true);
    let vma = json.pointer("/entries/0/vmas/0").unwrap();
    assert!(vma.get("start").and_then(Value::as_str).unwrap().starts_with("0x"));
    assert_eq!(vma.get("flags").unwrap(), "MAP_PRIVATE");
    assert_eq!(vma.get("status").unwrap(), "VMA_AREA_REGULAR | VMA_FILE_PRIVATE");
    let (json, _) = decode(&fixtures("kinds").join("ipcns-sem-11.img"), true);
    assert_eq!(json.pointer("/entries/0/extra").unwrap(), &serde_json::json!([0, 0, 0]));
    let (json, _) = decode(&fixtures("kinds").join("ipcns-msg-11.img"), false);
    assert_eq!(json.pointer("/entries/0/extra/1").unwrap(), "aGVsbG8gbXNnAAAAAA==\n");
}

#[test]
fn registers_of_every_machine_are_read() {
    let dir = ImageDir::open(fixtures("schema")).unwrap();
    let core: CoreEntry = dir.require(Kind::Core(1)).unwrap();
    let x86 = core.thread_info.unwrap();
    assert_eq!((x86.gpregs.r15, x86.gpregs.gs, x86.fpregs.xsave.unwrap().cet.unwrap().ssp), (1, 27, 2));
    let arm = core.ti_arm.unwrap();
    assert_eq!((arm.gpregs.orig_r0, arm.fpstate.vfp_regs, arm.fpstate.fpinst2), (18, vec![1], 5));
    let aarch64 = core.ti_aarch64.unwrap();
    assert_eq!((aarch64.gpregs.pstate, aarch64.fpsimd.fpcr, aarch64.tls), (4, 3, 2));
    assert_eq!(aarch64.pac_keys.unwrap().pac_address_keys.unwrap().pac_enabled_key, 9);
    let mips = core.ti_mips.unwrap();
    assert_eq!((mips.gpregs.r31, mips.gpregs.cp0_cause, mips.fpregs.fpu_id), (32, 38, 36));
    assert_eq!(core.ti_ppc64.unwrap().gpregs.trap, 9);
    assert_eq!(core.ti_s390.unwrap().fpregs.fpc, 1);
    assert_eq!(core.ti_riscv64.unwrap().gpregs.t6, 32);
    assert_eq!(core.ti_loongarch64.unwrap().fpregs.fcsr, 3);
}

#[test]
fn messages_written_by_us_are_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (ImageDir::open(fixtures("task")).unwrap(), ImageDir::open(folder.path()).unwrap());
    let same = |kind: Kind| {
        let read = |dir: &ImageDir| dir.reader(kind).unwrap().unwrap().whole().unwrap();
        assert_eq!(read(&from), read(&to), "{}", kind.file_name());
    };
    let core: CoreEntry = from.require(Kind::Core(PID)).unwrap();
    to.write_one(Kind::Core(PID), &core).unwrap();
    same(Kind::Core(PID));
    let inventory = from.inventory().unwrap();
    to.write_atomically(Kind::Inventory, &inventory, true).unwrap();
    same(Kind::Inventory);
    let mut files = to.writer(Kind::Files);
    for file in from.read_all::<FileEntry>(Kind::Files).unwrap() {
        files.push(&file).unwrap();
    }
    files.finish().unwrap();
    same(Kind::Files);
    assert_eq!(to.names().unwrap(), ["core-30091.img", "files.img", "inventory.img"]);
}

#[test]
fn our_own_fields_do_not_disturb_those_of_criu() {
    let thread_core = ThreadCoreEntry {
        cpu_affinity: vec![5, u32::MAX],
        xstate: Some(vec![1, 2, 3]),
        timerslack_ns: Some(50_000),
        ..Default::default()
    };
    let core = CoreEntry { thread_core: Some(thread_core), ..Default::default() };
    let folder = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(folder.path()).unwrap();
    dir.write_one(Kind::Core(1), &core).unwrap();
    assert_eq!(dir.require::<CoreEntry>(Kind::Core(1)).unwrap(), core);
    let (json, exact) = decode(&folder.path().join("core-1.img"), false);
    assert!(exact);
    assert_eq!(
        json.pointer("/entries/0/thread_core/cpu_affinity").unwrap(),
        &serde_json::json!([5, u32::MAX])
    );
}

#[test]
fn payloads_are_read_skipped_and_padded() {
    let folder = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(folder.path()).unwrap();
    let data = |pipe_id, bytes| PipeDataEntry { pipe_id, bytes, size: None };
    let mut writer = dir.writer(Kind::PipesData);
    writer.push_with_payload(&data(1, 3), b"abc").unwrap();
    writer.push_with_payload(&data(2, 2), b"de").unwrap();
    assert!(writer.push_with_payload(&data(3, 9), b"short").is_err());
    writer.finish().unwrap();

    let mut reader = dir.reader(Kind::PipesData).unwrap().unwrap();
    assert_eq!(reader.next::<PipeDataEntry>().unwrap().unwrap().pipe_id, 1);
    assert_eq!(reader.next::<PipeDataEntry>().unwrap().unwrap().pipe_id, 2);
    assert_eq!(reader.payload().unwrap(), b"de");

    let mut writer = dir.writer(Kind::IpcSem(1));
    let sems = IpcSemEntry { nsems: 3, ..Default::default() };
    writer.push_with_payload(&sems, &[1, 0, 2, 0, 3, 0]).unwrap();
    writer.finish().unwrap();
    let (json, exact) = decode(&folder.path().join("ipcns-sem-1.img"), false);
    assert_eq!((json.pointer("/entries/0/extra").unwrap(), exact), (&serde_json::json!([1, 2, 3]), true));
}

#[test]
fn errors_name_the_image_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(folder.path()).unwrap();
    let error = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let kind = Kind::from_file_name(name).unwrap();
        dir.read_all::<PstreeEntry>(kind).unwrap_err().to_string()
    };
    let head = writer::header_to_bytes(Kind::Pstree);
    for (bytes, word) in [
        (vec![], "needs 4 bytes"),
        (vec![1, 2, 3, 4], "unknown magic 0x04030201"),
        (writer::header_to_bytes(Kind::Files), "it is a FILES image, not PSTREE"),
        ([&head[..], &[255, 0, 0, 0, 8]].concat(), "needs 255 bytes, 1 are left"),
        ([&head[..], &[2, 0, 0, 0, 8, 1]].concat(), "a required field is missing"),
        ([&head[..], &[1, 0, 0, 0, 255]].concat(), "at byte 8"),
        ([&head[..], &u32::MAX.to_le_bytes()].concat(), "too long"),
        ([&format::IMG_SERVICE.to_le_bytes(), &head[4..]].concat(), "does not fit"),
        ([&format::IMG_COMMON.to_le_bytes()[..], &0x5054_3737u32.to_le_bytes()].concat(), "unknown magic"),
        ([&format::IMG_COMMON.to_le_bytes()[..], &0x5412_3737u32.to_le_bytes()].concat(), "before 2.0"),
    ] {
        let text = error("pstree.img", &bytes);
        assert!(text.contains(word) && text.contains("pstree.img"), "{word}: {text}");
    }
    let json = |text: &str| json::encode(&serde_json::from_str(text).unwrap(), "x.json", &mut Vec::new());
    for (text, word) in [
        (r#"{"magic": "PSTREE", "entries": [{"pid": 1, "ppid": 0, "pgid": 1}]}"#, "`sid` is missing"),
        (r#"{"magic": "PSTREE", "entries": [{"pid": 1, "sdi": 1}]}"#, "unknown field `sdi`"),
        (r#"{"magic": "PSTREE", "entries": [{"pid": "one"}]}"#, "entry 0 of PSTREE"),
        (
            r#"{"magic": "PIPES_DATA", "entries": [{"pipe_id": 1, "bytes": 3, "extra": "AAAA"}, {}]}"#,
            "entry 1",
        ),
        (r#"{"magic": "PIPES_DATA", "entries": [{"pipe_id": 1, "bytes": 9, "extra": "AAAA"}]}"#, "says 9"),
        (r#"{"magic": "NOTHING", "entries": []}"#, "NOTHING"),
    ] {
        let error = json(text).unwrap_err().to_string();
        assert!(error.contains(word), "{word}: {error}");
    }
}

/// A file opened with O_RDWR | O_APPEND on MIPS, and anonymous memory there.
#[test]
fn what_is_shown_has_the_names_of_its_machine() {
    let folder = tempfile::tempdir().unwrap();
    let dir = ImageDir::open(folder.path()).unwrap();
    let reg = RegFileEntry { id: 1, flags: 0xa, name: b"/log".to_vec(), ..RegFileEntry::default() };
    let file = FileEntry { id: 1, reg: Some(reg), ..FileEntry::default() };
    dir.write_one(Kind::Files, &file).unwrap();
    let ids = TaskKobjIdsEntry { files_id: 1, ..TaskKobjIdsEntry::default() };
    let core = CoreEntry { mtype: Machine::Mips as i32, ids: Some(ids), ..CoreEntry::default() };
    dir.write_one(Kind::Core(7), &core).unwrap();
    dir.write_one(Kind::Fdinfo(1), &FdinfoEntry { id: 1, fd: 3, ..FdinfoEntry::default() }).unwrap();
    dir.write_one(Kind::Pstree, &PstreeEntry { pid: 7, threads: vec![7], ..PstreeEntry::default() }).unwrap();
    let inventory = InventoryEntry { img_version: format::VERSION, ..InventoryEntry::default() };
    dir.write_one(Kind::Inventory, &inventory).unwrap();
    let shown = show::directory(&dir).unwrap();
    assert!(shown.contains("/log O_RDWR | O_APPEND pos 0"), "{shown}");
    let core = CoreEntry { mtype: Machine::X86_64 as i32, ..core };
    dir.write_one(Kind::Core(7), &core).unwrap();
    let shown = show::directory(&dir).unwrap();
    assert!(shown.contains("/log O_RDWR | 0x8 pos 0"), "{shown}");
}
