//! A client program that is told lines, and answers with lines: psql, ssh.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use anyhow::{Context, Result, bail};

use crate::descendants::wait_for;
use crate::workspace;

/// A program on two pipes.
pub(super) struct Dialogue {
    program: Child,
    input: Option<ChildStdin>,
    /// Its lines without their ends, and the words after the last one.
    output: Receiver<String>,
    complaints: PathBuf,
}

impl Dialogue {
    /// Starts the program; what it writes to its standard error goes to the file.
    pub(super) fn start(command: &mut Command, complaints: &Path) -> Result<Self> {
        let file = File::create(complaints).context("cannot make a file for complaints")?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let mut program =
            command.spawn().with_context(|| format!("cannot start {}", workspace::show(command)))?;
        let output = lines(program.stdout.take().context("no standard output")?);
        let input = program.stdin.take();
        Ok(Dialogue { program, input, output, complaints: complaints.to_owned() })
    }

    pub(super) fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("it was told to end")?;
        input.write_all(format!("{line}\n").as_bytes()).with_context(|| self.complaint("does not listen"))
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<String> {
        wait_for("waiting for a reply", || match self.output.try_recv() {
            Ok(line) => Ok(Some(line)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => bail!("{}", self.complaint("ended")),
        })
    }

    /// An error unless the next line is this one.
    pub(super) fn expect(&mut self, wanted: &str) -> Result<()> {
        let got = self.line()?;
        if got != wanted {
            bail!("{}", self.complaint(&format!("says `{got}` and not `{wanted}`")));
        }
        Ok(())
    }

    /// Reads until a line that ends like this.
    pub(super) fn skip_to(&mut self, wanted: &str) -> Result<()> {
        while !self.line()?.ends_with(wanted) {}
        Ok(())
    }

    /// Ends the input; the program has to end well and without another word.
    pub(super) fn end(&mut self) -> Result<()> {
        self.input = None;
        let status = wait_for("waiting for the end of the client", || Ok(self.program.try_wait()?))?;
        let rest: Vec<String> = self.output.iter().collect();
        if !status.success() || !rest.is_empty() {
            bail!("{}", self.complaint(&format!("ended with {status}, saying {rest:?}")));
        }
        Ok(())
    }

    fn complaint(&self, what: &str) -> String {
        let complaints = std::fs::read_to_string(&self.complaints).unwrap_or_default();
        format!("the client {what}: {}", complaints.trim_end())
    }
}

/// Reads lines in a thread, so that nobody waits for one longer than he likes.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line.trim_end_matches('\r').to_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}
