//! The messages of a call as they arrive: those that are too large for the service are skipped and reported, and the
//! stream continues.
//!
//! The transport's decoder ends a stream at the first message over its limit. A client that sends again what has no
//! answer would then be stopped by one message for ever.

mod body;
mod framing;
mod skip;

use std::sync::Arc;

use axum::extract::Request;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::inbound::body::Watched;

/// The messages of one call, read within a limit.
pub struct Messages<T> {
    stream: Streaming<T>,
    gate: Gate,
}

/// What arrived.
#[derive(Debug)]
pub enum Received<T> {
    /// A message.
    Whole(T),
    /// One that was skipped, unread.
    TooLarge(Skipped),
}

/// A message that was larger than its service takes. Only its ends were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its length.
    pub bytes: u64,
    /// What would have been taken.
    pub limit: u64,
    /// Its first bytes, at most 4 KiB.
    pub head: Vec<u8>,
    /// Its last bytes, at most 1 KiB.
    pub tail: Vec<u8>,
}

impl<T> Messages<T> {
    /// The messages of a call; those of more than `limit` bytes are skipped. Called before the first one is read.
    pub fn new(request: tonic::Request<Streaming<T>>, limit: u64) -> Self {
        let gate = request.extensions().get::<Gate>().cloned().unwrap_or_default();
        gate.0.lock().limit = Some(limit);
        Self { stream: request.into_inner(), gate }
    }

    /// The next message, or what is known of one that was skipped; `None` when the peer has half-closed. May be dropped
    /// and called again.
    pub async fn next(&mut self) -> Result<Option<Received<T>>, Status> {
        let Some(message) = self.stream.message().await? else { return Ok(None) };
        // The body passes one message at a time on, so what was skipped stands where this message is.
        Ok(Some(match self.gate.0.lock().skipped.take() {
            Some(skipped) => Received::TooLarge(skipped),
            None => Received::Whole(message),
        }))
    }

    /// When the message that was given last began to arrive.
    pub fn began(&self) -> Instant {
        self.gate.0.lock().began.unwrap_or_else(Instant::now)
    }
}

/// What the body of a call and the reader of its messages share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Larger messages are skipped; `None`: the service reads its messages without [`Messages`].
    limit: Option<u64>,
    /// When the latest message began to arrive.
    began: Option<Instant>,
    /// The message that the empty one stands for which was passed on last.
    skipped: Option<Skipped>,
}

impl Gate {
    fn limit(&self) -> Option<u64> {
        self.0.lock().limit
    }

    fn begins(&self) {
        self.0.lock().began = Some(Instant::now());
    }

    fn skipped(&self, skipped: Skipped) {
        self.0.lock().skipped = Some(skipped);
    }
}

/// Watches the messages of a gRPC call.
pub(crate) fn watch(mut request: Request) -> Request {
    if !crate::is_grpc(&request) {
        return request;
    }
    let gate = Gate::default();
    request.extensions_mut().insert(gate.clone());
    request.map(|body| axum::body::Body::new(Watched::new(body, gate)))
}
