//! The server half: give it a function from [`Work`] to [`Done`], get a bidirectional method.

mod config;
mod work;

pub use config::ServerConfig;
pub use work::{Done, StageError, Work};

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::Status;

use crate::{Lifecycle, Stage};

/// What a server has to do just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Calls received and not answered, over all streams.
    pub outstanding: u64,
    /// Age of the oldest of them.
    pub oldest: Option<Duration>,
    /// Open streams.
    pub streams: usize,
}

/// The server of one stage. Cheap to clone; all clones are one.
pub struct StageServer<S: Stage, H> {
    config: ServerConfig,
    handler: H,
    lifecycle: Lifecycle,
    stage: PhantomData<fn() -> S>,
}

impl<S: Stage, H: Clone> Clone for StageServer<S, H> {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            handler: self.handler.clone(),
            lifecycle: self.lifecycle.clone(),
            stage: PhantomData,
        }
    }
}

impl<S, H, Fut> StageServer<S, H>
where
    S: Stage,
    H: Fn(Work<S::Request>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Done<S::Response>, StageError>> + Send,
{
    /// A server that gives each call to `handler`.
    pub fn new(config: ServerConfig, handler: H, lifecycle: &Lifecycle) -> Self {
        Self { config, handler, lifecycle: lifecycle.clone(), stage: PhantomData }
    }

    /// Serves one stream.
    ///
    /// # Errors
    /// UNAVAILABLE when the program drains, RESOURCE_EXHAUSTED when there is no room for another stream.
    pub fn accept(&self, _inbound: tonic::Streaming<S::RequestFrame>) -> Result<ResponseStream<S>, Status> {
        Err(Status::unimplemented("this server does not serve streams yet"))
    }

    /// What it has to do just now.
    pub fn load(&self) -> Load {
        Load::default()
    }
}

/// The answers of one stream.
pub struct ResponseStream<S: Stage> {
    stage: PhantomData<fn() -> S>,
}

impl<S: Stage> futures::Stream for ResponseStream<S> {
    type Item = Result<S::ResponseFrame, Status>;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}
