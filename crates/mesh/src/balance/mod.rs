//! Who gets which call: a state machine without a runtime and without a clock.
//!
//! Events go in as method calls with the time, [`Action`]s come out. The shell around it ([`crate::pool`]) owns the
//! streams and the timer. A call is *promised* to a replica when that has credit for it, and *written* when the
//! stream to it has room, which is when the shell asks with [`Balancer::write`]: so the budget is that of the moment
//! of writing, and what expires before costs the replica nothing.
//!
//! # Why a poisonous call kills two replicas at most, and takes no other call with it
//! When a replica dies, each call written to it is *suspect*: it may be what killed it, and all others are innocent.
//! A suspect is sent again with `alone` set, so that the replica puts it into no batch with others, and no replica
//! has more than one suspect at a time. Suppose one call is the poison. Its second replica dies with exactly one
//! suspect, the poison itself, which now has two losses and is answered [`CallError::Lost`](crate::CallError). What
//! else was outstanding there had no loss yet and gets its second chance; the other suspects were elsewhere or still
//! waiting. So all innocents are answered. Only a second poison, sent for its first time to the very replica that an
//! innocent suspect is on, could take that one along.
//!
//! A stream that its server closed in good order makes nobody a suspect: the server lives.

mod answers;
mod choose;
mod health;
#[cfg(test)]
mod model;
mod queue;
mod replica;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Limit, Phase, PoolConfig};

pub(crate) use answers::{Ending, Refusal};
use queue::{CallClass, Order, Queue};
pub(crate) use replica::Credit;
use replica::Replica;
pub(crate) use streams::{Snapshot, Write};

/// A call, for as long as its maker waits. Grows with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallId(u64);

/// One attempt of a call, which is the id on the wire. Grows with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MsgId(pub(crate) u64);

/// A replica, from its discovery to its removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReplicaId(u64);

/// One stream of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

/// What the shell has to do.
#[derive(Debug)]
pub(crate) enum Action<P> {
    /// There is something to write: ask with [`Balancer::write`].
    Wake(ReplicaId),
    /// Nothing more will be written: end the request side of its stream.
    Close(ReplicaId),
    /// A call ended without an answer.
    Finish { payload: P, end: End },
    /// A replica is good for something else now.
    Phase(ReplicaId, Phase),
}

/// How a call ends without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Expired,
    Lost { replica: ReplicaId, times: u32 },
    Failed { replica: ReplicaId, code: tonic::Code, message: String },
    Closed,
}

/// Why a call was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Expired,
    Overloaded(Limit),
    Closed,
}

#[derive(Debug)]
struct Call<P> {
    payload: P,
    deadline: Option<Instant>,
    bytes: u64,
    submitted: Instant,
    state: CallState,
    /// The time from submission to the last writing.
    waited: Duration,
    attempts: u32,
    failures: u32,
    interruptions: u32,
    losses: u32,
    /// The replica that failed it last.
    avoid: Option<ReplicaId>,
}

