//! What every store must pass: run by the tests of each.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use ovomesh_api::pb::scan::v1::{Place, Preview, RejectCode, Row};
use ovomesh_api::{LineId, Site, time};
use ovomesh_results_store::{LineRange, Outcome, Store, StoreError};
use proptest::prelude::*;

use super::{
    all, append, at, egg, egg_of, egg_pages, egg_range, get, get_of, line, outcomes, pages, picture, range,
    row, with_picture,
};

/// All that a store must do. `store` is empty.
pub async fn check<S: Store>(store: &S) {
    a_row_is_found_by_every_key(store).await;
    a_repeat_changes_nothing(store).await;
    a_later_write_stands_and_leaves_nothing_of_the_first(store).await;
    the_last_of_a_batch_stands_with_its_own_picture_or_none(store).await;
    a_token_of_another_line_is_refused(store).await;
    lists_go_over_hours_and_late_rows_are_where_they_belong(store).await;
    rows_of_one_moment_are_in_order_of_their_scans_to_the_nanosecond(store).await;
    the_lines_that_have_rows_are_known(store).await;
    an_egg_s_history_is_bounded_and_the_newest_of_it_come(store).await;
    an_egg_is_read_page_by_page_over_hours_and_years(store).await;
    a_token_of_another_egg_or_site_is_refused(store).await;
    the_largest_row_is_stored(store).await;
    sites_that_number_alike_keep_their_scans_apart(store).await;
    sites_that_name_eggs_alike_keep_them_apart(store).await;
    a_question_that_names_no_site_names_those_there_are(store).await;
    a_settled_row_stands_and_what_differs_is_refused(store).await;
    a_row_of_another_owner_is_refused(store).await;
}

async fn a_row_is_found_by_every_key<S: Store>(store: &S) {
    let first = with_picture(row("first", "egg", 5), 1);
    append(store, [first.clone(), row("nameless", "", 6), row("second", "egg", 7)]).await;
    let found = get(store, "first").await.expect("it is there");
    assert!(found.stored_at.is_some());
    assert_eq!(Row { stored_at: None, ..found }, first, "the row comes back whole, its picture included");
    assert_eq!(get(store, "unknown").await, None);
    assert_eq!(egg(store, "egg", 10).await, ["second", "first"], "newest first");
    assert_eq!(egg(store, "egg", 1).await, ["second"]);
    assert!(egg(store, "eg", 10).await.is_empty(), "a prefix of a name is another name");
    assert_eq!(all(store).await, ["first", "nameless", "second"]);
    assert_eq!(pages(store, range(6, 7, 10)).await, ["nameless"], "from is inclusive, to is not");
    assert!(pages(store, range(7, 7, 10)).await.is_empty());
    assert!(pages(store, range(7, 6, 10)).await.is_empty());
}

async fn a_repeat_changes_nothing<S: Store>(store: &S) {
    append(store, [row("first", "egg", 5), row("first", "egg", 5)]).await;
    append(store, [row("first", "egg", 5)]).await;
    assert_eq!(all(store).await, ["first", "nameless", "second"]);
    assert_eq!(egg(store, "egg", 10).await, ["second", "first"]);
    let preview = get(store, "first").await.and_then(|row| row.preview);
    assert_eq!(preview, Some(picture(1)), "a row without a picture leaves the one that is there");
}

async fn a_later_write_stands_and_leaves_nothing_of_the_first<S: Store>(store: &S) {
    append(store, [row("first", "egg", 50)]).await;
    assert_eq!(all(store).await, ["nameless", "second", "first"], "another time");
    assert_eq!(egg(store, "egg", 10).await, ["first", "second"]);
    append(store, [row("first", "other", 50)]).await;
    assert_eq!(egg(store, "egg", 10).await, ["second"], "another egg at the same time");
    assert_eq!(egg(store, "other", 10).await, ["first"]);
    let place = Place { site: "s".into(), line: "m".into(), ..Default::default() };
    append(store, [Row { place: Some(place), ..row("first", "", 50) }]).await;
    assert_eq!(all(store).await, ["nameless", "second"], "another line, and no egg");
    assert!(egg(store, "other", 10).await.is_empty());
    assert_eq!(get(store, "first").await.map(|row| row.egg_id), Some(String::new()));
}

