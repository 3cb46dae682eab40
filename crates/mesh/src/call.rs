//! A call as its maker sees it: what goes in, what comes back, and what can go wrong.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// One call to make.
#[derive(Clone, Debug)]
pub struct Request<T> {
    /// What the stage works on.
    pub body: T,
    /// When the answer is of no use any more. None: never; the call runs behind all calls that have a deadline, and
    /// waits as long as a replica lives.
    pub deadline: Option<Instant>,
    /// W3C trace context. Empty: not sampled.
    pub traceparent: String,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    /// What the stage made.
    pub body: T,
    /// Wait at the server before work began, as the server told.
    pub queued: Duration,
    /// Work at the server, as the server told.
    pub worked: Duration,
    /// From the submission to the writing of the message that was answered.
    pub waited: Duration,
    /// How many times the call was written: 1 unless a replica failed.
    pub attempts: u32,
}

/// Why a call has no answer. Each call ends exactly once, with a [`Reply`] or one of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The deadline passed first. If the call was waiting it was never sent.
    #[error("{stage}: no answer before the deadline")]
    Expired {
        /// The stage that was called.
        stage: &'static str,
    },
    /// The pool's queue is full; the call was not taken.
    #[error("{stage}: {limit} are waiting already, which is the pool's limit; call less, or add replicas")]
    Overloaded {
        /// The stage that was called.
        stage: &'static str,
        /// What is full.
        limit: Limit,
    },
    /// Every replica that had this call died with it. It may be what killed them: do not send it again.
    #[error("{stage}: lost with {times} replicas that died while they had it, the last one {endpoint}")]
    Lost {
        /// The stage that was called.
        stage: &'static str,
        /// The replica that died last.
        endpoint: String,
        /// How many died.
        times: u32,
    },
    /// A replica said no, or the pool could never send the call.
    #[error("{stage} at {endpoint}: {message} ({code:?})")]
    Failed {
        /// The stage that was called.
        stage: &'static str,
        /// The replica that answered last; `pool` when none did.
        endpoint: String,
        /// Its code.
        code: tonic::Code,
        /// What failed and what to do.
        message: String,
    },
    /// The pool is draining or gone.
    #[error("{stage}: the pool is closed, because this program is ending")]
    Closed {
        /// The stage that was called.
        stage: &'static str,
    },
}

/// A bound of a pool's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many calls.
    Messages(usize),
    /// So many encoded bytes.
    Bytes(u64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Messages(n) => write!(f, "{n} calls"),
            Self::Bytes(n) => write!(f, "{n} bytes"),
        }
    }
}
