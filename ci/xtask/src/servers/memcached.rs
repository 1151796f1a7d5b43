//! memcached with four threads and as many clients, each of which reads back what it has just written, and counts.

use anyhow::Result;

use super::client::Conversation;
use super::connection::Connection;
use super::process::{Place, spawn};
use super::{Started, program};
use crate::setup::Need;

/// The server gives its connections to its threads in turn.
const THREADS: usize = 4;

pub(super) fn needs() -> Vec<Need> {
    vec![program("memcached", "memcached")]
}

pub(super) fn start(place: &Place) -> Result<Started> {
    let mut server = place.server("memcached")?;
    server.args(["-u", "nobody", "-l", "127.0.0.1", "-t", &THREADS.to_string()]);
    let pid = spawn(server.arg("-p").arg(place.port().to_string()))?;
    let mut clients: Vec<Box<dyn Conversation>> = Vec::new();
    for index in 0..THREADS {
        let mut connection = Connection::open(place.port())?;
        connection.send(format!("set count{index} 0 0 1\r\n0\r\n").as_bytes())?;
        connection.expect_line("STORED")?;
        clients.push(Box::new(Keys { connection, index }));
    }
    Ok(Started { pid, clients })
}

struct Keys {
    connection: Connection,
    index: usize,
}

impl Conversation for Keys {
    fn name(&self) -> &'static str {
        "keys"
    }

    /// Three requests in one packet.
    fn exchange(&mut self, number: u64) -> Result<u64> {
        let key = format!("key{}-{}", self.index, number % 100);
        let value = number.to_string().repeat(50);
        let length = value.len();
        let request =
            format!("set {key} 0 0 {length}\r\n{value}\r\nget {key}\r\nincr count{} 1\r\n", self.index);
        self.connection.send(request.as_bytes())?;
        let counted = (number + 1).to_string();
        for line in ["STORED", &format!("VALUE {key} 0 {length}"), &value, "END", &counted] {
            self.connection.expect_line(line)?;
        }
        Ok(3)
    }

    fn close(&mut self, _exchanges: u64) -> Result<u64> {
        self.connection.expect_nothing().map(|()| 0)
    }
}