async fn the_last_of_a_batch_stands_with_its_own_picture_or_none<S: Store>(store: &S) {
    let batch = [with_picture(row("twice", "one", 80), 2), row("twice", "two", 81)];
    append(store, batch).await;
    assert_eq!(all(store).await, ["nameless", "second", "twice"]);
    assert!(egg(store, "one", 10).await.is_empty());
    assert_eq!(egg(store, "two", 10).await, ["twice"]);
    assert_eq!(get(store, "twice").await.and_then(|row| row.preview), None, "it was another egg's");
    append(store, [with_picture(row("twice", "two", 81), 3)]).await;
    append(store, [row("twice", "two", 81)]).await;
    assert_eq!(get(store, "twice").await.and_then(|row| row.preview), Some(picture(3)), "the same row");
    append(store, [row("twice", "two", 82)]).await;
    assert_eq!(get(store, "twice").await.and_then(|row| row.preview), None, "one after the other too");
}

async fn a_token_of_another_line_is_refused<S: Store>(store: &S) {
    let first = store.list_line(range(0, 1_000, 1)).await.expect("a page");
    assert!(!first.next.is_empty());
    let other = LineRange { line: line("s", "ll"), token: first.next, ..range(0, 1_000, 1) };
    for token in [other.token.clone(), b"nonsense".to_vec()] {
        let error = store.list_line(LineRange { token, ..other.clone() }).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid(invalid) if invalid.field == "token"), "{error}");
    }
}

/// Line `l` of a site of its own, over all times.
fn line_of(site: &str, limit: usize) -> LineRange {
    let (from, to) = (Timestamp::MIN, Timestamp::MAX);
    LineRange { line: line(site, "l"), from, to, ..range(0, 0, limit) }
}

fn at_site(site: &str, row: Row) -> Row {
    Row { place: Some(Place { site: site.into(), line: "l".into(), ..Default::default() }), ..row }
}

async fn lists_go_over_hours_and_late_rows_are_where_they_belong<S: Store>(store: &S) {
    const HOUR: i64 = 3_600;
    // The last second of an hour, the first of the next, hours without rows, another year, and a clock at 1970.
    let seconds = [HOUR - 1, HOUR, HOUR + 1, 5 * HOUR, 400 * 24 * HOUR, -56 * 365 * 24 * HOUR];
    let rows = seconds.map(|second| at_site("hours", row(&format!("at{second}"), "hourly", second)));
    append(store, rows).await;
    let mut sorted = seconds;
    sorted.sort_unstable();
    let ids = |seconds: &[i64]| seconds.iter().map(|second| format!("at{second}")).collect::<Vec<_>>();
    for limit in 1..=8 {
        assert_eq!(pages(store, line_of("hours", limit)).await, ids(&sorted), "in pages of {limit}");
    }
    let some = LineRange { from: at(HOUR - 1), to: at(HOUR + 1), ..line_of("hours", 10) };
    assert_eq!(pages(store, some).await, ids(&[HOUR - 1, HOUR]));
    // A scan that was spooled for a while comes after others were listed.
    append(store, [at_site("hours", row("late", "hourly", 2 * HOUR))]).await;
    let all = pages(store, line_of("hours", 2)).await;
    assert_eq!(all.iter().position(|id| id == "late"), Some(4), "{all:?}");
    assert_eq!(
        egg(store, "hourly", 3).await,
        [ids(&[400 * 24 * HOUR, 5 * HOUR]), vec!["late".into()]].concat()
    );
}

