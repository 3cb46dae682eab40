//! What the balancer knows of one replica.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::health::Health;
use super::queue::Order;
use super::{CallId, Epoch, MsgId};
use crate::Phase;

/// How much may be outstanding on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credit {
    pub(crate) messages: u32,
    pub(crate) bytes: u64,
}

/// One attempt of one call.
#[derive(Debug)]
pub(super) struct Sent {
    /// The call; None when it has ended meanwhile. The replica is charged until it answers or dies.
    pub(super) call: Option<CallId>,
    pub(super) bytes: u64,
    /// When it was promised to the replica.
    pub(super) since: Instant,
    /// Whether it left for the replica; before that it is only promised to it.
    pub(super) written: bool,
    pub(super) suspect: bool,
}

/// An open stream with its credit.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) credit: Credit,
    /// The server asked to send nothing new.
    pub(super) draining: bool,
    /// Nothing more will be written: half closed.
    pub(super) closed: bool,
    sent: BTreeMap<MsgId, Sent>,
    outbox: BTreeSet<(Order, MsgId)>,
    bytes: u64,
    live: usize,
    suspects: usize,
}

impl Link {
    pub(super) fn new(credit: Credit) -> Self {
        Self {
            credit,
            draining: false,
            closed: false,
            sent: BTreeMap::new(),
            outbox: BTreeSet::new(),
            bytes: 0,
            live: 0,
            suspects: 0,
        }
    }

    pub(super) fn messages(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Outstanding calls that somebody still waits for.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn has_suspect(&self) -> bool {
        self.suspects > 0
    }

    pub(super) fn has_message_room(&self) -> bool {
        self.sent.len() < self.credit.messages as usize
    }

    /// Whether so many bytes fit. One call always does when nothing is outstanding.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.has_message_room()
            && (self.sent.is_empty() || self.bytes.saturating_add(bytes) <= self.credit.bytes)
    }

    pub(super) fn slow(&self, slow_after: Duration, now: Instant) -> bool {
        self.slow_from(slow_after).is_some_and(|from| from <= now)
    }

    /// When it is slow if nothing is answered. Ids grow with time, so the first is the oldest.
    pub(super) fn slow_from(&self, slow_after: Duration) -> Option<Instant> {
        self.sent.first_key_value().map(|(_, sent)| sent.since + slow_after)
    }

    /// Charges a call and puts it among those to write.
    pub(super) fn promise(&mut self, order: Order, msg: MsgId, sent: Sent) {
        self.bytes += sent.bytes;
        self.live += 1;
        self.suspects += usize::from(sent.suspect);
        self.outbox.insert((order, msg));
        self.sent.insert(msg, sent);
    }

    /// The next to write.
    pub(super) fn next(&self) -> Option<(CallId, MsgId)> {
        self.outbox.first().map(|(order, msg)| (order.call, *msg))
    }

    pub(super) fn written(&mut self, order: Order, msg: MsgId) {
        self.outbox.remove(&(order, msg));
        if let Some(sent) = self.sent.get_mut(&msg) {
            sent.written = true;
        }
    }

    /// The call has ended. What was not written is forgotten, what was stays charged.
    pub(super) fn abandon(&mut self, order: Order, msg: MsgId) {
        if self.outbox.remove(&(order, msg)) {
            self.take_sent(msg);
        } else if let Some(sent) = self.sent.get_mut(&msg) {
            self.live -= usize::from(sent.call.take().is_some());
        }
    }

    /// Returns the credit of one message.
    pub(super) fn take_sent(&mut self, msg: MsgId) -> Option<Sent> {
        let sent = self.sent.remove(&msg)?;
        self.bytes -= sent.bytes;
        self.live -= usize::from(sent.call.is_some());
        self.suspects -= usize::from(sent.suspect);
        Some(sent)
    }

    /// Takes back the calls that are promised and not written.
    pub(super) fn recall(&mut self) -> Vec<CallId> {
        let promised = std::mem::take(&mut self.outbox);
        promised.into_iter().filter_map(|(_, msg)| self.take_sent(msg)?.call).collect()
    }

    /// Ends the stream: all that was outstanding.
    pub(super) fn into_sent(self) -> impl Iterator<Item = Sent> {
        self.sent.into_values()
    }
}

/// One replica, whether there is a stream to it or not.
#[derive(Debug)]
pub(super) struct Replica {
    /// Counts its streams, so that a late reader or writer of an old one is not taken for the new one's.
    pub(super) epoch: Epoch,
    pub(super) link: Option<Link>,
    /// Gone from discovery: it finishes what it has.
    pub(super) leaving: bool,
    pub(super) health: Health,
    /// Streams that died.
    pub(super) losses: u64,
    /// When it last got a call, counted in calls.
    pub(super) used: u64,
    /// What was last told about it.
    pub(super) phase: Phase,
}

impl Replica {
    pub(super) fn new() -> Self {
        Self {
            epoch: Epoch(0),
            link: None,
            leaving: false,
            health: Health::default(),
            losses: 0,
            used: 0,
            phase: Phase::Connecting,
        }
    }

    /// Its stream, if it may take new work at all.
    pub(super) fn serving(&self) -> Option<&Link> {
        self.link.as_ref().filter(|link| !self.leaving && !link.draining && !link.closed)
    }

    /// Its stream, if it may take new work now, however slow it is.
    pub(super) fn accepting(&self, now: Instant) -> Option<&Link> {
        self.serving().filter(|link| self.health.accepts(link.messages(), now))
    }

    pub(super) fn phase_at(&self, slow_after: Duration, now: Instant) -> Phase {
        match (&self.link, self.serving()) {
            (None, _) if self.leaving => Phase::Draining,
            (None, _) => Phase::Connecting,
            (Some(_), None) => Phase::Draining,
            (Some(_), Some(_)) if self.health.ejected() => Phase::Ejected,
            (Some(_), Some(link)) if link.slow(slow_after, now) => Phase::Slow,
            (Some(_), Some(_)) => Phase::Ready,
        }
    }
}
