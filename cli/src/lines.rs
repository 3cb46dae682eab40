//! Which lines exist, in words: an empty answer names them.

use std::collections::BTreeSet;

use ovomesh_api::pb::query::v1::{ListLinesRequest, StoredLine};
use ovomesh_client::Query;

/// Names that one sentence lists; `ovomesh lines` lists all.
const NAMED: usize = 8;
/// This many consecutive names are shortened to the first and the last.
const RUN: usize = 3;

/// What is known of the line that a question was about.
pub(crate) enum LineLookup {
    /// It has scans, at another time.
    Found,
    /// It has none; what else there is, in words.
    Absent(String),
    /// The query service does not list lines; those of earlier releases do not.
    Unknown,
}

/// Looks for a line among those that have scans.
pub(crate) async fn look_up(query: &Query, site: &str, line: &str) -> LineLookup {
    let Ok(answer) = query.list_lines(ListLinesRequest::default()).await else { return LineLookup::Unknown };
    let lines = answer.lines;
    if lines.iter().any(|stored| stored.site == site && stored.line == line) {
        return LineLookup::Found;
    }
    LineLookup::Absent(in_words(&lines, site))
}

/// The lines of the site, or the sites when it has none.
fn in_words(lines: &[StoredLine], site: &str) -> String {
    let of_site: Vec<&str> =
        lines.iter().filter(|stored| stored.site == site).map(|stored| stored.line.as_str()).collect();
    if !of_site.is_empty() {
        return format!("lines seen: {}", listed(of_site));
    }
    let sites: BTreeSet<&str> = lines.iter().map(|stored| stored.site.as_str()).collect();
    match sites.is_empty() {
        true => "no scan is stored yet".to_owned(),
        false => format!("sites seen: {}", listed(sites)),
    }
}

/// Names in the order in which people count, `line-1, line-2, line-3` as `line-1 .. line-3`.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<(&str, Option<u64>)> = names.into_iter().map(numbered).collect();
    names.sort_unstable();
    let mut parts = Vec::new();
    for run in names.chunk_by(|(a, m), (b, n)| a == b && m.zip(*n).is_some_and(|(m, n)| m + 1 == n)) {
        match run {
            [first, .., last] if run.len() >= RUN => {
                parts.push(format!("{} .. {}", whole(first), whole(last)));
            }
            _ => parts.extend(run.iter().map(whole)),
        }
    }
    let more = parts.len().saturating_sub(NAMED);
    parts.truncate(NAMED);
    let named = parts.join(", ");
    if more == 0 { named } else { format!("{named} and {more} more; `ovomesh lines` lists them") }
}

/// A name without its last number, and that number. One with leading zeros is a part of the name.
fn numbered(name: &str) -> (&str, Option<u64>) {
    let text = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[text.len()..];
    match digits.parse() {
        Ok(number) if digits == "0" || !digits.starts_with('0') => (text, Some(number)),
        _ => (name, None),
    }
}

fn whole((text, number): &(&str, Option<u64>)) -> String {
    number.map_or_else(|| (*text).to_owned(), |number| format!("{text}{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_people_count() {
        for (names, expected) in [
            (&["line-1", "line-10", "line-2", "line-3"][..], "line-1 .. line-3, line-10"),
            (&["1", "2"], "1, 2"),
            (&["b", "a"], "a, b"),
            (&["x-01", "x-02", "x-03"], "x-01, x-02, x-03"),
            (&["9", "10", "11", "w"], "9 .. 11, w"),
            (
                &["1", "3", "5", "7", "9", "11", "13", "15", "17", "19"],
                "1, 3, 5, 7, 9, 11, 13, 15 and 2 more; `ovomesh lines` lists them",
            ),
            (&["18446744073709551615", "99999999999999999999"], "18446744073709551615, 99999999999999999999"),
        ] {
            assert_eq!(listed(names.iter().copied()), expected);
        }
    }

    #[test]
    fn a_line_that_was_never_seen_is_answered_with_those_that_were() {
        let lines: Vec<StoredLine> = [("sim", "line-1"), ("sim", "line-2"), ("north", "1")]
            .map(|(site, line)| StoredLine { site: site.into(), line: line.into() })
            .into();
        assert_eq!(in_words(&lines, "sim"), "lines seen: line-1, line-2");
        assert_eq!(in_words(&lines, "south"), "sites seen: north, sim");
        assert_eq!(in_words(&[], "sim"), "no scan is stored yet");
    }
}
