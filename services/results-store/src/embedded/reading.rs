//! How the embedded store is read: each question sees all segments at one moment.

use std::ops::Bound;

use bytes::Bytes;
use fjall::Readable as _;
use ovomesh_api::{Invalid, ScanId, Site};

use super::merged::Merged;
use super::read_error::ReadError;
use super::tables::Tables;
use crate::keys;
use crate::record::with_preview;
use crate::store::{EggRange, LineRange, Page, SITES, StoredLines};

impl Tables {
    /// The scan of this id of one site, or those of all sites: at most [`SITES`].
    pub fn get_scan(&self, scan_id: &ScanId, site: Option<&Site>) -> Result<Vec<(Site, Bytes)>, ReadError> {
        let (now, segments) = self.segments.view();
        let prefix = keys::scans(scan_id);
        let from = site.map_or_else(|| prefix.clone(), |site| keys::scan(scan_id, site));
        let mut scans = Merged::range(&now, &segments, |segment| &segment.scans, from..)?;
        let mut found = Vec::new();
        while let Some(entry) = scans.next()? {
            let at = keys::site_after(&prefix, &entry.key);
            let Some(at) = at.filter(|at| site.is_none_or(|site| site == at)) else { break };
            let Some(row) = now.get(&entry.segment.rows, &entry.value)? else { continue };
            let preview = now.get(&entry.segment.pictures, &entry.key)?;
            found.push((at, with_preview(&row, preview.as_deref())));
            if found.len() == SITES {
                break;
            }
        }
        Ok(found)
    }

    /// A page of an egg of one site, or of those of this name of all sites: at most [`SITES`].
    pub fn list_egg(&self, range: &EggRange) -> Result<Vec<(Site, Page)>, ReadError> {
        let EggRange { egg_id, site, limit, after } = range;
        let site = site.as_ref();
        let (now, segments) = self.segments.view();
        let prefix = keys::eggs(egg_id);
        let mut from = match (site, after) {
            // The least key that is greater.
            (Some(site), Some(last)) => [&keys::egg(egg_id, site, last.at, &last.scan_id), &[0][..]].concat(),
            (Some(site), None) => keys::egg_of_site(egg_id, site),
            (None, _) => prefix.clone(),
        };
        let mut found = Vec::new();
        while found.len() < SITES {
            let mut eggs = Merged::range(&now, &segments, |segment| &segment.eggs, from..)?;
            let mut next = eggs.next()?;
            let at = next.as_ref().and_then(|entry| keys::site_after(&prefix, &entry.key));
            let Some(at) = at.filter(|at| site.is_none_or(|site| site == at)) else { break };
            let egg = keys::egg_of_site(egg_id, &at);
            let (mut page, mut last) = (Page::default(), Vec::new());
            while let Some(entry) = next.filter(|entry| entry.key.starts_with(&egg)) {
                if let Some(row) = now.get(&entry.segment.rows, &entry.value)? {
                    if page.rows.len() == *limit {
                        page.next = last;
                        break;
                    }
                    page.rows.push(Bytes::copy_from_slice(&row));
                    last = entry.key.to_vec();
                }
                next = eggs.next()?;
            }
            found.push((at, page));
            // Behind all that the site has of it: its name ends with a zero.
            from = egg;
            if let Some(last) = from.last_mut() {
                *last = 1;
            }
        }
        Ok(found)
    }

    pub fn list_line(&self, range: &LineRange) -> Result<Page, ReadError> {
        let LineRange { line, limit, token, .. } = range;
        let from = keys::line_from(line, range.from);
        let to = keys::line_from(line, range.to);
        // A token is the last key of the page before.
        let after = match token.is_empty() {
            true => Vec::new(),
            false if token.starts_with(&keys::line_prefix(line)) => [token, &[0][..]].concat(),
            false => {
                let limit = format!("the next token of a page of line {line}");
                return Err(ReadError::Invalid(Invalid::field("token", "another line's", limit)));
            }
        };
        let from = from.max(after);
        let mut page = Page::default();
        if from >= to {
            return Ok(page);
        }
        let (now, segments) = self.segments.view();
        let mut rows = Merged::range(&now, &segments, |segment| &segment.rows, from..to)?;
        while let Some(entry) = rows.next()? {
            if page.rows.len() == *limit {
                return Ok(page);
            }
            page.rows.push(Bytes::copy_from_slice(&entry.value));
            page.next = if page.rows.len() == *limit { entry.key.to_vec() } else { Vec::new() };
        }
        // Nothing follows.
        page.next.clear();
        Ok(page)
    }

