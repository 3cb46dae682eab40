//! The live feed: read once from the store, given to all who watch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovomesh_api::pb::store::v1::SubscribeResponse;
use ovomesh_mesh::Lifecycle;
use tokio::sync::watch;
use tonic::{Code, Status};

use crate::ring::{Cursor, Next, Ring, Step};
use crate::store::Store;

/// Rows kept for watchers that are behind: 8 s of the headline rate, about 10 MiB.
const KEPT: usize = 8_192;
/// First and longest pause before the store is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The feed of this process.
pub struct Live {
    /// None until the store has answered once: before that there is no "now" to watch from.
    ring: Mutex<Option<Ring>>,
    /// Whether the store's feed is being read.
    connected: watch::Sender<bool>,
    /// Changes with every step.
    changed: watch::Sender<()>,
}

impl Live {
    /// Reads the feed until the drain.
    pub fn start(store: Store, lifecycle: &Lifecycle) -> Arc<Self> {
        let live = Arc::new(Self {
            ring: Mutex::new(None),
            connected: watch::Sender::new(false),
            changed: watch::Sender::new(()),
        });
        let (reader, drain) = (live.clone(), lifecycle.drain.clone());
        lifecycle.spawn("live", async move {
            tokio::select! {
                () = reader.follow(store) => {}
                () = drain.cancelled() => {}
            }
        });
        live
    }

    /// Whether the store's feed is being read right now.
    pub fn connected(&self) -> bool {
        *self.connected.borrow()
    }

    /// Whether it was ever read: from then on watchers miss nothing without being told.
    pub fn begun(&self) -> bool {
        self.lock().is_some()
    }

    /// The end of the feed and its token, once there is one.
    pub async fn now(&self) -> (Cursor, Vec<u8>) {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(ring) = &*self.lock() {
                return (ring.end(), ring.token().to_vec());
            }
            // The sender is ours: it cannot be gone.
            let _ = changed.changed().await;
        }
    }

    /// Where to go on after `token`, if what follows it is still here.
    pub fn after(&self, token: &[u8]) -> Option<Cursor> {
        self.lock().as_ref().and_then(|ring| ring.after(token))
    }

    /// What follows `at`: a step, or how many rows are gone.
    pub async fn next(&self, at: Cursor) -> Next {
        let mut changed = self.changed.subscribe();
        loop {
            match self.lock().as_ref().map(|ring| ring.next(at)) {
                None | Some(Next::Nothing) => {}
                Some(next) => return next,
            }
            let _ = changed.changed().await;
        }
    }

    async fn follow(&self, store: Store) {
        let mut pause = PAUSES.0;
        loop {
            let status = self.read(&store, &mut pause).await;
            self.connected.send_replace(false);
            tracing::warn!(store = %store.uri(), error = status.message(), "the live feed broke, reading it again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Reads the feed from where it was until it breaks; says why.
    async fn read(&self, store: &Store, pause: &mut Duration) -> Status {
        let token = self.lock().as_ref().map(|ring| ring.token().to_vec()).unwrap_or_default();
        let mut feed = match store.subscribe(token).await {
            Ok(feed) => feed,
            Err(status) => {
                if status.code() == Code::InvalidArgument {
                    // A store of another kind: none of our tokens is worth anything there.
                    self.push(SubscribeResponse { lagged: 1, ..Default::default() });
                }
                return status;
            }
        };
        loop {
            match feed.message().await {
                Ok(Some(message)) => {
                    self.push(message);
                    self.connected.send_if_modified(|connected| !std::mem::replace(connected, true));
                    *pause = PAUSES.0;
                }
                Ok(None) => return Status::unavailable("the store ended its feed"),
                Err(status) => return store.told(&status),
            }
        }
    }

    fn push(&self, message: SubscribeResponse) {
        let SubscribeResponse { rows, token, lagged } = message;
        let token = token.to_vec();
        match &mut *self.lock() {
            Some(ring) if rows.is_empty() && lagged == 0 && ring.token() == token => return,
            Some(ring) => ring.push(Step { rows, token, lagged }),
            none => *none = Some(Ring::new(token, KEPT)),
        }
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Ring>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