async fn rows_of_one_moment_are_in_order_of_their_scans_to_the_nanosecond<S: Store>(store: &S) {
    let nanos = [("d", 0), ("a", 1_000_001), ("b", 1_000_000), ("c", 1_000_000), ("e", 999_999_999)];
    let rows = nanos.map(|(id, nanos)| {
        let mut row = at_site("nanos", row(&format!("nano-{id}"), "quick", 7));
        row.acquired_at.as_mut().unwrap().nanos = nanos;
        row
    });
    append(store, rows).await;
    let expected = ["nano-d", "nano-b", "nano-c", "nano-a", "nano-e"];
    for limit in 1..=6 {
        assert_eq!(pages(store, line_of("nanos", limit)).await, expected, "in pages of {limit}");
    }
    let within = |from: i64, to: i64| LineRange {
        from: at(7) + from.nanoseconds(),
        to: at(7) + to.nanoseconds(),
        ..line_of("nanos", 10)
    };
    assert_eq!(pages(store, within(1_000_000, 1_000_001)).await, ["nano-b", "nano-c"]);
    assert_eq!(pages(store, within(1, 1_000_000)).await, [""; 0]);
    assert_eq!(egg(store, "quick", 10).await, ["nano-e", "nano-a", "nano-b", "nano-c", "nano-d"]);
}

async fn the_lines_that_have_rows_are_known<S: Store>(store: &S) {
    // A name that is the beginning of another, many rows of one line, and neighbours in every order.
    let names = [("many", "b"), ("many", "a"), ("many", "a-1"), ("many-1", "a"), ("man", "z")];
    for (n, (site, line)) in (0..).zip(names) {
        let place = Place { site: site.into(), line: line.into(), ..Default::default() };
        let at = |second: i64| Row {
            place: Some(place.clone()),
            ..row(&format!("lines-{n}-{second}"), "", second * 3_600)
        };
        append(store, (0..20).map(at)).await;
    }
    let of = async |site: Option<&str>, limit| {
        let site = site.map(|site| Site::parse(site).unwrap());
        let found = store.list_lines(site, limit).await.expect("lines");
        (found.lines.iter().map(LineId::to_string).collect::<Vec<_>>(), found.more)
    };
    let expected = (["many/a", "many/a-1", "many/b"].map(str::to_owned).to_vec(), false);
    assert_eq!(of(Some("many"), 10).await, expected);
    assert_eq!(of(Some("many"), 3).await, expected, "no more than these");
    let (two, more) = of(Some("many"), 2).await;
    assert!(two.len() == 2 && more, "there is a third");
    assert_eq!(of(Some("nowhere"), 10).await, (Vec::new(), false));
    let (all, more) = of(None, 1_000).await;
    let in_order = all
        .is_sorted_by_key(|name| name.split_once('/').map(|(site, line)| (site.to_owned(), line.to_owned())));
    assert!(!more && in_order, "{all:?}");
    for (site, line) in names.into_iter().chain([("s", "l"), ("s", "m")]) {
        let name = format!("{site}/{line}");
        assert_eq!(all.iter().filter(|known| **known == name).count(), 1, "{name} in {all:?}");
    }
}

async fn an_egg_s_history_is_bounded_and_the_newest_of_it_come<S: Store>(store: &S) {
    append(store, (0..120).map(|n| row(&format!("often-{n:03}"), "often", 1_000 + n))).await;
    // Half of them were another egg's after all.
    append(store, (0..120).filter(|n| n % 2 == 0).map(|n| row(&format!("often-{n:03}"), "else", 1_000 + n)))
        .await;
    let newest: Vec<_> = (0..120).rev().filter(|n| n % 2 == 1).map(|n| format!("often-{n:03}")).collect();
    for limit in [1, 7, 60, 1_000] {
        assert_eq!(egg(store, "often", limit).await, newest[..limit.min(60)]);
        assert_eq!(egg_pages(store, "often", None, limit).await, newest, "in pages of {limit}");
    }
    assert!(egg_pages(store, "nobody", None, 1).await.is_empty());
}

