//! Clients: each holds a conversation with the server in a thread of its own, until it is told to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::descendants::wait_for;

/// Between two exchanges of a client that others make rest.
const BREATH: Duration = Duration::from_millis(20);

/// What a client says to its server, one exchange after the other.
pub(super) trait Conversation: Send {
    /// Who talks, for messages.
    fn name(&self) -> &'static str;

    /// One exchange: requests, and their replies, which are checked. `number` is 0, 1, 2, ...
    /// Returns how many requests these were.
    fn exchange(&mut self, number: u64) -> Result<u64>;

    /// Whether an exchange is so short that the longest one says how long the server was away.
    fn is_short(&self) -> bool {
        true
    }

    /// A last look at what the server has kept, after as many exchanges.
    /// Returns how many requests there were besides those of the exchanges.
    fn close(&mut self, exchanges: u64) -> Result<u64>;
}

/// What clients saw.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Requests that were answered as they should.
    pub(super) requests: u64,
    /// The longest that anyone waited for a reply.
    pub(super) pause: Duration,
}

/// What the thread of a client and its owner both see.
#[derive(Default)]
struct Shared {
    exchanges: AtomicU64,
    stop: AtomicBool,
    /// Taken while a request is under way, and by who wants that there is none.
    busy: Option<Arc<Mutex<()>>>,
}

/// A client at work.
pub(super) struct Client {
    name: &'static str,
    is_short: bool,
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Seen>>,
}

impl Client {
    /// Sets a client to work, which does not ask while another holds `busy`.
    pub(super) fn start(conversation: Box<dyn Conversation>, busy: Option<Arc<Mutex<()>>>) -> Self {
        let shared = Arc::new(Shared { busy, ..Shared::default() });
        let (name, is_short, theirs) = (conversation.name(), conversation.is_short(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || talk(conversation, &theirs));
        Client { name, is_short, shared, thread }
    }

    /// Waits until as many exchanges have been started and ended from now on; an error when the client gave up.
    pub(super) fn wait_progress(&self, exchanges: u64) -> Result<()> {
        // The one under way may have had its reply before now.
        let wanted = self.shared.exchanges.load(Ordering::Acquire) + exchanges + 1;
        wait_for(&format!("waiting for a reply to {}", self.name), || {
            if self.shared.exchanges.load(Ordering::Acquire) >= wanted {
                return Ok(Some(()));
            }
            if self.thread.is_finished() {
                bail!("{} gave up", self.name);
            }
            Ok(None)
        })
    }

    /// Whether its exchanges are short.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Whether it still works.
    pub(super) fn is_at_work(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Asks for the end of the conversation.
    pub(super) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// What it saw, after its end.
    pub(super) fn join(self) -> Result<Seen> {
        let result = self.thread.join().map_err(|_| anyhow!("its thread panicked"));
        result.and_then(|seen| seen).with_context(|| format!("client {}", self.name))
    }
}

/// Makes the clients that share `busy` rest until the guard is dropped.
pub(super) fn rest(busy: &Mutex<()>) -> MutexGuard<'_, ()> {
    busy.lock().unwrap_or_else(PoisonError::into_inner)
}

fn talk(mut conversation: Box<dyn Conversation>, shared: &Shared) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut number = 0;
    while !shared.stop.load(Ordering::Acquire) {
        let guard = shared.busy.as_deref().map(rest);
        let begun = Instant::now();
        seen.requests += conversation.exchange(number).with_context(|| format!("exchange {number}"))?;
        if conversation.is_short() {
            seen.pause = seen.pause.max(begun.elapsed());
        }
        number += 1;
        shared.exchanges.store(number, Ordering::Release);
        if guard.is_some() {
            drop(guard);
            // So that who waits for the lock gets it.
            std::thread::sleep(BREATH);
        }
    }
    seen.requests += conversation.close(number).context("at the end")?;
    Ok(seen)
}
