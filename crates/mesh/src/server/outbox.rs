//! What a stream owes its client: the calls that are outstanding, and the answers that wait to be read.
//!
//! A call is outstanding from its receipt until HTTP/2 takes its answer. So there are never more answers than
//! credit, and whoever answers never waits for the client.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Status;

use crate::Fault;

/// How much may be outstanding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Credit {
    pub(super) messages: u32,
    pub(super) bytes: u64,
}

pub(super) struct Outbox<F> {
    inner: Mutex<Inner<F>>,
    /// Told when the client is gone, and when all is read after the end.
    changed: Notify,
}

struct Inner<F> {
    credit: Credit,
    open: HashMap<u64, Opened>,
    bytes: u64,
    frames: VecDeque<(Option<u64>, F)>,
    /// Since when frames wait and none is read.
    waiting: Option<Instant>,
    end: Option<Result<(), Status>>,
    gone: bool,
    waker: Option<Waker>,
}

struct Opened {
    at: Instant,
    bytes: u64,
}

impl<F> Outbox<F> {
    pub(super) fn new(credit: Credit) -> Self {
        let inner = Inner {
            credit,
            open: HashMap::new(),
            bytes: 0,
            frames: VecDeque::new(),
            waiting: None,
            end: None,
            gone: false,
            waker: None,
        };
        Self { inner: Mutex::new(inner), changed: Notify::new() }
    }

    /// Books a call, or says which rule it breaks.
    pub(super) fn admit(&self, id: u64, bytes: u64, now: Instant) -> Result<(), Status> {
        let mut inner = self.inner.lock();
        let Credit { messages, bytes: most } = inner.credit;
        let (has, has_bytes) = (inner.open.len(), inner.bytes);
        if inner.open.contains_key(&id) {
            let why = format!("call {id}: its id is outstanding already; ids must be unique on their stream");
            return Err(Fault::OutOfOrder.status(why));
        }
        if has >= messages as usize {
            let why =
                format!("call {id}: {has} calls are outstanding, the credit is {messages}; wait for answers");
            return Err(Fault::NoRoom.status(why));
        }
        if has > 0 && has_bytes.saturating_add(bytes) > most {
            let why = format!(
                "call {id}: {has_bytes} bytes are outstanding and it has {bytes}, the credit is {most}; wait for answers"
            );
            return Err(Fault::NoRoom.status(why));
        }
        inner.open.insert(id, Opened { at: now, bytes });
        inner.bytes += bytes;
        Ok(())
    }

    /// The answer or the failure of a call.
    pub(super) fn answer(&self, id: u64, frame: F) {
        self.push(Some(id), frame);
    }

    /// Something about the stream.
    pub(super) fn control(&self, frame: F) {
        self.push(None, frame);
    }

