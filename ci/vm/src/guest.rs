//! A guest that runs, and what is said to its agent.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use zdtm::protocol::{About, Order, Report, line};

use crate::console::Console;
use crate::qemu::{Emulated, Launcher};

/// How long a guest may take until its agent answers.
pub const BOOT: Duration = Duration::from_secs(240);

/// An agent sends a sign of life every second; one that is silent for so long hangs.
const SILENCE: Duration = Duration::from_secs(60);

/// What follows the line that says that it is over, a call trace say, is worth a moment.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A running emulator; dropping it ends it.
#[derive(Debug)]
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running guest; dropping it ends it.
#[derive(Debug)]
pub struct Guest {
    _qemu: Emulator,
    console: Console,
    orders: UnixStream,
    reports: Receiver<Report>,
    heard: Instant,
    /// What its agent said of it.
    pub about: About,
    /// Where its console is logged.
    pub log: PathBuf,
}

impl Guest {
    /// Boots a guest and waits for its agent, at most for `limit`. `folder` gets its socket and the log of its console, both
    /// called `name`.
    ///
    /// # Errors
    /// When it does not come up; with the last lines of its console.
    pub fn boot(
        launcher: &Launcher,
        machine: &Emulated,
        limit: Duration,
        folder: &Path,
        name: &str,
    ) -> Result<Self> {
        let socket = tempfile::Builder::new().prefix("agent").tempdir()?;
        let path = socket.path().join("port");
        let listener =
            UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
        listener.set_nonblocking(true)?;
        let log = folder.join(format!("{name}.console"));
        let mut qemu = Emulator(launcher.start(machine.command(&path))?);
        let (Some(output), Some(errors)) = (qemu.0.stdout.take(), qemu.0.stderr.take()) else {
            bail!("the emulator has no console");
        };
        let console = Console::listen(std::io::Read::chain(output, errors), &log)?;
        let orders = connection(&listener, &console, limit)?;
        let about = About { kernel: String::new(), machine: String::new(), page_size: 0, slowness: 1.0 };
        let reports = listen(orders.try_clone()?);
        let mut guest = Guest { _qemu: qemu, console, orders, reports, heard: Instant::now(), about, log };
        match guest.report(limit, limit).context("the guest did not come up")? {
            Report::Ready(about) => guest.about = about,
            other => bail!("the guest's agent begins with {other:?}"),
        }
        Ok(guest)
    }

    /// Sends an order.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn order(&mut self, order: &Order) -> Result<()> {
        self.orders
            .write_all(&line(order)?)
            .map_err(|error| self.lost(&format!("the agent is gone: {error}")))
    }

    /// The next report that is not a sign of life, within `limit` (times the guest's slowness).
    ///
    /// # Errors
    /// When the guest has ended, hangs, or takes too long; with the last lines of its console. It is of no use then.
    pub fn next(&mut self, limit: Duration) -> Result<Report> {
        self.report(limit.mul_f64(self.about.slowness), SILENCE)
    }

    fn report(&mut self, limit: Duration, silence: Duration) -> Result<Report> {
        let deadline = Instant::now() + limit;
        self.heard = Instant::now();
        loop {
            match self.reports.recv_timeout(Duration::from_millis(200)) {
                Ok(Report::Alive) => self.heard = Instant::now(),
                Ok(report) => {
                    // An oops does not end the test that has provoked it.
                    return match self.console.fatal() {
                        None => Ok(report),
                        Some(fatal) => Err(self.lost(&fatal.to_string())),
                    };
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.lost("the guest has ended"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(fatal) = self.console.fatal() {
                return Err(self.lost(&fatal.to_string()));
            }
            if self.heard.elapsed() > silence {
                return Err(
                    self.lost(&format!("the guest hangs: no sign of life for {} s", silence.as_secs()))
                );
            }
            if Instant::now() > deadline {
                return Err(self.lost(&format!("no result within {} s", limit.as_secs())));
            }
        }
    }

    fn lost(&self, why: &str) -> anyhow::Error {
        let deadline = Instant::now() + LAST_WORDS;
        while !self.console.ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let why = self.console.fatal().map_or(why.to_owned(), |fatal| fatal.to_string());
        anyhow!("{why}\nconsole ({}):\n{}", self.log.display(), self.console.last_lines())
    }
}

/// The emulator connects as soon as it has started; one that cannot start says why on the console.
fn connection(listener: &UnixListener, console: &Console, limit: Duration) -> Result<UnixStream> {
    let deadline = Instant::now() + limit;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot accept the emulator's connection"),
        }
        if console.ended() || Instant::now() > deadline {
            bail!("the emulator did not start:\n{}", console.last_lines());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Reports as they come, until the channel ends.
fn listen(stream: UnixStream) -> Receiver<Report> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for text in BufReader::new(stream).lines() {
            let Ok(text) = text else { return };
            // Half a line is what a dying guest leaves.
            let Ok(report) = serde_json::from_str(&text) else { continue };
            if sender.send(report).is_err() {
                return;
            }
        }
    });
    receiver
}
