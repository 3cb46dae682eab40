//! The way back to a peer: bounded, never waited for, and watched for peers that do not read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;

/// A channel for `most` messages that wait to be read.
pub fn channel<T>(most: usize) -> (Outbox<T>, Outgoing<T>) {
    // One place more, so that the status which ends the stream always has room.
    let (sender, receiver) = mpsc::channel(most + 1);
    let taken = Arc::new(AtomicU64::new(0));
    let progress = (0, Instant::now());
    (Outbox { sender, most, taken: taken.clone(), progress }, Outgoing { receiver, taken })
}

/// The session's end.
pub struct Outbox<T> {
    sender: mpsc::Sender<Result<T, Status>>,
    most: usize,
    taken: Arc<AtomicU64>,
    /// Messages that had been taken when progress was last seen, and when that was.
    progress: (u64, Instant),
}

impl<T> Outbox<T> {
    /// Messages that fit.
    pub fn room(&self) -> usize {
        self.sender.capacity().saturating_sub(1)
    }

    /// Puts a message; false when there is no room.
    pub fn send(&self, message: T) -> bool {
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

    /// How long messages have waited without one being taken.
    pub fn stalled_for(&mut self) -> Duration {
        let taken = self.taken.load(Relaxed);
        if taken != self.progress.0 || self.room() == self.most {
            self.progress = (taken, Instant::now());
        }
        self.progress.1.elapsed()
    }
}

/// The transport's end.
pub struct Outgoing<T> {
    receiver: mpsc::Receiver<Result<T, Status>>,
    taken: Arc<AtomicU64>,
}

impl<T> Stream for Outgoing<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(_)) = next {
            self.taken.fetch_add(1, Relaxed);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_seen_and_the_last_word_has_room() {
        let (mut outbox, mut outgoing) = channel(2);
        assert!(outbox.send(1) && outbox.send(2));
        assert!(!outbox.send(3), "no room for a third");
        assert_eq!(outbox.stalled_for(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(outbox.stalled_for(), Duration::from_secs(11));
        outbox.finish(Err(Status::aborted("gone")));
        drop(outbox);
        let all: Vec<_> = std::iter::from_fn(|| futures::executor::block_on(outgoing.next())).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[2].as_ref().unwrap_err().code(), tonic::Code::Aborted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_with_nothing_to_read_is_not_stalled() {
        let (mut outbox, _outgoing) = channel::<u8>(2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(outbox.stalled_for(), Duration::ZERO);
    }
}
