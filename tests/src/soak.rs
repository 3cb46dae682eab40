//! Loads after which a service must be as large as before: what it keeps for each scan is a leak.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ovomesh_api::pb::query::v1::{WatchRequest, WatchResponse};
use ovomesh_api::pb::scan::v1::Scan;
use ovomesh_api::volume::smallest;
use ovomesh_bootstrap::status::pb::GetStatusRequest;
use ovomesh_bootstrap::status::pb::status_service_client::StatusServiceClient;
use ovomesh_testkit::{Fleet, Shape};
use tonic::Streaming;
use tonic::transport::Endpoint;

use crate::{Answer, Session, query, scan};

/// Scans that a session has on their way.
const AHEAD: usize = 100;
/// Longest wait until all services have answered what they took.
const IDLE: Duration = Duration::from_secs(120);

/// What happens to scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Each is decided and stored.
    Decided,
    /// Each is sent twice.
    Repeated,
    /// Each is wrong, and rejected.
    Refused,
    /// Their session breaks before they are answered.
    Broken,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Decided, Self::Repeated, Self::Refused, Self::Broken];

    /// Sends `count` scans whose ids begin with `name`.
    pub async fn send(self, fleet: &Fleet, name: &str, count: usize) -> anyhow::Result<()> {
        match self {
            Self::Broken => broken(fleet, name, count).await,
            Self::Decided => answered(fleet, count, |n| scan(&format!("{name}-{n}")), is_verdict).await,
            Self::Repeated => {
                answered(fleet, count, |n| small(&format!("{name}-{}", n / 2)), is_verdict).await
            }
            Self::Refused => answered(fleet, count, |n| wrong(&format!("{name}-{n}")), is_rejected).await,
        }
    }
}

/// A scan of the smallest volume that is allowed.
fn small(scan_id: &str) -> Scan {
    Scan { volume: Some(smallest(0x0101)), ..scan(scan_id) }
}

/// One whose checksum is wrong.
fn wrong(scan_id: &str) -> Scan {
    let mut scan = small(scan_id);
    scan.volume.iter_mut().for_each(|volume| volume.crc32c = Some(1));
    scan
}

fn is_verdict(answer: &Answer) -> bool {
    matches!(answer, Answer::Verdict(_))
}

fn is_rejected(answer: &Answer) -> bool {
    matches!(answer, Answer::Rejected(_))
}

/// One session whose scans are all answered so.
async fn answered(
    fleet: &Fleet,
    count: usize,
    scan: impl Fn(usize) -> Scan,
    is_expected: fn(&Answer) -> bool,
) -> anyhow::Result<()> {
    let (mut session, welcome) = Session::open(&fleet.gateway()?).await;
    let ahead = AHEAD.min(welcome.max_in_flight as usize);
    let (mut sent, mut answers) = (0, 0);
    while answers < count {
        while sent < count && sent < answers + ahead {
            session.scan(scan(sent)).await;
            sent += 1;
        }
        let answer = session.decision().await;
        ensure!(is_expected(&answer), "scan {answers} of {count}: {answer:?}");
        answers += 1;
    }
    Ok(())
}

/// A mesh whose line gives its scans a minute: none may expire while preprocess stands still on a busy machine.
pub fn shape() -> anyhow::Result<Shape> {
    let shape = Shape::default();
    std::fs::create_dir_all(&shape.folder)?;
    let lines = shape.folder.join("lines.yaml");
    std::fs::write(&lines, "lines: [{site: test, line: '1', budget_ms: 60000}]")?;
    Ok(Shape { lines: Some(lines), ..shape })
}

/// Sessions that break while all their scans are in flight: preprocess stands still meanwhile.
async fn broken(fleet: &Fleet, name: &str, count: usize) -> anyhow::Result<()> {
    let (gateway, preprocess) = (fleet.gateway()?, fleet.get("preprocess-1")?);
    preprocess.freeze()?;
    let mut broken = 0;
    while broken < count {
        let (mut session, welcome) = Session::open(&gateway).await;
        let scans = AHEAD.min(welcome.max_in_flight as usize);
        for n in 0..scans {
            session.scan(small(&format!("{name}-{}", broken + n))).await;
        }
        until_backlog(&gateway, |backlog| backlog == scans as u64).await?;
        drop(session);
        until_backlog(&gateway, |backlog| backlog == 0).await?;
        broken += scans;
    }
    preprocess.thaw()
}

/// Watchers of the live feed that read nothing.
pub async fn idle_watchers(fleet: &Fleet, count: usize) -> anyhow::Result<Vec<Streaming<WatchResponse>>> {
    let mut watchers = Vec::with_capacity(count);
    for _ in 0..count {
        watchers.push(query(fleet).await.watch(WatchRequest::default()).await?.into_inner());
    }
    Ok(watchers)
}

/// Waits until every service has answered what it took.
pub async fn until_idle(fleet: &Fleet) -> anyhow::Result<()> {
    for (name, process) in fleet.processes() {
        until_backlog(&process.url(), |backlog| backlog == 0).await.with_context(|| name.to_owned())?;
    }
    Ok(())
}

async fn until_backlog(url: &str, is_reached: impl Fn(u64) -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut status = StatusServiceClient::new(Endpoint::from_shared(url.to_owned())?.connect().await?);
    loop {
        let backlog = status.get_status(GetStatusRequest {}).await?.into_inner().backlog;
        if is_reached(backlog) {
            return Ok(());
        }
        ensure!(begun.elapsed() < IDLE, "{backlog} calls are unanswered after {} s", IDLE.as_secs());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Memory that each process holds, in bytes.
pub fn resident(fleet: &Fleet) -> BTreeMap<String, u64> {
    fleet.processes().map(|(name, process)| (name.to_owned(), process.usage().resident)).collect()
}
