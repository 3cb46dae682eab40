//! The prepared statements, and what they are bound to.

use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;

use super::words;

/// Rows in one page from the database, also the most that a reader takes at once.
const PAGE: i32 = 1_000;

/// A connection, and every statement of this service prepared on it.
pub(super) struct Tables {
    pub session: Session,
    pub put_line: PreparedStatement,
    pub put_hour: PreparedStatement,
    pub put_egg: PreparedStatement,
    pub put_scan: PreparedStatement,
    pub put_pulse: PreparedStatement,
    /// Where a scan is, with its picture.
    pub find_scan: PreparedStatement,
    /// Where a scan is: to know whether a row that was found elsewhere still stands.
    pub place_of_scan: PreparedStatement,
    pub get_row: PreparedStatement,
    pub list_egg: PreparedStatement,
    pub list_hours: PreparedStatement,
    pub list_line: PreparedStatement,
    pub list_lines: PreparedStatement,
}

impl Tables {
    /// Prepares all of them in `keyspace`.
    pub async fn prepare(session: Session, keyspace: &str) -> Result<Self, String> {
        let prepare = async |text: &str| {
            let text = text.replace("KEYSPACE", keyspace);
            let mut statement = session.prepare(text).await.map_err(|error| words::preparing(&error))?;
            // Writes too: their keys and values are all in them, and so is their time.
            statement.set_is_idempotent(true);
            statement.set_page_size(PAGE);
            Ok::<_, String>(statement)
        };
        Ok(Self {
            put_line: prepare(
                "INSERT INTO KEYSPACE.scans_by_line (site, line, hour, acquired_at, nanos, scan_id, egg_id, tray_run, \
                 slot, call, p_female, row) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            put_hour: prepare("INSERT INTO KEYSPACE.hours_by_line (site, line, hour) VALUES (?, ?, ?)").await?,
            put_egg: prepare(
                "INSERT INTO KEYSPACE.scans_by_egg (egg_id, acquired_at, nanos, scan_id, row) VALUES (?, ?, ?, ?, ?)",
            )
            .await?,
            put_scan: prepare(
                "INSERT INTO KEYSPACE.scans_by_id (scan_id, site, line, hour, acquired_at, nanos, egg_id, preview) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            put_pulse: prepare("INSERT INTO KEYSPACE.pulse (instance, at) VALUES (?, ?)").await?,
            find_scan: prepare(
                "SELECT site, line, hour, acquired_at, nanos, preview FROM KEYSPACE.scans_by_id WHERE scan_id = ?",
            )
            .await?,
            place_of_scan: prepare(
                "SELECT site, line, acquired_at, nanos, egg_id FROM KEYSPACE.scans_by_id WHERE scan_id = ?",
            )
            .await?,
            get_row: prepare(
                "SELECT row FROM KEYSPACE.scans_by_line WHERE site = ? AND line = ? AND hour = ? AND acquired_at = ? \
                 AND nanos = ? AND scan_id = ?",
            )
            .await?,
            list_egg: prepare(
                "SELECT acquired_at, nanos, scan_id, row FROM KEYSPACE.scans_by_egg WHERE egg_id = ?",
            )
            .await?,
            list_hours: prepare(
                "SELECT hour FROM KEYSPACE.hours_by_line WHERE site = ? AND line = ? AND hour >= ? AND hour <= ? \
                 LIMIT ?",
            )
            .await?,
            list_line: prepare(
                "SELECT acquired_at, nanos, scan_id, row FROM KEYSPACE.scans_by_line \
                 WHERE site = ? AND line = ? AND hour = ? AND (acquired_at, nanos, scan_id) >= (?, ?, ?) \
                 AND (acquired_at, nanos, scan_id) < (?, ?, ?) LIMIT ?",
            )
            .await?,
            list_lines: prepare("SELECT DISTINCT site, line FROM KEYSPACE.hours_by_line").await?,
            session,
        })
    }
}
