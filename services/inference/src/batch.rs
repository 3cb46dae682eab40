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
    /// How long the oldest waiting call may be held back to let a batch fill. Zero: a free worker takes what is there.
    pub linger: Duration,
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
    /// A fuller batch may be had: ask again at this time, or when [`Former::is_full_batch`] turns true.
    Linger(Instant),
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

    /// Whether waiting longer could not make the next batch larger.
    pub fn is_full_batch(&self) -> bool {
        self.waiting.len() >= self.largest()
    }

    /// Decides for one free worker. Calls that are no longer `wanted` are dropped unanswered, at no cost.
    pub fn next(&mut self, now: Instant, wanted: impl Fn(&T) -> bool) -> Next<T> {
        let Some(first) = self.waiting.peek() else { return Next::Idle };
        if let Some(until) = self.linger_until(first, now) {
            return Next::Linger(until);
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

    /// Whether a batch that is held back until then must start now, because this call came.
    pub fn must_start(&self, deadline: Option<Instant>, alone: bool, until: Instant) -> bool {
        alone || self.is_full_batch() || deadline.is_some_and(|deadline| deadline <= until + self.policy.linger)
    }

    fn linger_until(&self, first: &Waiting<T>, now: Instant) -> Option<Instant> {
        if self.policy.linger.is_zero() {
            return None;
        }
        let oldest = self.waiting.iter().map(|waiting| waiting.came).min()?;
        let until = oldest + self.policy.linger;
        (until > now && !self.must_start(first.deadline, first.alone, until)).then_some(until)
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
