//! Images that are truncated, bit-flipped or made up, through the whole command: an error or a restored tree, but
//! never a panic, a signal, a hang, or a process that is left behind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{self, SIGKILL};
use nix::unistd::Pid;

use crate::command::{crio, dump, run};
use crate::random::Random;
use crate::victim::{await_gone, names};

const ROUNDS: usize = 150;
/// Bytes of address space that crio may have.
const MEMORY: &str = "2147483648";

/// Images of a small tree: a shell with a child and a pipe between them.
fn images(marker: &str, place: &Path) -> tempfile::TempDir {
    let images = tempfile::tempdir().unwrap();
    let script = format!("sleep {marker} | sleep {marker}; :");
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", &script]).current_dir(place);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    while marked(marker).len() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    run(dump(child.id() as i32, "", images.path())).succeeded("dump");
    child.wait().unwrap();
    images
}

/// Processes with the marker among their arguments.
fn marked(marker: &str) -> Vec<i32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        cmdline.windows(marker.len()).any(|bytes| bytes == marker.as_bytes())
    };
    pids.filter(has).collect()
}

/// One change to one file, told in words.
fn mutate(dir: &Path, random: &mut Random) -> String {
    let names = names(dir);
    let name = &names[random.below(names.len() as u64) as usize];
    let path = dir.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let at = random.below(bytes.len() as u64) as usize;
    let what = match random.below(6) {
        0 => {
            bytes.truncate(at);
            "truncated"
        }
        1 | 2 if !bytes.is_empty() => {
            bytes[at] ^= 1 << random.below(8);
            "bit flipped"
        }
        3 => {
            let extreme = [0xff, 0x00, 0x7f, 0x80][random.below(4) as usize];
            let end = bytes.len().min(at + 1 + random.below(8) as usize);
            bytes[at..end].fill(extreme);
            "filled"
        }
        4 => {
            let part = bytes[at..].to_vec();
            bytes.extend(part);
            "doubled"
        }
        _ => {
            let other = &names[random.below(names.len() as u64) as usize];
            bytes = fs::read(dir.join(other)).unwrap();
            "replaced by another"
        }
    };
    fs::write(&path, bytes).unwrap();
    format!("{name} {what} at {at}")
}

#[test]
fn hostile_images_are_refused_or_restored_but_never_harm() {
    // Found in the command lines of the restored tasks, and in that of crio, which its unfinished children have.
    let marker = format!("98765.{}", std::process::id());
    let place = tempfile::tempdir().unwrap();
    let good = images(&marker, place.path());
    let (mut random, mut refused) = (Random::new(20), 0);
    for round in 0..ROUNDS {
        let bad = tempfile::Builder::new().prefix(&marker).tempdir().unwrap();
        for name in names(good.path()) {
            fs::copy(good.path().join(&name), bad.path().join(&name)).unwrap();
        }
        let mut told = mutate(bad.path(), &mut random);
        for _ in 0..random.below(3) {
            told = format!("{told}, {}", mutate(bad.path(), &mut random));
        }
        let context = format!("round {round}: {told}");
        let plain = crio("restore -d", bad.path());
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={MEMORY}")).arg("--core=0").arg(plain.get_program()).args(plain.get_args());
        let outcome = run(command);
        let code = outcome.status.code();
        assert!(code == Some(0) || code == Some(1), "{context}: {outcome:?}");
        assert!(
            !outcome.stderr.contains("panicked") && !outcome.stderr.contains("E-BUG"),
            "{context}: {outcome:?}"
        );
        let left = marked(&marker);
        if code == Some(0) {
            left.iter().for_each(|pid| signal::kill(Pid::from_raw(*pid), SIGKILL).unwrap_or(()));
        } else {
            refused += 1;
            assert!(outcome.stderr.contains("error[E-"), "{context}: {}", outcome.stderr);
        }
        await_gone(&left, &context);
    }
    assert!(refused > ROUNDS / 2, "only {refused} of {ROUNDS} mutations were found");
}