/// As a scanner with one PatientID for all eggs makes them: in hours far apart, several of one moment and of one
/// millisecond, before 1970 too, and one that was another egg's after all at each end of an hour.
async fn an_egg_is_read_page_by_page_over_hours_and_years<S: Store>(store: &S) {
    const HOUR: i64 = 3_600;
    const NANOS: [i32; 4] = [0, 1, 999_999, 1_000_000];
    let hours = [-56 * 365 * 24 * HOUR, -HOUR, 0, HOUR, 2 * HOUR, 400 * 24 * HOUR];
    let mut rows = Vec::new();
    for hour in hours {
        for (second, n) in [(0, 0), (0, 1), (1, 0), (1, 1), (HOUR - 1, 0), (HOUR - 1, 1)] {
            for nanos in NANOS {
                let mut row =
                    at_site("constant", row(&format!("{hour}-{second}-{nanos}-{n}"), "x", hour + second));
                row.acquired_at.as_mut().unwrap().nanos = nanos;
                rows.push(row);
            }
        }
    }
    append(store, rows.clone()).await;
    let is_others = |row: &Row| row.scan_id.ends_with("-0-0") || row.scan_id.ends_with("-1000000-1");
    let (others, mut rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_others);
    append(store, others.into_iter().map(|row| Row { egg_id: "not-x".into(), ..row })).await;
    rows.sort_by_key(|row| {
        let at = row.acquired_at.unwrap();
        (std::cmp::Reverse((at.seconds, at.nanos)), row.scan_id.clone())
    });
    let ids: Vec<_> = rows.into_iter().map(|row| row.scan_id).collect();
    for limit in [1, 2, 7, 8, ids.len() - 1, ids.len(), ids.len() + 1] {
        assert_eq!(egg_pages(store, "x", None, limit).await, ids, "in pages of {limit}");
    }
    assert_eq!(egg_pages(store, "x", Some("constant"), 50).await, ids);
}

async fn a_token_of_another_egg_or_site_is_refused<S: Store>(store: &S) {
    let first = store.list_egg(egg_range("x", None, 1, &[]).unwrap()).await.unwrap();
    let of_line = store.list_line(range(0, 1_000, 1)).await.unwrap().next;
    assert!(!first.next.is_empty() && !of_line.is_empty());
    let refused = |egg_id: &str, site, token: &[u8]| {
        let error = egg_range(egg_id, site, 1, token).unwrap_err();
        let names_it = error.limit.contains(&format!("egg {egg_id}"));
        assert!(error.field == "token" && names_it, "{error}");
    };
    refused("often", None, &first.next);
    refused("x", Some("north"), &first.next);
    refused("x", None, &of_line);
    refused("x", None, b"nonsense");
    refused("x", None, &first.next[..first.next.len() - 30]);
    // A token keeps to its site, whatever other sites have an egg of this name meanwhile.
    append(store, [at_site("elsewhere", row("newcomer", "x", 9_000))]).await;
    let second = store.list_egg(egg_range("x", None, 1, &first.next).unwrap()).await.unwrap();
    assert_eq!(second.rows.len(), 1);
    let error = store.list_egg(egg_range("x", None, 1, &[]).unwrap()).await.unwrap_err();
    assert!(matches!(error, StoreError::Ambiguous { .. }), "{error}");
}

/// Scans 1 to 3 of each site, with a picture and an egg `alike`.
async fn sites_that_number_alike_keep_their_scans_apart<S: Store>(store: &S) {
    let numbered = |site: &str, pixel: u8| {
        let row = |n: i64| at_site(site, with_picture(row(&n.to_string(), "alike", 2_000 + n), pixel));
        [row(1), row(2), row(3)]
    };
    // In one batch, and one after the other.
    append(store, numbered("north", 1).into_iter().chain(numbered("south", 2))).await;
    append(store, numbered("east", 3)).await;
    for (site, pixel) in [("north", 1), ("south", 2), ("east", 3)] {
        assert_eq!(pages(store, line_of(site, 10)).await, ["1", "2", "3"]);
        for expected in numbered(site, pixel) {
            let found = get_of(store, &expected.scan_id, Some(site)).await.unwrap();
            assert_eq!(found.map(|row| Row { stored_at: None, ..row }), Some(expected));
        }
    }
    assert_eq!(get_of(store, "1", Some("west")).await.unwrap(), None);
    // A repeat is of its own site.
    append(store, numbered("south", 2)).await;
    assert_eq!(pages(store, line_of("north", 10)).await, ["1", "2", "3"]);
    let picture_of_north = get_of(store, "2", Some("north")).await.unwrap().and_then(|row| row.preview);
    assert_eq!(picture_of_north, Some(picture(1)));
}

