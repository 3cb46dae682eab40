//! Rows out of the tables.
//!
//! The tables are not written in one step, and nothing is deleted but by age: a scan that was written again with another
//! egg, line or time has a row under its old keys too. Which of them stands is what `scans_by_id` says, so each row of a
//! list is checked against it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use ovomesh_api::{LineId, Row, ScanId, ScanKey, Site};
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::PagingState;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;

use super::explain;
use super::tables::Tables;
use super::timestamp::TimeColumns;
use crate::keys;
use crate::record::{Record, with_preview};
use crate::store::{LineRange, Page, SITES};

/// Checks of rows on their way at once.
const CHECKS: usize = 64;
/// Ids in one question: as many as ScyllaDB takes.
const IDS: usize = 100;
/// A row that stands: when it was acquired, its scan, the row itself.
pub(super) type Standing = (TimeColumns, String, Vec<u8>);
/// Hours read ahead of the rows of a list.
pub(super) const HOURS: usize = 1_000;

/// Why something could not be read.
pub(super) enum ReadError {
    /// The database does not answer; in plain words.
    Database(String),
    /// A row or an answer that cannot be understood.
    Damaged(String),
}

impl From<ExecutionError> for ReadError {
    fn from(error: ExecutionError) -> Self {
        Self::Database(explain::executing(&error))
    }
}

pub(super) type Result<T> = std::result::Result<T, ReadError>;
/// acquired_at, nanos, scan_id, row.
pub(super) type Found = (CqlTimestamp, i32, String, Vec<u8>);

impl Tables {
    /// The scan of this id of one site, or those of all sites, with their pictures: at most [`SITES`].
    pub async fn get_scan(&self, scan_id: &ScanId, site: Option<&Site>) -> Result<Vec<(Site, Bytes)>> {
        let id = scan_id.as_str();
        let mut found = Vec::new();
        for Scan { site: of, line, hour, acquired_at, nanos, preview, .. } in self.find(id).await? {
            let of = Site::parse(&of).map_err(damaged)?;
            if site.is_some_and(|site| *site != of) || found.len() == SITES {
                continue;
            }
            let keys = (of.as_str(), line, hour, acquired_at, nanos, id);
            // Its other table may not have it yet: then it is not acknowledged either.
            let Some((row,)) = self.first::<(Vec<u8>,)>(&self.get_row, keys).await? else { continue };
            found.push((of, with_preview(&row, preview.as_deref())));
        }
        Ok(found)
    }

