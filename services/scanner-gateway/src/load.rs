//! What this gateway is asked for and how its stages do: counted here, and reported to the operator, which scales by it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::stream::Stream;
use ovomesh_api::Fault;
use ovomesh_api::pb::load::v1::load_service_server::LoadService;
use ovomesh_api::pb::load::v1::{StageLoad, WatchRequest, WatchResponse};
use ovomesh_api::stages::{Append, Infer, MAIN_POOL, Prepare};
use ovomesh_mesh::{Lifecycle, Peer, Quota, Stage, StreamPool};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// How often the load is reported when the request does not say, in milliseconds; and the least and the most.
const EVERY_MS: (u32, u32, u32) = (500, 100, 10_000);

/// Watchers at once: operators, and people who look.
const WATCHERS: u64 = 64;

/// Counts of the whole process.
#[derive(Debug, Default)]
pub struct LoadCounters {
    arrived: AtomicU64,
    stages: Vec<Arc<StageCounters>>,
}

/// Counts of one pool of a stage.
#[derive(Debug)]
pub struct StageCounters {
    stage: &'static str,
    pool: &'static str,
    arrived: AtomicU64,
    completed: AtomicU64,
    busy_us: AtomicU64,
    backlog: AtomicU64,
}

/// A pool of a stage, and what is counted of it.
#[derive(Clone)]
pub struct Counted<S: Stage> {
    /// Its replicas.
    pub pool: StreamPool<S>,
    /// Its counts.
    pub load: Arc<StageCounters>,
}

/// A call that waits or is worked on, until this is dropped, answered or not.
#[derive(Debug)]
pub struct CallInFlight<'a>(&'a StageCounters);

impl LoadCounters {
    /// The counts of one more pool of a stage.
    pub fn add<S: Stage>(&mut self, pool: &'static str) -> Arc<StageCounters> {
        let load = Arc::new(StageCounters::new(S::NAME, pool));
        self.stages.push(load.clone());
        load
    }

    /// A scan is to be decided.
    pub fn arrived(&self) {
        self.arrived.fetch_add(1, Relaxed);
    }

    fn report(&self, instance: &str) -> WatchResponse {
        let stages: Vec<_> = self.stages.iter().map(|counters| counters.report()).collect();
        let main = |stage| {
            let mut all = stages.iter();
            all.find(|load| load.stage == stage && load.pool == MAIN_POOL).cloned()
        };
        WatchResponse {
            instance: instance.to_owned(),
            arrived: self.arrived.load(Relaxed),
            // Operators of 0.1 read these.
            preprocess: main(Prepare::NAME),
            inference: main(Infer::NAME),
            store: main(Append::NAME),
            stages,
        }
    }
}

impl StageCounters {
    fn new(stage: &'static str, pool: &'static str) -> Self {
        let [arrived, completed, busy_us, backlog] = [(); 4].map(|()| AtomicU64::default());
        Self { stage, pool, arrived, completed, busy_us, backlog }
    }

    /// A scan, or a row, is to be worked on by this pool.
    pub fn arrived(&self) {
        self.arrived.fetch_add(1, Relaxed);
    }

    /// A call begins.
    pub fn begin(&self) -> CallInFlight<'_> {
        self.backlog.fetch_add(1, Relaxed);
        CallInFlight(self)
    }

    fn report(&self) -> StageLoad {
        let [arrived, completed, busy_us, backlog] =
            [&self.arrived, &self.completed, &self.busy_us, &self.backlog].map(|count| count.load(Relaxed));
        StageLoad { stage: self.stage.into(), pool: self.pool.into(), arrived, completed, busy_us, backlog }
    }
}

