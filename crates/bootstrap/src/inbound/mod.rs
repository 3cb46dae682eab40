//! The messages of a call as they arrive: those that are too large for the service, and those for which it has no room,
//! are skipped and reported, and the stream continues.
//!
//! The transport's decoder ends a stream at the first message over its limit. A client that sends again what has no
//! answer would then be stopped by one message for ever.

mod body;
mod framing;
mod skip;

use std::any::Any;
use std::sync::Arc;

use axum::extract::Request;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::inbound::body::Watched;

/// Messages up to this size, such as a greeting or a row, are read before there is room for them.
pub const MESSAGE_WITHOUT_ROOM: u64 = 48 << 10;

/// The messages of one call, read within a limit.
pub struct Messages<T> {
    stream: Streaming<T>,
    gate: Gate,
}

/// A message as it arrived.
pub struct Received<T> {
    /// The message, or what is known of one that was skipped, unread.
    pub message: Result<T, Skipped>,
    /// When its first byte arrived.
    pub began: Instant,
    /// The room that was taken for its bytes.
    pub room: Option<Hold>,
}

/// Room for the bytes of a message; given back when dropped.
pub type Hold = Box<dyn Any + Send>;

/// Room that comes, or why there is none.
pub type Room = BoxFuture<'static, Result<Hold, String>>;

/// A message that its service does not take. Only its ends were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Why it was skipped.
    pub why: Why,
    /// Its length.
    pub bytes: u64,
    /// Its first bytes, at most 4 KiB.
    pub head: Vec<u8>,
    /// Its last bytes, at most 1 KiB.
    pub tail: Vec<u8>,
}

/// Why a message is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It has more bytes than this.
    TooLarge(u64),
    /// There is no room for it now, for this reason.
    NoRoom(String),
}

impl<T> Messages<T> {
    /// The messages of a call; those of more than `limit` bytes are skipped. Called before the first one is read.
    pub fn new(request: tonic::Request<Streaming<T>>, limit: u64) -> Self {
        let gate = request.extensions().get::<Gate>().cloned().unwrap_or_default();
        gate.0.lock().limit = Some(limit);
        Self { stream: request.into_inner(), gate }
    }

    /// From the next message on skips those of more than `limit` bytes.
    pub fn limit(&self, limit: u64) {
        self.gate.0.lock().limit = Some(limit);
    }

    /// From the next message on asks for room for those of more than [`MESSAGE_WITHOUT_ROOM`] bytes before they are read:
    /// the peer is not read until it is there. Where there is none, they are skipped.
    pub fn ask_for_room(&self, room: impl Fn(u64) -> Room + Send + Sync + 'static) {
        self.gate.0.lock().rooms = Some(Box::new(room));
    }

    /// The next message; `None` when the peer has half-closed. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Option<Received<T>>, Status> {
        let Some(message) = self.stream.message().await? else { return Ok(None) };
        // The body passes one message at a time on, so what was noted last is about this one.
        let mut state = self.gate.0.lock();
        let message = state.skipped.take().map_or(Ok(message), Err);
        let began = state.began.unwrap_or_else(Instant::now);
        Ok(Some(Received { message, began, room: state.room.take() }))
    }
}

/// What the body of a call and the reader of its messages share.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Larger messages are skipped; `None`: the service reads its messages without [`Messages`].
    limit: Option<u64>,
    /// Where there is room for messages.
    rooms: Option<Box<dyn Fn(u64) -> Room + Send + Sync>>,
    /// When the latest message began to arrive.
    began: Option<Instant>,
    /// The room that was taken for it.
    room: Option<Hold>,
    /// The message that the empty one stands for which was passed on last.
    skipped: Option<Skipped>,
}

impl Gate {
    fn is_open(&self) -> bool {
        self.0.lock().limit.is_none()
    }

    /// A message of this length begins. It needs room, if anything; an error: it is skipped.
    fn begins(&self, length: u64) -> Result<Option<Room>, Why> {
        let mut state = self.0.lock();
        state.began = Some(Instant::now());
        state.room = None;
        if let Some(limit) = state.limit.filter(|&limit| length > limit) {
            return Err(Why::TooLarge(limit));
        }
        Ok(state.rooms.as_ref().filter(|_| length > MESSAGE_WITHOUT_ROOM).map(|room| room(length)))
    }

    fn holds(&self, room: Hold) {
        self.0.lock().room = Some(room);
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