    /// What is stored of the scans of these records, `in_flight` questions at once. Usually nothing: then it is one question
    /// for [`IDS`] of them.
    pub async fn stored(&self, records: &[Record], in_flight: usize) -> Result<HashMap<ScanKey, Row>> {
        let keys: HashSet<ScanKey> = records.iter().map(Record::key).collect();
        let mut ids: Vec<&str> = keys.iter().map(|key| key.scan_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut questions = Vec::new();
        for question in self.old().map(|old| &old.locate_scans).into_iter().chain([&self.locate_scans]) {
            questions.extend(ids.chunks(IDS).map(|ids| self.all::<At>(question, (ids,))));
        }
        let found: Vec<Vec<At>> = stream::iter(questions).buffered(in_flight).try_collect().await?;
        // What the new tables say is behind what the old ones say, and counts.
        let found = found.into_iter().flatten().filter_map(|at| {
            let key =
                ScanKey { site: Site::parse(&at.site).ok()?, scan_id: ScanId::parse(&at.scan_id).ok()? };
            keys.contains(&key).then_some((key, at))
        });
        let found: HashMap<ScanKey, At> = found.collect();
        let rows = stream::iter(found).map(async |(key, at)| {
            let At { scan_id, site, line, hour, acquired_at, nanos } = at;
            let keys = (site, line, hour, acquired_at, nanos, scan_id);
            let row = self.first::<(Vec<u8>,)>(&self.get_row, keys).await?;
            // One that cannot be read stands for nothing.
            Ok::<_, ReadError>(row.and_then(|(row,)| Some((key, Row::decode(&row).ok()?))))
        });
        rows.buffer_unordered(in_flight).try_filter_map(async |row| Ok(row)).try_collect().await
    }

    /// Where the scans of this id are.
    async fn find(&self, id: &str) -> Result<Vec<Scan>> {
        let mut found: Vec<Scan> = self.all(&self.find_scans, (id,)).await?;
        if let Some(old) = self.old()
            && let Some(old) = self.first::<Scan>(&old.find_scan, (id,)).await?
            && !found.iter().any(|scan| scan.site == old.site)
        {
            found.push(old);
        }
        Ok(found)
    }

    /// Where a scan is: the keys under which it is stored.
    async fn locate(&self, id: &str, site: &str) -> Result<Option<ScanLocation>> {
        let found = self.first::<ScanLocation>(&self.locate_scan, (id, site)).await?;
        match (found, self.old()) {
            (None, Some(old)) => {
                let old = self.first::<Scan>(&old.find_scan, (id,)).await?;
                Ok(old.map(ScanLocation::from).filter(|old| old.site == site))
            }
            (found, _) => Ok(found),
        }
    }

    /// A page of a line. `after` is the last row of the page before.
    pub async fn list_line(&self, range: &LineRange, after: Option<(TimeColumns, ScanId)>) -> Result<Page> {
        let LineRange { line, limit, .. } = range;
        let (begin, end) = (TimeColumns::from(range.from), TimeColumns::from(range.to));
        let mut from = (begin, String::new());
        if let Some((when, id)) = after {
            // The least key that is greater.
            from = from.max((when, format!("{id}\0")));
        }
        let mut hours = VecDeque::new();
        let mut next_hour = Some(from.0.hour());
        let mut rows = Vec::new();
        // One more than the page, to know whether there is another page.
        while rows.len() <= *limit {
            if hours.is_empty() {
                let Some(first) = next_hour.filter(|_| from.0 < end) else { break };
                hours.extend(self.hours(line, first, end.hour()).await?);
                // Fewer than were asked for: there are no more.
                next_hour = hours.back().map(|last| last + 1).filter(|_| hours.len() >= HOURS);
            }
            let Some(hour) = hours.pop_front() else { break };
            let found = self.of_hour(range, hour, &from, end, limit + 1 - rows.len()).await?;
            let whole = found.len() < limit + 1 - rows.len();
            if let (false, Some((at, nanos, id, _))) = (whole, found.last()) {
                // The same hour again, after these: some of them may not stand.
                from = (TimeColumns { millis: at.0, nanos: *nanos }, format!("{id}\0"));
                hours.push_front(hour);
            }
            let stands = |found: &ScanLocation, at| found.line == line.line.as_str() && found.is_at(at);
            rows.extend(self.standing(line.site.as_str(), found, stands).await?);
        }
        let more = rows.len() > *limit;
        rows.truncate(*limit);
        let next = match rows.last() {
            Some((when, id, _)) if more => keys::token(line, (*when).into(), id),
            _ => Vec::new(),
        };
        let rows = rows.into_iter().map(|(_, _, row)| row.into()).collect();
        Ok(Page { rows, next })
    }

    /// The hours that may have rows, at most [`HOURS`], in order.
    async fn hours(&self, line: &LineId, from: i64, to: i64) -> Result<Vec<i64>> {
        let keys =
            (line.site.as_str(), line.line.as_str(), CqlTimestamp(from), CqlTimestamp(to), HOURS as i32);
        let hours = self.all::<(CqlTimestamp,)>(&self.list_hours, keys).await?;
        Ok(hours.into_iter().map(|(hour,)| hour.0).collect())
    }

    async fn of_hour(
        &self,
        range: &LineRange,
        hour: i64,
        from: &(TimeColumns, String),
        end: TimeColumns,
        limit: usize,
    ) -> Result<Vec<Found>> {
        let (when, id) = from;
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let (site, line) = (range.line.site.as_str(), range.line.line.as_str());
        let hour = CqlTimestamp(hour);
        self.all(
            &self.list_line,
            (site, line, hour, when.at(), when.nanos, id.as_str(), end.at(), end.nanos, "", limit),
        )
        .await
    }

    /// Those of the rows of a site that were not written again with other keys.
    pub async fn standing(
        &self,
        site: &str,
        found: Vec<Found>,
        stands: impl Fn(&ScanLocation, TimeColumns) -> bool,
    ) -> Result<Vec<Standing>> {
        let stands = &stands;
        let checked = stream::iter(found).map(async |(at, nanos, id, row)| {
            let when = TimeColumns { millis: at.0, nanos };
            let found = self.locate(&id, site).await?;
            // One that is not there is on its way.
            let stands = found.is_none_or(|found| stands(&found, when));
            Ok::<_, ReadError>(stands.then_some((when, id, row)))
        });
        checked.buffered(CHECKS).try_filter_map(async |row| Ok(row)).try_collect().await
    }

    /// All rows of an answer that has a limit of its own.
    pub async fn all<R>(&self, statement: &PreparedStatement, keys: impl SerializeRow) -> Result<Vec<R>>
    where
        R: for<'f> DeserializeRow<'f, 'f>,
    {
        let (mut rows, mut state) = (Vec::new(), PagingState::start());
        loop {
            let (found, next) = page::<R>(&self.session, statement, &keys, state).await?;
            rows.extend(found);
            let Some(next) = next else { return Ok(rows) };
            state = next;
        }
    }

    pub async fn first<R>(&self, statement: &PreparedStatement, keys: impl SerializeRow) -> Result<Option<R>>
    where
        R: for<'f> DeserializeRow<'f, 'f>,
    {
        let answer =
            self.session.execute_unpaged(statement, keys).await?.into_rows_result().map_err(damaged)?;
        answer.maybe_first_row::<R>().map_err(damaged)
    }
}

/// Where a scan is: the keys under which it is stored.
#[derive(scylla::DeserializeRow)]
pub(super) struct ScanLocation {
    pub site: String,
    pub line: String,
    pub acquired_at: CqlTimestamp,
    pub nanos: i32,
    pub egg_id: String,
}

impl ScanLocation {
    pub fn is_at(&self, when: TimeColumns) -> bool {
        (self.acquired_at.0, self.nanos) == (when.millis, when.nanos)
    }
}

/// Where a scan is whose site is not known yet.
#[derive(scylla::DeserializeRow)]
struct At {
    scan_id: String,
    site: String,
    line: String,
    hour: CqlTimestamp,
    acquired_at: CqlTimestamp,
    nanos: i32,
}

/// Where a scan is, and its picture.
#[derive(scylla::DeserializeRow)]
pub(super) struct Scan {
    pub site: String,
    pub line: String,
    pub hour: CqlTimestamp,
    pub acquired_at: CqlTimestamp,
    pub nanos: i32,
    pub egg_id: String,
    pub preview: Option<Vec<u8>>,
}

impl From<Scan> for ScanLocation {
    fn from(scan: Scan) -> Self {
        let Scan { site, line, acquired_at, nanos, egg_id, .. } = scan;
        Self { site, line, acquired_at, nanos, egg_id }
    }
}

/// One page of an answer, and where the next one begins.
pub(super) async fn page<R>(
    session: &Session,
    statement: &PreparedStatement,
    keys: impl SerializeRow,
    state: PagingState,
) -> Result<(Vec<R>, Option<PagingState>)>
where
    R: for<'f> DeserializeRow<'f, 'f>,
{
    let (answer, next) = session.execute_single_page(statement, keys, state).await?;
    let rows = answer.into_rows_result().map_err(damaged)?;
    let rows = rows.rows::<R>().map_err(damaged)?.collect::<std::result::Result<_, _>>().map_err(damaged)?;
    Ok(match next.into_paging_control_flow() {
        ControlFlow::Continue(next) => (rows, Some(next)),
        ControlFlow::Break(()) => (rows, None),
    })
}

pub(super) fn damaged(error: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged(format!("an answer is not what the tables should give: {error}"))
}
