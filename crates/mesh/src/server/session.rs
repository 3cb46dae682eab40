//! One stream, from its first credit to its end.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use prost::Message;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::{Status, Streaming};
use tracing::{Instrument, Span};

use super::ledger::Grant;
use super::outbox::{Credit, Outbox};
use super::{Core, Done, Handled, ServerConfig, StageError, Work};
use crate::proto::{Answer, Call, Control, Drain, Envelope, Failure, control, envelope};
use crate::{Fault, Frame, Stage};

/// A stream that is being served. Dropping it forgets it.
pub(super) struct Session<S: Stage> {
    core: Arc<Core<S>>,
    key: u64,
    outbox: Arc<Outbox<S::ResponseFrame>>,
    grant: Grant,
}

/// What a message asks for.
enum Admitted<T> {
    Work(u64, Work<T>),
    /// It is answered already.
    Answered,
}

impl<S: Stage> Session<S> {
    pub(super) fn new(core: Arc<Core<S>>, key: u64, grant: Grant) -> Self {
        let outbox = Arc::new(Outbox::new(credit(&core.config, &grant)));
        outbox.control(credit_frame::<S>(&core.config, &grant));
        core.enter(key, Arc::clone(&outbox));
        Self { core, key, outbox, grant }
    }

    pub(super) fn outbox(&self) -> Arc<Outbox<S::ResponseFrame>> {
        Arc::clone(&self.outbox)
    }

    pub(super) async fn serve(mut self, inbound: Streaming<S::RequestFrame>) {
        let end = self.work(inbound).await;
        if let Err(status) = &end {
            tracing::debug!(stage = S::NAME, code = ?status.code(), message = status.message(), "stream ends");
        }
        self.outbox.end(end);
        self.flush().await;
    }

    /// Reads, works and answers until the client half-closes and all is answered, or until something breaks.
    /// Reading never waits for anything but the client: credit has made the room.
    async fn work(&mut self, mut inbound: Streaming<S::RequestFrame>) -> Result<(), Status> {
        let core = Arc::clone(&self.core);
        let mut running = FuturesUnordered::new();
        let mut reading = true;
        let mut drain = pin!(core.lifecycle.drain.cancelled());
        let mut grace: Option<std::pin::Pin<Box<Sleep>>> = None;
        let mut stall = pin!(sleep(core.config.write_stall));
        let mut freed = pin!(core.ledger.freed());
        let outbox = self.outbox();
        let mut changed = pin!(outbox.changed());
        loop {
            if !reading && running.is_empty() {
                return Ok(());
            }
            tokio::select! {
                message = inbound.message(), if reading => match message? {
                    None => reading = false,
                    Some(frame) => match self.admit(frame) {
                        Ok(Admitted::Work(id, work)) => running.push(run(Arc::clone(&core), id, work)),
                        Ok(Admitted::Answered) => {}
                        Err(status) => {
                            core.meter.violations.increment(1);
                            return Err(status);
                        }
                    },
                },
                Some((id, result)) = running.next() => self.answer(id, result),
                () = &mut drain, if grace.is_none() => {
                    self.outbox.control(drain_frame::<S>(core.config.drain_grace));
                    grace = Some(Box::pin(sleep(core.config.drain_grace)));
                }
                () = over(&mut grace), if grace.is_some() => {
                    let grace = core.config.drain_grace;
                    let left = running.len();
                    let why = format!("the server drains, and its grace of {grace:?} is over with {left} calls left");
                    return Err(Fault::Unavailable.status(why));
                }
                () = &mut stall => {
                    let next = self.check_stall()?;
                    stall.as_mut().reset(next);
                }
                () = &mut changed => {
                    if self.outbox.is_gone() {
                        return Err(Status::cancelled("the client is gone"));
                    }
                    changed.set(outbox.changed());
                }
                () = &mut freed => {
                    freed.set(core.ledger.freed());
                    self.grow();
                }
            }
        }
    }

    /// Checks a message against the rules of the stream. Err ends the stream.
    fn admit(&self, frame: S::RequestFrame) -> Result<Admitted<S::Request>, Status> {
        let now = Instant::now();
        let bytes = frame.encoded_len() as u64;
        let (envelope, body) = frame.unpack();
        let Some(envelope::Kind::Call(call)) = envelope.and_then(|envelope| envelope.kind) else {
            return Err(
                Fault::OutOfOrder.status("a message without a call in its envelope; only calls are taken")
            );
        };
        let Call { id, budget_us, traceparent, alone } = call;
        let Some(body) = body else {
            return Err(Fault::OutOfOrder.status(format!("call {id}: it has no body")));
        };
        self.outbox.admit(id, bytes, now)?;
        let most = self.core.config.max_message_bytes;
        if bytes > most {
            let why = format!("the call has {bytes} bytes with its header, the limit is {most}; send less");
            self.answer(id, Err(StageError::invalid(why)));
            return Ok(Admitted::Answered);
        }
        if budget_us == Some(0) {
            self.answer(id, Err(StageError::expired("its budget was over when it came; it was not started")));
            return Ok(Admitted::Answered);
        }
        // A budget beyond what the clock can count is none.
        let deadline = budget_us.and_then(|us| now.checked_add(Duration::from_micros(us)));
        Ok(Admitted::Work(id, Work { body, deadline, alone, traceparent }))
    }

