//! The bounds of a pool.

use std::time::Duration;

/// The bounds of a [`StreamPool`](crate::StreamPool). A pool never holds more than `max_queued_*` plus the credit of
/// its replicas, which calls that came back from a dead replica still count to.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Calls that may wait for a replica. More are refused at once with [`CallError::Overloaded`](crate::CallError).
    /// Default 1,024: a second of the headline rate, of which no call would be in time behind a longer queue.
    pub max_queued_messages: usize,
    /// Encoded bytes that may wait for a replica. Default 256 MiB: 1,024 calls of 256 KiB.
    pub max_queued_bytes: u64,
    /// Largest encoded message in either direction, header included. Larger calls fail at once.
    /// Default 8 MiB: a volume of 128x128x128 u16 is 4 MiB.
    pub max_message_bytes: usize,
    /// How many replicas may die while they have one call, and the call is still sent again. With one more it is
    /// answered [`CallError::Lost`](crate::CallError). Default 1: the first death may be chance, the second is taken
    /// for the call's doing.
    pub max_losses: u32,
    /// How often one call may be answered with a retryable failure until the failure is passed on. Default 3.
    pub max_attempts: u32,
    /// How often a stream may be closed in good order under one call, which is then sent elsewhere. Default 8: a
    /// rolling restart may hit one call several times, a broken server must not bounce it for ever.
    pub max_interruptions: u32,
    /// A replica whose oldest call is older gets no new work while another is faster. Default 500 ms: far above any
    /// healthy stage, a quarter of the default budget of a scan.
    pub slow_after: Duration,
    /// Failures in a row after which a replica is ejected. Default 5.
    pub eject_after: u32,
    /// First ejection; each next one without a success between takes twice as long. Default 1 s.
    pub eject_base: Duration,
    /// Longest ejection. Default 30 s.
    pub eject_max: Duration,
    /// How long a new stream may take from its opening to its first credit. Default 5 s.
    pub open_timeout: Duration,
    /// First wait before a replica is connected to again; it doubles, with jitter. Default 50 ms.
    pub reconnect_base: Duration,
    /// Longest wait before a replica is connected to again. Default 2 s.
    pub reconnect_max: Duration,
    /// How long calls may take to finish once the program drains; what is left is answered
    /// [`CallError::Closed`](crate::CallError). Default 10 s.
    pub drain_grace: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_queued_messages: 1024,
            max_queued_bytes: 256 << 20,
            max_message_bytes: 8 << 20,
            max_losses: 1,
            max_attempts: 3,
            max_interruptions: 8,
            slow_after: Duration::from_millis(500),
            eject_after: 5,
            eject_base: Duration::from_secs(1),
            eject_max: Duration::from_secs(30),
            open_timeout: Duration::from_secs(5),
            reconnect_base: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(2),
            drain_grace: Duration::from_secs(10),
        }
    }
}
