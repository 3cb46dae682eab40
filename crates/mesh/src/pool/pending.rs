//! The answer to come.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::StreamPool;
use crate::balance::CallId;
use crate::{CallError, Reply, Request, Stage};

/// What a caller gets in the end.
pub(super) type Outcome<S> = Result<Reply<<S as Stage>::Response>, CallError>;

/// The future of one call. Dropping it gives the call up.
pub struct Pending<S: Stage> {
    pool: StreamPool<S>,
    state: State<S>,
}

enum State<S: Stage> {
    Refused(CallError),
    Waiting(CallId, oneshot::Receiver<Outcome<S>>),
    Done,
}

impl<S: Stage> Pending<S> {
    pub(super) fn new(pool: StreamPool<S>, request: Request<S::Request>) -> Self {
        let state = match pool.inner.shared.submit(request) {
            Ok((call, answer)) => State::Waiting(call, answer),
            Err(error) => State::Refused(error),
        };
        Self { pool, state }
    }
}

// Nothing in it is pinned.
impl<S: Stage> Unpin for Pending<S> {}

impl<S: Stage> Future for Pending<S> {
    type Output = Outcome<S>;

    /// # Panics
    /// When it is polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Waiting(_, answer) = &mut self.state {
            let Poll::Ready(answer) = Pin::new(answer).poll(cx) else { return Poll::Pending };
            self.state = State::Done;
            return Poll::Ready(answer.unwrap_or(Err(CallError::Closed { stage: S::NAME })));
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Refused(error) => Poll::Ready(Err(error)),
            State::Waiting(..) | State::Done => panic!("polled after it was ready"),
        }
    }
}

impl<S: Stage> Drop for Pending<S> {
    fn drop(&mut self) {
        if let State::Waiting(call, _) = self.state {
            self.pool.inner.shared.cancel(call);
        }
    }
}
