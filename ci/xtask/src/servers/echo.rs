//! Servers of ours in other languages, whose runtimes are what is tried: an event loop with timers in Python and in
//! Node.js, and an OpenJDK with its collector of garbage at work. Each answers a line with `echo ` and the line.

use anyhow::Result;

use super::client::Conversation;
use super::connection::Connection;
use super::process::{Place, spawn};
use super::{Started, program};
use crate::setup::Need;

const CLIENTS: usize = 3;

pub(super) fn python_needs() -> Vec<Need> {
    vec![program("python3", "python3")]
}

pub(super) fn python(place: &Place) -> Result<Started> {
    start(place, "python3", ("echo.py", include_str!("../../servers/echo.py")))
}

pub(super) fn node_needs() -> Vec<Need> {
    vec![program("node", "nodejs")]
}

pub(super) fn node(place: &Place) -> Result<Started> {
    start(place, "node", ("echo.js", include_str!("../../servers/echo.js")))
}

/// `java FILE` compiles, so that it takes javac, too.
pub(super) fn java_needs() -> Vec<Need> {
    vec![program("javac", "default-jdk-headless")]
}

pub(super) fn java(place: &Place) -> Result<Started> {
    start(place, "java", ("Echo.java", include_str!("../../servers/Echo.java")))
}

fn start(place: &Place, interpreter: &str, (name, source): (&str, &str)) -> Result<Started> {
    let source = place.file(name, source)?;
    let pid = spawn(place.server(interpreter)?.arg(source).arg(place.port().to_string()))?;
    let mut clients: Vec<Box<dyn Conversation>> = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Box::new(Lines { connection: Connection::open(place.port())? }));
    }
    Ok(Started { pid, clients })
}

/// Numbered lines, each to come back once.
struct Lines {
    connection: Connection,
}

impl Conversation for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn exchange(&mut self, number: u64) -> Result<u64> {
        self.connection.send(format!("{number}\n").as_bytes())?;
        self.connection.expect_line(&format!("echo {number}"))?;
        Ok(1)
    }

    fn close(&mut self, _exchanges: u64) -> Result<u64> {
        self.connection.expect_nothing().map(|()| 0)
    }
}
