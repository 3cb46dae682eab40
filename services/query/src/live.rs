//! The live feed: read once from every store, and sent to all watchers.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ovomesh_api::Fault;
use ovomesh_mesh::{Backoff, Lifecycle};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

use crate::gaps::{self, RecentRows};
use crate::position::{Position, feed};
use crate::ring::{Cursor, Next, Ring, Step};
use crate::store::Store;
use crate::stored::{FeedPart, Stored};
use crate::stores::Stores;

/// Rows kept for watchers that are behind: 8 s of the headline rate, about 10 MiB.
const KEPT: usize = 8_192;
/// From one search for the rows that a store did not send to the next, while it is away.
const SEARCHES: Duration = Duration::from_secs(5);

/// The feed of this process.
pub struct Live {
    state: Mutex<State>,
    /// Changes with every step.
    changed: watch::Sender<()>,
}

/// What is known of the stores.
struct State {
    /// None until one store has answered and each other was asked once: before that there is no "now" to watch from.
    ring: Option<Ring>,
    feeds: Vec<FeedState>,
    recent: RecentRows,
}

/// The feed of one store.
#[derive(Default)]
struct FeedState {
    /// Where it was read to; empty before its first message.
    token: Vec<u8>,
    /// It has answered, or failed to.
    asked: bool,
    connected: bool,
}

/// What a watcher that returns has to read on its own before it meets the shared feed.
pub enum Behind {
    /// The feed of the store with this number, after the first of these tokens and up to the second.
    Feed(usize, Vec<u8>, Vec<u8>),
    /// Nothing that can be read: the feed continues after this token.
    Lost(Vec<u8>),
}

impl Live {
    /// Reads the feeds until the drain.
    pub fn start(stores: &Stores, lifecycle: &Lifecycle) -> Arc<Self> {
        let feeds = stores.all().iter().map(|_| FeedState::default()).collect();
        let state = Mutex::new(State { ring: None, feeds, recent: RecentRows::default() });
        let live = Arc::new(Self { state, changed: watch::Sender::new(()) });
        for number in 0..stores.all().len() {
            let (reader, drain, stores) = (live.clone(), lifecycle.drain.clone(), stores.clone());
            lifecycle.spawn("live", async move {
                tokio::select! {
                    () = reader.follow(number, &stores) => {}
                    () = drain.cancelled() => {}
                }
            });
        }
        live
    }

    /// Whether the feed of a store is being read right now.
    pub fn connected(&self, store: usize) -> bool {
        self.state.lock().feeds[store].connected
    }

    /// Whether there is a feed: from then on watchers receive a notice of everything that they miss.
    pub fn begun(&self) -> bool {
        self.state.lock().ring.is_some()
    }