impl<P> Call<P> {
    fn class(&self) -> CallClass {
        if self.losses > 0 { CallClass::Suspect } else { CallClass::Innocent }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallState {
    Queued,
    With(ReplicaId, MsgId),
}

/// The state machine. `P` is what the shell keeps with each call.
#[derive(Debug)]
pub(crate) struct Balancer<P> {
    config: PoolConfig,
    calls: BTreeMap<CallId, Call<P>>,
    queue: Queue,
    deadlines: BTreeSet<(Instant, CallId)>,
    replicas: BTreeMap<ReplicaId, Replica>,
    actions: Vec<Action<P>>,
    field: choose::Field,
    /// Ids given so far, of any kind.
    ids: u64,
    closing: bool,
}

impl<P> Balancer<P> {
    pub(crate) fn new(config: PoolConfig) -> Self {
        Self {
            config,
            calls: BTreeMap::new(),
            queue: Queue::default(),
            deadlines: BTreeSet::new(),
            replicas: BTreeMap::new(),
            actions: Vec::new(),
            field: choose::Field::default(),
            ids: 0,
            closing: false,
        }
    }

    /// Takes a call of so many encoded bytes, or gives its payload back.
    pub(crate) fn submit(
        &mut self,
        payload: P,
        bytes: u64,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<CallId, (P, Refused)> {
        if let Some(refused) = self.refusal(bytes, deadline, now) {
            return Err((payload, refused));
        }
        let id = CallId(self.id());
        let call = Call {
            payload,
            deadline,
            bytes,
            submitted: now,
            state: CallState::Queued,
            waited: Duration::ZERO,
            attempts: 0,
            failures: 0,
            interruptions: 0,
            losses: 0,
            avoid: None,
        };
        self.queue.insert(call.class(), Order::new(deadline, id), bytes);
        self.deadlines.extend(deadline.map(|at| (at, id)));
        self.calls.insert(id, call);
        self.pump(now);
        Ok(id)
    }

    fn refusal(&self, bytes: u64, deadline: Option<Instant>, now: Instant) -> Option<Refused> {
        let (messages, most) = (self.config.max_queued_messages, self.config.max_queued_bytes);
        if self.closing {
            Some(Refused::Closed)
        } else if deadline.is_some_and(|at| at <= now) {
            Some(Refused::Expired)
        } else if self.queue.len() >= messages {
            Some(Refused::Overloaded(Limit::Messages(messages)))
        } else if self.queue.bytes().saturating_add(bytes) > most {
            Some(Refused::Overloaded(Limit::Bytes(most)))
        } else {
            None
        }
    }

    /// Its maker waits no more. If it was written, its replica stays charged until it answers or dies.
    pub(crate) fn cancel(&mut self, call: CallId, now: Instant) {
        if self.take(call).is_some() {
            self.close_idle();
            self.pump(now);
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            self.finish(id, End::Expired);
        }
        self.rebalance(now);
    }

    /// When to [`tick`](Self::tick) next.
    pub(crate) fn next_timer(&self, now: Instant) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        if self.queue.is_empty() {
            return deadline;
        }
        // With calls waiting, a replica whose ejection ends may take one; and when the last fast replica turns slow,
        // all slow ones may again.
        let slow_after = self.config.slow_after;
        let changes = self.replicas.values().flat_map(|replica| {
            let link = replica.serving();
            let slow = link.and_then(|link| link.slow_from(slow_after));
            [slow, link.and(replica.health.until())].into_iter().flatten()
        });
        changes.filter(|at| *at > now).chain(deadline).min()
    }

    /// What came of the events since it was last asked.
    pub(crate) fn actions(&mut self) -> impl Iterator<Item = Action<P>> {
        self.actions.drain(..)
    }

    /// Takes nothing new from now on.
    pub(crate) fn close(&mut self, now: Instant) {
        self.closing = true;
        self.rebalance(now);
    }

    /// Ends all calls that are left.
    pub(crate) fn abort(&mut self) {
        self.closing = true;
        while let Some((&id, _)) = self.calls.first_key_value() {
            self.finish(id, End::Closed);
        }
        self.close_idle();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether no call is left.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// Calls that wait for a replica, and their bytes.
    pub(crate) fn queued(&self) -> (usize, u64) {
        (self.queue.len(), self.queue.bytes())
    }

    /// Age of the oldest call.
    pub(crate) fn oldest(&self, now: Instant) -> Option<Duration> {
        self.calls.first_key_value().map(|(_, call)| now.saturating_duration_since(call.submitted))
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Takes a call from wherever it is.
    fn take(&mut self, id: CallId) -> Option<Call<P>> {
        let call = self.calls.remove(&id)?;
        let order = Order::new(call.deadline, id);
        match call.state {
            CallState::Queued => self.queue.remove(call.class(), order, call.bytes),
            CallState::With(replica, msg) => {
                if let Some(link) = self.replicas.get_mut(&replica).and_then(|r| r.link.as_mut()) {
                    link.abandon(order, msg);
                }
            }
        }
        if let Some(at) = call.deadline {
            self.deadlines.remove(&(at, id));
        }
        Some(call)
    }

    fn finish(&mut self, id: CallId, end: End) {
        if let Some(call) = self.take(id) {
            self.actions.push(Action::Finish { payload: call.payload, end });
        }
    }
}
