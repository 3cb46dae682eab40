//! What every store must pass: run by the tests of each.

use std::collections::BTreeMap;

use ovomesh_api::pb::scan::v1::{Place, Row};
use ovomesh_api::{Line, Site};
use ovomesh_results_store::{LineRange, Store, StoreError};
use proptest::prelude::*;

use super::{all, append, at, egg, get, pages, picture, range, row, with_picture};

/// All that a store must do. `store` is empty.
pub async fn check<S: Store>(store: &S) {
    a_row_is_found_by_every_key(store).await;
    a_repeat_changes_nothing(store).await;
    a_later_write_stands_and_leaves_nothing_of_the_first(store).await;
    the_last_of_a_batch_stands_and_pictures_stay(store).await;
    a_token_of_another_line_is_refused(store).await;
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

async fn the_last_of_a_batch_stands_and_pictures_stay<S: Store>(store: &S) {
    let batch = [with_picture(row("twice", "one", 80), 2), row("twice", "two", 81)];
    append(store, batch).await;
    assert_eq!(all(store).await, ["nameless", "second", "twice"]);
    assert!(egg(store, "one", 10).await.is_empty());
    assert_eq!(egg(store, "two", 10).await, ["twice"]);
    assert_eq!(get(store, "twice").await.and_then(|row| row.preview), Some(picture(2)));
}

async fn a_token_of_another_line_is_refused<S: Store>(store: &S) {
    let first = store.list_line(range(0, 1_000, 1)).await.expect("a page");
    assert!(!first.next.is_empty());
    let other = LineRange { line: Line::parse("ll").unwrap(), token: first.next, ..range(0, 1_000, 1) };
    for token in [other.token.clone(), b"nonsense".to_vec()] {
        let error = store.list_line(LineRange { token, ..other.clone() }).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid(invalid) if invalid.field == "token"), "{error}");
    }
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
        let (site, line) = (Site::parse(site).unwrap(), Line::parse(name(first)).unwrap());
        let range = LineRange { site, line, from: at(from), to: at(to), limit, token: Vec::new() };
        prop_assert_eq!(pages(store, range).await, expected);
    }
    Ok(())
}
