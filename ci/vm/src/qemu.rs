//! QEMU's command line, and QEMU's end with ours.
//!
//! The emulator is started through setpriv(1), which asks the kernel to kill it when the thread that started it ends
//! (PR_SET_PDEATHSIG of prctl(2)): whatever becomes of us, no emulator is left behind. That thread lives as long as
//! the [`Launcher`]. An interrupt from the terminal reaches the emulator as well as us.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result, anyhow};

use crate::image::Image;
use crate::matrix::Qemu;

/// Who executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU itself.
    Tcg,
}

/// A file that a guest sees as a disk, after that with its root: /dev/vdb, /dev/vdc and so on.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The file, which nobody else writes.
    pub file: PathBuf,
    /// Whether what the guest writes goes there.
    pub is_writable: bool,
}

/// A machine with what it is started from.
#[derive(Debug, Clone)]
pub struct Emulated {
    /// QEMU and its options.
    pub qemu: Qemu,
    /// Kernel, first root and disk.
    pub image: Image,
    /// More disks.
    pub disks: Vec<Disk>,
    /// Who executes.
    pub accelerator: Accelerator,
}

impl Emulated {
    /// The command that starts it, with its console on standard output and its agent at `socket`, where somebody
    /// listens.
    pub fn command(&self, socket: &Path) -> Command {
        let Emulated { qemu, image, disks, accelerator } = self;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", &qemu.program]);
        command.args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot", "-monitor", "none"]);
        let (accelerator, cpu) = match accelerator {
            Accelerator::Kvm => ("kvm", "host"),
            Accelerator::Tcg => ("tcg", qemu.cpu.as_str()),
        };
        command.args(["-accel", accelerator, "-M", &qemu.machine, "-cpu", cpu]);
        command.args(["-m", &qemu.memory, "-smp", &qemu.cpus.to_string()]);
        command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.first_root);
        command.arg("-append").arg(append(qemu)).args(["-serial", "stdio"]);
        // Guests share the disk's file; what one writes is in a file of its own that QEMU has unlinked.
        let disk = format!("file={},format=raw,if=none,id=disk,snapshot=on", image.disk.display());
        command.arg("-drive").arg(disk).args(["-device", "virtio-blk-pci,drive=disk"]);
        for (at, Disk { file, is_writable }) in disks.iter().enumerate() {
            let read_only = if *is_writable { "" } else { ",readonly=on" };
            let drive = format!("file={},format=raw,if=none,id=disk{at}{read_only}", file.display());
            command.arg("-drive").arg(drive).args(["-device", &format!("virtio-blk-pci,drive=disk{at}")]);
        }
        command.arg("-chardev").arg(format!("socket,id=agent,path={}", socket.display()));
        let port = format!("virtserialport,chardev=agent,name={}", zdtm::agent::PORT);
        command.args(["-device", "virtio-serial-pci", "-device", &port]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// The kernel's command line. A guest that panics or has an oops ends at once, as QEMU does not reboot it.
fn append(qemu: &Qemu) -> String {
    let words = [
        "console=",
        &qemu.console,
        " panic=-1 oops=panic quiet loglevel=4 net.ifnames=0 sysrq_always_enabled ",
        &qemu.append,
    ];
    words.concat().trim_end().to_owned()
}

type Request = (Command, Sender<std::io::Result<Child>>);

/// The thread that starts emulators.
#[derive(Debug)]
pub struct Launcher {
    requests: Sender<Request>,
}

impl Launcher {
    /// Starts the thread. It ends, and all its emulators with it, when the launcher is dropped.
    pub fn new() -> Self {
        let (requests, incoming): (Sender<Request>, Receiver<Request>) = channel();
        std::thread::spawn(move || {
            for (mut command, answer) in incoming {
                // Nobody waits for the answer when the guest was given up.
                let _ = answer.send(command.spawn());
            }
        });
        Launcher { requests }
    }

    /// Starts an emulator.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start(&self, command: Command) -> Result<Child> {
        let name = command.get_program().to_string_lossy().into_owned();
        let (answer, child) = channel();
        self.requests.send((command, answer)).map_err(|_| anyhow!("the launcher of emulators has ended"))?;
        child.recv()?.with_context(|| format!("cannot start {name}"))
    }
}

impl Default for Launcher {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn an_emulator_ends_with_its_launcher() -> Result<()> {
        let launcher = Launcher::new();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "sleep", "60"]);
        let mut child = launcher.start(command)?;
        // Until it sleeps, it may not have asked for the signal yet.
        while std::fs::read_to_string(format!("/proc/{}/comm", child.id()))?.trim() != "sleep" {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(child.try_wait()?, None);
        drop(launcher);
        let deadline = Instant::now() + Duration::from_secs(20);
        while child.try_wait()?.is_none() {
            assert!(Instant::now() < deadline, "it is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
