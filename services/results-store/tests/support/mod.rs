//! Rows, and how to read them back.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod cassandra;
pub mod conformance;
pub mod late;
pub mod load;
pub mod old;
pub mod old_cql;

use bytes::Bytes;
use jiff::{Timestamp, ToSpan as _};
use ovomesh_api::pb::scan::v1::{Call, Place, Preview, Purpose, Row, Verdict};
use ovomesh_api::{EggId, Invalid, LineId, ScanId, Site, time};
use ovomesh_results_store::{EggRange, LineRange, Outcome, Record, Store, StoreError};
use prost::Message as _;

/// `second` seconds after 2026 began.
pub fn at(second: i64) -> Timestamp {
    Timestamp::constant(1_767_225_600, 0) + second.seconds()
}

/// A row of site `s` and line `l` at this second.
pub fn row(scan_id: &str, egg_id: &str, second: i64) -> Row {
    Row {
        scan_id: scan_id.into(),
        egg_id: egg_id.into(),
        place: Some(Place { site: "s".into(), line: "l".into(), ..Default::default() }),
        purpose: Purpose::Production.into(),
        acquired_at: Some(time::to_pb(at(second))),
        received_at: Some(time::to_pb(at(second))),
        verdict: Some(Verdict {
            scan_id: scan_id.into(),
            call: Call::Undecided.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The same row with a picture of one pixel.
pub fn with_picture(row: Row, pixel: u8) -> Row {
    Row { preview: Some(picture(pixel)), ..row }
}

pub fn picture(pixel: u8) -> Preview {
    Preview { columns: 1, rows: 1, pixels: vec![pixel << 4].into(), ..Default::default() }
}

pub fn record(row: Row) -> Record {
    Record::parse(row, Timestamp::now()).expect("a valid row")
}

/// Stores rows in one batch.
pub async fn append<S: Store>(store: &S, rows: impl IntoIterator<Item = Row>) {
    let outcomes = outcomes(store, rows).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Written), "{outcomes:?}");
}

/// What becomes of rows in one batch.
pub async fn outcomes<S: Store>(store: &S, rows: impl IntoIterator<Item = Row>) -> Vec<Outcome> {
    let records: Vec<_> = rows.into_iter().map(record).collect();
    let begun = std::time::Instant::now();
    loop {
        match store.append(records.clone()).await {
            // A database on a busy machine may be late; gateways send rows again, too.
            Err(StoreError::Unavailable { .. }) if begun.elapsed() < cassandra::LIMIT => {}
            outcomes => return outcomes.expect("the store works"),
        }
    }
}

pub async fn get<S: Store>(store: &S, scan_id: &str) -> Option<Row> {
    get_of(store, scan_id, None).await.unwrap()
}

/// The scan of a site.
pub async fn get_of<S: Store>(
    store: &S,
    scan_id: &str,
    site: Option<&str>,
) -> Result<Option<Row>, StoreError> {
    let site = site.map(|site| Site::parse(site).unwrap());
    let found = store.get_scan(ScanId::parse(scan_id).unwrap(), site).await?;
    Ok(found.map(read))
}

/// The egg of a site.
pub async fn egg_of<S: Store>(
    store: &S,
    egg_id: &str,
    site: Option<&str>,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    Ok(store
        .list_egg(egg_range(egg_id, site, limit, &[]).unwrap())
        .await?
        .rows
        .into_iter()
        .map(read)
        .collect())
}

/// A page of an egg, behind the one that gave this token.
pub fn egg_range(egg_id: &str, site: Option<&str>, limit: usize, token: &[u8]) -> Result<EggRange, Invalid> {
    let site = site.map(|site| Site::parse(site).unwrap());
    EggRange::new(EggId::parse(egg_id).unwrap(), site, limit, token)
}

/// Scan ids of an egg, page by page; each page but the last is full.
pub async fn egg_pages<S: Store>(store: &S, egg_id: &str, site: Option<&str>, limit: usize) -> Vec<String> {
    let (mut ids, mut token) = (Vec::new(), Vec::new());
    loop {
        let page = store.list_egg(egg_range(egg_id, site, limit, &token).unwrap()).await.unwrap();
        assert!(page.rows.len() == limit || page.next.is_empty(), "{} rows of {limit}", page.rows.len());
        ids.extend(page.rows.into_iter().map(|row| read(row).scan_id));
        if page.next.is_empty() {
            return ids;
        }
        token = page.next;
    }
}

/// Scan ids of an egg.
pub async fn egg<S: Store>(store: &S, egg_id: &str, limit: usize) -> Vec<String> {
    let rows = egg_of(store, egg_id, None, limit).await.unwrap();
    assert!(rows.iter().all(|row| row.preview.is_none()), "lists have no pictures");
    rows.into_iter().map(|row| row.scan_id).collect()
}

/// A row as the store gives it.
pub fn read(encoded: Bytes) -> Row {
    Row::decode(encoded).expect("a row")
}

pub fn line(site: &str, line: &str) -> LineId {
    LineId::parse(site, line).unwrap()
}

/// Line `l` from `from` to `to`.
pub fn range(from: i64, to: i64, limit: usize) -> LineRange {
    LineRange { line: line("s", "l"), from: at(from), to: at(to), limit, token: Vec::new() }
}

/// Scan ids of a range, read page by page.
pub async fn pages<S: Store>(store: &S, mut range: LineRange) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = store.list_line(range.clone()).await.expect("a page");
        let rows: Vec<_> = page.rows.into_iter().map(read).collect();
        assert!(rows.iter().all(|row| row.preview.is_none()), "lists have no pictures");
        let more = !page.next.is_empty();
        assert!(rows.len() == range.limit || (rows.len() < range.limit && !more), "pages are full");
        ids.extend(rows.into_iter().map(|row| row.scan_id));
        if !more {
            return ids;
        }
        range.token = page.next;
    }
}

/// Scan ids of line `l` within a million seconds.
pub async fn all<S: Store>(store: &S) -> Vec<String> {
    pages(store, range(0, 1_000_000, 1_000)).await
}

/// Scan ids of line `l` of a site, at any time.
pub async fn all_of<S: Store>(store: &S, site: &str) -> Vec<String> {
    let (from, to) = (Timestamp::MIN, Timestamp::MAX);
    pages(store, LineRange { line: line(site, "l"), from, to, ..range(0, 0, 1_000) }).await
}
