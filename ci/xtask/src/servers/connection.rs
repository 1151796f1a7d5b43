//! A TCP connection of a checking client: bytes go out, and what comes back has to be what was expected.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, bail};

use crate::descendants::{PATIENCE, wait_for};

/// A connection to a server on this machine.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects, as soon as somebody listens.
    pub(super) fn open(port: u16) -> Result<Self> {
        let stream =
            wait_for(
                "waiting for the server to listen",
                || Ok(TcpStream::connect(("127.0.0.1", port)).ok()),
            )?;
        stream.set_read_timeout(Some(PATIENCE)).context("set_read_timeout")?;
        stream.set_nodelay(true).context("set_nodelay")?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    pub(super) fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(request).context("cannot send a request")
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).context("no reply")?;
        if line.pop() != Some(b'\n') {
            bail!("the server closed the connection");
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).context("the reply is not text")
    }

    /// An error unless the next line is this one.
    pub(super) fn expect_line(&mut self, wanted: &str) -> Result<()> {
        let got = self.line()?;
        if got != wanted {
            bail!("the reply is `{got}` and not `{wanted}`");
        }
        Ok(())
    }

    /// The next bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).context("the reply is cut off")?;
        Ok(bytes)
    }

    /// An error when there is more than was asked for.
    pub(super) fn expect_nothing(&mut self) -> Result<()> {
        let buffered = self.stream.buffer().len();
        if buffered > 0 {
            bail!("{buffered} bytes too many after the last reply");
        }
        self.stream.get_mut().set_nonblocking(true).context("set_nonblocking")?;
        match self.stream.get_mut().read(&mut [0; 64]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("after the last reply"),
            Ok(0) => bail!("the server closed the connection"),
            Ok(more) => bail!("{more} bytes too many after the last reply"),
        }
    }
}
