//! Watching a real query and a real store: nobody misses a row without being told.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use common::{LIMIT, Query, next, query, query_of, read, row, rows, store, watch};
use ovomesh_api::pb::query::v1::{Filter, GetScanRequest, WatchRequest};
use ovomesh_api::pb::scan::v1::{Call, Row};
use tokio::time::timeout;
use tonic::Code;

fn from_now() -> WatchRequest {
    WatchRequest::default()
}

fn from(resume_token: &str) -> WatchRequest {
    WatchRequest { resume_token: resume_token.into(), ..WatchRequest::default() }
}

fn ids(wanted: std::ops::Range<i64>) -> Vec<String> {
    wanted.map(|n| row(n).scan_id).collect()
}

#[tokio::test]
async fn a_hundred_watchers_get_every_row_although_one_reads_nothing() {
    // Far more than query keeps for those who are behind, and than fits into the window and the queue of one.
    const ROWS: i64 = 13_000;
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    let query = query(store.address, true).await;
    let mut stuck = watch(&query.narrow(16 << 10).await, from_now()).await;
    assert_eq!(next(&mut stuck).await.0, Ok(Vec::new()), "it is live");
    let (mut reading, seen) = (tokio::task::JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for _ in 0..99 {
        let mut watcher = watch(&query.client, from_now()).await;
        assert_eq!(next(&mut watcher).await.0, Ok(Vec::new()), "it is live");
        let seen = seen.clone();
        reading.spawn(async move {
            let mut all = Vec::new();
            while all.len() < ROWS as usize {
                let found = next(&mut watcher).await.0.expect("nothing is left out");
                seen.fetch_add(found.len(), Relaxed);
                all.extend(found);
            }
            all
        });
    }
    for part in 0..ROWS / 500 {
        let wide = |n| Row { batch_id: "b".repeat(128), ..row(n) };
        store.append((part * 500..(part + 1) * 500).map(wide)).await;
        // As fast as the readers can: how fast that is depends on the machine.
        let everywhere = async {
            while seen.load(Relaxed) < 99 * 500 * (part as usize + 1) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, everywhere).await.expect("who reads nothing holds nobody up");
    }
    let all: BTreeSet<_> = ids(0..ROWS).into_iter().collect();
    while let Some(found) = reading.join_next().await {
        let found = found.unwrap();
        assert_eq!(found.len(), all.len(), "each once");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all);
    }
    // Now it reads: some rows, how many it missed, and the end of the feed.
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < ROWS as u64 {
        match next(&mut stuck).await.0 {
            Ok(found) => seen += found.len() as u64,
            Err(lagged) => missed += lagged,
        }
    }
    assert_eq!(seen + missed, ROWS as u64, "every row was either sent or counted");
    assert!(missed > 0, "or this test does not test what it says");
}

#[tokio::test]
async fn a_watcher_gets_only_what_it_wants() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    let Query { client, .. } = query(store.address, true).await;
    let filter = Some(Filter { calls: vec![Call::Male.into()], ..Default::default() });
    let request = WatchRequest { site: "north".into(), line: "1".into(), filter, ..from_now() };
    let mut watcher = watch(&client, request).await;
    let mut elsewhere = watch(&client, WatchRequest { site: "south".into(), ..from_now() }).await;
    for watcher in [&mut watcher, &mut elsewhere] {
        assert_eq!(next(watcher).await.0, Ok(Vec::new()));
    }
    store.append((0..40).map(row)).await;
    let found: BTreeSet<_> = rows(&mut watcher, 20).await.0.into_iter().collect();
    assert_eq!(found, (0..40).filter(|n| n % 2 == 1).map(|n| row(n).scan_id).collect());
    // Nothing of the north may have come before what comes from the south.
    let mut south = row(77);
    south.place.as_mut().unwrap().site = "south".into();
    store.append([south]).await;
    assert_eq!(rows(&mut elsewhere, 1).await.0, ["scan-00077"]);
}

#[tokio::test]
async fn a_watcher_that_comes_back_has_missed_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    let Query { client, .. } = query(store.address, true).await;
    let mut watcher = watch(&client, from_now()).await;
    let (_, live) = next(&mut watcher).await;
    assert!(!live.is_empty(), "the first message can already be resumed from");
    store.append((0..30).map(row)).await;
    let (first, token) = rows(&mut watcher, 30).await;
    drop(watcher);
    store.append((30..60).map(row)).await;
    let mut again = watch(&client, from(&token)).await;
    let second = rows(&mut again, 30).await.0;
    let all: BTreeSet<_> = first.into_iter().chain(second).collect();
    assert_eq!(all, ids(0..60).into_iter().collect());
    let mut whole = watch(&client, from(&live)).await;
    assert_eq!(rows(&mut whole, 60).await.0.len(), 60);
}

/// A query that was restarted keeps nothing of the past; the store does.
#[tokio::test]
async fn a_watcher_that_comes_back_to_another_query_has_missed_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    let Query { client, life, .. } = query(store.address, true).await;
    let mut watcher = watch(&client, from_now()).await;
    let (_, token) = next(&mut watcher).await;
    drop(watcher);
    life.drain.cancel();
    store.append((0..3_000).map(row)).await;
    let Query { client, .. } = query(store.address, true).await;
    let mut again = watch(&client, from(&token)).await;
    let past: BTreeSet<_> = rows(&mut again, 3_000).await.0.into_iter().collect();
    assert_eq!(past, ids(0..3_000).into_iter().collect());
    store.append([row(9_000)]).await;
    assert_eq!(rows(&mut again, 1).await.0, ["scan-09000"], "and goes on with the feed that all share");
}

