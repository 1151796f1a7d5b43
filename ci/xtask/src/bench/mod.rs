//! `cargo xtask bench`: the time and memory of our `crio` against another engine, Debian sid's criu unless told.
//!
//! Both engines get the same fresh victims, alternately (ours, theirs, ours, ...), after one uncounted pair that warms
//! caches up; each dump ends its victim, each restore must bring it back alive. A machine is never quiet and never the
//! same, so absolute times are information and the ratio of neighbours is the result. Where a victim is mostly memory, there
//! is a ratio to what the machine allows besides ([`limit`]).

mod arena;
mod engine;
pub(crate) mod history;
mod limit;
pub(crate) mod report;
mod stats;
mod victim;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::build;
use crate::descendants;
use crate::peer::Peer;
use crate::setup::{self, Need};

use arena::Arena;
use engine::{Engine, Measured};
use report::{Comparison, Report};
use victim::Victim;

#[derive(Args)]
pub(crate) struct Options {
    /// Only these cases, by a part of their name (tiny, threads-100, tree-200, memory-64, memory-1024)
    case: Vec<String>,
    /// Measured pairs per case
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Where the images go
    #[arg(long, value_enum)]
    store: Option<Store>,
    /// Write the report, with every single figure, to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Add a line with the ratios to this file, from which `cargo xtask matrix --history` shows them
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Our side: an engine with CRIU's command line [default: the release build of this workspace]
    #[arg(long, value_name = "PATH")]
    engine: Option<PathBuf>,
    /// Their side [default: Debian sid's criu, fetched once]
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
}

/// What lies under the folder of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Store {
    /// Memory: /dev/shm
    Tmpfs,
    /// A disk: the target folder
    Disk,
}

/// A kind of victim, under the name that the report gives it.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    /// Arguments of `victim.c`.
    mode: &'static [&'static str],
    /// Memory of which it mostly consists, MiB; 0 for others.
    mib: usize,
}

const CASES: [Case; 5] = [
    Case { name: "tiny", mode: &["tiny"], mib: 0 },
    Case { name: "threads-100", mode: &["threads", "100"], mib: 0 },
    Case { name: "tree-200", mode: &["tree", "200"], mib: 0 },
    Case { name: "memory-64", mode: &["memory", "64"], mib: 64 },
    Case { name: "memory-1024", mode: &["memory", "1024"], mib: 1024 },
];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("dump and restore need root: sudo -E cargo xtask bench");
    }
    setup::ensure(&[Need::Compiler, Need::CLibrary])?;
    let cases = chosen(&options.case)?;
    let ours = match &options.engine {
        Some(path) => Engine::at(path)?,
        None => Engine::at(&build::crio()?)?,
    };
    let theirs = match &options.against {
        Some(path) => Engine::at(path)?,
        None => Engine::new(Peer::fetch()?.command()?)?,
    };
    let arena = Arena::enter()?;
    let mut report = Report::new(options.runs, &ours, &theirs);
    report.print_head();
    for store in
        Store::value_variants().iter().filter(|store| options.store.is_none_or(|only| only == **store))
    {
        for case in &cases {
            let result = compare(&arena, *case, *store, options.runs, [&ours, &theirs]);
            descendants::end_all();
            descendants::check_interrupted()?;
            report.add(case.name, *store, result);
        }
    }
    if let Some(file) = &options.json {
        std::fs::write(file, report.json()?).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = &options.history {
        history::append(file, &report.run())?;
    }
    Ok(if report.complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(wanted: &[String]) -> Result<Vec<Case>> {
    if let Some(unknown) =
        wanted.iter().find(|part| !CASES.iter().any(|case| case.name.contains(part.as_str())))
    {
        let names = CASES.map(|case| case.name).join(", ");
        bail!("no case is called {unknown}: there are {names}");
    }
    let matches =
        |case: &Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part.as_str()));
    Ok(CASES.into_iter().filter(matches).collect())
}

/// One case on one store: `runs` pairs after an uncounted one.
fn compare(arena: &Arena, case: Case, store: Store, runs: u32, engines: [&Engine; 2]) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    for run in 0..=runs {
        let [ours, theirs] = engines;
        let pair = [once(arena, case, store, ours)?, once(arena, case, store, theirs)?];
        if run == 0 {
            continue;
        }
        comparison.pairs.push(pair);
        if case.mib > 0 {
            comparison.limits.push(limit::of(arena.image_folder(store)?.path(), store, case.mib)?);
        }
    }
    Ok(comparison)
}

/// A fresh victim through one dump and one restore.
fn once(arena: &Arena, case: Case, store: Store, engine: &Engine) -> Result<Measured> {
    let folder = arena.image_folder(store)?;
    let victim = Victim::start(arena, case.mode)?;
    // What the runs before left to be written would be written during this one.
    nix::unistd::sync();
    let measured = life(arena, &victim, engine, folder.path());
    descendants::end_all();
    measured.with_context(|| format!("{} with {}", case.name, engine.name()))
}

fn life(arena: &Arena, victim: &Victim, engine: &Engine, images: &Path) -> Result<Measured> {
    let dump = engine.dump(arena, victim.pid(), images)?;
    victim.wait_gone()?;
    let frozen = stats::frozen_microseconds(&images.join("stats-dump"))?;
    let restore = engine.restore(arena, images)?;
    victim.check_alive()?;
    Ok(Measured { dump, frozen, restore })
}
