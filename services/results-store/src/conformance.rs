//! What every store must pass: run by the tests of each.

use jiff::{Timestamp, ToSpan as _};
use ovomesh_api::pb::scan::v1::{Place, Preview, Row, Verdict};
use ovomesh_api::{EggId, Line, ScanId, Site, time};

use crate::{LineRange, Record, Store};

/// A row of site `s` and line `l`, `second` seconds after 2026 began.
pub fn row(scan_id: &str, egg_id: &str, second: i64) -> Row {
    Row {
        scan_id: scan_id.into(),
        egg_id: egg_id.into(),
        place: Some(Place { site: "s".into(), line: "l".into(), ..Default::default() }),
        acquired_at: Some(time::to_pb(at(second))),
        verdict: Some(Verdict { scan_id: scan_id.into(), ..Default::default() }),
        ..Default::default()
    }
}

/// `second` seconds after 2026 began.
pub fn at(second: i64) -> Timestamp {
    Timestamp::constant(1_767_225_600, 0) + second.seconds()
}

/// Stores rows.
pub async fn append<S: Store>(store: &S, rows: impl IntoIterator<Item = Row>) {
    let now = Timestamp::now();
    let records = rows.into_iter().map(|row| Record::parse(row, now).expect("a valid row")).collect();
    store.append(records).await.expect("rows are stored");
}

/// Scan ids of line `l` from `from` to `to`, read in pages of `limit`.
pub async fn line<S: Store>(store: &S, from: i64, to: i64, limit: usize) -> Vec<String> {
    let (site, line) = (Site::parse("s").expect("a site"), Line::parse("l").expect("a line"));
    let mut range = LineRange { site, line, from: at(from), to: at(to), limit, token: Vec::new() };
    let mut ids = Vec::new();
    loop {
        let page = store.list_line(range.clone()).await.expect("a page");
        assert!(page.rows.len() <= limit && page.rows.iter().all(|row| row.preview.is_none()));
        ids.extend(page.rows.into_iter().map(|row| row.scan_id));
        if page.next.is_empty() {
            return ids;
        }
        range.token = page.next;
    }
}

/// All that a store must do. `store` is empty.
pub async fn check<S: Store>(store: &S) {
    a_row_is_found_by_every_key(store).await;
    a_repeat_changes_nothing_and_a_later_write_stands(store).await;
    pages_are_whole_and_in_order(store).await;
}

async fn a_row_is_found_by_every_key<S: Store>(store: &S) {
    let preview = Preview { columns: 2, rows: 1, pixels: vec![0x1f].into(), ..Default::default() };
    let with_preview = Row { preview: Some(preview.clone()), ..row("first", "egg", 5) };
    append(store, [with_preview, row("nameless", "", 6), row("second", "egg", 7)]).await;
    let first = store.get_scan(id("first")).await.expect("read").expect("there");
    assert_eq!(first.preview, Some(preview), "the picture comes with the scan alone");
    assert!(first.stored_at.is_some());
    let rows = store.list_egg(egg("egg"), 10).await.expect("read");
    assert_eq!(
        rows.iter().map(|r| r.scan_id.as_str()).collect::<Vec<_>>(),
        ["second", "first"],
        "newest first"
    );
    assert_eq!(store.list_egg(egg("egg"), 1).await.expect("read").len(), 1);
    assert!(
        store.list_egg(egg("eg"), 10).await.expect("read").is_empty(),
        "a prefix of a name is another name"
    );
    assert!(store.get_scan(id("unknown")).await.expect("read").is_none());
    assert_eq!(line(store, 0, 100, 10).await, ["first", "nameless", "second"]);
    assert_eq!(line(store, 6, 7, 10).await, ["nameless"], "from is inclusive, to is not");
}

async fn a_repeat_changes_nothing_and_a_later_write_stands<S: Store>(store: &S) {
    append(store, [row("first", "egg", 5), row("first", "egg", 5)]).await;
    assert_eq!(line(store, 0, 100, 10).await.len(), 3);
    assert!(
        store.get_scan(id("first")).await.expect("read").expect("there").preview.is_some(),
        "it keeps its picture"
    );
    append(store, [row("first", "other-egg", 50)]).await;
    assert_eq!(line(store, 0, 100, 10).await, ["nameless", "second", "first"]);
    assert_eq!(store.list_egg(egg("egg"), 10).await.expect("read").len(), 1, "it left its old egg");
    assert_eq!(store.list_egg(egg("other-egg"), 10).await.expect("read").len(), 1);
}

async fn pages_are_whole_and_in_order<S: Store>(store: &S) {
    // Many of the same second, so that pages end between equal times.
    let rows: Vec<_> = (0..97).map(|n| row(&format!("p{n:03}"), "", 1_000 + n / 10)).collect();
    let ids: Vec<_> = rows.iter().map(|row| row.scan_id.clone()).collect();
    append(store, rows.into_iter().rev()).await;
    for limit in [1, 2, 7, 97, 1_000] {
        assert_eq!(line(store, 1_000, 2_000, limit).await, ids, "in pages of {limit}");
    }
}

fn id(text: &str) -> ScanId {
    ScanId::parse(text).expect("a scan id")
}

fn egg(text: &str) -> EggId {
    EggId::parse(text).expect("an egg id")
}
