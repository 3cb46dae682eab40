//! The server half: give it a function from [`Work`] to [`Done`], get a bidirectional method.

mod config;
mod ledger;
mod meter;
mod outbox;
mod session;
mod work;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Request, Status, Streaming};

use crate::{Fault, Lifecycle, Peer, Stage};
pub use config::ServerConfig;
use ledger::Ledger;
use meter::Meter;
use outbox::Outbox;
use session::Session;
pub use work::{Done, StageError, Work};

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
pub struct StageServer<S: Stage> {
    core: Arc<Core<S>>,
}

impl<S: Stage> Clone for StageServer<S> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

/// What a handler gives back.
type Handled<S> = Result<Done<<S as Stage>::Response>, StageError>;
/// A handler without its own type, so that a service can name its server: one allocation a call.
type Handler<S> = Box<dyn Fn(Work<<S as Stage>::Request>) -> BoxFuture<'static, Handled<S>> + Send + Sync>;

type Streams<S> = HashMap<u64, Arc<Outbox<<S as Stage>::ResponseFrame>>>;

/// What all streams of a server share.
struct Core<S: Stage> {
    config: ServerConfig,
    handler: Handler<S>,
    lifecycle: Lifecycle,
    ledger: Arc<Ledger>,
    meter: Meter,
    streams: Mutex<Streams<S>>,
    keys: AtomicU64,
}

impl<S: Stage> Core<S> {
    fn enter(&self, key: u64, outbox: Arc<Outbox<S::ResponseFrame>>) {
        self.streams.lock().insert(key, outbox);
        self.meter.streams.increment(1);
    }

    fn leave(&self, key: u64) {
        self.streams.lock().remove(&key);
        self.meter.streams.decrement(1);
    }
}

impl<S: Stage> StageServer<S> {
    /// A server that gives each call to `handler`, as many at once as the streams' credit allows. A call whose
    /// client is gone is dropped at its next await. The metrics recorder, if there is one, must be installed before.
    pub fn new<H, Fut>(config: ServerConfig, handler: H, lifecycle: &Lifecycle) -> Self
    where
        H: Fn(Work<S::Request>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Handled<S>> + Send + 'static,
    {
        let core = Core {
            handler: Box::new(move |work| Box::pin(handler(work))),
            lifecycle: lifecycle.clone(),
            ledger: Arc::new(Ledger::new(config.total_bytes)),
            meter: Meter::new(S::NAME),
            streams: Mutex::new(HashMap::new()),
            keys: AtomicU64::new(0),
            config,
        };
        Self { core: Arc::new(core) }
    }

    /// Serves one stream of a peer, in a task of its own.
    ///
    /// # Errors
    /// UNAVAILABLE when the program drains, RESOURCE_EXHAUSTED when there is no room for another stream.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn accept(&self, request: Request<Streaming<S::RequestFrame>>) -> Result<ResponseStream<S>, Status> {
        let core = &self.core;
        if core.lifecycle.drain.is_cancelled() {
            return Err(Fault::Unavailable.status("this server drains; call another"));
        }
        let least = core.config.max_message_bytes;
        let grant = core.ledger.grant(Peer::of(&request), core.config.share(), least).map_err(|full| {
            Fault::NoRoom
                .status(format!("no room for another stream, whose messages may have {least} bytes: {full}"))
        })?;
        let key = core.keys.fetch_add(1, Ordering::Relaxed);
        let session = Session::new(Arc::clone(core), key, grant);
        let outbox = session.outbox();
        core.lifecycle.spawn("stage stream", session.serve(request.into_inner()));
        Ok(ResponseStream { outbox })
    }

    /// What it has to do just now. Takes time in proportion to the calls outstanding.
    #[must_use]
    pub fn load(&self) -> Load {
        let streams = self.core.streams.lock();
        let (outstanding, oldest) = streams.values().map(|outbox| outbox.load()).fold(
            (0, None),
            |(all, oldest): (u64, Option<Instant>), (some, at)| {
                (all + some, oldest.into_iter().chain(at).min())
            },
        );
        Load { outstanding, oldest: oldest.map(|at| at.elapsed()), streams: streams.len() }
    }
}

/// The answers of one stream.
pub struct ResponseStream<S: Stage> {
    outbox: Arc<Outbox<S::ResponseFrame>>,
}

impl<S: Stage> futures::Stream for ResponseStream<S> {
    type Item = Result<S::ResponseFrame, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.outbox.poll_next(cx)
    }
}

impl<S: Stage> Drop for ResponseStream<S> {
    fn drop(&mut self) {
        self.outbox.abandon();
    }
}
