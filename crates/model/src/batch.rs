//! Which calls go into the next batch. Pure: time is passed in, so every rule here is tested without threads or clocks.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Rules of the former.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Batch sizes that are ever computed, ascending, none zero. Few and fixed, so that all are warm before the first
    /// call, and so that a verdict can name the size that it was computed in.
    pub buckets: Vec<usize>,
    /// Calls that may wait. More are refused.
    pub limit: usize,
    /// While a worker computes, how long a call may wait for it before another worker starts on a batch that is not
    /// [worth it](Former::is_worth_a_worker). When no worker computes, nothing ever waits.
    pub patience: Duration,
}

/// Calls that wait for a worker: earliest deadline first, then first come; those without a deadline come last.
#[derive(Debug)]
pub struct Former<T> {
    policy: Policy,
    waiting: BinaryHeap<Waiting<T>>,
    next_seq: u64,
}

/// What a free worker should do.
#[derive(Debug)]
pub enum Next<T> {
    /// Nothing waits.
    Idle,
    /// Leave it to the worker that computes now, and look again at this time.
    Leave(Instant),
    /// Work, or at least calls to answer as expired.
    Batch(Batch<T>),
}

/// Calls that left the queue.
#[derive(Debug)]
pub struct Batch<T> {
    /// To compute together, earliest deadline first. Empty when all that waited had expired.
    pub calls: Vec<T>,
    /// Size to compute: at least `calls.len()`; the rest is padding. Zero when `calls` is empty.
    pub bucket: usize,
    /// To answer as expired, without any work on them.
    pub expired: Vec<T>,
}

#[derive(Debug)]
struct Waiting<T> {
    deadline: Option<Instant>,
    seq: u64,
    came: Instant,
    alone: bool,
    call: T,
}

impl<T> Former<T> {
    /// An empty queue.
    ///
    /// # Panics
    /// When `policy.buckets` is not as [`Policy`] asks: it is configuration, checked where flags are read.
    pub fn new(policy: Policy) -> Self {
        assert!(buckets_are_valid(&policy.buckets), "buckets are ascending and none is zero");
        Self { policy, waiting: BinaryHeap::new(), next_seq: 0 }
    }

    /// Takes a call, or gives it back when the queue is full.
    pub fn push(&mut self, call: T, deadline: Option<Instant>, alone: bool, now: Instant) -> Result<(), T> {
        if self.waiting.len() >= self.policy.limit {
            return Err(call);
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.waiting.push(Waiting { deadline, seq, came: now, alone, call });
        Ok(())
    }

    /// Calls that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether enough calls wait for one more worker: half the largest batch. A batch costs a fixed part beside a part
    /// for each call (measured: as much as 3 to 5 calls), so two workers with small batches use the cores for less.
    pub fn is_worth_a_worker(&self) -> bool {
        self.waiting.len() >= self.largest().div_ceil(2)
    }

    /// Decides for one free worker, while others compute or not. Calls that are no longer `wanted` are dropped
    /// unanswered, at no cost.
    pub fn next(&mut self, now: Instant, others_compute: bool, wanted: impl Fn(&T) -> bool) -> Next<T> {
        let Some(first) = self.waiting.peek() else { return Next::Idle };
        if others_compute && let Some(until) = self.leave_until(first, now) {
            return Next::Leave(until);
        }
        let (mut calls, mut expired) = (Vec::new(), Vec::new());
        while calls.len() < self.largest() {
            // A call that must be alone ends the batch before it, and is the head of the next one.
            let Some(head) = self.waiting.peek() else { break };
            if head.alone && !calls.is_empty() && !head.is_expired(now) {
                break;
            }
            let Some(head) = self.waiting.pop() else { break };
            if !wanted(&head.call) {
                continue;
            }
            if head.is_expired(now) {
                expired.push(head.call);
                continue;
            }
            calls.push(head.call);
            if head.alone {
                break;
            }
        }
        if calls.is_empty() && expired.is_empty() {
            return Next::Idle;
        }
        let bucket = self.bucket(calls.len());
        Next::Batch(Batch { calls, bucket, expired })
    }

    /// Empties the queue.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        self.waiting.drain().map(|waiting| waiting.call)
    }

    fn largest(&self) -> usize {
        self.policy.buckets.last().copied().unwrap_or(1)
    }

    fn bucket(&self, calls: usize) -> usize {
        if calls == 0 {
            return 0;
        }
        self.policy.buckets.iter().copied().find(|&bucket| bucket >= calls).unwrap_or(calls)
    }

    /// Whether a call that came while a worker computes cannot be left to it.
    pub fn must_start(&self, deadline: Option<Instant>, alone: bool, now: Instant) -> bool {
        let is_urgent = deadline.is_some_and(|deadline| deadline <= now + 2 * self.policy.patience);
        alone || is_urgent || self.is_worth_a_worker()
    }

    fn leave_until(&self, first: &Waiting<T>, now: Instant) -> Option<Instant> {
        let oldest = self.waiting.iter().map(|waiting| waiting.came).min()?;
        let until = oldest + self.policy.patience;
        (until > now && !self.must_start(first.deadline, first.alone, now)).then_some(until)
    }
}

/// Whether these can be [`Policy::buckets`].
pub fn buckets_are_valid(buckets: &[usize]) -> bool {
    buckets.first().is_some_and(|&first| first > 0) && buckets.is_sorted_by(|a, b| a < b)
}

impl<T> Waiting<T> {
    fn is_expired(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Smaller is sooner; no deadline sorts behind every deadline.
    fn urgency(&self) -> (bool, Option<Instant>, u64) {
        (self.deadline.is_none(), self.deadline, self.seq)
    }
}

impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.urgency().cmp(&self.urgency())
    }
}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl<T> Eq for Waiting<T> {}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
