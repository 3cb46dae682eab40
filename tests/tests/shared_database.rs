//! Two results-stores on one Cassandra: any may die, every question is answered, and who watches misses nothing.
// Helpers of tests panic, as tests do.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_api::pb::query::v1::watch_response::Message;
use ovomesh_api::pb::query::v1::{GetEggRequest, GetScanRequest, ListScansRequest, WatchRequest};
use ovomesh_api::pb::scan::v1::Row;
use ovomesh_testkit::{Cluster, Fleet, Shape};
use ovomesh_tests::{Answer, Session, place, programs, query, scan, stored};
use tonic::transport::Channel;

/// Cassandra on a busy machine needs more time than the rest.
const LIMIT: Duration = Duration::from_secs(60);

/// Has scans decided and stored, one after the other; `midway` happens after half of them. Gives their ids.
async fn committed(
    fleet: &mut Fleet,
    name: &str,
    count: usize,
    midway: impl FnOnce(&mut Fleet),
) -> BTreeSet<String> {
    let (mut session, _) = Session::open(&fleet.gateway().unwrap()).await;
    let (mut midway, mut found, mut sent) = (Some(midway), BTreeSet::new(), 0);
    while found.len() < count {
        while sent < count && sent < found.len() + 32 {
            session.scan(scan(&format!("{name}-{sent}"))).await;
            sent += 1;
        }
        match session.answer().await {
            Answer::Committed(id) => assert!(found.insert(id.clone()), "{id} was committed twice"),
            Answer::Verdict(_) => {}
            other => panic!("{other:?}"),
        }
        if found.len() >= count / 2
            && let Some(midway) = midway.take()
        {
            midway(fleet);
        }
    }
    found
}

/// Lists the line, page by page.
async fn listed(client: &mut QueryServiceClient<Channel>) -> Vec<Row> {
    let mut ask =
        ListScansRequest { site: place().site, line: place().line, page_size: 7, ..Default::default() };
    let mut rows = Vec::new();
    loop {
        let page = client.list_scans(ask.clone()).await.unwrap().into_inner();
        rows.extend(page.rows.iter().map(stored));
        if page.next_page_token.is_empty() {
            return rows;
        }
        ask.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_store_of_two_is_killed_and_nothing_is_lost_unanswered_or_unseen() {
    let shape = Shape { stores: 2, gateways: 2, cassandra: Some(Cluster::default()), ..Shape::default() };
    let mut fleet = Fleet::start(&programs(), shape).unwrap();
    let mut client = query(&fleet).await;
    let mut watching = client.clone().watch(WatchRequest::default()).await.unwrap().into_inner();
    let kill = |fleet: &mut Fleet| fleet.get_mut("results-store-1").unwrap().kill().unwrap();
    let mut ids = committed(&mut fleet, "first", 120, kill).await;
    ids.extend(committed(&mut fleet, "alone", 40, |_| ()).await);
    fleet.restart("results-store-1").unwrap();
    let kill = |fleet: &mut Fleet| fleet.get_mut("results-store-2").unwrap().kill().unwrap();
    ids.extend(committed(&mut fleet, "second", 120, kill).await);

    let rows = listed(&mut client).await;
    assert_eq!(rows.len(), ids.len(), "each scan has one row in the list");
    assert_eq!(rows.iter().map(|row| row.scan_id.clone()).collect::<BTreeSet<_>>(), ids);
    assert!(rows.is_sorted_by_key(|row| row.acquired_at.map(|at| (at.seconds, at.nanos))));
    let scan_id = "alone-7".to_owned();
    let egg_id = format!("egg-of-{scan_id}");
    let egg = client.get_egg(GetEggRequest { egg_id, ..Default::default() }).await.unwrap().into_inner();
    assert_eq!(egg.rows.len(), 1);
    let found = client
        .get_scan(GetScanRequest { scan_id, ..Default::default() })
        .await
        .unwrap()
        .into_inner()
        .row
        .unwrap();
    let found = stored(&found);
    assert!(found.preview.is_some());
    assert_eq!(Row { preview: None, ..found }, stored(&egg.rows[0]));

    // What the killed stores had written and not told is found in the database.
    let (mut seen, begun) = (BTreeSet::new(), Instant::now());
    while !seen.is_superset(&ids) {
        let missing: Vec<_> = ids.difference(&seen).take(5).collect();
        let next = tokio::time::timeout(LIMIT.saturating_sub(begun.elapsed()), watching.message()).await;
        let next =
            next.unwrap_or_else(|_| panic!("{} of {} were seen, not {missing:?}", seen.len(), ids.len()));
        if let Some(Message::Rows(rows)) = next.unwrap().expect("the watch goes on").message {
            seen.extend(rows.rows.iter().map(|row| stored(row).scan_id));
        }
    }
}
