//! How an attempt ends: with an answer, with a failure, or with its stream.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::{Action, Balancer, CallId, CallState, End, MsgId, Order, ReplicaId};

/// What the shell answers its caller with.
#[derive(Debug)]
pub(crate) struct Answered<P> {
    pub(crate) payload: P,
    pub(crate) waited: Duration,
    pub(crate) attempts: u32,
}

/// A replica said no.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) retryable: bool,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The server closed it on purpose: what it still had is innocent.
    Orderly,
    /// Anything else: what it had may be the cause.
    Died,
}

/// Whether a code tells of the replica. The others tell of the call, or of its time.
fn tells_of_replica(code: Code) -> bool {
    matches!(code, Code::Internal | Code::Unavailable | Code::ResourceExhausted)
}

impl<P> Balancer<P> {
    /// The answer to a message. None if nobody waits for it any more.
    pub(crate) fn answered(&mut self, replica: ReplicaId, msg: MsgId, now: Instant) -> Option<Answered<P>> {
        let call = self.end_attempt(replica, msg)?;
        if let Some(replica) = self.replicas.get_mut(&replica) {
            let ejected = replica.health.ejected();
            replica.health.success(now);
            if ejected {
                self.note_phases(now);
            }
        }
        let answered = call.and_then(|id| self.detach(id)).map(|call| Answered {
            payload: call.payload,
            waited: call.waited,
            attempts: call.attempts,
        });
        self.close_idle();
        self.pump(now);
        answered
    }

    /// The failure of a message.
    pub(crate) fn failed(&mut self, replica: ReplicaId, msg: MsgId, refusal: Refusal, now: Instant) {
        let Some(call) = self.end_attempt(replica, msg) else { return };
        if tells_of_replica(refusal.code) {
            let may_eject = self.may_eject();
            if let Some(replica) = self.replicas.get_mut(&replica) {
                replica.health.failure(&self.config, may_eject, now);
            }
        }
        if let Some(id) = call {
            self.fail(id, replica, refusal, now);
        }
        self.rebalance(now);
    }

    fn fail(&mut self, id: CallId, replica: ReplicaId, refusal: Refusal, now: Instant) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.failures += 1;
        let in_time = call.deadline.is_none_or(|at| at > now);
        let again = refusal.retryable && in_time && call.failures < self.config.max_attempts;
        if again {
            call.avoid = Some(replica);
            return self.requeue(id);
        }
        let expired = call.deadline.is_some() && refusal.code == Code::DeadlineExceeded;
        let Refusal { code, message, .. } = refusal;
        let end = if expired { End::Expired } else { End::Failed { replica, code, message } };
        self.conclude(id, end);
    }

    /// The end of a stream, and with it of all its attempts.
    pub(crate) fn ended(&mut self, replica: ReplicaId, ending: Ending, now: Instant) {
        let Some(known) = self.replicas.get_mut(&replica) else { return };
        if let Some(link) = known.link.take() {
            known.losses += u64::from(ending == Ending::Died);
            for sent in link.into_sent() {
                if let Some(id) = sent.call {
                    self.interrupt(id, replica, ending, sent.written);
                }
            }
        }
        self.rebalance(now);
    }

    fn interrupt(&mut self, id: CallId, replica: ReplicaId, ending: Ending, written: bool) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let end = match ending {
            _ if !written => None,
            Ending::Died => {
                call.losses += 1;
                let times = call.losses;
                (times > self.config.max_losses).then_some(End::Lost { replica, times })
            }
            Ending::Orderly => {
                call.interruptions += 1;
                let times = call.interruptions;
                (times > self.config.max_interruptions).then(|| End::Failed {
                    replica,
                    code: Code::Unavailable,
                    message: format!(
                        "{times} streams were closed before the answer; see why the servers close them"
                    ),
                })
            }
        };
        match end {
            Some(end) => self.conclude(id, end),
            None => self.requeue(id),
        }
    }

    /// Returns the credit of a message. The outer None: no such message is outstanding there.
    #[expect(clippy::option_option, reason = "an abandoned message is not an unknown one")]
    fn end_attempt(&mut self, replica: ReplicaId, msg: MsgId) -> Option<Option<CallId>> {
        let link = self.replicas.get_mut(&replica)?.link.as_mut()?;
        Some(link.take_sent(msg)?.call)
    }

    /// Puts a call that is with nobody any more back into the queue, whose bounds are for new calls only: this one
    /// was let in before.
    pub(super) fn requeue(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.state = CallState::Queued;
        let (class, order, bytes) = (call.class(), Order::new(call.deadline, id), call.bytes);
        self.queue.insert(class, order, bytes);
    }

    /// Forgets a call that is with nobody any more.
    fn detach(&mut self, id: CallId) -> Option<super::Call<P>> {
        let call = self.calls.remove(&id)?;
        if let Some(at) = call.deadline {
            self.deadlines.remove(&(at, id));
        }
        Some(call)
    }

    fn conclude(&mut self, id: CallId, end: End) {
        if let Some(call) = self.detach(id) {
            self.actions.push(Action::Finish { payload: call.payload, end });
        }
    }
}
