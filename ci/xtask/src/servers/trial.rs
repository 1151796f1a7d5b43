//! One server through its rounds: clients at work, dump, restore, and whether the clients noticed.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Error, Result, anyhow, bail};
use nix::unistd::Pid;

use super::client::{Client, Seen, rest};
use super::engine::{Engine, Killed};
use super::process::Place;
use super::{Server, Started};
use crate::descendants::{self, check_interrupted};

/// Exchanges that every client has to see between two cycles.
const EXCHANGES: u64 = 3;

/// Dumps that are killed before each whole one.
const KILLS: u32 = 5;

/// Random moments at which dumps are killed: SplitMix64, so that a seed says them all.
pub(super) struct Kills {
    seed: u64,
    state: u64,
}

impl Kills {
    pub(super) fn new(seed: Option<u64>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = seed.unwrap_or(now.as_secs());
        Kills { seed, state: seed }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// A moment within `whole`.
    fn moment(&mut self, whole: Duration) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        whole.mul_f64(mixed as f64 / u64::MAX as f64)
    }
}

/// What a server came through.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    /// Dumps that were killed.
    pub(super) kills: u32,
    pub(super) seen: Seen,
}

/// Takes a server through `rounds`; an error says all that is known. No process of it is left in any case.
pub(super) fn run(
    server: &Server,
    engine: &Engine,
    rounds: u32,
    kills: Option<&mut Kills>,
    keep: bool,
) -> Result<Outcome> {
    let place = Place::new(server.name)?;
    let result = (server.start)(&place).context("at the start").and_then(|started| {
        let mut trial = Trial::new(server, engine, &place, started);
        let driven = trial.drive(rounds, kills);
        trial.end(driven)
    });
    descendants::end_all();
    result.map_err(|error| {
        let log = place.last_words();
        let mut all = format!("{error:#}");
        if !log.is_empty() {
            all += &format!("\n  the server's log ends with{log}");
        }
        if keep {
            all += &format!("\n  everything is in {}", place.keep().display());
        }
        anyhow!(all)
    })
}

struct Trial<'a> {
    server: &'a Server,
    engine: &'a Engine,
    place: &'a Place,
    pid: Pid,
    clients: Vec<Client>,
    /// Held while clients have to rest.
    busy: Option<Arc<Mutex<()>>>,
    kills: u32,
    /// Folders of images that were made.
    folders: u32,
    /// How long the last whole dump took.
    dump: Duration,
}

impl<'a> Trial<'a> {
    fn new(server: &'a Server, engine: &'a Engine, place: &'a Place, started: Started) -> Self {
        let busy = server.rests.then(Arc::default);
        let start = |conversation| Client::start(conversation, busy.clone());
        let clients = started.clients.into_iter().map(start).collect();
        // Before the first whole dump nobody knows how long one takes.
        let dump = Duration::from_millis(100);
        Trial { server, engine, place, pid: started.pid, clients, busy, kills: 0, folders: 0, dump }
    }

    fn drive(&mut self, rounds: u32, mut kills: Option<&mut Kills>) -> Result<()> {
        self.wait_progress().context("before the first round")?;
        for round in 1..=rounds {
            for attempt in 1..=kills.as_ref().map_or(0, |_| KILLS) {
                if let Some(kills) = kills.as_deref_mut() {
                    let moment = kills.moment(self.dump);
                    self.kill_dump(moment).with_context(|| {
                        format!("round {round}, dump {attempt} killed after {} ms", moment.as_millis())
                    })?;
                }
            }
            self.cycle().with_context(|| format!("round {round}"))?;
        }
        Ok(())
    }

    /// A dump, a restore, and some requests.
    fn cycle(&mut self) -> Result<()> {
        let images = self.images();
        let busy = self.busy.clone();
        let guard = busy.as_deref().map(rest);
        self.dump = self.engine.dump(self.pid, &images, self.server.options)?;
        self.restore(&images)?;
        drop(guard);
        self.wait_progress().context("after the restore")
    }

    /// A dump that is killed, and some requests.
    fn kill_dump(&mut self, moment: Duration) -> Result<()> {
        let images = self.images();
        let busy = self.busy.clone();
        let guard = busy.as_deref().map(rest);
        match self.engine.kill_dump(self.pid, &images, self.server.options, moment)? {
            Killed::Yes => self.kills += 1,
            Killed::TooLate => self.restore(&images)?,
        }
        drop(guard);
        self.wait_progress().context("after the kill")?;
        std::fs::remove_dir_all(&images).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error).context("cannot remove the images"),
        })
    }

    fn restore(&mut self, images: &Path) -> Result<()> {
        self.engine.restore(images, self.server.options)?;
        std::fs::remove_dir_all(images).context("cannot remove the images")
    }

    /// A name for a folder of images.
    fn images(&mut self) -> std::path::PathBuf {
        self.folders += 1;
        self.place.path(&format!("images-{}", self.folders))
    }

    fn wait_progress(&self) -> Result<()> {
        for client in &self.clients {
            let exchanges = if client.is_short() { EXCHANGES } else { 0 };
            client.wait_progress(exchanges)?;
        }
        Ok(())
    }

    /// Lets the clients come to their ends and collects what they saw. After a failure there is no server any more, so
    /// that nobody waits for it; a client that gave up before is then the reason, and one that did so because of it is
    /// not.
    fn end(self, driven: Result<()>) -> Result<Outcome> {
        for client in &self.clients {
            client.stop();
        }
        let Err(failure) = driven else { return self.collect() };
        let gave_up: Vec<bool> = self.clients.iter().map(|client| !client.is_at_work()).collect();
        descendants::end_all();
        let joined = self.clients.into_iter().zip(gave_up).map(|(client, gave_up)| (client.join(), gave_up));
        let reasons: Vec<Error> =
            joined.filter(|(_, gave_up)| *gave_up).filter_map(|(result, _)| result.err()).collect();
        let reasons: String = reasons.iter().map(|reason| format!("\n  {reason:#}")).collect();
        check_interrupted()?;
        bail!("{failure:#}{reasons}");
    }

    fn collect(self) -> Result<Outcome> {
        descendants::wait_for("waiting for the clients to end", || {
            Ok((!self.clients.iter().any(Client::is_at_work)).then_some(()))
        })?;
        let mut outcome = Outcome { kills: self.kills, seen: Seen::default() };
        for client in self.clients {
            let seen = client.join()?;
            outcome.seen.requests += seen.requests;
            outcome.seen.pause = outcome.seen.pause.max(seen.pause);
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_the_moments_and_they_lie_within() {
        let whole = Duration::from_millis(100);
        let moments = |seed| {
            let mut kills = Kills::new(Some(seed));
            std::array::from_fn::<_, 50, _>(|_| kills.moment(whole))
        };
        assert_eq!(moments(7), moments(7));
        assert_ne!(moments(7), moments(8));
        assert!(moments(7).iter().all(|moment| *moment <= whole));
        assert!(moments(7).iter().any(|moment| *moment > whole / 2));
    }
}
