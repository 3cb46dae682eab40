//! The hop over the mesh.

use std::time::Duration;

use ovomesh_mesh::{
    Connector, Done, Lifecycle, PoolConfig, Request, ServerConfig, StageServer, StreamPool, discover,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::echo::{Body, Echo, EchoService};

pub async fn serve(listener: std::net::TcpListener, lifecycle: Lifecycle) {
    let config = ServerConfig::default();
    let max_message_bytes = config.max_message_bytes as usize;
    let stage = StageServer::<Echo>::new(
        config,
        |work| async move {
            let data = work.body.data.slice(..work.body.data.len().min(100));
            let body = Body { number: work.body.number, data };
            Ok(Done { body, queued: Duration::ZERO, worked: Duration::ZERO })
        },
        &lifecycle,
    );
    let listener = crate::incoming(listener);
    let server = crate::server().add_service(EchoService { stage, max_message_bytes });
    server.serve_with_incoming_shutdown(listener, lifecycle.drain.cancelled_owned()).await.unwrap();
}

/// Keeps so many calls in flight, and counts the answers.
pub async fn load(uri: http::Uri, body: Body, in_flight: u64, time: Duration) -> u64 {
    let lifecycle = Lifecycle::new();
    let found = discover::fixed([uri]);
    let pool = StreamPool::<Echo>::start(PoolConfig::default(), Connector::default(), found, &lifecycle);
    pool.ready().await;
    let end = Instant::now() + time;
    let mut workers = JoinSet::new();
    for _ in 0..in_flight {
        let (pool, body) = (pool.clone(), body.clone());
        workers.spawn(async move {
            let mut calls = 0;
            while Instant::now() < end {
                let deadline = Some(Instant::now() + Duration::from_secs(2));
                let request = Request { body: body.clone(), deadline, traceparent: String::new() };
                pool.call(request).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    workers.join_all().await.into_iter().sum()
}