    fn answer(&self, id: u64, result: Result<Done<S::Response>, StageError>) {
        let frame = result.and_then(|done| {
            let (queued_us, worked_us) = (micros(done.queued), micros(done.worked));
            let answer = Answer { id, queued_us, worked_us };
            let frame = S::ResponseFrame::pack(kind(envelope::Kind::Answer(answer)), Some(done.body));
            let (bytes, most) = (frame.encoded_len() as u64, self.core.config.max_message_bytes);
            if bytes > most {
                let message = format!("the answer has {bytes} bytes, the limit is {most}");
                // No replica can send it.
                return Err(StageError { retryable: false, ..StageError::internal(message) });
            }
            Ok(frame)
        });
        self.core.meter.served(frame.as_ref().err().map(|error| error.code));
        let frame = frame.unwrap_or_else(|StageError { code, message, retryable }| {
            let failure = Failure { id, code: code as u32, message, retryable };
            S::ResponseFrame::pack(kind(envelope::Kind::Failure(failure)), None)
        });
        self.outbox.answer(id, frame);
    }

    /// Another stream left: its room may be for this one.
    fn grow(&mut self) {
        let config = &self.core.config;
        let before = credit(config, &self.grant).bytes;
        let grew = self.grant.grow(config.share(), config.max_message_bytes);
        let after = credit(config, &self.grant);
        if grew && after.bytes > before {
            self.outbox.grow(after);
            self.outbox.control(credit_frame::<S>(config, &self.grant));
        }
    }

    /// Cuts the stream off when answers wait and none was read for too long. Otherwise: when to look again.
    fn check_stall(&self) -> Result<Instant, Status> {
        let limit = self.core.config.write_stall;
        let now = Instant::now();
        let (answers, since) = self.outbox.waiting();
        let until = since.unwrap_or(now) + limit;
        if until > now {
            return Ok(until);
        }
        self.core.meter.stalls.increment(1);
        tracing::warn!(stage = S::NAME, answers, ?limit, "the client reads nothing; its stream is cut off");
        let status = Fault::NoRoom.status(format!("{answers} answers waited {limit:?} and none was read"));
        self.outbox.cut(status.clone());
        Err(status)
    }

    /// Waits until the client has read the last answers.
    async fn flush(&self) {
        let mut look = Instant::now() + self.core.config.write_stall;
        while !self.outbox.is_flushed() {
            tokio::select! {
                () = self.outbox.changed() => {}
                () = sleep_until(look) => match self.check_stall() {
                    Ok(next) => look = next,
                    Err(_) => return,
                }
            }
        }
    }
}

impl<S: Stage> Drop for Session<S> {
    fn drop(&mut self) {
        // If this task was killed, the stream must not stay open without anybody to answer.
        self.outbox.end(Err(Fault::Unavailable.status("the server ended")));
        self.core.leave(self.key);
    }
}

/// Works on one call. A panic is its failure, and nobody else's.
async fn run<S: Stage>(core: Arc<Core<S>>, id: u64, work: Work<S::Request>) -> (u64, Handled<S>) {
    let _working = core.meter.working();
    let span = if work.traceparent.is_empty() {
        Span::none()
    } else {
        (core.config.span)(&work.traceparent, S::NAME)
    };
    let handled =
        AssertUnwindSafe(async { (core.handler)(work).await }).catch_unwind().instrument(span).await;
    let result = handled.unwrap_or_else(|_| {
        tracing::error!(stage = S::NAME, id, "the handler panicked; this is a defect, please report it");
        Err(StageError::internal("the handler panicked; see the server's log"))
    });
    (id, result)
}

async fn over(grace: &mut Option<std::pin::Pin<Box<Sleep>>>) {
    if let Some(grace) = grace {
        grace.await;
    }
}

fn credit(config: &ServerConfig, grant: &Grant) -> Credit {
    Credit { messages: config.messages.max(1), bytes: config.bytes.min(grant.bytes()) }
}

fn kind(kind: envelope::Kind) -> Envelope {
    Envelope { kind: Some(kind) }
}

fn control_frame<S: Stage>(kind_: control::Kind) -> S::ResponseFrame {
    S::ResponseFrame::pack(kind(envelope::Kind::Control(Control { kind: Some(kind_) })), None)
}

fn credit_frame<S: Stage>(config: &ServerConfig, grant: &Grant) -> S::ResponseFrame {
    let Credit { messages, bytes } = credit(config, grant);
    control_frame::<S>(control::Kind::Credit(crate::proto::Credit { messages, bytes }))
}

fn drain_frame<S: Stage>(grace: Duration) -> S::ResponseFrame {
    let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
    control_frame::<S>(control::Kind::Drain(Drain { grace_ms }))
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
