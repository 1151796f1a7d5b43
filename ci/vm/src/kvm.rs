//! Whether the processor can execute a guest's instructions.
//!
//! The device may be there and guests still hang or abort at their first instructions (nested virtualisation), so a
//! guest is booted, with a time limit. The answer is good until this machine boots again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::guest::Guest;
use crate::qemu::{Accelerator, Emulated, Launcher};

const DEVICE: &str = "/dev/kvm";

/// A guest of a real processor is up in two or three seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// Whether this machine boots with KVM; the answer is kept in `folder`.
pub fn works(machine: &Emulated, folder: &Path) -> bool {
    if fs::File::options().read(true).write(true).open(DEVICE).is_err() {
        return false;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let record = folder.join(format!("kvm-{}", boot.trim()));
    if let Ok(answer) = fs::read_to_string(&record) {
        return answer.trim() == "works";
    }
    println!("vm: trying whether {DEVICE} works");
    let machine = Emulated { accelerator: Accelerator::Kvm, ..machine.clone() };
    let works = match Guest::boot(&Launcher::new(), &machine, LIMIT, folder, "kvm") {
        Ok(_) => true,
        Err(error) => {
            println!("vm: {DEVICE} does not work here, QEMU emulates the processor: {}", first_line(&error));
            false
        }
    };
    // It is only asked for again.
    let _ = fs::write(&record, if works { "works" } else { "does not work" });
    works
}

fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}
