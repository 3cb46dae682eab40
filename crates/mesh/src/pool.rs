//! The client half: a call goes in, its answer comes out; which stream it takes is decided message by message.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::transport::Uri;

use crate::{CallError, Connector, Discover, Lifecycle, PoolConfig, Reply, Request, Stage};

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

/// What a replica is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No stream yet, or not any more.
    Connecting,
    /// Takes work.
    Ready,
    /// Its oldest call is older than `slow_after`: it takes work only if all others are as slow.
    Slow,
    /// It failed too often in a row: it takes no work for a while, then one call to try.
    Ejected,
    /// It goes away: it finishes what it has.
    Draining,
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

/// A [`tower::Service`] over long-lived streams to all replicas of a stage. Cheap to clone; all clones are one, and
/// the streams close when the last is dropped.
pub struct StreamPool<S: Stage> {
    stage: std::marker::PhantomData<fn() -> S>,
}

impl<S: Stage> Clone for StreamPool<S> {
    fn clone(&self) -> Self {
        Self { stage: self.stage }
    }
}

impl<S: Stage> StreamPool<S> {
    /// Starts the pool's tasks.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start(_: PoolConfig, _: Connector, _: impl Discover, _: &Lifecycle) -> Self {
        Self { stage: std::marker::PhantomData }
    }

    /// Makes one call. Dropping the future gives the call up.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&self, request: Request<S::Request>) -> Result<Reply<S::Response>, CallError> {
        drop(request);
        Err(CallError::Closed { stage: S::NAME })
    }

    /// What it has to do just now.
    pub fn state(&self) -> PoolState {
        PoolState::default()
    }

    /// Waits until at least one replica is ready.
    pub async fn ready(&self) {
        std::future::pending::<()>().await;
    }
}

/// The answer to come.
pub struct Pending<S: Stage> {
    stage: std::marker::PhantomData<fn() -> S>,
}

impl<S: Stage> Future for Pending<S> {
    type Output = Result<Reply<S::Response>, CallError>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Err(CallError::Closed { stage: S::NAME }))
    }
}

impl<S: Stage> tower::Service<Request<S::Request>> for StreamPool<S> {
    type Response = Reply<S::Response>;
    type Error = CallError;
    type Future = Pending<S>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<S::Request>) -> Pending<S> {
        Pending { stage: self.stage }
    }
}
