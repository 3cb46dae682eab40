//! What happens to a pool: callers, discovery and streams, each event a method.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use prost::Message;
use tokio::sync::{Notify, oneshot};

use super::meter::ReplicaMeter;
use super::pending::Outcome;
use super::shared::{Job, Link, Shared};
use crate::Phase;
use crate::balance::{CallId, Credit, Ending, Epoch, MsgId, Refusal, Refused, ReplicaId, Snapshot, Write};
use crate::proto::{Call, Envelope, envelope};
use crate::{CallError, Frame, Reply, Request, Stage};

/// Most that a header and the tags around header and body add to a body, in encoded bytes, without the traceparent:
/// 10 bytes each for id and budget, and a few for each tag and length.
const HEADER_BYTES: u64 = 64;

/// Callers.
impl<S: Stage> Shared<S> {
    pub(super) fn submit(
        &self,
        request: Request<S::Request>,
    ) -> Result<(CallId, oneshot::Receiver<Outcome<S>>), CallError> {
        let Request { body, deadline, traceparent } = request;
        let bytes = body.encoded_len() as u64 + traceparent.len() as u64 + HEADER_BYTES;
        let taken = if bytes > self.config.max_message_bytes as u64 {
            Err(self.oversized(bytes))
        } else {
            let (waiter, answer) = oneshot::channel();
            let job = Job { body, traceparent, waiter };
            let taken = self.step(|state, now| state.balancer.submit(job, bytes, deadline, now));
            taken.map(|call| (call, answer)).map_err(|(_, refused)| match refused {
                Refused::Expired => CallError::Expired { stage: S::NAME },
                Refused::Overloaded(limit) => CallError::Overloaded { stage: S::NAME, limit },
                Refused::Closed => CallError::Closed { stage: S::NAME },
            })
        };
        taken.inspect_err(|error| self.meter.refused(error))
    }

    fn oversized(&self, bytes: u64) -> CallError {
        let most = self.config.max_message_bytes;
        CallError::Failed {
            stage: S::NAME,
            endpoint: "pool".to_owned(),
            code: tonic::Code::InvalidArgument,
            message: format!("the call has {bytes} bytes with its header, the limit is {most}; send less"),
        }
    }

    pub(super) fn cancel(&self, call: CallId) {
        self.step(|state, now| state.balancer.cancel(call, now));
    }
}

/// Discovery.
impl<S: Stage> Shared<S> {
    pub(super) fn add(&self, endpoint: Uri) -> ReplicaId {
        self.step(|state, _| {
            let id = state.balancer.add();
            let meter = ReplicaMeter::new(S::NAME, &endpoint);
            let closed = Arc::new(Notify::new());
            state.links.insert(id, Link { endpoint, phase: Phase::Connecting, meter, waker: None, closed });
            id
        })
    }

    pub(super) fn remove(&self, id: ReplicaId) {
        self.step(|state, now| state.balancer.remove(id, now));
    }
}

/// A replica's own task.
impl<S: Stage> Shared<S> {
    /// A stream is being opened: which one it is, and who says that nothing more will be written.
    pub(super) fn open(&self, id: ReplicaId) -> Option<(Epoch, Arc<Notify>)> {
        self.step(|state, _| {
            let link = state.links.get_mut(&id)?;
            link.closed = Arc::new(Notify::new());
            Some((state.balancer.open(id)?, Arc::clone(&link.closed)))
        })
    }

    pub(super) fn credit(&self, id: ReplicaId, credit: Credit) {
        self.step(|state, now| state.balancer.credit(id, credit, now));
    }

    pub(super) fn drain(&self, id: ReplicaId) {
        self.step(|state, now| state.balancer.drain(id, now));
    }

    /// The next message to write; None once there will be no more.
    pub(super) fn next_frame(
        &self,
        id: ReplicaId,
        epoch: Epoch,
        cx: &Context<'_>,
    ) -> Poll<Option<S::RequestFrame>> {
        self.step(|state, now| match state.balancer.write(id, epoch, now) {
            Write::Message { msg, budget, alone, payload } => {
                let call = Call {
                    id: msg.0,
                    budget_us: budget.map(micros),
                    traceparent: payload.traceparent.clone(),
                    alone,
                };
                let envelope = Envelope { kind: Some(envelope::Kind::Call(call)) };
                Poll::Ready(Some(S::RequestFrame::pack(envelope, Some(payload.body.clone()))))
            }
            Write::Nothing => {
                if let Some(link) = state.links.get_mut(&id) {
                    link.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Write::End => Poll::Ready(None),
        })
    }

    pub(super) fn answered(
        &self,
        id: ReplicaId,
        msg: MsgId,
        body: S::Response,
        queued_us: u32,
        worked_us: u32,
    ) {
        let answered = self.step(|state, now| {
            let answered = state.balancer.answered(id, msg, now);
            if let (Some(_), Some(link)) = (&answered, state.links.get(&id)) {
                link.meter.answered.increment(1);
            }
            answered
        });
        if let Some(answered) = answered {
            self.meter.waited(answered.waited);
            // Nobody may wait any more.
            let _ = answered.payload.waiter.send(Ok(Reply {
                body,
                queued: Duration::from_micros(u64::from(queued_us)),
                worked: Duration::from_micros(u64::from(worked_us)),
                waited: answered.waited,
                attempts: answered.attempts,
            }));
        }
    }

    pub(super) fn failed(&self, id: ReplicaId, msg: MsgId, refusal: Refusal) {
        self.step(|state, now| state.balancer.failed(id, msg, refusal, now));
    }

    pub(super) fn ended(&self, id: ReplicaId, ending: Ending) {
        self.step(|state, now| {
            if let (Ending::Died, Some(link)) = (ending, state.links.get(&id)) {
                link.meter.losses.increment(1);
            }
            state.balancer.ended(id, ending, now);
        });
    }

    pub(super) fn forget(&self, id: ReplicaId) {
        self.step(|state, now| state.balancer.forget(id, now));
        let mut state = self.lock();
        if let Some(link) = state.links.remove(&id) {
            let none = Snapshot { phase: Phase::Draining, messages: 0, bytes: 0, losses: 0 };
            link.meter.load(&none);
        }
    }
}

fn micros(budget: Duration) -> u64 {
    u64::try_from(budget.as_micros()).unwrap_or(u64::MAX)
}
