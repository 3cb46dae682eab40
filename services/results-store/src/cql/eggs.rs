//! The scans of an egg, newest first.
//!
//! An egg has a partition for each hour in which it was scanned, so that a scanner that names every egg alike fills many
//! partitions and not one; `hours_by_egg` says which hours those are.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use ovomesh_api::pb::scan::v1 as pb;
use ovomesh_api::{EggId, ScanId, Site};
use prost::Message as _;
use scylla::value::CqlTimestamp;

use super::read::{Found, HOURS, ReadError, Result, ScanLocation, Standing, damaged};
use super::tables::Tables;
use super::timestamp::TimeColumns;
use crate::keys;
use crate::store::{EggRange, Page, SITES};

/// The last row that was read. Rows of one moment are in order of their scans.
type Last = (TimeColumns, String);

impl Tables {
    /// A page of an egg of one site, or of those of this name of all sites: at most [`SITES`].
    pub async fn list_egg(&self, range: &EggRange) -> Result<Vec<(Site, Page)>> {
        let old = self.old_of_egg(&range.egg_id).await?;
        let sites = match &range.site {
            Some(site) => vec![site.to_string()],
            None => self.sites_of_egg(&range.egg_id, &old).await?,
        };
        let mut found = Vec::new();
        for site in sites {
            let of_old = old.iter().filter(|(of, _)| *of == site).map(|(_, row)| row.clone());
            let site = Site::parse(&site).map_err(damaged)?;
            let page = self.egg_of_site(range, &site, of_old.collect()).await?;
            // Those that stand: a site all of whose rows were written again with another egg has no such egg.
            if !page.rows.is_empty() {
                found.push((site, page));
            }
        }
        Ok(found)
    }

    async fn egg_of_site(&self, range: &EggRange, site: &Site, old: Vec<Found>) -> Result<Page> {
        let EggRange { egg_id, limit, after, .. } = range;
        let after = after.as_ref().map(|last| (last.at.into(), last.scan_id.to_string()));
        // One more than the page, to know whether there is another page.
        let mut rows = self.new_of_site(egg_id, site, after.clone(), limit + 1).await?;
        rows.extend(self.old_of_site(egg_id, site, old, after.as_ref(), limit + 1).await?);
        rows.sort_by(|(a, a_id, _), (b, b_id, _)| newest_first((*a, a_id), (*b, b_id)));
        // A row that is in both tables is one.
        rows.dedup_by(|(a, a_id, _), (b, b_id, _)| a == b && a_id == b_id);
        let more = rows.len() > *limit;
        rows.truncate(*limit);
        let next = match rows.last() {
            Some((when, id, _)) if more => {
                keys::egg(egg_id, site, (*when).into(), &ScanId::parse(id).map_err(damaged)?)
            }
            _ => Vec::new(),
        };
        Ok(Page { rows: rows.into_iter().map(|(_, _, row)| Bytes::from(row)).collect(), next })
    }

    /// At least `wanted` rows behind `last`, or all that there are.
    async fn new_of_site(
        &self,
        egg_id: &EggId,
        site: &Site,
        mut last: Option<Last>,
        wanted: usize,
    ) -> Result<Vec<Standing>> {
        let mut hours = VecDeque::new();
        let mut next_hour = Some(last.as_ref().map_or(i64::MAX, |(when, _)| when.hour()));
        let mut rows = Vec::new();
        while rows.len() < wanted {
            if hours.is_empty() {
                let Some(newest) = next_hour else { break };
                let keys = (egg_id.as_str(), site.as_str(), CqlTimestamp(newest), HOURS as i32);
                hours.extend(self.all::<(CqlTimestamp,)>(&self.list_egg_hours, keys).await?);
                // Fewer than were asked for: there are no more.
                next_hour = hours.back().map(|(oldest,)| oldest.0 - 1).filter(|_| hours.len() >= HOURS);
            }
            let Some((hour,)) = hours.pop_front() else { break };
            let missing = wanted - rows.len();
            let found = self.of_egg_hour(egg_id, site, hour, last.as_ref(), missing).await?;
            let whole = found.len() < missing;
            if let (false, Some((at, nanos, id, _))) = (whole, found.last()) {
                // The same hour again, after these: some of them may not stand.
                last = Some((TimeColumns { millis: at.0, nanos: *nanos }, id.clone()));
                hours.push_front((hour,));
            }
            rows.extend(self.standing(site.as_str(), found, stands(egg_id)).await?);
        }
        Ok(rows)
    }

