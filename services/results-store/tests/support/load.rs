//! A gateway's work: rows at a steady rate, each sent again until it is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use ovomesh_api::stages::Append;
use ovomesh_mesh::{CallError, Connector, Lifecycle, PoolConfig, Request, StreamPool, discover};
use tokio::time::Instant;

use super::{row, with_picture};

/// Pauses before a row is sent again.
const AGAIN: Duration = Duration::from_millis(200);

/// A load that is under way.
pub struct Load {
    acknowledged: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    task: tokio::task::JoinSet<Vec<Duration>>,
    life: Lifecycle,
}

/// Scan id and egg id of row `n`.
pub fn ids(name: &str, n: usize) -> (String, String) {
    (format!("{name}-{n:05}"), format!("egg-of-{name}-{n:05}"))
}

impl Load {
    /// Sends `count` rows, `rate` a second, to any of the stores at these URLs.
    pub fn start(urls: &[String], name: &'static str, count: usize, rate: u64) -> Self {
        let life = Lifecycle::new();
        let replicas = discover::fixed(urls.iter().map(|url| url.parse().unwrap()).collect::<Vec<_>>());
        let config = PoolConfig { max_queued_messages: 100_000, ..PoolConfig::default() };
        let pool = StreamPool::<Append>::start(config, Connector::default(), replicas, &life);
        let (acknowledged, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, begun_rows) = (acknowledged.clone(), sent.clone());
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            let begun = Instant::now();
            let (mut under_way, mut times, mut sent) = (FuturesUnordered::new(), Vec::new(), 0);
            while times.len() < count {
                let next = begun + Duration::from_secs(1) * sent as u32 / rate as u32;
                tokio::select! {
                    () = tokio::time::sleep_until(next), if sent < count => {
                        under_way.push(until_stored(pool.clone(), name, sent));
                        sent += 1;
                        begun_rows.store(sent, Ordering::Relaxed);
                    }
                    Some(()) = under_way.next(), if !under_way.is_empty() => {
                        times.push(begun.elapsed());
                        seen.store(times.len(), Ordering::Relaxed);
                    }
                }
            }
            times
        });
        Self { acknowledged, sent, task, life }
    }

    /// Rows that are stored.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Rows that were begun.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until so many are stored, as long as there is progress: a busy machine stores slowly.
    pub async fn until(&self, acknowledged: usize) {
        let mut last = (self.acknowledged(), Instant::now());
        while self.acknowledged() < acknowledged {
            if self.acknowledged() > last.0 {
                last = (self.acknowledged(), Instant::now());
            }
            assert!(last.1.elapsed() < super::cassandra::LIMIT, "no more than {} rows are stored", last.0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all are stored. Gives the longest time in which none was.
    pub async fn end(mut self) -> Duration {
        let all = tokio::time::timeout(2 * super::cassandra::LIMIT, self.task.join_next());
        let times = all.await.expect("all rows are stored in time").unwrap().unwrap();
        self.life.drain.cancel();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

async fn until_stored(pool: StreamPool<Append>, name: &str, n: usize) {
    let (scan_id, egg_id) = ids(name, n);
    let body = with_picture(row(&scan_id, &egg_id, n as i64), 1);
    loop {
        let request = Request { body: body.clone(), deadline: None, traceparent: String::new() };
        match pool.call(request).await {
            Ok(_) => return,
            Err(CallError::Failed { code: tonic::Code::InvalidArgument, message, .. }) => panic!("{message}"),
            // The store or its database is away.
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
