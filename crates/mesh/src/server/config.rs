//! The bounds of a stage's server.

use std::time::Duration;

use tracing::Span;

/// The bounds of a [`StageServer`](crate::StageServer).
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Calls that one stream may have outstanding, at least 1. The stage's own concurrency plus two batches is a good
    /// number: more would wait here, where no other replica can take them. Default 64.
    pub messages: u32,
    /// Encoded bytes that one stream may have outstanding. Default 16 MiB.
    pub bytes: u64,
    /// Encoded bytes that all streams together may have outstanding, those of one address three quarters of them. A
    /// stream for which not even one message of `max_message_bytes` is left is refused. HTTP/2 windows come on top: one stream window a stream.
    /// Default 256 MiB.
    pub total_bytes: u64,
    /// Largest encoded message, header included; the generated service's `max_decoding_message_size` should be the
    /// same. Default 8 MiB.
    pub max_message_bytes: u64,
    /// A peer that reads nothing for so long while answers wait is cut off. Default 10 s.
    pub write_stall: Duration,
    /// How long calls may take to finish once the program drains. Default 10 s.
    pub drain_grace: Duration,
    /// Makes the span of a call from its traceparent, when that is not empty, and the stage's name.
    /// Default: a span named `call` at debug level that knows no parent; programs with OpenTelemetry put their own.
    pub span: fn(traceparent: &str, stage: &'static str) -> Span,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            messages: 64,
            bytes: 16 << 20,
            total_bytes: 256 << 20,
            max_message_bytes: 8 << 20,
            write_stall: Duration::from_secs(10),
            drain_grace: Duration::from_secs(10),
            span: |traceparent, stage| tracing::debug_span!("call", stage, traceparent),
        }
    }
}

impl ServerConfig {
    /// What a stream wants of `total_bytes`: its credit, and at least one message of the largest size, because one
    /// call is always allowed.
    pub(super) fn share(&self) -> u64 {
        self.bytes.max(self.max_message_bytes)
    }
}