    async fn of_egg_hour(
        &self,
        egg_id: &EggId,
        site: &Site,
        hour: CqlTimestamp,
        last: Option<&Last>,
        limit: usize,
    ) -> Result<Vec<Found>> {
        let most = |limit| i32::try_from(limit).unwrap_or(i32::MAX);
        let (egg_id, site) = (egg_id.as_str(), site.as_str());
        let mut found = Vec::new();
        let mut before = TimeColumns { millis: hour.0, nanos: 0 }.next_hour();
        if let Some((when, id)) = last.filter(|(when, _)| when.hour() == hour.0) {
            let keys = (egg_id, site, hour, when.at(), when.nanos, id.as_str(), most(limit));
            found = self.all(&self.list_egg_moment, keys).await?;
            before = *when;
        }
        if found.len() < limit {
            let keys = (egg_id, site, hour, before.at(), before.nanos, most(limit - found.len()));
            found.extend(self.all::<Found>(&self.list_egg, keys).await?);
        }
        Ok(found)
    }

    /// At least `wanted` of the rows of an older release behind `last`, or all that there are.
    async fn old_of_site(
        &self,
        egg_id: &EggId,
        site: &Site,
        mut old: Vec<Found>,
        last: Option<&Last>,
        wanted: usize,
    ) -> Result<Vec<Standing>> {
        let key = |(at, nanos, id, _): &Found| (TimeColumns { millis: at.0, nanos: *nanos }, id.clone());
        old.retain(|found| {
            let (when, id) = key(found);
            last.is_none_or(|(last, last_id)| newest_first((*last, last_id), (when, &id)).is_lt())
        });
        old.sort_by(|a, b| {
            let ((a, a_id), (b, b_id)) = (key(a), key(b));
            newest_first((a, &a_id), (b, &b_id))
        });
        let mut rows = Vec::new();
        for some in old.chunks(wanted) {
            if rows.len() >= wanted {
                break;
            }
            rows.extend(self.standing(site.as_str(), some.to_vec(), stands(egg_id)).await?);
        }
        Ok(rows)
    }

    /// Rows of an egg that an older release wrote and that may not be in the new tables yet, with their sites.
    async fn old_of_egg(&self, egg_id: &EggId) -> Result<Vec<(String, Found)>> {
        let Some(old) = self.old() else { return Ok(Vec::new()) };
        let found = self.all::<Found>(&old.list_egg, (egg_id.as_str(),)).await?;
        let with_site = found.into_iter().map(|found| {
            let row = pb::Row::decode(&*found.3).map_err(|error| {
                ReadError::Damaged(format!("what is stored of scan {} cannot be read: {error}", found.2))
            })?;
            Ok((row.place.unwrap_or_default().site, found))
        });
        with_site.collect()
    }

    /// Sites that have an egg of this name, at most [`SITES`], in order.
    async fn sites_of_egg(&self, egg_id: &EggId, old: &[(String, Found)]) -> Result<Vec<String>> {
        let mut sites: BTreeSet<String> = old.iter().map(|(site, _)| site.clone()).collect();
        let mut last = String::new();
        while sites.len() < SITES {
            let keys = (egg_id.as_str(), last.as_str());
            let Some((site,)) = self.first::<(String,)>(&self.next_site, keys).await? else { break };
            last.clone_from(&site);
            sites.insert(site);
        }
        Ok(sites.into_iter().take(SITES).collect())
    }
}

/// Whether a row of an egg still stands, by where its scan is.
fn stands(egg_id: &EggId) -> impl Fn(&ScanLocation, TimeColumns) -> bool {
    |found, at| found.egg_id == egg_id.as_str() && found.is_at(at)
}

fn newest_first((a, a_id): (TimeColumns, &str), (b, b_id): (TimeColumns, &str)) -> std::cmp::Ordering {
    b.cmp(&a).then_with(|| a_id.cmp(b_id))
}
