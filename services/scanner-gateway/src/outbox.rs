//! The way back to a peer: bounded, never waited for, and watched for peers that do not read.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;

use crate::memory::Seat;

/// A channel for `most` messages that wait to be read.
pub fn channel<T>(most: usize) -> (Outbox<T>, Outgoing<T>) {
    // One place more, so that the status which ends the stream always has room.
    let (sender, receiver) = mpsc::channel(most + 1);
    let shared = Arc::new(Shared { progress: Mutex::new(Instant::now()), seat: OnceLock::new() });
    (Outbox { sender, most, shared: shared.clone() }, Outgoing { receiver, shared })
}

/// What both ends know.
#[derive(Debug)]
struct Shared {
    /// When a message was last taken, or put where none waited.
    progress: Mutex<Instant>,
    /// Kept until the transport has let go of the last message.
    seat: OnceLock<Seat>,
}

/// The session's end.
pub struct Outbox<T> {
    sender: mpsc::Sender<Result<T, Status>>,
    most: usize,
    shared: Arc<Shared>,
}

impl<T> Outbox<T> {
    /// Messages that fit.
    pub fn room(&self) -> usize {
        self.sender.capacity().saturating_sub(1)
    }

    /// Whether messages wait to be taken.
    pub fn waits(&self) -> bool {
        self.room() < self.most
    }

    /// Keeps the session's admission as long as its messages may take memory.
    pub fn hold(&self, seat: Seat) {
        // A session says Hello once.
        let _ = self.shared.seat.set(seat);
    }

    /// Puts a message; false when there is no room.
    pub fn send(&self, message: T) -> bool {
        if !self.waits() {
            *self.shared.progress.lock() = Instant::now();
        }
        // A peer that is gone needs no message: the session sees that by itself.
        self.room() > 0
            && !matches!(self.sender.try_send(Ok(message)), Err(mpsc::error::TrySendError::Full(_)))
    }

    /// Ends the stream after what is in it.
    pub fn finish(&self, how: Result<(), Status>) {
        if let Err(status) = how {
            // The room for it was kept; a peer that is gone needs none.
            let _ = self.sender.try_send(Err(status));
        }
    }

    /// Comes back when the peer is gone.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Comes back when messages have waited for this time without one being taken.
    pub async fn stalled(&self, limit: Duration) {
        loop {
            let since = *self.shared.progress.lock();
            tokio::time::sleep_until(since + limit).await;
            if *self.shared.progress.lock() == since && self.waits() {
                return;
            }
        }
    }
}

/// The transport's end.
pub struct Outgoing<T> {
    receiver: mpsc::Receiver<Result<T, Status>>,
    shared: Arc<Shared>,
}

impl<T> Stream for Outgoing<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(_)) = next {
            *self.shared.progress.lock() = Instant::now();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_seen_and_the_last_word_has_room() {
        let (outbox, mut outgoing) = channel(2);
        assert!(outbox.send(1) && outbox.send(2));
        assert!(!outbox.send(3), "no room for a third");
        let begun = Instant::now();
        outbox.stalled(LIMIT).await;
        assert_eq!(begun.elapsed(), LIMIT);
        outbox.finish(Err(Status::aborted("gone")));
        drop(outbox);
        let all: Vec<_> = std::iter::from_fn(|| futures::executor::block_on(outgoing.next())).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[2].as_ref().unwrap_err().code(), tonic::Code::Aborted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_not_stalled() {
        let (outbox, mut outgoing) = channel(100);
        (0..100).for_each(|n| assert!(outbox.send(n)));
        for _ in 0..100 {
            tokio::time::advance(LIMIT - Duration::from_secs(1)).await;
            assert_eq!(outbox.stalled(LIMIT).now_or_never(), None);
            outgoing.next().await.unwrap().unwrap();
        }
        tokio::time::advance(10 * LIMIT).await;
        assert!(!outbox.waits(), "it has read all");
        assert!(outbox.send(0), "and the next message has its time");
        assert_eq!(outbox.stalled(LIMIT).now_or_never(), None);
    }
}