    fn push(&self, id: Option<u64>, frame: F) {
        let mut inner = self.inner.lock();
        if inner.gone || inner.end.is_some() {
            return;
        }
        if inner.frames.is_empty() {
            inner.waiting = Some(Instant::now());
        }
        inner.frames.push_back((id, frame));
        let waker = inner.waker.take();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Allows more from now on.
    pub(super) fn grow(&self, credit: Credit) {
        self.inner.lock().credit = credit;
    }

    /// Ends the stream behind the answers that wait.
    pub(super) fn end(&self, how: Result<(), Status>) {
        let mut inner = self.inner.lock();
        inner.end.get_or_insert(how);
        let waker = inner.waker.take();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ends the stream and forgets the answers that wait, because nobody reads them.
    pub(super) fn cut(&self, status: Status) {
        let mut inner = self.inner.lock();
        inner.frames = VecDeque::new();
        inner.waiting = None;
        inner.end = Some(Err(status));
        inner.gone = true;
        let waker = inner.waker.take();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Ends when the client is gone, or when all is read after the end. There must be one who waits.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn is_gone(&self) -> bool {
        self.inner.lock().gone
    }

    /// Whether there is nothing to wait for any more after the end.
    pub(super) fn is_flushed(&self) -> bool {
        let inner = self.inner.lock();
        inner.gone || inner.frames.is_empty()
    }

    /// How many answers wait, and since when none was read.
    pub(super) fn waiting(&self) -> (usize, Option<Instant>) {
        let inner = self.inner.lock();
        (inner.frames.len(), inner.waiting)
    }

    /// Calls outstanding, and the receipt of the oldest.
    pub(super) fn load(&self) -> (u64, Option<Instant>) {
        let inner = self.inner.lock();
        (inner.open.len() as u64, inner.open.values().map(|opened| opened.at).min())
    }

    /// The writer of the stream asks for what is next.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Result<F, Status>>> {
        let mut inner = self.inner.lock();
        if let Some((id, frame)) = inner.frames.pop_front() {
            if let Some(opened) = id.and_then(|id| inner.open.remove(&id)) {
                inner.bytes -= opened.bytes;
            }
            inner.waiting = (!inner.frames.is_empty()).then(Instant::now);
            if inner.frames.is_empty() && inner.end.is_some() {
                self.changed.notify_one();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut inner.end {
            Some(end) => match std::mem::replace(end, Ok(())) {
                Ok(()) => Poll::Ready(None),
                Err(status) => Poll::Ready(Some(Err(status))),
            },
            None => {
                inner.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The writer of the stream is gone, and so is the client.
    pub(super) fn abandon(&self) {
        let mut inner = self.inner.lock();
        inner.gone = true;
        inner.frames = VecDeque::new();
        drop(inner);
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn next(outbox: &Outbox<&'static str>) -> Poll<Option<Result<&'static str, tonic::Code>>> {
        let poll = outbox.poll_next(&Context::from_waker(Waker::noop()));
        poll.map(|next| next.map(|frame| frame.map_err(|status| status.code())))
    }

    #[test]
    fn credit_returns_when_an_answer_is_taken_and_not_before() {
        let (outbox, now) = (Outbox::new(Credit { messages: 2, bytes: 100 }), Instant::now());
        assert!(outbox.admit(1, 60, now).is_ok());
        assert_eq!(outbox.admit(2, 60, now).unwrap_err().code(), tonic::Code::ResourceExhausted);
        assert_eq!(outbox.admit(1, 10, now).unwrap_err().code(), tonic::Code::FailedPrecondition);
        assert!(outbox.admit(2, 40, now).is_ok());
        assert_eq!(outbox.admit(3, 0, now).unwrap_err().code(), tonic::Code::ResourceExhausted);
        outbox.answer(1, "one");
        assert!(outbox.admit(3, 10, now).is_err(), "nobody has read the answer yet");
        assert_eq!(next(&outbox), Poll::Ready(Some(Ok("one"))));
        assert!(outbox.admit(3, 10, now).is_ok());
    }

    #[test]
    fn one_call_of_any_size_is_allowed_when_nothing_is_outstanding() {
        let outbox = Outbox::<()>::new(Credit { messages: 2, bytes: 1 });
        assert!(outbox.admit(1, 1_000, Instant::now()).is_ok());
        assert!(outbox.admit(2, 1, Instant::now()).is_err());
    }

    #[test]
    fn finished_answers_go_out_before_the_status_that_ends_the_stream() {
        let outbox = Outbox::new(Credit { messages: 2, bytes: 100 });
        outbox.admit(1, 1, Instant::now()).unwrap();
        outbox.answer(1, "one");
        outbox.end(Err(Status::failed_precondition("broken rule")));
        outbox.answer(2, "too late");
        assert!(!outbox.is_flushed());
        assert_eq!(next(&outbox), Poll::Ready(Some(Ok("one"))));
        assert_eq!(next(&outbox), Poll::Ready(Some(Err(tonic::Code::FailedPrecondition))));
        assert_eq!(next(&outbox), Poll::Ready(None));
        assert!(outbox.is_flushed());
    }

    #[test]
    fn a_cut_forgets_what_nobody_reads() {
        let outbox = Outbox::new(Credit { messages: 2, bytes: 100 });
        outbox.admit(1, 1, Instant::now()).unwrap();
        outbox.answer(1, "one");
        assert_eq!(outbox.waiting().0, 1);
        outbox.cut(Status::resource_exhausted("read"));
        assert_eq!(outbox.waiting(), (0, None));
        assert_eq!(next(&outbox), Poll::Ready(Some(Err(tonic::Code::ResourceExhausted))));
    }
}
