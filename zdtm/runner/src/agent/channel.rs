//! The port of the virtio serial device that the host named [`PORT`]: lines of JSON in both directions.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use super::system;
use crate::protocol::{Order, Report, line};

/// The port's name, as QEMU's `virtserialport,name=` gives it.
pub const PORT: &str = "agent";

/// Where the kernel lists ports with their names.
const PORTS: &str = "/sys/class/virtio-ports";

/// Both directions; the heart beat and the tests write in turn.
pub(super) struct Channel {
    orders: Mutex<BufReader<File>>,
    reports: Mutex<File>,
}

impl Channel {
    /// Opens the port when it has appeared.
    pub(super) fn open() -> Result<Arc<Self>> {
        let device = system::wait_for("the host's port", || port(Path::new(PORTS)))?;
        let file = File::options().read(true).write(true).open(&device);
        let file = file.with_context(|| format!("cannot open {}", device.display()))?;
        let orders = Mutex::new(BufReader::new(file.try_clone()?));
        Ok(Arc::new(Channel { orders, reports: Mutex::new(file) }))
    }

    /// The next order.
    pub(super) fn order(&self) -> Result<Order> {
        let mut text = String::new();
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.read_line(&mut text).context("cannot read from the host")? == 0 {
            bail!("the host has closed the channel");
        }
        serde_json::from_str(&text).with_context(|| format!("the host says {text:?}"))
    }

    /// Sends one report.
    pub(super) fn send(&self, report: &Report) -> Result<()> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.write_all(&line(report)?).context("cannot write to the host")
    }
}

fn port(ports: &Path) -> Option<PathBuf> {
    let mut found = fs::read_dir(ports).ok()?.flatten().map(|entry| entry.path());
    let port =
        found.find(|port| fs::read_to_string(port.join("name")).is_ok_and(|name| name.trim() == PORT))?;
    Some(Path::new("/dev").join(port.file_name()?))
}
