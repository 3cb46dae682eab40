//! Questions about stored decisions, to a real query and a real store.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{LIMIT, Query, at, query, read, row, store};
use ovomesh_api::pb::query::v1::query_service_client::QueryServiceClient;
use ovomesh_api::pb::query::v1::{Filter, GetEggRequest, GetScanRequest, ListLinesRequest, ListScansRequest};
use ovomesh_api::pb::scan::v1::{Call, Place, Purpose, Row};
use ovomesh_api::time;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// All of line 1 from second `from` to second `to`.
fn line(from: i64, to: i64) -> ListScansRequest {
    ListScansRequest {
        site: "north".into(),
        line: "1".into(),
        from: Some(time::to_pb(at(from))),
        to: Some(time::to_pb(at(to))),
        ..Default::default()
    }
}

/// Scan ids of all pages, and how many pages there were.
async fn pages(
    client: &mut QueryServiceClient<Channel>,
    mut request: ListScansRequest,
) -> (Vec<String>, usize) {
    let (mut ids, mut pages) = (Vec::new(), 0);
    loop {
        let page = client.list_scans(request.clone()).await.unwrap().into_inner();
        pages += 1;
        assert!(pages < 10_000, "the pages come to an end");
        assert!(request.page_size == 0 || page.rows.len() <= request.page_size as usize);
        let rows: Vec<_> = page.rows.iter().map(read).collect();
        assert!(rows.iter().all(|row| row.preview.is_none()), "lists carry no pictures");
        ids.extend(rows.into_iter().map(|row| row.scan_id));
        if page.next_page_token.is_empty() {
            return (ids, pages);
        }
        request.page_token = page.next_page_token;
    }
}

fn ids(wanted: impl Iterator<Item = i64>) -> Vec<String> {
    wanted.map(|n| row(n).scan_id).collect()
}

/// Whatever the scanner names its eggs, all of them can be read.
#[tokio::test]
async fn an_egg_of_many_scans_is_read_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    for thousand in [0..1_000, 1_000..2_000, 2_000..2_500] {
        store.append(thousand.map(|n| Row { egg_id: "constant".into(), ..row(n) })).await;
    }
    let Query { mut client, .. } = query(store.address, true).await;
    let mut page = async |page_size: u32, page_token: &str| {
        let (egg_id, page_token) = ("constant".into(), page_token.into());
        let ask = GetEggRequest { egg_id, page_size, page_token, ..Default::default() };
        client.get_egg(ask).await.map(tonic::Response::into_inner)
    };
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let answer = page(0, &token).await.unwrap();
        pages.push(answer.rows.iter().map(|row| read(row).scan_id).collect::<Vec<_>>());
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 500]);
    let all: Vec<_> = (0..2_500).rev().map(|n| row(n).scan_id).collect();
    assert_eq!(pages.concat(), all);
    let two = page(2, "").await.unwrap();
    assert_eq!(two.rows.len(), 2);
    assert!(page(1_001, "").await.unwrap_err().message().contains("1 to 1000"));
    assert!(page(2, "zz").await.unwrap_err().message().starts_with("page_token is zz"));
    let ask = GetEggRequest { egg_id: "other".into(), page_token: two.next_page_token, ..Default::default() };
    let error = client.get_egg(ask).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("of a page of egg other"), "{error}");
}

