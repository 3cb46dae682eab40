//! Where callers and workers meet: the batch former behind a lock, and how workers sleep and wake.

use crate::batch::{Batch, Former, Next, Policy};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
/// The queue between callers and workers.
///
/// While one worker computes, calls gather for it; at most one other worker keeps watch, so that a call wakes a thread
/// only when there is something to do.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    work: Condvar,
    watch: Condvar,
}

#[derive(Debug)]
struct State<T> {
    former: Former<T>,
    /// Workers that compute a batch.
    computing: usize,
    /// Workers that sleep until there is work.
    idle: usize,
    /// Whether one worker sleeps until a call has waited too long.
    is_watched: bool,
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
        let former = Former::new(policy);
        let state = State { former, computing: 0, idle: 0, is_watched: false, is_stopping: false };
        Self { state: Mutex::new(state), work: Condvar::new(), watch: Condvar::new() }
    }

    pub(crate) fn push(&self, call: T, deadline: Option<Instant>, alone: bool) -> Result<(), Refusal> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.is_stopping {
            return Err(Refusal::Stopping);
        }
        state.former.push(call, deadline, alone, now).map_err(|_| Refusal::Full)?;
        let must_start = state.former.must_start(deadline, alone, now);
        let wake = self.whom_to_wake(&state, must_start);
        drop(state);
        if let Some(wake) = wake {
            wake.notify_one();
        }
        Ok(())
    }

    /// Hands a batch to `compute`, again and again, until the queue stops. Blocks in between.
    pub(crate) fn serve(&self, wanted: impl Fn(&T) -> bool, mut compute: impl FnMut(Batch<T>)) {
        let mut state = self.state.lock();
        while !state.is_stopping {
            let others_compute = state.computing > 0;
            match state.former.next(Instant::now(), others_compute, &wanted) {
                Next::Batch(batch) => {
                    state.computing += 1;
                    let must_start = state.former.is_worth_a_worker();
                    let wake =
                        if state.former.is_empty() { None } else { self.whom_to_wake(&state, must_start) };
                    drop(state);
                    if let Some(wake) = wake {
                        wake.notify_one();
                    }
                    compute(batch);
                    state = self.state.lock();
                    state.computing -= 1;
                }
                Next::Leave(until) if !state.is_watched => {
                    state.is_watched = true;
                    let patience = until.saturating_duration_since(Instant::now());
                    self.watch.wait_for(&mut state, patience);
                    state.is_watched = false;
                }
                Next::Leave(_) | Next::Idle => {
                    state.idle += 1;
                    self.work.wait(&mut state);
                    state.idle -= 1;
                }
            }
        }
    }

    /// Who should look at the calls that wait. A watcher need not, as long as they can be left to the worker that
    /// computes; a worker that is woken in vain becomes the watcher, or sleeps again.
    fn whom_to_wake(&self, state: &State<T>, must_start: bool) -> Option<&Condvar> {
        if state.is_watched {
            (must_start || state.computing == 0).then_some(&self.watch)
        } else {
            (state.idle > 0).then_some(&self.work)
        }
    }

    /// Calls that wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().former.len()
    }

    /// Takes no more, sends all workers home and returns what nobody will work on.
    pub(crate) fn stop(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.is_stopping = true;
        let left = state.former.drain().collect();
        drop(state);
        self.work.notify_all();
        self.watch.notify_all();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    /// Calls are left to a computing worker for ever, so that a wake-up that is lost is not made good by the clock.
    const FOR_EVER: Duration = Duration::from_secs(3600);
    const LIMIT: Duration = Duration::from_secs(10);

    fn queue() -> Queue<Sender<usize>> {
        Queue::new(Policy { buckets: vec![1, 2, 4], limit: 1000, patience: FOR_EVER })
    }

    /// Runs `callers` against three workers that answer each call with the size of its batch.
    fn with_workers(queue: &Queue<Sender<usize>>, callers: impl FnOnce()) {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    queue.serve(
                        |_| true,
                        |batch| {
                            let size = batch.calls.len();
                            batch.calls.iter().for_each(|call| call.send(size).expect("the caller waits"));
                        },
                    );
                });
            }
            // Also when a caller panics: else the workers would keep the test from ending.
            let _stop = StopOnDrop(queue);
            callers();
        });
        assert_eq!(queue.len(), 0);
    }

    struct StopOnDrop<'q>(&'q Queue<Sender<usize>>);

    impl Drop for StopOnDrop<'_> {
        fn drop(&mut self) {
            self.0.stop();
        }
    }

    fn call(queue: &Queue<Sender<usize>>, alone: bool) {
        let (answer, answered) = channel();
        queue.push(answer, None, alone).expect("there is room");
        let batch = answered.recv_timeout(LIMIT).expect("the call is answered");
        assert!(!alone || batch == 1, "a call that must be alone was in a batch of {batch}");
    }

    #[test]
    fn no_wake_up_is_lost_whether_calls_come_alone_or_together() {
        let queue = queue();
        with_workers(&queue, || {
            for _ in 0..500 {
                call(&queue, false);
            }
            std::thread::scope(|scope| {
                for caller in 0..4 {
                    let queue = &queue;
                    scope.spawn(move || (0..1000).for_each(|index| call(queue, (caller + index) % 7 == 0)));
                }
            });
        });
    }

    #[test]
    fn after_the_stop_calls_are_refused() {
        let queue = queue();
        with_workers(&queue, || ());
        assert_eq!(queue.push(channel().0, None, false), Err(Refusal::Stopping));
    }
}
