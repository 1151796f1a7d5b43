//! What came of the servers: a table that grows by a line each, and JSON.

use anyhow::Result;
use serde_json::{Value, json};

use super::trial::Outcome;

/// All servers so far.
pub(super) struct Report {
    rounds: u32,
    seed: Option<u64>,
    servers: Vec<Value>,
    failures: u32,
}

impl Report {
    /// A report of so many rounds each; with the seed of the kills, if there are some.
    pub(super) fn new(rounds: u32, seed: Option<u64>) -> Self {
        Report { rounds, seed, servers: Vec::new(), failures: 0 }
    }

    pub(super) fn print_head(&self) {
        if let Some(seed) = self.seed {
            println!("killing dumps at random moments: --seed {seed}\n");
        }
        println!(
            "{:<12} {:>6} {:>6} {:>10} {:>16}  verdict",
            "server", "rounds", "kills", "requests", "longest pause/ms"
        );
    }

    /// Adds and prints a server.
    pub(super) fn add(&mut self, server: &str, outcome: Result<Outcome>) {
        let rounds = self.rounds;
        let value = match outcome {
            Ok(Outcome { kills, seen }) => {
                let pause = seen.pause.as_millis();
                println!("{server:<12} {rounds:>6} {kills:>6} {:>10} {pause:>16}  ok", seen.requests);
                let pause = u64::try_from(pause).unwrap_or(u64::MAX);
                json!({
                    "server": server, "rounds": rounds, "kills": kills,
                    "requests": seen.requests, "longest_pause_ms": pause, "verdict": "ok",
                })
            }
            Err(error) => {
                self.failures += 1;
                println!("{server:<12} {rounds:>6} {:>6} {:>10} {:>16}  FAILED: {error:#}", "-", "-", "-");
                json!({
                    "server": server, "rounds": rounds, "verdict": "failed", "error": format!("{error:#}"),
                })
            }
        };
        self.servers.push(value);
    }

    /// Whether there were servers, and no client of any noticed.
    pub(super) fn passed(&self) -> bool {
        self.failures == 0 && !self.servers.is_empty()
    }

    pub(super) fn json(&self) -> Result<String> {
        let report = json!({ "rounds": self.rounds, "seed": self.seed, "servers": self.servers });
        Ok(serde_json::to_string_pretty(&report)? + "\n")
    }
}