    /// The end of the feed and its position, once there is one.
    pub async fn now(&self) -> (Cursor, Position) {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(ring) = &self.state.lock().ring {
                return (ring.end(), ring.at_end().clone());
            }
            // The sender is ours: it cannot be gone.
            let _ = changed.changed().await;
        }
    }

    /// Where to continue after a position, if what follows it is still here.
    pub fn after(&self, position: &Position) -> Option<Cursor> {
        self.state.lock().ring.as_ref().and_then(|ring| ring.after(position))
    }

    /// Whether a position has a feed that was never read here: rows of it may have been missed.
    pub fn lacks(&self, position: &Position) -> bool {
        let state = self.state.lock();
        position.has_unknown(|feed| state.ring.as_ref().is_some_and(|ring| ring.knows(feed)))
    }

    /// What a watcher at `position` lacks of what is no longer here.
    pub fn behind(&self, position: &Position) -> Option<Behind> {
        let state = self.state.lock();
        let missing = position.first_missing(state.ring.as_ref()?.before())?;
        let own = feed(missing).and_then(|feed| position.get(&feed));
        let store = state.feeds.iter().position(|other| feed(&other.token) == feed(missing));
        Some(match (own, store) {
            (Some(own), Some(store)) => Behind::Feed(store, own.to_vec(), missing.to_vec()),
            _ => Behind::Lost(missing.to_vec()),
        })
    }

    /// What follows `at`: a step, or how many rows are gone.
    pub async fn next(&self, at: Cursor) -> Next {
        let mut changed = self.changed.subscribe();
        loop {
            match self.state.lock().ring.as_ref().map(|ring| ring.next(at)) {
                None | Some(Next::Nothing) => {}
                Some(next) => return next,
            }
            let _ = changed.changed().await;
        }
    }

    async fn follow(&self, number: usize, stores: &Stores) {
        let store = &stores.all()[number];
        let mut backoff = Backoff::default();
        let (mut since, mut searched) = (Timestamp::now(), None::<Instant>);
        loop {
            let status = self.read(number, stores, &mut backoff, &mut since).await;
            self.lost(number);
            tracing::warn!(store = %store.uri(), error = status.message(), "the live feed broke; reading it again");
            // While it is away, others may have been asked to write for it, or it may still write.
            if stores.all().len() > 1 && searched.is_none_or(|at| at.elapsed() > SEARCHES) {
                let begun = Timestamp::now();
                if let Ok(rows) = self.search(stores, since).await {
                    self.push_found(rows);
                    since = begun;
                }
                searched = Some(Instant::now());
            }
            backoff.wait().await;
        }
    }

    /// Reads a feed from where it was until it breaks; says why. `since` is the time of its last message.
    async fn read(
        &self,
        number: usize,
        stores: &Stores,
        backoff: &mut Backoff,
        since: &mut Timestamp,
    ) -> Status {
        let store: &Store = &stores.all()[number];
        let token = self.state.lock().feeds[number].token.clone();
        let mut feed = match store.subscribe(token).await {
            Ok(feed) => feed,
            Err(status) => {
                if Fault::of(status.code()) == Fault::Invalid {
                    // A store of another kind: none of our tokens is worth anything there.
                    self.state.lock().feeds[number].token.clear();
                }
                return status;
            }
        };
        loop {
            match feed.message().await {
                Ok(Some(message)) => {
                    let mut part = FeedPart::from(message);
                    if part.lagged > 0
                        && let Ok(rows) = self.search(stores, *since).await
                    {
                        part.rows.splice(0..0, rows);
                    }
                    self.push(number, part);
                    backoff.reset();
                    *since = Timestamp::now();
                }
                Ok(None) => return Fault::Unavailable.status("the store ended its feed"),
                Err(status) => return store.explained(&status),
            }
        }
    }

    /// Rows in the database that no store has sent.
    async fn search(&self, stores: &Stores, since: Timestamp) -> Result<Vec<Stored>, Status> {
        let lines = self.state.lock().recent.lines();
        let mut rows = gaps::search(stores, lines, since).await?;
        let state = self.state.lock();
        rows.retain(|stored| state.recent.is_new(&stored.row));
        Ok(rows)
    }

    /// Tells rows that were found; they have no position of their own.
    fn push_found(&self, rows: Vec<Stored>) {
        let mut state = self.state.lock();
        state.recent.note(&rows);
        if let Some(ring) = state.ring.as_mut().filter(|_| !rows.is_empty()) {
            let at = ring.at_end().clone();
            ring.push(Step { rows, at, lagged: 0 });
            drop(state);
            self.changed.send_replace(());
        }
    }

    fn push(&self, number: usize, part: FeedPart) {
        let FeedPart { rows, token, mut lagged } = part;
        let mut state = self.state.lock();
        state.recent.note(&rows);
        let feed = &mut state.feeds[number];
        // A store that was not there at first may have written for a while.
        let late = feed.token.is_empty();
        let same = feed.token == *token;
        *feed = FeedState { token: token.to_vec(), asked: true, connected: true };
        let at = state.position();
        match &mut state.ring {
            Some(_) if rows.is_empty() && lagged == 0 && same => return,
            Some(ring) => {
                lagged = lagged.max(late.into());
                ring.push(Step { rows, at, lagged });
            }
            None => state.begin(),
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// The feed of a store broke, or never began.
    fn lost(&self, number: usize) {
        let mut state = self.state.lock();
        state.feeds[number].connected = false;
        state.feeds[number].asked = true;
        if state.ring.is_none() {
            state.begin();
        }
        drop(state);
        self.changed.send_replace(());
    }
}

impl State {
    fn position(&self) -> Position {
        Position::of(self.feeds.iter().map(|feed| feed.token.as_slice()))
    }

    /// Begins the ring, when every store was asked and one has answered.
    fn begin(&mut self) {
        let answered = self.feeds.iter().any(|feed| !feed.token.is_empty());
        if answered && self.feeds.iter().all(|feed| feed.asked) {
            self.ring = Some(Ring::new(self.position(), KEPT));
        }
    }
}
