//! Where callers and workers meet: the batch former behind a lock, and how workers sleep and wake.

use crate::batch::{Batch, Former, Next, Policy};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The queue between callers and workers.
///
/// At most one worker lingers for a fuller batch, so that a call wakes a thread only when there is something to do.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    work: Condvar,
    full_batch: Condvar,
}

#[derive(Debug)]
struct State<T> {
    former: Former<T>,
    /// Workers that sleep because nothing waits.
    idle: usize,
    /// Until when one worker lets a batch fill, if one does.
    lingering: Option<Instant>,
    is_stopping: bool,
}

/// Why a call was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Stopping,
}

impl<T> Queue<T> {
    pub(crate) fn new(policy: Policy) -> Self {
        let state = State { former: Former::new(policy), idle: 0, lingering: None, is_stopping: false };
        Self { state: Mutex::new(state), work: Condvar::new(), full_batch: Condvar::new() }
    }

    pub(crate) fn push(&self, call: T, deadline: Option<Instant>, alone: bool) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.is_stopping {
            return Err(Refusal::Stopping);
        }
        state.former.push(call, deadline, alone, Instant::now()).map_err(|_| Refusal::Full)?;
        let wake = match state.lingering {
            Some(until) if !state.former.must_start(deadline, alone, until) => None,
            Some(_) => Some(&self.full_batch),
            None => (state.idle > 0).then_some(&self.work),
        };
        drop(state);
        if let Some(wake) = wake {
            wake.notify_one();
        }
        Ok(())
    }

    /// The next batch, or None when the queue has stopped. Blocks until one of the two.
    pub(crate) fn next(&self, wanted: impl Fn(&T) -> bool) -> Option<Batch<T>> {
        let mut state = self.lock();
        loop {
            if state.is_stopping {
                return None;
            }
            // While one worker lingers, another takes only batches that are full anyway.
            let may_take = state.lingering.is_none() || state.former.is_full_batch();
            match if may_take { state.former.next(Instant::now(), &wanted) } else { Next::Idle } {
                Next::Batch(batch) => {
                    let wake = state.idle > 0 && !state.former.is_empty();
                    drop(state);
                    if wake {
                        self.work.notify_one();
                    }
                    return Some(batch);
                }
                Next::Linger(until) => {
                    state.lingering = Some(until);
                    let patience = until.saturating_duration_since(Instant::now());
                    state = self
                        .full_batch
                        .wait_timeout(state, patience)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                    state.lingering = None;
                }
                Next::Idle => {
                    state.idle += 1;
                    state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle -= 1;
                }
            }
        }
    }

    /// Calls that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().former.len()
    }

    /// Takes no more, sends all workers home and returns what nobody will work on.
    pub(crate) fn stop(&self) -> Vec<T> {
        let mut state = self.lock();
        state.is_stopping = true;
        let left = state.former.drain().collect();
        drop(state);
        self.work.notify_all();
        self.full_batch.notify_all();
        left
    }

    /// The former is whole after every call of it, so a panic elsewhere under the lock cannot have broken it.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