/// What a store wrote between its last message and its end cannot be known: the watcher is told so.
#[tokio::test]
async fn a_restarted_store_is_told_to_watchers_and_followed_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path(), None).await;
    let address = first.address;
    let Query { client, .. } = query(address, true).await;
    let mut watcher = watch(&client, from_now()).await;
    let (_, old_token) = next(&mut watcher).await;
    first.append([row(1)]).await;
    assert_eq!(rows(&mut watcher, 1).await.0, ["scan-00001"]);
    first.stop().await;
    let second = store(folder.path(), Some(address)).await;
    assert!(matches!(next(&mut watcher).await.0, Err(1..)), "rows may have been missed");
    second.append([row(2)]).await;
    assert_eq!(rows(&mut watcher, 1).await.0, ["scan-00002"]);
    let told = async |client| {
        let mut late = watch(client, from(&old_token)).await;
        assert_eq!(next(&mut late).await.0, Ok(Vec::new()), "it is live");
        let mut told = Vec::new();
        while !told.contains(&Ok(vec!["scan-00003".to_owned()])) {
            told.push(next(&mut late).await.0);
        }
        told
    };
    second.append([row(3)]).await;
    assert_eq!(rows(&mut watcher, 1).await.0, ["scan-00003"]);
    let (one, two, three) = (Ok(ids(1..2)), Ok(ids(2..3)), Ok(ids(3..4)));
    assert_eq!(told(&client).await, [one, Err(1), two, three], "this query saw both stores");
    let other = query(address, true).await;
    let mut late = watch(&other.client, from(&old_token)).await;
    assert_eq!(next(&mut late).await.0, Ok(Vec::new()), "it is live");
    assert!(matches!(next(&mut late).await.0, Err(1..)), "another query knows nothing of the first store");
    second.append([row(4)]).await;
    assert_eq!(rows(&mut late, 1).await.0, ["scan-00004"]);
}

/// The first message says that the feed is live: what is stored after it must come.
#[tokio::test]
async fn a_watch_that_began_before_the_store_was_there_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let Query { client, .. } = query(free, false).await;
    let mut watcher = watch(&client, from_now()).await;
    let store = store(folder.path(), Some(free)).await;
    assert_eq!(next(&mut watcher).await.0, Ok(Vec::new()));
    store.append([row(1)]).await;
    assert_eq!(rows(&mut watcher, 1).await.0, ["scan-00001"]);
}

#[tokio::test]
async fn a_watch_without_a_store_says_so() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let Query { client, .. } = query(free, false).await;
    let mut watcher = watch(&client, from_now()).await;
    let end = timeout(LIMIT, watcher.message()).await.expect("an answer in time").unwrap_err();
    assert!(end.code() == Code::Unavailable && end.message().contains(&free.to_string()), "{end}");
}

#[tokio::test]
async fn a_token_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    let Query { client, .. } = query(store.address, true).await;
    for token in ["nonsense", "0011"] {
        let odd = client.clone().watch(from(token)).await.unwrap_err();
        assert!(odd.code() == Code::InvalidArgument && odd.message().contains("resume_token"), "{odd}");
    }
}

/// Two stores that share a database, but for what only the feeds are about: here each has its own.
#[tokio::test]
async fn the_feeds_of_all_stores_are_watched_and_a_dead_one_holds_nobody_up() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (one, two) = (store(folders[0].path(), None).await, store(folders[1].path(), None).await);
    let addresses = [one.address, two.address];
    let Query { client, .. } = query_of(&addresses, true).await;
    let mut watcher = watch(&client, from_now()).await;
    let (_, begun) = next(&mut watcher).await;
    for n in 0..20 {
        if n % 2 == 0 { one.append([row(n)]).await } else { two.append([row(n)]).await }
    }
    let (found, token) = rows(&mut watcher, 20).await;
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), ids(0..20).into_iter().collect());
    // A query that saw nothing of it reads the feeds of both, in another order.
    let other = query_of(&[addresses[1], addresses[0]], true).await;
    let mut elsewhere = watch(&other.client, from(&begun)).await;
    let found: BTreeSet<_> = rows(&mut elsewhere, 20).await.0.into_iter().collect();
    assert_eq!(found, ids(0..20).into_iter().collect());
    one.stop().await;
    two.append([row(20)]).await;
    assert_eq!(rows(&mut watcher, 1).await.0, ["scan-00020"]);
    let scan = GetScanRequest { scan_id: "scan-00020".into(), ..Default::default() };
    let found = timeout(LIMIT, client.clone().get_scan(scan)).await.expect("an answer").unwrap();
    assert_eq!(read(&found.into_inner().row.unwrap()).scan_id, "scan-00020", "the other one is asked");
    let mut back = watch(&client, from(&token)).await;
    assert_eq!(rows(&mut back, 1).await.0, ["scan-00020"], "this query knows what the dead one had told");
    let late = query_of(&addresses, true).await;
    let mut back = watch(&late.client, from(&token)).await;
    assert_eq!(next(&mut back).await.0, Ok(Vec::new()), "it is live");
    assert_eq!(next(&mut back).await.0, Err(1), "this one cannot know whether the dead one told all");
    assert_eq!(rows(&mut back, 1).await.0, ["scan-00020"]);
}

#[tokio::test]
async fn watchers_end_with_the_drain() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    let Query { client, life, .. } = query(store.address, true).await;
    let mut watcher = watch(&client, from_now()).await;
    assert_eq!(next(&mut watcher).await.0, Ok(Vec::new()));
    life.drain.cancel();
    life.tasks.close();
    timeout(LIMIT, life.tasks.wait()).await.expect("the query ends");
    assert!(watcher.message().await.unwrap().is_none());
}
