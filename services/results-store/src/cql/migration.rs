//! Tables of releases that knew scans and eggs by their id alone: their rows are copied while others are written and read.
//!
//! What stands is made anew from `scans_by_line`, which had the site in its key always. A row is written with the time and
//! for the rest of the life that it had, so whatever this release writes of the same scan stands, and what is done twice is
//! done once: every results-store works on it, in parts, and any may be killed. Until all is over, the old tables are asked
//! too. Results-stores of the older release may continue to write to theirs meanwhile: when the last of them has left, another
//! round brings over what was written since the first began.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use ovomesh_api::pb::scan::v1::Row;
use parking_lot::Mutex;
use prost::Message as _;
use rand::seq::SliceRandom as _;
use scylla::client::session::Session;
use scylla::response::PagingState;
use scylla::value::{CqlTimestamp, MaybeUnset};
use tokio::time::sleep;

use super::read::{ReadError, Scan, page};
use super::schema;
use super::tables::{Old, Tables};
use super::timestamp::TimeColumns;

/// Parts of a round: the ring of tokens in equal pieces. What a process that was killed had begun of a part is done again.
const PARTS: i32 = 128;
/// Rows on their way at once, of one results-store: live rows go first.
const ROWS: usize = 32;
/// A results-store of the older release writes each second: one that has not for this long has stopped, and its last rows are
/// written. Clocks may be off by as much.
const QUIET: SignedDuration = SignedDuration::from_secs(30);
/// From one look whether they have left to the next, and before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// In place of a part: the round has begun.
const BEGUN: i32 = -1;
/// In place of a round: all is over.
const OVER: i32 = i32::MAX;

/// Whether an older release has made tables here whose rows are not all brought over.
pub(super) async fn is_needed(session: &Session, keyspace: &str) -> Result<bool, String> {
    if !schema::exists(session, "tables", keyspace, Some("scans_by_id")).await? {
        return Ok(false);
    }
    let over = format!("SELECT part FROM {keyspace}.migrations WHERE name = 'sites' AND round = {OVER}");
    Ok(schema::ask::<(i32,)>(session, &over, ()).await?.is_empty())
}

/// How far it is, for status.
#[derive(Default)]
pub(super) struct Migration(Mutex<Option<String>>);

impl Migration {
    /// `None` when there is nothing to be done.
    pub fn progress(&self) -> Option<String> {
        self.0.lock().clone()
    }

    /// There is something to be done.
    pub fn is_needed(&self) {
        self.report(Some("not migrated yet".into()));
    }

    fn report(&self, how_far: Option<String>) {
        *self.0.lock() = how_far;
    }

    /// Copies all rows. Never returns.
    pub async fn run(&self, tables: &Tables) {
        if let Some(old) = tables.old() {
            while let Err(error) = self.rounds(tables, old).await {
                let (ReadError::Database(reason) | ReadError::Damaged(reason)) = error;
                tracing::warn!(reason, "rows of an older release are not migrated yet; trying again");
                sleep(AGAIN).await;
            }
            old.is_done.store(true, Ordering::Relaxed);
            self.report(None);
            tracing::info!("all rows of the older release are in the tables of this one");
        }
        std::future::pending::<()>().await;
    }

    async fn rounds(&self, tables: &Tables, old: &Old) -> Result<(), ReadError> {
        let (mut number, mut since) = (0, None);
        loop {
            let mut round = Round::open(tables, old, number).await?;
            if round.is_over {
                return Ok(());
            }
            while let Some(part) = round.left() {
                self.report(Some(format!(
                    "round {}: {} of {PARTS} parts are migrated",
                    number + 1,
                    round.done.len()
                )));
                let rows = bring_over(tables, old, part, since).await?;
                tables.session.execute_unpaged(&old.put_progress, (number, part, now())).await?;
                tracing::info!(
                    round = number + 1,
                    part,
                    rows,
                    "a part of the older release's rows is migrated"
                );
                // Others have done some meanwhile.
                round = Round::open(tables, old, number).await?;
            }
            let is_alone = |last: Timestamp| last < round.begun - QUIET;
            if last_pulse(tables, old).await?.is_none_or(is_alone) {
                tables.session.execute_unpaged(&old.put_progress, (OVER, BEGUN, now())).await?;
                return Ok(());
            }
            self.report(Some("waiting until no results-store of the older release writes".into()));
            while last_pulse(tables, old).await?.is_some_and(|last| Timestamp::now() - QUIET < last) {
                sleep(AGAIN).await;
            }
            // By the clocks of the writers.
            (number, since) = (number + 1, Some((round.begun - QUIET).as_microsecond()));
        }
    }
}

/// One passage over all rows.
struct Round {
    begun: Timestamp,
    done: BTreeSet<i32>,
    /// Not this round alone, but all.
    is_over: bool,
}

