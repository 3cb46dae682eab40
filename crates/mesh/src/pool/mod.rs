//! The client half: a call goes in, its answer comes out; which stream it takes is decided message by message.
//!
//! The decisions are in [`crate::balance`]. Here is the shell around it: one task for each replica that connects,
//! reads and connects again, one for discovery, one for the timer.

mod events;
mod follow;
mod keeper;
mod link;
mod meter;
mod outbound;
mod pending;
mod shared;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use tokio_util::sync::DropGuard;

use crate::{CallError, Connector, Discover, Lifecycle, Phase, PoolConfig, Reply, Request, Stage};
pub use pending::Pending;
use shared::Shared;

/// A replica of a stage, as the pool sees it.
#[derive(Clone, Debug)]
pub struct ReplicaState {
    /// Where it is.
    pub endpoint: Uri,
    /// What it is good for just now.
    pub phase: Phase,
    /// Calls sent to it and not answered, those that expired meanwhile included.
    pub outstanding: u64,
    /// Their encoded bytes.
    pub outstanding_bytes: u64,
    /// Streams to it that died.
    pub losses: u64,
}

/// What a pool has to do just now.
#[derive(Clone, Debug, Default)]
pub struct PoolState {
    /// Each replica.
    pub replicas: Vec<ReplicaState>,
    /// Calls that wait for a replica.
    pub queued: u64,
    /// Their encoded bytes.
    pub queued_bytes: u64,
    /// Age of the oldest call that is not answered, waiting or sent.
    pub oldest: Option<Duration>,
}

/// A [`tower::Service`] over long-lived streams to all replicas of a stage. Cheap to clone; all clones are one.
///
/// It ends with its last clone, or when the program drains: then it refuses new calls with [`CallError::Closed`],
/// finishes those it has within `drain_grace`, and closes its streams.
pub struct StreamPool<S: Stage> {
    inner: Arc<Inner<S>>,
}

struct Inner<S: Stage> {
    shared: Arc<Shared<S>>,
    /// Ends the tasks with the last clone.
    _gone: DropGuard,
}

impl<S: Stage> Clone for StreamPool<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: Stage> StreamPool<S> {
    /// Starts the pool's tasks. The metrics recorder, if there is one, must be installed before.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start(
        config: PoolConfig,
        connector: Connector,
        discovery: impl Discover,
        lifecycle: &Lifecycle,
    ) -> Self {
        let shared = Arc::new(Shared::new(config));
        lifecycle.spawn("pool timer", keeper::keep(Arc::clone(&shared), lifecycle.drain.clone()));
        let follow = follow::follow(Arc::clone(&shared), discovery, Arc::new(connector), lifecycle.clone());
        lifecycle.spawn("pool discovery", follow);
        let gone = shared.gone.clone().drop_guard();
        Self { inner: Arc::new(Inner { shared, _gone: gone }) }
    }

    /// Makes one call. Dropping the future gives the call up: it is not sent if it waits, and its answer is dropped
    /// if it was sent.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&self, request: Request<S::Request>) -> Result<Reply<S::Response>, CallError> {
        self.submit(request).await
    }

    fn submit(&self, request: Request<S::Request>) -> Pending<S> {
        Pending::new(self.clone(), request)
    }

    /// What it has to do just now. Takes a few microseconds.
    #[must_use]
    pub fn state(&self) -> PoolState {
        self.inner.shared.state()
    }

    /// Waits until at least one replica is ready.
    pub async fn ready(&self) {
        let mut ready = self.inner.shared.ready.subscribe();
        // The sender lives as long as this pool.
        let _ = ready.wait_for(|count| *count > 0).await;
    }
}

impl<S: Stage> tower::Service<Request<S::Request>> for StreamPool<S> {
    type Response = Reply<S::Response>;
    type Error = CallError;
    type Future = Pending<S>;

    /// Always: the queue is bounded by refusing, so that a caller learns at once that its call will not be in time.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<S::Request>) -> Pending<S> {
        self.submit(request)
    }
}