#[tokio::test]
async fn an_egg_and_a_scan_are_found_and_a_scan_has_its_picture() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    store.append((0..10).map(row)).await;
    let Query { mut client, .. } = query(store.address, true).await;
    let egg = client
        .get_egg(GetEggRequest { egg_id: "egg-3".into(), ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        egg.rows.iter().map(|row| read(row).scan_id).collect::<Vec<_>>(),
        ["scan-00007", "scan-00006"]
    );
    let scan = client
        .get_scan(GetScanRequest { scan_id: "scan-00007".into(), ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let found = scan.row.unwrap();
    let found = read(&found);
    assert_eq!(found.preview, row(7).preview);
    assert!(found.stored_at.is_some());
    for status in [
        client.get_egg(GetEggRequest { egg_id: "nobody".into(), ..Default::default() }).await.unwrap_err(),
        client.get_scan(GetScanRequest { scan_id: "nobody".into(), ..Default::default() }).await.unwrap_err(),
    ] {
        assert!(status.code() == Code::NotFound && status.message().contains("nobody"), "{status}");
    }
}

#[tokio::test]
async fn pages_hold_every_row_once_whatever_their_size_and_filter() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    store.append((0..500).map(row)).await;
    let Query { mut client, .. } = query(store.address, true).await;
    for page_size in [0, 7, 100, 1_000] {
        let found = pages(&mut client, ListScansRequest { page_size, ..line(0, 10_000) }).await.0;
        assert_eq!(found, ids(0..500), "in pages of {page_size}");
    }
    assert_eq!(pages(&mut client, line(10, 20)).await.0, ids(10..20), "`to` is exclusive");
    let filtered = |filter| ListScansRequest { filter: Some(filter), page_size: 20, ..line(0, 10_000) };
    let male = filtered(Filter { calls: vec![Call::Male.into()], ..Default::default() });
    assert_eq!(pages(&mut client, male).await.0, ids((0..500).filter(|n| n % 2 == 1)));
    let tests = filtered(Filter { purposes: vec![Purpose::Test.into()], ..Default::default() });
    assert_eq!(pages(&mut client, tests).await.0, ids((0..500).filter(|n| n % 10 == 0)));
    let tray = filtered(Filter { tray_run: "tray-9".into(), ..Default::default() });
    assert_eq!(pages(&mut client, tray).await.0, ids(450..500));
    let nothing = filtered(Filter { batch_id: "none".into(), ..Default::default() });
    let (found, count) = pages(&mut client, nothing).await;
    assert!(
        found.is_empty() && count > 1,
        "a narrow filter hands over short pages rather than read for ever"
    );
}

#[tokio::test]
async fn without_times_a_list_is_of_the_last_hour() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    let now = jiff::Timestamp::now();
    let mut rows = [row(1), row(2), row(3)];
    for (row, minutes) in rows.iter_mut().zip([-90, -30, 30]) {
        row.acquired_at = Some(time::to_pb(now + jiff::SignedDuration::from_mins(minutes)));
    }
    store.append(rows).await;
    let Query { mut client, .. } = query(store.address, true).await;
    let request = ListScansRequest { from: None, to: None, ..line(0, 0) };
    assert_eq!(pages(&mut client, request).await.0, ids(2..3));
}

#[tokio::test]
async fn a_question_that_is_wrong_is_told_which_field() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    store.append([row(1)]).await;
    let Query { mut client, .. } = query(store.address, true).await;
    type Change = fn(&mut ListScansRequest);
    let table: [(&str, Change); 7] = [
        ("site is missing", |r| r.site.clear()),
        ("line holds a character", |r| r.line = "a line".into()),
        ("page_size is 1001; it must be 1 to 1000", |r| r.page_size = 1_001),
        ("from is 2026", |r| r.to = Some(time::to_pb(at(-1)))),
        ("from is 0.-5", |r| r.from = Some(prost_types::Timestamp { seconds: 0, nanos: -5 })),
        ("page_token is nonsense", |r| r.page_token = "nonsense".into()),
        ("filter.calls is 9", |r| r.filter = Some(Filter { calls: vec![9], ..Default::default() })),
    ];
    let wrong = |status: Status, text: &str| {
        assert!(
            status.code() == Code::InvalidArgument && status.message().contains(text),
            "{text}: {status}"
        );
    };
    for (text, change) in table {
        let mut request = line(0, 10);
        change(&mut request);
        wrong(client.list_scans(request).await.unwrap_err(), text);
    }
    wrong(
        client.get_egg(GetEggRequest { egg_id: String::new(), ..Default::default() }).await.unwrap_err(),
        "egg_id is missing",
    );
    let long = "x".repeat(10_000);
    wrong(
        client.get_scan(GetScanRequest { scan_id: long, ..Default::default() }).await.unwrap_err(),
        "scan_id has 10,000 bytes",
    );
}

