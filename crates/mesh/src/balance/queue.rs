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

/// Which of the two parts of the queue a call waits in. They are apart because suspects may have to wait while others go on, and a walk past
/// hundreds of them at each event would cost more than the work itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallClass {
    /// Calls that no replica died of.
    Innocent,
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

    pub(super) fn insert(&mut self, class: CallClass, order: Order, bytes: u64) {
        if self.class_mut(class).insert(order) {
            self.bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, class: CallClass, order: Order, bytes: u64) {
        if self.class_mut(class).remove(&order) {
            self.bytes -= bytes;
        }
    }

    /// The first call of a class behind `after`.
    pub(super) fn next(&self, class: CallClass, after: Option<Order>) -> Option<Order> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.class(class).range((from, Bound::Unbounded)).next().copied()
    }

    fn class(&self, class: CallClass) -> &BTreeSet<Order> {
        match class {
            CallClass::Innocent => &self.plain,
            CallClass::Suspect => &self.suspects,
        }
    }

    fn class_mut(&mut self, class: CallClass) -> &mut BTreeSet<Order> {
        match class {
            CallClass::Innocent => &mut self.plain,
            CallClass::Suspect => &mut self.suspects,
        }
    }
}
