//! Whether a file is still the one that was dumped: size, build-id, type and permissions.
//!
//! What is recorded, and for which files, is CRIU's: the size of every regular file but of logs (opened for appending
//! only, which others may write to), the build-id of an ELF file if it stands within the first MiB, and the mode.
//! `--file-validation` and `--skip-file-rwx-check` say what is compared. Content is compared for embedded files only.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::fcntl::OFlag;

use super::made::Anchor;
use crate::error::{Blame, Error, Result};
use crate::image::message::RegFileEntry;
use crate::kernel::elf;
use crate::log;
use crate::options::{FileValidation, RestoreOptions};
use crate::sys::stat::FileStat;

/// Linkers put the notes into the first page.
const FIRST_READ: usize = 4096;
/// How far CRIU looks for them.
const LAST_READ: usize = 1 << 20;

/// What identifies a regular file: its size and its build-id, 4 bytes to a word.
pub(super) fn record(
    anchor: &Anchor,
    stat: &FileStat,
    flags: u32,
    method: FileValidation,
) -> (Option<u64>, Vec<u32>) {
    let log_file =
        flags & libc::O_ACCMODE as u32 == libc::O_WRONLY as u32 && flags & libc::O_APPEND as u32 != 0;
    if log_file || stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return (None, Vec::new());
    }
    let build_id = match method {
        FileValidation::FileSize => Vec::new(),
        FileValidation::BuildId => words(&build_id_of(anchor, stat)),
    };
    (Some(stat.st_size as u64), build_id)
}

fn build_id_of(anchor: &Anchor, stat: &FileStat) -> Vec<u8> {
    // The shortest file that can be ELF by its header.
    if stat.st_size < 52 {
        return Vec::new();
    }
    // Without a trace in the access time, if the file's owner allows that.
    match anchor.content(OFlag::O_RDONLY | OFlag::O_NOATIME).or_else(|_| anchor.content(OFlag::O_RDONLY)) {
        Ok(file) => build_id(&file).unwrap_or_default(),
        Err(e) => {
            log::info!("No build-id of {}: {e}", anchor.path().display());
            Vec::new()
        }
    }
}

fn build_id(file: &File) -> Option<Vec<u8>> {
    let mut bytes = read_start(file, FIRST_READ)?;
    if !bytes.starts_with(b"\x7fELF") {
        return None;
    }
    if let Ok(Some(id)) = elf::build_id(&bytes) {
        return Some(id);
    }
    bytes = read_start(file, LAST_READ)?;
    elf::build_id(&bytes).ok().flatten()
}

fn read_start(file: &File, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
            Err(_) => return None,
        }
    }
    bytes.truncate(have);
    Some(bytes)
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0u32, |word, &byte| word << 8 | u32::from(byte));
    bytes.chunks(4).map(word).collect()
}

/// Compares the file found with what the image recorded.
///
/// # Errors
/// `E-FILE-CHANGED`, with what differs.
pub(super) fn compare(
    anchor: &Anchor,
    stat: &FileStat,
    reg: &RegFileEntry,
    options: &RestoreOptions,
) -> Result<()> {
    let path = String::from_utf8_lossy(&reg.name);
    let changed = |reason: String| Error::new("E-FILE-CHANGED", Blame::Environment, reason).on(path.clone());
    compare_mode(stat, reg, options, &changed)?;
    let Some(size) = reg.size else { return Ok(()) };
    if stat.st_size as u64 != size {
        return Err(restore_it(changed(format!("has {} bytes, the image expects {size}", stat.st_size))));
    }
    if options.file_validation == FileValidation::FileSize || reg.build_id.is_empty() {
        return Ok(());
    }
    let found = words(&build_id_of(anchor, stat));
    if !found.is_empty() && found != reg.build_id {
        let (found, wanted) = (hex(&found), hex(&reg.build_id));
        return Err(restore_it(changed(format!("has build-id {found}, the image expects {wanted}"))));
    }
    Ok(())
}

