//! What a stage's handler gets, and what it gives back.

use std::time::Duration;

use tokio::time::Instant;

use crate::Fault;

/// One call to work on.
#[derive(Clone, Debug)]
pub struct Work<T> {
    /// What to work on.
    pub body: T,
    /// When the answer is of no use any more: receipt plus the budget that came with the call. None: never; work on
    /// it behind all work that has a deadline.
    pub deadline: Option<Instant>,
    /// It was in flight on a replica that died: it must not share a batch with other calls.
    pub alone: bool,
    /// W3C trace context. Empty: not sampled.
    pub traceparent: String,
}

/// What became of one call.
#[derive(Clone, Debug)]
pub struct Done<T> {
    /// The answer.
    pub body: T,
    /// How long the call waited in the handler before work on it began. Told in microseconds, up to 71 minutes.
    pub queued: Duration,
    /// How long the work took. Told in microseconds, up to 71 minutes.
    pub worked: Duration,
}

/// Why a call could not be done. The stream goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code:?})")]
pub struct StageError {
    /// What kind of failure.
    pub code: tonic::Code,
    /// What failed and what to do, for people.
    pub message: String,
    /// Whether another replica might succeed.
    pub retryable: bool,
}

impl StageError {
    /// The call itself is wrong; no replica can do it. INVALID_ARGUMENT, not retryable.
    pub fn invalid(message: impl Into<String>) -> Self {
        Fault::Invalid.stage_error(message)
    }

    /// This replica has no room. RESOURCE_EXHAUSTED, retryable.
    pub fn overloaded(message: impl Into<String>) -> Self {
        Fault::NoRoom.stage_error(message)
    }

    /// Something broke here. INTERNAL, retryable: another replica might be sound.
    pub fn internal(message: impl Into<String>) -> Self {
        Fault::Broken.stage_error(message)
    }

    /// The deadline passed before work began. DEADLINE_EXCEEDED, not retryable.
    pub fn expired(message: impl Into<String>) -> Self {
        Fault::Expired.stage_error(message)
    }
}
