//! What waits for a replica: earliest deadline first, then in order of arrival.

use std::collections::BTreeSet;
use std::ops::Bound;

use tokio::time::Instant;

use super::CallId;
use crate::Due;

/// Where a call is in the queue. Ids grow, so equal deadlines keep the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    due: Due,
    pub(super) call: CallId,
}

impl Order {
    pub(super) fn new(deadline: Option<Instant>, call: CallId) -> Self {
        Self { due: deadline.into(), call }
    }
}

/// A lane of the queue. They are apart because suspects may have to wait while others go on, and a walk past
/// hundreds of them at each event would cost more than the work itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Calls that no replica died of.
    Plain,
    /// Calls that were in flight on a replica that died.
    Suspect,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    plain: BTreeSet<Order>,
    suspects: BTreeSet<Order>,
    bytes: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.suspects.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.suspects.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn insert(&mut self, lane: Lane, order: Order, bytes: u64) {
        if self.lane_mut(lane).insert(order) {
            self.bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, lane: Lane, order: Order, bytes: u64) {
        if self.lane_mut(lane).remove(&order) {
            self.bytes -= bytes;
        }
    }

    /// The first of a lane behind `after`.
    pub(super) fn next(&self, lane: Lane, after: Option<Order>) -> Option<Order> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.lane(lane).range((from, Bound::Unbounded)).next().copied()
    }

    fn lane(&self, lane: Lane) -> &BTreeSet<Order> {
        match lane {
            Lane::Plain => &self.plain,
            Lane::Suspect => &self.suspects,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut BTreeSet<Order> {
        match lane {
            Lane::Plain => &mut self.plain,
            Lane::Suspect => &mut self.suspects,
        }
    }
}
