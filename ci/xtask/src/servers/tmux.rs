//! tmux with vi on its screen, into which lines are typed.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;

use super::client::Conversation;
use super::process::{Place, output};
use super::{Started, program};
use crate::descendants::wait_for;
use crate::setup::Need;

const FIRST_LINE: &str = "first line";

pub(super) fn needs() -> Vec<Need> {
    vec![program("tmux", "tmux"), program("vi", "vim-tiny")]
}

pub(super) fn start(place: &Place) -> Result<Started> {
    let file = place.file("text", &format!("{FIRST_LINE}\n"))?;
    let editor = Editor { socket: place.path("socket"), file };
    let mut server = place.server("tmux")?;
    server.arg("-S").arg(&editor.socket).args(["-f", "/dev/null", "new-session", "-d"]);
    server.args(["-x", "80", "-y", "24"]).arg(format!("vi {}", editor.file.display()));
    // What is started becomes the client; the server is a child that it leaves behind.
    let status = server.status().context("cannot start tmux")?;
    if !status.success() {
        bail!("tmux ended with {status}");
    }
    let pid = editor.tmux(&["display-message", "-p", "#{pid}"])?.trim().parse()?;
    editor.wait_screen(FIRST_LINE)?;
    editor.tmux(&["send-keys", "o"])?;
    Ok(Started { pid: Pid::from_raw(pid), clients: vec![Box::new(editor)] })
}

/// Types one line after the other, and looks for each on the screen.
struct Editor {
    socket: PathBuf,
    file: PathBuf,
}

impl Editor {
    /// A command for the server.
    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        output(Command::new("tmux").arg("-S").arg(&self.socket).args(arguments).stdin(Stdio::null()))
    }

    fn wait_screen(&self, wanted: &str) -> Result<()> {
        let shown = |screen: &str| screen.lines().any(|line| line.trim_end() == wanted);
        wait_for(&format!("waiting for `{wanted}` on the screen"), || {
            Ok(shown(&self.tmux(&["capture-pane", "-p"])?).then_some(()))
        })
    }
}

impl Conversation for Editor {
    fn name(&self) -> &'static str {
        "typist"
    }

    fn exchange(&mut self, number: u64) -> Result<u64> {
        let line = format!("line {number}");
        self.tmux(&["send-keys", "-l", &line])?;
        self.wait_screen(&line)?;
        self.tmux(&["send-keys", "Enter"])?;
        Ok(1)
    }

    /// Has the editor write the file: every line once, in order.
    fn close(&mut self, exchanges: u64) -> Result<u64> {
        self.tmux(&["send-keys", "Escape", ":wq", "Enter"])?;
        let lines: String = (0..exchanges).map(|number| format!("line {number}\n")).collect();
        // The last Enter began another line.
        let wanted = format!("{FIRST_LINE}\n{lines}\n");
        let written = || fs::read_to_string(&self.file).unwrap_or_default();
        let result = wait_for("waiting for the file", || Ok((written() == wanted).then_some(())));
        result.map(|()| 1).with_context(|| format!("the file has {:?}", written()))
    }
}