impl CallInFlight<'_> {
    /// It was answered after `busy` of work.
    pub fn done(self, busy: Duration) {
        self.0.completed.fetch_add(1, Relaxed);
        self.0.busy_us.fetch_add(u64::try_from(busy.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Drop for CallInFlight<'_> {
    fn drop(&mut self) {
        self.0.backlog.fetch_sub(1, Relaxed);
    }
}

/// Serves `load.v1`.
pub struct LoadWatch {
    counters: Arc<LoadCounters>,
    instance: Arc<str>,
    drain: CancellationToken,
    watchers: Quota,
}

impl LoadWatch {
    /// Reports `counters` in the name of `instance`.
    pub fn new(counters: Arc<LoadCounters>, instance: String, lifecycle: &Lifecycle) -> Self {
        let watchers = Quota::shared("watchers of the load", WATCHERS);
        Self { counters, instance: instance.into(), drain: lifecycle.drain.clone(), watchers }
    }
}

#[tonic::async_trait]
impl LoadService for LoadWatch {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let peer = Peer::of(&request);
        let (usual, least, most) = EVERY_MS;
        let every = match request.into_inner().every_ms {
            0 => usual,
            ms if (least..=most).contains(&ms) => ms,
            ms => {
                return Err(Fault::Invalid
                    .status(format!("every_ms is {ms}; it must be {least} to {most}, or 0 for {usual}")));
            }
        };
        let place = self.watchers.one(peer)?;
        let ticks = tokio::time::interval(Duration::from_millis(every.into()));
        let state = (self.counters.clone(), self.instance.clone(), self.drain.clone(), ticks, place);
        // The next answer is made when the last one is taken: a slow reader gets fewer, never a queue.
        let reports =
            futures::stream::unfold(state, |(counters, instance, drain, mut ticks, place)| async move {
                tokio::select! {
                    () = drain.cancelled() => return None,
                    _ = ticks.tick() => {}
                }
                let now = counters.report(&instance);
                Some((Ok(now), (counters, instance, drain, ticks, place)))
            });
        Ok(Response::new(Box::pin(reports)))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    async fn next(
        reports: &mut (impl Stream<Item = Result<WatchResponse, Status>> + Unpin),
    ) -> WatchResponse {
        reports.next().await.unwrap().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_and_done_is_reported_for_each_pool_until_the_drain() {
        let (mut counters, lifecycle) = (LoadCounters::default(), Lifecycle::new());
        let [main, shadow] = [MAIN_POOL, "shadow"].map(|pool| counters.add::<Infer>(pool));
        let counters = Arc::new(counters);
        let service = LoadWatch::new(counters.clone(), "gateway-1".into(), &lifecycle);
        let mut reports = service.watch(Request::new(WatchRequest::default())).await.unwrap().into_inner();
        for load in [&main, &main, &shadow] {
            load.arrived();
        }
        counters.arrived();
        counters.arrived();
        let waits = main.begin();
        main.begin().done(Duration::from_millis(20));
        drop(main.begin());
        let now = next(&mut reports).await;
        assert_eq!((now.instance.as_str(), now.arrived), ("gateway-1", 2));
        let load = |pool: &str, arrived, completed, busy_us, backlog| {
            let (stage, pool) = ("inference".to_owned(), pool.to_owned());
            StageLoad { stage, pool, arrived, completed, busy_us, backlog }
        };
        assert_eq!(now.stages, [load("main", 2, 1, 20_000, 1), load("shadow", 1, 0, 0, 0)]);
        assert_eq!(now.inference.as_ref(), now.stages.first(), "operators of 0.1 read the pool that decides");
        drop(waits);
        assert_eq!(next(&mut reports).await.stages[0].backlog, 0);
        lifecycle.drain.cancel();
        assert!(reports.next().await.is_none());
    }

    #[tokio::test]
    async fn an_interval_out_of_range_is_refused() {
        let service = LoadWatch::new(Arc::default(), "g".into(), &Lifecycle::new());
        let refused = service.watch(Request::new(WatchRequest { every_ms: 5 })).await.err().unwrap();
        assert!(refused.message().contains("every_ms is 5; it must be 100 to 10000"), "{refused}");
    }
}
