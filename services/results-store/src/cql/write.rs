//! Rows into the tables.
//!
//! A scan has a row in each of three tables, and a mark in each of two that say which hours have rows. No statement spans
//! two partitions: rows of one line and hour share one unlogged batch, all else is written alone, and a row is acknowledged
//! when all of its statements were.

use std::collections::HashMap;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use ovomesh_api::{EggId, LineId};
use scylla::errors::ExecutionError;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlTimestamp, MaybeUnset};

use super::hours::{Hour, Hours};
use super::tables::Tables;
use super::timestamp::TimeColumns;
use crate::once;
use crate::record::Record;

/// Most bytes of rows in one batch, before the row that reaches it: databases warn of large ones, and refuse those that
/// do not fit into a part of their commit log.
const BATCH_BYTES: usize = 32 << 10;

/// One statement or batch.
enum Write<'a> {
    Line(Vec<&'a Record>),
    Hour(Hour),
    Egg(&'a Record, &'a EggId),
    /// Written with each row: few eggs are scanned twice, so to remember what is marked would save little.
    EggHour(&'a Record, &'a EggId),
    Scan(&'a once::Write),
}

/// Writes one append with one time: of two appends of a scan the later one stands, in all tables.
pub(super) struct Writer<'a> {
    pub tables: &'a Tables,
    pub hours: &'a Hours,
    /// Microseconds since 1970.
    pub time: i64,
    /// Statements on their way at once.
    pub in_flight: usize,
}

impl Writer<'_> {
    /// Writes records of different scans. After an error some may be written and others not: all must be written again.
    pub async fn write(&self, records: &[once::Write]) -> Result<(), ExecutionError> {
        let (writes, hours) = self.statements(records);
        let (mut writes, mut under_way) = (writes.into_iter(), FuturesUnordered::new());
        let mut outcome = Ok(());
        loop {
            // After a failure nothing more is begun; what is on its way is waited for.
            while outcome.is_ok()
                && under_way.len() < self.in_flight
                && let Some(write) = writes.next()
            {
                under_way.push(self.execute(write));
            }
            let Some(result) = under_way.next().await else { break };
            outcome = outcome.and(result);
        }
        if outcome.is_ok() {
            self.hours.marked(hours);
        }
        outcome
    }

    fn statements<'a>(&self, planned: &'a [once::Write]) -> (Vec<Write<'a>>, Vec<Hour>) {
        let mut partitions = HashMap::<(&LineId, i64), Vec<&Record>>::new();
        for once::Write { record, .. } in planned {
            let meta = &record.row.meta;
            let hour = TimeColumns::from(meta.acquired_at).hour();
            partitions.entry((&meta.place.line_id, hour)).or_default().push(record);
        }
        let hours = partitions.keys().map(|(line, hour)| Hour::new(line, *hour));
        let hours: Vec<_> = hours.filter(|hour| !self.hours.is_marked(hour)).collect();
        let mut writes: Vec<_> = hours.iter().cloned().map(Write::Hour).collect();
        for records in partitions.into_values() {
            writes.extend(batches(records).into_iter().map(Write::Line));
        }
        for write in planned {
            if let Some(egg_id) = &write.record.row.meta.egg_id {
                writes.extend([Write::Egg(&write.record, egg_id), Write::EggHour(&write.record, egg_id)]);
            }
            writes.push(Write::Scan(write));
        }
        (writes, hours)
    }

    async fn execute(&self, write: Write<'_>) -> Result<(), ExecutionError> {
        let (tables, session) = (self.tables, &self.tables.session);
        match write {
            Write::Line(records) => {
                let statement = self.timed(&tables.put_line);
                let mut batch = Batch::new(BatchType::Unlogged);
                batch.set_is_idempotent(true);
                batch.set_timestamp(Some(self.time));
                records.iter().for_each(|_| batch.append_statement(statement.clone()));
                let values: Vec<_> = records.iter().map(|record| line_values(record)).collect();
                session.batch(&batch, values).await
            }
            Write::Hour(Hour { line, hour }) => {
                let values = (line.site.as_str(), line.line.as_str(), CqlTimestamp(hour));
                session.execute_unpaged(&self.timed(&tables.put_hour), values).await
            }
            Write::Egg(record, egg_id) => {
                let meta = &record.row.meta;
                let when = TimeColumns::from(meta.acquired_at);
                let hour = CqlTimestamp(when.hour());
                let (site, scan_id) = (meta.place.site().as_str(), meta.scan_id.as_str());
                let values = (egg_id.as_str(), site, hour, when.at(), when.nanos, scan_id, &*record.encoded);
                session.execute_unpaged(&self.timed(&tables.put_egg), values).await
            }
            Write::EggHour(record, egg_id) => {
                let meta = &record.row.meta;
                let hour = CqlTimestamp(TimeColumns::from(meta.acquired_at).hour());
                let values = (egg_id.as_str(), meta.place.site().as_str(), hour);
                session.execute_unpaged(&self.timed(&tables.put_egg_hour), values).await
            }
            Write::Scan(write) => {
                session.execute_unpaged(&self.timed(&tables.put_scan), scan_values(write)).await
            }
        }
        .map(drop)
    }

    fn timed(&self, statement: &PreparedStatement) -> PreparedStatement {
        let mut statement = statement.clone();
        statement.set_timestamp(Some(self.time));
        statement
    }
}

