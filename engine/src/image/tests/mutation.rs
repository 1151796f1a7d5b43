//! Damaged images: whatever the bytes are, the answer is an entry or an error, soon and in little memory.
//!
//! The damage is seeded, so that a failure can be repeated: the message names the image and the round.

use std::fs::{self, File};
use std::io::Seek;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::*;
use super::{all, fixtures};

/// Damaged copies of each fixture.
const ROUNDS: u64 = 150;
/// What all of it together may add to the address space of this process, KiB: a size of 4 GiB that is believed, or
/// even one of 512 MiB, is above it.
const MEMORY: u64 = 400 << 10;

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

fn damage(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            2 => {
                // A word where sizes usually are, made hostile.
                let words = [u32::MAX, i32::MAX as u32, 1 << 31, 1 << 28, 0];
                let word = words[random.below(words.len())].to_le_bytes();
                bytes.iter_mut().skip(8 + at / 4 * 4).zip(word).for_each(|(byte, new)| *byte = new);
            }
            3 => bytes.iter_mut().skip(at).take(10).for_each(|byte| *byte = 0xff),
            _ => bytes.insert(at, random.below(256) as u8),
        }
    }
    bytes
}

/// `bytes` as a file, in the place of what `scratch` had before. One file for all rounds: ext4 waits for the disk when
/// a file that was emptied and written again is closed.
fn as_file(scratch: &File, bytes: &[u8]) -> File {
    scratch.set_len(0).unwrap();
    scratch.write_all_at(bytes, 0).unwrap();
    let mut file = scratch.try_clone().unwrap();
    file.rewind().unwrap();
    file
}

/// The largest size that this process has had, KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Runs the test `name` again in a process of its own, where no other test adds to the peak; true in that process.
fn alone(name: &str) -> bool {
    const MARK: &str = "CRIO_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let test = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    let output =
        std::process::Command::new(program).args(["--exact", &test]).env(MARK, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[test]
fn damaged_images_are_errors_at_worst() {
    if !alone("damaged_images_are_errors_at_worst") {
        return;
    }
    let before = peak();
    let scratch = tempfile::tempfile().unwrap();
    let mut refused = 0;
    for (path, bytes) in all() {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64);
        for round in 0..ROUNDS {
            let label = format!("{name} round {round}");
            refused += u32::from(
                json::decode_checked(as_file(&scratch, &damage(&bytes, &mut random)), &label).is_err(),
            );
        }
    }
    assert!(refused > 1000, "only {refused} were refused: is the damage real?");
    assert!(peak() - before < MEMORY, "{} KiB", peak() - before);
}

#[test]
fn every_truncation_is_noticed_or_harmless() {
    let scratch = tempfile::tempfile().unwrap();
    for (path, bytes) in all().into_iter().filter(|(_, bytes)| bytes.len() < 600) {
        for len in 0..bytes.len() {
            let file = as_file(&scratch, &bytes[..len]);
            let Ok((json, _)) = json::decode_checked(file, "image") else {
                continue;
            };
            // What still parses must be a whole number of entries, and so encode to exactly what is there.
            let mut again = Vec::new();
            json::encode(&json, "json", &mut again).unwrap();
            assert_eq!(again, &bytes[..len], "{} cut at {len}", path.display());
        }
    }
}

#[test]
fn damaged_directories_are_problems_at_worst() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<_> = ImageDir::open(fixtures("task")).unwrap().names().unwrap();
    let restore = |name: &str| fs::copy(fixtures("task").join(name), folder.path().join(name)).unwrap();
    for name in &names {
        restore(name);
    }
    pages_of_the_task(folder.path());
    let dir = ImageDir::open(folder.path()).unwrap();
    let mut random = Random(42);
    let mut found = 0;
    for name in names.iter().cycle().take(150) {
        let bytes = fs::read(fixtures("task").join(name)).unwrap();
        fs::remove_file(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name), damage(&bytes, &mut random)).unwrap();
        found += verify::directory(&dir).unwrap().len();
        let _ = show::directory(&dir); // any answer will do
        fs::remove_file(folder.path().join(name)).unwrap();
        restore(name);
    }
    assert!(found > 100, "only {found} problems");
    assert_eq!(verify::directory(&dir).unwrap(), []);
}

/// A pages image of the right size for `fixtures/task`, all holes.
pub(in super::super) fn pages_of_the_task(folder: &Path) {
    File::create(folder.join("pages-1.img")).unwrap().set_len(31 * 4096).unwrap();
}