    /// Which lines have rows: a jump from the first key of one line to the first key of the next. One seek for each line
    /// and segment, however many rows they have.
    pub fn list_lines(&self, site: Option<&Site>, limit: usize) -> Result<StoredLines, ReadError> {
        let (now, segments) = self.segments.view();
        let mut from = site.map(keys::site_prefix).unwrap_or_default();
        let mut found = StoredLines::default();
        loop {
            let after = (Bound::Included(from), Bound::Unbounded);
            let first = Merged::range(&now, &segments, |segment| &segment.rows, after)?.next()?;
            let Some(key) = first.map(|entry| entry.key) else { break };
            let line = keys::read_line(&key)
                .ok_or_else(|| ReadError::Damaged(format!("the key {key:?} names no line")))?;
            if site.is_some_and(|site| *site != line.site) {
                break;
            }
            if found.lines.len() == limit {
                found.more = true;
                break;
            }
            from = keys::after_line(&line);
            found.lines.push(line);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ovomesh_api::pb::scan::v1::Row;
    use ovomesh_api::{EggId, LineId};
    use proptest::prelude::*;

    use super::*;
    use crate::embedded::migration::written;
    use crate::record::Record;

    fn open(folder: &std::path::Path) -> Tables {
        Tables::open(folder, Timestamp::now()).unwrap_or_else(|_| panic!("it opens"))
    }

    fn ok<T>(answer: Result<T, ReadError>) -> T {
        answer.unwrap_or_else(|_| panic!("an answer"))
    }

    /// A scan of a few that two sites share: its minute, its egg, whether it is at the south.
    fn row() -> impl Strategy<Value = Row> {
        (0..12i64, 0..30i64, 0..4u8, any::<bool>()).prop_map(|(scan, minute, egg, south)| Row {
            settled: false,
            egg_id: format!("egg-{egg}"),
            scan_id: scan.to_string(),
            verdict: Some(ovomesh_api::pb::scan::v1::Verdict {
                scan_id: scan.to_string(),
                ..Default::default()
            }),
            ..written::row(if south { "south" } else { "north" }, minute, scan % 2 == 0)
        })
    }

    /// Everything that can be asked, page by page.
    fn answers(tables: &Tables, limit: usize) -> String {
        let mut answers = format!("{:?}", ok(tables.list_lines(None, 9)));
        for site in ["north", "south"].map(|site| Site::parse(site).unwrap()) {
            let (from, to) = (Timestamp::MIN, Timestamp::MAX);
            let line = LineId::parse(site.as_str(), "l").unwrap();
            let mut range = LineRange { line, from, to, limit, token: Vec::new() };
            loop {
                let page = ok(tables.list_line(&range));
                answers += &format!("{page:?}");
                if page.next.is_empty() {
                    break;
                }
                range.token = page.next;
            }
            for n in 0..12 {
                let (scan, egg) = (n.to_string(), format!("egg-{n}"));
                let (scan, egg) = (ScanId::parse(&scan).unwrap(), EggId::parse(&egg).unwrap());
                for site in [None, Some(&site)] {
                    answers += &format!("{:?}", ok(tables.get_scan(&scan, site)));
                    let range = EggRange::new(egg.clone(), site.cloned(), limit, &[]).unwrap();
                    let found = ok(tables.list_egg(&range));
                    answers += &format!("{found:?}");
                    for (_, Page { next, .. }) in found {
                        let range = EggRange::new(egg.clone(), site.cloned(), limit, &next).unwrap();
                        answers += &format!("{:?}", ok(tables.list_egg(&range)));
                    }
                }
            }
        }
        answers
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_in_several_segments_answer_as_those_in_one(
            batches in prop::collection::vec(prop::collection::vec(row(), 0..12), 1..5),
            limit in 1..6usize,
        ) {
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let [one, several] = [0, 1].map(|n| open(folders[n].path()));
            let now = Timestamp::constant(1_800_000_000, 0);
            for rows in batches {
                let records: Vec<_> = rows.into_iter().map(|row| Record::parse(row, now).unwrap()).collect();
                prop_assert_eq!(ok(one.append(records.clone())), ok(several.append(records)));
                several.segments.begin(now).unwrap();
            }
            prop_assert_eq!(answers(&one, limit), answers(&several, limit));
        }
    }
}