type LineValues<'a> = (
    &'a str,
    &'a str,
    CqlTimestamp,
    CqlTimestamp,
    i32,
    &'a str,
    MaybeUnset<&'a str>,
    MaybeUnset<&'a str>,
    MaybeUnset<i32>,
    &'a str,
    MaybeUnset<f32>,
    &'a [u8],
);

fn line_values(record: &Record) -> LineValues<'_> {
    let meta = &record.row.meta;
    let (place, when) = (&meta.place, TimeColumns::from(meta.acquired_at));
    let slot = i32::try_from(place.slot).ok().filter(|slot| *slot > 0);
    let tray_run = Some(place.tray_run.as_str()).filter(|tray_run| !tray_run.is_empty());
    (
        place.site().as_str(),
        place.line().as_str(),
        CqlTimestamp(when.hour()),
        when.at(),
        when.nanos,
        meta.scan_id.as_str(),
        MaybeUnset::from_option(meta.egg_id.as_ref().map(EggId::as_str)),
        MaybeUnset::from_option(tray_run),
        MaybeUnset::from_option(slot),
        record.row.verdict.call.name(),
        MaybeUnset::from_option(record.row.verdict.p_female),
        &record.encoded,
    )
}

type ScanValues<'a> =
    (&'a str, &'a str, &'a str, CqlTimestamp, CqlTimestamp, i32, &'a str, MaybeUnset<Option<&'a [u8]>>);

fn scan_values(write: &once::Write) -> ScanValues<'_> {
    let once::Write { record, replaces } = write;
    let meta = &record.row.meta;
    let (place, when) = (&meta.place, TimeColumns::from(meta.acquired_at));
    (
        meta.scan_id.as_str(),
        place.site().as_str(),
        place.line().as_str(),
        CqlTimestamp(when.hour()),
        when.at(),
        when.nanos,
        // Empty and not unset: it says that the scan is no longer among those of an egg that it had before.
        meta.egg_id.as_ref().map(EggId::as_str).unwrap_or_default(),
        // Unset: the one that is there is of the same row. Null: it is of another.
        match record.preview.as_deref() {
            None if !replaces => MaybeUnset::Unset,
            preview => MaybeUnset::Set(preview),
        },
    )
}

/// Rows of one partition in batches of a size that databases like.
fn batches(records: Vec<&Record>) -> Vec<Vec<&Record>> {
    let (mut batches, mut bytes) = (Vec::<Vec<&Record>>::new(), 0);
    for record in records {
        match batches.last_mut() {
            Some(batch) if bytes < BATCH_BYTES => batch.push(record),
            _ => {
                batches.push(vec![record]);
                bytes = 0;
            }
        }
        bytes += record.encoded.len();
    }
    batches
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;
    use ovomesh_api::pb::scan::v1 as pb;

    use super::*;

    fn record(bytes: usize) -> Record {
        let row = pb::Row {
            scan_id: "i".into(),
            place: Some(pb::Place { site: "s".into(), line: "l".into(), ..Default::default() }),
            acquired_at: Some(prost_types::Timestamp::default()),
            received_at: Some(prost_types::Timestamp::default()),
            verdict: Some(pb::Verdict { scan_id: "i".into(), ..Default::default() }),
            ..Default::default()
        };
        let record = Record::parse(row, Timestamp::UNIX_EPOCH).unwrap();
        Record { encoded: Bytes::from(vec![0; bytes]), ..record }
    }

    #[test]
    fn a_batch_ends_with_the_row_that_fills_it() {
        let (small, large) = (record(400), record(BATCH_BYTES));
        let records: Vec<_> = std::iter::repeat_n(&small, 100).chain([&large, &large, &small]).collect();
        let sizes: Vec<_> = batches(records).iter().map(Vec::len).collect();
        // 82 rows of 400 bytes are 32,800.
        assert_eq!(sizes, [82, 19, 1, 1]);
        assert!(batches(Vec::new()).is_empty());
    }
}
