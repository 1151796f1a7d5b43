//! Redis with its append-only file, under redis-benchmark, and under a client that counts.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::client::Conversation;
use super::connection::Connection;
use super::load::Load;
use super::process::{Place, spawn};
use super::{Started, program};
use crate::descendants::wait_for;
use crate::setup::Need;

/// Requests of redis-benchmark: more than it will ever do.
const ENDLESS: &str = "2000000000";

/// Requests by which redis-benchmark has to come further again and again: many for each of its connections.
const PROGRESS: u64 = 1000;

pub(super) fn needs() -> Vec<Need> {
    vec![program("redis-server", "redis-server"), program("redis-benchmark", "redis-tools")]
}

pub(super) fn start(place: &Place) -> Result<Started> {
    let port = place.port().to_string();
    let mut server = place.server("redis-server")?;
    server.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir"]);
    let pid = spawn(server.arg(place.path("")))?;
    let counter = Counter { connection: Connection::open(place.port())? };
    let mut benchmark = place.program("redis-benchmark");
    benchmark.args(["-p", &port, "-c", "20", "-q", "-t", "incr", "-n", ENDLESS]);
    let program = Load::start(&mut benchmark, &place.path("benchmark"))?;
    let benchmark = Benchmark { program, connection: Connection::open(place.port())?, seen: 0 };
    Ok(Started { pid, clients: vec![Box::new(counter), Box::new(benchmark)] })
}

/// Counts up: a request that is lost or done twice shows in every later reply.
struct Counter {
    connection: Connection,
}

impl Conversation for Counter {
    fn name(&self) -> &'static str {
        "INCR"
    }

    fn exchange(&mut self, number: u64) -> Result<u64> {
        self.connection.send(b"INCR counted\r\n")?;
        self.connection.expect_line(&format!(":{}", number + 1))?;
        Ok(1)
    }

    fn close(&mut self, exchanges: u64) -> Result<u64> {
        self.connection.send(b"GET counted\r\n")?;
        let count = exchanges.to_string();
        self.connection.expect_line(&format!("${}", count.len()))?;
        self.connection.expect_line(&count)?;
        self.connection.expect_nothing().map(|()| 1)
    }
}

/// redis-benchmark, which counts one number up over all its connections and ends when a reply is an error.
struct Benchmark {
    program: Load,
    /// To look at the number.
    connection: Connection,
    seen: u64,
}

impl Benchmark {
    fn count(&mut self) -> Result<u64> {
        self.connection.send(b"INCRBY counter:__rand_int__ 0\r\n")?;
        let reply = self.connection.line()?;
        let count = reply.strip_prefix(':').and_then(|count| count.parse().ok());
        count.with_context(|| format!("the reply is `{reply}`"))
    }
}

impl Conversation for Benchmark {
    fn name(&self) -> &'static str {
        "redis-benchmark"
    }

    fn exchange(&mut self, _number: u64) -> Result<u64> {
        let wanted = self.seen + PROGRESS;
        self.seen = wait_for("waiting for the benchmark to make progress", || {
            self.program.check()?;
            let count = self.count()?;
            Ok((count >= wanted).then_some(count))
        })?;
        Ok(0)
    }

    fn is_short(&self) -> bool {
        false
    }

    fn close(&mut self, _exchanges: u64) -> Result<u64> {
        self.program.end(Signal::SIGTERM)?;
        self.count()
    }
}
