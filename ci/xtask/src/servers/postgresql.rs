//! PostgreSQL with one transaction open in psql for as long as the server is dumped and restored.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::{User, chown};

use super::client::Conversation;
use super::connection::Connection;
use super::dialogue::Dialogue;
use super::process::{Place, output, spawn};
use super::{Started, program};
use crate::setup::Need;

pub(super) fn needs() -> Vec<Need> {
    vec![Need::Postgresql, program("psql", "postgresql-client")]
}

/// The folder with the programs of the newest version that is installed, if there is one.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    folders.filter(|folder| folder.join("postgres").exists() && folder.join("initdb").exists()).max()
}

pub(super) fn start(place: &Place) -> Result<Started> {
    let programs = programs().context("the package postgresql brought no server")?;
    // The server refuses to be root.
    let user = User::from_name("postgres")?.context("there is no user postgres")?;
    let become_it = |command: &mut Command| {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    };
    let data = place.path("data");
    fs::create_dir(&data).with_context(|| format!("cannot make {}", data.display()))?;
    chown(&data, Some(user.uid), Some(user.gid)).context("chown")?;

    let mut initdb = place.program(&programs.join("initdb").display().to_string());
    initdb.args(["--auth=trust", "--no-sync", "--pgdata"]).arg(&data);
    become_it(&mut initdb);
    output(&mut initdb)?;
    let mut server = place.server(&programs.join("postgres").display().to_string())?;
    server.arg("-D").arg(&data).args(["-c", "listen_addresses=127.0.0.1"]);
    server.args(["-c", "unix_socket_directories=", "-p", &place.port().to_string()]);
    become_it(&mut server);
    let pid = spawn(&mut server)?;
    Ok(Started { pid, clients: vec![Box::new(Transaction::begin(place)?)] })
}

/// Inserts row after row in one transaction, and commits it at the end.
struct Transaction {
    psql: Dialogue,
    /// Another psql that sees what was committed.
    check: Command,
}

impl Transaction {
    fn begin(place: &Place) -> Result<Self> {
        let port = place.port().to_string();
        let psql = |options: &[&str]| {
            let mut command = place.program("psql");
            command.args([
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "postgres",
                "-XAtq",
                "-v",
                "ON_ERROR_STOP=1",
            ]);
            command.args(options);
            command
        };
        // It listens before it takes connections: until then it sends them away.
        drop(Connection::open(place.port())?);
        crate::descendants::wait_for("waiting for the server to take connections", || {
            Ok(output(&mut psql(&["-c", "create table if not exists t (i int)"])).ok())
        })?;
        let mut dialogue = Dialogue::start(&mut psql(&[]), &place.path("psql"))?;
        dialogue.say("begin;")?;
        let check = psql(&["-c", "select count(*), count(distinct i), coalesce(max(i), -1) from t"]);
        Ok(Transaction { psql: dialogue, check })
    }
}

impl Conversation for Transaction {
    fn name(&self) -> &'static str {
        "psql"
    }

    fn exchange(&mut self, number: u64) -> Result<u64> {
        self.psql.say(&format!("insert into t values ({number}); select count(*) from t;"))?;
        self.psql.expect(&(number + 1).to_string())?;
        Ok(2)
    }

    fn close(&mut self, exchanges: u64) -> Result<u64> {
        let committed = output(&mut self.check).context("before the commit")?;
        if committed.trim() != "0|0|-1" {
            bail!("others see rows of the open transaction: {}", committed.trim());
        }
        self.psql.say("commit;")?;
        self.psql.end()?;
        let committed = output(&mut self.check).context("after the commit")?;
        let wanted = format!("{exchanges}|{exchanges}|{}", exchanges.saturating_sub(1));
        if committed.trim() != wanted {
            bail!("the table has `{}` and not `{wanted}` (rows, different ones, last)", committed.trim());
        }
        Ok(3)
    }
}