impl Round {
    /// Reads how far a round is, and begins it when nobody has.
    async fn open(tables: &Tables, old: &Old, number: i32) -> Result<Self, ReadError> {
        let all: Vec<(i32, i32, CqlTimestamp)> = tables.all(&old.progress, ()).await?;
        let is_over = all.iter().any(|(round, ..)| *round == OVER);
        let of_this = || all.iter().filter(|(round, ..)| *round == number);
        let begun = match of_this().find(|(_, part, _)| *part == BEGUN) {
            Some((.., begun)) => *begun,
            None if is_over => now(),
            None => {
                let begun = now();
                tables.session.execute_unpaged(&old.put_progress, (number, BEGUN, begun)).await?;
                begun
            }
        };
        let begun = Timestamp::from_millisecond(begun.0).unwrap_or(Timestamp::MIN);
        let done = of_this().map(|(_, part, _)| *part).filter(|part| *part != BEGUN).collect();
        Ok(Self { begun, done, is_over })
    }

    /// A part that nobody has done, by chance, since others do the rest: `None` when all is done.
    fn left(&self) -> Option<i32> {
        let mut left: Vec<_> = (0..PARTS).filter(|part| !self.done.contains(part)).collect();
        left.shuffle(&mut rand::rng());
        left.pop()
    }
}

fn now() -> CqlTimestamp {
    CqlTimestamp(Timestamp::now().as_millisecond())
}

/// When a results-store of the older release was last seen, within a day.
async fn last_pulse(tables: &Tables, old: &Old) -> Result<Option<Timestamp>, ReadError> {
    let pulses: Vec<(Option<CqlTimestamp>,)> = tables.all(&old.pulses, ()).await?;
    let times = pulses.into_iter().filter_map(|(at,)| Timestamp::from_millisecond(at?.0).ok());
    Ok(times.max())
}

/// First and last token of a part.
fn tokens(part: i32) -> (i64, i64) {
    let width = (1_i128 << 64) / i128::from(PARTS);
    let first = i128::from(i64::MIN) + width * i128::from(part);
    // The bounds of a part are tokens.
    ((first) as i64, (first + width - 1) as i64)
}

/// A row of a line: site, line, acquired_at, nanos, scan_id, row, when it was written, seconds that it is kept.
type Found = (String, String, CqlTimestamp, i32, String, Vec<u8>, i64, Option<i32>);

/// Brings over what stands of a part, and was written since; gives how many rows were looked at.
async fn bring_over(tables: &Tables, old: &Old, part: i32, since: Option<i64>) -> Result<u64, ReadError> {
    let (mut rows, mut state) = (0, PagingState::start());
    loop {
        let (found, next) = page::<Found>(&tables.session, &old.rows, tokens(part), state).await?;
        rows += found.len() as u64;
        let found = found.into_iter().filter(|(.., written, _)| since.is_none_or(|since| *written >= since));
        stream::iter(found)
            .map(|found| one(tables, old, found))
            .buffer_unordered(ROWS)
            .try_collect::<()>()
            .await?;
        let Some(next) = next else { return Ok(rows) };
        state = next;
    }
}

async fn one(tables: &Tables, old: &Old, found: Found) -> Result<(), ReadError> {
    let (site, line, at, nanos, scan_id, bytes, written, kept) = found;
    let where_it_is = tables.first::<Scan>(&old.find_scan, (&scan_id,)).await?;
    let stands = where_it_is.filter(|scan| scan.site == site);
    let is_here = |scan: &Scan| (&scan.line, scan.acquired_at, scan.nanos) == (&line, at, nanos);
    if stands.as_ref().is_some_and(|scan| !is_here(scan)) {
        return Ok(());
    }
    let row = Row::decode(&*bytes).map_err(|error| {
        ReadError::Damaged(format!("scan {scan_id} of site {site} cannot be decoded: {error}"))
    })?;
    let kept = MaybeUnset::from_option(kept);
    let hour = CqlTimestamp(TimeColumns { millis: at.0, nanos }.hour());
    if !row.egg_id.is_empty() {
        let values = (&row.egg_id, &site, hour, at, nanos, &scan_id, &bytes, written, kept);
        tables.session.execute_unpaged(&old.put_egg, values).await?;
        let values = (&row.egg_id, &site, hour, written, kept);
        tables.session.execute_unpaged(&old.put_egg_hour, values).await?;
    }
    // A row that was decided without an image, in place of another, was left with that one's picture. One of a site whose
    // row was hidden by another site's has lost its own.
    let has_picture = row.verdict.is_some_and(|verdict| verdict.quality.is_some());
    let preview = stands.and_then(|scan| scan.preview).filter(|_| has_picture);
    let preview = MaybeUnset::from_option(preview);
    let values = (&scan_id, &site, &line, hour, at, nanos, &row.egg_id, preview, written, kept);
    tables.session.execute_unpaged(&old.put_scan, values).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole_ring() {
        assert_eq!(tokens(0).0, i64::MIN);
        assert_eq!(tokens(PARTS - 1).1, i64::MAX);
        for part in 1..PARTS {
            assert_eq!(tokens(part - 1).1 + 1, tokens(part).0);
        }
    }
}