fn compare_mode(
    stat: &FileStat,
    reg: &RegFileEntry,
    options: &RestoreOptions,
    changed: &dyn Fn(String) -> Error,
) -> Result<()> {
    let Some(wanted) = reg.mode else { return Ok(()) };
    let found = stat.st_mode;
    if found & libc::S_IFMT != wanted & libc::S_IFMT {
        let reason = format!("is a {}, the image expects a {}", type_name(found), type_name(wanted));
        return Err(changed(reason).help("put back what was there when the program was dumped"));
    }
    let ignored = if options.skip_file_rwx_check { 0o777 } else { 0 };
    if found & !ignored != wanted & !ignored {
        let reason = format!("has mode {:o}, the image expects {:o}", found & 0o7777, wanted & 0o7777);
        return Err(changed(reason).help("chmod it, or restore with --skip-file-rwx-check"));
    }
    Ok(())
}

fn restore_it(e: Error) -> Error {
    e.detail("it is open or mapped, so its content must be the same").help(
        "copy the file from the machine of the dump, or dump with --embed-files so that the image carries it",
    )
}

/// What stat(2) calls the type of a file.
pub(super) fn type_name(mode: u32) -> &'static str {
    match mode & libc::S_IFMT {
        libc::S_IFREG => "regular file",
        libc::S_IFDIR => "directory",
        libc::S_IFLNK => "symbolic link",
        libc::S_IFIFO => "FIFO",
        libc::S_IFCHR => "character device",
        libc::S_IFBLK => "block device",
        libc::S_IFSOCK => "socket",
        _ => "file of unknown type",
    }
}

fn hex(words: &[u32]) -> String {
    words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sys::stat::fstat;
    use std::path::Path;

    fn recorded(path: &Path) -> (Anchor, FileStat, RegFileEntry) {
        let anchor = Anchor::at(path).unwrap();
        let stat = fstat(&anchor).unwrap();
        let (size, build_id) = record(&anchor, &stat, 0, FileValidation::BuildId);
        let name = path.as_os_str().as_encoded_bytes().to_vec();
        let reg = RegFileEntry { name, size, build_id, mode: Some(stat.st_mode), ..RegFileEntry::default() };
        (anchor, stat, reg)
    }

    #[test]
    fn our_own_program_has_a_build_id_and_validates() {
        let (anchor, stat, mut reg) = recorded(&std::env::current_exe().unwrap());
        assert_eq!((reg.size, reg.build_id.len()), (Some(stat.st_size as u64), 5));
        let mut options = RestoreOptions::default();
        compare(&anchor, &stat, &reg, &options).unwrap();
        *reg.build_id.first_mut().unwrap() ^= 1;
        let e = compare(&anchor, &stat, &reg, &options).unwrap_err();
        assert!(e.code() == "E-FILE-CHANGED" && e.headline().contains("build-id"), "{e}");
        options.file_validation = FileValidation::FileSize;
        compare(&anchor, &stat, &reg, &options).unwrap();
        reg.size = Some(1);
        let e = compare(&anchor, &stat, &reg, &options).unwrap_err();
        assert!(e.to_string().contains("the image expects 1") && e.remedy().is_some(), "{e}");
    }

    #[test]
    fn type_and_permissions_count() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let (anchor, stat, mut reg) = recorded(dir.path());
        assert_eq!((reg.size, reg.mode), (None, Some(0o40700)));
        let mut options = RestoreOptions::default();
        reg.mode = Some(0o40755);
        let e = compare(&anchor, &stat, &reg, &options).unwrap_err();
        assert!(e.headline().ends_with("has mode 700, the image expects 755"), "{e}");
        options.skip_file_rwx_check = true;
        compare(&anchor, &stat, &reg, &options).unwrap();
        reg.mode = Some(0o100755);
        let e = compare(&anchor, &stat, &reg, &options).unwrap_err();
        assert!(e.headline().ends_with("is a directory, the image expects a regular file"), "{e}");
    }

    #[test]
    fn logs_and_short_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "\x7fELF").unwrap();
        let (anchor, stat, reg) = recorded(&path);
        assert_eq!((reg.size, reg.build_id), (Some(4), Vec::new()));
        let append = (libc::O_WRONLY | libc::O_APPEND) as u32;
        assert_eq!(record(&anchor, &stat, append, FileValidation::BuildId), (None, Vec::new()));
        std::fs::write(&path, [b"\x7fELF\x02\x01\x01".as_slice(), &[0xff; 200]].concat()).unwrap();
        assert_eq!(recorded(&path).2.build_id, Vec::<u32>::new());
        assert_eq!(words(&[1, 2, 3, 4, 5]), [0x04030201, 5]);
    }
}
