//! sshd with an interactive session: a shell on a terminal counts a variable up.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::client::Conversation;
use super::connection::Connection;
use super::dialogue::Dialogue;
use super::process::{Place, output, spawn};
use super::{Started, program};
use crate::setup::Need;

/// The folder that sshd wants for the part of it that has no rights (sshd(8)).
const PRIVILEGES: &str = "/run/sshd";

pub(super) fn needs() -> Vec<Need> {
    vec![
        program("sshd", "openssh-server"),
        program("ssh", "openssh-client"),
        program("ssh-keygen", "openssh-client"),
    ]
}

pub(super) fn start(place: &Place) -> Result<Started> {
    let [host, user] = ["host", "user"].map(|name| key(place, name));
    let (host, user) = (host?, user?);
    fs::create_dir_all(PRIVILEGES).with_context(|| format!("cannot make {PRIVILEGES}"))?;
    // sshd starts itself anew for each connection, and wants its full path for that.
    let program = crate::workspace::which("sshd").context("sshd is gone")?;
    let mut server = place.server(&program.display().to_string())?;
    server.args(["-D", "-e", "-f", "/dev/null", "-o", "ListenAddress=127.0.0.1"]);
    server.args(["-p", &place.port().to_string(), "-o", "PidFile=none", "-o", "StrictModes=no"]);
    server.args(["-o", "UsePAM=no", "-o", "PermitRootLogin=yes", "-h"]).arg(&host);
    server.arg("-o").arg(format!("AuthorizedKeysFile={}", user.with_extension("pub").display()));
    let pid = spawn(&mut server)?;
    drop(Connection::open(place.port())?);
    Ok(Started { pid, clients: vec![Box::new(Shell::open(place, &user)?)] })
}

fn key(place: &Place, name: &str) -> Result<PathBuf> {
    let path = place.path(name);
    output(place.program("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path))?;
    Ok(path)
}

/// A shell at the other end of ssh, on a terminal that does not repeat what it is told.
struct Shell {
    ssh: Dialogue,
}

impl Shell {
    fn open(place: &Place, key: &PathBuf) -> Result<Self> {
        let mut ssh = place.program("ssh");
        ssh.args(["-tt", "-F", "/dev/null", "-p", &place.port().to_string(), "-i"]).arg(key);
        ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        ssh.args(["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "root@127.0.0.1", "sh"]);
        let mut ssh = Dialogue::start(&mut ssh, &place.path("ssh"))?;
        ssh.say("PS1=; stty -echo; i=0; echo listening | tr a-z A-Z")?;
        ssh.skip_to("LISTENING")?;
        Ok(Shell { ssh })
    }
}

impl Conversation for Shell {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn exchange(&mut self, number: u64) -> Result<u64> {
        self.ssh.say("i=$((i+1)); echo count $i")?;
        self.ssh.expect(&format!("count {}", number + 1))?;
        Ok(1)
    }

    fn close(&mut self, _exchanges: u64) -> Result<u64> {
        self.ssh.say("exit")?;
        self.ssh.end().map(|()| 1)
    }
}
