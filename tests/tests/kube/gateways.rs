//! Gateways that only report a load: what the operator sees is set by the test, to the scan.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ovomesh_api::pb::load::v1::load_service_server::{LoadService, LoadServiceServer};
use ovomesh_api::pb::load::v1::{StageLoad, WatchRequest, WatchResponse};
use ovomesh_api::stages::MAIN_POOL;
use ovomesh_bootstrap::{Lifecycle, PortConfig, Server};
use parking_lot::Mutex;
use serde_json::json;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use crate::world::Namespace;

/// Addresses of pods that kwok gives to nobody in a test of this size.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Some gateways behind the Service `scanner-gateway` of a namespace.
pub struct Gateways {
    all: Vec<Gateway>,
    lifecycle: Lifecycle,
}

/// One of them.
#[derive(Clone)]
struct Gateway(Arc<State>);

struct State {
    name: String,
    address: SocketAddr,
    /// What arrives for each pool of inference.
    pools: Mutex<BTreeMap<&'static str, Arrivals>>,
    /// It reports as gateways of 0.1 do, which have one pool.
    is_old: AtomicBool,
    silent: AtomicBool,
}

/// Scans that arrive evenly.
struct Arrivals {
    per_second: f64,
    /// Those that had arrived when the rate was set.
    before: f64,
    since: Instant,
}

impl Arrivals {
    fn none() -> Self {
        Self { per_second: 0.0, before: 0.0, since: Instant::now() }
    }

    fn count(&self) -> f64 {
        self.before + self.per_second * self.since.elapsed().as_secs_f64()
    }
}

impl Gateways {
    /// Starts `count` of them and tells Kubernetes where they are.
    pub fn start(here: Namespace<'_>, count: u32) -> Self {
        let lifecycle = Lifecycle::new();
        let all = (0..count).map(|n| Gateway::start(here, n, &lifecycle)).collect();
        let gateways = Self { all, lifecycle };
        gateways.announce(here, &vec![true; count as usize]);
        gateways
    }

    /// Says of each whether it is ready.
    pub fn announce(&self, here: Namespace<'_>, ready: &[bool]) {
        let endpoints: Vec<_> = self.all.iter().zip(ready).map(|(gateway, ready)| {
            json!({"addresses": [gateway.0.address.ip()], "conditions": {"ready": ready, "serving": ready}})
        }).collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "gateways", "labels": {"kubernetes.io/service-name": "scanner-gateway"}},
            "endpoints": endpoints, "ports": [{"name": "grpc", "port": 7700}],
        });
        here.apply(&slice.to_string()).unwrap();
    }

    /// Scans a second over all of them, for the pool that decides.
    pub fn rate(&self, rate: f64) {
        self.rate_of(MAIN_POOL, rate);
    }

    /// Scans a second over all of them for one pool, which they report from now on.
    pub fn rate_of(&self, pool: &'static str, rate: f64) {
        for gateway in &self.all {
            gateway.arrive(pool, rate / self.all.len() as f64);
        }
    }

    /// Scans a second at the first one, for the pool that decides.
    pub fn rate_of_first(&self, rate: f64) {
        self.all[0].arrive(MAIN_POOL, rate);
    }

    /// The first `old` report as gateways of 0.1 do.
    pub fn report_as_0_1(&self, old: usize) {
        for gateway in self.all.iter().take(old) {
            gateway.0.is_old.store(true, SeqCst);
        }
    }

    /// The first `silent` say nothing any more, the others speak.
    pub fn silence(&self, silent: usize) {
        for (n, gateway) in self.all.iter().enumerate() {
            gateway.0.silent.store(n < silent, SeqCst);
        }
    }
}

impl Drop for Gateways {
    fn drop(&mut self) {
        self.lifecycle.drain.cancel();
    }
}

impl Gateway {
    fn start(here: Namespace<'_>, n: u32, lifecycle: &Lifecycle) -> Self {
        let host = u32::from(Ipv4Addr::new(10, 244, 200, 1)) + NEXT.fetch_add(1, SeqCst);
        let address = SocketAddr::from((Ipv4Addr::from(host), 7700));
        let state = State {
            name: format!("gateway-{n}"),
            address,
            pools: Mutex::new(BTreeMap::from([(MAIN_POOL, Arrivals::none())])),
            is_old: AtomicBool::new(false),
            silent: AtomicBool::new(false),
        };
        let gateway = Self(Arc::new(state));
        let (own, lifecycle) = (gateway.clone(), lifecycle.clone());
        here.world.runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            let life = lifecycle.clone();
            lifecycle.spawn("gateway", async move {
                let port = PortConfig::default();
                let server = Server::new("scanner-gateway", &port)
                    .service(LoadServiceServer::new(own.clone()))
                    .status(own);
                server.serve(listener, &life).await.unwrap();
            });
        });
        gateway
    }

    fn arrive(&self, pool: &'static str, per_second: f64) {
        let mut pools = self.0.pools.lock();
        let arrivals = pools.entry(pool).or_insert_with(Arrivals::none);
        *arrivals = Arrivals { per_second, before: arrivals.count(), since: Instant::now() };
    }

    fn report(&self) -> WatchResponse {
        let load = |stage: &str, pool: &str, arrived, work_us| StageLoad {
            stage: stage.into(),
            pool: pool.into(),
            arrived,
            completed: arrived,
            busy_us: arrived * work_us,
            backlog: 0,
        };
        let pools = self.0.pools.lock();
        let arrived = |pool: &str| pools[pool].count() as u64;
        // Every scan is decided at once, in 20 ms of a replica: 50 a second each.
        let inference = pools.keys().map(|pool| load("inference", pool, arrived(pool), 20_000));
        let main = arrived(MAIN_POOL);
        let [preprocess, store] = [("preprocess", 300), ("results-store", 100)]
            .map(|(stage, work_us)| load(stage, MAIN_POOL, main, work_us));
        let instance = self.0.name.clone();
        let response = WatchResponse { instance, arrived: main, ..Default::default() };
        if self.0.is_old.load(SeqCst) {
            let old = |load: StageLoad| {
                Some(StageLoad { stage: String::new(), pool: String::new(), arrived: 0, ..load })
            };
            let inference = old(load("inference", MAIN_POOL, main, 20_000));
            WatchResponse { preprocess: old(preprocess), inference, store: old(store), ..response }
        } else {
            WatchResponse { stages: inference.chain([preprocess, store]).collect(), ..response }
        }
    }
}

impl ovomesh_bootstrap::Status for Gateway {}

#[tonic::async_trait]
impl LoadService for Gateway {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let every = Duration::from_millis(request.into_inner().every_ms.into());
        let own = self.clone();
        let ticks = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(every));
        let reports = ticks.filter_map(move |_| (!own.0.silent.load(SeqCst)).then(|| Ok(own.report())));
        Ok(Response::new(Box::pin(reports)))
    }
}
