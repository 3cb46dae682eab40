//! The balancer behind its lock, and what its actions mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use http::Uri;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::meter::{PoolMeter, ReplicaMeter};
use super::pending::Outcome;
use super::{PoolState, ReplicaState};
use crate::Phase;
use crate::balance::{Action, Balancer, End, ReplicaId};
use crate::{CallError, PoolConfig, Stage};

/// What is kept with each call until it ends.
pub(super) struct Job<S: Stage> {
    pub(super) body: S::Request,
    pub(super) traceparent: String,
    pub(super) waiter: oneshot::Sender<Outcome<S>>,
}

/// The shell's side of a replica.
pub(super) struct Link {
    pub(super) endpoint: Uri,
    pub(super) phase: Phase,
    pub(super) meter: ReplicaMeter,
    /// Who writes its stream.
    pub(super) waker: Option<Waker>,
    /// Told when nothing more will be written.
    pub(super) closed: Arc<Notify>,
}

pub(super) struct State<S: Stage> {
    pub(super) balancer: Balancer<Job<S>>,
    pub(super) links: BTreeMap<ReplicaId, Link>,
    /// When the timer task will wake up.
    alarm: Option<Instant>,
}

/// What all tasks of a pool share. Every event takes the lock once, does nothing slow, and never waits.
pub(super) struct Shared<S: Stage> {
    state: Mutex<State<S>>,
    pub(super) config: PoolConfig,
    /// Told when the timer has to fire earlier than it would.
    pub(super) rearmed: Notify,
    /// How many replicas take work.
    pub(super) ready: watch::Sender<usize>,
    /// The end of all tasks.
    pub(super) gone: CancellationToken,
    pub(super) meter: PoolMeter,
}

impl<S: Stage> Shared<S> {
    pub(super) fn new(config: PoolConfig) -> Self {
        let balancer = Balancer::new(config.clone());
        Self {
            state: Mutex::new(State { balancer, links: BTreeMap::new(), alarm: None }),
            config,
            rearmed: Notify::new(),
            ready: watch::Sender::new(0),
            gone: CancellationToken::new(),
            meter: PoolMeter::new(S::NAME),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock()
    }

    /// One event: tells the balancer, does what it wants.
    pub(super) fn step<R>(&self, event: impl FnOnce(&mut State<S>, Instant) -> R) -> R {
        let now = Instant::now();
        let mut state = self.lock();
        let result = event(&mut state, now);
        self.act(state, now);
        result
    }

    fn act(&self, mut guard: MutexGuard<'_, State<S>>, now: Instant) {
        let mut ended = Vec::new();
        let mut phases = false;
        let State { balancer, links, alarm } = &mut *guard;
        for action in balancer.actions() {
            match action {
                Action::Wake(id) => {
                    links.get_mut(&id).and_then(|link| link.waker.take()).into_iter().for_each(Waker::wake);
                }
                Action::Close(id) => {
                    if let Some(link) = links.get_mut(&id) {
                        link.closed.notify_one();
                        link.waker.take().into_iter().for_each(Waker::wake);
                    }
                }
                Action::Finish { payload, end } => ended.push((payload.waiter, self.error(links, end))),
                Action::Phase(id, phase) => {
                    if let Some(link) = links.get_mut(&id) {
                        link.meter.phase(std::mem::replace(&mut link.phase, phase), phase);
                        phases = true;
                    }
                }
            }
        }
        let next = balancer.next_timer(now);
        let earlier = next.is_some_and(|next| alarm.is_none_or(|alarm| next < alarm));
        if earlier {
            *alarm = next;
        }
        let over = balancer.is_closing() && balancer.is_idle();
        let ready = phases
            .then(|| links.values().filter(|link| matches!(link.phase, Phase::Ready | Phase::Slow)).count());
        drop(guard);

        if earlier {
            self.rearmed.notify_one();
        }
        if let Some(ready) = ready {
            self.ready.send_replace(ready);
        }
        if over {
            self.gone.cancel();
        }
        for (waiter, error) in ended {
            // Nobody may wait any more.
            let _ = waiter.send(Err(error));
        }
    }

    /// Counts the end of a call and tells its maker of it.
    fn error(&self, links: &BTreeMap<ReplicaId, Link>, end: End) -> CallError {
        let stage = S::NAME;
        let replica = match &end {
            End::Lost { replica, .. } | End::Failed { replica, .. } => links.get(replica),
            End::Expired | End::Closed => None,
        };
        if let Some(link) = replica {
            link.meter.ended(&end);
        }
        let endpoint = replica.map(|link| link.endpoint.to_string()).unwrap_or_default();
        let error = match end {
            End::Lost { times, .. } => CallError::Lost { stage, endpoint, times },
            End::Failed { code, message, .. } => CallError::Failed { stage, endpoint, code, message },
            End::Expired => CallError::Expired { stage },
            End::Closed => CallError::Closed { stage },
        };
        if replica.is_none() {
            self.meter.refused(&error);
        }
        error
    }

    pub(super) fn state(&self) -> PoolState {
        let now = Instant::now();
        let State { balancer, links, .. } = &*self.lock();
        let replicas = links.iter().filter_map(|(id, link)| {
            let snapshot = balancer.snapshot(*id, now)?;
            Some(ReplicaState {
                endpoint: link.endpoint.clone(),
                phase: snapshot.phase,
                outstanding: snapshot.messages as u64,
                outstanding_bytes: snapshot.bytes,
                losses: snapshot.losses,
            })
        });
        let replicas = replicas.collect();
        let (queued, queued_bytes) = balancer.queued();
        PoolState { replicas, queued: queued as u64, queued_bytes, oldest: balancer.oldest(now) }
    }

    pub(super) fn alarm(&self) -> Option<Instant> {
        self.lock().alarm
    }

    pub(super) fn tick(&self) {
        self.step(|state, now| {
            state.alarm = None;
            state.balancer.tick(now);
        });
    }

    pub(super) fn close(&self) {
        self.step(|state, now| state.balancer.close(now));
    }

    pub(super) fn abort(&self) {
        self.step(|state, _| state.balancer.abort());
    }

    pub(super) fn gauge(&self) {
        let now = Instant::now();
        let State { balancer, links, .. } = &*self.lock();
        self.meter.queue(balancer.queued());
        for (id, link) in links {
            if let Some(snapshot) = balancer.snapshot(*id, now) {
                link.meter.load(&snapshot);
            }
        }
    }
}
