//! nginx with two workers: connections that are kept alive, of a client that checks what it gets and of wrk.

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::client::Conversation;
use super::connection::Connection;
use super::load::Load;
use super::process::{Place, spawn};
use super::{Started, program};
use crate::descendants::wait_for;
use crate::setup::Need;

/// Clients that check.
const CLIENTS: usize = 4;

/// Connections there have to be before the first dump: those of wrk, one each, and the one that asks.
const CONNECTIONS: u64 = 20 + CLIENTS as u64 + 1;

/// Requests by which all clients have to come further again and again: many for each of wrk's connections.
const PROGRESS: u64 = 500;

/// More than a socket's buffers take at once.
const PAGE: usize = 30_000;

pub(super) fn needs() -> Vec<Need> {
    vec![program("nginx", "nginx-light"), program("wrk", "wrk")]
}

pub(super) fn start(place: &Place) -> Result<Started> {
    let (port, root) = (place.port(), place.path(""));
    let page: String = (0..).map(|line| format!("{line}\n")).take(PAGE).collect();
    place.file("page", &page)?;
    let configuration = format!(
        "daemon off; worker_processes 2; pid pid; error_log stderr;
         events {{ worker_connections 512; }}
         http {{
             access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
             server {{ listen 127.0.0.1:{port}; root {}; location = /status {{ stub_status; }} }}
         }}",
        root.display()
    );
    let configuration = place.file("nginx.conf", &configuration)?;
    let pid = spawn(place.server("nginx")?.arg("-c").arg(configuration).arg("-p").arg(&root))?;
    let mut clients: Vec<Box<dyn Conversation>> = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Box::new(Page { connection: Connection::open(port)?, body: page.clone().into_bytes() }));
    }
    let mut wrk = place.program("wrk");
    wrk.args(["-t1", "-c20", "-d10h", "--timeout", "60s"]).arg(format!("http://127.0.0.1:{port}/page"));
    let program = Load::start(&mut wrk, &place.path("wrk"))?;
    clients.push(Box::new(Wrk { program, connection: Connection::open(port)?, requests: 0 }));
    Ok(Started { pid, clients })
}

/// Gets one page over one connection all the time.
struct Page {
    connection: Connection,
    body: Vec<u8>,
}

impl Conversation for Page {
    fn name(&self) -> &'static str {
        "GET"
    }

    fn exchange(&mut self, _number: u64) -> Result<u64> {
        if get(&mut self.connection, "/page")? != self.body {
            bail!("the page is another one");
        }
        Ok(1)
    }

    fn close(&mut self, _exchanges: u64) -> Result<u64> {
        self.connection.expect_nothing().map(|()| 0)
    }
}

/// wrk, which counts errors in its report.
struct Wrk {
    program: Load,
    /// To ask the server how many connections and requests it has had.
    connection: Connection,
    requests: u64,
}

impl Wrk {
    /// Open connections, and requests so far.
    fn status(&mut self) -> Result<(u64, u64)> {
        let body = get(&mut self.connection, "/status")?;
        let text = String::from_utf8_lossy(&body);
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers.as_slice() {
            // Active connections; accepted, handled, requests; and what they wait for.
            [active, _, _, requests, ..] => Ok((*active, *requests)),
            _ => bail!("the status is `{text}`"),
        }
    }
}

impl Conversation for Wrk {
    fn name(&self) -> &'static str {
        "wrk"
    }

    fn exchange(&mut self, number: u64) -> Result<u64> {
        // Later some clients may have come to their ends already.
        let connections = if number == 0 { CONNECTIONS } else { 0 };
        let wanted = self.requests + PROGRESS;
        self.requests = wait_for("waiting for wrk to make progress", || {
            self.program.check()?;
            let (active, requests) = self.status()?;
            Ok((active >= connections && requests >= wanted).then_some(requests))
        })?;
        Ok(0)
    }

    fn is_short(&self) -> bool {
        false
    }

    fn close(&mut self, _exchanges: u64) -> Result<u64> {
        let said = self.program.end(Signal::SIGINT)?;
        if said.contains("Socket errors") || said.contains("Non-2xx") {
            bail!("wrk saw errors: {said}");
        }
        let line = said.lines().find_map(|line| line.trim().split_once(" requests in "));
        let requests = line.and_then(|(count, _)| count.parse().ok());
        requests.filter(|count| *count > 0).with_context(|| format!("wrk had no reply: {said}"))
    }
}

/// The page at `path`, over a connection that stays.
fn get(connection: &mut Connection, path: &str) -> Result<Vec<u8>> {
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes())?;
    connection.expect_line("HTTP/1.1 200 OK")?;
    let mut length = None;
    loop {
        let header = connection.line()?.to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().ok(),
            Some(("connection", "close")) => bail!("the server does not keep the connection"),
            Some(_) => {}
            None => return connection.bytes(length.context("the reply has no length")?),
        }
    }
}