async fn sites_that_name_eggs_alike_keep_them_apart<S: Store>(store: &S) {
    for site in ["north", "south", "east"] {
        let rows = egg_of(store, "alike", Some(site), 10).await.unwrap();
        assert!(rows.iter().all(|row| row.place.as_ref().is_some_and(|place| place.site == site)));
        assert_eq!(rows.into_iter().map(|row| row.scan_id).collect::<Vec<_>>(), ["3", "2", "1"]);
    }
    assert_eq!(egg_of(store, "alike", Some("nort"), 10).await.unwrap(), []);
    // All of east's are another egg's after all: then it has no such egg.
    let other = (1..=3).map(|n| at_site("east", row(&n.to_string(), "unlike", 2_000 + n)));
    append(store, other).await;
    assert_eq!(egg_of(store, "alike", Some("east"), 10).await.unwrap(), []);
    assert_eq!(egg(store, "unlike", 10).await, ["3", "2", "1"]);
}

async fn a_question_that_names_no_site_names_those_there_are<S: Store>(store: &S) {
    let ambiguous = |error: StoreError, text: &str| {
        assert!(matches!(&error, StoreError::Ambiguous { .. }), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    ambiguous(
        get_of(store, "1", None).await.unwrap_err(),
        "scan 1 is known at more than one site: east, north, south;",
    );
    ambiguous(
        egg_of(store, "alike", None, 10).await.unwrap_err(),
        "egg alike is known at more than one site: north, south;",
    );
    // So many sites that not all can be named.
    append(store, (0..20).map(|n| at_site(&format!("site-{n:02}"), row("many", "of-many", 3_000)))).await;
    for told in [
        get_of(store, "many", None).await.unwrap_err().to_string(),
        egg_of(store, "of-many", None, 10).await.unwrap_err().to_string(),
    ] {
        assert!(told.contains("site-00, site-01,") && told.contains("site-07, ...;"), "{told}");
    }
    assert!(get_of(store, "many", Some("site-19")).await.unwrap().is_some());
}

async fn a_settled_row_stands_and_what_differs_is_refused<S: Store>(store: &S) {
    let refused = |outcomes: &[Outcome], what: &str| match outcomes {
        [Outcome::Refused(invalid)] => {
            assert_eq!((invalid.code, invalid.field), (RejectCode::IdReused, "scan_id"));
            assert!(invalid.message.contains(what) && invalid.message.contains("site daily"), "{invalid}");
        }
        other => panic!("{other:?}"),
    };
    let settled = |id: &str, egg_id: &str, second| {
        let row = with_picture(row(id, egg_id, second), 1);
        at_site("daily", Row { settled: true, volume_crc32c: 7, ..row })
    };
    // A scanner that counts from 1 again each day, with other eggs.
    const DAY: i64 = 86_400;
    let (monday, tuesday) = (settled("1", "monday", 0), settled("1", "tuesday", DAY));
    append(store, [monday.clone()]).await;
    for _ in 0..2 {
        refused(&outcomes(store, [tuesday.clone()]).await, "another egg, which stands");
    }
    let other_image = Row { volume_crc32c: 8, ..monday.clone() };
    refused(&outcomes(store, [other_image]).await, "another image, which stands");
    let without_agent = Row { settled: false, ..tuesday };
    refused(&outcomes(store, [without_agent]).await, "another egg, which stands");
    assert_eq!(egg(store, "monday", 10).await, ["1"]);
    assert_eq!(egg(store, "tuesday", 10).await, [""; 0]);
    assert_eq!(pages(store, line_of("daily", 10)).await, ["1"]);
    let stored = get_of(store, "1", Some("daily")).await.unwrap().unwrap();
    assert_eq!(Row { stored_at: None, ..stored.clone() }, monday, "unchanged, its picture too");
    // Decided anew and alike: it is stored since then. The very same row is written again.
    let again = Row { received_at: Some(time::to_pb(at(999))), ..monday.clone() };
    let stored_at = stored.stored_at.map(|at| time::from_pb("stored_at", at).unwrap());
    assert_eq!(outcomes(store, [again]).await, [Outcome::Stands(stored_at)]);
    append(store, [monday]).await;
    // Within one batch, and beside rows that are well.
    let batch = [settled("2", "a", 1), settled("2", "b", 2), settled("3", "c", 3)];
    let of_batch = outcomes(store, batch).await;
    assert!(
        matches!(of_batch[..], [Outcome::Written, Outcome::Refused(_), Outcome::Written]),
        "{of_batch:?}"
    );
    assert_eq!(pages(store, line_of("daily", 10)).await, ["1", "2", "3"]);
    assert_eq!(egg(store, "b", 10).await, [""; 0]);
}

async fn a_row_of_another_owner_is_refused<S: Store>(store: &S) {
    for settled in [true, false] {
        let id = format!("owned-{settled}");
        let of = |owner: &str| Row { owner: owner.into(), settled, ..row(&id, "owned", 4_000) };
        append(store, [of("one")]).await;
        for owner in ["two", ""] {
            let outcomes = outcomes(store, [of(owner)]).await;
            assert!(
                matches!(&outcomes[..], [Outcome::Refused(invalid)] if invalid.message.contains("another owner")
                    && !invalid.message.contains("one")),
                "{outcomes:?}"
            );
        }
        assert_eq!(get(store, &id).await.unwrap().owner, "one");
    }
}

/// Whatever passes [`ovomesh_results_store::Record::parse`] can be stored.
async fn the_largest_row_is_stored<S: Store>(store: &S) {
    let long = |letter: &str, length| letter.repeat(length);
    let place = Place { site: long("s", 64), line: long("l", 64), tray_run: long("t", 64), slot: 10_000 };
    let mut largest = row(&long("i", 128), &long("e", 128), -60_000_000_000);
    largest.place = Some(place);
    largest.verdict.as_mut().unwrap().detail = long("d", 4_096);
    let pixels = vec![0xff; 2_048].into();
    largest.preview = Some(Preview { columns: 64, rows: 64, pixels, ..Default::default() });
    append(store, [largest.clone()]).await;
    let found = get(store, &largest.scan_id).await.expect("it is there");
    assert_eq!(Row { stored_at: None, ..found }, largest);
    assert_eq!(egg(store, &largest.egg_id, 2).await, [largest.scan_id.as_str()]);
}

/// Rows of two lines whose names are prefixes of one another, at few different times: id to (line, second).
pub fn rows() -> impl Strategy<Value = BTreeMap<u16, (bool, i64)>> {
    proptest::collection::btree_map(any::<u16>(), (any::<bool>(), 0..20i64), 0..120)
}

/// Pages of any size over any rows are whole, in order and without repeats. `site` is one without rows.
pub async fn check_pages<S: Store>(
    store: &S,
    site: &str,
    rows: &BTreeMap<u16, (bool, i64)>,
    limit: usize,
    (from, to): (i64, i64),
) -> Result<(), TestCaseError> {
    let name = |first: bool| if first { "l" } else { "l." };
    let id = |n: u16| format!("{site}-{n:05}");
    append(
        store,
        rows.iter().map(|(n, (first, second))| {
            let place = Place { site: site.into(), line: name(*first).into(), ..Default::default() };
            Row { place: Some(place), ..row(&id(*n), "", *second) }
        }),
    )
    .await;
    for first in [true, false] {
        let mut expected: Vec<_> =
            rows.iter().filter(|(_, (f, s))| *f == first && (from..to).contains(s)).collect();
        expected.sort_by_key(|(n, (_, second))| (*second, **n));
        let expected: Vec<_> = expected.into_iter().map(|(n, _)| id(*n)).collect();
        let range =
            LineRange { line: line(site, name(first)), from: at(from), to: at(to), limit, token: Vec::new() };
        prop_assert_eq!(pages(store, range).await, expected);
    }
    Ok(())
}
