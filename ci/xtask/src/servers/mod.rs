//! `cargo xtask servers`: real servers of the distribution, dumped and restored under their own clients.
//!
//! Each server of the table is started in a folder of its own on a free port, clients go to work on it and stay at
//! work while it is dumped and restored some times ([`trial`]). No client may see an error, or a reply that is lost or
//! comes twice. With `--kill`, dumps are started and killed at random moments besides: what a killed crio leaves behind
//! must be a server that works, and that the next crio can dump.

mod client;
mod connection;
mod dialogue;
mod echo;
mod engine;
mod load;
mod memcached;
mod nginx;
mod postgresql;
mod process;
mod redis;
mod report;
mod ssh;
mod tmux;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::unistd::Pid;

use crate::setup::{self, Need};
use crate::{build, descendants};

pub(crate) use self::postgresql::programs as postgresql_programs;

use client::Conversation;
use engine::Engine;
use process::Place;
use report::Report;
use trial::Kills;

#[derive(Args)]
pub(crate) struct Options {
    /// Only these servers (redis, nginx, memcached, postgresql, python, node, java, sshd, tmux)
    name: Vec<String>,
    /// Dumps and restores of each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Before each dump, start some others and kill them at random moments
    #[arg(long)]
    kill: bool,
    /// What the random moments are made of [default: the time]
    #[arg(long, value_name = "NUMBER", requires = "kill")]
    seed: Option<u64>,
    /// Keep the folder of a server that failed: its log, crio's, and the images
    #[arg(long)]
    keep: bool,
    /// Write the report to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// An engine with CRIU's command line [default: the release build of this workspace]
    #[arg(long, value_name = "PATH")]
    engine: Option<PathBuf>,
}

/// A row of the table.
struct Server {
    name: &'static str,
    /// Its programs and those of its clients.
    needs: fn() -> Vec<Need>,
    /// What `crio` has to be told, besides that there are connections and locks.
    options: &'static [&'static str],
    /// Whether its clients rest while it is not there, as each request is a connection of its own.
    rests: bool,
    start: fn(&Place) -> Result<Started>,
}

/// A server that was started, and who is going to use it.
struct Started {
    pid: Pid,
    clients: Vec<Box<dyn Conversation>>,
}

const SERVERS: [Server; 9] = [
    Server { name: "redis", needs: redis::needs, options: &[], rests: false, start: redis::start },
    Server { name: "nginx", needs: nginx::needs, options: &[], rests: false, start: nginx::start },
    Server {
        name: "memcached",
        needs: memcached::needs,
        options: &[],
        rests: false,
        start: memcached::start,
    },
    Server {
        name: "postgresql",
        needs: postgresql::needs,
        options: &[],
        rests: false,
        start: postgresql::start,
    },
    Server { name: "python", needs: echo::python_needs, options: &[], rests: false, start: echo::python },
    Server { name: "node", needs: echo::node_needs, options: &[], rests: false, start: echo::node },
    Server { name: "java", needs: echo::java_needs, options: &[], rests: false, start: echo::java },
    Server { name: "sshd", needs: ssh::needs, options: &[], rests: false, start: ssh::start },
    // The connection of a client that is just leaving is one to somebody outside the tree.
    Server { name: "tmux", needs: tmux::needs, options: &["--ext-unix-sk"], rests: true, start: tmux::start },
];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("dump and restore need root: sudo -E cargo xtask servers");
    }
    let servers = chosen(&options.name)?;
    let needs: Vec<Need> = servers.iter().flat_map(|server| (server.needs)()).collect();
    setup::ensure(&needs)?;
    let engine = match &options.engine {
        Some(path) => path.canonicalize().with_context(|| format!("no engine at {}", path.display()))?,
        None => build::crio()?,
    };
    descendants::adopt()?;
    let engine = Engine::new(engine);
    let mut kills = options.kill.then(|| Kills::new(options.seed));
    let mut report = Report::new(options.rounds, kills.as_ref().map(Kills::seed));
    report.print_head();
    for server in servers {
        let outcome = trial::run(server, &engine, options.rounds, kills.as_mut(), options.keep);
        report.add(server.name, outcome);
        descendants::check_interrupted()?;
    }
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()?).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(wanted: &[String]) -> Result<Vec<&'static Server>> {
    if let Some(unknown) = wanted.iter().find(|name| !SERVERS.iter().any(|server| server.name == **name)) {
        let names = SERVERS.map(|server| server.name).join(", ");
        bail!("no server is called {unknown}: there are {names}");
    }
    let matches = |server: &&Server| wanted.is_empty() || wanted.iter().any(|name| server.name == name);
    Ok(SERVERS.iter().filter(matches).collect())
}

/// A program that is known by its name, of the package.
fn program(program: &str, package: &str) -> Need {
    Need::Program { program: program.to_owned(), package: package.to_owned() }
}
