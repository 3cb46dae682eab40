//! What this gateway is asked for and how its stages do: counted here, told to the operator, which scales by it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::stream::Stream;
use ovomesh_api::pb::load::v1::load_service_server::LoadService;
use ovomesh_api::pb::load::v1::{StageLoad, WatchRequest, WatchResponse};
use ovomesh_mesh::Lifecycle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// How often the load is told when nobody says how often, in milliseconds; and the least and the most.
const EVERY_MS: (u32, u32, u32) = (500, 100, 10_000);

/// Counts of the whole process.
#[derive(Debug, Default)]
pub struct Demand {
    arrived: AtomicU64,
    /// Preparing volumes.
    pub preprocess: Tally,
    /// Judging volumes.
    pub inference: Tally,
    /// Storing rows.
    pub store: Tally,
}

/// One stage.
#[derive(Debug, Default)]
pub struct Tally {
    completed: AtomicU64,
    busy_us: AtomicU64,
    backlog: AtomicU64,
}

/// A call that is waiting or worked on; it is one no more when this is dropped, answered or not.
#[derive(Debug)]
pub struct Going<'a>(&'a Tally);

impl Demand {
    /// A scan is to be judged.
    pub fn arrived(&self) {
        self.arrived.fetch_add(1, Relaxed);
    }

    fn told(&self, instance: &str) -> WatchResponse {
        WatchResponse {
            instance: instance.to_owned(),
            arrived: self.arrived.load(Relaxed),
            preprocess: Some(self.preprocess.told()),
            inference: Some(self.inference.told()),
            store: Some(self.store.told()),
        }
    }
}

impl Tally {
    /// A call begins.
    pub fn begin(&self) -> Going<'_> {
        self.backlog.fetch_add(1, Relaxed);
        Going(self)
    }

    fn told(&self) -> StageLoad {
        let [completed, busy_us, backlog] =
            [&self.completed, &self.busy_us, &self.backlog].map(|count| count.load(Relaxed));
        StageLoad { completed, busy_us, backlog }
    }
}

impl Going<'_> {
    /// It was answered after `busy` of work.
    pub fn done(self, busy: Duration) {
        self.0.completed.fetch_add(1, Relaxed);
        self.0.busy_us.fetch_add(u64::try_from(busy.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.backlog.fetch_sub(1, Relaxed);
    }
}

/// Serves `load.v1`.
pub struct LoadWatch {
    demand: Arc<Demand>,
    instance: Arc<str>,
    drain: CancellationToken,
}

impl LoadWatch {
    /// Tells `demand` in the name of `instance`.
    pub fn new(demand: Arc<Demand>, instance: String, lifecycle: &Lifecycle) -> Self {
        Self { demand, instance: instance.into(), drain: lifecycle.drain.clone() }
    }
}

#[tonic::async_trait]
impl LoadService for LoadWatch {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (usual, least, most) = EVERY_MS;
        let every = match request.into_inner().every_ms {
            0 => usual,
            ms if (least..=most).contains(&ms) => ms,
            ms => {
                return Err(Status::invalid_argument(format!(
                    "every_ms is {ms}; it must be {least} to {most}, or 0 for {usual}"
                )));
            }
        };
        let ticks = tokio::time::interval(Duration::from_millis(every.into()));
        let state = (self.demand.clone(), self.instance.clone(), self.drain.clone(), ticks);
        // The next answer is made when the last one is taken: a slow reader gets fewer, never a queue.
        let told = futures::stream::unfold(state, |(demand, instance, drain, mut ticks)| async move {
            tokio::select! {
                () = drain.cancelled() => return None,
                _ = ticks.tick() => {}
            }
            let now = demand.told(&instance);
            Some((Ok(now), (demand, instance, drain, ticks)))
        });
        Ok(Response::new(Box::pin(told)))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_and_done_is_told_until_the_drain() {
        let (demand, lifecycle) = (Arc::new(Demand::default()), Lifecycle::new());
        let service = LoadWatch::new(demand.clone(), "gateway-1".into(), &lifecycle);
        let mut told = service.watch(Request::new(WatchRequest::default())).await.unwrap().into_inner();
        demand.arrived();
        demand.arrived();
        let waits = demand.inference.begin();
        demand.inference.begin().done(Duration::from_millis(20));
        drop(demand.inference.begin());
        let now = told.next().await.unwrap().unwrap();
        assert_eq!((now.instance.as_str(), now.arrived), ("gateway-1", 2));
        assert_eq!(now.inference, Some(StageLoad { completed: 1, busy_us: 20_000, backlog: 1 }));
        drop(waits);
        assert_eq!(told.next().await.unwrap().unwrap().inference.unwrap().backlog, 0);
        lifecycle.drain.cancel();
        assert!(told.next().await.is_none());
    }

    #[tokio::test]
    async fn an_interval_out_of_range_is_refused() {
        let service = LoadWatch::new(Arc::default(), "g".into(), &Lifecycle::new());
        let refused = service.watch(Request::new(WatchRequest { every_ms: 5 })).await.err().unwrap();
        assert!(refused.message().contains("every_ms is 5; it must be 100 to 10000"), "{refused}");
    }
}