#[tokio::test]
async fn a_store_that_is_away_is_named_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path(), None).await;
    let address = first.address;
    first.append([row(1)]).await;
    let Query { mut client, .. } = query(address, true).await;
    first.stop().await;
    let ask = || GetScanRequest { scan_id: "scan-00001".into(), ..Default::default() };
    let away =
        tokio::time::timeout(LIMIT, client.get_scan(ask())).await.expect("an error in time").unwrap_err();
    assert_eq!(away.code(), Code::Unavailable);
    assert!(away.message().contains(&address.to_string()), "{away}");
    let _second = store(folder.path(), Some(address)).await;
    let found = tokio::time::timeout(LIMIT, async {
        while client.get_scan(ask()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    found.await.expect("it is found again");
}

#[tokio::test]
async fn the_lines_that_have_scans_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    let places = [("south", "1"), ("north", "line-2"), ("north", "line-10")];
    store
        .append((0..).zip(places).map(|(n, (site, line))| {
            let place = Place { site: site.into(), line: line.into(), ..Default::default() };
            Row { place: Some(place), ..row(n) }
        }))
        .await;
    let Query { mut client, .. } = query(store.address, true).await;
    let mut lines = async |site: &str| {
        let asked = client.list_lines(ListLinesRequest { site: site.into() }).await;
        asked.map(|answer| {
            let found = answer.into_inner();
            assert!(!found.more);
            found.lines.into_iter().map(|line| format!("{}/{}", line.site, line.line)).collect::<Vec<_>>()
        })
    };
    assert_eq!(lines("").await.unwrap(), ["north/line-10", "north/line-2", "south/1"]);
    assert_eq!(lines("north").await.unwrap(), ["north/line-10", "north/line-2"]);
    assert_eq!(lines("west").await.unwrap(), [""; 0]);
    let wrong = lines("no site").await.unwrap_err();
    assert!(wrong.code() == Code::InvalidArgument && wrong.message().starts_with("site "), "{wrong:?}");
}

#[tokio::test]
async fn a_question_about_what_two_sites_have_must_name_the_site() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), None).await;
    let of = |site: &str| {
        let mut row = row(7);
        row.place.as_mut().unwrap().site = site.into();
        row
    };
    store.append([of("north"), of("south")]).await;
    let Query { mut client, .. } = query(store.address, true).await;
    let mut scan = async |site: &str| {
        let ask = GetScanRequest { scan_id: of("").scan_id, site: site.into() };
        client.get_scan(ask).await.map(|answer| vec![answer.into_inner().row.unwrap()])
    };
    let of_scan = [scan("south").await, scan("").await, scan("west").await, scan("a site").await];
    let mut egg = async |site: &str| {
        let ask = GetEggRequest { egg_id: of("").egg_id, site: site.into(), ..Default::default() };
        client.get_egg(ask).await.map(|answer| answer.into_inner().rows)
    };
    let of_egg = [egg("south").await, egg("").await, egg("west").await, egg("a site").await];
    for [named, ambiguous, elsewhere, wrong] in [of_scan, of_egg] {
        let named = named.unwrap();
        assert!(named.len() == 1 && read(&named[0]).place.unwrap().site == "south", "{named:?}");
        let ambiguous = ambiguous.unwrap_err();
        assert_eq!(ambiguous.code(), Code::FailedPrecondition);
        assert!(ambiguous.message().contains("is known at more than one site: north, south;"), "{ambiguous}");
        let elsewhere = elsewhere.unwrap_err();
        assert!(
            elsewhere.code() == Code::NotFound && elsewhere.message().contains("of site west"),
            "{elsewhere}"
        );
        let wrong = wrong.unwrap_err();
        assert!(
            wrong.code() == Code::InvalidArgument && wrong.message().starts_with("site holds"),
            "{wrong}"
        );
    }
}
