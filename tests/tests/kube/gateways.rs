//! Gateways that only tell a load: what the operator sees is set by the test, to the scan.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ovomesh_api::pb::load::v1::load_service_server::{LoadService, LoadServiceServer};
use ovomesh_api::pb::load::v1::{StageLoad, WatchRequest, WatchResponse};
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
    /// Scans a second, and the scans that had come when it was set.
    rate: Mutex<(f64, f64, Instant)>,
    silent: AtomicBool,
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

    /// So many scans a second come, over all of them.
    pub fn rate(&self, rate: f64) {
        for gateway in &self.all {
            let mut set = gateway.0.rate.lock();
            let now = Instant::now();
            *set = (rate / self.all.len() as f64, set.1 + set.0 * (now - set.2).as_secs_f64(), now);
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
            rate: Mutex::new((0.0, 0.0, Instant::now())),
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

    fn told(&self) -> WatchResponse {
        let (rate, before, since) = *self.0.rate.lock();
        let arrived = (before + rate * since.elapsed().as_secs_f64()) as u64;
        // Every scan is judged at once, in 20 ms of a replica: 50 a second each.
        let done = StageLoad { completed: arrived, busy_us: arrived * 20_000, backlog: 0 };
        WatchResponse {
            instance: self.0.name.clone(),
            arrived,
            preprocess: Some(StageLoad { completed: arrived, busy_us: arrived * 300, backlog: 0 }),
            inference: Some(done),
            store: Some(StageLoad { completed: arrived, busy_us: arrived * 100, backlog: 0 }),
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
        let told = ticks.filter_map(move |_| (!own.0.silent.load(SeqCst)).then(|| Ok(own.told())));
        Ok(Response::new(Box::pin(told)))
    }
}
